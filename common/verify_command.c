/* The command that says whether a chain of events is whole. */
#include "verify_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "linereader.h"
#include "subcommand.h"
#include "verify.h"

static const char usage[] = "Is what a [notifier] of the kind file has written, with chain = yes, whole?\n"
                            "\n"
                            "    %s verify [--json] [--expect SEQ:DIGEST] FILE...\n"
                            "\n"
                            "Names the first line that was altered, taken out, moved or doubled. Several\n"
                            "FILEs are one chain, the oldest first, as rotation leaves them; - is standard\n"
                            "input.\n"
                            "Lines cut off at the end leave no trace in a file: keep the last line's\n"
                            "SEQ:DIGEST, which is printed, where nobody can alter it; --expect holds the\n"
                            "files against it another time.\n"
                            "Exit status: 0 whole; 1 not, or a file cannot be read; 2 bad usage.\n";

struct request {
	struct subcommand command;
	bool json, help;
	struct verify verify;
};

/* --- the files --- */

struct reading {
	struct verify *verify;
	char *buffer; /* LINE_MOST bytes */
};

static void read_stream(void *context, const char *file, FILE *stream)
{
	struct reading *reading = context;
	struct verify_place at = {.file = file, .line = 1};
	size_t size;

	for (; line_read(stream, reading->buffer, &size); at.line++)
		if (!verify_line(reading->verify, &at, reading->buffer, size <= LINE_MOST ? size : 0))
			return;
}

static int read_files(struct request *request, int count, char **files)
{
	struct reading reading = {&request->verify, malloc(LINE_MOST)};
	int result = 0;

	if (reading.buffer == NULL) {
		(void)subcommand_failed(&request->command, "not enough memory");
		return -1;
	}
	for (int i = 0; i < count && result == 0; i++)
		result = subcommand_read(&request->command, files[i], read_stream, &reading);
	free(reading.buffer);
	if (result == 0)
		verify_end(&request->verify);
	return result;
}

/* --- the answer --- */

static void print_words(const struct request *request)
{
	const struct verify *verify = &request->verify;
	char digest[CHAIN_DIGEST_TEXT];

	if (verify->kind != NULL) {
		(void)subcommand_failed(&request->command, "%s:%llu: %s: %s", verify->at.file != NULL ? verify->at.file : "",
		                        (unsigned long long)verify->at.line, verify->kind, verify->words.text);
		return;
	}
	if (verify->lines == 0) {
		(void)printf("whole: no lines\n");
		return;
	}
	(void)printf("whole: %llu line%s, seq %llu to %llu\n", (unsigned long long)verify->lines,
	             verify->lines == 1 ? "" : "s", (unsigned long long)verify->first_seq,
	             (unsigned long long)verify->chain.seq);
	if (verify->first_seq > 1)
		(void)printf("what stood before seq %llu is in no file that was named\n",
		             (unsigned long long)verify->first_seq);
	if (verify->torn > 0)
		(void)printf("half a line was left by a crash or a full disk: %llu time%s\n", (unsigned long long)verify->torn,
		             verify->torn == 1 ? "" : "s");
	if (verify_unended(verify) > 0)
		(void)printf("no last line before a new start: %llu time%s: the gateway was killed, or lines were cut off\n",
		             (unsigned long long)verify_unended(verify), verify_unended(verify) == 1 ? "" : "s");
	(void)printf("last: %llu:%s\n", (unsigned long long)verify->chain.seq,
	             chain_digest_text(verify->chain.digest, digest));
}

static json_t *problem(const struct verify *verify)
{
	json_t *object = json_object();

	json_put_text(object, "file", verify->at.file);
	json_put_number(object, "line", verify->at.line);
	json_put_text(object, "kind", verify->kind);
	json_put_text(object, "words", verify->words.text);
	return object;
}

static int print_json(const struct verify *verify)
{
	json_t *object = json_object();
	char digest[CHAIN_DIGEST_TEXT], *line;

	json_put_bool(object, "whole", verify->kind == NULL);
	json_put_number(object, "lines", verify->lines);
	json_put_number(object, "first_seq", verify->first_seq);
	json_put_number(object, "last_seq", verify->chain.seq);
	json_put_text(object, "last_digest", chain_digest_text(verify->chain.digest, digest));
	json_put_number(object, "starts", verify->starts);
	json_put_number(object, "ends", verify->ends);
	json_put_number(object, "unended", verify_unended(verify));
	json_put_number(object, "torn", verify->torn);
	if (verify->kind != NULL)
		(void)json_object_set_new(object, "problem", problem(verify));
	line = json_line(object, NULL);
	if (line == NULL)
		return -1;
	(void)puts(line);
	free(line);
	return 0;
}

static int run(struct request *request, int count, char **files)
{
	int result;

	if (read_files(request, count, files) != 0)
		return EXIT_FAILURE;
	result = 0;
	if (request->json)
		result = print_json(&request->verify);
	else
		print_words(request);
	if (result == 0 && fflush(stdout) == 0)
		return request->verify.kind == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
	(void)subcommand_failed(&request->command, "standard output cannot be written");
	return EXIT_FAILURE;
}

static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
	                                        {"expect", required_argument, NULL, 'e'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == ':')
			return subcommand_misused(&request->command, "%s takes SEQ:DIGEST", argv[optind - 1]);
		if (option == '?')
			return subcommand_misused(&request->command, "there is no option %s", argv[optind - 1]);
		if (option == 'e' && verify_expect(&request->verify, optarg) != 0)
			return subcommand_misused(&request->command, "%s is no SEQ:DIGEST, as verify prints it", optarg);
		request->help = request->help || option == 'h';
		request->json = request->json || option == 'j';
	}
	if (!request->help && optind == argc)
		return subcommand_misused(&request->command,
		                          "no FILE: name what a [notifier] with chain = yes writes, or - for standard input");
	return 0;
}

int verify_command(enum program program, int argc, char **argv)
{
	struct request request = {.command = subcommand_of(program, "verify")};
	int status = parse(&request, argc, argv);

	if (status != 0)
		return status;
	if (!request.help)
		return run(&request, argc - optind, argv + optind);
	(void)printf(usage, request.command.program);
	return subcommand_printed(&request.command);
}
