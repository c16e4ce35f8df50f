/*
 * JSON values out of the gateway's own: strangers' texts, numbers, addresses, times, ids. Takes jansson's objects; owns
 * nothing.
 */
#ifndef JSONTEXT_H
#define JSONTEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "compiler.h"

/* A string of any bytes: what is not UTF-8 stands as \xHH in it. NULL: JSON's null. NULL without memory. */
json_t *json_of_text(const char *text) MUST_CHECK;

/* Set a member of `object`; without memory, or where `object` is NULL, nothing is set: whoever writes the object out
 * finds out by json_line, which gives nothing then. `text` and `address` NULL, and a time of 0: the member is left out.
 * Integers above INT64_MAX stand as that. */
void json_put_text(json_t *object, const char *key, const char *text);
void json_put_said(json_t *object, const char *key, const char *text); /* an empty text is left out, too */
void json_put_number(json_t *object, const char *key, uint64_t number);
void json_put_bool(json_t *object, const char *key, bool value);
void json_put_hex(json_t *object, const char *key, const uint8_t *bytes, size_t size);
void json_put_utc(json_t *object, const char *key, uint64_t time_us);         /* "2026-11-24T09:00:00.000000Z" */
void json_put_now(json_t *object, const char *key);                           /* the same, of this moment */
void json_put_address(json_t *object, const char *key, const struct sockaddr *address);

/* Write `value` as JSON of printable ASCII, and a line feed: `flags` are jansson's for its layout (JSON_COMPACT,
 * JSON_INDENT). 0, or -1 where the stream fails, without memory, and where `value` is NULL. */
int json_print(const json_t *value, size_t flags, FILE *stream) MUST_CHECK;

/* `value` as compact JSON in one line of printable ASCII without a line feed, to be freed by the caller; takes over the
 * reference. *size is its length; may be NULL. NULL where `value` is NULL, and where memory was lacking for anything of
 * jansson's in this thread since the last line: nobody gets half an answer. */
char *json_line(json_t *value, size_t *size) MUST_CHECK;

#endif
