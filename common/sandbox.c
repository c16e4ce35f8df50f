/* What the kernel leaves a gateway: when it is taken away, and what is said of it. */
#include "sandbox.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "landlock.h"
#include "log.h"
#include "sandbox_calls.h"
#include "sandbox_paths.h"

static struct {
	bool calls;
	int abi; /* of Landlock; 0: not entered */
	bool had_plugin;
	const char *missing; /* what the kernel lacks; NULL: nothing, or it is not asked for */
	char open[PATH_MAX]; /* what could be written from inside, though a successor runs by it; "": nothing */
	char words[48];
} sandbox = {.words = "none"};

static int refuse(struct error *error, const char *missing)
{
	error_set(
	    error,
	    "[gateway] sandbox = require: %s: start it on a kernel (or in a container) that has it, or set sandbox = yes",
	    missing);
	return error_at(error, "gateway", NULL, "sandbox");
}

/* What this kernel lacks; NULL: nothing. */
static const char *find_missing(int abi)
{
	bool calls = sandbox_calls_there();

	if (!calls && abi == 0)
		return "neither seccomp nor Landlock is there";
	if (!calls)
		return "seccomp is not there";
	if (abi == 0)
		return "Landlock is not there";
	return abi < LANDLOCK_ABI_WHOLE
	           ? "Landlock is older than ABI 3, with which files can be shortened outside its folders"
	           : NULL;
}

static bool has_plugin(const struct config *config)
{
	for (size_t i = 0; i < config->notifier_count; i++)
		if (strcmp(config->notifiers[i].kind, "plugin") == 0)
			return true;
	return false;
}

static void put_words(void)
{
	struct text text;

	text_init(&text, sandbox.words, sizeof(sandbox.words));
	if (sandbox.calls)
		text_puts(&text, "seccomp");
	if (sandbox.abi > 0)
		text_printf(&text, "%slandlock %d", text.used > 0 ? ", " : "", sandbox.abi);
	if (text.used == 0)
		text_puts(&text, "none");
}

/* The starter runs the program again for whoever asks: what that reads and runs is not to come from inside. */
static int check_open(const struct config *config, struct error *error)
{
	const char *path = sandbox_paths_open(config);

	(void)snprintf(sandbox.open, sizeof(sandbox.open), "%s", path != NULL ? path : "");
	if (path != NULL && config->gateway.sandbox != SANDBOX_REQUIRE)
		log_say(MESSAGE_SANDBOX_OPEN, "%s", path);
	if (path == NULL || config->gateway.sandbox != SANDBOX_REQUIRE)
		return 0;
	error_set(error,
	          "[gateway] sandbox = require: %s lies in a folder that is written too: keep events, SMF files, the "
	          "ratchet and the key log in another folder than the configuration, the program and plug-ins",
	          path);
	return error_at(error, "gateway", NULL, "sandbox");
}

int sandbox_enter_paths(const struct config *config, struct error *error)
{
	int abi = landlock_abi();
	const char *missing = find_missing(abi);

	if (config->gateway.sandbox == SANDBOX_NO)
		return 0;
	if (missing != NULL && config->gateway.sandbox == SANDBOX_REQUIRE)
		return refuse(error, missing);
	if (missing != NULL)
		log_say(MESSAGE_SANDBOX_PARTIAL, "%s", missing);
	sandbox.missing = missing;
	sandbox.had_plugin = has_plugin(config);
	sandbox_calls_prepare();
	if (abi > 0 && sandbox_paths_enter(config, abi, error) != 0)
		return -1;
	sandbox.abi = abi;
	put_words();
	return abi > 0 ? check_open(config, error) : 0;
}

int sandbox_enter_calls(const struct config *config, struct error *error)
{
	if (config->gateway.sandbox == SANDBOX_NO || !sandbox_calls_there())
		return 0;
	if (sandbox_calls_enter(sandbox.had_plugin, error) != 0)
		return error_at(error, "gateway", NULL, "sandbox");
	sandbox.calls = true;
	put_words();
	return 0;
}

int sandbox_check(const struct config *config, struct error *error)
{
	if (sandbox.calls && !sandbox.had_plugin && has_plugin(config))
		return error_set(error, "the first [notifier] with kind = plugin: this process can load no code any more, "
		                        "a restart, or SIGUSR2, makes one that can");
	return sandbox.abi > 0 ? sandbox_paths_check(config, error) : 0;
}

const char *sandbox_words(void)
{
	return sandbox.words;
}

const char *sandbox_missing(void)
{
	return sandbox.missing;
}

const char *sandbox_open(void)
{
	return sandbox.open[0] != '\0' ? sandbox.open : NULL;
}
