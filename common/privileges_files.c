/* Files and unix sockets go to the user that the process becomes. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges_parts.h"

/* Links are not followed and files with several names not taken: in a folder of the user's they may lead anywhere. */
static int hand_over(const char *path, const char *key, const struct account *account, struct error *error)
{
	struct stat status;
	int result = 0;
	int fd = path != NULL ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;

	if (fd < 0)
		return path == NULL || errno == ENOENT ? 0 : error_set(error, "%s = %s: %s", key, path, strerrordesc_np(errno));
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1)
		result = error_set(error, "%s = %s is not a regular file of one name: move it away", key, path);
	else if (status.st_uid != account->uid && fchown(fd, account->uid, account->gid) != 0)
		result = error_set(error, "%s = %s cannot be given to user %s: %s", key, path, account->name,
		                   strerrordesc_np(errno));
	close(fd);
	return result;
}

/* A file that is replaced as a whole needs a folder in which the user may write. */
static int check_folder(const char *path, const char *key, const struct account *account, struct error *error)
{
	char folder[4096];
	char *slash;

	if (path == NULL)
		return 0;
	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		return 0;
	slash[slash == folder] = '\0';
	if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
		return 0;
	error_set(error, "%s = %s: user %s cannot write in %s (%s): make it, and give it to the user (chown %s %s)", key,
	          path, account->name, folder, strerrordesc_np(errno), account->name, folder);
	return error_about(error, key);
}

/* A unix socket that nobody was named for is the process's, and the process is somebody else from now on. */
static int hand_over_socket(const char *path, bool with_group, const struct account *account, struct error *error)
{
	gid_t gid = with_group ? account->gid : (gid_t)-1;
	struct stat status;
	int result = 0;
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode) ||
	    fchownat(fd, "", account->uid, gid, AT_EMPTY_PATH) != 0)
		result =
		    error_set(error, "unix:%s cannot be given to user %s: %s", path, account->name, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

int privileges_hand_over_sockets(const struct config *config, const struct account *account, struct error *error)
{
	struct error ignored;

	if (account->uid == 0)
		return 0;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		for (size_t j = 0; listener->unix_owner == NULL && j < listener->address.count; j++) {
			const struct address *address = &listener->address.at[j];

			if (address->kind == ADDRESS_UNIX &&
			    hand_over_socket(address->socket.local.sun_path, listener->unix_group == NULL, account, error) != 0)
				return -1;
		}
	}
	if (config->control.socket != NULL && hand_over_socket(config->control.socket, true, account, error) != 0)
		return -1;
	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *notifier = &config->notifiers[i];

		if (strcmp(notifier->kind, "socket") == 0 && hand_over_socket(notifier->path, true, account, error) != 0)
			return -1;
		/* Open already; this is for the day when it is opened anew, so that what cannot be given is no error. */
		if (strcmp(notifier->kind, "file") == 0 || strcmp(notifier->kind, "smf") == 0)
			(void)!hand_over(notifier->path, "path", account, &ignored);
	}
	return 0;
}

int privileges_hand_over(const struct config *config, const struct account *account, struct error *error)
{
	return hand_over(config->gateway.ratchet_file, "ratchet_file", account, error) == 0
	           ? hand_over(config->tls.insecure_key_log, "insecure_key_log", account, error)
	           : -1;
}

int privileges_check_folders(const struct config *config, const struct account *account, struct error *error)
{
	return check_folder(config->gateway.ratchet_file, "ratchet_file", account, error);
}

int privileges_take_groups(const struct account *account)
{
	return account->has_entry ? initgroups(account->name, account->gid) : setgroups(0, NULL);
}

typedef int rehearsed(const struct config *config, const struct account *account, struct error *error);

/* In the child: words for what fails, nothing otherwise. */
static void become(const struct config *config, const struct account *account, rehearsed *check, int to)
{
	const char *root = config->gateway.chroot;
	struct error error;

	if (privileges_take_groups(account) != 0 || (root != NULL && (chroot(root) != 0 || chdir("/") != 0)) ||
	    setresgid(account->gid, account->gid, account->gid) != 0 ||
	    setresuid(account->uid, account->uid, account->uid) != 0)
		error_set(&error, "cannot become user %s: %s", account->name, strerrordesc_np(errno));
	else if (check(config, account, &error) == 0)
		return;
	(void)!write(to, error.text, strlen(error.text));
}

