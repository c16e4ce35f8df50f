/* A relay that resets its connections after so many bytes. */
#include "cutter.h"

#include <check.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* How many bytes may still go this way; 0: it is cut. */
static size_t most_of(struct cutter *cutter, enum cutter_way way, size_t size)
{
	long cut = atomic_load(&cutter->cut), left = cut - atomic_load(&cutter->bytes[way]);

	if (cut < 0 || atomic_load(&cutter->way) != (int)way)
		return size;
	return left < (long)size ? (size_t)(left > 0 ? left : 0) : size;
}

/* Move once. False: cut, or broken; *open is whether more may come. */
static bool move(struct cutter *cutter, enum cutter_way way, int from, int to, bool *open)
{
	uint8_t bytes[16384];
	size_t most = most_of(cutter, way, sizeof(bytes));
	ssize_t came = most > 0 ? recv(from, bytes, most, 0) : -1;

	if (came == 0) {
		*open = false;
		(void)shutdown(to, SHUT_WR);
		return true;
	}
	if (came < 0 || !peer_write(to, NULL, bytes, (size_t)came))
		return false;
	atomic_fetch_add(&cutter->bytes[way], came);
	return most_of(cutter, way, 1) > 0;
}

static void carry(struct cutter *cutter, int client, int server)
{
	bool open[2] = {true, true}, whole = most_of(cutter, CUTTER_TO_SERVER, 1) > 0 && most_of(cutter, CUTTER_TO_CLIENT, 1) > 0;
	struct pollfd fds[2];

	while (whole && (open[0] || open[1]) && !atomic_load(&cutter->ends)) {
		fds[0] = (struct pollfd){.fd = open[0] ? client : -1, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = open[1] ? server : -1, .events = POLLIN};
		(void)poll(fds, 2, 100);
		if (fds[0].revents != 0)
			whole = move(cutter, CUTTER_TO_SERVER, client, server, &open[0]);
		if (whole && fds[1].revents != 0)
			whole = move(cutter, CUTTER_TO_CLIENT, server, client, &open[1]);
	}
	if (whole) {
		close(client);
		close(server);
	} else {
		reset(client);
		reset(server);
	}
}

static void *run(void *argument)
{
	struct cutter *cutter = argument;

	while (!atomic_load(&cutter->ends)) {
		int client, server;

		if (poll(&(struct pollfd){.fd = cutter->listening, .events = POLLIN}, 1, 50) <= 0)
			continue;
		client = peer_accept(cutter->listening);
		server = peer_connect(cutter->to_port);
		atomic_store(&cutter->bytes[CUTTER_TO_SERVER], 0);
		atomic_store(&cutter->bytes[CUTTER_TO_CLIENT], 0);
		if (client >= 0 && server >= 0)
			carry(cutter, client, server);
	}
	return NULL;
}

void cutter_start(struct cutter *cutter, int to_port)
{
	cutter->to_port = to_port;
	atomic_store(&cutter->cut, -1);
	atomic_store(&cutter->way, CUTTER_TO_SERVER);
	atomic_store(&cutter->ends, false);
	cutter->listening = peer_listen(&cutter->port);
	ck_assert_int_ge(cutter->listening, 0);
	ck_assert_int_eq(pthread_create(&cutter->thread, NULL, run, cutter), 0);
}

void cutter_stop(struct cutter *cutter)
{
	atomic_store(&cutter->ends, true);
	ck_assert_int_eq(pthread_join(cutter->thread, NULL), 0);
	close(cutter->listening);
}
