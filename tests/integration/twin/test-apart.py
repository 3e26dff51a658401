#!/usr/bin/env python3
"""What instances can see and do: nothing of each other, of the supervisor, of the machine. Prints TAP."""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, for_root, leftovers, namespaces_of, ticks, wait_until

TESTS = []
CANARY = "cnry-77aa-environment"


def test(function):
    TESTS.append(function)
    return function


def build(twin):
    """Two hosts with a workload each, behind a balancer, and a second balancer."""
    os.environ["PARLEY_TEST_CANARY"] = CANARY
    twin.start()
    del os.environ["PARLEY_TEST_CANARY"]
    twin.vlan("shop", "10.210.0.0/24")
    twin.vlan("back", "10.211.0.0/24")
    twin.instances("s", "shop", 2)
    twin.made("docker:compose:stack", "stack", {"services": {"shop": {
        "image": "shop", "hosts": "s", "port": 80, "healthCheck": "/health"}}},
        {"services.shop.hosts": "s"})
    twin.rule("g-to-s", ("back",), ("shop",), 80)
    twin.made("opnsense:haproxy:backend", "b",
              {"balance": "roundrobin", "healthCheck": "/health", "servers": ["s"], "port": 80},
              {"servers": "s"})
    for name, network in ("f", "shop"), ("g", "back"):
        twin.made("opnsense:haproxy:frontend", name,
                  {"network": network, "port": 8080, "backend": "b"},
                  {"network": network, "backend": "b"})
    # A program is none of these for as long as it becomes one.
    assert wait_until(lambda: len(servers(twin)) == 4, 10), servers(twin)
    return twin


def inside(twin, host, script, *arguments):
    """What a Python script prints that runs with the rights of a host's programs."""
    command = twin.command(host, twinlab.PYTHON, "-c", script, *arguments)
    command[command.index(host):command.index(host)] = ["--as", "instance"]
    done = twinlab.subprocess.run(command, stdin=twinlab.subprocess.DEVNULL, timeout=20, text=True,
                                  capture_output=True)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def servers(twin):
    """{name of the host: pid} of the workloads and balancers, as the machine counts."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            line = pathlib.Path(f"/proc/{entry}/cmdline").read_text().split("\0")
            ours = pathlib.Path(f"/proc/{entry}/status").read_text()
        except OSError:
            continue
        if f"PPid:\t{twin.status()['pid']}\n" not in ours:
            continue
        if "workload" in line:
            found[line[line.index("--name") + 1]] = int(entry)
        elif "haproxy" in line[0]:
            found[line[line.index("-f") + 1].split("/")[-2]] = int(entry)
    return found


@test
def servers_run_without_rights_and_sealed():
    with Twin() as twin:
        build(twin)
        found = servers(twin)
        assert set(found) == {"s-0", "s-1", "f", "g"}, found
        seen = []
        for pid in found.values():
            status = dict(line.split(":\t", 1) for line in
                          pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, status
            assert CANARY.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            seen.append(namespaces_of(pid))
        for name in "mnt", "pid", "net", "ipc":
            assert len({spaces[name] for spaces in seen}) == 4, (name, seen)
            assert namespaces_of(twin.status()["pid"])[name] not in {s[name] for s in seen}


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


# Only itself, the host's first process and the host's programs.
LOOK = """
import json, os
found = {}
for entry in os.listdir('/proc'):
    if entry.isdigit() and int(entry) != os.getpid():
        found[entry] = open(f'/proc/{entry}/cmdline').read().split(chr(0))[:2]
