/* One dial to an acceptor, with everything it needs, for tests of the connecting side. */
#ifndef TEST_DIALLING_H
#define TEST_DIALLING_H

#include <string.h>

#include "acceptor.h"
#include "dial.h"
#include "loop.h"

#define DIALLING_ADDRESSES 2
#define PATIENT_MS 5000
#define SHORT_MS 250

struct dialling {
	struct test_loop test;
	char name[8];
	struct address addresses[DIALLING_ADDRESSES];
	struct config_peer peer;
	struct config_timeouts timeouts;
	struct target_memory *memory;
	struct tls_worker *tls;
	struct leg leg;
	struct dial_options options;
	struct dial *dial;
	bool started, done;
	/* The result, kept. */
	enum reason reason;
	unsigned refuse_code;
	bool secured;
	size_t address;
	struct verdict verdict;
	uint32_t maxru;
	char detail[200], refuse_text[256], subject[256];
	struct channel *channel;
};

static inline void dialling_address(struct dialling *dialling, size_t number, const char *host, int port)
{
	struct error error;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s:%d", host, port);
	ck_assert_int_eq(address_parse(text, 0, &dialling->addresses[number], &error), 0);
	dialling->peer.address.at = dialling->addresses;
	dialling->peer.address.count = number + 1;
}

static inline bool dialling_left_out(const struct dialling *dialling, size_t address)
{
	struct target_state state;

	target_memory_state(dialling->memory, address, &state);
	return state.left_out_until_ms != 0;
}

static inline void dialling_open(struct dialling *dialling, int security, const char *ca)
{
	static const uint8_t connection[PARAMS_CONNECTION_SIZE] = "abcdefghijklmno";
	struct tls_client_options tls = {.ca = ca, .server_name = "127.0.0.1"};
	struct error error;

	memset(dialling, 0, sizeof(*dialling));
	test_loop_open(&dialling->test);
	dialling->peer.place.name = dialling->name;
	strcpy(dialling->name, "FAR");
	dialling->peer.security = security;
	dialling->peer.retry_ms = 60000;
	dialling->timeouts = (struct config_timeouts){
	    .exchange_ms = PATIENT_MS, .handshake_ms = PATIENT_MS, .confirm_ms = PATIENT_MS, .connect_ms = PATIENT_MS};
	for (size_t i = 0; i < DIALLING_ADDRESSES; i++)
		dialling_address(dialling, i, "127.0.0.1", 1);
	dialling->memory = target_memory_new(dialling->name, &dialling->peer.address);
	ck_assert_ptr_nonnull(dialling->memory);
	if (security != PEER_NONE) {
		dialling->tls =
		    tls_worker_new_client(&tls, security == PEER_DIRECT ? TLS_START_DIRECT : TLS_START_UPGRADE, &error);
		ck_assert_msg(dialling->tls != NULL, "%s", error.text);
	}
	leg_init(&dialling->leg, CCI_CONNECTING, "HERE", connection);
	dialling->leg.listener = "FAR";
	dialling->options = (struct dial_options){.io = dialling->test.io,
	                                          .peer = &dialling->peer,
	                                          .tls = dialling->tls,
	                                          .memory = dialling->memory,
	                                          .timeouts = &dialling->timeouts,
	                                          .confirm = CONFIRM_PREFER,
	                                          .min_version = 0x0303,
	                                          .leg = &dialling->leg,
	                                          .sysid = "HERE",
	                                          .target = "PAYROLL",
	                                          .maxru = 4096,
	                                          .hops = 5};
	memcpy(dialling->options.connection, connection, sizeof(connection));
}

static inline void dialling_done(void *owner, const struct dial_result *result)
{
	struct dialling *dialling = owner;

	ck_assert(dialling->started && !dialling->done);
	ck_assert_ptr_nonnull(result->detail);
	ck_assert_ptr_nonnull(result->refuse_text);
	/* Only what was agreed leads to a channel, and only TLS has facts. */
	ck_assert_int_eq(result->channel != NULL, result->reason == REASON_NONE);
	dialling->done = true;
	dialling->reason = result->reason;
	dialling->refuse_code = result->refuse_code;
	dialling->secured = result->secured;
	dialling->address = result->address;
	dialling->verdict = result->verdict;
	dialling->maxru = result->maxru;
	dialling->channel = result->channel;
	(void)snprintf(dialling->detail, sizeof(dialling->detail), "%s", result->detail);
	(void)snprintf(dialling->refuse_text, sizeof(dialling->refuse_text), "%s", result->refuse_text);
	if (result->facts != NULL)
		(void)snprintf(dialling->subject, sizeof(dialling->subject), "%s", result->facts->subject);
}

static inline void dialling_start(struct dialling *dialling)
{
	dialling->started = dialling->done = false;
	dialling->dial = dial_start(&dialling->options, dialling_done, dialling);
	ck_assert_ptr_nonnull(dialling->dial);
	dialling->started = true;
}

static inline void dialling_run(struct dialling *dialling)
{
	dialling_start(dialling);
	test_loop_until(&dialling->test, &dialling->done);
}

/* Let go of a channel that was agreed, to dial once more. */
static inline void dialling_drop(struct dialling *dialling)
{
	channel_close(dialling->channel);
	dialling->channel = NULL;
}

static inline void dialling_close(struct dialling *dialling)
{
	dialling_drop(dialling);
	test_loop_close(&dialling->test);
	leg_close(&dialling->leg);
	if (dialling->tls != NULL)
		tls_worker_leave(dialling->tls);
	tls_worker_free(dialling->tls);
	target_memory_free(dialling->memory);
}

#endif
