/*
 * The load generator of the benchmarks: threads with blocking connections through a gateway, the gateway's own CPU and
 * memory read from outside. One line on standard output; exit status 1 where anything at all went wrong.
 *
 *     load loop                                          what the calibration loop takes now, in ns
 *     load GATEWAY_PID[,PID] PORT START OPERATION COUNT THREADS [SIZE]
 *
 * START      raw (TCP), clear (OFFER), upgrade (OFFER, TLS, CONFIRM), direct (TLS, OFFER inside), tls
 * OPERATION  handshake, resume: COUNT connections; echo: COUNT round trips of SIZE; up, down: COUNT MiB;
 *            rounds: COUNT round trips, each on the next of the held connections; idle: COUNT connections held
 *
 * With BENCH_HELD=N in the environment N connections are opened before the measuring begins and held until its end.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "peer.h"

enum start { START_RAW, START_CLEAR, START_UPGRADE, START_DIRECT, START_TLS, START_COUNT };
static const char *const start_names[START_COUNT] = {"raw", "clear", "upgrade", "direct", "tls"};

struct link {
	int fd;
	SSL *ssl; /* NULL in the clear */
};

struct job {
	int port;
	enum start start;
	bool (*work)(struct job *job);
	uint64_t count; /* of this thread */
	size_t size;
	char operation;
	SSL_CTX *context;
	SSL_SESSION *session; /* newest; of this thread */
	uint32_t *latencies;  /* nanoseconds, one each */
	uint64_t done;
	struct link *held;
	size_t at, first, step; /* in the held connections */
	pthread_t thread;
	bool fine;
};

/* Open while something else is measured. */
#define HELD_LOCKS 64
static struct link *held;
static size_t held_count;
static pthread_mutex_t held_locks[HELD_LOCKS];

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void note(struct job *job, uint64_t began_ns)
{
	uint64_t took = now_ns() - began_ns;

	if (job->latencies != NULL)
		job->latencies[job->done] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
	job->done++;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct job *job = SSL_get_app_data(ssl);

	if (job == NULL)
		return 0;
	SSL_SESSION_free(job->session);
	job->session = session;
	return 1;
}

/* The same version, suite and group for every gateway. */
static SSL_CTX *make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_set1_groups_list(context, "X25519") != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	return context;
}

static bool start_tls(struct job *job, struct link *link, const char *alpn)
{
	link->ssl = SSL_new(job->context);
	if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1)
		return false;
	SSL_set_app_data(link->ssl, job);
	if (alpn != NULL && SSL_set_alpn_protos(link->ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn)) != 0)
		return false;
	if (job->session != NULL && SSL_set_session(link->ssl, job->session) != 1)
		return false;
	return SSL_connect(link->ssl) == 1;
}

static bool open_link(struct job *job, struct link *link)
{
	uint8_t offer[256], answer[4096];
	size_t size = peer_offer(offer, 1,
	                         job->start == START_DIRECT  ? 4
	                         : job->start == START_CLEAR ? 0
	                                                     : 3,
	                         "BENCH", NULL);
	int came = 0;

	link->ssl = NULL;
	link->fd = peer_connect(job->port);
	if (link->fd < 0)
		return false;
	switch (job->start) {
	case START_CLEAR:
		return peer_exchange(link->fd, NULL, offer, size, answer) > 0 && peer_type(answer) == 2;
	case START_UPGRADE:
		came = peer_exchange(link->fd, NULL, offer, size, answer);
		return came > 0 && peer_type(answer) == 2 &&
		       start_tls(job, link,
		                 "\x0d"
		                 "cci-upgrade/1") &&
		       peer_confirm_both(link->ssl, offer, size, answer, (size_t)came);
	case START_DIRECT:
		return start_tls(job, link,
		                 "\x05"
		                 "cci/1") &&
		       peer_exchange(link->fd, link->ssl, offer, size, answer) > 0 && peer_type(answer) == 2;
	case START_TLS:
		return start_tls(job, link, NULL);
	default:
		return true;
	}
}

static void close_link(struct link *link)
{
	if (link->ssl != NULL)
		(void)SSL_shutdown(link->ssl);
	peer_free(link->fd, link->ssl);
}

static bool probe(struct link *link)
{
	uint8_t request[REQUEST_SIZE];

	request_put(request, 'P', 0);
	return peer_write(link->fd, link->ssl, request, sizeof(request)) && peer_read(link->fd, link->ssl, request, 1);
}

/* Connections one after the other; 'r': each resumes the one before. */
static bool do_connections(struct job *job)
{
	bool fine = true;

	for (uint64_t i = 0; fine && i < job->count; i++) {
		struct link link = {.fd = -1};
		uint64_t began_ns = now_ns();

		fine = open_link(job, &link);
		if (fine)
			note(job, began_ns);
		fine = fine && probe(&link) &&
		       (job->operation != 'r' || i == 0 || (link.ssl != NULL && SSL_session_reused(link.ssl) == 1));
		close_link(&link);
		if (job->operation == 'r')
			continue;
		SSL_SESSION_free(job->session);
		job->session = NULL;
	}
	return fine;
}

