/* SMF records of type 119, subtypes 11 and 12, byte by byte. */
#include "smf.h"

#include <openssl/sha.h>
#include <string.h>
#include <time.h>

#include "ebcdic.h"
#include "smf_tls.h"
#include "text.h"

#define TYPE 119
#define SUBTYPE_DETAIL 11
#define SUBTYPE_SUMMARY 12
#define HEADER_SIZE 24
#define IDENTIFICATION_SIZE 64
#define DETAIL_COMMON_SIZE 128
#define SUMMARY_COMMON_SIZE 204
#define DETAIL_TRIPLETS 7
#define SUMMARY_TRIPLETS 6

#define PROTECTION_TLS 0x80
#define FLAG_V6 0x80
#define FLAG_LOCAL_SERVER 0x40
#define FLAG_LOCAL_CLIENT 0x20
#define PROTOCOL_TCP 6
#define REASON_EVENT 0x08
#define REASON_INTERVAL_LAST 0x80
#define REASON_INTERVAL_MORE 0xc0

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static void put64(uint8_t *at, uint64_t value)
{
	put32(at, (uint32_t)(value >> 32));
	put32(at + 4, (uint32_t)value);
}

/* z/OS has names in capitals. What is no printable ASCII becomes a question mark before it is converted, so that a
 * character is a byte. */
void smf_put_text(uint8_t *at, size_t size, const char *text)
{
	memset(at, SMF_BLANK, size);
	/* cppcheck-suppress arrayIndexOutOfBoundsCond ; a text ends before */
	for (size_t i = 0; i < size && text[i] != '\0'; i++) {
		char c[2] = {text[i], '\0'};

		if (c[0] >= 'a' && c[0] <= 'z')
			c[0] = (char)(c[0] - 'a' + 'A');
		if (c[0] < ' ' || c[0] > '~')
			c[0] = '?';
		(void)!ebcdic_from_utf8(c, at + i, 1);
	}
}

/* --- times --- */

static unsigned packed(unsigned two_digits)
{
	return two_digits / 10 << 4 | two_digits % 10;
}

