/* One connection of the load: made, used and ended without ever blocking; each step is left for the next when it is done. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "link_io.h"
#include "peer.h"

#define SOURCES 40

static const char *const words[KIND_COUNT] = {
#define KIND(name, word) word,
    KIND_TABLE(KIND)
#undef KIND
};

const char *kind_word(enum kind kind)
{
	return words[kind];
}

bool kind_has_id(enum kind kind)
{
	return kind != KIND_LEFT_IN_OFFER && kind != KIND_NOISE;
}

uint64_t soak_now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* --- beginnings and ends --- */

static void free_work(struct link *link)
{
	if (link->work == NULL)
		return;
	buffer_free(&link->work->out);
	buffer_free(&link->work->in);
	free(link->work);
	link->work = NULL;
}

static void free_link(struct link *link)
{
	free_work(link);
	SSL_free(link->ssl);
	if (link->fd >= 0)
		close(link->fd);
	free(link);
}

static void finish(struct link *link)
{
	if (!link->lost)
		link->host->counts->kinds[link->kind]++;
	link->host->over(link->host, link);
	free_link(link);
}

void link_lose(struct link *link, const char *why)
{
	unsigned long code = ERR_peek_last_error();

	if (link->host->counts->lost++ < 20)
		(void)fprintf(stderr, "lost: %s%s %llu: %s, step %d (%s, %s)\n", link->idle ? "idle " : "", words[link->kind],
		              (unsigned long long)link->sequence, why, link->work != NULL ? (int)link->work->step : -1,
		              strerror(errno), code != 0 ? ERR_reason_error_string(code) : "no TLS error");
	ERR_clear_error();
	link->lost = true;
	finish(link);
}

/* So that the gateway gets a reset. */
static void leave(struct link *link)
{
	struct linger linger = {.l_onoff = 1};

	if (link->sequence % 2 == 0)
		(void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	finish(link);
}

static bool make_offer(struct link *link)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n", banner[] = "SSH-2.0-OpenSSH_9.2\r\n";
	struct link_work *work = link->work;
	uint8_t id[16] = "SOAK";
	char name[16];

	(void)snprintf(name, sizeof(name), "%s%02u", link->kind == KIND_CLEAR ? "CLEAR" : "SOAK",
	               (unsigned)(link->sequence % SOURCES));
	for (unsigned i = 0; i < 4; i++)
		id[4 + i] = (uint8_t)(link->host->run >> (24 - 8 * i));
	for (unsigned i = 0; i < 8; i++)
		id[8 + i] = (uint8_t)(link->sequence >> (56 - 8 * i));
	work->offer_size = peer_offer(work->offer, 1,
	                              link->kind == KIND_DIRECT                                  ? 4
	                              : link->kind == KIND_CLEAR || link->kind == KIND_REFUSED ? 0
	                                                                                         : 3,
	                              name, NULL);
	work->offer_size = peer_add(work->offer, work->offer_size, 8, id, sizeof(id));
	if (link->kind == KIND_NOISE) {
		const char *text = link->sequence % 2 == 0 ? request : banner;

		return link_put(link, text, strlen(text));
	}
	return link_put(link, work->offer, link->kind == KIND_LEFT_IN_OFFER ? work->offer_size / 2 : work->offer_size);
}

static bool connect_from(struct link *link)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	int on = 1;

	from.sin_addr.s_addr = htonl(0x7f000000u | (link->host->number + 1) << 16 | (unsigned)(link->sequence % SOURCES + 1));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)link->host->port);
	(void)setsockopt(link->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return bind(link->fd, (const struct sockaddr *)&from, sizeof(from)) == 0 &&
	       (connect(link->fd, (const struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS);
}

struct link *link_open(struct link_host *host, enum kind kind, bool idle, uint64_t sequence, uint64_t due_us,
                       const struct frame *frame)
{
	struct link *link = calloc(1, sizeof(*link));
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = link};

	if (link == NULL)
		return NULL;
	*link = (struct link){.host = host, .kind = kind, .idle = idle, .sequence = sequence, .due_us = due_us};
	link->begun_us = soak_now_us();
	link->work = calloc(1, sizeof(*link->work));
	link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->work == NULL || link->fd < 0 || !connect_from(link) || !make_offer(link) ||
	    epoll_ctl(host->poll, EPOLL_CTL_ADD, link->fd, &event) != 0) {
		free_link(link);
		return NULL;
	}
	link->work->frame = *frame;
	return link;
}

/* --- the steps --- */

