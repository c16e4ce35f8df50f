/* The command that lists and lifts secured names. */
#include "ratchet_command.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ratchet_file.h"
#include "subcommand.h"

#define DAY_S 86400u
#define LOCK_ATTEMPTS 200 /* 10 seconds */
#define LOCK_WAIT_US 50000
#define UTC_SIZE 32

static const char usage[] = "The names that were secured and may not come back in the clear (ratchet = yes,\n"
                            "ratchet_file).\n"
                            "\n"
                            "    %s ratchet -c FILE list [--json]\n"
                            "        print them, the one that was secured last at the end\n"
                            "    %s ratchet -c FILE lift NAME [--peer]\n"
                            "        let a client (a peer) come back in the clear once; it is held again when\n"
                            "        it was secured again\n"
                            "\n"
                            "FILE is the configuration. A gateway that runs takes a lift within two seconds.\n"
                            "Exit status: 0 done; 1 not done, no such name; 2 bad usage.\n";

struct request {
	struct subcommand command;
	const char *config, *verb, *lifted;
	bool json, peer, help;
};

/* --- the file --- */

/* NULL: none is configured. `buffer` has PATH_MAX bytes. */
static const char *path_of(const struct config *config, char *buffer)
{
	return ratchet_file_outside(config->gateway.ratchet_file, config->gateway.chroot, buffer);
}

int ratchet_command_check(const struct config *config, struct error *error)
{
	char buffer[PATH_MAX];
	const char *path = path_of(config, buffer);

	if (path == NULL || ratchet_file_check(path, error) == 0)
		return 0;
	(void)error_prefix(error, "ratchet_file");
	return error_about(error, "ratchet_file");
}

/* Intact or absent: 0. A file that is damaged says so in `error`, and -1; what is intact is in `reading`. */
static int read_names(const char *path, struct ratchet_reading *reading, struct error *error)
{
	char words[256];
	struct text text;

	switch (ratchet_file_read(path, reading, NULL, error)) {
	case RATCHET_READ_OK:
	case RATCHET_READ_ABSENT:
		return 0;
	case RATCHET_READ_DAMAGED:
		text_init(&text, words, sizeof(words));
		ratchet_file_describe(reading, &text);
		return error_set(error, "%s is damaged: %s; a gateway that runs or is started mends it", path, words);
	default:
		return -1;
	}
}

/* --- list --- */

