/* Events out of the bytes of an input. */
#include "events.h"

#define TEXT_MOST 200

void make_socket_address(struct input *input, union socket_address *address)
{
	memset(address, 0, sizeof(*address));
	switch (input_below(input, 5)) {
	case 0:
		address->any.sa_family = AF_UNIX;
		return;
	case 1:
		socket_set_credentials(address, (unsigned long)input_number(input), (unsigned long)input_number(input));
		return;
	case 2:
		address->v4.sin_family = AF_INET;
		input_bytes(input, &address->v4.sin_addr, 4);
		input_bytes(input, &address->v4.sin_port, 2);
		return;
	case 3:
		address->v6.sin6_family = AF_INET6;
		memcpy(address->v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
		input_bytes(input, address->v6.sin6_addr.s6_addr + 12, 4);
		input_bytes(input, &address->v6.sin6_port, 2);
		return;
	default:
		address->v6.sin6_family = AF_INET6;
		input_bytes(input, &address->v6.sin6_addr, 16);
		input_bytes(input, &address->v6.sin6_port, 2);
		address->v6.sin6_scope_id = input_byte(input);
	}
}

static const char *any_text(struct input *input)
{
	return input_text_or_null(input, TEXT_MOST);
}

/* Words that the code knows, too. */
static const char *word(struct input *input, const char *const *words, unsigned count)
{
	unsigned which = input_below(input, count + 2);

	return which < count ? words[which] : any_text(input);
}

static void make_certificate(struct input *input, struct cci_certificate *certificate)
{
	static const char *const keys[] = {"RSA", "RSA-PSS", "DSA", "EC", "ED25519", "ECDSA"};
	static const char *const digests[] = {"SHA1", "SHA256", "SHA384", ""};
	static const char *const serials[] = {"01", "0A0B0C", "123", "00112233445566778899AABBCCDDEEFF00112233",
	                                      "00112233445566778899AABBCCDDEEFF0011223344"};
	static const char *const ends[] = {"2026-11-24T08:00:00Z", "2050-01-01T00:00:00Z", "1949-12-31T23:59:59Z"};

	memset(certificate, 0, sizeof(*certificate));
	certificate->size = sizeof(*certificate);
	certificate->key_bits = (uint32_t)input_number(input);
	certificate->subject = any_text(input);
	certificate->issuer = any_text(input);
	certificate->names = any_text(input);
	certificate->serial = word(input, serials, sizeof(serials) / sizeof(serials[0]));
	certificate->not_after = word(input, ends, sizeof(ends) / sizeof(ends[0]));
	certificate->key = word(input, keys, sizeof(keys) / sizeof(keys[0]));
	certificate->signature = word(input, keys, sizeof(keys) / sizeof(keys[0]));
	certificate->digest = word(input, digests, sizeof(digests) / sizeof(digests[0]));
}

static void make_numbers(struct input *input, struct cci_event *event)
{
	event->time_us = input_number(input);
	event->started_us = input_number(input);
	event->secured_us = input_number(input);
	event->clear_in = input_number(input);
	event->clear_out = input_number(input);
	event->bytes_in = input_number(input);
	event->bytes_out = input_number(input);
	event->segments_in = input_number(input);
	event->segments_out = input_number(input);
	event->duration_us = input_number(input);
	event->tls_version_number = (uint16_t)input_number(input);
	event->tls_suite_number = (uint16_t)input_number(input);
	event->tls_session_id_size = input_byte(input);
	input_bytes(input, event->tls_session_id, sizeof(event->tls_session_id));
}

static void make_texts(struct input *input, struct cci_event *event)
{
	static const char *const versions[] = {"1.2", "1.3"}, *const starts[] = {"upgrade", "direct"};

	event->gateway = any_text(input);
	event->sysid = any_text(input);
	event->target = any_text(input);
	event->agent = any_text(input);
	event->listener = any_text(input);
	event->rule = any_text(input);
	event->policy = any_text(input);
	event->tls_version = word(input, versions, 2);
	event->tls_start = word(input, starts, 2);
	event->tls_suite = any_text(input);
	event->tls_group = any_text(input);
	event->tls_alpn = any_text(input);
	event->peer_subject = any_text(input);
	event->peer_names = any_text(input);
	event->peer_serial = any_text(input);
	event->peer_not_after = any_text(input);
	event->verify = any_text(input);
	event->reason = any_text(input);
	event->detail = any_text(input);
}

static void make_parts(struct input *input, struct event_parts *parts, struct cci_event *event)
{
	uint8_t there = input_byte(input);

	make_socket_address(input, &parts->remote);
	make_socket_address(input, &parts->local);
	/* No connection has one end in the network and the other beside it. */
	if ((parts->local.any.sa_family == AF_UNIX) != (parts->remote.any.sa_family == AF_UNIX))
		parts->local = parts->remote;
	make_certificate(input, &parts->own);
	make_certificate(input, &parts->peer);
	input_bytes(input, parts->peer_connection, sizeof(parts->peer_connection));
	event->remote = there & 1 ? NULL : &parts->remote.any;
	event->local = there & 2 ? NULL : &parts->local.any;
	event->own_certificate = there & 4 ? NULL : &parts->own;
	event->peer_certificate = there & 8 ? NULL : &parts->peer;
	event->peer_connection = there & 16 ? NULL : parts->peer_connection;
}

void make_event(struct input *input, struct event_parts *parts, struct cci_event *event)
{
	uint8_t flags = input_byte(input);

	memset(event, 0, sizeof(*event));
	event->version = flags & 0x80 ? CCI_NOTIFIER_VERSION_1 : CCI_NOTIFIER_VERSION_2;
	event->size = flags & 0x80 ? CCI_EVENT_SIZE_1 : sizeof(*event);
	event->type = input_byte(input) % 9; /* 0 and 8 are none */
	event->role = flags & 1 ? CCI_CONNECTING : CCI_ACCEPTING;
	event->fd = flags & 2 ? -1 : 0;
	event->secured = flags >> 2 & 1;
	event->truncated = flags >> 3 & 1;
	event->tls_resumed = flags >> 4 & 1;
	event->tls_confirmed = flags >> 5 & 1;
	event->tls_encrypt_then_mac = flags >> 6 & 1;
	input_bytes(input, event->connection, sizeof(event->connection));
	make_numbers(input, event);
	make_parts(input, parts, event);
	make_texts(input, event);
}
