/* What a running gateway says of itself: its state, connections, notifiers, secured names. */
#include "inspect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "daemon_parts.h"
#include "jsontext.h"
#include "notifier.h"
#include "record.h"
#include "keyholder.h"
#include "sandbox.h"
#include "session_view.h"
#include "starter.h"
#include "version.h"

#define SLICE 128 /* sessions that a worker copies at once, and names that are told at once */
#define ID_DIGITS_LEAST 4
#define SILENT_MS 3000 /* a worker that has not come by for so long is not waited for */

/* --- status --- */

static uint64_t accepted(const struct daemon *daemon)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < daemon->worker_count; i++)
		count += worker_accepted(daemon->workers[i]);
	return count;
}

static json_t *open_now(const struct metrics_totals *totals)
{
	json_t *open = json_object();

	json_put_number(open, "secured", totals->open[METRICS_SECURED]);
	json_put_number(open, "clear", totals->open[METRICS_CLEAR]);
	json_put_number(open, "undecided", totals->open[METRICS_UNDECIDED]);
	return open;
}

static json_t *listening(const struct daemon *daemon)
{
	const struct config *config = daemon->snapshot->config;
	json_t *listeners = json_array();
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		json_t *one = json_object(), *addresses = json_array();

		json_put_text(one, "name", listener->place.name);
		for (size_t j = 0; j < listener->address.count; j++)
			(void)json_array_append_new(addresses, json_of_text(address_format(&listener->address.at[j], text)));
		(void)json_object_set_new(one, "addresses", addresses);
		json_put_text(one, "policy", unsecured_word((enum unsecured)listener->unsecured));
		if (listener->audit != UNSECURED_INHERIT)
			json_put_text(one, "audit_policy", unsecured_word((enum unsecured)listener->audit));
		(void)json_array_append_new(listeners, one);
	}
	return listeners;
}

/* What is agreed, by what it is between hosts. */
static json_t *links_now(const struct metrics_totals *totals)
{
	json_t *links = json_object();

	json_put_number(links, "secured", totals->links[METRICS_SECURED]);
	json_put_number(links, "clear", totals->links[METRICS_CLEAR]);
	return links;
}

json_t *inspect_status(struct daemon *daemon)
{
	json_t *status = json_object();
	const char *why = http_unready(daemon);
	struct metrics_totals totals;

	metrics_totals(daemon->metrics, &totals);
	json_put_text(status, "program", program_word(daemon->program));
	json_put_text(status, "version", GATEWAY_VERSION);
	json_put_text(status, "sysid", daemon->snapshot->config->gateway.sysid);
	json_put_number(status, "pid", (uint64_t)getpid());
	json_put_text(status, "config", daemon->file);
	json_put_utc(status, "started", daemon->started_us);
	json_put_number(status, "uptime_s", (clock_utc_us() - daemon->started_us) / 1000000);
	json_put_utc(status, "in_force", daemon->in_force_us);
	json_put_utc(status, "now", clock_utc_us());
	json_put_bool(status, "ready", why == NULL);
	json_put_said(status, "not_ready", why);
	json_put_bool(status, "draining", daemon->draining);
	json_put_bool(status, "reload_failed", daemon->reload_failed);
	json_put_number(status, "workers", daemon->worker_count);
	json_put_text(status, "sandbox", sandbox_words());
	json_put_said(status, "sandbox_missing", sandbox_missing());
	json_put_said(status, "sandbox_open", sandbox_open());
	json_put_said(status, "keys_sandbox", keyholder_words());
	json_put_bool(status, "starter", starter_is_there());
	json_put_number(status, "accepted", accepted(daemon));
	json_put_number(status, "ended", totals.sessions);
	json_put_number(status, "refusals", totals.refusals);
	json_put_number(status, "handshakes", totals.handshakes);
	json_put_number(status, "log_lines_lost", log_lost());
	json_put_text(status, "log_level", log_level_word(log_level()));
	(void)json_object_set_new(status, "open", open_now(&totals));
	(void)json_object_set_new(status, "links", links_now(&totals));
	(void)json_object_set_new(status, "listeners", listening(daemon));
	return status;
}

/* --- connections --- */

