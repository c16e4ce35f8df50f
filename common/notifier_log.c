/* The notifier kind `log`: one structured line for each event. */
#include "notifier_log.h"

#include "log.h"
#include "notifier.h"
#include "text.h"
#include "address.h"

static int open_log(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	(void)options;
	(void)error;
	(void)error_size;
	*state = NULL;
	return 0;
}

static void close_log(void *state)
{
	(void)state;
}

static enum message message_of(int type)
{
	switch (type) {
	case CCI_HANDSHAKE_STARTING:
		return MESSAGE_HANDSHAKE_STARTING;
	case CCI_HANDSHAKE_DONE:
		return MESSAGE_HANDSHAKE_DONE;
	case CCI_HANDSHAKE_FAILED:
		return MESSAGE_HANDSHAKE_NOT_DONE;
	case CCI_UNSECURED:
		return MESSAGE_UNSECURED;
	case CCI_REFUSED:
		return MESSAGE_REFUSED;
	default:
		return MESSAGE_CLOSED;
	}
}

static void put_socket(struct logline *line, const char *key, const struct sockaddr *address)
{
	char text[ADDRESS_TEXT_SIZE];
	const union socket_address *socket = (const union socket_address *)(const void *)address;

	if (address != NULL)
		log_text(line, key, socket_format(socket, text));
}

static void put_tls(struct logline *line, const struct cci_event *event)
{
	if (event->tls_version == NULL || event->tls_version[0] == '\0')
		return;
	log_text(line, "tls_version", event->tls_version);
	log_text(line, "tls_suite", event->tls_suite);
	log_text(line, "tls_group", event->tls_group);
	log_text(line, "tls_alpn", event->tls_alpn);
	log_text(line, "tls_resumed", event->tls_resumed ? "yes" : "no");
	log_text(line, "peer_subject", event->peer_subject);
	log_text(line, "peer_names", event->peer_names);
	log_text(line, "peer_serial", event->peer_serial);
	log_text(line, "peer_not_after", event->peer_not_after);
	log_text(line, "verify", event->verify);
}

static void put_end(struct logline *line, const struct cci_event *event)
{
	log_text(line, "reason", event->reason);
	log_text(line, "detail", event->detail);
	if (event->type != CCI_CLOSED)
		return;
	log_text(line, "secured", event->secured ? "yes" : "no");
	log_text(line, "confirmed", event->tls_confirmed ? "yes" : "no");
	log_number(line, "bytes_in", event->bytes_in);
	log_number(line, "bytes_out", event->bytes_out);
	log_number(line, "duration_us", event->duration_us);
	log_text(line, "truncated", event->truncated ? "yes" : "no");
}

static int notify_log(void *state, const struct cci_event *event)
{
	struct logline line;
	struct text text;
	char conn[2 * sizeof(event->connection) + 1];
	int result = notifier_check(event);

	(void)state;
	if (result != CCI_NOTIFIED || !log_wanted(message_of(event->type)))
		return result;
	text_init(&text, conn, sizeof(conn));
	text_put_hex(&text, event->connection, sizeof(event->connection));
	log_begin(&line, message_of(event->type), conn);
	log_text(&line, "role", event->role == CCI_ACCEPTING ? "accepting" : "connecting");
	put_socket(&line, "remote", event->remote);
	put_socket(&line, "local", event->local);
	log_text(&line, event->role == CCI_ACCEPTING ? "listener" : "peer", event->listener);
	log_text(&line, "rule", event->rule);
	log_text(&line, "policy", event->policy);
	log_text(&line, "sysid", event->sysid);
	log_text(&line, "target", event->target);
	log_text(&line, "agent", event->agent);
	log_number(&line, "clear_in", event->clear_in);
	log_number(&line, "clear_out", event->clear_out);
	put_tls(&line, event);
	put_end(&line, event);
	log_end(&line);
	return CCI_NOTIFIED;
}

const struct cci_notifier_kind notifier_log_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "log",
    .open = open_log,
    .notify = notify_log,
    .close = close_log,
};
