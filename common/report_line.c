/* The report out of a line of JSON: a record as record_json.h writes it, or somebody else's bytes. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "params.h"
#include "report.h"

/* Texts that are taken as they are. */
static const struct {
	const char *member;
	size_t at;
} texts[] = {
#define TEXT(member) {#member, offsetof(struct report_session, member)}
    TEXT(listener),      TEXT(sysid),         TEXT(agent),       TEXT(asked),     TEXT(outcome), TEXT(policy),
    TEXT(audit_policy),  TEXT(audit_outcome), TEXT(never_outcome), TEXT(tls_version), TEXT(tls_suite), TEXT(tls_start),
    TEXT(reason),
#undef TEXT
};

static int take_text(const json_t *record, const char *member, const char **text, struct error *error)
{
	const json_t *value = json_object_get(record, member);

	*text = json_string_value(value);
	if (value != NULL && !json_is_null(value) && !json_is_string(value))
		return error_set(error, "%s is not a string", member);
	return 0;
}

static int take_bool(const json_t *record, const char *member, bool *yes, struct error *error)
{
	const json_t *value = json_object_get(record, member);

	if (value != NULL && !json_is_null(value) && !json_is_boolean(value))
		return error_set(error, "%s is neither true nor false", member);
	*yes = json_is_true(value);
	return 0;
}

static int take_number(const json_t *record, const char *member, uint64_t *number, struct error *error)
{
	const json_t *value = json_object_get(record, member);

	if (value != NULL && !json_is_null(value) && (!json_is_integer(value) || json_integer_value(value) < 0))
		return error_set(error, "%s is not a number of 0 or more", member);
	*number = (uint64_t)json_integer_value(value);
	return 0;
}

/* --- times and addresses --- */

/* 2026-11-24T09:00:00.000000Z, and nothing else. */
static int parse_utc(const char *text, uint64_t *time_us)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	int numbers[7] = {0}, at = 0;
	struct tm parts = {0};
	time_t seconds;

	if (text == NULL || strlen(text) != sizeof(form) - 1)
		return -1;
	for (size_t i = 0; form[i] != '\0'; i++) {
		bool is_digit = text[i] >= '0' && text[i] <= '9';

		if (form[i] == '0' ? !is_digit : text[i] != form[i])
			return -1;
		if (is_digit)
			numbers[at] = numbers[at] * 10 + (text[i] - '0');
		else
			at++;
	}
	parts.tm_year = numbers[0] - 1900;
	parts.tm_mon = numbers[1] - 1;
	parts.tm_mday = numbers[2];
	parts.tm_hour = numbers[3];
	parts.tm_min = numbers[4];
	parts.tm_sec = numbers[5];
	seconds = timegm(&parts);
	/* timegm makes another day of the 31st of November. */
	if (seconds < 0 || parts.tm_mon != numbers[1] - 1 || parts.tm_mday != numbers[2] || parts.tm_hour != numbers[3] ||
	    parts.tm_min != numbers[4] || parts.tm_sec != numbers[5])
		return -1;
	*time_us = (uint64_t)seconds * 1000000 + (uint64_t)numbers[6];
	return 0;
}

/* What socket_format has written; the port and the interface say nothing here. */
static int parse_source(const char *text, union socket_address *source)
{
	char host[INET6_ADDRSTRLEN + 1];
	bool is_v6 = text[0] == '[';
	size_t length = is_v6 ? strcspn(text + 1, "]%") : strcspn(text, ":");

	memset(source, 0, sizeof(*source));
	if (strcmp(text, "unix") == 0 || strncmp(text, "unix:", 5) == 0) {
		source->any.sa_family = AF_UNIX;
		return 0;
	}
	if (length >= sizeof(host))
		return -1;
	memcpy(host, text + is_v6, length);
	host[length] = '\0';
	source->any.sa_family = is_v6 ? AF_INET6 : AF_INET;
	if (is_v6)
		return inet_pton(AF_INET6, host, &source->v6.sin6_addr) == 1 ? 0 : -1;
	return inet_pton(AF_INET, host, &source->v4.sin_addr) == 1 ? 0 : -1;
}

/* --- a record --- */

#define RULE_SIZE 128

