/* The verb trace of the control socket: an answer that goes on, or lines in the log. docs/trace.md describes it. */
#ifndef CONTROL_TRACE_H
#define CONTROL_TRACE_H

#include <jansson.h>
#include <stdio.h>

#include "control.h"

/* No word: the active traces. ID, NETWORK (or `source NETWORK`) or sysid=PATTERN: lines until the client goes, or the
 * connection of the ID ends. With `on`, `off`: lines in the log. As control_verb.run. */
json_t *control_trace_run(struct control_request *request);

/* As control_verb.print: one line of a trace, or the list. */
int control_trace_print(const json_t *answer, FILE *stream);

#endif
