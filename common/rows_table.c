/* The rows and sections of the configuration. */
#include "rows.h"

#define BOTH (PROGRAM_CCISSL | PROGRAM_CCISSLGW)
#define SSL PROGRAM_CCISSL
#define GW PROGRAM_CCISSLGW
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND 1000u
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEAR (365 * (uint64_t)DAY)

static const struct row_word words_sink[] = {{"stderr", LOG_STDERR}, {"syslog", LOG_SYSLOG}, {NULL, 0}};
static const struct row_word words_level[] = {
    {"error", LEVEL_ERROR}, {"warning", LEVEL_WARNING}, {"info", LEVEL_INFO}, {"debug", LEVEL_DEBUG}, {NULL, 0}};
static const struct row_word words_unsecured[] = {{"never", UNSECURED_NEVER},
                                                  {"nonssl", UNSECURED_NONSSL},
                                                  {"allow", UNSECURED_ALLOW},
                                                  {"only", UNSECURED_ONLY},
                                                  {NULL, 0}};
static const struct row_word words_choice[] = {{"yes", CHOICE_YES}, {"no", CHOICE_NO}, {NULL, 0}};
static const struct row_word words_sandbox[] = {
    {"yes", SANDBOX_YES}, {"no", SANDBOX_NO}, {"require", SANDBOX_REQUIRE}, {NULL, 0}};
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

static const struct row_word words_balance[] = {
    {"order", BALANCE_ORDER}, {"round-robin", BALANCE_ROUND_ROBIN}, {"least", BALANCE_LEAST}, {NULL, 0}};
static const struct row_word words_send_proxy[] = {
    {"no", SEND_PROXY_NO}, {"v1", SEND_PROXY_V1}, {"v2", SEND_PROXY_V2}, {NULL, 0}};
static const struct row_word words_crl_check[] = {{"leaf", CRL_CHECK_LEAF}, {"chain", CRL_CHECK_CHAIN}, {NULL, 0}};

#define AT(structure, member) .offset = offsetof(struct structure, member)

/* Waits that only another section has. */
static void init_listener(void *structure)
{
	struct config_timeouts *waits = &((struct config_listener *)structure)->timeouts;

	waits->drain_ms = waits->upgrade_ms = CONFIG_INHERIT;
}

static void init_rule(void *structure)
{
	struct config_timeouts *waits = &((struct config_rule *)structure)->timeouts;

	waits->drain_ms = waits->upgrade_ms = waits->exchange_ms = CONFIG_INHERIT;
}

/* A section that stands once, and one that stands any number of times with a name each. */
#define ONE_OF(who, word, structure, member) \
	.name = word, .size = sizeof(struct structure), .offset = offsetof(struct config, member), .programs = who
#define MANY_OF(who, word, structure, member, count) \
	ONE_OF(who, word, structure, member), .named = true, .count_offset = offsetof(struct config, count)
#define ONE(word, structure, member) ONE_OF(BOTH, word, structure, member)
#define MANY(word, structure, member, count) MANY_OF(BOTH, word, structure, member, count)

const struct row_section row_sections[] = {
    {ONE("gateway", config_gateway, gateway), .required = true, .help = "This gateway."},
    {ONE("log", config_log, log), .help = "Where log lines go."},
    {MANY("listener", config_listener, listeners, listener_count), .required = true, .init = init_listener,
     .help = "Where connections are accepted, and by which policy."},
    {MANY("rule", config_rule, rules, rule_count), .init = init_rule,
     .help = "Exceptions: the first rule that matches decides; the listener's own settings where none does."},
    {MANY("service", config_service, services, service_count), .help = "What connections are delivered to."},
    {MANY_OF(GW, "peer", config_peer, peers, peer_count), .help = "Another gateway that connections are passed on to."},
    {ONE("tls", config_tls, tls), .help = "Certificates, and what a handshake may agree on."},
    {MANY("certificate", config_certificate, certificates, certificate_count),
     .help = "A further certificate: shown to clients that ask (by SNI) for one of its names. Of those with the same "
             "name and "
             "other types of key a client gets the one it takes."},
    {ONE("keys", config_keys, keys), .help = "Who holds the private keys."},
    {MANY("notifier", config_notifier, notifiers, notifier_count),
     .help = "Who is told when a connection turns to TLS."},
    {ONE("control", config_control, control), .help = "How it is looked at and told what to do while it runs."},
    {ONE("timeouts", config_timeouts, timeouts),
     .help = "The longest wait in each phase; a drip of bytes does not extend it."},
    {ONE("limits", config_limits, limits),
     .help = "How many connections there may be; more are told that a limit is reached."},
};
const size_t row_section_count = COUNT(row_sections);

