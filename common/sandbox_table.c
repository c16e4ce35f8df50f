/* The rows of the system calls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "sandbox_calls.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SOCKET_TYPE 0xfu /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
#define TLS_LEVEL 282    /* SOL_TLS */
#define MAKES_FILES (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))
#define RIGHTS_OF_OWNER 06000u /* whoever runs the file has its owner's, or its group's */
#define NETLINK_ADDRESS 12u /* sizeof(struct sockaddr_nl): shorter than any address of IP */

#define IS(number, value) {.arg = (number), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value)}
#define IS_NOT(number, value) {.arg = (number), .op = SCMP_CMP_NE, .datum_a = (scmp_datum_t)(value)}
/* Of the bits in `mask` those in `value` are set, and no other. */
#define BITS(number, mask, value) \
	{.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(mask), .datum_b = (scmp_datum_t)(value)}

/* clang-format off */
#define PERMIT(calls, words) {.names = calls, .fate = SANDBOX_PERMIT, .why = words}
#define KILL(calls, words) {.names = calls, .fate = SANDBOX_KILL, .why = words}
#define PERMIT_IF(calls, test, said, words) \
	{.names = calls, .fate = SANDBOX_PERMIT, .test_count = 1, .tests = {test}, .condition = said, .why = words}
#define PERMIT_IF_BOTH(calls, test, other, said, words) \
	{.names = calls, .fate = SANDBOX_PERMIT, .test_count = 2, .tests = {test, other}, .condition = said, .why = words}
#define KILL_IF(calls, test, said, words) \
	{.names = calls, .fate = SANDBOX_KILL, .test_count = 1, .tests = {test}, .condition = said, .why = words}
#define SOCKET(family, type, protocol, said, words) \
	{.names = "socket", .fate = SANDBOX_PERMIT, .test_count = 3, .tests = {IS(0, family), BITS(1, SOCKET_TYPE, type), BITS(2, 0xffffffff, protocol)}, .condition = said, .why = words}
#define OPTION(level_value, option, said, words) \
	PERMIT_IF_BOTH("setsockopt", IS(1, level_value), IS(2, option), said, words)
#define REQUEST(request, words) PERMIT_IF("ioctl", BITS(1, 0xffffffff, request), #request, words)
#define SETTING(setting, words) PERMIT_IF("prctl", BITS(0, 0xffffffff, setting), #setting, words)