/* 1/100 s since midnight, and 0cyydddF, c the centuries since 1900. */
static void put_time(uint8_t *at, uint64_t time_us, int32_t offset_s)
{
	time_t seconds = (time_t)(time_us / 1000000) + offset_s;
	struct tm tm;
	unsigned year, day;

	if (time_us == 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year < 0 || tm.tm_year >= 1000) {
		memset(at, 0, 8);
		return;
	}
	year = (unsigned)tm.tm_year;
	day = (unsigned)tm.tm_yday + 1;
	put32(at, (uint32_t)((tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec) * 100 + (uint32_t)(time_us % 1000000 / 10000));
	at[4] = (uint8_t)(year / 100);
	at[5] = (uint8_t)packed(year % 100);
	at[6] = (uint8_t)packed(day / 10);
	at[7] = (uint8_t)(day % 10 << 4 | 0xf);
}

/* --- what every record has --- */

struct layout {
	unsigned subtype, triplets, common_size, tls_size; /* tls_size 0: no such section */
};

static size_t data_at(const struct layout *layout)
{
	return HEADER_SIZE + 4 + 8 * layout->triplets;
}

static size_t size_of(const struct layout *layout)
{
	return data_at(layout) + IDENTIFICATION_SIZE + layout->common_size + layout->tls_size;
}

static void put_triplet(uint8_t *at, size_t offset, size_t size)
{
	put32(at, (uint32_t)offset);
	put16(at + 4, (unsigned)size);
	put16(at + 6, 1);
}

static void put_identification(uint8_t *at, const struct smf_origin *origin, unsigned reason)
{
	smf_put_text(at, 8, origin->system);
	smf_put_text(at + 8, 8, "");
	smf_put_text(at + 16, 8, origin->stack);
	smf_put_text(at + 24, 8, origin->release);
	smf_put_text(at + 32, 8, origin->component);
	smf_put_text(at + 40, 8, origin->job);
	smf_put_text(at + 48, 8, origin->user);
	put16(at + 58, origin->asid);
	at[60] = (uint8_t)reason;
}

/* Everything but the common and the TLS section, all else zero; the common section is returned, and TLS follows it. */
static uint8_t *begin(uint8_t *record, const struct layout *layout, const struct smf_origin *origin, unsigned reason,
                      uint64_t now_us)
{
	size_t identification = data_at(layout), common = identification + IDENTIFICATION_SIZE;
	size_t tls = common + layout->common_size;
	/* Subtype 11 has a triplet for IP filters before that of TLS. */
	size_t tls_triplet = layout->subtype == SUBTYPE_DETAIL ? 52 : 44;

	memset(record, 0, size_of(layout));
	put16(record, (unsigned)size_of(layout));
	record[5] = TYPE;
	put_time(record + 6, now_us, origin->offset_s);
	smf_put_text(record + 14, 4, origin->system_id);
	smf_put_text(record + 18, 4, "");
	put16(record + 22, layout->subtype);
	put16(record + 24, layout->triplets);
	put_triplet(record + 28, identification, IDENTIFICATION_SIZE);
	put_triplet(record + 36, common, layout->common_size);
	if (layout->tls_size != 0)
		put_triplet(record + tls_triplet, tls, layout->tls_size);
	put_identification(record + identification, origin, reason);
	return record + common;
}

/* --- subtype 11 --- */

size_t smf_detail(uint8_t *record, const struct smf_origin *origin, const struct smf_connection *connection,
                  enum smf_moment moment, uint64_t now_us)
{
	bool is_over = moment == SMF_TERMINATION || moment == SMF_SHORT;
	bool protected = connection->secured && !(moment == SMF_INITIATION && connection->upgraded);
	const struct layout layout = {SUBTYPE_DETAIL, DETAIL_TRIPLETS, DETAIL_COMMON_SIZE, protected ? SMF_TLS_SIZE : 0};
	uint8_t *common = begin(record, &layout, origin, REASON_EVENT, now_us);

	common[0] = (uint8_t)moment;
	common[1] = protected ? PROTECTION_TLS : 0;
	common[2] = connection->is_v6 ? FLAG_V6 : 0;
	common[4] = connection->is_ip ? PROTOCOL_TCP : 0;
	smf_put_text(common + 8, 8, origin->job);
	smf_put_text(common + 16, 8, origin->job_id);
	smf_put_text(common + 24, 8, origin->user);
	put_time(common + 32, connection->started_us, 0);
	if (is_over)
		put_time(common + 40, connection->time_us, 0);
	memcpy(common + 48, connection->remote, 16);
	memcpy(common + 64, connection->local, 16);
	put16(common + 80, connection->remote_port);
	put16(common + 82, connection->local_port);
	memcpy(common + 84, connection->id, 4);
	put64(common + 88, connection->bytes_in);
	put64(common + 96, connection->bytes_out);
	put64(common + 104, connection->segments_in);
	put64(common + 112, connection->segments_out);
	if (protected)
		memcpy(common + DETAIL_COMMON_SIZE, connection->tls, SMF_TLS_SIZE);
	return size_of(&layout);
}

/* --- subtype 12 --- */

void smf_session_of(struct smf_session *session, const struct smf_connection *connection, bool protected)
{
	bool is_server = connection->role == CCI_ACCEPTING;

	memset(session, 0, sizeof(*session));
	session->flags = is_server ? FLAG_LOCAL_SERVER : FLAG_LOCAL_CLIENT;
	session->flags |= connection->is_v6 ? FLAG_V6 : 0;
	session->protocol = connection->is_ip ? PROTOCOL_TCP : 0;
	memcpy(session->server, is_server ? connection->local : connection->remote, 16);
	memcpy(session->client, is_server ? connection->remote : connection->local, 16);
	put16(session->server_port, is_server ? connection->local_port : connection->remote_port);
	if (!protected)
		return;
	session->protection = PROTECTION_TLS;
	smf_tls_summary(session->tls, connection->tls);
}

void smf_session_rest(struct smf_session *rest, bool protected)
{
	memset(rest, 0, sizeof(*rest));
	rest->is_rest = 1;
	rest->protection = protected ? PROTECTION_TLS : 0;
}

/* The same session has the same id after a restart too. */
static void put_session_id(uint8_t *at, const struct smf_session *session)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hex[SMF_SESSION_ID_SIZE + 1];
	struct text text;

	if (session->is_rest) {
		smf_put_text(at, SMF_SESSION_ID_SIZE, session->protection != 0 ? "OTHER TLS" : "OTHER CLEAR");
		return;
	}
	(void)SHA256((const unsigned char *)session, sizeof(*session), digest);
	text_init(&text, hex, sizeof(hex));
	text_put_hex(&text, digest, 20);
	smf_put_text(at, SMF_SESSION_ID_SIZE, hex);
}

