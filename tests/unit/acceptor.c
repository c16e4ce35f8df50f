/* The accepting side that follows a plan, for tests of the connecting side. */
#include "acceptor.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../e2e/peer.h"

struct talk {
	struct acceptor *acceptor;
	const struct plan *plan;
	int fd;
	SSL *ssl;
	uint8_t answer[4096];
	size_t answer_size;
};

static const struct certificates *files;

/* A self-signed certificate is its own authority, which is all that is needed here. */
static void make_one(const char *certificate_file, const char *key_file, const char *names, FILE *ca)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	FILE *out = fopen(certificate_file, "w");

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 4711);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	                           (const unsigned char *)certificate_file, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, extension, -1);
	X509_sign(certificate, key, EVP_sha256());
	PEM_write_X509(out, certificate);
	fclose(out);
	if (ca != NULL)
		PEM_write_X509(ca, certificate);
	out = fopen(key_file, "w");
	PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
	X509_EXTENSION_free(extension);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void certificates_make(struct certificates *certificates)
{
	static const char *const names[] = {"IP:127.0.0.1,DNS:localhost", "DNS:elsewhere.example", "IP:127.0.0.1"};
	FILE *ca;

	strcpy(certificates->folder, "/tmp/test-dial-XXXXXX");
	if (mkdtemp(certificates->folder) == NULL)
		abort();
	(void)snprintf(certificates->ca, sizeof(certificates->ca), "%s/ca.pem", certificates->folder);
	ca = fopen(certificates->ca, "w");
	for (int i = 0; i < 3; i++) {
		(void)snprintf(certificates->certificate[i], sizeof(certificates->ca), "%s/%d.pem", certificates->folder, i);
		(void)snprintf(certificates->key[i], sizeof(certificates->ca), "%s/%d.key", certificates->folder, i);
		make_one(certificates->certificate[i], certificates->key[i], names[i], i != CERTIFICATE_UNTRUSTED ? ca : NULL);
	}
	fclose(ca);
}

void certificates_remove(struct certificates *certificates)
{
	for (int i = 0; i < 3; i++) {
		unlink(certificates->certificate[i]);
		unlink(certificates->key[i]);
	}
	unlink(certificates->ca);
	rmdir(certificates->folder);
}

/* Until the other side ends. */
static void drain(struct talk *talk)
{
	uint8_t bytes[512];

	while (recv(talk->fd, bytes, sizeof(bytes), 0) > 0)
		;
}

static void reset(struct talk *talk)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static size_t message(uint8_t *bytes, int type, unsigned reason, unsigned maxru)
{
	static const uint8_t head[16] = {0x43, 0x43, 0x49, 0x50, 1, 0, 1, 0, 0, 16};

	memcpy(bytes, head, sizeof(head));
	bytes[5] = (uint8_t)type;
	bytes[10] = (uint8_t)(reason >> 8);
	bytes[11] = (uint8_t)reason;
	bytes[12] = (uint8_t)(maxru >> 24);
	bytes[13] = (uint8_t)(maxru >> 16);
	bytes[14] = (uint8_t)(maxru >> 8);
	bytes[15] = (uint8_t)maxru;
	return sizeof(head);
}

static void make_answer(struct talk *talk)
{
	const struct plan *plan = talk->plan;
	static const uint8_t verifier[32];
	uint8_t *bytes = talk->answer;
	uint8_t security = (uint8_t)plan->answer;
	int type = plan->type > 0 ? plan->type : 2;
	size_t size = message(bytes, type, plan->reason, type > 2 ? 0 : plan->maxru > 0 ? plan->maxru : 4096);

	if (type == 1 || type == 2) {
		size = peer_add(bytes, size, 1, &security, 1);
		size = peer_add(bytes, size, 2, "FAR", 3);
		size = peer_add(bytes, size, 4, "other/1", 7);
		size = peer_add(bytes, size, 8, "0123456789abcdef", 16);
	}
	if (type == 3 && plan->text != NULL)
		size = peer_add(bytes, size, 5, plan->text, strlen(plan->text));
	if (type == 4)
		size = peer_add(bytes, size, 6, verifier, sizeof(verifier));
	talk->answer_size = size;
}

/* The answer and what follows it in the clear, in one send unless it drips. */
static bool send_answer(struct talk *talk)
{
	const struct plan *plan = talk->plan;
	uint8_t bytes[8192];
	size_t size = plan->cut > 0 ? plan->cut : talk->answer_size;

	memcpy(bytes, talk->answer, size);
	if (plan->raw != NULL) {
		size = strlen(plan->raw);
		memcpy(bytes, plan->raw, size);
	}
	if (plan->extra != NULL) {
		memcpy(bytes + size, plan->extra, strlen(plan->extra));
		size += strlen(plan->extra);
	}
	if (plan->drip_ms == 0)
		return peer_write(talk->fd, talk->ssl, bytes, size);
	for (size_t i = 0; i < size; i++) {
		usleep(plan->drip_ms * 1000);
		if (!peer_write(talk->fd, talk->ssl, bytes + i, 1))
			return false;
	}
	return true;
}

/* Is what comes next TLS, as it has to be? */
static void look_at_next(struct talk *talk)
{
	uint8_t byte = 0;

	if (recv(talk->fd, &byte, 1, MSG_PEEK) == 1 && byte != 0x16)
		talk->acceptor->seen_clear = true;
}

