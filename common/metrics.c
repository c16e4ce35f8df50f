/* Counters in a table of families, with a part for each worker. */
#include "metrics.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_text.h"

#define CACHE_LINE 64
#define DIMENSIONS 4
#define CODES 16

/* --- labels --- */

struct dimension {
	const char *label;
	size_t count;
	const char *(*word)(size_t number);
};

#define WORDS(name, ...)                                                                                              \
	static const char *const name##_words[] = {__VA_ARGS__};                                                          \
	static const char *name##_word(size_t number)                                                                     \
	{                                                                                                                 \
		return name##_words[number];                                                                                  \
	}
#define COUNT(words) (sizeof(words) / sizeof((words)[0]))

/* What is in no table is its last row. */
WORDS(asked, "none", "off", "on", "required", "inside", "raw", "tls", "other")
WORDS(answer, "clear", "tls", "inside", "refuse")
WORDS(code, "", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "other")
WORDS(role, "accepting", "connecting")
WORDS(version, "1.2", "1.3", "other")
WORDS(resumption, "full", "resumed")
WORDS(direction, "up", "down")
WORDS(way, "in", "out")
WORDS(limit, "connections", "connections_per_source", "connection_rate", "handshake_rate", "rule", "other")
WORDS(security, "undecided", "secured", "clear")
WORDS(stage, "exchange", "handshake", "connect")
WORDS(suite, "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
      "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
      "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA",
      "TLS_RSA_WITH_AES_256_CBC_SHA", "other")

static const char *policy_word(size_t number)
{
	return unsecured_word((enum unsecured)(UNSECURED_NEVER + number));
}

static const char *outcome_label(size_t number)
{
	return outcome_word((enum outcome)number);
}

static const char *reason_label(size_t number)
{
	return reason_word((enum reason)number);
}

/* Upper bounds in microseconds, and the same in seconds. */
#define STAGE_BOUNDS(B) \
	B(500) B(1000) B(2500) B(5000) B(10000) B(25000) B(50000) B(100000) B(250000) B(500000) B(1000000) \
	B(2500000) B(5000000) B(10000000) B(30000000)
#define SESSION_BOUNDS(B) \
	B(100000) B(1000000) B(10000000) B(60000000) B(300000000) B(1800000000) B(3600000000) B(14400000000) B(86400000000)
#define IN_US(bound) UINT64_C(bound),
#define IN_S(bound) (double)UINT64_C(bound) / 1e6,
static const uint64_t stage_us[] = {STAGE_BOUNDS(IN_US)}, session_us[] = {SESSION_BOUNDS(IN_US)};
static const double stage_s[] = {STAGE_BOUNDS(IN_S)}, session_s[] = {SESSION_BOUNDS(IN_S)};

static const struct dimension
    by_asked = {"asked", COUNT(asked_words), asked_word}, by_answer = {"answer", COUNT(answer_words), answer_word},
    by_code = {"code", CODES, code_word}, by_policy = {"policy", 4, policy_word},
    by_audit_policy = {"audit_policy", 4, policy_word}, by_outcome = {"outcome", 4, outcome_label},
    by_reason = {"reason", REASON_COUNT, reason_label}, by_role = {"role", METRICS_ROLES, role_word},
    by_version = {"version", COUNT(version_words), version_word}, by_suite = {"suite", COUNT(suite_words), suite_word},
    by_resumption = {"resumption", 2, resumption_word}, by_direction = {"direction", 2, direction_word},
    by_way = {"direction", 2, way_word}, by_limit = {"limit", COUNT(limit_words), limit_word},
    by_security = {"security", METRICS_SECURITIES, security_word}, by_stage = {"stage", COUNT(stage_words), stage_word},
    /* Buckets, +Inf, and the sum in microseconds. */
    stage_buckets = {"le", COUNT(stage_us) + 2, NULL}, session_buckets = {"le", COUNT(session_us) + 2, NULL};

static_assert(COUNT(code_words) == CODES, "a word for each code");
static_assert(COUNT(answer_words) == METRICS_ANSWERS && COUNT(security_words) == METRICS_SECURITIES, "a word for each");

/* --- families --- */

/* A row a family, its help in one piece. */
/* clang-format off */
enum family {
	OPEN, LINKS, SESSIONS, ENDED, REFUSALS, OFFERS, POLICY, AUDIT, HANDSHAKES, HANDSHAKES_FAILED, DIRECT, CONFIRMED,
	BYTES, CLEAR_BYTES, LIMITS, STAGE_TIME, SESSION_TIME, FAMILIES
};

