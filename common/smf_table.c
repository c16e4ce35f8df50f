/* Which SMF records an event makes due, and which time does. */
#include "smf_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "smf_sessions.h"

#define CHAINS 4096

/* One leg: both of a session have its id. */
struct node {
	uint8_t id[16];
	uint8_t role;
	bool initiated, changed;     /* its initiation, and its change to TLS, are written */
	struct smf_connection *held; /* owned: the initiation to be written; NULL: none */
	struct smf_entry *session;   /* where it is active; NULL: nowhere */
	uint64_t clear_in, clear_out; /* counted under the clear session already */
	struct node *next;           /* in its chain */
	TAILQ_ENTRY(node) waiting;   /* while `held` */
};

TAILQ_HEAD(node_list, node);

struct smf_table {
	struct smf_table_options options;
	struct smf_sessions *sessions;
	struct node_list waiting;
	size_t count;
	uint64_t over, over_us;    /* how often there was no room for a leg, and when last */
	uint64_t began_us, due_us; /* of the interval */
	bool enabled;              /* is written */
	struct node *chains[CHAINS];
};

/* --- nodes --- */

/* Ids are random. */
static struct node **place_of(struct smf_table *table, const uint8_t *id, int role)
{
	struct node **at = &table->chains[((unsigned)id[0] << 8 | id[1]) % CHAINS];

	while (*at != NULL && ((*at)->role != role || memcmp((*at)->id, id, sizeof((*at)->id)) != 0))
		at = &(*at)->next;
	return at;
}

static struct node *find(struct smf_table *table, const struct smf_connection *connection)
{
	return *place_of(table, connection->id, connection->role);
}

static void stop_waiting(struct smf_table *table, struct node *node)
{
	if (node->held != NULL)
		TAILQ_REMOVE(&table->waiting, node, waiting);
	free(node->held);
	node->held = NULL;
}

static void leave(struct node *node)
{
	if (node->session == NULL)
		return;
	node->session->end.active--;
	node->session->changed++;
	node->session = NULL;
}

static void enter(struct node *node, struct smf_entry *entry)
{
	leave(node);
	entry->end.connections++;
	entry->end.active++;
	entry->changed++;
	node->session = entry;
}

static void drop(struct smf_table *table, const uint8_t *id, int role)
{
	struct node **at = place_of(table, id, role);
	struct node *node = *at;

	if (node == NULL)
		return;
	stop_waiting(table, node);
	leave(node);
	*at = node->next;
	free(node);
	table->count--;
}

static void note_over(struct smf_table *table, const struct smf_connection *connection)
{
	table->over++;
	if (connection->time_us > table->over_us)
		table->over_us = connection->time_us;
}

/* Find or add. NULL: there is no room. */
static struct node *obtain(struct smf_table *table, const struct smf_connection *connection)
{
	struct node **at = place_of(table, connection->id, connection->role);
	struct node *node = *at;

	if (node != NULL)
		return node;
	node = table->count < table->options.connections ? calloc(1, sizeof(*node)) : NULL;
	if (node == NULL) {
		note_over(table, connection);
		return NULL;
	}
	memcpy(node->id, connection->id, sizeof(node->id));
	node->role = connection->role;
	*at = node;
	table->count++;
	return node;
}

static struct smf_entry *session_at(struct smf_table *table, const struct smf_connection *connection, bool protected)
{
	struct smf_session session;

	smf_session_of(&session, connection, protected);
	return smf_sessions_at(table->sessions, &session);
}

/* --- records --- */

#define MOMENTS_MOST 3

/* `count` of them, all or none. */
static int emit(struct smf_table *table, const struct smf_connection *connection, const enum smf_moment *moments,
                size_t count, uint64_t now_us)
{
	uint8_t records[MOMENTS_MOST * SMF_DETAIL_SIZE];
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += smf_detail(records + size, table->options.origin, connection, moments[i], now_us);
	return table->options.emit(table->options.owner, records, size);
}

static int emit_plain(struct smf_table *table, enum smf_summary_event event, uint64_t now_us)
{
	const struct smf_summary summary = {.event = event};
	uint8_t record[SMF_SUMMARY_SIZE];
	size_t size = smf_summary(record, table->options.origin, &summary, now_us);

	return table->options.emit(table->options.owner, record, size);
}

/* --- events --- */

static const enum smf_moment changing[] = {SMF_INITIATION, SMF_CHANGE};