/* "NAME:LINE", of which the line is the configuration's of that day. "-": no rule. */
static int take_rule(const json_t *record, char *buffer, const char **rule, struct error *error)
{
	const char *text = NULL, *end;

	if (take_text(record, "rule", &text, error) != 0)
		return -1;
	*rule = NULL;
	if (text == NULL || strcmp(text, "-") == 0)
		return 0;
	end = strrchr(text, ':');
	if (end == NULL || end[1 + strspn(end + 1, "0123456789")] != '\0')
		end = text + strlen(text);
	(void)snprintf(buffer, RULE_SIZE, "%.*s", (int)(end - text < RULE_SIZE ? end - text : RULE_SIZE), text);
	*rule = buffer;
	return 0;
}

static int take_texts(const json_t *record, struct report_session *session, struct error *error)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (take_text(record, texts[i].member, (const char **)(void *)((char *)session + texts[i].at), error) != 0)
			return -1;
	if (session->sysid != NULL && session->sysid[0] != '\0' && !name_valid(session->sysid, strlen(session->sysid)))
		return error_set(error, "sysid is not a CCI name");
	return session->listener != NULL ? 0 : error_set(error, "a record without listener");
}

static int take_numbers(const json_t *record, struct report_session *session, struct error *error)
{
	const char *started = NULL;

	if (take_text(record, "started", &started, error) != 0 ||
	    take_number(record, "up", &session->bytes_up, error) != 0 ||
	    take_number(record, "down", &session->bytes_down, error) != 0 ||
	    take_bool(record, "secured", &session->secured, error) != 0 ||
	    take_bool(record, "relayed", &session->relayed, error) != 0 ||
	    take_bool(record, "tls_resumed", &session->resumed, error) != 0 ||
	    take_bool(record, "confirmed", &session->confirmed, error) != 0 ||
	    take_bool(record, "ratcheted", &session->ratcheted, error) != 0)
		return -1;
	return parse_utc(started, &session->started_us) == 0 ? 0 : error_set(error, "started is not a time of a record");
}

static int take_peers(const json_t *record, struct report_session *session, union socket_address *source,
                      struct error *error)
{
	const char *from = NULL, *target = NULL, *subject = NULL, *verify = NULL;

	if (take_text(record, "from", &from, error) != 0 || take_text(record, "target", &target, error) != 0 ||
	    take_text(record, "peer_subject", &subject, error) != 0 || take_text(record, "verify", &verify, error) != 0)
		return -1;
	if (from != NULL && parse_source(from, source) != 0)
		return error_set(error, "from is not an address");
	session->source = from != NULL ? source : NULL;
	session->ping = target != NULL && strcmp(target, PARAMS_PING) == 0;
	session->peer_subject = verify != NULL && strcmp(verify, "ok") == 0 ? subject : NULL;
	return 0;
}

static enum report_line add_record(struct report *report, const json_t *record, struct error *error)
{
	struct report_session session = {.listener = NULL};
	union socket_address source;
	char rule[RULE_SIZE];

	if (take_texts(record, &session, error) != 0 || take_numbers(record, &session, error) != 0 ||
	    take_peers(record, &session, &source, error) != 0 || take_rule(record, rule, &session.rule, error) != 0)
		return REPORT_LINE_BROKEN;
	report_add(report, &session);
	return REPORT_LINE_TAKEN;
}

enum report_line report_add_line(struct report *report, const char *line, size_t size, struct error *error)
{
	enum report_line result = REPORT_LINE_OTHER;
	const char *event;
	json_error_t fault;
	json_t *value = json_loadb(line, size, JSON_REJECT_DUPLICATES, &fault);

	if (!json_is_object(value)) {
		/* Its words would repeat the stranger's bytes. */
		(void)error_set(error, "not a JSON object%s", value == NULL ? "" : ", but another value");
		result = REPORT_LINE_BROKEN;
	} else if ((event = json_string_value(json_object_get(value, "event"))) == NULL) {
		(void)error_set(error, "no event: a line of a notifier of the kind file names one");
		result = REPORT_LINE_BROKEN;
	} else if (strcmp(event, "record") == 0) {
		result = add_record(report, value, error);
	}
	json_decref(value);
	return result;
}
