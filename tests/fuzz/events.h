/* Events out of the bytes of an input: any number in any field, any text in any text. */
#ifndef EVENTS_H
#define EVENTS_H

#include "address.h"
#include "cci/notifier.h"
#include "input.h"

/* Holds what an event points to; lives as long as it does. */
struct event_parts {
	union socket_address remote, local;
	struct cci_certificate own, peer;
	uint8_t peer_connection[16];
};

/* An address of any family that a connection can have. */
void make_socket_address(struct input *input, union socket_address *address);

/* Texts live until input_close. An event of version 1 ends earlier. */
void make_event(struct input *input, struct event_parts *parts, struct cci_event *event);

#endif
