"""What the tests of cages share: hosts that are kept apart, and attempts to get out of them.

Each faults_of_*() tries ways out of a cage and returns those that lead somewhere: {way: what came of it}.
"""

import json
import os
import pathlib
import re
import shutil
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import namespaces_of, wait_until

CANARY = "cnry-77aa-environment"


def build(twin, wrapper=()):
    """Two hosts with a workload each, behind a balancer, and a second balancer."""
    os.environ["PARLEY_TEST_CANARY"] = CANARY
    twin.start(wrapper=wrapper)
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


def build_hosts(twin, wrapper=()):
    """Two hosts of one network that run nothing."""
    twin.start(wrapper=wrapper)
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances("s", "shop", 2)
    return twin


def command_inside(twin, host, script, *arguments):
    """Of a Python script that runs with the rights of a host's programs."""
    command = twin.command(host, twinlab.PYTHON, "-c", script, *arguments)
    command[command.index(host):command.index(host)] = ["--as", "instance"]
    return command


def inside(twin, host, script, *arguments):
    """What such a script prints."""
    done = twinlab.subprocess.run(command_inside(twin, host, script, *arguments), stdin=twinlab.subprocess.DEVNULL,
                                  timeout=20, text=True, capture_output=True)
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


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def faults_of_rights(twin):
    """What each server is allowed, and shares with others."""
    found = servers(twin)
    assert set(found) == {"s-0", "s-1", "f", "g"}, found
    faults, spaces = {}, {host: namespaces_of(pid) for host, pid in found.items()}
    for pid in found.values():
        status = status_of(pid)
        faults.update({way: what for way, what, is_so in (
            ("no filter", status["Seccomp"], status["Seccomp"] != "2"),
            ("new privileges", status["NoNewPrivs"], status["NoNewPrivs"] != "1"),
            ("capabilities", status["CapEff"], int(status["CapEff"], 16) | int(status["CapPrm"], 16) != 0),
            ("is root", status["Uid"], "0" in status["Uid"].split()),
            ("environment", CANARY, CANARY.encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes()),
        ) if is_so})
    supervisor = namespaces_of(twin.status()["pid"])
    for name in "mnt", "pid", "net", "ipc":
        numbers = [space[name] for space in spaces.values()] + [supervisor[name]]
        if len(set(numbers)) != 5:
            faults[f"shares {name}"] = numbers
    return faults


# Only itself, the host's first process and the host's programs.
LOOK = """
import json, os
found = {}
for entry in os.listdir('/proc'):
    if entry.isdigit() and int(entry) != os.getpid():
        found[entry] = open(f'/proc/{entry}/cmdline').read().split(chr(0))[:2]
print(json.dumps(found))
"""


def faults_of_sight(twin):
    seen = {host: inside(twin, host, LOOK) for host in ("s-0", "f")}
    faults = {}
    if sorted(line[1] for line in seen["s-0"].values()) != ["cages", "workload"]:
        faults["sees others"] = seen["s-0"]
    if "1" not in seen["f"] or not all("haproxy" in line[0] for pid, line in seen["f"].items() if pid != "1"):
        faults["a balancer sees others"] = seen["f"]
    return faults


def faults_of_signals(twin):
    before = servers(twin)
    inside(twin, "s-0", "import json, os; print(json.dumps(1), flush=True); os.kill(-1, 9)")
    if not wait_until(lambda: servers(twin).get("s-0", before["s-0"]) != before["s-0"], 10):
        return {"kills not even itself": servers(twin)}
    after = servers(twin)
    others = {host: pid for host, pid in before.items() if host != "s-0" and after.get(host) != pid}
    return {"kills others": others} if others else {}


