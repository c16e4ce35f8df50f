/* The rules of the messages themselves (P): each broken once. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "attacks.h"
#include "steps.h"

/* One change of an honest OFFER, and the reason it has to be refused with (0: closed without an answer, as it is no
 * message). */
struct change {
	const char *name;
	int reason;
	/* bytes of the header that are others */
	unsigned at, count;
	uint8_t bytes[3];
	/* a parameter that is appended */
	unsigned id;
	const char *value;    /* NULL: none */
	size_t size, claimed; /* `claimed`: the size it says that it has, where that is another */
	/* a parameter that is not there */
	unsigned without;
	/* bytes at the end that are no parameter */
	unsigned rest;
};

#define SIXTY_FIVE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const struct change changes[] = {
    {"a wrong magic", 0, .at = 3, .count = 1, .bytes = {'Q'}},
    {"version 2", REASON_VERSION, .at = 4, .count = 1, .bytes = {2}},
    {"version 0", REASON_VERSION, .at = 4, .count = 1, .bytes = {0}},
    {"an ACCEPT in its place", REASON_BAD, .at = 5, .count = 1, .bytes = {ACCEPT}},
    {"a CONFIRM in its place", REASON_BAD, .at = 5, .count = 1, .bytes = {CONFIRM}},
    {"type 9", REASON_BAD, .at = 5, .count = 1, .bytes = {9}},
    {"cpu 3", REASON_BAD, .at = 6, .count = 1, .bytes = {3}},
    {"flags", REASON_BAD, .at = 7, .count = 1, .bytes = {0x80}},
    {"length 0", REASON_BAD, .at = 8, .count = 2, .bytes = {0, 0}},
    {"length 15", REASON_BAD, .at = 8, .count = 2, .bytes = {0, 15}},
    {"length 4097", REASON_BAD, .at = 8, .count = 2, .bytes = {0x10, 1}},
    {"a reason", REASON_BAD, .at = 10, .count = 2, .bytes = {0, 3}},
    {"maxru 0", REASON_BAD, .at = 13, .count = 3, .bytes = {0, 0, 0}},
    {"maxru 255", REASON_BAD, .at = 13, .count = 3, .bytes = {0, 0, 255}},
    {"maxru 1048577", REASON_BAD, .at = 13, .count = 3, .bytes = {0x10, 0, 1}},
    {"a parameter past its end", REASON_BAD, .id = P_AGENT, .value = "A", .size = 1, .claimed = 9},
    {"half a parameter", REASON_BAD, .rest = 3},
    {"security twice", REASON_BAD, .id = P_SECURITY, .value = "\3", .size = 1},
    {"sysid twice", REASON_BAD, .id = P_SYSID, .value = "OTHER", .size = 5},
    {"id 0", REASON_BAD, .id = 0, .value = "A", .size = 1},
    {"an unknown critical id", REASON_BAD, .id = 0x8123, .value = "A", .size = 1},
    {"an agent with the critical bit", REASON_BAD, .id = 0x8000 | P_AGENT, .value = "A", .size = 1},
    {"a text", REASON_BAD, .id = P_TEXT, .value = "A", .size = 1},
    {"a verifier", REASON_BAD, .id = P_VERIFIER, .value = SIXTY_FIVE, .size = VERIFIER_SIZE},
    {"an empty agent", REASON_BAD, .id = P_AGENT, .value = ""},
    {"an agent of 65 characters", REASON_BAD, .id = P_AGENT, .value = SIXTY_FIVE, .size = 65},
    {"TLS versions of 3 bytes", REASON_BAD, .id = P_TLS, .value = "\3\3\3", .size = 3},
    {"a connection id of 17 bytes", REASON_BAD, .id = P_CONNECTION, .value = SIXTY_FIVE, .size = 17},
    {"hops of no byte", REASON_BAD, .id = P_HOPS, .value = ""},
    {"no security", REASON_BAD, .without = P_SECURITY},
    {"no sysid", REASON_BAD, .without = P_SYSID},
};

