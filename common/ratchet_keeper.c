/* Keeps the tables of secured names and their file alike. */
#include "ratchet_keeper.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complaint.h"
#include "log.h"
#include "ratchet_file.h"

#define TURN_MS 1000
#define FAILED_MS 10000          /* between two attempts while they fail */
#define TIMES_MS (10 * 60 * 1000) /* times alone are written this often */
#define SHARE 20                 /* at most this part of the main thread's time is for writing */
#define BUSY_MS 30000            /* a lock that is held for longer is no other gateway's write */
#define LAST_ATTEMPTS 50 /* at the end and for a successor, while another process has the lock, LAST_WAIT_US apart */
#define LAST_WAIT_US 20000

struct ratchet_keeper {
	char *path; /* owned; NULL: no file */
	struct ratchet *tables[RATCHET_KINDS];
	struct ratchet_changes saved[RATCHET_KINDS];
	struct stat identity; /* of the file when we last read or wrote it */
	bool failing;         /* and it has been said */
	bool must_write;      /* whatever the tables say: what is on disk is damaged or gone */
	uint64_t pushed_out[RATCHET_KINDS]; /* names, as far as it was said */
	struct complaint full;
	uint64_t next_ms, written_ms;
	uint64_t busy_ms; /* since when the lock was always another's; 0: it was not */
	uv_timer_t timer;
};

/* What one attempt came to. */
enum sync { SYNC_DONE, SYNC_BUSY, SYNC_FAILED };

/* --- what is said --- */

static void say_lifted(const struct ratchet_entry *entry)
{
	struct logline line;

	log_begin(&line, MESSAGE_RATCHET_LIFTED, NULL);
	log_text(&line, "kind", entry->kind == RATCHET_PEER ? "peer" : "client");
	log_text(&line, "name", entry->name);
	log_end(&line);
}

static void say_damaged(const struct ratchet_keeper *keeper, const struct ratchet_reading *reading)
{
	struct logline line;
	struct error error;
	struct text text;
	char detail[256];

	text_init(&text, detail, sizeof(detail));
	ratchet_file_describe(reading, &text);
	log_begin(&line, MESSAGE_RATCHET_DAMAGED, NULL);
	log_text(&line, "file", keeper->path);
	log_text(&line, "detail", detail);
	if (ratchet_file_keep_damaged(keeper->path, &error) == 0)
		log_format(&line, "kept", "%s.damaged", keeper->path);
	else
		log_text(&line, "not_kept", error.text);
	log_end(&line);
}

static void say_gone(const struct ratchet_keeper *keeper)
{
	struct logline line;

	log_begin(&line, MESSAGE_RATCHET_DAMAGED, NULL);
	log_text(&line, "file", keeper->path);
	log_text(&line, "detail",
	         "the file is gone, and is written again from memory; the command that lifts a name is: ratchet lift");
	log_end(&line);
}

static void say_result(struct ratchet_keeper *keeper, enum sync result, const struct error *error)
{
	if (result == SYNC_FAILED && !keeper->failing)
		log_say(MESSAGE_RATCHET_NOT_KEPT, "%s", error->text);
	if (result == SYNC_DONE && keeper->failing)
		log_say(MESSAGE_RATCHET_KEPT, "%s", keeper->path);
	keeper->failing = result == SYNC_FAILED || (keeper->failing && result == SYNC_BUSY);
}

/* Whoever can make up names can push others out: not without a word, and not with one for each. */
static void say_full(struct ratchet_keeper *keeper, uint64_t now_ms)
{
	uint64_t clients = ratchet_pushed_out(keeper->tables[RATCHET_CLIENT]);
	uint64_t peers = ratchet_pushed_out(keeper->tables[RATCHET_PEER]);
	struct logline line;

	if ((clients == keeper->pushed_out[RATCHET_CLIENT] && peers == keeper->pushed_out[RATCHET_PEER]) ||
	    complaint_due(&keeper->full, now_ms) == 0)
		return;
	log_begin(&line, MESSAGE_RATCHET_FULL, NULL);
	log_number(&line, "clients", clients - keeper->pushed_out[RATCHET_CLIENT]);
	log_number(&line, "peers", peers - keeper->pushed_out[RATCHET_PEER]);
	log_end(&line);
	log_flush();
	keeper->pushed_out[RATCHET_CLIENT] = clients;
	keeper->pushed_out[RATCHET_PEER] = peers;
}

/* --- the file, under its lock --- */

static int merge(struct ratchet_keeper *keeper, const struct ratchet_entries *entries, bool lift)
{
	for (int kind = 0; kind < RATCHET_KINDS; kind++) {
		struct ratchet_news news = {
		    .at = entries->at,
		    .count = entries->count,
		    .kind = (enum ratchet_kind)kind,
		    .lifted = lift ? say_lifted : NULL,
		};

		if (ratchet_merge(keeper->tables[kind], &news) != 0)
			return -1;
	}
	return 0;
}