const struct sandbox_call sandbox_call_table[] = {
	/* bytes */
	PERMIT("read readv pread64 write writev pwrite64 lseek", "Files, pipes, wake-ups between threads."),
	PERMIT("recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg shutdown", "Connections; questions to name servers."),
	PERMIT("splice sendfile", "Connections that are clear on both sides, and answers of the page."),
	PERMIT("close dup dup3 pipe pipe2 eventfd2", "Descriptors."),
	PERMIT_IF("fcntl", BITS(1, 0xfffffff8, F_DUPFD), "F_DUPFD to F_SETLKW", "Descriptors; but no F_SETOWN and F_SETSIG, by which any signal goes to any process of the same user."),
	PERMIT_IF("fcntl", BITS(1, 0xffffffff, F_DUPFD_CLOEXEC), "F_DUPFD_CLOEXEC", "Descriptors."),
	PERMIT_IF("fcntl", BITS(1, 0xffffffff, F_SETPIPE_SZ), "F_SETPIPE_SZ", "Pipes of connections that are clear on both sides."),
	PERMIT("accept accept4 connect getsockname getpeername getsockopt", "Connections. connect is not bounded: a service may be anywhere."),
	PERMIT("epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6", "Waiting."),
	PERMIT_IF("ioctl", BITS(1, 0xffffffff, TIOCOUTQ), "SIOCOUTQ", "Is what was sent acknowledged?"),
	REQUEST(FIONREAD, "How much is there to read?"),
	REQUEST(FIONBIO, "Descriptors that do not block."),
	REQUEST(FIOCLEX, "Descriptors that no program inherits."),
	REQUEST(TCGETS, "The C library asks whether a stream is a terminal."),

	/* sockets */
	PERMIT_IF_BOTH("socket", IS(0, AF_UNIX), BITS(2, 0xffffffff, 0), "AF_UNIX", "Services and sockets of this machine, syslog, the service manager."),
	SOCKET(AF_INET, SOCK_STREAM, 0, "AF_INET, stream, protocol 0", "Services and peers."),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP, "AF_INET, stream, IPPROTO_TCP", "The same. No other protocol, such as MPTCP or UDP-Lite."),
	SOCKET(AF_INET, SOCK_DGRAM, 0, "AF_INET, datagram, protocol 0", "Questions to name servers."),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP, "AF_INET, datagram, IPPROTO_UDP", "The same. No other protocol, such as MPTCP or UDP-Lite."),
	SOCKET(AF_INET6, SOCK_STREAM, 0, "AF_INET6, stream, protocol 0", "Services and peers."),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP, "AF_INET6, stream, IPPROTO_TCP", "The same. No other protocol, such as MPTCP or UDP-Lite."),
	SOCKET(AF_INET6, SOCK_DGRAM, 0, "AF_INET6, datagram, protocol 0", "Questions to name servers."),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, "AF_INET6, datagram, IPPROTO_UDP", "The same. No other protocol, such as MPTCP or UDP-Lite."),
	PERMIT_IF_BOTH("socket", IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE), "AF_NETLINK, NETLINK_ROUTE", "getaddrinfo asks which addresses this machine has."),
	PERMIT_IF("socketpair", IS(0, AF_UNIX), "AF_UNIX", "Wake-ups."),
	PERMIT_IF("bind", IS(2, NETLINK_ADDRESS), "an address of 12 bytes", "That of netlink, for getaddrinfo. No address of IP is as short. A unix socket of up to nine characters is: by a path it needs a folder that Landlock leaves; an abstract name of nine bytes needs none. Neither can listen, but a datagram socket gets what others of the machine send there."),
	KILL_IF("bind", IS_NOT(2, NETLINK_ADDRESS), "any other address", "The starter binds, and only what the configuration file names."),
	KILL("listen", "The starter does it."),
	OPTION(SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", "Listeners of a reload, before the starter binds them."),
	OPTION(SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", "The same."),
	OPTION(SOL_SOCKET, SO_LINGER, "SO_LINGER", "Connections that are cut."),
	OPTION(SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", "keepalive in [timeouts]."),
	OPTION(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", "Who listens to events; sd_notify."),
	OPTION(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF", "getaddrinfo."),
	OPTION(SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO", "The local helpers of name look-ups."),
	OPTION(SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO", "The same."),
	OPTION(SOL_SOCKET, SO_MARK, "SO_MARK", "[notifier] kind = mark."),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", "dual_stack in [listener]."),
	OPTION(IPPROTO_IPV6, IPV6_RECVERR, "IPV6_RECVERR", "Name servers that are not there."),
	OPTION(IPPROTO_IP, IP_RECVERR, "IP_RECVERR", "The same."),
	OPTION(IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", "Connections."),
	OPTION(IPPROTO_TCP, TCP_CORK, "TCP_CORK", "Answers of the page."),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", "keepalive in [timeouts]."),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", "The same."),
	OPTION(IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", "The same."),
	OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", "user_timeout in [timeouts]."),
	OPTION(IPPROTO_TCP, TCP_ULP, "TCP_ULP", "TLS in the kernel."),
	PERMIT_IF("setsockopt", IS(1, TLS_LEVEL), "SOL_TLS", "The same."),

	/* files: which ones is Landlock's matter */
	PERMIT_IF("open", BITS(1, MAKES_FILES, 0), "of what is there", "Files of the configuration, of the system, of what is written."),
	PERMIT_IF("openat", BITS(2, MAKES_FILES, 0), "of what is there", "The same."),
	PERMIT_IF("open", BITS(2, RIGHTS_OF_OWNER, 0), "without the modes setuid and setgid", "Files that are made. Who runs them gains nothing."),
	PERMIT_IF("openat", BITS(3, RIGHTS_OF_OWNER, 0), "without the modes setuid and setgid", "The same."),
	PERMIT("stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2", "Have files changed?"),
	PERMIT("getdents64 readlink readlinkat getcwd", "Folders, real paths."),
	PERMIT("fsync fdatasync ftruncate fallocate flock fadvise64", "Events, SMF records and the ratchet."),
	PERMIT("rename renameat renameat2 link linkat unlink unlinkat", "The ratchet, rotated files, unix sockets."),
	PERMIT_IF("chmod fchmod", BITS(1, RIGHTS_OF_OWNER, 0), "without setuid and setgid", "Modes of what is made."),
	PERMIT_IF("fchmodat", BITS(2, RIGHTS_OF_OWNER, 0), "without setuid and setgid", "The same."),
	PERMIT("umask", "The same."),
	PERMIT("fchown", "Where the gateway stays root: the ratchet keeps its owner."),
	PERMIT("inotify_init1 inotify_add_watch inotify_rm_watch", "Files that change."),

	/* memory */
	PERMIT("brk munmap mremap madvise mlock munlock", "Memory."),
	PERMIT_IF("mmap", BITS(2, PROT_EXEC, 0), "not executable", "Memory, files."),
	{.names = "mmap", .fate = SANDBOX_PERMIT, .when = SANDBOX_WITH_PLUGIN, .test_count = 2, .tests = {BITS(2, PROT_WRITE, 0), BITS(3, MAP_ANONYMOUS, 0)},
	 .condition = "of a file, not writable; only in a process that started with a plug-in", .why = "A reload may load another plug-in."},
	PERMIT_IF("mprotect", BITS(2, PROT_EXEC, 0), "not executable", "Memory; stacks of threads."),

	/* threads and signals */
	PERMIT_IF("clone", BITS(0, CLONE_THREAD, CLONE_THREAD), "a thread", "The page, subscribers, name look-ups start theirs when they are needed."),
	{.names = "clone3", .fate = SANDBOX_MISSING, .why = "Its flags stand in memory, where no filter sees them; the C library falls back on clone."},
	{.names = "clone", .fate = SANDBOX_KILL, .when = SANDBOX_PROGRAM_ONLY, .test_count = 1, .tests = {BITS(0, CLONE_THREAD, 0)}, .condition = "a process", .why = "Nothing here forks any more."},
	KILL("fork vfork", "The same."),
	PERMIT("exit exit_group futex set_robust_list rseq set_tid_address sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getcpu", "Threads."),
	PERMIT("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall wait4 waitid", "Signals."),
	{.names = "tgkill", .fate = SANDBOX_PERMIT, .to_itself = true, .condition = "to its own threads", .why = "The same. To the starter, the key process and others none goes, with Landlock or without."},
	PERMIT("nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time", "Time."),

	/* the process */
	PERMIT("getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups capget", "Who it is."),
	PERMIT("capset", "Threads that start later give up what they have; nothing can be gained by it."),
	PERMIT("getrandom uname sysinfo getrusage times getrlimit", "Random numbers, limits, metrics."),
	PERMIT_IF("prlimit64", IS(2, 0), "only asked for", "Limits."),
	SETTING(PR_SET_NAME, "Names of threads."),
	SETTING(PR_GET_NAME, "The same."),
	SETTING(PR_CAP_AMBIENT, "Threads that start later give up what they have."),
	SETTING(PR_CAPBSET_READ, "The same."),
	SETTING(PR_CAPBSET_DROP, "The same."),
	SETTING(PR_SET_NO_NEW_PRIVS, "The same."),
	SETTING(PR_GET_SECUREBITS, "The same."),

	/* never */
	KILL("execve execveat", "The starter runs the program's successor, and nothing else."),
	{.names = "ptrace", .fate = SANDBOX_KILL, .when = SANDBOX_PROGRAM_ONLY, .why = "Other processes."},
	KILL("process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp", "Other processes."),
	KILL("mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr open_by_handle_at name_to_handle_at", "The file system."),
	KILL("setns unshare", "Namespaces."),
	KILL("bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register modify_ldt", "Where kernels have had most of their holes."),
	KILL("kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct iopl ioperm", "The kernel."),
	KILL("keyctl add_key request_key", "Keys that the kernel holds."),

	/* run-time libraries of the sanitizers */
	{.names = "clone", .fate = SANDBOX_PERMIT, .when = SANDBOX_SANITIZER_ONLY, .test_count = 1, .tests = {BITS(0, CLONE_THREAD, 0)}, .condition = "only in builds with a sanitizer", .why = "LeakSanitizer looks at the threads from beside."},
	{.names = "prctl arch_prctl ptrace kill getdents sched_setaffinity personality", .fate = SANDBOX_PERMIT, .when = SANDBOX_SANITIZER_ONLY, .condition = "only in builds with a sanitizer", .why = "The same."},
	{.names = "mkdir mkdirat", .fate = SANDBOX_PERMIT, .when = SANDBOX_COVERAGE_ONLY, .condition = "only in builds that measure coverage", .why = "What was covered is written at the end, below GCOV_PREFIX."},
};
/* clang-format on */
const size_t sandbox_call_count = COUNT(sandbox_call_table);
