/* Attacks on the upgrade and on TLS: classes C, G, H, I, J, and TLS itself (T). */
#include <openssl/err.h>
#include <string.h>

#include "attacks.h"
#include "steps.h"

/* --- C: too early --- */

/* In place of a ClientHello. */
static const char *clear_in_place_of_tls(const struct scene *scene, const void *bytes, size_t size)
{
	struct link link;
	const char *result = step_due(&link, scene);

	if (result == NULL) {
		(void)link_send(&link, bytes, size);
		result = must_end_without_echo(&link, PATIENCE_MS);
	}
	link_close(&link, false);
	return result;
}

const char *attack_clear_data_where_tls_is_due(const struct scene *scene)
{
	return clear_in_place_of_tls(scene, MARKER MARKER MARKER MARKER, 4 * MARKER_SIZE);
}

const char *attack_clear_confirm_where_tls_is_due(const struct scene *scene)
{
	struct message confirm;

	message_begin(&confirm, CONFIRM, 0);
	message_add(&confirm, P_VERIFIER, "0123456789abcdef0123456789abcdef", VERIFIER_SIZE);
	memcpy(confirm.bytes + confirm.size, MARKER, MARKER_SIZE);
	return clear_in_place_of_tls(scene, confirm.bytes, confirm.size + MARKER_SIZE);
}

const char *attack_clear_data_before_hello(const struct scene *scene)
{
	uint8_t bytes[MARKER_SIZE + 4096];

	memcpy(bytes, MARKER, MARKER_SIZE);
	return clear_in_place_of_tls(scene, bytes, MARKER_SIZE + link_hello(bytes + MARKER_SIZE, 4096));
}

const char *attack_clear_data_behind_hello(const struct scene *scene)
{
	uint8_t bytes[4096 + MARKER_SIZE];
	size_t size = link_hello(bytes, 4096);

	memcpy(bytes + size, MARKER, MARKER_SIZE);
	return clear_in_place_of_tls(scene, bytes, size + MARKER_SIZE);
}

/* In place of CONFIRM, inside TLS. */
static const char *in_place_of_confirm(const struct scene *scene, const void *bytes, size_t size)
{
	struct link link, other;
	const char *result = step_tls(&link, scene, NULL);
	int got;

	if (result == NULL) {
		(void)link_send(&link, bytes, size);
		other = link;
		got = link_answer(&other); /* its CONFIRM, or what it thinks of ours */
		if (got == CONFIRM)
			got = link_answer(&other);
		if (got == REFUSE ? other.read.reason != REASON_ALTERED : got != GOT_END && got != GOT_CUT)
			result = got_words(&other, got);
		else
			result = must_end_without_echo(&link, PATIENCE_MS);
	}
	link_close(&link, false);
	return result;
}

const char *attack_data_before_confirm(const struct scene *scene)
{
	return in_place_of_confirm(scene, MARKER MARKER, 2 * MARKER_SIZE);
}

/* --- G, H: another protocol, another way --- */

static const char *handshake_must_fail(const struct scene *scene, bool direct, const char *name, const char *other)
{
	const struct tls_wish wish = {.alpn = {name, other}};
	struct link link;
	const char *result = NULL;
	int got;

	if (direct ? !link_open(&link, scene) : (result = step_due(&link, scene)) != NULL)
		return result != NULL ? result : "no connection is taken";
	/* In TLS 1.3 a client may find out by its next read. */
	if (link_tls(&link, scene, direct, &wish)) {
		message_offer(&link.offer, INSIDE, scene->sysid, scene->target);
		got = direct ? link_exchange(&link) : link_until_end(&link, PATIENCE_MS, NULL);
		result = got > 0 ? seen("served: %s", got_words(&link, got)) : NULL;
		if (got <= 0 && link_alert() == 0)
			result = "the handshake succeeds";
	}
	link_close(&link, false);
	return result;
}

const char *attack_upgrade_as_http(const struct scene *scene)
{
	return handshake_must_fail(scene, false, "http/1.1", "h2");
}

const char *attack_upgrade_as_direct(const struct scene *scene)
{
	return handshake_must_fail(scene, false, ALPN_DIRECT, NULL);
}

const char *attack_direct_as_http(const struct scene *scene)
{
	return handshake_must_fail(scene, true, "http/1.1", "h2");
}

const char *attack_direct_as_upgrade(const struct scene *scene)
{
	return handshake_must_fail(scene, true, ALPN_UPGRADE, NULL);
}

const char *attack_direct_without_alpn(const struct scene *scene)
{
	return handshake_must_fail(scene, true, "", NULL);
}