/* A change is announced: what came before it was in the clear, and that is written now. */
static int on_starting(struct smf_table *table, const struct smf_connection *connection, uint64_t now_us)
{
	struct node *node = obtain(table, connection);

	/* Without room it is written together with the change. */
	if (node == NULL || node->initiated)
		return 0;
	if (emit(table, connection, changing, 1, now_us) != 0)
		return -1;
	stop_waiting(table, node);
	node->initiated = true;
	enter(node, session_at(table, connection, false));
	return 0;
}

/* Nothing is written before ten seconds are over. */
static int on_settled(struct smf_table *table, const struct smf_connection *connection)
{
	struct node *node = obtain(table, connection);

	if (node == NULL || node->initiated || node->held != NULL)
		return 0;
	node->held = malloc(sizeof(*node->held));
	if (node->held == NULL) {
		drop(table, connection->id, connection->role);
		note_over(table, connection);
		return 0;
	}
	*node->held = *connection;
	TAILQ_INSERT_TAIL(&table->waiting, node, waiting);
	enter(node, session_at(table, connection, connection->secured));
	return 0;
}

static void account_change(struct smf_table *table, struct node *node, const struct smf_connection *connection)
{
	struct smf_entry *clear = node != NULL ? node->session : NULL;

	if (clear == NULL) {
		clear = session_at(table, connection, false);
		clear->end.connections++;
	} else {
		leave(node);
	}
	clear->end.partial++;
	clear->end.bytes_in += connection->clear_in;
	clear->end.bytes_out += connection->clear_out;
	clear->changed++;
	if (node == NULL)
		return;
	stop_waiting(table, node);
	node->initiated = node->changed = true;
	node->clear_in = connection->clear_in;
	node->clear_out = connection->clear_out;
	enter(node, session_at(table, connection, true));
	node->session->end.partial++;
}

