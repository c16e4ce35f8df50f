/* Which warning of what expires is due, and which has been said. */
#include "tlsexpiry.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

#define DAY_S (24 * 3600)
#define SETTING_SIZE 160

/* The steps, from the first to the last. */
static const time_t steps_s[] = {30 * DAY_S, 14 * DAY_S, 7 * DAY_S, 1 * DAY_S, 0};
#define STEPS (sizeof(steps_s) / sizeof(steps_s[0]))

struct said {
	struct said *next;
	char setting[SETTING_SIZE];
	time_t until;
	size_t steps; /* that it has come to */
	bool seen;
};

struct tls_expiries {
	struct said *first;
	time_t now;
	unsigned warnings;
};

struct tls_expiries *tls_expiries_new(void)
{
	return calloc(1, sizeof(struct tls_expiries));
}

void tls_expiries_free(struct tls_expiries *expiries)
{
	if (expiries == NULL)
		return;
	for (struct said *said = expiries->first, *next; said != NULL; said = next) {
		next = said->next;
		free(said);
	}
	free(expiries);
}

/* How many steps have been come to. */
static size_t steps_of(const struct tls_expiry *expiry, time_t now)
{
	time_t lives_s = expiry->until - expiry->from;
	size_t steps = 0;

	while (steps < STEPS && expiry->until - now <= steps_s[steps])
		steps++;
	if (expiry->from != 0 && steps < STEPS && (steps < STEPS - 1 || lives_s <= 2 * DAY_S))
		return 0;
	return steps;
}

static struct said *find(struct tls_expiries *expiries, const struct tls_expiry *expiry)
{
	struct said *said = expiries->first;

	while (said != NULL && (said->until != expiry->until || strcmp(said->setting, expiry->setting) != 0))
		said = said->next;
	if (said != NULL)
		return said;
	said = calloc(1, sizeof(*said));
	if (said == NULL)
		return NULL;
	strncpy(said->setting, expiry->setting, sizeof(said->setting) - 1);
	said->until = expiry->until;
	said->next = expiries->first;
	expiries->first = said;
	return said;
}

static void warn(const struct tls_expiry *expiry, time_t now)
{
	bool over = expiry->until <= now;
	char when[32] = "";
	struct logline line;
	struct tm utc;

	if (gmtime_r(&expiry->until, &utc) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	log_begin(&line, over ? MESSAGE_EXPIRED : MESSAGE_EXPIRES_SOON, NULL);
	log_text(&line, "setting", expiry->setting);
	log_text(&line, "file", expiry->file);
	log_text(&line, "not_after", when);
	if (!over)
		log_number(&line, "days_left", (uint64_t)((expiry->until - now) / DAY_S));
	log_text(&line, "effect", expiry->effect);
	log_end(&line);
}

void tls_expiries_begin(struct tls_expiries *expiries, time_t now)
{
	expiries->now = now;
	expiries->warnings = 0;
	for (struct said *said = expiries->first; said != NULL; said = said->next)
		said->seen = false;
}

void tls_expiries_see(void *context, const struct tls_expiry *expiry)
{
	struct tls_expiries *expiries = context;
	struct said *said = find(expiries, expiry);
	size_t steps = steps_of(expiry, expiries->now);

	if (said == NULL)
		return;
	said->seen = true;
	if (steps <= said->steps)
		return;
	said->steps = steps;
	expiries->warnings++;
	warn(expiry, expiries->now);
}

unsigned tls_expiries_end(struct tls_expiries *expiries)
{
	for (struct said **at = &expiries->first; *at != NULL;) {
		struct said *said = *at;

		if (said->seen) {
			at = &said->next;
			continue;
		}
		*at = said->next;
		free(said);
	}
	return expiries->warnings;
}

unsigned tls_expiries_look(struct tls_expiries *expiries, const struct tls_worker *worker, time_t now)
{
	tls_expiries_begin(expiries, now);
	tls_worker_expiries(worker, tls_expiries_see, expiries);
	return tls_expiries_end(expiries);
}
