"""A gateway that runs: started with a configuration, asked, and ended whatever happens."""
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time

from generate import text_of

CERTS = "build/test-certs"
PATIENCE_S = 60
LIBC = ctypes.CDLL(None)


def end_with_us():
    """In the child: it is killed when this process ends, however that comes."""
    LIBC.prctl(1, signal.SIGKILL)


def command(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, preexec_fn=end_with_us)


def as_this_user(sections):
    """As root a gateway wants to be told whom to become."""
    return [(kind, name, {**({"user": "root"} if kind == "gateway" and os.getuid() == 0 else {}), **section})
            for kind, name, section in sections]


class Process:
    """With its log in a file."""

    def __init__(self, build, program, config, log):
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen([f"{build}/{program}", "-c", config], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            preexec_fn=end_with_us)

    def text(self):
        with open(self.log) as file:
            return file.read()

    def wait(self, is_so):
        """True; False where it has ended before."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if is_so():
                return True
            if self.process.poll() is not None:
                return is_so()
            time.sleep(0.005)
        raise RuntimeError("the gateway does not do it:\n" + self.text()[-2000:])

    def started(self):
        return self.wait(lambda: " id=CCI1001I " in self.text())

    def stop(self):
        """Its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Running(Process):
    """One that tells of all that comes: log, events, metrics, report."""

    def __init__(self, build, folder, program, sections):
        self.build, self.program, self.folder, self.config = build, program, folder, f"{folder}/live.ini"
        # No deadline of the gateway's own is a slow machine's business.
        sections = as_this_user(sections) + [("timeouts", None, {key: "60s" for key in ("exchange", "handshake", "confirm", "connect")}),
                                             ("notifier", "all", {"kind": "file", "path": f"{folder}/events"}),
                                             ("control", None, {"socket": f"{folder}/control", "http": f"unix:{folder}/http"})]
        with open(self.config, "w") as file:
            file.write(text_of(sections, os.path.abspath(CERTS)))
        super().__init__(build, program, self.config, f"{folder}/log")
        self.wanted = sum(kind == "listener" for kind, _, _ in sections)

    def __enter__(self):
        try:
            if not self.wait(lambda: len(self.ports()) == self.wanted):
                raise RuntimeError("it does not start:\n" + self.text()[-2000:])
        except BaseException:
            self.__exit__()
            raise
        return self

    def ports(self):
        return {name: int(port) for port, name in re.findall(r" id=CCI1002I .* address=\S+:(\d+) listener=(\S+)", self.text())}

    def records(self):
        lines = [line for line in self.text().split("\n") if " reason=" in line and " conn=" in line and " duration_us=" in line]
        return {dict(words)["from"]: dict(words) for words in (re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", line) for line in lines)}

    def metrics(self):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(PATIENCE_S)
            stream.connect(f"{self.folder}/http")
            stream.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            data = b""
            while more := stream.recv(65536):
                data += more
        return data.decode()

    def ended(self):
        return sum(int(n) for n in re.findall(r"^cci_sessions_ended_total\{[^}]*\} (\d+)$", self.metrics(), re.M))

    def report(self):
        return json.loads(command(f"{self.build}/{self.program}", "ctl", "-c", self.config, "report", "--json").stdout)

    def events(self):
        """How many records are among them."""
        with open(f"{self.folder}/events") as file:
            return sum(json.loads(line)["event"] == "record" for line in file)

    def report_of_events(self):
        return json.loads(command(f"{self.build}/{self.program}", "report", "--json", f"{self.folder}/events").stdout)
