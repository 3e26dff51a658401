#!/usr/bin/env python3
"""What a twin that stands takes for what happens to it: one more instance, a primary that dies, load.

    bench/twin/standing.py [BUILD-FOLDER] [--runs N] [--seconds N] [--as-user]

Of examples/shophub.yaml without its limit of requests, with the database taken from the cache:

- network: 12 namespaces, 5 bridges and the links between, asked of a twin that has nothing, all at once, until
  the last answer (so the manifest's syncs are in it)
- one more instance: from the moment the run hands the change to the twin until the new instance has answered a
  request that came through the balancer
- a primary that is killed under 4 clients, and a replica promoted by command: the longest time in which no
  request through web, app and database was answered; each of them is counted in the database, and that is
  confirmed by a replica
- load: requests a second through all tiers, by wrk where it is installed, on the same processors; an instance
  counts those that wait together by one commit

Nothing is asserted: targets are compared by people.
"""
import argparse
import json
import os
import shutil
import signal
import ssl
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import run as first
from run import EXAMPLE, Run

N_CLIENTS = 4
CONNECTIONS = 64
NETWORKS = {"one": 3, "two": 3, "three": 3, "four": 1, "five": 1}  # hosts of each; the router is the twelfth


class Socket:
    """The twin's own door."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.n_sent = 0

    def send(self, verb, **fields):
        self.n_sent += 1
        self.socket.sendall(json.dumps({"id": self.n_sent, "verb": verb, **fields}).encode() + b"\n")

    def answer(self):
        answer = json.loads(self.lines.readline())
        if not answer["ok"]:
            raise RuntimeError(answer)
        return answer

    def ask(self, verb, **fields):
        self.send(verb, **fields)
        return self.answer()


def put(twin, type_name, name, spec, reference=None):
    references = {reference: [f"uid-{spec[reference]}"]} if reference else {}
    twin.send("put", resource={"uid": f"uid-{name}", "name": name, "type": type_name, "spec": spec,
                               "references": references})


def measure_network(programs, folder):
    """Seconds until the last of them is answered."""
    own = tempfile.mkdtemp(dir=folder)
    supervisor = subprocess.Popen([programs + "/parley-twin", "supervise", "--state", own + "/state", "--socket", own + "/sock"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        supervisor.stdout.readline()
        twin = Socket(own + "/sock")
        start = time.monotonic()
        for i, name in enumerate(NETWORKS):
            put(twin, "opnsense:network:vlan", name, {"tag": i + 1, "subnet": f"10.6{i}.0.0/24"})
        for name, count in NETWORKS.items():
            put(twin, "aws:ec2:instances", "host-" + name, {"instances": count, "subnet": name}, "subnet")
        for _ in range(2 * len(NETWORKS)):
            twin.answer()
        seconds = time.monotonic() - start
        if len(twin.ask("status")["hosts"]) != sum(NETWORKS.values()) + 1:
            raise RuntimeError("not all hosts are there")
        return seconds
    finally:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        supervisor.stdout.close()


class Client:
    """One connection, which is made anew when it ends; who answered and when."""

    def __init__(self, run, url):
        self.url = url
        self.context = ssl.create_default_context(cafile=run.home + "/twin/authority/ca.crt")
        self.answers = []
        self.is_ending = False
        self.connection = None

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.url.port), 5)
        self.connection = first.http.client.HTTPSConnection(self.url.hostname, self.url.port)
        self.connection.sock = self.context.wrap_socket(raw, server_hostname=self.url.hostname)

    def ask(self):
        """The answer of whom it was, or None."""
        try:
            if not self.connection:
                self.connect()
            self.connection.request("GET", "/")
            answer = json.loads(self.connection.getresponse().read())
            return answer if answer.get("upstream", {}).get("database", {}).get("rows") else None
        except (OSError, ValueError, first.http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            return None

    def go_on(self):
        while not self.is_ending:
            answer = self.ask()
            if answer:
                self.answers.append(time.monotonic())
            else:
                time.sleep(0.002)

    def close(self):
        if self.connection:
            self.connection.close()


class Standing(Run):
    """A twin of the example, without its limit of requests and with so many instances of the web tier."""

    def __init__(self, programs, folder, cache):
        super().__init__(programs, folder, cache)
        self.document = self.folder + "/shophub.yaml"
        self.write(2)

    def write(self, n_web):
        with open(EXAMPLE) as example, open(self.document, "w") as document:
            for line in example:
                if "rateLimit" not in line:
                    document.write(line.replace("min: 2", f"min: {n_web}"))

    def up(self):
        done = self.parley("up", self.document, "--yes")
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        self.url = self.public_url()

    def intent_of(self, name):
        """When the newest run handed it to the twin, by the wall clock."""
        runs = json.loads(self.parley("run", "list", "--json").stdout)
        journal = json.loads(self.parley("run", "show", runs[0]["id"], "--json").stdout)["journal"]
        return next(row["time"] / 1e6 for row in journal if row["kind"] == "intent" and row["address"] == name)

    def measure_scaling(self):
        """Seconds from the change of the group to the first answer of web-asg-2."""
        self.write(3)
        changing = threading.Thread(target=self.up)
        client = Client(self, self.url)
        changing.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            client.close()
            client.connection = None  # a balancer keeps a connection's requests at one server
            answer = client.ask()
            if answer and answer.get("name") == "web-asg-2":
                break
        answered = time.time()
        changing.join()
        client.close()
        return answered - self.intent_of("web-asg")

    def measure_failover(self):
        """The longest time without an answer, and how long the command took."""
        twin = Socket(self.home + "/twin/sock")
        store = next(r for r in twin.ask("list")["resources"] if r["name"] == "shophub-db")
        primary = store["status"]["primary"]
        replica = next(m["name"] for m in store["status"]["members"] if m["name"] != primary)
        clients = [Client(self, self.url) for _ in range(N_CLIENTS)]
        threads = [threading.Thread(target=client.go_on) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(1)
        subprocess.run([self.programs + "/parley-twin", "exec", "--socket", self.home + "/twin/sock", primary, "pkill",
                        "-KILL", "-o", "-x", "postgres"], check=True)
        start = time.monotonic()
        twin.ask("act", uid=store["uid"], action="promote", member=replica)
        took = time.monotonic() - start
        time.sleep(1)
        for client in clients:
            client.is_ending = True
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        times = sorted(when for client in clients for when in client.answers)
        return max(b - a for a, b in zip(times, times[1:])), took

    def measure_load(self, seconds):
        """Requests a second of wrk; None without it."""
        if not shutil.which("wrk"):
            return None
        done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"https://127.0.0.1:{self.url.port}/"],
                              text=True, capture_output=True, check=True)
        if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
            raise RuntimeError(done.stdout)
        return float(done.stdout.split("Requests/sec:")[1].split()[0])


def measure_all(standing, seconds, results):
    standing.up()
    rate = standing.measure_load(seconds)
    if rate:
        results.setdefault("requests a second through all tiers", []).append(rate)
    results.setdefault("one more instance, s", []).append(standing.measure_scaling())
    gap, took = standing.measure_failover()
    results.setdefault("failover: longest time without an answer, s", []).append(gap)
    results.setdefault("failover: promotion by command, s", []).append(took)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--as-user", action="store_true")
    options = parser.parse_args()
    programs = first.copy_programs(options.build)
    if options.as_user:
        first.become_ordinary(programs)
    folder = tempfile.mkdtemp(prefix="pb-", dir="/tmp")
    os.chmod(folder, 0o777)
    cache = os.path.join(folder, "cache")
    os.mkdir(cache, 0o700)
    results, loads = {}, []
    try:
        for _ in range(options.runs):
            results.setdefault("12 namespaces, s", []).append(measure_network(programs, folder))
            time.sleep(first.REST)
            standing = Standing(programs, folder, cache)
            try:
                measure_all(standing, options.seconds, results)
            finally:
                results.setdefault("ended, s", []).append(standing.down())
            loads.append(os.getloadavg()[0])
            time.sleep(first.REST)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(programs, ignore_errors=True)
    user = "ordinary user" if os.geteuid() else "root"
    print(f"{options.runs} runs as {user}, {os.cpu_count()} cores, load average {min(loads):.1f} to {max(loads):.1f}")
    print(f"  {'':44} {'minimum':>9} {'median':>9} {'maximum':>9}")
    for name, values in results.items():
        print(f"  {name:44} {min(values):9.3f} {statistics.median(values):9.3f} {max(values):9.3f}")


if __name__ == "__main__":
    sys.exit(main())