static int rehearse(const struct config *config, const struct account *account, rehearsed *check, struct error *error)
{
	struct error words = {.text = ""};
	ssize_t length;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_set(error, "no pipe: %s", strerrordesc_np(errno));
	child = fork();
	if (child == 0) {
		become(config, account, check, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	/* Shorter than PIPE_BUF: it comes as a whole. */
	length = child > 0 ? read(ends[0], words.text, sizeof(words.text) - 1) : -1;
	close(ends[0]);
	if (child < 0 || waitpid(child, NULL, 0) != child || length < 0)
		return error_set(error, "no child process: %s", strerrordesc_np(errno));
	if (length == 0)
		return 0;
	return error_set(error, "%s", words.text);
}

/* Another message says that a folder is not there. */
static int check_folder_that_is_there(const struct config *config, const struct account *account, struct error *error)
{
	return privileges_check_folders(config, account, error) == 0 || errno == ENOENT ? 0 : -1;
}

int privileges_rehearse_folders(const struct config *config, const struct account *account, struct error *error)
{
	return rehearse(config, account, check_folder_that_is_there, error) == 0 ? 0 : error_about(error, "ratchet_file");
}

static int check_readable(const struct config *config, const struct account *account, const char *path,
                          struct error *error)
{
	const bool keeps_none = config->gateway.keep_capabilities == CHOICE_NO;

	if (path == NULL || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 || errno == ENOENT)
		return 0;
	return error_set(error, "[%s: user %s cannot read %s (%s), so %s will fail: make it readable for the user's group",
	                 keeps_none ? "gateway] keep_capabilities = no" : "keys] process = yes", account->name, path,
	                 strerrordesc_np(errno), keeps_none ? "SIGHUP and SIGUSR2" : "SIGHUP");
}

/* Where another process reads them, with all that root may read, the user need not. */
static int check_keys(const struct config *config, const struct account *account, struct error *error)
{
	int result = 0;

	if (config->keys.process == CHOICE_YES && config->gateway.keep_capabilities != CHOICE_NO)
		return 0;
	if (check_readable(config, account, config->tls.private_key, error) != 0 ||
	    check_readable(config, account, config->tls.passphrase_file, error) != 0)
		return -1;
	for (size_t i = 0; i < config->certificate_count && result == 0; i++)
		if (check_readable(config, account, config->certificates[i].private_key, error) != 0 ||
		    check_readable(config, account, config->certificates[i].passphrase_file, error) != 0)
			result = -1;
	return result;
}

static int check_files(const struct config *config, const struct account *account, struct error *error)
{
	const struct config_tls *tls = &config->tls;
	const char *const paths[] = {config->file, tls->certificate, tls->ocsp_response,
	                             tls->ca,      tls->crl,         tls->ticket_keys};
	int result = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && result == 0; i++)
		result = check_readable(config, account, paths[i], error);
	for (size_t i = 0; i < config->certificate_count && result == 0; i++)
		result = check_readable(config, account, config->certificates[i].certificate, error);
	return result == 0 ? check_keys(config, account, error) : -1;
}

int privileges_rehearse_reload(const struct config *config, const struct account *account, struct error *error)
{
	return rehearse(config, account, check_files, error) == 0 ? 0 : error_about(error, "keep_capabilities");
}

int privileges_look_below_chroot(const struct config *config, struct error *error)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s%s%s", config->gateway.chroot != NULL ? config->gateway.chroot : "",
	               config->file[0] == '/' ? "" : "/", config->file);
	if (config->gateway.chroot == NULL || access(path, F_OK) == 0)
		return 0;
	return error_set(error,
	                 "[gateway] chroot: there is no %s: SIGHUP can load nothing; put the configuration and all "
	                 "it names there too",
	                 path);
}
