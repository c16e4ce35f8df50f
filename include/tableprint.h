/*
 * Rows of JSON as a table for people: titles, then a line for each row, columns as wide as what stands in them. Only
 * printable ASCII is written: what strangers said is escaped. Knows no row's meaning.
 */
#ifndef TABLEPRINT_H
#define TABLEPRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "text.h"

#define TABLE_CELL_SIZE 512
#define TABLE_COLUMNS_MOST 20

struct table_column {
	const char *title, *member; /* a title of NULL ends the columns */
	bool right;                 /* to the right, as numbers are */
	size_t most;                /* characters of a cell; 0: all */
	/* Puts the words for the member; NULL: table_put. */
	void (*put)(const json_t *row, const char *member, struct text *text);
};

/* A member as words: texts escaped, times (UTC, with microseconds) to the second, yes or no, numbers, the strings of an
 * array between commas; nothing where it is not there. */
void table_put(const json_t *row, const char *member, struct text *text);

/* Print an array of objects; "-" stands where a cell is empty. At most TABLE_COLUMNS_MOST columns. Errors are the
 * stream's. */
void table_print(const json_t *rows, const struct table_column *columns, FILE *stream);

#endif
