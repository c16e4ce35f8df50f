/* The table of configuration rows. */
#include "rows.h"

#include <string.h>

#define BOTH (PROGRAM_CCISSL | PROGRAM_CCISSLGW)
#define SSL PROGRAM_CCISSL
#define GW PROGRAM_CCISSLGW
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND 1000u
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static const struct row_word words_sink[] = {{"stderr", LOG_STDERR}, {"syslog", LOG_SYSLOG}, {NULL, 0}};
static const struct row_word words_level[] = {
    {"error", LEVEL_ERROR}, {"warning", LEVEL_WARNING}, {"info", LEVEL_INFO}, {"debug", LEVEL_DEBUG}, {NULL, 0}};
static const struct row_word words_unsecured[] = {{"never", UNSECURED_NEVER},
                                                  {"nonssl", UNSECURED_NONSSL},
                                                  {"allow", UNSECURED_ALLOW},
                                                  {"only", UNSECURED_ONLY},
                                                  {NULL, 0}};
static const struct row_word words_choice[] = {{"yes", CHOICE_YES}, {"no", CHOICE_NO}, {NULL, 0}};
static const struct row_word words_exchange[] = {{"cci", EXCHANGE_CCI}, {"none", EXCHANGE_NONE}, {NULL, 0}};
static const struct row_word words_client_auth[] = {
    {"no", CLIENT_AUTH_NO}, {"request", CLIENT_AUTH_REQUEST}, {"require", CLIENT_AUTH_REQUIRE}, {NULL, 0}};
static const struct row_word words_action[] = {{"accept", ACTION_ACCEPT}, {"refuse", ACTION_REFUSE}, {NULL, 0}};
static const struct row_word words_security[] = {{"none", PEER_NONE},         {"off", PEER_OFF},       {"on", PEER_ON},
                                                 {"required", PEER_REQUIRED}, {"direct", PEER_DIRECT}, {NULL, 0}};
static const struct row_word words_version[] = {{"1.2", 0x0303}, {"1.3", 0x0304}, {NULL, 0}};
static const struct row_word words_confirm[] = {{"prefer", CONFIRM_PREFER}, {"require", CONFIRM_REQUIRE}, {NULL, 0}};
static const struct row_word words_on_error[] = {
    {"continue", ON_ERROR_CONTINUE}, {"refuse", ON_ERROR_REFUSE}, {NULL, 0}};

#define AT(structure, member) .offset = offsetof(struct structure, member)

const struct row_section row_sections[] = {
    {"gateway", false, sizeof(struct config_gateway), offsetof(struct config, gateway), 0, BOTH, true,
     "This gateway."},
    {"log", false, sizeof(struct config_log), offsetof(struct config, log), 0, BOTH, false, "Where log lines go."},
    {"listener", true, sizeof(struct config_listener), offsetof(struct config, listeners),
     offsetof(struct config, listener_count), BOTH, true, "Where connections are accepted, and by which policy."},
    {"rule", true, sizeof(struct config_rule), offsetof(struct config, rules), offsetof(struct config, rule_count),
     BOTH, false, "Exceptions: the first rule that matches decides; the listener's own settings where none does."},
    {"service", true, sizeof(struct config_service), offsetof(struct config, services),
     offsetof(struct config, service_count), BOTH, false, "What connections are delivered to."},
    {"peer", true, sizeof(struct config_peer), offsetof(struct config, peers), offsetof(struct config, peer_count), GW,
     false, "Another gateway that connections are passed on to."},
    {"tls", false, sizeof(struct config_tls), offsetof(struct config, tls), 0, BOTH, false,
     "Certificates, and what a handshake may agree on."},
    {"notifier", true, sizeof(struct config_notifier), offsetof(struct config, notifiers),
     offsetof(struct config, notifier_count), BOTH, false, "Who is told when a connection turns to TLS."},
    {"timeouts", false, sizeof(struct config_timeouts), offsetof(struct config, timeouts), 0, BOTH, false,
     "The longest wait in each phase; a drip of bytes does not extend it."},
    {"limits", false, sizeof(struct config_limits), offsetof(struct config, limits), 0, BOTH, false,
     "How many connections there may be; more are told that a limit is reached."},
};
const size_t row_section_count = COUNT(row_sections);

