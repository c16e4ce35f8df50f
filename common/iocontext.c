/* The buffers, pipes and pending work that the channels of one worker share. */
#include "iocontext.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pending buffers come in these sizes; more than KEEP of one size, or PIPES pipes, are given back to the system. */
static const size_t class_size[] = {16 * 1024, 64 * 1024, IO_GATHER_SIZE + 1024};
#define CLASSES (sizeof(class_size) / sizeof(class_size[0]))
#define KEEP 16
#define PIPES 32

/* Of the pipes made here; the kernel gives what the user's limit allows. */
#define PIPE_SIZE (256 * 1024)

struct iocontext {
	uv_loop_t *loop;
	struct poller *poller;
	struct ready queue; /* ring; its own links are the ends */
	struct gather gather;
	struct iobudget *budget; /* borrowed; may be NULL */
	uint8_t *scratch;
	uint8_t *kept[CLASSES][KEEP];
	unsigned kept_count[CLASSES];
	int pipes[PIPES][2];
	unsigned pipe_count;
};

void iocontext_free(struct iocontext *io)
{
	if (io == NULL)
		return;
	poller_free(io->poller);
	for (size_t class = 0; class < CLASSES; class ++)
		while (io->kept_count[class] > 0)
			free(io->kept[class][--io->kept_count[class]]);
	while (io->pipe_count > 0) {
		io->pipe_count--;
		close(io->pipes[io->pipe_count][0]);
		close(io->pipes[io->pipe_count][1]);
	}
	free(io->scratch);
	free(io->gather.bytes);
	free(io);
}

/* Run what is queued now; what is queued meanwhile waits for the next turn, so that a turn is bounded. */
static void run_ready(struct iocontext *io)
{
	struct ready batch;

	if (io->queue.next == &io->queue)
		return;
	batch = io->queue;
	batch.next->previous = &batch;
	batch.previous->next = &batch;
	io->queue.next = io->queue.previous = &io->queue;
	while (batch.next != &batch) {
		struct ready *ready = batch.next;

		iocontext_unready(ready);
		ready->run(ready);
	}
}

static bool is_queued(const struct iocontext *io)
{
	return io->queue.next != &io->queue;
}

bool iocontext_turn(struct iocontext *io, int most_ms)
{
	poller_turn(io->poller, is_queued(io) ? 0 : most_ms);
	run_ready(io);
	return is_queued(io) || poller_alive(io->poller);
}

struct iocontext *iocontext_new(uv_loop_t *loop, struct error *error)
{
	struct iocontext *io = calloc(1, sizeof(*io));

	if (io == NULL)
		goto err;
	io->loop = loop;
	io->queue.next = io->queue.previous = &io->queue;
	io->scratch = malloc(IO_SCRATCH_SIZE);
	io->gather.bytes = malloc(IO_GATHER_SIZE);
	io->poller = poller_new(loop);
	if (io->scratch == NULL || io->gather.bytes == NULL || io->poller == NULL)
		goto err;
	return io;
err:
	iocontext_free(io);
	error_set(error, "not enough memory or descriptors for a worker");
	return NULL;
}

uv_loop_t *iocontext_loop(struct iocontext *io)
{
	return io->loop;
}

struct poller *iocontext_poller(struct iocontext *io)
{
	return io->poller;
}

uint8_t *iocontext_scratch(struct iocontext *io)
{
	return io->scratch;
}

struct gather *iocontext_gather(struct iocontext *io)
{
	return &io->gather;
}

void iocontext_ready(struct iocontext *io, struct ready *ready)
{
	if (ready->next != NULL)
		return;
	ready->next = &io->queue;
	ready->previous = io->queue.previous;
	ready->previous->next = ready;
	io->queue.previous = ready;
}

void iocontext_unready(struct ready *ready)
{
	if (ready->next == NULL)
		return;
	ready->next->previous = ready->previous;
	ready->previous->next = ready->next;
	ready->next = ready->previous = NULL;
}

void iocontext_use_budget(struct iocontext *io, struct iobudget *budget)
{
	io->budget = budget;
}

/* A read has to fit a buffer of its class, with what TLS adds; the pipe of a splice is as large as the largest. */
size_t iocontext_room(const struct iocontext *io)
{
	size_t room = iobudget_room(io->budget);

	if (room >= class_size[2])
		return IO_SCRATCH_SIZE;
	if (room >= class_size[1])
		return class_size[1] - class_size[0];
	return room >= class_size[0] ? class_size[0] / 2 : 0;
}

void iocontext_room_met(struct iocontext *io)
{
	if (io->budget != NULL)
		iobudget_met(io->budget, uv_now(io->loop));
}

static uint8_t *take(struct iocontext *io, size_t size, size_t *capacity)
{
	for (size_t class = 0; class < CLASSES; class ++) {
		if (size > class_size[class])
			continue;
		*capacity = class_size[class];
		if (io->kept_count[class] > 0)
			return io->kept[class][--io->kept_count[class]];
		return malloc(class_size[class]);
	}
	*capacity = size;
	return malloc(size);
}

uint8_t *iocontext_take(struct iocontext *io, size_t size, size_t *capacity)
{
	uint8_t *buffer = take(io, size, capacity);

	if (buffer != NULL)
		iobudget_take(io->budget, *capacity);
	return buffer;
}

void iocontext_give(struct iocontext *io, uint8_t *buffer, size_t capacity)
{
	iobudget_give(io->budget, capacity);
	for (size_t class = 0; class < CLASSES; class ++) {
		if (capacity != class_size[class] || io->kept_count[class] == KEEP)
			continue;
		io->kept[class][io->kept_count[class]++] = buffer;
		return;
	}
	free(buffer);
}

static int take_pipe(struct iocontext *io, int ends[2])
{
	if (io->pipe_count > 0) {
		io->pipe_count--;
		memcpy(ends, io->pipes[io->pipe_count], sizeof(io->pipes[0]));
		return 0;
	}
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	/* Refused beyond the user's limit of pipe memory; the default size works as well. */
	(void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
	return 0;
}

int iocontext_take_pipe(struct iocontext *io, int ends[2])
{
	if (take_pipe(io, ends) != 0)
		return -1;
	iobudget_take(io->budget, PIPE_SIZE);
	return 0;
}

void iocontext_drop_pipe(struct iocontext *io, int ends[2])
{
	iobudget_give(io->budget, PIPE_SIZE);
	close(ends[0]);
	close(ends[1]);
}

void iocontext_give_pipe(struct iocontext *io, int ends[2])
{
	iobudget_give(io->budget, PIPE_SIZE);
	if (io->pipe_count == PIPES) {
		close(ends[0]);
		close(ends[1]);
		return;
	}
	memcpy(io->pipes[io->pipe_count++], ends, sizeof(io->pipes[0]));
}
