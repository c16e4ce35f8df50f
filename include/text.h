/*
 * Text: bounded building, escaping, names and their patterns, numbers with units, and the one-line error that
 * every function of the project fills in when it fails. Allocates nothing; knows nothing of sockets or files.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* A CCI name has 1 to 64 characters (protocol, section 1). */
#define NAME_MAX_CHARS 64

/* One clear error: what is wrong, where, and the remedy. Always terminated. */
struct error {
	char text[512];
	const char *key; /* static: the setting it is about; NULL: none, or several */
	const char *section, *name; /* of its section: static, and the configuration's; NULL: not told, no name */
};

/* Fill `error` (NULL: dropped) from a printf format; cut at its size. error_set is always -1, so that a caller can
 * write `return error_set(...)`. */
void error_fill(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);
#define error_set(error, ...) (error_fill(error, __VA_ARGS__), error_result())

/* A compiler and an analyser see through this what error_set returns. */
static inline int error_result(void)
{
	return -1;
}

/* Put "PREFIX: " (from a printf format) before the text that `error` already holds. Always returns -1. */
int error_prefix(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* Make it one line that moves no cursor: control characters, which a file may have brought in, become question marks.
 */
void error_tame(struct error *error);

/* Say which setting (static text) the error that `error` already holds is about. Always returns -1. */
int error_about(struct error *error, const char *key);

/* The same with the section: static, and `name` (NULL: a section without names) borrowed from the configuration. */
int error_at(struct error *error, const char *section, const char *name, const char *key);

/* A text under construction in the caller's buffer. Never writes past it; `cut` says that something was lost.
 * Always terminated while size is at least 1. */
struct text {
	char *at;    /* borrowed: the caller's buffer */
	size_t size; /* bytes, terminator included */
	size_t used; /* bytes, terminator excluded */
	bool cut;
};

/* Begin an empty text in `buffer` of `size` (at least 1) bytes. */
void text_init(struct text *text, char *buffer, size_t size);

/* Append `length` bytes, or a string, or a formatted string. */
void text_put(struct text *text, const char *bytes, size_t length);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* Append a number in decimal, at least `digits` of them. */
void text_put_number(struct text *text, uint64_t number, unsigned digits);

/* Append microseconds since 1970 as UTC: 2026-11-24T09:00:00.000000Z. */
void text_put_utc(struct text *text, uint64_t time_us);

/* Append `length` bytes of a stranger's text so that only printable ASCII results: backslash and double quote get
 * a backslash before them, everything outside 0x20..0x7e becomes \xHH. */
void text_put_escaped(struct text *text, const char *bytes, size_t length);

/* Append bytes in lower-case hexadecimal. */
void text_put_hex(struct text *text, const uint8_t *bytes, size_t length);

/* Is this a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ - (protocol, section 1)? */
bool name_valid(const char *name, size_t length);

/* Equal without regard to ASCII case (protocol, section 1); never consults the locale. */
bool name_equal(const char *a, const char *b);

/* The order of names without regard to ASCII case: negative, 0 or positive, as strcmp. */
int name_compare(const char *a, const char *b);

/* Does `text` match `pattern`, in which * stands for any run of characters and ? for one? Time is bounded by the
 * product of both lengths. */
enum text_case { TEXT_ANY_CASE, TEXT_EXACT };
bool text_match(const char *pattern, const char *text, enum text_case letters);

/* Does `name` match `pattern`, in which * stands for any run of characters and ? for one? No regard to case. */
bool name_match(const char *pattern, const char *name);

/* Is this a pattern of names: 1 to 64 characters of a name, * or ?. */
bool name_pattern_valid(const char *pattern);

/* Parse a whole decimal number in [least, most]. 0, or -1 with `error` naming the bounds. */
int text_to_number(const char *text, uint64_t least, uint64_t most, uint64_t *number, struct error *error) MUST_CHECK;

/* Parse a duration: a decimal number with unit ms, s, m, h or d ("5s", "1h30m" is not taken). The unit is
 * required, save for 0. Result in milliseconds. 0 or -1 with `error`. */
int text_to_duration(const char *text, uint64_t *duration_ms, struct error *error) MUST_CHECK;

/* The shortest text that text_to_duration reads back as `duration_ms`. */
void text_put_duration(struct text *text, uint64_t duration_ms);

/* Parse a number of bytes: decimal, with k, M or G (of 1024) behind it or none. 0 or -1 with `error`. */
int text_to_bytes(const char *text, uint64_t *bytes, struct error *error) MUST_CHECK;

/* The shortest text that text_to_bytes reads back as `bytes`. */
void text_put_bytes(struct text *text, uint64_t bytes);

/* Parse an even number of hexadecimal digits into at most `size` bytes. Bytes stored, or -1. */
int text_from_hex(const char *hex, uint8_t *bytes, size_t size) MUST_CHECK;

#endif
