#!/usr/bin/env python3
"""From nothing to the first HTTPS answer through web, app and database of examples/shophub.yaml.

    bench/twin/run.py [BUILD-FOLDER] [--runs N] [--as-user] [--beside FOLDER]

Each run has a state folder of its own; runs without a template of the database and with one take turns.
--beside FOLDER takes turns with a script, too, which stands the same platform with the system's own commands:
FOLDER/twin.sh up, kill, and where it was when it writes its timing.txt. Folders of runs stay to the end: ext4
skips inodes that were freed lately one by one, so that a run would pay for the removal of the one before it.
Nothing is asserted: targets are compared by people.
"""
import argparse
import encodings.idna  # before this process may no longer read where Python lies
import fcntl
import glob
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "shophub.yaml")
ORDINARY_USER = 65534
MEMBERS = 2  # of the example's database
REST = 0.5  # seconds; so long the kernel frees the namespaces of a twin that has ended, and makes new ones slowly
SHOWN = ["web-tier", "allow-https-to-web", "web-frontend", "web-asg", "monitoring", "shophub-db", "shophub-stack"]


class Run:
    """Our own twin, in a home of its own."""

    def __init__(self, programs, folder, cache):
        self.programs = programs
        self.folder = tempfile.mkdtemp(dir=folder)
        self.home = self.folder + "/home"
        self.environment = dict(os.environ, PARLEY_HOME=self.home, HOME=self.folder, PARLEY_CACHE=cache,
                                XDG_RUNTIME_DIR=self.folder + "/run")
        os.mkdir(self.folder + "/run", 0o700)
        self.connection = None

    def parley(self, *arguments):
        return subprocess.run([self.programs + "/parley", *arguments], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def public_url(self):
        """Of the frontend that has a host port, from the twin itself; None as long as there is none."""
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(self.home + "/twin/sock")
                lines = asked.makefile("rw")
                lines.readline()
                lines.write('{"id":1,"verb":"list"}\n')
                lines.flush()
                resources = json.loads(lines.readline())["resources"]
            except (OSError, ValueError, KeyError):
                return None
        urls = [r["status"].get("host_url") or "" for r in resources]
        return next((urllib.parse.urlsplit(url) for url in urls if url.startswith("https:")), None)

    def answers(self, url):
        """Asked on one connection as long as it lasts: a handshake for each question would take a third of a core
        from what is measured."""
        try:
            if not self.connection:
                context = ssl.create_default_context(cafile=self.home + "/twin/authority/ca.crt")
                self.connection = http.client.HTTPConnection(url.hostname, url.port)
                raw = socket.create_connection(("127.0.0.1", url.port), 2)
                self.connection.sock = context.wrap_socket(raw, server_hostname=url.hostname)
            self.connection.request("GET", "/")
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.will_close:
                self.hang_up()
            return b'"rows":' in text
        except (OSError, http.client.HTTPException):
            self.hang_up()
            return False

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def wait_for_answer(self, start):
        """Asks as soon as the host port is known, until web, app and database have answered. It starts no program
        for that: on two cores each would take from what is measured."""
        url = None
        while time.monotonic() - start < 120:
            url = url or self.public_url()
            if url and self.answers(url):
                return time.monotonic() - start
            time.sleep(0.01)
        raise RuntimeError("no answer within two minutes")

    def steps(self, began):
        """When each step was done, since the command was given."""
        runs = json.loads(self.parley("run", "list", "--json").stdout)
        journal = json.loads(self.parley("run", "show", runs[-1]["id"], "--json").stdout)["journal"]
        ends = {row["address"]: row["time"] / 1e6 - began for row in journal if row["kind"] == "result"}
        return {"  run began": min(row["time"] for row in journal) / 1e6 - began,
                **{"  done: " + name: ends[name] for name in SHOWN}}

    def down(self):
        """Until its lock is free: then nothing of it is left but its folder."""
        start = time.monotonic()
        self.parley("twin", "down")
        with open(self.home + "/twin/lock", "r+b") as lock:
            while True:
                try:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return time.monotonic() - start
                except OSError:
                    time.sleep(0.001)

    def measure(self):
        began, start = time.time(), time.monotonic()
        up = subprocess.Popen([self.programs + "/parley", "up", EXAMPLE, "--yes"], env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            first = self.wait_for_answer(start)
            output = up.communicate()[0]
            if up.returncode != 0:
                raise RuntimeError(output)
            return {"first answer": first, "command returned": time.monotonic() - start, **self.steps(began)}
        finally:
            self.hang_up()
            up.kill()

    def wait_for_spares(self):
        """Until the cache is whole again: what was taken from it is made anew some seconds after the last change."""
        cache = self.environment["PARLEY_CACHE"]
        while cache and len(glob.glob(cache + "/postgresql-*/spare-*/data")) < MEMBERS:
            time.sleep(0.05)

    def keep_template(self):
        self.measure()
        self.wait_for_spares()
        self.down()


class Beside:
    """The script, with or without data that initdb had made before."""

    def __init__(self, source, folder, template):
        self.folder = tempfile.mkdtemp(dir=folder)
        os.chmod(self.folder, 0o755)
        self.state = self.folder + "/s"
        shutil.copytree(source, self.folder + "/t")
        self.environment = dict(os.environ, ST=self.state, SYNC="1", ROOTLESS="0" if os.geteuid() == 0 else "1")
        if template:
            self.environment["TPL"] = template

    def script(self, what):
        return subprocess.run(["bash", "twin.sh", what], cwd=self.folder + "/t", env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def measure(self):
        output = self.script("up").stdout
        timing = dict(re.findall(r"^(\d+) ms  (.*)$", output, re.MULTILINE)[::1] and
                      [(what, int(ms) / 1000) for ms, what in re.findall(r"^(\d+) ms  (.*)$", output, re.MULTILINE)])
        first = [seconds for what, seconds in timing.items() if what.startswith("FIRST HTTPS")]
        if not first:
            raise RuntimeError(output)
        shown = {"  done: " + what: seconds for what, seconds in timing.items() if not what.startswith("FIRST HTTPS")}
        return {"first answer": first[0], **shown}

    def wait_for_spares(self):
        """It has none."""

    def down(self):
        start = time.monotonic()
        self.script("kill")
        return time.monotonic() - start


def copy_programs(build):
    programs = tempfile.mkdtemp(prefix="pb-", dir="/tmp")
    os.chmod(programs, 0o755)
    for name in ("parley", "parley-twin"):
        shutil.copy(os.path.join(build, name), programs)
    return programs


def become_ordinary(programs):
    os.chown(programs, ORDINARY_USER, ORDINARY_USER)
    os.setgroups([])
    os.setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
    os.setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)


def report(title, figures):
    print(f"{title}\n  {'seconds':34} {'minimum':>8} {'median':>8} {'maximum':>8}")
    for name, seconds in figures.items():
        print(f"  {name:34} {min(seconds):8.3f} {statistics.median(seconds):8.3f} {max(seconds):8.3f}")


def make_template(folder):
    """For the script, as it was measured with: what initdb leaves, owned by who runs the server."""
    initdb = sorted(os.path.join("/usr/lib/postgresql", v, "bin/initdb") for v in os.listdir("/usr/lib/postgresql"))[-1]
    template = os.path.join(folder, "template")
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    subprocess.run(as_user + [initdb, "-N", "-D", template, "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8"],
                   check=True, capture_output=True)
    return template


def take_turns(kinds, n_runs):
    results = {title: {} for title in kinds}
    loads = []
    for _ in range(n_runs):
        for title, make in kinds.items():
            run = make()
            try:
                figures = run.measure()
                run.wait_for_spares()
            finally:
                figures_down = run.down()
            time.sleep(REST)
            for name, seconds in {**figures, "ended": figures_down}.items():
                results[title].setdefault(name, []).append(seconds)
            loads.append(os.getloadavg()[0])
    return results, loads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--as-user", action="store_true")
    parser.add_argument("--beside")
    options = parser.parse_args()
    programs = copy_programs(options.build)
    if options.as_user:
        become_ordinary(programs)
    folder = tempfile.mkdtemp(prefix="pb-", dir="/tmp")
    os.chmod(folder, 0o777)
    cache = os.path.join(folder, "cache")
    os.mkdir(cache, 0o700)
    Run(programs, folder, cache).keep_template()
    kinds = {"parley, no template": lambda: Run(programs, folder, ""),
             "parley, template": lambda: Run(programs, folder, cache)}
    if options.beside:
        template = make_template(folder)
        kinds["script, no template"] = lambda: Beside(options.beside, folder, None)
        kinds["script, template"] = lambda: Beside(options.beside, folder, template)
    try:
        results, loads = take_turns(kinds, options.runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(programs, ignore_errors=True)
    user = "ordinary user" if os.geteuid() else "root"
    print(f"{options.runs} runs of each as {user}, {os.cpu_count()} cores, load average {min(loads):.1f} to {max(loads):.1f}")
    for title, figures in results.items():
        report(title, figures)


if __name__ == "__main__":
    main()
