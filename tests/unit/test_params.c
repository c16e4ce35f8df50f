/* The codec against the vectors: every message, its truncations, its mutations, and back to bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "params.h"
#include "suite.h"

#define VECTORS_MOST 256
#define SHARED "../shared/vectors/messages.tsv" /* where it exists, it is read as well */

struct vector {
	char name[80], verdict[16], fields[512];
	uint8_t bytes[PARAMS_MESSAGE_SIZE + 64];
	size_t size;
};

static struct vector *vectors;
static int vector_count;

static void load(const char *path)
{
	static char line[20000]; /* the longest message is 8 KiB of hex */
	FILE *stream = fopen(path, "r");

	while (stream != NULL && vector_count < VECTORS_MOST && fgets(line, sizeof(line), stream) != NULL) {
		struct vector *vector = &vectors[vector_count];
		char *rest = line, *parts[4] = {NULL};
		int size;

		line[strcspn(line, "\n")] = '\0';
		for (int i = 0; i < 4 && rest != NULL; i++)
			parts[i] = strsep(&rest, "\t");
		if (line[0] == '#' || parts[2] == NULL)
			continue;
		(void)snprintf(vector->name, sizeof(vector->name), "%s", parts[0]);
		(void)snprintf(vector->verdict, sizeof(vector->verdict), "%s", parts[1]);
		(void)snprintf(vector->fields, sizeof(vector->fields), "%s", parts[3] != NULL ? parts[3] : "");
		size = text_from_hex(parts[2], vector->bytes, sizeof(vector->bytes));
		if (size <= 0)
			(void)snprintf(vector->verdict, sizeof(vector->verdict), "bad hex");
		vector->size = (size_t)size;
		vector_count++;
	}
	if (stream != NULL)
		(void)fclose(stream);
}

/* Read a message as a connection would: header, then the rest. */
static enum params_result receive(const uint8_t *bytes, size_t size, struct params *params)
{
	const char *what = NULL;
	size_t length = 0;
	enum params_result result =
	    params_header(bytes, size < PARAMS_HEADER_SIZE ? size : PARAMS_HEADER_SIZE, &length, &what);

	ck_assert_ptr_nonnull(what);
	if (result != PARAMS_OK)
		return result;
	return size < length ? PARAMS_MORE : params_decode(bytes, length, params, &what);
}

static void put_text(struct text *text, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	text_printf(text, " %s=", key);
	for (; *value != '\0'; value++)
		text_put(text, *value == ' ' ? "_" : value, 1);
}

static void put_fields(const struct params *params, struct text *text)
{
	text_printf(text, "type=%s cpu=%d maxru=%u", params_type_word(params->type), (int)params->cpu, params->maxru);
	if (params->type == PARAMS_REFUSE)
		text_printf(text, " reason=%u", params->reason);
	if (params->type == PARAMS_OFFER || params->type == PARAMS_ACCEPT)
		text_printf(text, " security=%u", params->security);
	put_text(text, "sysid", params->sysid);
	put_text(text, "target", params->target);
	put_text(text, "agent", params->agent);
	put_text(text, "text", params->text);
	if (params->type == PARAMS_CONFIRM) {
		text_puts(text, " verifier=");
		text_put_hex(text, params->verifier, sizeof(params->verifier));
	}
	if (params->has_tls)
		text_printf(text, " tls=%04x-%04x", params->tls_lowest, params->tls_highest);
	if (params->has_connection) {
		text_puts(text, " connection=");
		text_put_hex(text, params->connection, sizeof(params->connection));
	}
	if (params->has_hops)
		text_printf(text, " hops=%u", params->hops);
}

