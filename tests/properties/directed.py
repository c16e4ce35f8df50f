"""What random cases may miss, with every seed: for each attribute of a decision connections to gateways that run which differ in it alone. Each says
what its record has to say, so that a case cannot lose its point; the rest is foreseen by the model as for random ones."""
import socket
import time

from client import PATIENCE_S, answer_of, echoes, offer_of
from generate import CERTIFICATES, TLS
from live import foreseen, one
from model import Connection, Gateway
from running import Running

SERVICES = [("service", "PAYROLL", {"address": "builtin:echo"}), ("service", "INNER", {"address": "builtin:echo"})]
CLIENT1 = CERTIFICATES[1]

ACCEPTING = [("gateway", None, {"sysid": "HOST1", "workers": "1"})] + [
    ("listener", name, {"address": "127.0.0.1:0", "service": "PAYROLL", **more}) for name, more in (
        ("never", {"unsecured_connections": "never", "audit_policy": "allow"}),
        ("nonssl", {"unsecured_connections": "nonssl", "audit_policy": "never"}),
        ("allow", {"unsecured_connections": "allow", "audit_policy": "only"}),
        ("only", {"unsecured_connections": "only", "audit_policy": "nonssl"}),
        ("raw", {"unsecured_connections": "allow", "exchange": "none"}),
        ("ratchet", {"unsecured_connections": "nonssl", "ratchet": "yes"}),
        ("cert", {"unsecured_connections": "never", "client_auth": "require"}),
        ("inside", {"unsecured_connections": "never", "direct": "no"}))] + [
    ("rule", "source", {"listener": "allow, raw", "source": "127.0.0.3", "action": "refuse"}),
    ("rule", "sysid", {"listener": "allow", "sysid": "EVIL*", "action": "refuse"}),
    ("rule", "target", {"listener": "allow", "target": "INN*", "unsecured_connections": "never"}),
    ("rule", "service", {"listener": "allow", "sysid": "br0?", "service": "INNER", "audit_policy": "never"}),
    ("rule", "auth", {"listener": "allow", "sysid": "X#1", "unsecured_connections": "never", "client_auth": "require"}),
    ("rule", "identity", {"listener": "never, ratchet", "sysid": "PC?", "identity": "DNS:client1.*", "service": "INNER", "audit_policy": "only"}),
    ("rule", "others", {"listener": "never", "sysid": "PC?", "action": "refuse"}),
    ("rule", "unratcheted", {"listener": "ratchet", "sysid": "BR*", "ratchet": "no"})] + SERVICES + [("tls", None, dict(TLS))]

# Listener, sysid, what it offers; what the record says; what is more.
TABLE = [(policy, "HOST9", offer, reason, {}) for policy, reasons in (
    ("never", ("security-required", "ended", "ended", "ended", "ended")), ("nonssl", ("ended",) * 5), ("allow", ("ended",) * 5),
    ("only", ("ended", "ended", "ended", "security-not-offered", "-")))
    for offer, reason in zip(("none", "off", "on", "required", "direct"), reasons)]
CASES = TABLE + [
    ("ratchet", "HOST9", "none", "ended", {}), ("ratchet", "HOST9", "on", "ended", {}),
    ("ratchet", "HOST9", "none", "ratcheted", {}), ("ratchet", "host9", "none", "ratcheted", {}),
    ("ratchet", "HOST8", "none", "ended", {}),
    ("ratchet", "BR01", "required", "ended", {}), ("ratchet", "BR01", "none", "ended", {}),
    ("ratchet", "PC2", "direct", "ended", {"shows": True}), ("ratchet", "PC2", "none", "ratcheted", {}),
    ("allow", "HOST9", "none", "ended", {}),
    ("allow", "PC1", "on", "ended", {"source": "127.0.0.2"}), ("allow", "PC1", "on", "not-permitted", {"source": "127.0.0.3"}),
    ("raw", "", "none", "ended", {}), ("raw", "", "none", "not-permitted", {"source": "127.0.0.3"}),
    ("allow", "EVIL1", "off", "not-permitted", {}), ("allow", "evil1", "required", "not-permitted", {}),
    ("allow", "PC1", "off", "ended", {"target": "PAYROLL"}), ("allow", "PC1", "none", "security-required", {"target": "inner"}),
    ("allow", "PC1", "off", "target-unknown", {"target": "NOWHERE"}), ("allow", "PC1", "off", "ended", {"target": "*PING"}),
    ("allow", "BR01", "off", "ended", {}), ("allow", "BR011", "off", "ended", {}),
    ("allow", "X#1", "on", "peer-certificate-missing", {}), ("allow", "X#1", "on", "ended", {"shows": True}),
    ("cert", "PC1", "on", "peer-certificate-missing", {}), ("cert", "PC1", "on", "ended", {"shows": True}),
    ("cert", "PC1", "direct", "peer-certificate-missing", {}), ("cert", "PC1", "direct", "ended", {"shows": True}),
    ("never", "PC1", "on", "not-permitted", {}), ("never", "PC1", "on", "ended", {"shows": True}),
    ("never", "PC1", "direct", "not-permitted", {}), ("never", "PC1", "direct", "ended", {"shows": True}),
    ("never", "PC1", "none", "not-permitted", {"shows": True}),
    ("inside", "PC1", "on", "ended", {}), ("inside", "PC1", "direct", "-", {}),
    ("never", "HOST9", "on", "ended", {"tls": "1.2"})]