static bool handshake(struct talk *talk)
{
	const struct plan *plan = talk->plan;
	const char *alpn = plan->alpn != NULL ? plan->alpn : plan->direct ? "cci/1" : "cci-upgrade/1";

	look_at_next(talk);
	if (plan->mute_handshake)
		drain(talk);
	else
		talk->ssl = peer_tls_server(talk->fd, files->certificate[plan->certificate], files->key[plan->certificate],
		                            alpn[0] != '\0' ? alpn : NULL);
	return talk->ssl != NULL;
}

static size_t make_confirm(struct talk *talk, uint8_t *bytes, const uint8_t *theirs, size_t theirs_size)
{
	struct acceptor *acceptor = talk->acceptor;
	uint8_t other[4096];
	size_t size;

	memcpy(other, talk->answer, talk->answer_size);
	other[talk->answer_size - 1] ^= talk->plan->confirm == WITH_ALTERED_ACCEPT;
	switch (talk->plan->confirm) {
	case WITH_OWN_REFLECTED:
		memcpy(bytes, theirs, theirs_size);
		return theirs_size;
	case WITH_REFUSE_13:
		return message(bytes, 3, 13, 0);
	case WITH_REFUSE_7:
		return peer_add(bytes, message(bytes, 3, 7, 0), 5, "not you", 7);
	case WITH_OFFER:
		return peer_offer(bytes, 1, 4, "FAR", NULL);
	case WITH_GARBAGE:
		memcpy(bytes, "HTTP/1.1 200 OK\r\n\r\n", 19);
		return 19;
	default:
		size = peer_confirm(bytes, talk->ssl, "server",
		                    &(struct peer_clear){acceptor->offer, (size_t)acceptor->offer_size, other, talk->answer_size});
		bytes[size - 1] ^= talk->plan->confirm == WITH_WRONG_VERIFIER;
		return size;
	}
}

/* False: the talk is over. */
static bool confirm(struct talk *talk)
{
	uint8_t theirs[4096], bytes[4096];
	int size = peer_receive(talk->fd, talk->ssl, theirs);

	if (size <= 0 || talk->plan->confirm == WITH_END)
		return false;
	if (talk->plan->confirm == WITH_SILENCE) {
		drain(talk);
		return false;
	}
	if (talk->plan->confirm == WITH_NOTHING)
		return true;
	(void)peer_write(talk->fd, talk->ssl, bytes, make_confirm(talk, bytes, theirs, (size_t)size));
	if (talk->plan->confirm == WITH_CONFIRM)
		return true;
	if (peer_receive(talk->fd, talk->ssl, theirs) > 0) {
		talk->acceptor->seen_type = peer_type(theirs);
		talk->acceptor->seen_reason = peer_reason(theirs);
	}
	return false;
}

static void echo(struct talk *talk)
{
	uint8_t byte;

	while (peer_read(talk->fd, talk->ssl, &byte, 1) && peer_write(talk->fd, talk->ssl, &byte, 1))
		;
}

static void follow(struct talk *talk)
{
	const struct plan *plan = talk->plan;
	struct acceptor *acceptor = talk->acceptor;

	if (plan->direct && !handshake(talk))
		return;
	acceptor->offer_size = peer_receive(talk->fd, talk->ssl, acceptor->offer);
	if (acceptor->offer_size <= 0)
		return;
	make_answer(talk);
	if (plan->type >= 0 && !send_answer(talk))
		return;
	if (plan->then == THEN_RESET)
		reset(talk);
	if (plan->then == THEN_SILENT)
		drain(talk);
	if (plan->then != THEN_GO_ON)
		return;
	if (plan->type > 2 || plan->raw != NULL || (!plan->direct && plan->answer == 2)) {
		drain(talk);
		return;
	}
	if (!plan->direct && plan->answer == 1) {
		if (!handshake(talk) || (plan->alpn == NULL && !confirm(talk)))
			return;
	}
	echo(talk);
}

static void *serve(void *argument)
{
	struct acceptor *acceptor = argument;
	int fd;

	while ((fd = peer_accept(acceptor->listening)) >= 0) {
		size_t number = atomic_fetch_add(&acceptor->connections, 1);
		struct talk talk = {.acceptor = acceptor, .fd = fd};

		talk.plan = &acceptor->plans[number < acceptor->plan_count ? number : acceptor->plan_count - 1];
		follow(&talk);
		peer_free(talk.fd, talk.ssl);
		ERR_clear_error();
	}
	return NULL;
}

void acceptor_start(struct acceptor *acceptor, const struct certificates *certificates, const struct plan *plans,
                    size_t plan_count)
{
	memset(acceptor, 0, sizeof(*acceptor));
	files = certificates;
	acceptor->plans = plans;
	acceptor->plan_count = plan_count;
	acceptor->listening = peer_listen(&acceptor->port);
	if (acceptor->listening < 0 || pthread_create(&acceptor->thread, NULL, serve, acceptor) != 0)
		abort();
}

void acceptor_stop(struct acceptor *acceptor)
{
	shutdown(acceptor->listening, SHUT_RDWR);
	pthread_join(acceptor->thread, NULL);
	close(acceptor->listening);
}
