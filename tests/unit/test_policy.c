/* The table of 16 cells, rules, ratchet, TLS versions. */
#include <string.h>

#include "policy.h"
#include "suite.h"

/* Outcomes by policy and offer, as in section 3 of the protocol. */
static const enum outcome cells[4][4] = {
    {OUTCOME_REFUSE, OUTCOME_TLS, OUTCOME_TLS, OUTCOME_TLS},
    {OUTCOME_CLEAR, OUTCOME_TLS, OUTCOME_TLS, OUTCOME_TLS},
    {OUTCOME_CLEAR, OUTCOME_CLEAR, OUTCOME_TLS, OUTCOME_TLS},
    {OUTCOME_CLEAR, OUTCOME_CLEAR, OUTCOME_CLEAR, OUTCOME_REFUSE},
};

START_TEST(each_cell)
{
	enum reason reason;
	int policy = _i / 4, offer = _i % 4;

	ck_assert_int_eq(policy_cell((enum unsecured)(UNSECURED_NEVER + policy), (enum params_security)offer, &reason),
	                 cells[policy][offer]);
	ck_assert_int_eq(reason == REASON_NONE, cells[policy][offer] != OUTCOME_REFUSE);
	ck_assert_int_eq(policy_cell((enum unsecured)(UNSECURED_NEVER + policy), SECURITY_INSIDE, &reason), OUTCOME_INSIDE);
}
END_TEST

struct world {
	struct config config;
	struct config_listener listener;
	struct config_rule rules[3];
	struct network network;
	char *patterns[1], *names[1];
	union socket_address source;
	struct params offer;
	const struct identity *identity;
};

static void make_world(struct world *world)
{
	memset(world, 0, sizeof(*world));
	world->config.tls.min_version = 0x0303;
	world->config.rules = world->rules;
	world->listener.place.name = (char *)(uintptr_t)"l";
	world->listener.unsecured = UNSECURED_NEVER;
	world->source.v4.sin_family = AF_INET;
	world->source.v4.sin_addr.s_addr = htonl(0x0a140001);
	world->offer = (struct params){.type = PARAMS_OFFER, .sysid = "BR1"};
}

static struct decision decide(struct world *world, bool secured_before, bool inside)
{
	struct policy_question question = {.config = &world->config,
	                                   .listener = &world->listener,
	                                   .source = &world->source,
	                                   .offer = &world->offer,
	                                   .identity = world->identity,
	                                   .secured_before = secured_before,
	                                   .inside = inside};
	struct decision decision;

	policy_decide(&question, &decision);
	return decision;
}

START_TEST(the_first_rule_that_matches_decides)
{
	struct world world;

	make_world(&world);
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_SECURITY_REQUIRED);
	world.config.rule_count = 3;
	world.patterns[0] = (char *)(uintptr_t)"XX*";
	world.rules[0].sysid = (struct text_list){world.patterns, 1};
	world.rules[0].action = ACTION_REFUSE;
	world.rules[1].unsecured = UNSECURED_ALLOW;
	world.rules[2].action = ACTION_REFUSE;
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_CLEAR);
	ck_assert_ptr_eq(decide(&world, false, false).rule, &world.rules[1]);
	(void)strcpy(world.offer.sysid, "xx9");
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NOT_PERMITTED);
	ck_assert_int_eq(network_parse("10.20.0.0/16", &world.network, NULL), 0);
	world.rules[1].source = (struct network_list){&world.network, 1};
	world.source.v4.sin_addr.s_addr = htonl(0x0a150001);
	(void)strcpy(world.offer.sysid, "BR1");
	ck_assert_ptr_eq(decide(&world, false, false).rule, &world.rules[2]);
	world.names[0] = (char *)(uintptr_t)"other";
	world.rules[2].listener = (struct text_list){world.names, 1};
	ck_assert_ptr_null(decide(&world, false, false).rule);
	/* All that a rule says has to match, and not one thing of it. */
	world.names[0] = (char *)(uintptr_t)"l";
	ck_assert_ptr_eq(decide(&world, false, false).rule, &world.rules[2]);
	world.rules[2].source = (struct network_list){&world.network, 1};
	ck_assert_ptr_null(decide(&world, false, false).rule);
}
END_TEST

