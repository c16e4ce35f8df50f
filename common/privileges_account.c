/* Whom the configuration means. */
#include "privileges_parts.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

static bool is_number(const char *text, unsigned *number)
{
	uint64_t value;
	struct error ignored;

	/* The last one means "leave as it is" to the kernel. */
	if (text_to_number(text, 0, UINT32_MAX - 1, &value, &ignored) != 0)
		return false;
	*number = (unsigned)value;
	return true;
}

static void take_entry(struct account *account, const struct passwd *entry)
{
	account->has_entry = true;
	(void)snprintf(account->name, sizeof(account->name), "%s", entry->pw_name);
	account->uid = entry->pw_uid;
	account->gid = entry->pw_gid;
}

static int find_default(struct account *account, struct error *error)
{
	const struct passwd *entry = getpwnam("ccissl");

	account->why = "user is not set: ccissl is there";
	if (entry == NULL) {
		entry = getpwnam("nobody");
		account->why = "user is not set, and there is no user ccissl";
	}
	if (entry == NULL) {
		error_set(error,
		          "[gateway] user is not set, and there is neither a user ccissl nor nobody: make the first (useradd "
		          "--system ccissl), or set user");
		return error_about(error, "user");
	}
	take_entry(account, entry);
	return 0;
}

int privileges_find_user(const struct config *config, struct account *account, struct error *error)
{
	const char *user = config->gateway.user;
	const struct passwd *entry;
	unsigned number;

	if (user == NULL)
		return find_default(account, error);
	account->why = "user";
	entry = getpwnam(user);
	if (entry == NULL && is_number(user, &number)) {
		(void)snprintf(account->name, sizeof(account->name), "%s", user);
		account->uid = (uid_t)number;
		entry = getpwuid(account->uid);
		if (entry == NULL && config->gateway.group == NULL) {
			error_set(error, "[gateway] user = %s has no entry that names its group: set group too", user);
			return error_about(error, "user");
		}
		if (entry == NULL)
			return 0;
	}
	if (entry == NULL) {
		error_set(error, "[gateway] user = %s: there is no such user: make it (useradd --system %s), or name another",
		          user, user);
		return error_about(error, "user");
	}
	take_entry(account, entry);
	return 0;
}

int privileges_find_group(const struct config *config, struct account *account, struct error *error)
{
	const char *group = config->gateway.group;
	const struct group *entry = group != NULL ? getgrnam(group) : NULL;
	unsigned number;

	if (entry != NULL) {
		account->gid = entry->gr_gid;
	} else if (group != NULL) {
		if (!is_number(group, &number)) {
			error_set(error,
			          "[gateway] group = %s: there is no such group: make it (groupadd --system %s), or name another",
			          group, group);
			return error_about(error, "group");
		}
		account->gid = (gid_t)number;
	}
	return 0;
}
