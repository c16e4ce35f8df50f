/* Pipes in memory, and splice. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fuzz.h"
#include "world_calls.h"

#define FIRST_PIPE (WORLD_FIRST_FD + WORLD_WIRES)
#define PIPES 64
#define PIPE_ROOM (256 * 1024)

/* Two descriptors each: to read, and to write. */
struct pipe {
	bool open[2];
	struct stream bytes;
};

static struct pipe pipes[PIPES];

static int fail(int error)
{
	errno = error;
	return -1;
}

static struct pipe *pipe_of(int fd)
{
	return fd >= FIRST_PIPE && fd < FIRST_PIPE + 2 * PIPES ? &pipes[(fd - FIRST_PIPE) / 2] : NULL;
}

bool world_is_pipe(int fd)
{
	return pipe_of(fd) != NULL;
}

size_t world_dirty_pipes(void)
{
	size_t count = 0;

	for (size_t i = 0; i < PIPES; i++)
		count += pipes[i].open[0] != pipes[i].open[1] || (pipes[i].open[0] && stream_size(&pipes[i].bytes) > 0);
	return count;
}

void world_close_pipe(int fd)
{
	struct pipe *pipe = pipe_of(fd);
	bool *open = &pipe->open[(fd - FIRST_PIPE) % 2];

	FUZZ_CHECK(*open, "a pipe is closed twice");
	*open = false;
	if (!pipe->open[0] && !pipe->open[1])
		stream_free(&pipe->bytes);
}

int __wrap_pipe2(int ends[2], int flags)
{
	FUZZ_CHECK(flags == (O_NONBLOCK | O_CLOEXEC), "a pipe that blocks or is inherited");
	if (world_is_short())
		return -1;
	for (int i = 0; i < PIPES; i++) {
		if (pipes[i].open[0] || pipes[i].open[1])
			continue;
		pipes[i].open[0] = pipes[i].open[1] = true;
		ends[0] = FIRST_PIPE + 2 * i;
		ends[1] = ends[0] + 1;
		return 0;
	}
	return fail(EMFILE);
}

static ssize_t splice_in(int from, struct pipe *pipe, size_t size)
{
	size_t room = PIPE_ROOM - stream_size(&pipe->bytes), most = size < room ? size : room;
	uint8_t *bytes = malloc(most + 1);
	ssize_t came = most > 0 ? __wrap_recv(from, bytes, most, 0) : fail(EAGAIN);

	if (came > 0)
		stream_put(&pipe->bytes, bytes, (size_t)came);
	free(bytes);
	return came;
}

ssize_t __wrap_splice(int from, loff_t *at, int to, loff_t *to_at, size_t size, unsigned flags)
{
	struct pipe *source = pipe_of(from), *sink = pipe_of(to);
	size_t have;
	ssize_t went;

	FUZZ_CHECK(at == NULL && to_at == NULL && (flags & SPLICE_F_NONBLOCK), "a splice that blocks");
	if (sink != NULL)
		return splice_in(from, sink, size);
	FUZZ_CHECK(source != NULL && source->open[0] && world_wire(to) != NULL, "a splice of something else");
	have = stream_size(&source->bytes);
	if (have == 0)
		return fail(EAGAIN);
	went = __wrap_send(to, stream_at(&source->bytes), size < have ? size : have, MSG_NOSIGNAL);
	if (went > 0)
		stream_drop(&source->bytes, (size_t)went);
	return went;
}