CONNECTING = [("gateway", None, {"sysid": "HOST1", "workers": "1"}),
              ("listener", "l0", {"address": "127.0.0.1:0", "unsecured_connections": "nonssl", "target": "PAYROLL"}),
              ("listener", "none", {"address": "127.0.0.1:0", "unsecured_connections": "nonssl", "target": "FAR"})] + SERVICES + [
    ("peer", "FAR", {"address": "127.0.0.1:1", "targets": "LEDGER*"}), ("peer", "OTHER", {"address": "127.0.0.1:1", "targets": "LEDGER2, HOST9"}),
    ("tls", None, {**TLS, "min_version": "1.3", "client_auth": "request"})]
CONNECTING_CASES = [
    ("l0", "PC1", "none", "ended", {}), ("none", "PC1", "none", "-", {}), ("l0", "PC1", "off", "ended", {"target": "INNER"}),
    ("l0", "PC1", "off", "-", {"target": "ledger2"}), ("l0", "PC1", "off", "-", {"target": "HOST9"}),
    ("l0", "PC1", "off", "target-unknown", {"target": "NOWHERE"}), ("l0", "PC1", "on", "ended", {"target": "HOST1"}),
    ("l0", "PC1", "on", "no-tls-version", {"tls": "1.2"}), ("l0", "PC1", "on", "ended", {"tls": "1.3", "shows": True})]


def connection_of(listener, sysid, security, more):
    more = {"source": "127.0.0.1", **more}
    return Connection(listener=listener, sysid=sysid, security=security, names=CLIENT1 if more.get("shows") else (), **more)


def table(build, folder, name, program, sections, cases):
    """One line `ok` or `not ok`."""
    connections = [connection_of(listener, sysid, security, more) for listener, sysid, security, _, more in cases]
    for case, (_, _, record) in zip(cases, foreseen(Gateway(program, sections), connections)):
        if (record or {}).get("reason", "-") != case[3]:
            print(f"# {case}: by the model {record}\nnot ok {name}: each case is what it is there for")
            return False
    good = one(build, folder, program, sections, connections)
    print(f"{'ok' if good else 'not ok'} {name}: {len(cases)} connections, each for one attribute of a decision")
    return good


# --- limits and deadlines, of which the model knows nothing ---

LIMITED = [("gateway", None, {"sysid": "HOST1", "workers": "1"}),
           ("listener", "l", {"address": "127.0.0.1:0", "unsecured_connections": "allow", "service": "PAYROLL", "exchange_timeout": "300ms"}),
           ("rule", "one", {"sysid": "BR*", "connections": "1"}), ("rule", "each", {"sysid": "PC*", "connections_per_source": "1"}),
           ("rule", "short", {"sysid": "EVIL*", "lifetime": "300ms"}), ("rule", "idle", {"sysid": "X*", "idle": "300ms"})] + SERVICES + [
    ("tls", None, dict(TLS))]


class Held:
    """A connection in the clear that stays until it is let go."""

    def __init__(self, running, sysid, source="127.0.0.1"):
        self.stream = socket.create_connection(("127.0.0.1", running.ports()["l"]), PATIENCE_S, (source, 0))
        self.where = "{}:{}".format(*self.stream.getsockname())
        self.answer = None
        if sysid:
            self.stream.sendall(offer_of(Connection(source=source, listener="l", sysid=sysid, security="off")))
            self.answer = answer_of(self.stream)

    def works(self):
        return self.answer == ("accept", 0) and echoes(self.stream)

    def end(self):
        """What the gateway says before it closes."""
        data = b""
        try:
            while more := self.stream.recv(4096):
                data += more
        except ConnectionResetError:
            pass
        except TimeoutError:
            return b"nothing: it is still open"
        return data

    def let_go(self, running):
        self.stream.close()
        running.wait(lambda: self.where in running.records())


def refused_after(running, held, sysid, other):
    """`held` works, the next is busy, `other` may; and when it is let go, one may again."""
    first = held.works()
    second = Held(running, sysid)
    busy = second.answer == ("refuse", 8)
    second.let_go(running)
    third = other()
    held.let_go(running)
    until, again = time.monotonic() + PATIENCE_S, Held(running, sysid)
    while again.answer == ("refuse", 8) and time.monotonic() < until:
        again = Held(running, sysid)
    return {"first": first, "second is busy": busy, "another": third, "again": again.works(),
            "record": running.records()[second.where].get("reason") == "busy"}


def ended_by(running, sysid, reason, rule):
    held = Held(running, sysid)
    said = held.end()
    held.let_go(running)
    record = running.records()[held.where]
    return {"reason": record["reason"] == reason, "rule": record["rule"].split(":")[0] == rule,
            "said": said[5:6] == b"\3" and said[10:12] == b"\0\x0b" if not sysid else said == b"",
            "not at once": int(record["duration_us"]) > 200000}


def limits_and_deadlines(build, folder):
    with Running(build, folder, "ccissl", LIMITED) as running:
        found = {
            "connections of a rule": refused_after(running, Held(running, "BR01"), "BR02", lambda: Held(running, "HOST9").works()),
            "connections_per_source of a rule": refused_after(running, Held(running, "PC1"), "PC1",
                                                              lambda: Held(running, "PC1", "127.0.0.2").works()),
            "exchange_timeout": ended_by(running, "", "exchange-timeout", "-"),
            "lifetime of a rule": ended_by(running, "EVIL1", "lifetime", "short"),
            "idle of a rule": ended_by(running, "X#1", "idle", "idle")}
        status = running.stop()
    wrong = [f"{case}: {name}" for case, facts in found.items() for name, holds in facts.items() if not holds]
    for line in wrong:
        print(f"# {line} is not so")
    good = not wrong and status == 0
    print(f"{'ok' if good else 'not ok'} limits and deadlines of rules and listeners hold: {len(found)} of them")
    return good
