/* What a session asks of the limits once it is there: a handshake, and its place under the rule that decided it. */
#include "session_stages.h"

static struct admission_who who_of(const struct session *session)
{
	return (struct admission_who){
	    .source = &session->source,
	    .remote = &session->record.front.remote,
	    .now_ms = uv_now(iocontext_loop(session->host->io)),
	};
}

enum quota_verdict session_enter_limits(struct session *session)
{
	struct admission_who who = who_of(session);

	return admission_enter(&session->host->admission, &who);
}

bool session_may_handshake(struct session *session)
{
	struct admission_who who = who_of(session);

	return admission_handshake(&session->host->admission, &who);
}

bool session_enter_rule(struct session *session)
{
	const struct config_rule *rule = session->decision.rule;
	struct admission_who who = who_of(session);
	struct rulelimit *limit = NULL;

	session_leave_rule(session);
	if (rule != NULL)
		limit = session->snapshot->rules[rule - session->snapshot->config->rules];
	if (limit == NULL)
		return true;
	if (!admission_enter_rule(limit, &who)) {
		metrics_limit(session->host->metrics, "rule");
		return false;
	}
	session->rule_limit = limit;
	return true;
}

void session_leave_rule(struct session *session)
{
	if (session->rule_limit != NULL)
		quota_leave(session->rule_limit->quota, &session->source, QUOTA_OK);
	session->rule_limit = NULL;
}
