/*
 * The file that keeps secured names: its lines, read so that damage is noticed and costs no intact line, and written so
 * that a reader, or a crash, meets the old file or the new one and nothing between. Knows no table and no gateway.
 *
 *     ccissl-ratchet 1 SUM
 *     client NAME FIRST LAST SUM      any number of these, oldest first; times in seconds since 1970
 *     peer NAME FIRST LAST SUM
 *     end COUNT SUM                   how many names there are
 *
 * SUM is the CRC-32 of all that stands before it in the line, eight hexadecimal digits.
 */
#ifndef RATCHET_FILE_H
#define RATCHET_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "compiler.h"
#include "ratchet.h"
#include "text.h"

/* What a file said. */
struct ratchet_reading {
	struct ratchet_entries entries; /* owned by the caller: free(entries.at) */
	size_t damaged_lines;
	bool header, ending; /* they are there and intact */
	uint64_t promised;   /* names by the last line, where `ending` */
};

enum ratchet_read {
	RATCHET_READ_OK,
	RATCHET_READ_ABSENT,  /* there is no such file; not an error */
	RATCHET_READ_DAMAGED, /* all that is intact is in `entries` */
	RATCHET_READ_FAILED,  /* `error` says why: permission, another version, no memory; `entries` is empty */
};

/* `path` as it is seen from outside of `root`, the gateway's chroot (NULL: none), for commands that run there. `path`
 * itself, or in `buffer` of PATH_MAX bytes; NULL where `path` is. */
const char *ratchet_file_outside(const char *path, const char *root, char *buffer);

/* Read an open stream. OK, DAMAGED or FAILED. */
enum ratchet_read ratchet_file_parse(FILE *stream, struct ratchet_reading *reading, struct error *error) MUST_CHECK;

/* Open `path` and read it. `identity` (may be NULL) is filled as ratchet_file_identity does, from the file that was
 * read. */
enum ratchet_read ratchet_file_read(const char *path, struct ratchet_reading *reading, struct stat *identity,
                                    struct error *error) MUST_CHECK;

/* Say in `text` what is wrong with a reading that is DAMAGED, in one clause. */
void ratchet_file_describe(const struct ratchet_reading *reading, struct text *text);

/* Write all lines to an open stream. 0, or -1 with errno. */
int ratchet_file_print(FILE *stream, const struct ratchet_entries *entries) MUST_CHECK;

/* Replace `path`: a new file beside it (FILE.new; what has that name goes), mode 0600, fsync, rename, fsync of the
 * directory. Root leaves it to the owner it had. Only under ratchet_file_lock. 0, or -1 with `error`: the old file is
 * there as it was. */
int ratchet_file_write(const char *path, const struct ratchet_entries *entries, struct error *error) MUST_CHECK;

/* Keep a damaged file beside it as FILE.damaged (an older one gives way); `path` stays until it is written anew. 0, or
 * -1 with `error`. */
int ratchet_file_keep_damaged(const char *path, struct error *error) MUST_CHECK;

/* Whoever reads in order to write holds the lock of the directory that the file is in. A descriptor to give to
 * ratchet_file_unlock; or -1: `*busy` where another process has it, or else `error`. Never waits. */
int ratchet_file_lock(const char *path, bool *busy, struct error *error) MUST_CHECK;
void ratchet_file_unlock(int lock);

/* Can the file be read, or made, and be replaced by us? Changes nothing. 0, or -1 with `error`. */
int ratchet_file_check(const char *path, struct error *error) MUST_CHECK;

/* Which file `path` is now; all zero where there is none. ratchet_file_same: it has not been touched since. */
void ratchet_file_identity(const char *path, struct stat *identity);
bool ratchet_file_same(const struct stat *a, const struct stat *b);

#endif
