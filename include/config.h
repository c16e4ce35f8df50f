/*
 * The configuration: what one file says, parsed, checked, with every default filled in; immutable afterwards. Each
 * member of the section structures below is named by a row of rows.h. Knows no socket and no TLS.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "address.h"
#include "compiler.h"
#include "log.h"
#include "text.h"

enum program { PROGRAM_CCISSL = 1, PROGRAM_CCISSLGW = 2 };

/* "ccissl" or "ccisslgw". */
const char *program_word(enum program program);

/* UNSECURED_CONNECTIONS (protocol, section 3). */
enum unsecured {
	UNSECURED_INHERIT, /* a rule that does not say */
	UNSECURED_NEVER,
	UNSECURED_NONSSL,
	UNSECURED_ALLOW,
	UNSECURED_ONLY,
};

/* A setting of three states: a rule or listener that does not say inherits. */
enum choice { CHOICE_INHERIT, CHOICE_NO, CHOICE_YES };

enum client_auth { CLIENT_AUTH_INHERIT, CLIENT_AUTH_NO, CLIENT_AUTH_REQUEST, CLIENT_AUTH_REQUIRE };

enum rule_action { ACTION_ACCEPT, ACTION_REFUSE };

enum exchange_mode { EXCHANGE_CCI, EXCHANGE_NONE };

/* What ccisslgw offers to a peer: section 2's values, and a direct TLS start. */
enum peer_security { PEER_NONE, PEER_OFF, PEER_ON, PEER_REQUIRED, PEER_DIRECT };

enum sandbox_choice { SANDBOX_NO, SANDBOX_YES, SANDBOX_REQUIRE };
enum confirm_mode { CONFIRM_PREFER, CONFIRM_REQUIRE };

enum on_error { ON_ERROR_CONTINUE, ON_ERROR_REFUSE };

/* Which of several addresses of a service is taken. */
enum balance { BALANCE_ORDER, BALANCE_ROUND_ROBIN, BALANCE_LEAST };

/* The PROXY header that a service gets before the first byte of the client. */
enum send_proxy { SEND_PROXY_NO, SEND_PROXY_V1, SEND_PROXY_V2 };

/* How far certificates are looked up in the revocation lists. */
enum crl_check { CRL_CHECK_LEAF, CRL_CHECK_CHAIN };

/* A number, duration or mode that a rule or listener does not say: it inherits. */
#define CONFIG_INHERIT UINT64_MAX

struct text_list {
	char **at; /* owned by the list's owner */
	size_t count;
};

/* Where a section begins, for messages and records. */
struct config_place {
	char *name; /* the NAME of [listener NAME]; owned by the configuration; "" for a section without one */
	unsigned line;
};

struct config_gateway {
	char *sysid;
	uint64_t workers; /* 0: one a core */
	uint64_t maxru;   /* bytes */
	char *user, *group; /* whom the process becomes after its start; NULL: see privileges.h */
	char *chroot;       /* absolute; NULL: none */
	int keep_capabilities; /* enum choice: NO or YES */
	int sandbox;           /* enum sandbox_choice */
	char *ratchet_file;    /* absolute; NULL: the ratchet lives in memory */
	uint64_t ratchet_days; /* 0: for ever */
};

struct config_keys {
	int process; /* enum choice: NO or YES */
};

struct config_log {
	int to;    /* enum log_sink */
	int level; /* enum level */
};

/* The longest wait of each phase, all in milliseconds; 0: none, where the row's bounds allow it. */
struct config_timeouts {
	uint64_t exchange_ms, handshake_ms, confirm_ms, connect_ms;
	uint64_t idle_ms;                    /* without a byte in either direction */
	uint64_t idle_up_ms, idle_down_ms;   /* without a byte from the client, and to it */
	uint64_t lifetime_ms;                /* of a connection in all */
	uint64_t keepalive_ms;               /* TCP: silence before the kernel asks whether the other side lives */
	uint64_t user_timeout_ms;            /* TCP: sent bytes that are not acknowledged */
	uint64_t drain_ms, upgrade_ms;       /* [timeouts] only */
};

