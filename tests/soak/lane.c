/* A lane: opens idle links, then new ones in time beside them, and sees that all end well. One thread, one epoll. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

#define EVENTS 256
#define RAMP_WINDOW 48   /* at work at once while there is no rate */
#define WORK_MOST 3000   /* at work at once: what comes due beyond them waits, and its wait is measured */
#define PATIENCE_US 600000000u /* no bound of time: what is not over by then hangs */

/* What is written of a link with an id. */
struct entry {
	uint8_t kind, whole; /* whole: it carried all it should */
	uint32_t up, down;
};

struct lane {
	struct link_host host;
	const struct lane_settings *settings;
	struct lane_counts *counts;
	uint64_t random;
	struct link *first, *last; /* at work */
	size_t working;
	struct link **held;        /* idle, in the order in which they are pinged */
	size_t held_count, next_ping;
	struct entry *entries;
	size_t entry_count, entry_room;
	uint64_t sequence, next_due_us, next_ping_us;
};

static uint64_t draw(struct lane *lane)
{
	lane->random ^= lane->random << 13;
	lane->random ^= lane->random >> 7;
	lane->random ^= lane->random << 17;
	return lane->random;
}

/* Small ones are as frequent as large ones. */
static uint32_t draw_size(struct lane *lane)
{
	uint32_t most = 1u << (draw(lane) % 17);

	return (uint32_t)(draw(lane) % most) + 1;
}

static struct frame draw_frame(struct lane *lane, bool idle)
{
	struct frame frame = {.seed = draw(lane)};

	frame.up = idle ? (uint32_t)(draw(lane) % 512) : draw_size(lane);
	frame.down = idle ? (uint32_t)(draw(lane) % 512) : draw_size(lane);
	frame.flags = !idle && draw(lane) % 8 == 0 ? FRAME_CLOSE : 0;
	return frame;
}

/* In percent, in the order of the table; without a rate each as often as another. */
static enum kind draw_kind(struct lane *lane, bool idle)
{
	static const unsigned mix[KIND_COUNT] = {48, 6, 16, 10, 8, 2, 2, 2, 1, 1, 1, 3};
	static const unsigned idle_mix[KIND_COUNT] = {78, 6, 0, 16};
	unsigned number = (unsigned)(draw(lane) % 100);

	if (!idle && lane->settings->rate <= 0)
		return (enum kind)(draw(lane) % KIND_COUNT);
	for (unsigned i = 0; i < KIND_COUNT; i++) {
		unsigned part = idle ? idle_mix[i] : mix[i];

		if (number < part)
			return (enum kind)i;
		number -= part;
	}
	return KIND_UPGRADE;
}

/* --- links at work --- */

static void append(struct lane *lane, struct link *link)
{
	link->after = NULL;
	link->before = lane->last;
	*(lane->last != NULL ? &lane->last->after : &lane->first) = link;
	lane->last = link;
	lane->working++;
}

static void take_out(struct lane *lane, struct link *link)
{
	*(link->before != NULL ? &link->before->after : &lane->first) = link->after;
	*(link->after != NULL ? &link->after->before : &lane->last) = link->before;
	link->before = link->after = NULL;
	lane->working--;
}

static bool is_at_work(const struct lane *lane, const struct link *link)
{
	return link->before != NULL || link->after != NULL || lane->first == link;
}

static void note(struct lane *lane, const struct link *link)
{
	if (lane->entry_count <= link->sequence) {
		size_t room = lane->entry_room;

		while (room <= link->sequence)
			room = room * 2 + 4096;
		if (room > lane->entry_room) {
			lane->entries = realloc(lane->entries, room * sizeof(*lane->entries));
			if (lane->entries == NULL)
				abort();
			memset(lane->entries + lane->entry_room, 0xff, (room - lane->entry_room) * sizeof(*lane->entries));
			lane->entry_room = room;
		}
		lane->entry_count = link->sequence + 1;
	}
	lane->entries[link->sequence] = (struct entry){.kind = link->said ? (uint8_t)link->kind : UINT8_MAX,
	                                               .whole = !link->lost && link->kind <= KIND_REFUSED,
	                                               .up = link->up,
	                                               .down = link->down};
}

static void on_over(struct link_host *host, struct link *link)
{
	struct lane *lane = host->owner;

	note(lane, link);
	if (is_at_work(lane, link))
		take_out(lane, link);
	if (!link->idle)
		return;
	for (size_t i = 0; i < lane->held_count; i++) {
		if (lane->held[i] != link)
			continue;
		lane->held[i] = lane->held[--lane->held_count];
		lane->counts->idle--;
		return;
	}
}

