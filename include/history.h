/*
 * How many connections were secured and clear over the last hour and the last day, for the chart: fixed rings of
 * samples that are pushed. Knows no clock but the one it is told. One thread only.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <jansson.h>
#include <stdint.h>

#include "compiler.h"

#define HISTORY_HOUR_STEP_S 5
#define HISTORY_DAY_STEP_S 60

struct history;

/* What there is now; the last two are counts that only grow. */
struct history_sample {
	uint64_t secured, clear;
	uint64_t refused, handshakes;
};

/* Empty. NULL without memory. */
struct history *history_new(void) MUST_CHECK;
void history_free(struct history *history);

/* It is `now_s` (of a clock that does not jump), and things stand so. To be called every second or so: a sample is
 * taken whenever its time has come. Where nobody called for longer than a step, the steps missed are as this one, with
 * all counted in the first. */
void history_note(struct history *history, uint64_t now_s, const struct history_sample *sample);

/* {"hour":{"step_s":5,"until":"...","samples":[{"secured","clear","refused","handshakes"},...]},"day":{...}}: oldest
 * first, refused and handshakes being those of the step. `now_us` is UTC, `now_s` the same time by the other clock. The
 * caller owns the reference. NULL without memory. */
json_t *history_json(struct history *history, uint64_t now_s, uint64_t now_us) MUST_CHECK;

#endif
