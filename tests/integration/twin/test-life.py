#!/usr/bin/env python3
"""The twin's life: kills, restarts, locks, and what arrives on its socket. Prints TAP."""

import ctypes
import fcntl
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import twinlab
from twinlab import Held, Twin, for_root, namespaces_of, wait_until

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def build(twin):
    twin.start()
    twin.vlan("left", "10.210.0.0/24", 10)
    twin.vlan("right", "10.211.0.0/24", 11)
    twin.instances("l", "left", 2)
    twin.instances("r", "right", 2)
    twin.rule("l-to-r", ("left",), ("right",), 80)
    return twin


def machine_view():
    """What the twin must not change on the machine: its links and mounts."""
    return sorted(os.listdir("/sys/class/net")), open("/proc/self/mountinfo").read()


def kill_and_look(victim):
    with Twin() as twin:
        before = machine_view()
        build(twin)
        inner = twin.status()["pid"]
        twin.listen("l-0", [80])
        outer = twin.process.pid
        with Held({"inner": inner}) as held:
            os.kill(outer if victim == "outer" else inner, signal.SIGKILL)
            assert twin.process.wait(5) != 0
            assert wait_until(lambda: not held.inhabited()), held.inhabited()
        assert machine_view() == before
        return_code = subprocess.run([twinlab.PROGRAM, "request", "--socket", twin.socket,
                                      '{"id":1,"verb":"status"}'], capture_output=True)
        assert return_code.returncode == 1


@test
def killing_the_outer_half_leaves_nothing():
    kill_and_look("outer")


@test
def killing_the_inner_half_leaves_nothing():
    kill_and_look("inner")


@test
def a_second_supervisor_of_the_same_folder_is_refused():
    with Twin() as twin:
        build(twin)
        other = subprocess.run(
            [twinlab.PROGRAM, "supervise", "--state", twin.state, "--socket",
             twin.folder / "other"], capture_output=True, text=True, timeout=60)
        assert other.returncode == 1
        assert "another supervisor runs the twin" in other.stderr, other.stderr
        other = subprocess.run(
            [twinlab.PROGRAM, "supervise", "--state", twin.folder / "state2", "--socket",
             twin.socket], capture_output=True, text=True, timeout=60)
        assert other.returncode == 1
        assert "another supervisor answers" in other.stderr, other.stderr
        assert twin.status()["ok"]


@test
def a_twin_that_is_still_going_is_waited_for():
    with Twin() as twin:
        twin.state.mkdir(mode=0o700)
        with open(twin.state / "lock", "w") as going:
            whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(going, fcntl.F_OFD_SETLK, whole)
            twin.start(wait=False)
            assert not wait_until(lambda: twin.process.poll() is not None, 0.5), twin.log()
        assert twin.process.stdout.readline() == b"ready\n", twin.log()
        assert twin.status()["ok"]


@test
def a_killed_twin_converges_again_from_its_manifest():
    with Twin() as twin:
        build(twin)
        before = twin.status()
        os.kill(before["pid"], signal.SIGKILL)
        twin.process.wait(5)
        twin.stop()
        twin.start()
        assert wait_until(lambda: twin.status()["state"] == "settled")
        after = twin.status()
        for field in ("identity", "hosts", "networks", "resources"):
            assert before[field] == after[field], field
        twin.listen("r-0", [80])
        address = twin.hosts()["r-0"]["address"]
        assert twin.probe("l-0", [[address, 80], [address, 81]]) == {
            f"{address}:80": "open", f"{address}:81": "silent"}


class Replacements:
    """Counts how often a file of a folder is replaced (inotify(7))."""

    def __init__(self, path):
        self.name = path.name.encode()
        self.library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.library.inotify_init1(os.O_NONBLOCK)
        moved = 0x40 | 0x80  # from and to: two events alike, one after the other, would be told as one
        assert self.library.inotify_add_watch(self.descriptor, bytes(path.parent), moved) >= 0, ctypes.get_errno()

    def count(self):
        try:
            events = os.read(self.descriptor, 1 << 20)
        except BlockingIOError:
            return 0
        n, at = 0, 0
        while at < len(events):
            length = struct.unpack_from("iIII", events, at)[3]
            n += events[at + 16:at + 16 + length].rstrip(b"\0") == self.name
            at += 16 + length
        return n

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)