const char *attack_direct_that_may_not_be(const struct scene *scene)
{
	if (scene->direct && scene->policy != POLICY_ONLY)
		return skipped("direct TLS is allowed here");
	return handshake_must_fail(scene, true, ALPN_DIRECT, NULL);
}

/* Inside TLS a client may not ask for TLS once more, or for less. */
const char *attack_other_security_inside(const struct scene *scene)
{
	const char *result = NULL;
	struct link link;
	int got;

	for (int security = NONE; security <= REQUIRED && result == NULL; security++) {
		if (!link_open(&link, scene) || !link_tls(&link, scene, true, NULL))
			return seen("the handshake fails (alert %d)", link_alert());
		message_offer(&link.offer, security, scene->sysid, scene->target);
		got = link_exchange(&link);
		if (got != REFUSE || link.read.reason != REASON_BAD)
			result = seen("security %d inside gets %s", security, got_words(&link, got));
		link_close(&link, false);
	}
	return result;
}

/* What is wrong with a CONFIRM. */
enum lie { LIE_ZERO, LIE_ALTERED, LIE_REFLECTED, LIE_ROLE, LIE_OFFER };

static void lie_confirm(struct link *link, enum lie lie, struct message *confirm)
{
	struct link other = *link;

	switch (lie) {
	case LIE_ZERO:
		message_begin(confirm, CONFIRM, 0);
		message_add(confirm, P_VERIFIER, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
		            VERIFIER_SIZE);
		break;
	case LIE_ALTERED: /* as if what stands between had changed the OFFER */
		other.offer.bytes[15] ^= 1;
		link_verifier(&other, "client", confirm);
		break;
	case LIE_REFLECTED: /* its own one sent back */
		(void)link_answer(&other);
		*confirm = other.answer;
		break;
	case LIE_ROLE:
		link_verifier(link, "server", confirm);
		break;
	case LIE_OFFER:
		*confirm = link->offer;
		break;
	}
}

static const char *lie_about(const struct scene *scene, enum lie lie, const struct tls_wish *wish)
{
	struct link link, other;
	const char *result = step_tls(&link, scene, wish);
	struct message confirm;
	int got;

	if (result == NULL) {
		lie_confirm(&link, lie, &confirm);
		(void)link_send_message(&link, &confirm);
		(void)link_send(&link, MARKER, MARKER_SIZE);
		other = link;
		got = lie == LIE_REFLECTED ? CONFIRM : link_answer(&other);
		got = got == CONFIRM ? link_answer(&other) : got;
		result = got == REFUSE && other.read.reason == REASON_ALTERED
		             ? must_end_without_echo(&link, PATIENCE_MS)
		             : seen("%s, not REFUSE 13", got_words(&other, got));
	}
	link_close(&link, false);
	return result;
}

const char *attack_confirm_of_zeros(const struct scene *scene)
{
	return lie_about(scene, LIE_ZERO, NULL);
}

const char *attack_altered_offer(const struct scene *scene)
{
	return lie_about(scene, LIE_ALTERED, NULL);
}

const char *attack_reflected_confirm(const struct scene *scene)
{
	return lie_about(scene, LIE_REFLECTED, NULL);
}

const char *attack_confirm_of_the_other_role(const struct scene *scene)
{
	return lie_about(scene, LIE_ROLE, NULL);
}

const char *attack_offer_in_place_of_confirm(const struct scene *scene)
{
	return lie_about(scene, LIE_OFFER, NULL);
}

/* --- I: sessions --- */

/* One honest session's; NULL: none was given, or `wrong`. */
static SSL_SESSION *earn_session(const struct scene *scene, const char **wrong)
{
	SSL_SESSION *session = NULL;
	struct link link;

	*wrong = step_secured(&link, scene, NULL);
	if (*wrong == NULL)
		*wrong = step_echo(&link); /* and the tickets with it */
	if (*wrong == NULL) {
		(void)SSL_shutdown(link.ssl); /* the library takes a session back that was cut */
		session = SSL_get1_session(link.ssl);
	}
	link_close(&link, false);
	if (session != NULL && SSL_SESSION_is_resumable(session) != 1) {
		SSL_SESSION_free(session);
		session = NULL;
	}
	if (*wrong == NULL && session == NULL)
		*wrong = skipped("it gives no sessions");
	return session;
}

