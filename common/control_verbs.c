/* What the control socket can be asked. */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "control_parts.h"
#include "control_peers.h"
#include "control_print.h"
#include "control_trace.h"
#include "daemon_parts.h"
#include "inspect.h"
#include "jsontext.h"
#include "log.h"
#include "ratchet_keeper.h"
#include "record.h"
#include "report.h"

#define BOTH (PROGRAM_CCISSL | PROGRAM_CCISSLGW)

/* --- looking --- */

static json_t *run_status(struct control_request *request)
{
	return inspect_status(request->daemon);
}

/* The connections that a client is being told of. */
struct walking {
	struct network network; /* of the filter */
	struct connection_walk *walk;
};

static json_t *next_connections(void *owner)
{
	return connection_walk_next(((struct walking *)owner)->walk);
}

static void free_walking(void *owner)
{
	connection_walk_free(((struct walking *)owner)->walk);
	free(owner);
}

/* There may be very many: they are asked for as the client takes them. */
static json_t *run_connections(struct control_request *request)
{
	struct walking *walking;
	struct connection_filter filter;

	if (inspect_reach(request->daemon, &request->error) != 0 || (walking = calloc(1, sizeof(*walking))) == NULL)
		return NULL;
	if (connection_filter_parse(request->count, request->words, &filter, &walking->network, &request->error) == 0 &&
	    (walking->walk = connection_walk_new(request->daemon, &filter)) != NULL) {
		control_stream(request, &(struct control_source){next_connections, free_walking, walking});
		return NULL;
	}
	free(walking);
	return NULL;
}

static json_t *run_rules(struct control_request *request)
{
	return inspect_rules(request->daemon);
}

static json_t *run_peers(struct control_request *request)
{
	return inspect_peers(request->daemon);
}

static json_t *run_certificates(struct control_request *request)
{
	return inspect_certificates(request->daemon);
}

static json_t *run_notifiers(struct control_request *request)
{
	return inspect_notifiers(request->daemon);
}

/* A report that is being made, by a thread of libuv's. */
struct reporting {
	uv_work_t work;
	struct report *report;
	struct control_reply *reply; /* NULL: nobody waits for it any more */
	char *text;
};

static void make_report(uv_work_t *work)
{
	struct reporting *reporting = work->data;

	reporting->text = json_line(report_json(reporting->report), NULL);
}

static void on_report(uv_work_t *work, int status)
{
	struct reporting *reporting = work->data;

	(void)status;
	if (reporting->reply == NULL) {
		free(reporting->text);
	} else {
		if (control_send_text(reporting->reply, reporting->text) != 0)
			control_fail(reporting->reply, "not enough memory");
		control_finish(reporting->reply);
	}
	free(reporting);
}

static void nobody_waits(void *owner)
{
	((struct reporting *)owner)->reply = NULL;
}

/* It is long where many come, and takes time to sort. */
static json_t *run_report(struct control_request *request)
{
	struct reporting *reporting = calloc(1, sizeof(*reporting));

	if (reporting == NULL)
		return NULL;
	reporting->work.data = reporting;
	reporting->report = request->daemon->shared.report;
	if (uv_queue_work(&request->daemon->loop, &reporting->work, make_report, on_report) == 0)
		reporting->reply = control_later(request, nobody_waits, reporting);
	else
		free(reporting);
	return NULL;
}

static json_t *run_help(struct control_request *request)
{
	json_t *list = json_array();

	for (size_t i = 0; i < control_verb_count; i++) {
		const struct control_verb *verb = &control_verbs[i];
		json_t *one;

		if ((verb->programs & (unsigned)request->daemon->program) == 0)
			continue;
		one = json_object();
		json_put_text(one, "verb", verb->name);
		json_put_text(one, "words", verb->words);
		json_put_text(one, "help", verb->help);
		(void)json_array_append_new(list, one);
	}
	return list;
}

/* --- changing --- */

static json_t *done(struct control_request *request, const char *format, ...) PRINTF_LIKE(2, 3);

static json_t *done(struct control_request *request, const char *format, ...)
{
	char words[512];
	va_list arguments;

	(void)request;
	va_start(arguments, format);
	(void)vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	return json_pack("{s:o}", "text", json_of_text(words));
}

static json_t *run_close(struct control_request *request)
{
	uint8_t id[PARAMS_CONNECTION_SIZE];
	char text[CONNECTION_TEXT_SIZE];

	if (inspect_find(request->daemon, request->words[0], id, &request->error) != 0)
		return NULL;
	(void)connection_text(id, text);
	if (inspect_end(request->daemon, id))
		return done(request, "connection %s is closed", text);
	(void)error_set(&request->error, "connection %s has ended by itself", text);
	return NULL;
}

static json_t *lift(struct control_request *request)
{
	bool peer = request->count == 3 && strcmp(request->words[2], "--peer") == 0;
	const char *name = request->count >= 2 ? request->words[1] : NULL;

	if (strcmp(request->words[0], "lift") != 0 || name == NULL || (request->count == 3 && !peer)) {
		(void)error_set(&request->error, "ratchet takes other words: ratchet list, or ratchet lift NAME [--peer]");
		return NULL;
	}
	control_say_told(request, "ratchet");
	if (!name_valid(name, strlen(name))) {
		(void)error_set(&request->error, "%.64s is not a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -", name);
		return NULL;
	}
	if (ratchet_keeper_lift(request->daemon->ratchet_keeper, peer ? RATCHET_PEER : RATCHET_CLIENT, name,
	                        &request->error) != 0)
		return NULL;
	return done(request, "%s %s is lifted", peer ? "peer" : "client", name);
}