static const char *utc(uint64_t time_s, char *buffer)
{
	time_t time = (time_t)time_s;
	struct tm parts;

	if (gmtime_r(&time, &parts) == NULL || strftime(buffer, UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		(void)snprintf(buffer, UTC_SIZE, "%" PRIu64, time_s);
	return buffer;
}

struct listing {
	bool json;
	uint64_t age_s; /* 0: for ever */
	size_t printed;
};

/* A name needs no escape in JSON (name_valid). */
static void print_entry(struct listing *listing, const struct ratchet_entry *entry)
{
	const char *kind = entry->kind == RATCHET_PEER ? "peer" : "client";
	char first[UTC_SIZE], last[UTC_SIZE], until[UTC_SIZE + 2] = "null";

	(void)utc(entry->first_s, first);
	(void)utc(entry->last_s, last);
	if (listing->age_s != 0) {
		(void)utc(entry->last_s + listing->age_s, until + 1);
		until[0] = listing->json ? '"' : ' ';
		if (listing->json)
			memcpy(until + strlen(until), "\"", sizeof("\""));
	}
	if (listing->json)
		(void)printf("%s\n {\"kind\":\"%s\",\"name\":\"%s\",\"first\":\"%s\",\"last\":\"%s\",\"until\":%s}",
		             listing->printed > 0 ? "," : "", kind, entry->name, first, last, until);
	else
		(void)printf("%-6s  %-24s  %s  %s  %s\n", kind, entry->name, first, last,
		             listing->age_s != 0 ? until + 1 : "for ever");
	listing->printed++;
}

static int list(const struct request *request, const struct config *config, const char *path)
{
	struct listing listing = {.json = request->json, .age_s = config->gateway.ratchet_days * DAY_S};
	uint64_t now_s = (uint64_t)time(NULL);
	struct ratchet_reading reading;
	struct error error;
	int result = read_names(path, &reading, &error);

	if (listing.json)
		(void)printf("[");
	else
		(void)printf("%-6s  %-24s  %-20s  %-20s  %s\n", "KIND", "NAME", "FIRST SECURED", "LAST SECURED", "HOLDS UNTIL");
	for (size_t i = 0; i < reading.entries.count; i++)
		if (listing.age_s == 0 || reading.entries.at[i].last_s + listing.age_s >= now_s)
			print_entry(&listing, &reading.entries.at[i]);
	if (listing.json)
		(void)printf("%s]\n", listing.printed > 0 ? "\n" : "");
	free(reading.entries.at);
	if (fflush(stdout) != 0)
		return subcommand_failed(&request->command, "standard output cannot be written");
	return result == 0 ? EXIT_SUCCESS : subcommand_failed(&request->command, "%s", error.text);
}

/* --- lift --- */

static bool take_out(struct ratchet_entries *entries, enum ratchet_kind kind, const char *name)
{
	size_t kept = 0, before = entries->count;

	for (size_t i = 0; i < before; i++)
		if (entries->at[i].kind != kind || !name_equal(entries->at[i].name, name))
			entries->at[kept++] = entries->at[i];
	entries->count = kept;
	return kept < before;
}

/* Under the lock. */
static int edit(const struct request *request, const char *path, struct error *error)
{
	enum ratchet_kind kind = request->peer ? RATCHET_PEER : RATCHET_CLIENT;
	struct ratchet_reading reading;
	int result = read_names(path, &reading, error);

	if (result == 0 && !take_out(&reading.entries, kind, request->lifted))
		result = error_set(error, "%s holds no %s %s%s", path, request->peer ? "peer" : "client", request->lifted,
		                   !request->peer && take_out(&reading.entries, RATCHET_PEER, request->lifted)
		                       ? ", but a peer of that name: --peer"
		                       : "");
	if (result == 0)
		result = ratchet_file_write(path, &reading.entries, error);
	free(reading.entries.at);
	return result;
}

static int lift(const struct request *request, const char *path)
{
	struct error error;
	bool busy = true;
	int lock = -1, result;

	for (int i = 0; i < LOCK_ATTEMPTS && busy && lock < 0; i++) {
		if (i > 0)
			(void)usleep(LOCK_WAIT_US);
		lock = ratchet_file_lock(path, &busy, &error);
	}
	if (lock < 0)
		return subcommand_failed(&request->command, "%s", error.text);
	result = edit(request, path, &error);
	ratchet_file_unlock(lock);
	if (result != 0)
		return subcommand_failed(&request->command, "%s", error.text);
	(void)printf("%s %s is lifted\n", request->peer ? "peer" : "client", request->lifted);
	return subcommand_printed(&request->command);
}

/* --- the command line --- */

static int parse_words(struct request *request, int count, char **words)
{
	bool is_list;

	if (count == 0)
		return subcommand_misused(&request->command, "list or lift is missing");
	request->verb = words[0];
	is_list = strcmp(words[0], "list") == 0;
	if (!is_list && strcmp(words[0], "lift") != 0)
		return subcommand_misused(&request->command, "%s is not known: list or lift", words[0]);
	if (!is_list && count < 2)
		return subcommand_misused(&request->command, "lift needs a NAME");
	if (count > (is_list ? 1 : 2))
		return subcommand_misused(&request->command, "%s is not expected here", words[is_list ? 1 : 2]);
	if (is_list ? request->peer : request->json)
		return subcommand_misused(&request->command, "%s does not go with %s", is_list ? "--peer" : "--json", words[0]);
	request->lifted = is_list ? NULL : words[1];
	if (!is_list && !name_valid(words[1], strlen(words[1])))
		return subcommand_misused(&request->command, "%s is not a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -",
		                          words[1]);
	if (request->config == NULL)
		return subcommand_misused(&request->command, "no configuration: name its file, such as -c /etc/%s.ini",
		                          request->command.program);
	return 0;
}

static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	                                        {"json", no_argument, NULL, 'j'},
	                                        {"peer", no_argument, NULL, 'p'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		if (option == 'c')
			request->config = optarg;
		else if (option == 'j')
			request->json = true;
		else if (option == 'p')
			request->peer = true;
		else if (option == 'h')
			request->help = true;
		else
			return subcommand_misused(&request->command, option == ':' ? "%s needs a file" : "there is no option %s",
			                          argv[optind - 1]);
	}
	return request->help ? 0 : parse_words(request, argc - optind, argv + optind);
}

int ratchet_command(enum program program, config_report *report, int argc, char **argv)
{
	struct request request = {.command = subcommand_of(program, "ratchet")};
	int status = parse(&request, argc, argv);
	char buffer[PATH_MAX];
	struct config *config;
	const char *path;

	if (status != 0)
		return status;
	if (request.help) {
		(void)printf(usage, request.command.program, request.command.program);
		return subcommand_printed(&request.command);
	}
	config = config_load(request.config, program, report, NULL);
	if (config == NULL)
		return EXIT_FAILURE;
	path = path_of(config, buffer);
	if (path == NULL)
		status =
		    subcommand_failed(&request.command, "no ratchet_file in [gateway]: names are in the memory of the gateway "
		                                        "alone, and a restart forgets them");
	else
		status = request.lifted != NULL ? lift(&request, path) : list(&request, config, path);
	config_free(config);
	return status;
}
