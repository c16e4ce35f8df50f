/* Names of certificates, and patterns of them. */
#include <string.h>

#include "identity.h"
#include "suite.h"

static const struct {
	const char *pattern;
	enum identity_kind kind;
	const char *name;
	bool matches;
} rows[] = {
    {"DNS:*.office.example", IDENTITY_DNS, "a.office.example", true},
    {"DNS:*.office.example", IDENTITY_DNS, "A.OFFICE.Example", true},
    {"DNS:*.office.example", IDENTITY_DNS, "office.example", false},
    {"DNS:*.office.example", IDENTITY_DNS, "a.office.example.evil", false},
    {"DNS:office?.example", IDENTITY_DNS, "office7.example", true},
    {"DNS:a", IDENTITY_CN, "a", false},
    {"CN:office *", IDENTITY_CN, "Office 7", true},
    {"URI:spiffe://site/office/*", IDENTITY_URI, "spiffe://site/office/7", true},
    {"URI:spiffe://site/office/*", IDENTITY_URI, "spiffe://site/Office/7", false},
    {"EMAIL:*@b.example", IDENTITY_EMAIL, "A@B.example", true},
    {"IP:10.20.0.0/16", IDENTITY_IP, "10.20.7.1", true},
    {"IP:10.20.0.0/16", IDENTITY_IP, "10.21.7.1", false},
    {"IP:2001:db8::/32", IDENTITY_IP, "2001:db8::7", true},
    {"IP:10.20.0.0/16", IDENTITY_DNS, "10.20.7.1", false},
};

START_TEST(patterns_match_their_own_kind)
{
	struct identity identity = {.verified = true};
	struct error error;

	ck_assert_int_eq(identity_pattern_check(rows[_i].pattern, &error), 0);
	identity_add(&identity, IDENTITY_DNS, "first.example", 13);
	identity_add(&identity, rows[_i].kind, rows[_i].name, strlen(rows[_i].name));
	ck_assert_int_eq(identity_matches(&identity, rows[_i].pattern), rows[_i].matches);
	identity.verified = false;
	ck_assert(!identity_matches(&identity, rows[_i].pattern));
	ck_assert(!identity_matches(NULL, rows[_i].pattern));
}
END_TEST

static const char *const wrongs[] = {"", "a.example", "dns:a", "DNS:", "IP:10.20.0.1/16", "IP:*", "X:y"};

START_TEST(what_is_no_pattern_is_said)
{
	struct error error = {.text = ""};

	ck_assert_int_eq(identity_pattern_check(wrongs[_i], &error), -1);
	ck_assert_str_ne(error.text, "");
}
END_TEST

START_TEST(odd_names_are_left_out)
{
	struct identity identity = {.verified = true};
	char longest[IDENTITY_TEXT_SIZE];

	memset(longest, 'a', sizeof(longest));
	identity_add(&identity, IDENTITY_DNS, "good.example\0.evil", 18);
	identity_add(&identity, IDENTITY_DNS, "", 0);
	identity_add(&identity, IDENTITY_DNS, longest, sizeof(longest));
	ck_assert_uint_eq(identity.count, 0);
	ck_assert(identity.partial);
	identity.partial = false;
	identity_add(&identity, IDENTITY_DNS, "", 0);
	ck_assert(!identity.partial);
	identity_add(&identity, IDENTITY_DNS, longest, sizeof(longest) - 5);
	ck_assert_uint_eq(identity.count, 1);
	for (int i = 0; i < 2 * IDENTITY_NAMES; i++)
		identity_add(&identity, IDENTITY_DNS, "x", 1);
	ck_assert_uint_eq(identity.count, IDENTITY_NAMES);
	ck_assert(identity.partial);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("identity");
	TCase *tests = tcase_create("identity");

	tcase_add_loop_test(tests, patterns_match_their_own_kind, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_loop_test(tests, what_is_no_pattern_is_said, 0, sizeof(wrongs) / sizeof(wrongs[0]));
	tcase_add_test(tests, odd_names_are_left_out);
	suite_add_tcase(suite, tests);
	return suite;
}
