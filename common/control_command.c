/* The command that asks a gateway that runs. */
#include "control_command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "control_print.h"
#include "jsontext.h"
#include "report.h"
#include "subcommand.h"

#define USAGE_WIDTH 23
#define SILENCE_S 120 /* for the first line of an answer */

struct request {
	struct subcommand command;
	enum program program;
	config_report *report;
	const char *config, *socket;
	bool json, help, names, csv;
	int count; /* the verb and its words */
	char **words;
	const struct control_verb *verb;
};

/* A line for each verb: the screen has 24. */
static int print_usage(const struct request *request)
{
	(void)printf("Ask a gateway that runs, or tell it what to do.\n"
	             "\n"
	             "    %s ctl -c FILE|--socket PATH [--json] VERB [WORD...]\n"
	             "\n",
	             request->command.program);
	for (size_t i = 0; i < control_verb_count; i++) {
		const struct control_verb *verb = &control_verbs[i];
		char left[USAGE_WIDTH + 1];

		if ((verb->programs & (unsigned)request->program) == 0)
			continue;
		if (snprintf(left, sizeof(left), "%s %s", verb->name, verb->words) > USAGE_WIDTH)
			(void)snprintf(left, sizeof(left), "%s ...", verb->name);
		(void)printf("    %-*s %s\n", USAGE_WIDTH, left, verb->help);
	}
	(void)printf("FILE names the socket. Exit status: 0 done; 1 not done; 2 bad usage; ccissl(8).\n");
	return subcommand_printed(&request->command);
}

/* --- the socket --- */

static int say_unreachable(const struct request *request, const char *path)
{
	int number = errno;
	char words[512];

	if (number == ENOENT || number == ECONNREFUSED)
		(void)snprintf(words, sizeof(words),
		               "nobody listens at %s: start the gateway, or let it load [control] socket (SIGHUP)", path);
	else if (number == EACCES || number == EPERM)
		(void)snprintf(words, sizeof(words),
		               "%s may not be asked by this user: ask as root, or as the user whom the gateway runs as", path);
	else
		(void)snprintf(words, sizeof(words), "%s cannot be asked: %s", path, strerrordesc_np(number));
	return subcommand_failed(&request->command, "%s", words);
}

/* Above the standard descriptors: as one of these that was closed it would be written what is meant for people. */
static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), higher = fd;

	if (fd >= 0 && fd <= STDERR_FILENO) {
		higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(fd);
	}
	return higher;
}

/* A descriptor, or -1 with errno. */
static int open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, number;

	if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path)) {
		errno = path[0] == '\0' ? ENOENT : ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = new_socket();
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	number = errno;
	close(fd);
	errno = number;
	return -1;
}

static int send_request(int fd, const struct request *request)
{
	char line[CONTROL_REQUEST_BYTES + 1];
	struct text text;

	text_init(&text, line, sizeof(line));
	for (int i = 0; i < request->count; i++)
		text_printf(&text, "%s%s", i > 0 ? " " : "", request->words[i]);
	text_puts(&text, "\n");
	if (text.cut)
		return -1;
	for (size_t sent = 0; sent < text.used;) {
		ssize_t more = send(fd, line + sent, text.used - sent, MSG_NOSIGNAL);

		if (more < 0 && errno != EINTR)
			return -1;
		if (more > 0)
			sent += (size_t)more;
	}
	return 0;
}

/* --- the answer --- */

static int print_answer(const struct request *request, const json_t *answer)
{
	if (request->json)
		return json_print(answer, JSON_COMPACT, stdout);
	if (request->verb->print == NULL || json_is_string(json_object_get(answer, "text")))
		return control_print_text(answer, stdout);
	if (request->names)
		return report_print_names(answer, stdout);
	return request->csv ? report_print_csv(answer, stdout) : request->verb->print(answer, stdout);
}

