/*
 * The operators' words on ccisslgw: connect, disconnect, recycle and ping of a peer, by its name or one that it serves.
 * As control_verb.run. docs/peers.md describes them.
 */
#ifndef CONTROL_PEERS_H
#define CONTROL_PEERS_H

#include "control.h"

json_t *control_peers_connect(struct control_request *request);
json_t *control_peers_disconnect(struct control_request *request);
json_t *control_peers_recycle(struct control_request *request);
json_t *control_peers_ping(struct control_request *request);

#endif
