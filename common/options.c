/* The command line that both programs share. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon.h"
#include "tlscontext.h"

#define EXIT_USAGE 2

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP, MODE_VERSION, MODE_HELP };

static void print_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	if (line > 0)
		(void)fprintf(stderr, "%s:%u: %s%s\n", file, line, is_error ? "" : "warning: ", text);
	else
		(void)fprintf(stderr, "%s: %s%s\n", file, is_error ? "" : "warning: ", text);
}

/* Also loads what the file names: a certificate that is missing is found here, and not at the restart. */
static bool tls_is_fine(const struct config *config)
{
	struct error error;
	struct tls_worker *worker = tls_init(&error) == 0 ? tls_worker_new(config, &error) : NULL;

	if (worker == NULL)
		print_finding(NULL, true, config->file, 0, error.text);
	tls_worker_free(worker);
	return worker != NULL;
}

int daemon_check(enum program program, const char *file)
{
	struct config *config = config_load(file, program, print_finding, NULL);
	bool fine = config != NULL && tls_is_fine(config);

	config_free(config);
	if (fine)
		(void)printf("%s: ok\n", file);
	return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

int daemon_dump(enum program program, const char *file)
{
	struct config *config = config_load(file, program, print_finding, NULL);
	int result = config != NULL ? config_dump(config, stdout) : -1;

	if (config != NULL && result != 0)
		(void)fprintf(stderr, "standard output cannot be written\n");
	config_free(config);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_version(enum program program)
{
	(void)printf("%s %s\n%s, libuv %s, kernel TLS: not used\n", program == PROGRAM_CCISSL ? "ccissl" : "ccisslgw",
	             GATEWAY_VERSION, OpenSSL_version(OPENSSL_VERSION), uv_version_string());
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int usage_error(const char *program, const char *text)
{
	(void)fprintf(stderr, "%s: %s; see %s --help\n", program, text, program);
	return EXIT_USAGE;
}

static int run_mode(enum program program, enum mode mode, const char *file, const char *usage)
{
	switch (mode) {
	case MODE_CHECK:
		return daemon_check(program, file);
	case MODE_DUMP:
		return daemon_dump(program, file);
	case MODE_VERSION:
		return print_version(program);
	case MODE_HELP:
		(void)fputs(usage, stdout);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	default:
		return daemon_run(program, file);
	}
}

int daemon_main(enum program program, const char *usage, int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, MODE_CHECK},
	    {"dump", no_argument, NULL, MODE_DUMP},   {"version", no_argument, NULL, MODE_VERSION},
	    {"help", no_argument, NULL, MODE_HELP},   {NULL, 0, NULL, 0},
	};
	const char *name = program == PROGRAM_CCISSL ? "ccissl" : "ccisslgw", *file = NULL;
	enum mode mode = MODE_RUN;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == '?')
			return usage_error(name, "bad option");
		if (option == 'c' && file != NULL)
			return usage_error(name, "-c stands twice");
		if (option == 'c') {
			file = optarg;
			continue;
		}
		if (mode != MODE_RUN)
			return usage_error(name, "only one of --check, --dump, --version and --help at a time");
		mode = option == 'h' ? MODE_HELP : (enum mode)option;
	}
	if (optind < argc)
		return usage_error(name, "unexpected argument");
	if (file == NULL && mode != MODE_VERSION && mode != MODE_HELP)
		return usage_error(name, "no configuration: name it with -c FILE");
	return run_mode(program, mode, file, usage);
}
