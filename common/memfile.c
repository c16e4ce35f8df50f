/* Streams into memory that lose nothing in silence. */
#include "memfile.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST 4096

static bool make_room(struct memfile *file, size_t size)
{
	size_t room = file->room > 0 ? file->room : ROOM_LEAST;
	char *bytes;

	while (room < file->size + size)
		room *= 2;
	if (room == file->room)
		return true;
	bytes = realloc(file->bytes, room);
	if (bytes == NULL)
		return false;
	file->bytes = bytes;
	file->room = room;
	return true;
}

static ssize_t take(void *cookie, const char *bytes, size_t size)
{
	struct memfile *file = cookie;

	/* What comes behind a gap is of no use. */
	if (file->failed || !make_room(file, size)) {
		file->failed = true;
		return 0;
	}
	memcpy(file->bytes + file->size, bytes, size);
	file->size += size;
	return (ssize_t)size;
}

FILE *memfile_open(struct memfile *file)
{
	*file = (struct memfile){.bytes = NULL};
	return fopencookie(file, "w", (cookie_io_functions_t){.write = take});
}

int memfile_close(struct memfile *file, FILE *stream)
{
	if (fclose(stream) == 0 && !file->failed)
		return 0;
	free(file->bytes);
	*file = (struct memfile){.failed = true};
	return -1;
}
