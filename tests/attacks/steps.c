/* An honest connection, step by step. */
#include "steps.h"

#include <string.h>
#include <time.h>

#define RECOVERY_S 5 /* what was attacked may take so long to serve again */

static void pause_ms(long ms)
{
	const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&time, NULL);
}

const char *step_accepted(struct link *link, const struct scene *scene, int security)
{
	int got;

	if (!link_open(link, scene))
		return "no connection is taken";
	message_offer(&link->offer, security, scene->sysid, scene->target);
	got = link_exchange(link);
	return got == ACCEPT ? NULL : seen("an honest OFFER gets %s", got_words(link, got));
}

const char *step_due(struct link *link, const struct scene *scene)
{
	const char *wrong = step_accepted(link, scene, REQUIRED);

	if (wrong == NULL && link->read.security != TLS_FOLLOWS)
		return seen("TLS is required, and answered by %s", got_words(link, ACCEPT));
	return wrong;
}

const char *step_tls(struct link *link, const struct scene *scene, const struct tls_wish *wish)
{
	const char *wrong = step_due(link, scene);

	if (wrong == NULL && !link_tls(link, scene, false, wish))
		return seen("the handshake fails (alert %d)", link_alert());
	return wrong;
}

const char *step_secured(struct link *link, const struct scene *scene, const struct tls_wish *wish)
{
	const char *wrong = step_tls(link, scene, wish);

	return wrong == NULL ? link_confirm(link, "client") : wrong;
}

const char *step_direct(struct link *link, const struct scene *scene, const struct tls_wish *wish)
{
	int got;

	if (!link_open(link, scene))
		return "no connection is taken";
	if (!link_tls(link, scene, true, wish))
		return seen("the handshake fails (alert %d)", link_alert());
	message_offer(&link->offer, INSIDE, scene->sysid, scene->target);
	got = link_exchange(link);
	if (got != ACCEPT || link->read.security != INSIDE_TLS)
		return seen("an OFFER inside gets %s", got_words(link, got));
	return NULL;
}

const char *step_best(struct link *link, const struct scene *scene)
{
	return scene->policy == POLICY_ONLY ? step_accepted(link, scene, NONE) : step_secured(link, scene, NULL);
}

const char *step_echo(struct link *link)
{
	char back[MARKER_SIZE];
	size_t done = 0;
	long got;

	if (!link_send(link, MARKER, MARKER_SIZE))
		return "data cannot be sent";
	while (done < sizeof(back)) {
		got = link_receive(link, back + done, sizeof(back) - done, PATIENCE_MS);
		if (got <= 0)
			return seen("no echo: %s", got_words(link, (int)got));
		done += (size_t)got;
	}
	return memcmp(back, MARKER, sizeof(back)) == 0 ? NULL : "an echo of something else";
}

const char *must_refuse(struct link *link, const void *bytes, size_t size, int reason)
{
	size_t more;
	int got;

	(void)link_send(link, bytes, size);
	got = link_answer(link);
	if (got != REFUSE || link->read.reason != reason)
		return seen("%s, not REFUSE %d", got_words(link, got), reason);
	got = link_until_end(link, PATIENCE_MS, &more);
	if (more > 0)
		return seen("%zu bytes behind the REFUSE", more);
	return got == GOT_END ? NULL : seen("REFUSE, and then %s in place of an end", got_words(link, got));
}

const char *must_refuse_new(const struct scene *scene, const void *bytes, size_t size, int reason)
{
	const char *result;
	struct link link;

	if (!link_open(&link, scene))
		return "no connection is taken";
	result = must_refuse(&link, bytes, size, reason);
	link_close(&link, false);
	return result;
}

const char *must_end_without_echo(struct link *link, int ms)
{
	static const char word[] = MARKER;
	char got_all[8192];
	size_t size = 0;
	long got = 1;

	while (got > 0 && size < sizeof(got_all)) {
		got = link_receive(link, got_all + size, sizeof(got_all) - size, ms);
		size += got > 0 ? (size_t)got : 0;
	}
	for (size_t i = 0; i + 8 <= size; i++)
		if (memcmp(got_all + i, word, 8) == 0)
			return "what was sent has come back from the target";
	return got == GOT_END || got == GOT_CUT ? NULL : "the connection is not ended";
}

const char *still_serves(const struct scene *scene)
{
	const time_t until = time(NULL) + RECOVERY_S;
	const char *wrong;
	struct link link;

	do {
		wrong = step_best(&link, scene);
		wrong = wrong == NULL ? step_echo(&link) : wrong;
		link_close(&link, false);
		if (wrong == NULL)
			return NULL;
		pause_ms(200);
	} while (time(NULL) < until);
	return wrong;
}
