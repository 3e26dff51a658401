#!/usr/bin/env python3
"""What can be seen of a platform that stands: logs, measurements, events. TAP."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform, twinlab

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def example(name):
    return (EXAMPLES / f"{name}.yaml").read_text()


def logged(platform, *words):
    """source -> lines of a log, in the order in which they are told."""
    told = [json.loads(line) for line in platform.parley("logs", *words, "--json").stdout.splitlines()]
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)
    found = {}
    for line in told:
        found.setdefault(line["source"], []).append(line["text"])
    return found


def has(found, source, text):
    return any(text in line for line in found.get(source, []))


@test
def logs_are_told_of_a_deployment_a_resource_and_an_instance_also_when_the_twin_is_down():
    with Platform(example("shophub")) as platform:
        platform.up()
        name = platform.name()
        for stops in False, True:
            if stops:
                platform.parley("twin", "down")
            found = logged(platform, name)
            assert {"web-frontend", "app-frontend", "shophub-db-0", "shophub-db-1"} <= set(found), set(found)
            assert has(found, "shophub-db-0", "ready to accept connections"), found
            database = logged(platform, "shophub-db")
            assert set(database) == {"shophub-db-0", "shophub-db-1"}, set(database)
            assert set(logged(platform, "shophub-db-1")) == {"shophub-db-1"}
            # A backend has no program of its own: what it does the balancer tells.
            assert set(logged(platform, "app-backend")) == {"app-frontend"}
            assert set(logged(platform, "web-asg")) == {"web-asg-0.web", "web-asg-1.web"}
            both = logged(platform, "shophub-stack")
            assert {source.split(".")[1] for source in both} == {"web", "app"} and len(both) == 5, set(both)
        platform.parley("logs", "shophub-dbx", code=1)


def busy_shophub():
    """ShopHub, measured each second."""
    text = example("shophub")
    assert "scrapeInterval: 30s" in text
    return text.replace("scrapeInterval: 30s", "scrapeInterval: 1s")


def series(platform, query):
    """What Prometheus answers: a list of (labels, number)."""
    address = platform.hosts()["monitoring"]["address"]
    target = f"http://{address}:9090/api/v1/query?" + urllib.parse.urlencode({"query": query})
    done = platform.run("monitoring", "curl", "-s", "--max-time", "10", target)
    answer = json.loads(done.stdout)
    assert answer["status"] == "success", answer
    return [(entry["metric"], float(entry["value"][1])) for entry in answer["data"]["result"]]


def numbers(platform, query, label):
    return {labels[label]: number for labels, number in series(platform, query)}


def ask_often(platform, times):
    address = platform.hosts()["web-frontend"]["address"]
    script = f'for i in $(seq {times}); do curl -sk --max-time 5 -o /dev/null https://{address}/; done'
    assert platform.run("outside", "sh", "-c", script, timeout=120).returncode == 0


def inner_pid(platform, host):
    """The machine's number of the program that runs on an instance."""
    # The twin has a namespace of processes of its own: its first process is the one that status names.
    namespace = os.readlink(f"/proc/{platform.twin_pid()}/ns/pid")
    network = os.readlink("/proc/self/ns/net")
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_text(errors="replace").split("\0")
            if "workload" in words and host in words and os.readlink(f"/proc/{entry}/ns/net") != network and \
                    belongs(entry, platform.twin_pid(), namespace):
                return int(entry)
        except OSError:
            pass
    return None


def belongs(entry, twin, namespace):
    """Whether a process is one of this twin: in its namespace of processes, or below its first process."""
    while int(entry) > 1:
        if int(entry) == twin or os.readlink(f"/proc/{entry}/ns/pid") == namespace:
            return True
        stat = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
        entry = stat.rsplit(")", 1)[1].split()[1]
    return False