const char *attack_resumed_with_a_lie(const struct scene *scene)
{
	const char *result;
	SSL_SESSION *session = earn_session(scene, &result);
	const struct tls_wish wish = {.session = session};

	if (session == NULL)
		return result;
	result = lie_about(scene, LIE_ALTERED, &wish);
	SSL_SESSION_free(session);
	return result;
}

const char *attack_resumed_as_another_way(const struct scene *scene)
{
	const char *result;
	SSL_SESSION *session = earn_session(scene, &result);
	const struct tls_wish wish = {.alpn = {ALPN_UPGRADE}, .session = session};
	struct link link;

	if (session == NULL)
		return result;
	if (!link_open(&link, scene))
		return "no connection is taken";
	result = link_tls(&link, scene, true, &wish) && link_until_end(&link, PATIENCE_MS, NULL) == GOT_NOTHING
	             ? "the handshake succeeds"
	             : NULL;
	link_close(&link, false);
	SSL_SESSION_free(session);
	return result;
}

const char *attack_early_data(const struct scene *scene)
{
	const char *result;
	SSL_SESSION *session = earn_session(scene, &result);

	if (session == NULL)
		return result;
	result = SSL_SESSION_get_max_early_data(session) == 0 ? NULL : "it takes data that can be replayed (0-RTT)";
	SSL_SESSION_free(session);
	return result;
}

/* --- J: the verdict --- */

static const char *certificate_must_fail(const struct scene *scene, const struct tls_wish *wish, bool direct)
{
	struct link link;
	const char *result = NULL;
	struct message confirm;

	if (direct ? !link_open(&link, scene) : (result = step_due(&link, scene)) != NULL)
		return result != NULL ? result : "no connection is taken";
	if (link_tls(&link, scene, direct, wish)) { /* in TLS 1.3 a client is done before it is judged */
		if (direct)
			message_offer(&confirm, INSIDE, scene->sysid, scene->target);
		else
			link_verifier(&link, "client", &confirm);
		(void)link_send_message(&link, &confirm);
		(void)link_send(&link, MARKER, MARKER_SIZE);
		result = must_end_without_echo(&link, PATIENCE_MS);
	}
	link_close(&link, false);
	return result;
}

static const char *both_ways(const struct scene *scene, const struct tls_wish *wish)
{
	struct tls_wish old = *wish;
	const char *result = certificate_must_fail(scene, wish, false);

	old.highest = TLS1_2_VERSION;
	result = result == NULL ? certificate_must_fail(scene, &old, false) : result;
	return result == NULL && scene->direct ? certificate_must_fail(scene, wish, true) : result;
}

const char *attack_without_certificate(const struct scene *scene)
{
	const struct tls_wish wish = {.no_certificate = true};

	return both_ways(scene, &wish);
}

const char *attack_self_made_certificate(const struct scene *scene)
{
	const struct tls_wish wish = {.self_made = true};

	return both_ways(scene, &wish);
}

const char *attack_bad_certificate(const struct scene *scene)
{
	const struct tls_wish wish = {.cert = scene->bad_cert, .key = scene->bad_key};

	return both_ways(scene, &wish);
}

/* --- T: TLS itself --- */

const char *attack_old_tls(const struct scene *scene)
{
	const struct tls_wish wish = {.lowest = TLS1_VERSION, .highest = TLS1_1_VERSION};
	struct link link;
	const char *result = step_due(&link, scene);

	if (result == NULL && link_tls(&link, scene, false, &wish))
		result = seen("%s is spoken", SSL_get_version(link.ssl));
	link_close(&link, false);
	return result;
}

const char *attack_renegotiation(const struct scene *scene)
{
	const struct tls_wish wish = {.highest = TLS1_2_VERSION};
	struct link link;
	const char *result = step_secured(&link, scene, &wish);
	char byte;

	if (result != NULL) {
		link_close(&link, false);
		return skipped("no TLS 1.2 here");
	}
	if (SSL_renegotiate(link.ssl) == 1 && SSL_do_handshake(link.ssl) == 1 &&
	    link_receive(&link, &byte, 1, 500) == GOT_NOTHING && SSL_renegotiate_pending(link.ssl) == 0)
		result = "a client may renegotiate";
	link_close(&link, false);
	return result;
}

const char *attack_key_updates(const struct scene *scene)
{
	const struct tls_wish wish = {.lowest = TLS1_3_VERSION};
	struct link link;
	const char *result = step_secured(&link, scene, &wish);

	if (result == NULL)
		for (int i = 0;
		     i < 2000 && SSL_key_update(link.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(link.ssl) == 1;
		     i++)
			continue;
	link_close(&link, true);
	return result; /* and then it has to serve, as after each attack */
}