int inspect_reach(struct daemon *daemon, struct error *error)
{
	for (unsigned i = 0; i < daemon->worker_count; i++) {
		uint64_t silent_ms = worker_silent_ms(daemon->workers[i]);

		if (silent_ms >= SILENT_MS)
			return error_set(error, "worker %u has not come by for %llu ms, and would have to be waited for: try again",
			                 i, (unsigned long long)silent_ms);
	}
	return 0;
}

static void put_security(json_t *one, const struct session_view *view)
{
	json_put_bool(one, "secured", view->secured);
	if (!view->secured)
		return;
	json_put_utc(one, "secured_at", view->secured_us);
	json_put_said(one, "tls_version", view->tls_version);
	json_put_said(one, "tls_suite", view->tls_suite);
	json_put_said(one, "tls_alpn", view->tls_alpn);
	json_put_text(one, "tls_start", view->direct ? "direct" : "upgrade");
	json_put_bool(one, "confirmed", view->confirmed);
}

static void put_onward(json_t *one, const struct session_view *view)
{
	json_put_said(one, "to_kind", view->to_kind);
	json_put_said(one, "to_name", view->to);
	if (view->to_connected && view->to_address.any.sa_family != 0)
		json_put_address(one, "to", &view->to_address.any);
	if (view->to_connected)
		json_put_bool(one, "to_secured", view->to_secured);
}

/* Members are named as in the closing record. */
static json_t *connection_json(const struct session_view *view, unsigned worker)
{
	json_t *one = json_object();

	json_put_hex(one, "id", view->id, sizeof(view->id));
	if (view->from.any.sa_family != 0)
		json_put_address(one, "from", &view->from.any);
	json_put_said(one, "listener", view->listener);
	json_put_said(one, "sysid", view->sysid);
	json_put_said(one, "target", view->target);
	json_put_said(one, "agent", view->agent);
	json_put_said(one, "stage", view->stage);
	json_put_said(one, "asked", view->asked);
	json_put_said(one, "outcome", view->outcome);
	json_put_said(one, "policy", view->policy);
	json_put_said(one, "rule", view->rule);
	if (view->rule[0] != '\0')
		json_put_number(one, "rule_line", view->rule_line);
	put_security(one, view);
	put_onward(one, view);
	json_put_number(one, "up", view->up);
	json_put_number(one, "down", view->down);
	json_put_utc(one, "started", view->started_us);
	json_put_number(one, "worker", worker);
	return one;
}

static bool id_matches(const struct session_view *view, const char *digits)
{
	char text[CONNECTION_TEXT_SIZE];

	return digits == NULL || strncasecmp(connection_text(view->id, text), digits, strlen(digits)) == 0;
}

static bool matches(const struct session_view *view, const struct connection_filter *filter)
{
	return id_matches(view, filter->id) && (filter->sysid == NULL || name_match(filter->sysid, view->sysid)) &&
	       (filter->listener == NULL || name_equal(filter->listener, view->listener)) &&
	       (filter->rule == NULL || name_equal(filter->rule, view->rule)) &&
	       (filter->to == NULL || name_equal(filter->to, view->to)) &&
	       (filter->source == NULL || network_contains(filter->source, &view->from)) &&
	       (filter->secured == CHOICE_INHERIT || (filter->secured == CHOICE_YES) == view->secured);
}

/* What one worker has said last, and has not been told on. */
struct lane {
	struct session_view views[SLICE];
	size_t at, count;
	uint64_t before; /* where its next slice begins */
	bool over;
};

struct connection_walk {
	struct daemon *daemon;
	struct connection_filter filter;
	size_t found;
	struct lane lanes[]; /* one for each worker */
};

struct connection_walk *connection_walk_new(struct daemon *daemon, const struct connection_filter *filter)
{
	struct connection_walk *walk = calloc(1, sizeof(*walk) + daemon->worker_count * sizeof(walk->lanes[0]));

	if (walk == NULL)
		return NULL;
	walk->daemon = daemon;
	walk->filter = *filter;
	for (unsigned i = 0; i < daemon->worker_count; i++)
		walk->lanes[i].before = UINT64_MAX;
	return walk;
}

void connection_walk_free(struct connection_walk *walk)
{
	free(walk);
}