@test
def what_instances_databases_and_certificates_are_like_are_series_of_prometheus():
    with Platform(busy_shophub()) as platform:
        platform.up()
        hosts = {"web-asg-0", "web-asg-1", "app-servers-0", "app-servers-1", "app-servers-2"}
        wait = twinlab.wait_until
        assert wait(lambda: hosts <= set(numbers(platform, "instance_cpu_seconds_total", "host")), 60)
        assert wait(lambda: numbers(platform, "http_answer_seconds_count", "host").keys() >= hosts, 60)
        before = sum(numbers(platform, 'instance_cpu_seconds_total{resource="app-servers"}', "host").values())

        # As targetCPU needs it: it grows with load, and never goes back.
        def has_grown():
            ask_often(platform, 100)
            return sum(numbers(platform, 'instance_cpu_seconds_total{resource="app-servers"}', "host").values()) > before
        assert wait(has_grown, 60)
        # Latency, as a quantile of what was answered just now.
        quantile = "histogram_quantile(0.95, sum(rate(http_answer_seconds_bucket[1m])) by (le))"
        assert wait(lambda: any(0 < number <= 5 for _, number in series(platform, quantile)), 60)
        assert wait(lambda: series(platform, 'rate(haproxy_frontend_http_responses_total{code="2xx"}[1m]) > 0'), 60)
        # A replica is measured: it lags by something that is not negative, in bytes and in seconds.
        for name in "database_replication_lag_bytes", "database_replication_lag_seconds":
            lag = numbers(platform, name, "host")
            assert set(lag) == {"shophub-db-1"} and lag["shophub-db-1"] >= 0, (name, lag)
        # Each server counts what the application does; only the primary is written to.
        assert wait(lambda: set(numbers(platform, "database_connections", "host")) == {"shophub-db-0", "shophub-db-1"}, 60)
        assert wait(lambda: numbers(platform, 'rate(database_commits_total[1m])', "host")["shophub-db-0"] > 0, 60)
        for name in "database_rollbacks_total", "database_deadlocks_total":
            assert numbers(platform, name, "host")["shophub-db-0"] >= 0, name
        left = numbers(platform, "certificate_expiry_timestamp_seconds - time()", "certificate")
        assert set(left) == {"shophub-cert"} and 0 < left["shophub-cert"] < 400 * 86400, left
        if shutil.which("prometheus-node-exporter"):
            assert wait(lambda: series(platform, "rate(node_cpu_seconds_total[1m])"), 60)
        if shutil.which("prometheus-blackbox-exporter"):
            doors = {"web-frontend": 1, "app-frontend": 1}
            assert wait(lambda: numbers(platform, "probe_success", "door") == doors, 60)
            left = numbers(platform, "probe_ssl_earliest_cert_expiry - time()", "door")
            assert set(left) == {"web-frontend"} and 0 < left["web-frontend"] < 400 * 86400, left
        memory = numbers(platform, "instance_memory_bytes", "host")
        assert all(memory[host] > 0 for host in hosts), memory


@test
def a_program_that_breaks_is_an_event_in_status_history_and_top():
    with Platform(busy_shophub()) as platform:
        platform.up()
        assert platform.answer("twin", "events") == []
        assert "Events:" not in platform.parley("history", platform.name()).stdout
        pid = inner_pid(platform, "web-asg-0")
        os.kill(pid, signal.SIGKILL)
        assert twinlab.wait_until(lambda: len(platform.answer("twin", "events")) >= 2, 60)
        broke, resumed = platform.answer("twin", "events")
        assert (broke["kind"], resumed["kind"]) == ("broke", "resumed"), (broke, resumed)
        assert broke["program"] == "web-asg-0.web" and broke["host"] == "web-asg-0", broke
        assert "signal 9" in broke["message"] and resumed["restarts"] == 1, (broke, resumed)
        for name in "web-asg", "shophub-stack", "web-asg-0", platform.name():
            assert platform.answer("twin", "events", name) == [broke, resumed], name
        assert platform.answer("twin", "events", "shophub-db") == []
        assert platform.answer("history", platform.name())["events"] == [broke, resumed]
        shown = platform.parley("history", platform.name()).stdout
        assert "web-asg-0.web" in shown.split("Events:")[1], shown
        assert twinlab.wait_until(lambda: inner_pid(platform, "web-asg-0") not in (None, pid), 60)
        top = {host["name"]: host for host in platform.answer("twin", "top")["hosts"]}
        assert top["web-asg-0"]["restarts"] == 1 and top["web-asg-1"]["restarts"] == 0, top
        # Told also when the twin is down; what it has is not known then.
        platform.parley("twin", "down")
        assert platform.answer("twin", "events", "web-asg-0") == [broke, resumed]
        assert "no twin runs" in platform.parley("twin", "top", code=1).stderr


