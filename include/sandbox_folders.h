/* The rows of the folders that a gateway in its sandbox may use beside those of its configuration; docs/sandbox.md is
 * made of them. FOLDER(path, rights, why): what is not there is left out; ENVIRONMENT(variable, rights, why): what it
 * names, by colons several. With chroot each path is also permitted below the new root. */
#ifndef SANDBOX_FOLDERS_H
#define SANDBOX_FOLDERS_H

/* clang-format off */
#define SANDBOX_FOLDER_TABLE(FOLDER) \
	FOLDER("/usr", LANDLOCK_READ, "Libraries, time zones, the modules of OpenSSL and of name look-ups.") \
	FOLDER("/lib", LANDLOCK_READ, "The same, where it is no link into /usr.") \
	FOLDER("/lib64", LANDLOCK_READ, "The same.") \
	FOLDER("/etc", LANDLOCK_READ, "resolv.conf, hosts, nsswitch.conf, services, passwd, group, localtime, ssl/openssl.cnf. The whole folder, as each of them is replaced by another file of its name when it changes.") \
	FOLDER("/proc/self", LANDLOCK_READ, "Metrics of the process, and the threads whose user is checked after the start.") \
	FOLDER("/proc/sys", LANDLOCK_READ, "Limits of the kernel that libraries ask for.") \
	FOLDER("/sys/devices/system/cpu", LANDLOCK_READ, "The number of cores.") \
	FOLDER("/sys/fs/cgroup", LANDLOCK_READ, "The memory and the cores that a container leaves.") \
	FOLDER("/dev/null", LANDLOCK_DEVICE, "Descriptors that are kept for bad times.") \
	FOLDER("/dev/urandom", LANDLOCK_READ, "Random numbers where getrandom is missing.") \
	FOLDER("/dev/random", LANDLOCK_READ, "The same.") \
	FOLDER("/run/systemd", LANDLOCK_READ, "The resolv.conf of systemd-resolved, and users that systemd knows.") \
	FOLDER("/run/resolvconf", LANDLOCK_READ, "The resolv.conf that resolvconf writes.") \
	FOLDER("/run/NetworkManager", LANDLOCK_READ, "The resolv.conf that NetworkManager writes.") \
	FOLDER("/run/userdb", LANDLOCK_READ, "Users that systemd knows.") \
	FOLDER("/var/lib/sss", LANDLOCK_READ, "Users and hosts that sssd knows.")

#define SANDBOX_ENVIRONMENT_TABLE(ENVIRONMENT) \
	ENVIRONMENT("RUNTIME_DIRECTORY", LANDLOCK_SOCKET, "RuntimeDirectory= of the unit: a reload may bring unix sockets there.") \
	ENVIRONMENT("LOGS_DIRECTORY", LANDLOCK_WRITE, "LogsDirectory= of the unit: a reload may bring files of events there.") \
	ENVIRONMENT("STATE_DIRECTORY", LANDLOCK_WRITE, "StateDirectory= of the unit: the ratchet.") \
	ENVIRONMENT("CONFIGURATION_DIRECTORY", LANDLOCK_READ, "ConfigurationDirectory= of the unit: a reload may bring certificates there.") \
	ENVIRONMENT("OPENSSL_CONF", LANDLOCK_READ, "Another openssl.cnf.") \
	ENVIRONMENT("OPENSSL_MODULES", LANDLOCK_READ, "Providers of OpenSSL.") \
	ENVIRONMENT("LD_LIBRARY_PATH", LANDLOCK_READ, "Libraries of plug-ins.") \
	ENVIRONMENT("TZDIR", LANDLOCK_READ, "Time zones.")
/* clang-format on */

#endif
