/* Prints docs/messages.md from the tables of messages and reasons. */
#include <stdio.h>

#include "messages.h"
#include "reason.h"

int main(void)
{
	static const char *const levels[] = {"error", "warning", "info", "debug"};

	printf("# Messages\n\nMade from the program's own tables by `make docs`. An id never changes its meaning: sites may "
	       "act on it.\n\n| id | level | words | what to do |\n|---|---|---|---|\n");
	for (int i = 0; i < MESSAGE_COUNT; i++) {
		enum message message = (enum message)i;

		printf("| %s | %s | %s | %s |\n", message_id(message), levels[message_level(message)], message_text(message),
		       message_action(message));
	}
	printf("\n# Reasons\n\nEvery connection ends with one closing record: `reason=` is one of these words, logged under "
	       "the message beside it. Code is what a REFUSE for it carries (docs/protocol.md); 0: none is sent.\n\n"
	       "| word | code | message |\n|---|---|---|\n");
	for (int i = REASON_ENDED; i < REASON_COUNT; i++) {
		enum reason reason = (enum reason)i;

		printf("| %s | %u | %s |\n", reason_word(reason), reason_code(reason), message_id(reason_message(reason)));
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
