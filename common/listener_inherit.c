/* Listening sockets that somebody else has opened. */
#include "listener_inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "listener_unix.h"
#include "log.h"

/* Whoever made it: as if we had. */
static void make_ours(int fd, const union socket_address *bound)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	socket_no_delay(fd, bound);
}

static bool is_dual_stack(int fd, const union socket_address *bound)
{
	int v6_only = 1;
	socklen_t size = sizeof(v6_only);

	return bound->any.sa_family == AF_INET6 &&
	       getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) == 0 && v6_only == 0;
}

/* Learn from the kernel what a descriptor is. One that is no socket has no address. */
static void learn(struct listener *listener, unsigned at, int fd)
{
	socklen_t size = sizeof(listener->bound);

	listener->fds[at] = fd;
	if (getsockname(fd, &listener->bound.any, &size) != 0)
		listener->bound.any.sa_family = AF_UNSPEC;
	make_ours(fd, &listener->bound);
	listener->dual_stack = is_dual_stack(fd, &listener->bound);
	if (listener->asked.kind == ADDRESS_UNIX)
		listener_unix_identify(listener);
}

static int add_passed(struct listener_set *passed, const char *name, int fd, struct error *error)
{
	struct address asked = {.kind = ADDRESS_PASSED};
	struct listener *listener;

	(void)snprintf(asked.host, sizeof(asked.host), "%s", name != NULL ? name : "unknown");
	listener = listener_add(passed, &asked, 0, 1, error);
	if (listener == NULL)
		return -1;
	learn(listener, 0, fd);
	return 0;
}

int listener_take_passed(struct listener_set *passed, struct error *error)
{
	char **names = NULL;
	int count, result = 0;

	memset(passed, 0, sizeof(*passed));
	count = sd_listen_fds_with_names(1, &names);
	if (count < 0)
		return error_set(error, "the sockets passed in LISTEN_FDS cannot be taken: %s", strerrordesc_np(-count));
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = add_passed(passed, names != NULL ? names[i] : NULL, SD_LISTEN_FDS_START + i, error);
		if (names != NULL)
			free(names[i]);
	}
	free(names);
	if (result != 0)
		listener_close(passed);
	return result;
}

static int no_such_name(const struct listener_set *passed, const struct address *asked, struct error *error)
{
	char buffer[256];
	struct text names;

	text_init(&names, buffer, sizeof(buffer));
	for (size_t i = 0; passed != NULL && i < passed->count; i++)
		text_printf(&names, "%s%s", i > 0 ? ", " : "", passed->at[i].asked.host);
	if (passed == NULL || passed->count == 0)
		return error_set(
		    error,
		    "systemd:%.64s: no socket was passed to this process: it has to be started by a socket unit with "
		    "FileDescriptorName=%.64s",
		    asked->host, asked->host);
	return error_set(error, "systemd:%.64s: no socket of this name was passed (FileDescriptorName=): there are %s",
	                 asked->host, buffer);
}

int listener_open_passed(struct listener_set *set, const struct address *asked, size_t owner,
                         const struct listener_set *passed, struct error *error)
{
	size_t before = set->count;

	for (size_t i = 0; passed != NULL && i < passed->count; i++) {
		const struct listener *from = &passed->at[i];
		struct listener *to;

		if (!address_equal(&from->asked, asked))
			continue;
		if (sd_is_socket(from->fds[0], AF_UNSPEC, SOCK_STREAM, 1) <= 0)
			return error_set(
			    error, "systemd:%.64s: descriptor %d is no listening stream socket: use ListenStream= and Accept=no",
			    asked->host, from->fds[0]);
		to = listener_add(set, asked, owner, 1, error);
		if (to == NULL || listener_share(to, from, error) != 0)
			return -1;
		to->dual_stack = from->dual_stack;
	}
	return set->count > before ? 0 : no_such_name(passed, asked, error);
}

static bool is_named(const struct config *config, const struct address *passed)
{
	for (size_t i = 0; i < config->listener_count; i++)
		for (size_t j = 0; j < config->listeners[i].address.count; j++)
			if (address_equal(&config->listeners[i].address.at[j], passed))
				return true;
	return false;
}

void listener_warn_unused(const struct listener_set *passed, const struct config *config)
{
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < passed->count; i++)
		if (!is_named(config, &passed->at[i].asked))
			log_say(MESSAGE_CONFIG_WARNING,
			        "descriptor %d was passed as %s, which is the address of no [listener]: nobody answers there",
			        passed->at[i].fds[0], address_format(&passed->at[i].asked, text));
}

