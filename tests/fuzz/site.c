/* The gateways that a fuzzed session runs in. */
#include "site.h"

#include <openssl/ssl.h>
#include <unistd.h>

#include "certs.h"
#include "fuzz.h"
#include "log.h"
#include "names.h"
#include "play.h"
#include "world.h"

struct site sites[SITES];
struct session_host site_host;

static uv_loop_t loop;
static struct iobudget budget;
static struct metrics *metrics;
static struct rate *handshake_rate;
bool site_trouble;

/* Each listener is a choice of the fuzzer's by its number: only ever add at the end. */
static const char common_text[] =
    "[gateway]\nsysid = " SITE_SYSID "\n"
    "[tls]\ncertificate = gateway.pem\nprivate_key = gateway.key\nca = ca.pem\n%s"
    "[timeouts]\nexchange = 5s\nhandshake = 10s\nconfirm = 4s\nconnect = 3s\nidle = 60s\nlifetime = 10m\n"
    "[notifier watch]\nkind = fuzz\non_error = %s\n"
    "[service S1]\naddress = 127.0.0.1:9001\n"
    "[service S2]\naddress = 127.0.0.1:9002, 127.0.0.1:9003\nsend_proxy = v1\n"
    "[service S3]\naddress = 127.0.0.1:9004\nsend_proxy = v2\n"
    "[service ECHO]\naddress = builtin:echo\n"
    "[rule never]\nsysid = NEVER*\nunsecured_connections = never\n"
    "[rule refuse]\nsysid = REFUSE*\naction = refuse\n"
    "[rule ident]\nlistener = ident\nidentity = DNS:client.test\nservice = S2\n"
    "[listener never]\naddress = 127.0.0.1:1\nunsecured_connections = never\n%s"
    "[listener nonssl]\naddress = 127.0.0.1:2\nunsecured_connections = nonssl\n%s"
    "[listener allow]\naddress = 127.0.0.1:3\nunsecured_connections = allow\n%s"
    "[listener only]\naddress = 127.0.0.1:4\nunsecured_connections = only\n%s"
    "[listener ratchet]\naddress = 127.0.0.1:5\nunsecured_connections = allow\nratchet = yes\n%s"
    "[listener require]\naddress = 127.0.0.1:6\nunsecured_connections = allow\nclient_auth = require\n%s"
    "[listener request]\naddress = 127.0.0.1:7\nunsecured_connections = never\nclient_auth = request\ndirect = no\n%s"
    "[listener raw]\naddress = 127.0.0.1:8\nunsecured_connections = allow\nexchange = none\n%s"
    "[listener proxy]\naddress = 127.0.0.1:9\nunsecured_connections = never\nproxy_from = 127.0.0.0/8\n%s"
    "[listener proxyallow]\naddress = 127.0.0.1:10\nunsecured_connections = allow\nproxy_from = 127.0.0.0/8\n%s"
    "[listener proxyraw]\naddress = 127.0.0.1:11\nunsecured_connections = only\nexchange = none\n"
    "proxy_from = 127.0.0.0/8\n%s"
    "[listener quick]\naddress = 127.0.0.1:12\nunsecured_connections = allow\nidle_up = 7s\n"
    "idle_down = 9s\nhandshake = 2s\n%s"
    "[listener ident]\naddress = 127.0.0.1:13\nunsecured_connections = never\n%s";

static const char gw_text[] =
    "[listener rawreq]\naddress = 127.0.0.1:14\nunsecured_connections = allow\nexchange = none\ntarget = PREQ\n"
    "[listener rawdir]\naddress = 127.0.0.1:15\nunsecured_connections = allow\nexchange = none\ntarget = PDIR\n"
    "[listener rawon]\naddress = 127.0.0.1:16\nunsecured_connections = allow\nexchange = none\ntarget = PRAT\n"
    "[peer PNONE]\naddress = 127.0.0.1:9011\nsecurity = none\nserver_name = peer.test\n"
    "[peer POFF]\naddress = 127.0.0.1:9012\nsecurity = off\nserver_name = peer.test\n"
    "[peer PON]\naddress = 127.0.0.1:9013\nsecurity = on\nserver_name = peer.test\n"
    "[peer PREQ]\naddress = 127.0.0.1:9014\nsecurity = required\nserver_name = peer.test\n"
    "[peer PDIR]\naddress = 127.0.0.1:9015\nsecurity = direct\nserver_name = peer.test\n"
    "[peer PRAT]\naddress = 127.0.0.1:9016, 127.0.0.1:9017\nsecurity = on\nratchet = yes\nserver_name = peer.test\n"
    "[peer PTWO]\naddress = 127.0.0.1:9018, 127.0.0.1:9019\nserver_name = peer.test\ntargets = FAR*\n";

/* The same for both programs, with `service =` or `target =`. */
static const char more_text[] =
    "[service S4]\naddress = name.test:9005\n"
    "[service S5]\naddress = unix:/run/fuzz\n"
    "[service S6]\naddress = 127.0.0.1:9006, 127.0.0.1:9007, name.test:9008\nbalance = round-robin\n"
    "[service S7]\naddress = 127.0.0.1:9006, 127.0.0.1:9007\nbalance = least\nsend_proxy = v2\n"
    "[rule limit]\nsysid = LIMIT*\nconnections = 1\n"
    "[rule audit]\nsysid = AUDIT*\naudit_policy = never\n"
    "[listener name]\naddress = 127.0.0.1:21\nunsecured_connections = allow\n%1$sS4\n"
    "[listener unix]\naddress = 127.0.0.1:22\nunsecured_connections = allow\n%1$sS5\n"
    "[listener robin]\naddress = 127.0.0.1:23\nunsecured_connections = nonssl\n%1$sS6\n"
    "[listener least]\naddress = 127.0.0.1:24\nunsecured_connections = allow\naudit_policy = never\nclient_auth = request\n%1$sS7\n";

