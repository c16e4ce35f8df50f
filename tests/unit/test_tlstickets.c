/* Ticket keys: files of them and what is wrong with those, rotation, and that no ticket crosses policies. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"
#include "tlstickets.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddee00"

static char path[] = "/tmp/test-tlstickets-XXXXXX";

static void make_file(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void remove_file(void)
{
	unlink(path);
}

static void write_keys(const char *text)
{
	FILE *stream = fopen(path, "w");

	ck_assert_ptr_nonnull(stream);
	(void)fputs(text, stream);
	ck_assert_int_eq(fclose(stream), 0);
}

/* One worker with one policy. */
struct side {
	struct tls_tickets *tickets;
	struct tls_ticket_policy *policy;
};

static void open_side(struct side *side, const char *file, uint8_t policy)
{
	uint8_t digest[32] = {policy};
	struct error error;

	side->tickets = tls_tickets_new(NULL, file, &error);
	ck_assert_msg(side->tickets != NULL, "%s", error.text);
	side->policy = tls_ticket_policy_new(side->tickets, digest);
	ck_assert_ptr_nonnull(side->policy);
}

static void close_side(struct side *side)
{
	tls_ticket_policy_free(side->policy);
	tls_tickets_free(side->tickets);
}

/* A ticket as the library makes it: name, iv, what is sealed, MAC of all that. */
struct ticket {
	uint8_t bytes[128];
	size_t size;
};

static int ask(const struct side *side, struct ticket *ticket, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	return tls_ticket_answer(side->policy, &(struct tls_ticket_request){.name = ticket->bytes,
	                                                                    .iv = ticket->bytes + 16,
	                                                                    .cipher = cipher,
	                                                                    .mac = mac,
	                                                                    .seal = seal});
}

static void seal(const struct side *side, struct ticket *ticket)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int size = 0, more = 0;
	size_t mac_size = 0;

	ck_assert_int_eq(ask(side, ticket, cipher, mac, 1), 1);
	ck_assert_int_eq(EVP_EncryptUpdate(cipher, ticket->bytes + 32, &size, (const uint8_t *)"a session", 9), 1);
	ck_assert_int_eq(EVP_EncryptFinal(cipher, ticket->bytes + 32 + size, &more), 1);
	ticket->size = 32 + (size_t)(size + more);
	ck_assert_int_eq(EVP_MAC_update(mac, ticket->bytes, ticket->size), 1);
	ck_assert_int_eq(EVP_MAC_final(mac, ticket->bytes + ticket->size, &mac_size, 32), 1);
	ck_assert_uint_eq(mac_size, 32);
	EVP_CIPHER_CTX_free(cipher);
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
}

/* What the callback says; where it opens the ticket, it has to be right. */
static int open_ticket(const struct side *side, struct ticket *ticket)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	uint8_t text[64], sum[32];
	int size = 0, more = 0, result = ask(side, ticket, cipher, mac, 0);
	size_t mac_size = 0;

	if (result > 0) {
		ck_assert_int_eq(EVP_MAC_update(mac, ticket->bytes, ticket->size), 1);
		ck_assert_int_eq(EVP_MAC_final(mac, sum, &mac_size, sizeof(sum)), 1);
		ck_assert_mem_eq(sum, ticket->bytes + ticket->size, 32);
		ck_assert_int_eq(EVP_DecryptUpdate(cipher, text, &size, ticket->bytes + 32, (int)ticket->size - 32), 1);
		ck_assert_int_eq(EVP_DecryptFinal(cipher, text + size, &more), 1);
		ck_assert_int_eq(size + more, 9);
		ck_assert_mem_eq(text, "a session", 9);
	}
	EVP_CIPHER_CTX_free(cipher);
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
	return result;
}

START_TEST(one_file_makes_the_same_keys_everywhere)
{
	struct side first, second, other;
	struct ticket ticket, again;

	write_keys(KEY_A "\n");
	open_side(&first, path, 1);
	open_side(&second, path, 1);
	open_side(&other, path, 2);
	seal(&first, &ticket);
	seal(&first, &again);
	ck_assert_int_eq(open_ticket(&first, &ticket), 1);
	ck_assert_int_eq(open_ticket(&second, &ticket), 1);
	/* Another policy neither knows the name of the key nor has that key. */
	ck_assert_int_eq(open_ticket(&other, &ticket), 0);
	ck_assert_mem_ne(ticket.bytes + 16, again.bytes + 16, 16);
	close_side(&first);
	close_side(&second);
	close_side(&other);
}
END_TEST

