/* Files and unix sockets go to the user that the process becomes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
		result = error_set(error, "%s = %s cannot be given to user %s: %s", key, path, account->name, strerrordesc_np(errno));
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
	return error_set(error, "%s = %s: user %s cannot write in %s (%s): make it, and give it to the user (chown %s %s)", key,
	                 path, account->name, folder, strerrordesc_np(errno), account->name, folder);
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
		result = error_set(error, "unix:%s cannot be given to user %s: %s", path, account->name, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

int privileges_hand_over_sockets(const struct config *config, const struct account *account, struct error *error)
{
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
