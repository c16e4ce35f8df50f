/* JSON values out of the bytes of an input, with the members that the gateway's answers have. */
#ifndef JSONMAKE_H
#define JSONMAKE_H

#include <jansson.h>

#include "input.h"

/* Never NULL; `depth` levels of it at most. Uses up at least a byte for each value. */
json_t *make_json(struct input *input, unsigned depth);

/* A text of UTF-8, with control characters in it. */
json_t *make_json_text(struct input *input);

#endif
