/*
 * A file of records that begin with a record descriptor word (length 2, segment 2), appended to so that the framing
 * holds whatever happens: records are written whole or not at all, and half a record that a crash left is cut off.
 * Several processes may append to one file. Gathers records until they are flushed. One thread at a time; never waits
 * for long.
 */
#ifndef SMF_FILE_H
#define SMF_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compiler.h"
#include "text.h"

struct smf_file;

/* Open or make `path` (made with the permission bits `mode`). The records in it are walked through: a torn one at the
 * end is cut off, and *cut_bytes says how long it was (0: none); anything else that is no record is left alone. NULL
 * with `error`. `path` is copied. */
struct smf_file *smf_file_open(const char *path, mode_t mode, uint64_t *cut_bytes, struct error *error) MUST_CHECK;

/* Could it be opened, as far as one can tell without changing anything? 0, or -1 with `error`. */
int smf_file_check(const char *path, struct error *error) MUST_CHECK;

/* From now on smf_file_flush brings what it writes to the disk; now, that there is such a file. 0, or -1 with
 * `error`. */
int smf_file_keep(struct smf_file *file, struct error *error) MUST_CHECK;

/* Take whole records, and write when many have come. 0; or -1 with `error`: these records were not taken, none of
 * them. */
int smf_file_put(struct smf_file *file, const uint8_t *records, size_t size, struct error *error) MUST_CHECK;

/* Hand what was taken to the kernel; after smf_file_keep, to the disk (fdatasync, and fsync of the folder of a new
 * file). 0; or -1 with `error`: it is kept, to be written by the next call, and nothing of it is in the file; or,
 * where the file could not be shortened, that call goes on behind it. Only where fdatasync has failed and another
 * process has written behind it since, it stays there, and will stand there twice. */
int smf_file_flush(struct smf_file *file, struct error *error) MUST_CHECK;

/* Write the rest to the old file, then open the path anew. 0; or -1 with `error`: the old file stays in use. */
int smf_file_reopen(struct smf_file *file, uint64_t *cut_bytes, struct error *error) MUST_CHECK;

/* What was taken and not flushed. */
size_t smf_file_waiting(const struct smf_file *file);

/* What was not flushed is lost. NULL does nothing. */
void smf_file_close(struct smf_file *file);

#endif