START_TEST(the_first_seals_and_all_open)
{
	struct side old, new, both;
	struct ticket of_old, of_both;

	write_keys(KEY_A "\n");
	open_side(&old, path, 1);
	write_keys("; two\n" KEY_B "\n# the old one\n" KEY_A "\n");
	open_side(&both, path, 1);
	write_keys(KEY_B);
	open_side(&new, path, 1);
	seal(&old, &of_old);
	seal(&both, &of_both);
	ck_assert_int_eq(open_ticket(&both, &of_old), 2); /* and is renewed */
	ck_assert_int_eq(open_ticket(&both, &of_both), 1);
	ck_assert_int_eq(open_ticket(&new, &of_both), 1);
	ck_assert_int_eq(open_ticket(&new, &of_old), 0);
	ck_assert_int_eq(open_ticket(&old, &of_both), 0);
	close_side(&old);
	close_side(&new);
	close_side(&both);
}
END_TEST

START_TEST(keys_in_memory_rotate_for_all_workers)
{
	struct side first, second;
	struct ticket ticket, fresh;
	struct error error;

	ck_assert_int_eq(tls_tickets_init(&error), 0);
	open_side(&first, NULL, 1);
	open_side(&second, NULL, 1);
	seal(&first, &ticket);
	ck_assert_int_eq(open_ticket(&second, &ticket), 1);
	ck_assert_int_eq(tls_tickets_init(&error), 0);
	ck_assert_int_eq(open_ticket(&second, &ticket), 1);
	ck_assert_int_eq(tls_tickets_rotate(&error), 0);
	ck_assert_int_eq(open_ticket(&second, &ticket), 2);
	seal(&second, &fresh);
	ck_assert_int_eq(open_ticket(&first, &fresh), 1);
	ck_assert_int_eq(tls_tickets_rotate(&error), 0);
	ck_assert_int_eq(open_ticket(&first, &ticket), 0);
	ck_assert_int_eq(open_ticket(&first, &fresh), 2);
	close_side(&first);
	close_side(&second);
}
END_TEST

START_TEST(a_ticket_of_tls_1_3_is_always_renewed)
{
	struct side side;
	struct ticket ticket;
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	struct tls_ticket_request request = {
	    .name = ticket.bytes, .iv = ticket.bytes + 16, .cipher = cipher, .mac = mac, .single_use = true};

	write_keys(KEY_A "\n");
	open_side(&side, path, 1);
	seal(&side, &ticket);
	ck_assert_int_eq(tls_ticket_answer(side.policy, &request), 2);
	close_side(&side);
	EVP_CIPHER_CTX_free(cipher);
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
}
END_TEST

#define FOUR(line) line line line line

static const struct {
	const char *text, *words; /* NULL: it is taken */
} files[] = {
    {KEY_A, NULL},
    {"\n\n  " KEY_A KEY_B " \t\r\n", NULL},
    {FOUR(FOUR(KEY_A "\n")), NULL},
    {FOUR(FOUR(KEY_A "\n")) KEY_B "\n", "line 17 is one key too many"},
    {"", "holds no key"},
    {"# nothing\n\n", "holds no key"},
    {KEY_A "\n# b\n0123\n", "line 3 is no key"},
    {KEY_A "\nzz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", "line 2 is no key"},
    {KEY_A "0\n", "line 1 is no key"},
    {FOUR(FOUR(KEY_A)) "\n", "line 1 is too long"},
};

/* What stands behind a zero byte is not passed over. */
START_TEST(a_zero_byte_is_no_part_of_a_key)
{
	static const char text[] = KEY_A "\0" KEY_B "\n";
	FILE *stream = fopen(path, "w");
	struct error error;

	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_eq(fwrite(text, sizeof(text) - 1, 1, stream), 1);
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_ptr_null(tls_tickets_new(NULL, path, &error));
	ck_assert_msg(strstr(error.text, "line 1 is no key") != NULL, "%s", error.text);
}
END_TEST

START_TEST(what_is_wrong_with_a_file_is_said)
{
	struct error error;
	struct tls_tickets *tickets;

	write_keys(files[_i].text);
	tickets = tls_tickets_new(NULL, path, &error);
	ck_assert_msg((tickets == NULL) == (files[_i].words != NULL), "%d", _i);
	tls_tickets_free(tickets);
	if (files[_i].words == NULL)
		return;
	ck_assert_msg(strstr(error.text, files[_i].words) != NULL, "%s", error.text);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_str_eq(error.section, "tls");
	ck_assert_str_eq(error.key, "ticket_keys");
	/* Never what is in it. */
	ck_assert_ptr_null(strstr(error.text, "112233"));
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlstickets");
	TCase *tests = tcase_create("tlstickets");

	tcase_add_unchecked_fixture(tests, make_file, remove_file);
	tcase_add_test(tests, one_file_makes_the_same_keys_everywhere);
	tcase_add_test(tests, the_first_seals_and_all_open);
	tcase_add_test(tests, keys_in_memory_rotate_for_all_workers);
	tcase_add_test(tests, a_ticket_of_tls_1_3_is_always_renewed);
	tcase_add_loop_test(tests, what_is_wrong_with_a_file_is_said, 0, COUNT(files));
	tcase_add_test(tests, a_zero_byte_is_no_part_of_a_key);
	suite_add_tcase(suite, tests);
	return suite;
}
