/* Faults in running gateways, and what is left of them. */
#include "faulting.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char board_path[64], preload[4200];

static void before_exec(void)
{
	(void)setenv("CCI_FAULTS", board_path, 1);
	(void)setenv("LD_PRELOAD", preload, 1);
}

static void add_library(const char *name, size_t length)
{
	char path[256], whole[4096];
	size_t used = strlen(preload);

	(void)snprintf(path, sizeof(path), "%s/tests/faults_%.*s.so", gateway_build(), (int)length, name);
	ck_assert_msg(realpath(path, whole) != NULL, "%s is not there", path);
	(void)snprintf(preload + used, sizeof(preload) - used, "%s%s", used > 0 ? ":" : "", whole);
}

struct faults_board *faulting_next(const char *libraries)
{
	void *at;
	int fd;

	(void)snprintf(board_path, sizeof(board_path), "/tmp/cci-faults-XXXXXX");
	fd = mkostemp(board_path, O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof(struct faults_board)), 0);
	at = mmap(NULL, sizeof(struct faults_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	close(fd);
	preload[0] = '\0';
	for (const char *end; *libraries != '\0'; libraries = *end == ',' ? end + 1 : end) {
		end = libraries + strcspn(libraries, ",");
		add_library(libraries, (size_t)(end - libraries));
	}
	gateway_before_exec = before_exec;
	return at;
}

void faulting_started(void)
{
	gateway_before_exec = NULL;
	(void)unlink(board_path);
}

bool faulting_possible(void)
{
	return strstr(gateway_build(), "address") == NULL && strstr(gateway_build(), "thread") == NULL;
}

bool faulting_full(void)
{
	return getenv("CCI_FAULTS_FULL") != NULL;
}

/* CCI_FAULTS_SLICE=3/8: the third of eight slices of the whole; 1/1 without one. */
static void read_slice(unsigned long long *first, unsigned long long *slices)
{
	const char *slice = getenv("CCI_FAULTS_SLICE");
	char rest;

	*first = *slices = 1;
	if (!faulting_full() || slice == NULL || *slice == '\0')
		return;
	ck_assert_msg(sscanf(slice, "%llu/%llu%c", first, slices, &rest) == 2 && *first >= 1 && *first <= *slices,
	              "CCI_FAULTS_SLICE=%s is no slice", slice);
}

unsigned long long faulting_first(void)
{
	unsigned long long first, slices;

	read_slice(&first, &slices);
	return first;
}

unsigned long long faulting_step(unsigned long long count, unsigned long long most)
{
	unsigned long long first, slices;

	read_slice(&first, &slices);
	return faulting_full() ? slices : count <= most ? 1 : (count + most - 1) / most;
}

void faulting_arm(struct faults_board *board, const struct faulting *faulting)
{
	struct fault *fault = &board->faults[faulting->kind];

	atomic_store(&fault->first, 0);
	atomic_store(&fault->every, faulting->every);
	atomic_store(&fault->most, faulting->most > 0 ? faulting->most : 1);
	atomic_store(&fault->error, faulting->error);
	atomic_store(&fault->thread, faulting->thread);
	atomic_store(&fault->delay_ms, faulting->delay_ms);
	atomic_store(&fault->failed, 0);
	atomic_store(&fault->calls, 0);
	atomic_store(&fault->first, faulting->first);
}

unsigned long long faulting_disarm(struct faults_board *board, enum fault_kind kind)
{
	atomic_store(&board->faults[kind].first, 0);
	return atomic_load(&board->faults[kind].failed);
}

int faulting_thread(pid_t pid, const char *name)
{
	char path[512], comm[64];
	int found = 0;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
	folder = opendir(path);
	for (struct dirent *entry; folder != NULL && found == 0 && (entry = readdir(folder)) != NULL;) {
		FILE *stream;

		(void)snprintf(path, sizeof(path), "/proc/%ld/task/%s/comm", (long)pid, entry->d_name);
		stream = fopen(path, "r");
		if (stream != NULL && fgets(comm, sizeof(comm), stream) != NULL && strncmp(comm, name, strlen(name)) == 0 &&
		    comm[strlen(name)] == '\n')
			found = atoi(entry->d_name);
		if (stream != NULL)
			(void)fclose(stream);
	}
	if (folder != NULL)
		(void)closedir(folder);
	return found;
}

static void count_descriptor(struct footprint *footprint, const char *what)
{
	static const struct {
		const char *begins;
		size_t at;
	} kinds[] = {{"socket:", offsetof(struct footprint, sockets)},
	             {"pipe:", offsetof(struct footprint, pipes)},
	             {"anon_inode:[eventpoll]", offsetof(struct footprint, epolls)},
	             {"anon_inode:[eventfd]", offsetof(struct footprint, eventfds)},
	             {"/", offsetof(struct footprint, files)},
	             {"", offsetof(struct footprint, others)}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(what, kinds[i].begins, strlen(kinds[i].begins)) != 0)
			continue;
		++*(int *)(void *)((char *)footprint + kinds[i].at);
		return;
	}
}

static void take_descriptors(pid_t pid, struct footprint *footprint)
{
	char path[512], what[512];
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		ssize_t length;

		(void)snprintf(path, sizeof(path), "/proc/%ld/fd/%s", (long)pid, entry->d_name);
		length = readlink(path, what, sizeof(what) - 1);
		if (length < 0)
			continue;
		what[length] = '\0';
		count_descriptor(footprint, what);
	}
	(void)closedir(folder);
}

void footprint_take(pid_t pid, struct faults_board *board, struct footprint *footprint)
{
	char path[64], line[256];
	FILE *stream;

	memset(footprint, 0, sizeof(*footprint));
	take_descriptors(pid, footprint);
	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	stream = fopen(path, "r");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL) {
		(void)sscanf(line, "VmRSS: %ld", &footprint->rss_kib);
		(void)sscanf(line, "Threads: %d", &footprint->threads);
	}
	(void)fclose(stream);
	footprint->live = board != NULL ? atomic_load(&board->live) : 0;
}

static bool is_same(const struct footprint *now, const struct footprint *before, long long slack)
{
	return now->sockets == before->sockets && now->pipes == before->pipes && now->epolls == before->epolls &&
	       now->eventfds == before->eventfds && now->files == before->files && now->others == before->others &&
	       now->threads == before->threads && now->live <= before->live + slack;
}

void footprint_calm(pid_t pid, struct faults_board *board, struct footprint *footprint)
{
	struct footprint now = {0};

	for (int i = 0; i < 50; i++) {
		footprint_take(pid, board, footprint);
		usleep(100000);
		footprint_take(pid, board, &now);
		if (is_same(&now, footprint, 0) && now.live == footprint->live)
			return;
	}
}

void footprint_same(pid_t pid, struct faults_board *board, const struct footprint *before, long long slack,
                    const char *after)
{
	struct footprint now;

	for (int i = 0; i < 1000; i++) {
		footprint_take(pid, board, &now);
		if (is_same(&now, before, slack))
			return;
		usleep(10000);
	}
	ck_abort_msg("after %s: sockets %d, were %d; pipes %d, %d; epolls %d, %d; eventfds %d, %d; files %d, %d; "
	             "others %d, %d; threads %d, %d; allocations %lld, %lld; RSS %ld KiB, %ld",
	             after, now.sockets, before->sockets, now.pipes, before->pipes, now.epolls, before->epolls, now.eventfds,
	             before->eventfds, now.files, before->files, now.others, before->others, now.threads, before->threads,
	             now.live, before->live, now.rss_kib, before->rss_kib);
}