@test
def changes_that_come_together_are_made_together():
    with Twin() as twin:
        twin.start()
        with twin.connect() as connection, Replacements(twin.state / "manifest.json") as replaced:
            many = range(40)
            for i in many:
                connection.send("put", resource={
                    "uid": f"uid-{i}", "name": f"n-{i}", "type": "opnsense:network:vlan", "references": {},
                    "spec": {"tag": i + 1, "subnet": f"10.70.{i}.0/24"}})
            assert all(connection.read()["ok"] for _ in many)
            # Those that come while others are made durable go together, with one replaced file for all.
            n_put = replaced.count()
            for i in many[1:]:
                connection.send("delete", uid=f"uid-{i}")
            assert all(connection.read()["ok"] for _ in many[1:])
            n_deleted = replaced.count()
            assert 1 <= n_put <= len(many) // 4 and 1 <= n_deleted <= len(many) // 4, (n_put, n_deleted)
        assert [network["name"] for network in twin.status()["networks"]] == ["outside", "n-0"]


@test
def changes_of_one_resource_that_come_together_are_made_in_their_order():
    def vlan(name, tag):
        return {"uid": f"uid-{name}", "name": name, "type": "opnsense:network:vlan", "references": {},
                "spec": {"tag": tag, "subnet": f"10.71.{tag}.0/24"}}

    with Twin() as twin:
        twin.start()
        with twin.connect() as connection:
            assert connection.ask("put", resource=vlan("kept", 1))["ok"]
            # In one piece, so that none is decided before all have come.
            asked = [("put", {"resource": vlan("gone", 2)}), ("delete", {"uid": "uid-gone"}),
                     ("put", {"resource": vlan("kept", 3)}), ("put", {"resource": vlan("kept", 1)}),
                     ("delete", {"uid": "uid-never"})]
            lines = [json.dumps({"id": 100 + i, "verb": verb, **fields}) for i, (verb, fields) in enumerate(asked)]
            connection.socket.sendall(("\n".join(lines) + "\n").encode())
            assert all(connection.read()["ok"] for _ in asked)
        assert {network["name"]: network["subnet"] for network in twin.status()["networks"]} == {
            "outside": "198.51.100.0/24", "kept": "10.71.1.0/24"}


@test
def two_twins_with_the_same_addresses_do_not_meet():
    with Twin() as one, Twin() as two:
        build(one)
        build(two)
        one.listen("r-0", [80])
        address = one.hosts()["r-0"]["address"]
        assert "open" in one.probe("l-0", [[address, 80]]).values()
        assert "refused" in two.probe("l-0", [[address, 80]]).values()


@test
def sigterm_ends_it_in_order_and_removes_the_socket():
    with Twin() as twin:
        build(twin)
        with Held({"inner": twin.status()["pid"]}) as held:
            twin.process.send_signal(signal.SIGTERM)
            assert twin.process.wait(5) == 0
            assert not twin.socket.exists()
            assert wait_until(lambda: not held.inhabited()), held.inhabited()


@test
def it_ends_by_itself_with_its_last_resource():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24")
        twin.instances("l", "left", 1)
        assert twin.ask("delete", uid="uid-l")["ok"]
        assert twin.process.poll() is None
        assert twin.ask("delete", uid="uid-left")["ok"]
        assert twin.process.wait(5) == 0


@test
def it_ends_by_itself_when_it_holds_nothing_and_nobody_is_there():
    with Twin() as twin:
        twin.start()
        with twin.connect() as connection:
            assert connection.ask("status")["resources"] == 0
            time.sleep(4)
            assert twin.process.poll() is None, "somebody is there"
        assert twin.process.wait(10) == 0
        twin.start()
        assert twin.process.wait(10) == 0, "who started it was killed before its first request"


@test
def it_stays_with_what_it_holds_when_nobody_is_there():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24")
        time.sleep(5)
        assert twin.get("uid-left")["present"]


