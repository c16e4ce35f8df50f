/* Is a chain of lines whole? Lines go in one by one; the first that does not fit is kept. Knows no file. */
#ifndef VERIFY_H
#define VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain.h"
#include "compiler.h"
#include "text.h"

/* Where a line stands. */
struct verify_place {
	const char *file; /* borrowed */
	uint64_t line;
};

struct verify {
	struct chain chain;       /* the last line that fits */
	struct verify_place last; /* where it stands */
	uint64_t lines, first_seq;
	uint64_t starts, ends; /* lines that say so */
	uint64_t open;         /* starts whose end has not come */
	int64_t last_pid;      /* of the last start */
	bool last_ended;
	uint64_t torn;
	struct chain half; /* a line that is none: seq is its length; 0: there is none */
	struct verify_place half_at;
	struct chain doubt; /* a line whose prev is wrong: it, or the one before, was altered; seq 0: none */
	struct verify_place doubt_at;
	struct chain gap; /* a line whose place is too far on; seq 0: none */
	struct verify_place gap_at;
	bool has_expected, met; /* --expect */
	struct chain expected;
	const char *kind; /* static word: altered, missing, doubled, moved, broken, restarted, unexpected; NULL: whole */
	struct verify_place at; /* of the line that does not fit */
	struct error words;
};

/* The next line, without its line feed. False: what does not fit is known, no more lines are wanted. */
bool verify_line(struct verify *verify, const struct verify_place *at, const char *line, size_t size);

/* There are no more lines. */
void verify_end(struct verify *verify);

/* How many processes started and did not end in order, beside the one that may still run. */
uint64_t verify_unended(const struct verify *verify) MUST_CHECK;

/* "SEQ:DIGEST", what verify has said another time. 0, or -1. */
int verify_expect(struct verify *verify, const char *text) MUST_CHECK;

#endif