/* clang-format off */
/* The waits of [timeouts], which a listener and a rule can set for themselves. */
#define WAIT_BOTH .programs = BOTH, .reloadable = true
#define WAIT_TABLE(WAIT) \
	WAIT("handshake", handshake_ms, 100, HOUR, "10s", "For the TLS handshake.") \
	WAIT("confirm", confirm_ms, 100, HOUR, "5s", "For the peer's CONFIRM.") \
	WAIT("connect", connect_ms, 100, HOUR, "5s", "For each address of a service or peer.") \
	WAIT("idle", idle_ms, 100, YEAR, "1h", "Without a byte in either direction.") \
	WAIT("idle_up", idle_up_ms, 0, YEAR, "0s", "Without a byte from the client. 0: no bound.") \
	WAIT("idle_down", idle_down_ms, 0, YEAR, "0s", "Without a byte to the client. 0: no bound.") \
	WAIT("lifetime", lifetime_ms, 0, YEAR, "0s", "Of a connection in all. 0: no bound.") \
	WAIT("keepalive", keepalive_ms, 0, DAY, "0s", "Silence before the kernel asks whether the other side still lives (TCP keepalive), and between two such questions a sixth of it. 0: never.") \
	WAIT("user_timeout", user_timeout_ms, 0, DAY, "0s", "How long sent bytes may stay unacknowledged before the kernel gives a connection up. 0: as the system does.")

#define WAIT_ROW(key, member, least, most, fallback_text, words) \
	{"timeouts", key, NULL, ROW_DURATION, AT(config_timeouts, member), least, most, fallback_text, WAIT_BOTH, .help = words},
#define LISTENER_WAIT_ROW(key, member, least, most, fallback_text, words) \
	{"listener", key, NULL, ROW_DURATION, AT(config_listener, timeouts.member), least, most, .inherits = true, WAIT_BOTH, \
	 .help = words " Unset: as in [timeouts]."},
#define RULE_WAIT_ROW(key, member, least, most, fallback_text, words) \
	{"rule", key, NULL, ROW_DURATION, AT(config_rule, timeouts.member), least, most, .inherits = true, WAIT_BOTH, \
	 .help = words " Unset: the listener's."},

