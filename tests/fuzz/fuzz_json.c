/*
 * What the gateway writes out for others, with any bytes in every text. By the first byte: an event as JSON, a closing record as JSON, the
 * report out of sessions (as JSON, tables and CSV) and again out of its own records, or metrics. One line, printable ASCII, JSON by
 * jansson, the members that events.md calls always there, and every text comes back as it was; metrics parse by the rules of the format.
 */
#include <openssl/ssl.h>

#include "event_json.h"
#include "events.h"
#include "jsontext.h"
#include "linesof.h"
#include "output.h"
#include "record_json.h"
#include "report.h"

/* --- texts come back --- */

static void check_text(const json_t *object, const char *member, const char *text)
{
	const json_t *value = json_object_get(object, member);

	if (text == NULL || text[0] == '\0') {
		FUZZ_CHECK(value == NULL, "%s is there, and was not said", member);
		return;
	}
	FUZZ_CHECK(json_is_string(value), "%s is missing", member);
	FUZZ_CHECK(line_is_text(json_string_value(value), text), "%s comes back as another text", member);
}

static void check_number(const json_t *object, const char *member, uint64_t number)
{
	const json_t *value = json_object_get(object, member);

	FUZZ_CHECK(json_is_integer(value), "%s is missing", member);
	FUZZ_CHECK((uint64_t)json_integer_value(value) == (number > INT64_MAX ? INT64_MAX : number), "%s comes back as another number",
	           member);
}

static json_t *parse(char *line, size_t size)
{
	json_t *object;

	FUZZ_CHECK(line != NULL && strlen(line) == size, "no line, or of another length");
	line_is_tame(line, size);
	object = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
	FUZZ_CHECK(json_is_object(object), "what is written is no object: %s", line);
	free(line);
	return object;
}

/* --- an event --- */

static void check_event_tls(const json_t *object, const struct cci_event *event)
{
	if (event->tls_version == NULL)
		return;
	check_text(object, "tls_version", event->tls_version);
	check_text(object, "tls_suite", event->tls_suite);
	check_text(object, "tls_alpn", event->tls_alpn);
	check_text(object, "verify", event->verify);
	check_text(object, "peer_subject", event->peer_subject);
	check_text(object, "peer_names", event->peer_names);
	check_text(object, "peer_serial", event->peer_serial);
	check_text(object, "own_subject", event->own_certificate != NULL ? event->own_certificate->subject : NULL);
	check_text(object, "peer_issuer", event->peer_certificate != NULL ? event->peer_certificate->issuer : NULL);
}

static void write_event(struct input *input)
{
	struct event_parts parts;
	struct cci_event event;
	json_t *object;
	size_t size;
	char *line;

	make_event(input, &parts, &event);
	line = event_json(&event, &size);
	object = parse(line, size);
	check_text(object, "event", event_word(event.type));
	check_text(object, "sysid", event.sysid);
	check_text(object, "target", event.target);
	check_text(object, "agent", event.agent);
	check_text(object, "gateway", event.gateway);
	check_text(object, "listener", event.listener);
	check_text(object, "rule", event.rule);
	check_text(object, "reason", event.reason);
	check_text(object, "detail", event.detail);
	check_number(object, "clear_in", event.clear_in);
	check_number(object, "clear_out", event.clear_out);
	FUZZ_CHECK(json_string_length(json_object_get(object, "conn")) == 32 && json_object_get(object, "role") != NULL, "no conn, or no role");
	FUZZ_CHECK((json_object_get(object, "time") != NULL) == (event.time_us != 0), "a time that is not there, or is");
	if (event.type == CCI_CLOSED)
		check_number(object, "bytes_in", event.bytes_in);
	check_event_tls(object, &event);
	json_decref(object);
}

/* --- a record --- */

static void make_leg(struct input *input, struct leg *leg, const uint8_t *id)
{
	uint8_t flags = input_byte(input);

	leg_init(leg, flags & 1 ? CCI_CONNECTING : CCI_ACCEPTING, input_text_or_null(input, 80), id);
	leg->listener = input_text(input, 80);
	leg->rule = input_text_or_null(input, 60);
	leg->policy = input_text_or_null(input, 20);
	(void)snprintf(leg->sysid, sizeof(leg->sysid), "%s", input_text(input, 80));
	(void)snprintf(leg->target, sizeof(leg->target), "%s", input_text(input, 80));
	leg->agent = flags & 2 ? strdup(input_text(input, 300)) : NULL;
	leg->secured = flags & 4;
	leg->direct = flags & 8;
	leg->confirmed = flags & 16;
	leg->has_peer_connection = flags & 32;
	input_bytes(input, leg->peer_connection, sizeof(leg->peer_connection));
	if (flags & 64)
		make_socket_address(input, &leg->remote);
	leg->handshake_at_us = input_number(input);
	leg->secured_at_us = input_number(input);
	leg->exchange_us = input_number(input);
}

