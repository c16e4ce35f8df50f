/*
 * The log: one logfmt line an event, to standard error or syslog, from any thread. A line is built in the caller's
 * structure, every value is escaped to printable ASCII, lines collect in a buffer of the thread and leave it at the
 * end of a loop turn (errors at once). A sink that cannot take lines (full disk, full pipe) never blocks a thread:
 * lines are dropped, counted, and the count is said when lines pass again. Knows nothing of sessions.
 */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "messages.h"
#include "text.h"

#define LOG_LINE_SIZE 4096

enum log_sink { LOG_STDERR, LOG_SYSLOG };

/* A line under construction; on the caller's stack. */
struct logline {
	enum message message;
	struct text text;
	char buffer[LOG_LINE_SIZE];
};

/* Open the log for the whole process, or change its sink and level. `program` is borrowed for ever. Until the
 * first call lines of level warning and up go to standard error. 0 or -1 with `error`. */
int log_open(enum log_sink sink, enum level level, const char *program, struct error *error) MUST_CHECK;

/* Change the level alone, until log_open sets it anew. Any thread. */
void log_set_level(enum level level);
enum level log_level(void);

/* The word of a level as [log] level writes it. Never NULL. */
const char *log_level_word(enum level level);

/* The level that `word` names; -1: none. */
int log_level_named(const char *word) MUST_CHECK;

/* Would a line of this message be written now? Lets a caller skip building it. */
int log_wanted(enum message message);

/* Begin a line: time=, level=, id=, msg= and, where `conn` is not NULL, conn= (the connection id in hex). */
void log_begin(struct logline *line, enum message message, const char *conn);

/* Add key=value. `key` is ours and written as it is. A NULL or empty value adds nothing. Values with anything but
 * [A-Za-z0-9@#$._:/,+*-] and brackets are quoted and escaped. */
void log_text(struct logline *line, const char *key, const char *value);
void log_bytes(struct logline *line, const char *key, const char *bytes, size_t length);
void log_number(struct logline *line, const char *key, uint64_t number);
void log_hex(struct logline *line, const char *key, const uint8_t *bytes, size_t length);

/* Add key=value from a printf format. */
void log_format(struct logline *line, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);

/* Hand the line over. A line that was cut ends in "cut=yes". */
void log_end(struct logline *line);

/* One line in one call: the message with one formatted detail= value. */
void log_say(enum message message, const char *format, ...) PRINTF_LIKE(2, 3);

/* Write this thread's collected lines out now. Called before a thread ends or sleeps for long. */
void log_flush(void);

/* The same where lines have waited for LOG_DELAY_MS or are many: for a loop that calls it every turn, so that a busy
 * thread does not take the common lock for every line. How long such a loop may sleep, in milliseconds: -1 without
 * lines. Lines of level error never wait. */
#define LOG_DELAY_MS 10
void log_flush_due(void);
int log_delay_ms(void);

/* Lines dropped since the start because the sink could not take them. */
uint64_t log_lost(void);

#endif