static void make(const struct change *change, const struct scene *scene, struct message *offer)
{
	const uint8_t security = scene->policy == POLICY_ONLY ? NONE : REQUIRED;

	message_begin(offer, OFFER, 4096);
	if (change->without != P_SECURITY)
		message_add(offer, P_SECURITY, &security, 1);
	if (change->without != P_SYSID)
		message_add(offer, P_SYSID, scene->sysid, strlen(scene->sysid));
	if (change->value != NULL)
		message_add(offer, change->id, change->value, change->size);
	if (change->claimed != 0)
		offer->bytes[offer->size - change->size - 1] = (uint8_t)change->claimed;
	offer->size += change->rest;
	offer->bytes[9] = (uint8_t)(offer->bytes[9] + change->rest);
	memcpy(offer->bytes + change->at, change->bytes, change->count);
}

static const char *try_change(const struct scene *scene, const struct change *change)
{
	const char *result = NULL;
	struct message offer;
	struct link link;
	int got;

	if (!link_open(&link, scene))
		return "no connection is taken";
	make(change, scene, &offer);
	if (change->reason != 0) {
		result = must_refuse(&link, offer.bytes, offer.size, change->reason);
	} else {
		(void)link_send_message(&link, &offer);
		got = link_answer(&link);
		result = got == GOT_END || got == GOT_CUT ? NULL : got_words(&link, got);
	}
	link_close(&link, false);
	return result == NULL ? NULL : seen("%s: %s", change->name, result);
}

const char *attack_bad_messages(const struct scene *scene)
{
	const char *result = NULL;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]) && result == NULL; i++)
		result = try_change(scene, &changes[i]);
	return result;
}

const char *attack_no_version_in_common(const struct scene *scene)
{
	const struct change change = {"TLS 1.0 to 1.1", REASON_TLS_VERSION, .id = P_TLS, .value = "\3\1\3\2", .size = 4};

	return try_change(scene, &change);
}

/* Send and end; what comes back must be an answer in order, or an end. */
static const char *answer_to(const struct scene *scene, const uint8_t *bytes, size_t size)
{
	struct link link;
	int got;

	if (!link_open(&link, scene))
		return "no connection is taken";
	(void)link_send(&link, bytes, size);
	(void)shutdown(link.fd, SHUT_WR);
	got = link_answer(&link);
	link_close(&link, true);
	return got == GOT_RUBBISH || got == GOT_NOTHING ? got_words(&link, got) : NULL;
}

const char *attack_every_bit(const struct scene *scene)
{
	const char *result = NULL;
	struct message offer;

	message_offer(&offer, REQUIRED, "BITS", "T");
	message_add(&offer, P_HOPS, "\7", 1);
	for (size_t bit = 0; bit < 8 * offer.size && result == NULL; bit++) {
		offer.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		result = answer_to(scene, offer.bytes, offer.size);
		offer.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (result != NULL)
			result = seen("bit %zu: %s", bit, result);
	}
	return result;
}

const char *attack_every_length(const struct scene *scene)
{
	const char *result = NULL;
	struct message offer;

	message_offer(&offer, REQUIRED, "LENGTHS", "T");
	for (size_t size = 0; size < offer.size && result == NULL; size++) {
		result = answer_to(scene, offer.bytes, size);
		if (result != NULL)
			result = seen("%zu bytes: %s", size, result);
	}
	return result;
}

/* Whoever speaks another protocol gets no answer that he could take for his own. */
const char *attack_other_protocols(const struct scene *scene)
{
	static const char *const words[] = {
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
	    "\r\n\r\n\0\r\nQUIT\n!\1\0\14\0\0\0\0",
	    "EHLO a\r\n",
	    "SSH-2.0-x\r\n",
	    "\x80\x2e\x01\x00\x02",
	    "CCIP",
	};
	const char *result = NULL;
	struct link link;
	int got;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && result == NULL; i++) {
		if (!link_open(&link, scene))
			return "no connection is taken";
		(void)link_send(&link, words[i], strlen(words[i]));
		(void)shutdown(link.fd, SHUT_WR);
		got = link_answer(&link);
		if (got == GOT_RUBBISH || got == GOT_NOTHING || got == ACCEPT)
			result = seen("\"%.8s...\" gets %s", words[i], got_words(&link, got));
		link_close(&link, false);
	}
	return result;
}

