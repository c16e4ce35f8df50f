/* Words of commands, on standard error. */
#include "subcommand.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

int subcommand_printed(const struct subcommand *command)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	return subcommand_failed(command, "standard output cannot be written");
}
