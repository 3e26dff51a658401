#!/usr/bin/env python3
"""A whole platform on the twin: three tiers, replication, limits, scaling, monitoring. Prints TAP."""

import encodings.idna  # before this process may no longer read where Python lies
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "twin"))
import twinlab
from twinlab import Twin, wait_until

TESTS = []
LIMIT = 200


def test(function):
    TESTS.append(function)
    return function


def networks(twin):
    for tag, (name, subnet) in enumerate([("front", "10.30.0.0/24"), ("middle", "10.31.0.0/24"),
                                          ("data", "10.32.0.0/24"), ("watch", "10.33.0.0/24")], 10):
        twin.vlan(name, subnet, tag)
    twin.rule("in", "0.0.0.0/0", ("front",), [8443], rateLimit=f"{LIMIT}/hour")
    twin.rule("front-middle", ("front",), ("middle",), [7000])
    twin.rule("middle-data", ("middle",), ("data",), [5433])
    twin.rule("watch-front", ("watch",), ("front",), [7001, 8404])
    twin.rule("watch-middle", ("watch",), ("middle",), [7002, 8404])


def build(twin):
    """Everything that the tests need; the names are nobody's."""
    twin.start()
    networks(twin)
    made = twin.made
    made("aws:acm:certificate", "cert", {"domains": ["shop.example", "www.shop.example"]})
    made("aws:rds:cluster", "store", {"engine": "postgres", "version": "14", "instances": 2,
         "subnet": "data", "port": 5433, "backup": True}, {"subnet": "data"})
    made("aws:autoscaling:group", "fronts", {"min": 2, "max": 5, "subnet": "front"},
         {"subnet": "front"})
    made("aws:ec2:instances", "middles", {"instances": 2, "subnet": "middle"},
         {"subnet": "middle"})
    made("opnsense:haproxy:backend", "front-pool", {"balance": "leastconn", "port": 7001,
         "healthCheck": "/well"}, {"servers": "fronts"})
    made("opnsense:haproxy:backend", "middle-pool", {"balance": "roundrobin", "port": 7002,
         "healthCheck": "/api/well"}, {"servers": "middles"})
    made("opnsense:haproxy:frontend", "middle-door", {"port": 7000},
         {"network": "middle", "backend": "middle-pool"})
    made("opnsense:haproxy:frontend", "front-door", {"port": 8443},
         {"network": "front", "backend": "front-pool", "certificate": "cert"})
    made("docker:compose:stack", "stack", {"services": {
        "front": {"image": "shop/front:1", "port": 7001, "healthCheck": "/well"},
        "middle": {"image": "shop/middle:1", "port": 7002, "healthCheck": "/api/well"}}},
        {"services.front.hosts": "fronts", "services.front.upstream": "middle-door",
         "services.middle.hosts": "middles", "services.middle.database": "store"})
    return twin


def monitor(twin):
    twin.made("k8s:configmap:alerts", "rules", {
        "rules": [{"name": "HighErrorRate", "expr": "error_rate > 0.05", "severity": "critical"}],
        "recordingRules": [{"name": "error_rate", "expr": "sum(rate(haproxy_frontend_http_responses"
            "_total{code=\"5xx\"}[1m])) / clamp_min(sum(rate(haproxy_frontend_http_responses_total"
            "[1m])), 1)"}]})
    return twin.made("k8s:deployment:prometheus", "eyes",
                     {"scrapeInterval": "1s", "retention": "1d"},
                     {"network": "watch", "rules": "rules"})


class Client:
    """What a user's program does: through the host port, trusting the twin's authority."""

    def __init__(self, twin, host="shop.example"):
        self.port = twin.get("uid-front-door")["status"]["host_port"]
        self.host = host
        self.context = ssl.create_default_context(cafile=twin.state / "authority" / "ca.crt")
        self.connection = None

    def must_get(self):
        status, body = self.get()
        assert status == 200, (status, body)
        return json.loads(body)

    def open(self):
        # Longer than the balancer waits for a server, so that what hangs is told as 504; a commit
        # waits for two disks.
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        self.connection = http.client.HTTPConnection(self.host)
        self.connection.sock = self.context.wrap_socket(raw, server_hostname=self.host)

    def get(self, keep=False, path="/"):
        """A kept connection that the server has closed meanwhile is replaced, as browsers do."""
        is_old = bool(self.connection and self.connection.sock)
        if not is_old:
            self.open()
        try:
            self.connection.request("GET", path)
            answer = self.connection.getresponse()
            status, body = answer.status, answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if not is_old:
                raise
            return self.get(keep, path)
        if not keep:
            self.close()
        return status, body

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


