/* The bounds on connections and handshakes, and what is said when one is met. */
#include "admission.h"

#include "log.h"

struct met {
	const char *limit, *rule; /* the setting; the rule that has it, or NULL */
	const struct quota *quota; /* NULL: it is a rate */
};

static void say(struct complaint *complaint, const struct met *met, const struct admission_who *who)
{
	uint64_t count = complaint_due(complaint, who->now_ms);
	char text[ADDRESS_TEXT_SIZE];
	struct logline line;

	if (count == 0)
		return;
	log_begin(&line, MESSAGE_LIMIT_REACHED, NULL);
	log_text(&line, "limit", met->limit);
	log_text(&line, "rule", met->rule);
	log_text(&line, "from", socket_format(who->remote, text));
	if (met->quota != NULL)
		log_number(&line, "connections", quota_count(met->quota));
	log_number(&line, "count", count);
	log_end(&line);
}

enum quota_verdict admission_enter(struct admission *admission, const struct admission_who *who)
{
	enum quota_verdict verdict;

	if (!quota_is_balancers(who->source) && !rate_take(admission->connection_rate, who->source, who->now_ms)) {
		metrics_limit(admission->metrics, "connection_rate");
		say(&admission->complaints[LIMIT_CONNECTION_RATE], &(struct met){"connection_rate", NULL, NULL}, who);
		return quota_enter_over(admission->quota, who->source);
	}
	verdict = quota_enter(admission->quota, who->source);
	if (verdict != QUOTA_OK) {
		const char *limit = quota_met(admission->quota);

		metrics_limit(admission->metrics, limit);
		say(&admission->complaints[LIMIT_CONNECTIONS], &(struct met){limit, NULL, admission->quota}, who);
	}
	return verdict;
}

bool admission_handshake(struct admission *admission, const struct admission_who *who)
{
	if (rate_take(admission->handshake_rate, who->source, who->now_ms))
		return true;
	metrics_limit(admission->metrics, "handshake_rate");
	say(&admission->complaints[LIMIT_HANDSHAKE_RATE], &(struct met){"handshake_rate", NULL, NULL}, who);
	return false;
}

bool admission_enter_rule(struct rulelimit *limit, const struct admission_who *who)
{
	enum quota_verdict verdict = quota_enter(limit->quota, who->source);

	if (verdict == QUOTA_OK)
		return true;
	quota_leave(limit->quota, who->source, verdict);
	say(&limit->complaint, &(struct met){quota_met(limit->quota), limit->name, limit->quota}, who);
	return false;
}
