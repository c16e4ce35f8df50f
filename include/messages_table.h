/* The rows of the message table; see messages.h. MESSAGE(name, id, level, words, what to do). */
#ifndef MESSAGES_TABLE_H
#define MESSAGES_TABLE_H

/* clang-format off */
#define MESSAGE_TABLE(MESSAGE) \
	MESSAGE(STARTED, "CCI1001I", LEVEL_INFO, "started", "None.") \
	MESSAGE(LISTENING, "CCI1002I", LEVEL_INFO, "listening", "None. Connections are taken at the address shown.") \
	MESSAGE(STOPPED, "CCI1003I", LEVEL_INFO, "stopped", "None.") \
	MESSAGE(DRAINING, "CCI1004I", LEVEL_INFO, "stopping: no new connections, running ones may finish", "Wait, or send the signal again to end at once.") \
	MESSAGE(DRAIN_CUT, "CCI1005W", LEVEL_WARNING, "drain time is over, remaining connections are cut", "Raise drain in [timeouts] if connections need longer.") \
	MESSAGE(RELOADED, "CCI1006I", LEVEL_INFO, "configuration reloaded", "None. Running connections keep the configuration they started with.") \
	MESSAGE(RELOAD_FAILED, "CCI1007E", LEVEL_ERROR, "configuration not reloaded, the old one stays in force", "Correct what the lines before this one name, check with --check, send SIGHUP again.") \
	MESSAGE(CONFIG_ERROR, "CCI1008E", LEVEL_ERROR, "configuration error", "Correct the file at the place named.") \
	MESSAGE(CONFIG_WARNING, "CCI1009W", LEVEL_WARNING, "configuration warning", "Check that the setting named is meant so.") \
	MESSAGE(START_FAILED, "CCI1010E", LEVEL_ERROR, "cannot start", "Correct what the detail names.") \
	MESSAGE(RELOAD_NEEDS_RESTART, "CCI1011W", LEVEL_WARNING, "a changed setting takes effect only after a restart", "Restart when it suits.") \
	MESSAGE(CERTIFICATE_IN_USE, "CCI1012I", LEVEL_INFO, "certificate in use", "None. Serial and expiry are those of the certificate that is now presented.") \
	MESSAGE(ACCEPT_FAILED, "CCI1013E", LEVEL_ERROR, "cannot accept connections for the moment", "Raise the limit of open files, or lower connections in [limits]; accepting goes on by itself.") \
	MESSAGE(LOG_LOST, "CCI1014W", LEVEL_WARNING, "log lines were lost because the log could not be written", "Make room where the log goes.") \
	MESSAGE(PEER_SWITCHED, "CCI1015W", LEVEL_WARNING, "an address cannot be used, the next is tried", "Look at the host named; it is tried again after retry.") \
	MESSAGE(PEER_RETURNED, "CCI1016I", LEVEL_INFO, "an address answers again", "None.") \
	MESSAGE(NOISE, "CCI1017I", LEVEL_INFO, "connections that did not speak the protocol", "None. Scanners do this; the line counts what came from one source since the last such line.") \
	MESSAGE(LIMIT_REACHED, "CCI1018W", LEVEL_WARNING, "a limit is reached", "Raise the setting named in limit, in [limits] or in the rule named, if the load is wanted. The line counts what met it since the last one.") \
	MESSAGE(NOTIFIER_ERROR, "CCI1019W", LEVEL_WARNING, "a security notifier failed", "Look at the notifier named. With on_error = continue the connection goes on.") \
	MESSAGE(PEER_DOWN, "CCI1020E", LEVEL_ERROR, "a peer is down: none of its addresses answers *PING", "Look at the peer named. Connections to it fail at once until it answers again.") \
	MESSAGE(PEER_UP, "CCI1021I", LEVEL_INFO, "a peer is up again", "None.") \
	MESSAGE(RATCHET_READ, "CCI1030I", LEVEL_INFO, "names that were secured are known from before", "None. They may not come back in the clear where ratchet = yes.") \
	MESSAGE(RATCHET_DAMAGED, "CCI1031E", LEVEL_ERROR, "the file of secured names is damaged", "Every intact name stays in force, and the file is written anew. Compare the one kept with what the command ratchet list prints: names that were lost are held again once they have connected secured. Then look for the cause.") \
	MESSAGE(RATCHET_NOT_KEPT, "CCI1032E", LEVEL_ERROR, "the file of secured names cannot be kept", "Make room, or correct the permissions. Memory is right, and the file is tried again every ten seconds; a restart before that forgets what is not written.") \
	MESSAGE(RATCHET_KEPT, "CCI1033I", LEVEL_INFO, "the file of secured names is kept again", "None.") \
	MESSAGE(RATCHET_LIFTED, "CCI1034I", LEVEL_INFO, "a name was lifted by command and may come back in the clear", "None. It is held again once it was secured.") \
	MESSAGE(RATCHET_FULL, "CCI1035W", LEVEL_WARNING, "too many names were secured: the oldest are forgotten", "They may come back in the clear. Find out which clients come with ever new names (sysid): somebody may want a name to be forgotten. Ask for certificates (client_auth) where names are not to be invented.") \
	MESSAGE(RUNS_AS, "CCI1040I", LEVEL_INFO, "runs as", "None. user and keep_capabilities in [gateway] decide it.") \
	MESSAGE(STAYS_ROOT, "CCI1041W", LEVEL_WARNING, "stays root, as it was told", "Name another user in [gateway], or none, unless this is meant.") \
	MESSAGE(MANAGER_UNHEARD, "CCI1042W", LEVEL_WARNING, "the service manager cannot be told how it goes", "Make its socket (NOTIFY_SOCKET) reachable: with chroot, use RootDirectory= of the unit instead.") \
	MESSAGE(WORKER_STUCK, "CCI1043E", LEVEL_ERROR, "a thread does not answer", "None, if it answers again; a watchdog (WatchdogSec= of the unit) restarts the service. Report it.") \
	MESSAGE(WORKER_ANSWERS, "CCI1044I", LEVEL_INFO, "all threads answer again", "None.") \
	MESSAGE(KEY_LOG, "CCI1050W", LEVEL_WARNING, "INSECURE: the secrets of all connections are written to a file", "Remove insecure_key_log from [tls] as soon as the trace is done, and destroy the file.") \
	MESSAGE(RENEWED, "CCI1051I", LEVEL_INFO, "changed certificate files loaded", "None. New connections use them; running ones keep what they started with.") \
	MESSAGE(NOT_RENEWED, "CCI1052E", LEVEL_ERROR, "changed certificate files not loaded, the old ones stay in force", "Correct what the detail names; the files are loaded when they change again.") \
	MESSAGE(EXPIRES_SOON, "CCI1053W", LEVEL_WARNING, "a certificate, revocation list or OCSP response expires soon", "Renew the file named; it is loaded by itself.") \
	MESSAGE(EXPIRED, "CCI1054E", LEVEL_ERROR, "a certificate, revocation list or OCSP response has expired", "Renew the file named; it is loaded by itself.") \
	MESSAGE(UPGRADE_STARTED, "CCI1060I", LEVEL_INFO, "upgrade: a new process was started with our listening sockets", "Wait: it takes over when it is ready.") \
	MESSAGE(UPGRADE_DONE, "CCI1061I", LEVEL_INFO, "upgrade: the new process has taken over", "None. This one ends with its last connection, or after drain in [timeouts].") \
	MESSAGE(UPGRADE_FAILED, "CCI1062E", LEVEL_ERROR, "no upgrade, this process goes on as before", "Correct what the detail and the lines of the new process name, and send SIGUSR2 again.") \
	MESSAGE(CONTROLLED, "CCI1080I", LEVEL_INFO, "told by the control socket", "None. uid and pid are those of the process that has asked.") \
	MESSAGE(CONTROL_FAILED, "CCI1081E", LEVEL_ERROR, "nobody can be taken at the control socket", "Raise the limit of open files (LimitNOFILE=, ulimit -n). It is tried again every second.") \
	MESSAGE(HTTP_LISTENING, "CCI1090I", LEVEL_INFO, "page and metrics are served", "None. [control] http names the address; it has no password.") \
	MESSAGE(SMF_CUT, "CCI1100W", LEVEL_WARNING, "half an SMF record at the end of a file was cut off", "None, if a process or the machine had stopped in the middle of a write. number is how many bytes it had.") \
	MESSAGE(SMF_NOT_WRITTEN, "CCI1101E", LEVEL_ERROR, "SMF records cannot be written", "Correct what detail names: make room, or give the user the right. Records wait as far as queue of the notifier goes, and it is tried again every second.") \
	MESSAGE(SMF_FULL, "CCI1102W", LEVEL_WARNING, "more connections or security sessions than SMF records can follow one by one", "None. number is how many since the last such line; docs/smf.md says what their records lack.") \
	MESSAGE(SMF_LOST, "CCI1103W", LEVEL_WARNING, "SMF records were lost at the end", "Correct what detail names. number is how many events were dropped in all.") \
	MESSAGE(SUBSCRIBED, "CCI1110I", LEVEL_INFO, "a subscriber listens to a notifier", "None. uid and pid say who it is.") \
	MESSAGE(UNSUBSCRIBED, "CCI1111I", LEVEL_INFO, "a subscriber of a notifier has gone", "None.") \
	MESSAGE(SUBSCRIBER_DROPPED, "CCI1112W", LEVEL_WARNING, "a subscriber of a notifier is dropped", "Let it read faster, or raise queue of the notifier. Its last line tells it.") \
	MESSAGE(SUBSCRIBER_REFUSED, "CCI1113W", LEVEL_WARNING, "a subscriber of a notifier is not taken", "See detail: end subscribers that are not needed, or raise the limit of open files (LimitNOFILE=, ulimit -n).") \
	MESSAGE(PLUGIN_LOADED, "CCI1114I", LEVEL_INFO, "a notifier plug-in is loaded", "None.") \
	MESSAGE(SOCKET_NOT_TAKEN, "CCI1115E", LEVEL_ERROR, "the socket of a notifier could not be taken over from the process before, or be made anew", "Let the user of the process write in its directory, and send SIGHUP: it is tried again.") \
	MESSAGE(TRACE, "CCI1130I", LEVEL_INFO, "trace of a connection", "None. Ends with the connection, or by ctl trace X off.") \
	MESSAGE(PEER_DISCONNECTED, "CCI1131W", LEVEL_WARNING, "a peer is disconnected by the operator", "None. Nothing is sent there until ctl connect, a new process, or another address list.") \
	MESSAGE(SANDBOX_PARTIAL, "CCI1150W", LEVEL_WARNING, "this kernel cannot contain the process as it should be", "See detail for what is missing, and docs/sandbox.md. To refuse to start in such a case: sandbox = require in [gateway].") \
	MESSAGE(SANDBOX_OPEN, "CCI1151W", LEVEL_WARNING, "the file named could be written from inside the sandbox", "Keep events, SMF files, the ratchet and the key log in another folder than the configuration, the program and plug-ins: who takes over the gateway could say there what its successor runs. With sandbox = require in [gateway] it does not start so.") \
	MESSAGE(PEER_CONNECTED, "CCI1132I", LEVEL_INFO, "a peer may be connected to again, by the operator", "None. A ping at once tells the operator what it finds.") \
	MESSAGE(KEYS_SILENT, "CCI1160E", LEVEL_ERROR, "the key process does not answer, handshakes fail", "Look whether the process named is stopped, or the machine overloaded. Handshakes work again when it answers; a service manager whose watchdog is on restarts the gateway before long.") \
	MESSAGE(KEYS_ANSWER, "CCI1161I", LEVEL_INFO, "the key process answers again", "None.") \
	MESSAGE(KEYS_ENDED, "CCI1162E", LEVEL_ERROR, "the key process has ended, handshakes fail", "Look for what ended it (memory, a signal). The gateway lets its connections end, for as long as drain in [timeouts] says, and then ends with status 1, so that its service manager starts it again; without one, start it again.") \
	MESSAGE(KEYS_READABLE, "CCI1163W", LEVEL_WARNING, "the gateway could read a private key although another process holds it", "Let the file be root's alone (mode 600) where the gateway is started as root, or put keys into a folder in which no other file of the configuration lies: the sandbox has no way there then.") \
	MESSAGE(STARTER_ENDED, "CCI1164E", LEVEL_ERROR, "the starter has ended: no reload can bind a new address, and SIGUSR2 starts nothing", "Connections are served as before. Look for what ended it (memory, a signal), and restart the gateway when it suits.") \
	MESSAGE(FILE_UNREADABLE, "CCI1165W", LEVEL_WARNING, "the gateway's user cannot read a file that a reload reads again", "Make the file and its folders readable for the user (or its group) that CCI1040I names: until then a reload fails, and what is in force stays so. A gateway whose keys another process holds keeps no right to read root's files.") \
	MESSAGE(HANDSHAKE_STARTING, "CCI2001I", LEVEL_INFO, "TLS handshake about to start after clear bytes", "None. Tells observers of the first bytes that the connection turns to TLS here.") \
	MESSAGE(HANDSHAKE_DONE, "CCI2002I", LEVEL_INFO, "TLS handshake done", "None.") \
	MESSAGE(HANDSHAKE_NOT_DONE, "CCI2003W", LEVEL_WARNING, "TLS handshake failed", "Look at the reason.") \
	MESSAGE(UNSECURED, "CCI2004I", LEVEL_INFO, "connection goes on unsecured", "If that is not meant, look at the rule or listener named.") \
	MESSAGE(REFUSED, "CCI2005W", LEVEL_WARNING, "connection refused", "Look at the reason.") \
	MESSAGE(CLOSED, "CCI2006I", LEVEL_INFO, "connection closed", "None.") \
	MESSAGE(ENDED, "CCI3000I", LEVEL_INFO, "connection ended", "None.") \
	MESSAGE(END_BAD_MESSAGE, "CCI3001W", LEVEL_WARNING, "refused: bad message", "The peer does not speak this protocol as documented; see detail.") \
	MESSAGE(END_BAD_VERSION, "CCI3002W", LEVEL_WARNING, "refused: version not supported", "The peer needs version 1 of the exchange.") \
	MESSAGE(END_SECURITY_REQUIRED, "CCI3003W", LEVEL_WARNING, "refused: security required, and the connecting side has none", "Enable TLS on the client, or permit it by a rule with unsecured_connections.") \
	MESSAGE(END_SECURITY_NOT_OFFERED, "CCI3004W", LEVEL_WARNING, "refused: security not offered here, and the connecting side requires it", "Connect the client to a listener that takes TLS, or change unsecured_connections from only.") \
	MESSAGE(END_TARGET_UNKNOWN, "CCI3005W", LEVEL_WARNING, "refused: unknown target", "Define a service, a peer, or targets for the name.") \
	MESSAGE(END_TARGET_UNREACHABLE, "CCI3006E", LEVEL_ERROR, "target cannot be reached", "Look at the service or peer named.") \
	MESSAGE(END_NOT_PERMITTED, "CCI3007W", LEVEL_WARNING, "refused: not permitted", "A rule with action = refuse matched; it is named in rule.") \
	MESSAGE(END_BUSY, "CCI3008W", LEVEL_WARNING, "refused: a limit is reached", "Raise the limit, in [limits] or in the rule named, if the load is wanted; the line CCI1018W says which it is.") \
	MESSAGE(END_SHUTTING_DOWN, "CCI3009I", LEVEL_INFO, "refused: shutting down", "None. The client may connect again after the restart.") \
	MESSAGE(END_DATA_BEFORE_ANSWER, "CCI3010W", LEVEL_WARNING, "refused: data before the answer", "The client must wait for the whole answer; or someone tried to inject clear bytes.") \
	MESSAGE(END_EXCHANGE_TIMEOUT, "CCI3011W", LEVEL_WARNING, "refused: the exchange timed out", "Look at the peer or the network; see exchange in [timeouts].") \
	MESSAGE(END_RATCHETED, "CCI3012W", LEVEL_WARNING, "refused: this name has been secured before", "Find out why the client no longer uses TLS.") \
	MESSAGE(END_ALTERED, "CCI3013E", LEVEL_ERROR, "the clear exchange was altered on the way", "Treat it as an attack or as a broken middle box.") \
	MESSAGE(END_NO_TLS_VERSION, "CCI3014W", LEVEL_WARNING, "refused: no TLS version in common", "Update the client, or lower min_version in [tls].") \
	MESSAGE(END_NOT_CCI, "CCI3015I", LEVEL_DEBUG, "the peer does not speak the exchange", "None. Scanners and foreign programs do this.") \
	MESSAGE(END_CLOSED_EARLY, "CCI3016I", LEVEL_INFO, "the peer closed before the connection was agreed", "None, unless it is frequent.") \
	MESSAGE(END_DIRECT_NOT_PERMITTED, "CCI3017W", LEVEL_WARNING, "direct TLS start not permitted on this listener", "Set direct = yes, or let the client start with the exchange.") \
	MESSAGE(END_HANDSHAKE_TIMEOUT, "CCI3018W", LEVEL_WARNING, "the TLS handshake timed out", "Look at the peer or the network; see handshake in [timeouts].") \
	MESSAGE(END_HANDSHAKE_FAILED, "CCI3019W", LEVEL_WARNING, "the TLS handshake failed", "See detail for the TLS library's reason.") \
	MESSAGE(END_ALPN_MISMATCH, "CCI3020W", LEVEL_WARNING, "the TLS handshake negotiates another protocol", "The peer is not a CCI peer, or a connection was bridged from one way of starting to the other.") \
	MESSAGE(END_PEER_CERTIFICATE_MISSING, "CCI3021W", LEVEL_WARNING, "the peer showed no certificate", "Give the client a certificate, or change client_auth.") \
	MESSAGE(END_PEER_CERTIFICATE_UNTRUSTED, "CCI3022W", LEVEL_WARNING, "the peer's certificate is not trusted", "See detail; check ca and the certificate's chain and dates.") \
	MESSAGE(END_PEER_NAME_MISMATCH, "CCI3023W", LEVEL_WARNING, "the peer's certificate is for another name", "Check server_name and the certificate's names.") \
	MESSAGE(END_CONFIRM_TIMEOUT, "CCI3024W", LEVEL_WARNING, "the confirmation timed out", "Look at the peer or the network; see confirm in [timeouts].") \
	MESSAGE(END_CONFIRM_MISSING, "CCI3025W", LEVEL_WARNING, "the peer does not confirm the exchange", "Update the peer, or set confirm = prefer.") \
	MESSAGE(END_NOTIFIER_REFUSED, "CCI3026E", LEVEL_ERROR, "a security notifier with on_error = refuse failed", "Look at the notifier named.") \
	MESSAGE(END_CONNECT_TIMEOUT, "CCI3027E", LEVEL_ERROR, "connecting onward timed out", "Look at the service or peer named; see connect in [timeouts].") \
	MESSAGE(END_CONNECT_REFUSED, "CCI3028E", LEVEL_ERROR, "connecting onward was refused", "Start the service or peer named, or correct its address.") \
	MESSAGE(END_NAME_NOT_FOUND, "CCI3029E", LEVEL_ERROR, "the host name of the service or peer was not found", "Correct the name or the name server.") \
	MESSAGE(END_PEER_REFUSED, "CCI3030W", LEVEL_WARNING, "the peer refused the connection", "Look at the peer's own log; its words are shown unauthenticated where no TLS was.") \
	MESSAGE(END_PEER_BROKE_OFFER, "CCI3031E", LEVEL_ERROR, "the peer's answer breaks what was offered", "Treat it as an attack or as a broken peer.") \
	MESSAGE(END_PEER_RATCHETED, "CCI3045E", LEVEL_ERROR, "the peer answered in the clear, and was secured before", "Find out why the peer no longer uses TLS: someone on the way may have altered its answer. If it is meant: ccisslgw ratchet lift NAME --peer.") \
	MESSAGE(END_HOPS_EXHAUSTED, "CCI3032W", LEVEL_WARNING, "refused: passed on too often", "Look for a ring of gateways.") \
	MESSAGE(END_TRUNCATED, "CCI3033W", LEVEL_WARNING, "a TLS stream ended without close_notify", "The peer or someone on the way cut the stream; the data may be incomplete.") \
	MESSAGE(END_RESET, "CCI3034I", LEVEL_INFO, "a peer reset the connection", "None, unless it is frequent.") \
	MESSAGE(END_TLS_ERROR, "CCI3035W", LEVEL_WARNING, "a TLS record could not be read", "The data was altered on the way, or the peer is broken; see detail.") \
	MESSAGE(END_IDLE, "CCI3036I", LEVEL_INFO, "nothing was sent for too long", "Raise idle in [timeouts] if the connection should live.") \
	MESSAGE(END_DRAIN_EXPIRED, "CCI3037W", LEVEL_WARNING, "cut by the end of the drain time", "Raise drain in [timeouts] if connections need longer.") \
	MESSAGE(END_NO_MEMORY, "CCI3038E", LEVEL_ERROR, "not enough memory", "Lower connections in [limits] or add memory.") \
	MESSAGE(END_INTERNAL, "CCI3039E", LEVEL_ERROR, "an error inside the gateway", "Report it, with the lines of this connection.") \
	MESSAGE(END_PROXY_HEADER, "CCI3040W", LEVEL_WARNING, "the PROXY header is malformed or not complete", "Look at the balancer named in from: it stands in proxy_from, and what it sends breaks the PROXY protocol; see detail.") \
	MESSAGE(END_PROXY_MISSING, "CCI3041I", LEVEL_DEBUG, "no PROXY header from a source that has to send one", "None for the health checks of a balancer; otherwise let it send the header (send-proxy), or take it out of proxy_from.") \
	MESSAGE(END_PEER_DOWN, "CCI3042E", LEVEL_ERROR, "the peer is down, nothing was tried", "Look at the peer named; detail is what the last *PING found. It is asked again every health_interval.") \
	MESSAGE(END_IDLE_UP, "CCI3050I", LEVEL_INFO, "nothing came from the client for too long", "Raise idle_up if the client may be silent for longer.") \
	MESSAGE(END_IDLE_DOWN, "CCI3051I", LEVEL_INFO, "nothing went to the client for too long", "Raise idle_down if the service or peer may be silent for longer.") \
	MESSAGE(END_OPERATOR, "CCI3053I", LEVEL_INFO, "closed by the operator", "None. CCI1080I says who has asked for it.") \
	MESSAGE(END_DISCONNECTED, "CCI3054I", LEVEL_INFO, "the operator has disconnected the peer", "None. CCI1131W says who has asked for it; ctl connect lets it be used again.") \
	MESSAGE(END_LIFETIME, "CCI3052I", LEVEL_INFO, "the connection has lived as long as it may", "Raise lifetime if it should live for longer.")
/* clang-format on */

#endif
