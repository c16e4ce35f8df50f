/* What operators say of peers. */
#include "control_peers.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon_parts.h"
#include "jsontext.h"
#include "log.h"

/* --- which peer --- */

static bool serves(const struct config_peer *peer, const char *name)
{
	for (size_t i = 0; i < peer->targets.count; i++)
		if (name_match(peer->targets.at[i], name))
			return true;
	return false;
}

/* Its number, or -1 with the request's error. Its own name goes first. */
static int find_peer(struct control_request *request)
{
	const struct config *config = request->daemon->snapshot->config;
	const char *name = request->words[0];

	for (size_t i = 0; i < config->peer_count; i++)
		if (name_equal(config->peers[i].place.name, name))
			return (int)i;
	for (size_t i = 0; i < config->peer_count; i++)
		if (serves(&config->peers[i], name))
			return (int)i;
	return error_set(&request->error, "%s is no peer, and none has it in targets; peers lists them", name);
}

static void log_peer(const struct control_request *request, enum message message, const char *name, const char *detail)
{
	struct logline line;

	log_begin(&line, message, NULL);
	log_text(&line, "name", name);
	log_text(&line, "detail", detail);
	log_number(&line, "uid", request->uid);
	log_number(&line, "pid", (uint64_t)request->pid);
	log_end(&line);
	log_flush();
}

static json_t *said(const char *words)
{
	json_t *answer = json_object();

	json_put_text(answer, "text", words);
	return answer;
}

/* --- a ping --- */

/* One that runs. Its memory goes when its handle is closed. */
struct pinging {
	struct daemon *daemon;
	struct control_reply *reply;
	uv_async_t answered;
	size_t peer_number, address, count; /* of addresses */
	char name[NAME_MAX_CHARS + 1];
	char addresses[64][ADDRESS_TEXT_SIZE];
	/* Written by the worker before it wakes us. */
	bool right;
	char text[512];
};

static struct pinging *at_work; /* one at a time; main thread */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_ping(struct pinging *pinging)
{
	at_work = NULL;
	uv_close((uv_handle_t *)&pinging->answered, on_closed);
}

static void on_gone(void *owner)
{
	struct pinging *pinging = owner;

	/* At the end of the process the workers went first. */
	if (pinging->daemon->workers != NULL)
		worker_ping_cancel(pinging->daemon->workers[0]);
	close_ping(pinging);
}

static void say(struct pinging *pinging, const char *text)
{
	/* A client that does not read three lines does not want them. */
	if (control_send(pinging->reply, said(text)) != 0)
		return;
}

/* In the worker's thread. */
static void on_answer(void *owner, const struct health_answer *answer)
{
	struct pinging *pinging = owner;
	const char *security = !answer->secured ? "in the clear" : answer->confirmed ? "TLS, confirmed" : "TLS";

	pinging->right = answer->reason == REASON_NONE;
	if (pinging->right)
		(void)snprintf(pinging->text, sizeof(pinging->text),
		               "response received: %s calls itself %s, %s, %.3f ms (exchange %.3f, handshake %.3f)",
		               pinging->name, answer->sysid, security, (double)answer->total_us / 1000,
		               (double)answer->exchange_us / 1000, (double)answer->handshake_us / 1000);
	else
		(void)snprintf(pinging->text, sizeof(pinging->text), "no response: %s: %s", reason_word(answer->reason),
		               answer->detail[0] != '\0' ? answer->detail : reason_text(answer->reason));
	(void)uv_async_send(&pinging->answered);
}

static bool ask(struct pinging *pinging)
{
	struct worker_ping ping = {.snapshot = pinging->daemon->snapshot,
	                           .peer_number = pinging->peer_number,
	                           .address = pinging->address,
	                           .done = on_answer,
	                           .owner = pinging};
	char words[ADDRESS_TEXT_SIZE + 32];

	(void)snprintf(words, sizeof(words), "sent: to %s", pinging->addresses[pinging->address]);
	say(pinging, words);
	return worker_ping(pinging->daemon->workers[0], &ping);
}

static void finish(struct pinging *pinging, const char *words)
{
	if (words != NULL)
		control_fail(pinging->reply, words);
	control_finish(pinging->reply);
	close_ping(pinging);
}

/* The configuration may be another by now. */
static bool is_still_there(const struct pinging *pinging)
{
	const struct config *config = pinging->daemon->snapshot->config;

	return pinging->peer_number < config->peer_count &&
	       name_equal(config->peers[pinging->peer_number].place.name, pinging->name) &&
	       config->peers[pinging->peer_number].address.count == pinging->count;
}

