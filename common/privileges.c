/* Another user after the start, without a way back. */
#include "privileges_parts.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "log.h"
#include "nocore.h"
#include "thread.h"

static int check_chroot(const struct config *config, struct error *error)
{
	const char *path = config->gateway.chroot;
	struct stat status;

	if (path == NULL)
		return 0;
	if (stat(path, &status) != 0)
		error_set(error, "[gateway] chroot = %s: %s: make this directory", path, strerrordesc_np(errno));
	else if (!S_ISDIR(status.st_mode))
		error_set(error, "[gateway] chroot = %s is not a directory", path);
	else
		return 0;
	return error_about(error, "chroot");
}

/* Started by somebody else than root: nobody can be asked for but who it is. */
static int check_own(const struct config *config, const struct account *account, struct error *error)
{
	const struct config_gateway *gateway = &config->gateway;

	if (gateway->user != NULL && account->uid != geteuid()) {
		error_set(error, "[gateway] user = %s: only root can become another user: start it as %s%s, or remove user",
		          gateway->user, account->uid != 0 ? "root or as " : "", gateway->user);
		return error_about(error, "user");
	}
	if (gateway->group != NULL && account->gid != getegid()) {
		error_set(error, "[gateway] group = %s: only root can take another group: start it as root, or remove group",
		          gateway->group);
		return error_about(error, "group");
	}
	if (gateway->chroot != NULL) {
		error_set(error, "[gateway] chroot needs root: start it as root, or remove chroot");
		return error_about(error, "chroot");
	}
	return 0;
}

static unsigned line_of(const struct config *config, const struct error *error)
{
	return error->key != NULL ? config_line_of(config, "gateway", NULL, error->key) : 0;
}

/* Asked by root, who may do everything: what may the user do? */
static int check_by_account(const struct config *config, config_report *report, void *context)
{
	struct account account = {.name = ""};
	struct error error = {.key = NULL};

	if (privileges_find_user(config, &account, &error) != 0 || privileges_find_group(config, &account, &error) != 0 ||
	    (config->gateway.ratchet_file != NULL && privileges_rehearse_folders(config, &account, &error) != 0)) {
		report(context, true, config->file, line_of(config, &error), error.text);
		return -1;
	}
	if ((config->gateway.keep_capabilities == CHOICE_NO || config->keys.process == CHOICE_YES) && account.uid != 0 &&
	    privileges_rehearse_reload(config, &account, &error) != 0)
		report(context, false, config->file, line_of(config, &error), error.text);
	return 0;
}

int privileges_check(const struct config *config, config_report *report, void *context)
{
	struct account account = {.name = ""};
	struct error error = {.key = NULL};
	bool fine = true;

	if (config->gateway.user != NULL && privileges_find_user(config, &account, &error) != 0) {
		report(context, true, config->file, line_of(config, &error), error.text);
		fine = false;
	}
	if (privileges_find_group(config, &account, &error) != 0) {
		report(context, true, config->file, line_of(config, &error), error.text);
		fine = false;
	}
	if (check_chroot(config, &error) != 0) {
		report(context, true, config->file, line_of(config, &error), error.text);
		fine = false;
	}
	if (fine && privileges_look_below_chroot(config, &error) != 0)
		report(context, false, config->file, config_line_of(config, "gateway", NULL, "chroot"), error.text);
	return fine && (geteuid() != 0 || check_by_account(config, report, context) == 0) ? 0 : -1;
}

/* --- capabilities --- */

enum whose { GATEWAY, BESIDE };

/* Certificates, keys and ports of root's at a reload; the owner of unix sockets made then. A gateway that is not to
 * have the keys in its memory must not be able to read their files, and none may give files away, as no sandbox sees
 * which; the processes beside it may, or start the next one that does. */
static bool is_kept(const struct config *config, enum whose whose, unsigned capability)
{
	if ((int)capability == privileges_mark())
		return true;
	if (config->gateway.keep_capabilities != CHOICE_YES)
		return false;
	if (capability == CAP_DAC_READ_SEARCH)
		return whose == BESIDE || config->keys.process != CHOICE_YES;
	if (capability == CAP_NET_BIND_SERVICE)
		return true;
	if (whose != BESIDE)
		return false;
	for (size_t i = 0; capability == CAP_CHOWN && i < config->listener_count; i++)
		if (config->listeners[i].unix_owner != NULL || config->listeners[i].unix_group != NULL)
			return true;
	return false;
}

/* Empty the bounding set, of this thread and all to come. What is kept becomes inheritable before, as only so a program
 * started later can be given it. Where this is not permitted, PR_SET_NO_NEW_PRIVS still sees to it that no exec gains.
 */
static void drop_bounds(const struct config *config, enum whose whose)
{
	(void)capng_get_caps_process();
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (is_kept(config, whose, i) && capng_have_capability(CAPNG_PERMITTED, i) == 1)
			(void)capng_update(CAPNG_ADD, CAPNG_INHERITABLE, i);
	(void)capng_apply(CAPNG_SELECT_CAPS);
	capng_clear(CAPNG_SELECT_BOUNDS);
	(void)capng_apply(CAPNG_SELECT_BOUNDS);
}

