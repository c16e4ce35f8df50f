/*
 * The command `ctl` against a gateway that is somebody else: its verbs and options, and any bytes as the answer, some of them
 * JSON of the members that answers have. Nothing reaches the terminal that is not printable ASCII, a line feed or (CSV) a carriage return before
 * it; with --json what is printed is what was answered; the status is 0 or 1, and 1 comes with words.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "control_command.h"
#include "jsonmake.h"
#include "output.h"

#define ANSWER_MOST (64 * 1024) /* fits into a socket */

static int gateway; /* whom the command connects to */

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_socket(int domain, int type, int protocol);

int __wrap_socket(int domain, int type, int protocol)
{
	int fd = gateway;

	(void)domain, (void)type, (void)protocol;
	gateway = -1;
	return fd;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)fd, (void)address, (void)size;
	return 0;
}

/* --- what is answered --- */

static void append(struct output *answer, json_t *whole)
{
	FUZZ_CHECK(json_dumpf(whole, answer->stream, JSON_COMPACT) == 0, "the fuzzer itself: no JSON");
	(void)fputc('\n', answer->stream);
	json_decref(whole);
}

/* One line, of one of the forms that there are, or nearly so. */
static void make_line(struct input *input, struct output *answer)
{
	json_t *whole = json_object();
	uint8_t form = input_byte(input) % 8;

	if (form == 0) {
		(void)json_object_set_new(whole, "error", make_json(input, 2));
		(void)json_object_set_new(whole, "findings", make_json(input, 2));
	} else if (form == 1) {
		(void)json_object_set_new(whole, "error", make_json_text(input));
	} else {
		(void)json_object_set_new(whole, "answer", make_json(input, 4));
	}
	append(answer, whole);
}

static void make_answer(struct input *input, struct output *answer)
{
	(void)output_begin(answer);
	if (input_byte(input) % 4 == 0)
		(void)fwrite(input->at, 1, input->size < ANSWER_MOST ? input->size : ANSWER_MOST, answer->stream);
	else
		for (unsigned lines = 0; input->size > 0 && lines < 4; lines++)
			make_line(input, answer);
	output_end(answer);
}

/* A descriptor to read it from, half-closed at its end. */
static int connection_with(const struct output *answer)
{
	size_t size = answer->size < ANSWER_MOST ? answer->size : ANSWER_MOST;
	int pair[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "no sockets");
	FUZZ_CHECK(send(pair[1], answer->text, size, MSG_DONTWAIT) == (ssize_t)size, "a socket is too small");
	(void)shutdown(pair[1], SHUT_WR);
	gateway = pair[0];
	return pair[1];
}

/* --- what is printed --- */

/* CSV ends its lines as RFC 4180 says. */
static void check_printed(struct output *printed, bool csv)
{
	size_t used = 0;

	for (size_t i = 0; i < printed->size; i++)
		if (!csv || printed->text[i] != '\r' || printed->text[i + 1] != '\n')
			printed->text[used++] = printed->text[i];
	printed->size = used;
	output_is_tame(printed);
}

/* Every line is a value of JSON, and the answer's. */
static void check_same(const struct output *printed, const struct output *answer)
{
	const char *at = answer->text, *line = printed->text, *end = printed->text + printed->size;

	while (line < end) {
		size_t size = (size_t)((const char *)memchr(line, '\n', (size_t)(end - line)) - line), answered = strcspn(at, "\n");
		json_t *said = json_loadb(line, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		json_t *whole = json_loadb(at, answered, JSON_ALLOW_NUL, NULL);

		FUZZ_CHECK(said != NULL, "--json prints what is no JSON");
		FUZZ_CHECK(json_equal(said, json_object_get(whole, "answer")), "--json prints another value");
		json_decref(said);
		json_decref(whole);
		line += size + 1;
		at += answered + 1;
	}
}

static int run(int count, char **words, struct output *out, struct output *err)
{
	FILE *usual_out = stdout, *usual_err = stderr;
	int status;

	optind = 0;
	stdout = output_begin(out);
	stderr = output_begin(err);
	status = control_command(PROGRAM_CCISSLGW, NULL, count, words);
	stdout = usual_out;
	stderr = usual_err;
	output_end(out);
	output_end(err);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *const options[] = {NULL, (char[]){"--json"}, (char[]){"--names"}, (char[]){"--csv"}};
	char *words[10] = {(char[]){"ctl"}, (char[]){"--socket"}, (char[]){"/x"}};
	struct output answer, out, err;
	const struct control_verb *verb;
	struct input input;
	int status, far, count = 3;
	char *option;

	input_open(&input, bytes, size);
	verb = &control_verbs[input_below(&input, (unsigned)control_verb_count)];
	option = options[input_below(&input, strcmp(verb->name, "report") == 0 ? 4 : 2)];
	if (option != NULL)
		words[count++] = option;
	words[count++] = (char *)(uintptr_t)verb->name;
	for (size_t i = 0; i < verb->least; i++)
		words[count++] = (char[]){"ABCD"};
	make_answer(&input, &answer);
	far = connection_with(&answer);
	status = run(count, words, &out, &err);
	FUZZ_CHECK(gateway == -1, "nobody was asked: %s", err.text);
	FUZZ_CHECK(status == (err.size > 0), "status %d, %zu bytes of errors", status, err.size);
	check_printed(&out, option == options[3] && option != NULL);
	check_printed(&err, false);
	if (option == options[1] && option != NULL)
		check_same(&out, &answer);
	free(out.text);
	free(err.text);
	free(answer.text);
	(void)close(far);
	input_close(&input);
	return 0;
}
