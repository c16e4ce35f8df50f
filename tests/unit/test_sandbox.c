/* The filters of system calls: they are loaded whole, or the start fails. Nothing is loaded here, but looked at. */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler.h"
#include "keyholder_parts.h"
#include "sandbox_calls.h"
#include "suite.h"

static int calls, fails_at; /* of those below; 0: none fails */
static char loaded[64 * 1024];
static ssize_t loaded_size; /* -1: nothing was loaded */

int __real_seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                                  const struct scmp_arg_cmp *tests);
int __wrap_seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                                  const struct scmp_arg_cmp *tests);
int __wrap_seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int call, unsigned count, ...);
int __real_seccomp_attr_set(scmp_filter_ctx filter, enum scmp_filter_attr attribute, uint32_t value);
int __wrap_seccomp_attr_set(scmp_filter_ctx filter, enum scmp_filter_attr attribute, uint32_t value);
int __wrap_seccomp_load(const scmp_filter_ctx filter);

static bool fails(void)
{
	return ++calls == fails_at;
}

int __wrap_seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                                  const struct scmp_arg_cmp *tests)
{
	return fails() ? -ENOMEM : __real_seccomp_rule_add_array(filter, action, call, count, tests);
}

int __wrap_seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int call, unsigned count, ...)
{
	ck_assert_uint_eq(count, 0);
	return fails() ? -ENOMEM : __real_seccomp_rule_add_array(filter, action, call, 0, NULL);
}

/* Those that only bear on logs and speed may fail. */
int __wrap_seccomp_attr_set(scmp_filter_ctx filter, enum scmp_filter_attr attribute, uint32_t value)
{
	bool counts = attribute == SCMP_FLTATR_CTL_TSYNC || attribute == SCMP_FLTATR_ACT_BADARCH;

	return counts && fails() ? -ENOMEM : __real_seccomp_attr_set(filter, attribute, value);
}

int __wrap_seccomp_load(const scmp_filter_ctx filter)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fails()) {
		close(fd);
		return -ENOMEM;
	}
	ck_assert_int_eq(seccomp_export_bpf(filter, fd), 0);
	loaded_size = pread(fd, loaded, sizeof(loaded), 0);
	ck_assert_int_gt((int)loaded_size, 100);
	close(fd);
	return 0;
}

static int enter(bool of_keys, struct error *error)
{
	static struct config config;

	calls = 0;
	loaded_size = -1;
	config.gateway.sandbox = SANDBOX_YES;
	return of_keys ? keyholder_filter(&config, error) : sandbox_calls_enter(true, error);
}

START_TEST(a_filter_that_lacks_a_rule_is_not_loaded)
{
	struct error error;
	int all;

	if ((_i == 1 && IS_SANITIZED) || !sandbox_calls_there())
		return;
	fails_at = 0;
	ck_assert_int_eq(enter(_i == 1, &error), 0);
	ck_assert_int_gt((int)loaded_size, 100);
	all = calls;
	ck_assert_int_gt(all, 50);
	for (fails_at = 1; fails_at <= all; fails_at++) {
		ck_assert_msg(enter(_i == 1, &error) == -1, "call %d of %d", fails_at, all);
		ck_assert_int_eq((int)loaded_size, -1);
		ck_assert_ptr_nonnull(strstr(error.text, "cannot be loaded: Cannot allocate memory"));
	}
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *one = tcase_create("filters");

	tcase_set_timeout(one, 60);
	tcase_add_loop_test(one, a_filter_that_lacks_a_rule_is_not_loaded, 0, 2);
	suite_add_tcase(suite, one);
	return suite;
}