/* clang-format off */
const struct row rows[] = {
    {"gateway", "sysid", NULL, ROW_NAME, AT(config_gateway, sysid), .required = true, .programs = BOTH,
     .help = "Our CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -"},
    {"gateway", "workers", NULL, ROW_NUMBER, AT(config_gateway, workers), 0, 256, "0", .programs = BOTH,
     .help = "Threads that carry connections. 0: one a core."},
    {"gateway", "maxru", NULL, ROW_NUMBER, AT(config_gateway, maxru), 256, 1048576, "4096", .reloadable = true,
     .programs = BOTH, .help = "The largest data unit, in bytes, that we say we take."},

    {"log", "to", NULL, ROW_WORD, AT(config_log, to), .fallback = "stderr", .reloadable = true, .programs = BOTH,
     .words = words_sink, .help = "stderr or syslog."},
    {"log", "level", NULL, ROW_WORD, AT(config_log, level), .fallback = "info", .reloadable = true, .programs = BOTH,
     .words = words_level, .help = "The least important level that is written: error, warning, info or debug."},

    {"listener", "address", NULL, ROW_ADDRESSES, AT(config_listener, address), .required = true, .reloadable = true,
     .programs = BOTH, .help = "Where to listen: IP:PORT, [IPv6]:PORT; several by commas. Port 0 takes any free one."},
    {"listener", "service", NULL, ROW_NAME, AT(config_listener, service), .reloadable = true, .programs = SSL,
     .help = "The [service] for clients that name no target."},
    {"listener", "target", NULL, ROW_NAME, AT(config_listener, target), .reloadable = true, .programs = GW,
     .help = "The target of clients that name none."},
    {"listener", "unsecured_connections", "unsecon", ROW_WORD, AT(config_listener, unsecured), .fallback = "never",
     .reloadable = true, .programs = BOTH, .words = words_unsecured,
     .help = "never: TLS or nothing. nonssl: clear only for clients that cannot do TLS. allow: also for those that would "
             "rather not. only: never TLS."},
    {"listener", "direct", NULL, ROW_WORD, AT(config_listener, direct), .reloadable = true, .programs = BOTH,
     .words = words_choice, .help = "Take a TLS start at the first byte on the same port? yes, save under only."},
    {"listener", "exchange", NULL, ROW_WORD, AT(config_listener, exchange), .fallback = "cci", .reloadable = true,
     .programs = BOTH, .words = words_exchange,
     .help = "none: clients are plain TCP programs that know nothing of CCI; unsecured_connections must be only or allow."},
    {"listener", "client_auth", NULL, ROW_WORD, AT(config_listener, client_auth), .reloadable = true, .programs = BOTH,
     .words = words_client_auth, .help = "no, request or require a client certificate. Unset: as in [tls]."},
    {"listener", "ratchet", NULL, ROW_WORD, AT(config_listener, ratchet), .fallback = "no", .reloadable = true,
     .programs = BOTH, .words = words_choice,
     .help = "Once a name was secured here, refuse it in the clear? Kept in memory."},

    {"rule", "source", NULL, ROW_NETWORKS, AT(config_rule, source), .reloadable = true, .programs = BOTH,
     .help = "Networks the client comes from, such as 10.20.0.0/16; unset: any."},
    {"rule", "sysid", NULL, ROW_PATTERNS, AT(config_rule, sysid), .reloadable = true, .programs = BOTH,
     .help = "Patterns of the client's CCI name, with * and ?; unset: any. The name is the client's own claim."},
    {"rule", "listener", NULL, ROW_NAMES, AT(config_rule, listener), .reloadable = true, .programs = BOTH,
     .help = "Names of listeners; unset: any."},
    {"rule", "unsecured_connections", "unsecon", ROW_WORD, AT(config_rule, unsecured), .reloadable = true,
     .programs = BOTH, .words = words_unsecured, .help = "In place of the listener's; unset: the listener's."},
    {"rule", "action", NULL, ROW_WORD, AT(config_rule, action), .fallback = "accept", .reloadable = true,
     .programs = BOTH, .words = words_action, .help = "accept, or refuse whatever matches."},
    {"rule", "ratchet", NULL, ROW_WORD, AT(config_rule, ratchet), .reloadable = true, .programs = BOTH,
     .words = words_choice, .help = "In place of the listener's; unset: the listener's."},

    {"service", "address", NULL, ROW_ADDRESSES, AT(config_service, address), .required = true, .reloadable = true,
     .programs = BOTH,
     .help = "HOST:PORT, unix:/PATH or builtin:echo; several by commas, the first that can be reached is taken."},
    {"service", "retry", NULL, ROW_DURATION, AT(config_service, retry_ms), 100, DAY, "10s", .reloadable = true,
     .programs = BOTH, .help = "How long an address that failed is left out."},

    {"peer", "address", NULL, ROW_ADDRESSES, AT(config_peer, address), .required = true, .reloadable = true,
     .programs = GW, .default_port = 1202, .help = "The primary, then alternates; back to the primary after retry."},
    {"peer", "targets", NULL, ROW_PATTERNS, AT(config_peer, targets), .reloadable = true, .programs = GW,
     .help = "Targets passed on to it beside its own name; patterns with * and ?."},
    {"peer", "security", NULL, ROW_WORD, AT(config_peer, security), .fallback = "required", .reloadable = true,
     .programs = GW, .words = words_security,
     .help = "What we offer it: none, off, on, required, or direct (TLS from the first byte)."},
    {"peer", "retry", NULL, ROW_DURATION, AT(config_peer, retry_ms), 100, DAY, "10s", .reloadable = true,
     .programs = GW, .help = "How long an address that failed is left out."},
    {"peer", "server_name", NULL, ROW_HOST, AT(config_peer, server_name), .reloadable = true, .programs = GW,
     .help = "The name or IP address its certificate must hold. Unset: the host in its address."},
    {"peer", "ca", NULL, ROW_PATH, AT(config_peer, ca), .reloadable = true, .programs = GW,
     .help = "The authorities trusted for it. Unset: as in [tls]."},

    {"tls", "certificate", NULL, ROW_PATH, AT(config_tls, certificate), .reloadable = true, .programs = BOTH,
     .help = "Our certificate and its chain, PEM. Relative paths are taken from this file's directory."},
    {"tls", "private_key", NULL, ROW_PATH, AT(config_tls, private_key), .reloadable = true, .programs = BOTH,
     .help = "Its key, PEM, readable by this program alone."},
    {"tls", "ca", NULL, ROW_PATH, AT(config_tls, ca), .reloadable = true, .programs = BOTH,
     .help = "The authorities that peers' certificates are checked against, PEM."},
    {"tls", "client_auth", NULL, ROW_WORD, AT(config_tls, client_auth), .fallback = "no", .reloadable = true,
     .programs = BOTH, .words = words_client_auth, .help = "no, request or require a client certificate."},
    {"tls", "min_version", NULL, ROW_WORD, AT(config_tls, min_version), .fallback = "1.2", .reloadable = true,
     .programs = BOTH, .words = words_version, .help = "1.2 or 1.3."},
    {"tls", "ciphers", NULL, ROW_TEXT, AT(config_tls, ciphers), .reloadable = true, .programs = BOTH,
     .help = "Suites of TLS 1.2, in OpenSSL's notation. Unset: ECDHE with AES-GCM or ChaCha20."},
    {"tls", "ciphersuites", NULL, ROW_TEXT, AT(config_tls, ciphersuites), .reloadable = true, .programs = BOTH,
     .help = "Suites of TLS 1.3. Unset: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305."},
    {"tls", "groups", NULL, ROW_TEXT, AT(config_tls, groups), .reloadable = true, .programs = BOTH,
     .help = "Key exchange groups. Unset: X25519, P-256, P-384."},
    {"tls", "confirm", NULL, ROW_WORD, AT(config_tls, confirm), .fallback = "prefer", .reloadable = true,
     .programs = BOTH, .words = words_confirm,
     .help = "require refuses a peer that does not confirm the clear exchange inside TLS."},
    {"tls", "resumption", NULL, ROW_WORD, AT(config_tls, resumption), .fallback = "yes", .reloadable = true,
     .programs = BOTH, .words = words_choice, .help = "Resume TLS sessions by tickets?"},

    {"notifier", "kind", NULL, ROW_TEXT, AT(config_notifier, kind), .required = true, .reloadable = true,
     .programs = BOTH, .help = "log."},
    {"notifier", "on_error", NULL, ROW_WORD, AT(config_notifier, on_error), .fallback = "continue",
     .reloadable = true, .programs = BOTH, .words = words_on_error,
     .help = "continue, or refuse the connection when the notifier fails."},

    {"timeouts", "exchange", NULL, ROW_DURATION, AT(config_timeouts, exchange_ms), 100, HOUR, "5s", .reloadable = true,
     .programs = BOTH, .help = "For the whole OFFER, or the whole answer."},
    {"timeouts", "handshake", NULL, ROW_DURATION, AT(config_timeouts, handshake_ms), 100, HOUR, "10s",
     .reloadable = true, .programs = BOTH, .help = "For the TLS handshake."},
    {"timeouts", "confirm", NULL, ROW_DURATION, AT(config_timeouts, confirm_ms), 100, HOUR, "5s", .reloadable = true,
     .programs = BOTH, .help = "For the peer's CONFIRM."},
    {"timeouts", "connect", NULL, ROW_DURATION, AT(config_timeouts, connect_ms), 100, HOUR, "5s", .reloadable = true,
     .programs = BOTH, .help = "For each address of a service or peer."},
    {"timeouts", "idle", NULL, ROW_DURATION, AT(config_timeouts, idle_ms), 100, 365 * (uint64_t)DAY, "1h",
     .reloadable = true, .programs = BOTH, .help = "Without a byte in either direction."},
    {"timeouts", "drain", NULL, ROW_DURATION, AT(config_timeouts, drain_ms), 0, DAY, "30s", .reloadable = true,
     .programs = BOTH, .help = "For running connections after SIGTERM."},

    {"limits", "connections", NULL, ROW_NUMBER, AT(config_limits, connections), 1, 10000000, "20000",
     .reloadable = true, .programs = BOTH, .help = "In all."},
    {"limits", "connections_per_source", NULL, ROW_NUMBER, AT(config_limits, connections_per_source), 1, 10000000,
     "2000", .reloadable = true, .programs = BOTH, .help = "From one IPv4 address, or one IPv6 network of 64 bits."},
};
/* clang-format on */
const size_t row_count = COUNT(rows);

