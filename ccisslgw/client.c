/* Options of the commands, and one connection dialled with them. */
#include "client.h"

#include <getopt.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"

#define EXIT_USAGE 2
#define DEFAULT_PORT 1202
#define DEFAULT_TIMEOUT_MS 10000

static int usage_error(const char *command, const char *format, const char *what)
{
	(void)fprintf(stderr, "ccisslgw %s: ", command);
	(void)fprintf(stderr, format, what);
	(void)fprintf(stderr, "; see ccisslgw %s --help\n", command);
	return EXIT_USAGE;
}

/* The host's own name where it can be one, in capitals. */
static void default_sysid(char *sysid)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	host[strcspn(host, ".")] = '\0';
	for (char *at = host; *at != '\0'; at++)
		*at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
	(void)snprintf(sysid, NAME_MAX_CHARS + 1, "%.64s", name_valid(host, strlen(host)) ? host : "CLIENT");
}

static int take_name(const char *command, char *to, const char *value, const char *option)
{
	bool reserved = strcmp(option, "--target") == 0 && strcmp(value, PARAMS_PING) == 0;

	if (!name_valid(value, strlen(value)) && !reserved)
		return usage_error(command, "the value of %s is not a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -", option);
	(void)snprintf(to, NAME_MAX_CHARS + 1, "%s", value);
	return 0;
}

static int take_security(const char *command, int *security, const char *value)
{
	for (const struct row_word *word = row_find("peer", "security")->words; word->word != NULL; word++) {
		if (strcmp(word->word, value) != 0)
			continue;
		*security = word->value;
		return 0;
	}
	return usage_error(command, "--security %s is not one of none, off, on, required, direct", value);
}

enum option_name {
	OPTION_SYSID = 1,
	OPTION_TARGET,
	OPTION_SECURITY,
	OPTION_CA,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_NAME,
	OPTION_TIMEOUT,
	OPTION_COUNT,
	OPTION_INTERVAL,
	OPTION_QUIET,
	OPTION_HELP
};

