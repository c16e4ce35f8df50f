/* What of the file system the kernel leaves the key process: to read, where keys and its configuration file are. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler.h"
#include "keyholder_parts.h"
#include "landlock.h"

static int entered; /* the ABI of Landlock; 0: it holds nothing */

/* The folder of a file, as a renewed one takes the place of another; not all that lies below the root for one that lies
 * there. What is not there, or may not be looked at, could not be read before either. */
static int permit(int ruleset, int abi, const char *path)
{
	char folder[PATH_MAX];
	char *slash;

	if (path == NULL || (size_t)snprintf(folder, sizeof(folder), "%s", path) >= sizeof(folder))
		return 0;
	slash = strrchr(folder, '/');
	if (slash != NULL && slash != folder)
		*slash = '\0';
	if (landlock_permit(ruleset, abi, folder, LANDLOCK_READ) == 0)
		return 0;
	return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
}

/* Of OpenSSL: a library context may still have to be made. */
static int permit_library(int ruleset, int abi)
{
	const char *named = secure_getenv("OPENSSL_CONF"), *folder = OPENSSL_info(OPENSSL_INFO_CONFIG_DIR);
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/openssl.cnf", folder != NULL ? folder : "");
	return landlock_permit(ruleset, abi, named != NULL ? named : path, LANDLOCK_READ) == 0 || errno == ENOENT ||
	               errno == ENOTDIR || errno == EACCES
	           ? 0
	           : -1;
}

static int permit_all(int ruleset, int abi, const struct config *config)
{
	int result = permit(ruleset, abi, config->file) | permit_library(ruleset, abi) |
	             permit(ruleset, abi, config->tls.private_key) | permit(ruleset, abi, config->tls.passphrase_file);

	for (size_t i = 0; i < config->certificate_count; i++)
		result |= permit(ruleset, abi, config->certificates[i].private_key) |
		          permit(ruleset, abi, config->certificates[i].passphrase_file);
	return result;
}

static int enter(int abi, const struct config *config)
{
	int ruleset = landlock_make(abi, true, true), result = -1, number;

	if (ruleset < 0)
		return -1;
	if (permit_all(ruleset, abi, config) == 0)
		result = landlock_enter(ruleset);
	number = errno;
	close(ruleset);
	errno = number;
	return result;
}

int keyholder_shut_paths(const struct config *config, struct error *error)
{
	int abi = landlock_abi();

	if (config->gateway.sandbox == SANDBOX_NO || IS_SANITIZED)
		return 0;
	if (abi > 0 && enter(abi, config) == 0) {
		entered = abi;
		return 0;
	}
	if (config->gateway.sandbox != SANDBOX_REQUIRE)
		return 0;
	return error_set(error, "[gateway] sandbox = require: the kernel has no Landlock for the key process: %s",
	                 abi > 0 ? strerrordesc_np(errno) : "it is not there");
}

int keyholder_paths_abi(void)
{
	return entered;
}

/* Landlock forbids to open, and not to ask. */
bool keyholder_is_shut(const char *path)
{
	int fd = entered > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool is_shut = entered > 0 && fd < 0 && errno == EACCES && access(path, R_OK) == 0;

	if (fd >= 0)
		close(fd);
	return is_shut;
}
