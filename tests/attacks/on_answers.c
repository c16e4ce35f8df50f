/*
 * Attacks on the connecting side: the gateway, which requires TLS of its peer, is made to connect to us by a client of
 * its own, and we answer. None of that client's bytes may come to us in the clear, none of ours may reach it.
 */
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attacks.h"
#include "steps.h"
#include "trap.h"

/* --- B, C: bytes that nobody asked for --- */

static const char *accept_and(const struct scene *scene, const void *bytes, size_t size)
{
	struct trap trap;
	const char *result = trap_set(&trap, scene);

	if (result == NULL) {
		message_accept(&trap.peer.answer, TLS_FOLLOWS, 4096);
		memcpy(trap.peer.answer.bytes + trap.peer.answer.size, bytes, size);
		trap.peer.answer.size += size;
		(void)link_send_message(&trap.peer, &trap.peer.answer);
		trap.peer.answer.size -= size;
		if (link_tls_server(&trap.peer, scene, NULL) && link_confirm(&trap.peer, "server") == NULL)
			result = "it goes on with TLS in spite of them";
		else
			result = trap_held(&trap, PATIENCE_MS);
	}
	trap_close(&trap);
	return result;
}

const char *attack_bytes_behind_accept(const struct scene *scene)
{
	return accept_and(scene, INJECTED, INJECTED_SIZE);
}

const char *attack_refuse_behind_accept(const struct scene *scene)
{
	struct message refuse;

	message_refuse(&refuse, REASON_BUSY, "no");
	return accept_and(scene, refuse.bytes, refuse.size);
}

const char *attack_confirm_behind_accept(const struct scene *scene)
{
	struct message confirm;

	message_begin(&confirm, CONFIRM, 0);
	message_add(&confirm, P_VERIFIER, "0123456789abcdef0123456789abcdef", VERIFIER_SIZE);
	return accept_and(scene, confirm.bytes, confirm.size);
}

const char *attack_bytes_before_accept(const struct scene *scene)
{
	struct trap trap;
	struct message accept;
	const char *result = trap_set(&trap, scene);

	if (result == NULL) {
		message_accept(&accept, TLS_FOLLOWS, 4096);
		(void)link_send(&trap.peer, INJECTED, INJECTED_SIZE);
		(void)link_send_message(&trap.peer, &accept);
		result = trap_held(&trap, PATIENCE_MS);
	}
	trap_close(&trap);
	return result;
}

/* --- D, F: answers --- */

/* Answer with these bytes; `end`: and end the stream. */
static const char *answer(const struct scene *scene, const uint8_t *bytes, size_t size, enum trap_end end)
{
	struct trap trap;
	const char *result = trap_set(&trap, scene);

	if (result == NULL) {
		(void)link_send(&trap.peer, bytes, size);
		trap_end(&trap, end);
		result = trap_held(&trap, PATIENCE_MS);
	}
	trap_close(&trap);
	return result;
}

const char *attack_clear_in_answer(const struct scene *scene)
{
	struct message accept;

	message_accept(&accept, CLEAR, 4096);
	return answer(scene, accept.bytes, accept.size, TRAP_STAYS);
}

const char *attack_clear_and_data(const struct scene *scene)
{
	struct message accept;

	message_accept(&accept, CLEAR, 4096);
	memcpy(accept.bytes + accept.size, INJECTED, INJECTED_SIZE);
	return answer(scene, accept.bytes, accept.size + INJECTED_SIZE, TRAP_STAYS);
}

const char *attack_inside_in_answer(const struct scene *scene)
{
	struct message accept;

	message_accept(&accept, INSIDE_TLS, 4096);
	return answer(scene, accept.bytes, accept.size, TRAP_STAYS);
}

const char *attack_every_refusal(const struct scene *scene)
{
	const char *result = NULL;
	struct message refuse;

	for (int reason = 0; reason <= REASON_LAST + 1 && result == NULL; reason++) {
		message_refuse(&refuse, reason, "in the clear, please");
		result = answer(scene, refuse.bytes, refuse.size, TRAP_STAYS);
		if (result != NULL)
			result = seen("REFUSE %d: %s", reason, result);
	}
	return result;
}

/* An ACCEPT with one byte of its header another. */
const char *attack_broken_answers(const struct scene *scene)
{
	static const struct {
		unsigned at;
		uint8_t byte;
	} changes[] = {{0, 'X'}, {4, 2},    {5, OFFER}, {5, CONFIRM}, {5, 7},  {6, 9},
	               {7, 1},   {8, 0x20}, {9, 3},     {11, 3},      {14, 0}, {20, 9}};
	const char *result = NULL;
	struct message accept;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]) && result == NULL; i++) {
		message_accept(&accept, CLEAR, 4096);
		accept.bytes[changes[i].at] = changes[i].byte;
		result = answer(scene, accept.bytes, accept.size, TRAP_ENDS);
		if (result != NULL)
			result = seen("byte %u as %u: %s", changes[i].at, changes[i].byte, result);
	}
	return result;
}

const char *attack_half_answers(const struct scene *scene)
{
	const char *result = NULL;
	struct message accept;

	message_accept(&accept, CLEAR, 4096);
	for (size_t size = 0; size < accept.size && result == NULL; size += 5) {
		result = answer(scene, accept.bytes, size, size % 2 == 0 ? TRAP_ENDS : TRAP_RESETS);
		if (result != NULL)
			result = seen("%zu bytes of it: %s", size, result);
	}
	return result;
}

