/* What is remembered of addresses: which are tried in which order, counts, health, sharing. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "saying.h"
#include "suite.h"
#include "target_memory.h"

#define ADDRESSES 4
#define NOW 1000000

static struct address addresses[ADDRESSES];
static struct address_list list = {addresses, 0};

static struct target_memory *make(size_t count)
{
	struct target_memory *memory;
	struct error error;
	char text[32];

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text), "10.0.0.%zu:1202", i + 1);
		ck_assert_int_eq(address_parse(text, 0, &addresses[i], &error), 0);
	}
	list.count = count;
	memory = target_memory_new("PAYROLL", &list);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

/* `states`: a letter an address: . in use, x left out, d down, u up. `order`: digits. */
struct row {
	const char *states;
	int balance;
	size_t first;
	uint64_t never;
	const char *order;
};

static const struct row rows[] = {
    {"....", BALANCE_ORDER, 0, 0, "0123"},
    {"....", BALANCE_ORDER, 2, 0, "2301"},
    {"....", BALANCE_ORDER, 0, 5, "13"},
    {"x..x", BALANCE_ORDER, 0, 0, "12"},
    {"xxxx", BALANCE_ORDER, 0, 0, "0123"},
    {"xxxx", BALANCE_ORDER, 0, 15, ""},
    {"d...", BALANCE_ORDER, 0, 0, "123"},
    {"dx.u", BALANCE_ORDER, 0, 0, "23"},
    {"dxxd", BALANCE_ORDER, 0, 0, "12"}, /* all are left out: but nobody asks who is known to be down */
    {"dddd", BALANCE_ORDER, 0, 0, ""},
    {"", BALANCE_ORDER, 0, 0, ""},
    {"....", BALANCE_ROUND_ROBIN, 0, 0, "0123 1230 2301 3012 0123"},
    {".x..", BALANCE_ROUND_ROBIN, 0, 0, "023 230 302 023"}, /* each of the others gets a third */
    {".d..", BALANCE_LEAST, 0, 0, "023 230 302 023"},
    {"xxx", BALANCE_ROUND_ROBIN, 0, 0, "012 120 201 012"},
};

static void set_states(struct target_memory *memory, const char *states)
{
	for (size_t i = 0; states[i] != '\0'; i++) {
		const struct target_finding finding = {states[i] == 'd' ? REASON_CONNECT_REFUSED : REASON_NONE, "", NOW};

		if (states[i] == 'x')
			target_memory_failed(memory, i, NOW, 1, "test");
		else if (states[i] != '.')
			(void)target_memory_found(memory, i, &finding);
	}
}

START_TEST(order_of_addresses)
{
	const struct row *row = &rows[_i];
	struct target_memory *memory = make(strlen(row->states));
	const struct target_choice choice = {strlen(row->states), row->balance, row->first, row->never, NOW};
	size_t order[ADDRESSES], count;
	char digits[40] = "";

	set_states(memory, row->states);
	do {
		if (digits[0] != '\0')
			strcat(digits, " ");
		count = target_memory_order(memory, &choice, order);
		for (size_t i = 0; i < count; i++)
			(void)snprintf(digits + strlen(digits), 2, "%zu", order[i]);
	} while (strlen(digits) < strlen(row->order));
	ck_assert_msg(strcmp(digits, row->order) == 0, "%d: %s", _i, digits);
	target_memory_free(memory);
}
END_TEST

/* What was left out comes back when its time has come, to the millisecond. */
START_TEST(left_out_for_retry)
{
	struct target_memory *memory = make(2);
	struct target_choice choice = {.count = 2, .now_ms = NOW + 99};
	size_t order[2];

	target_memory_failed(memory, 0, NOW, 100, "test");
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 1);
	choice.now_ms++;
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 2);
	target_memory_free(memory);
}
END_TEST

START_TEST(no_memory_is_all_in_use)
{
	const struct target_choice choice = {.count = 3, .balance = BALANCE_LEAST, .first = 1, .never = 1};
	struct target_place place = {0};
	size_t order[3];

	ck_assert_uint_eq(target_memory_order(NULL, &choice, order), 2);
	ck_assert_uint_eq(order[0], 1);
	ck_assert_uint_eq(order[1], 2);
	target_memory_failed(NULL, 0, 1, 1, "");
	target_memory_connected(NULL, 0);
	target_place_take(&place, NULL, 0);
	target_place_leave(&place);
	ck_assert(!target_memory_all_down(NULL));
	target_memory_free(NULL);
}
END_TEST

