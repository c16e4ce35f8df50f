/*
 * A message of the exchange in words, for people who look for what went wrong. Pure: from the decoded structure, or
 * from the bytes. What the peer said is escaped to printable ASCII. Knows no socket.
 */
#ifndef PARAMS_TEXT_H
#define PARAMS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "params.h"
#include "text.h"

/* Append the type, every field and every parameter with its name and its value in words:
 * OFFER cpu=utf-8 maxru=4096 security="on" sysid="BRANCH1" ...; a verifier is said to be there, and not shown. */
void params_text(const struct params *params, struct text *text);

/* Append what can be said of a message as it came, whole or not, right or not: its bytes in hexadecimal. Those of a
 * verifier are left out ("... verifier not shown"), and of a longer message than `most` the rest ("... N more"). */
void params_text_bytes(const uint8_t *bytes, size_t size, size_t most, struct text *text);

#endif