const char *attack_hostile_refusals(const struct scene *scene)
{
	static const char *const texts[] = {"\x1b[2Jfine", "a\r\nb", "<script>alert(1)</script>", "%n%s%n", "\xff\xfe",
	                                    "a\"b\\c",     ""};
	const char *result = NULL;
	struct message refuse;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && result == NULL; i++) {
		message_refuse(&refuse, REASON_FORBIDDEN, texts[i]);
		result = answer(scene, refuse.bytes, refuse.size, TRAP_ENDS);
		if (result != NULL)
			result = seen("text %zu: %s", i + 1, result);
	}
	return result;
}

/* --- G, H, J: TLS --- */

/* Have the gateway start TLS with us as `wish` says. True: the handshake was completed. */
static bool start_tls(struct trap *trap, const struct scene *scene, const struct tls_wish *wish)
{
	message_accept(&trap->peer.answer, TLS_FOLLOWS, 4096);
	(void)link_send_message(&trap->peer, &trap->peer.answer);
	return link_tls_server(&trap->peer, scene, wish);
}

enum lie { LIE_ZERO, LIE_ALTERED, LIE_ROLE, LIE_DATA };

static const char *lie_about(const struct scene *scene, enum lie lie)
{
	struct trap trap;
	struct message confirm;
	const char *result = trap_set(&trap, scene);

	if (result == NULL && !start_tls(&trap, scene, NULL))
		result = seen("an honest handshake fails (alert %d)", link_alert());
	if (result == NULL) {
		message_begin(&confirm, CONFIRM, 0);
		message_add(&confirm, P_VERIFIER, "0123456789abcdef0123456789abcdef", VERIFIER_SIZE);
		if (lie == LIE_ALTERED) /* as if what stands between had changed the OFFER */
			trap.peer.offer.bytes[15] ^= 1;
		if (lie == LIE_ALTERED || lie == LIE_ROLE)
			link_verifier(&trap.peer, lie == LIE_ROLE ? "client" : "server", &confirm);
		if (lie != LIE_DATA)
			(void)link_send_message(&trap.peer, &confirm);
		(void)link_send(&trap.peer, INJECTED, INJECTED_SIZE);
		result = trap_held(&trap, PATIENCE_MS);
	}
	trap_close(&trap);
	return result;
}

const char *attack_rubbish_confirm(const struct scene *scene)
{
	return lie_about(scene, LIE_ZERO);
}

const char *attack_altered_offer_behind_it(const struct scene *scene)
{
	return lie_about(scene, LIE_ALTERED);
}

const char *attack_confirm_of_its_own_role(const struct scene *scene)
{
	return lie_about(scene, LIE_ROLE);
}

const char *attack_data_before_its_confirm(const struct scene *scene)
{
	return lie_about(scene, LIE_DATA);
}

static const char *certificate_must_fail(const struct scene *scene, const struct tls_wish *wish)
{
	struct trap trap;
	const char *result = trap_set(&trap, scene);

	if (result == NULL) {
		/* In TLS 1.3 the server is done before the client has looked: what follows tells. */
		if (start_tls(&trap, scene, wish))
			(void)link_confirm(&trap.peer, "server");
		result = trap_held(&trap, PATIENCE_MS);
	}
	trap_close(&trap);
	return result;
}

const char *attack_self_made_server(const struct scene *scene)
{
	const struct tls_wish wish = {.self_made = true}, old = {.self_made = true, .highest = TLS1_2_VERSION};
	const char *result = certificate_must_fail(scene, &wish);

	return result == NULL ? certificate_must_fail(scene, &old) : result;
}

const char *attack_bad_server(const struct scene *scene)
{
	const struct tls_wish wish = {.cert = scene->bad_cert, .key = scene->bad_key};

	return certificate_must_fail(scene, &wish);
}

const char *attack_old_server(const struct scene *scene)
{
	const struct tls_wish wish = {.lowest = TLS1_VERSION, .highest = TLS1_1_VERSION};

	return certificate_must_fail(scene, &wish);
}

/* --- K, M: gone, or silent --- */

const char *attack_gone_at_each_step(const struct scene *scene)
{
	const char *result = NULL;
	struct trap trap;

	for (int step = 0; step < 6 && result == NULL; step++) {
		result = trap_set(&trap, scene);
		if (result == NULL && step >= 2) {
			message_accept(&trap.peer.answer, TLS_FOLLOWS, 4096);
			(void)link_send_message(&trap.peer, &trap.peer.answer);
			if (step >= 4)
				(void)link_tls_server(&trap.peer, scene, NULL);
		}
		if (result == NULL) {
			trap_end(&trap, step % 2 == 0 ? TRAP_ENDS : TRAP_RESETS);
			result = trap_held(&trap, PATIENCE_MS);
		}
		trap_close(&trap);
	}
	return result;
}

static const char *silence_at(const struct scene *scene, int step)
{
	struct trap trap;
	const char *result = trap_set(&trap, scene);

	if (result == NULL && step >= 1) {
		message_accept(&trap.peer.answer, TLS_FOLLOWS, 4096);
		(void)link_send(&trap.peer, trap.peer.answer.bytes, step == 1 ? 9 : trap.peer.answer.size);
	}
	if (result == NULL && step >= 3 && !link_tls_server(&trap.peer, scene, NULL))
		result = seen("an honest handshake fails (alert %d)", link_alert());
	if (result == NULL)
		result = trap_held(&trap, (int)(scene->wait_s + 3) * 1000);
	trap_close(&trap);
	return result;
}

const char *attack_silent_peer(const struct scene *scene)
{
	return silence_at(scene, 0);
}

const char *attack_half_answer_and_silence(const struct scene *scene)
{
	return silence_at(scene, 1);
}

const char *attack_silence_after_accept(const struct scene *scene)
{
	return silence_at(scene, 2);
}

const char *attack_silence_before_confirm(const struct scene *scene)
{
	return silence_at(scene, 3);
}
