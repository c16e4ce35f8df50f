/* One configuration file: sections and keys into structures, defaults, and every error with its place. */
#include "config.h"

#include <assert.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config_values.h"
#include "file.h"
#include "inireader.h"
#include "rows.h"

#define ROWS_MOST 256 /* more than the table has; checked when a parse starts */

struct parse {
	struct config *config;
	struct config_context context;
	config_report *report;
	void *report_context;
	unsigned errors;
	const struct row_section *section; /* NULL: none, or one that is not known */
	void *at;                          /* its structure */
	unsigned section_line;
	char label[96];            /* "[listener clients]" */
	unsigned seen[ROWS_MOST];  /* the line of each row in this section; 0: not yet */
	unsigned unnamed_seen[16]; /* the line of each section without names */
};

static void say(struct parse *parse, bool is_error, unsigned line, const struct error *error)
{
	struct error tame = *error;

	error_tame(&tame);
	parse->errors += is_error;
	parse->report(parse->report_context, is_error, parse->config->file, line, tame.text);
}

#define SAY(parse, is_error, line, ...)    \
	do {                                   \
		struct error said;                 \
		error_set(&said, __VA_ARGS__);     \
		say(parse, is_error, line, &said); \
	} while (0)

/* Put in the defaults of rows that were not said; complain of those that had to be. */
static void finish_section(struct parse *parse)
{
	struct error error;

	for (size_t i = 0; parse->section != NULL && i < row_count; i++) {
		const struct row *row = &rows[i];

		if (strcmp(row->section, parse->section->name) != 0 || (row->programs & parse->config->program) == 0 ||
		    parse->seen[i] != 0)
			continue;
		if (row->inherits)
			*(uint64_t *)(void *)((char *)parse->at + row->offset) = CONFIG_INHERIT;
		else if (row->required)
			SAY(parse, true, parse->section_line, "%s has no %s: %s", parse->label, row->key, row->help);
		else if (row->fallback != NULL && config_set(&parse->context, row, parse->at, row->fallback, &error) != 0)
			SAY(parse, true, parse->section_line, "%s: the default of %s is broken: %s", parse->label, row->key,
			    error.text);
	}
	parse->section = NULL;
	memset(parse->seen, 0, sizeof(parse->seen));
}

/* A new structure at the end of the array of a section with names; its place is always the first member. */
static void *append(struct config *config, const struct row_section *section, const char *name, unsigned line)
{
	void **array = (void **)(void *)((char *)config + section->offset);
	size_t *count = (size_t *)(void *)((char *)config + section->count_offset);
	struct config_place *place;
	void *grown = reallocarray(*array, *count + 1, section->size);

	if (grown == NULL)
		return NULL;
	*array = grown;
	place = (struct config_place *)(void *)((char *)grown + *count * section->size);
	memset(place, 0, section->size);
	if (section->init != NULL)
		section->init(place);
	place->line = line;
	place->name = strdup(name);
	if (place->name == NULL)
		return NULL;
	++*count;
	return place;
}

static const struct config_place *find_place(const struct config *config, const struct row_section *section,
                                             const char *name)
{
	const char *array = *(char *const *)(const void *)((const char *)config + section->offset);
	size_t count = *(const size_t *)(const void *)((const char *)config + section->count_offset);

	for (size_t i = 0; i < count; i++) {
		const struct config_place *place = (const void *)(array + i * section->size);

		if (name_equal(place->name, name))
			return place;
	}
	return NULL;
}

static void begin_named(struct parse *parse, const struct row_section *section, const char *name, unsigned line)
{
	const struct config_place *before;

	if (!name_valid(name, strlen(name))) {
		SAY(parse, true, line, "[%s] needs a name: write [%s NAME], with 1 to 64 of A-Z a-z 0-9 @ # $ . _ -",
		    section->name, section->name);
		return;
	}
	before = find_place(parse->config, section, name);
	if (before != NULL) {
		SAY(parse, true, line, "[%s %s] stands twice: first on line %u; give one of them another name", section->name,
		    name, before->line);
		return;
	}
	parse->at = append(parse->config, section, name, line);
	if (parse->at == NULL)
		SAY(parse, true, line, "not enough memory");
	else
		parse->section = section;
}

static void begin_unnamed(struct parse *parse, const struct row_section *section, const char *name, unsigned line)
{
	unsigned *seen = &parse->unnamed_seen[section - row_sections];

	if (name[0] != '\0') {
		SAY(parse, true, line, "[%s] takes no name: write [%s]", section->name, section->name);
		return;
	}
	if (*seen != 0) {
		SAY(parse, true, line, "[%s] stands twice: first on line %u; put its keys together", section->name, *seen);
		return;
	}
	*seen = line;
	parse->section = section;
	parse->at = (char *)parse->config + section->offset;
	if (strcmp(section->name, "tls") == 0)
		parse->config->tls.line = line;
}