/* --- from one process to the next: a line "SOCKETS ADDRESS" for each listener, or "SOCKETS control ADDRESS" --- */

#define CONTROL "control "
#define LINE_EXTRA (12 + sizeof(CONTROL))

static void pack_one(struct text *words, struct listener_parcel *parcel, const struct listener *listener)
{
	char text[ADDRESS_TEXT_SIZE];

	text_printf(words, "%u %s%s\n", listener->sockets, listener->control ? CONTROL : "",
	            address_format(&listener->asked, text));
	for (unsigned i = 0; i < listener->sockets; i++)
		parcel->fds[parcel->count++] = listener->fds[i];
}

static size_t count_sockets(const struct listener_set *set)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		count += set->at[i].sockets;
	return count;
}

int listener_pack(struct listener_parcel *parcel, const struct listener_set *set, const struct listener_set *passed)
{
	size_t size = (set->count + passed->count) * (ADDRESS_TEXT_SIZE + LINE_EXTRA) + 1;
	struct text words;

	parcel->count = 0;
	parcel->words = malloc(size);
	parcel->fds = malloc((count_sockets(set) + count_sockets(passed) + 1) * sizeof(*parcel->fds));
	if (parcel->words == NULL || parcel->fds == NULL) {
		free(parcel->words);
		free(parcel->fds);
		return -1;
	}
	text_init(&words, parcel->words, size);
	for (size_t i = 0; i < set->count; i++)
		if (set->at[i].asked.kind != ADDRESS_PASSED)
			pack_one(&words, parcel, &set->at[i]);
	for (size_t i = 0; i < passed->count; i++)
		pack_one(&words, parcel, &passed->at[i]);
	return 0;
}

struct parcel_line {
	unsigned sockets;
	bool control;
	struct address asked;
};

/* One line of the words; `at` moves behind it. */
static int parse_line(const char **at, struct parcel_line *parsed, struct error *error)
{
	char line[ADDRESS_TEXT_SIZE + LINE_EXTRA], *space;
	size_t length = strcspn(*at, "\n");
	uint64_t number;

	if (length >= sizeof(line))
		return error_set(error, "a line is too long");
	memcpy(line, *at, length);
	line[length] = '\0';
	*at += length + ((*at)[length] == '\n');
	space = strchr(line, ' ');
	if (space == NULL)
		return error_set(error, "a line has no address");
	*space = '\0';
	if (text_to_number(line, 1, 65536, &number, error) != 0)
		return -1;
	parsed->sockets = (unsigned)number;
	parsed->control = strncmp(++space, CONTROL, strlen(CONTROL)) == 0;
	return address_parse(space + (parsed->control ? strlen(CONTROL) : 0), 0, &parsed->asked, error);
}

static int inherit_one(struct listener_set *set, const struct parcel_line *line, int first, struct error *error)
{
	const struct address *asked = &line->asked;
	struct listener *listener = listener_add(set, asked, 0, line->sockets, error);
	char text[ADDRESS_TEXT_SIZE];

	if (listener == NULL)
		return -1;
	listener->control = line->control;
	for (unsigned i = 0; i < line->sockets; i++) {
		int fd = first + (int)i;

		if (asked->kind != ADDRESS_PASSED && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
			return error_set(error, "descriptor %d is no listening socket", fd);
		/* Or what is opened next would get its number, and be taken for it. */
		if (fcntl(fd, F_GETFD) < 0)
			return error_set(error, "descriptor %d is not there", fd);
		learn(listener, i, fd);
		/* Whoever has taken over the process before could pass one for another, with another policy. */
		if (asked->kind != ADDRESS_PASSED && !address_means(asked, &listener->bound))
			return error_set(error, "descriptor %d is not bound to %s", fd, address_format(asked, text));
	}
	return 0;
}

int listener_inherit(struct listener_set *bound, struct listener_set *passed, const char *words, int first,
                     struct error *error)
{
	memset(bound, 0, sizeof(*bound));
	memset(passed, 0, sizeof(*passed));
	while (words[0] != '\0') {
		struct parcel_line line;

		if (parse_line(&words, &line, error) != 0 ||
		    inherit_one(line.asked.kind == ADDRESS_PASSED ? passed : bound, &line, first, error) != 0) {
			listener_close(bound);
			listener_close(passed);
			return error_prefix(error, "the listening sockets of the process before");
		}
		first += (int)line.sockets;
	}
	return 0;
}