static const struct family_row {
	const char *name, *type, *help;
	const struct dimension *by[DIMENSIONS]; /* a histogram's buckets are its last */
	const double *bounds;
} table[FAMILIES] = {
    [OPEN] = {"cci_sessions_open", "gauge", "Sessions that are open now, by what they are to the client.", {&by_security}, NULL},
    [LINKS] = {"cci_links_open", "gauge", "Sessions that are agreed and open now, by what they are between hosts: to the peer, where they are passed on to one, or else to the client.", {&by_security}, NULL},
    [SESSIONS] = {"cci_sessions_total", "counter", "Sessions that were begun.", {NULL}, NULL},
    [ENDED] = {"cci_sessions_ended_total", "counter", "Sessions that have ended, by the reason in their closing record.", {&by_reason}, NULL},
    [REFUSALS] = {"cci_refusals_total", "counter", "Sessions that ended before they were agreed, by reason; what never spoke the protocol apart.", {&by_reason}, NULL},
    [OFFERS] = {"cci_offers_total", "counter", "Answers to clients, by the security they asked for, the answer, and the code of a REFUSE.", {&by_asked, &by_answer, &by_code}, NULL},
    [POLICY] = {"cci_policy_outcomes_total", "counter", "Decisions, by the policy that took them.", {&by_policy, &by_outcome}, NULL},
    [AUDIT] = {"cci_audit_outcomes_total", "counter", "What the policy on trial (audit_policy) would have decided.", {&by_audit_policy, &by_outcome}, NULL},
    [HANDSHAKES] = {"cci_handshakes_total", "counter", "TLS handshakes that were done, with clients (accepting) and peers (connecting).", {&by_role, &by_version, &by_suite, &by_resumption}, NULL},
    [HANDSHAKES_FAILED] = {"cci_handshakes_failed_total", "counter", "TLS handshakes that failed, by reason.", {&by_role, &by_reason}, NULL},
    [DIRECT] = {"cci_direct_starts_total", "counter", "Clients that started with TLS, before any clear byte.", {NULL}, NULL},
    [CONFIRMED] = {"cci_confirmations_total", "counter", "Clear exchanges that were confirmed inside TLS.", {&by_role}, NULL},
    [BYTES] = {"cci_relayed_bytes_total", "counter", "Bytes relayed from clients (up) and to them (down), counted when a session ends.", {&by_direction}, NULL},
    [CLEAR_BYTES] = {"cci_clear_bytes_total", "counter", "Bytes from clients (in) and to them (out) that were not in TLS, counted when a session ends.", {&by_way}, NULL},
    [LIMITS] = {"cci_limits_met_total", "counter", "How often a limit was met.", {&by_limit}, NULL},
    [STAGE_TIME] = {"cci_stage_seconds", "histogram", "How long the stages of sessions took, whatever came of them.", {&by_stage, &stage_buckets}, stage_s},
    [SESSION_TIME] = {"cci_session_seconds", "histogram", "How long sessions lived.", {&session_buckets}, session_s},
};
/* clang-format on */

struct metrics {
	size_t base[FAMILIES + 1]; /* where the counters of each begin in a part */
	unsigned workers;
	struct metrics_part **parts;
};

struct metrics_part {
	const size_t *base;
	atomic_ullong at[];
};

static size_t size_of(const struct family_row *row)
{
	size_t size = 1;

	for (size_t i = 0; i < DIMENSIONS && row->by[i] != NULL; i++)
		size *= row->by[i]->count;
	return size;
}

static struct metrics_part *new_part(const struct metrics *metrics)
{
	size_t size = sizeof(struct metrics_part) + metrics->base[FAMILIES] * sizeof(atomic_ullong);
	struct metrics_part *part;

	/* Whole cache lines: what one thread writes no other has in its own. */
	size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	part = aligned_alloc(CACHE_LINE, size);
	if (part == NULL)
		return NULL;
	memset(part, 0, size);
	part->base = metrics->base;
	return part;
}

struct metrics *metrics_new(unsigned workers)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (metrics == NULL)
		return NULL;
	for (size_t i = 0; i < FAMILIES; i++)
		metrics->base[i + 1] = metrics->base[i] + size_of(&table[i]);
	metrics->parts = calloc(workers, sizeof(struct metrics_part *));
	for (; metrics->parts != NULL && metrics->workers < workers; metrics->workers++) {
		metrics->parts[metrics->workers] = new_part(metrics);
		if (metrics->parts[metrics->workers] == NULL)
			break;
	}
	if (metrics->workers == workers)
		return metrics;
	metrics_free(metrics);
	return NULL;
}

void metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	for (unsigned i = 0; i < metrics->workers; i++)
		free(metrics->parts[i]);
	free(metrics->parts);
	free(metrics);
}

struct metrics_part *metrics_part(struct metrics *metrics, unsigned worker)
{
	return metrics != NULL ? metrics->parts[worker] : NULL;
}

/* --- counting --- */

/* Nobody else writes: no need for the locked addition. What is subtracted from a gauge wraps, and the sum is right. */
static void add(struct metrics_part *part, size_t at, uint64_t number)
{
	unsigned long long before = atomic_load_explicit(&part->at[at], memory_order_relaxed);

	atomic_store_explicit(&part->at[at], before + number, memory_order_relaxed);
}

static size_t place(const struct metrics_part *part, enum family family, const size_t *numbers)
{
	const struct family_row *row = &table[family];
	size_t at = 0;

	for (size_t i = 0; i < DIMENSIONS && row->by[i] != NULL; i++) {
		size_t most = row->by[i]->count - 1;

		at = at * (most + 1) + (numbers[i] < most ? numbers[i] : most);
	}
	return part->base[family] + at;
}

#define ADD(part, family, number, ...)                                                                                \
	do {                                                                                                              \
		if ((part) != NULL)                                                                                           \
			add((part), place((part), (family), (const size_t[DIMENSIONS]){__VA_ARGS__}), (number));                  \
	} while (0)

/* The number of a word; of one that is not there, the last. */
static size_t find(const char *const *words, size_t count, const char *word)
{
	size_t i = 0;

	while (i < count - 1 && (word == NULL || strcmp(words[i], word) != 0))
		i++;
	return i;
}

#define FIND(words, word) find((words), COUNT(words), (word))

static void observe(struct metrics_part *part, enum family family, size_t stage, uint64_t took_us)
{
	bool whole = family == SESSION_TIME;
	const uint64_t *bounds = whole ? session_us : stage_us;
	size_t count = whole ? COUNT(session_us) : COUNT(stage_us), at = 0;

	while (at < count && took_us > bounds[at])
		at++;
	if (whole) {
		ADD(part, family, 1, at);
		ADD(part, family, took_us, count + 1);
	} else {
		ADD(part, family, 1, stage, at);
		ADD(part, family, took_us, stage, count + 1);
	}
}

void metrics_begin(struct metrics_part *part)
{
	ADD(part, SESSIONS, 1, 0);
	ADD(part, OPEN, 1, METRICS_UNDECIDED);
}

void metrics_change(struct metrics_part *part, enum metrics_security from, enum metrics_security to)
{
	ADD(part, OPEN, 1, to);
	ADD(part, OPEN, (uint64_t)-1, from);
}

void metrics_link(struct metrics_part *part, enum metrics_security security, bool begins)
{
	ADD(part, LINKS, begins ? 1 : (uint64_t)-1, security);
}

void metrics_end(struct metrics_part *part, const struct metrics_end *end)
{
	const uint64_t stages[] = {end->exchange_us, end->handshake_us, end->connect_us};

	ADD(part, OPEN, (uint64_t)-1, end->was);
	ADD(part, ENDED, 1, end->reason);
	if (!end->agreed && !end->noise)
		ADD(part, REFUSALS, 1, end->reason);
	ADD(part, BYTES, end->up, 0);
	ADD(part, BYTES, end->down, 1);
	ADD(part, CLEAR_BYTES, end->clear_in, 0);
	ADD(part, CLEAR_BYTES, end->clear_out, 1);
	for (size_t i = 0; part != NULL && i < COUNT(stages); i++)
		if (stages[i] != 0)
			observe(part, STAGE_TIME, i, stages[i]);
	if (part != NULL)
		observe(part, SESSION_TIME, 0, end->duration_us);
}

void metrics_answer(struct metrics_part *part, const char *asked, enum metrics_answer answer, uint16_t code)
{
	ADD(part, OFFERS, 1, FIND(asked_words, asked), answer, code);
}

void metrics_policy(struct metrics_part *part, enum unsecured policy, enum outcome outcome)
{
	ADD(part, POLICY, 1, (size_t)policy - UNSECURED_NEVER, outcome);
}

void metrics_audit(struct metrics_part *part, enum unsecured policy, enum outcome outcome)
{
	ADD(part, AUDIT, 1, (size_t)policy - UNSECURED_NEVER, outcome);
}

