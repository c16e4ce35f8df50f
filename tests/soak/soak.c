/*
 * The load of the soak test. Starts a process for each gateway (a lane), as one process may hold only so many
 * descriptors; says in what phase they are, and in the end what they saw. Exit status 1 where anything was lost.
 *
 *     soak CA LEDGER IDLE RATE RAMP STEADY PING CERTIFICATES PORT...
 *
 * IDLE connections in all, RATE new ones a second in all, for STEADY seconds; the idle ones are opened within RAMP seconds (fewer where
 * that is too short), and each is pinged every PING seconds. RATE 0: STEADY new ones in all, of each kind alike, some at a time, each as
 * fast as it goes. At the end each lane opens connections until it has seen CERTIFICATES ones. Lane N writes LEDGER.N.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANES_MOST 16

static const char *const phases[] = {"ramp", "ramped", "steady", "last", "closing", "over"};

static struct lane_counts *lanes;
static size_t lane_count;
static pid_t us;

static uint64_t sum(size_t offset)
{
	uint64_t total = 0, one;

	for (size_t i = 0; i < lane_count; i++) {
		memcpy(&one, (const char *)&lanes[i] + offset, sizeof(one));
		total += one;
	}
	return total;
}
#define SUM(member) ((unsigned long long)sum(offsetof(struct lane_counts, member)))

static uint64_t fewest_certificates(void)
{
	uint64_t fewest = lanes[0].certificates;

	for (size_t i = 1; i < lane_count; i++)
		if (lanes[i].certificates < fewest)
			fewest = lanes[i].certificates;
	return fewest;
}

static enum phase slowest(void)
{
	enum phase phase = PHASE_OVER;

	for (size_t i = 0; i < lane_count; i++)
		if (lanes[i].phase < phase)
			phase = lanes[i].phase;
	return phase;
}

static void print_histogram(const char *name, size_t offset)
{
	static struct histogram all;

	memset(&all, 0, sizeof(all));
	for (size_t i = 0; i < lane_count; i++)
		histogram_merge(&all, (const struct histogram *)((const char *)&lanes[i] + offset));
	(void)printf("%s count=%llu p50_ms=%.2f p90_ms=%.2f p99_ms=%.2f p999_ms=%.2f max_ms=%.2f\n", name,
	             (unsigned long long)all.count, (double)histogram_at(&all, 0.5) / 1e3,
	             (double)histogram_at(&all, 0.9) / 1e3, (double)histogram_at(&all, 0.99) / 1e3,
	             (double)histogram_at(&all, 0.999) / 1e3, (double)all.most / 1e3);
}

static void print_totals(void)
{
	(void)printf("connected=%llu due=%llu late=%llu pings=%llu lost=%llu resumed=%llu resumption_denied=%llu "
	             "certificates=%llu\n",
	             SUM(connected), SUM(due), SUM(late), SUM(pings), SUM(lost), SUM(resumed), SUM(resumption_denied),
	             (unsigned long long)fewest_certificates());
	for (int i = 0; i < KIND_COUNT; i++)
		(void)printf("%s%s=%llu", i > 0 ? " " : "kinds ", kind_word((enum kind)i),
		             (unsigned long long)sum(offsetof(struct lane_counts, kinds) + (size_t)i * sizeof(uint64_t)));
	(void)printf("\n");
	print_histogram("agreed", offsetof(struct lane_counts, agreed));
	print_histogram("answered", offsetof(struct lane_counts, answered));
	print_histogram("pinged", offsetof(struct lane_counts, pinged));
}

/* Until all have ended: the phase, when it changes and each second. Begins the steady phase when the last has ramped. */
static bool watch(void)
{
	enum phase said = PHASE_OVER, now;
	size_t running = lane_count;
	uint64_t next_us = 0;
	bool fine = true;
	int status;

	while (running > 0) {
		while (running > 0 && waitpid(-1, &status, WNOHANG) > 0) {
			running--;
			fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == 0;
		}
		if (running < lane_count && slowest() < PHASE_LAST && !fine)
			return false;
		now = slowest();
		if (now != said || soak_now_us() >= next_us) {
			(void)printf("phase=%s idle=%llu connected=%llu\n", phases[now], SUM(idle), SUM(connected));
			(void)fflush(stdout);
			said = now;
			next_us = soak_now_us() + 1000000u;
		}
		for (size_t i = 0; now == PHASE_RAMPED && i < lane_count; i++)
			lanes[i].go = true;
		(void)usleep(20000);
	}
	return fine;
}

static bool start_lane(struct lane_settings settings, const char *port, const char *ledger)
{
	static char path[LANES_MOST][256];
	unsigned i = settings.number;
	pid_t child;

	settings.port = atoi(port);
	settings.run = settings.run + i;
	(void)snprintf(path[i], sizeof(path[i]), "%s.%u", ledger, i);
	settings.ledger = path[i];
	child = fork();
	if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != us))
		_exit(1); /* a lane ends with us, however we end */
	if (child == 0)
		exit(lane_run(&settings, &lanes[i]));
	return child > 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct lane_settings settings;

	if (argc < 10 || argc - 9 > LANES_MOST) {
		(void)fprintf(stderr, "soak: CA LEDGER IDLE RATE RAMP STEADY PING CERTIFICATES PORT...; see tests/soak/soak.c\n");
		return 2;
	}
	lane_count = (size_t)argc - 9;
	lanes = mmap(NULL, lane_count * sizeof(*lanes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lanes == MAP_FAILED)
		return 1;
	us = getpid();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	settings = (struct lane_settings){.ca = argv[1],
	                                  .idle = (strtoull(argv[3], NULL, 10) + lane_count - 1) / lane_count,
	                                  .rate = strtod(argv[4], NULL) / (double)lane_count,
	                                  .ramp_s = (unsigned)atoi(argv[5]),
	                                  .steady = (unsigned)atoi(argv[6]),
	                                  .ping_s = (unsigned)atoi(argv[7]),
	                                  .certificates = strtoull(argv[8], NULL, 10),
	                                  .run = (uint32_t)getpid() << 8};
	(void)fflush(stdout);
	for (settings.number = 0; settings.number < lane_count; settings.number++)
		if (!start_lane(settings, argv[9 + settings.number], argv[2]))
			return 1;
	if (!watch()) {
		print_totals();
		return 1;
	}
	print_totals();
	return 0;
}
