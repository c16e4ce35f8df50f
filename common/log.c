/* Log lines: built in logfmt, collected by each thread, written without ever blocking one. */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define BATCH_SIZE (32 * 1024)

struct batch {
	size_t used;
	uint64_t began_ms; /* when its first line came */
	unsigned lines;
	char bytes[BATCH_SIZE];
};

static _Thread_local struct batch batch;
static atomic_int sink = LOG_STDERR;
static atomic_int threshold = LEVEL_WARNING;
static atomic_bool may_block; /* standard error is a regular file: poll says nothing about it, and it never blocks */
static atomic_ullong lost;
static unsigned long long lost_said; /* under the lock */
static bool torn;                    /* under the lock: the last write ended inside a line */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_words[] = {"error", "warning", "info", "debug"};

int log_open(enum log_sink where, enum level level, const char *program, struct error *error)
{
	struct stat status;

	if (where == LOG_STDERR && fstat(STDERR_FILENO, &status) != 0)
		return error_set(error, "standard error is closed: open it, or log to syslog");
	atomic_store(&may_block, where == LOG_STDERR && !S_ISREG(status.st_mode));
	if (where == LOG_SYSLOG)
		openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	atomic_store(&sink, (int)where);
	atomic_store(&threshold, (int)level);
	return 0;
}

void log_set_level(enum level level)
{
	atomic_store(&threshold, (int)level);
}

enum level log_level(void)
{
	return (enum level)atomic_load(&threshold);
}

const char *log_level_word(enum level level)
{
	return level_words[level];
}

int log_level_named(const char *word)
{
	for (int i = 0; i < (int)(sizeof(level_words) / sizeof(level_words[0])); i++)
		if (strcmp(level_words[i], word) == 0)
			return i;
	return -1;
}

int log_wanted(enum message message)
{
	return (int)message_level(message) <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

static void put_time(struct text *text)
{
	text_puts(text, "time=");
	text_put_utc(text, clock_utc_us());
}

/* Without printf: a connection writes some hundred keys. */
static void put_key(struct text *text, const char *key)
{
	text_puts(text, " ");
	text_puts(text, key);
	text_puts(text, "=");
}

void log_begin(struct logline *line, enum message message, const char *conn)
{
	line->message = message;
	/* Room for " cut=yes" and the line's end stays. */
	text_init(&line->text, line->buffer, sizeof(line->buffer) - 16);
	put_time(&line->text);
	put_key(&line->text, "level");
	text_puts(&line->text, level_words[message_level(message)]);
	put_key(&line->text, "id");
	text_puts(&line->text, message_id(message));
	put_key(&line->text, "msg");
	text_puts(&line->text, "\"");
	text_puts(&line->text, message_text(message));
	text_puts(&line->text, "\"");
	log_text(line, "conn", conn);
}

/* Letters, digits and @#$._:/,+*-[] need no quotes: a bit for each of the first 128 codes. */
static const uint32_t plain_codes[4] = {0x00000000, 0x07fffc18, 0xafffffff, 0x07fffffe};

static bool is_plain(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c > 127 || (plain_codes[c / 32] >> c % 32 & 1) == 0)
			return false;
	}
	return true;
}

void log_bytes(struct logline *line, const char *key, const char *bytes, size_t length)
{
	if (length == 0)
		return;
	put_key(&line->text, key);
	if (is_plain(bytes, length)) {
		text_put(&line->text, bytes, length);
		return;
	}
	text_puts(&line->text, "\"");
	text_put_escaped(&line->text, bytes, length);
	text_puts(&line->text, "\"");
}

void log_text(struct logline *line, const char *key, const char *value)
{
	if (value != NULL)
		log_bytes(line, key, value, strlen(value));
}

void log_number(struct logline *line, const char *key, uint64_t number)
{
	put_key(&line->text, key);
	text_put_number(&line->text, number, 1);
}

void log_hex(struct logline *line, const char *key, const uint8_t *bytes, size_t length)
{
	put_key(&line->text, key);
	text_put_hex(&line->text, bytes, length);
}

