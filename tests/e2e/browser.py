"""A headless Chromium, driven by WebDriver (W3C) over plain HTTP: what the tests of the page need, and no more."""
import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
             "--proxy-server=direct://", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


class Browser:
    def __init__(self, width=1440, height=1400, dark=False):
        self.profile = tempfile.mkdtemp(prefix="ccissl-page-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.base = None
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                self.base = "http://127.0.0.1:" + line.rstrip(".\n").rsplit(" ", 1)[1]
                break
        arguments = ARGUMENTS + ["--user-data-dir=" + self.profile, "--window-size=%d,%d" % (width, height)]
        if dark:
            arguments.append("--force-dark-mode")
        options = {"args": arguments, "binary": shutil.which("chromium")}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = "/session/" + answer["sessionId"]

    def ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, url):
        self.ask("POST", self.session + "/url", {"url": url})

    def run(self, script, *arguments):
        """The value that `script`, the body of a function, returns in the page."""
        return self.ask("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script, seconds=20):
        """Wait until `script` returns something true; what it returned last."""
        end = time.monotonic() + seconds
        value = self.run(script)
        while not value and time.monotonic() < end:
            time.sleep(0.1)
            value = self.run(script)
        return value

    def messages(self):
        """What the console has said since this was asked last: errors of scripts, and all that the CSP has blocked."""
        return [entry["message"] for entry in self.ask("POST", self.session + "/se/log", {"type": "browser"})]

    def picture(self, path, whole=True):
        if whole:
            height = self.run("return document.documentElement.scrollHeight")
            width = self.run("return window.outerWidth")
            self.ask("POST", self.session + "/window/rect", {"width": width, "height": height + 140})
            time.sleep(0.5)
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", self.session + "/screenshot")))

    def close(self):
        try:
            self.ask("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            shutil.rmtree(self.profile, ignore_errors=True)
