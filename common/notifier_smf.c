/* The notifier kind `smf`: events are cut to what records hold and queued; one thread knows what is written when. */
#include "notifier_smf.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "complaint.h"
#include "log.h"
#include "notifier.h"
#include "outlet.h"
#include "smf.h"
#include "smf_file.h"
#include "smf_table.h"
#include "version.h"

#define CONNECTIONS_MAX 65536
#define SESSIONS_MAX 4096
#define CLOSE_MS 3000

/* The last event of a leg, for which the queue had no room, or whose file was failing. */
struct lost_end {
	uint8_t id[16];
	int role;
	struct smf_connection *connection; /* owned: what is to be written of it; NULL: it is forgotten */
	SLIST_ENTRY(lost_end) next;
};

SLIST_HEAD(lost_ends, lost_end);

struct smf {
	char *name;
	struct outlet *outlet;
	/* The outlet's thread alone, until it has ended */
	struct smf_file *file;
	struct smf_table *table;
	struct error error; /* of the last write that failed */
	bool failing;
	uint64_t said_over;
	bool clean;             /* all that was taken since the last turn is in the table */
	struct lost_ends older; /* than what is being taken now: nothing of their legs waits in the queue any more */
	struct lost_ends newer;
	uid_t uid;
	struct complaint trouble, full;
	/* All threads; of `origin` they look at the provider, which never changes */
	struct smf_origin origin;
	atomic_bool reopen;
	atomic_ullong over;
	pthread_mutex_t lock; /* for lost_ends */
	struct lost_ends lost_ends;
	unsigned lost_count;     /* in the list */
	unsigned lost_whole;     /* that are kept whole, in all lists */
	unsigned lost_whole_most;
};

/* --- what is said --- */

static void say(struct smf *smf, enum message message, const char *detail, uint64_t number)
{
	struct logline line;

	log_begin(&line, message, NULL);
	log_text(&line, "notifier", smf->name);
	if (detail != NULL)
		log_text(&line, "detail", detail);
	if (number != 0)
		log_number(&line, "number", number);
	log_end(&line);
}

static void note_trouble(struct smf *smf, const struct error *error)
{
	smf->failing = true;
	if (complaint_due(&smf->trouble, clock_utc_us() / 1000) != 0)
		say(smf, MESSAGE_SMF_NOT_WRITTEN, error->text, 0);
}

static void say_over(struct smf *smf)
{
	struct smf_table_count count;
	uint64_t over;

	smf_table_counts(smf->table, &count);
	over = count.connections_over + count.sessions_over;
	atomic_store(&smf->over, over);
	if (over == smf->said_over || complaint_due(&smf->full, clock_utc_us() / 1000) == 0)
		return;
	say(smf, MESSAGE_SMF_FULL, NULL, over - smf->said_over);
	smf->said_over = over;
}

/* --- whose records they are --- */

/* The user may still change after the start (user = of [gateway]); who has no entry is a number. */
static void learn_user(struct smf *smf)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];
	uid_t uid = geteuid();

	if (uid == smf->uid)
		return;
	smf->uid = uid;
	if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL)
		(void)snprintf(smf->origin.user, sizeof(smf->origin.user), "%.8s", found->pw_name);
	else
		(void)snprintf(smf->origin.user, sizeof(smf->origin.user), "%.8lu", (unsigned long)uid % 100000000);
}

