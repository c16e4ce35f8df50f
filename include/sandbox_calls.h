/*
 * The system calls of a gateway that serves: a table of them with the reason of each, and the filter that is made of it
 * (seccomp). docs/sandbox.md is printed from the table. What stands in no row fails with EPERM, so that what a library
 * of tomorrow tries does not end a gateway. For sandbox.c.
 */
#ifndef SANDBOX_CALLS_H
#define SANDBOX_CALLS_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "text.h"

enum sandbox_fate {
	SANDBOX_PERMIT,
	SANDBOX_MISSING, /* ENOSYS: the C library has another way */
	SANDBOX_KILL,    /* the process ends by SIGSYS */
};

/* Which builds and configurations a row is for. */
enum sandbox_when {
	SANDBOX_ALWAYS,
	SANDBOX_WITH_PLUGIN,
	SANDBOX_PROGRAM_ONLY,
	SANDBOX_SANITIZER_ONLY,
	SANDBOX_COVERAGE_ONLY
};

struct sandbox_call {
	const char *names; /* of calls with the same fate, by blanks */
	enum sandbox_fate fate;
	enum sandbox_when when;
	unsigned test_count; /* all have to hold; 0: whatever the arguments are */
	struct scmp_arg_cmp tests[3];
	bool to_itself; /* the first argument is the number of this process, and nothing else is tested */
	const char *condition; /* the tests in words; NULL: none */
	const char *why;
};

extern const struct sandbox_call sandbox_call_table[];
extern const size_t sandbox_call_count;

/* Does this kernel have filters? */
bool sandbox_calls_there(void);

/* Load what libraries would load only when it is needed, since that may be impossible then. */
void sandbox_calls_prepare(void);

/* Put the filter on all threads. `plugins`: code of files may be mapped, so that a reload can load another plug-in. 0,
 * or -1 with `error`. */
int sandbox_calls_enter(bool plugins, struct error *error) MUST_CHECK;

#endif
