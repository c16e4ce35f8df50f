/* Accepting at its limits: quota, descriptors, sessions that cannot start. */
#include "suite.h"
#include "workers.h"

/* Beyond the limit 16 are started to be told so; the others get a reset. */
START_TEST(far_over_the_limit_a_connection_is_reset)
{
	struct fixture fixture;
	int fds[40], resets = 0;
	char byte;

	start(&fixture, 1);
	quota_set(fixture.shared.quota, 4, 100);
	for (int i = 0; i < 40; i++)
		fds[i] = client(&fixture);
	for (int i = 0; i < 2000 && accepted(&fixture) < 40; i++)
		usleep(1000);
	wait_for(&started, 20);
	ck_assert_uint_eq(atomic_load(&started_over), 16);
	usleep(20000);
	for (int i = 0; i < 40; i++) {
		resets += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
		close(fds[i]);
	}
	ck_assert_int_eq(resets, 20);
	stop(&fixture);
}
END_TEST

static int lines_with(FILE *stream, const char *what)
{
	char line[4096];
	int count = 0;

	rewind(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		count += strstr(line, what) != NULL;
	return count;
}

/* With room for three: three are taken, one at a time is turned away by the reserve, the rest waits; and is taken when
 * there is room again. One line says so, however long it lasts. */
START_TEST(without_descriptors_it_goes_on_and_recovers)
{
	struct fixture fixture;
	FILE *log = tmpfile();
	int fds[12], reset = 0;
	char byte;

	start(&fixture, 1);
	for (int i = 0; i < 12; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
	(void)fflush(stderr);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	leave_descriptors(3);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(try_connect(&fixture, fds[i]), 0);
	usleep(350000);
	ck_assert_uint_eq(atomic_load(&started), 3);
	for (int i = 0; i < 12; i++)
		reset += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
	/* At once, and then each 100 ms. */
	ck_assert_int_ge(reset, 2);
	ck_assert_int_le(reset, 5);
	leave_descriptors(-1);
	for (int i = 0; i < 2000 && accepted(&fixture) < 12; i++)
		usleep(1000);
	ck_assert_uint_eq(accepted(&fixture), 12);
	/* The last one is counted a moment before it is started. */
	usleep(20000);
	ck_assert_uint_ge(atomic_load(&started), 12 - 6);
	for (int i = 0; i < 12; i++)
		close(fds[i]);
	stop(&fixture);
	ck_assert_int_eq(lines_with(log, "id=CCI1013E"), 1);
}
END_TEST

START_TEST(a_session_that_cannot_start_is_turned_away)
{
	struct fixture fixture;
	FILE *log = tmpfile();
	char byte;
	int fd;

	start(&fixture, 1);
	(void)fflush(stderr);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	atomic_store(&failing, true);
	for (int i = 0; i < 3; i++) {
		fd = client(&fixture);
		ck_assert_int_eq((int)recv(fd, &byte, 1, 0), -1);
		ck_assert_int_eq(errno, ECONNRESET);
		close(fd);
	}
	ck_assert_uint_eq(quota_count(fixture.shared.quota), 0);
	atomic_store(&failing, false);
	fd = client(&fixture);
	wait_for(&started, 1);
	close(fd);
	stop(&fixture);
	ck_assert_int_eq(lines_with(log, "id=CCI1013E"), 1);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("accept");
	TCase *tests = tcase_create("accept");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, far_over_the_limit_a_connection_is_reset);
	tcase_add_test(tests, without_descriptors_it_goes_on_and_recovers);
	tcase_add_test(tests, a_session_that_cannot_start_is_turned_away);
	suite_add_tcase(suite, tests);
	return suite;
}
