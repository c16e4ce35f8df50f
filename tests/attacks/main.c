/* cci-attack: runs the attacks on a gateway, and tells the outcome as the Test Anything Protocol does. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attacks.h"
#include "trap.h"

#define ALONGSIDE_MOST 32

static const char usage[] =
    "usage: cci-attack [OPTION...] HOST:PORT\n"
    "       cci-attack --listen HOST:PORT --target NAME [OPTION...] HOST:PORT\n"
    "\n"
    "Attacks a gateway that speaks the CCI parameter exchange, version 1: its accepting side at HOST:PORT, or with "
    "--listen its\n"
    "connecting side, which reaches us as its peer when a client of its own asks for NAME at HOST:PORT. Only your own "
    "gateway.\n"
    "\n"
    "  --policy never|nonssl|allow|only   what its unsecured_connections say (never)\n"
    "  --no-direct           it takes no direct TLS\n"
    "  --client-auth         it requires certificates of clients\n"
    "  --ratchet             it keeps names that were secured\n"
    "  --ca FILE             trust this authority for its certificate (default: whatever it shows)\n"
    "  --cert FILE --key FILE         our certificate: as its client, or with --listen as its peer\n"
    "  --bad-cert FILE --bad-key FILE one that it has to refuse (another authority's, expired, revoked, of a wrong "
    "name)\n"
    "  --target NAME         a target that sends back what it gets (*PING)\n"
    "  --sysid NAME          our CCI name (ATTACKER)\n"
    "  --wait SECONDS        its longest deadline before a relay (30)\n"
    "  --connections N       how many at once for class N (100)\n"
    "  --classes LETTERS     only these classes\n"
    "  --list                the attacks, without running them\n"
    "  --mine                HOST is not this machine, and you may attack it\n"
    "\n"
    "Ends with 0 when it held, 1 when it did not, 2 when the attacks could not be run.\n";

struct options {
	struct scene scene;
	const char *listen, *gateway, *classes;
	bool list, mine;
};

static _Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)fputs("cci-attack: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	(void)fputs("; see --help\n", stderr);
	va_end(arguments);
	exit(2);
}

/* --- options --- */

static enum policy policy_of(const char *word)
{
	static const char *const words[] = {"never", "nonssl", "allow", "only"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return (enum policy)i;
	give_up("--policy %s: say never, nonssl, allow or only", word);
}

static unsigned number_of(const char *option, const char *word, unsigned most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(word, &end, 10);
	if (errno != 0 || end == word || *end != '\0' || word[0] == '-' || value < 1 || value > most)
		give_up("--%s %s: say a number from 1 to %u", option, word, most);
	return (unsigned)value;
}

static const char *file_of(const char *option, const char *name)
{
	if (access(name, R_OK) != 0)
		give_up("--%s %s: %s", option, name, strerror(errno));
	return name;
}

enum {
	O_POLICY = 256,
	O_NO_DIRECT,
	O_CLIENT_AUTH,
	O_RATCHET,
	O_CA,
	O_CERT,
	O_KEY,
	O_BAD_CERT,
	O_BAD_KEY,
	O_TARGET,
	O_SYSID,
	O_WAIT,
	O_CONNECTIONS,
	O_CLASSES,
	O_LIST,
	O_MINE,
	O_LISTEN,
	O_HELP
};

static void take_file(struct scene *scene, int option, const char *name)
{
	switch (option) {
	case O_CA:
		scene->ca = file_of("ca", name);
		break;
	case O_CERT:
		scene->cert = file_of("cert", name);
		break;
	case O_KEY:
		scene->key = file_of("key", name);
		break;
	case O_BAD_CERT:
		scene->bad_cert = file_of("bad-cert", name);
		break;
	default:
		scene->bad_key = file_of("bad-key", name);
		break;
	}
}

static void take_option(struct options *options, int option, const char *word)
{
	struct scene *scene = &options->scene;

	switch (option) {
	case O_POLICY:
		scene->policy = policy_of(word);
		break;
	case O_NO_DIRECT:
		scene->direct = false;
		break;
	case O_CLIENT_AUTH:
		scene->client_auth = true;
		break;
	case O_RATCHET:
		scene->ratchet = true;
		break;
	case O_TARGET:
		scene->target = word;
		break;
	case O_SYSID:
		scene->sysid = word;
		break;
	case O_WAIT:
		scene->wait_s = number_of("wait", word, 600);
		break;
	case O_CONNECTIONS:
		scene->connections = number_of("connections", word, 20000);
		break;
	case O_CLASSES:
		options->classes = word;
		break;
	case O_LIST:
		options->list = true;
		break;
	case O_MINE:
		options->mine = true;
		break;
	case O_LISTEN:
		options->listen = word;
		scene->connecting = true;
		break;
	case O_HELP:
		(void)fputs(usage, stdout);
		exit(0);
	default:
		take_file(scene, option, word);
		break;
	}
}

static void check_options(const struct options *options)
{
	const struct scene *scene = &options->scene;

	if ((scene->cert == NULL) != (scene->key == NULL))
		give_up("--cert and --key go together");
	if ((scene->bad_cert == NULL) != (scene->bad_key == NULL))
		give_up("--bad-cert and --bad-key go together");
	if (scene->client_auth && scene->cert == NULL)
		give_up("--client-auth takes --cert and --key, or nobody is served");
	if (scene->connecting && !options->list && (scene->cert == NULL || strcmp(scene->target, "*PING") == 0))
		give_up("--listen takes --cert and --key of a peer, and --target for the name that leads to it");
	if (!options->list && options->gateway == NULL)
		give_up("which gateway? Say its HOST:PORT");
}

static void read_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
	    {"policy", required_argument, NULL, O_POLICY},
	    {"no-direct", no_argument, NULL, O_NO_DIRECT},
	    {"client-auth", no_argument, NULL, O_CLIENT_AUTH},
	    {"ratchet", no_argument, NULL, O_RATCHET},
	    {"ca", required_argument, NULL, O_CA},
	    {"cert", required_argument, NULL, O_CERT},
	    {"key", required_argument, NULL, O_KEY},
	    {"bad-cert", required_argument, NULL, O_BAD_CERT},
	    {"bad-key", required_argument, NULL, O_BAD_KEY},
	    {"target", required_argument, NULL, O_TARGET},
	    {"sysid", required_argument, NULL, O_SYSID},
	    {"wait", required_argument, NULL, O_WAIT},
	    {"connections", required_argument, NULL, O_CONNECTIONS},
	    {"classes", required_argument, NULL, O_CLASSES},
	    {"list", no_argument, NULL, O_LIST},
	    {"mine", no_argument, NULL, O_MINE},
	    {"listen", required_argument, NULL, O_LISTEN},
	    {"help", no_argument, NULL, O_HELP},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == '?')
			exit(2);
		take_option(options, option, optarg);
	}
	if (argc - optind > 1)
		give_up("one gateway at a time: what is %s?", argv[optind + 1]);
	options->gateway = argv[optind];
	check_options(options);
}

