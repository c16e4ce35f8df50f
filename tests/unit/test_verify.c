/* Chains with one thing wrong in each: what is wrong is named, and where. */
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define LINES 6

static char *lines[LINES + 1];
static size_t count;

/* Events a to f. */
static void make_chain(void)
{
	struct chain chain = {0};
	char object[64];

	for (count = 0; count < LINES; count++) {
		size_t size;
		char *line;

		(void)snprintf(object, sizeof(object), "{\"event\":\"%c\",\"sysid\":\"BR1\"}", (char)('a' + count));
		line = chain_line(&chain, object, strlen(object), &size);
		ck_assert_ptr_nonnull(line);
		lines[count] = strndup(line, size);
		ck_assert_int_eq(chain_take(&chain, line, size), 0);
		free(line);
	}
}

static void free_chain(void)
{
	while (count > 0)
		free(lines[--count]);
}

static void look(struct verify *verify)
{
	struct verify_place at = {.file = "f", .line = 1};

	for (size_t i = 0; i < count; i++, at.line++)
		if (!verify_line(verify, &at, lines[i], strlen(lines[i])))
			break;
	verify_end(verify);
}

static void insert(size_t before, char *line)
{
	memmove(lines + before + 1, lines + before, (count - before) * sizeof(lines[0]));
	lines[before] = line;
	count++;
}

static char *take_out(size_t at)
{
	char *line = lines[at];

	memmove(lines + at, lines + at + 1, (--count - at) * sizeof(lines[0]));
	return line;
}

static void nothing(void)
{
}

static void alter_the_third(void)
{
	strstr(lines[2], "BR1")[2] = '2';
}

static void alter_the_first(void)
{
	strstr(lines[0], "BR1")[2] = '2';
}

static void alter_prev_of_the_third(void)
{
	char *digit = strstr(lines[2], "prev") + 7;

	*digit = *digit == '0' ? '1' : '0';
}

static void alter_prev_of_the_first(void)
{
	strstr(lines[0], "prev")[7] = '1';
}

static void alter_seq_of_the_third(void)
{
	strstr(lines[2], "seq")[5] = '9';
}

static void break_the_third(void)
{
	lines[2][0] = '[';
}

static void take_out_the_third(void)
{
	free(take_out(2));
}

static void take_out_three(void)
{
	for (int i = 0; i < 3; i++)
		free(take_out(1));
}

static void double_the_third(void)
{
	insert(3, strdup(lines[2]));
}

static void double_the_second_later(void)
{
	insert(5, strdup(lines[1]));
}

static void swap_third_and_fourth(void)
{
	insert(3, take_out(2));
}

static void start_anew(void)
{
	insert(4, strdup(lines[0]));
}

static void empty_line(void)
{
	insert(3, strdup(""));
}

static const struct {
	void (*harm)(void);
	const char *kind;
	uint64_t line;
} cases[] = {
    {nothing, NULL, 0},
    {alter_the_third, "altered", 3},
    {alter_the_first, "altered", 1},
    {alter_prev_of_the_third, "altered", 3},
    {alter_prev_of_the_first, "altered", 1},
    {alter_seq_of_the_third, "missing", 3},
    {break_the_third, "broken", 3},
    {take_out_the_third, "missing", 3},
    {take_out_three, "missing", 2},
    {double_the_third, "doubled", 4},
    {double_the_second_later, "moved", 6},
    {swap_third_and_fourth, "moved", 3},
    {start_anew, "restarted", 5},
    {empty_line, "broken", 4},
};

START_TEST(what_is_wrong_is_named)
{
	struct verify verify = {0};

	make_chain();
	cases[_i].harm();
	look(&verify);
	if (cases[_i].kind == NULL)
		ck_assert_msg(verify.kind == NULL, "%s", verify.words.text);
	else
		ck_assert_str_eq(verify.kind != NULL ? verify.kind : "whole", cases[_i].kind);
	ck_assert_uint_eq(verify.at.line, cases[_i].line);
	free_chain();
}
END_TEST

/* Any byte but those of the last line, which nothing follows. */
START_TEST(no_byte_can_be_altered)
{
	make_chain();
	for (size_t i = 0; i + 1 < count; i++) {
		for (size_t at = 0; lines[i][at] != '\0'; at++) {
			struct verify verify = {0};

			lines[i][at] ^= 1;
			look(&verify);
			ck_assert_ptr_nonnull(verify.kind);
			lines[i][at] ^= 1;
		}
	}
	free_chain();
}
END_TEST

/* Where the oldest file is gone. */
START_TEST(a_chain_may_begin_anywhere)
{
	struct verify verify = {0};

	make_chain();
	free(take_out(0));
	look(&verify);
	ck_assert_ptr_null(verify.kind);
	ck_assert_uint_eq(verify.first_seq, 2);
	ck_assert_uint_eq(verify.chain.seq, LINES);
	free_chain();
}
END_TEST

