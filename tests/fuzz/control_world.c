/* A gateway that is not there: the linker puts these in the place of what the verbs call (fuzz.mk). */
#include "control_world.h"

#include "inspect.h"
#include "jsonmake.h"
#include "log.h"
#include "notifier.h"
#include "report.h"
#include "trace.h"

struct daemon world_gateway;

static struct {
	json_t *said;    /* what each question is answered with */
	uint8_t flags;
	unsigned calls, changes, parts;
	uv_work_t *work;
	uv_after_work_cb after;
} world;

static struct snapshot snapshot;

static json_t *look(void)
{
	world.calls++;
	return json_incref(world.said);
}

/* 0, or -1 with words, by a bit of the input. */
static int change(unsigned bit, struct error *error)
{
	world.calls++;
	world.changes++;
	return world.flags >> bit & 1 ? error_set(error, "it cannot be done") : 0;
}

json_t *__wrap_inspect_status(struct daemon *daemon);
json_t *__wrap_inspect_rules(struct daemon *daemon);
json_t *__wrap_inspect_peers(struct daemon *daemon);
json_t *__wrap_inspect_certificates(struct daemon *daemon);
json_t *__wrap_inspect_notifiers(struct daemon *daemon);
int __wrap_inspect_reach(struct daemon *daemon, struct error *error);
int __wrap_inspect_find(struct daemon *daemon, const char *digits, uint8_t *id, struct error *error);
bool __wrap_inspect_end(struct daemon *daemon, const uint8_t *id);
struct connection_walk *__wrap_connection_walk_new(struct daemon *daemon, const struct connection_filter *filter);
void __wrap_connection_walk_free(struct connection_walk *walk);
json_t *__wrap_connection_walk_next(struct connection_walk *walk);
struct ratchet_walk *__wrap_ratchet_walk_new(struct daemon *daemon);
void __wrap_ratchet_walk_free(struct ratchet_walk *walk);
json_t *__wrap_ratchet_walk_next(struct ratchet_walk *walk);
int __wrap_ratchet_keeper_lift(struct ratchet_keeper *keeper, enum ratchet_kind kind, const char *name, struct error *error);
int __wrap_daemon_reload(struct daemon *daemon, json_t *findings, struct error *error);
bool __wrap_daemon_drain(struct daemon *daemon, const char *why);
void __wrap_notifiers_reopen(const struct notifiers *notifiers);
void __wrap_log_set_level(enum level level);
json_t *__wrap_control_peers_connect(struct control_request *request);
json_t *__wrap_control_peers_disconnect(struct control_request *request);
json_t *__wrap_control_peers_recycle(struct control_request *request);
json_t *__wrap_control_peers_ping(struct control_request *request);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb run, uv_after_work_cb after);

#define LOOK(name)                                                                                                    \
	json_t *__wrap_inspect_##name(struct daemon *daemon)                                                              \
	{                                                                                                                 \
		(void)daemon;                                                                                                 \
		return look();                                                                                                \
	}
LOOK(status)
LOOK(rules)
LOOK(peers)
LOOK(certificates)
LOOK(notifiers)

int __wrap_inspect_reach(struct daemon *daemon, struct error *error)
{
	(void)daemon;
	world.calls++;
	return world.flags & 1 ? error_set(error, "worker 1 does not answer") : 0;
}

int __wrap_inspect_find(struct daemon *daemon, const char *digits, uint8_t *id, struct error *error)
{
	(void)daemon;
	world.calls++;
	memset(id, 0xab, PARAMS_CONNECTION_SIZE);
	return world.flags & 2 ? error_set(error, "no connection has an id that begins with %.40s", digits) : 0;
}

bool __wrap_inspect_end(struct daemon *daemon, const uint8_t *id)
{
	(void)daemon, (void)id;
	return change(2, &(struct error){.text = ""}) == 0;
}

/* --- answers in parts --- */

static struct connection_walk *const connections = (struct connection_walk *)&world;
static struct ratchet_walk *const names = (struct ratchet_walk *)&world;

static json_t *next_part(void)
{
	json_t *part;

	if (world.parts == 0)
		return NULL;
	part = json_array();
	if (--world.parts % 2 == 0)
		(void)json_array_append(part, world.said);
	return part;
}

struct connection_walk *__wrap_connection_walk_new(struct daemon *daemon, const struct connection_filter *filter)
{
	(void)daemon, (void)filter;
	world.calls++;
	return connections;
}