static bool do_echo(struct job *job)
{
	uint8_t request[REQUEST_SIZE], *bytes = malloc(2 * job->size);
	struct link link = {.fd = -1};
	bool fine = bytes != NULL && open_link(job, &link);

	request_put(request, 'E', job->size);
	fine = fine && peer_write(link.fd, link.ssl, request, sizeof(request));
	for (uint64_t i = 0; fine && i < job->count; i++) {
		uint64_t began_ns = now_ns();

		memset(bytes, (int)(i & 0xff), job->size);
		fine = peer_write(link.fd, link.ssl, bytes, job->size) &&
		       peer_read(link.fd, link.ssl, bytes + job->size, job->size) &&
		       memcmp(bytes, bytes + job->size, job->size) == 0;
		note(job, began_ns);
	}
	if (bytes != NULL)
		close_link(&link);
	free(bytes);
	return fine;
}

static bool do_transfer(struct job *job)
{
	uint64_t length = job->count << 20;
	uint8_t request[REQUEST_SIZE], ours[DIGEST_SIZE], theirs[DIGEST_SIZE], *chunk = malloc(CHUNK_SIZE);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool up = job->operation == 'U', fine = chunk != NULL && digest != NULL;
	struct link link = {.fd = -1};

	fine = fine && open_link(job, &link) && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
	request_put(request, job->operation, length);
	fine = fine && peer_write(link.fd, link.ssl, request, sizeof(request));
	if (chunk != NULL)
		payload_fill(chunk, CHUNK_SIZE, length);
	for (uint64_t at = 0; fine && at < length; at += CHUNK_SIZE) {
		if (up)
			memcpy(chunk, &at, sizeof(at));
		fine =
		    (up ? peer_write(link.fd, link.ssl, chunk, CHUNK_SIZE) : peer_read(link.fd, link.ssl, chunk, CHUNK_SIZE)) &&
		    EVP_DigestUpdate(digest, chunk, CHUNK_SIZE) == 1;
	}
	fine = fine && EVP_DigestFinal_ex(digest, ours, NULL) == 1 && peer_read(link.fd, link.ssl, theirs, DIGEST_SIZE) &&
	       memcmp(ours, theirs, DIGEST_SIZE) == 0;
	job->done = job->count;
	EVP_MD_CTX_free(digest);
	free(chunk);
	close_link(&link);
	return fine;
}

/* One byte there and back, on one held connection after the other. */
static bool do_rounds(struct job *job)
{
	bool fine = held_count > 0;

	for (uint64_t i = 0; fine && i < job->count; i++) {
		uint64_t began_ns = now_ns();

		/* Every thread has its own, unless there are fewer than threads: hence the locks. */
		job->at += job->step;
		if (job->at >= held_count)
			job->at = job->first < held_count ? job->first : 0;
		(void)pthread_mutex_lock(&held_locks[job->at % HELD_LOCKS]);
		fine = probe(&held[job->at]);
		(void)pthread_mutex_unlock(&held_locks[job->at % HELD_LOCKS]);
		note(job, began_ns);
	}
	return fine;
}

/* Open and keep; closed by the end of the process. */
static bool do_idle(struct job *job)
{
	bool fine = true;

	job->held = calloc(job->count, sizeof(*job->held));
	for (uint64_t i = 0; job->held != NULL && fine && i < job->count; i++) {
		fine = open_link(job, &job->held[i]) && probe(&job->held[i]);
		SSL_SESSION_free(job->session);
		job->session = NULL;
		job->done++;
	}
	return fine && job->held != NULL;
}

