/* The accepting side, under `never`: *PING is the only target. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "flawed.h"

#define HOARD 60
#define PING_MOST 4096u

static void refuse(struct end *end, const struct site *site, int reason, const struct message *offer)
{
	const uint8_t *sysid = offer->bytes + MESSAGE_HEADER + 9; /* as an OFFER of the attacks has it */
	struct message message;
	char text[256] = "no";

	if (offer->bytes[6] == 2)
		memcpy(text, "\x95\x96", 3);
	else if (site->flaw == FLAW_ECHOES_TEXT && sysid[-1] > 0 && sysid[-1] < 64)
		memcpy(text, sysid, sysid[-1]);
	message_refuse(&message, reason, text);
	message.bytes[6] = offer->bytes[6] == 2 ? 2 : 1;
	(void)end_write(end, message.bytes, message.size);
	if (end->ssl != NULL)
		(void)SSL_shutdown(end->ssl);
}

/* What comes goes back. */
static void echo(struct end *end, const struct site *site)
{
	char bytes[2048];
	size_t left = PING_MOST;
	long got = 1;

	while (left > 0 && got > 0) {
		end_phase(end, site);
		got = end_read(end, bytes, sizeof(bytes) < left ? sizeof(bytes) : left);
		if (site->flaw == FLAW_CUTS_REST)
			(void)nanosleep(&(const struct timespec){.tv_nsec = 100000000}, NULL);
		if (got <= 0 || (site->flaw == FLAW_CUTS_REST && end_is_over(end)) || !end_write(end, bytes, (size_t)got))
			break;
		left -= site->flaw == FLAW_ENDLESS_PING ? 0 : (size_t)got;
	}
	if (end->ssl != NULL)
		(void)SSL_shutdown(end->ssl);
}

/* What is wrong with an OFFER that can be read; 0: nothing. */
static int judge(const struct site *site, struct end *end, const struct reading *offer, bool inside)
{
	uint8_t byte;

	if (offer->type != OFFER)
		return REASON_BAD;
	if (inside != (offer->security == INSIDE) && (inside || site->flaw != FLAW_BELIEVES_INSIDE))
		return REASON_BAD;
	if (!inside && site->flaw != FLAW_BUFFERED && recv(end->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return REASON_EARLY_DATA;
	if (!inside && offer->security == NONE && site->flaw != FLAW_STRIPS)
		return REASON_NEEDED;
	return offer->highest != 0 && offer->highest < TLS1_2_VERSION ? REASON_TLS_VERSION : 0;
}

/* The OFFER, and our answer to it. False: it ends here. */
static bool exchange(struct end *end, const struct site *site, bool inside, struct message *offer,
                     struct message *answer, int *security)
{
	struct reading reading;
	const char *wrong;
	int reason;

	wrong = end_message(end, offer, &reading, site->flaw == FLAW_BUFFERED, &reason);
	if (wrong != NULL && ((site->flaw == FLAW_LOOSE_NAMES && strstr(wrong, "a name") != NULL) ||
	                      (site->flaw == FLAW_SLOPPY && offer->bytes[7] != 0))) {
		wrong = NULL;
		reading.type = OFFER;
		reading.security = offer->bytes[MESSAGE_HEADER + 4];
	}
	if (wrong != NULL && reason == 0)
		return false;
	reason = wrong != NULL ? reason : judge(site, end, &reading, inside);
	if (reason != 0) {
		refuse(end, site, reason, offer);
		return false;
	}
	*security = inside ? INSIDE_TLS : reading.security == NONE || reading.security == INSIDE ? CLEAR : TLS_FOLLOWS;
	message_accept(answer, *security, 4096);
	if (reading.cpu == 2) {
		answer->bytes[6] = 2;
		memset(answer->bytes + answer->size - 7, 0xc1, 7);
	}
	return end_write(end, answer->bytes, answer->size);
}

static bool start_tls(struct end *end, const struct site *site, bool direct)
{
	end->ssl = SSL_new(site->server);
	if (end->ssl == NULL || SSL_set_fd(end->ssl, end->fd) != 1)
		return false;
	SSL_set_app_data(end->ssl, direct ? "\5cci/1" : "\15cci-upgrade/1");
	SSL_set_accept_state(end->ssl);
	end_phase(end, site);
	if (end_handshake(end))
		return true;
	if (site->flaw == FLAW_DIES && (errno == ECONNRESET || errno == EPIPE))
		_Exit(1);
	return false;
}

static void serve_tls(struct end *end, const struct site *site, struct message *offer, struct message *answer)
{
	bool lenient;

	end_phase(end, site);
	if (site->flaw == FLAW_CLEAR_FOR_TLS && end_peek(end) != 22) {
		echo(end, site);
		return;
	}
	if (!start_tls(end, site, false))
		return;
	lenient =
	    site->flaw == FLAW_UNCONFIRMED || (site->flaw == FLAW_RESUMES_UNCONFIRMED && SSL_session_reused(end->ssl) == 1);
	end_phase(end, site);
	if (end_confirm(end, true, offer, answer, lenient,
	                site->flaw == FLAW_TAKES_DATA || (site->flaw == FLAW_BUFFERED && end->early_size > 0)))
		echo(end, site);
}

static bool is_full(const struct site *site)
{
	static atomic_uint ever;

	return site->flaw == FLAW_HOARDS && atomic_fetch_add(&ever, 1) > HOARD;
}

static void serve_direct(struct end *end, const struct site *site)
{
	struct message offer, answer;
	int security;

	if (!start_tls(end, site, true))
		return;
	end_phase(end, site);
	if (exchange(end, site, true, &offer, &answer, &security))
		echo(end, site);
}

static void serve_exchanged(struct end *end, const struct site *site)
{
	struct message offer, answer;
	int security;

	if (!exchange(end, site, false, &offer, &answer, &security))
		return;
	if (security == TLS_FOLLOWS)
		serve_tls(end, site, &offer, &answer);
	else
		echo(end, site);
}

void serve_ping(const struct site *site, int fd)
{
	const struct site never_again = {.flaw = FLAW_PATIENT};
	struct end end = {.fd = fd};
	char dropped[256];
	int first;

	end_phase(&end, site);
	if (is_full(site)) {
		end_phase(&end, &never_again);
		while (end_read(&end, dropped, sizeof(dropped)) > 0)
			continue;
	} else {
		first = end_peek(&end);
		if (first == 22)
			serve_direct(&end, site);
		else if (first >= 0)
			serve_exchanged(&end, site);
	}
	end_close(&end, site->flaw != FLAW_RESETS);
}
