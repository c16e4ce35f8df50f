/* What stands under the verbs of the control socket in the fuzzer: a gateway without workers, whose answers come out of the input. */
#ifndef CONTROL_WORLD_H
#define CONTROL_WORLD_H

#include "daemon_parts.h"
#include "input.h"

extern struct daemon world_gateway;

/* Takes what is answered from the begin of `input`. */
void world_begin(struct input *input);

/* What libuv's threads would have done by now. */
void world_turn(void);

/* How often a verb has asked it for anything, and for a change, since world_begin. */
unsigned world_calls(void);
unsigned world_changes(void);

/* No handle is left. */
void world_end(void);

#endif
