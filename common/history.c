/* Samples of the last hour and the last day. */
#include "history.h"

#include <stdlib.h>

#include "text.h"

#define HOUR_SAMPLES (3600 / HISTORY_HOUR_STEP_S)
#define DAY_SAMPLES (86400 / HISTORY_DAY_STEP_S)

struct ring {
	uint64_t step_s, until_s; /* until_s 0: nothing was noted yet */
	size_t most, count, next;
	struct history_sample *at;
	struct history_sample before; /* the counts at until_s */
	json_t *shown;                /* the samples as JSON, until there is another; owned */
};

struct history {
	struct ring hour, day;
	struct history_sample hours[HOUR_SAMPLES], days[DAY_SAMPLES];
};

struct history *history_new(void)
{
	struct history *history = calloc(1, sizeof(*history));

	if (history == NULL)
		return NULL;
	history->hour = (struct ring){.step_s = HISTORY_HOUR_STEP_S, .most = HOUR_SAMPLES, .at = history->hours};
	history->day = (struct ring){.step_s = HISTORY_DAY_STEP_S, .most = DAY_SAMPLES, .at = history->days};
	return history;
}

void history_free(struct history *history)
{
	if (history == NULL)
		return;
	json_decref(history->hour.shown);
	json_decref(history->day.shown);
	free(history);
}

static void push(struct ring *ring, const struct history_sample *sample)
{
	struct history_sample *at = &ring->at[ring->next];

	*at = *sample;
	at->refused -= ring->before.refused;
	at->handshakes -= ring->before.handshakes;
	ring->before = *sample;
	ring->next = (ring->next + 1) % ring->most;
	ring->count += ring->count < ring->most;
	json_decref(ring->shown);
	ring->shown = NULL;
}

static void note(struct ring *ring, uint64_t now_s, const struct history_sample *sample)
{
	uint64_t steps = ring->until_s != 0 ? (now_s - ring->until_s) / ring->step_s : 1;

	if (now_s < ring->until_s || steps == 0)
		return;
	ring->until_s = ring->until_s != 0 ? ring->until_s + steps * ring->step_s : now_s;
	if (steps > ring->most)
		steps = ring->most;
	while (steps-- > 0)
		push(ring, sample);
}

void history_note(struct history *history, uint64_t now_s, const struct history_sample *sample)
{
	note(&history->hour, now_s, sample);
	note(&history->day, now_s, sample);
}

static json_t *samples_of(struct ring *ring)
{
	if (ring->shown != NULL)
		return ring->shown;
	ring->shown = json_array();
	for (size_t i = 0; i < ring->count; i++) {
		const struct history_sample *at = &ring->at[(ring->next + ring->most - ring->count + i) % ring->most];

		(void)json_array_append_new(ring->shown,
		                            json_pack("{s:I,s:I,s:I,s:I}", "secured", (json_int_t)at->secured, "clear",
		                                      (json_int_t)at->clear, "refused", (json_int_t)at->refused, "handshakes",
		                                      (json_int_t)at->handshakes));
	}
	/* Half of it would be shown again until the next sample. */
	if (json_array_size(ring->shown) != ring->count) {
		json_decref(ring->shown);
		ring->shown = NULL;
	}
	return ring->shown;
}

static json_t *ring_json(struct ring *ring, uint64_t now_s, uint64_t now_us)
{
	uint64_t ago_us = (now_s > ring->until_s ? now_s - ring->until_s : 0) * 1000000;
	char buffer[40];
	struct text until;

	text_init(&until, buffer, sizeof(buffer));
	text_put_utc(&until, now_us > ago_us ? now_us - ago_us : 0);
	return json_pack("{s:I,s:s,s:O}", "step_s", (json_int_t)ring->step_s, "until", buffer, "samples", samples_of(ring));
}

json_t *history_json(struct history *history, uint64_t now_s, uint64_t now_us)
{
	return json_pack("{s:o,s:o}", "hour", ring_json(&history->hour, now_s, now_us), "day",
	                 ring_json(&history->day, now_s, now_us));
}
