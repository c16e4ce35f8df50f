/* Words of commands, on standard error. */
#include "subcommand.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

struct subcommand subcommand_of(enum program program, const char *name)
{
	return (struct subcommand){.program = program_word(program), .name = name};
}

static void say(const struct subcommand *command, const char *format, va_list arguments)
{
	(void)fprintf(stderr, "%s %s: ", command->program, command->name);
	(void)vfprintf(stderr, format, arguments);
}

int subcommand_misused(const struct subcommand *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(command, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "; see %s %s --help\n", command->program, command->name);
	return EXIT_USAGE;
}

int subcommand_failed(const struct subcommand *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(command, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	return EXIT_FAILURE;
}

int subcommand_read(const struct subcommand *command, const char *path,
                    void (*take)(void *context, const char *name, FILE *stream), void *context)
{
	bool is_input = strcmp(path, "-") == 0;
	const char *name = is_input ? "(standard input)" : path, *why = NULL;
	FILE *stream = is_input ? stdin : file_open(path, &why);

	if (stream != NULL)
		take(context, name, stream);
	if (stream != NULL && ferror(stream))
		why = strerrordesc_np(errno);
	if (stream != NULL && !is_input)
		(void)fclose(stream);
	if (why == NULL)
		return 0;
	(void)subcommand_failed(command, "%s cannot be read: %s", name, why);
	return -1;
}

int subcommand_printed(const struct subcommand *command)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	return subcommand_failed(command, "standard output cannot be written");
}
