"""What the tests of the twin share: a supervisor in a folder of its own, requests, packets, TAP.

A test file calls run(__file__'s tests) with the path of parley-twin as first argument. With
--as-user, and when started as root, everything runs as an ordinary user. What is marked with
for_users is about what root does not need, and left out for root; for_root the other way round, and
skipped where nobody is root.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ORDINARY_USER = 65534
PYTHON = "/usr/bin/python3"

# Connects to every target at once; prints those that accepted, refused and were silent.
PROBE = r"""
import json, select, socket, sys, errno
targets, wait, source = json.loads(sys.argv[1])
waiting, result = {}, {}
poller = select.poll()
for address, port in targets:
    s = socket.socket(); s.setblocking(False)
    if source: s.bind((source, 0))
    code = s.connect_ex((address, port))
    waiting[s.fileno()] = (s, f"{address}:{port}")
    poller.register(s.fileno(), select.POLLOUT)
import time
end = time.monotonic() + wait
while waiting and time.monotonic() < end:
    for fd, _ in poller.poll(max(1, (end - time.monotonic()) * 1000)):
        s, name = waiting.pop(fd)
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        result[name] = "open" if code == 0 else "refused" if code == errno.ECONNREFUSED else "silent"
        poller.unregister(fd); s.close()
for s, name in waiting.values():
    result[name] = "silent"
print(json.dumps(result))
"""

# Listens on every port given and says so; ends with its stdin.
LISTENER = r"""
import json, socket, sys, threading
sockets = []
for port in json.loads(sys.argv[1]):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port)); s.listen(512); sockets.append(s)
print("listening", flush=True)
def serve(s):
    while True:
        c, _ = s.accept()
        threading.Thread(target=echo, args=(c,), daemon=True).start()
def echo(c):
    try:
        while (data := c.recv(4096)):
            c.sendall(data)
    except OSError:
        pass
for s in sockets:
    threading.Thread(target=serve, args=(s,), daemon=True).start()
sys.stdin.read()
"""


class Twin:
    def __init__(self, folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
        self.state = self.folder / "state"
        self.socket = self.folder / "sock"
        self.process = None
        self.helpers = []

    def start(self, wait=True, prepare=None, wrapper=()):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [*wrapper, PROGRAM, "supervise", "--state", self.state, "--socket", self.socket],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, preexec_fn=prepare)
        log.close()
        if wait:
            line = self.process.stdout.readline()
            assert line == b"ready\n", (line, self.log())
        return self

    def log(self):
        return (self.folder / "log").read_text()

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)  # whoever does not answer at all: a loaded machine takes its time to start servers
        s.connect(str(self.socket))
        return Connection(s)

    def ask(self, verb, **fields):
        with self.connect() as connection:
            return connection.ask(verb, **fields)

    def get(self, uid):
        return self.ask("get", uid=uid)["resource"]

    def status(self):
        return self.ask("status")

    def put(self, type_name, name, spec, references=None, uid=None):
        resource = {"uid": uid or f"uid-{name}", "name": name, "type": type_name, "spec": spec,
                    "references": {k: [f"uid-{v}"] for k, v in (references or {}).items()}}
        return self.ask("put", resource=resource)

    def made(self, *arguments, **keywords):
        answer = self.put(*arguments, **keywords)
        assert answer["ok"], answer
        return answer

    def vlan(self, name, subnet, tag=1):
        return self.made("opnsense:network:vlan", name, {"tag": tag, "subnet": subnet})

    def instances(self, name, network, count):
        return self.made("aws:ec2:instances", name, {"instances": count, "subnet": network},
                         {"subnet": network})

    def rule(self, name, source, destination, port=None, **more):
        """source and destination: a text as it is, or ("name",) for a reference."""
        spec, references = dict(more), {}
        spec.setdefault("action", "allow")
        for field, value in (("source", source), ("destination", destination)):
            spec[field] = value if isinstance(value, str) else value[0]
            if not isinstance(value, str):
                references[field] = value[0]
        if port is not None:
            spec["port"] = port
        return self.made("opnsense:firewall:rule", name, spec, references)

    def command(self, host, *arguments):
        return [PROGRAM, "exec", "--socket", str(self.socket), host, *arguments]

    def run(self, host, *arguments, timeout=20):
        return subprocess.run(self.command(host, *arguments), timeout=timeout, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def listen(self, host, ports):
        helper = subprocess.Popen(self.command(host, PYTHON, "-c", LISTENER, json.dumps(ports)),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert helper.stdout.readline() == b"listening\n"
        self.helpers.append(helper)

    def probe(self, host, targets, wait=0.4, source=None):
        done = self.run(host, PYTHON, "-c", PROBE, json.dumps([targets, wait, source]))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def hosts(self):
        return {host["name"]: host for host in self.status()["hosts"]}

    def stop(self):
        # They end with their stdin. A helper that is killed leaves its child to the init of the
        # machine, which may take seconds to reap it; until then the twin's own end would wait.
        for helper in self.helpers:
            helper.stdin.close()
        for helper in self.helpers:
            try:
                helper.wait(5)
            except subprocess.TimeoutExpired:
                helper.kill()
                helper.wait()
            helper.stdout.close()
        self.helpers = []
        if self.process:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Connection:
    def __init__(self, s):
        self.socket = s
        self.buffer = b""
        self.greeting = self.read()
        self.last = 0

    def read(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def send(self, verb, **fields):
        self.last += 1
        self.socket.sendall(json.dumps({"id": self.last, "verb": verb, **fields}).encode() + b"\n")
        return self.last

    def ask(self, verb, **fields):
        wanted = self.send(verb, **fields)
        answer = self.read()
        assert answer and answer["id"] == wanted, answer
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def namespaces_of(pid):
    """The namespaces of the twin whose inner half is pid: {name: inode}."""
    return {name: os.stat(f"/proc/{pid}/ns/{name}").st_ino
            for name in ("mnt", "pid", "net", "ipc", "uts")}


class Held:
    """Namespaces of processes, by the caller's key and their name, kept open: so nobody else's gets
    the number of one that is gone, as it would in a moment on a machine where other twins start."""

    def __init__(self, processes):
        self.spaces = {}
        for key, pid in processes.items():
            for name in namespaces_of(pid):
                self.spaces[key, name] = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)

    def inhabited(self):
        """Which of them somebody is in: [(key, name, process)]."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            for (key, name), space in self.spaces.items():
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.stat(f"/proc/{entry}/ns/{name}"), os.fstat(space)):
                        found.append((key, name, entry))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for space in self.spaces.values():
            os.close(space)


