/*
 * SMF records of type 119 as z/OS has them for zERT: subtype 11 (a connection) and subtype 12 (all connections of one
 * security session over an interval). Encodes what docs/smf.md describes, framed by the record descriptor word. Pure:
 * keeps nothing, reads no clock, opens no file.
 */
#ifndef SMF_H
#define SMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cci/notifier.h"

#define SMF_DETAIL_SIZE 444  /* of subtype 11, with its TLS section; without: 276 */
#define SMF_SUMMARY_SIZE 380 /* of subtype 12, with its TLS section; without: 344 */
#define SMF_TLS_SIZE 168
#define SMF_TLS_SUMMARY_SIZE 36
#define SMF_SESSION_ID_SIZE 42

/* Whose records they are. Texts are cut to the width of their fields and written in capitals. */
struct smf_origin {
	char system_id[5];  /* header: system id */
	char system[9];     /* identification, as all up to `provider` */
	char stack[9];
	char release[9];
	char component[9];
	char job[9];        /* address space, and job of each connection */
	char job_id[9];
	char user[9];
	char provider[17];  /* of TLS */
	uint16_t asid;
	int32_t offset_s;   /* local time less UTC: headers are in local time */
};

/* What an event says that a record can hold. No pointers: may be kept and copied. */
struct smf_connection {
	uint8_t id[16];
	uint8_t event;       /* enum cci_event_type */
	uint8_t role;        /* enum cci_role */
	bool is_connected;   /* false: of the leg that would have connected, there is no connection (any more) */
	bool is_ip, is_v6;   /* IPv4 in IPv6 counts as IPv4; no IP: addresses and protocol are 0 */
	bool secured, upgraded; /* TLS, and clear bytes came before it */
	uint64_t time_us, started_us; /* since 1970, UTC */
	uint8_t remote[16], local[16]; /* IPv4 in the first four */
	uint16_t remote_port, local_port;
	uint64_t clear_in, clear_out; /* of them before TLS */
	uint64_t bytes_in, bytes_out; /* all: the exchange and the payload, without what TLS adds */
	uint64_t segments_in, segments_out;
	uint8_t tls[SMF_TLS_SIZE]; /* the section, as it is written; zero unless secured */
};

/* Of any version that notifier_check accepts. `origin` names the provider. */
void smf_connection_of(struct smf_connection *connection, const struct smf_origin *origin,
                       const struct cci_event *event);

enum smf_moment {
	SMF_INITIATION = 1,
	SMF_CHANGE = 2,
	SMF_TERMINATION = 3,
	SMF_SHORT = 4 /* ended within ten seconds, and no initiation was written */
};

/* Subtype 11 into `record` (SMF_DETAIL_SIZE bytes), written at `now_us`. An initiation of what turned to TLS after
 * clear bytes is one without protection. Returns its length. */
size_t smf_detail(uint8_t *record, const struct smf_origin *origin, const struct smf_connection *connection,
                  enum smf_moment moment, uint64_t now_us);

/* What makes connections one security session; compared byte by byte. */
struct smf_session {
	uint8_t flags, protection, protocol;
	uint8_t is_rest; /* of more sessions than there is room for: addresses and attributes are 0 */
	uint8_t server[16], client[16], server_port[2];
	uint8_t tls[SMF_TLS_SUMMARY_SIZE]; /* the section, as it is written; zero without protection */
};

/* The session that the connection is part of; with `protected` false, of its clear part. */
void smf_session_of(struct smf_session *session, const struct smf_connection *connection, bool protected);

/* The session that those which have no room are counted under. */
void smf_session_rest(struct smf_session *rest, bool protected);

/* Since the session was first seen. */
struct smf_totals {
	uint32_t connections, partial, short_ones, active;
	uint64_t bytes_in, bytes_out, segments_in, segments_out;
};

enum smf_summary_event { SMF_INTERVAL = 1, SMF_ENABLED = 2, SMF_DISABLED = 3 };

struct smf_summary {
	enum smf_summary_event event;
	bool more_follow;                 /* of the same interval */
	uint64_t interval_us;
	const struct smf_session *session; /* borrowed, as the others; NULL: enabled, disabled */
	const struct smf_totals *start, *end;
};

/* Subtype 12 into `record` (SMF_SUMMARY_SIZE bytes), written at `now_us`. Returns its length. */
size_t smf_summary(uint8_t *record, const struct smf_origin *origin, const struct smf_summary *summary,
                   uint64_t now_us);

/* Every kind of record from one event, for tests that bring arbitrary ones; ends with a NULL name. `record` has
 * SMF_DETAIL_SIZE bytes. */
struct smf_encoder {
	const char *name;
	size_t (*encode)(uint8_t *record, const struct smf_origin *origin, const struct cci_event *event);
};
extern const struct smf_encoder smf_encoders[];

#endif
