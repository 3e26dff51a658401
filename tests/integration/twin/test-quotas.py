#!/usr/bin/env python3
"""What services may use at most: control groups for root, a word in the status for others. TAP."""

import glob
import os
import pathlib
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, for_root, for_users, wait_until

# Joins a group and does something there that ends it, or that it prints the end of.
JOINED = 'for group in "$@"; do echo 0 > "$group/cgroup.procs" || exit 99; done; exec '
HUNGRY = JOINED + twinlab.PYTHON + """ -c 'x = bytearray(200 << 20)'"""
FERTILE = JOINED + twinlab.PYTHON + """ -c '
import os, sys, time
try:
    for n in range(100):
        if os.fork() == 0:
            time.sleep(600)
except OSError:
    sys.exit(n)
'"""


def build(twin, **limits):
    twin.start()
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances("s", "shop", 1)
    stack(twin, **limits)
    return twin


def ask_for_stack(twin, **limits):
    service = {"image": "shop", "hosts": "s", "port": 80, "healthCheck": "/health"}
    if limits:
        service["limits"] = limits
    return twin.put("docker:compose:stack", "stack", {"services": {"shop": service}}, {"services.shop.hosts": "s"})


def stack(twin, **limits):
    answer = ask_for_stack(twin, **limits)
    assert answer["ok"], answer


def groups(twin):
    """Those of this twin's programs, in whatever version of control groups."""
    identity = twin.status()["identity"]
    return [pathlib.Path(path) for path in glob.glob(f"/sys/fs/cgroup/**/parley/{identity}/*/", recursive=True)]


def members(twin):
    return {int(pid) for group in groups(twin) for pid in (group / "cgroup.procs").read_text().split()}


def told(twin, *names):
    """What a file of a group says, by whichever of its names it has."""
    for group in groups(twin):
        for name in names:
            if (group / name).exists():
                return (group / name).read_text().strip()
    raise AssertionError((names, groups(twin)))


def cpu(twin):
    return told(twin, "cpu.max", "cpu.cfs_quota_us").split()[0]


def memory(twin):
    return told(twin, "memory.max", "memory.limit_in_bytes")


def service(twin):
    return twin.get("uid-stack")["status"]["services"]["shop"]


@for_root
def a_service_runs_within_its_limits():
    with Twin() as twin:
        build(twin, cpus=0.5, memory="64Mi", processes=20)
        assert (cpu(twin), memory(twin), told(twin, "pids.max")) == ("50000", str(64 << 20), "20")
        assert len(members(twin)) == 1, members(twin)
        assert service(twin)["limits"] == "kept by control groups", service(twin)
        paths = [str(group) for group in groups(twin)]
        hungry = subprocess.run(["sh", "-c", HUNGRY, "sh", *paths])
        assert hungry.returncode == -signal.SIGKILL, hungry
        fertile = subprocess.Popen(["sh", "-c", FERTILE, "sh", *paths])
        assert 0 < fertile.wait(30) < 20, fertile.returncode
        for pid in members(twin) - {workload(twin)}:
            os.kill(pid, signal.SIGKILL)
        assert twin.get("uid-stack")["status"]["state"] == "ready"


def workload(twin):
    """The one that was there first, and has no parent among the others."""
    return min(pid for pid in members(twin) if b"workload" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())


@for_root
def other_limits_hold_at_once_and_nothing_is_started_again():
    with Twin() as twin:
        build(twin, cpus=0.5, memory="64Mi")
        before = members(twin)
        stack(twin, cpus=2, processes=30)
        assert (cpu(twin), told(twin, "pids.max")) == ("200000", "30")
        assert memory(twin) == "max" or int(memory(twin)) > 1 << 60, memory(twin)
        for group in groups(twin):
            assert set(map(int, (group / "cgroup.procs").read_text().split())) == before, group
        stack(twin)
        assert wait_until(lambda: service(twin)["ready"] == 1), service(twin)
        assert not members(twin), members(twin)
        assert "limits" not in service(twin)


@for_root
def a_program_that_dies_comes_back_within_its_limits():
    with Twin() as twin:
        build(twin, memory="64Mi")
        victim = workload(twin)
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: members(twin) - {victim}), members(twin)
        assert wait_until(lambda: service(twin)["ready"] == 1), service(twin)


@for_root
def groups_go_with_their_programs_also_those_of_a_killed_twin():
    with Twin() as twin:
        build(twin, processes=20)
        assert groups(twin)
        twin.ask("delete", uid="uid-stack")
        assert wait_until(lambda: not groups(twin)), groups(twin)
        stack(twin, processes=20)
        identity = twin.status()["identity"]
        inner = twin.status()["pid"]
        os.kill(inner, signal.SIGKILL)
        twin.process.wait()
        twin.stop()
        twin.start()
        twin.ask("delete", uid="uid-stack")
        twin.ask("delete", uid="uid-s")
        twin.stop()
        assert not glob.glob(f"/sys/fs/cgroup/**/parley/{identity}", recursive=True)


# As containers show them.
READ_ONLY = ["unshare", "--mount", "sh", "-c", """
for folder in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,ro $folder || exit 99; done
exec "$@\"""", "sh"]


@for_root
def where_groups_cannot_be_written_a_service_with_limits_is_refused_with_the_reason():
    with Twin() as twin:
        twin.start(wrapper=READ_ONLY)
        twin.vlan("shop", "10.210.0.0/24")
        twin.instances("s", "shop", 1)
        answer = ask_for_stack(twin, cpus=0.5)
        assert not answer["ok"], answer
        assert "cannot limit cpu of s-0.shop by control groups: Read-only file system" in answer["error"]["message"], answer
        stack(twin)
        assert service(twin)["ready"] == 1, service(twin)


@for_users
def who_is_not_root_is_told_that_limits_are_not_kept():
    with Twin() as twin:
        build(twin, memory="64Mi")
        assert service(twin)["limits"].startswith("not kept"), service(twin)
        assert service(twin)["ready"] == 1


def limits_that_are_none_are_refused():
    with Twin() as twin:
        build(twin)
        for limits in ({"memory": "1Ki"}, {"memory": "64M"}, {"memory": 64}, {"cpus": 0}, {"cpus": -1},
                       {"cpus": "much"}, {"processes": 0}, {"memory": "99999999Ti"}):
            answer = twin.put("docker:compose:stack", "stack", {"services": {"shop": {
                "image": "shop", "hosts": "s", "port": 80, "limits": limits}}},
                {"services.shop.hosts": "s"})
            assert not answer["ok"] and "of shop" in answer["error"]["message"] or \
                "processes" in answer["error"]["message"], (limits, answer)
        assert service(twin)["ready"] == 1


if os.geteuid() == 0 and not twinlab.has_groups():
    twinlab.skip_all("this machine has no control groups")
twinlab.run([a_service_runs_within_its_limits, other_limits_hold_at_once_and_nothing_is_started_again,
             a_program_that_dies_comes_back_within_its_limits,
             groups_go_with_their_programs_also_those_of_a_killed_twin,
             where_groups_cannot_be_written_a_service_with_limits_is_refused_with_the_reason,
             who_is_not_root_is_told_that_limits_are_not_kept, limits_that_are_none_are_refused])