def firing(platform):
    """The alerts that Alertmanager sent on and whose newest message is that they fire: (name, host)."""
    rows = platform.answer("status", platform.name())["resources"]
    alerts = next(row for row in rows if row["address"] == "monitoring")["status"]["alerts"]
    newest = {}
    for alert in alerts:
        assert (alert["severity"] == "none") == (alert["name"] == "TestAlert"), alert
        newest.setdefault((alert["name"], alert.get("host")), alert["status"])
    return {alert for alert, status in newest.items() if status == "firing" and alert[0] != "TestAlert"}


def restarts(platform, host):
    return numbers(platform, "instance_restarts_total", "host").get(host)


def status_of(platform, name):
    rows = platform.answer("status", platform.name())["resources"]
    return next(row for row in rows if row["address"] == name)["status"]


@test
def whatever_dies_is_started_again_and_is_an_event_a_status_and_an_alert():
    wait = twinlab.wait_until
    with Platform(busy_shophub()) as platform:
        platform.up()
        victims = [
            # host, how its program is found, its name in events and logs, its part, whose it is
            ("web-frontend", ["-x", "haproxy"], "web-frontend", None, "web-frontend"),
            ("shophub-db-1", ["-x", "postgres"], "shophub-db-1", "replica", "shophub-db"),
            ("shophub-db-0", ["-x", "postgres"], "shophub-db-0", "primary", "shophub-db"),
        ]
        if shutil.which("prometheus-node-exporter"):
            victims.append(("monitoring", ["-f", "prometheus-node-exporter"], "monitoring.node", None, "monitoring"))
        # Known from before its first end: what rises later is seen to rise.
        assert wait(lambda: all(restarts(platform, host) == 0 for host, *_ in victims), 60)
        assert wait(lambda: numbers(platform, "database_up", "role") == {"primary": 1, "replica": 1}, 60)
        assert not firing(platform), firing(platform)
        for host, how, *_ in victims:
            # The oldest is the one that the twin has started.
            assert platform.run(host, "pkill", "-KILL", "-o", *how).returncode == 0
        # One that ends again and again is paused for longer each time, and is worth another alert.
        for count in range(4):
            assert wait(lambda: inner_pid(platform, "web-asg-0"), 60)
            os.kill(inner_pid(platform, "web-asg-0"), signal.SIGKILL)
            assert wait(lambda: len(platform.answer("twin", "events", "web-asg-0")) == 2 * count + 2, 60), count
        times = [datetime.datetime.fromisoformat(event["time"].rstrip("Z"))
                 for event in platform.answer("twin", "events", "web-asg-0")]
        pauses = [(back - end).total_seconds() for end, back in zip(times[::2], times[1::2])]
        assert all(pause >= least for pause, least in zip(pauses, [0.1, 0.2, 0.4, 0.8])), pauses
        for host, _, program, role, resource in victims:
            assert wait(lambda: status_of(platform, resource)["state"] == "ready", 60), status_of(platform, resource)
            assert status_of(platform, resource)["restarts"] >= 1
            events = [event for event in platform.answer("twin", "events", resource) if event["program"] == program]
            assert [event["kind"] for event in events] == ["broke", "resumed"], events
            assert all(event.get("role") == role for event in events), events
        # The replica has not taken the primary's place, and the primary's end is worth an alert of its own.
        assert status_of(platform, "shophub-db")["primary"] == "shophub-db-0"
        wanted = {("ProgramEnded", host) for host, *_ in victims} | {
            ("PrimaryEnded", "shophub-db-0"), ("ProgramEnded", "web-asg-0"), ("InstanceRestarts", "web-asg-0")}
        assert wait(lambda: firing(platform) >= wanted, 60), firing(platform)
        assert {host for name, host in firing(platform) if name == "PrimaryEnded"} == {"shophub-db-0"}
        shown = platform.parley("status", platform.name()).stdout
        assert "alert PrimaryEnded of shophub-db-0 (critical)" in shown, shown
        assert "shophub-db: started again 2 times" in shown, shown
        assert "shophub-db-0, primary  " in platform.parley("history", platform.name()).stdout
        # Another one takes its place when somebody asks for it; that is no change of the document.
        platform.parley("act", platform.name(), "shophub-db", "promote", "shophub-db-1", code=3)
        platform.parley("act", platform.name(), "shophub-db", "promote", "shophub-db-1", "--yes")
        assert status_of(platform, "shophub-db")["primary"] == "shophub-db-1"
        # What cannot be rewound is copied anew, and that is told with the reason wherever one looks.
        log = platform.folder / "home" / "twin" / "database" / "shophub-db-0" / "data" / "pg_wal"
        for segment in log.glob("0*"):
            segment.unlink()
        platform.parley("act", platform.name(), "shophub-db", "rejoin", "shophub-db-0", "--yes")
        assert wait(lambda: status_of(platform, "shophub-db")["state"] == "ready", 60)
        copied = "copied anew from shophub-db-1, the primary: shophub-db-0.pg_rewind failed"
        assert copied in platform.parley("history", platform.name()).stdout
        assert copied in platform.parley("twin", "events", "shophub-db").stdout
        assert "shophub-db-0 was copied anew from its primary: shophub-db-0.pg_rewind failed" in (
            platform.parley("status", platform.name()).stdout)
        assert "pg_rewind: error: " in platform.parley("logs", "shophub-db-0").stdout
        assert platform.steps() == []


