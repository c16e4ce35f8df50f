"""What a gateway has to decide, by protocol.md and rules.md alone: written from these pages, not from the program. Sections are dictionaries
of the keys that a file has; what a key does not say is absent."""
import dataclasses
import ipaddress
import re

# protocol.md, "What the accepting side decides": policy and offer.
TABLE = {"never": ("security-required", "tls", "tls", "tls"), "nonssl": ("clear", "tls", "tls", "tls"),
         "allow": ("clear", "clear", "tls", "tls"), "only": ("clear", "clear", "clear", "security-not-offered")}
OFFERS = ("none", "off", "on", "required")
CODES = {"security-required": 3, "security-not-offered": 4, "target-unknown": 5, "not-permitted": 7, "ratcheted": 12,
         "no-tls-version": 14, "hops-exhausted": 6}


@dataclasses.dataclass
class Connection:
    source: str
    listener: str
    sysid: str = ""
    security: str = "on"  # or direct
    target: str = ""
    tls: str = ""         # "1.2", "1.3": the highest it says; "": it does not say
    names: tuple = ()     # of its verified certificate
    shows: bool = False   # it has a certificate
    ratcheted: bool = False
    hops: int = -1        # -1: not said


@dataclasses.dataclass
class Decision:
    outcome: str = "refuse"  # refuse, clear, tls, inside
    reason: str = "none"
    late: bool = False       # it fell inside TLS, by the certificate
    rule: str = "-"
    policy: str = ""
    asked: str = "no"        # does the handshake ask for a certificate: no, request, require
    required: bool = False   # without one it is over
    ratchet: bool = False
    audit: str = "-"
    audit_outcome: str = "-"
    audit_reason: str = "none"
    never_outcome: str = ""
    never_reason: str = "none"
    route: str = "none"      # or target-unknown, hops-exhausted
    kind: str = "nobody"     # ping, service, peer
    to: str = ""


def words(section, key):
    return [word.strip() for word in section.get(key, "").split(",") if word.strip()]


def pattern_matches(pattern, text, exact=False):
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, 0 if exact else re.IGNORECASE) is not None


def address_of(text):
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def source_matches(network, source):
    if "unix" in (network, source):
        return network == source
    address, network = address_of(source), ipaddress.ip_network(network)
    return address.version == network.version and address in network


def identity_matches(pattern, names):
    kind, pattern = pattern.split(":", 1)
    for name in [name for name in names if len(name.encode()) < 256][:32]:
        if not name.startswith(kind + ":"):
            continue
        text = name.split(":", 1)[1]
        if kind == "IP":
            try:
                if source_matches(pattern, text):
                    return True
            except ValueError:
                pass
        elif pattern_matches(pattern, text, kind == "URI"):
            return True
    return False


def judgeable(names):
    """rules.md: more than 32 names, or one of 256 bytes or more, and a rule cannot judge them."""
    return len(names) <= 32 and all(len(name.encode()) < 256 for name in names)


