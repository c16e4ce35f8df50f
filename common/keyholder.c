/* The gateway's side of the key process: its start, its end, and whether it is there. */
#include "keyholder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keyclient.h"
#include "keyholder_parts.h"
#include "log.h"
#include "sidecar.h"

#define SILENT_TICKS 3 /* seconds without an answer */

static struct {
	struct sidecar sidecar;
	int life;          /* a channel on which only pings go; -1: none */
	uv_poll_t watch;
	bool is_watched;
	bool has_ended;
	bool is_asked;     /* a ping has no answer yet */
	unsigned silence;  /* ticks since */
	bool said;
	uint32_t sequence;
	void (*ended)(void *context);
	void *context;
	char words[64]; /* what contains it */
} holder = {.life = -1, .sidecar = {.fd = -1}};

/* --- its start --- */

/* The gateway's ends of all channels. 0, or -1 with `fds[0..*got]` open. */
static int fetch_channels(int *fds, unsigned count, unsigned *got)
{
	*got = 0;
	while (*got < count) {
		const struct keywire_request request = {.kind = KEYWIRE_CHANNELS, .slot = *got};
		struct keywire_answer answer;
		int some[SIDECAR_DESCRIPTORS_MAX];
		size_t came;

		if (sidecar_send(holder.sidecar.fd, &request, sizeof(request), NULL, 0) != 0 ||
		    sidecar_receive(holder.sidecar.fd, &answer, sizeof(answer), some, &came) != (ssize_t)sizeof(answer))
			return -1;
		for (size_t i = 0; i < came; i++)
			if (*got < count)
				fds[(*got)++] = some[i];
			else
				close(some[i]);
		if (came == 0)
			return -1;
	}
	return 0;
}

int keyholder_open(const struct config *config, unsigned workers, struct error *error)
{
	struct keyholder_task task = {.config = (struct config *)(uintptr_t)config, .channels = workers + 2};
	int fds[KEYHOLDER_CHANNELS_MOST];
	unsigned got = 0;

	if (config->keys.process != CHOICE_YES)
		return 0;
	if (task.channels > KEYHOLDER_CHANNELS_MOST)
		return error_set(error, "[keys] process = yes is for at most %u workers: set workers",
		                 KEYHOLDER_CHANNELS_MOST - 2);
	if (sidecar_start(&holder.sidecar, "cci-keys", keyholder_serve, &task, error) != 0)
		return -1;
	if (fetch_channels(fds, task.channels, &got) != 0 || got == 0) {
		while (got > 0)
			close(fds[--got]);
		return error_set(error, "the key process cannot make its sockets: raise the limit of open files (LimitNOFILE=, "
		                        "ulimit -n)");
	}
	holder.life = fds[got - 1];
	return keyclient_open(holder.sidecar.fd, fds, got - 1, error);
}

int keyholder_settle(struct error *error)
{
	char words[sizeof(error->text)];
	size_t size = sizeof(words) - 1;
	enum keywire_result result;

	if (holder.sidecar.pid <= 0)
		return 0;
	result = keyclient_ask(KEYWIRE_SETTLE, words, &size);
	if (result == KEYWIRE_DONE) {
		(void)snprintf(holder.words, sizeof(holder.words), "%.*s", (int)size, words);
		return 0;
	}
	words[result == KEYWIRE_FAILED ? size : 0] = '\0';
	return error_set(error, "the key process: %s", result == KEYWIRE_FAILED ? words : keywire_words(result));
}

/* --- is it there? --- */

static void on_life(uv_poll_t *watch, int status, int events)
{
	struct keywire_answer answer;
	ssize_t got = recv(holder.life, &answer, sizeof(answer), MSG_DONTWAIT);

	(void)status;
	(void)events;
	if (got > 0) {
		holder.is_asked = holder.is_asked && answer.sequence != holder.sequence;
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)uv_poll_stop(watch);
	holder.has_ended = true;
	holder.ended(holder.context);
}

int keyholder_watch(uv_loop_t *loop, void (*ended)(void *context), void *context, struct error *error)
{
	if (holder.sidecar.pid <= 0)
		return 0;
	if (uv_poll_init(loop, &holder.watch, holder.life) != 0)
		return error_set(error, "the key process cannot be watched: not enough memory");
	holder.is_watched = true;
	holder.ended = ended;
	holder.context = context;
	(void)uv_poll_start(&holder.watch, UV_READABLE, on_life);
	return 0;
}

static void ask(void)
{
	const struct keywire_request request = {.kind = KEYWIRE_PING, .sequence = ++holder.sequence};

	holder.silence = 0;
	holder.is_asked = send(holder.life, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

void keyholder_tick(void)
{
	if (!holder.is_watched || holder.has_ended)
		return;
	if (!holder.is_asked) {
		if (holder.said)
			log_say(MESSAGE_KEYS_ANSWER, "pid=%d", (int)holder.sidecar.pid);
		holder.said = false;
		ask();
		return;
	}
	holder.silence++;
	if (holder.silence < SILENT_TICKS || holder.said)
		return;
	holder.said = true;
	log_say(MESSAGE_KEYS_SILENT, "pid=%d", (int)holder.sidecar.pid);
}

const char *keyholder_trouble(void)
{
	if (holder.has_ended)
		return "the key process has ended: nobody can sign";
	return holder.said ? "the key process does not answer: handshakes fail" : NULL;
}

const char *keyholder_words(void)
{
	return holder.sidecar.pid > 0 ? holder.words : NULL;
}

int keyholder_pid(void)
{
	return (int)holder.sidecar.pid;
}

/* --- its end --- */

void keyholder_close(void)
{
	keyclient_close();
	holder.is_watched = false;
	if (holder.life >= 0)
		close(holder.life);
	holder.life = -1;
	sidecar_stop(&holder.sidecar);
}
