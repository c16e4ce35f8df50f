/* /metrics: what the workers count, and how the rest of the gateway stands. */
#include <dirent.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http_parts.h"
#include "log.h"
#include "memfile.h"
#include "metrics_text.h"
#include "sandbox.h"
#include "version.h"

static void put_build(const struct daemon *daemon, FILE *stream)
{
	const struct metrics_label labels[] = {{"program", program_word(daemon->program)},
	                                       {"version", GATEWAY_VERSION},
	                                       {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
	                                       {"libuv", uv_version_string()},
	                                       {"libmicrohttpd", MHD_get_version()}};

	metrics_family(stream, "cci_build_info", "gauge",
	               "The program, its version, and the libraries it runs with; always 1.");
	metrics_number(stream, "cci_build_info", labels, sizeof(labels) / sizeof(labels[0]), 1);
	metrics_family(
	    stream, "cci_sandbox_info", "gauge",
	    "What contains the process (docs/sandbox.md): seccomp, landlock and its version, or none; always 1.");
	metrics_number(stream, "cci_sandbox_info", &(struct metrics_label){"by", sandbox_words()}, 1, 1);
}

static void put_state(const struct daemon *daemon, FILE *stream)
{
	uint64_t accepted = 0;

	for (unsigned i = 0; i < daemon->worker_count; i++)
		accepted += worker_accepted(daemon->workers[i]);
	metrics_one(stream, "cci_ready", "gauge", "1 while connections are taken (as /readyz says).",
	            http_unready(daemon) == NULL);
	metrics_one(stream, "cci_workers", "gauge", "Threads that carry connections.", daemon->worker_count);
	metrics_one(stream, "cci_connections_accepted_total", "counter",
	            "Connections accepted, those turned away included.", accepted);
	metrics_one(stream, "cci_connections_limit", "gauge",
	            "The most that may be open (connections in [limits]); 0: no limit.",
	            daemon->snapshot->config->limits.connections);
}

static void put_reloads(const struct daemon *daemon, FILE *stream)
{
	metrics_one(stream, "cci_reload_successful", "gauge",
	            "1 where the last reload (or load of changed files) was put in force.", !daemon->reload_failed);
	metrics_family(stream, "cci_reload_success_timestamp_seconds", "gauge",
	               "When the configuration in force was put in force.");
	metrics_real(stream, "cci_reload_success_timestamp_seconds", NULL, 0, (double)daemon->in_force_us / 1e6);
}

/* --- notifiers --- */

static uint64_t taken_of(const struct notifier_state *state)
{
	return state->taken;
}

static uint64_t failed_of(const struct notifier_state *state)
{
	return state->failed;
}

static uint64_t written_of(const struct notifier_state *state)
{
	return state->status.written;
}

static uint64_t dropped_of(const struct notifier_state *state)
{
	return state->status.dropped;
}

static uint64_t queued_of(const struct notifier_state *state)
{
	return state->status.queued_bytes;
}

static uint64_t queue_of(const struct notifier_state *state)
{
	return state->status.queue_bytes;
}

static uint64_t failing_of(const struct notifier_state *state)
{
	return state->status.failing;
}

static uint64_t subscribers_of(const struct notifier_state *state)
{
	return state->status.subscribers;
}

static const struct notifier_value {
	const char *name, *type, *help;
	uint64_t (*of)(const struct notifier_state *state);
} values[] = {
    {"cci_notifier_taken_total", "counter", "Events that a notifier took.", taken_of},
    {"cci_notifier_failed_total", "counter", "Events that a notifier did not take.", failed_of},
    {"cci_notifier_written_total", "counter", "Events that reached their end (a file, all subscribers).", written_of},
    {"cci_notifier_dropped_total", "counter", "Events that will not reach their end.", dropped_of},
    {"cci_notifier_queued_bytes", "gauge", "Bytes that wait to be written.", queued_of},
    {"cci_notifier_queue_limit_bytes", "gauge", "Bytes that may wait (queue of its section).", queue_of},
    {"cci_notifier_failing", "gauge", "1 while it cannot take anything.", failing_of},
    {"cci_notifier_subscribers", "gauge", "Who listens to it now.", subscribers_of},
};

static void put_notifiers(const struct daemon *daemon, FILE *stream)
{
	const struct notifiers *notifiers = daemon->snapshot->notifiers;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		metrics_family(stream, values[i].name, values[i].type, values[i].help);
		for (size_t j = 0; j < notifiers_count(notifiers); j++) {
			struct notifier_state state;
			struct metrics_label labels[2];

			notifiers_state(notifiers, j, &state);
			labels[0] = (struct metrics_label){"notifier", state.name};
			labels[1] = (struct metrics_label){"kind", state.kind};
			metrics_number(stream, values[i].name, labels, 2, values[i].of(&state));
		}
	}
}