START_TEST(the_ratchet_closes_the_clear)
{
	struct world world;

	make_world(&world);
	world.listener.unsecured = UNSECURED_ALLOW;
	ck_assert_int_eq(decide(&world, true, false).outcome, OUTCOME_CLEAR);
	world.listener.ratchet = CHOICE_YES;
	ck_assert_int_eq(decide(&world, true, false).reason, REASON_RATCHETED);
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_CLEAR);
	world.offer.security = SECURITY_ON;
	ck_assert_int_eq(decide(&world, true, false).outcome, OUTCOME_TLS);
	/* That of a rule that waits for an identity, which nobody has in the clear. */
	world.offer.security = SECURITY_NONE;
	world.listener.ratchet = CHOICE_NO;
	ck_assert_int_eq(decide(&world, true, false).outcome, OUTCOME_CLEAR);
	world.config.rule_count = 1;
	world.names[0] = (char *)(uintptr_t)"dns:*.office.example";
	world.rules[0].identity = (struct text_list){world.names, 1};
	world.rules[0].ratchet = CHOICE_YES;
	ck_assert_int_eq(decide(&world, true, false).reason, REASON_RATCHETED);
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_CLEAR);
}
END_TEST

START_TEST(inside_must_be_inside)
{
	struct world world;

	make_world(&world);
	world.offer.security = SECURITY_INSIDE;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_BAD_MESSAGE);
	ck_assert_int_eq(decide(&world, false, true).outcome, OUTCOME_INSIDE);
	world.offer.security = SECURITY_ON;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_BAD_MESSAGE);
}
END_TEST

START_TEST(a_version_must_be_in_common)
{
	struct world world;

	make_world(&world);
	world.offer.security = SECURITY_ON;
	world.offer.has_tls = true;
	world.offer.tls_lowest = 0x0303;
	world.offer.tls_highest = 0x0303;
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_TLS);
	world.config.tls.min_version = 0x0304;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NO_TLS_VERSION);
	world.offer.tls_lowest = world.offer.tls_highest = 0x0305;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NO_TLS_VERSION);
}
END_TEST

/* A world with a rule for an identity, and a refusal for everybody else behind it. */
static void make_office(struct world *world, struct identity *identity)
{
	make_world(world);
	memset(identity, 0, sizeof(*identity));
	world->config.rule_count = 2;
	world->patterns[0] = (char *)(uintptr_t)"DNS:*.office.example";
	world->rules[0].identity = (struct text_list){world->patterns, 1};
	world->rules[0].service = (char *)(uintptr_t)"inner";
	world->rules[1].action = ACTION_REFUSE;
	world->listener.client_auth = CLIENT_AUTH_NO;
	world->offer.security = SECURITY_ON;
}

START_TEST(an_identity_is_waited_for_inside_tls)
{
	struct identity identity;
	struct decision decision;
	struct world world;

	make_office(&world, &identity);
	decision = decide(&world, false, false);
	ck_assert_int_eq(decision.outcome, OUTCOME_TLS);
	ck_assert(decision.identity_due);
	ck_assert_int_eq(decision.client_auth, CLIENT_AUTH_REQUEST);
	world.identity = &identity;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NOT_PERMITTED);
	identity_add(&identity, IDENTITY_DNS, "a.office.example", 16);
	/* Not verified: it is nobody's name. */
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NOT_PERMITTED);
	identity.verified = true;
	decision = decide(&world, false, false);
	ck_assert_int_eq(decision.outcome, OUTCOME_TLS);
	ck_assert_ptr_eq(decision.rule, &world.rules[0]);
	ck_assert_str_eq(decision.service, "inner");
	ck_assert(!decision.identity_due);
}
END_TEST

START_TEST(what_goes_in_the_clear_has_no_identity)
{
	struct identity identity;
	struct world world;

	make_office(&world, &identity);
	world.listener.unsecured = UNSECURED_ALLOW;
	world.offer.security = SECURITY_OFF;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NOT_PERMITTED);
	world.config.rule_count = 1;
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_CLEAR);
	/* The ratchet of a rule that can only match inside TLS closes the clear all the same. */
	world.rules[0].ratchet = CHOICE_YES;
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_CLEAR);
	ck_assert_int_eq(decide(&world, true, false).reason, REASON_RATCHETED);
}
END_TEST

START_TEST(an_offer_inside_is_judged_with_its_identity)
{
	struct identity identity;
	struct world world;

	make_office(&world, &identity);
	world.offer.security = SECURITY_INSIDE;
	world.identity = &identity;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_NOT_PERMITTED);
	identity_add(&identity, IDENTITY_DNS, "A.Office.Example", 16);
	identity.verified = true;
	ck_assert_int_eq(decide(&world, false, true).outcome, OUTCOME_INSIDE);
	world.offer.security = SECURITY_ON;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_BAD_MESSAGE);
}
END_TEST

/* Names that did not fit may be the very ones that a rule refuses. */
START_TEST(nothing_is_waited_for_where_the_offer_is_refused)
{
	struct identity identity;
	struct decision decision;
	struct world world;

	make_office(&world, &identity);
	world.config.tls.min_version = 0x0304;
	world.offer.has_tls = true;
	world.offer.tls_lowest = world.offer.tls_highest = 0x0303;
	decision = decide(&world, false, false);
	ck_assert_int_eq(decision.reason, REASON_NO_TLS_VERSION);
	ck_assert(!decision.identity_due);
}
END_TEST