static void *run_job(void *argument)
{
	struct job *job = argument;

	job->fine = job->work(job);
	if (!job->fine)
		(void)fprintf(stderr, "load: failed after %llu: %s\n", (unsigned long long)job->done,
		              ERR_peek_error() != 0 ? ERR_reason_error_string(ERR_peek_error()) : "connection");
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_latencies(const struct job *jobs, size_t threads, uint64_t units)
{
	uint32_t *all = malloc((units + 1) * sizeof(*all));
	size_t count = 0;

	for (size_t i = 0; all != NULL && i < threads; i++) {
		if (jobs[i].latencies == NULL)
			break;
		memcpy(all + count, jobs[i].latencies, jobs[i].done * sizeof(*all));
		count += jobs[i].done;
	}
	if (count > 0) {
		qsort(all, count, sizeof(*all), by_value);
		(void)printf(" p50_us=%.1f p99_us=%.1f p999_us=%.1f", all[count / 2] / 1e3, all[count * 99 / 100] / 1e3,
		             all[count * 999 / 1000] / 1e3);
	}
	free(all);
}

static pid_t gateways[2];

static uint64_t gateways_sum(uint64_t (*measure)(pid_t pid))
{
	return measure(gateways[0]) + (gateways[1] > 0 ? measure(gateways[1]) : 0);
}

/* The connections that BENCH_HELD asks for. */
static bool hold(struct job *job)
{
	const char *count = getenv("BENCH_HELD");

	held_count = count != NULL ? (size_t)strtoul(count, NULL, 10) : 0;
	held = calloc(held_count + 1, sizeof(*held));
	for (size_t i = 0; i < HELD_LOCKS; i++)
		(void)pthread_mutex_init(&held_locks[i], NULL);
	for (size_t i = 0; held != NULL && i < held_count; i++) {
		if (!open_link(job, &held[i]) || !probe(&held[i]))
			return false;
		SSL_SESSION_free(job->session);
		job->session = NULL;
		/* Its later tickets belong to nobody: the job may be running in another thread then. */
		if (held[i].ssl != NULL)
			SSL_set_app_data(held[i].ssl, NULL);
	}
	return held != NULL;
}

/* Gateway's CPU scaled to what the loop took at the beginning of the run (BENCH_LOOP_NS). */
static int run(struct job *jobs, size_t threads)
{
	const char *reference = getenv("BENCH_LOOP_NS");
	uint64_t pss = gateways_sum(tree_pss_kib), loop_before = loop_ns(), cpu = gateways_sum(tree_cpu_ns),
	         began = now_ns();
	uint64_t units = 0, wall, loop;
	double scale;
	bool fine = true;

	for (size_t i = 0; i < threads; i++)
		fine = pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]) == 0 && fine;
	if (!fine)
		return 1;
	for (size_t i = 0; i < threads; i++) {
		(void)pthread_join(jobs[i].thread, NULL);
		units += jobs[i].done;
		fine = fine && jobs[i].fine && jobs[i].done == jobs[i].count;
	}
	wall = now_ns() - began;
	/* What the gateway has left to do for the last connections counts too. */
	(void)usleep(50000);
	cpu = gateways_sum(tree_cpu_ns) - cpu;
	loop = (loop_before + loop_ns()) / 2;
	scale = reference != NULL ? strtod(reference, NULL) / (double)loop : 1.0;
	(void)printf("fine=%d units=%llu cpu_us=%.3f rate=%.1f loop_ns=%llu", fine, (unsigned long long)units,
	             (double)cpu * scale / 1e3 / (double)units, (double)units * 1e9 / (double)wall,
	             (unsigned long long)loop);
	if (jobs->work == do_idle)
		(void)printf(" pss_kib=%.2f", (double)(int64_t)(gateways_sum(tree_pss_kib) - pss) / (double)units);
	print_latencies(jobs, threads, units);
	(void)printf("\n");
	return fine ? 0 : 1;
}

static const struct operation {
	const char *name;
	char letter;
	bool (*work)(struct job *job);
	bool has_latencies;
} operations[] = {{"handshake", 'h', do_connections, true},
                  {"resume", 'r', do_connections, true},
                  {"echo", 'E', do_echo, true},
                  {"rounds", 'P', do_rounds, true},
                  {"up", 'U', do_transfer, false},
                  {"down", 'D', do_transfer, false},
                  {"idle", 'i', do_idle, false}};

static int find(const char *word, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], word) == 0)
			return i;
	return -1;
}

static const struct operation *find_operation(const char *word)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(operations[i].name, word) == 0)
			return &operations[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct operation *operation;
	struct job *jobs;
	size_t threads;
	int start;
	char *second;

	if (argc == 2 && strcmp(argv[1], "loop") == 0)
		return printf("%llu\n", (unsigned long long)loop_ns()) < 0;
	if (argc < 7 || (start = find(argv[3], start_names, START_COUNT)) < 0 ||
	    (operation = find_operation(argv[4])) == NULL) {
		(void)fprintf(stderr, "load: GATEWAY_PID PORT START OPERATION COUNT THREADS [SIZE]; see tests/bench/load.c\n");
		return 2;
	}
	threads = (size_t)strtoul(argv[6], NULL, 10);
	jobs = calloc(threads, sizeof(*jobs));
	for (size_t i = 0; jobs != NULL && i < threads; i++) {
		jobs[i] = (struct job){.port = atoi(argv[2]), .start = (enum start)start, .operation = operation->letter};
		jobs[i].work = operation->work;
		jobs[i].first = jobs[i].at = i;
		jobs[i].step = threads;
		jobs[i].count = strtoull(argv[5], NULL, 10) / threads;
		jobs[i].size = argc > 7 ? (size_t)strtoul(argv[7], NULL, 10) : 64;
		jobs[i].context = make_context();
		if (operation->has_latencies)
			jobs[i].latencies = calloc(jobs[i].count, sizeof(uint32_t));
		if (jobs[i].context == NULL)
			return 1;
	}
	gateways[0] = (pid_t)strtol(argv[1], &second, 10);
	gateways[1] = *second == ',' ? (pid_t)strtol(second + 1, NULL, 10) : 0;
	if (jobs == NULL || threads == 0 || !hold(&jobs[0])) {
		(void)fprintf(stderr, "load: the connections to hold cannot be opened\n");
		return 1;
	}
	return run(jobs, threads);
}