static void write_record(struct input *input)
{
	uint8_t flags = input_byte(input);
	struct record record = {.relayed = flags & 1, .ratcheted = flags & 2, .reason_at_back = flags & 4};
	json_t *object;
	size_t size;
	char *line;

	input_bytes(input, record.connection, sizeof(record.connection));
	make_leg(input, &record.front, record.connection);
	record.front.role = CCI_ACCEPTING;
	record.asked = input_text_or_null(input, 12);
	record.outcome = input_text_or_null(input, 12);
	record.audit = input_text_or_null(input, 12);
	record.audit_outcome = input_text_or_null(input, 12);
	record.audit_reason = (enum reason)input_below(input, REASON_COUNT);
	record.never_reason = (enum reason)input_below(input, REASON_COUNT);
	record.reason = (enum reason)input_below(input, REASON_COUNT);
	record.service = input_text_or_null(input, 80);
	record.service_kind = input_text_or_null(input, 12);
	record.rule_line = (unsigned)input_number(input);
	record.refuse_code = (uint16_t)input_number(input);
	record.detail = input_text_or_null(input, 300);
	record.peer_text = input_text_or_null(input, 300);
	record.up = input_number(input);
	record.down = input_number(input);
	record.started_us = input_number(input);
	record.duration_us = input_number(input);
	line = record_json(&record, &size);
	object = parse(line, size);
	check_text(object, "event", "record");
	check_text(object, "reason", reason_word(record.reason));
	check_text(object, "gateway", record.front.gateway);
	check_text(object, "listener", record.front.listener);
	check_text(object, "sysid", record.front.sysid);
	check_text(object, "target", record.front.target);
	check_text(object, "agent", record.front.agent);
	check_text(object, "detail", record.detail);
	check_text(object, "to_name", record.service);
	check_text(object, "peer_text_unauthenticated", record.peer_text);
	check_number(object, "up", record.up);
	check_number(object, "down", record.down);
	check_number(object, "duration_us", record.duration_us);
	json_decref(object);
	leg_close(&record.front);
}

/* --- the report --- */

static void make_session(struct input *input, struct report_session *session, union socket_address *source)
{
	uint8_t flags = input_byte(input);

	make_socket_address(input, source);
	*session = (struct report_session){.source = flags & 1 ? source : NULL,
	                                   .secured = flags & 2,
	                                   .relayed = flags & 4,
	                                   .resumed = flags & 8,
	                                   .ratcheted = flags & 16,
	                                   .moment = (enum report_moment)(flags / 64 % 3)};
	session->listener = input_text_or_null(input, 80);
	session->sysid = input_text_or_null(input, 80);
	session->agent = input_text_or_null(input, 200);
	session->asked = input_text_or_null(input, 12);
	session->outcome = input_text_or_null(input, 12);
	session->policy = input_text_or_null(input, 12);
	session->rule = input_text_or_null(input, 80);
	session->never_outcome = input_text_or_null(input, 12);
	session->tls_version = input_text_or_null(input, 12);
	session->tls_suite = input_text_or_null(input, 60);
	session->peer_subject = input_text_or_null(input, 300);
	session->reason = input_text_or_null(input, 40);
	session->bytes_up = input_number(input);
	session->bytes_down = input_number(input);
	session->started_us = input_number(input);
}

/* Lines of people's, and of spreadsheets. */
static void check_printed(const json_t *report)
{
	struct output output;

	FUZZ_CHECK(report_print(report, output_begin(&output)) == 0, "the report cannot be printed");
	output_end(&output);
	output_is_tame(&output);
	free(output.text);
	FUZZ_CHECK(report_print_csv(report, output_begin(&output)) == 0, "the report cannot be printed");
	output_end(&output);
	csv_is_tame(output.text, output.size);
	free(output.text);
}

static void write_report(struct input *input)
{
	struct report *report = report_new(1 + input_below(input, 6));
	size_t entries = 0;
	json_t *object, *again;
	char *line;
	size_t size;

	FUZZ_CHECK(report != NULL, "no memory");
	for (unsigned left = 8; input->size > 0 && left > 0; left--) {
		struct report_session session;
		union socket_address source;

		make_session(input, &session, &source);
		report_add(report, &session);
		input_close(input);
	}
	object = report_json(report);
	FUZZ_CHECK(object != NULL, "no report");
	check_printed(object);
	entries = json_array_size(json_object_get(object, "entries"));
	FUZZ_CHECK(entries <= 6 && (size_t)json_integer_value(json_object_get(object, "entries_total")) == entries, "%zu entries", entries);
	line = json_line(json_incref(object), &size);
	again = parse(line, size);
	FUZZ_CHECK(json_equal(object, again), "the report comes back as another");
	json_decref(again);
	json_decref(object);
	report_free(report);
}

/* Somebody's file: each line is taken, another's or broken, with words that are safe to print. */
static void read_report(struct input *input)
{
	struct report *report = report_new(4);
	const uint8_t *end;
	json_t *object;

	FUZZ_CHECK(report != NULL, "no memory");
	while (input->size > 0) {
		struct error error = {.text = ""};
		size_t size = (end = memchr(input->at, '\n', input->size)) != NULL ? (size_t)(end - input->at) : input->size;
		char *line = malloc(size + 1);
		enum report_line result;

		FUZZ_CHECK(line != NULL, "no memory");
		memcpy(line, input->at, size);
		result = report_add_line(report, line, size, &error);
		FUZZ_CHECK((result == REPORT_LINE_BROKEN) == (error.text[0] != '\0'), "result %d with \"%s\"", result, error.text);
		line_is_tame(error.text, strlen(error.text));
		free(line);
		input->at += size + (end != NULL);
		input->size -= size + (end != NULL);
	}
	object = report_json(report);
	FUZZ_CHECK(object != NULL, "no report");
	check_printed(object);
	json_decref(object);
	report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const kinds[])(struct input *) = {write_event, write_record, write_report, read_report, metrics_parse};
	struct input input;

	input_open(&input, bytes, size);
	kinds[input_below(&input, sizeof(kinds) / sizeof(kinds[0]))](&input);
	input_close(&input);
	return 0;
}