@test
def down_with_wipe_empties_the_state_folder():
    with Twin() as twin:
        build(twin)
        assert (twin.state / "manifest.json").exists()
        assert twin.ask("down", wipe=True)["ok"]
        assert twin.process.wait(5) == 0
        assert os.listdir(twin.state) == ["lock"], os.listdir(twin.state)


@test
def what_was_answered_is_in_the_manifest_and_what_was_refused_is_not():
    with Twin() as twin:
        build(twin)
        refused = [
            ("opnsense:network:vlan", "twice", {"subnet": "10.210.0.128/25"}, {}),
            ("opnsense:network:vlan", "odd", {"subnet": "10.1.2.3/24"}, {}),
            ("opnsense:network:vlan", "kind", {"subnet": 7}, {}),
            ("opnsense:network:vlan", "outside", {"subnet": "198.51.100.0/25"}, {}),
            ("aws:ec2:instances", "lost", {"instances": 1}, {"subnet": "nowhere"}),
            ("aws:ec2:instances", "many", {"instances": 101}, {"subnet": "left"}),
            ("aws:ec2:instances", "wrong", {"instances": 1}, {"subnet": "l-to-r"}),
            ("aws:s3:bucket", "bucket", {}, {}),
            ("opnsense:firewall:rule", "port", {"source": "any", "destination": "any",
                                                "action": "allow", "port": 70000}, {}),
            ("opnsense:firewall:rule", "quote", {"source": 'any" drop', "destination": "any",
                                                 "action": "allow"}, {}),
            ("opnsense:firewall:rule", "rate", {"source": "any", "destination": "any",
                                                "action": "allow", "rateLimit": "1/year"}, {}),
            ("opnsense:firewall:alias", "all", {"content": ["0.0.0.0/0"]}, {}),
        ]
        before = (twin.state / "manifest.json").read_bytes()
        for type_name, name, spec, references in refused:
            answer = twin.put(type_name, name, spec, references)
            assert not answer["ok"] and name in answer["error"]["message"] or \
                type_name == "aws:s3:bucket", answer
            assert not twin.get(f"uid-{name}")["present"]
        in_use = twin.ask("delete", uid="uid-left")
        assert in_use["error"]["code"] == "conflict", in_use
        assert (twin.state / "manifest.json").read_bytes() == before
        kept = {r["uid"] for r in json.loads(before)["resources"]}
        assert kept == {"uid-left", "uid-right", "uid-l", "uid-r", "uid-l-to-r"}
        assert os.stat(twin.state / "manifest.json").st_mode & 0o777 == 0o600


@test
def the_same_put_again_changes_nothing():
    with Twin() as twin:
        build(twin)
        before = os.stat(twin.state / "manifest.json").st_ino
        twin.instances("l", "left", 2)
        assert os.stat(twin.state / "manifest.json").st_ino == before
        twin.instances("l", "left", 3)
        assert os.stat(twin.state / "manifest.json").st_ino != before


@test
def many_puts_at_once_all_count():
    with Twin() as twin:
        twin.start()
        with twin.connect() as connection:
            for i in range(100):
                connection.send("put", resource={
                    "uid": f"uid-{i}", "name": f"n{i}", "type": "opnsense:network:vlan",
                    "spec": {"subnet": f"10.{i}.0.0/24"}})
            connection.send("put", resource={
                "uid": "uid-bad", "name": "bad", "type": "opnsense:network:vlan",
                "spec": {"subnet": "10.99.0.0/16"}})
            answers = {a["id"]: a for a in (connection.read() for _ in range(101))}
        assert sorted(answers) == list(range(1, 102))
        assert all(answers[i]["ok"] for i in range(1, 101))
        assert not answers[101]["ok"]
        assert twin.status()["resources"] == 100
        assert len(twin.status()["networks"]) == 101


@test
def addresses_run_out_with_a_fault_and_come_back():
    with Twin() as twin:
        twin.start()
        twin.vlan("tiny", "10.250.0.0/29")
        twin.instances("five", "tiny", 5)
        answer = twin.put("aws:ec2:instances", "more", {"instances": 1}, {"subnet": "tiny"})
        assert answer["error"]["code"] == "limit", answer
        twin.instances("five", "tiny", 4)
        twin.instances("more", "tiny", 1)