def conninfo(twin, **changes):
    text = (twin.state / "access" / "uid-store.access" / "conninfo").read_text().split()
    fields = dict(field.split("=", 1) for field in text)
    return " ".join(f"{k}={v}" for k, v in {**fields, **changes}.items())


def query(twin, statement, **changes):
    done = twin.run("middles-0", "psql", "-XqAt", conninfo(twin, **changes), "-c", statement)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@test
def a_request_passes_all_tiers_and_is_counted_on_both_databases():
    with Twin() as twin:
        build(twin)
        for host in "shop.example", "www.shop.example":
            status, body = Client(twin, host).get()
            assert status == 200, body
            answer = json.loads(body)
            assert answer["tier"] == "front" and answer["upstream"]["tier"] == "middle", answer
        visits = answer["upstream"]["database"]["visits"]
        assert visits == 2, answer
        store = twin.get("uid-store")
        assert store["status"]["state"] == "ready", store
        replica = [m for m in store["status"]["members"] if m["role"] == "replica"][0]
        assert replica["replication"] == "streaming" and replica["synchronous"] == "yes", replica
        assert query(twin, "select sum(visits) from workload_visits") == "2"
        assert query(twin, "select pg_is_in_recovery()", hostaddr=replica["address"]) == "t"
        assert wait_until(lambda: query(twin, "select sum(visits) from workload_visits",
                                        hostaddr=replica["address"]) == "2")
        for uid in "uid-stack", "uid-front-door", "uid-front-pool", "uid-middle-pool", "uid-cert":
            assert twin.get(uid)["status"]["state"] == "ready", twin.get(uid)
        wrong = conninfo(twin, password="wrong")
        assert twin.run("middles-0", "psql", "-X", wrong, "-c", "select 1").returncode != 0
        assert twin.run("fronts-0", "psql", "-X", conninfo(twin), "-c", "select 1").returncode != 0


@test
def a_commit_waits_for_a_replica_and_status_says_so():
    with Twin() as twin:
        build(twin)
        pid = int((twin.state / "database" / "store-1" / "data" / "postmaster.pid").read_text()
                  .split()[0])
        stopped = twin.run("store-1", "kill", "-STOP", str(pid))
        assert stopped.returncode == 0, stopped.stderr
        # A stopped postmaster still streams: its children do that.
        twin.run("store-1", "pkill", "-KILL", "-f", "walreceiver")
        assert wait_until(lambda: twin.get("uid-store")["status"]["state"] == "degraded", 15)
        done = twin.run("middles-0", "timeout", "1", "psql", "-XqAt", conninfo(twin), "-c",
                        "insert into workload_visits values ('x', 1)")
        assert done.returncode == 124, done
        assert twin.run("store-1", "kill", "-CONT", str(pid)).returncode == 0
        assert wait_until(lambda: twin.get("uid-store")["status"]["state"] == "ready", 15)
        Client(twin).must_get()


@test
def request_n_plus_1_of_the_host_port_is_refused():
    with Twin() as twin:
        build(twin)
        client = Client(twin)
        codes = [client.get(keep=True)[0] for _ in range(LIMIT + 1)]
        assert codes == [200] * LIMIT + [429], codes
        client.close()


@test
def scaling_and_the_death_of_an_instance_lose_no_request():
    with Twin() as twin:
        build(twin)
        twin.rule("in", "0.0.0.0/0", ("front",), [8443])
        codes, ends = [], threading.Event()

        def ask():
            client = Client(twin)
            while not ends.is_set():
                codes.append(client.get(keep=True)[0])
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        for desired in 5, 2, 3:
            twin.made("aws:autoscaling:group", "fronts",
                      {"min": 2, "max": 5, "desired": desired, "subnet": "front"},
                      {"subnet": "front"})
            assert wait_until(lambda: twin.get("uid-front-pool")["status"]["up"] == desired, 30), \
                twin.get("uid-front-pool")  # a server counts once it was checked
        killed = twin.run("fronts-0", "pkill", "-KILL", "-f", "name fronts-0")
        assert killed.returncode == 0, killed
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] != "ready")
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready")
        enough = wait_until(lambda: len(codes) > 50 or set(codes) > {200}, 60)
        ends.set()
        for asker in askers:
            asker.join()
        print(f"# {len(codes)} requests")
        assert enough and set(codes) == {200}, {c: codes.count(c) for c in set(codes)}