/* Whatever is wrong with the file, no name leaves the tables for it. */
static int take_in(struct ratchet_keeper *keeper, struct error *error)
{
	struct ratchet_reading reading;
	struct stat identity;
	enum ratchet_read result = ratchet_file_read(keeper->path, &reading, &identity, error);
	int merged;

	if (result == RATCHET_READ_FAILED)
		return -1;
	if (result == RATCHET_READ_DAMAGED)
		say_damaged(keeper, &reading);
	if (result == RATCHET_READ_ABSENT && keeper->identity.st_ino != 0)
		say_gone(keeper);
	if (result != RATCHET_READ_OK)
		keeper->must_write = true;
	merged = merge(keeper, &reading.entries, result == RATCHET_READ_OK);
	free(reading.entries.at);
	if (merged != 0)
		return error_set(error, "%s: not enough memory for its names", keeper->path);
	keeper->identity = identity;
	return 0;
}

static int store(struct ratchet_keeper *keeper, struct error *error)
{
	struct ratchet_entries entries = {NULL, 0};
	struct ratchet_changes changes[RATCHET_KINDS];
	int result = 0;

	for (int kind = 0; kind < RATCHET_KINDS && result == 0; kind++)
		result = ratchet_list(keeper->tables[kind], (enum ratchet_kind)kind, &entries, &changes[kind]);
	if (result != 0)
		error_set(error, "%s: not enough memory to write it", keeper->path);
	else
		result = ratchet_file_write(keeper->path, &entries, error);
	free(entries.at);
	if (result != 0)
		return -1;
	for (int kind = 0; kind < RATCHET_KINDS; kind++) {
		ratchet_saved(keeper->tables[kind], &changes[kind]);
		keeper->saved[kind] = changes[kind];
	}
	ratchet_file_identity(keeper->path, &keeper->identity);
	keeper->must_write = false;
	return 0;
}

static bool file_changed(const struct ratchet_keeper *keeper)
{
	struct stat now;

	ratchet_file_identity(keeper->path, &now);
	return !ratchet_file_same(&now, &keeper->identity);
}

/* Another process may have written since: its names are taken in before ours replace them. */
static enum sync sync_file(struct ratchet_keeper *keeper, bool write, struct error *error)
{
	bool busy;
	int lock = ratchet_file_lock(keeper->path, &busy, error), result = 0;

	if (lock < 0)
		return busy ? SYNC_BUSY : SYNC_FAILED;
	if (file_changed(keeper))
		result = take_in(keeper, error);
	if (result == 0 && (write || keeper->must_write))
		result = store(keeper, error);
	ratchet_file_unlock(lock);
	return result == 0 ? SYNC_DONE : SYNC_FAILED;
}

/* --- when --- */

static bool names_changed(const struct ratchet_keeper *keeper)
{
	for (int kind = 0; kind < RATCHET_KINDS; kind++)
		if (ratchet_changes(keeper->tables[kind]).names != keeper->saved[kind].names)
			return true;
	return false;
}

static bool times_changed(const struct ratchet_keeper *keeper)
{
	for (int kind = 0; kind < RATCHET_KINDS; kind++)
		if (ratchet_changes(keeper->tables[kind]).times != keeper->saved[kind].times)
			return true;
	return false;
}

/* Whoever can read the directory can hold its lock: not for ever without a word. */
static enum sync judge_busy(struct ratchet_keeper *keeper, enum sync result, uint64_t now_ms)
{
	if (result != SYNC_BUSY)
		keeper->busy_ms = 0;
	else if (keeper->busy_ms == 0)
		keeper->busy_ms = now_ms;
	return keeper->busy_ms != 0 && now_ms - keeper->busy_ms >= BUSY_MS ? SYNC_FAILED : result;
}

void ratchet_keeper_turn(struct ratchet_keeper *keeper, uint64_t now_ms)
{
	uint64_t began_ns, took_ms;
	struct error error;
	enum sync result;
	bool write;

	for (int kind = 0; kind < RATCHET_KINDS; kind++)
		(void)ratchet_expire(keeper->tables[kind]);
	say_full(keeper, now_ms);
	if (keeper->path == NULL || now_ms < keeper->next_ms)
		return;
	write = names_changed(keeper) || keeper->must_write ||
	        (times_changed(keeper) && now_ms - keeper->written_ms >= TIMES_MS);
	if (!write && !keeper->failing && !file_changed(keeper))
		return;
	began_ns = uv_hrtime();
	result = judge_busy(keeper, sync_file(keeper, write, &error), now_ms);
	took_ms = (uv_hrtime() - began_ns) / 1000000;
	say_result(keeper, result, &error);
	log_flush();
	if (result == SYNC_DONE && write)
		keeper->written_ms = now_ms;
	keeper->next_ms = now_ms + (result == SYNC_FAILED ? FAILED_MS : SHARE * took_ms);
}

static void on_timer(uv_timer_t *timer)
{
	ratchet_keeper_turn(timer->data, uv_now(timer->loop));
}

