/* The command that finds out whether a chained file of events is whole. */
#include "verify_command.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "jsontext.h"
#include "linereader.h"

#define EXIT_USAGE 2

static const char usage[] =
    "Is a file whole that a [notifier] of the kind file with chain = yes has written?\n"
    "\n"
    "    %s verify [--json] FILE...\n"
    "\n"
    "Several files are one chain, the oldest first, as rotation leaves them; - is\n"
    "standard input. The first line that is altered, missing or out of its order is\n"
    "named. Lines cut off at the end leave no trace: keep the last digest elsewhere,\n"
    "or compare it with what a running gateway writes next.\n"
    "Exit status: 0 whole; 1 not, or a file cannot be read; 2 bad usage.\n";

struct request {
	const char *name; /* of the program */
	bool json, help;
};

/* How far the chain was followed. */
struct state {
	const char *file;
	unsigned long long line, lines;
	uint64_t first; /* number of the first line */
	struct chain chain;
	struct error error;
};

static int usage_error(const struct request *request, const char *format, ...) PRINTF_LIKE(2, 3);

static int usage_error(const struct request *request, const char *format, ...)
{
	va_list arguments;

	(void)fprintf(stderr, "%s verify: ", request->name);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "; see %s verify --help\n", request->name);
	return EXIT_USAGE;
}

static int follow(struct state *state, FILE *stream, char *buffer)
{
	struct chain next;
	size_t size;

	for (state->line = 1; line_read(stream, buffer, &size); state->line++) {
		if (size > LINE_MOST)
			return error_set(&state->error, "longer than any line of ours");
		if (chain_follow(state->lines > 0 ? &state->chain : NULL, buffer, size, &next, &state->error) != 0)
			return -1;
		state->chain = next;
		if (state->lines++ == 0)
			state->first = next.number;
	}
	return ferror(stream) ? error_set(&state->error, "cannot be read: %s", strerrordesc_np(errno)) : 0;
}

static int follow_files(struct state *state, int count, char **files)
{
	char *buffer = malloc(LINE_MOST);
	int result = buffer != NULL ? 0 : error_set(&state->error, "not enough memory");

	for (int i = 0; i < count && result == 0; i++) {
		bool is_input = strcmp(files[i], "-") == 0;
		FILE *stream = is_input ? stdin : fopen(files[i], "re");

		state->file = is_input ? "(standard input)" : files[i];
		state->line = 0;
		result = stream != NULL ? follow(state, stream, buffer)
		                        : error_set(&state->error, "cannot be read: %s", strerrordesc_np(errno));
		if (stream != NULL && !is_input)
			(void)fclose(stream);
	}
	free(buffer);
	return result;
}

static int print_json(const struct state *state, bool whole)
{
	json_t *object = json_object();
	char *line;

	json_put_bool(object, "whole", whole);
	json_put_number(object, "lines", state->lines);
	json_put_number(object, "first", state->first);
	json_put_number(object, "last", state->chain.number);
	json_put_text(object, "digest", state->chain.digest);
	if (!whole) {
		json_put_text(object, "file", state->file);
		json_put_number(object, "line", state->line);
		json_put_text(object, "error", state->error.text);
	}
	line = json_line(object, NULL);
	if (line == NULL)
		return -1;
	(void)puts(line);
	free(line);
	return fflush(stdout) == 0 ? 0 : -1;
}

static int print_words(const struct request *request, const struct state *state, bool whole)
{
	if (!whole) {
		(void)fprintf(stderr, "%s verify: %s:%llu: %s\n", request->name, state->file, state->line, state->error.text);
		return 0;
	}
	if (state->lines == 0)
		(void)printf("no lines\n");
	else
		(void)printf("whole: %llu lines, %" PRIu64 " to %" PRIu64 " of the chain, the last is %s\n", state->lines,
		             state->first, state->chain.number, state->chain.digest);
	return fflush(stdout) == 0 ? 0 : -1;
}

static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'j')
			request->json = true;
		else if (option == 'h')
			request->help = true;
		else
			return usage_error(request, "there is no option %s", argv[optind - 1]);
	}
	if (!request->help && optind == argc)
		return usage_error(request, "no FILE: name what a [notifier] of the kind file with chain = yes writes");
	return 0;
}

int verify_command(enum program program, int argc, char **argv)
{
	struct request request = {.name = program == PROGRAM_CCISSL ? "ccissl" : "ccisslgw"};
	struct state state = {.file = ""};
	int status = parse(&request, argc, argv);
	bool whole;

	if (status != 0)
		return status;
	if (request.help) {
		(void)printf(usage, request.name);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	whole = follow_files(&state, argc - optind, argv + optind) == 0;
	if ((request.json ? print_json(&state, whole) : print_words(&request, &state, whole)) != 0) {
		(void)fprintf(stderr, "%s verify: standard output cannot be written\n", request.name);
		return EXIT_FAILURE;
	}
	return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}