START_TEST(vector_has_its_verdict)
{
	const struct vector *vector = &vectors[_i];
	struct params params;
	enum params_result result = receive(vector->bytes, vector->size, &params);
	char found[1024];
	struct text text;

	if (strcmp(vector->verdict, "ok") != 0) {
		int code = atoi(vector->verdict + strlen("refuse "));
		enum params_result wanted = code == 0 ? PARAMS_NOT_CCI : code == 2 ? PARAMS_BAD_VERSION : PARAMS_BAD;

		ck_assert_msg(result == wanted, "%s: result %d", vector->name, (int)result);
		return;
	}
	ck_assert_msg(result == PARAMS_OK, "%s: result %d", vector->name, (int)result);
	text_init(&text, found, sizeof(found));
	put_fields(&params, &text);
	ck_assert_msg(strcmp(found, vector->fields) == 0, "%s:\n%s\n%s", vector->name, found, vector->fields);
}
END_TEST

START_TEST(what_was_decoded_encodes_to_the_same)
{
	const struct vector *vector = &vectors[_i];
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct params params, again;
	const char *what;
	size_t size;

	if (strcmp(vector->verdict, "ok") != 0)
		return;
	ck_assert_int_eq(receive(vector->bytes, vector->size, &params), PARAMS_OK);
	for (int cpu = PARAMS_UTF8; cpu <= PARAMS_EBCDIC; cpu++) {
		params.cpu = (enum params_cpu)cpu;
		size = params_encode(&params, bytes);
		ck_assert_msg(size > 0, "%s", vector->name);
		ck_assert_int_eq(params_decode(bytes, size, &again, &what), PARAMS_OK);
		ck_assert_mem_eq(&params, &again, sizeof(params));
	}
}
END_TEST

START_TEST(truncations_and_mutations_are_survived)
{
	const struct vector *vector = &vectors[_i];
	size_t size = vector->size < 300 ? vector->size : 300;
	struct params params;

	for (size_t cut = 1; cut < size; cut++) {
		enum params_result result = receive(vector->bytes, cut, &params);

		if (strcmp(vector->verdict, "ok") == 0)
			ck_assert_msg(result == PARAMS_MORE, "%s cut at %zu: %d", vector->name, cut, (int)result);
	}
	for (size_t at = 0; at < size; at++) {
		for (unsigned value = 0; value < 256; value += 5) {
			uint8_t *copy = malloc(vector->size); /* exact, so that a sanitizer sees a read past it */

			memcpy(copy, vector->bytes, vector->size);
			copy[at] = (uint8_t)value;
			(void)receive(copy, vector->size, &params);
			free(copy);
		}
	}
}
END_TEST

START_TEST(what_breaks_the_protocol_is_not_encoded)
{
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct params params = {.type = PARAMS_OFFER, .cpu = PARAMS_UTF8, .maxru = 4096, .sysid = "PC1"};

	ck_assert_uint_gt(params_encode(&params, bytes), 0);
	params.maxru = 255;
	ck_assert_uint_eq(params_encode(&params, bytes), 0);
	params.maxru = 4096;
	params.sysid[1] = ' ';
	ck_assert_uint_eq(params_encode(&params, bytes), 0);
	params = (struct params){.type = PARAMS_REFUSE, .cpu = PARAMS_UTF8, .reason = 0};
	ck_assert_uint_eq(params_encode(&params, bytes), 0);
}
END_TEST

/* A header, and what stands behind it; the length is right. */
static enum params_result receive_with(const void *rest, size_t size, struct params *params)
{
	static const uint8_t head[PARAMS_HEADER_SIZE] = "CCIP\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x10";
	uint8_t bytes[256];

	/* Behind the message stands what could be taken for more of it. */
	memset(bytes, 'y', sizeof(bytes));
	memcpy(bytes, head, sizeof(head));
	memcpy(bytes + PARAMS_HEADER_SIZE, rest, size);
	bytes[9] = (uint8_t)(PARAMS_HEADER_SIZE + size);
	return receive(bytes, PARAMS_HEADER_SIZE + size, params);
}

