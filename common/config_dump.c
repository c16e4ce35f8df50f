/* The effective configuration as a file that reads back to the same. */
#include <string.h>

#include "config_values.h"

#define WIDTH 100 /* of a line; a list goes on in indented ones */

static void dump_row(FILE *stream, const struct row *row, const void *section)
{
	char item[4200];
	struct text text;
	size_t width;

	(void)fprintf(stream, "; %s\n", row->help);
	text_init(&text, item, sizeof(item));
	if (!config_get(row, section, 0, &text)) {
		(void)fprintf(stream, "; %s =\n", row->key);
		return;
	}
	width = (size_t)fprintf(stream, "%s = %s", row->key, item);
	for (size_t i = 1;; i++) {
		text_init(&text, item, sizeof(item));
		if (!config_get(row, section, i, &text))
			break;
		if (width + text.used + 2 > WIDTH)
			width = (size_t)fprintf(stream, ",\n    %s", item);
		else
			width += (size_t)fprintf(stream, ", %s", item);
	}
	(void)fputc('\n', stream);
}

static void dump_structure(const struct config *config, FILE *stream, const struct row_section *section,
                           const void *at)
{
	const struct config_place *place = at;

	if (section->named)
		(void)fprintf(stream, "[%s %s]\n", section->name, place->name);
	else
		(void)fprintf(stream, "[%s]\n", section->name);
	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section->name) == 0 && (rows[i].programs & config->program) != 0)
			dump_row(stream, &rows[i], at);
	(void)fputc('\n', stream);
}

int config_dump(const struct config *config, FILE *stream)
{
	for (size_t i = 0; i < row_section_count; i++) {
		const struct row_section *section = &row_sections[i];
		const char *base = (const char *)config + section->offset;
		size_t count = 1;

		if ((section->programs & config->program) == 0)
			continue;
		if (section->named) {
			count = *(const size_t *)(const void *)((const char *)config + section->count_offset);
			base = *(char *const *)(const void *)base;
		}
		for (size_t j = 0; j < count; j++) {
			if (j == 0)
				(void)fprintf(stream, "; %s\n", section->help);
			dump_structure(config, stream, section, base + j * section->size);
		}
	}
	return fflush(stream) == 0 && ferror(stream) == 0 ? 0 : -1;
}
