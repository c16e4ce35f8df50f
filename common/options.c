/* The command line that both programs share. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "control_command.h"
#include "daemon.h"
#include "daemon_parts.h"
#include "explain.h"
#include "kerneltls.h"
#include "listener_unix.h"
#include "log.h"
#include "notifier.h"
#include "notifier_mark.h"
#include "notifier_plugin.h"
#include "notifier_file.h"
#include "notifier_smf.h"
#include "notifier_socket.h"
#include "privileges.h"
#include "ratchet_command.h"
#include "report_command.h"
#include "tlscontext.h"
#include "tlsexpiry.h"
#include "verify_command.h"

#define EXIT_USAGE 2

/* Values that no character has: getopt_long returns them beside -c and -h. */
enum mode { MODE_RUN, MODE_FIRST = 256, MODE_CHECK = MODE_FIRST, MODE_DUMP, MODE_EXPLAIN, MODE_VERSION, MODE_HELP };

static int usage_error(enum program program, const char *format, ...) PRINTF_LIKE(2, 3);

static int usage_error(enum program program, const char *format, ...)
{
	const char *name = program_word(program);
	va_list arguments;

	(void)fprintf(stderr, "%s: ", name);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "; see %s --help\n", name);
	return EXIT_USAGE;
}

static void print_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	if (line > 0)
		(void)fprintf(stderr, "%s:%u: %s%s\n", file, line, is_error ? "" : "warning: ", text);
	else
		(void)fprintf(stderr, "%s: %s%s\n", file, is_error ? "" : "warning: ", text);
}

static unsigned line_of(const struct config *config, const struct error *error)
{
	return error->key != NULL && error->section != NULL
	           ? config_line_of(config, error->section, error->name, error->key)
	           : 0;
}

static void look_at_dates(const struct tls_worker *worker)
{
	struct tls_expiries *expiries = tls_expiries_new();

	if (expiries != NULL)
		(void)tls_expiries_look(expiries, worker, time(NULL));
	tls_worker_warn(worker);
	tls_expiries_free(expiries);
}

/* Also loads what the file names: a certificate that is missing is found here, and not at the restart. */
static bool tls_is_fine(const struct config *config)
{
	struct error error;
	struct tls_worker *worker = tls_init(&error) == 0 ? tls_worker_new(config, &error) : NULL;

	if (worker == NULL)
		print_finding(NULL, true, config->file, line_of(config, &error), error.text);
	else
		look_at_dates(worker);
	/* Of files that others can read the loader warns in the log. */
	log_flush();
	tls_worker_free(worker);
	return worker != NULL;
}

static bool ratchet_is_fine(const struct config *config)
{
	struct error error;

	if (ratchet_command_check(config, &error) == 0)
		return true;
	print_finding(NULL, true, config->file, config_line_of(config, "gateway", NULL, error.key), error.text);
	return false;
}

int daemon_check(enum program program, const char *file)
{
	struct config *config = config_load(file, program, print_finding, NULL);
	bool fine = config != NULL && privileges_check(config, print_finding, NULL) == 0;

	fine = config != NULL && tls_is_fine(config) && fine;
	fine = config != NULL && ratchet_is_fine(config) && fine;
	fine = config != NULL && listener_unix_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifiers_check(config, daemon_notifier_kinds, print_finding, NULL) == 0 && fine;
	fine = config != NULL && control_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifier_socket_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifier_file_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifier_smf_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifier_mark_check(config, print_finding, NULL) == 0 && fine;
	fine = config != NULL && notifier_plugin_check(config, print_finding, NULL) == 0 && fine;
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

int daemon_explain(enum program program, const char *file, int count, char *const *words)
{
	struct config *config = config_load(file, program, print_finding, NULL);
	struct error error;
	int result = config != NULL ? explain(config, stdout, count, words, explain_ratcheted_in_file, &error) : -1;

	config_free(config);
	if (config == NULL)
		return EXIT_FAILURE;
	if (result == -1)
		return usage_error(program, "--explain: %s", error.text);
	if (result != 0) {
		(void)fprintf(stderr, "%s: %s\n", file, error.text);
		return EXIT_FAILURE;
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_version(enum program program)
{
	(void)printf("%s %s\n%s, libuv %s, kernel TLS: %s\n", program_word(program), GATEWAY_VERSION,
	             OpenSSL_version(OPENSSL_VERSION), uv_version_string(), kerneltls_words());
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct request {
	enum mode mode;
	const char *file;
	int word_count; /* behind the options: what --explain is asked */
	char *const *words;
	char *const *argv; /* all of them */
};

static int run_mode(enum program program, const struct request *request, const char *usage)
{
	switch (request->mode) {
	case MODE_CHECK:
		return daemon_check(program, request->file);
	case MODE_DUMP:
		return daemon_dump(program, request->file);
	case MODE_EXPLAIN:
		return daemon_explain(program, request->file, request->word_count, request->words);
	case MODE_VERSION:
		return print_version(program);
	case MODE_HELP:
		(void)fputs(usage, stdout);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	default:
		return daemon_run(program, request->file, request->argv);
	}
}

/* What getopt has refused: argv[optind - 1], or a letter out of a bundle. */
static int bad_option(enum program program, int result, char **argv)
{
	if (result == ':')
		return usage_error(program, "%s needs a file: -c FILE", argv[optind - 1]);
	if (optopt != 0 && optopt < MODE_FIRST)
		return usage_error(program, "there is no option -%c", optopt);
	if (optopt != 0)
		return usage_error(program, "%s takes no value", argv[optind - 1]);
	return usage_error(program, "there is no option %s", argv[optind - 1]);
}

/* 0; or the exit status for bad usage, which has been said. */
static int parse(enum program program, int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, MODE_CHECK},
	    {"dump", no_argument, NULL, MODE_DUMP},   {"explain", no_argument, NULL, MODE_EXPLAIN},
	    {"version", no_argument, NULL, MODE_VERSION}, {"help", no_argument, NULL, MODE_HELP},
	    {NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return bad_option(program, option, argv);
		if (option == 'c' && request->file != NULL)
			return usage_error(program, "-c stands twice: one file holds the whole configuration");
		if (option == 'c') {
			request->file = optarg;
			continue;
		}
		if (request->mode != MODE_RUN)
			return usage_error(program, "only one of --check, --dump, --explain, --version and --help at a time");
		request->mode = option == 'h' ? MODE_HELP : (enum mode)option;
	}
	request->word_count = argc - optind;
	request->words = argv + optind;
	if (optind < argc && request->mode != MODE_EXPLAIN)
		return usage_error(program, "%s is not expected here", argv[optind]);
	if (request->file == NULL && request->mode != MODE_VERSION && request->mode != MODE_HELP)
		return usage_error(program, "no configuration: name its file, such as %s -c /etc/%s.ini", program_word(program),
		                   program_word(program));
	return 0;
}

int daemon_main(enum program program, const char *usage, int argc, char **argv)
{
	struct request request = {.mode = MODE_RUN, .argv = argv};
	int status;

	if (argc > 1 && strcmp(argv[1], "ratchet") == 0)
		return ratchet_command(program, print_finding, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "ctl") == 0)
		return control_command(program, print_finding, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "report") == 0)
		return report_command(program, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "verify") == 0)
		return verify_command(program, argc - 1, argv + 1);
	status = parse(program, argc, argv, &request);
	return status != 0 ? status : run_mode(program, &request, usage);
}
