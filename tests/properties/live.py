"""Gateways that run, and clients that know nothing but protocol.md: what happens to a connection, and what its record says of it, is what
the model says; and log, events, metrics and report count the same sessions."""
import dataclasses
import os
import time

from agree import tell
from client import meet
from generate import Generator
from model import CODES, Gateway
from running import Running


def predict(gateway, connection):
    """What the client sees; what the record says; is the name remembered."""
    listener = dict(gateway.all("listener"))[connection.listener]
    decision = gateway.decide(connection)
    record = {"rule": decision.rule, "policy": decision.policy, "audit_policy": decision.audit, "audit_outcome": decision.audit_outcome}
    raw = listener.get("exchange") == "none"
    if connection.security == "direct" and not raw and not gateway.direct_is_permitted(listener):
        return [], None, False
    direct = connection.security == "direct" and not raw
    if not connection.shows and decision.asked == "require" and (direct or decision.outcome == "tls" or decision.late):
        return ([] if direct else ["accept 1"]), {"reason": "peer-certificate-missing"}, False
    goes, reason = decision.outcome != "refuse", decision.reason
    if goes and decision.route != "none":
        goes, reason = False, decision.route
    if goes and decision.kind != "peer":
        record |= {"reason": "ended", "to_kind": decision.kind, "to_name": decision.to or "-"}
    elif goes:
        record |= {"to_kind": "peer", "to_name": decision.to}
        goes, reason = False, "target-unreachable"
    else:
        record["reason"] = reason
    if raw:
        return (["echo"] if goes else []), record, False
    if decision.outcome == "tls" or decision.late:
        seen = ["accept 1"] + (["echo"] if goes else [])
    elif goes:
        seen = ["accept 2" if direct else "accept 0", "echo"]
    else:
        code = {**CODES, "target-unreachable": 6}.get(reason)
        seen = [f"refuse {code}"] if code else None
    secured = decision.outcome == "tls" or (decision.outcome == "inside" and decision.route == "none")
    return seen, record, decision.ratchet and secured


def disagreements(seen, wanted, record, said):
    found = [("what the client sees", wanted, seen)] if wanted is not None and seen != wanted else []
    if record is None:
        return found
    if said is None:
        return found + [("record", record, None)]
    return found + [("record " + key, value, said.get(key, "-").split(":")[0]) for key, value in record.items()
                    if said.get(key, "-").split(":")[0] != value]


def counts_differ(running, met, status):
    """Words, or None. The report leaves out pings and who never said who he is: it is held to itself, live and out of the events."""
    live, records = running.live_report, running.records()
    offline, events = running.report_of_events(), running.events()
    same = [entry["sessions"] for entry in live["entries"]] == [entry["sessions"] for entry in offline["entries"]]
    if status == 0 and len(records) == met and events == met and same and live["sessions"] == offline["sessions"]:
        return None
    return f"{met} connections, {len(records)} in the log, {events} events, report {live['sessions']}, of the events {offline['sessions']}, status {status}"


def foreseen(gateway, connections):
    """(connection with its past, what it sees, what its record says) of each, one after the other."""
    held, each = set(), []
    for connection in connections:
        connection = dataclasses.replace(connection, ratcheted=connection.sysid.lower() in held,
                                         tls="" if connection.security == "direct" else connection.tls)
        wanted, record, remembered = predict(gateway, connection)
        if remembered:
            held.add(connection.sysid.lower())
        each.append((connection, wanted, record))
    return each


def meet_all(running, gateway, connections):
    """(connection, seen, wanted, record, where) of each."""
    ports, met = running.ports(), []
    for connection, wanted, record in foreseen(gateway, connections):
        raw = dict(gateway.all("listener"))[connection.listener].get("exchange") == "none"
        seen, where = meet(ports[connection.listener], connection, raw)
        met.append((connection, seen, wanted, record, where))
    return met


def one(build, folder, program, sections, connections):
    """Is all as it has to be?"""
    with Running(build, folder, program, sections) as running:
        met = meet_all(running, Gateway(program, sections), connections)
        running.wait(lambda: running.ended() >= len(met))
        ended, running.live_report = running.ended(), running.report()
        wrong = counts_differ(running, len(met), running.stop())
        records = running.records()
    for connection, seen, wanted, record, where in met:
        found = disagreements(seen, wanted, record, records.get(where))
        if found:
            tell(program, sections, connection, found)
            return False
    if wrong or ended != len(met):
        print(f"# metrics: {ended} ended; {wrong}")
    return not wrong and ended == len(met)


def gateways(build, random, folder, least, most, each, most_s=10):
    """As many as fit into `most_s`, and `least` whatever time they take."""
    generator, until, done = Generator(random, real=True), time.monotonic() + most_s, 0
    while done < least or (done < most and time.monotonic() < until):
        program, sections = generator.configuration()
        connections = [generator.connection(sections) for _ in range(each)]
        os.mkdir(f"{folder}/{done}")
        if not one(build, f"{folder}/{done}", program, sections, connections):
            print("not ok gateways that run do what the documents say")
            return False
        done += 1
    print(f"ok {done * each} connections to {done} gateways that run: as the documents say; log, events, metrics and report count alike")
    return True
