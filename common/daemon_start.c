/* The start of a gateway: one step after another, each with the reason why it stands where it does. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bio.h"
#include "confirm.h"
#include "daemon_parts.h"
#include "kerneltls.h"
#include "keyholder.h"
#include "listener_inherit.h"
#include "log.h"
#include "notifier_socket.h"
#include "privileges.h"
#include "sandbox.h"
#include "starter.h"

#define CONTROL_DESCRIPTORS 2u /* its socket, and one who asks there */
#define KEYS_DESCRIPTORS 3u    /* sockets to the key process, beside one for each worker */
#define WORKER_DESCRIPTORS 5   /* a loop, its wake-up, its signal pipe, the reserve */
/* Standard ones, libuv's own, those of the main loop, inotify, three for a file being written. */
#define MAIN_DESCRIPTORS 15

/* --- signals --- */

void daemon_keep_signals(bool at_the_end)
{
	sigset_t kept;

	(void)sigemptyset(&kept);
	(void)sigaddset(&kept, SIGHUP);
	(void)sigaddset(&kept, SIGUSR2);
	if (at_the_end) {
		(void)sigaddset(&kept, SIGTERM);
		(void)sigaddset(&kept, SIGINT);
	}
	(void)pthread_sigmask(SIG_BLOCK, &kept, NULL);
}

static void take_signals(void)
{
	sigset_t taken;

	(void)sigemptyset(&taken);
	(void)sigaddset(&taken, SIGHUP);
	(void)sigaddset(&taken, SIGUSR2);
	(void)pthread_sigmask(SIG_UNBLOCK, &taken, NULL);
}

/* --- the process --- */

/* Descriptors 0 to 2 must be there, or a socket would take their number and get what is written to them. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int prepare_process(struct daemon *daemon, struct error *error)
{
	struct rlimit limit;

	(void)daemon;
	(void)error;
	daemon_keep_signals(false);
	(void)signal(SIGPIPE, SIG_IGN);
	/* OpenSSL's read buffers of 128 KiB come and go with each wake-up: keep them from being mapped and unmapped. */
	(void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	fill_standard_descriptors();
	return 0;
}

static int read_configuration(struct daemon *daemon, struct error *error)
{
	daemon->starting = config_load(daemon->file, daemon->program, daemon_log_finding, NULL);
	if (daemon->starting == NULL)
		return error_set(error, "the configuration has errors");
	daemon->worker_count = daemon->starting->gateway.workers > 0 ? (unsigned)daemon->starting->gateway.workers
	                                                             : uv_available_parallelism();
	return daemon_open_log(daemon->starting, error);
}

static int fork_starter(struct daemon *daemon, struct error *error)
{
	const struct starter_program program = {daemon->upgrade.program, daemon->upgrade.folder, daemon->upgrade.argv};

	return starter_open(daemon->starting, &program, error);
}

static int fork_keyholder(struct daemon *daemon, struct error *error)
{
	return keyholder_open(daemon->starting, daemon->worker_count, error);
}

static int inherit_sockets(struct daemon *daemon, struct error *error)
{
	if (upgrade_inherit(&daemon->upgrade, &daemon->inherited, &daemon->passed, error) != 0)
		return -1;
	notifier_socket_succeed(daemon->upgrade.predecessor_pid);
	return 0;
}

static int enter_folders(struct daemon *daemon, struct error *error)
{
	if (sandbox_enter_paths(daemon->starting, error) == 0)
		return 0;
	daemon_place_error(daemon->starting, error);
	return -1;
}

/* --- what it works with --- */