void log_format(struct logline *line, const char *key, const char *format, ...)
{
	char value[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	log_text(line, key, value);
}

/* Would a write to standard error go through without waiting? */
static bool can_write(void)
{
	struct pollfd descriptor = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (!atomic_load(&may_block))
		return true;
	return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLOUT) != 0;
}

/* Write in pieces that a pipe said to be ready takes whole (POSIX: PIPE_BUF). Bytes written. */
static size_t write_some(const char *bytes, size_t size)
{
	size_t done = 0;

	while (done < size && can_write()) {
		size_t most = atomic_load(&may_block) && size - done > 4096 ? 4096 : size - done;
		ssize_t went = write(STDERR_FILENO, bytes + done, most);

		if (went > 0)
			done += (size_t)went;
		else if (went == 0 || errno != EINTR)
			break;
	}
	return done;
}

static unsigned count_lines(const char *bytes, size_t size)
{
	unsigned lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += bytes[i] == '\n';
	return lines;
}

/* What was lost is said as soon as lines pass again. Under the lock. */
static void say_lost(void)
{
	unsigned long long now = atomic_load(&lost);
	char bytes[256];
	struct text text;

	if (now == lost_said)
		return;
	text_init(&text, bytes, sizeof(bytes));
	if (torn)
		text_puts(&text, "\n");
	put_time(&text);
	text_printf(&text, " level=warning id=%s msg=\"%s\" lines=%llu\n", message_id(MESSAGE_LOG_LOST),
	            message_text(MESSAGE_LOG_LOST), now - lost_said);
	if (write_some(text.at, text.used) == text.used) {
		lost_said = now;
		torn = false;
	}
}

static void write_batch(const char *bytes, size_t size)
{
	size_t done;

	(void)pthread_mutex_lock(&lock);
	say_lost();
	if (torn && write_some("\n", 1) == 1)
		torn = false;
	done = torn ? 0 : write_some(bytes, size);
	if (done < size) {
		torn = torn || (done > 0 && bytes[done - 1] != '\n');
		atomic_fetch_add(&lost, count_lines(bytes + done, size - done));
	}
	(void)pthread_mutex_unlock(&lock);
}

void log_flush(void)
{
	size_t used = batch.used;

	if (used == 0)
		return;
	batch.used = 0;
	write_batch(batch.bytes, used);
}

static uint64_t clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void log_flush_due(void)
{
	if (batch.used > BATCH_SIZE / 2 || (batch.used > 0 && clock_ms() - batch.began_ms >= LOG_DELAY_MS))
		log_flush();
}

int log_delay_ms(void)
{
	return batch.used > 0 ? LOG_DELAY_MS : -1;
}

static void to_syslog(const struct logline *line)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

	syslog(priorities[message_level(line->message)], "%s", line->buffer);
}

void log_end(struct logline *line)
{
	if (!log_wanted(line->message))
		return;
	line->text.size = sizeof(line->buffer);
	if (line->text.cut)
		text_puts(&line->text, " cut=yes");
	if (atomic_load(&sink) == LOG_SYSLOG) {
		to_syslog(line);
		return;
	}
	text_puts(&line->text, "\n");
	if (batch.used + line->text.used > BATCH_SIZE)
		log_flush();
	if (batch.used == 0)
		batch.began_ms = clock_ms();
	memcpy(batch.bytes + batch.used, line->buffer, line->text.used);
	batch.used += line->text.used;
	if (message_level(line->message) == LEVEL_ERROR)
		log_flush();
}

void log_say(enum message message, const char *format, ...)
{
	struct logline line;
	char detail[1024];
	va_list arguments;

	if (!log_wanted(message))
		return;
	va_start(arguments, format);
	(void)vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	log_begin(&line, message, NULL);
	log_text(&line, "detail", detail);
	log_end(&line);
}

uint64_t log_lost(void)
{
	return atomic_load(&lost);
}