struct config_listener {
	struct config_place place;
	struct address_list address;
	int dual_stack;      /* enum choice: NO or YES */
	uint64_t unix_mode;  /* permission bits of unix sockets */
	char *unix_owner, *unix_group; /* NULL: as they come */
	struct network_list proxy_from; /* sources that begin with a PROXY header; empty: none */
	char *service;     /* ccissl: where the client names no target; NULL: none */
	char *target;      /* ccisslgw: where the client names no target; NULL: none */
	int unsecured;     /* enum unsecured, never INHERIT after config_load */
	int direct;        /* enum choice; resolved to NO or YES after config_load */
	int exchange;      /* enum exchange_mode */
	int client_auth;   /* enum client_auth; resolved after config_load */
	int ratchet;       /* enum choice; resolved after config_load */
	int audit;         /* enum unsecured: what would be refused under it is recorded; INHERIT: nothing */
	struct text_list certificates; /* names of [certificate]; empty: [tls] and all of them */
	struct config_timeouts timeouts; /* resolved after config_load */
};

struct config_rule {
	struct config_place place;
	struct network_list source;  /* empty: any */
	struct text_list sysid;      /* patterns; empty: any */
	struct text_list listener;   /* listener names; empty: any */
	struct text_list target;     /* patterns; empty: any */
	struct text_list identity;   /* "DNS:pattern"... of the verified certificate (identity.h); empty: any */
	int unsecured;               /* enum unsecured; INHERIT: the listener's */
	int action;                  /* enum rule_action */
	int client_auth;             /* enum client_auth; INHERIT: the listener's */
	int ratchet;                 /* enum choice; INHERIT: the listener's */
	int audit;                   /* enum unsecured; INHERIT: the listener's */
	char *service;               /* where the client names no target; NULL: the listener's */
	uint64_t connections, connections_per_source; /* that this rule decided; CONFIG_INHERIT: no bound of its own */
	struct config_timeouts timeouts; /* CONFIG_INHERIT: the listener's; exchange_ms always is */
};

struct config_service {
	struct config_place place;
	struct address_list address; /* in order; the first that can be reached */
	uint64_t retry_ms;           /* how long an address that failed is left out */
	int balance;                 /* enum balance */
	int send_proxy;              /* enum send_proxy */
};

struct config_peer {
	struct config_place place;
	struct address_list address; /* primary, then alternates */
	struct text_list targets;    /* patterns */
	int security;                /* enum peer_security */
	uint64_t retry_ms;
	char *server_name; /* what its certificate must say; NULL: the host of the address */
	char *ca;          /* absolute path; NULL: that of [tls] */
	char *crl;         /* the same */
	int ratchet;       /* enum choice: once secured, an answer in the clear is refused */
	uint64_t health_interval_ms; /* between two pings; 0: no pings */
	uint64_t health_jitter;      /* per cent of it, by which each interval varies */
};

struct config_tls {
	unsigned line; /* 0: the section is not there */
	char *certificate; /* absolute paths after config_load */
	char *private_key;
	char *passphrase_file, *ocsp_response; /* of them; NULL: none */
	char *ca;
	char *crl;
	int crl_check;      /* enum crl_check */
	int client_auth;    /* enum client_auth */
	int min_version;    /* 0x0303 or 0x0304 */
	char *ciphers;      /* OpenSSL lists; NULL: the default of tlscontext.h */
	char *ciphersuites;
	char *groups;
	char *sigalgs;
	int confirm;    /* enum confirm_mode */
	int resumption; /* enum choice: NO or YES */
	char *ticket_keys;           /* absolute path; NULL: keys in memory */
	uint64_t ticket_rotation_ms; /* of keys in memory */
	uint64_t watch_interval_ms;  /* how often files are looked at for changes; 0: never */
	char *insecure_key_log;      /* absolute path; NULL: none */
};

#define CONFIG_CERTIFICATES_MOST 64

/* A further certificate, presented to clients that ask for one of its names. */
struct config_certificate {
	struct config_place place;
	char *certificate, *private_key; /* absolute paths */
	char *passphrase_file, *ocsp_response; /* NULL: none */
};