static int on_changed(struct smf_table *table, const struct smf_connection *connection, uint64_t now_us)
{
	struct node *node = obtain(table, connection);
	size_t first = node != NULL && node->initiated ? 1 : 0;
	int result = emit(table, connection, changing + first, 2 - first, now_us);

	if (result == 0)
		account_change(table, node, connection);
	return result;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* `node` may be NULL. Where it is not known how it began, this is all that will ever be known. */
static void account_end(struct smf_table *table, struct node *node, const struct smf_connection *connection,
                        bool is_brief)
{
	bool is_partial = connection->secured && connection->upgraded;
	struct smf_entry *entry = node != NULL ? node->session : NULL;
	uint64_t clear_in = is_partial ? connection->clear_in : 0, clear_out = is_partial ? connection->clear_out : 0;

	if (entry == NULL) {
		entry = session_at(table, connection, connection->secured);
		entry->end.connections++;
		entry->end.partial += is_partial;
	} else {
		clear_in = node->clear_in;
		clear_out = node->clear_out;
		leave(node);
	}
	entry->end.short_ones += is_brief;
	entry->end.bytes_in += less(connection->bytes_in, clear_in);
	entry->end.bytes_out += less(connection->bytes_out, clear_out);
	entry->end.segments_in += connection->segments_in;
	entry->end.segments_out += connection->segments_out;
	entry->changed++;
}

static bool has_turned(const struct smf_connection *connection)
{
	return connection->secured && connection->upgraded;
}

/* There was no room for it at some time: an initiation, and a change, are written then all the same. */
static bool may_lack_node(const struct smf_table *table, const struct smf_connection *connection)
{
	return table->over_us >= connection->started_us && table->over > 0;
}

static bool was_initiated(const struct smf_table *table, const struct node *node,
                          const struct smf_connection *connection)
{
	return node != NULL ? node->initiated : has_turned(connection) && may_lack_node(table, connection);
}

/* It turned, and the event that said so was lost. */
static bool lacks_change(const struct smf_table *table, const struct node *node,
                         const struct smf_connection *connection)
{
	return has_turned(connection) && (node != NULL ? !node->changed : !may_lack_node(table, connection));
}

static bool is_short(const struct smf_table *table, const struct node *node, const struct smf_connection *connection)
{
	return less(connection->time_us, connection->started_us) < SMF_HOLD_US && !has_turned(connection) &&
	       !was_initiated(table, node, connection);
}

/* With whatever of it is not written yet. */
static int emit_end(struct smf_table *table, const struct node *node, const struct smf_connection *connection,
                    uint64_t now_us)
{
	enum smf_moment moments[MOMENTS_MOST];
	size_t count = 0;

	if (is_short(table, node, connection)) {
		moments[count++] = SMF_SHORT;
	} else {
		if (!was_initiated(table, node, connection))
			moments[count++] = SMF_INITIATION;
		if (lacks_change(table, node, connection))
			moments[count++] = SMF_CHANGE;
		moments[count++] = SMF_TERMINATION;
	}
	return emit(table, connection, moments, count, now_us);
}

static int on_end(struct smf_table *table, const struct smf_connection *connection, uint64_t now_us)
{
	struct node *node = find(table, connection);

	if (connection->is_connected) {
		bool is_brief = is_short(table, node, connection);

		if (emit_end(table, node, connection, now_us) != 0)
			return -1;
		if (lacks_change(table, node, connection))
			account_change(table, node, connection);
		account_end(table, node, connection, is_brief);
	}
	drop(table, connection->id, connection->role);
	return 0;
}

int smf_table_take(struct smf_table *table, const struct smf_connection *connection, uint64_t now_us)
{
	switch (connection->event) {
	case CCI_HANDSHAKE_STARTING:
		return on_starting(table, connection, now_us);
	case CCI_UNSECURED:
		return on_settled(table, connection);
	case CCI_HANDSHAKE_DONE:
		return connection->upgraded ? on_changed(table, connection, now_us) : on_settled(table, connection);
	case CCI_HANDSHAKE_FAILED:
		/* On the accepting side another event tells the end. */
		return connection->role == CCI_CONNECTING ? on_end(table, connection, now_us) : 0;
	case CCI_REFUSED:
	case CCI_CLOSED:
		return on_end(table, connection, now_us);
	default:
		return 0;
	}
}

void smf_table_forget(struct smf_table *table, const uint8_t *id, int role)
{
	drop(table, id, role);
}

/* --- time --- */

static void begin_interval(struct smf_table *table, uint64_t now_us)
{
	table->began_us = now_us;
	table->due_us = (now_us / table->options.interval_us + 1) * table->options.interval_us;
}

static int write_initiations(struct smf_table *table, uint64_t now_us)
{
	struct node *node, *next;

	for (node = TAILQ_FIRST(&table->waiting); node != NULL; node = next) {
		next = TAILQ_NEXT(node, waiting);
		if (less(now_us, node->held->started_us) < SMF_HOLD_US)
			continue;
		if (emit(table, node->held, changing, 1, now_us) != 0)
			return -1;
		node->initiated = true;
		stop_waiting(table, node);
	}
	return 0;
}

/* All records of an interval or none, so that what tells "more follow" from the last stays true. */
static int write_summary(struct smf_table *table, uint64_t now_us)
{
	uint64_t interval_us = less(now_us, table->began_us);
	size_t size;
	uint8_t *records = smf_sessions_summary(table->sessions, table->options.origin, interval_us, now_us, &size);
	int result = -1;

	if (size == 0)
		result = 0;
	else if (records != NULL)
		result = table->options.emit(table->options.owner, records, size);
	free(records);
	if (result != 0)
		return -1;
	smf_sessions_begin(table->sessions);
	begin_interval(table, now_us);
	return 0;
}

static int write_enabled(struct smf_table *table, uint64_t now_us)
{
	if (!table->enabled && emit_plain(table, SMF_ENABLED, now_us) != 0)
		return -1;
	table->enabled = true;
	return 0;
}

void smf_table_turn(struct smf_table *table, uint64_t now_us)
{
	if (write_enabled(table, now_us) != 0 || write_initiations(table, now_us) != 0)
		return;
	/* A clock that was set back. */
	if (now_us < table->began_us)
		begin_interval(table, now_us);
	if (now_us >= table->due_us)
		(void)!write_summary(table, now_us);
}

int smf_table_finish(struct smf_table *table, uint64_t now_us)
{
	if (write_enabled(table, now_us) != 0 || write_initiations(table, now_us) != 0 || write_summary(table, now_us) != 0)
		return -1;
	return emit_plain(table, SMF_DISABLED, now_us);
}

/* --- the table --- */

struct smf_table *smf_table_new(const struct smf_table_options *options, uint64_t now_us)
{
	struct smf_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->options = *options;
	TAILQ_INIT(&table->waiting);
	begin_interval(table, now_us);
	table->sessions = smf_sessions_new(options->sessions);
	if (table->sessions != NULL)
		return table;
	free(table);
	return NULL;
}

void smf_table_counts(const struct smf_table *table, struct smf_table_count *count)
{
	*count = (struct smf_table_count){.connections = table->count,
	                                  .sessions = smf_sessions_count(table->sessions),
	                                  .connections_over = table->over,
	                                  .sessions_over = smf_sessions_over(table->sessions)};
}

void smf_table_free(struct smf_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < CHAINS; i++)
		while (table->chains[i] != NULL)
			drop(table, table->chains[i]->id, table->chains[i]->role);
	smf_sessions_free(table->sessions);
	free(table);
}
