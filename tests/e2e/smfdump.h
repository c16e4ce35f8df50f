/*
 * What a gateway writes with kind = smf, as etc/smf-dump reads it, which was written from the description of the records
 * alone; and connections that have something to show.
 */
#ifndef SMFDUMP_H
#define SMFDUMP_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway.h"
#include "peer.h"

#define SMF_TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define SMF_SECTION "[notifier z]\nkind = smf\npath = records\ninterval = %s\n"

/* Sysid, interval: listeners that allow clear ones and ask for certificates (port 0), at [::1] (port 1), and that never
 * allow clear ones (port 2). */
extern const char smf_config[];

/* Runs the reader on a file of the gateway's folder; what it prints is in `text` (cut where too long). Its status. */
int smf_dump(const struct gateway *gateway, const char *file, char *text, size_t size);

/* What the last call of smf_expect or smf_stop has read: a line a record. */
extern char smf_records[1 << 20];

/* How many of these lines have all of these words. */
int smf_count(const char *words);

/* The sum of a number in them. */
uint64_t smf_sum(const char *words, const char *key);

/* Waits until `number` records in the file `records` have these words (as printf); fails after some seconds, or when there
 * are more. */
void smf_expect(const struct gateway *gateway, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Ends the gateway, whose whole file must be in order, and removes it, and `more` (NULL: no other file). */
void smf_stop(struct gateway *gateway, const char *more);

struct smf_client {
	int fd, port;
	SSL *ssl;
	size_t offer_size, answer_size;
};

extern const struct peer_tls smf_upgrade, smf_direct;

/* On this connected descriptor, with 5 bytes echoed; `tls` NULL: in the clear. */
struct smf_client smf_begin(int fd, bool is_direct, const struct peer_tls *tls);
void smf_end(struct smf_client *client);

/* Our port. */
int smf_port(int fd);

#endif