static unsigned connections(struct target_memory *memory, size_t address)
{
	struct target_state state;

	target_memory_state(memory, address, &state);
	return state.connections;
}

START_TEST(fewest_connections_first)
{
	static const size_t taken[] = {0, 0, 0, 1, 2, 2};
	const struct target_choice choice = {.count = 3, .balance = BALANCE_LEAST};
	struct target_memory *memory = make(3);
	struct target_place places[6] = {{0}};
	size_t order[3];

	for (size_t i = 0; i < 6; i++)
		target_place_take(&places[i], memory, taken[i]);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(target_memory_order(memory, &choice, order), 3);
		ck_assert(order[0] == 1 && order[1] == 2 && order[2] == 0);
	}
	for (size_t i = 0; i < 3; i++)
		for (int again = 0; again < 2; again++)
			target_place_leave(&places[i]);
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 3);
	ck_assert(order[0] == 0 && order[1] == 1 && order[2] == 2);
	/* Taken elsewhere, it is not left where it was. */
	target_place_take(&places[3], memory, 0);
	ck_assert_uint_eq(connections(memory, 0), 1);
	ck_assert_uint_eq(connections(memory, 1), 0);
	target_place_take(&places[3], memory, 99);
	ck_assert_uint_eq(connections(memory, 0), 0);
	target_memory_free(memory);
}
END_TEST

/* One step of the state machine: address, found (d or u) at a time, and what it changes. */
struct step {
	size_t address;
	char found;
	uint64_t at_ms;
	bool address_changes, all_change, all_down;
	uint64_t lasted_ms;
};

static const struct step steps[] = {
    {0, 'u', 1, true, false, false, 0},
    {0, 'u', 2, false, false, false, 0},
    {0, 'd', 3, true, false, false, 0}, /* the other one is unknown */
    {1, 'd', 5, true, true, true, 0},
    {1, 'd', 7, false, false, true, 0},
    {0, 'd', 8, false, false, true, 0},
    {0, 'u', 12, true, true, false, 7},
    {1, 'u', 13, true, false, false, 0},
    {0, 'd', 14, true, false, false, 0},
    {1, 'd', 15, true, true, true, 0},
    {1, 'u', 16, true, true, false, 1},
};

/* How many lines a finding about the first of two addresses writes. */
static int lines_of(struct target_memory *memory, enum reason reason)
{
	const struct target_finding finding = {reason, "", 1};
	struct saying saying;

	saying_begin(&saying);
	(void)target_memory_found(memory, 0, &finding);
	return saying_lines(&saying);
}

/* A wrong answer is said although the address is down already; silence in its several forms is not. */
START_TEST(what_an_address_that_is_down_answers_is_said)
{
	struct target_memory *memory = make(2);

	ck_assert_int_eq(lines_of(memory, REASON_CONNECT_REFUSED), 1);
	ck_assert_int_eq(lines_of(memory, REASON_CONNECT_TIMEOUT), 0);
	ck_assert_int_eq(lines_of(memory, REASON_PEER_RATCHETED), 1);
	ck_assert_int_eq(lines_of(memory, REASON_PEER_RATCHETED), 0);
	ck_assert_int_eq(lines_of(memory, REASON_CONNECT_REFUSED), 0);
	target_memory_free(memory);
}
END_TEST

START_TEST(health_says_changes_only)
{
	struct target_memory *memory = make(2);
	struct target_state state;

	target_memory_state(memory, 0, &state);
	ck_assert_int_eq(state.health, TARGET_UNKNOWN);
	ck_assert_str_eq(state.name, "PAYROLL");
	ck_assert_str_eq(state.address, "10.0.0.1:1202");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *step = &steps[i];
		const struct target_finding finding = {step->found == 'd' ? REASON_CONNECT_TIMEOUT : REASON_NONE,
		                                       step->found == 'd' ? "dead" : "", step->at_ms};
		struct target_change change = target_memory_found(memory, step->address, &finding);

		ck_assert_msg(change.address == step->address_changes, "step %zu: address", i);
		ck_assert_msg(change.all == step->all_change, "step %zu: all", i);
		ck_assert_msg(change.lasted_ms == step->lasted_ms, "step %zu: lasted", i);
		ck_assert_msg(target_memory_all_down(memory) == step->all_down, "step %zu: down", i);
		target_memory_state(memory, step->address, &state);
		ck_assert_int_eq(state.health, step->found == 'd' ? TARGET_DOWN : TARGET_UP);
		ck_assert_int_eq(state.since_ms == step->at_ms, step->address_changes);
		ck_assert_str_eq(state.detail, step->found == 'd' ? "dead" : "");
		ck_assert_int_eq(state.reason, finding.reason);
	}
	target_memory_free(memory);
}
END_TEST

