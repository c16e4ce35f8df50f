/*
 * cci/notifier.h: the security notifier of ccissl and ccisslgw.
 *
 * An observer of the first bytes of a connection takes one that starts in the clear for a clear one, although it turns
 * to TLS a moment later. A notifier is told: on the connection's own descriptor, immediately before the handshake
 * starts, and of everything that matters afterwards. The interface mirrors the ioctl SIOCSHSNOTIFY of z/OS.
 *
 * This header is all that a plug-in (kind = plugin) needs: a shared object that exports
 *
 *     const struct cci_notifier_kind cci_notifier_plugin = { sizeof(cci_notifier_plugin), CCI_NOTIFIER_VERSION, ... };
 *
 * Structures only ever grow at their end, so that `size` says what the writer knew; where the meaning of what is there
 * changes, so does the version.
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
#define CCI_NOTIFIER_VERSION_2 2 /* open takes options; certificates, numbers and the record in the event */
#define CCI_NOTIFIER_VERSION CCI_NOTIFIER_VERSION_2

/* The name of what a plug-in exports. */
#define CCI_NOTIFIER_SYMBOL "cci_notifier_plugin"

enum cci_event_type {
	CCI_HANDSHAKE_STARTING = 1, /* clear bytes have flowed, the handshake starts next; never for a direct TLS start */
	CCI_HANDSHAKE_DONE = 2,
	CCI_HANDSHAKE_FAILED = 3,
	CCI_UNSECURED = 4, /* agreed to go on in the clear */
	CCI_REFUSED = 5,
	CCI_CLOSED = 6,
	CCI_RECORD = 7 /* a session is over: `record` holds all that is known of it. Only for kinds that want it */
};

/* For `wants`: a bit for each type. */
#define CCI_WANTS(type) (UINT32_C(1) << (type))
#define CCI_WANTS_EVENTS UINT32_C(0x7e) /* all but CCI_RECORD */
#define CCI_WANTS_ALL UINT32_C(0xfe)

enum cci_role { CCI_ACCEPTING = 1, CCI_CONNECTING = 2 };

/* What a notifier returns. */
enum cci_notifier_result {
	CCI_NOTIFIED = 0,
	CCI_SOCKET_TYPE = 1, /* as EPROTOTYPE / JrSocketTypeNotSupported: the descriptor is no stream socket */
	CCI_BAD_VERSION = 2, /* as EINVAL / JrInvalidVersion: the version is not supported */
	CCI_TOO_SHORT = 3,   /* as EINVAL / JrInvalidVersion: the structure is shorter than its version says */
	CCI_FAILED = 4,      /* the notifier itself failed: it could not take the event */
	CCI_PENDING = 5      /* it says so later, by `pending` of the event; only where the event has one */
};

/* What a connection waits by for the answer of a notifier. */
struct cci_pending {
	/* Say the result (not CCI_PENDING), once; the event is gone by then. Any thread, and also before `notify` has
	 * returned. */
	void (*answer)(struct cci_pending *pending, int result);
};

/* One of the two certificates of a handshake. Texts of the peer's are untrusted: escape them. NULL or 0: unknown. */
struct cci_certificate {
	uint32_t size;         /* sizeof(struct cci_certificate) of the caller */
	uint32_t key_bits;
	const char *subject;   /* RFC 2253 */
	const char *issuer;    /* RFC 2253 */
	const char *names;     /* subject alternative names, comma separated: DNS:a,IP:b */
	const char *serial;    /* hexadecimal, most significant digit first */
	const char *not_after; /* 2026-11-24T08:00:00Z */
	const char *key;       /* of the subject: "RSA", "RSA-PSS", "DSA", "EC", "ED25519", "ED448" */
	const char *signature; /* with which the issuer signed: "RSA", "RSA-PSS", "DSA", "ECDSA", "ED25519", "ED448" */
	const char *digest;    /* of that signature: "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"; "" where it has none */
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
	uint8_t connection[16];    /* the id under which the session is recorded here; both its descriptors have it */
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
	const char *tls_suite;     /* IANA name */
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
	/* Since version 2. Always */
	uint64_t started_us;       /* when the session began, microseconds since 1970, UTC */
	uint64_t secured_us;       /* when this descriptor's handshake was done; 0: it is not */
	const uint8_t *peer_connection; /* 16 bytes: the id under which the peer records it *; NULL: it said none */
	const char *tls_start;     /* "upgrade" after clear bytes, "direct"; NULL before a handshake */
	/* CCI_HANDSHAKE_DONE, and CCI_CLOSED of a secured connection */
	uint16_t tls_version_number; /* 0x0304 */
	uint16_t tls_suite_number;   /* IANA */
	uint8_t tls_session_id_size; /* up to 32 */
	uint8_t tls_encrypt_then_mac; /* 0 or 1: RFC 7366 was negotiated */
	uint8_t reserved_2[2];
	uint8_t tls_session_id[32];
	const struct cci_certificate *own_certificate;  /* shown by this side; NULL: none */
	const struct cci_certificate *peer_certificate; /* * NULL: none was shown */
	/* CCI_CLOSED */
	uint64_t segments_in;      /* TCP, with data or without; 0: not known */
	uint64_t segments_out;
	/* CCI_RECORD: the closing record of the session, a JSON object in one line. Texts in it are escaped as JSON has it
	 */
	const char *record;
	/* The connection goes on when the event has reached its end (`sync = yes`), and may wait for that: `notify` may
	 * return CCI_PENDING and answer by this, which lives until then. NULL: nobody waits */
	struct cci_pending *pending;
};

