/*
 * Preloaded into a gateway whose memory is judged: counts exactly what is allocated and not yet freed, by the program
 * and every library in it, in all its processes together. The file that SOAK_HEAP names has four numbers of 64 bits:
 * bytes and blocks of small ones, bytes and blocks of large ones. Large are what the gateway keeps for later in numbers
 * that come and go (common/iocontext.c); what a connection forgets is small.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_MOST 8192

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *at);

struct live {
	_Atomic int64_t bytes, blocks;
};

/* What is counted before the constructor has run is lost: it is the same in each round. */
static struct live before[2];
static struct live *live = before;

__attribute__((constructor(101))) static void begin(void)
{
	const char *path = getenv("SOAK_HEAP");
	int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
	void *map;

	if (fd < 0)
		return;
	map = ftruncate(fd, sizeof(before)) == 0 ? mmap(NULL, sizeof(before), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
	                                         : MAP_FAILED;
	(void)close(fd);
	if (map != MAP_FAILED)
		live = map;
}

static void count(void *at, int sign)
{
	size_t size = malloc_usable_size(at);
	struct live *of = &live[size > SMALL_MOST];

	if (at == NULL)
		return;
	(void)atomic_fetch_add_explicit(&of->bytes, sign * (int64_t)size, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&of->blocks, sign, memory_order_relaxed);
}

static void *counted(void *at)
{
	count(at, 1);
	return at;
}

void *malloc(size_t size)
{
	return counted(__libc_malloc(size));
}

void *calloc(size_t many, size_t size)
{
	return counted(__libc_calloc(many, size));
}

void *realloc(void *old, size_t size)
{
	void *at;

	count(old, -1);
	at = __libc_realloc(old, size);
	count(at == NULL && size > 0 ? old : at, 1);
	return at;
}

void free(void *at)
{
	count(at, -1);
	__libc_free(at);
}

void *memalign(size_t alignment, size_t size)
{
	return counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **at, size_t alignment, size_t size)
{
	void *got = memalign(alignment, size);

	if (got == NULL)
		return ENOMEM;
	*at = got;
	return 0;
}
