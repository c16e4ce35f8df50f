/*
 * SMF records. Even first byte: an event of any content through every encoder; an independent reader (smf_read.c) finds each
 * record whole, its sections within it and apart, and what it says of the event. Odd: events of a few connections and times through the
 * table, with a file that now and then takes nothing: every record is whole, a failed write leaves no trace, and at its end the
 * table has said "enabled" once and first, "disabled" once and last, and holds what it may.
 */
#include "events.h"
#include "smf.h"
#include "smf_read.h"
#include "smf_table.h"

#define SLOTS 6
#define CONNECTIONS 4
#define SESSIONS 3

static void make_origin(struct input *input, struct smf_origin *origin)
{
	memset(origin, 0, sizeof(*origin));
	(void)snprintf(origin->system_id, sizeof(origin->system_id), "%s", input_text(input, 6));
	(void)snprintf(origin->system, sizeof(origin->system), "%s", input_text(input, 12));
	(void)snprintf(origin->stack, sizeof(origin->stack), "%s", input_text(input, 12));
	(void)snprintf(origin->job, sizeof(origin->job), "%s", input_text(input, 12));
	(void)snprintf(origin->user, sizeof(origin->user), "%s", input_text(input, 12));
	(void)snprintf(origin->provider, sizeof(origin->provider), "%s", input_text(input, 20));
	origin->asid = (uint16_t)input_number(input);
	origin->offset_s = (int32_t)(input_number(input) % 100000) - 50000;
}

/* --- one event, every encoder --- */

static void check_certificate(const uint8_t *at)
{
	FUZZ_CHECK(at[7] <= 20, "a serial of %u bytes", at[7]);
	for (size_t i = at[7]; i < 20; i++)
		FUZZ_CHECK(at[8 + i] == 0, "bytes behind the serial");
	FUZZ_CHECK(at[28] <= 2, "kind of time %u", at[28]);
	if (at[28] != 0)
		smf_check_text(at + 29, 15, "not after");
}

static void check_detail(const uint8_t *bytes, const struct smf_record *record, const struct cci_event *event)
{
	const uint8_t *common = bytes + record->common.offset, *tls = bytes + record->tls.offset;

	FUZZ_CHECK(common[0] >= 1 && common[0] <= 4, "event %u", common[0]);
	FUZZ_CHECK(common[1] == (record->tls.size != 0 ? 0x80 : 0), "protection %02x, TLS section of %zu bytes", common[1],
	           record->tls.size);
	FUZZ_CHECK((common[2] & 0x7f) == 0 && common[3] == 0 && (common[4] == 0 || common[4] == 6), "flags, or the protocol");
	FUZZ_CHECK(common[4] == 6 || smf_number(common + 48, 8) + smf_number(common + 64, 8) == 0, "an address without a protocol");
	FUZZ_CHECK((common[2] & 0x80) != 0 || (smf_number(common + 52, 8) == 0 && smf_number(common + 68, 8) == 0), "a long IPv4 address");
	FUZZ_CHECK(memcmp(common + 84, event->connection, 4) == 0, "another connection's id");
	smf_check_text(common + 8, 24, "job");
	if (record->tls.size == 0)
		return;
	FUZZ_CHECK(tls[2] == 2 && tls[3] >= 1 && tls[3] <= 2 && tls[4] >= 1 && tls[4] <= 3 && tls[7] <= 32, "the TLS section");
	for (size_t i = tls[7]; i < 32; i++)
		FUZZ_CHECK(tls[8 + i] == 0, "bytes behind the session id");
	smf_check_text(tls + 40, 22, "provider and suite");
	check_certificate(tls + 72);
	check_certificate(tls + 120);
}

static void check_summary(const uint8_t *bytes, const struct smf_record *record)
{
	const uint8_t *common = bytes + record->common.offset;

	FUZZ_CHECK(common[8] >= 1 && common[8] <= 3, "event %u", common[8]);
	FUZZ_CHECK(common[10] == (record->tls.size != 0 ? 0x80 : 0), "protection %02x, TLS section of %zu bytes", common[10],
	           record->tls.size);
	smf_check_text(common + 11, 16, "job");
	smf_check_text(common + 64, 42, "session id");
	for (size_t i = 28; i < 64 && common[8] != 1; i++)
		FUZZ_CHECK(common[i] == 0, "an address in a record of no session");
	if (record->tls.size != 0)
		smf_check_text(bytes + record->tls.offset + 4, 6, "suite");
}

