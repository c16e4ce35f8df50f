/* SMF records, read. */
#include "smf_read.h"

#include "ebcdic.h"

#define TRIPLETS_AT 28
#define TRIPLETS_MOST 7

uint64_t smf_number(const uint8_t *at, size_t size)
{
	uint64_t number = 0;

	while (size-- > 0)
		number = number << 8 | *at++;
	return number;
}

void smf_check_text(const uint8_t *at, size_t size, const char *what)
{
	for (size_t i = 0; i < size; i++) {
		char text[8] = "";

		(void)ebcdic_to_utf8(at + i, 1, text, sizeof(text));
		FUZZ_CHECK(text[0] >= ' ' && text[0] <= '~' && text[1] == '\0' && !(text[0] >= 'a' && text[0] <= 'z'),
		           "%s: byte %02x at %zu is no text", what, at[i], i);
	}
}

/* 1/100 s since midnight, and 0cyydddF. Zero: no time. */
static void check_time(const uint8_t *at, const char *what)
{
	unsigned day = (at[6] >> 4) * 100u + (at[6] & 15) * 10u + (at[7] >> 4);

	if (smf_number(at, 8) == 0)
		return;
	FUZZ_CHECK(smf_number(at, 4) < 24 * 360000, "%s: %llu hundredths in a day", what, (unsigned long long)smf_number(at, 4));
	FUZZ_CHECK(at[4] <= 9 && (at[5] >> 4) <= 9 && (at[5] & 15) <= 9 && (at[6] >> 4) <= 3 && (at[6] & 15) <= 9 &&
	               (at[7] >> 4) <= 9 && (at[7] & 15) == 15 && day >= 1 && day <= 366,
	           "%s: %02x%02x%02x%02x is no date", what, at[4], at[5], at[6], at[7]);
}

/* Sections stand one behind the other in any order, without a gap. */
static void check_layout(const struct smf_part *parts, unsigned count, size_t begin, size_t size)
{
	size_t at = begin;

	for (unsigned found = 0; found < count && at < size; found++)
		for (unsigned i = 0; i < count; i++)
			if (parts[i].size != 0 && parts[i].offset == at) {
				at += parts[i].size;
				break;
			}
	FUZZ_CHECK(at == size, "sections end at %zu of %zu, or overlap", at, size);
}

static void take_triplets(const uint8_t *bytes, size_t size, struct smf_part *parts, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *at = bytes + TRIPLETS_AT + 8 * i;

		parts[i] = (struct smf_part){smf_number(at, 4), smf_number(at + 4, 2)};
		if (smf_number(at, 8) == 0)
			continue;
		FUZZ_CHECK(smf_number(at + 6, 2) == 1, "section %u is there %u times", i, (unsigned)smf_number(at + 6, 2));
		FUZZ_CHECK(parts[i].size > 0 && parts[i].offset >= TRIPLETS_AT + 8 * count && parts[i].offset <= size &&
		               parts[i].size <= size - parts[i].offset,
		           "section %u of %zu bytes at %zu lies outside", i, parts[i].size, parts[i].offset);
	}
}

void smf_read(const uint8_t *bytes, size_t size, struct smf_record *record)
{
	struct smf_part parts[TRIPLETS_MOST];
	unsigned count, tls;

	FUZZ_CHECK(size >= TRIPLETS_AT && smf_number(bytes, 2) == size && smf_number(bytes + 2, 2) == 0, "the descriptor word of %zu bytes", size);
	FUZZ_CHECK(bytes[4] == 0 && bytes[5] == 119, "type %u", bytes[5]);
	check_time(bytes + 6, "header");
	smf_check_text(bytes + 14, 8, "header");
	record->subtype = (unsigned)smf_number(bytes + 22, 2);
	count = (unsigned)smf_number(bytes + 24, 2);
	FUZZ_CHECK((record->subtype == 11 && count == 7) || (record->subtype == 12 && count == 6), "subtype %u with %u triplets",
	           record->subtype, count);
	FUZZ_CHECK(smf_number(bytes + 26, 2) == 0 && size >= TRIPLETS_AT + 8 * count, "no room for the triplets");
	take_triplets(bytes, size, parts, count);
	check_layout(parts, count, TRIPLETS_AT + 8 * count, size);
	tls = record->subtype == 11 ? 3 : 2;
	for (unsigned i = 2; i < count; i++)
		FUZZ_CHECK(i == tls || parts[i].size == 0, "section %u is never there", i);
	record->identification = parts[0];
	record->common = parts[1];
	record->tls = parts[tls];
	FUZZ_CHECK(parts[0].size == 64 && parts[1].size == (record->subtype == 11 ? 128 : 204), "sections of %zu and %zu bytes",
	           parts[0].size, parts[1].size);
	FUZZ_CHECK(parts[tls].size == 0 || parts[tls].size == (record->subtype == 11 ? 168 : 36), "TLS of %zu bytes", parts[tls].size);
	smf_check_text(bytes + parts[0].offset, 56, "identification");
	if (record->subtype != 11)
		return;
	check_time(bytes + parts[1].offset + 32, "start");
	check_time(bytes + parts[1].offset + 40, "end");
}
