/* The message table, looked up. */
#include "messages.h"

static const struct row {
	const char *id;
	enum level level;
	const char *text, *action;
} table[] = {
#define MESSAGE(name, id, level, text, action) {id, level, text, action},
    MESSAGE_TABLE(MESSAGE)
#undef MESSAGE
};

const char *message_id(enum message message)
{
	return table[message].id;
}

enum level message_level(enum message message)
{
	return table[message].level;
}

const char *message_text(enum message message)
{
	return table[message].text;
}

const char *message_action(enum message message)
{
	return table[message].action;
}
