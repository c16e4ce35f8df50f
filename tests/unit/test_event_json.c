/* Events as JSON: what a peer says, of any bytes; what is unknown; and without memory. */
#include "event_json.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static const char hostile[] = "x\"\\\n\x1b[31m</script>\xff\xc3\xbc\xe2\x80\xae";

/* All there is to tell. */
static void make_event(struct cci_event *event, int type)
{
	static const struct sockaddr_in address = {.sin_family = AF_INET};
	static const struct cci_certificate certificate = {.size = sizeof(certificate),
	                                                   .subject = hostile,
	                                                   .issuer = hostile,
	                                                   .names = hostile,
	                                                   .serial = "0a",
	                                                   .not_after = "2026-11-24T08:00:00Z"};
	static const uint8_t peer[16] = {1};

	*event = (struct cci_event){.size = sizeof(*event),
	                            .version = CCI_NOTIFIER_VERSION,
	                            .type = type,
	                            .role = CCI_ACCEPTING,
	                            .fd = -1,
	                            .time_us = 1764000000000000u,
	                            .remote = (const struct sockaddr *)(const void *)&address,
	                            .local = (const struct sockaddr *)(const void *)&address,
	                            .gateway = "GW",
	                            .sysid = hostile,
	                            .target = hostile,
	                            .agent = hostile,
	                            .listener = "l",
	                            .rule = "r",
	                            .policy = "allow",
	                            .clear_in = 1,
	                            .clear_out = UINT64_MAX,
	                            .tls_version = "1.3",
	                            .tls_suite = "TLS_AES_128_GCM_SHA256",
	                            .tls_group = "x25519",
	                            .tls_alpn = "cci-upgrade/1",
	                            .peer_subject = hostile,
	                            .peer_names = hostile,
	                            .peer_serial = "0a",
	                            .peer_not_after = "2026-11-24T08:00:00Z",
	                            .verify = "ok",
	                            .reason = "ended",
	                            .detail = hostile,
	                            .started_us = 1764000000000000u,
	                            .secured_us = 1764000000000001u,
	                            .peer_connection = peer,
	                            .tls_start = "upgrade",
	                            .own_certificate = &certificate,
	                            .peer_certificate = &certificate,
	                            .segments_in = 3,
	                            .segments_out = 4};
}

START_TEST(any_bytes_make_one_line_of_ascii)
{
	struct cci_event event;
	json_t *object;
	size_t size;
	char *line;

	make_event(&event, _i);
	line = event_json(&event, &size);
	ck_assert_ptr_nonnull(line);
	ck_assert_uint_eq(size, strlen(line));
	for (size_t i = 0; i < size; i++)
		ck_assert(line[i] >= 0x20 && line[i] <= 0x7e);
	object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(object);
	ck_assert_str_eq(json_string_value(json_object_get(object, "event")), event_word(_i));
	ck_assert_str_eq(json_string_value(json_object_get(object, "agent")),
	                 "x\"\\\n\x1b[31m</script>\\xff\xc3\xbc\xe2\x80\xae");
	ck_assert_int_eq(json_integer_value(json_object_get(object, "clear_out")), INT64_MAX);
	ck_assert_str_eq(json_string_value(json_object_get(object, "own_serial")), "0a");
	json_decref(object);
	free(line);
}
END_TEST

START_TEST(what_is_unknown_is_left_out)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = _i, .fd = -1};
	json_t *object;
	char *line = event_json(&event, NULL);

	object = json_loads(line, 0, NULL);
	ck_assert_ptr_nonnull(object);
	ck_assert_ptr_null(json_object_get(object, "time"));
	ck_assert_ptr_null(json_object_get(object, "remote"));
	ck_assert_ptr_null(json_object_get(object, "tls_version"));
	ck_assert_ptr_null(json_object_get(object, "peer_conn"));
	ck_assert_ptr_null(json_object_get(object, "sysid"));
	json_decref(object);
	free(line);
}
END_TEST

START_TEST(a_record_is_taken_as_it_is)
{
	struct cci_event event = {.size = sizeof(event),
	                          .version = CCI_NOTIFIER_VERSION,
	                          .type = CCI_RECORD,
	                          .fd = -1,
	                          .record = "{\"event\":\"record\"}"};
	size_t size;
	char *line = event_json(&event, &size);

	ck_assert_str_eq(line, event.record);
	ck_assert_uint_eq(size, strlen(line));
	free(line);
}
END_TEST

START_TEST(types_have_words)
{
	ck_assert_str_eq(event_word(CCI_HANDSHAKE_STARTING), "handshake-starting");
	ck_assert_str_eq(event_word(CCI_RECORD), "record");
	ck_assert_str_eq(event_word(0), "unknown");
	ck_assert_str_eq(event_word(-1), "unknown");
	ck_assert_str_eq(event_word(99), "unknown");
}
END_TEST

/* Allocations that are left before there is no memory any more. */
static size_t allowed;

static void *allocate(size_t size)
{
	return allowed > 0 && allowed-- > 0 ? malloc(size) : NULL;
}

START_TEST(without_memory_there_is_no_line_or_a_good_one)
{
	struct cci_event event;
	bool whole = false;
	size_t most = 0;

	make_event(&event, CCI_CLOSED);
	json_set_alloc_funcs(allocate, free);
	for (; !whole && most < 2000; most++) {
		char *line;

		allowed = most;
		line = event_json(&event, NULL);
		whole = line != NULL && allowed > 0;
		if (line != NULL)
			ck_assert(line[0] == '{' && line[strlen(line) - 1] == '}');
		free(line);
	}
	json_set_alloc_funcs(malloc, free);
	ck_assert(whole && most > 50);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("event_json");
	TCase *tests = tcase_create("event_json");

	tcase_add_loop_test(tests, any_bytes_make_one_line_of_ascii, CCI_HANDSHAKE_STARTING, CCI_RECORD);
	tcase_add_loop_test(tests, what_is_unknown_is_left_out, CCI_HANDSHAKE_STARTING, CCI_RECORD);
	tcase_add_test(tests, a_record_is_taken_as_it_is);
	tcase_add_test(tests, types_have_words);
	tcase_add_test(tests, without_memory_there_is_no_line_or_a_good_one);
	suite_add_tcase(suite, tests);
	return suite;
}
