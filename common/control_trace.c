/* Traces over the control socket: from the rings of trace.h to who asked. */
#include "control_trace.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "control_parts.h"
#include "control_print.h"
#include "daemon_parts.h"
#include "inspect.h"
#include "jsontext.h"
#include "trace.h"

#define WORD_SIZE 128 /* a name, an id, a network */
#define SLICE_BYTES (64 * 1024)
#define READERS_MOST 8 /* each holds a place at the socket for as long as it likes */

/* --- what is meant --- */

static int find_id(struct control_request *request, const char *digits, struct trace_target *target)
{
	struct text text;

	if (inspect_find(request->daemon, digits, target->id, &request->error) != 0)
		return -1;
	target->kind = TRACE_ID;
	text_init(&text, target->words, sizeof(target->words));
	text_put_hex(&text, target->id, sizeof(target->id));
	return 0;
}

static bool is_network(const char *word)
{
	return strchr(word, '.') != NULL || strchr(word, ':') != NULL || strchr(word, '/') != NULL;
}

static int parse_target(struct control_request *request, const char *word, struct trace_target *target)
{
	char buffer[ADDRESS_TEXT_SIZE];

	*target = (struct trace_target){.kind = TRACE_SYSID};
	if (strncmp(word, "sysid=", 6) == 0) {
		if (!name_pattern_valid(word + 6))
			return error_set(&request->error, "%s is no name, nor a pattern of names", word + 6);
		(void)snprintf(target->words, sizeof(target->words), "%s", word);
		return 0;
	}
	if (strncmp(word, "source=", 7) == 0)
		word += 7;
	else if (!is_network(word))
		return find_id(request, word, target);
	target->kind = TRACE_SOURCE;
	if (network_parse(word, &target->source, &request->error) != 0)
		return -1;
	(void)snprintf(target->words, sizeof(target->words), "%s", network_format(&target->source, buffer));
	return 0;
}

/* One that ended before its trace began would be waited for in vain. */
static bool has_ended(struct control_request *request, const struct trace_target *target)
{
	uint8_t id[PARAMS_CONNECTION_SIZE];

	return target->kind == TRACE_ID && inspect_find(request->daemon, target->words, id, &request->error) != 0;
}

/* --- an answer that goes on --- */

/* One that is read. Its memory goes when its handle is closed. */
struct reader {
	struct control_reply *reply;
	struct trace *trace;
	uint64_t next, missed;
	uv_async_t woken;
	char buffer[SLICE_BYTES];
};

static unsigned reader_count; /* main thread */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_reader(struct reader *reader)
{
	reader_count--;
	trace_close(reader->trace);
	reader->trace = NULL;
	uv_close((uv_handle_t *)&reader->woken, on_closed);
}

static void on_gone(void *owner)
{
	close_reader(owner);
}

static void send_line(struct reader *reader, const char *line)
{
	json_t *answer = json_loads(line, 0, NULL);

	/* What was not taken is said with the next line that is. */
	if (answer == NULL || control_send(reader->reply, answer) != 0)
		reader->missed++;
}

static void say_missed(struct reader *reader)
{
	uint64_t missed = reader->missed;

	if (missed > 0 && control_send(reader->reply, json_pack("{s:I}", "missed", (json_int_t)missed)) == 0)
		reader->missed -= missed;
}

/* One slice a turn: others are served in between. */
static void on_woken(uv_async_t *async)
{
	struct reader *reader = async->data;
	char *line, *rest = reader->buffer;
	bool over;
	uint64_t missed;
	size_t got;

	if (reader->trace == NULL)
		return;
	over = trace_over(reader->trace);
	got = eventring_take(trace_ring(reader->trace), &reader->next, reader->buffer, sizeof(reader->buffer) - 1, &missed);
	reader->buffer[got] = '\0';
	reader->missed += missed;
	say_missed(reader);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0')
		send_line(reader, line);
	if (got > 0 || over)
		(void)uv_async_send(&reader->woken);
	if (got > 0 || !over)
		return;
	say_missed(reader);
	control_finish(reader->reply);
	close_reader(reader);
}

/* Any thread. */
static void on_line(void *owner)
{
	(void)uv_async_send(&((struct reader *)owner)->woken);
}

static json_t *start_reader(struct control_request *request, const struct trace_target *target)
{
	struct reader *reader;

	if (reader_count >= READERS_MOST) {
		(void)error_set(&request->error,
		                "%d traces are followed already: end one of them, or let the log follow: trace %s on",
		                READERS_MOST, target->words);
		return NULL;
	}
	reader = calloc(1, sizeof(*reader));
	if (reader == NULL || uv_async_init(&request->daemon->loop, &reader->woken, on_woken) != 0) {
		free(reader);
		(void)error_set(&request->error, "not enough memory");
		return NULL;
	}
	reader_count++;
	reader->woken.data = reader;
	reader->next = 1;
	reader->trace = trace_open(target, on_line, reader, &request->error);
	if (reader->trace == NULL || (!trace_over(reader->trace) && has_ended(request, target))) {
		close_reader(reader);
		return NULL;
	}
	reader->reply = control_later(request, on_gone, reader);
	if (control_send(reader->reply, json_pack("{s:s}", "tracing", target->words)) != 0)
		reader->missed++;
	(void)uv_async_send(&reader->woken);
	return NULL;
}