@test
def resources_of_one_name_live_side_by_side():
    with Twin() as twin:
        build(twin)
        twin.vlan("third", "10.212.0.0/24")
        twin.made("aws:ec2:instances", "l", {"instances": 1}, {"subnet": "third"}, uid="another")
        hosts = twin.hosts()
        assert hosts["l-0"]["network"] == "left" and hosts["l--2-0"]["network"] == "third", hosts
        assert twin.ask("delete", uid="uid-l")["ok"]
        assert "l--2-0" in twin.hosts(), "what runs keeps its name"


@test
def a_group_keeps_how_many_it_wants_until_the_document_says_otherwise():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24")

        def group(**spec):
            answer = twin.made("aws:autoscaling:group", "g", spec, {"subnet": "left"})
            return answer["outputs"]["desired"]
        assert group(min=2, max=10) == 2
        assert group(min=2, max=10, desired=5) == 5
        assert group(min=2, max=10, desired=5, targetCPU=60) == 5
        assert group(min=2, max=4, desired=5) == 4
        assert group(min=1, max=10) == 5
        assert group(min=7, max=10) == 7


GARBAGE = [
    b"\n", b"\0\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b"\xff\xfe\xfd\n", b'{"id":"1"}\n',
    b'{"id":1}\n', b'{"id":1,"verb":7}\n', b'{"id":1,"verb":"explode"}\n', b'{"id":1,"verb":"put"}\n',
    b'{"id":1,"verb":"put","resource":[]}\n', b'{"id":1,"verb":"put","resource":{}}\n',
    b'{"id":1,"verb":"put","resource":{"uid":1,"name":2,"type":3,"spec":4}}\n',
    b'{"id":1,"verb":"put","resource":{"uid":"a","name":"a\\n","type":"t","spec":{}}}\n',
    b'{"id":1,"verb":"put","resource":{"uid":"a","name":"a","type":"t","spec":{"$unknown":'
    b'{"origin":"x","type":"any"}}}}\n',
    b'{"id":1,"verb":"put","resource":{"uid":"a","name":"a","type":"t","spec":{},"references":'
    b'{"x":"y"}}}\n',
    b'{"id":1,"verb":"put","resource":{"uid":"a","name":"a","type":"opnsense:network:vlan",'
    b'"spec":{},"operational":{}}}\n',
    b'{"id":1,"verb":"delete","uid":{}}\n', b'{"id":1,"verb":"get","uid":""}\n',
    b'{"id":1,"verb":"down","wipe":"yes"}\n', b'{"id":1,"id":2,"verb":"status"}\n',
    b'{"id":1e400,"verb":"status"}\n', b'{"id":99999999999999999999,"verb":"status"}\n',
    b'{"id":1,"verb":"status","x":' + b"[" * 500 + b"]" * 500 + b"}\n",
    b'{"id":1,"verb":"status","x":' + b"[" * 100000 + b"]" * 100000 + b"}\n",
    b'{"id":1,"verb":"get","uid":"' + b"x" * 100000 + b'"}\n',
]


@test
def garbage_on_the_socket_is_answered_and_harms_nothing():
    with Twin() as twin:
        build(twin)
        with twin.connect() as connection:
            for line in GARBAGE:
                connection.socket.sendall(line)
                answer = connection.read()
                assert answer and not answer["ok"] and answer["error"]["message"], (line, answer)
            assert connection.ask("status")["ok"]
        with twin.connect() as connection:
            # It stops reading, so that the rest may not even leave here.
            try:
                connection.socket.sendall(b"x" * (5 << 20))
                answer = connection.read()
                assert answer is None or answer["error"]["code"] == "limit", answer
            except OSError:
                pass
        for data in (b"", b"half a line", b'{"id":1,"verb":"status"}'):
            with twin.connect() as connection:
                connection.socket.sendall(data)
        assert twin.status()["resources"] == 5


@test
def clients_that_vanish_or_do_not_read_harm_nobody():
    with Twin() as twin:
        build(twin)
        silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for s in silent:
            s.connect(str(twin.socket))
            s.sendall(b'{"id":1,"verb":"list"}\n' * 50)
        begin = time.monotonic()
        assert twin.status()["ok"]
        assert time.monotonic() - begin < 15
        for s in silent[:20]:
            s.close()
        assert twin.status()["ok"]
        for s in silent[20:]:
            s.close()
        assert wait_until(lambda: twin.status()["ok"])


