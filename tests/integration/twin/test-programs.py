#!/usr/bin/env python3
"""The programs that run in the twin's hosts: their rights, their deaths, their ends. Prints TAP."""

import contextlib
import datetime
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, namespaces_of, wait_until

TESTS = []
GET = ("import urllib.request as u\n"
       "try:\n print(u.urlopen('http://%s:%d/health', timeout=2).status)\n"
       "except Exception as e:\n print(e)")


def test(function):
    TESTS.append(function)
    return function


def build(twin):
    """Two hosts with a workload behind one balancer, open to the world."""
    twin.start()
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances("s", "shop", 2)
    twin.made("opnsense:haproxy:backend", "b",
              {"balance": "roundrobin", "healthCheck": "/health", "servers": ["s"], "port": 80},
              {"servers": "s"})
    twin.made("opnsense:haproxy:frontend", "f", {"network": "shop", "port": 8080, "backend": "b"},
              {"network": "shop", "backend": "b"})
    stack(twin)
    twin.rule("in", "any", ("shop",), 8080)
    assert wait_until(lambda: answers(twin), 10)
    return twin


def stack(twin):
    twin.made("docker:compose:stack", "stack", {"services": {"shop": {
        "image": "shop", "hosts": "s", "port": 80, "healthCheck": "/health"}}},
        {"services.shop.hosts": "s"})


def answers(twin):
    address = twin.hosts()["f"]["address"]
    return twin.run("outside", twinlab.PYTHON, "-c", GET % (address, 8080)).stdout == "200\n"


def family(twin):
    """{pid: status fields} of all that the supervisor's inner half has started."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                with open(f"/proc/{entry}/status") as status:
                    found[int(entry)] = dict(line.rstrip("\n").split(":\t", 1)
                                             for line in status if ":\t" in line)
        except OSError:
            pass
    kin, size = {twin.status()["pid"]}, 0
    while len(kin) > size:
        size = len(kin)
        kin |= {pid for pid, status in found.items() if int(status["PPid"]) in kin}
    return {pid: found[pid] for pid in kin if pid in found and pid != twin.status()["pid"]}


def argument(pid, index):
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/cmdline") as line:
        return line.read().split("\0")[index]
    return ""


def is_keeper(pid):
    """Whether it makes cages, or is the first process of one."""
    try:
        with open(f"/proc/{pid}/cmdline") as line:
            return line.read().split("\0")[1:2] == ["cages"]
    except OSError:
        return False


def programs(twin):
    """{pid: status fields} of what runs in the twin's cages."""
    return {pid: status for pid, status in family(twin).items() if not is_keeper(pid)}


@test
def programs_have_no_rights_and_only_their_own_descriptors():
    with Twin() as twin:
        build(twin)
        found = programs(twin)
        assert len(found) >= 3, found
        for pid, status in found.items():
            for field in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
                assert int(status[field], 16) == 0, (pid, status)
            assert status["NoNewPrivs"] == "1", status
            assert "0" not in status["Uid"].split(), status
            opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            assert not [o for o in opened if "manifest" in o or "/lock" in o or "/ns/" in o], opened
            assert os.stat(f"/proc/{pid}/ns/net").st_ino != namespaces_of(twin.status()["pid"])["net"]


@test
def programs_that_are_killed_come_back():
    with Twin() as twin:
        build(twin)
        for _ in range(2):
            before = programs(twin)
            for pid in before:
                # One may have gone with its parent.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert wait_until(lambda: len(programs(twin)) >= len(before) and
                              not set(programs(twin)) & set(before)), programs(twin)
            assert wait_until(lambda: answers(twin), 10)
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready"), \
            twin.get("uid-stack")
        for uid, least in ("uid-stack", 4), ("uid-f", 2):
            status = twin.get(uid)["status"]
            assert status["restarts"] >= least, status
        one = twin.get("uid-stack")["status"]["services"]["shop"]["instances"][0]
        assert one["restarts"] >= 2, one


# Takes a port as soon as it is free, and keeps it until its stdin ends.
HOLD = ("import socket, sys\n"
        "while True:\n"
        "    try:\n"
        "        held = socket.create_server(('', int(sys.argv[1])))\n"
        "        break\n"
        "    except OSError:\n"
        "        pass\n"
        "print('held', flush=True); sys.stdin.read()")


def events_of(twin, program):
    lines = (twin.state / "events.json").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["program"] == program]