/* libuv ends the program without a word where its first loop cannot have its pipes. */
static int check_descriptors(struct daemon *daemon, struct error *error)
{
	const struct config *config = daemon->starting;
	rlim_t addresses = 0, needed;
	struct rlimit limit;

	for (size_t i = 0; i < config->listener_count; i++)
		addresses += config->listeners[i].address.count;
	needed = MAIN_DESCRIPTORS + (config->control.socket != NULL ? CONTROL_DESCRIPTORS : 0) +
	         (config->keys.process == CHOICE_YES ? KEYS_DESCRIPTORS + daemon->worker_count : 0) +
	         daemon->worker_count * (WORKER_DESCRIPTORS + 2 * addresses);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return 0;
	return error_set(error,
	                 "the limit of open files is %llu, and listening alone takes %llu: raise it (LimitNOFILE=, "
	                 "ulimit -n)",
	                 (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
}

/* What the threads share, whatever the configuration. */
static int make_shared(struct daemon *daemon, struct error *error)
{
	struct worker_shared *shared = &daemon->shared;

	shared->quota = quota_new();
	shared->connection_rate = rate_new();
	shared->handshake_rate = rate_new();
	shared->ratchet = ratchet_new(RATCHET_NAMES);
	shared->peer_ratchet = ratchet_new(RATCHET_NAMES);
	shared->noise = noise_new();
	shared->report = report_new(daemon->starting->control.report_entries);
	shared->metrics = daemon->metrics = metrics_new(daemon->worker_count);
	shared->budget = &daemon->budget;
	shared->drained = daemon_tell_drained;
	shared->context = daemon;
	if (shared->quota == NULL || shared->connection_rate == NULL || shared->handshake_rate == NULL ||
	    shared->ratchet == NULL || shared->peer_ratchet == NULL || shared->noise == NULL || shared->report == NULL ||
	    shared->metrics == NULL)
		return error_set(error, "not enough memory");
	daemon_apply_limits(daemon, daemon->starting);
	return 0;
}

static int prepare_tls(struct daemon *daemon, struct error *error)
{
	(void)daemon;
	if (confirm_prepare() != 0 || bio_prepare() != 0)
		return error_set(error, "cannot make what TLS needs: not enough memory");
	return tls_init(error);
}

static int note_files(struct daemon *daemon, struct error *error)
{
	if (daemon_watch_open(daemon, daemon->starting, error) == 0)
		return 0;
	daemon_place_error(daemon->starting, error);
	return -1;
}

static int load_snapshot(struct daemon *daemon, struct error *error)
{
	const struct notifier_source notifiers = {daemon_notifier_kinds, NULL};

	daemon->snapshot = snapshot_new(daemon->starting, daemon->worker_count, &notifiers, error);
	if (daemon->snapshot == NULL) {
		daemon_place_error(daemon->starting, error);
		return -1;
	}
	daemon->starting = NULL; /* it is the snapshot's now */
	return 0;
}

/* --- serving --- */

static int open_listeners(struct daemon *daemon, struct error *error)
{
	return listener_open(&daemon->listeners, daemon->snapshot->config, &daemon->inherited, &daemon->passed,
	                     daemon->worker_count, error);
}

static int open_loop(struct daemon *daemon, struct error *error)
{
	if (daemon_open_loop(daemon, error) != 0)
		return -1;
	take_signals();
	return 0;
}

/* Whoever wants to look at the gateway or tell it something. */
static int open_sight(struct daemon *daemon, struct error *error)
{
	const struct config *config = daemon->snapshot->config;

	daemon->http = http_new(daemon, error);
	if (daemon->http == NULL || http_prepare(daemon->http, config, &daemon->inherited, error) != 0)
		return -1;
	daemon->control = control_new(daemon, error);
	return daemon->control != NULL ? control_prepare(daemon->control, config, &daemon->inherited, error) : -1;
}

static int drop_privileges(struct daemon *daemon, struct error *error)
{
	return privileges_drop(daemon->snapshot->config, error);
}

static int settle_starter(struct daemon *daemon, struct error *error)
{
	return starter_settle(error) == 0 ? daemon_watch_starter(daemon, error) : -1;
}

static int settle_keyholder(struct daemon *daemon, struct error *error)
{
	return keyholder_settle(error) == 0 ? daemon_watch_keys(daemon, error) : -1;
}

static int open_ratchet(struct daemon *daemon, struct error *error)
{
	struct ratchet_keeper_options options = {
	    .path = daemon->snapshot->config->gateway.ratchet_file,
	    .tables = {[RATCHET_CLIENT] = daemon->shared.ratchet, [RATCHET_PEER] = daemon->shared.peer_ratchet},
	};

	daemon->ratchet_keeper = ratchet_keeper_new(&options, error);
	if (daemon->ratchet_keeper == NULL)
		return -1;
	ratchet_keeper_start(daemon->ratchet_keeper, &daemon->loop);
	return 0;
}

/* Signals are the main thread's: workers start with all of them blocked. */
static int start_workers(struct daemon *daemon, struct error *error)
{
	sigset_t all, before;
	int result = 0;

	daemon->workers = calloc(daemon->worker_count, sizeof(struct worker *));
	if (daemon->workers == NULL)
		return error_set(error, "not enough memory");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < daemon->worker_count && result == 0; i++) {
		daemon->workers[i] = worker_start(i, &daemon->shared, error);
		result = daemon->workers[i] != NULL ? 0 : -1;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

static int prepare_workers(struct daemon *daemon, struct error *error)
{
	return daemon_prepare_workers(daemon, daemon->snapshot, &daemon->listeners, error);
}

static int enter_calls(struct daemon *daemon, struct error *error)
{
	return sandbox_enter_calls(daemon->snapshot->config, error);
}

static int serve(struct daemon *daemon, struct error *error)
{
	(void)error;
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_use(daemon->workers[i]);
	http_use(daemon->http);
	control_use(daemon->control);
	daemon->serving = true;
	return 0;
}

static void say_started(struct daemon *daemon)
{
	struct logline line;
	const struct config *config = daemon->snapshot->config;

	log_begin(&line, MESSAGE_STARTED, NULL);
	log_text(&line, "program", program_word(daemon->program));
	log_text(&line, "version", GATEWAY_VERSION);
	log_text(&line, "sysid", config->gateway.sysid);
	log_text(&line, "config", daemon->file);
	log_number(&line, "workers", daemon->worker_count);
	log_number(&line, "pid", (uint64_t)getpid());
	log_text(&line, "kernel_tls", kerneltls_words());
	log_text(&line, "sandbox", sandbox_words());
	log_end(&line);
	daemon_tls_used(daemon);
	listener_log(&daemon->listeners, config);
	listener_warn_unused(&daemon->passed, config);
	log_flush();
}

/* The first that fails ends it; free_daemon in daemon.c takes back what was made. */
static int (*const steps[])(struct daemon *daemon, struct error *error) = {
    /* Signals wait from here on, and no socket takes the number of a standard descriptor. */
    prepare_process,
    /* The log is where the configuration says; all that follows may be said in it. */
    read_configuration,
    /* Beside this process, and outside of its sandbox: forked while it has no thread, no key, no connection. */
    fork_starter,
    fork_keyholder,
    /* Before anything opens a descriptor in their places; what the environment says of them is taken out of it. */
    inherit_sockets,
    /* Landlock holds for the calling thread and all that it starts: before the first. The files of the configuration,
     * plug-ins too, are loaded from inside. */
    enter_folders,
    /* libuv would end the program without a word. */
    check_descriptors,
    make_shared,
    /* What is made once for the process must not depend on what its first connection finds. */
    prepare_tls,
    /* How the files are before they are read: a change in between is noticed later. */
    note_files,
    /* Certificates, rules, notifiers; keys come from the key process where there is one. As root: only it can read
       some. */
    load_snapshot,
    /* Ports below 1024, and folders of root's: as root. Nobody is accepted yet. */
    open_listeners,
    open_loop,
    open_sight,
    /* All that only root can read or bind is read and bound. Before the first thread: an id is a thread's own. */
    drop_privileges,
    /* The two beside become the same user, and bind or sign from now on as that user. */
    settle_starter,
    settle_keyholder,
    /* Its file is the user's. What was secured before the restart is known before the first connection. */
    open_ratchet,
    daemon_watch_start,
    /* The first threads: with the folders, the user and the capabilities of this one. */
    start_workers,
    prepare_workers,
    /* seccomp, for all threads at once: everything is open, bound and running, and no stranger has said a word. */
    enter_calls,
    /* The last that can fail: the process before goes on serving until here. */
    daemon_take_over,
    serve,
};

int daemon_start(struct daemon *daemon, char *const *argv, struct error *error)
{
	upgrade_init(&daemon->upgrade, argv);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i](daemon, error) != 0)
			return -1;
	say_started(daemon);
	service_ready(&daemon->service);
	return 0;
}