static json_t *next_names(void *owner)
{
	return ratchet_walk_next(owner);
}

static void free_names(void *owner)
{
	ratchet_walk_free(owner);
}

static json_t *run_ratchet(struct control_request *request)
{
	struct ratchet_walk *walk;

	if (request->count > 1 || (request->count == 1 && strcmp(request->words[0], "list") != 0))
		return lift(request);
	walk = ratchet_walk_new(request->daemon);
	if (walk != NULL)
		control_stream(request, &(struct control_source){next_names, free_names, walk});
	return NULL;
}

static json_t *run_reload(struct control_request *request)
{
	if (inspect_reach(request->daemon, &request->error) != 0)
		return NULL;
	request->findings = json_array();
	if (daemon_reload(request->daemon, request->findings, &request->error) != 0)
		return NULL;
	return json_pack("{s:s,s:O}", "text", "the configuration is in force", "findings", request->findings);
}

static json_t *run_drain(struct control_request *request)
{
	if (!daemon_drain(request->daemon, "ctl drain")) {
		(void)error_set(&request->error, "the gateway is stopping already");
		return NULL;
	}
	return done(request,
	            "no new connections are taken; the gateway ends with the last one, or after drain in [timeouts]");
}

static json_t *run_log_level(struct control_request *request)
{
	int level = log_level_named(request->words[0]);

	if (level < 0) {
		(void)error_set(&request->error, "%s is no level: error, warning, info or debug", request->words[0]);
		return NULL;
	}
	log_set_level((enum level)level);
	return done(request, "log level is %s until the next reload or start", log_level_word((enum level)level));
}

static json_t *run_reopen(struct control_request *request)
{
	notifiers_reopen(request->daemon->snapshot->notifiers);
	return done(request, "the files of notifiers are opened once more");
}

/* --- the table --- */

#define LOOK(verb, text, run_it, print_it) \
	{.name = verb, .words = "", .help = text, .programs = BOTH, .run = run_it, .print = print_it}

/* clang-format off */
const struct control_verb control_verbs[] = {
    LOOK("status", "how the gateway goes", run_status, control_print_status),
    {.name = "connections", .words = "[FILTER...]", .help = "who is connected, how, since when, where to",
     .programs = BOTH, .most = CONTROL_WORDS, .run = run_connections, .print = control_print_connections},
    {.name = "close", .words = "ID", .help = "end a connection; the first digits of its id do", .programs = BOTH,
     .changes = true, .least = 1, .most = 1, .run = run_close},
    LOOK("rules", "the rules in force, and what counts for them", run_rules, control_print_rules),
    LOOK("peers", "peers and services: addresses, health, connections", run_peers, control_print_peers),
    LOOK("certificates", "what is shown to peers, and for how long", run_certificates, control_print_certificates),
    {.name = "ratchet", .words = "[list | lift NAME [--peer]]", .help = "names that were secured; lift one",
     .programs = BOTH, .most = 3, .run = run_ratchet, .print = control_print_ratchet},
    LOOK("report", "who is secured, who is not; with --names or --csv", run_report, report_print),
    LOOK("notifiers", "how the notifiers stand", run_notifiers, control_print_notifiers),
    {.name = "reload", .words = "", .help = "read the configuration again", .programs = BOTH,
     .changes = true, .run = run_reload},
    {.name = "reopen", .words = "", .help = "open the files of notifiers anew", .programs = BOTH,
     .changes = true, .run = run_reopen},
    {.name = "drain", .words = "", .help = "take no new connections, end with the last one", .programs = BOTH,
     .changes = true, .run = run_drain},
    {.name = "log-level", .words = "LEVEL", .help = "error, warning, info, debug; until a reload", .programs = BOTH,
     .changes = true, .least = 1, .most = 1, .run = run_log_level},
    {.name = "connect", .words = "SYSID", .help = "let a peer be used again; ping it", .programs = PROGRAM_CCISSLGW,
     .changes = true, .least = 1, .most = 1, .run = control_peers_connect},
    {.name = "disconnect", .words = "SYSID", .help = "end its connections, make none until connect", .programs = PROGRAM_CCISSLGW,
     .changes = true, .least = 1, .most = 1, .run = control_peers_disconnect},
    {.name = "recycle", .words = "SYSID", .help = "disconnect, then connect", .programs = PROGRAM_CCISSLGW,
     .changes = true, .least = 1, .most = 1, .run = control_peers_recycle},
    {.name = "ping", .words = "SYSID", .help = "ask a peer for an answer", .programs = PROGRAM_CCISSLGW,
     .least = 1, .most = 1, .run = control_peers_ping},
    {.name = "trace", .words = "[ID|NETWORK|sysid=NAME [on|off]]",
     .help = "follow connections, or let the log follow them", .programs = BOTH, .most = 3, .run = control_trace_run, .print = control_trace_print},
    LOOK("help", "what can be asked", run_help, control_print_help),
};
/* clang-format on */
const size_t control_verb_count = sizeof(control_verbs) / sizeof(control_verbs[0]);

const struct control_verb *control_verb_find(const char *name, unsigned program)
{
	for (size_t i = 0; i < control_verb_count; i++)
		if (strcmp(control_verbs[i].name, name) == 0 && (control_verbs[i].programs & program) != 0)
			return &control_verbs[i];
	return NULL;
}