#define LEAST "\x00\x01\x00\x01\x02\x00\x02\x00\x03PC1"

/* Each of these breaks one rule, by one byte. */
START_TEST(what_is_wrong_by_one_byte_is_refused)
{
	static const struct {
		const char *rest;
		size_t size;
		enum params_result result;
	} rows[] = {
	    {LEAST, 12, PARAMS_OK},
	    {LEAST "\x00\x04\x00\x01x", 17, PARAMS_OK},
	    {LEAST "\x00\x04\x00\x02x", 17, PARAMS_BAD},                  /* runs past the message */
	    {LEAST "\x00\x04\x00\x03\xc2\x9bx", 19, PARAMS_BAD},          /* a control character of C1 */
	    {LEAST "\x00\x04\x00\x02\xc2\xa0", 18, PARAMS_OK},            /* and the one behind the last of them */
	    {LEAST "\x00\x04\x00\x03x\x00y", 19, PARAMS_BAD},             /* a zero byte in a text */
	    {"\x00\x01\x00\x01\x02\x00\x02\x00\x05PC1\x00x", 14, PARAMS_BAD}, /* and in a name */
	    {LEAST "\x00\x01\x00\x01\x02", 17, PARAMS_BAD},               /* security twice */
	    {LEAST "\x00\x02\x00\x03PC1", 19, PARAMS_BAD},                /* sysid twice */
	    {LEAST "\x7f\xff\x00\x00", 16, PARAMS_OK},                    /* unknown, skipped */
	    {LEAST "\x7f\xff\x00\x00\x7f\xff\x00\x00", 20, PARAMS_BAD},  /* but not twice */
	    {LEAST "\x80\x00\x00\x00", 16, PARAMS_BAD},                   /* critical */
	    {LEAST "\x00\x00\x00\x00", 16, PARAMS_BAD},                   /* the id 0 */
	};
	struct params params;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(receive_with(rows[i].rest, rows[i].size, &params) == rows[i].result, "row %zu", i);
}
END_TEST

/* The messages in hex of docs/protocol.md are ones that this codec takes, and writes. */
START_TEST(the_document_is_right)
{
	FILE *stream = fopen("docs/protocol.md", "r");
	uint8_t bytes[PARAMS_MESSAGE_SIZE], again[PARAMS_MESSAGE_SIZE];
	char line[512], hex[512];
	struct params params;
	int count = 0;

	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL) {
		size_t used = 0;
		int size;

		if (strncmp(line, "    43434950", 12) != 0)
			continue;
		for (const char *at = line; *at != '\0' && *at != '\n'; at++)
			if (*at != ' ')
				hex[used++] = *at;
		hex[used] = '\0';
		size = text_from_hex(hex, bytes, sizeof(bytes));
		ck_assert_int_gt(size, 0);
		ck_assert_msg(receive(bytes, (size_t)size, &params) == PARAMS_OK, "%s", line);
		ck_assert_uint_eq(params_encode(&params, again), (size_t)size);
		ck_assert_mem_eq(bytes, again, (size_t)size);
		count++;
	}
	(void)fclose(stream);
	ck_assert_int_eq(count, 3);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("params");
	TCase *tests = tcase_create("params");

	vectors = calloc(VECTORS_MOST, sizeof(*vectors));
	load("tests/vectors/messages.tsv");
	load(SHARED);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, vector_has_its_verdict, 0, vector_count > 60 ? vector_count : 1000);
	tcase_add_loop_test(tests, what_was_decoded_encodes_to_the_same, 0, vector_count);
	tcase_add_loop_test(tests, truncations_and_mutations_are_survived, 0, vector_count);
	tcase_add_test(tests, the_document_is_right);
	tcase_add_test(tests, what_is_wrong_by_one_byte_is_refused);
	tcase_add_test(tests, what_breaks_the_protocol_is_not_encoded);
	suite_add_tcase(suite, tests);
	return suite;
}
