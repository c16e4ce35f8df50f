/* What an attack gives as its outcome. */
#include <stdarg.h>
#include <stdio.h>

#include "scene.h"

#define SKIP_MARK '\001'

const char *seen(const char *format, ...)
{
	static _Thread_local char kept[4][SEEN_SIZE];
	static _Thread_local unsigned next;
	char *text = kept[next++ % 4];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, SEEN_SIZE, format, arguments);
	va_end(arguments);
	return text;
}

const char *skipped(const char *why)
{
	return seen("%c%s", SKIP_MARK, why);
}

bool is_skipped(const char *result)
{
	return result != NULL && result[0] == SKIP_MARK;
}