static bool is_first_rest(const struct link *link)
{
	return link->due_us != 0;
}

static void on_rests(struct link_host *host, struct link *link)
{
	struct lane *lane = host->owner;

	take_out(lane, link);
	if (!is_first_rest(link))
		return;
	link->due_us = 0;
	lane->held[lane->held_count++] = link;
	lane->counts->idle++;
}

static void open_one(struct lane *lane, bool idle, uint64_t due_us)
{
	struct frame frame = draw_frame(lane, idle);
	struct link *link = link_open(&lane->host, draw_kind(lane, idle), idle, lane->sequence++, due_us, &frame);

	if (link != NULL) {
		append(lane, link);
		return;
	}
	lane->counts->lost++;
	(void)fprintf(stderr, "lost: no socket: %s\n", strerror(errno));
}

static void ping(struct lane *lane, struct link *link)
{
	struct frame frame = draw_frame(lane, true);

	append(lane, link);
	link_ping(link, &frame);
}

static void lose_the_late(struct lane *lane, uint64_t now_us)
{
	while (lane->first != NULL && now_us - lane->first->begun_us > PATIENCE_US)
		link_lose(lane->first, "not over after ten minutes");
}

/* One turn: what the sockets have, at most `wait_us` later. */
static void turn(struct lane *lane, uint64_t wait_us)
{
	struct epoll_event events[EVENTS];
	struct timespec wait = {(time_t)(wait_us / 1000000), (long)(wait_us % 1000000) * 1000};
	int count = epoll_pwait2(lane->host.poll, events, EVENTS, &wait, NULL);

	for (int i = 0; i < count; i++)
		link_work(events[i].data.ptr);
	lose_the_late(lane, soak_now_us());
}

/* --- the phases --- */

/* An idle one that still has work to do is passed over. */
static void ping_in_turn(struct lane *lane, uint64_t now_us)
{
	uint64_t between_us = lane->held_count > 0 ? (uint64_t)lane->settings->ping_s * 1000000u / lane->held_count : 1000000u;

	if (lane->held_count == 0)
		lane->next_ping_us = now_us + between_us;
	while (lane->next_ping_us <= now_us && lane->held_count > 0) {
		struct link *link = lane->held[lane->next_ping++ % lane->held_count];

		lane->next_ping_us += between_us;
		if (link->work == NULL)
			ping(lane, link);
	}
}

static void ramp(struct lane *lane)
{
	uint64_t until_us = soak_now_us() + (uint64_t)lane->settings->ramp_s * 1000000u;

	while (soak_now_us() < until_us && lane->counts->idle < lane->settings->idle) {
		while (lane->working < RAMP_WINDOW && lane->counts->idle + lane->working < lane->settings->idle)
			open_one(lane, true, soak_now_us());
		turn(lane, 100000);
	}
	while (lane->first != NULL)
		turn(lane, 100000);
}

static void wait_for_go(struct lane *lane)
{
	lane->next_ping_us = soak_now_us();
	while (!lane->counts->go) {
		ping_in_turn(lane, soak_now_us());
		turn(lane, 10000);
	}
}

/* Poisson arrivals: as clients who know nothing of each other come. */
static uint64_t draw_pause_us(struct lane *lane)
{
	double share = ((double)(draw(lane) >> 11) + 1) / 9007199254740993.0;

	return (uint64_t)(-log(share) * 1e6 / lane->settings->rate);
}

static uint64_t pause_us(const struct lane *lane, uint64_t now_us)
{
	uint64_t next_us = lane->next_due_us < lane->next_ping_us ? lane->next_due_us : lane->next_ping_us;

	if (lane->working >= WORK_MOST)
		return 10000;
	return next_us > now_us ? next_us - now_us : 0;
}

/* Without a rate: a fixed number, as many at work as in the ramp. What memory does then is the gateway's doing alone. */
static void in_turn(struct lane *lane)
{
	while (lane->counts->due < lane->settings->steady) {
		for (; lane->working < RAMP_WINDOW && lane->counts->due < lane->settings->steady; lane->counts->due++)
			open_one(lane, false, soak_now_us());
		turn(lane, 100000);
	}
}

