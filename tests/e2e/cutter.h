/*
 * Stands between two parties of a scenario, carries what they send, and resets both connections after so many bytes of one
 * direction: a thread of the test's, one connection at a time.
 */
#ifndef CUTTER_H
#define CUTTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum cutter_way { CUTTER_TO_SERVER, CUTTER_TO_CLIENT };

struct cutter {
	int port;    /* where it listens, on 127.0.0.1 */
	int to_port; /* where it connects to */
	atomic_int way;
	atomic_long cut;      /* reset once so many bytes have gone that way, for connections that come from now on; -1: never */
	atomic_long bytes[2]; /* what the last connection sent, by way */
	/* Its own. */
	int listening;
	atomic_bool ends;
	pthread_t thread;
};

/* Listen, and carry to `to_port`. What fails fails the test. */
void cutter_start(struct cutter *cutter, int to_port);

void cutter_stop(struct cutter *cutter);

#endif