const struct row rows[] = {
    {"gateway", "sysid", NULL, ROW_NAME, AT(config_gateway, sysid), .required = true, .programs = BOTH,
     .help = "Our CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -"},
    {"gateway", "workers", NULL, ROW_NUMBER, AT(config_gateway, workers), 0, 256, "0", .programs = BOTH,
     .help = "Threads that carry connections. 0: one a core."},
    {"gateway", "maxru", NULL, ROW_NUMBER, AT(config_gateway, maxru), 256, 1048576, "4096", .reloadable = true,
     .programs = BOTH, .help = "The largest data unit, in bytes, that we say we take."},
    {"gateway", "user", NULL, ROW_TEXT, AT(config_gateway, user), .programs = BOTH,
     .help = "Whom the process becomes once it listens and has read its keys; only where it was started as root. Unset: "
             "ccissl where there is such a user, or else nobody. root: it stays root."},
    {"gateway", "group", NULL, ROW_TEXT, AT(config_gateway, group), .programs = BOTH,
     .help = "The group that goes with it. Unset: that of the user."},
    {"gateway", "chroot", NULL, ROW_PATH, AT(config_gateway, chroot), .programs = BOTH,
     .help = "A directory that becomes the root of all paths after the start. A reload reads below it."},
    {"gateway", "keep_capabilities", NULL, ROW_WORD, AT(config_gateway, keep_capabilities), .fallback = "yes",
     .programs = BOTH, .words = words_choice,
     .help = "yes: the main thread, which speaks to no client, may still read every file and bind every port, so that a "
             "reload takes a new key of root's. no: what the user may not read cannot be loaded again."},
    {"gateway", "sandbox", NULL, ROW_WORD, AT(config_gateway, sandbox), .fallback = "yes", .programs = BOTH, .words = words_sandbox,
     .help = "yes: the kernel leaves the process only what it needs (seccomp, Landlock), as far as it can. require: no start where "
             "some of that is missing. no: nothing is taken away."},
    {"gateway", "ratchet_file", NULL, ROW_PATH, AT(config_gateway, ratchet_file), .programs = BOTH,
     .help = "Where the names that were secured outlive a restart. Unset: kept in memory alone."},
    {"gateway", "ratchet_days", NULL, ROW_NUMBER, AT(config_gateway, ratchet_days), 0, 36500, "0", .reloadable = true, .programs = BOTH,
     .help = "For how many days a name that was secured may not come back in the clear. 0: for ever."},

    {"log", "to", NULL, ROW_WORD, AT(config_log, to), .fallback = "stderr", .reloadable = true, .programs = BOTH,
     .words = words_sink, .help = "stderr or syslog."},
    {"log", "level", NULL, ROW_WORD, AT(config_log, level), .fallback = "info", .reloadable = true, .programs = BOTH,
     .words = words_level, .help = "The least important level that is written: error, warning, info or debug."},

    {"listener", "address", NULL, ROW_ADDRESSES, AT(config_listener, address), .required = true, .reloadable = true,
     .programs = BOTH, .help = "Where to listen: IP:PORT, [IPv6]:PORT, unix:/PATH, or systemd:NAME for sockets that a socket unit passes under "
     "this FileDescriptorName; several by commas. Port 0 takes any free one."},
    {"listener", "dual_stack", NULL, ROW_WORD, AT(config_listener, dual_stack), .fallback = "no", .reloadable = true, .programs = BOTH,
     .words = words_choice, .help = "Does an IPv6 address such as [::] take IPv4 connections too? no: IPv6 alone."},
    {"listener", "unix_mode", NULL, ROW_MODE, AT(config_listener, unix_mode), 0, 0777, "0660", .reloadable = true, .programs = BOTH,
     .help = "Permissions of its unix sockets, octal."},
    {"listener", "unix_owner", NULL, ROW_TEXT, AT(config_listener, unix_owner), .reloadable = true, .programs = BOTH,
     .help = "Owner of its unix sockets. Unset: the user of this process."},
    {"listener", "unix_group", NULL, ROW_TEXT, AT(config_listener, unix_group), .reloadable = true, .programs = BOTH,
     .help = "Group of its unix sockets. Unset: that of this process."},
    {"listener", "proxy_from", NULL, ROW_NETWORKS, AT(config_listener, proxy_from), .reloadable = true, .programs = BOTH,
     .help = "Networks of load balancers, or unix: a connection from there must begin with a PROXY header (v1 or v2), which says "
             "who the client is. Unset: nobody is believed."},
    {"listener", "service", NULL, ROW_NAME, AT(config_listener, service), .reloadable = true, .programs = SSL,
     .help = "The [service] for clients that name no target."},
    {"listener", "target", NULL, ROW_NAME, AT(config_listener, target), .reloadable = true, .programs = GW,
     .help = "The target of clients that name none."},
    {"listener", "unsecured_connections", "unsecon", ROW_WORD, AT(config_listener, unsecured), .fallback = "never",
     .reloadable = true, .programs = BOTH, .words = words_unsecured,
     .help = "never: TLS or nothing. nonssl: clear only for clients that cannot do TLS. allow: also for those that would "
             "rather not. only: never TLS."},
    {"listener", "audit_policy", NULL, ROW_WORD, AT(config_listener, audit), .reloadable = true, .programs = BOTH,
     .words = words_unsecured,
     .help = "Enforces nothing: records what unsecured_connections of this value would have refused. The dry run before "
             "a switch is thrown."},
    {"listener", "direct", NULL, ROW_WORD, AT(config_listener, direct), .reloadable = true, .programs = BOTH,
     .words = words_choice, .help = "Take a TLS start at the first byte on the same port? yes, save under only."},
    {"listener", "exchange", NULL, ROW_WORD, AT(config_listener, exchange), .fallback = "cci", .reloadable = true,
     .programs = BOTH, .words = words_exchange,
     .help = "none: clients are plain TCP programs that know nothing of CCI; unsecured_connections must be only or allow."},
    {"listener", "client_auth", NULL, ROW_WORD, AT(config_listener, client_auth), .reloadable = true, .programs = BOTH,
     .words = words_client_auth, .help = "no, request or require a client certificate. Unset: as in [tls]."},
    {"listener", "certificates", NULL, ROW_NAMES, AT(config_listener, certificates), .reloadable = true, .programs = BOTH,
     .help = "Names of [certificate] sections: the first is shown to clients that ask for no known name. Unset: that "
             "of [tls], and all of them."},
    {"listener", "ratchet", NULL, ROW_WORD, AT(config_listener, ratchet), .fallback = "no", .reloadable = true,
     .programs = BOTH, .words = words_choice,
     .help = "Once a name was secured here, refuse it in the clear?"},
    {"listener", "exchange_timeout", NULL, ROW_DURATION, AT(config_listener, timeouts.exchange_ms), 100, HOUR,
     .inherits = true, WAIT_BOTH, .help = "For the whole OFFER. Unset: exchange of [timeouts]."},
    WAIT_TABLE(LISTENER_WAIT_ROW)

    {"rule", "source", NULL, ROW_NETWORKS, AT(config_rule, source), .reloadable = true, .programs = BOTH,
     .help = "Networks the client comes from, such as 10.20.0.0/16, or unix; unset: any."},
    {"rule", "sysid", NULL, ROW_PATTERNS, AT(config_rule, sysid), .reloadable = true, .programs = BOTH,
     .help = "Patterns of the client's CCI name, with * and ?; unset: any. The name is the client's own claim."},
    {"rule", "listener", NULL, ROW_NAMES, AT(config_rule, listener), .reloadable = true, .programs = BOTH,
     .help = "Names of listeners; unset: any."},
    {"rule", "target", NULL, ROW_PATTERNS, AT(config_rule, target), .reloadable = true, .programs = BOTH,
     .help = "Patterns of the target that the client names; unset: any, and none."},
    {"rule", "identity", NULL, ROW_IDENTITIES, AT(config_rule, identity), .reloadable = true, .programs = BOTH,
     .help = "Patterns of the client's verified certificate: DNS:, URI:, EMAIL: and CN: with * and ?, IP: with a network; "
             "unset: any, and none. Such a rule asks for a certificate, and matches only inside TLS."},
    {"rule", "unsecured_connections", "unsecon", ROW_WORD, AT(config_rule, unsecured), .reloadable = true,
     .programs = BOTH, .words = words_unsecured, .help = "In place of the listener's; unset: the listener's."},
    {"rule", "audit_policy", NULL, ROW_WORD, AT(config_rule, audit), .reloadable = true, .programs = BOTH,
     .words = words_unsecured, .help = "In place of the listener's; unset: the listener's."},
    {"rule", "client_auth", NULL, ROW_WORD, AT(config_rule, client_auth), .reloadable = true, .programs = BOTH,
     .words = words_client_auth, .help = "In place of the listener's; unset: the listener's."},
    {"rule", "service", NULL, ROW_NAME, AT(config_rule, service), .reloadable = true, .programs = BOTH,
     .help = "Where the client names no target, in place of the listener's; unset: the listener's."},
    {"rule", "action", NULL, ROW_WORD, AT(config_rule, action), .fallback = "accept", .reloadable = true,
     .programs = BOTH, .words = words_action, .help = "accept, or refuse whatever matches."},
    {"rule", "ratchet", NULL, ROW_WORD, AT(config_rule, ratchet), .reloadable = true, .programs = BOTH,
     .words = words_choice, .help = "In place of the listener's; unset: the listener's."},
    {"rule", "connections", NULL, ROW_NUMBER, AT(config_rule, connections), 1, 10000000, .inherits = true, WAIT_BOTH,
     .help = "How many connections this rule admits at once; unset: no bound of its own."},
    {"rule", "connections_per_source", NULL, ROW_NUMBER, AT(config_rule, connections_per_source), 1, 10000000,
     .inherits = true, WAIT_BOTH,
     .help = "The same from one source; unset: no bound of its own."},
    WAIT_TABLE(RULE_WAIT_ROW)

    {"service", "address", NULL, ROW_ADDRESSES, AT(config_service, address), .required = true, .reloadable = true,
     .programs = BOTH,
     .help = "HOST:PORT, unix:/PATH or builtin:echo; several by commas: balance says which is taken."},
    {"service", "retry", NULL, ROW_DURATION, AT(config_service, retry_ms), 100, DAY, "10s", .reloadable = true,
     .programs = BOTH, .help = "How long an address that failed is left out."},
    {"service", "balance", NULL, ROW_WORD, AT(config_service, balance), .fallback = "order", .reloadable = true, .programs = BOTH,
     .words = words_balance,
     .help = "order: the first address that can be reached. round-robin: each in turn. least: the one with the fewest "
             "connections of ours."},
    {"service", "send_proxy", NULL, ROW_WORD, AT(config_service, send_proxy), .fallback = "no", .reloadable = true, .programs = BOTH,
     .words = words_send_proxy,
     .help = "Begin with a PROXY header that says who the client is: no, v1, or v2 (with the facts of TLS)."},

    {"peer", "address", NULL, ROW_ADDRESSES, AT(config_peer, address), .required = true, .reloadable = true,
     .programs = GW, .default_port = 1202,
     .help = "The primary, then alternates; back to the primary after retry, or once it answers a ping (health_interval)."},
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
    {"peer", "crl", NULL, ROW_PATH, AT(config_peer, crl), .reloadable = true, .programs = GW,
     .help = "Revocation lists for it, PEM. Unset: as in [tls]."},
    {"peer", "ratchet", NULL, ROW_WORD, AT(config_peer, ratchet), .fallback = "no", .reloadable = true, .programs = GW,
     .words = words_choice, .help = "Once a connection to it was secured, take no answer in the clear?"},
    {"peer", "health_interval", NULL, ROW_DURATION, AT(config_peer, health_interval_ms), 0, DAY, "0s", .reloadable = true,
     .programs = GW,
     .help = "How often each address is asked (*PING) whether a gateway answers; while none does, connections to the peer "
             "fail at once. 0: never asked."},
    {"peer", "health_jitter", NULL, ROW_NUMBER, AT(config_peer, health_jitter), 0, 100, "20", .reloadable = true,
     .programs = GW, .help = "Per cent by which each interval varies, so that gateways do not ask all at once."},

    {"tls", "certificate", NULL, ROW_PATH, AT(config_tls, certificate), .reloadable = true, .programs = BOTH,
     .help = "Our certificate and its chain, PEM. Relative paths are taken from this file's directory."},
    {"tls", "private_key", NULL, ROW_PATH, AT(config_tls, private_key), .reloadable = true, .programs = BOTH,
     .help = "Its key, PEM, readable by this program alone."},
    {"tls", "passphrase_file", NULL, ROW_PATH, AT(config_tls, passphrase_file), .reloadable = true, .programs = BOTH,
     .help = "A file whose first line opens an encrypted private_key."},
    {"tls", "ocsp_response", NULL, ROW_PATH, AT(config_tls, ocsp_response), .reloadable = true, .programs = BOTH,
     .help = "An OCSP response for the certificate, DER, stapled while it is valid."},
    {"tls", "ca", NULL, ROW_PATH, AT(config_tls, ca), .reloadable = true, .programs = BOTH,
     .help = "The authorities that peers' certificates are checked against, PEM."},
    {"tls", "crl", NULL, ROW_PATH, AT(config_tls, crl), .reloadable = true, .programs = BOTH,
     .help = "Revocation lists of these authorities, PEM; one that has expired refuses everybody."},
    {"tls", "crl_check", NULL, ROW_WORD, AT(config_tls, crl_check), .fallback = "leaf", .reloadable = true, .programs = BOTH,
     .words = words_crl_check, .help = "leaf: look up the peer's certificate. chain: its authorities too."},
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
    {"tls", "sigalgs", NULL, ROW_TEXT, AT(config_tls, sigalgs), .reloadable = true, .programs = BOTH,
     .help = "Signature algorithms, in OpenSSL's notation. Unset: those of the library."},
    {"tls", "confirm", NULL, ROW_WORD, AT(config_tls, confirm), .fallback = "prefer", .reloadable = true,
     .programs = BOTH, .words = words_confirm,
     .help = "require refuses a peer that does not confirm the clear exchange inside TLS."},
    {"tls", "resumption", NULL, ROW_WORD, AT(config_tls, resumption), .fallback = "yes", .reloadable = true,
     .programs = BOTH, .words = words_choice, .help = "Resume TLS sessions by tickets?"},
    {"tls", "ticket_keys", NULL, ROW_PATH, AT(config_tls, ticket_keys), .reloadable = true, .programs = BOTH,
     .help = "Ticket keys that several machines share, a line each of 64 or more hexadecimal digits: the first encrypts, "
             "all decrypt. Unset: keys in memory."},
    {"tls", "ticket_rotation", NULL, ROW_DURATION, AT(config_tls, ticket_rotation_ms), 60 * SECOND, 7 * DAY, "12h", .reloadable = true, .programs = BOTH,
     .help = "How often the keys in memory are made anew; the one before is still taken."},
    {"tls", "watch_interval", NULL, ROW_DURATION, AT(config_tls, watch_interval_ms), 0, DAY, "10s", .reloadable = true, .programs = BOTH,
     .help = "How often certificate, key, authority and revocation files are looked at for changes, which are loaded by "
             "themselves, beside what the kernel tells at once. 0: only a reload loads them."},
    {"tls", "insecure_key_log", NULL, ROW_PATH, AT(config_tls, insecure_key_log), .reloadable = true, .programs = BOTH,
     .help = "INSECURE: append the secrets of every connection to this file, so that Wireshark can read them."},

    {"certificate", "certificate", NULL, ROW_PATH, AT(config_certificate, certificate), .required = true, .reloadable = true, .programs = BOTH,
     .help = "The certificate and its chain, PEM."},
    {"certificate", "private_key", NULL, ROW_PATH, AT(config_certificate, private_key), .required = true, .reloadable = true, .programs = BOTH,
     .help = "Its key, PEM."},
    {"certificate", "passphrase_file", NULL, ROW_PATH, AT(config_certificate, passphrase_file), .reloadable = true, .programs = BOTH,
     .help = "A file whose first line opens an encrypted private_key."},
    {"certificate", "ocsp_response", NULL, ROW_PATH, AT(config_certificate, ocsp_response), .reloadable = true, .programs = BOTH,
     .help = "An OCSP response for it, DER, stapled while it is valid."},

    {"keys", "process", NULL, ROW_WORD, AT(config_keys, process), .fallback = "no", .programs = BOTH, .words = words_choice,
     .help = "yes: private keys live in a process of their own, which signs for the workers; their memory never holds a key."},

    {"notifier", "kind", NULL, ROW_TEXT, AT(config_notifier, kind), .required = true, .reloadable = true, .programs = BOTH,
     .help = "log: a log line. file: JSON Lines. socket: a unix socket for subscribers. mark: SO_MARK for the kernel. smf: SMF "
             "119 records. plugin: a shared object."},
    {"notifier", "on_error", NULL, ROW_WORD, AT(config_notifier, on_error), .fallback = "continue",
     .reloadable = true, .programs = BOTH, .words = words_on_error,
     .help = "continue, or refuse the connection when the notifier fails or has no room left."},
    {"notifier", "path", NULL, ROW_PATH, AT(config_notifier, path), .reloadable = true, .programs = BOTH,
     .help = "file, smf: the file that is appended to. socket: the socket. plugin: the shared object."},
    {"notifier", "mode", NULL, ROW_MODE, AT(config_notifier, mode), 0, 0777, "0600", .reloadable = true, .programs = BOTH,
     .help = "Permissions of what is made at path, octal."},
    {"notifier", "queue", NULL, ROW_SIZE, AT(config_notifier, queue_bytes), 4096, UINT64_C(1) << 32, "4M", .reloadable = true, .programs = BOTH,
     .help = "How much may wait for a slow disk, or for one slow subscriber; with k, M or G. More is dropped, counted and said."},
    {"notifier", "chain", NULL, ROW_WORD, AT(config_notifier, chain), .fallback = "no", .reloadable = true, .programs = BOTH,
     .words = words_choice,
     .help = "file: each line carries the digest of the one before, so that `verify` finds what was altered, taken out or moved."},
    {"notifier", "sync", NULL, ROW_WORD, AT(config_notifier, sync), .fallback = "no", .reloadable = true, .programs = BOTH,
     .words = words_choice,
     .help = "file, smf: each event is on the disk (fdatasync) before it counts as taken; with on_error = refuse the connection "
             "waits for it."},
    {"notifier", "interval", NULL, ROW_DURATION, AT(config_notifier, interval_ms), SECOND, DAY, "15m", .reloadable = true, .programs = BOTH,
     .help = "smf: how often a summary (subtype 12) is written."},
    {"notifier", "mark_secured", NULL, ROW_NUMBER, AT(config_notifier, mark_secured), 0, UINT32_MAX, "1", .reloadable = true, .programs = BOTH,
     .help = "mark: SO_MARK of secured connections. Packets without a mark have 0. Workers keep CAP_NET_RAW for it."},
    {"notifier", "mark_clear", NULL, ROW_NUMBER, AT(config_notifier, mark_clear), 0, UINT32_MAX, "2", .reloadable = true, .programs = BOTH,
     .help = "mark: SO_MARK of connections that go on in the clear."},
    {"notifier", "argument", NULL, ROW_TEXT, AT(config_notifier, argument), .reloadable = true, .programs = BOTH,
     .help = "plugin: handed to it as it stands."},

    {"control", "socket", NULL, ROW_PATH, AT(config_control, socket), .reloadable = true, .programs = BOTH,
     .help = "A unix socket for the command `ctl`. Unset: none."},
    {"control", "mode", NULL, ROW_MODE, AT(config_control, mode), 0, 0777, "0600", .reloadable = true, .programs = BOTH,
     .help = "Its permissions, octal. Who can write to it can close connections and stop the gateway."},
    {"control", "http", NULL, ROW_ADDRESSES, AT(config_control, http), .reloadable = true, .programs = BOTH,
     .help = "Where a page, metrics and health are served by HTTP: loopback or unix:/PATH only. Unset: nowhere."},
    {"control", "report_entries", NULL, ROW_NUMBER, AT(config_control, report_entries), 16, 1000000, "10000", .programs = BOTH,
     .help = "How many combinations of name, source and security the report holds; the one seen longest ago leaves."},

    {"timeouts", "exchange", NULL, ROW_DURATION, AT(config_timeouts, exchange_ms), 100, HOUR, "5s", .reloadable = true,
     .programs = BOTH, .help = "For the whole OFFER, or the whole answer."},
    WAIT_TABLE(WAIT_ROW)
    {"timeouts", "drain", NULL, ROW_DURATION, AT(config_timeouts, drain_ms), 0, DAY, "30s", .reloadable = true,
     .programs = BOTH, .help = "For running connections after SIGTERM, and of a process whose successor has taken over."},
    {"timeouts", "upgrade", NULL, ROW_DURATION, AT(config_timeouts, upgrade_ms), 100, HOUR, "60s", .reloadable = true,
     .programs = BOTH, .help = "For the program that SIGUSR2 starts to get ready and take over."},

    {"limits", "connections", NULL, ROW_NUMBER, AT(config_limits, connections), 1, 10000000, "20000",
     .reloadable = true, .programs = BOTH, .help = "In all."},
    {"limits", "connections_per_source", NULL, ROW_NUMBER, AT(config_limits, connections_per_source), 1, 10000000,
     "2000", .reloadable = true, .programs = BOTH, .help = "From one IPv4 address, or one IPv6 network of 64 bits."},
    {"limits", "connection_rate", NULL, ROW_NUMBER, AT(config_limits, connection_rate), 0, 1000000, "0", .reloadable = true, .programs = BOTH,
     .help = "New connections a second from one source. 0: no bound."},
    {"limits", "connection_burst", NULL, ROW_NUMBER, AT(config_limits, connection_burst), 1, 1000000, "100", .reloadable = true, .programs = BOTH,
     .help = "How many of them may come at once after a pause."},
    {"limits", "handshake_rate", NULL, ROW_NUMBER, AT(config_limits, handshake_rate), 0, 1000000, "0", .reloadable = true, .programs = BOTH,
     .help = "TLS handshakes a second with one source. 0: no bound."},
    {"limits", "handshake_burst", NULL, ROW_NUMBER, AT(config_limits, handshake_burst), 1, 1000000, "100", .reloadable = true, .programs = BOTH,
     .help = "How many of them may come at once after a pause."},
    {"limits", "buffers", NULL, ROW_SIZE, AT(config_limits, buffer_bytes), 0, UINT64_C(1) << 40, "0", .reloadable = true, .programs = BOTH,
     .help = "Bytes, for all connections together, that wait for slow receivers; with k, M or G. 0: no bound but that of "
             "each connection (264 KiB each way)."},
};
/* clang-format on */
const size_t row_count = COUNT(rows);