static const struct option long_options[] = {
    {"sysid", required_argument, NULL, OPTION_SYSID},
    {"target", required_argument, NULL, OPTION_TARGET},
    {"security", required_argument, NULL, OPTION_SECURITY},
    {"ca", required_argument, NULL, OPTION_CA},
    {"cert", required_argument, NULL, OPTION_CERT},
    {"key", required_argument, NULL, OPTION_KEY},
    {"server-name", required_argument, NULL, OPTION_NAME},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int take_option(const char *command, struct client_options *options, int option)
{
	struct error error;

	switch (option) {
	case OPTION_SYSID:
		return take_name(command, options->sysid, optarg, "--sysid");
	case OPTION_TARGET:
		return take_name(command, options->target, optarg, "--target");
	case OPTION_SECURITY:
		return take_security(command, &options->security, optarg);
	case OPTION_CA:
		options->tls.ca = optarg;
		return 0;
	case OPTION_CERT:
		options->tls.certificate = optarg;
		return 0;
	case OPTION_KEY:
		options->tls.private_key = optarg;
		return 0;
	case OPTION_NAME:
		options->tls.server_name = optarg;
		return 0;
	case OPTION_TIMEOUT:
		return text_to_duration(optarg, &options->timeout_ms, &error) == 0 && options->timeout_ms > 0
		           ? 0
		           : usage_error(command, "--timeout %s is not a duration such as 5s", optarg);
	case OPTION_COUNT:
		return text_to_number(optarg, 1, CLIENT_PINGS_MOST, &options->count, &error) == 0
		           ? 0
		           : usage_error(command, "--count %s is not a number from 1 to 64", optarg);
	case OPTION_INTERVAL:
		return text_to_duration(optarg, &options->interval_ms, &error) == 0
		           ? 0
		           : usage_error(command, "--interval %s is not a duration such as 1s", optarg);
	default:
		options->quiet = true;
		return 0;
	}
}

int client_parse(int argc, char **argv, const char *usage, struct client_options *options, bool *done)
{
	struct error error;
	int option, status = 0;

	*done = true;
	opterr = 0;
	*options = (struct client_options){.security = PEER_REQUIRED, .timeout_ms = DEFAULT_TIMEOUT_MS, .count = 1};
	default_sysid(options->sysid);
	while (status == 0 && (option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == OPTION_HELP) {
			(void)fputs(usage, stdout);
			return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		}
		if (option == ':')
			return usage_error(argv[0], "%s needs a value", argv[optind - 1]);
		if (option == '?')
			return usage_error(argv[0], "there is no option %s", argv[optind - 1]);
		status = take_option(argv[0], options, option);
	}
	if (status != 0)
		return status;
	if (optind + 1 != argc)
		return usage_error(argv[0], "%s", "name one HOST:PORT");
	if (address_parse(argv[optind], DEFAULT_PORT, &options->address, &error) != 0)
		return usage_error(argv[0], "%s", error.text);
	if (options->address.kind == ADDRESS_ECHO)
		return usage_error(argv[0], "%s", "builtin:echo is no gateway: name one HOST:PORT");
	if ((options->tls.certificate == NULL) != (options->tls.private_key == NULL))
		return usage_error(argv[0], "%s", "--cert and --key belong together");
	if (options->address.kind == ADDRESS_UNIX && options->security != PEER_NONE && options->tls.server_name == NULL)
		return usage_error(argv[0], "%s",
		                   "a unix socket has no host name that its certificate must say: add --server-name NAME");
	*done = false;
	return 0;
}

static void print_facts(const struct tls_facts *facts)
{
	char escaped[600];
	struct text text;

	(void)fprintf(stderr, "TLS %s, %s, %s, ALPN %s%s\n", facts->version, facts->suite, facts->group,
	              facts->alpn[0] != '\0' ? facts->alpn : "none", facts->resumed ? ", resumed" : "");
	text_init(&text, escaped, sizeof(escaped));
	text_put_escaped(&text, facts->subject, strlen(facts->subject));
	(void)fprintf(stderr, "certificate: %s\n", escaped);
	text_init(&text, escaped, sizeof(escaped));
	text_put_escaped(&text, facts->names, strlen(facts->names));
	(void)fprintf(stderr, "  names %s, serial %s, until %s, verify %s\n", escaped, facts->serial, facts->not_after,
	              facts->verify);
}

void client_print(const struct client *client, const struct tls_facts *facts)
{
	char escaped[1100], address[ADDRESS_TEXT_SIZE];
	const struct leg *leg = &client->leg;
	struct text text;

	text_init(&text, escaped, sizeof(escaped));
	text_printf(&text, "%s", leg->sysid);
	if (leg->agent != NULL) {
		text_puts(&text, " (");
		text_put_escaped(&text, leg->agent, strlen(leg->agent));
		text_puts(&text, ")");
	}
	(void)fprintf(stderr, "connected to %s at %s\n", escaped, socket_format(&leg->remote, address));
	(void)fprintf(stderr, "%s\n",
	              !client->secured ? "unsecured: both sides agreed to go on in the clear"
	              : leg->direct    ? "secured from the first byte"
	              : leg->confirmed ? "secured, and the clear exchange confirmed inside TLS"
	                               : "secured; the peer is an older one and does not confirm the clear exchange");
	if (facts != NULL)
		print_facts(facts);
	(void)fprintf(stderr, "connection %s here", connection_text(leg->connection, escaped));
	if (leg->has_peer_connection)
		(void)fprintf(stderr, ", %s there", connection_text(leg->peer_connection, escaped));
	(void)fprintf(stderr, "; units of at most %u bytes\n", (unsigned)client->maxru);
}

static void print_failure(const struct client *client, const struct dial_result *result)
{
	char escaped[1100], address[ADDRESS_TEXT_SIZE];
	struct text text;

	text_init(&text, escaped, sizeof(escaped));
	text_put_escaped(&text, result->detail, strlen(result->detail));
	if (result->refuse_text[0] != '\0') {
		text_puts(&text, result->secured ? "; it says: " : "; it says (unauthenticated): ");
		text_put_escaped(&text, result->refuse_text, strlen(result->refuse_text));
	}
	(void)fprintf(stderr, "ccisslgw: %s: %s%s%s\n", address_format(&client->options.address, address),
	              reason_text(result->reason), escaped[0] != '\0' ? ": " : "", escaped);
	(void)fprintf(stderr, "ccisslgw: %s\n", message_action(reason_message(result->reason)));
}

static void on_dial(void *owner, const struct dial_result *result)
{
	struct client *client = owner;

	client->dialled = true;
	if (result->reason != REASON_NONE) {
		print_failure(client, result);
		client_stop(client, EXIT_FAILURE);
		return;
	}
	client->channel = result->channel;
	client->verdict = result->verdict;
	client->secured = result->secured;
	client->connect_us = result->connect_us;
	client->maxru = result->maxru;
	if (!client->options.quiet)
		client_print(client, result->facts);
	client->ready(client);
}

static int open_tls(struct client *client)
{
	enum tls_start start = client->options.security == PEER_DIRECT ? TLS_START_DIRECT : TLS_START_UPGRADE;
	struct tls_client_options tls = client->options.tls;
	struct error error;

	if (client->options.security == PEER_NONE)
		return 0;
	if (tls.server_name == NULL)
		tls.server_name = client->options.address.host;
	client->tls = tls_worker_new_client(&tls, start, &error);
	if (client->tls == NULL)
		(void)fprintf(stderr, "ccisslgw: %s\n", error.text);
	return client->tls != NULL ? 0 : -1;
}

int client_open(struct client *client, const struct client_options *options, void (*ready)(struct client *client),
                void *user)
{
	struct dial_options dial;
	struct error error;

	memset(client, 0, sizeof(*client));
	(void)signal(SIGPIPE, SIG_IGN);
	client->options = *options;
	client->ready = ready;
	client->user = user;
	if (uv_loop_init(&client->loop) != 0 || (client->io = iocontext_new(&client->loop, &error)) == NULL ||
	    RAND_bytes(client->connection, sizeof(client->connection)) != 1) {
		(void)fprintf(stderr, "ccisslgw: not enough memory or descriptors\n");
		return -1;
	}
	if (open_tls(client) != 0)
		return -1;
	client->peer = (struct config_peer){.address = {&client->options.address, 1}, .security = options->security};
	client->peer.place.name = client->options.address.host;
	client->timeouts = (struct config_timeouts){.exchange_ms = options->timeout_ms,
	                                            .handshake_ms = options->timeout_ms,
	                                            .confirm_ms = options->timeout_ms,
	                                            .connect_ms = options->timeout_ms};
	leg_init(&client->leg, CCI_CONNECTING, client->options.sysid, client->connection);
	client->leg.listener = client->peer.place.name;
	dial = (struct dial_options){.io = client->io,
	                             .peer = &client->peer,
	                             .tls = client->tls,
	                             .timeouts = &client->timeouts,
	                             .confirm = CONFIRM_PREFER,
	                             .min_version = 0x0303,
	                             .leg = &client->leg,
	                             .sysid = client->options.sysid,
	                             .target = client->options.target,
	                             .maxru = 4096,
	                             .hops = PARAMS_HOPS_START};
	memcpy(dial.connection, client->connection, sizeof(dial.connection));
	if (dial_start(&dial, on_dial, client) != NULL)
		return 0;
	(void)fprintf(stderr, "ccisslgw: not enough memory\n");
	return -1;
}

int client_run(struct client *client)
{
	while (iocontext_turn(client->io, -1))
		;
	return client->status;
}

void client_stop(struct client *client, int status)
{
	client->status = status;
	channel_close(client->channel);
	client->channel = NULL;
}

void client_close(struct client *client)
{
	if (client->io != NULL) {
		(void)client_run(client);
		iocontext_free(client->io);
		(void)uv_loop_close(&client->loop);
	}
	leg_close(&client->leg);
	if (client->tls != NULL)
		tls_worker_leave(client->tls);
	tls_worker_free(client->tls);
}