@test
def more_connections_than_it_takes_are_turned_away():
    with Twin() as twin:
        build(twin)
        held = []
        for _ in range(64):
            held.append(twin.connect())
            assert held[-1].greeting["identity"]
        with twin.connect() as one_more:
            assert one_more.greeting is None
        for connection in held:
            connection.socket.close()
        assert wait_until(lambda: twin.connect().greeting is not None)


@test
def another_user_is_not_served():
    if os.geteuid() != 0:
        return "only root can be another user"
    with Twin() as twin:
        build(twin)
        os.chmod(twin.folder, 0o777)
        os.chmod(twin.socket, 0o666)
        pid = os.fork()
        if pid == 0:
            os.setresuid(1234, 1234, 1234)
            try:
                os._exit(0 if twin.connect().greeting is None else 1)
            except BaseException:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0, "it was served"
        assert twin.status()["ok"]


@test
def a_damaged_manifest_is_refused_and_left_alone():
    with Twin() as twin:
        build(twin)
        twin.process.send_signal(signal.SIGTERM)
        twin.process.wait(5)
        path = twin.state / "manifest.json"
        whole = path.read_bytes()
        other = whole.replace(b'"format":1', b'"format":2')
        for damaged in (b"", b"{}", whole[:-10], b"null", other, whole.replace(b"uid-left", b"")):
            path.write_bytes(damaged)
            twin.stop()
            twin.start(wait=False)
            assert twin.process.wait(5) == 1
            assert "manifest" in twin.log()
            assert path.read_bytes() == damaged
        path.write_bytes(whole)
        twin.stop()
        twin.start()
        assert twin.status()["resources"] == 5


