/* A bounded ring of lines, one after the other in one piece of memory: a length, then the bytes. */
#include "eventring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct eventring {
	pthread_mutex_t lock;
	void (*woken)(void *owner);
	void *owner;
	atomic_bool quiet;   /* woken was called, and nobody has taken since */
	uint64_t first, next; /* numbers: of the oldest line that is held, of the next one */
	uint64_t head, tail;  /* byte positions, ever growing: of the oldest line, behind the newest */
	size_t limit;
	unsigned char bytes[];
};

/* Stands before each line. */
typedef uint32_t line_size;

struct eventring *eventring_new(size_t limit_bytes, void (*woken)(void *owner), void *owner)
{
	struct eventring *ring = calloc(1, sizeof(*ring) + limit_bytes);

	if (ring == NULL)
		return NULL;
	(void)pthread_mutex_init(&ring->lock, NULL);
	ring->woken = woken;
	ring->owner = owner;
	ring->limit = limit_bytes;
	ring->first = ring->next = 1;
	return ring;
}

void eventring_free(struct eventring *ring)
{
	if (ring == NULL)
		return;
	(void)pthread_mutex_destroy(&ring->lock);
	free(ring);
}

/* --- bytes round the end --- */

static void put(struct eventring *ring, const void *from, size_t size)
{
	size_t at = (size_t)(ring->tail % ring->limit);
	size_t room = ring->limit - at;
	size_t before = size < room ? size : room;

	memcpy(ring->bytes + at, from, before);
	memcpy(ring->bytes, (const unsigned char *)from + before, size - before);
	ring->tail += size;
}

static void get(const struct eventring *ring, uint64_t position, void *to, size_t size)
{
	size_t at = (size_t)(position % ring->limit);
	size_t room = ring->limit - at;
	size_t before = size < room ? size : room;

	memcpy(to, ring->bytes + at, before);
	memcpy((unsigned char *)to + before, ring->bytes, size - before);
}

static line_size size_at(const struct eventring *ring, uint64_t position)
{
	line_size size;

	get(ring, position, &size, sizeof(size));
	return size;
}

static void drop_oldest(struct eventring *ring)
{
	ring->head += sizeof(line_size) + size_at(ring, ring->head);
	ring->first++;
}

/* --- lines --- */

void eventring_add(struct eventring *ring, const char *line, size_t size)
{
	line_size length = (line_size)size;
	bool fits = size <= UINT32_MAX && size + sizeof(length) <= ring->limit;

	(void)pthread_mutex_lock(&ring->lock);
	if (!fits) {
		/* It takes a number, so that readers miss it; what is older would stand behind the gap, and goes with it. */
		ring->head = ring->tail;
		ring->first = ring->next + 1;
	} else {
		while (ring->tail - ring->head + sizeof(length) + size > ring->limit)
			drop_oldest(ring);
		put(ring, &length, sizeof(length));
		put(ring, line, size);
	}
	ring->next++;
	(void)pthread_mutex_unlock(&ring->lock);
	if (ring->woken != NULL && !atomic_exchange(&ring->quiet, true))
		ring->woken(ring->owner);
}

uint64_t eventring_next(struct eventring *ring)
{
	uint64_t next;

	(void)pthread_mutex_lock(&ring->lock);
	next = ring->next;
	(void)pthread_mutex_unlock(&ring->lock);
	return next;
}

size_t eventring_take(struct eventring *ring, uint64_t *next, char *buffer, size_t size, uint64_t *missed)
{
	size_t filled = 0;
	uint64_t position;

	/* Before the look: a line that comes after it wakes again. */
	atomic_store(&ring->quiet, false);
	(void)pthread_mutex_lock(&ring->lock);
	*missed = *next < ring->first ? ring->first - *next : 0;
	*next += *missed;
	position = ring->head;
	for (uint64_t number = ring->first; number < *next && number < ring->next; number++)
		position += sizeof(line_size) + size_at(ring, position);
	while (*next < ring->next) {
		size_t length = size_at(ring, position);

		if (filled + length + 1 > size)
			break;
		get(ring, position + sizeof(line_size), buffer + filled, length);
		filled += length;
		buffer[filled++] = '\n';
		position += sizeof(line_size) + length;
		(*next)++;
	}
	(void)pthread_mutex_unlock(&ring->lock);
	return filled;
}