static void refill(struct connection_walk *walk, unsigned worker)
{
	struct lane *lane = &walk->lanes[worker];

	if (lane->at < lane->count || lane->over)
		return;
	lane->at = 0;
	lane->count = worker_view(walk->daemon->workers[worker], lane->before, lane->views, SLICE);
	lane->over = lane->count < SLICE;
	if (lane->count > 0)
		lane->before = lane->views[lane->count - 1].serial;
}

/* The newest that nobody was told of; its worker in *worker. NULL: there is none. */
static const struct session_view *newest(struct connection_walk *walk, unsigned *worker)
{
	const struct session_view *found = NULL;

	for (unsigned i = 0; i < walk->daemon->worker_count; i++) {
		const struct lane *lane = &walk->lanes[i];

		refill(walk, i);
		if (lane->at == lane->count || (found != NULL && lane->views[lane->at].started_us <= found->started_us))
			continue;
		found = &lane->views[lane->at];
		*worker = i;
	}
	if (found != NULL)
		walk->lanes[*worker].at++;
	return found;
}

json_t *connection_walk_next(struct connection_walk *walk)
{
	const struct session_view *view = NULL;
	json_t *list = json_array();
	unsigned worker = 0;

	for (size_t i = 0; i < SLICE && (walk->filter.most == 0 || walk->found < walk->filter.most); i++) {
		view = newest(walk, &worker);
		if (view == NULL)
			break;
		if (!matches(view, &walk->filter))
			continue;
		(void)json_array_append_new(list, connection_json(view, worker));
		walk->found++;
	}
	/* The last ones come before NULL does. */
	if (view != NULL || json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

json_t *inspect_connections(struct daemon *daemon, const struct connection_filter *filter)
{
	struct error ignored;
	struct connection_walk *walk = inspect_reach(daemon, &ignored) == 0 ? connection_walk_new(daemon, filter) : NULL;
	json_t *list = json_array(), *part;

	while (walk != NULL && (part = connection_walk_next(walk)) != NULL) {
		(void)json_array_extend(list, part);
		json_decref(part);
	}
	connection_walk_free(walk);
	return list;
}

int inspect_find(struct daemon *daemon, const char *digits, uint8_t *id, struct error *error)
{
	const struct connection_filter filter = {.id = digits, .most = 2};
	json_t *found;
	size_t count;
	int result;

	if (inspect_reach(daemon, error) != 0)
		return -1;
	if (strlen(digits) < ID_DIGITS_LEAST)
		return error_set(error, "%s is too short: give at least %d digits of a connection's id", digits,
		                 ID_DIGITS_LEAST);
	found = inspect_connections(daemon, &filter);
	count = json_array_size(found);
	if (count == 1)
		result = text_from_hex(json_string_value(json_object_get(json_array_get(found, 0), "id")), id,
		                       PARAMS_CONNECTION_SIZE) == PARAMS_CONNECTION_SIZE
		             ? 0
		             : -1;
	else if (count == 0)
		result = error_set(error, "no connection has an id that begins with %s: it may have ended", digits);
	else
		result = error_set(error, "several connections have an id that begins with %s: give more digits", digits);
	json_decref(found);
	return result;
}

bool inspect_end(struct daemon *daemon, const uint8_t *id)
{
	bool ended = false;

	for (unsigned i = 0; i < daemon->worker_count && !ended; i++)
		ended = worker_end_session(daemon->workers[i], id);
	return ended;
}

/* --- the filter --- */

static int parse_word(const char *word, struct connection_filter *filter, struct network *network, struct error *error)
{
	const struct {
		const char *key, **to;
	} texts[] = {{"id=", &filter->id},
	             {"sysid=", &filter->sysid},
	             {"listener=", &filter->listener},
	             {"rule=", &filter->rule},
	             {"to=", &filter->to}};
	uint64_t most;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strncmp(word, texts[i].key, strlen(texts[i].key)) == 0) {
			*texts[i].to = word + strlen(texts[i].key);
			return 0;
		}
	if (strncmp(word, "source=", 7) == 0) {
		filter->source = network;
		return network_parse(word + 7, network, error);
	}
	if (strncmp(word, "most=", 5) == 0) {
		if (text_to_number(word + 5, 1, 10000000, &most, error) != 0)
			return error_prefix(error, "most");
		filter->most = (size_t)most;
		return 0;
	}
	if (strcmp(word, "secured=yes") == 0 || strcmp(word, "secured=no") == 0) {
		filter->secured = word[8] == 'y' ? CHOICE_YES : CHOICE_NO;
		return 0;
	}
	return error_set(
	    error, "%s is not known: id=, sysid=, listener=, rule=, to=, source=, secured=yes, secured=no or most=", word);
}

int connection_filter_parse(size_t count, char *const *words, struct connection_filter *filter, struct network *network,
                            struct error *error)
{
	memset(filter, 0, sizeof(*filter));
	for (size_t i = 0; i < count; i++)
		if (parse_word(words[i], filter, network, error) != 0)
			return -1;
	if (filter->sysid != NULL && !name_pattern_valid(filter->sysid))
		return error_set(error, "sysid=%s is no pattern of names: letters, digits, @ # $ . _ - and * or ?",
		                 filter->sysid);
	return 0;
}

/* --- notifiers --- */

json_t *inspect_notifiers(struct daemon *daemon)
{
	const struct notifiers *notifiers = daemon->snapshot->notifiers;
	json_t *list = json_array();
	struct notifier_state state;

	for (size_t i = 0; i < notifiers_count(notifiers); i++) {
		json_t *one = json_object();

		notifiers_state(notifiers, i, &state);
		json_put_text(one, "name", state.name);
		json_put_text(one, "kind", state.kind);
		json_put_text(one, "path", state.path);
		json_put_text(one, "on_error", state.on_error == ON_ERROR_REFUSE ? "refuse" : "continue");
		json_put_number(one, "taken", state.taken);
		json_put_number(one, "failed", state.failed);
		json_put_bool(one, "failing", state.status.failing != 0);
		json_put_number(one, "queued_bytes", state.status.queued_bytes);
		json_put_number(one, "queue_bytes", state.status.queue_bytes);
		json_put_number(one, "written", state.status.written);
		json_put_number(one, "dropped", state.status.dropped);
		json_put_number(one, "subscribers", state.status.subscribers);
		json_put_said(one, "error", state.status.error);
		(void)json_array_append_new(list, one);
	}
	return list;
}

/* --- secured names, and what has come --- */

#define DAY_S 86400u

/* The names as they were when the walk began. */
struct ratchet_walk {
	struct ratchet_entries entries;
	size_t at;
	uint64_t days;
};

struct ratchet_walk *ratchet_walk_new(struct daemon *daemon)
{
	struct ratchet *tables[] = {
	    [RATCHET_CLIENT] = daemon->shared.ratchet, [RATCHET_PEER] = daemon->shared.peer_ratchet};
	struct ratchet_walk *walk = calloc(1, sizeof(*walk));
	struct ratchet_changes changes;

	if (walk == NULL)
		return NULL;
	walk->days = daemon->snapshot->config->gateway.ratchet_days;
	for (size_t kind = 0; kind < RATCHET_KINDS; kind++)
		if (ratchet_list(tables[kind], (enum ratchet_kind)kind, &walk->entries, &changes) != 0) {
			ratchet_walk_free(walk);
			return NULL;
		}
	return walk;
}

void ratchet_walk_free(struct ratchet_walk *walk)
{
	if (walk == NULL)
		return;
	free(walk->entries.at);
	free(walk);
}

static json_t *name_json(const struct ratchet_entry *entry, uint64_t days)
{
	json_t *one = json_object();

	json_put_text(one, "kind", entry->kind == RATCHET_PEER ? "peer" : "client");
	json_put_text(one, "name", entry->name);
	json_put_utc(one, "first", entry->first_s * 1000000);
	json_put_utc(one, "last", entry->last_s * 1000000);
	if (days != 0)
		json_put_utc(one, "until", (entry->last_s + days * DAY_S) * 1000000);
	return one;
}

json_t *ratchet_walk_next(struct ratchet_walk *walk)
{
	size_t end = walk->at + SLICE < walk->entries.count ? walk->at + SLICE : walk->entries.count;
	json_t *list;

	if (walk->at == end)
		return NULL;
	list = json_array();
	for (; walk->at < end; walk->at++)
		(void)json_array_append_new(list, name_json(&walk->entries.at[walk->at], walk->days));
	return list;
}

json_t *inspect_report(struct daemon *daemon)
{
	return report_json(daemon->shared.report);
}
