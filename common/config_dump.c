/* The effective configuration as a file that reads back to the same. */
#include <string.h>

#include "config_values.h"

#define WIDTH 100      /* of a line; a list goes on in indented ones */
#define LINE_MOST 196  /* the reader takes 199: an indentation before, a comma behind */
#define VALUE_SIZE (16 * 1024 + 64) /* the reader takes no longer one */

/* Words as a comment, in lines of at most WIDTH. */
static void dump_help(FILE *stream, const char *help)
{
	while (*help != '\0') {
		size_t length = strlen(help), end = length;

		if (length > WIDTH - 2)
			for (end = WIDTH - 2; end > 0 && help[end] != ' '; end--)
				continue;
		if (end == 0)
			end = length;
		(void)fprintf(stream, "; %.*s\n", (int)end, help);
		help += end + strspn(help + end, " ");
	}
}

/* Would the reader take `rest` for the rest of a value, and not for a comment or a key? */
static bool can_go_on(const char *rest)
{
	size_t word = strspn(rest, "abcdefghijklmnopqrstuvwxyz_");

	return strchr(" ;#", *rest) == NULL && (word == 0 || rest[word + strspn(rest + word, " \t")] != '=');
}

/* How much of a long value stands in the next line, so that the reader puts it together as it was: it joins lines by a
 * blank, save after one that ends in a comma, a colon or a slash. */
static size_t next_part(const char *value)
{
	for (size_t end = LINE_MOST; end > 0; end--) {
		bool is_joint = strchr(",:/", value[end - 1]) != NULL;

		if (is_joint ? can_go_on(value + end) : value[end] == ' ' && can_go_on(value + end + 1))
			return end;
	}
	return LINE_MOST;
}

/* One value, or item of a list, that may be longer than a line. Returns the width of the last line. */
static size_t dump_item(FILE *stream, size_t width, const char *item)
{
	size_t length = strlen(item);

	if (width + 1 + length <= LINE_MOST)
		return width + (size_t)fprintf(stream, "%s%s", length > 0 ? " " : "", item);
	for (; length > LINE_MOST; length = strlen(item)) {
		size_t part = next_part(item);

		(void)fprintf(stream, "\n %.*s", (int)part, item);
		item += part + (item[part] == ' ');
	}
	return (size_t)fprintf(stream, "\n %s", item) - 1;
}

static void dump_row(FILE *stream, const struct row *row, const void *section)
{
	char item[VALUE_SIZE];
	struct text text;
	size_t width;

	dump_help(stream, row->help);
	text_init(&text, item, sizeof(item));
	if (!config_get(row, section, 0, &text)) {
		(void)fprintf(stream, "; %s =\n", row->key);
		return;
	}
	width = dump_item(stream, (size_t)fprintf(stream, "%s =", row->key), item);
	for (size_t i = 1;; i++) {
		text_init(&text, item, sizeof(item));
		if (!config_get(row, section, i, &text))
			break;
		width += (size_t)fprintf(stream, ",");
		if (width + 1 + text.used > WIDTH)
			width = (size_t)fprintf(stream, "\n   ") - 1;
		width = dump_item(stream, width, item);
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
				dump_help(stream, section->help);
			dump_structure(config, stream, section, base + j * section->size);
		}
	}
	return fflush(stream) == 0 && ferror(stream) == 0 ? 0 : -1;
}
