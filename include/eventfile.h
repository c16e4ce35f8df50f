/*
 * A file of JSON Lines that several processes may append to at once: whole lines only, whatever happens to the disk, to
 * the name or to the machine; and, where that is wanted, a chain of digests (chain.h) through all of them. Used by one
 * thread at a time; every call may wait for the disk.
 */
#ifndef EVENTFILE_H
#define EVENTFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compiler.h"
#include "text.h"

struct eventfile;

/* Open it for appending, or make it with `mode`. NULL with words and remedy in `error`: it cannot be opened, is no
 * regular file or a symbolic link, or what stands in it begins with something else than an object; or with `chain`, is
 * no chain. */
struct eventfile *eventfile_open(const char *path, mode_t mode, bool chain, struct error *error) MUST_CHECK;

/* What of that can be said before it is opened: 0, or -1 with `error`. Nothing is made. */
int eventfile_check(const char *path, bool chain, struct error *error) MUST_CHECK;

/* It was empty when it was opened. */
bool eventfile_is_new(const struct eventfile *file);

/* Append `object`, a JSON object of one line, without its line feed. Half a line that stands at the end is moved into a
 * line {"event":"torn",...} first. With a chain: continues what stands at the end, whoever has written it; a file that
 * was renamed and is there anew is followed; one that was emptied or cut continues what was written last. 0, or -1 with
 * `error`: no part of the line is there. */
int eventfile_write(struct eventfile *file, const char *object, size_t size, struct error *error) MUST_CHECK;

/* From now on eventfile_sync brings what was written to the disk; now, that there is such a file. 0, or -1 with
 * `error`. */
int eventfile_keep(struct eventfile *file, struct error *error) MUST_CHECK;

/* What was written since the last call that worked is on the disk now, with the name of a file that is new (fdatasync,
 * and fsync of the folder). 0, also where nothing was written; or -1 with `error`: nobody knows what of it is there,
 * and what the kernel has of it counts as written back, so that another try would say nothing. *undone: it was taken
 * out of the file (and the chain), to be written again; false: another process has written behind it, or it cannot be
 * taken out, and what is written again stands there twice. Only after eventfile_keep. */
int eventfile_sync(struct eventfile *file, bool *undone, struct error *error) MUST_CHECK;

/* After the file was renamed: open the name anew, and continue the chain there, by a line {"event":"rotated",...} at
 * once. 0, also where it was not renamed; or -1 with words and remedy in `error`: the renamed one stays in use. After
 * eventfile_keep the renamed one is on the disk then, and the next eventfile_sync sees to the new one. */
int eventfile_reopen(struct eventfile *file, struct error *error) MUST_CHECK;

/* NULL does nothing. */
void eventfile_close(struct eventfile *file);

#endif
