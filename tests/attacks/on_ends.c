/* Attacks by going, waiting and coming in numbers: classes K, M, N. What must follow is that the gateway goes on
 * serving. */
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "attacks.h"
#include "steps.h"

/* --- K: gone in the middle --- */

const char *attack_gone_at_each_byte(const struct scene *scene)
{
	struct message offer;
	struct link link;

	message_offer(&offer, scene->policy == POLICY_ONLY ? NONE : REQUIRED, scene->sysid, scene->target);
	for (size_t size = 0; size <= offer.size; size++)
		for (int reset = 0; reset < 2; reset++) {
			if (!link_open(&link, scene))
				return "no connection is taken";
			(void)link_send(&link, offer.bytes, size);
			link_close(&link, reset != 0);
		}
	return NULL;
}

/* With the ACCEPT read or not; what is tested is what it does to those that come later. */
const char *attack_gone_where_tls_is_due(const struct scene *scene)
{
	const char *result = NULL;
	struct link link;

	for (int i = 0; i < 40 && result == NULL; i++) {
		if (i % 2 == 0) {
			result = step_due(&link, scene);
		} else if (link_open(&link, scene)) {
			message_offer(&link.offer, REQUIRED, scene->sysid, scene->target);
			(void)link_send_message(&link, &link.offer);
		}
		link_close(&link, i % 4 < 2);
	}
	return result;
}

static bool send_part_of_hello(struct link *link, int part, int parts)
{
	uint8_t hello[4096];
	size_t size = link_hello(hello, sizeof(hello));

	return size > 0 && link_send(link, hello, size * (size_t)part / (size_t)parts);
}

const char *attack_gone_in_the_handshake(const struct scene *scene)
{
	const char *result = NULL;
	struct link link;

	for (int part = 0; part <= 20 && result == NULL; part++) {
		result = step_due(&link, scene);
		if (result == NULL && !send_part_of_hello(&link, part, 20))
			result = "a ClientHello cannot be sent";
		link_close(&link, part % 2 == 0);
	}
	return result;
}

const char *attack_gone_after_the_handshake(const struct scene *scene)
{
	const char *result = NULL;
	struct message confirm;
	struct link link;

	for (int i = 0; i < 12 && result == NULL; i++) {
		result = step_tls(&link, scene, NULL);
		if (result == NULL && i % 3 > 0) {
			link_verifier(&link, "client", &confirm);
			(void)link_send(&link, confirm.bytes, i % 3 == 1 ? confirm.size / 2 : confirm.size);
		}
		link_close(&link, i % 2 == 0);
	}
	return result;
}

const char *attack_gone_with_bytes_under_way(const struct scene *scene)
{
	static char much[65536];
	const char *result = NULL;
	struct link link;

	for (int i = 0; i < 12 && result == NULL; i++) {
		result = step_best(&link, scene);
		if (result == NULL && i % 3 > 0)
			(void)link_send(&link, much, i % 3 == 1 ? 1 : 4000);
		link_close(&link, i % 2 == 0);
	}
	return result;
}

/* --- M: silent and slow --- */

/* The connection must be ended in the gateway's own time, whatever comes a byte at a time meanwhile. NULL: `bytes`
 * ends, or there is none: silence. */
static const char *must_end_while_dripping(struct link *link, const struct scene *scene, const uint8_t *bytes,
                                           size_t size)
{
	struct pollfd ready = {.fd = link->fd, .events = POLLIN};
	char dropped[4096];
	size_t at = 0;
	ssize_t got;

	for (unsigned quarters = 0; quarters < 4 * (scene->wait_s + 3); quarters++) {
		while (poll(&ready, 1, 250) == 1) {
			got = recv(link->fd, dropped, sizeof(dropped), 0);
			if (got <= 0)
				return NULL;
		}
		if (at < size)
			(void)send(link->fd, bytes + at++, 1, MSG_NOSIGNAL);
	}
	return seen("after %u seconds it is still open", scene->wait_s + 3);
}

static const char *slow_offer(const struct scene *scene, size_t at_once, bool drip)
{
	struct message offer;
	const char *result;
	struct link link;

	if (!link_open(&link, scene))
		return "no connection is taken";
	message_offer(&offer, REQUIRED, scene->sysid, scene->target);
	while (offer.size < 1024)
		message_add(&offer, 0x7000u + (unsigned)offer.size, "a parameter that nobody knows", 29);
	(void)link_send(&link, offer.bytes, at_once);
	result = must_end_while_dripping(&link, scene, offer.bytes + at_once, drip ? offer.size - at_once : 0);
	link_close(&link, false);
	return result;
}