/* --- certificates --- */

static void put_expiry(void *context, const struct tls_expiry *expiry)
{
	const struct metrics_label labels[] = {{"setting", expiry->setting}, {"file", expiry->file}};

	metrics_real(context, "cci_expiry_timestamp_seconds", labels, 2, (double)expiry->until);
}

static void put_expiries(const struct daemon *daemon, FILE *stream)
{
	const struct tls_worker *tls = daemon->snapshot->parts[0].tls;

	metrics_family(stream, "cci_expiry_timestamp_seconds", "gauge",
	               "When a certificate, revocation list or OCSP response in use expires.");
	if (tls != NULL)
		tls_worker_expiries(tls, put_expiry, stream);
}

/* --- peers and services --- */

enum address_value { ADDRESS_UP, ADDRESS_CONNECTIONS, ADDRESS_LEFT_OUT, ADDRESS_VALUES };

static void put_address(const struct daemon *daemon, struct target_memory *memory, const char *kind,
                        enum address_value value, FILE *stream)
{
	static const char *const names[ADDRESS_VALUES] = {"cci_target_up", "cci_target_connections", "cci_target_left_out"};

	for (size_t i = 0; i < target_memory_count(memory); i++) {
		struct target_state state;
		struct metrics_label labels[3] = {{"kind", kind}};
		uint64_t number = 0;

		target_memory_state(memory, i, &state);
		labels[1] = (struct metrics_label){"name", state.name};
		labels[2] = (struct metrics_label){"address", state.address};
		if (value == ADDRESS_UP && state.health == TARGET_UNKNOWN)
			continue;
		if (value == ADDRESS_UP)
			number = state.health == TARGET_UP;
		else if (value == ADDRESS_CONNECTIONS)
			number = state.connections;
		else
			number = state.left_out_until_ms > uv_now(&daemon->loop);
		metrics_number(stream, names[value], labels, 3, number);
	}
}

static void put_targets(const struct daemon *daemon, FILE *stream)
{
	static const char *const helps[ADDRESS_VALUES] = {
	    "1 where the address of a peer answers *PING, 0 where it does not; none where nobody asks (health_interval).",
	    "Our connections to an address of a service or peer, attempts included.",
	    "1 while an address is not tried because it failed."};
	static const char *const names[ADDRESS_VALUES] = {"cci_target_up", "cci_target_connections", "cci_target_left_out"};
	const struct snapshot *snapshot = daemon->snapshot;

	for (enum address_value value = 0; value < ADDRESS_VALUES; value++) {
		metrics_family(stream, names[value], "gauge", helps[value]);
		for (size_t i = 0; i < snapshot->config->service_count; i++)
			put_address(daemon, snapshot->services[i], "service", value, stream);
		for (size_t i = 0; i < snapshot->config->peer_count; i++)
			put_address(daemon, snapshot->peers[i], "peer", value, stream);
	}
}

/* --- the rest --- */

static void put_ratchet(const struct daemon *daemon, FILE *stream)
{
	static const char *const kinds[RATCHET_KINDS] = {[RATCHET_CLIENT] = "client", [RATCHET_PEER] = "peer"};
	struct ratchet *const tables[RATCHET_KINDS] = {[RATCHET_CLIENT] = daemon->shared.ratchet,
	                                               [RATCHET_PEER] = daemon->shared.peer_ratchet};

	metrics_family(stream, "cci_ratchet_names", "gauge", "Names that were secured and may not come back in the clear.");
	for (size_t i = 0; i < RATCHET_KINDS; i++)
		metrics_number(stream, "cci_ratchet_names", &(struct metrics_label){"kind", kinds[i]}, 1,
		               ratchet_count(tables[i]));
	metrics_family(stream, "cci_ratchet_pushed_out_total", "counter",
	               "Names that had to leave because the table was full.");
	for (size_t i = 0; i < RATCHET_KINDS; i++)
		metrics_number(stream, "cci_ratchet_pushed_out_total", &(struct metrics_label){"kind", kinds[i]}, 1,
		               ratchet_pushed_out(tables[i]));
	metrics_one(stream, "cci_ratchet_names_limit", "gauge", "Names that a table holds at most.", RATCHET_NAMES);
}