static void learn_zone(struct smf *smf)
{
	time_t now = time(NULL);
	struct tm tm;

	smf->origin.offset_s = localtime_r(&now, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

static void fill_origin(struct smf *smf, const struct cci_notifier_options *options)
{
	struct smf_origin *origin = &smf->origin;
	long pid = getpid();
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	(void)snprintf(origin->system_id, sizeof(origin->system_id), "%.4s", options->gateway);
	(void)snprintf(origin->system, sizeof(origin->system), "%.8s", host);
	(void)snprintf(origin->stack, sizeof(origin->stack), "%.8s", options->gateway);
	(void)snprintf(origin->release, sizeof(origin->release), "%.8s", GATEWAY_VERSION);
	(void)snprintf(origin->component, sizeof(origin->component), "%.8s", options->program);
	(void)snprintf(origin->job, sizeof(origin->job), "%.8s", options->program);
	(void)snprintf(origin->job_id, sizeof(origin->job_id), "%u", (unsigned)pid % 100000000);
	(void)snprintf(origin->provider, sizeof(origin->provider), "OpenSSL %.8s", OpenSSL_version(OPENSSL_VERSION_STRING));
	origin->asid = pid <= UINT16_MAX ? (uint16_t)pid : 0;
	smf->uid = (uid_t)-1;
	learn_user(smf);
	learn_zone(smf);
}

/* --- the outlet's thread --- */

static int emit(void *owner, const uint8_t *records, size_t size)
{
	struct smf *smf = owner;

	if (smf_file_put(smf->file, records, size, &smf->error) == 0)
		return 0;
	note_trouble(smf, &smf->error);
	return -1;
}

static int flush(struct smf *smf)
{
	if (smf_file_flush(smf->file, &smf->error) == 0) {
		smf->failing = false;
		return 0;
	}
	note_trouble(smf, &smf->error);
	return -1;
}

static int write_smf(void *owner, const char *bytes, size_t size, struct error *error)
{
	struct smf_connection connection;
	struct smf *smf = owner;

	memcpy(&connection, bytes, size < sizeof(connection) ? size : sizeof(connection));
	/* What is gathered could go on for a while; but whoever is told must know that nothing reaches the file. */
	if ((!smf->failing || flush(smf) == 0) && smf_table_take(smf->table, &connection, clock_utc_us()) == 0)
		return 0;
	smf->clean = false;
	return error_set(error, "%s", smf->error.text);
}

static void move_ends(struct lost_ends *from, struct lost_ends *to)
{
	struct lost_end *lost;

	while ((lost = SLIST_FIRST(from)) != NULL) {
		SLIST_REMOVE_HEAD(from, next);
		SLIST_INSERT_HEAD(to, lost, next);
	}
}

/* What comes in from now on is newer than what is taken now. */
static void collect_lost_ends(struct smf *smf)
{
	(void)pthread_mutex_lock(&smf->lock);
	move_ends(&smf->lost_ends, &smf->newer);
	smf->lost_count = 0;
	(void)pthread_mutex_unlock(&smf->lock);
	smf->clean = true;
}

static void free_lost_end(struct smf *smf, struct lost_end *lost)
{
	if (lost->connection != NULL) {
		(void)pthread_mutex_lock(&smf->lock);
		smf->lost_whole--;
		(void)pthread_mutex_unlock(&smf->lock);
	}
	free(lost->connection);
	free(lost);
}

/* 0, or -1: the file fails still, and those that are left are tried again. */
static int take_lost_ends(struct smf *smf, struct lost_ends *ends)
{
	struct lost_end *lost;

	while ((lost = SLIST_FIRST(ends)) != NULL) {
		if (lost->connection == NULL)
			smf_table_forget(smf->table, lost->id, lost->role);
		else if (smf_table_take(smf->table, lost->connection, clock_utc_us()) != 0)
			return -1;
		SLIST_REMOVE_HEAD(ends, next);
		free_lost_end(smf, lost);
	}
	return 0;
}

/* An end is taken behind what its leg has in the queue. */
static void take_due_ends(struct smf *smf)
{
	if (!smf->clean || smf->failing || take_lost_ends(smf, &smf->older) != 0)
		return;
	move_ends(&smf->newer, &smf->older);
}

static void reopen_if_due(struct smf *smf)
{
	uint64_t cut_bytes;

	if (!atomic_exchange(&smf->reopen, false))
		return;
	if (smf_file_reopen(smf->file, &cut_bytes, &smf->error) == 0) {
		if (cut_bytes != 0)
			say(smf, MESSAGE_SMF_CUT, NULL, cut_bytes);
		return;
	}
	note_trouble(smf, &smf->error);
	atomic_store(&smf->reopen, true);
}

static void turn_smf(void *owner)
{
	struct smf *smf = owner;

	reopen_if_due(smf);
	learn_user(smf);
	learn_zone(smf);
	collect_lost_ends(smf);
	smf_table_turn(smf->table, clock_utc_us());
	say_over(smf);
	(void)flush(smf);
}

static int flush_smf(void *owner, struct error *error)
{
	struct smf *smf = owner;

	take_due_ends(smf);
	return flush(smf) == 0 ? 0 : error_set(error, "%s", smf->error.text);
}

/* --- the kind --- */

static void drop_lost_ends(struct smf *smf, struct lost_ends *ends)
{
	struct lost_end *lost;

	while ((lost = SLIST_FIRST(ends)) != NULL) {
		SLIST_REMOVE_HEAD(ends, next);
		free_lost_end(smf, lost);
	}
}

static void free_smf(struct smf *smf)
{
	if (smf == NULL)
		return;
	drop_lost_ends(smf, &smf->lost_ends);
	drop_lost_ends(smf, &smf->newer);
	drop_lost_ends(smf, &smf->older);
	smf_table_free(smf->table);
	smf_file_close(smf->file);
	(void)pthread_mutex_destroy(&smf->lock);
	free(smf->name);
	free(smf);
}

static struct smf *new_smf(const struct cci_notifier_options *options, struct error *error)
{
	struct smf *smf = calloc(1, sizeof(*smf));
	struct smf_table_options table = {.connections = CONNECTIONS_MAX, .sessions = SESSIONS_MAX, .emit = emit};
	uint64_t cut_bytes = 0;

	if (smf == NULL || pthread_mutex_init(&smf->lock, NULL) != 0) {
		free(smf);
		error_set(error, "not enough memory");
		return NULL;
	}
	fill_origin(smf, options);
	table.origin = &smf->origin;
	table.interval_us = options->interval_ms * 1000;
	table.owner = smf;
	smf->lost_whole_most = (unsigned)(options->queue_bytes / sizeof(struct smf_connection));
	smf->name = strdup(options->name);
	smf->table = smf->name != NULL ? smf_table_new(&table, clock_utc_us()) : NULL;
	if (smf->table == NULL)
		error_set(error, "not enough memory");
	else
		smf->file = smf_file_open(options->path, (mode_t)options->mode, &cut_bytes, error);
	if (cut_bytes != 0)
		say(smf, MESSAGE_SMF_CUT, options->path, cut_bytes);
	if (smf->file != NULL && (options->sync == 0 || smf_file_keep(smf->file, error) == 0))
		return smf;
	free_smf(smf);
	return NULL;
}

static int open_smf(const struct cci_notifier_options *options, void **state, char *words, size_t size)
{
	const struct outlet_options outlet = {
	    .name = "smf", .limit_bytes = options->queue_bytes, .write = write_smf, .turn = turn_smf, .flush = flush_smf};
	struct outlet_options with_owner = outlet;
	struct error error = {.text = ""};
	struct smf *smf = NULL;

	if (options->path == NULL)
		error_set(&error, "path is missing: the file to append to");
	else
		smf = new_smf(options, &error);
	with_owner.owner = smf;
	if (smf != NULL)
		smf->outlet = outlet_new(&with_owner, &error);
	if (smf == NULL || smf->outlet == NULL) {
		free_smf(smf);
		(void)snprintf(words, size, "%s", error.text);
		return -1;
	}
	*state = smf;
	return 0;
}

/* The termination is written later; where there is no room for that either, the leg is at least not active for ever. */
static void remember_lost_end(struct smf *smf, const struct smf_connection *connection)
{
	struct lost_end *lost = malloc(sizeof(*lost));
	struct smf_connection *whole = lost != NULL ? malloc(sizeof(*whole)) : NULL;

	if (lost == NULL)
		return;
	memcpy(lost->id, connection->id, sizeof(lost->id));
	lost->role = connection->role;
	lost->connection = NULL;
	(void)pthread_mutex_lock(&smf->lock);
	if (whole != NULL && smf->lost_whole < smf->lost_whole_most) {
		*whole = *connection;
		lost->connection = whole;
		whole = NULL;
		smf->lost_whole++;
	}
	if (lost->connection != NULL || smf->lost_count < CONNECTIONS_MAX) {
		SLIST_INSERT_HEAD(&smf->lost_ends, lost, next);
		smf->lost_count++;
		lost = NULL;
	}
	(void)pthread_mutex_unlock(&smf->lock);
	free(whole);
	free(lost);
}

static int notify_smf(void *state, const struct cci_event *event)
{
	struct cci_pending *pending = notifier_pending(event);
	struct smf_connection connection;
	struct smf *smf = state;
	int result = notifier_check(event);

	if (result != CCI_NOTIFIED)
		return result;
	smf_connection_of(&connection, &smf->origin, event);
	if (outlet_put(smf->outlet, (const char *)&connection, sizeof(connection), pending) == 0)
		return pending != NULL ? CCI_PENDING : CCI_NOTIFIED;
	if (event->type == CCI_CLOSED || event->type == CCI_REFUSED || event->type == CCI_HANDSHAKE_FAILED)
		remember_lost_end(smf, &connection);
	return CCI_FAILED;
}

static void close_smf(void *state)
{
	struct smf *smf = state;
	uint64_t dropped = outlet_free(smf->outlet, CLOSE_MS);
	int result;

	collect_lost_ends(smf);
	result = take_lost_ends(smf, &smf->older) | take_lost_ends(smf, &smf->newer);
	if (result != 0 || smf_table_finish(smf->table, clock_utc_us()) != 0 || flush(smf) != 0 || dropped != 0)
		say(smf, MESSAGE_SMF_LOST, smf->error.text, dropped);
	free_smf(smf);
}

static void reopen_smf(void *state)
{
	struct smf *smf = state;

	atomic_store(&smf->reopen, true);
	outlet_wake(smf->outlet);
}

static void status_smf(void *state, struct cci_notifier_status *status)
{
	struct smf *smf = state;
	unsigned long long over = atomic_load(&smf->over);

	outlet_status(smf->outlet, status);
	if (status->error[0] == '\0' && over != 0)
		(void)snprintf(status->error, sizeof(status->error), "%llu connections or sessions had no room in the tables",
		               over);
}

int notifier_smf_check(const struct config *config, config_report *report, void *context)
{
	struct error error;
	int result = 0;

	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *section = &config->notifiers[i];

		if (section->kind == NULL || strcmp(section->kind, "smf") != 0 || section->path == NULL ||
		    smf_file_check(section->path, &error) == 0)
			continue;
		(void)error_prefix(&error, "[notifier %s] path", section->place.name);
		report(context, true, config->file, config_line_of(config, "notifier", section->place.name, "path"),
		       error.text);
		result = -1;
	}
	return result;
}

const struct cci_notifier_kind notifier_smf_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "smf",
    .wants = CCI_WANTS_EVENTS,
    .open = open_smf,
    .notify = notify_smf,
    .close = close_smf,
    .reopen = reopen_smf,
    .status = status_smf,
};
