/*
 * A notifier plug-in for ccissl and ccisslgw: each event becomes one datagram to a unix socket, in key=value words, for
 * a program that only has to bind it. It shows all that a plug-in has to care for: never to wait, the three errors,
 * escaping, counting what is lost, and saying how it stands. Needs nothing but the installed header:
 *
 *     cc -std=c11 -O2 -Wall -Wextra -shared -fPIC -o datagram.so datagram.c
 *     install -o root -m 644 datagram.so /usr/local/lib/ccissl/
 *
 *     [notifier observer]
 *     kind = plugin
 *     path = /usr/local/lib/ccissl/datagram.so
 *     argument = /run/observer.sock
 *
 * Listen with: socat -u UNIX-RECV:/run/observer.sock -
 *
 * This example may be used, altered and passed on as you like.
 */
#define _GNU_SOURCE
#include <cci/notifier.h>

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct observer {
	int fd;
	struct sockaddr_un to;
	atomic_ullong written, dropped;
	atomic_int error; /* errno of the last drop; 0: none since one got through */
};

/* A datagram under construction. What does not fit is left out. */
struct words {
	char at[4096];
	size_t used;
};

static void put(struct words *words, const char *format, ...)
{
	size_t room = sizeof(words->at) - words->used;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(words->at + words->used, room, format, arguments);
	va_end(arguments);
	if (length > 0)
		words->used += (size_t)length < room ? (size_t)length : room - 1;
}

/* ` key="value"`. Values may be a stranger's: nothing but printable ASCII without quotes and backslashes stays as it
 * is. */
static void put_text(struct words *words, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	put(words, " %s=\"", key);
	for (; *value != '\0'; value++)
		if (*value < 0x20 || *value > 0x7e || *value == '"' || *value == '\\')
			put(words, "\\x%02x", (unsigned char)*value);
		else
			put(words, "%c", *value);
	put(words, "\"");
}

static const char *word_of(int type)
{
	static const char *const words[] = {
	    "", "handshake-starting", "handshake-done", "handshake-failed", "unsecured", "refused", "closed"};

	return type > 0 && (size_t)type < sizeof(words) / sizeof(words[0]) ? words[type] : "unknown";
}

static void describe(struct words *words, const struct cci_event *event)
{
	put(words, "event=%s time_us=%llu connection=", word_of(event->type), (unsigned long long)event->time_us);
	for (size_t i = 0; i < sizeof(event->connection); i++)
		put(words, "%02x", event->connection[i]);
	put(words, " role=%s", event->role == CCI_ACCEPTING ? "accepting" : "connecting");
	put_text(words, "gateway", event->gateway);
	put_text(words, "listener", event->listener);
	put_text(words, "sysid", event->sysid);
	put_text(words, "rule", event->rule);
	put_text(words, "tls_version", event->tls_version);
	put_text(words, "tls_suite", event->tls_suite);
	put_text(words, "peer_subject", event->peer_subject);
	put_text(words, "reason", event->reason);
	if (event->type == CCI_CLOSED)
		put(words, " secured=%u bytes_in=%llu bytes_out=%llu", event->secured, (unsigned long long)event->bytes_in,
		    (unsigned long long)event->bytes_out);
}

static int open_observer(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	struct observer *observer = calloc(1, sizeof(*observer));

	if (observer == NULL)
		return snprintf(error, error_size, "not enough memory"), -1;
	observer->to.sun_family = AF_UNIX;
	if (options->argument == NULL || strlen(options->argument) >= sizeof(observer->to.sun_path)) {
		snprintf(error, error_size, "argument has to be the path of the observer's socket, of at most %zu characters",
		         sizeof(observer->to.sun_path) - 1);
		free(observer);
		return -1;
	}
	strcpy(observer->to.sun_path, options->argument);
	observer->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (observer->fd < 0) {
		snprintf(error, error_size, "no socket: %s", strerror(errno));
		free(observer);
		return -1;
	}
	*state = observer;
	return 0;
}

/* From all workers at once: no lock is needed, as the kernel takes a datagram as a whole or not at all. */
static int notify_observer(void *state, const struct cci_event *event)
{
	struct observer *observer = state;
	struct words words = {.used = 0};
	int type = 0;
	socklen_t size = sizeof(type);

	if (event->version != CCI_NOTIFIER_VERSION)
		return CCI_BAD_VERSION;
	if (event->size < CCI_EVENT_SIZE_2)
		return CCI_TOO_SHORT;
	if (event->fd >= 0 && (getsockopt(event->fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM))
		return CCI_SOCKET_TYPE;
	describe(&words, event);
	if (sendto(observer->fd, words.at, words.used, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&observer->to,
	           sizeof(observer->to)) < 0) {
		atomic_store(&observer->error, errno); /* nobody listens, or it is slow: lost, counted, never waited for */
		atomic_fetch_add(&observer->dropped, 1);
		return CCI_FAILED;
	}
	atomic_store(&observer->error, 0);
	atomic_fetch_add(&observer->written, 1);
	return CCI_NOTIFIED;
}

static void close_observer(void *state)
{
	struct observer *observer = state;

	close(observer->fd);
	free(observer);
}

static void status_observer(void *state, struct cci_notifier_status *status)
{
	struct observer *observer = state;
	int error = atomic_load(&observer->error);

	status->failing = error != 0;
	status->written = atomic_load(&observer->written);
	status->dropped = atomic_load(&observer->dropped);
	if (error != 0)
		snprintf(status->error, sizeof(status->error), "%s: %s", observer->to.sun_path, strerror(error));
}

const struct cci_notifier_kind cci_notifier_plugin = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "datagram",
    .wants = CCI_WANTS_EVENTS,
    .open = open_observer,
    .notify = notify_observer,
    .close = close_observer,
    .status = status_observer,
};