void ratchet_keeper_start(struct ratchet_keeper *keeper, uv_loop_t *loop)
{
	(void)uv_timer_init(loop, &keeper->timer);
	keeper->timer.data = keeper;
	keeper->written_ms = uv_now(loop);
	(void)uv_timer_start(&keeper->timer, on_timer, TURN_MS, TURN_MS);
}

/* --- start and end --- */

static void say_read(const struct ratchet_keeper *keeper)
{
	struct logline line;

	log_begin(&line, MESSAGE_RATCHET_READ, NULL);
	log_text(&line, "file", keeper->path);
	log_number(&line, "clients", ratchet_count(keeper->tables[RATCHET_CLIENT]));
	log_number(&line, "peers", ratchet_count(keeper->tables[RATCHET_PEER]));
	log_end(&line);
}

/* Before the tables are shared. While another process writes we wait: nobody may be let in by a table that is empty. */
static int first_read(struct ratchet_keeper *keeper, struct error *error)
{
	enum sync result = SYNC_BUSY;

	if (ratchet_file_check(keeper->path, error) != 0)
		return -1;
	keeper->must_write = access(keeper->path, F_OK) != 0;
	for (int i = 0; i < LAST_ATTEMPTS && result == SYNC_BUSY; i++) {
		if (i > 0)
			(void)usleep(LAST_WAIT_US);
		result = sync_file(keeper, false, error);
	}
	if (result != SYNC_DONE)
		return -1;
	say_read(keeper);
	return 0;
}

struct ratchet_keeper *ratchet_keeper_new(const struct ratchet_keeper_options *options, struct error *error)
{
	struct ratchet_keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper != NULL && options->path != NULL)
		keeper->path = strdup(options->path);
	if (keeper == NULL || (options->path != NULL && keeper->path == NULL)) {
		free(keeper);
		error_set(error, "not enough memory");
		return NULL;
	}
	memcpy(keeper->tables, options->tables, sizeof(keeper->tables));
	if (keeper->path == NULL || first_read(keeper, error) == 0)
		return keeper;
	error_prefix(error, "ratchet_file");
	free(keeper->path);
	free(keeper);
	return NULL;
}

static void sync_now(struct ratchet_keeper *keeper, bool write)
{
	enum sync result = SYNC_BUSY;
	struct error error;

	for (int i = 0; i < LAST_ATTEMPTS && result == SYNC_BUSY; i++) {
		if (i > 0)
			(void)usleep(LAST_WAIT_US);
		result = sync_file(keeper, write, &error);
	}
	if (result != SYNC_DONE)
		log_say(MESSAGE_RATCHET_NOT_KEPT, "%s", error.text);
}

void ratchet_keeper_sync(struct ratchet_keeper *keeper)
{
	if (keeper->path != NULL)
		sync_now(keeper, names_changed(keeper));
}

/* What another process has written since is taken in first: it may be the name's only place. */
static int lift_below_lock(struct ratchet_keeper *keeper, enum ratchet_kind kind, const char *name, struct error *error)
{
	struct ratchet_entry entry = {.kind = kind};

	if (keeper->path != NULL && file_changed(keeper) && take_in(keeper, error) != 0)
		return -1;
	if (!ratchet_lift(keeper->tables[kind], name))
		return error_set(error, "no %s %s is held%s", kind == RATCHET_PEER ? "peer" : "client", name,
		                 kind == RATCHET_CLIENT && ratchet_holds(keeper->tables[RATCHET_PEER], name)
		                     ? ", but a peer of that name: --peer"
		                     : "");
	(void)snprintf(entry.name, sizeof(entry.name), "%s", name);
	say_lifted(&entry);
	if (keeper->path == NULL || store(keeper, error) == 0)
		return 0;
	keeper->must_write = true;
	return error_prefix(error, "%s is lifted, but the file holds it still, and a restart will", name);
}

int ratchet_keeper_lift(struct ratchet_keeper *keeper, enum ratchet_kind kind, const char *name, struct error *error)
{
	int lock = -1, result;
	bool busy = true;

	if (keeper->path == NULL)
		return lift_below_lock(keeper, kind, name, error);
	for (int i = 0; i < LAST_ATTEMPTS && busy && lock < 0; i++) {
		if (i > 0)
			(void)usleep(LAST_WAIT_US);
		lock = ratchet_file_lock(keeper->path, &busy, error);
	}
	if (lock < 0)
		return busy ? error_set(error, "%s: another process holds its lock: try again", keeper->path) : -1;
	result = lift_below_lock(keeper, kind, name, error);
	ratchet_file_unlock(lock);
	return result;
}

void ratchet_keeper_free(struct ratchet_keeper *keeper)
{
	if (keeper == NULL)
		return;
	if (keeper->path != NULL && (names_changed(keeper) || times_changed(keeper) || keeper->must_write))
		sync_now(keeper, true);
	free(keeper->path);
	free(keeper);
}