static void report(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	FUZZ_CHECK(!is_error, "%s:%u: %s", file, line, text);
}

static void open_site(struct site *site, enum program program, bool strict, const char *on_error)
{
	static const struct cci_notifier_kind *const kinds[] = {&play_notifier, NULL};
	const char *to = program == PROGRAM_CCISSL ? "service = S1\n" : "target = S1\n";
	char text[16384];
	struct error error;
	struct config *config;
	FILE *stream;
	int used;

	used = snprintf(text, sizeof(text), common_text,
	                strict ? "confirm = require\nmin_version = 1.3\n" : "resumption = no\n", on_error, to, to, to, to,
	                to, to, to, to, to, to, to, to, to);
	if (program == PROGRAM_CCISSLGW)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "%s", gw_text);
	used += snprintf(text + used, sizeof(text) - (size_t)used, more_text,
	                 program == PROGRAM_CCISSL ? "service = " : "target = ");
	FUZZ_CHECK((size_t)used < sizeof(text), "a configuration that is too long");
	stream = fmemopen(text, strlen(text), "r");
	config = config_load_stream(stream, "fuzz.ini", program, report, NULL);
	(void)fclose(stream);
	FUZZ_CHECK(config != NULL, "no configuration");
	site->config = config;
	site->snapshot = snapshot_new(config, 1, &(const struct notifier_source){.kinds = kinds}, &error);
	FUZZ_CHECK(site->snapshot != NULL, "%s", error.text);
	/* The fuzzer's use, so that no session is the last. */
	(void)snapshot_use(site->snapshot, 0);
	snapshot_use_limits(site->snapshot);
}

void site_open(void)
{
	char folder[] = "/tmp/fuzz-session-XXXXXX", before[4096];
	struct error error;

	FUZZ_CHECK(mkdtemp(folder) != NULL && getcwd(before, sizeof(before)) != NULL && chdir(folder) == 0, "no folder");
	certs_make(folder);
	FUZZ_CHECK(log_open(LOG_STDERR, LEVEL_INFO, "fuzz", &error) == 0, "no log");
	for (size_t i = 0; i < SITES; i++)
		open_site(&sites[i], i & 1 ? PROGRAM_CCISSLGW : PROGRAM_CCISSL, i == 2 || i == 3,
		          i < 4 ? "refuse" : "continue");
	(void)unlink("ca.pem");
	(void)unlink("gateway.pem");
	(void)unlink("gateway.key");
	FUZZ_CHECK(chdir(before) == 0 && rmdir(folder) == 0, "the folder does not go");
	FUZZ_CHECK(uv_loop_init(&loop) == 0, "no loop");
	site_host.io = iocontext_new(&loop, &error);
	FUZZ_CHECK(site_host.io != NULL, "%s", error.text);
	iocontext_use_budget(site_host.io, &budget);
	site_host.noise = noise_new();
	metrics = metrics_new(1);
	site_host.metrics = metrics_part(metrics, 0);
	site_host.admission.quota = quota_new();
	site_host.admission.metrics = site_host.metrics;
	handshake_rate = rate_new();
	FUZZ_CHECK(handshake_rate != NULL, "no memory");
	site_host.admission.handshake_rate = handshake_rate;
}

void site_begin(void)
{
	uv_update_time(&loop);
	site_host.draining = false;
	site_host.ratchet = ratchet_new(16);
	site_host.peer_ratchet = ratchet_new(16);
	iobudget_set(&budget, 0);
	site_limit(0);
	site_trouble = false;
}

void site_limit(uint8_t how)
{
	quota_set(site_host.admission.quota, how & 1 ? 1 : 100, 50);
	rate_set(handshake_rate, how & 2 ? 1 : 0, 1);
	site_trouble = true;
}

void site_limit_buffers(uint64_t bytes)
{
	iobudget_set(&budget, bytes);
}

uint64_t site_buffers(void)
{
	return atomic_load(&budget.taken_bytes);
}

bool site_turn(void)
{
	return iocontext_turn(site_host.io, 0);
}

void site_end(const struct site *site)
{
	struct metrics_totals totals;

	for (size_t i = 0; i < site->config->rule_count; i++)
		FUZZ_CHECK(site->snapshot->rules[i] == NULL || quota_count(site->snapshot->rules[i]->quota) == 0,
		           "a place under a rule is left");
	FUZZ_CHECK(names_waiting() == 0, "a look-up is left");

	log_flush();
	FUZZ_CHECK(site_host.count == 0 && site_host.first == NULL, "a session is left");
	FUZZ_CHECK(!site_turn(), "a timer, a descriptor or work is left");
	FUZZ_CHECK(world_open_wires() == 0, "%zu sockets are left open", world_open_wires());
	FUZZ_CHECK(world_dirty_pipes() == 0, "a pipe is left with bytes in it, or half open");
	FUZZ_CHECK(site_buffers() == 0, "%llu bytes of buffers are left", (unsigned long long)site_buffers());
	FUZZ_CHECK(quota_count(site_host.admission.quota) == 0, "a place in the limits is left");
	FUZZ_CHECK(world_bad_log_bytes() == 0, "the log holds bytes that are not printable");
	metrics_totals(metrics, &totals);
	for (size_t i = 0; i < METRICS_SECURITIES; i++)
		FUZZ_CHECK(totals.open[i] == 0 && totals.links[i] == 0, "a connection is still counted as open");
	for (size_t i = 0; i < SITES; i++)
		FUZZ_CHECK(sites[i].snapshot->parts[0].users == 1, "a use of the configuration is left");
	ratchet_free(site_host.ratchet);
	ratchet_free(site_host.peer_ratchet);
}