static void on_section(void *context, unsigned line, const char *kind, const char *name)
{
	struct parse *parse = context;
	const struct row_section *section = row_section_find(kind);
	const char *near = row_nearest_section(kind);

	finish_section(parse);
	parse->section_line = line;
	(void)snprintf(parse->label, sizeof(parse->label), "[%.16s%s%.64s]", kind, name[0] != '\0' ? " " : "", name);
	if (section == NULL)
		SAY(parse, true, line, "unknown section [%.40s]%s%s%s", kind, near != NULL ? ": did you mean [" : "",
		    near != NULL ? near : "", near != NULL ? "]?" : "");
	else if ((section->programs & parse->config->program) == 0)
		SAY(parse, true, line, "[%s] is a section of %s, not of %s", kind,
		    program_word((enum program)section->programs), program_word(parse->config->program));
	else if (section->named)
		begin_named(parse, section, name, line);
	else
		begin_unnamed(parse, section, name, line);
}

static void unknown_key(struct parse *parse, unsigned line, const char *key)
{
	const char *near = row_nearest_key(parse->section->name, key);

	SAY(parse, true, line, "unknown key %.60s in %s%s%s%s", key, parse->label, near != NULL ? ": did you mean " : "",
	    near != NULL ? near : "", near != NULL ? "?" : "");
}

/* The place of a key, kept for findings that come later. */
static int note_line(struct parse *parse, const struct row *row, unsigned line)
{
	struct config *config = parse->config;
	struct config_line *grown = reallocarray(config->lines, config->line_count + 1, sizeof(*grown));
	const struct config_place *place = parse->at;

	if (grown == NULL)
		return -1;
	config->lines = grown;
	grown[config->line_count++] =
	    (struct config_line){row->section, row->key, parse->section->named ? place->name : NULL, line};
	return 0;
}

static void on_value(void *context, unsigned line, const char *key, const char *value)
{
	struct parse *parse = context;
	const struct row *row;
	struct error error;

	if (parse->section == NULL)
		return;
	row = row_find(parse->section->name, key);
	if (row == NULL) {
		unknown_key(parse, line, key);
		return;
	}
	if ((row->programs & parse->config->program) == 0) {
		SAY(parse, true, line, "%s in %s is a key of %s, not of %s", key, parse->label,
		    program_word((enum program)row->programs), program_word(parse->config->program));
		return;
	}
	if (parse->seen[row - rows] != 0) {
		SAY(parse, true, line, "%s stands twice in %s: first on line %u; keep one of them", key, parse->label,
		    parse->seen[row - rows]);
		return;
	}
	parse->seen[row - rows] = line;
	if (note_line(parse, row, line) != 0)
		SAY(parse, true, line, "not enough memory");
	if (config_set(&parse->context, row, parse->at, value, &error) != 0)
		SAY(parse, true, line, "%s in %s: %s", key, parse->label, error.text);
	if (strstr(value, " #") != NULL)
		SAY(parse, false, line, "%s in %s: # does not begin a comment inside a line, ; does", key, parse->label);
}

static void on_error(void *context, unsigned line, const char *text)
{
	SAY((struct parse *)context, true, line, "%s", text);
}

/* Sections that the file does not have still have their defaults. */
static void add_missing(struct parse *parse)
{
	for (size_t i = 0; i < row_section_count; i++) {
		const struct row_section *section = &row_sections[i];
		size_t count = section->named ? *(size_t *)(void *)((char *)parse->config + section->count_offset) : 0;

		if ((section->programs & parse->config->program) == 0)
			continue;
		if (section->required && (section->named ? count == 0 : parse->unnamed_seen[i] == 0))
			SAY(parse, true, 0, "there is no [%s%s]: add it. %s", section->name, section->named ? " NAME" : "",
			    section->help);
		if (section->named || parse->unnamed_seen[i] != 0 || section->required)
			continue;
		parse->section = section;
		parse->at = (char *)parse->config + section->offset;
		finish_section(parse);
	}
}

/* Counts the errors of config_check among the others. */
static void on_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	struct parse *parse = context;

	(void)file;
	SAY(parse, is_error, line, "%s", text);
}

/* The absolute folder of `file`; freed by the caller. */
static char *folder_of(const char *file)
{
	char *copy = strdup(file), *folder = NULL;

	if (copy != NULL)
		folder = realpath(dirname(copy), NULL);
	free(copy);
	return folder != NULL ? folder : strdup("/");
}

