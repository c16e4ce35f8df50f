/* The system calls of Landlock. */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The interface of the kernel (include/uapi/linux/landlock.h), of which headers may know less. */
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_ALL_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)     /* ABI 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define SCOPE_ABSTRACT_SOCKETS (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNALS (UINT64_C(1) << 1)

struct ruleset {
	uint64_t files, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

static uint64_t handled(int abi)
{
	return FS_ALL_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

int landlock_make(int abi, bool scope_sockets, bool scope_signals)
{
	struct ruleset ruleset = {.files = handled(abi)};
	/* A kernel takes a longer structure only where what it does not know is 0. */
	size_t size = abi >= 6 ? sizeof(ruleset) : sizeof(ruleset.files);

	if (abi >= 6)
		ruleset.scoped = (scope_sockets ? SCOPE_ABSTRACT_SOCKETS : 0) | (scope_signals ? SCOPE_SIGNALS : 0);
	return (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0u);
}

static uint64_t access_of(unsigned rights)
{
	uint64_t access = 0;

	if (rights & LANDLOCK_READ)
		access |= FS_READ_FILE | FS_READ_DIR;
	if (rights & LANDLOCK_WRITE)
		access |= FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE;
	if (rights & LANDLOCK_SOCKET)
		access |= FS_READ_DIR | FS_REMOVE_FILE | FS_MAKE_SOCK;
	if (rights & LANDLOCK_DEVICE)
		access |= FS_READ_FILE | FS_WRITE_FILE;
	if (rights & LANDLOCK_FOLDER)
		access |= FS_MAKE_DIR;
	return access;
}

int landlock_permit(int ruleset, int abi, const char *path, unsigned rights)
{
	struct path_beneath rule = {.allowed = access_of(rights) & handled(abi)};
	struct stat status;
	long result = -1;
	int error;

	rule.parent = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return -1;
	if (fstat(rule.parent, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			rule.allowed &= FS_OF_FILES;
		result = rule.allowed == 0 ? 0 : syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0u);
	}
	error = errno;
	close(rule.parent);
	errno = error;
	return (int)result;
}

int landlock_enter(int ruleset)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0)
		return -1;
	return (int)syscall(SYS_landlock_restrict_self, ruleset, 0u);
}