class Gateway:
    def __init__(self, program, sections):
        self.program, self.sections = program, sections
        self.gateway = self.one("gateway")
        self.tls = self.one("tls")

    def all(self, kind):
        return [(name, section) for k, name, section in self.sections if k == kind]

    def one(self, kind):
        return (self.all(kind) or [("", {})])[0][1]

    # --- rules ---

    def at_place(self, rule, connection):
        """What is known at once: source and listener."""
        return ((not words(rule, "source") or any(source_matches(n, connection.source) for n in words(rule, "source"))) and
                (not words(rule, "listener") or any(n.lower() == connection.listener.lower() for n in words(rule, "listener"))))

    def in_offer(self, rule, connection):
        """What the OFFER says. A client that says nothing is matched by no pattern."""
        for key in ("sysid", "target"):
            said = getattr(connection, key)
            if words(rule, key) and not (said and any(pattern_matches(p, said) for p in words(rule, key))):
                return False
        return True

    def search(self, connection, names):
        """The rule that decides, those before it that wait for an identity, and whether it refuses because it cannot tell. `names` None: not
        known yet."""
        waiting = []
        for name, rule in self.all("rule"):
            if not self.at_place(rule, connection) or not self.in_offer(rule, connection):
                continue
            patterns = words(rule, "identity")
            if not patterns or (names is not None and any(identity_matches(p, names) for p in patterns)):
                return (name, rule), waiting, False
            if names is None:
                waiting.append(rule)
            elif not judgeable(names):
                return (name, rule), waiting, True
        return ("-", {}), waiting, False

    # --- settings: the rule's, or else the listener's ---

    def setting(self, rule, listener, key, default):
        return rule.get(key, listener.get(key, default))

    def client_auth(self, rule, listener):
        auth = self.setting(rule, listener, "client_auth", self.tls.get("client_auth", "no"))
        return "request" if auth == "no" and words(rule, "identity") else auth

    def asked_at_direct_start(self, listener, connection):
        answers = {listener.get("client_auth", self.tls.get("client_auth", "no"))}
        for _, rule in self.all("rule"):
            if not self.at_place(rule, connection):
                continue
            if words(rule, "identity"):
                answers.add("request")
            elif "client_auth" in rule:
                answers.add(rule["client_auth"])
        return answers.pop() if len(answers) == 1 else "request"

    # --- the decision ---

    def cell(self, policy, security):
        if security == "direct":
            return "inside", "none"
        cell = TABLE[policy][OFFERS.index(security)]
        return (cell, "none") if cell in ("clear", "tls") else ("refuse", cell)

    def before_tls(self, connection, listener, policy, found):
        (_, rule), waiting, _ = found
        outcome, reason = self.cell(policy, connection.security)
        if rule.get("action") == "refuse" and not (outcome == "tls" and waiting):
            return "refuse", "not-permitted"
        if outcome == "clear" and connection.ratcheted:
            if self.setting(rule, listener, "ratchet", "no") == "yes" or any(w.get("ratchet") == "yes" for w in waiting):
                return "refuse", "ratcheted"
        if outcome == "tls" and connection.tls == "1.2" and self.tls.get("min_version", "1.2") == "1.3":
            return "refuse", "no-tls-version"
        return outcome, reason

    def inside_tls(self, connection, listener, found, outcome):
        (_, rule), _, cannot_tell = found
        if rule.get("action") == "refuse" or cannot_tell:
            return "refuse", "not-permitted"
        if self.client_auth(rule, listener) == "require" and not connection.shows:
            return "refuse", "peer-certificate-missing"
        return outcome, "none"

    def fill_in(self, decision, connection, listener, rule):
        decision.policy = self.setting(rule, listener, "unsecured_connections", "never")
        decision.ratchet = self.setting(rule, listener, "ratchet", "no") == "yes"
        decision.required = self.client_auth(rule, listener) == "require"
        decision.audit = self.setting(rule, listener, "audit_policy", "-")
        decision.audit_outcome, decision.audit_reason = "-", "none"
        if decision.audit != "-":
            decision.audit_outcome, decision.audit_reason = self.cell(decision.audit, connection.security)

    def decide(self, connection):
        listener = dict(self.all("listener"))[connection.listener]
        raw = listener.get("exchange") == "none"
        decision = Decision()
        if raw:
            connection = dataclasses.replace(connection, sysid="", target="", security="none", tls="", names=(), shows=False,
                                             ratcheted=False, hops=-1)
        names = connection.names if connection.shows else ()
        direct = connection.security == "direct"
        found = self.search(connection, names if direct else None)
        self.fill_in(decision, connection, listener, found[0][1])
        if direct:
            decision.outcome, decision.reason = self.inside_tls(connection, listener, found, "inside")
            decision.never_outcome, decision.never_reason = decision.outcome, decision.reason
            decision.asked = self.asked_at_direct_start(listener, connection)
        else:
            decision.outcome, decision.reason = self.before_tls(connection, listener, decision.policy, found)
            decision.never_outcome, decision.never_reason = self.before_tls(connection, listener, "never", found)
            decision.asked = self.client_auth(found[0][1], listener)
            if decision.outcome == "tls" and found[1]:
                # Asked for, and the rules are tried once more, in the same order, with what it proves.
                if decision.asked == "no":
                    decision.asked = "request"
                found = self.search(connection, names)
                self.fill_in(decision, connection, listener, found[0][1])
                decision.late = True
                decision.outcome, decision.reason = self.inside_tls(connection, listener, found, "tls")
                decision.never_outcome, decision.never_reason = decision.outcome, decision.reason
        decision.rule = found[0][0]
        if raw:
            decision.ratchet = False
            decision.asked = "no"
        self.choose_target(decision, connection, listener, found[0][1])
        return decision

    def direct_is_permitted(self, listener):
        return listener.get("direct", "no" if listener.get("unsecured_connections") == "only" or
                            listener.get("exchange") == "none" else "yes") == "yes"

    # --- the target (protocol.md, "Targets") ---

    def service_named(self, target):
        return next((name for name, _ in self.all("service") if name.lower() == target.lower()), None)

    def peer_for(self, target):
        for name, _ in self.all("peer"):
            if name.lower() == target.lower():
                return name
        return next((name for name, peer in self.all("peer") if any(pattern_matches(p, target) for p in words(peer, "targets"))), None)

    def choose_target(self, decision, connection, listener, rule):
        is_gw, target, own = self.program == "ccisslgw", connection.target, self.gateway["sysid"].lower()
        if target == "*PING":
            decision.kind = "ping"
            return
        if target == "" or (not is_gw and target.lower() == own):
            target = rule.get("service") or listener.get("target" if is_gw else "service", "")
        service = self.service_named(target)
        if service is None and is_gw and target.lower() == own and self.all("service"):
            service = self.all("service")[0][0]
        peer = self.peer_for(target) if is_gw and service is None and target else None
        if service is not None:
            decision.kind, decision.to = "service", service
        elif peer is not None:
            decision.kind, decision.to = "peer", peer
            if connection.hops == 0:
                decision.route = "hops-exhausted"
        else:
            decision.route = "target-unknown"
