/* A small reader of SMF records of type 119, written from docs/smf.md and sharing nothing with the writer. */
#ifndef SMF_READ_H
#define SMF_READ_H

#include <stdbool.h>

#include "fuzz.h"

struct smf_part {
	size_t offset, size; /* size 0: not there */
};

struct smf_record {
	unsigned subtype;
	struct smf_part identification, common, tls;
};

uint64_t smf_number(const uint8_t *at, size_t size);

/* Every section lies within the record and is told once, none overlaps another, and together they fill it; numbers and texts are
 * of the kinds that the page allows. */
void smf_read(const uint8_t *bytes, size_t size, struct smf_record *record);

/* Printable EBCDIC as the page has it: capitals, digits, blanks, question marks and other printable ASCII. */
void smf_check_text(const uint8_t *at, size_t size, const char *what);

#endif
