/* Users and groups by name or number. */
#include "account.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

/* -1 means "leave it" to chown. */
#define HIGHEST_ID (UINT32_MAX - 1)

static int parse_id(const char *text, uint32_t *id, struct error *error)
{
	uint64_t number;

	if (text_to_number(text, 0, HIGHEST_ID, &number, error) != 0)
		return -1;
	*id = (uint32_t)number;
	return 0;
}

static int is_number(const char *text)
{
	return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

int account_user(const char *text, uid_t *uid, struct error *error)
{
	const struct passwd *entry;

	if (is_number(text))
		return parse_id(text, uid, error);
	entry = getpwnam(text);
	if (entry == NULL)
		return error_set(error, "there is no user \"%.64s\" on this machine", text);
	*uid = entry->pw_uid;
	return 0;
}

int account_group(const char *text, gid_t *gid, struct error *error)
{
	const struct group *entry;

	if (is_number(text))
		return parse_id(text, gid, error);
	entry = getgrnam(text);
	if (entry == NULL)
		return error_set(error, "there is no group \"%.64s\" on this machine", text);
	*gid = entry->gr_gid;
	return 0;
}