static void put_totals(uint8_t *at, const struct smf_totals *totals)
{
	put32(at, totals->connections);
	put32(at + 4, totals->partial);
	put32(at + 8, totals->short_ones);
	put32(at + 12, totals->active);
	put64(at + 16, totals->bytes_in);
	put64(at + 24, totals->bytes_out);
	put64(at + 32, totals->segments_in);
	put64(at + 40, totals->segments_out);
}

static void put_session(uint8_t *common, const struct smf_session *session)
{
	common[9] = session->flags;
	common[10] = session->protection;
	common[27] = session->protocol;
	memcpy(common + 28, session->server, 16);
	memcpy(common + 44, session->client, 16);
	memcpy(common + 60, session->server_port, 2);
	memcpy(common + 62, session->server_port, 2);
	put_session_id(common + 64, session);
}

static unsigned reason_of(const struct smf_summary *summary)
{
	if (summary->event != SMF_INTERVAL)
		return REASON_EVENT;
	return summary->more_follow ? REASON_INTERVAL_MORE : REASON_INTERVAL_LAST;
}

size_t smf_summary(uint8_t *record, const struct smf_origin *origin, const struct smf_summary *summary, uint64_t now_us)
{
	const struct smf_session *session = summary->session;
	bool protected = session != NULL && session->protection != 0;
	const struct layout layout = {SUBTYPE_SUMMARY, SUMMARY_TRIPLETS, SUMMARY_COMMON_SIZE,
	                              protected ? SMF_TLS_SUMMARY_SIZE : 0};
	uint8_t *common = begin(record, &layout, origin, reason_of(summary), now_us);

	/* As the time-of-day clock counts: bit 51 is a microsecond. */
	put64(common, summary->interval_us << 12);
	common[8] = (uint8_t)summary->event;
	smf_put_text(common + 11, 8, origin->job);
	smf_put_text(common + 19, 8, origin->user);
	smf_put_text(common + 64, SMF_SESSION_ID_SIZE, "");
	if (session != NULL)
		put_session(common, session);
	if (summary->start != NULL)
		put_totals(common + 108, summary->start);
	if (summary->end != NULL)
		put_totals(common + 156, summary->end);
	if (protected)
		memcpy(common + SUMMARY_COMMON_SIZE, session->tls, SMF_TLS_SUMMARY_SIZE);
	return size_of(&layout);
}

/* --- the table of encoders --- */

static size_t encode_detail(uint8_t *record, const struct smf_origin *origin, const struct cci_event *event,
                            enum smf_moment moment)
{
	struct smf_connection connection;

	smf_connection_of(&connection, origin, event);
	return smf_detail(record, origin, &connection, moment, connection.time_us);
}

static size_t encode_summary(uint8_t *record, const struct smf_origin *origin, const struct cci_event *event,
                             enum smf_summary_event kind)
{
	struct smf_connection connection;
	struct smf_session session;
	struct smf_totals start = {0}, end = {.connections = 1};
	struct smf_summary summary = {.event = kind};

	smf_connection_of(&connection, origin, event);
	smf_session_of(&session, &connection, connection.secured);
	end.bytes_in = connection.bytes_in;
	end.bytes_out = connection.bytes_out;
	if (kind == SMF_INTERVAL)
		summary = (struct smf_summary){kind, false, connection.time_us - connection.started_us, &session, &start, &end};
	return smf_summary(record, origin, &summary, connection.time_us);
}

#define ENCODER(name, how, kind)                                                                                      \
	static size_t name(uint8_t *record, const struct smf_origin *origin, const struct cci_event *event)               \
	{                                                                                                                 \
		return how(record, origin, event, kind);                                                                      \
	}
ENCODER(initiation, encode_detail, SMF_INITIATION)
ENCODER(change, encode_detail, SMF_CHANGE)
ENCODER(termination, encode_detail, SMF_TERMINATION)
ENCODER(short_one, encode_detail, SMF_SHORT)
ENCODER(interval, encode_summary, SMF_INTERVAL)
ENCODER(enabled, encode_summary, SMF_ENABLED)
ENCODER(disabled, encode_summary, SMF_DISABLED)

const struct smf_encoder smf_encoders[] = {{"initiation", initiation},
                                           {"change", change},
                                           {"termination", termination},
                                           {"short", short_one},
                                           {"interval", interval},
                                           {"enabled", enabled},
                                           {"disabled", disabled},
                                           {NULL, NULL}};