static bool begins_with_tls(const struct link *link)
{
	return link->kind == KIND_DIRECT;
}

static enum outcome do_connect(struct link *link)
{
	int error = 0;
	socklen_t size = sizeof(error);
	struct sockaddr_in peer;
	socklen_t peer_size = sizeof(peer);

	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
		errno = error;
		return OUTCOME_FAILED;
	}
	if (getpeername(link->fd, (struct sockaddr *)&peer, &peer_size) != 0)
		return OUTCOME_LATER;
	link->host->counts->connected++;
	link->work->step = begins_with_tls(link) ? STEP_TLS : STEP_OFFER;
	return OUTCOME_DONE;
}

static enum outcome do_offer(struct link *link)
{
	enum outcome outcome = link_send(link);

	if (outcome != OUTCOME_DONE)
		return outcome;
	link->said = kind_has_id(link->kind);
	if (link->kind == KIND_LEFT_IN_OFFER) {
		leave(link);
		return OUTCOME_GONE;
	}
	link->work->step = link->kind == KIND_NOISE ? STEP_END : STEP_ANSWER;
	return link_expect(link, 16) ? OUTCOME_DONE : OUTCOME_FAILED;
}

/* A whole message in `in`; OUTCOME_DONE when it is. */
static enum outcome take_message(struct link *link)
{
	struct buffer *in = &link->work->in;
	enum outcome outcome = link_receive(link);
	size_t size;

	if (outcome != OUTCOME_DONE || in->size != 16)
		return outcome;
	size = (size_t)in->bytes[8] << 8 | in->bytes[9];
	if (memcmp(in->bytes, "\x43\x43\x49\x50\x01", 5) != 0 || size < 16 || size > LINK_MESSAGE_MOST)
		return OUTCOME_FAILED;
	in->size = size;
	return link_receive(link);
}

static enum outcome begin_transfer(struct link *link)
{
	struct link_work *work = link->work;

	link->up += (uint32_t)FRAME_HEAD + work->frame.up + FRAME_DIGEST;
	link->down += work->frame.down + FRAME_DIGEST;
	work->step = STEP_TRANSFER;
	return frame_request(&work->frame, &work->out, work->digest) && link_expect(link, work->frame.down + FRAME_DIGEST)
	           ? OUTCOME_DONE
	           : OUTCOME_FAILED;
}

static enum outcome agreed(struct link *link)
{
	histogram_add(&link->host->counts->agreed, soak_now_us() - link->due_us);
	return begin_transfer(link);
}

static enum outcome do_answer(struct link *link)
{
	struct link_work *work = link->work;
	enum outcome outcome = take_message(link);
	int security;

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (link->kind == KIND_REFUSED) {
		work->step = STEP_END;
		return peer_type(work->in.bytes) == 3 && peer_reason(work->in.bytes) == 3 ? OUTCOME_DONE : OUTCOME_FAILED;
	}
	security = peer_type(work->in.bytes) == 2 ? peer_answer(work->in.bytes, (int)work->in.size) : -1;
	if (link->kind == KIND_CLEAR || link->kind == KIND_DIRECT)
		return security == (link->kind == KIND_CLEAR ? 0 : 2) ? agreed(link) : OUTCOME_FAILED;
	if (security != 1)
		return OUTCOME_FAILED;
	if (link->kind == KIND_LEFT_AFTER_ACCEPT) {
		leave(link);
		return OUTCOME_GONE;
	}
	memcpy(work->accept, work->in.bytes, work->in.size);
	work->accept_size = work->in.size;
	work->step = STEP_TLS;
	return OUTCOME_DONE;
}

static void note_session(struct link *link)
{
	if (link->kind != KIND_RESUMED || !link->work->offers_session)
		return;
	if (SSL_session_reused(link->ssl) == 1)
		link->host->counts->resumed++;
	else
		link->host->counts->resumption_denied++;
}

static enum outcome do_tls(struct link *link)
{
	struct link_work *work = link->work;
	enum outcome outcome = link_handshake(link);

	if (link->kind == KIND_LEFT_AFTER_HELLO && outcome == OUTCOME_LATER) {
		leave(link);
		return OUTCOME_GONE;
	}
	if (outcome != OUTCOME_DONE)
		return outcome;
	note_session(link);
	if (link->kind == KIND_LEFT_UNCONFIRMED) {
		leave(link);
		return OUTCOME_GONE;
	}
	if (begins_with_tls(link)) {
		work->step = STEP_OFFER;
		return OUTCOME_DONE;
	}
	work->step = STEP_CONFIRM;
	return link_put_confirm(link) && link_expect(link, 16) ? OUTCOME_DONE : OUTCOME_FAILED;
}