@test
def monitoring_sees_every_target_and_a_test_alert_arrives():
    with Twin() as twin:
        build(twin)
        answer = monitor(twin)
        assert answer["status"]["test_alert_arrived"], answer
        # Itself, Alertmanager, the supervisor, two balancers, four workloads; with what is installed the machine, and
        # who tries the doors of both balancers.
        n_targets = 9 + bool(shutil.which("prometheus-node-exporter")) + \
            3 * bool(shutil.which("prometheus-blackbox-exporter"))
        assert wait_until(lambda: twin.get("uid-eyes")["status"]["targets"] ==
                          {"up": n_targets, "down": 0, "unknown": 0}, 20), twin.get("uid-eyes")
        assert wait_until(lambda: twin.get("uid-eyes")["status"]["rules"]["loaded"] == 2)
        assert twin.get("uid-eyes")["status"]["state"] == "ready"


@test
def a_killed_twin_comes_back_with_its_data_and_its_authority():
    with Twin() as twin:
        build(twin)
        Client(twin).must_get()
        authority = (twin.state / "authority" / "ca.crt").read_text()
        os.kill(twin.process.pid, signal.SIGKILL)
        twin.process.wait()
        twin.process.stdout.close()
        twin.start()
        twin.ask("commit")
        for uid in "uid-store", "uid-stack", "uid-middle-pool", "uid-front-pool", "uid-front-door":
            assert wait_until(lambda: twin.get(uid)["status"]["state"] == "ready", 60), twin.get(uid)
        status, body = Client(twin).get()
        assert status == 200 and json.loads(body)["upstream"]["database"]["visits"] == 2, body
        assert (twin.state / "authority" / "ca.crt").read_text() == authority


@test
def a_replica_can_be_added_and_a_cluster_destroyed():
    with Twin() as twin:
        build(twin)

        def cluster(instances):
            twin.made("aws:rds:cluster", "store", {"engine": "postgres", "version": "14",
                      "instances": instances, "subnet": "data", "port": 5433}, {"subnet": "data"})
            return twin.get("uid-store")["status"]
        status = cluster(3)
        assert status["state"] == "ready" and len(status["members"]) == 3, status
        Client(twin).must_get()
        status = cluster(1)
        assert status["state"] == "ready" and len(status["members"]) == 1, status
        Client(twin).must_get()
        assert not (twin.state / "database" / "store-2").exists()
        for name in "front-door", "front-pool", "stack", "middle-door", "middle-pool", "store":
            answer = twin.ask("delete", uid=f"uid-{name}")
            assert answer["ok"], answer
        assert not list((twin.state / "database").glob("store*"))
        assert not list((twin.state / "secrets").iterdir())


@test
def nothing_that_a_user_can_see_holds_a_secret():
    with Twin() as twin:
        build(twin)
        monitor(twin)
        secrets = [path.read_text().strip() for path in (twin.state / "secrets").iterdir()
                   if path.suffix in (".application", ".replication")]
        assert len(secrets) == 2 and all(len(secret) == 48 for secret in secrets)
        told = json.dumps(twin.ask("list")) + twin.log()
        told += "".join(path.read_text(errors="replace")
                        for path in (twin.state / "logs").iterdir())
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    told += pathlib.Path(f"/proc/{entry}/cmdline").read_text(errors="replace")
                except OSError:
                    pass
        assert "PRIVATE KEY" not in told
        assert not any(secret in told for secret in secrets)
        for path in twinlab.files_below(twin.state):
            try:
                content = path.read_bytes() if path.is_file() and path.stat().st_size < 100000 else b""
            except FileNotFoundError:
                continue  # of the database, which goes on
            if b"PRIVATE KEY" in content or any(s.encode() in content for s in secrets):
                assert path.stat().st_mode & 0o77 == 0, path


if __name__ == "__main__":
    twinlab.run(TESTS)