@test
def whoever_uses_a_platform_is_told_what_does_not_run_and_why():
    with Platform(busy_shophub()) as platform:
        platform.up()
        for host, how, line in (
                ("web-asg-0", ["-f", "workload"], "shophub-stack: web on web-asg-0 is pausing: web-asg-0.web was killed by signal 9"),
                ("shophub-db-1", ["-o", "-x", "postgres"], "shophub-db: shophub-db-1 is pausing: shophub-db-1 was killed by signal 9"),
                ("web-frontend", ["-o", "-x", "haproxy"], "web-frontend: web-frontend was killed by signal 9")):
            def is_told():
                platform.run(host, "pkill", "-KILL", *how)
                return line in platform.parley("status", platform.name()).stdout
            assert twinlab.wait_until(is_told, 60), (line, platform.parley("status", platform.name()).stdout)

        def is_well():
            shown = platform.parley("status", platform.name()).stdout
            return "is pausing" not in shown and "killed by signal" not in shown
        assert twinlab.wait_until(is_well, 60), platform.parley("status", platform.name()).stdout


# Each by its name in logs and events, and by what the kernel calls it.
SERVERS = {"monitoring.prometheus": "prometheus", "monitoring.alertmanager": "prometheus-aler"}
EXPORTERS = {"monitoring.node": "prometheus-node", "monitoring.blackbox": "prometheus-blac"}


def is_told_as_away(platform, name):
    """Kills it, where it runs, and tells whether status says so: to programs, and to people."""
    platform.run("monitoring", "pkill", "-KILL", "-x", {**SERVERS, **EXPORTERS}[name])
    status = status_of(platform, "monitoring")
    program = next(program for program in status["programs"] if program["name"] == name)
    shown = platform.parley("status", platform.name()).stdout
    return (program["state"] == "pausing" and program["problem"].startswith(f"{name} was killed by signal 9") and
            status["state"] == ("failed" if name in SERVERS else "degraded") and
            f"monitoring: {name} is pausing: {name} was killed by signal 9" in shown)