@test
def what_cannot_start_is_tried_more_rarely_each_time_and_runs_once_it_can():
    with Twin() as twin:
        build(twin)
        holder = subprocess.Popen(twin.command("f", twinlab.PYTHON, "-c", HOLD, "8080"), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        twin.helpers.append(holder)

        def is_held():
            twin.run("f", "pkill", "-KILL", "-x", "haproxy")
            return select.select([holder.stdout], [], [], 0.05)[0]
        assert wait_until(is_held, 20) and holder.stdout.readline() == b"held\n"
        # Each attempt ends at once. With these pauses between them there is next to nothing to do.
        assert wait_until(lambda: len(events_of(twin, "f")) >= 14, 120), events_of(twin, "f")
        times = [datetime.datetime.fromisoformat(event["time"].rstrip("Z")) for event in events_of(twin, "f")]
        pauses = [(back - end).total_seconds() for end, back in zip(times[::2], times[1::2])]
        assert all(pause >= 0.1 * 2 ** i for i, pause in enumerate(pauses[:7])), pauses
        # What it said itself is the reason that status gives; what else runs there is as it was.
        assert wait_until(lambda: twin.get("uid-f")["status"]["state"] == "failed", 20), twin.get("uid-f")
        status = twin.get("uid-f")["status"]
        assert "f ended with status 1; it logged last: " in status["problem"], status
        assert status["restarts"] >= 6 and "restarts" not in twin.get("uid-stack")["status"], status
        assert not answers(twin)
        holder.stdin.close()
        holder.wait(10)
        assert wait_until(lambda: answers(twin), 60), twin.get("uid-f")
        assert wait_until(lambda: twin.get("uid-f")["status"]["state"] == "ready", 20), twin.get("uid-f")
        assert "problem" not in twin.get("uid-f")["status"], twin.get("uid-f")


@test
def a_limiter_that_ends_is_told_of_the_frontend_that_lets_nobody_in_without_it():
    with Twin() as twin:
        build(twin)
        twin.rule("in", "any", ("shop",), 8080, rateLimit="1000/minute")
        limiters = [pid for pid, status in programs(twin).items() if argument(pid, 1) == "limiter"]
        assert len(limiters) == 1, programs(twin)
        os.kill(limiters[0], signal.SIGKILL)
        assert wait_until(lambda: twin.get("uid-f")["status"].get("restarts") == 1, 20), twin.get("uid-f")
        assert wait_until(lambda: twin.get("uid-f")["status"]["state"] == "ready", 20), twin.get("uid-f")
        assert answers(twin)
        told = [event for event in map(json.loads, (twin.state / "events.json").read_text().splitlines())]
        assert [event["kind"] for event in told] == ["broke", "resumed"], told
        assert all(event["program"] == "limiter" and event["resources"] == ["uid-f"] for event in told), told
        # This is what the alerts about programs go by.
        hosts = {host["name"]: host["restarts"] for host in twin.ask("measure")["hosts"]}
        assert hosts["f"] == 1 and hosts["s-0"] == 0, hosts


@test
def what_keeps_programs_apart_comes_back_with_them():
    with Twin() as twin:
        build(twin)
        keepers = {pid: status["NSpid"].split() for pid, status in family(twin).items()
                   if is_keeper(pid)}
        depth = min(len(ids) for ids in keepers.values())
        first = [pid for pid, ids in keepers.items() if len(ids) > depth]
        maker = [pid for pid, ids in keepers.items() if len(ids) == depth]
        assert len(maker) == 1 and len(first) >= 3, keepers
        before = programs(twin)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: len(programs(twin)) >= len(before) and
                          not set(programs(twin)) & set(before)), programs(twin)
        assert wait_until(lambda: answers(twin), 10)
        os.kill(maker[0], signal.SIGKILL)
        twin.instances("s", "shop", 3)
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready", 10)
        assert len(programs(twin)) == len(before) + 1


@test
def a_stopped_program_is_seen_and_seen_again_when_it_goes_on():
    with Twin() as twin:
        build(twin)
        stopped = [pid for pid, s in programs(twin).items() if "haproxy" not in s["Name"]]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] != "ready", 15)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready", 15)


@test
def what_is_not_wanted_any_more_is_gone():
    with Twin() as twin:
        build(twin)
        assert twin.ask("delete", uid="uid-stack")["ok"]
        assert wait_until(lambda: all("haproxy" in s["Name"] for s in programs(twin).values())), \
            programs(twin)
        assert twin.ask("delete", uid="uid-f")["ok"]
        assert wait_until(lambda: not programs(twin)), programs(twin)
        assert "f" not in twin.hosts()
        stack(twin)
        assert len(programs(twin)) == 2


@test
def orphans_in_the_twin_are_reaped():
    with Twin() as twin:
        build(twin)
        done = twin.run("s-0", "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done")
        assert done.returncode == 0
        time.sleep(0.3)
        assert wait_until(lambda: not [s for s in programs(twin).values() if s["State"][0] == "Z"])


@test
def a_host_takes_those_along_who_entered_it():
    with Twin() as twin:
        build(twin)
        twin.instances("s", "shop", 3)
        twin.listen("s-2", [9090])
        before = len(programs(twin))
        twin.instances("s", "shop", 2)
        assert wait_until(lambda: len(programs(twin)) < before)
        assert twin.helpers[0].wait(5) != 0
        twin.instances("s", "shop", 3)
        address = twin.hosts()["s-2"]["address"]
        assert "refused" in twin.probe("s-0", [[address, 9090]]).values()


@test
def logs_lie_in_the_state_folder_for_their_owner_only():
    with Twin() as twin:
        build(twin)
        logs = list((twin.state / "logs").iterdir())
        assert len(logs) >= 3, logs
        assert all(log.stat().st_mode & 0o077 == 0 for log in logs)


if not shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
    twinlab.skip_all("haproxy is not installed")
twinlab.run(TESTS)