static void on_answered(uv_async_t *async)
{
	struct pinging *pinging = async->data;

	if (at_work != pinging)
		return;
	if (pinging->right) {
		say(pinging, pinging->text);
		finish(pinging, NULL);
		return;
	}
	if (pinging->address + 1 == pinging->count || pinging->daemon->draining || !is_still_there(pinging)) {
		finish(pinging, pinging->text);
		return;
	}
	say(pinging, pinging->text);
	pinging->address++;
	if (!ask(pinging))
		finish(pinging, "not enough memory");
}

static struct pinging *make(struct control_request *request, int number)
{
	const struct config_peer *peer = &request->daemon->snapshot->config->peers[number];
	struct pinging *pinging = calloc(1, sizeof(*pinging));

	if (pinging == NULL || uv_async_init(&request->daemon->loop, &pinging->answered, on_answered) != 0) {
		free(pinging);
		return NULL;
	}
	pinging->answered.data = pinging;
	pinging->daemon = request->daemon;
	pinging->peer_number = (size_t)number;
	pinging->count = peer->address.count < 64 ? peer->address.count : 64;
	(void)snprintf(pinging->name, sizeof(pinging->name), "%s", peer->place.name);
	for (size_t i = 0; i < pinging->count; i++)
		(void)address_format(&peer->address.at[i], pinging->addresses[i]);
	return pinging;
}

/* What came before it stands in `first`; NULL: nothing. */
static json_t *start_ping(struct control_request *request, int number, const char *first)
{
	struct pinging *pinging;
	char words[320];

	if (at_work != NULL && first != NULL) {
		(void)snprintf(words, sizeof(words), "%s; not asked for an answer, as another ping runs", first);
		return said(words);
	}
	if (at_work != NULL) {
		(void)error_set(&request->error, "another ping runs: ask again when it has its answer");
		return NULL;
	}
	if (request->daemon->draining) {
		(void)error_set(&request->error, "%s%sthe gateway is stopping, and asks nobody", first != NULL ? first : "",
		                first != NULL ? "; " : "");
		return NULL;
	}
	pinging = make(request, number);
	if (pinging == NULL)
		return NULL;
	at_work = pinging;
	pinging->reply = control_later(request, on_gone, pinging);
	if (first != NULL)
		say(pinging, first);
	(void)snprintf(words, sizeof(words), "requested: %s of peer %s", PARAMS_PING, pinging->name);
	say(pinging, words);
	if (!ask(pinging))
		finish(pinging, "not enough memory");
	return NULL;
}

json_t *control_peers_ping(struct control_request *request)
{
	int number = find_peer(request);

	return number < 0 ? NULL : start_ping(request, number, NULL);
}

/* --- disconnect, connect --- */

static void disconnect(struct control_request *request, int number, char *words, size_t size)
{
	const struct snapshot *snapshot = request->daemon->snapshot;
	struct target_memory *memory = snapshot->peers[number];
	bool changed = target_memory_disconnect(memory, true);
	size_t ended = 0;

	for (unsigned i = 0; i < request->daemon->worker_count; i++)
		ended += worker_end_peer(request->daemon->workers[i], memory);
	(void)snprintf(words, size, "peer %s is disconnected%s; %zu connection%s ended",
	               snapshot->config->peers[number].place.name, changed ? "" : " as it was", ended,
	               ended == 1 ? "" : "s");
	log_peer(request, MESSAGE_PEER_DISCONNECTED, snapshot->config->peers[number].place.name, words);
}

static json_t *reconnect(struct control_request *request, int number, const char *before)
{
	const struct snapshot *snapshot = request->daemon->snapshot;
	const char *name = snapshot->config->peers[number].place.name;
	bool changed = target_memory_disconnect(snapshot->peers[number], false);
	char words[256];

	(void)snprintf(words, sizeof(words), "%s%speer %s may be used%s", before, before[0] != '\0' ? "; " : "", name,
	               changed ? " again" : ", as before");
	log_peer(request, MESSAGE_PEER_CONNECTED, name, words);
	return start_ping(request, number, words);
}

json_t *control_peers_disconnect(struct control_request *request)
{
	int number = find_peer(request);
	char words[256];

	if (number < 0)
		return NULL;
	disconnect(request, number, words, sizeof(words));
	return said(words);
}

json_t *control_peers_connect(struct control_request *request)
{
	int number = find_peer(request);

	return number < 0 ? NULL : reconnect(request, number, "");
}

json_t *control_peers_recycle(struct control_request *request)
{
	int number = find_peer(request);
	char words[160];

	if (number < 0)
		return NULL;
	disconnect(request, number, words, sizeof(words));
	return reconnect(request, number, words);
}
