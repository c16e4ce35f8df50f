/* The filter of system calls. */
#include "sandbox_calls.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_SIZE 64

bool sandbox_calls_there(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0u, &action) == 0;
}

/* --- what is loaded before --- */

static void load(const char *name)
{
	char file[NAME_SIZE + 16];

	/* What it is, and that it stays, is all that is wanted; where it is missing, nobody will ask for it. */
	(void)snprintf(file, sizeof(file), "libnss_%s.so.2", name);
	(void)dlopen(file, RTLD_NOW | RTLD_GLOBAL);
}

/* "hosts: files resolve [!UNAVAIL=return] dns": the modules, without what stands in brackets. */
static void load_modules_of(char *line)
{
	char *rest, *at = strchr(line, ':');
	bool inside = false;

	if (line[0] == '#' || at == NULL)
		return;
	line[strcspn(line, "#\n")] = '\0';
	for (at = strtok_r(at + 1, " \t", &rest); at != NULL; at = strtok_r(NULL, " \t", &rest)) {
		inside = inside || at[0] == '[';
		if (!inside && strlen(at) < NAME_SIZE && strchr(at, '/') == NULL)
			load(at);
		inside = inside && strchr(at, ']') == NULL;
	}
}

void sandbox_calls_prepare(void)
{
	FILE *stream = fopen("/etc/nsswitch.conf", "re");
	char line[1024];

	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
		load_modules_of(line);
	if (stream != NULL)
		(void)fclose(stream);
	(void)dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_GLOBAL);
}

/* --- the filter --- */

static uint32_t action_of(enum sandbox_fate fate)
{
	switch (fate) {
	case SANDBOX_PERMIT:
		return SCMP_ACT_ALLOW;
	case SANDBOX_MISSING:
		return SCMP_ACT_ERRNO(ENOSYS);
	case SANDBOX_KILL:
		return SCMP_ACT_KILL_PROCESS;
	}
	return SCMP_ACT_KILL_PROCESS;
}

static bool is_for_us(enum sandbox_when when, bool plugins)
{
#ifdef CCI_COVERAGE
	const bool coverage = true;
#else
	const bool coverage = false;
#endif

	switch (when) {
	case SANDBOX_ALWAYS:
		return true;
	case SANDBOX_WITH_PLUGIN:
		return plugins;
	case SANDBOX_PROGRAM_ONLY:
		return !IS_SANITIZED;
	case SANDBOX_SANITIZER_ONLY:
		return IS_SANITIZED;
	case SANDBOX_COVERAGE_ONLY:
		return coverage;
	}
	return false;
}

static int add_row(scmp_filter_ctx filter, const struct sandbox_call *row)
{
	const struct scmp_arg_cmp itself = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
	const struct scmp_arg_cmp *tests = row->to_itself ? &itself : row->tests;
	unsigned count = row->to_itself ? 1 : row->test_count;
	char names[512], *rest;
	int result = 0;

	(void)snprintf(names, sizeof(names), "%s", row->names);
	for (const char *name = strtok_r(names, " ", &rest); name != NULL && result == 0;
	     name = strtok_r(NULL, " ", &rest)) {
		int number = seccomp_syscall_resolve_name(name);

		/* Not every machine has every call. */
		if (number != __NR_SCMP_ERROR)
			result = seccomp_rule_add_array(filter, action_of(row->fate), number, count, tests);
	}
	return result;
}

static int fill(scmp_filter_ctx filter, bool plugins)
{
	int result = 0;

	for (size_t i = 0; i < sandbox_call_count && result == 0; i++)
		if (is_for_us(sandbox_call_table[i].when, plugins))
			result = add_row(filter, &sandbox_call_table[i]);
	return result;
}

/* Every refusal is in the kernel's log; old kernels take no lasting precautions against Spectre v4 for it, which cost
 * much; calls of another architecture end the process. */
static int set_up(scmp_filter_ctx filter)
{
	int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	return result;
}

int sandbox_calls_enter(bool plugins, struct error *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter != NULL ? set_up(filter) : -ENOMEM;

	if (result == 0)
		result = fill(filter, plugins);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0
	           ? 0
	           : error_set(error, "seccomp: the filter of system calls cannot be loaded: %s", strerrordesc_np(-result));
}
