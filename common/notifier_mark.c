/* The notifier kind `mark`: the kernel knows a secured connection from one in the clear. */
#include "notifier_mark.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notifier.h"

struct mark {
	uint32_t secured, clear;
	atomic_ullong written, dropped;
	atomic_int trouble; /* errno of the last call; 0: it worked */
};

static int set_mark(int fd, uint32_t value)
{
	return setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof(value)) == 0 ? 0 : errno;
}

int notifier_mark_try(void)
{
	/* The kernel asks the same of every family, and this one is there on every machine. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result;

	if (fd < 0)
		return errno;
	result = set_mark(fd, 1);
	close(fd);
	return result;
}

/* Somebody who reads this has a start, a reload or an upgrade that failed, or --check. */
static void explain(int result, char *error, size_t size)
{
	if (result == EPERM)
		(void)snprintf(
		    error, size,
		    "SO_MARK is not permitted: start as root, or with CAP_NET_RAW (before Linux 5.17 CAP_NET_ADMIN) by "
		    "AmbientCapabilities= and CapabilityBoundingSet= of the unit, or by setcap cap_net_raw+ep on the program. "
		    "A "
		    "process that was started without kind = mark has given it up: there it needs a restart");
	else
		(void)snprintf(error, size, "SO_MARK cannot be set: %s", strerrordesc_np(result));
}

static int open_mark(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	int result = notifier_mark_try();
	struct mark *mark;

	if (result != 0) {
		explain(result, error, error_size);
		return -1;
	}
	mark = calloc(1, sizeof(*mark));
	if (mark == NULL) {
		(void)snprintf(error, error_size, "not enough memory");
		return -1;
	}
	mark->secured = options->mark_secured;
	mark->clear = options->mark_clear;
	*state = mark;
	return 0;
}

static int notify_mark(void *state, const struct cci_event *event)
{
	struct mark *mark = state;
	int result = notifier_check(event), trouble;

	if (result != CCI_NOTIFIED)
		return result;
	if (event->type != CCI_HANDSHAKE_DONE && event->type != CCI_UNSECURED)
		return CCI_NOTIFIED;
	trouble =
	    event->fd >= 0 ? set_mark(event->fd, event->type == CCI_HANDSHAKE_DONE ? mark->secured : mark->clear) : EBADF;
	atomic_store_explicit(&mark->trouble, trouble, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(trouble == 0 ? &mark->written : &mark->dropped, 1, memory_order_relaxed);
	return trouble == 0 ? CCI_NOTIFIED : CCI_FAILED;
}

static void close_mark(void *state)
{
	free(state);
}

static void status_mark(void *state, struct cci_notifier_status *status)
{
	struct mark *mark = state;
	int trouble = atomic_load_explicit(&mark->trouble, memory_order_relaxed);

	status->written = atomic_load_explicit(&mark->written, memory_order_relaxed);
	status->dropped = atomic_load_explicit(&mark->dropped, memory_order_relaxed);
	status->failing = trouble != 0;
	if (trouble != 0)
		(void)snprintf(status->error, sizeof(status->error), "SO_MARK: %s", strerrordesc_np(trouble));
}

static bool is_mark(const struct config_notifier *section)
{
	return section->kind != NULL && strcmp(section->kind, notifier_mark_kind.kind) == 0;
}

bool notifier_mark_wanted(const struct config *config)
{
	for (size_t i = 0; i < config->notifier_count; i++)
		if (is_mark(&config->notifiers[i]))
			return true;
	return false;
}

int notifier_mark_check(const struct config *config, config_report *report, void *context)
{
	int result = notifier_mark_wanted(config) ? notifier_mark_try() : 0;
	struct error error;
	char words[sizeof(error.text)];

	if (result == 0)
		return 0;
	explain(result, words, sizeof(words));
	for (size_t i = 0; i < config->notifier_count; i++) {
		const char *name = config->notifiers[i].place.name;

		if (!is_mark(&config->notifiers[i]))
			continue;
		error_set(&error, "[notifier %s] kind = mark: %s", name, words);
		report(context, true, config->file, config_line_of(config, "notifier", name, "kind"), error.text);
	}
	return -1;
}

const struct cci_notifier_kind notifier_mark_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "mark",
    .wants = CCI_WANTS(CCI_HANDSHAKE_DONE) | CCI_WANTS(CCI_UNSECURED),
    .open = open_mark,
    .notify = notify_mark,
    .close = close_mark,
    .status = status_mark,
};
