/* Rows of JSON as a table for people. */
#include "tableprint.h"

#include <string.h>

/* A time to the second is enough for people: 2026-11-24T09:00:00.000000Z. */
static bool is_utc(const json_t *value)
{
	const char *text = json_string_value(value);

	return json_string_length(value) == 27 && strspn(text, "0123456789-T:.Z") == 27 && text[19] == '.' &&
	       text[26] == 'Z';
}

static void put_list(const json_t *list, struct text *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *word = json_string_value(item);

		text_puts(text, i > 0 ? "," : "");
		if (word != NULL)
			text_put_escaped(text, word, strlen(word));
	}
}

void table_put(const json_t *row, const char *member, struct text *text)
{
	const json_t *value = json_object_get(row, member);

	if (is_utc(value))
		text_printf(text, "%.19sZ", json_string_value(value));
	else if (json_is_string(value))
		text_put_escaped(text, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		text_printf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		text_puts(text, json_is_true(value) ? "yes" : "no");
	else
		put_list(value, text);
}

/* As the table has it. */
static const char *cell_of(const json_t *row, const struct table_column *column, char *buffer)
{
	struct text text;

	text_init(&text, buffer, TABLE_CELL_SIZE);
	(column->put != NULL ? column->put : table_put)(row, column->member, &text);
	if (column->most != 0 && strlen(buffer) > column->most)
		buffer[column->most] = '\0';
	return buffer[0] != '\0' ? buffer : "-";
}

static size_t width_of(const json_t *rows, const struct table_column *column)
{
	size_t widest = strlen(column->title), i;
	char buffer[TABLE_CELL_SIZE];
	const json_t *row;

	json_array_foreach(rows, i, row)
	{
		size_t width = strlen(cell_of(row, column, buffer));

		widest = width > widest ? width : widest;
	}
	return widest;
}

/* Nothing stands behind the last word of a line. */
static void print_cell(const struct table_column *column, size_t width, const char *cell, FILE *stream)
{
	bool is_last = column[1].title == NULL;

	if (column->right)
		(void)fprintf(stream, "%*s", (int)width, cell);
	else
		(void)fprintf(stream, "%-*s", is_last ? 0 : (int)width, cell);
	(void)fputs(is_last ? "\n" : "  ", stream);
}

void table_print(const json_t *rows, const struct table_column *columns, FILE *stream)
{
	size_t widths[TABLE_COLUMNS_MOST], i;
	char buffer[TABLE_CELL_SIZE];
	const json_t *row;

	for (size_t c = 0; columns[c].title != NULL; c++) {
		widths[c] = width_of(rows, &columns[c]);
		print_cell(&columns[c], widths[c], columns[c].title, stream);
	}
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; columns[c].title != NULL; c++)
			print_cell(&columns[c], widths[c], cell_of(row, &columns[c], buffer), stream);
	}
}
