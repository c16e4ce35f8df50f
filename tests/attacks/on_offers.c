/* Attacks on the exchange: classes A, D, F, L, and the protocol's own rules (P). */
#include <stdio.h>
#include <string.h>

#include "attacks.h"
#include "steps.h"

/* The best OFFER of the scene. */
static int best(const struct scene *scene)
{
	return scene->policy == POLICY_ONLY ? NONE : REQUIRED;
}

/* OFFER with `tail` behind it in one segment. */
static const char *offer_and(const struct scene *scene, int security, const void *tail, size_t size)
{
	static uint8_t bytes[MESSAGE_MOST + 70000];
	struct message offer;

	message_offer(&offer, security, scene->sysid, scene->target);
	memcpy(bytes, offer.bytes, offer.size);
	memcpy(bytes + offer.size, tail, size);
	return must_refuse_new(scene, bytes, offer.size + size, REASON_EARLY_DATA);
}

const char *attack_byte_behind_offer(const struct scene *scene)
{
	return offer_and(scene, best(scene), "x", 1);
}

const char *attack_data_behind_clear_offer(const struct scene *scene)
{
	return offer_and(scene, NONE, MARKER, MARKER_SIZE);
}

const char *attack_offer_behind_offer(const struct scene *scene)
{
	struct message second;

	message_offer(&second, NONE, "SECOND", NULL);
	return offer_and(scene, best(scene), second.bytes, second.size);
}

const char *attack_hello_behind_offer(const struct scene *scene)
{
	static const uint8_t hello[] = {22, 3, 1, 0, 0x30, 1, 0, 0, 0x2c, 3, 3};

	return offer_and(scene, best(scene), hello, sizeof(hello));
}

const char *attack_flood_behind_offer(const struct scene *scene)
{
	static uint8_t flood[60000];

	return offer_and(scene, best(scene), flood, sizeof(flood));
}

const char *attack_drip_with_byte_behind(const struct scene *scene)
{
	struct message offer;
	const char *result;
	struct link link;
	uint8_t last[2];

	if (!link_open(&link, scene))
		return "no connection is taken";
	message_offer(&offer, best(scene), scene->sysid, scene->target);
	for (size_t i = 0; i + 1 < offer.size; i++)
		(void)link_send(&link, offer.bytes + i, 1);
	last[0] = offer.bytes[offer.size - 1];
	last[1] = 'x';
	result = must_refuse(&link, last, sizeof(last), REASON_EARLY_DATA);
	link_close(&link, false);
	return result;
}

/* --- D: less than was asked for --- */

const char *attack_every_cell(const struct scene *scene)
{
	/* What the table of docs/protocol.md says: a security of ACCEPT, or a reason of REFUSE as a negative number. */
	static const int table[4][4] = {
	    [POLICY_NEVER] = {-REASON_NEEDED, TLS_FOLLOWS, TLS_FOLLOWS, TLS_FOLLOWS},
	    [POLICY_NONSSL] = {CLEAR, TLS_FOLLOWS, TLS_FOLLOWS, TLS_FOLLOWS},
	    [POLICY_ALLOW] = {CLEAR, CLEAR, TLS_FOLLOWS, TLS_FOLLOWS},
	    [POLICY_ONLY] = {CLEAR, CLEAR, CLEAR, -REASON_NOT_HERE},
	};
	const char *result = NULL;
	struct link link;

	for (int security = NONE; security <= REQUIRED && result == NULL; security++) {
		int wanted = table[scene->policy][security], got;

		if (!link_open(&link, scene))
			return "no connection is taken";
		message_offer(&link.offer, security, scene->ratchet ? "NEVER-SECURED" : scene->sysid, scene->target);
		got = link_exchange(&link);
		if (wanted < 0 ? got != REFUSE || link.read.reason != -wanted : got != ACCEPT || link.read.security != wanted)
			result = seen("security %d gets %s", security, got_words(&link, got));
		link_close(&link, false);
	}
	return result;
}

