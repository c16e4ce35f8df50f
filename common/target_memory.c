/* What the process remembers of the addresses of one service or peer. */
#include "target_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"

struct slot {
	atomic_uint_fast64_t until_ms; /* left out; 0: in use */
	atomic_uint connections;
	atomic_int health; /* enum target_health */
	/* Under the lock. */
	uint64_t since_ms;
	enum reason reason;
	char detail[TARGET_DETAIL_SIZE];
	char *text; /* owned; immutable, as the rest below */
};

struct target_memory {
	atomic_uint references;
	atomic_size_t turn;
	atomic_bool all_down, disconnected;
	uint64_t all_down_since_ms; /* under the lock */
	pthread_mutex_t lock;
	char *name; /* owned */
	size_t count;
	struct slot slots[];
};

struct target_memory *target_memory_new(const char *name, const struct address_list *addresses)
{
	struct target_memory *memory = calloc(1, sizeof(*memory) + addresses->count * sizeof(memory->slots[0]));
	char text[ADDRESS_TEXT_SIZE];
	bool complete;

	if (memory == NULL)
		return NULL;
	atomic_init(&memory->references, 1);
	(void)pthread_mutex_init(&memory->lock, NULL);
	memory->count = addresses->count;
	memory->name = strdup(name);
	complete = memory->name != NULL;
	for (size_t i = 0; i < memory->count; i++) {
		memory->slots[i].text = strdup(address_format(&addresses->at[i], text));
		complete = complete && memory->slots[i].text != NULL;
	}
	if (complete)
		return memory;
	target_memory_free(memory);
	return NULL;
}

struct target_memory *target_memory_share(struct target_memory *memory)
{
	(void)atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
	return memory;
}

void target_memory_free(struct target_memory *memory)
{
	if (memory == NULL || atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < memory->count; i++)
		free(memory->slots[i].text);
	free(memory->name);
	(void)pthread_mutex_destroy(&memory->lock);
	free(memory);
}

bool target_memory_is_for(const struct target_memory *memory, const char *name, const struct address_list *addresses)
{
	char text[ADDRESS_TEXT_SIZE];

	if (!name_equal(memory->name, name) || memory->count != addresses->count)
		return false;
	for (size_t i = 0; i < memory->count; i++)
		if (strcmp(memory->slots[i].text, address_format(&addresses->at[i], text)) != 0)
			return false;
	return true;
}

/* --- addresses that fail --- */

static void log_change(const struct target_memory *memory, size_t address, enum message message, const char *detail)
{
	struct logline line;

	log_begin(&line, message, NULL);
	log_text(&line, "name", memory->name);
	log_text(&line, "address", memory->slots[address].text);
	log_text(&line, "detail", detail);
	log_end(&line);
}

/* Of several workers that find the same, one says so. */
void target_memory_failed(struct target_memory *memory, size_t address, uint64_t now_ms, uint64_t retry_ms,
                          const char *detail)
{
	if (memory != NULL && address < memory->count &&
	    atomic_exchange_explicit(&memory->slots[address].until_ms, now_ms + retry_ms, memory_order_relaxed) == 0)
		log_change(memory, address, MESSAGE_PEER_SWITCHED, detail);
}

void target_memory_connected(struct target_memory *memory, size_t address)
{
	struct slot *slot;

	if (memory == NULL || address >= memory->count)
		return;
	slot = &memory->slots[address];
	/* It is 0 nearly always: then nothing is written, and the line stays with all workers. */
	if (atomic_load_explicit(&slot->until_ms, memory_order_relaxed) != 0 &&
	    atomic_exchange_explicit(&slot->until_ms, 0, memory_order_relaxed) != 0)
		log_change(memory, address, MESSAGE_PEER_RETURNED, "");
}

/* --- which address --- */

static bool is_down(struct target_memory *memory, size_t address)
{
	return memory != NULL && address < memory->count &&
	       atomic_load_explicit(&memory->slots[address].health, memory_order_relaxed) == TARGET_DOWN;
}

static bool is_left_out(struct target_memory *memory, size_t address, uint64_t now_ms)
{
	return memory != NULL && address < memory->count &&
	       atomic_load_explicit(&memory->slots[address].until_ms, memory_order_relaxed) > now_ms;
}

static unsigned connections_of(struct target_memory *memory, size_t address)
{
	if (memory == NULL || address >= memory->count)
		return 0;
	return atomic_load_explicit(&memory->slots[address].connections, memory_order_relaxed);
}

/* The addresses that may be tried, from `first` on round the end. */
static size_t collect(struct target_memory *memory, const struct target_choice *choice, bool left_out_too,
                      size_t *order)
{
	size_t found = 0;

	for (size_t i = 0; i < choice->count; i++) {
		size_t address = (choice->first + i) % choice->count;
		bool never = address < 64 && (choice->never >> address & 1) != 0;

		if (!never && !is_down(memory, address) &&
		    (left_out_too || !is_left_out(memory, address, choice->now_ms)))
			order[found++] = address;
	}
	return found;
}

static void rotate(size_t *order, size_t count, size_t by)
{
	while (by-- > 0) {
		size_t first = order[0];

		memmove(order, order + 1, (count - 1) * sizeof(*order));
		order[count - 1] = first;
	}
}

/* By insertion, which keeps the order of equals: the turn decides among them. */
static void fewest_first(struct target_memory *memory, size_t *order, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		size_t address = order[i], at = i;
		unsigned connections = connections_of(memory, address);

		for (; at > 0 && connections_of(memory, order[at - 1]) > connections; at--)
			order[at] = order[at - 1];
		order[at] = address;
	}
}

