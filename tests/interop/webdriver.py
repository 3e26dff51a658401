"""A Chromium without a window, driven as W3C WebDriver says."""
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, section 12.1: the key of a reference
ENTER = "\ue007"


class Chromium:
    """folder: its profile, the caller's."""

    def __init__(self, folder):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            self.begin(folder)
        except BaseException:
            self.kill()
            raise

    def begin(self, folder):
        self.url = None
        for line in self.driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                break
        assert self.url, "chromedriver does not listen"
        words = ["--headless=new", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
        words += ["--no-sandbox"] if os.geteuid() == 0 else []
        wanted = {"goog:chromeOptions": {"args": words}, "goog:loggingPrefs": {"browser": "ALL"}}
        self.url += "/session/" + self.ask("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.ask("DELETE", "")
        finally:
            self.kill()

    def kill(self):
        os.killpg(self.driver.pid, 9)
        self.driver.wait()
        self.driver.stdout.close()

    def ask(self, method, path, **fields):
        body = json.dumps(fields).encode() if method == "POST" else None
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.ask("POST", "/url", url=url)

    def find(self, selector):
        """The path of the one element that a CSS selector names; an HTTP error without one."""
        found = self.ask("POST", "/element", using="css selector", value=selector)
        return f"/element/{found[ELEMENT]}"

    def write(self, selector, text):
        self.ask("POST", self.find(selector) + "/value", text=text)

    def press(self, words):
        """Clicks the button that has these words on it."""
        found = self.ask("POST", "/element", using="xpath", value=f"//button[normalize-space()='{words}']")
        self.ask("POST", f"/element/{found[ELEMENT]}/click")

    def label(self, selector):
        """What a screen reader says of it."""
        return self.ask("GET", self.find(selector) + "/computedlabel")

    @property
    def words(self):
        """What a person sees; nothing while one page takes another's place."""
        try:
            return self.ask("GET", self.find("body") + "/text")
        except urllib.error.HTTPError:
            return ""

    def see(self, words, seconds=30):
        """Waits until a person sees them."""
        end = time.monotonic() + seconds
        while words not in self.words:
            assert time.monotonic() < end, (words, self.words)
            time.sleep(0.05)

    def evaluate(self, script):
        return self.ask("POST", "/execute/sync", script=f"return {script}", args=[])

    def complaints(self):
        """What the browser said against the page since it was asked last."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", type="browser")]