START_TEST(a_partial_identity_passes_no_rule_that_asks_for_one)
{
	struct identity identity;
	struct world world;

	make_office(&world, &identity);
	world.identity = &identity;
	world.config.rule_count = 1;
	world.rules[0].action = ACTION_REFUSE;
	identity_add(&identity, IDENTITY_DNS, "a.example", 9);
	identity.verified = true;
	ck_assert_int_eq(decide(&world, false, false).outcome, OUTCOME_TLS);
	identity.partial = true;
	ck_assert_int_eq(decide(&world, false, false).reason, REASON_NOT_PERMITTED);
	ck_assert_ptr_eq(decide(&world, false, false).rule, &world.rules[0]);
	world.offer.security = SECURITY_INSIDE;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_NOT_PERMITTED);
	/* Nor one that would serve it. */
	world.rules[0].action = ACTION_ACCEPT;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_NOT_PERMITTED);
	/* What matches is known all the same. */
	identity_add(&identity, IDENTITY_DNS, "a.office.example", 16);
	ck_assert_int_eq(decide(&world, false, true).outcome, OUTCOME_INSIDE);
	/* Nobody asks. */
	world.config.rule_count = 0;
	ck_assert_int_eq(decide(&world, false, true).outcome, OUTCOME_INSIDE);
}
END_TEST

START_TEST(a_rule_can_require_a_certificate)
{
	struct identity identity = {.verified = false};
	struct world world;

	make_world(&world);
	world.config.rule_count = 1;
	world.rules[0].client_auth = CLIENT_AUTH_REQUIRE;
	world.listener.client_auth = CLIENT_AUTH_NO;
	world.offer.security = SECURITY_INSIDE;
	world.identity = &identity;
	ck_assert_int_eq(decide(&world, false, true).reason, REASON_PEER_CERTIFICATE_MISSING);
	identity.verified = true;
	ck_assert_int_eq(decide(&world, false, true).outcome, OUTCOME_INSIDE);
	world.identity = NULL;
	world.offer.security = SECURITY_ON;
	ck_assert_int_eq(decide(&world, false, false).client_auth, CLIENT_AUTH_REQUIRE);
}
END_TEST

START_TEST(a_direct_start_asks_for_what_any_rule_may_need)
{
	struct identity identity;
	struct world world;

	make_office(&world, &identity);
	ck_assert_int_eq(policy_direct_client_auth(&world.config, &world.listener, &world.source), CLIENT_AUTH_REQUEST);
	world.listener.client_auth = CLIENT_AUTH_REQUIRE;
	world.config.rule_count = 0;
	ck_assert_int_eq(policy_direct_client_auth(&world.config, &world.listener, &world.source), CLIENT_AUTH_REQUIRE);
	world.config.rule_count = 2;
	world.rules[0].identity.count = 0;
	world.rules[0].client_auth = CLIENT_AUTH_NO;
	ck_assert_int_eq(policy_direct_client_auth(&world.config, &world.listener, &world.source), CLIENT_AUTH_REQUEST);
	/* A rule for other sources is no reason to ask. */
	ck_assert_int_eq(network_parse("192.0.2.0/24", &world.network, NULL), 0);
	world.rules[0].source = (struct network_list){&world.network, 1};
	ck_assert_int_eq(policy_direct_client_auth(&world.config, &world.listener, &world.source), CLIENT_AUTH_REQUIRE);
}
END_TEST

START_TEST(a_policy_on_trial_enforces_nothing)
{
	struct decision decision;
	struct world world;

	make_world(&world);
	world.listener.unsecured = UNSECURED_ALLOW;
	world.listener.audit = UNSECURED_NEVER;
	decision = decide(&world, false, false);
	ck_assert_int_eq(decision.outcome, OUTCOME_CLEAR);
	ck_assert_int_eq(decision.audit_outcome, OUTCOME_REFUSE);
	ck_assert_int_eq(decision.audit_reason, REASON_SECURITY_REQUIRED);
	world.offer.security = SECURITY_OFF;
	decision = decide(&world, false, false);
	ck_assert_int_eq(decision.outcome, OUTCOME_CLEAR);
	ck_assert_int_eq(decision.audit_outcome, OUTCOME_TLS);
	ck_assert_int_eq(decision.audit_reason, REASON_NONE);
	world.config.rule_count = 1;
	world.rules[0].audit = UNSECURED_ONLY;
	ck_assert_int_eq(decide(&world, false, false).audit_outcome, OUTCOME_CLEAR);
}
END_TEST

