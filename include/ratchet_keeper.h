/*
 * Keeps the tables of secured names and their file alike, from the main thread: reads the file at the start, writes it
 * soon after a change, takes from it what a command lifted. Workers only change the tables and never wait for a disk.
 */
#ifndef RATCHET_KEEPER_H
#define RATCHET_KEEPER_H

#include <uv.h>

#include "compiler.h"
#include "ratchet.h"
#include "text.h"

struct ratchet_keeper;

struct ratchet_keeper_options {
	const char *path; /* borrowed until ratchet_keeper_new returns; NULL: no file, names only age */
	struct ratchet *tables[RATCHET_KINDS]; /* borrowed */
};

/* Read the file into the tables; where there is none, or it is damaged (which is logged), write it. NULL with `error`
 * where it can be neither read nor written by this process. */
struct ratchet_keeper *ratchet_keeper_new(const struct ratchet_keeper_options *options,
                                          struct error *error) MUST_CHECK;

/* Call ratchet_keeper_turn once a second from `loop`, whose owner closes all its handles before ratchet_keeper_free. */
void ratchet_keeper_start(struct ratchet_keeper *keeper, uv_loop_t *loop);

/* Drop names that are too old; take in a file that has changed; write it where names came or went, at most once a
 * second and for a twentieth of the time, or where times moved and it is ten minutes old. What fails, and a lock that
 * another process holds for half a minute, is logged once, costs nothing in memory, and is tried again. Names that were
 * pushed out of a full table are logged, once a minute. `now_ms` is of any clock that does not jump. */
void ratchet_keeper_turn(struct ratchet_keeper *keeper, uint64_t now_ms);

/* At once, whatever the turns do: take in a file that has changed, and write names that are not written yet. Waits up
 * to a second for another process that has the file's lock. What fails is logged. */
void ratchet_keeper_sync(struct ratchet_keeper *keeper);

/* Lift a name, in its table and in the file, and log it. Waits up to a second for another process that has the file's
 * lock. 0, or -1 with `error`: it is not held; or it is lifted here, and the file still has it. */
int ratchet_keeper_lift(struct ratchet_keeper *keeper, enum ratchet_kind kind, const char *name,
                        struct error *error) MUST_CHECK;

/* Write what is not written yet, and free. NULL does nothing. */
void ratchet_keeper_free(struct ratchet_keeper *keeper);

#endif