/* --- addresses --- */

static bool is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in6 *v6 = (const void *)address;
	const struct sockaddr_in *v4 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static void resolve(const char *where, bool mine, struct sockaddr_storage *address, socklen_t *size)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(where, ':');
	struct addrinfo *found;
	char host[256];
	int result;

	if (colon == NULL || colon == where || (size_t)(colon - where) >= sizeof(host))
		give_up("%s: say HOST:PORT, or [ADDRESS]:PORT", where);
	if (where[0] == '[' && colon[-1] == ']')
		(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - where - 2), where + 1);
	else
		(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	result = getaddrinfo(host, colon + 1, &hints, &found);
	if (result != 0)
		give_up("%s: %s", where, gai_strerror(result));
	if (!mine && !is_loopback(found->ai_addr))
		give_up("%s is not this machine. These are attacks: add --mine if you may", where);
	memcpy(address, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
}

static int listen_at(const char *where)
{
	struct sockaddr_storage address;
	const int yes = 1;
	socklen_t size;
	int fd;

	resolve(where, true, &address, &size);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 64) != 0)
		give_up("--listen %s: %s", where, strerror(errno));
	return fd;
}

/* --- runs --- */

static const char *unfit(const struct scene *scene, unsigned needs)
{
	if ((needs & (NEEDS_TLS | NEEDS_DIRECT)) != 0 && scene->policy == POLICY_ONLY)
		return "no TLS under this policy";
	if ((needs & NEEDS_DIRECT) != 0 && !scene->direct)
		return "no direct TLS here";
	if ((needs & NEEDS_CLEAR) != 0 && scene->policy == POLICY_NEVER)
		return "nothing is clear under this policy";
	if ((needs & NEEDS_CLIENT_AUTH) != 0 && !scene->client_auth)
		return "no certificates of clients are required";
	if ((needs & NEEDS_BAD_CERT) != 0 && scene->bad_cert == NULL)
		return "--bad-cert is not given";
	if ((needs & NEEDS_RATCHET) != 0 && !scene->ratchet)
		return "names are not kept";
	return NULL;
}

struct run {
	const struct scene *scene;
	const struct attack *attack;
	pthread_t thread;
	bool started;
	char result[SEEN_SIZE];
};

static unsigned number, failures;

