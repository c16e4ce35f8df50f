/*
 * cci/notifier.h: the security notifier of ccissl and ccisslgw.
 *
 * An observer of the first bytes of a connection takes one that starts in the clear for a clear one, although it turns
 * to TLS a moment later. A notifier is told: on the connection's own descriptor, immediately before the handshake
 * starts, and of everything that matters afterwards. The interface mirrors the ioctl SIOCSHSNOTIFY of z/OS.
 *
 * The structures only ever grow at their end; `size` and `version` say what the caller knew.
 */
#ifndef CCI_NOTIFIER_H
#define CCI_NOTIFIER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CCI_NOTIFIER_VERSION_1 1
#define CCI_NOTIFIER_VERSION CCI_NOTIFIER_VERSION_1

enum cci_event_type {
	CCI_HANDSHAKE_STARTING = 1, /* clear bytes have flowed, the handshake starts next; never for a direct TLS start */
	CCI_HANDSHAKE_DONE = 2,
	CCI_HANDSHAKE_FAILED = 3,
	CCI_UNSECURED = 4, /* agreed to go on in the clear */
	CCI_REFUSED = 5,
	CCI_CLOSED = 6
};

enum cci_role { CCI_ACCEPTING = 1, CCI_CONNECTING = 2 };

/* What a notifier returns. */
enum cci_notifier_result {
	CCI_NOTIFIED = 0,
	CCI_SOCKET_TYPE = 1, /* as EPROTOTYPE / JrSocketTypeNotSupported: the descriptor is no stream socket */
	CCI_BAD_VERSION = 2, /* as EINVAL / JrInvalidVersion: the version is not supported */
	CCI_TOO_SHORT = 3,   /* as EINVAL / JrInvalidVersion: the structure is shorter than its version says */
	CCI_FAILED = 4       /* the notifier itself failed */
};

/*
 * One event. Pointers are borrowed until the call returns; NULL, 0 or "" where a fact is unknown or does not apply to
 * the type. Every text that came from a peer (marked *) is untrusted: escape it before it goes anywhere.
 */
struct cci_event {
	uint32_t size;    /* sizeof(struct cci_event) of the caller */
	uint32_t version; /* CCI_NOTIFIER_VERSION of the caller */
	int32_t type;     /* enum cci_event_type */
	int32_t role;     /* enum cci_role: this side's part on this descriptor */
	int32_t fd;       /* the connection's descriptor; do not read, write or close; -1 once it is closed */
	uint32_t reserved;
	uint8_t connection[16];    /* the id under which the connection is recorded here */
	uint64_t time_us;          /* of the event, microseconds since 1970, UTC */
	const struct sockaddr *remote;
	const struct sockaddr *local;
	const char *gateway;       /* our CCI name */
	const char *sysid;         /* the peer's CCI name * */
	const char *target;        /* what was asked for * */
	const char *agent;         /* the peer's product * */
	const char *listener;      /* accepting; connecting: the name of the peer */
	const char *rule;          /* the rule that decided, or "" for the listener's own setting */
	const char *policy;        /* never, nonssl, allow, only; connecting: the security offered */
	uint64_t clear_in;         /* bytes received and sent in the clear so far */
	uint64_t clear_out;
	/* CCI_HANDSHAKE_DONE, and CCI_CLOSED of a secured connection */
	const char *tls_version;   /* "1.3" */
	const char *tls_suite;
	const char *tls_group;
	const char *tls_alpn;
	uint32_t tls_resumed;      /* 0 or 1 */
	uint32_t tls_confirmed;    /* 0 or 1: the clear exchange was confirmed inside TLS (CCI_CLOSED) */
	const char *peer_subject;  /* * */
	const char *peer_names;    /* * subject alternative names, comma separated */
	const char *peer_serial;   /* hexadecimal */
	const char *peer_not_after;
	const char *verify;        /* "ok", "no certificate", or why not */
	/* CCI_HANDSHAKE_FAILED, CCI_REFUSED, CCI_CLOSED */
	const char *reason;        /* stable word */
	const char *detail;        /* * words */
	/* CCI_CLOSED */
	uint64_t bytes_in;         /* payload after the exchange, from and to the remote of this descriptor */
	uint64_t bytes_out;
	uint64_t duration_us;
	uint32_t truncated;        /* 0 or 1: a TLS stream ended without close_notify */
	uint32_t secured;          /* 0 or 1 */
};

/* The part of the structure that version 1 must have. */
#define CCI_EVENT_SIZE_1 ((uint32_t)(offsetof(struct cci_event, secured) + sizeof(uint32_t)))

/* A kind of notifier. Calls come from every worker thread at once, and must not block. */
struct cci_notifier_kind {
	uint32_t size;    /* sizeof(struct cci_notifier_kind) */
	uint32_t version; /* CCI_NOTIFIER_VERSION */
	const char *kind; /* as in `kind = log` */
	/* Open an instance called `name`; *state is handed to the other calls. 0, or -1 with words in `error`. */
	int (*open)(const char *name, void **state, char *error, size_t error_size);
	/* Take an event. Results: enum cci_notifier_result. */
	int (*notify)(void *state, const struct cci_event *event);
	void (*close)(void *state);
};

#ifdef __cplusplus
}
#endif

#endif