print(json.dumps(found))
"""


@test
def an_instance_sees_only_its_own_processes():
    with Twin() as twin:
        build(twin)
        found = inside(twin, "s-0", LOOK)
        assert sorted(line[1] for line in found.values()) == ["cages", "workload"], found
        found = inside(twin, "f", LOOK)
        assert all("haproxy" in line[0] for pid, line in found.items() if pid != "1"), found
        assert "1" in found, found


@test
def an_instance_that_kills_all_it_can_kills_only_itself():
    script = "import json, os; print(json.dumps(1), flush=True); os.kill(-1, 9)"
    with Twin() as twin:
        build(twin)
        before = servers(twin)
        inside(twin, "s-0", script)
        assert wait_until(lambda: servers(twin).get("s-0", before["s-0"]) != before["s-0"])
        after = servers(twin)
        assert {h: p for h, p in after.items() if h != "s-0"} == \
            {h: p for h, p in before.items() if h != "s-0"}
        assert wait_until(lambda: twin.get("uid-stack")["status"]["state"] == "ready", 10)


FORBIDDEN = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call, *arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if call(*arguments) < 0 else 0
other = [int(e) for e in os.listdir('/proc') if e.isdigit() and int(e) not in (1, os.getpid())][0]
results = {
    'ptrace': attempt(libc.ptrace, 16, other, 0, 0),
    'ptrace of the first': attempt(libc.ptrace, 16, 1, 0, 0),
    'process_vm_readv': attempt(libc.process_vm_readv, other, None, 0, None, 0, 0),
    'unshare user': attempt(libc.unshare, 0x10000000),
    'unshare mount': attempt(libc.unshare, 0x20000),
    'clone user': attempt(libc.syscall, 56 if os.uname().machine == 'x86_64' else 220,
                          0x10000011, 0, 0, 0, 0),
    'mount': attempt(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None),
    'umount': attempt(libc.umount2, b'/proc', 2),
    'pivot_root': attempt(libc.syscall, 155 if os.uname().machine == 'x86_64' else 41, b'/', b'/'),
    'chroot': attempt(libc.chroot, b'/tmp'),
    'setns': attempt(libc.setns, os.open('/proc/self/ns/net', os.O_RDONLY), 0),
    'sethostname': attempt(libc.sethostname, b'x', 1),
    'bpf': attempt(libc.syscall, 321 if os.uname().machine == 'x86_64' else 280, 0, None, 0),
    'keyctl': attempt(libc.syscall, 250 if os.uname().machine == 'x86_64' else 219, 0, -3, 1),
    'userfaultfd': attempt(libc.syscall, 323 if os.uname().machine == 'x86_64' else 282, 1),
    'perf_event_open': attempt(libc.syscall, 298 if os.uname().machine == 'x86_64' else 241,
                               None, 0, -1, -1, 0),
    'io_uring_setup': attempt(libc.syscall, 425, 1, None),
    'kexec_load': attempt(libc.syscall, 246 if os.uname().machine == 'x86_64' else 104, 0, 0, None, 0),
    'reboot': attempt(libc.reboot, 0),
}
def opened(path, mode):
    try:
        os.close(os.open(path, mode))
        return 0
    except OSError as e:
        return e.errno
results['memory of the first'] = opened('/proc/1/mem', os.O_RDWR)
try:
    socket.socket(40, socket.SOCK_STREAM)
    results['socket to the hypervisor'] = 0
except OSError as e:
    results['socket to the hypervisor'] = e.errno
child = os.fork()
if child == 0:
    os._exit(7)
assert os.waitpid(child, 0)[1] == 7 << 8
import threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
print(json.dumps(results))
"""


@test
def calls_that_lead_out_are_refused():
    with Twin() as twin:
        build(twin)
        results = inside(twin, "s-0", FORBIDDEN)
        for name, number in results.items():
            assert number in (1, 13), (name, os.strerror(number), results)


FILES = """
import json, os, sys
def tried(path):
    try:
        open(path, 'w').close()
        return 'written'
    except OSError as e:
        return os.strerror(e.errno)
def below(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else None
print(json.dumps({
    'writes': {p: tried(p) for p in ('/x', '/usr/x', '/etc/x', '/run/x', '/run/twin/x', '/sys/x',
                                     '/usr/bin/x', '/dev/x', '/var/lib/x', '/tmp/own', '/dev/shm/own')},
    'seen': {p: os.path.exists(p) for p in sys.argv[1:]},
    'run': below('/run'), 'twin': below('/run/twin'), 'tmp': below('/tmp'), 'root': below('/'),
}))
"""


