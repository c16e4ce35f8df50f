/*
 * One row for each key of the configuration: where it stands, its type and bounds, its default, who reads it, its
 * help. The table drives the parser, the defaults, --check, --dump, and is held against the samples by a test.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum row_type {
	ROW_NAME,      /* a CCI name: char * */
	ROW_TEXT,      /* any printable text: char * */
	ROW_HOST,      /* a host name as in a certificate: char * */
	ROW_PATH,      /* a file, made absolute: char * */
	ROW_NUMBER,    /* uint64_t in [least, most] */
	ROW_DURATION,  /* uint64_t milliseconds in [least, most] */
	ROW_WORD,      /* int, one of `words` */
	ROW_ADDRESSES, /* struct address_list, comma separated */
	ROW_NETWORKS,  /* struct network_list, comma separated */
	ROW_NAMES,     /* struct text_list of CCI names */
	ROW_PATTERNS,  /* struct text_list of name patterns */
	ROW_IDENTITIES, /* struct text_list of patterns of names in certificates (identity.h) */
	ROW_SIZE,      /* uint64_t bytes in [least, most], with k, M or G */
	ROW_MODE,      /* uint64_t permission bits, octal */
};

struct row_word {
	const char *word; /* NULL ends the list */
	int value;
};

struct row {
	const char *section; /* "listener" for [listener NAME] */
	const char *key;
	const char *alias; /* an abbreviation that is also taken; NULL: none */
	enum row_type type;
	size_t offset; /* of the member in the section's structure */
	uint64_t least, most;
	const char *fallback; /* the default as the file would write it; NULL: unset */
	bool required;
	bool inherits; /* a number that is CONFIG_INHERIT where the file does not say it */
	bool reloadable;
	unsigned programs; /* enum program, or'ed */
	const struct row_word *words;
	uint16_t default_port; /* for addresses; 0: the port must be given */
	const char *help;      /* one or two sentences, for --dump, samples and manual */
};

struct row_section {
	const char *name;
	bool named;      /* [name NAME], any number of times */
	bool required;
	size_t size;     /* of one structure */
	size_t offset;   /* in struct config: of the structure, or of the pointer to the array where named */
	size_t count_offset; /* in struct config: of the size_t count, where named */
	unsigned programs;
	const char *help;
	void (*init)(void *structure); /* sets what has no row; NULL: zeros will do */
};

/* All rows, in the order in which --dump and the samples show them. */
extern const struct row rows[];
extern const size_t row_count;

extern const struct row_section row_sections[];
extern const size_t row_section_count;

/* NULL where there is none; aliases are found too. */
const struct row *row_find(const char *section, const char *key);
const struct row_section *row_section_find(const char *section);

/* The known word nearest to `given`, for "did you mean"; NULL where none is near. */
const char *row_nearest_key(const char *section, const char *given);
const char *row_nearest_section(const char *given);

#endif
