#!/usr/bin/env python3
"""Hosts that are taken out of service and put back, and what becomes of that. TAP."""

import pathlib
import socket
import sys

sys.dont_write_bytecode = True
import apartlab
import twinlab
from twinlab import Twin, wait_until

PATIENCE = 30
FETCH = """
import json, sys, urllib.request
print(",".join(sorted({json.load(urllib.request.urlopen(sys.argv[1], timeout=10))["name"] for n in range(40)})))
"""


def build(twin, count=2):
    twin.start()
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances("s", "shop", count)
    twin.instances("idle", "shop", 1)
    check = {"test": ["test ! -e /tmp/broken"], "interval": "100ms", "retries": 1}
    twin.made("docker:compose:stack", "stack", {"services": {"shop": {
        "image": "shop", "hosts": "s", "port": 80, "healthcheck": check}}}, {"services.shop.hosts": "s"})
    twin.made("opnsense:haproxy:backend", "pool", {"servers": ["s"], "port": 80, "healthCheck": "/"}, {"servers": "s"})
    twin.made("opnsense:haproxy:frontend", "door", {"network": "shop", "port": 81, "backend": "pool"},
              {"network": "shop", "backend": "pool"})
    assert wait_until(lambda: serving(twin) == {f"s-{n}" for n in range(count)}, PATIENCE), serving(twin)
    return twin


def serving(twin):
    done = twin.run("door", twinlab.PYTHON, "-c", FETCH, twin.get("uid-door")["outputs"]["url"])
    assert done.returncode == 0, done.stderr
    return set(done.stdout.strip().split(","))


def act(twin, action, member, resource="s"):
    return twin.ask("act", uid=f"uid-{resource}", action=action, member=member)


def members(twin):
    return {member["name"]: member["state"] for member in twin.get("uid-s")["status"]["members"]}


def a_drained_host_stays_so_when_the_twin_starts_anew_and_comes_back_when_it_is_resumed():
    with Twin() as twin:
        build(twin)
        assert members(twin) == {"s-0": "serving", "s-1": "serving"}
        assert act(twin, "drain", "s-0")["ok"]
        assert members(twin) == {"s-0": "drained", "s-1": "serving"} and serving(twin) == {"s-1"}
        assert act(twin, "drain", "s-0")["ok"], "the same once more is no failure"
        twin.stop()
        twin.start()
        assert wait_until(lambda: twin.get("uid-door")["status"]["state"] == "ready", PATIENCE)
        assert members(twin) == {"s-0": "drained", "s-1": "serving"}
        assert wait_until(lambda: serving(twin) == {"s-1"}, PATIENCE), serving(twin)
        assert act(twin, "resume", "s-0")["ok"] and act(twin, "resume", "s-0")["ok"]
        assert members(twin) == {"s-0": "serving", "s-1": "serving"}
        assert wait_until(lambda: serving(twin) == {"s-0", "s-1"}, PATIENCE), serving(twin)


def a_host_that_goes_takes_it_along():
    with Twin() as twin:
        build(twin)
        assert act(twin, "drain", "s-1")["ok"] and serving(twin) == {"s-0"}
        twin.instances("s", "shop", 1)
        twin.instances("s", "shop", 2)
        assert members(twin) == {"s-0": "serving", "s-1": "serving"}
        assert wait_until(lambda: serving(twin) == {"s-0", "s-1"}, PATIENCE), serving(twin)


def who_is_drained_and_unhealthy_comes_back_when_he_is_neither():
    with Twin() as twin:
        build(twin)
        health = lambda: twin.get("uid-stack")["status"]["services"]["shop"]["instances"][0]["health"]
        assert act(twin, "drain", "s-0")["ok"]
        twin.run("s-0", "touch", "/tmp/broken")
        assert wait_until(lambda: health() == "unhealthy", PATIENCE), health()
        assert act(twin, "resume", "s-0")["ok"] and serving(twin) == {"s-1"}
        assert act(twin, "drain", "s-0")["ok"]
        twin.run("s-0", "rm", "/tmp/broken")
        assert wait_until(lambda: health() == "healthy", PATIENCE), health()
        assert serving(twin) == {"s-1"}
        assert act(twin, "resume", "s-0")["ok"]
        assert wait_until(lambda: serving(twin) == {"s-0", "s-1"}, PATIENCE), serving(twin)