def files_below(folder):
    """The files of a folder in which others come and go meanwhile, which rglob() takes ill."""
    return [pathlib.Path(place, name) for place, _, names in os.walk(folder) for name in names]


def wait_until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def has_groups():
    """Whether this machine has control groups, which only root can use."""
    return any("cpu" in line and "memory" in line or "cgroup2" in line for line in open("/proc/mounts"))


def become_ordinary(folder):
    os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    os.setgroups([])
    os.setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
    os.setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def for_users(test):
    test.is_for_users = True
    return test


def for_root(test):
    test.is_for_root = True
    return test


def run(tests):
    """Runs the tests with a copy of the program that an ordinary user can reach."""
    global PROGRAM
    if not os.path.exists(PYTHON):
        skip_all(f"{PYTHON} is not there")
    folder = tempfile.mkdtemp(prefix="pt-", dir="/tmp")
    os.chmod(folder, 0o755)
    PROGRAM = shutil.copy(sys.argv[1], folder)
    os.chmod(PROGRAM, 0o755)
    is_user = os.geteuid() != 0
    if "--as-user" in sys.argv[2:]:
        if is_user:
            skip_all("this is an ordinary user already")
        become_ordinary(folder)
    wanted = [a for a in sys.argv[2:] if not a.startswith("--")]
    tests = [t for t in tests if not wanted or any(w in t.__name__ for w in wanted)]
    other = "is_for_users" if os.geteuid() == 0 else "is_for_root"
    tests = [t for t in tests if is_user or not getattr(t, other, False)]
    failed = 0
    for number, test in enumerate(tests, 1):
        verdict = "ok"
        try:
            reason = "only root can" if getattr(test, other, False) else test()
        except Exception:
            reason, verdict, failed = None, "not ok", failed + 1
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        skip = f" # SKIP {reason}" if reason else ""
        print(f"{verdict} {number} - {test.__name__}{skip}", flush=True)
    print(f"1..{len(tests)}")
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed > 0)
