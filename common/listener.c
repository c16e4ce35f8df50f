/* Listening sockets, opened all or none. */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "binding.h"
#include "listener_inherit.h"
#include "listener_unix.h"
#include "log.h"

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
static int bind_one(const struct listener *listener, const union socket_address *where, bool shared,
                    struct error *error)
{
	int on = 1, v6_only = !listener->dual_stack;
	int fd = socket(where->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fault(error, &listener->asked, "socket");
	socket_no_delay(fd, where);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
	    (where->any.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0) ||
	    binding_bind(fd, &where->any, socket_length(where)) != 0) {
		fault(error, &listener->asked, "bind");
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
	int fd = bind_one(listener, &listener->asked.socket, false, error);

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
	for (unsigned i = 0; i < listener->sockets; i++) {
		listener->fds[i] = bind_one(listener, &listener->bound, true, error);
		if (listener->fds[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < listener->sockets; i++)
		if (binding_listen(listener->fds[i], LISTENER_BACKLOG) != 0)
			return fault(error, &listener->asked, "listen");
	return 0;
}

static int open_ip(struct listener *listener, struct error *error)
{
	int first = probe(listener, error);
	int result = first >= 0 ? open_sockets(listener, error) : -1;

	if (first >= 0)
		close(first);
	return result;
}

static bool is_for(const struct listener *listener, const struct address *asked, bool control)
{
	return listener->control == control && address_equal(&listener->asked, asked);
}

/* The old one of the address that comes next in `set`. Port 0 may be asked for several times: the first takes the
 * first, and so on. */
static const struct listener *find_old(const struct listener_set *old, const struct listener_set *set,
                                       const struct address *asked, bool control)
{
	size_t skip = 0;

	for (size_t i = 0; i < set->count; i++)
		skip += is_for(&set->at[i], asked, control);
	for (size_t i = 0; old != NULL && i < old->count; i++)
		if (is_for(&old->at[i], asked, control) && skip-- == 0)
			return &old->at[i];
	return NULL;
}

int listener_share(struct listener *to, const struct listener *from, struct error *error)
{
	to->bound = from->bound;
	to->file = from->file;
	for (unsigned i = 0; i < from->sockets; i++) {
		to->fds[i] = fcntl(from->fds[i], F_DUPFD_CLOEXEC, 0);
		if (to->fds[i] < 0)
			return fault(error, &to->asked, "dup");
	}
	return 0;
}

struct listener *listener_add(struct listener_set *set, const struct address *asked, size_t owner, unsigned sockets,
                              struct error *error)
{
	struct listener *at = realloc(set->at, (set->count + 1) * sizeof(*at)), *listener;
	size_t *owners;

	if (at == NULL)
		goto err;
	set->at = at;
	owners = realloc(set->owner, (set->count + 1) * sizeof(*owners));
	if (owners == NULL)
		goto err;
	set->owner = owners;
	listener = &set->at[set->count];
	memset(listener, 0, sizeof(*listener));
	listener->asked = *asked;
	listener->sockets = sockets;
	listener->fds = malloc(sockets * sizeof(*listener->fds));
	if (listener->fds == NULL)
		goto err;
	for (unsigned i = 0; i < sockets; i++)
		listener->fds[i] = -1;
	set->owner[set->count++] = owner;
	return listener;
err:
	error_set(error, "not enough memory");
	return NULL;
}

/* What listener_open opens from. */
struct sources {
	const struct config *config;
	const struct listener_set *old, *passed;
};

static int open_one(struct listener_set *set, const struct sources *from, size_t owner, const struct address *asked,
                    struct error *error)
{
	const struct config_listener *section = &from->config->listeners[owner];
	const struct listener *same = find_old(from->old, set, asked, false);
	struct listener *listener;
	unsigned sockets = asked->kind == ADDRESS_UNIX ? 1 : set->workers;
	char text[ADDRESS_TEXT_SIZE];

	if (asked->kind == ADDRESS_PASSED)
		return listener_open_passed(set, asked, owner, from->passed, error);
	listener = listener_add(set, asked, owner, same != NULL ? same->sockets : sockets, error);
	if (listener == NULL)
		return -1;
	listener->dual_stack = asked->socket.any.sa_family == AF_INET6 && section->dual_stack == CHOICE_YES;
	if (same != NULL && same->dual_stack != listener->dual_stack)
		return error_set(error, "%s: dual_stack cannot change while it is listened on: restart",
		                 address_format(asked, text));
	if (same != NULL)
		return listener_share(listener, same, error);
	return asked->kind == ADDRESS_UNIX ? listener_unix_open(listener, section, error) : open_ip(listener, error);
}

int listener_open(struct listener_set *set, const struct config *config, const struct listener_set *old,
                  const struct listener_set *passed, unsigned workers, struct error *error)
{
	struct sources from = {config, old, passed};

	memset(set, 0, sizeof(*set));
	set->workers = workers;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *section = &config->listeners[i];

		for (size_t j = 0; j < section->address.count; j++) {
			if (open_one(set, &from, i, &section->address.at[j], error) == 0)
				continue;
			error_prefix(error, "%s:%u: [listener %s] address", config->file, section->place.line, section->place.name);
			listener_remove_files(set, old);
			listener_close(set);
			return -1;
		}
	}
	return 0;
}

int listener_open_control(struct listener_set *set, const struct address *asked, const struct config_listener *section,
                          const struct listener_set *old, struct error *error)
{
	const struct listener *same = find_old(old, set, asked, true);
	struct listener *listener = listener_add(set, asked, 0, 1, error);

	if (listener == NULL)
		return -1;
	listener->control = true;
	if (same != NULL)
		return listener_share(listener, same, error);
	return asked->kind == ADDRESS_UNIX ? listener_unix_open(listener, section, error) : open_ip(listener, error);
}

bool listener_serves(const struct listener *listener, unsigned worker, unsigned workers, unsigned socket)
{
	return listener->sockets >= workers ? socket % workers == worker : worker % listener->sockets == socket;
}

bool listener_is_shared(const struct listener *listener, unsigned workers)
{
	return listener->sockets < workers;
}

static bool has_same(const struct listener_set *set, const struct listener *listener)
{
	for (size_t i = 0; set != NULL && i < set->count; i++)
		if (is_for(&set->at[i], &listener->asked, listener->control))
			return true;
	return false;
}

void listener_remove_files(const struct listener_set *set, const struct listener_set *kept)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->at[i].asked.kind == ADDRESS_UNIX && !has_same(kept, &set->at[i]))
			listener_unix_remove(&set->at[i]);
}

void listener_close(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		for (unsigned j = 0; j < set->at[i].sockets; j++)
			if (set->at[i].fds[j] >= 0)
				close(set->at[i].fds[j]);
		free(set->at[i].fds);
	}
	free(set->at);
	free(set->owner);
	memset(set, 0, sizeof(*set));
}

void listener_permit(const struct listener_set *set, const struct config *config)
{
	struct error error;

	for (size_t i = 0; i < set->count; i++)
		if (set->at[i].asked.kind == ADDRESS_UNIX &&
		    listener_unix_permit(&set->at[i], &config->listeners[set->owner[i]], &error) != 0)
			log_say(MESSAGE_CONFIG_WARNING, "%s", error.text);
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
