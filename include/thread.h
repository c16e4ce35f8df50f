/* Threads that do one thing beside the workers: without signals, without capabilities. */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>

#include "compiler.h"
#include "text.h"

/* Start `run` with `argument` in a thread called `name` (at most 15 characters; static). All signals are blocked in it.
 * It has no capability, unless the process is root's, and can gain none; one that root starts before privileges_drop
 * becomes the user then, with nothing left. 0, or -1 with `error`. */
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument,
                 struct error *error) MUST_CHECK;

/* Give up every capability of the calling thread; where the process is root's, nothing. */
void thread_drop_capabilities(void);

/* The same for all but one (CAP_...; -1: none), which stays permitted and effective where the thread has it. */
void thread_drop_capabilities_but(int kept);

#endif
