/* Connections that never spoke the protocol: counted per source, said once a minute. */
#include "noise.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SOURCES 256
#define PAUSE_MS 60000

struct source {
	struct source_key key;
	char text[ADDRESS_TEXT_SIZE];
	uint64_t unsaid, said_ms;
	bool used;
	enum reason last;
};

struct noise {
	pthread_mutex_t lock;
	struct source sources[SOURCES];
	struct source other; /* what the table cannot hold */
};

struct noise *noise_new(void)
{
	struct noise *noise = calloc(1, sizeof(*noise));

	if (noise == NULL)
		return NULL;
	(void)pthread_mutex_init(&noise->lock, NULL);
	memcpy(noise->other.text, "other", sizeof("other"));
	return noise;
}

void noise_free(struct noise *noise)
{
	if (noise == NULL)
		return;
	(void)pthread_mutex_destroy(&noise->lock);
	free(noise);
}

static void say(struct source *source, uint64_t now_ms)
{
	struct logline line;

	log_begin(&line, MESSAGE_NOISE, NULL);
	log_text(&line, "from", source->text);
	log_number(&line, "count", source->unsaid);
	log_text(&line, "last_reason", reason_word(source->last));
	log_end(&line);
	source->unsaid = 0;
	source->said_ms = now_ms;
}

static bool is_due(const struct source *source, uint64_t now_ms)
{
	return source->unsaid > 0 && (source->said_ms == 0 || now_ms - source->said_ms >= PAUSE_MS);
}

/* The source's place, a free one, or one that has been quiet for a while; else the rest. */
static struct source *place_of(struct noise *noise, const union socket_address *socket, uint64_t now_ms)
{
	struct source_key key;
	struct source *place = &noise->other;
	char *colon;

	source_key_of(socket, &key);
	for (size_t i = 0; i < SOURCES; i++) {
		struct source *source = &noise->sources[i];

		if (source->used && memcmp(&source->key, &key, sizeof(key)) == 0)
			return source;
		if (!source->used || (source->unsaid == 0 && now_ms - source->said_ms >= PAUSE_MS))
			place = source;
	}
	if (place == &noise->other)
		return place;
	*place = (struct source){.key = key, .used = true};
	(void)socket_format(socket, place->text);
	colon = strrchr(place->text, ':');
	if (colon != NULL && socket->any.sa_family != AF_UNIX)
		*colon = '\0';
	return place;
}

void noise_count(struct noise *noise, const union socket_address *socket, enum reason reason, uint64_t now_ms)
{
	struct source *source;

	now_ms += 1; /* 0 means never said */
	(void)pthread_mutex_lock(&noise->lock);
	source = place_of(noise, socket, now_ms);
	source->unsaid++;
	source->last = reason;
	if (is_due(source, now_ms))
		say(source, now_ms);
	(void)pthread_mutex_unlock(&noise->lock);
}

void noise_report(struct noise *noise, uint64_t now_ms)
{
	now_ms += 1;
	(void)pthread_mutex_lock(&noise->lock);
	for (size_t i = 0; i < SOURCES; i++)
		if (noise->sources[i].unsaid > 0)
			say(&noise->sources[i], now_ms);
	if (noise->other.unsaid > 0)
		say(&noise->other, now_ms);
	(void)pthread_mutex_unlock(&noise->lock);
}
