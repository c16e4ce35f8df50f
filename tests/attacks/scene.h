/* What is attacked, as its owner has told it, and what is said of the outcome. */
#ifndef ATTACKS_SCENE_H
#define ATTACKS_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum policy { POLICY_NEVER, POLICY_NONSSL, POLICY_ALLOW, POLICY_ONLY };

struct scene {
	struct sockaddr_storage address; /* of the gateway: where clients connect */
	socklen_t address_size;
	bool connecting; /* the gateway's connecting side is attacked; from here on the accepting one's: */
	enum policy policy;
	bool direct, client_auth, ratchet;
	const char *ca, *cert, *key; /* NULL: none */
	const char *bad_cert, *bad_key;
	const char *sysid, *target;
	unsigned wait_s, connections;
	/* of the connecting one: */
	int listening;
};

/* An attack gives NULL when the gateway held, or what was seen instead. */
typedef const char *attack_function(const struct scene *scene);

/* What an attack needs of the scene. */
enum {
	NEEDS_TLS = 1,          /* a policy other than only */
	NEEDS_CLEAR = 2,        /* a policy other than never */
	NEEDS_NEVER = 4,        /* that policy */
	NEEDS_DIRECT = 8,       /* direct TLS, and TLS */
	NEEDS_CLIENT_AUTH = 16, /* certificates of clients are required */
	NEEDS_BAD_CERT = 32,    /* one that has to be refused */
	NEEDS_RATCHET = 64,     /* names are kept */
	ALONGSIDE = 128,        /* waits long: run beside others of this kind */
};

struct attack {
	char class; /* of docs/attacks.md */
	const char *name;
	unsigned needs;
	attack_function *run;
};

extern const struct attack attacks_on_accepting[], attacks_on_connecting[]; /* until name NULL */

#define SEEN_SIZE 512 /* bytes, the zero with them */

/* What was seen, for an attack to give. Valid until this thread has called it four times more. */
const char *seen(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A scene may turn out unfit for an attack: give this instead. */
const char *skipped(const char *why);
bool is_skipped(const char *result);

/* One honest session with the best security that the scene has, with an echo where the target is *PING: NULL, or what
 * is wrong. It is tried for a few seconds, since what was attacked may still be recovering. */
const char *still_serves(const struct scene *scene);

#endif
