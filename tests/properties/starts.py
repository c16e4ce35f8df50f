"""--check accepts exactly what a start accepts: over configurations in order, and others with one thing broken."""
import os
import time

from generate import Generator, text_of
from running import CERTS, Process, as_this_user, command

VALUES = ("", "yes", "no", "0", "-1", "70000", "never", "ten", "127.0.0.1", "127.0.0.1:99999", "builtin:echo", "/nowhere/x.pem", "5s", "A" * 65,
          "require", "@CERTS@/ca.pem", "@CERTS@/server.key", "@CERTS@/expired.pem", "@CERTS@/other-server.key", "LEDGER*", "1.3", "allow, only")
KEYS = ("sysid", "workers", "address", "unsecured_connections", "audit_policy", "ratchet", "exchange", "client_auth", "direct", "service", "target",
        "source", "listener", "identity", "action", "certificate", "private_key", "ca", "min_version", "max_connections", "nonsense", "security",
        "targets", "ciphersuites", "chroot", "log_level")
SECTIONS = (("service", "PAYROLL"), ("listener", "l0"), ("nonsense", None), ("rule", "r9"), ("gateway", None), ("tls", "x"), ("peer", "FAR"),
            ("timeouts", None), ("limits", None), ("notifier", "n"))


def broken(random, sections):
    """With one thing changed, which may well be right still."""
    sections = [(kind, name, dict(section)) for kind, name, section in sections]
    what, number = random.randrange(6), random.randrange(len(sections))
    _, _, section = sections[number]
    if what == 0 and section:
        del section[random.choice(sorted(section))]
    elif what == 1 and section:
        section[random.choice(sorted(section))] = random.choice(VALUES)
    elif what == 2:
        section[random.choice(KEYS)] = random.choice(VALUES)
    elif what == 3:
        del sections[number]
    elif what == 4:
        sections.insert(number, (*random.choice(SECTIONS), {random.choice(KEYS): random.choice(VALUES)} if random.random() < 0.6 else {}))
    else:
        random.shuffle(sections)
    return sections


def starts(build, program, config, log):
    with Process(build, program, config, log) as process:
        return process.started() and process.stop() == 0


def check_and_start(build, random, folder, least, most, most_s=8):
    """As many as fit into `most_s`, and `least` whatever time they take."""
    generator, until, accepted, done = Generator(random, real=True), time.monotonic() + most_s, 0, 0
    while done < least or (done < most and time.monotonic() < until):
        program, sections = generator.configuration()
        sections = as_this_user(sections)
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            sections = broken(random, sections)
        config, log = f"{folder}/start.ini", f"{folder}/start.log"
        with open(config, "w") as file:
            file.write(text_of(sections, os.path.abspath(CERTS)))
        check = command(f"{build}/{program}", "-c", config, "--check")
        started = starts(build, program, config, log)
        if (check.returncode == 0) != started:
            with open(config) as file, open(log) as said:
                print("# " + (file.read() + check.stdout + check.stderr + said.read()).replace("\n", "\n# "))
            print(f"not ok --check {'accepts' if check.returncode == 0 else 'refuses'} what a start does not")
            return False
        accepted += started
        done += 1
    good = 0 < accepted < done
    print(f"{'ok' if good else 'not ok'} --check accepts what a start accepts: {accepted} of {done} configurations")
    return good