struct config *config_load_stream(FILE *stream, const char *file, enum program program, config_report *report,
                                  void *context)
{
	static const struct inireader_calls calls = {on_section, on_value, on_error};
	struct parse *parse = calloc(1, sizeof(*parse));
	struct config *config = calloc(1, sizeof(*config));
	char *folder = folder_of(file);
	unsigned errors = 1;

	if (config != NULL)
		atomic_init(&config->references, 1);
	if (parse == NULL || config == NULL || folder == NULL || row_count > ROWS_MOST) {
		report(context, true, file, 0, "not enough memory");
		goto err;
	}
	config->program = program;
	config->file = strdup(file);
	*parse = (struct parse){.config = config, .report = report, .report_context = context};
	parse->context = (struct config_context){folder, program};
	if (config->file == NULL)
		goto err;
	if (inireader_read(stream, &calls, parse) == 0) {
		finish_section(parse);
		add_missing(parse);
		config_check(config, on_finding, parse);
	}
	errors = parse->errors;
err:
	free(folder);
	free(parse);
	if (errors == 0)
		return config;
	config_free(config);
	return NULL;
}

struct config *config_load(const char *file, enum program program, config_report *report, void *context)
{
	const char *why;
	FILE *stream = file_open(file, &why);
	struct config *config;
	struct error error;

	if (stream == NULL) {
		error_set(&error, "cannot be opened: %s", why);
		report(context, true, file, 0, error.text);
		return NULL;
	}
	config = config_load_stream(stream, file, program, report, context);
	(void)fclose(stream);
	return config;
}

static void free_structure(const struct row_section *section, void *at)
{
	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section->name) == 0)
			config_unset(&rows[i], at);
	if (section->named)
		free(((struct config_place *)at)->name);
}

void config_free(struct config *config)
{
	if (config == NULL || atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < row_section_count; i++) {
		const struct row_section *section = &row_sections[i];
		char *base = (char *)config + section->offset;

		if (!section->named) {
			free_structure(section, base);
			continue;
		}
		for (size_t j = 0; j < *(size_t *)(void *)((char *)config + section->count_offset); j++)
			free_structure(section, *(char **)(void *)base + j * section->size);
		free(*(void **)(void *)base);
	}
	free(config->lines);
	free(config->file);
	free(config);
}

struct config *config_share(struct config *config)
{
	(void)atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
	return config;
}

unsigned config_line_of(const struct config *config, const char *section, const char *name, const char *key)
{
	for (size_t i = 0; i < config->line_count; i++) {
		const struct config_line *line = &config->lines[i];

		if (strcmp(line->section, section) == 0 && strcmp(line->key, key) == 0 &&
		    (name == NULL || (line->name != NULL && name_equal(line->name, name))))
			return line->line;
	}
	return 0;
}

const struct config_service *config_service_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (name_equal(config->services[i].place.name, name))
			return &config->services[i];
	return NULL;
}

const struct config_peer *config_peer_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (name_equal(config->peers[i].place.name, name))
			return &config->peers[i];
	return NULL;
}

const struct config_peer *config_peer_for(const struct config *config, const char *target)
{
	const struct config_peer *peer = config_peer_named(config, target);

	for (size_t i = 0; peer == NULL && i < config->peer_count; i++)
		for (size_t j = 0; peer == NULL && j < config->peers[i].targets.count; j++)
			if (name_match(config->peers[i].targets.at[j], target))
				peer = &config->peers[i];
	return peer;
}

#define WAITS (sizeof(struct config_timeouts) / sizeof(uint64_t))
static_assert(sizeof(struct config_timeouts) == 12 * sizeof(uint64_t), "every wait is a number of milliseconds");

struct config_timeouts config_timeouts_of(const struct config_listener *listener, const struct config_rule *rule)
{
	struct config_timeouts waits = listener->timeouts;
	uint64_t *to = (uint64_t *)(void *)&waits;

	for (size_t i = 0; rule != NULL && i < WAITS; i++) {
		uint64_t own = ((const uint64_t *)(const void *)&rule->timeouts)[i];

		to[i] = own != CONFIG_INHERIT ? own : to[i];
	}
	return waits;
}

void config_timeouts_inherit(struct config_timeouts *waits, const struct config_timeouts *from)
{
	uint64_t *to = (uint64_t *)(void *)waits;

	for (size_t i = 0; i < WAITS; i++)
		if (to[i] == CONFIG_INHERIT)
			to[i] = ((const uint64_t *)(const void *)from)[i];
}

static const char *word_of(const char *section, const char *key, int value)
{
	const struct row *row = row_find(section, key);

	for (const struct row_word *word = row->words; word->word != NULL; word++)
		if (word->value == value)
			return word->word;
	return "";
}

const char *program_word(enum program program)
{
	return program == PROGRAM_CCISSL ? "ccissl" : "ccisslgw";
}

const char *unsecured_word(enum unsecured unsecured)
{
	return word_of("listener", "unsecured_connections", (int)unsecured);
}

const char *peer_security_word(enum peer_security security)
{
	return word_of("peer", "security", (int)security);
}