@test
def the_system_is_read_only_and_the_rest_is_not_there():
    with Twin() as twin:
        build(twin)
        secret = twin.folder / "secret"
        secret.write_text("of the user")
        hidden = [str(p) for p in (secret, twin.socket, twin.state, twin.folder, pathlib.Path.home(),
                                   "/run/netns", "/run/twin/state", "/home", "/root", "/srv", "/mnt",
                                   "/boot", "/sys/fs/cgroup/pids")]
        for host, shown in ("s-0", ["parley-twin"]), \
                ("f", ["balancer", "balancer-config", "certificates", "limiter"]):
            found = inside(twin, host, FILES, *hidden)
            assert not any(found["seen"].values()), found
            assert found["run"] == ["twin"] and found["twin"] == shown, found
            written = [p for p, result in found["writes"].items() if result == "written"]
            assert written == ["/tmp/own", "/dev/shm/own"], found
            assert found["tmp"] == ["own"], found
        assert inside(twin, "s-1", FILES)["tmp"] == ["own"]
        assert not os.path.exists("/tmp/own") and not os.path.exists("/dev/shm/own")


@test
def not_even_its_owner_changes_the_system_from_within():
    script = ("import json, os\n"
              "def tried(p):\n"
              "    try: open(p, 'w').close(); return 0\n"
              "    except OSError as e: return e.errno\n"
              "print(json.dumps([tried(p) for p in ('/usr/x', '/etc/x', '/x', '/run/twin/x')]))")
    with Twin() as twin:
        build(twin)
        done = twin.run("s-0", twinlab.PYTHON, "-c", script)
        wanted = {30} if os.geteuid() == 0 else {13, 30}  # EROFS; without root the owner comes first
        assert set(json.loads(done.stdout)) <= wanted, done


@test
def a_balancer_has_only_its_own_files():
    script = ("import json, os\n"
              "print(json.dumps([sorted(os.listdir('/run/twin/' + p)) "
              "for p in ('balancer', 'balancer-config')]))")
    with Twin() as twin:
        build(twin)
        assert inside(twin, "f", script) == [["f"], ["f", "limits"]]
        assert inside(twin, "g", script) == [["g"], ["g", "limits"]]


CONNECT = """
import json, socket, sys
def tried(kind, address):
    s = socket.socket(kind); s.settimeout(2)
    try:
        s.connect(address)
        return 'connected'
    except OSError as e:
        return type(e).__name__
print(json.dumps([tried(socket.AF_INET, ('127.0.0.1', int(sys.argv[1]))),
                  tried(socket.AF_UNIX, chr(0) + sys.argv[2])]))
"""


@test
def the_machine_s_sockets_are_out_of_reach():
    name = f"parley-test-{os.getpid()}"
    with Twin() as twin, socket.create_server(("127.0.0.1", 0)) as tcp, \
            socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen(1)
        build(twin)
        assert inside(twin, "s-0", CONNECT, str(tcp.getsockname()[1]), name) == \
            ["ConnectionRefusedError", "ConnectionRefusedError"]


def spaces_of_all(twin):
    found = {}
    for host, pid in servers(twin).items():
        for name, inode in namespaces_of(pid).items():
            if name != "uts":
                found[f"{host} {name}"] = (name, inode)
    return found


def still_there(spaces, ended):
    return [key for key, (name, inode) in spaces.items() if leftovers({name: inode}, ended)]


def views():
    return open("/proc/self/mountinfo").read(), sorted(os.listdir("/sys/class/net"))


@test
def nothing_is_left_after_a_kill_or_a_removal():
    for way in "outer", "inner", "removed":
        with Twin() as twin:
            before = views()
            build(twin)
            spaces = spaces_of_all(twin)
            assert len(spaces) == 16, spaces
            if way == "removed":
                for name in "stack", "f", "g", "b", "g-to-s", "s", "shop", "back":
                    assert twin.ask("delete", uid=f"uid-{name}")["ok"], name
                assert twin.process.wait(5) == 0
            else:
                os.kill(twin.process.pid if way == "outer" else twin.status()["pid"], signal.SIGKILL)
                twin.process.wait(5)
            ended = ticks()
            assert wait_until(lambda: not still_there(spaces, ended), 10), (way, still_there(spaces, ended))
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


if not shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
    twinlab.skip_all("haproxy is not installed")
twinlab.run(TESTS)
