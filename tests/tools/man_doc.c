/* Prints the manual page ccissl.ini(5): a text written by hand, from the file named, in which one line is replaced by
 * what the rows of the configuration say. */
#include <stdio.h>
#include <string.h>

#include "rows.h"

#define PLACE ".\\\" SETTINGS\n"

/* A text of the tables as lines of mdoc: each sentence begins a line, and nothing in it is taken for a macro. */
static void put_text(const char *text)
{
	bool first = true;

	for (const char *at = text; *at != '\0'; at++) {
		if (first && (*at == '.' || *at == '\''))
			(void)fputs("\\&", stdout);
		first = false;
		if (*at == '\\')
			(void)fputs("\\e", stdout);
		else if (*at == '-')
			(void)fputs("\\-", stdout);
		else if (*at == ' ' && at > text + 1 && at[-1] == '.' && at[-2] != ' ')
			first = putchar('\n') == '\n';
		else
			(void)putchar(*at);
	}
	(void)putchar('\n');
}

/* What stands after the equals sign. */
static const char *argument(enum row_type type)
{
	switch (type) {
	case ROW_NAME:
		return "name";
	case ROW_TEXT:
		return "text";
	case ROW_HOST:
		return "host";
	case ROW_PATH:
		return "file";
	case ROW_NUMBER:
		return "number";
	case ROW_DURATION:
		return "duration";
	case ROW_WORD:
		return "word";
	case ROW_ADDRESSES:
		return "address ...";
	case ROW_NETWORKS:
		return "network ...";
	case ROW_NAMES:
		return "name ...";
	case ROW_PATTERNS:
		return "pattern ...";
	case ROW_IDENTITIES:
		return "identity ...";
	case ROW_SIZE:
		return "bytes";
	case ROW_MODE:
		return "mode";
	}
	return "value";
}

static void put_bound(struct text *text, enum row_type type, uint64_t bound)
{
	if (type == ROW_DURATION)
		text_put_duration(text, bound);
	else if (type == ROW_SIZE)
		text_put_bytes(text, bound);
	else if (type == ROW_MODE)
		text_printf(text, "%04llo", (unsigned long long)bound);
	else
		text_printf(text, "%llu", (unsigned long long)bound);
}

static bool has_bounds(enum row_type type)
{
	return type == ROW_NUMBER || type == ROW_DURATION || type == ROW_SIZE || type == ROW_MODE;
}

static void put_head(const struct row *row)
{
	printf(".It Ic %s No = ", row->key);
	if (row->type != ROW_WORD) {
		printf("Ar %s\n", argument(row->type));
		return;
	}
	for (const struct row_word *word = row->words; word->word != NULL; word++)
		printf("%s%s", word == row->words ? "Cm " : " | ", word->word);
	(void)putchar('\n');
}

/* Default, bounds, programs, when a change takes effect: one line. */
static void put_facts(const struct row *row, const struct row_section *section)
{
	char buffer[400];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	if (row->required)
		text_puts(&text, "Required.");
	else if (row->fallback != NULL)
		text_printf(&text, "Default: %s.", row->fallback);
	else
		text_puts(&text, "Default: unset.");
	if (has_bounds(row->type)) {
		text_puts(&text, " From ");
		put_bound(&text, row->type, row->least);
		text_puts(&text, " to ");
		put_bound(&text, row->type, row->most);
		text_puts(&text, ".");
	}
	if (row->alias != NULL)
		text_printf(&text, " Also written %s.", row->alias);
	if (row->programs != section->programs)
		text_printf(&text, " Only in %s.", row->programs == PROGRAM_CCISSL ? "ccissl" : "ccisslgw");
	text_puts(&text, row->reloadable ? " A reload takes it up." : " Needs a restart.");
	(void)puts(".br");
	put_text(buffer);
}

static void put_section(const struct row_section *section)
{
	printf(".Ss [%s%s]\n", section->name, section->named ? " NAME" : "");
	put_text(section->help);
	if (section->required)
		(void)puts("Required.");
	if (section->programs == PROGRAM_CCISSLGW)
		(void)puts("Only in\n.Xr ccisslgw 8 .");
	(void)puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < row_count; i++) {
		if (strcmp(rows[i].section, section->name) != 0)
			continue;
		put_head(&rows[i]);
		put_text(rows[i].help);
		put_facts(&rows[i], section);
	}
	(void)puts(".El");
}

int main(int argc, char **argv)
{
	FILE *stream = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (stream == NULL) {
		(void)fprintf(stderr, "usage: man_doc FILE\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stream) != NULL) {
		if (strcmp(line, PLACE) != 0)
			(void)fputs(line, stdout);
		for (size_t i = 0; i < row_section_count && strcmp(line, PLACE) == 0; i++)
			put_section(&row_sections[i]);
	}
	(void)fclose(stream);
	return fflush(stdout) == 0 ? 0 : 1;
}