/* --- the verb --- */

static json_t *say(const char *before, const char *words, const char *after)
{
	json_t *answer = json_object();
	char text[256];

	(void)snprintf(text, sizeof(text), "%s%s%s", before, words, after);
	json_put_text(answer, "text", text);
	return answer;
}

static json_t *start_log(struct control_request *request, const struct trace_target *target)
{
	if (trace_log_on(target, &request->error) != 0)
		return NULL;
	if (!has_ended(request, target))
		return say("the log gets the trace of ", target->words,
		           target->kind == TRACE_ID ? " until it ends" : " until it is switched off");
	(void)!trace_log_off(target->words);
	return NULL;
}

static json_t *switch_log(struct control_request *request, const char *word, bool on)
{
	struct trace_target target;

	if (!on && trace_log_off(word))
		return say("the log gets no more of ", word, "");
	if (parse_target(request, word, &target) != 0)
		return NULL;
	if (!on && trace_log_off(target.words))
		return say("the log gets no more of ", target.words, "");
	if (on)
		return start_log(request, &target);
	(void)error_set(&request->error, "%s is not traced into the log; trace alone lists what is", target.words);
	return NULL;
}

json_t *control_trace_run(struct control_request *request)
{
	struct trace_target target;
	size_t count = request->count;
	char *const *words = request->words;

	if (count == 0)
		return trace_list();
	/* Who follows whom, and what the log gets, is written down; who looks at the list is not. */
	control_say_told(request, "trace");
	/* `source NETWORK` is `NETWORK`. */
	if (strcmp(words[0], "source") == 0 && count > 1) {
		words++;
		count--;
	}
	if (count == 2 && (strcmp(words[1], "on") == 0 || strcmp(words[1], "off") == 0))
		return switch_log(request, words[0], strcmp(words[1], "on") == 0);
	if (count != 1)
		(void)error_set(&request->error, "trace takes other words: trace ID|NETWORK|sysid=NAME [on|off]");
	else if (parse_target(request, words[0], &target) == 0)
		return start_reader(request, &target);
	return NULL;
}

/* --- for people --- */

/* The gateway has escaped what strangers said; whatever else is not printable is shown as bytes. */
static void print_member(const json_t *object, const char *name, FILE *stream)
{
	control_print_escaped(json_object_get(object, name), stream);
}

/* A short word of ours, in a column: what does not fit, or is not printable, is cut off. */
static const char *word(const json_t *object, const char *name, char buffer[WORD_SIZE])
{
	const char *text = json_string_value(json_object_get(object, name));
	size_t length = 0;

	while (text != NULL && text[length] >= ' ' && text[length] <= '~' && length + 1 < WORD_SIZE)
		length++;
	(void)snprintf(buffer, WORD_SIZE, "%.*s", (int)length, text != NULL ? text : "");
	return buffer;
}

static void print_line(const json_t *line, FILE *stream)
{
	char connection[WORD_SIZE], side[WORD_SIZE];

	(void)fprintf(stream, "%.8s %10lld us  %-5s  ", word(line, "connection", connection),
	              (long long)json_integer_value(json_object_get(line, "us")), word(line, "side", side));
	print_member(line, "stage", stream);
	(void)fputs(": ", stream);
	print_member(line, "detail", stream);
	(void)fputc('\n', stream);
	if (json_string_length(json_object_get(line, "hex")) == 0)
		return;
	(void)fprintf(stream, "%32s", "");
	print_member(line, "hex", stream);
	(void)fputc('\n', stream);
}

static void print_active(const json_t *trace, FILE *stream)
{
	char words[WORD_SIZE], to[WORD_SIZE];

	(void)fprintf(stream, "%-40s to %-6s %lld lines\n", word(trace, "trace", words), word(trace, "to", to),
	              (long long)json_integer_value(json_object_get(trace, "lines")));
}

int control_trace_print(const json_t *answer, FILE *stream)
{
	const json_t *one;
	size_t i;

	if (json_is_array(answer)) {
		if (json_array_size(answer) == 0)
			(void)fputs("nothing is traced\n", stream);
		json_array_foreach(answer, i, one)
			print_active(one, stream);
	} else if (json_object_get(answer, "missed") != NULL) {
		(void)fprintf(stream, "... %lld lines were missed\n",
		              (long long)json_integer_value(json_object_get(answer, "missed")));
	} else if (json_object_get(answer, "tracing") != NULL) {
		(void)fputs("tracing ", stream);
		print_member(answer, "tracing", stream);
		(void)fputs("; Ctrl-C ends\n", stream);
	} else {
		print_line(answer, stream);
	}
	return fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}