/* An OFFER with this security must be a bad message. */
static const char *bad_security(const struct scene *scene, int security)
{
	struct message offer;

	message_offer(&offer, security, scene->sysid, scene->target);
	return must_refuse_new(scene, offer.bytes, offer.size, REASON_BAD);
}

const char *attack_inside_in_the_clear(const struct scene *scene)
{
	return bad_security(scene, INSIDE);
}

const char *attack_other_security(const struct scene *scene)
{
	const char *result = NULL;

	for (int security = INSIDE + 1; security <= 255 && result == NULL; security += 25)
		result = bad_security(scene, security);
	return result;
}

const char *attack_back_to_clear(const struct scene *scene)
{
	struct link link;
	const char *result = step_secured(&link, scene, NULL);

	link_close(&link, false);
	if (result != NULL || !link_open(&link, scene))
		return result != NULL ? result : "no connection is taken";
	message_offer(&link.offer, NONE, scene->sysid, scene->target);
	result = must_refuse(&link, link.offer.bytes, link.offer.size, REASON_RATCHET);
	link_close(&link, false);
	return result;
}

/* --- F, L: texts --- */

static const char *const hostile[] = {
    "A\r\nB",        "A\nid=1 outcome=secured",
    "A\x1b[2J",      "A\x7f",
    "A\tB",          "A\xc2\x85",
    "A\xff\xfe",     "A\xc0\xaf",
    "A B",           "<b>A</b>",
    "A\"",           "A'",
    "A%n%s",         "A\\",
    "A,B",           "=A()",
    "A;B",           "A/../B",
    "A\xed\xa0\x80",
};

/* `parameter` with each hostile value must be a bad message, where `all`; otherwise the answer must at least be
 * well-formed. */
static const char *send_hostile(const struct scene *scene, unsigned parameter, bool all)
{
	const uint8_t security = (uint8_t)best(scene);
	const char *result = NULL;
	struct link link;

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]) && result == NULL; i++) {
		if (!link_open(&link, scene))
			return "no connection is taken";
		message_begin(&link.offer, OFFER, 4096);
		message_add(&link.offer, P_SECURITY, &security, 1);
		if (parameter != P_SYSID)
			message_add(&link.offer, P_SYSID, scene->sysid, strlen(scene->sysid));
		message_add(&link.offer, parameter, hostile[i], strlen(hostile[i]));
		if (all) {
			result = must_refuse(&link, link.offer.bytes, link.offer.size, REASON_BAD);
		} else {
			int got = link_exchange(&link);

			result = got == ACCEPT || got == REFUSE ? NULL : got_words(&link, got);
		}
		if (result != NULL)
			result = seen("value %zu: %s", i + 1, result);
		link_close(&link, false);
	}
	return result;
}

const char *attack_hostile_sysid(const struct scene *scene)
{
	return send_hostile(scene, P_SYSID, true);
}

const char *attack_hostile_target(const struct scene *scene)
{
	return send_hostile(scene, P_TARGET, true);
}

const char *attack_hostile_agent(const struct scene *scene)
{
	return send_hostile(scene, P_AGENT, false);
}

/* A NUL, as no string of C has it. */
const char *attack_nul_in_names(const struct scene *scene)
{
	const uint8_t security = (uint8_t)best(scene);
	const char *result = NULL;
	struct link link;

	for (unsigned parameter = P_SYSID; parameter <= P_AGENT && result == NULL; parameter++) {
		if (!link_open(&link, scene))
			return "no connection is taken";
		message_begin(&link.offer, OFFER, 4096);
		message_add(&link.offer, P_SECURITY, &security, 1);
		if (parameter != P_SYSID)
			message_add(&link.offer, P_SYSID, scene->sysid, strlen(scene->sysid));
		message_add(&link.offer, parameter, "A\0B", 3);
		result = must_refuse(&link, link.offer.bytes, link.offer.size, REASON_BAD);
		link_close(&link, false);
	}
	return result;
}