static void encode_all(struct input *input)
{
	struct event_parts parts;
	struct smf_origin origin;
	struct cci_event event;

	make_event(input, &parts, &event);
	make_origin(input, &origin);
	for (const struct smf_encoder *encoder = smf_encoders; encoder->name != NULL; encoder++) {
		uint8_t *bytes = malloc(SMF_DETAIL_SIZE), again[SMF_DETAIL_SIZE];
		struct smf_record record;
		size_t size;

		FUZZ_CHECK(bytes != NULL, "no memory");
		memset(bytes, 0xa5, SMF_DETAIL_SIZE);
		memset(again, 0x5a, SMF_DETAIL_SIZE);
		size = encoder->encode(bytes, &origin, &event);
		FUZZ_CHECK(size <= SMF_DETAIL_SIZE, "%s: %zu bytes", encoder->name, size);
		FUZZ_CHECK(encoder->encode(again, &origin, &event) == size && memcmp(bytes, again, size) == 0,
		           "%s: bytes of before show", encoder->name);
		smf_read(bytes, size, &record);
		if (record.subtype == 11)
			check_detail(bytes, &record, &event);
		else
			check_summary(bytes, &record);
		free(bytes);
	}
}

/* --- many events, the table --- */

struct tape {
	bool fails, is_over;
	size_t records;
};

static int take_records(void *owner, const uint8_t *bytes, size_t size)
{
	struct tape *tape = owner;

	if (tape->fails)
		return -1;
	FUZZ_CHECK(size > 0, "nothing is written");
	while (size > 0) {
		struct smf_record record;
		size_t length = size >= 4 ? smf_number(bytes, 2) : 0;
		unsigned event;

		FUZZ_CHECK(length > 4 && length <= size, "a record of %zu bytes in %zu", length, size);
		smf_read(bytes, length, &record);
		event = record.subtype == 12 ? bytes[record.common.offset + 8] : 0;
		FUZZ_CHECK((tape->records == 0) == (event == 2), "\"enabled\" is record %zu", tape->records);
		FUZZ_CHECK(!tape->is_over, "a record behind \"disabled\"");
		tape->is_over = event == 3;
		tape->records++;
		bytes += length;
		size -= length;
	}
	return 0;
}

static void check_counts(struct smf_table *table)
{
	struct smf_table_count count;

	smf_table_counts(table, &count);
	FUZZ_CHECK(count.connections <= CONNECTIONS && count.sessions <= SESSIONS + 2, "%llu connections and %llu sessions are held",
	           (unsigned long long)count.connections, (unsigned long long)count.sessions);
}

static void follow(struct input *input)
{
	struct tape tape = {.fails = false};
	struct smf_connection slots[SLOTS];
	struct smf_origin origin;
	struct smf_table *table;
	uint64_t now_us = UINT64_C(1700000000000000) + input_number(input) % 1000000000;

	make_origin(input, &origin);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct event_parts parts;
		struct cci_event event;

		input_close(input); /* texts of the event before */
		make_event(input, &parts, &event);
		event.connection[2] = (uint8_t)i;
		smf_connection_of(&slots[i], &origin, &event);
	}
	table = smf_table_new(&(struct smf_table_options){.origin = &origin, .connections = CONNECTIONS, .sessions = SESSIONS,
	                                                  .interval_us = 60000000, .owner = &tape, .emit = take_records}, now_us);
	FUZZ_CHECK(table != NULL, "no memory");
	smf_table_turn(table, now_us);
	while (input->size > 0) {
		uint8_t what = input_byte(input), more = input_byte(input);
		struct smf_connection *slot = &slots[what % SLOTS];

		tape.fails = more >= 0xf0;
		now_us += (uint64_t)(more % 16) * 1000000;
		switch (what / SLOTS % 4) {
		case 0:
			smf_table_turn(table, now_us);
			break;
		case 1:
			smf_table_forget(table, slot->id, slot->role);
			break;
		default:
			slot->event = (uint8_t)(1 + more / 16 % 7);
			slot->secured = slot->event == CCI_HANDSHAKE_DONE || (slot->event == CCI_CLOSED && slot->secured);
			slot->time_us = now_us;
			FUZZ_CHECK(smf_table_take(table, slot, now_us) == 0 || tape.fails, "an event is not taken");
		}
		check_counts(table);
	}
	tape.fails = false;
	FUZZ_CHECK(smf_table_finish(table, now_us) == 0 && tape.is_over, "there is no \"disabled\"");
	smf_table_free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input;

	input_open(&input, bytes, size);
	if (input_byte(&input) % 2 == 0)
		encode_all(&input);
	else
		follow(&input);
	input_close(&input);
	return 0;
}