const char *attack_silence(const struct scene *scene)
{
	return slow_offer(scene, 0, false);
}

const char *attack_half_an_offer(const struct scene *scene)
{
	return slow_offer(scene, 20, false);
}

const char *attack_dripping_offer(const struct scene *scene)
{
	return slow_offer(scene, 0, true);
}

static const char *slow_hello(const struct scene *scene, int parts, bool drip)
{
	static const uint8_t record[2048] = {22, 3, 1, 7, 0xf0, 1, 0, 7, 0xec, 3, 3};
	struct link link;
	const char *result = step_due(&link, scene);

	if (result == NULL && parts > 0 && !send_part_of_hello(&link, 1, parts))
		result = "a ClientHello cannot be sent";
	if (result == NULL)
		result = must_end_while_dripping(&link, scene, record, drip ? sizeof(record) : 0);
	link_close(&link, false);
	return result;
}

const char *attack_silence_where_tls_is_due(const struct scene *scene)
{
	return slow_hello(scene, 0, false);
}

const char *attack_half_a_hello(const struct scene *scene)
{
	return slow_hello(scene, 2, false);
}

const char *attack_dripping_hello(const struct scene *scene)
{
	return slow_hello(scene, 0, true);
}

const char *attack_silence_where_confirm_is_due(const struct scene *scene)
{
	struct link link;
	const char *result = step_tls(&link, scene, NULL);

	if (result == NULL)
		result = must_end_while_dripping(&link, scene, NULL, 0);
	link_close(&link, false);
	return result;
}

const char *attack_half_a_confirm(const struct scene *scene)
{
	struct link link;
	struct message confirm;
	const char *result = step_tls(&link, scene, NULL);

	if (result == NULL) {
		link_verifier(&link, "client", &confirm);
		(void)link_send(&link, confirm.bytes, confirm.size / 2);
		result = must_end_while_dripping(&link, scene, NULL, 0);
	}
	link_close(&link, false);
	return result;
}

const char *attack_silence_inside_direct(const struct scene *scene)
{
	struct link link;
	const char *result = NULL;

	if (!link_open(&link, scene) || !link_tls(&link, scene, true, NULL))
		result = seen("the handshake fails (alert %d)", link_alert());
	else
		result = must_end_while_dripping(&link, scene, NULL, 0);
	link_close(&link, false);
	return result;
}

/* --- N: in numbers --- */

/* Many at once, each led as far as `lead` does; then one more, which is served, or told so, and never left alone; and
 * when all have gone, it serves. */
static const char *crowd(const struct scene *scene, const char *(*lead)(struct link *link, const struct scene *scene))
{
	struct link *links = calloc(scene->connections, sizeof(*links)), more;
	const char *result = NULL;
	int got;

	if (links == NULL)
		return "not enough memory";
	for (unsigned i = 0; i < scene->connections; i++)
		(void)lead(&links[i], scene); /* some may be refused */
	if (link_open(&more, scene)) {
		message_offer(&more.offer, scene->policy == POLICY_ONLY ? NONE : REQUIRED, scene->sysid, scene->target);
		got = link_exchange(&more);
		if (got == GOT_NOTHING || got == GOT_RUBBISH || (got == REFUSE && more.read.reason != REASON_BUSY))
			result = seen("beside %u others one more gets %s", scene->connections, got_words(&more, got));
		link_close(&more, false);
	}
	for (unsigned i = 0; i < scene->connections; i++)
		link_close(&links[i], i % 2 == 0);
	free(links);
	return result;
}

static const char *lead_nowhere(struct link *link, const struct scene *scene)
{
	return link_open(link, scene) ? NULL : "refused";
}

static const char *lead_to_tls(struct link *link, const struct scene *scene)
{
	if (link_open(link, scene)) {
		message_offer(&link->offer, REQUIRED, scene->sysid, scene->target);
		(void)link_send_message(link, &link->offer);
	}
	return NULL;
}

const char *attack_crowd_of_silent(const struct scene *scene)
{
	return crowd(scene, lead_nowhere);
}

const char *attack_crowd_where_tls_is_due(const struct scene *scene)
{
	return crowd(scene, lead_to_tls);
}

const char *attack_crowd_of_served(const struct scene *scene)
{
	return crowd(scene, step_best);
}