static void tell(const struct attack *attack, const char *result)
{
	number++;
	if (is_skipped(result)) {
		(void)printf("ok %u - %c: %s # SKIP %s\n", number, attack->class, attack->name, result + 1);
	} else if (result == NULL) {
		(void)printf("ok %u - %c: %s\n", number, attack->class, attack->name);
	} else {
		(void)printf("not ok %u - %c: %s\n# seen: %s\n", number, attack->class, attack->name, result);
		failures++;
	}
	(void)fflush(stdout);
}

static const char *serves(const struct scene *scene)
{
	return scene->connecting ? trap_honest(scene) : still_serves(scene);
}

static void run_one(const struct scene *scene, const struct attack *attack)
{
	const char *why = unfit(scene, attack->needs), *result;
	char kept[SEEN_SIZE];

	result = why != NULL ? skipped(why) : attack->run(scene);
	(void)snprintf(kept, sizeof(kept), "%s", result != NULL ? result : "");
	result = why == NULL ? serves(scene) : NULL;
	if (result != NULL && kept[0] == '\0')
		(void)snprintf(kept, sizeof(kept), "afterwards it does not serve: %s", result);
	tell(attack, kept[0] != '\0' ? kept : NULL);
	if (result != NULL) { /* and what comes next would say nothing */
		(void)printf("Bail out! It does not serve any more: %s\n", result);
		exit(1);
	}
}

static void *run_in_thread(void *context)
{
	struct run *run = context;
	const char *result = run->attack->run(run->scene);

	(void)snprintf(run->result, sizeof(run->result), "%s", result != NULL ? result : "");
	return NULL;
}

/* Those that wait do so at the same time. */
static void run_alongside(const struct scene *scene, const struct attack *attacks, const char *classes)
{
	static struct run runs[ALONGSIDE_MOST];
	size_t count = 0;
	const char *after;

	for (; attacks->name != NULL && count < ALONGSIDE_MOST; attacks++) {
		if ((attacks->needs & ALONGSIDE) == 0 || strchr(classes, attacks->class) == NULL)
			continue;
		runs[count].scene = scene;
		runs[count].attack = attacks;
		if (unfit(scene, attacks->needs) == NULL)
			runs[count].started = pthread_create(&runs[count].thread, NULL, run_in_thread, &runs[count]) == 0;
		count++;
	}
	for (size_t i = 0; i < count; i++)
		if (runs[i].started)
			(void)pthread_join(runs[i].thread, NULL);
	after = count > 0 ? serves(scene) : NULL;
	for (size_t i = 0; i < count; i++) {
		const char *why = unfit(scene, runs[i].attack->needs);

		if (!runs[i].started)
			tell(runs[i].attack, skipped(why != NULL ? why : "no thread to be had"));
		else if (runs[i].result[0] != '\0')
			tell(runs[i].attack, runs[i].result);
		else
			tell(runs[i].attack, after != NULL ? seen("afterwards it does not serve: %s", after) : NULL);
	}
}

static void list(const struct attack *attack, const char *side)
{
	for (; attack->name != NULL; attack++)
		(void)printf("%s %c: %s\n", side, attack->class, attack->name);
}

int main(int argc, char **argv)
{
	struct options options = {
	    .scene = {.direct = true, .sysid = "ATTACKER", .target = "*PING", .wait_s = 30, .connections = 100},
	    .classes = "ABCDEFGHIJKLMNPT"};
	const struct attack *attacks;
	const char *wrong;
	unsigned count = 0;

	(void)signal(SIGPIPE, SIG_IGN);
	read_options(&options, argc, argv);
	if (options.list) {
		list(attacks_on_accepting, "accepting");
		list(attacks_on_connecting, "connecting");
		return 0;
	}
	resolve(options.gateway, options.mine, &options.scene.address, &options.scene.address_size);
	if (options.listen != NULL)
		options.scene.listening = listen_at(options.listen);
	wrong = serves(&options.scene);
	if (wrong != NULL)
		give_up("%s serves no honest session, so that nothing can be said: %s", options.gateway, wrong);
	attacks = options.scene.connecting ? attacks_on_connecting : attacks_on_accepting;
	for (const struct attack *attack = attacks; attack->name != NULL; attack++)
		count += strchr(options.classes, attack->class) != NULL;
	(void)printf("TAP version 13\n1..%u\n", count);
	for (const struct attack *attack = attacks; attack->name != NULL; attack++)
		if ((attack->needs & ALONGSIDE) == 0 && strchr(options.classes, attack->class) != NULL)
			run_one(&options.scene, attack);
	run_alongside(&options.scene, attacks, options.classes);
	(void)printf("# %s: %u attacks, %u not held\n", options.gateway, number, failures);
	return failures > 0 ? 1 : 0;
}
