/* What the kernel leaves the key process: reading files, its sockets, memory, time. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "compiler.h"
#include "keyholder_parts.h"
#include "log.h"
#include "sandbox_calls.h"

static const int permitted[] = {
    /* messages on sockets that it has */
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    /* files: open only to read, below */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat),
    SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64),
    /* memory: nothing that could be run, below */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    /* threads and time */
    SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrandom),
    /* who it is, and its end */
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* Of fcntl: what makes a descriptor that no program inherits; nothing that sends signals to others. */
static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC};

/* The file is opened to be read and nothing else; the memory is not to be run. */
#define BITS_UNSET(number, mask) {.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask)}
#define CHANGES (O_ACCMODE | O_CREAT | O_TRUNC)

static const struct {
	int call;
	struct scmp_arg_cmp test;
} permitted_if[] = {
    {SCMP_SYS(open), BITS_UNSET(1, CHANGES)},
    {SCMP_SYS(openat), BITS_UNSET(2, CHANGES)},
    {SCMP_SYS(mmap), BITS_UNSET(2, PROT_EXEC)},
    {SCMP_SYS(mprotect), BITS_UNSET(2, PROT_EXEC)},
};

static int permit_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp test)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &test);
}

static int permit(scmp_filter_ctx filter)
{
	/* Its own end by abort(3). */
	const struct scmp_arg_cmp itself = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
	int result = permit_if(filter, SCMP_SYS(tgkill), itself);

	for (size_t i = 0; i < sizeof(permitted) / sizeof(permitted[0]) && result == 0; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, permitted[i], 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && result == 0; i++) {
		const struct scmp_arg_cmp is = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)commands[i]};

		result = permit_if(filter, SCMP_SYS(fcntl), is);
	}
	for (size_t i = 0; i < sizeof(permitted_if) / sizeof(permitted_if[0]) && result == 0; i++)
		result = permit_if(filter, permitted_if[i].call, permitted_if[i].test);
	return result;
}

/* 0, or a negative errno. */
static int load(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter != NULL ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	if (result == 0)
		result = permit(filter);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

void keyholder_hide(void)
{
	if (!IS_SANITIZED)
		(void)prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
}

static bool filtered;

int keyholder_filter(const struct config *config, struct error *error)
{
	int result;

	if (config->gateway.sandbox == SANDBOX_NO || IS_SANITIZED)
		return 0;
	if (!sandbox_calls_there() && config->gateway.sandbox == SANDBOX_REQUIRE)
		return error_set(error, "[gateway] sandbox = require: the kernel has no seccomp filter for the key process");
	if (!sandbox_calls_there())
		return 0;
	/* Where there are filters, one that cannot be loaded is a fault, and not a kernel of before. */
	result = load();
	filtered = result == 0;
	return filtered ? 0
	                : error_set(error, "seccomp: the key process's filter of system calls cannot be loaded: %s",
	                            strerrordesc_np(-result));
}

const char *keyholder_contained(void)
{
	static char words[48];
	struct text text;

	text_init(&text, words, sizeof(words));
	if (filtered)
		text_puts(&text, "seccomp");
	if (keyholder_paths_abi() > 0)
		text_printf(&text, "%slandlock %d", text.used > 0 ? ", " : "", keyholder_paths_abi());
	if (text.used == 0)
		text_puts(&text, "none");
	return words;
}