static void put_buffers(struct daemon *daemon, FILE *stream)
{
	metrics_one(stream, "cci_buffer_bytes", "gauge", "Memory in which bytes wait for slow receivers.",
	            atomic_load_explicit(&daemon->budget.taken_bytes, memory_order_relaxed));
	metrics_one(stream, "cci_buffer_limit_bytes", "gauge", "The most of it (buffers in [limits]); 0: no limit.",
	            atomic_load_explicit(&daemon->budget.limit_bytes, memory_order_relaxed));
	metrics_one(stream, "cci_buffer_waits_total", "counter",
	            "How often reading had to wait because there was too little of it.",
	            atomic_load_explicit(&daemon->budget.met, memory_order_relaxed));
}

static void put_report(const struct daemon *daemon, FILE *stream)
{
	uint64_t entries, forgotten;

	report_held(daemon->shared.report, &entries, &forgotten);
	metrics_one(stream, "cci_report_entries", "gauge",
	            "Combinations of name, source and security that the report holds.", entries);
	metrics_one(stream, "cci_report_entries_limit", "gauge", "The most that it holds (report_entries of [control]).",
	            daemon->snapshot->config->control.report_entries);
	metrics_one(stream, "cci_report_forgotten_total", "counter",
	            "Sessions that left the report with entries that had to.", forgotten);
}

static void put_http(const struct http *http, FILE *stream)
{
	static const char *const classes[] = {"", "1xx", "2xx", "3xx", "4xx", "5xx"};

	metrics_family(stream, "cci_http_requests_total", "counter", "Requests answered here, by class of the status.");
	for (size_t i = 2; i < sizeof(classes) / sizeof(classes[0]); i++)
		metrics_number(stream, "cci_http_requests_total", &(struct metrics_label){"code", classes[i]}, 1,
		               http->requests[i]);
	metrics_one(stream, "cci_http_listeners", "gauge", "Who listens to /events now.", http_events_count(http));
}

/* Under a chroot there may be no /proc. */
static void put_memory(FILE *stream)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long size = 0, resident = 0;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (statm == NULL)
		return;
	/* The kernel wrote it. NOLINTNEXTLINE(cert-err34-c) */
	if (fscanf(statm, "%lu %lu", &size, &resident) == 2) {
		metrics_one(stream, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", size * page);
		metrics_one(stream, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		            resident * page);
	}
	(void)fclose(statm);
}

static void put_descriptors(FILE *stream)
{
	DIR *folder = opendir("/proc/self/fd");
	struct rlimit limit;
	uint64_t count = 0;

	if (folder != NULL) {
		for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
			count += entry->d_name[0] != '.';
		(void)closedir(folder);
		/* The folder itself is gone again. */
		metrics_one(stream, "process_open_fds", "gauge", "Number of open file descriptors.", count - 1);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		metrics_one(stream, "process_max_fds", "gauge", "Maximum number of open file descriptors.", limit.rlim_cur);
}

static void put_process(const struct daemon *daemon, FILE *stream)
{
	struct rusage usage;

	metrics_family(stream, "process_start_time_seconds", "gauge",
	               "Start time of the process since unix epoch in seconds.");
	metrics_real(stream, "process_start_time_seconds", NULL, 0, (double)daemon->started_us / 1e6);
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;

		metrics_family(stream, "process_cpu_seconds_total", "counter",
		               "Total user and system CPU time spent in seconds.");
		metrics_real(stream, "process_cpu_seconds_total", NULL, 0, seconds);
	}
	put_descriptors(stream);
	put_memory(stream);
}

void http_metrics(struct http *http, struct http_reply *reply)
{
	struct daemon *daemon = http->daemon;
	struct memfile body;
	FILE *stream = memfile_open(&body);

	if (stream == NULL)
		return;
	put_build(daemon, stream);
	put_state(daemon, stream);
	put_reloads(daemon, stream);
	metrics_write(daemon->metrics, stream);
	put_notifiers(daemon, stream);
	put_expiries(daemon, stream);
	put_targets(daemon, stream);
	put_ratchet(daemon, stream);
	put_report(daemon, stream);
	put_buffers(daemon, stream);
	metrics_one(stream, "cci_log_lines_lost_total", "counter", "Log lines that could not be written.", log_lost());
	put_http(http, stream);
	put_process(daemon, stream);
	if (memfile_close(&body, stream) != 0)
		return;
	*reply = (struct http_reply){.status = MHD_HTTP_OK,
	                             .type = "text/plain; version=0.0.4; charset=utf-8",
	                             .body = body.bytes,
	                             .size = body.size};
}