void metrics_handshake(struct metrics_part *part, enum metrics_role role, const char *version, const char *suite,
                       bool resumed)
{
	ADD(part, HANDSHAKES, 1, role, FIND(version_words, version), FIND(suite_words, suite), resumed);
}

void metrics_handshake_failed(struct metrics_part *part, enum metrics_role role, enum reason reason)
{
	ADD(part, HANDSHAKES_FAILED, 1, role, reason);
}

void metrics_direct(struct metrics_part *part)
{
	ADD(part, DIRECT, 1, 0);
}

void metrics_confirmed(struct metrics_part *part, enum metrics_role role)
{
	ADD(part, CONFIRMED, 1, role);
}

void metrics_limit(struct metrics_part *part, const char *limit)
{
	ADD(part, LIMITS, 1, FIND(limit_words, limit));
}

/* --- reading --- */

static uint64_t sum(const struct metrics *metrics, size_t at)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < metrics->workers; i++)
		number += atomic_load_explicit(&metrics->parts[i]->at[at], memory_order_relaxed);
	return number;
}

static uint64_t sum_family(const struct metrics *metrics, enum family family)
{
	uint64_t number = 0;

	for (size_t at = metrics->base[family]; at < metrics->base[family + 1]; at++)
		number += sum(metrics, at);
	return number;
}

/* A session that changes between two looks may be seen nowhere, or twice: never fewer than none. */
static uint64_t sum_open(const struct metrics *metrics, enum family family, size_t security)
{
	uint64_t number = sum(metrics, metrics->base[family] + security);

	return number <= INT64_MAX ? number : 0;
}

void metrics_totals(const struct metrics *metrics, struct metrics_totals *totals)
{
	for (size_t i = 0; i < METRICS_SECURITIES; i++) {
		totals->open[i] = sum_open(metrics, OPEN, i);
		totals->links[i] = sum_open(metrics, LINKS, i);
	}
	totals->sessions = sum_family(metrics, ENDED);
	totals->refusals = sum_family(metrics, REFUSALS);
	totals->handshakes = sum_family(metrics, HANDSHAKES);
}

/* The labels of counter number `at` of a family. How many. */
static size_t label(const struct family_row *row, size_t at, struct metrics_label *labels)
{
	size_t count = 0;

	while (count < DIMENSIONS && row->by[count] != NULL)
		count++;
	for (size_t i = count; i-- > 0; at /= row->by[i]->count)
		labels[i] = (struct metrics_label){row->by[i]->label, row->by[i]->word(at % row->by[i]->count)};
	return count;
}

/* Of the many combinations of several labels only those are shown that were counted. */
static void write_counters(const struct metrics *metrics, enum family family, FILE *stream)
{
	const struct family_row *row = &table[family];
	struct metrics_label labels[DIMENSIONS];

	for (size_t i = 0; i < size_of(row); i++) {
		uint64_t number =
		    family == OPEN || family == LINKS ? sum_open(metrics, family, i) : sum(metrics, metrics->base[family] + i);

		if (number != 0 || row->by[1] == NULL)
			metrics_number(stream, row->name, labels, label(row, i, labels), number);
	}
}

static void write_histogram(const struct metrics *metrics, enum family family, FILE *stream)
{
	const struct family_row *row = &table[family];
	const struct dimension *by = row->by[1] != NULL ? row->by[0] : NULL, *buckets = row->by[by != NULL];
	uint64_t numbers[COUNT(stage_us) + 2] = {0};

	static_assert(COUNT(stage_us) >= COUNT(session_us), "room for the longest");
	if (buckets == NULL)
		return; /* a histogram has buckets */
	for (size_t i = 0; i < (by != NULL ? by->count : 1); i++) {
		struct metrics_histogram histogram = {.bounds = row->bounds, .buckets = numbers, .count = buckets->count - 2};
		struct metrics_label stage = {"stage", by != NULL ? by->word(i) : NULL};

		for (size_t j = 0; j < buckets->count; j++)
			numbers[j] = sum(metrics, metrics->base[family] + i * buckets->count + j);
		histogram.sum = (double)numbers[buckets->count - 1] / 1e6;
		metrics_histogram(stream, row->name, &stage, &histogram);
	}
}

void metrics_write(const struct metrics *metrics, FILE *stream)
{
	for (enum family i = 0; i < FAMILIES; i++) {
		metrics_family(stream, table[i].name, table[i].type, table[i].help);
		if (table[i].bounds != NULL)
			write_histogram(metrics, i, stream);
		else
			write_counters(metrics, i, stream);
	}
}
