/*
 * The server side of the control socket: requests of any bytes in any pieces, some of them half-closed, over a socket pair; the
 * verbs are the real ones, the gateway under them is not there (control_world.c). A request that is not one whole line of
 * printable words that a verb takes changes nothing and gets one error; one that is gets lines of JSON, the right number of them, and
 * the end. Afterwards there is no client, no handle, no trace.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_parts.h"
#include "control_world.h"
#include "jsonmake.h"
#include "output.h"

#define TURNS 64
#define ANSWER_MOST (256 * 1024)

struct meeting {
	struct control control;
	int fd;
	bool half_closed, ended;
	size_t used;
	char request[2 * CONTROL_REQUEST_BYTES];
	size_t got;
	char answer[ANSWER_MOST];
};

static struct meeting meeting;

/* --- what has to come of it --- */

enum verdict { WAITS, LEAVES, REFUSED, TAKEN };

static bool is_word(char byte)
{
	return byte > ' ' && byte <= '~';
}

/* Words of the line, counted; the first into `verb`. -1: not printable. */
static int words_of(const char *line, size_t size, char *verb, size_t most)
{
	int count = 0;

	verb[0] = '\0';
	for (size_t i = 0; i < size; i++) {
		size_t begin = i;

		if (line[i] == ' ' || line[i] == '\t' || line[i] == '\r')
			continue;
		while (i < size && is_word(line[i]))
			i++;
		if (i < size && line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return -1;
		if (count++ == 0)
			(void)snprintf(verb, most, "%.*s", (int)(i - begin), line + begin);
	}
	return count;
}

/* By docs/control.md. */
static enum verdict judge(const struct control_verb **verb)
{
	const char *end = memchr(meeting.request, '\n', meeting.used < CONTROL_REQUEST_BYTES ? meeting.used : CONTROL_REQUEST_BYTES);
	size_t size = end != NULL ? (size_t)(end - meeting.request) : meeting.used;
	char name[CONTROL_REQUEST_BYTES + 1];
	int count;

	*verb = NULL;
	if (end == NULL && meeting.used >= CONTROL_REQUEST_BYTES)
		return REFUSED;
	if (end == NULL && (!meeting.half_closed || meeting.used == 0))
		return meeting.half_closed ? LEAVES : WAITS;
	count = words_of(meeting.request, size, name, sizeof(name));
	if (count <= 0 || count > CONTROL_WORDS)
		return REFUSED;
	for (size_t i = 0; i < control_verb_count; i++)
		if (strcmp(control_verbs[i].name, name) == 0 && (control_verbs[i].programs & PROGRAM_CCISSLGW) != 0 &&
		    (size_t)count - 1 >= control_verbs[i].least && (size_t)count - 1 <= control_verbs[i].most)
			*verb = &control_verbs[i];
	return *verb != NULL ? TAKEN : REFUSED;
}

/* --- what does --- */

/* {"ok":true,"answer":...} or {"ok":false,"error":"words"...}. */
static bool check_line(const char *line, size_t size)
{
	json_t *whole = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	const json_t *ok = json_object_get(whole, "ok");
	bool result = json_is_true(ok);

	for (size_t i = 0; i < size; i++)
		FUZZ_CHECK(line[i] >= ' ' && line[i] <= '~', "byte %02x in an answer", (unsigned)(unsigned char)line[i]);
	FUZZ_CHECK(json_is_boolean(ok), "a line without ok: %.*s", (int)size, line);
	if (result)
		FUZZ_CHECK(json_object_get(whole, "answer") != NULL && json_object_size(whole) == 2, "a line without an answer");
	else
		FUZZ_CHECK(json_string_length(json_object_get(whole, "error")) > 0, "an error without words");
	json_decref(whole);
	return result;
}

static void check_answer(enum verdict verdict, const struct control_verb *verb)
{
	const char *at = meeting.answer, *end = meeting.answer + meeting.got, *line_end;
	bool goes_on = verb != NULL && strcmp(verb->name, "trace") == 0;
	size_t lines = 0, good = 0;

	for (; at < end; at = line_end + 1, lines++) {
		line_end = memchr(at, '\n', (size_t)(end - at));
		FUZZ_CHECK(line_end != NULL, "a line without an end");
		good += check_line(at, (size_t)(line_end - at));
	}
	if (verdict == WAITS || verdict == LEAVES) {
		FUZZ_CHECK(lines == 0 && meeting.ended == (verdict == LEAVES), "%zu lines to no request", lines);
		return;
	}
	FUZZ_CHECK(lines == 1, "%zu lines", lines);
	FUZZ_CHECK(meeting.ended || (goes_on && good == 1), "it does not end");
	if (verdict == REFUSED)
		FUZZ_CHECK(good == 0 && world_calls() == 0, "a bad request does something");
	FUZZ_CHECK(verb == NULL || verb->changes || goes_on || strcmp(verb->name, "ratchet") == 0 || world_changes() == 0,
	           "%s changes something", verb != NULL ? verb->name : "");
}

/* --- the meeting --- */

static void turn(void)
{
	for (ssize_t got = 1; got > 0 && !meeting.ended; meeting.got += got > 0 ? (size_t)got : 0) {
		(void)uv_run(&world_gateway.loop, UV_RUN_NOWAIT);
		world_turn();
		got = recv(meeting.fd, meeting.answer + meeting.got, ANSWER_MOST - meeting.got, MSG_DONTWAIT);
		meeting.ended = got == 0 || (got < 0 && errno == ECONNRESET);
	}
	FUZZ_CHECK(meeting.got < ANSWER_MOST, "an answer without end");
}

static void say(struct input *input)
{
	size_t size = input_below(input, 300), room = sizeof(meeting.request) - meeting.used;
	uint8_t form = input_byte(input);
	char piece[300];

	if (size > input->size)
		size = input->size;
	if (size > room)
		size = room;
	input_bytes(input, piece, size);
	if (form >= 0xf0) /* long ones, cheaply */
		memset(piece, 'x', size = room < sizeof(piece) ? room : sizeof(piece));
	if (size > 0 && send(meeting.fd, piece, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size) {
		memcpy(meeting.request + meeting.used, piece, size);
		meeting.used += size;
	}
	if (form % 2 == 0)
		turn();
}

static void meet(struct input *input)
{
	const struct control_verb *verb;
	enum verdict verdict;
	int pair[2];

	memset(&meeting, 0, offsetof(struct meeting, answer));
	meeting.control.daemon = &world_gateway;
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "no sockets");
	meeting.fd = pair[1];
	control_serve(&meeting.control, pair[0]);
	for (unsigned pieces = 1 + input_below(input, 20); pieces > 0 && !meeting.ended; pieces--)
		say(input);
	if (!meeting.ended && input_byte(input) % 2 == 0) {
		meeting.half_closed = true;
		(void)shutdown(meeting.fd, SHUT_WR);
	}
	for (unsigned i = 0; i < TURNS && !meeting.ended; i++)
		turn();
	verdict = judge(&verb);
	check_answer(verdict, verb);
	(void)close(meeting.fd);
	control_cut(&meeting.control);
	FUZZ_CHECK(meeting.control.clients == NULL && meeting.control.count == 0, "a client is left");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input;

	input_open(&input, bytes, size);
	world_begin(&input);
	meet(&input);
	world_end();
	input_close(&input);
	return 0;
}