const char *attack_ebcdic(const struct scene *scene)
{
	const uint8_t security = REQUIRED, name[] = {0xc1, 0xc2, 0xf1}; /* AB1 */
	const uint8_t control[] = {0xc1, 0x15, 0xf1};
	const char *result;
	struct link link;
	int got;

	if (!link_open(&link, scene))
		return "no connection is taken";
	message_begin(&link.offer, OFFER, 4096);
	link.offer.bytes[6] = 2;
	message_add(&link.offer, P_SECURITY, scene->policy == POLICY_ONLY ? "\0" : (const char *)&security, 1);
	message_add(&link.offer, P_SYSID, name, sizeof(name));
	got = link_exchange(&link);
	result = (got == ACCEPT || got == REFUSE) && link.read.cpu == 2
	             ? NULL
	             : seen("%s, cpu %d", got_words(&link, got), link.read.cpu);
	link_close(&link, false);
	if (result != NULL || !link_open(&link, scene))
		return result;
	message_begin(&link.offer, OFFER, 4096);
	link.offer.bytes[6] = 2;
	message_add(&link.offer, P_SECURITY, &security, 1);
	message_add(&link.offer, P_SYSID, control, sizeof(control));
	result = must_refuse(&link, link.offer.bytes, link.offer.size, REASON_BAD);
	link_close(&link, false);
	return result;
}

const char *attack_pieces(const struct scene *scene)
{
	struct link link;
	const char *result;
	int got;

	if (!link_open(&link, scene))
		return "no connection is taken";
	message_offer(&link.offer, scene->policy == POLICY_ONLY ? NONE : REQUIRED, scene->sysid, scene->target);
	for (size_t i = 0; i < link.offer.size; i++)
		(void)link_send(&link, link.offer.bytes + i, 1);
	got = link_answer(&link);
	result = got == ACCEPT ? NULL : got_words(&link, got);
	link_close(&link, false);
	return result;
}

const char *attack_ping_without_end(const struct scene *scene)
{
	static char much[16384];
	const char *result;
	struct link link;
	size_t back;

	if (strcmp(scene->target, "*PING") != 0)
		return skipped("the target is not *PING");
	result = step_best(&link, scene);
	if (result == NULL) {
		(void)link_send(&link, much, sizeof(much));
		if (link_until_end(&link, PATIENCE_MS, &back) == GOT_NOTHING)
			result = "*PING goes on behind 4096 bytes";
		else if (back > 4096)
			result = seen("*PING sends back %zu bytes, more than 4096", back);
	}
	link_close(&link, false);
	return result;
}

const char *attack_half_close(const struct scene *scene)
{
	struct link link;
	const char *result = step_best(&link, scene);
	char back[MARKER_SIZE + 1];
	size_t size = 0;
	long got = 1;

	if (result == NULL) {
		(void)link_send(&link, MARKER, MARKER_SIZE);
		if (link.ssl != NULL)
			(void)SSL_shutdown(link.ssl);
		(void)shutdown(link.fd, SHUT_WR);
		while (got > 0 && size < sizeof(back)) {
			got = link_receive(&link, back + size, sizeof(back) - size, PATIENCE_MS);
			size += got > 0 ? (size_t)got : 0;
		}
		if (size != MARKER_SIZE || memcmp(back, MARKER, MARKER_SIZE) != 0)
			result = seen("%zu bytes of %zu come back after the end of writing", size, MARKER_SIZE);
		else if (got != GOT_END)
			result = seen("the other direction ends with %s", got_words(&link, (int)got));
	}
	link_close(&link, false);
	return result;
}