/* What was found comes first, as in the log. */
static int say_error(const struct request *request, const json_t *whole)
{
	const json_t *error = json_object_get(whole, "error");

	if (error == NULL)
		return subcommand_failed(&request->command,
		                         "the gateway's answer was cut off or cannot be understood: it may have ended");
	control_print_texts(json_object_get(whole, "findings"), stderr);
	(void)fprintf(stderr, "%s ctl: ", request->command.program);
	control_print_escaped(error, stderr);
	(void)fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* One line. 0, or the exit status. */
static int take_line(const struct request *request, const char *line)
{
	json_t *whole = json_loads(line, 0, NULL);
	json_t *answer = json_object_get(whole, "answer");
	int status = EXIT_SUCCESS;

	if (answer != NULL && print_answer(request, answer) != 0)
		status = subcommand_failed(&request->command, "standard output cannot be written");
	else if (answer == NULL)
		status = say_error(request, whole);
	json_decref(whole);
	return status;
}

/* How long to wait for what comes next; 0: for ever. */
static void set_silence(int fd, time_t silence_s)
{
	const struct timeval silence = {.tv_sec = silence_s};

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
}

static int take_answers(const struct request *request, int fd)
{
	FILE *stream = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0, lines = 0;
	int status = EXIT_SUCCESS;

	if (stream == NULL) {
		close(fd);
		return subcommand_failed(&request->command, "not enough memory");
	}
	while (status == EXIT_SUCCESS && getline(&line, &size, stream) > 0) {
		/* What goes on, a trace, may be silent for as long as it likes. */
		if (lines++ == 0)
			set_silence(fd, 0);
		status = take_line(request, line);
	}
	if (lines == 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		status = subcommand_failed(&request->command, "the gateway does not answer");
	else if (lines == 0)
		status = subcommand_failed(&request->command, "the gateway has closed without an answer");
	free(line);
	(void)fclose(stream);
	return status;
}

static int ask(const struct request *request, const char *path)
{
	int fd = open_socket(path);

	if (fd < 0)
		return say_unreachable(request, path);
	set_silence(fd, SILENCE_S);
	if (send_request(fd, request) != 0) {
		close(fd);
		return subcommand_failed(&request->command,
		                         "the request cannot be sent: it is too long, or the gateway is gone");
	}
	return take_answers(request, fd);
}

/* --- the command line --- */

static int check_words(struct request *request, int count, char **words)
{
	if (request->config == NULL && request->socket == NULL)
		return subcommand_misused(&request->command,
		                          "which gateway? Name its configuration, such as -c /etc/%s.ini, or its --socket",
		                          request->command.program);
	if (request->config != NULL && request->socket != NULL)
		return subcommand_misused(&request->command, "-c and --socket do not go together");
	if (count == 0)
		return subcommand_misused(&request->command, "what is to be asked? A verb is missing");
	request->verb = control_verb_find(words[0], (unsigned)request->program);
	if (request->verb == NULL)
		return subcommand_misused(&request->command, "%s is not known", words[0]);
	if ((request->names || request->csv) && request->verb->print != report_print)
		return subcommand_misused(&request->command, "--names and --csv go with the verb report alone");
	for (int i = 1; i < count; i++)
		if (words[i][0] == '\0' || strpbrk(words[i], " \t\r\n") != NULL)
			return subcommand_misused(&request->command, "a word may not be empty or hold blanks");
	if ((size_t)count - 1 < request->verb->least || (size_t)count - 1 > request->verb->most)
		return subcommand_misused(&request->command, "%s takes other words: %s %s", words[0], words[0],
		                          request->verb->words);
	request->count = count;
	request->words = words;
	return 0;
}

static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'},         {"help", no_argument, NULL, 'h'},
	    {"peer", no_argument, NULL, 'p'},         {"names", no_argument, NULL, 'n'},
	    {"csv", no_argument, NULL, 'v'},          {NULL, 0, NULL, 0}};
	static char peer[] = "--peer";
	bool has_peer = false;
	int option, count;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		if (option == 'c')
			request->config = optarg;
		else if (option == 's')
			request->socket = optarg;
		else if (option == 'j')
			request->json = true;
		else if (option == 'h')
			request->help = true;
		else if (option == 'p')
			has_peer = true;
		else if (option == 'n')
			request->names = true;
		else if (option == 'v')
			request->csv = true;
		else
			return subcommand_misused(&request->command, option == ':' ? "%s needs a value" : "there is no option %s",
			                          argv[optind - 1]);
	}
	if (request->help)
		return 0;
	if (request->names + request->json + request->csv > 1)
		return subcommand_misused(&request->command, "only one of --names, --json and --csv at a time");
	count = argc - optind;
	/* getopt has taken it out of the words, which end by argv's NULL. */
	if (has_peer)
		argv[optind + count++] = peer;
	return check_words(request, count, argv + optind);
}

/* Warnings are the gateway's to say, when it starts and at `reload`; here they are in the way. */
static void report_errors(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	const struct request *request = context;

	if (is_error)
		request->report(NULL, true, file, line, text);
}

int control_command(enum program program, config_report *report, int argc, char **argv)
{
	struct request request = {.command = subcommand_of(program, "ctl"), .program = program, .report = report};
	int status = parse(&request, argc, argv);
	struct config *config;

	if (status != 0)
		return status;
	if (request.help)
		return print_usage(&request);
	if (request.socket != NULL)
		return ask(&request, request.socket);
	config = config_load(request.config, program, report_errors, &request);
	if (config == NULL)
		return EXIT_FAILURE;
	if (config->control.socket == NULL)
		status = subcommand_failed(
		    &request.command,
		    "no socket in [control] of the configuration: set one, and let the gateway load it (SIGHUP)");
	else
		status = ask(&request, config->control.socket);
	config_free(config);
	return status;
}
