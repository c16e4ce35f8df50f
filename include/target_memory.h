/*
 * What the process remembers of the addresses of one service or peer: which of them failed and how long they are left
 * out, how many connections of ours each has, whose turn it is, and what health (*PING) found. One for all workers and,
 * across reloads, for all configurations in which name and addresses are the same; counted. Any thread; no lock on the
 * way of a connection. Times are uv_now of any loop: all have the same base. Knows no socket.
 */
#ifndef TARGET_MEMORY_H
#define TARGET_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "reason.h"

struct target_memory;

/* With one owner, for these addresses (copied, as is `name`). NULL without memory. */
struct target_memory *target_memory_new(const char *name, const struct address_list *addresses) MUST_CHECK;

/* One owner more; returns `memory`. */
struct target_memory *target_memory_share(struct target_memory *memory);

/* One owner less; the last one frees. NULL does nothing. */
void target_memory_free(struct target_memory *memory);

/* Was it made for this name (without regard to case) and these addresses, in this order? */
bool target_memory_is_for(const struct target_memory *memory, const char *name, const struct address_list *addresses);

/* --- addresses that fail --- */

/* An address failed: leave it out for `retry_ms`. Logs MESSAGE_PEER_SWITCHED where it was in use before. Nothing
 * happens where `memory` is NULL or has no such address; the same with target_memory_connected. */
void target_memory_failed(struct target_memory *memory, size_t address, uint64_t now_ms, uint64_t retry_ms,
                          const char *detail);

/* An address answers. Logs MESSAGE_PEER_RETURNED where it was left out. */
void target_memory_connected(struct target_memory *memory, size_t address);

/* --- which address --- */

struct target_choice {
	size_t count;    /* of addresses */
	int balance;     /* enum balance */
	size_t first;    /* BALANCE_ORDER: number of the address to begin with */
	uint64_t never;  /* bit N: address number N is not tried at all */
	uint64_t now_ms;
};

/* The numbers of the addresses to try, one after the other, into `order` (room for `count`); returns how many. Those
 * that are left out are not among them, unless all are; those that health found down never are. BALANCE_ROUND_ROBIN and
 * _LEAST spread over what is in use. `memory` NULL: all are in use, and without connections. */
size_t target_memory_order(struct target_memory *memory, const struct target_choice *choice, size_t *order) MUST_CHECK;

/* One connection of ours, or an attempt at one, at an address; zeroed: none. */
struct target_place {
	struct target_memory *memory; /* borrowed */
	size_t address;
};

/* Count it (what `place` had is left first). NULL `memory`: counts nothing. */
void target_place_take(struct target_place *place, struct target_memory *memory, size_t address);

/* It is over; further calls do nothing. */
void target_place_leave(struct target_place *place);

/* --- health --- */

enum target_health { TARGET_UNKNOWN, TARGET_UP, TARGET_DOWN };

#define TARGET_DETAIL_SIZE 160

/* What one ping found. */
struct target_finding {
	enum reason reason; /* REASON_NONE: the address is up; else why it is down */
	const char *detail; /* in words */
	uint64_t now_ms;
};

/* What a finding changed. */
struct target_change {
	bool address;      /* whether the address is up or down */
	bool all;          /* whether all addresses are down */
	uint64_t lasted_ms; /* where not all are down any more: how long they were */
};

/* Note a finding. An address that is up is not left out any more. Where others are left, MESSAGE_PEER_SWITCHED and
 * MESSAGE_PEER_RETURNED are logged as above, the former again when an address that is down answers wrongly; that all
 * are down, or not any more, is the caller's to say. */
struct target_change target_memory_found(struct target_memory *memory, size_t address,
                                         const struct target_finding *finding);

/* Nobody asks any more: every address is unknown. */
void target_memory_forget_health(struct target_memory *memory);

/* The operator's word: nothing is dialled (REASON_PEER_DOWN) nor asked for its health while it is disconnected. True:
 * that is a change. Lives as long as the memory: through reloads while name and addresses stay. */
bool target_memory_disconnect(struct target_memory *memory, bool disconnected);
bool target_memory_is_disconnected(struct target_memory *memory); /* false for NULL */

/* Has health found all addresses down? Then nothing is worth an attempt. false for NULL. */
bool target_memory_all_down(struct target_memory *memory);

/* How an address stands. */
struct target_state {
	const char *name, *address;  /* live as long as the memory */
	enum target_health health;
	uint64_t since_ms;           /* when health changed last; 0 while it is unknown */
	uint64_t left_out_until_ms;  /* after a failed attempt; 0: in use */
	unsigned connections;        /* ours, attempts included */
	enum reason reason;          /* why it is down */
	char detail[TARGET_DETAIL_SIZE];
};

size_t target_memory_count(const struct target_memory *memory);
void target_memory_state(struct target_memory *memory, size_t address, struct target_state *state);

/* The stable word: "unknown", "up", "down". Never NULL. */
const char *target_health_word(enum target_health health);

#endif