/* An address that answers *PING is taken again at once, whatever retry says. */
START_TEST(health_ends_the_wait_for_retry)
{
	const struct target_finding up = {REASON_NONE, "", NOW};
	const struct target_choice choice = {.count = 2, .now_ms = NOW};
	struct target_memory *memory = make(2);
	size_t order[2];

	target_memory_failed(memory, 0, NOW, 60000, "test");
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 1);
	(void)target_memory_found(memory, 0, &up);
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 2);
	ck_assert_uint_eq(order[0], 0);
	target_memory_free(memory);
}
END_TEST

START_TEST(health_can_be_forgotten)
{
	struct target_memory *memory = make(2);
	const struct target_choice choice = {.count = 2, .now_ms = NOW};
	struct target_state state;
	size_t order[2];

	set_states(memory, "dd");
	ck_assert(target_memory_all_down(memory));
	target_memory_forget_health(memory);
	ck_assert(!target_memory_all_down(memory));
	ck_assert_uint_eq(target_memory_order(memory, &choice, order), 2);
	target_memory_state(memory, 1, &state);
	ck_assert_int_eq(state.health, TARGET_UNKNOWN);
	ck_assert_uint_eq(state.since_ms, 0);
	ck_assert_str_eq(target_health_word(state.health), "unknown");
	target_memory_free(memory);
}
END_TEST

START_TEST(shared_by_owners)
{
	struct target_memory *memory = make(3), *other;
	char name[] = "payroll";

	ck_assert(target_memory_is_for(memory, name, &list));
	ck_assert(!target_memory_is_for(memory, "PAYROLL2", &list));
	list.count = 2;
	ck_assert(!target_memory_is_for(memory, name, &list));
	list.count = 3;
	addresses[2].socket.v4.sin_port++;
	ck_assert(!target_memory_is_for(memory, name, &list));
	other = target_memory_share(memory);
	ck_assert_ptr_eq(other, memory);
	target_memory_free(memory);
	ck_assert_uint_eq(target_memory_count(other), 3);
	target_memory_free(other);
}
END_TEST

#define ROUNDS 20000

/* Takes and leaves, fails and connects, is found up and down, with others. */
static void *hammer(void *argument)
{
	struct target_memory *memory = argument;
	const struct target_choice choice = {.count = 3, .balance = BALANCE_LEAST, .now_ms = NOW};
	const struct target_finding up = {REASON_NONE, "", NOW}, down = {REASON_RESET, "gone", NOW};
	struct target_place place = {0};
	struct target_state state;
	size_t order[3];

	for (int i = 0; i < ROUNDS; i++) {
		size_t count = target_memory_order(memory, &choice, order);

		target_place_take(&place, memory, count > 0 ? order[0] : 0);
		if (i % 100 == 0)
			(void)target_memory_found(memory, (size_t)i / 100 % 3, i % 200 == 0 ? &down : &up);
		target_memory_state(memory, 0, &state);
		target_place_leave(&place);
	}
	return NULL;
}

START_TEST(counts_survive_threads)
{
	struct target_memory *memory = make(3);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, memory), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(connections(memory, i), 0);
	target_memory_free(memory);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("target_memory");
	TCase *tests = tcase_create("target_memory");

	tcase_add_loop_test(tests, order_of_addresses, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tests, left_out_for_retry);
	tcase_add_test(tests, no_memory_is_all_in_use);
	tcase_add_test(tests, fewest_connections_first);
	tcase_add_test(tests, health_says_changes_only);
	tcase_add_test(tests, what_an_address_that_is_down_answers_is_said);
	tcase_add_test(tests, health_ends_the_wait_for_retry);
	tcase_add_test(tests, health_can_be_forgotten);
	tcase_add_test(tests, shared_by_owners);
	tcase_add_test(tests, counts_survive_threads);
	suite_add_tcase(suite, tests);
	return suite;
}