const struct row *row_find(const char *section, const char *key)
{
	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section) == 0 &&
		    (strcmp(rows[i].key, key) == 0 || (rows[i].alias != NULL && strcmp(rows[i].alias, key) == 0)))
			return &rows[i];
	return NULL;
}

const struct row_section *row_section_find(const char *section)
{
	for (size_t i = 0; i < row_section_count; i++)
		if (strcmp(row_sections[i].name, section) == 0)
			return &row_sections[i];
	return NULL;
}

#define WORD_MOST 40

/* Levenshtein's distance; words that are too long are far from all. */
static size_t distance(const char *a, const char *b)
{
	size_t line[WORD_MOST + 1], length = strlen(b);

	if (strlen(a) > WORD_MOST || length > WORD_MOST)
		return WORD_MOST;
	for (size_t j = 0; j <= length; j++)
		line[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t corner = line[0];

		line[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t change = corner + (a[i - 1] != b[j - 1]);
			size_t best = line[j] < line[j - 1] ? line[j] + 1 : line[j - 1] + 1;

			corner = line[j];
			line[j] = change < best ? change : best;
		}
	}
	return line[length];
}

/* The nearer of two candidates, as long as it is near at all. */
static void consider(const char *given, const char *candidate, const char **best, size_t *least)
{
	size_t far = distance(given, candidate);

	if (far < *least) {
		*least = far;
		*best = candidate;
	}
}

const char *row_nearest_key(const char *section, const char *given)
{
	const char *best = NULL;
	size_t least = 4;

	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section) == 0)
			consider(given, rows[i].key, &best, &least);
	return best;
}

const char *row_nearest_section(const char *given)
{
	const char *best = NULL;
	size_t least = 4;

	for (size_t i = 0; i < row_section_count; i++)
		consider(given, row_sections[i].name, &best, &least);
	return best;
}