static enum outcome do_confirm(struct link *link)
{
	enum outcome outcome = link_send(link);

	if (outcome == OUTCOME_DONE)
		outcome = take_message(link);
	if (outcome != OUTCOME_DONE)
		return outcome;
	return link_confirmed(link) ? agreed(link) : OUTCOME_FAILED;
}

static enum outcome do_close(struct link *link)
{
	link->work->step = STEP_END;
	if (link->ssl != NULL)
		(void)SSL_shutdown(link->ssl);
	return shutdown(link->fd, SHUT_WR) == 0 ? OUTCOME_DONE : OUTCOME_FAILED;
}

static enum outcome answered(struct link *link)
{
	struct link_work *work = link->work;
	uint8_t digest[FRAME_DIGEST];
	uint64_t took_us = soak_now_us() - (work->pinged_us != 0 ? work->pinged_us : link->due_us);

	frame_seal(work->digest, work->in.bytes, work->frame.down, digest);
	if (memcmp(digest, work->in.bytes + work->frame.down, FRAME_DIGEST) != 0)
		return OUTCOME_WRONG;
	histogram_add(work->pinged_us != 0 ? &link->host->counts->pinged : &link->host->counts->answered, took_us);
	if (link->idle) {
		link->host->counts->pings += work->pinged_us != 0;
		free_work(link);
		link->host->rests(link->host, link);
		return OUTCOME_GONE;
	}
	work->step = (work->frame.flags & FRAME_CLOSE) != 0 ? STEP_END : STEP_CLOSE;
	return OUTCOME_DONE;
}

/* Both directions at once. */
static enum outcome do_transfer(struct link *link)
{
	enum outcome sent = link_send(link), came;

	if (link->kind == KIND_LEFT_IN_TRANSFER) {
		leave(link);
		return OUTCOME_GONE;
	}
	if (sent == OUTCOME_FAILED)
		return sent;
	came = link_receive(link);
	if (came != OUTCOME_DONE)
		return came;
	return sent == OUTCOME_DONE ? answered(link) : OUTCOME_WRONG;
}

/* The gateway's end: in order, unless we were noise. */
static enum outcome do_end(struct link *link)
{
	enum outcome outcome = link_take_end(link);

	if (outcome == OUTCOME_FAILED && link->kind == KIND_NOISE)
		outcome = OUTCOME_DONE;
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (link->ssl != NULL)
		(void)SSL_shutdown(link->ssl);
	finish(link);
	return OUTCOME_GONE;
}

void link_work(struct link *link)
{
	static enum outcome (*const steps[])(struct link * link) = {
	    [STEP_CONNECT] = do_connect, [STEP_OFFER] = do_offer,     [STEP_ANSWER] = do_answer,     [STEP_TLS] = do_tls,
	    [STEP_CONFIRM] = do_confirm, [STEP_CLOSE] = do_close,     [STEP_TRANSFER] = do_transfer, [STEP_END] = do_end};
	enum outcome outcome = OUTCOME_DONE;

	/* A resting one hears of something only when it is dead, or when a ticket came late. */
	if (link->work == NULL) {
		if (!link_rests_well(link))
			link_lose(link, "an idle one has ended");
		return;
	}
	while (outcome == OUTCOME_DONE) {
		ERR_clear_error();
		errno = 0;
		outcome = steps[link->work->step](link);
	}
	if (outcome == OUTCOME_FAILED)
		link_lose(link, "failed");
	else if (outcome == OUTCOME_WRONG)
		link_lose(link, "wrong digest, or an answer before its request");
}

void link_ping(struct link *link, const struct frame *frame)
{
	link->work = calloc(1, sizeof(*link->work));
	if (link->work == NULL) {
		link_lose(link, "no memory");
		return;
	}
	link->work->frame = *frame;
	link->work->pinged_us = link->begun_us = soak_now_us();
	if (begin_transfer(link) == OUTCOME_DONE)
		link_work(link);
	else
		link_lose(link, "no memory");
}

void link_close(struct link *link)
{
	link->work = calloc(1, sizeof(*link->work));
	if (link->work == NULL) {
		link_lose(link, "no memory");
		return;
	}
	link->begun_us = soak_now_us();
	link->work->step = STEP_CLOSE;
	link_work(link);
}