static void in_time(struct lane *lane)
{
	uint64_t now_us = soak_now_us(), until_us = now_us + (uint64_t)lane->settings->steady * 1000000u;

	lane->next_due_us = lane->next_ping_us = now_us;
	while (now_us < until_us) {
		while (lane->next_due_us <= now_us && lane->working < WORK_MOST) {
			lane->counts->due++;
			open_one(lane, false, lane->next_due_us);
			lane->next_due_us += draw_pause_us(lane);
		}
		ping_in_turn(lane, now_us);
		turn(lane, pause_us(lane, now_us));
		now_us = soak_now_us();
	}
	for (; lane->next_due_us < until_us; lane->next_due_us += draw_pause_us(lane)) {
		lane->counts->due++;
		lane->counts->late++;
	}
}

static void steady(struct lane *lane)
{
	/* Agreements and answers of the ramp had no due time. */
	memset(&lane->counts->agreed, 0, sizeof(lane->counts->agreed));
	memset(&lane->counts->answered, 0, sizeof(lane->counts->answered));
	if (lane->settings->rate > 0)
		in_time(lane);
	else
		in_turn(lane);
	while (lane->first != NULL)
		turn(lane, 100000);
}

/* A slow machine has opened none since the certificate was renewed: more until it is seen, or our patience is at its end. */
static void see_certificates(struct lane *lane)
{
	uint64_t until_us = soak_now_us() + PATIENCE_US;

	while (lane->counts->certificates < lane->settings->certificates && soak_now_us() < until_us) {
		open_one(lane, false, soak_now_us());
		while (lane->first != NULL)
			turn(lane, 100000);
	}
}

/* Every idle one carries data once more. */
static void last_pings(struct lane *lane)
{
	uint64_t before = lane->counts->pings, count = lane->held_count;

	for (size_t i = 0; i < lane->held_count; i++) {
		ping(lane, lane->held[i]);
		while (lane->working >= RAMP_WINDOW)
			turn(lane, 100000);
	}
	while (lane->first != NULL)
		turn(lane, 100000);
	if (lane->counts->pings - before != count) {
		lane->counts->lost++;
		(void)fprintf(stderr, "lost: of %llu idle connections %llu answered at the end\n", (unsigned long long)count,
		              (unsigned long long)(lane->counts->pings - before));
	}
}

static void close_all(struct lane *lane)
{
	while (lane->held_count > 0 || lane->first != NULL) {
		while (lane->held_count > 0 && lane->working < RAMP_WINDOW) {
			struct link *link = lane->held[--lane->held_count];

			lane->counts->idle--;
			append(lane, link);
			link_close(link);
		}
		turn(lane, 100000);
	}
}

static bool write_ledger(const struct lane *lane)
{
	FILE *stream = fopen(lane->settings->ledger, "we");

	if (stream == NULL)
		return false;
	for (size_t i = 0; i < lane->entry_count; i++) {
		const struct entry *entry = &lane->entries[i];

		if (entry->kind < KIND_COUNT)
			(void)fprintf(stream, "534f414b%08x%016llx %s %d %u %u\n", lane->settings->run, (unsigned long long)i,
			              kind_word((enum kind)entry->kind), entry->whole, entry->up, entry->down);
	}
	return fclose(stream) == 0;
}

int lane_run(const struct lane_settings *settings, struct lane_counts *counts)
{
	struct lane lane = {.settings = settings, .counts = counts, .random = (uint64_t)settings->run << 20 | 88172645463325252u};

	lane.host = (struct link_host){.counts = counts,
	                               .context = link_context(settings->ca),
	                               .poll = epoll_create1(EPOLL_CLOEXEC),
	                               .port = settings->port,
	                               .number = settings->number,
	                               .run = settings->run,
	                               .over = on_over,
	                               .rests = on_rests,
	                               .owner = &lane};
	lane.held = calloc(settings->idle + 1, sizeof(struct link *));
	if (lane.host.context == NULL || lane.host.poll < 0 || lane.held == NULL)
		return 1;
	ramp(&lane);
	counts->phase = PHASE_RAMPED;
	wait_for_go(&lane);
	counts->phase = PHASE_STEADY;
	steady(&lane);
	see_certificates(&lane);
	counts->phase = PHASE_LAST;
	last_pings(&lane);
	counts->phase = PHASE_CLOSING;
	close_all(&lane);
	counts->phase = PHASE_OVER;
	return write_ledger(&lane) && counts->lost == 0 ? 0 : 1;
}