/* Number of capabilities kept, their names in `names`; or -1. */
static int keep_some(const struct config *config, enum whose whose, struct text *names, struct error *error)
{
	unsigned kept[CAP_LAST_CAP + 1] = {0}; /* the sets that hold it */
	int count = 0;

	if (capng_get_caps_process() != 0)
		return error_set(error, "the capabilities of this process cannot be read: %s", strerrordesc_np(errno));
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (is_kept(config, whose, i) && capng_have_capability(CAPNG_PERMITTED, i) == 1)
			kept[i] = CAPNG_EFFECTIVE | CAPNG_PERMITTED |
			          (capng_have_capability(CAPNG_INHERITABLE, i) == 1 ? CAPNG_INHERITABLE : 0u);
	capng_clear(CAPNG_SELECT_CAPS);
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++) {
		if (kept[i] == 0)
			continue;
		(void)capng_update(CAPNG_ADD, (capng_type_t)kept[i], i);
		text_printf(names, "%s%s", count++ > 0 ? "," : "", capng_capability_to_name(i));
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return error_set(error, "capabilities cannot be given up: %s", strerrordesc_np(errno));
	return count;
}

void privileges_drop_thread(void)
{
	thread_drop_capabilities_but(privileges_mark());
}

void privileges_pass_on(bool on)
{
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
	if (!on || geteuid() == 0 || capng_get_caps_process() != 0)
		return;
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (capng_have_capability(CAPNG_PERMITTED, i) == 1)
			(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)i, 0L, 0L);
}

/* --- threads of libuv's pool --- */

static void do_nothing(uv_work_t *work)
{
	(void)work;
}

static void *start_pool(void *unused)
{
	uv_work_t work;
	uv_loop_t loop;

	(void)unused;
	thread_drop_capabilities();
	if (uv_loop_init(&loop) != 0)
		return NULL;
	if (uv_queue_work(&loop, &work, do_nothing, NULL) == 0)
		(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	return NULL;
}

/* The pool makes reports for the control socket. Its threads inherit from whoever uses it first: that is to be a thread
 * that has nothing. */
static int start_pool_without(struct error *error)
{
	pthread_t thread;
	int result = pthread_create(&thread, NULL, start_pool, NULL);

	if (result != 0)
		return error_set(error, "cannot start a thread: %s", strerrordesc_np(result));
	(void)pthread_join(thread, NULL);
	return 0;
}

/* --- the change --- */

static int take_ids(const struct config *config, enum whose whose, const struct account *account, struct error *error)
{
	drop_bounds(config, whose);
	/* Capabilities that are kept must outlive the change; of this thread alone. */
	(void)prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L);
	if (setresgid(account->gid, account->gid, account->gid) != 0 ||
	    setresuid(account->uid, account->uid, account->uid) != 0)
		return error_set(error, "cannot become user %s: %s", account->name, strerrordesc_np(errno));
	(void)prctl(PR_SET_KEEPCAPS, 0L, 0L, 0L, 0L);
	/* The kernel forgets it at a change of the user. */
	nocore();
	return 0;
}

static int leave_root(const struct config *config, const struct account *account, struct error *error)
{
	const char *root = config->gateway.chroot;

	if (privileges_take_groups(account) != 0)
		return error_set(error, "the groups of user %s cannot be taken: %s", account->name, strerrordesc_np(errno));
	if (privileges_hand_over_sockets(config, account, error) != 0)
		return -1;
	if (root != NULL && (chroot(root) != 0 || chdir("/") != 0))
		return error_set(error, "chroot to %s: %s", root, strerrordesc_np(errno));
	if (privileges_hand_over(config, account, error) != 0)
		return -1;
	if (account->uid == 0)
		return setresgid(account->gid, account->gid, account->gid) == 0
		           ? 0
		           : error_set(error, "group %u cannot be taken: %s", (unsigned)account->gid, strerrordesc_np(errno));
	if (take_ids(config, GATEWAY, account, error) != 0)
		return -1;
	return privileges_check_folders(config, account, error);
}

/* "Uid:\t1\t1\t1\t1" or Gid in the status of a thread: are all four this one? */
static bool are_all(const char *status, const char *key, unsigned long id)
{
	const char *at = strstr(status, key);
	char *end;

	if (at == NULL)
		return false;
	at += strlen(key);
	for (int i = 0; i < 4; i++) {
		if (strtoul(at, &end, 10) != id || end == at)
			return false;
		at = end;
	}
	return true;
}

static bool thread_changed(int tasks, const char *name, const struct account *account)
{
	char path[300], status[4096];
	ssize_t got;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/status", name);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT; /* it has ended */
	got = read(fd, status, sizeof(status) - 1);
	close(fd);
	if (got <= 0)
		return false;
	status[got] = '\0';
	return are_all(status, "\nUid:", account->uid) && are_all(status, "\nGid:", account->gid);
}

