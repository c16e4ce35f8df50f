/* Listening sockets: one for each address and worker, opened all or none. */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Bursts of reconnecting clients wait here; the kernel cuts it at net.core.somaxconn. */
#define BACKLOG 4096

static int fault(struct error *error, const struct address *address, const char *what)
{
	char text[ADDRESS_TEXT_SIZE];
	int number = errno;

	(void)address_format(address, text);
	switch (number) {
	case EADDRINUSE:
		return error_set(error,
		                 "%s is in use by another program, or covered by another address of this one: stop it, "
		                 "or listen elsewhere",
		                 text);
	case EADDRNOTAVAIL:
		return error_set(error, "%s is no address of this machine: take one that `ip address` shows", text);
	case EACCES:
		return error_set(error, "%s: %s not permitted: ports below 1024 need CAP_NET_BIND_SERVICE", text, what);
	case EMFILE:
	case ENFILE:
		return error_set(error, "%s: %s: raise the limit of open files (LimitNOFILE=, ulimit -n)", text, what);
	default:
		return error_set(error, "%s: %s: %s", text, what, strerrordesc_np(number));
	}
}

/* A bound socket; with `shared`, other sockets of ours may bind the same address. -1 with `error`. */
static int bind_one(const struct address *asked, const union socket_address *where, bool shared, struct error *error)
{
	int on = 1;
	int fd = socket(where->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fault(error, asked, "socket");
	socket_no_delay(fd, where);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
	    (where->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
	    bind(fd, &where->any, socket_length(where)) != 0) {
		fault(error, asked, "bind");
		close(fd);
		return -1;
	}
	return fd;
}

/* SO_REUSEPORT would share an address in silence with any other process of the same user: a socket without it finds
 * out. It also finds the port where 0 was asked, and keeps it while the others are bound; as it does not listen, no
 * client can fall into it. The descriptor, or -1 with `error`. */
static int probe(struct listener *listener, struct error *error)
{
	socklen_t size = sizeof(listener->bound);
	int fd = bind_one(&listener->asked, &listener->asked.socket, false, error);

	if (fd < 0)
		return -1;
	listener->bound = listener->asked.socket;
	if (getsockname(fd, &listener->bound.any, &size) == 0)
		return fd;
	fault(error, &listener->asked, "getsockname");
	close(fd);
	return -1;
}

/* All are bound before the first listens: the kernel spreads connections over those that listen. */
static int open_sockets(struct listener *listener, struct error *error)
{
	for (unsigned i = 0; i < listener->workers; i++) {
		listener->fds[i] = bind_one(&listener->asked, &listener->bound, true, error);
		if (listener->fds[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < listener->workers; i++)
		if (listen(listener->fds[i], BACKLOG) != 0)
			return fault(error, &listener->asked, "listen");
	return 0;
}

static int open_new(struct listener *listener, struct error *error)
{
	int first = probe(listener, error);
	int result = first >= 0 ? open_sockets(listener, error) : -1;

	if (first >= 0)
		close(first);
	return result;
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->socket_length == b->socket_length && memcmp(&a->socket, &b->socket, a->socket_length) == 0;
}

/* The old one of the address that number `at` of `set` asks for. Port 0 may be asked for several times: the first takes
 * the first, and so on. */
static const struct listener *find_old(const struct listener_set *old, const struct listener_set *set, size_t at)
{
	size_t skip = 0;

	for (size_t i = 0; i < at; i++)
		skip += same_address(&set->at[i].asked, &set->at[at].asked);
	for (size_t i = 0; old != NULL && i < old->count; i++)
		if (same_address(&old->at[i].asked, &set->at[at].asked) && skip-- == 0)
			return &old->at[i];
	return NULL;
}

static int share_old(struct listener *listener, const struct listener *old, struct error *error)
{
	listener->bound = old->bound;
	for (unsigned i = 0; i < listener->workers; i++) {
		listener->fds[i] = fcntl(old->fds[i], F_DUPFD_CLOEXEC, 0);
		if (listener->fds[i] < 0)
			return fault(error, &listener->asked, "dup");
	}
	return 0;
}

static int open_one(struct listener_set *set, const struct address *asked, const struct listener_set *old,
                    unsigned workers, struct error *error)
{
	struct listener *listener = &set->at[set->count];
	const struct listener *same;

	listener->asked = *asked;
	same = find_old(old, set, set->count++);
	listener->workers = workers;
	listener->fds = malloc(workers * sizeof(*listener->fds));
	if (listener->fds == NULL)
		return error_set(error, "not enough memory");
	for (unsigned i = 0; i < workers; i++)
		listener->fds[i] = -1;
	return same != NULL ? share_old(listener, same, error) : open_new(listener, error);
}

int listener_open(struct listener_set *set, const struct config *config, const struct listener_set *old,
                  unsigned workers, struct error *error)
{
	size_t count = 0;

	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < config->listener_count; i++)
		count += config->listeners[i].address.count;
	set->at = calloc(count + 1, sizeof(*set->at));
	set->owner = calloc(count + 1, sizeof(*set->owner));
	if (set->at == NULL || set->owner == NULL) {
		error_set(error, "not enough memory");
		goto err;
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *section = &config->listeners[i];

		for (size_t j = 0; j < section->address.count; j++) {
			set->owner[set->count] = i;
			if (open_one(set, &section->address.at[j], old, workers, error) == 0)
				continue;
			error_prefix(error, "%s:%u: [listener %s] address", config->file, section->place.line, section->place.name);
			goto err;
		}
	}
	return 0;
err:
	listener_close(set);
	return -1;
}

void listener_close(struct listener_set *set)
{
	for (size_t i = 0; set->at != NULL && i < set->count; i++) {
		for (unsigned j = 0; set->at[i].fds != NULL && j < set->at[i].workers; j++)
			if (set->at[i].fds[j] >= 0)
				close(set->at[i].fds[j]);
		free(set->at[i].fds);
	}
	free(set->at);
	free(set->owner);
	memset(set, 0, sizeof(*set));
}

void listener_log(const struct listener_set *set, const struct config *config)
{
	struct logline line;
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < set->count; i++) {
		const struct config_listener *section = &config->listeners[set->owner[i]];

		log_begin(&line, MESSAGE_LISTENING, NULL);
		log_text(&line, "address", socket_format(&set->at[i].bound, text));
		log_text(&line, "listener", section->place.name);
		log_text(&line, "unsecured_connections", unsecured_word((enum unsecured)section->unsecured));
		log_text(&line, "direct", section->direct == CHOICE_YES ? "yes" : "no");
		log_end(&line);
	}
}
