/* EBCDIC code page 1047 to UTF-8 and back (protocol, section 1). Pure tables. */
#ifndef EBCDIC_H
#define EBCDIC_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* Convert `length` bytes of code page 1047 into UTF-8 in `out` of `size` bytes, terminated. Bytes written without
 * the terminator, or -1 when `out` is too small (2 * length + 1 always is enough). */
int ebcdic_to_utf8(const uint8_t *bytes, size_t length, char *out, size_t size) MUST_CHECK;

/* Convert UTF-8 text into at most `size` bytes of code page 1047. What the page does not have becomes a question
 * mark. Bytes written, or -1 when `out` is too small or `text` is not UTF-8. */
int ebcdic_from_utf8(const char *text, uint8_t *out, size_t size) MUST_CHECK;

#endif