/* What was kept elsewhere shows what is gone from the end. */
START_TEST(what_is_expected_must_be_there)
{
	struct verify verify = {0}, again = {0};
	char digest[CHAIN_DIGEST_TEXT], text[128];

	make_chain();
	look(&verify);
	(void)snprintf(text, sizeof(text), "%llu:%s", (unsigned long long)verify.chain.seq,
	               chain_digest_text(verify.chain.digest, digest));
	ck_assert_int_eq(verify_expect(&again, text), 0);
	look(&again);
	ck_assert_ptr_null(again.kind);
	strstr(lines[LINES - 1], "BR1")[2] = '2';
	again = (struct verify){0};
	ck_assert_int_eq(verify_expect(&again, text), 0);
	look(&again);
	ck_assert_str_eq(again.kind, "unexpected");
	free(take_out(LINES - 1));
	again = (struct verify){0};
	ck_assert_int_eq(verify_expect(&again, text), 0);
	look(&again);
	ck_assert_str_eq(again.kind, "missing");
	free_chain();
}
END_TEST

START_TEST(what_is_no_place_is_not_expected)
{
	static const char *const texts[] = {"",
	                                    "1",
	                                    "1:",
	                                    "0:00",
	                                    "x:00",
	                                    "1:zz",
	                                    "-1:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	                                    "1:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015axx",
	                                    "1:xx7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct verify verify = {0};

		ck_assert_int_eq(verify_expect(&verify, texts[i]), -1);
	}
}
END_TEST

/* A crash leaves half a line, and the next line says so. */
static void add_torn(const char *half, const char *said)
{
	struct chain last = {0};
	uint8_t digest[CHAIN_DIGEST];
	char digest_text[CHAIN_DIGEST_TEXT], object[256];
	size_t size;
	char *line;

	free(take_out(LINES - 1));
	ck_assert_int_eq(chain_take(&last, lines[count - 1], strlen(lines[count - 1])), 0);
	ck_assert_int_eq(chain_digest(said, strlen(said), digest), 0);
	(void)snprintf(object, sizeof(object), "{\"event\":\"torn\",\"bytes\":%zu,\"digest\":\"%s\"}", strlen(said),
	               chain_digest_text(digest, digest_text));
	line = chain_line(&last, object, strlen(object), &size);
	insert(count, strdup(half));
	insert(count, strndup(line, size));
	free(line);
}

START_TEST(half_a_line_that_is_said_is_no_harm)
{
	struct verify verify = {0};

	make_chain();
	add_torn("{\"seq\":6,\"pr", "{\"seq\":6,\"pr");
	look(&verify);
	ck_assert_msg(verify.kind == NULL, "%s", verify.words.text);
	ck_assert_uint_eq(verify.torn, 1);
	free_chain();
	make_chain();
	add_torn("{\"seq\":6,\"pr", "{\"seq\":6,\"pR");
	verify = (struct verify){0};
	look(&verify);
	ck_assert_str_eq(verify.kind, "broken");
	ck_assert_uint_eq(verify.at.line, LINES);
	free_chain();
}
END_TEST

/* A letter a line: S and E are start and end of process 1, s and e those of process 2. */
static const struct {
	const char *lines;
	uint64_t unended;
} lives[] = {
    {"", 0},     {"S", 0},   {"SE", 0},    {"SESE", 0}, {"SS", 1},  {"SSE", 1}, {"SsE", 0},
    {"SsEe", 0}, {"Sse", 1}, {"SsseE", 1}, {"E", 0},    {"ESE", 0}, {"sE", 0},  {"SSS", 2},
};

START_TEST(who_did_not_end_in_order_is_counted)
{
	struct verify verify = {0};
	struct verify_place at = {.file = "f", .line = 1};
	struct chain chain = {0};

	for (const char *life = lives[_i].lines; *life != '\0'; life++, at.line++) {
		char object[64], *line;
		size_t size;

		(void)snprintf(object, sizeof(object), "{\"event\":\"chain-%s\",\"pid\":%d}",
		               strchr("Ss", *life) != NULL ? "start" : "end", strchr("SE", *life) != NULL ? 1 : 2);
		line = chain_line(&chain, object, strlen(object), &size);
		ck_assert_int_eq(chain_take(&chain, line, size), 0);
		ck_assert(verify_line(&verify, &at, line, size));
		free(line);
	}
	verify_end(&verify);
	ck_assert_ptr_null(verify.kind);
	ck_assert_uint_eq(verify_unended(&verify), lives[_i].unended);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("verify");
	TCase *tests = tcase_create("verify");

	tcase_add_loop_test(tests, what_is_wrong_is_named, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(tests, no_byte_can_be_altered);
	tcase_add_test(tests, a_chain_may_begin_anywhere);
	tcase_add_test(tests, what_is_expected_must_be_there);
	tcase_add_test(tests, what_is_no_place_is_not_expected);
	tcase_add_test(tests, half_a_line_that_is_said_is_no_harm);
	tcase_add_loop_test(tests, who_did_not_end_in_order_is_counted, 0, (int)(sizeof(lives) / sizeof(lives[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