@test
def a_disk_that_takes_no_more_is_an_error_and_no_change():
    with Twin() as twin:
        # A limit on the size of files stands for the full disk: it is refused at the same place.
        twin.start(prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
        twin.vlan("left", "10.210.0.0/24")
        before = (twin.state / "manifest.json").read_bytes()
        for _ in range(3):
            answer = twin.put("opnsense:network:vlan", "new",
                              {"subnet": "10.1.0.0/24", "description": "x" * 30000})
            assert not answer["ok"] and answer["error"]["code"] == "system", answer
        assert not twin.get("uid-new")["present"]
        assert len(twin.status()["networks"]) == 2
        assert (twin.state / "manifest.json").read_bytes() == before
        assert not [name for name in os.listdir(twin.state) if name.endswith(".new")]
        twin.vlan("new", "10.1.0.0/24")


@test
@twinlab.for_users
def without_user_namespaces_it_says_what_to_do():
    with Twin() as twin:
        done = subprocess.run(
            ["unshare", "-U", "--map-current-user", "--keep-caps", "sh", "-c",
             "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"", "sh", twinlab.PROGRAM,
             "supervise", "--state", twin.state, "--socket", twin.socket],
            capture_output=True, text=True, timeout=10)
        assert done.returncode == 1
        assert "user.max_user_namespaces" in done.stderr and "root" in done.stderr, done.stderr


@test
def a_long_socket_path_is_refused():
    with Twin() as twin:
        done = subprocess.run(
            [twinlab.PROGRAM, "supervise", "--state", twin.state, "--socket",
             twin.folder / ("x" * 120)], capture_output=True, text=True, timeout=10)
        assert done.returncode == 1 and "shorter" in done.stderr, done.stderr


@test
def a_command_in_a_host_has_its_streams_and_its_exit_code():
    with Twin() as twin:
        build(twin)
        done = subprocess.run(twin.command("l-0", "sh", "-c", "cat; echo no >&2; exit 7"),
                              input="through", capture_output=True, text=True, timeout=10)
        assert (done.stdout, done.stderr, done.returncode) == ("through", "no\n", 7), done
        nobody = twin.run("l-9", "true")
        assert nobody.returncode == 1 and "no host l-9" in nobody.stderr
        sideways = twin.run("../../etc/passwd", "true")
        assert sideways.returncode == 1


def in_chroot(twin, *mounts):
    """What runs a command in a chroot that shows this machine's files; its mounts end with it."""
    root = twin.folder / "root"
    root.mkdir()
    steps = [f"mount --bind / {root}", *(f"mount --rbind /{m} {root}/{m}" for m in mounts)]
    return ["unshare", "-m", "sh", "-c",
            " && ".join([*steps, f'exec chroot {root} "$@"']), "sh"]


def roots_of_programs(twin):
    """What each program of the twin's hosts finds in "/"."""
    twin.put("docker:compose:stack", "stack", {"services": {"shop": {"image": "shop", "hosts": "l", "port": 80}}},
             {"services.shop.hosts": "l"})
    assert wait_until(lambda: len(workloads(twin)) == 2, 60), workloads(twin)
    return [sorted(os.listdir(f"/proc/{pid}/root/")) for pid in workloads(twin)]


def workloads(twin):
    inner = twin.status()["pid"]
    return [pid for pid in below(inner) if b"workload" in read_file(f"/proc/{pid}/cmdline")]


def read_file(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def below(pid):
    """All that a process has started, and what that has."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        parent = read_file(f"/proc/{entry}/stat").rpartition(b")")[2].split()[1:2]
        if parent:
            children.setdefault(int(parent[0]), []).append(int(entry))
    found = children.get(pid, [])
    for child in found:
        found += children.get(child, [])
    return found


@test
@for_root
def programs_in_a_chroot_see_no_more_than_elsewhere():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24")
        twin.instances("l", "left", 2)
        elsewhere = roots_of_programs(twin)
    with Twin() as twin:
        twin.start(wrapper=in_chroot(twin, "dev", "tmp", "proc"))
        twin.vlan("left", "10.210.0.0/24")
        twin.instances("l", "left", 2)
        assert roots_of_programs(twin) == elsewhere, (roots_of_programs(twin), elsewhere)
        # Nor does a command, which comes from outside of it.
        seen = twin.run("l-0", "ls", "-A", "/")
        assert sorted(seen.stdout.split()) == elsewhere[0], (seen, elsewhere)
        assert twin.run("router", "ls", "/run/netns").stdout.split(), "the router is not where the twin is"


@test
@for_root  # the kernel gives nobody a user namespace in a chroot
def it_starts_in_a_chroot_with_and_without_proc():
    for mounts in ("dev", "tmp", "proc"), ("dev", "tmp"):
        with Twin() as twin:
            twin.start(wrapper=in_chroot(twin, *mounts))
            twin.vlan("left", "10.210.0.0/24")
            twin.instances("l", "left", 2)
            address = twin.hosts()["l-1"]["address"]
            assert twin.ask("status")["state"] == "settled"
            assert address == "10.210.0.12", address


@test
def a_kill_at_any_moment_of_a_change_is_survived():
    with Twin() as twin:
        build(twin)
        for round_number in range(8):
            stop = threading.Event()

            def change():
                count = 0
                while not stop.is_set():
                    count += 1
                    try:
                        twin.put("aws:ec2:instances", "l", {"instances": 1 + count % 5},
                                 {"subnet": "left"})
                        twin.put("opnsense:firewall:rule", "l-to-r", {
                            "source": "left", "destination": "right", "action": "allow",
                            "port": 80 + count % 3}, {"source": "left", "destination": "right"})
                    except (OSError, AssertionError, ValueError):
                        return
            inner = twin.status()["pid"]
            thread = threading.Thread(target=change)
            with Held({"inner": inner}) as held:
                thread.start()
                time.sleep(0.013 * (round_number + 1))
                os.kill(inner if round_number % 2 else twin.process.pid, signal.SIGKILL)
                twin.process.wait(5)
                stop.set()
                thread.join()
                # A process that waits for the disk ends when that has answered.
                assert wait_until(lambda: not held.inhabited(), 60), held.inhabited()
            twin.stop()
            twin.start()
            assert wait_until(lambda: twin.status()["state"] == "settled")
            wanted = twin.get("uid-l")["spec"]["instances"]
            assert len([h for h in twin.hosts() if h.startswith("l-")]) == wanted


twinlab.run(TESTS)
