/*
 * For scenarios of traces: the pair with a control socket, `ctl` of the near one, a `ctl trace` that follows,
 * connections to look at.
 */
#ifndef FOLLOWING_H
#define FOLLOWING_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "controlling.h"

#define BALANCER "127.0.0.2"

/* ccissl, and ccisslgw before it: ports[0] for anybody, ports[1] behind BALANCER; rules refuse BAD*. */
extern struct gateway far, near;
void pair_start(void);
void pair_stop(void);

/* `ctl WORDS` of the near one has to end with `status`, and to have printed these (NULL: whatever). */
void say(const char *words, int status, const char *out, const char *err);

/* Until the gateway knows that its readers have gone. */
void wait_for_silence(void);

/* --- a ctl that follows, one at a time --- */

struct follower {
	pid_t pid;
	FILE *lines;
	char text[256 * 1024]; /* all that it has printed so far */
	size_t used;
};

extern struct follower follower;

/* `ctl [--json] trace WHAT`, until it says that it traces. */
void follow(const char *what, bool json);

/* Until a line has `text`; fails the test where none comes. */
const char *line_with(const char *text);

/* Ended by a signal, or (0) by itself: the exit status, or the signal. */
int unfollow(int signal_number);

/* --- what comes --- */

/* An OFFER, and the type of the answer to it; no TLS follows where it was asked for. */
int offer_to(int port, const char *sysid, const char *agent, int security);

#endif