/* What `never` would do is what it does where it is the policy. */
START_TEST(never_is_asked_with_the_same_words)
{
	struct world world, strict;
	struct decision decision, wanted;

	make_world(&world);
	world.listener.unsecured = UNSECURED_NEVER + _i / 16;
	world.listener.ratchet = (_i & 8) != 0 ? CHOICE_YES : CHOICE_NO;
	world.offer.security = (uint8_t)(_i % 4);
	world.offer.has_tls = (_i & 4) != 0;
	world.offer.tls_lowest = world.offer.tls_highest = 0x0302; /* which this side does not speak */
	strict = world;
	strict.config.rules = strict.rules;
	strict.listener.unsecured = UNSECURED_NEVER;
	for (int action = 0; action < 2; action++) {
		decision = decide(&world, true, false);
		wanted = decide(&strict, true, false);
		ck_assert_int_eq(decision.never_outcome, wanted.outcome);
		ck_assert_int_eq(decision.never_reason, wanted.reason);
		ck_assert_int_eq(wanted.never_outcome, wanted.outcome);
		world.config.rule_count = strict.config.rule_count = 1;
		world.rules[0].action = strict.rules[0].action = ACTION_REFUSE;
	}
}
END_TEST

START_TEST(targets_are_matched_where_one_is_named)
{
	struct world world;

	make_world(&world);
	world.config.rule_count = 1;
	world.patterns[0] = (char *)(uintptr_t)"*";
	world.rules[0].target = (struct text_list){world.patterns, 1};
	ck_assert_ptr_null(decide(&world, false, false).rule);
	(void)strcpy(world.offer.target, "LEDGER");
	ck_assert_ptr_eq(decide(&world, false, false).rule, &world.rules[0]);
	world.patterns[0] = (char *)(uintptr_t)"PAY*";
	ck_assert_ptr_null(decide(&world, false, false).rule);
}
END_TEST

START_TEST(a_client_without_an_exchange_is_clear_or_refused)
{
	struct world world;
	struct policy_question question = {.config = &world.config, .listener = &world.listener, .source = &world.source};
	struct decision decision;

	make_world(&world);
	world.listener.unsecured = UNSECURED_ONLY;
	world.listener.audit = UNSECURED_NEVER;
	policy_decide_raw(&question, &decision);
	ck_assert_int_eq(decision.outcome, OUTCOME_CLEAR);
	ck_assert_int_eq(decision.audit_reason, REASON_SECURITY_REQUIRED);
	world.config.rule_count = 1;
	world.rules[0].unsecured = UNSECURED_NEVER;
	policy_decide_raw(&question, &decision);
	ck_assert_int_eq(decision.reason, REASON_SECURITY_REQUIRED);
	world.rules[0].action = ACTION_REFUSE;
	policy_decide_raw(&question, &decision);
	ck_assert_int_eq(decision.reason, REASON_NOT_PERMITTED);
	/* It says no name, which no pattern of one matches. */
	world.patterns[0] = (char *)(uintptr_t)"*";
	world.rules[0].sysid = (struct text_list){world.patterns, 1};
	policy_decide_raw(&question, &decision);
	ck_assert_int_eq(decision.outcome, OUTCOME_CLEAR);
	ck_assert_ptr_null(decision.rule);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("policy");
	TCase *tests = tcase_create("policy");

	tcase_add_loop_test(tests, each_cell, 0, 16);
	tcase_add_test(tests, the_first_rule_that_matches_decides);
	tcase_add_test(tests, the_ratchet_closes_the_clear);
	tcase_add_test(tests, inside_must_be_inside);
	tcase_add_test(tests, a_version_must_be_in_common);
	tcase_add_test(tests, an_identity_is_waited_for_inside_tls);
	tcase_add_test(tests, what_goes_in_the_clear_has_no_identity);
	tcase_add_test(tests, an_offer_inside_is_judged_with_its_identity);
	tcase_add_test(tests, nothing_is_waited_for_where_the_offer_is_refused);
	tcase_add_test(tests, a_partial_identity_passes_no_rule_that_asks_for_one);
	tcase_add_test(tests, a_rule_can_require_a_certificate);
	tcase_add_test(tests, a_direct_start_asks_for_what_any_rule_may_need);
	tcase_add_test(tests, a_policy_on_trial_enforces_nothing);
	tcase_add_loop_test(tests, never_is_asked_with_the_same_words, 0, 64);
	tcase_add_test(tests, targets_are_matched_where_one_is_named);
	tcase_add_test(tests, a_client_without_an_exchange_is_clear_or_refused);
	suite_add_tcase(suite, tests);
	return suite;
}