# Each in a child of its own, so that what one gets is no help to the next.
FORBIDDEN = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
is_x86 = os.uname().machine == 'x86_64'
def number(call, *arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if call(*arguments) < 0 else 0
def attempt(act):
    child = os.fork()
    if child == 0:
        try:
            result = act()
        except OSError as e:
            result = e.errno
        os._exit(result if result else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
others = [int(e) for e in os.listdir('/proc') if e.isdigit() and int(e) not in (1, os.getpid())]
space = os.open('/proc/self/ns/net', os.O_RDONLY)
call = libc.syscall
print(json.dumps({name: attempt(act) for name, act in {
    'ptrace': lambda: number(libc.ptrace, 16, others[0], 0, 0),
    'ptrace of the first': lambda: number(libc.ptrace, 16, 1, 0, 0),
    'process_vm_readv': lambda: number(libc.process_vm_readv, others[0], None, 0, None, 0, 0),
    'unshare user': lambda: number(libc.unshare, 0x10000000),
    'unshare mount': lambda: number(libc.unshare, 0x20000),
    'clone user': lambda: number(call, 56 if is_x86 else 220, 0x10000011, 0, 0, 0, 0),
    'mount': lambda: number(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None),
    'umount': lambda: number(libc.umount2, b'/dev/shm', 2),
    'pivot_root': lambda: number(call, 155 if is_x86 else 41, b'/', b'/'),
    'chroot': lambda: number(libc.chroot, b'/tmp'),
    'setns': lambda: number(libc.setns, space, 0),
    'sethostname': lambda: number(libc.sethostname, b'x', 1),
    'bpf': lambda: number(call, 321 if is_x86 else 280, 0, None, 0),
    'keyctl': lambda: number(call, 250 if is_x86 else 219, 0, -3, 1),
    'userfaultfd': lambda: number(call, 323 if is_x86 else 282, 1),
    'perf_event_open': lambda: number(call, 298 if is_x86 else 241, None, 0, -1, -1, 0),
    'io_uring_setup': lambda: number(call, 425, 1, None),
    'kexec_load': lambda: number(call, 246 if is_x86 else 104, 0, 1, None, 0),
    'reboot': lambda: number(libc.reboot, 0),
    'memory of the first': lambda: os.close(os.open('/proc/1/mem', os.O_RDWR)),
    'socket to the hypervisor': lambda: socket.socket(40, socket.SOCK_STREAM).close(),
}.items()}))
"""


def forbidden_calls():
    return re.findall(r"^    '([^']+)': lambda", FORBIDDEN, re.M)


def faults_of_calls(twin):
    """Ways that are refused end with EPERM or EACCES; nothing else counts, not even a fault in the attempt."""
    return {f"call {name}": os.strerror(number) if number >= 0 else f"signal {-number}"
            for name, number in inside(twin, "s-0", FORBIDDEN).items() if number not in (1, 13)}


OWN = f"own-{os.getpid()}"  # a name that nobody else on the machine has
OWN_FILES = (f"/tmp/{OWN}", f"/dev/shm/{OWN}")
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
                                     '/usr/bin/x', '/opt/x', '/dev/x', '/var/lib/x', '/tmp/OWN', '/dev/shm/OWN')},
    'seen': {p: os.path.exists(p) for p in sys.argv[1:]},
    'run': below('/run'), 'twin': below('/run/twin'), 'tmp': below('/tmp'), 'root': below('/'),
}))
""".replace("OWN", OWN)


# Of the machine's sockets and files, as the twin sees them before it makes cages.
def hidden_files(twin):
    secret = twin.folder / "secret"
    secret.write_text("of the user")
    return {"the secret": secret, "the socket": twin.socket, "the state": twin.state, "home": pathlib.Path.home()} | {
        path: path for path in ("/run/netns", "/run/twin/state", "/home", "/root", "/srv", "/mnt", "/boot",
                                "/sys/fs/cgroup/pids")}


def faults_of_files(twin):
    faults = {}
    for host, shown in ("s-0", ["parley-twin"]), ("f", ["balancer", "balancer-config", "certificates", "limiter"]):
        hidden = hidden_files(twin)
        found = inside(twin, host, FILES, *map(str, hidden.values()))
        faults.update({f"sees {name}": host for name, path in hidden.items() if found["seen"][str(path)]})
        faults.update({f"writes {path}": host for path, result in found["writes"].items()
                       if (result == "written") != (path in OWN_FILES)})
        if found["run"] != ["twin"] or found["twin"] != shown:
            faults["the twin's folder"] = found
        if found["tmp"] != [OWN]:
            faults["the /tmp of others"] = found["tmp"]
    if inside(twin, "s-1", FILES)["tmp"] != [OWN] or any(map(os.path.exists, OWN_FILES)):
        faults["a /tmp of others"] = OWN
    for host in "f", "g":
        if inside(twin, host, BALANCER) != [[host], [host, "limits"]]:
            faults["files of another balancer"] = host
    return faults


BALANCER = ("import json, os\n"
            "print(json.dumps([sorted(os.listdir('/run/twin/' + p)) for p in ('balancer', 'balancer-config')]))")
OWNER = ("import json, os\n"
         "def tried(p):\n"
         "    try: open(p, 'w').close(); return 0\n"
         "    except OSError as e: return e.errno\n"
         "print(json.dumps({p: tried(p) for p in ('/usr/x', '/etc/x', '/x', '/run/twin/x')}))")


def faults_of_owners(twin):
    """What even who has all rights in a host cannot write."""
    wanted = {30} if os.geteuid() == 0 else {13, 30}  # EROFS; without root the owner comes first
    done = twin.run("s-0", twinlab.PYTHON, "-c", OWNER)
    return {f"the owner writes {path}": number for path, number in json.loads(done.stdout).items()
            if number not in wanted}


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


def faults_of_sockets(twin, port, name):
    """Those of the machine: one of TCP, one of a name that lies in no file."""
    found = zip(("TCP", "abstract"), inside(twin, "s-0", CONNECT, str(port), name))
    return {f"the machine's socket, {kind}": what for kind, what in found if what != "ConnectionRefusedError"}


# Listens at a name that lies in no file, and ends with its stdin.
NAMED = ("import socket, sys\n"
         "s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + sys.argv[1]); s.listen(1)\n"
         "print('listening', flush=True); sys.stdin.read()")
NEIGHBOUR = """
import json, socket, sys
def tried(act):
    try:
        act()
        return 'done'
    except OSError as e:
        return type(e).__name__ + ' ' + str(e.errno)
print(json.dumps({
    'interfaces': sorted(name for _, name in socket.if_nameindex()),
    'addresses': {a: tried(lambda: socket.socket().bind((a, 0))) for a in sys.argv[2:]},
    'named': tried(lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1])),
}))
"""


def faults_of_networks(twin):
    """Whether a host has its own network alone: no other's interfaces, addresses, or sockets of a name."""
    name = f"parley-neighbour-{os.getpid()}"
    own, others = "10.210.0.11", ("10.210.0.1", "10.210.0.12", "198.51.100.1")
    assert twin.hosts()["s-0"]["address"] == own and twin.hosts()["s-1"]["address"] == others[1], twin.hosts()
    neighbour = twinlab.subprocess.Popen(command_inside(twin, "s-1", NAMED, name), stdin=twinlab.subprocess.PIPE,
                                         stdout=twinlab.subprocess.PIPE)
    try:
        assert neighbour.stdout.readline() == b"listening\n"
        found = inside(twin, "s-0", NEIGHBOUR, name, own, *others)
    finally:
        neighbour.stdin.close()
        neighbour.wait(10)
        neighbour.stdout.close()
    faults = {f"has the address {address}": "bound" for address in others if found["addresses"][address] == "done"}
    if found["interfaces"] != ["eth0", "lo"] or found["addresses"][own] != "done":
        faults["not its host's network"] = found
    if not found["named"].startswith("ConnectionRefusedError"):
        faults["a neighbour's socket"] = found["named"]
    return faults


# Leaves a file, says which ones there are, and in which namespace of mounts.
LEAVE = """
import json, os, sys
def mounts():
    try:
        return os.readlink('/proc/self/ns/mnt')
    except OSError:
        return ''
open('/tmp/' + sys.argv[1], 'w').close()
print(json.dumps({'tmp': sorted(os.listdir('/tmp')), 'mounts': mounts()}))
"""


def faults_of_mounts(twin):
    """Whether a host's mounts are its own, whichever of two hosts came first."""
    found = [(host, inside(twin, host, LEAVE, host)) for host in ("s-0", "s-1", "s-0")]
    mounts = {seen["mounts"] for _, seen in found}
    faults = {"another's /tmp": seen["tmp"] for host, seen in found
              if {"s-0", "s-1"} & set(seen["tmp"]) != {host}}
    if "" in mounts:
        faults["another's /proc"] = sorted(mounts)
    elif len(mounts) != 2:
        faults["a neighbour's mounts"] = sorted(mounts)
    return faults


# As many processes as it gets, all at once. They end before it does.
FERTILE = """
import os, signal, sys
children = []
try:
    while len(children) < int(sys.argv[1]):
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
print("made", len(children), flush=True)
"""
FEW, MANY = 12, 60


def faults_of_numbers(twin):
    """How many processes an instance with a limit of FEW can make: as its health check, which is a program of its
    own host, user and limits."""
    check = {"test": ["CMD", twinlab.PYTHON, "-c", FERTILE, str(MANY)], "interval": "1s", "retries": 9}
    twin.made("docker:compose:stack", "stack", {"services": {"shop": {
        "image": "shop", "hosts": "s", "port": 80, "healthCheck": "/health", "limits": {"processes": FEW},
        "healthcheck": check}}}, {"services.shop.hosts": "s"})
    log = twin.state / "logs" / "s-0.shop.health.log"
    assert wait_until(lambda: log.exists() and "made" in log.read_text(), 30), log
    made = int(re.search(r"made (\d+)", log.read_text()).group(1))
    assert 0 < made <= MANY, made
    return {"makes processes without end": made} if made >= FEW else {}


def need_haproxy():
    if not shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        twinlab.skip_all("haproxy is not installed")