@test
def whatever_watches_is_started_again_too_and_is_told_while_it_is_away():
    wait = twinlab.wait_until
    with Platform(busy_shophub()) as platform:
        platform.up()
        watching = [*SERVERS, *(name for name, kernel in EXPORTERS.items()
                                if any(program.startswith(kernel) for program in programs_of(platform)))]
        for name in "node", "blackbox":
            assert f"monitoring.{name}" in watching or not shutil.which(f"prometheus-{name}-exporter"), watching
        assert wait(lambda: restarts(platform, "monitoring") == 0, 60)
        assert wait(lambda: status_of(platform, "monitoring")["state"] == "ready", 60), status_of(platform, "monitoring")
        # A pause that grows: whoever is killed again and again is away for long enough to be seen.
        for name in watching:
            assert wait(lambda: is_told_as_away(platform, name), 60), (name, status_of(platform, "monitoring"))
        assert wait(lambda: status_of(platform, "monitoring")["state"] == "ready", 120), status_of(platform, "monitoring")
        shown = platform.parley("history", platform.name()).stdout
        for program in status_of(platform, "monitoring")["programs"]:
            events = [event for event in platform.answer("twin", "events", "monitoring")
                      if event["program"] == program["name"]]
            assert [event["kind"] for event in events] == ["broke", "resumed"] * (len(events) // 2), events
            assert events and events[-1]["restarts"] == program["restarts"], (events, program)
            assert "signal 9" in events[0]["message"] and program["name"] in shown, (events, shown)
        # It watches again, what it knew is there, and its own end is worth an alert.
        assert wait(lambda: set(numbers(platform, "up", "job").values()) == {1}, 60), series(platform, "up")
        assert wait(lambda: ("ProgramEnded", "monitoring") in firing(platform), 120), firing(platform)


@test
def top_tells_what_each_instance_uses():
    with Platform(example("shophub")) as platform:
        platform.up()
        top = {host["name"]: host for host in platform.answer("twin", "top")["hosts"]}
        assert set(top) == set(platform.hosts()) - {"outside"}, set(top)
        for name, host in top.items():
            assert host["processes"] >= 1 and host["memory"] > 0 and host["cpu"] >= 0, host
            assert host["address"] == platform.hosts()[name]["address"], host
        # A balancer sends requests to these, and to no other host.
        assert {name for name, host in top.items() if host["requests"] is not None} == {
            "web-asg-0", "web-asg-1", "app-servers-0", "app-servers-1", "app-servers-2"}, top
        address = platform.hosts()["web-frontend"]["address"]
        load = subprocess.Popen(
            [platform.program(), "twin", "exec", "outside", "sh", "-c",
             f"while curl -sk --max-time 5 -o /dev/null https://{address}/; do :; done"],
            env=platform.environment(), stdin=subprocess.DEVNULL)
        try:
            def is_seen():
                hosts = platform.answer("twin", "top")["hosts"]
                return sum(host["requests"] or 0 for host in hosts if host["resource"] == "web-asg") > 0
            assert twinlab.wait_until(is_seen, 60)
        finally:
            load.kill()
            load.wait()
        lines = platform.parley("twin", "top").stdout.splitlines()
        assert len(lines) == len(top) + 1 and lines[0].split()[0] == "INSTANCE", lines
        assert "\033" not in "".join(lines)


def programs_of(platform):
    """Name of each program of the twin -> its nicenesses and its sessions, as the machine sees them."""
    namespace = os.readlink(f"/proc/{platform.twin_pid()}/ns/pid")
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_text(errors="replace").split("\0")
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            if words[0] and belongs(entry, platform.twin_pid(), namespace):
                nice, sessions = found.setdefault(os.path.basename(words[0].split()[0].rstrip(":")), (set(), set()))
                nice.add(int(stat[16]))
                sessions.add(stat[3])
        except OSError:
            pass
    return found


@test
def what_watches_gives_way_to_what_it_watches():
    with Platform(example("shophub")) as platform:
        platform.up()
        found = programs_of(platform)
        watching = {name for name in found if name.startswith("prometheus")}
        assert "prometheus" in watching and "haproxy" in found, found
        own = os.nice(0)
        for name in watching:
            assert found[name][0] == {max(own, 5)}, (name, found)
        assert found["haproxy"][0] == {own}, found
        # Linux weighs processes of different sessions without a look at their niceness (autogroups).
        assert found["prometheus"][1] == found["haproxy"][1], found


platformlab.run(TESTS)