def what_would_leave_nobody_and_what_makes_no_sense_is_refused():
    with Twin() as twin:
        build(twin)
        assert act(twin, "drain", "s-0")["ok"]
        for action, member, resource, words in (
                ("drain", "s-1", "s", "nobody would take the requests"), ("drain", "idle-0", "idle", "sends anything"),
                ("drain", "idle-0", "s", "no host"), ("drain", "nobody", "s", "no host"),
                ("drain", "../x", "s", "no host"), ("promote", "s-0", "s", "drain and resume")):
            answer = act(twin, action, member, resource)
            assert not answer["ok"] and words in answer["error"]["message"], (action, member, answer)
        assert members(twin) == {"s-0": "drained", "s-1": "serving"} and serving(twin) == {"s-1"}


def begun(twin):
    """How many processes were begun in the balancer's host until now, as its process ids count them."""
    return int(twin.run("door", "sh", "-c", "echo $$").stdout)


def tell_haproxy(twin, command):
    inner = next(pathlib.Path(f"/proc/{twin.process.pid}/task/{twin.process.pid}/children").open()).split()
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(f"/proc/{inner[0]}/root/run/twin/balancer/door/admin")
        admin.sendall(command.encode() + b"\n")
        return admin.makefile().read()


def one_more_host_is_taken_by_the_haproxy_that_runs_without_another_one():
    with Twin() as twin:
        build(twin)
        first, second = begun(twin), begun(twin)
        twin.instances("s", "shop", 3)
        assert begun(twin) - second == second - first
        assert serving(twin) == {"s-0", "s-1", "s-2"}
        # What is not only a matter of servers is checked before it counts.
        twin.made("opnsense:haproxy:backend", "pool", {"servers": ["s"], "port": 80, "healthCheck": "/", "balance": "leastconn"},
                  {"servers": "s"})
        third = begun(twin)
        twin.made("opnsense:haproxy:backend", "pool", {"servers": ["s"], "port": 80, "healthCheck": "/", "balance": "source"},
                  {"servers": "s"})
        assert begun(twin) - third > second - first


def reloads_that_follow_each_other_at_once_all_come():
    with Twin() as twin:
        build(twin)
        for i in range(40):
            # Each is a reload of its own, begun when the one before has just been taken.
            twin.made("opnsense:haproxy:backend", "pool", {"servers": ["s"], "port": 80, "healthCheck": "/",
                                                           "balance": ("leastconn", "roundrobin")[i % 2]}, {"servers": "s"})
            twin.made("opnsense:haproxy:frontend", "door", {"network": "shop", "port": 81 + (i + 1) % 2, "backend": "pool"},
                      {"network": "shop", "backend": "pool"})
        assert serving(twin) == {"s-0", "s-1"}


@twinlab.for_root
def what_the_haproxy_that_runs_refuses_it_reads_from_its_file():
    with Twin() as twin:
        build(twin)
        told = tell_haproxy(twin, "add server pool/s-2 10.210.0.9:80")
        assert "New server" in told, told
        twin.instances("s", "shop", 3)
        assert wait_until(lambda: serving(twin) == {"s-0", "s-1", "s-2"}, PATIENCE), serving(twin)
        assert twin.get("uid-door")["status"]["state"] == "ready"


apartlab.need_haproxy()
twinlab.run([a_drained_host_stays_so_when_the_twin_starts_anew_and_comes_back_when_it_is_resumed,
             a_host_that_goes_takes_it_along, who_is_drained_and_unhealthy_comes_back_when_he_is_neither,
             what_would_leave_nobody_and_what_makes_no_sense_is_refused,
             one_more_host_is_taken_by_the_haproxy_that_runs_without_another_one,
             reloads_that_follow_each_other_at_once_all_come,
             what_the_haproxy_that_runs_refuses_it_reads_from_its_file])
