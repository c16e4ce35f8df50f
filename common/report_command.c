/* The command that makes the report out of what notifiers have written. */
#include "report_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "linereader.h"
#include "report.h"
#include "subcommand.h"

#define ENTRIES 100000 /* memory stays bounded, however much is read */

static const char usage[] = "What has come: which names are secured, which come in the clear still, and\n"
                            "which of them `never` would refuse today.\n"
                            "\n"
                            "    %s report [--names | --json | --csv] FILE...\n"
                            "\n"
                            "FILE is what a [notifier] of the kind file has written, rotated ones too, in any\n"
                            "order; - is standard input. What it prints are tables; --names: the first alone;\n"
                            "--json: the whole in one object; --csv: the entries, for a spreadsheet.\n"
                            "Lines that are broken are passed over, and said on standard error.\n"
                            "Exit status: 0 done; 1 a file cannot be read, or has broken lines; 2 bad usage.\n";

struct request {
	struct subcommand command;
	int form; /* the option's letter: n, j, v; 0: tables */
	bool help;
};

/* What is read at the moment, and what was broken so far. */
struct reading {
	struct report *report;
	const char *file;
	unsigned long long line, broken;
	char first[1024]; /* the first that was broken: where, and why */
	char *buffer;     /* LINE_MOST bytes */
};

/* --- the files --- */

static void note_broken(struct reading *reading, const char *why)
{
	if (reading->broken++ == 0)
		(void)snprintf(reading->first, sizeof(reading->first), "%s:%llu: %s", reading->file, reading->line, why);
}

static void read_stream(void *context, const char *name, FILE *stream)
{
	struct reading *reading = context;
	struct error error;
	size_t size;

	reading->file = name;
	for (reading->line = 1; line_read(stream, reading->buffer, &size); reading->line++) {
		if (size > LINE_MOST)
			note_broken(reading, "longer than any record");
		else if (report_add_line(reading->report, reading->buffer, size, &error) == REPORT_LINE_BROKEN)
			note_broken(reading, error.text);
	}
}

/* All of them; what cannot be read is said, and the rest still read. */
static int read_files(const struct request *request, struct report *report, int count, char **files)
{
	struct reading reading = {.report = report, .buffer = malloc(LINE_MOST)};
	int result = 0;

	if (reading.buffer == NULL)
		return -1;
	for (int i = 0; i < count; i++)
		if (subcommand_read(&request->command, files[i], read_stream, &reading) != 0)
			result = -1;
	if (reading.broken > 0) {
		(void)subcommand_failed(&request->command, "%s; %llu line%s passed over", reading.first, reading.broken,
		                        reading.broken == 1 ? "" : "s");
		result = -1;
	}
	free(reading.buffer);
	return result;
}

/* --- the answer --- */

static int print(const struct request *request, const json_t *json)
{
	int result;

	if (request->form == 'j')
		result = json_print(json, JSON_INDENT(1), stdout);
	else if (request->form == 'v')
		result = report_print_csv(json, stdout);
	else
		result = request->form == 'n' ? report_print_names(json, stdout) : report_print(json, stdout);
	if (result != 0)
		(void)subcommand_failed(&request->command, "standard output cannot be written");
	return result;
}

static int run(const struct request *request, int count, char **files)
{
	struct report *report = report_new(ENTRIES);
	json_t *json = NULL;
	int result = -1;

	if (report != NULL) {
		result = read_files(request, report, count, files);
		json = report_json(report);
	}
	if (json == NULL)
		(void)subcommand_failed(&request->command, "not enough memory");
	else if (print(request, json) != 0)
		result = -1;
	json_decref(json);
	report_free(report);
	return json != NULL && result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {{"names", no_argument, NULL, 'n'},
	                                        {"json", no_argument, NULL, 'j'},
	                                        {"csv", no_argument, NULL, 'v'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h')
			request->help = true;
		else if (option == '?' || option == ':')
			return subcommand_misused(&request->command, "there is no option %s", argv[optind - 1]);
		else if (request->form != 0 && request->form != option)
			return subcommand_misused(&request->command, "only one of --names, --json and --csv at a time");
		else
			request->form = option;
	}
	if (request->help)
		return 0;
	if (optind == argc)
		return subcommand_misused(&request->command,
		                          "no FILE: name what a [notifier] of the kind file writes, or - for standard input");
	return 0;
}

int report_command(enum program program, int argc, char **argv)
{
	struct request request = {.command = subcommand_of(program, "report")};
	int status = parse(&request, argc, argv);

	if (status != 0)
		return status;
	if (!request.help)
		return run(&request, argc - optind, argv + optind);
	(void)printf(usage, request.command.program);
	return subcommand_printed(&request.command);
}
