/* JSON values out of the bytes of an input. */
#include "jsonmake.h"

#define ELEMENTS_MOST 6

static const char *const members[] = {
    "program", "version", "sysid", "pid", "config", "in_force", "started", "uptime_s", "ready", "not_ready", "reload_failed", "open",
    "links", "secured", "clear", "undecided", "accepted", "ended", "refusals", "handshakes", "sandbox", "workers", "log_level",
    "log_lines_lost", "listeners", "name", "addresses", "policy", "audit_policy", "id", "from", "listener", "stage", "asked",
    "outcome", "tls_version", "tls_suite", "rule", "to_name", "to_secured", "up", "down", "days_left", "subject", "serial",
    "not_after", "key", "key_bits", "file", "kind", "on_error", "taken", "failed", "dropped", "queued_bytes", "failing", "path",
    "error", "first", "last", "until", "line", "connections", "matches", "sets", "address", "health", "left_out_for_s", "reason",
    "detail", "security", "state", "findings", "text", "verb", "words", "help", "trace", "to", "lines", "missed", "tracing",
    "connection", "us", "side", "hex", "summary", "since", "sessions", "forgotten", "names", "entries", "network", "tls",
    "secured_last", "clear_last", "refused", "last_reason", "never", "audit", "ratcheted", "clear_networks", "audit_outcome",
    "never_outcome", "bytes_up", "bytes_down", "agent", "peer_subject", "resumed", "confirmed", "tls_start"};

/* Characters of one to four bytes; the interesting ones often. */
static size_t put_character(char *at, uint8_t low, uint8_t high)
{
	unsigned code = low;

	if (high >= 0x40 && high < 0x80)
		code = 0x80u | low;
	else if (high >= 0x80 && high < 0x90)
		code = 0x2000u | low;
	else if (high >= 0x90 && high < 0x98)
		code = 0x1f000u | low;
	if (code < 0x80) {
		at[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		at[0] = (char)(0xc0 | code >> 6);
		at[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		at[0] = (char)(0xe0 | code >> 12);
		at[1] = (char)(0x80 | (code >> 6 & 0x3f));
		at[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	at[0] = (char)(0xf0 | code >> 18);
	at[1] = (char)(0x80 | (code >> 12 & 0x3f));
	at[2] = (char)(0x80 | (code >> 6 & 0x3f));
	at[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

json_t *make_json_text(struct input *input)
{
	uint8_t form = input_byte(input);
	size_t characters = form < 0xf8 ? form % 12 : (size_t)form * 3, used = 0;
	char text[4 * 3 * 256];

	if (form % 16 == 15)
		return json_string("2026-11-24T09:00:00.000000Z");
	for (size_t i = 0; i < characters; i++) {
		uint8_t low = input_byte(input);

		used += put_character(text + used, low & 0x7f, low < 0x80 ? 0 : input_byte(input));
	}
	return json_stringn(text, used);
}

static json_t *make_object(struct input *input, unsigned depth)
{
	json_t *object = json_object();

	for (unsigned left = input_below(input, 2 * ELEMENTS_MOST); left > 0; left--) {
		unsigned which = input_below(input, 255);
		size_t count = sizeof(members) / sizeof(members[0]);
		json_t *key = which < count ? json_string(members[which]) : make_json_text(input);

		/* A key with a NUL ends there. */
		(void)json_object_set_new(object, json_string_value(key), make_json(input, depth - 1));
		json_decref(key);
	}
	return object;
}

json_t *make_json(struct input *input, unsigned depth)
{
	uint8_t form = input_byte(input);
	json_t *array;

	if (depth > 0 && form >= 0xc0)
		return make_object(input, depth);
	if (depth > 0 && form >= 0x80) {
		array = json_array();
		for (unsigned left = form % ELEMENTS_MOST; left > 0; left--)
			(void)json_array_append_new(array, make_json(input, depth - 1));
		return array;
	}
	switch (form % 8) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(form & 8);
	case 2:
		return json_integer((json_int_t)input_number(input));
	case 3:
		return json_real((double)(int64_t)input_number(input) / 3);
	default:
		return make_json_text(input);
	}
}
