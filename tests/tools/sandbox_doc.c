/* Prints docs/sandbox.md: a text written by hand, from the file named, in which two lines are replaced by the tables of the
 * folders and of the system calls that the program has. */
#include <stdio.h>
#include <string.h>

#include "landlock.h"
#include "sandbox_calls.h"
#include "sandbox_folders.h"

#define FOLDERS "@FOLDERS@\n"
#define CALLS "@CALLS@\n"

static const char *words_of(unsigned rights)
{
	if (rights == LANDLOCK_WRITE)
		return "read, write, make, rename, remove files";
	if (rights == LANDLOCK_SOCKET)
		return "make, rename, remove unix sockets";
	return rights == LANDLOCK_DEVICE ? "read, write" : "read";
}

static void put_folders(void)
{
#define FOLDER(path, rights, why) printf("| `%s` | %s | %s |\n", path, words_of(rights), why);
#define VARIABLE(name, rights, why) printf("| what `%s` in the environment names | %s | %s |\n", name, words_of(rights), why);
	(void)puts("| path | may be | for |\n|---|---|---|");
	SANDBOX_FOLDER_TABLE(FOLDER)
	SANDBOX_ENVIRONMENT_TABLE(VARIABLE)
}

static void put_names(const char *names)
{
	for (const char *at = names; *at != '\0';) {
		size_t length = strcspn(at, " ");

		printf("%s`%.*s`", at == names ? "" : " ", (int)length, at);
		at += length + (at[length] == ' ');
	}
}

static const char *fate_of(enum sandbox_fate fate)
{
	switch (fate) {
	case SANDBOX_PERMIT:
		return "permitted";
	case SANDBOX_MISSING:
		return "fails with ENOSYS";
	case SANDBOX_KILL:
		break;
	}
	return "ends the process";
}

static void put_calls(void)
{
	(void)puts("| calls | if | then | for |\n|---|---|---|---|");
	for (size_t i = 0; i < sandbox_call_count; i++) {
		const struct sandbox_call *call = &sandbox_call_table[i];

		(void)fputs("| ", stdout);
		put_names(call->names);
		printf(" | %s | %s | %s |\n", call->condition != NULL ? call->condition : "", fate_of(call->fate), call->why);
	}
}

int main(int argc, char **argv)
{
	FILE *stream = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (stream == NULL) {
		(void)fprintf(stderr, "usage: sandbox_doc FILE\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stream) != NULL) {
		if (strcmp(line, FOLDERS) == 0)
			put_folders();
		else if (strcmp(line, CALLS) == 0)
			put_calls();
		else
			(void)fputs(line, stdout);
	}
	(void)fclose(stream);
	return fflush(stdout) == 0 ? 0 : 1;
}
