/* What earlier sessions of a run leave behind for later ones: secured names, places in limits; and what a certificate leads to. */
#ifndef FUZZ_HELD_H
#define FUZZ_HELD_H

#include "play.h"

/* The session begins; it is over, and this is its record (its other members are filled in). */
void held_begin(struct play *play);
void held_end(struct play *play, const struct record *record);

/* Was the client's name secured, on a listener with a ratchet, before the present one began? The peer? */
bool held_name(const struct play *play);
bool held_peer(const struct play *play);

/* Has another session that runs the one place that the rule gives to both? */
bool held_place(const struct play *play);

/* Is the service that it was connected to the right one, by the client's certificate? NULL, or why not. */
const char *held_service(const struct play *play);

#endif
