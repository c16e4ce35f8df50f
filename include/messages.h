/*
 * The messages of both programs: one table with a stable id each, the level, the words, and what to do. The table
 * also makes docs/messages.md. Ids are never reused; a message that is dropped leaves a hole.
 */
#ifndef MESSAGES_H
#define MESSAGES_H

enum level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

#include "messages_table.h"

enum message {
#define MESSAGE(name, id, level, text, action) MESSAGE_##name,
	MESSAGE_TABLE(MESSAGE)
#undef MESSAGE
	    MESSAGE_COUNT
};

/* The stable id, such as "CCI1001I": I information, W warning, E error. */
const char *message_id(enum message message);

enum level message_level(enum message message);

/* The words of the message, and what an operator does about it. Never NULL. */
const char *message_text(enum message message);
const char *message_action(enum message message);

#endif