void __wrap_connection_walk_free(struct connection_walk *walk)
{
	FUZZ_CHECK(walk == connections || walk == NULL, "another walk");
}

json_t *__wrap_connection_walk_next(struct connection_walk *walk)
{
	(void)walk;
	return next_part();
}

struct ratchet_walk *__wrap_ratchet_walk_new(struct daemon *daemon)
{
	(void)daemon;
	world.calls++;
	return names;
}

void __wrap_ratchet_walk_free(struct ratchet_walk *walk)
{
	FUZZ_CHECK(walk == names || walk == NULL, "another walk");
}

json_t *__wrap_ratchet_walk_next(struct ratchet_walk *walk)
{
	(void)walk;
	return next_part();
}

/* --- changes --- */

int __wrap_ratchet_keeper_lift(struct ratchet_keeper *keeper, enum ratchet_kind kind, const char *name, struct error *error)
{
	(void)keeper, (void)kind;
	FUZZ_CHECK(name_valid(name, strlen(name)), "a name that is none is lifted");
	return change(3, error);
}

int __wrap_daemon_reload(struct daemon *daemon, json_t *findings, struct error *error)
{
	(void)daemon;
	(void)json_array_append_new(findings, json_string("etc/x.ini:1: [x] is not known"));
	return change(4, error);
}

bool __wrap_daemon_drain(struct daemon *daemon, const char *why)
{
	(void)daemon, (void)why;
	return change(5, &(struct error){.text = ""}) == 0;
}

void __wrap_notifiers_reopen(const struct notifiers *notifiers)
{
	(void)notifiers;
	(void)change(6, &(struct error){.text = ""});
}

void __wrap_log_set_level(enum level level)
{
	FUZZ_CHECK(log_level_word(level) != NULL, "level %d", (int)level);
	(void)change(6, &(struct error){.text = ""});
}

#define PEERS(name)                                                                                                   \
	json_t *__wrap_control_peers_##name(struct control_request *request)                                              \
	{                                                                                                                 \
		FUZZ_CHECK(request->count == 1 && request->words[0][0] != '\0', "a peer without a name");                      \
		return change(7, &request->error) == 0 ? json_incref(world.said) : NULL;                                       \
	}
PEERS(connect)
PEERS(disconnect)
PEERS(recycle)

json_t *__wrap_control_peers_ping(struct control_request *request)
{
	FUZZ_CHECK(request->count == 1, "a peer without a name");
	return look();
}

/* --- time --- */

/* Not a thread: the same input does the same every time. */
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb run, uv_after_work_cb after)
{
	(void)loop;
	world.calls++;
	run(work);
	world.work = work;
	world.after = after;
	return 0;
}

void world_turn(void)
{
	uv_work_t *work = world.work;

	world.work = NULL;
	if (work != NULL)
		world.after(work, 0);
}

unsigned world_calls(void)
{
	return world.calls;
}

unsigned world_changes(void)
{
	return world.changes;
}

void world_begin(struct input *input)
{
	struct error error;

	if (world_gateway.shared.report == NULL) {
		FUZZ_CHECK(uv_loop_init(&world_gateway.loop) == 0, "no loop");
		FUZZ_CHECK(log_open(LOG_STDERR, LEVEL_ERROR, "fuzz", &error) == 0, "%s", error.text);
		world_gateway.program = PROGRAM_CCISSLGW;
		world_gateway.snapshot = &snapshot;
		world_gateway.shared.report = report_new(4);
	}
	memset(&world, 0, sizeof(world));
	world.flags = input_byte(input);
	world.parts = input_below(input, 9);
	world.said = make_json(input, 2);
}

/* Traces into the log are nobody's. */
static void end_traces(void)
{
	json_t *list = trace_list();
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		FUZZ_CHECK(trace_log_off(json_string_value(json_object_get(one, "trace"))), "a trace cannot be ended");
	json_decref(list);
}

void world_end(void)
{
	world_turn();
	for (int i = 0; i < 8; i++)
		(void)uv_run(&world_gateway.loop, UV_RUN_NOWAIT);
	end_traces();
	FUZZ_CHECK(!uv_loop_alive(&world_gateway.loop), "a handle is left open");
	/* jansson counts no references of true, false and null. */
	FUZZ_CHECK(world.said->refcount == 1 || world.said->refcount == (size_t)-1, "an answer is kept");
	json_decref(world.said);
}