size_t target_memory_order(struct target_memory *memory, const struct target_choice *choice, size_t *order)
{
	size_t found = collect(memory, choice, false, order);

	if (found == 0)
		found = collect(memory, choice, true, order);
	if (choice->balance == BALANCE_ORDER || memory == NULL || found < 2)
		return found;
	/* Among those in use only: the share of one that is left out goes to all others, not to the one after it. */
	rotate(order, found, atomic_fetch_add_explicit(&memory->turn, 1, memory_order_relaxed) % found);
	if (choice->balance == BALANCE_LEAST)
		fewest_first(memory, order, found);
	return found;
}

void target_place_take(struct target_place *place, struct target_memory *memory, size_t address)
{
	target_place_leave(place);
	if (memory == NULL || address >= memory->count)
		return;
	*place = (struct target_place){memory, address};
	(void)atomic_fetch_add_explicit(&memory->slots[address].connections, 1, memory_order_relaxed);
}

void target_place_leave(struct target_place *place)
{
	if (place->memory == NULL)
		return;
	(void)atomic_fetch_sub_explicit(&place->memory->slots[place->address].connections, 1, memory_order_relaxed);
	place->memory = NULL;
}

/* --- health --- */

static bool all_are_down(struct target_memory *memory)
{
	for (size_t i = 0; i < memory->count; i++)
		if (!is_down(memory, i))
			return false;
	return memory->count > 0;
}

/* That nobody answers may be said in several ways; that somebody answers wrongly is news, also where it is down
 * already. */
static bool is_about_the_network(enum reason reason)
{
	return reason == REASON_CONNECT_REFUSED || reason == REASON_CONNECT_TIMEOUT ||
	       reason == REASON_TARGET_UNREACHABLE || reason == REASON_NAME_NOT_FOUND;
}

struct target_change target_memory_found(struct target_memory *memory, size_t address,
                                         const struct target_finding *finding)
{
	struct slot *slot = &memory->slots[address];
	int health = finding->reason == REASON_NONE ? TARGET_UP : TARGET_DOWN;
	struct target_change change = {0};
	bool all, other_reason;

	(void)pthread_mutex_lock(&memory->lock);
	other_reason = slot->reason != finding->reason && !is_about_the_network(finding->reason);
	change.address = atomic_exchange(&slot->health, health) != health;
	if (change.address)
		slot->since_ms = finding->now_ms;
	slot->reason = finding->reason;
	(void)snprintf(slot->detail, sizeof(slot->detail), "%s", finding->detail);
	all = all_are_down(memory);
	change.all = atomic_exchange(&memory->all_down, all) != all;
	if (change.all && all)
		memory->all_down_since_ms = finding->now_ms;
	else if (change.all)
		change.lasted_ms = finding->now_ms - memory->all_down_since_ms;
	(void)pthread_mutex_unlock(&memory->lock);
	/* Its health leaves it out, not a time: what is noted is that it was said. */
	if (health == TARGET_DOWN && change.address && !all)
		target_memory_failed(memory, address, finding->now_ms, 0, finding->detail);
	else if (health == TARGET_UP)
		target_memory_connected(memory, address);
	else if (!change.address && other_reason)
		log_change(memory, address, MESSAGE_PEER_SWITCHED,
		           finding->detail[0] != '\0' ? finding->detail : reason_text(finding->reason));
	return change;
}

void target_memory_forget_health(struct target_memory *memory)
{
	(void)pthread_mutex_lock(&memory->lock);
	for (size_t i = 0; i < memory->count; i++) {
		atomic_store(&memory->slots[i].health, TARGET_UNKNOWN);
		memory->slots[i].since_ms = 0;
		memory->slots[i].reason = REASON_NONE;
		memory->slots[i].detail[0] = '\0';
	}
	atomic_store(&memory->all_down, false);
	(void)pthread_mutex_unlock(&memory->lock);
}

bool target_memory_disconnect(struct target_memory *memory, bool disconnected)
{
	return atomic_exchange(&memory->disconnected, disconnected) != disconnected;
}

bool target_memory_is_disconnected(struct target_memory *memory)
{
	return memory != NULL && atomic_load(&memory->disconnected);
}

bool target_memory_all_down(struct target_memory *memory)
{
	return memory != NULL && atomic_load_explicit(&memory->all_down, memory_order_relaxed);
}

size_t target_memory_count(const struct target_memory *memory)
{
	return memory->count;
}

void target_memory_state(struct target_memory *memory, size_t address, struct target_state *state)
{
	struct slot *slot = &memory->slots[address];

	state->name = memory->name;
	state->address = slot->text;
	state->connections = atomic_load(&slot->connections);
	state->left_out_until_ms = atomic_load(&slot->until_ms);
	(void)pthread_mutex_lock(&memory->lock);
	state->health = (enum target_health)atomic_load(&slot->health);
	state->since_ms = slot->since_ms;
	state->reason = slot->reason;
	memcpy(state->detail, slot->detail, sizeof(state->detail));
	(void)pthread_mutex_unlock(&memory->lock);
}

const char *target_health_word(enum target_health health)
{
	static const char *const words[] = {[TARGET_UNKNOWN] = "unknown", [TARGET_UP] = "up", [TARGET_DOWN] = "down"};

	return words[health];
}
