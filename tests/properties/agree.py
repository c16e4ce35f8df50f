"""Thousands of decisions: the gateway's own functions, --explain and the model, side by side; what differs is made small."""
import re
import subprocess

from generate import Generator, text_of
from model import CODES, Gateway

OUTCOMES = {"goes on in the clear": "clear", "turns to TLS": "tls", "is secured from the first byte": "inside", "is refused": "refuse"}
FIELDS = ("outcome", "reason", "late", "rule", "policy", "asked", "required", "ratchet", "audit", "audit_outcome", "audit_reason",
          "never_outcome", "never_reason")


class Decider:
    """build/tests/decide, which asks policy.h, route.h and explain.h."""

    def __init__(self, build):
        self.process = subprocess.Popen([f"{build}/tests/decide"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def put(self, *words, more=b""):
        self.process.stdin.write("\t".join(words).encode() + b"\n" + more)
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline().decode().rstrip("\n")
        if not line:
            raise RuntimeError("build/tests/decide has ended")
        return dict(word.split("=", 1) for word in line.split("\t"))

    def load(self, program, sections):
        text = text_of(sections).encode()
        self.put("config", program, str(len(text)), more=text)
        return self.answer()

    def ask(self, connection):
        self.put("ask", *words_of(connection), *([f"hops={connection.hops}"] if connection.hops >= 0 else []))
        return self.answer()

    def explain(self, connection):
        self.put("explain", *words_of(connection))
        lines = []
        while (line := self.process.stdout.readline().decode().rstrip("\n")) != ".":
            lines.append(line)
        return "\n".join(lines)

    def close(self):
        self.process.stdin.close()
        return self.process.wait() == 0


def words_of(connection):
    words = [f"source={connection.source}", f"listener={connection.listener}", f"security={connection.security}",
             f"ratcheted={'yes' if connection.ratcheted else 'no'}"]
    words += [f"{key}={getattr(connection, key)}" for key in ("sysid", "target", "tls") if getattr(connection, key)]
    return words + (["identity=" + ",".join(connection.names)] if connection.shows else [])


def word(value):
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def differences(decision, answer):
    """Of the model and the functions. Where no handshake follows nothing is asked for."""
    fields = [name for name in FIELDS if name != "asked" or decision.late or decision.outcome in ("tls", "inside")]
    found = [(name, word(getattr(decision, name)), answer.get(name)) for name in fields if word(getattr(decision, name)) != answer.get(name)]
    if decision.outcome != "refuse":
        found += [(name, getattr(decision, name), answer.get(name)) for name in ("route", "kind", "to")
                  if getattr(decision, name) != answer.get(name)]
    if decision.reason in CODES and str(CODES[decision.reason]) != answer.get("code"):
        found.append(("code", CODES[decision.reason], answer.get("code")))
    return found


def read_explained(text):
    """What --explain says of one listener, as far as it says it."""
    said = {"outcome": next((o for words, o in OUTCOMES.items() if text.split("\n")[0].endswith(words)), "?")}
    for name, pattern in (("decider", r"decided by   \[(\w+ \S+)\]"), ("code", r"\(REFUSE (\d+)\)"), ("policy", r"policy       (\w+);"),
                          ("audit", r"audit_policy (\w+) would say"), ("audit_outcome", r"would say: (\w+)"),
                          ("certificate", r"certificate  (not asked for|asked for|required)"), ("kind", r"goes to      (\w+)"),
                          ("to", r"goes to      (?:service|peer) (\S+)"), ("ratchet", r"ratchet      (yes)")):
        match = re.search(pattern, text)
        said[name] = match.group(1) if match else "-"
    said["late"] = "closed after the TLS handshake, as the certificate" in text
    return said


def expected_of(gateway, connection, decision):
    """What it has to say then."""
    listener = dict(gateway.all("listener"))[connection.listener]
    raw = listener.get("exchange") == "none"
    if connection.security == "direct" and not raw and not gateway.direct_is_permitted(listener):
        return {"outcome": "refuse"}
    outcome, reason = decision.outcome, decision.reason
    if outcome in ("clear", "inside") and decision.route != "none":
        outcome, reason = "refuse", decision.route
    secured = outcome in ("tls", "inside")
    return {"outcome": outcome, "decider": f"listener {connection.listener}" if decision.rule == "-" else f"rule {decision.rule}",
            "code": str(CODES[reason]) if outcome == "refuse" and reason in CODES and not decision.late and not raw else "-",
            "policy": decision.policy, "audit": decision.audit, "audit_outcome": decision.audit_outcome,
            "certificate": "-" if not secured else "required" if decision.required else
            {"no": "not asked for", "request": "asked for", "require": "required"}[decision.asked],
            "kind": "-" if outcome == "refuse" else "nobody" if decision.route != "none" else decision.kind,
            "to": decision.to if outcome != "refuse" and decision.route == "none" and decision.to else "-",
            "ratchet": "yes" if decision.ratchet else "-", "late": decision.late and outcome == "refuse"}


def explained_differences(gateway, connection, decision, text):
    said = read_explained(text)
    return [(name, value, said[name]) for name, value in expected_of(gateway, connection, decision).items() if said[name] != value]


def look(decider, program, sections, connection):
    """All that differs for one connection; the configuration is loaded."""
    gateway = Gateway(program, sections)
    decision = gateway.decide(connection)
    found = differences(decision, decider.ask(connection))
    if connection.hops < 0:
        found += [("explain " + name, *values) for name, *values in
                  explained_differences(gateway, connection, decision, decider.explain(connection))]
    return found


def shrink(decider, program, sections, connection, names):
    """Take away rules and keys as long as one of the same members differs."""
    def still(smaller):
        if decider.load(program, smaller).get("taken") != "yes":
            return False
        return any(name in names for name, *_ in look(decider, program, smaller, connection))

    changed = True
    while changed:
        changed = False
        for i, (kind, name, section) in enumerate(sections):
            smaller = [sections[:i] + sections[i + 1:]] if kind in ("rule", "peer") else []
            smaller += [sections[:i] + [(kind, name, {k: v for k, v in section.items() if k != key})] + sections[i + 1:] for key in section]
            found = next((s for s in smaller if still(s)), None)
            if found is not None:
                sections, changed = found, True
                break
    return sections


def tell(program, sections, connection, found):
    print(f"# {program}\n{text_of(sections)}# {connection}")
    for name, wanted, got in found:
        print(f"# {name}: by the documents {wanted}, by the gateway {got}")


def decisions(build, random, configurations, each):
    """One line `ok` or `not ok`."""
    decider, generator, count = Decider(build), Generator(random), 0
    outcomes = {}
    for _ in range(configurations):
        program, sections = generator.configuration()
        taken = decider.load(program, sections)
        if taken != {"taken": "yes", "fixed": "yes"}:
            print(f"# {program}\n{text_of(sections)}# {taken}\nnot ok a configuration that is in order is taken, and its dump a fixed point")
            return False
        for _ in range(each):
            connection = generator.connection(sections)
            if random.random() < 0.1:
                connection.hops = random.choice((0, 1, 7))
            found = look(decider, program, sections, connection)
            if found:
                sections = shrink(decider, program, sections, connection, {name for name, *_ in found})
                decider.load(program, sections)
                tell(program, sections, connection, look(decider, program, sections, connection))
                print("not ok the documents, the gateway's functions and --explain agree")
                return False
            decision = Gateway(program, sections).decide(connection)
            outcomes[decision.outcome] = outcomes.get(decision.outcome, 0) + 1
            count += 1
    counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
    ok = decider.close() and len(outcomes) == 4
    print(f"{'ok' if ok else 'not ok'} {count} decisions under {configurations} configurations, by the functions and by explain: {counts}")
    return ok


def commands(build, random, folder, configurations, each):
    """The same through the command --explain."""
    generator = Generator(random)
    for _ in range(configurations):
        program, sections = generator.configuration()
        path = f"{folder}/explain.ini"
        with open(path, "w") as file:
            file.write(text_of(sections))
        gateway = Gateway(program, sections)
        for _ in range(each):
            connection = generator.connection(sections)
            run = subprocess.run([f"{build}/{program}", "-c", path, "--explain", *words_of(connection)], capture_output=True, text=True)
            found = explained_differences(gateway, connection, gateway.decide(connection), run.stdout) if run.returncode == 0 else \
                [("status", 0, f"{run.returncode}: {run.stderr}")]
            if found:
                tell(program, sections, connection, found)
                print("not ok --explain says what the documents say")
                return False
    print(f"ok {configurations * each} connections explained by the command")
    return True