struct config_notifier {
	struct config_place place;
	char *kind;   /* "log", "file"... */
	int on_error; /* enum on_error */
	char *path;   /* absolute; NULL: none */
	char *argument; /* plugin; NULL: none */
	uint64_t queue_bytes;
	uint64_t mode;        /* permission bits of what is made at `path` */
	int chain;            /* enum choice: NO or YES */
	int sync;             /* the same: events reach the disk before anything depends on them */
	uint64_t interval_ms; /* smf */
	uint64_t mark_secured, mark_clear;
};

/* How a running gateway is asked and told. */
struct config_control {
	char *socket; /* absolute path of a unix socket; NULL: none */
	uint64_t mode; /* its permission bits */
	struct address_list http; /* loopback or unix; empty: none */
	uint64_t report_entries;  /* the most that the report holds */
};

struct config_limits {
	uint64_t connections, connections_per_source;
	uint64_t connection_rate, connection_burst; /* new ones a second from one source; 0: no bound */
	uint64_t handshake_rate, handshake_burst;
	uint64_t buffer_bytes; /* of all workers; 0: no bound */
};

/* Where a key stands, for messages about it. */
struct config_line {
	const char *section, *key; /* static: the row's */
	const char *name;          /* borrowed from the section's place; NULL: a section without one */
	unsigned line;
};

struct config {
	atomic_uint references;
	enum program program;
	char *file; /* as given */
	struct config_line *lines; /* owned; every key that the file sets */
	size_t line_count;
	struct config_gateway gateway;
	struct config_log log;
	struct config_listener *listeners;
	size_t listener_count;
	struct config_rule *rules;
	size_t rule_count;
	struct config_service *services;
	size_t service_count;
	struct config_peer *peers;
	size_t peer_count;
	struct config_tls tls;
	struct config_certificate *certificates;
	size_t certificate_count;
	struct config_keys keys;
	struct config_notifier *notifiers;
	size_t notifier_count;
	struct config_control control;
	struct config_timeouts timeouts;
	struct config_limits limits;
};

/* Called for each finding: first what single lines say, in the order of the file, then what contradicts. `line` is 0
 * where the finding is about the whole file. */
typedef void config_report(void *context, bool is_error, const char *file, unsigned line, const char *text);

/* Read, parse and check `file`. Every error and warning goes to `report`. The configuration (owned by the caller,
 * config_free), or NULL when there was at least one error. Relative paths are taken from the file's directory. */
struct config *config_load(const char *file, enum program program, config_report *report, void *context) MUST_CHECK;

/* The same from an open stream, `file` being its name in messages and for relative paths. For tests and fuzzers. */
struct config *config_load_stream(FILE *stream, const char *file, enum program program, config_report *report,
                                  void *context) MUST_CHECK;

/* One owner less; the last one frees. NULL does nothing. Any thread. */
void config_free(struct config *config);

/* One owner more: what is loaded anew for the same settings shares them. Returns `config`. */
struct config *config_share(struct config *config);

/* The waits in force for a connection of `listener` that `rule` decided (NULL: no rule). */
struct config_timeouts config_timeouts_of(const struct config_listener *listener, const struct config_rule *rule);

/* Write the effective configuration, each key with its help as a comment, so that config_load reads it back to
 * the same. 0, or -1 when the stream failed. */
int config_dump(const struct config *config, FILE *stream) MUST_CHECK;

/* The line that sets `key` in [section name] (`name` NULL: a section without names); 0: none does. */
unsigned config_line_of(const struct config *config, const char *section, const char *name, const char *key);

/* By name, without regard to case; NULL where there is none. */
const struct config_service *config_service_named(const struct config *config, const char *name);
const struct config_peer *config_peer_named(const struct config *config, const char *name);

/* The peer that serves `target`: the [peer] of that name, or else the first whose `targets` match. */
const struct config_peer *config_peer_for(const struct config *config, const char *target);

/* Words of the enumerations above as the file writes them. */
const char *unsecured_word(enum unsecured unsecured);
const char *peer_security_word(enum peer_security security);

#endif