/* The part of the structure that a version must have. */
#define CCI_EVENT_SIZE_1 ((uint32_t)(offsetof(struct cci_event, secured) + sizeof(uint32_t)))
#define CCI_EVENT_SIZE_2 ((uint32_t)(offsetof(struct cci_event, record) + sizeof(const char *)))

/* What [notifier NAME] says. Texts are borrowed until open returns; NULL: not said. */
struct cci_notifier_options {
	uint32_t size;           /* sizeof(struct cci_notifier_options) of the caller */
	uint32_t version;        /* CCI_NOTIFIER_VERSION of the caller */
	const char *name;        /* NAME */
	const char *program;     /* "ccissl" or "ccisslgw" */
	const char *gateway;     /* our CCI name */
	const char *path;        /* absolute */
	const char *argument;    /* for a plug-in, as the file has it */
	uint64_t queue_bytes;    /* how much may wait for what takes it */
	uint64_t interval_ms;    /* between two summaries */
	uint64_t mode;           /* permission bits of what is made at `path` */
	uint32_t chain;          /* 0 or 1: each line carries the digest of the one before */
	uint32_t mark_secured, mark_clear; /* SO_MARK */
	uint32_t sync;           /* 0 or 1: events are to outlive a crash of the machine */
};

/* How an instance stands. */
struct cci_notifier_status {
	uint32_t size;           /* sizeof(struct cci_notifier_status) of the caller */
	uint32_t failing;        /* 0 or 1: it cannot take anything now */
	uint64_t queued_bytes, queue_bytes; /* waiting, and how much may */
	uint64_t written;        /* events that reached their end (file, all subscribers...) */
	uint64_t dropped;        /* events that were taken or refused, and will not reach it */
	uint64_t subscribers;
	char error[256];         /* the last trouble, in words; "" */
};

/* A kind of notifier. Calls of `notify` come from every worker thread at once, and must not block. */
struct cci_notifier_kind {
	uint32_t size;    /* sizeof(struct cci_notifier_kind) */
	uint32_t version; /* CCI_NOTIFIER_VERSION that it was built with */
	const char *kind; /* as in `kind = log`; of a plug-in: its name, for the log */
	uint32_t wants;   /* CCI_WANTS(type), or'ed: the events it is called for; 0: CCI_WANTS_EVENTS */
	uint32_t reserved;
	/* Open an instance; *state is handed to the other calls. 0, or -1 with words in `error`. Main thread only, as all
	 * but notify. */
	int (*open)(const struct cci_notifier_options *options, void **state, char *error, size_t error_size);
	/* Take an event. Results: enum cci_notifier_result. Any thread. */
	int (*notify)(void *state, const struct cci_event *event);
	/* No other call runs or follows. What waits may be given some seconds to reach its end. */
	void (*close)(void *state);
	/* Open what is written to once more: it was renamed (SIGHUP). NULL: there is nothing. */
	void (*reopen)(void *state);
	/* How it stands: fill in what is known, the rest is 0. NULL: nothing is known. Any thread. */
	void (*status)(void *state, struct cci_notifier_status *status);
	/* What this instance wants, as `wants`; asked once, after open. NULL: `wants` holds for all instances. */
	uint32_t (*instance_wants)(void *state);
};

/* The part of it that a plug-in of this version must have; what it has more or less is as if it were NULL. */
#define CCI_NOTIFIER_KIND_SIZE_2 ((uint32_t)(offsetof(struct cci_notifier_kind, close) + sizeof(void (*)(void *))))

#ifdef __cplusplus
}
#endif

#endif
