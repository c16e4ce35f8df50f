"""Random configurations that are in order, and connections that find their way through them."""
from model import Connection

NAMES = ("PC1", "PC2", "br01", "BR01", "BR02.a", "EVIL1", "HOST1", "X#1")
PATTERNS = ("BR*", "br0?", "*1", "EVIL*", "PC?", "*", "HOST1", "X#?", "*.A", "P*1")
NETWORKS = ("10.20.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8:20::/48", "127.0.0.0/8", "unix", "10.20.1.7", "127.0.0.2", "::1")
SOURCES = ("10.20.1.7", "10.21.1.7", "127.0.0.1", "127.0.0.2", "::1", "2001:db8:20::5", "::ffff:10.20.1.9", "unix")
TARGETS = ("", "", "", "PAYROLL", "inner", "FAR", "LEDGER1", "ledger2", "HOST1", "NOWHERE", "*PING")
IDENTITIES = ("DNS:*.office.example", "DNS:client1.*", "CN:CLIENT1.example", "CN:office *", "URI:spiffe://site/*", "IP:10.20.0.0/16",
              "IP:2001:db8::/32", "EMAIL:*@office.example", "DNS:*")
CERTIFICATES = (("DNS:a.office.example",), ("DNS:client1.example", "CN:client1.example"), ("CN:Office 7", "EMAIL:X@Office.example"),
                ("URI:spiffe://site/a",), ("URI:SPIFFE://site/a", "IP:10.20.3.4"), ("IP:2001:db8::1",), ("CN:nobody",),
                ("IP:::ffff:10.20.1.1", "CN:x"), ("CN:nobody", "DNS:" + "a" * 251), ("CN:nobody", "DNS:" + "a" * 252),
                tuple(f"CN:n{i}" for i in range(32)), tuple(f"CN:n{i}" for i in range(33)),
                tuple(f"CN:n{i}" for i in range(32)) + ("DNS:z.office.example",))
POLICIES = ("never", "nonssl", "allow", "only")
TLS = {"certificate": "@CERTS@/server.pem", "private_key": "@CERTS@/server.key", "ca": "@CERTS@/ca.pem"}


class Generator:
    def __init__(self, random, real=False):
        """`real`: for gateways that run: everybody comes from 127.0.0.0/8, with a certificate that there is."""
        self.random, self.real = random, real

    def maybe(self, section, key, values, chance=0.4):
        if self.random.random() < chance:
            section[key] = self.random.choice(values)

    def some(self, section, key, values, chance=0.4):
        if self.random.random() < chance:
            section[key] = ", ".join(self.random.sample(values, self.random.randint(1, min(3, len(values)))))

    def listener(self, number, program):
        unit = {"address": "127.0.0.1:0"}
        raw = self.random.random() < 0.15
        unit["unsecured_connections"] = self.random.choice(POLICIES[2:] if raw else POLICIES)
        self.maybe(unit, "audit_policy", POLICIES)
        self.maybe(unit, "ratchet", ("yes", "no"))
        if raw:
            unit["exchange"] = "none"
        else:
            self.maybe(unit, "client_auth", ("no", "request", "require"), 0.3)
            self.maybe(unit, "direct", ("no",) if unit["unsecured_connections"] == "only" else ("yes", "no"), 0.3)
        if raw or self.random.random() < 0.8:
            if program == "ccissl":
                unit["service"] = self.random.choice(("PAYROLL", "INNER"))
            else:
                unit["target"] = self.random.choice(("PAYROLL", "INNER", "FAR", "LEDGER1", "HOST1"))
        return ("listener", f"l{number}", unit)

    def rule(self, number, listeners):
        rule = {}
        self.some(rule, "source", ("127.0.0.0/8", "127.0.0.2", "127.0.0.3", "10.0.0.0/8") if self.real else NETWORKS, 0.35)
        self.some(rule, "sysid", PATTERNS, 0.5)
        self.some(rule, "target", PATTERNS + ("PAY*", "LEDGER?"), 0.15)
        self.some(rule, "listener", [name for _, name, _ in listeners], 0.25)
        self.some(rule, "identity", IDENTITIES, 0.35)
        has_identity = "identity" in rule
        if self.random.random() < 0.3:
            rule["action"] = "refuse"
        else:
            self.maybe(rule, "unsecured_connections", POLICIES[:3] if has_identity else POLICIES, 0.5)
        self.maybe(rule, "audit_policy", POLICIES, 0.25)
        self.maybe(rule, "client_auth", ("request", "require") if has_identity else ("no", "request", "require"), 0.25)
        self.maybe(rule, "ratchet", ("yes", "no"))
        self.maybe(rule, "service", ("PAYROLL", "INNER"), 0.3)
        return ("rule", f"r{number}", rule)

    def configuration(self):
        """Program and sections."""
        program = self.random.choice(("ccissl", "ccissl", "ccisslgw"))
        sections = [("gateway", None, {"sysid": "HOST1", "workers": "1"})]
        listeners = [self.listener(i, program) for i in range(self.random.randint(1, 3))]
        sections += listeners
        sections += [self.rule(i, listeners) for i in range(self.random.randint(0, 5))]
        sections += [("service", "PAYROLL", {"address": "builtin:echo"}), ("service", "INNER", {"address": "builtin:echo"})]
        if program == "ccisslgw":
            sections.append(("peer", "FAR", {"address": "127.0.0.1:1", "targets": self.random.choice(("LEDGER*", "LEDGER?, PC*"))}))
            sections.append(("peer", "OTHER", {"address": "127.0.0.1:1", "targets": self.random.choice(("LEDGER2", "*2", "HOST9"))}))
        tls = dict(TLS)
        self.maybe(tls, "client_auth", ("no", "request", "require"), 0.3)
        self.maybe(tls, "min_version", ("1.2", "1.3"))
        sections.append(("tls", None, tls))
        return program, sections

    def connection(self, sections):
        listener = self.random.choice([name for kind, name, _ in sections if kind == "listener"])
        shows = self.random.random() < 0.5
        return Connection(source=self.random.choice(("127.0.0.1", "127.0.0.2", "127.0.0.3") if self.real else SOURCES),
                          listener=listener, sysid=self.random.choice(NAMES),
                          security=self.random.choice(("none", "off", "on", "required", "direct")),
                          target=self.random.choice(TARGETS), tls=self.random.choice(("", "", "1.2", "1.3")), shows=shows,
                          names=() if not shows else CERTIFICATES[1] if self.real else self.random.choice(CERTIFICATES),
                          ratcheted=not self.real and self.random.random() < 0.4)


def text_of(sections, certs="/certs"):
    lines = []
    for kind, name, section in sections:
        lines.append(f"[{kind}{' ' + name if name else ''}]")
        lines += [f"{key} = {value}" for key, value in section.items()]
    return "\n".join(lines).replace("@CERTS@", certs) + "\n"
