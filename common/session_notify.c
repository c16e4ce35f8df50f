/* Notifiers are told, and the session goes on when they have taken it. */
#include "session_stages.h"

static void on_told(void *owner, enum reason reason)
{
	struct session *session = owner;

	if (reason != REASON_NONE)
		session_end(session, reason, "");
	else
		session->told(session);
}

void session_tell(struct session *session, enum cci_event_type type, const struct leg_news *news,
                  void (*next)(struct session *session))
{
	static const struct leg_news none;
	struct notifier_wait *wait = &session->notified;
	enum reason reason;

	*wait = (struct notifier_wait){.loop = iocontext_loop(session->host->io), .done = on_told, .owner = session};
	reason = leg_tell(&session->record.front, session->snapshot->notifiers, type, news != NULL ? news : &none, wait);
	if (reason != REASON_NONE) {
		session_end(session, reason, "");
	} else if (wait->answers != NULL) {
		session->told = next;
		session_enter(session, STAGE_NOTIFY, session_timeouts(session).handshake_ms);
	} else {
		next(session);
	}
}
