#!/usr/bin/env python3
"""What instances can see and do: nothing of each other, of the supervisor, of the machine. Prints TAP."""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import apartlab
import twinlab
from apartlab import build, inside, servers
from twinlab import Held, Twin, for_root, namespaces_of, wait_until

TESTS = []


def test(function):
    TESTS.append(function)
    return function


@test
def servers_run_without_rights_and_sealed():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_rights(twin) == {}


@test
def a_command_in_a_host_is_where_its_programs_are():
    script = ("import json, os\n"
              "print(json.dumps({n: os.stat('/proc/self/ns/' + n).st_ino "
              "for n in ('mnt', 'pid', 'net', 'ipc')}))")
    with Twin() as twin:
        build(twin)
        for host, pid in servers(twin).items():
            wanted = {n: v for n, v in namespaces_of(pid).items() if n != "uts"}
            assert inside(twin, host, script) == wanted, host
            done = twin.run(host, twinlab.PYTHON, "-c", script)
            assert json.loads(done.stdout) == wanted, (host, done)


@test
def a_command_of_the_system_is_found_whatever_the_path_of_who_asks():
    with Twin() as twin:
        build(twin)
        for variables in {"PATH": "/usr/bin:/bin"}, {"PATH": ""}, {}:
            done = subprocess.run(twin.command("router", "nft", "list", "ruleset"), timeout=20, text=True,
                                  env=variables, stdin=subprocess.DEVNULL, capture_output=True)
            assert done.returncode == 0 and "chain" in done.stdout, (variables, done)


@test
def an_instance_sees_only_its_own_processes():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_sight(twin) == {}


@test
def an_instance_that_kills_all_it_can_kills_only_itself():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_signals(twin) == {}
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready", 10)


@test
def calls_that_lead_out_are_refused():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_calls(twin) == {}


@test
@for_root  # nobody else has control groups
def an_instance_with_a_limit_makes_no_more_processes():
    if not twinlab.has_groups():
        return "this machine has no control groups"
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_numbers(twin) == {}


@test
def the_system_is_read_only_and_the_rest_is_not_there():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_files(twin) == {}


@test
def not_even_its_owner_changes_the_system_from_within():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_owners(twin) == {}


@test
def the_machine_s_sockets_are_out_of_reach():
    name = f"parley-test-{os.getpid()}"
    with Twin() as twin, socket.create_server(("127.0.0.1", 0)) as tcp, \
            socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen(1)
        build(twin)
        found = subprocess.run([twinlab.PYTHON, "-c", apartlab.CONNECT, str(tcp.getsockname()[1]), name],
                               capture_output=True, text=True)
        assert json.loads(found.stdout) == ["connected", "connected"], "this test cannot fail"
        assert apartlab.faults_of_sockets(twin, tcp.getsockname()[1], name) == {}


@test
def an_instance_has_its_host_s_network_and_mounts_and_no_others():
    with Twin() as twin:
        build(twin)
        assert apartlab.faults_of_networks(twin) == {}
        assert apartlab.faults_of_mounts(twin) == {}


def views():
    return open("/proc/self/mountinfo").read(), sorted(os.listdir("/sys/class/net"))


@test
def nothing_is_left_after_a_kill_or_a_removal():
    for way in "outer", "inner", "removed":
        with Twin() as twin:
            before = views()
            build(twin)
            found = servers(twin)
            assert len(found) == 4, found
            with Held(found) as held:
                if way == "removed":
                    for name in "stack", "f", "g", "b", "g-to-s", "s", "shop", "back":
                        assert twin.ask("delete", uid=f"uid-{name}")["ok"], name
                    assert twin.process.wait(5) == 0
                else:
                    os.kill(twin.process.pid if way == "outer" else twin.status()["pid"], signal.SIGKILL)
                    twin.process.wait(5)
                assert wait_until(lambda: not held.inhabited(), 10), (way, held.inhabited())
            assert views() == before, way


@test
@for_root  # an ordinary user cannot give the machine another /etc
def names_are_found_where_the_resolver_s_file_lies_elsewhere():
    script = ("import json\n"
              "print(json.dumps(open('/etc/resolv.conf').read()))")
    with Twin() as twin:
        steps = [f"cp -a /etc {twin.folder}/etc", f"mount --bind {twin.folder}/etc /etc",
                 "umount -q /etc/resolv.conf; mount -t tmpfs none /run && mkdir -p /run/resolve",
                 "echo nameserver 192.0.2.1 > /run/resolve/stub.conf",
                 "ln -sf ../run/resolve/stub.conf /etc/resolv.conf"]
        twin.start(wrapper=["unshare", "-m", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"])
        twin.vlan("shop", "10.210.0.0/24")
        twin.instances("s", "shop", 1)
        twin.made("docker:compose:stack", "stack", {"services": {"shop": {
            "image": "shop", "hosts": "s", "port": 80, "healthCheck": "/health"}}},
            {"services.shop.hosts": "s"})
        assert "198.51.100.1" in inside(twin, "s-0", script)


@test
@for_root
def nobody_on_the_machine_can_step_into_an_instance():
    with Twin() as twin:
        build(twin)
        pid = servers(twin)["s-0"]
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
            libc = ctypes.CDLL(None, use_errno=True)
            try:
                os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
            except OSError:
                os._exit(libc.ptrace(16, pid, 0, 0) != -1)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


apartlab.need_haproxy()
twinlab.run(TESTS)