/* `tasks` was opened before chroot; -1: no /proc here. Closes it. */
static bool all_changed(int tasks, const struct account *account)
{
	DIR *folder = tasks >= 0 ? fdopendir(tasks) : NULL;
	bool changed = true;

	if (folder == NULL) {
		if (tasks >= 0)
			close(tasks);
		return true;
	}
	for (const struct dirent *entry; changed && (entry = readdir(folder)) != NULL;)
		if (entry->d_name[0] != '.')
			changed = thread_changed(dirfd(folder), entry->d_name, account);
	(void)closedir(folder);
	return changed;
}

static int make_sure(int tasks, const struct account *account, struct error *error)
{
	uid_t real, effective, saved;
	bool changed = all_changed(tasks, account);

	if (account->uid == 0)
		return 0;
	if (!changed || getresuid(&real, &effective, &saved) != 0 || real != account->uid || effective != account->uid ||
	    saved != account->uid)
		return error_set(error, "a thread has not become user %s", account->name);
	if (setresuid(0, 0, 0) == 0 || setuid(0) == 0)
		return error_set(error, "the way back to root is open after the change to user %s", account->name);
	return 0;
}

static void say_who(const struct config *config, const struct account *account, const char *capabilities)
{
	struct logline line;

	log_begin(&line, geteuid() == 0 ? MESSAGE_STAYS_ROOT : MESSAGE_RUNS_AS, NULL);
	log_text(&line, "user", account->name);
	log_number(&line, "uid", geteuid());
	log_number(&line, "gid", getegid());
	log_text(&line, "because", account->why);
	log_text(&line, "chroot", config->gateway.chroot);
	log_text(&line, "capabilities", capabilities[0] != '\0' ? capabilities : "none");
	log_text(&line, "worker_capabilities", geteuid() == 0 ? "all" : privileges_mark_name());
	log_end(&line);
}

static int become(const struct config *config, struct account *account, struct error *error)
{
	int tasks;

	if (privileges_find_user(config, account, error) != 0 || privileges_find_group(config, account, error) != 0 ||
	    check_chroot(config, error) != 0)
		return -1;
	tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leave_root(config, account, error) == 0)
		return make_sure(tasks, account, error);
	if (tasks >= 0)
		close(tasks);
	return -1;
}

/* Who it is stays; the configuration may only ask for that. */
static int remain(const struct config *config, struct account *account, struct error *error)
{
	const struct passwd *entry = getpwuid(geteuid());

	account->uid = geteuid();
	account->gid = getegid();
	if (entry != NULL)
		(void)snprintf(account->name, sizeof(account->name), "%s", entry->pw_name);
	else
		(void)snprintf(account->name, sizeof(account->name), "%u", (unsigned)account->uid);
	account->why = "not started as root";
	if ((config->gateway.user != NULL && privileges_find_user(config, account, error) != 0) ||
	    (config->gateway.group != NULL && privileges_find_group(config, account, error) != 0))
		return -1;
	return check_own(config, account, error);
}

static int change(const struct config *config, struct error *error)
{
	struct account account = {.name = ""};
	char buffer[512];
	struct text capabilities;
	int kept;

	text_init(&capabilities, buffer, sizeof(buffer));
	if (privileges_find_mark(config, error) != 0)
		return -1;
	if ((geteuid() == 0 ? become(config, &account, error) : remain(config, &account, error)) != 0)
		return -1;
	if (account.uid == 0) {
		text_puts(&capabilities, "all");
	} else {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
		kept = keep_some(config, GATEWAY, &capabilities, error);
		if (kept < 0 || (kept > 0 && start_pool_without(error) != 0))
			return -1;
	}
	say_who(config, &account, buffer);
	return 0;
}

static int follow(const struct config *config, const struct account *account, struct error *error)
{
	const char *root = config->gateway.chroot;

	if (privileges_take_groups(account) != 0)
		return error_set(error, "the groups of user %s cannot be taken: %s", account->name, strerrordesc_np(errno));
	if (root != NULL && (chroot(root) != 0 || chdir("/") != 0))
		return error_set(error, "chroot to %s: %s", root, strerrordesc_np(errno));
	if (account->uid == 0)
		return setresgid(account->gid, account->gid, account->gid);
	return take_ids(config, BESIDE, account, error);
}

int privileges_follow(const struct config *config, bool with_mark, struct error *error)
{
	struct account account = {.uid = geteuid()};
	char buffer[512];
	struct text names;

	text_init(&names, buffer, sizeof(buffer));
	if (with_mark && privileges_find_mark(config, error) != 0)
		return -1;
	if (geteuid() == 0 && (privileges_find_user(config, &account, error) != 0 ||
	                       privileges_find_group(config, &account, error) != 0 || follow(config, &account, error) != 0))
		return -1;
	if (account.uid == 0)
		return 0;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
	return keep_some(config, BESIDE, &names, error) >= 0 ? 0 : -1;
}

int privileges_drop(const struct config *config, struct error *error)
{
	error->key = NULL;
	if (change(config, error) == 0)
		return 0;
	if (line_of(config, error) > 0)
		return error_prefix(error, "%s:%u", config->file, line_of(config, error));
	return -1;
}
