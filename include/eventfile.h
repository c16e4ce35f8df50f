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

/* After the file was renamed: open the name anew, and continue the chain there, by a line {"event":"rotated",...} at
 * once. 0, also where it was not renamed; or -1 with words and remedy in `error`: the renamed one stays in use. */
int eventfile_reopen(struct eventfile *file, struct error *error) MUST_CHECK;

/* NULL does nothing. */
void eventfile_close(struct eventfile *file);

#endif
