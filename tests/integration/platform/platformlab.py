"""What the tests of whole platforms share: a home of its own, the command line, the packet matrix.

The matrix is computed from the records of the expanded document (parley show), never from what the
twin says of its rules; hosts and their addresses come from `parley twin status`.
"""

# The first two load modules that an ordinary user, whom --as-user makes of us, may not be able to read.
import encodings.idna
from concurrent.futures import ThreadPoolExecutor
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "twin"))
import twinlab

# The router's address at the network outside, whose ports may lead inside.
ROUTER = "198.51.100.1"
PORTS = [22, 80, 443, 5432, 8080, 9090]
EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "examples"


class Platform:
    """A state folder and the document that stands in it."""

    def __init__(self, text):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pp-", dir="/tmp"))
        self.home = self.folder / "home"
        self.document = self.folder / "deployment.yaml"
        self.text = text
        self.helpers = []
        (self.folder / "run").mkdir(mode=0o700)

    @property
    def text(self):
        return self.document.read_text()

    @text.setter
    def text(self, text):
        self.document.write_text(text)

    def environment(self):
        environment = dict(os.environ, PARLEY_HOME=str(self.home), HOME=str(self.folder),
                           XDG_RUNTIME_DIR=str(self.folder / "run"))
        environment.pop("PARLEY_SITE", None)
        return environment

    def program(self):
        return os.path.join(os.path.dirname(twinlab.PROGRAM), "parley")

    def parley(self, *arguments, timeout=120, code=0):
        done = subprocess.run([self.program(), *arguments], cwd=self.folder, env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert code is None or done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done

    def answer(self, *arguments):
        return json.loads(self.parley(*arguments, "--json").stdout)

    def up(self):
        return self.parley("up", str(self.document), "--yes").stdout

    def steps(self):
        """What a plan would do now, as "KIND ADDRESS"."""
        plan = self.answer("plan", str(self.document))
        return sorted(f"{step['kind']} {step['address']}" for step in plan["steps"])

    def name(self):
        return self.answer("status")[0]["name"]

    def records(self, kind=None):
        return [r for r in self.answer("show", self.name()) if kind is None or r["type"].endswith(kind)]

    def hosts(self):
        return {host["name"]: host for host in self.answer("twin", "status")["hosts"]}

    def twin_pid(self):
        return self.answer("twin", "status")["pid"]

    def run(self, host, *arguments, timeout=60):
        return subprocess.run([self.program(), "twin", "exec", host, *arguments], cwd=self.folder,
                              env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout)

    def listen(self):
        """A listener on each port of each host that nobody serves there yet."""
        for host in self.hosts():
            helper = subprocess.Popen(
                [self.program(), "twin", "exec", host, twinlab.PYTHON, "-c", LISTENER, json.dumps(PORTS)],
                cwd=self.folder, env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.helpers.append(helper)
        for helper in self.helpers:
            assert helper.stdout.readline() == b"listening\n"

    def stop_listening(self):
        for helper in self.helpers:
            helper.stdin.close()
        for helper in self.helpers:
            helper.wait(10)
            helper.stdout.close()
        self.helpers = []

    def matrix(self):
        """{(from, to, port): "open" or "silent"} as packets find it, from four hosts at a time."""
        hosts = self.hosts()
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(lambda source: self.row(hosts, source), hosts))
        return {cell: verdict for row in rows for cell, verdict in row.items()}

    def row(self, hosts, source):
        others = {h["address"]: name for name, h in hosts.items() if name != source}
        if source == "outside":
            others[ROUTER] = ROUTER
        targets = [[address, port] for address in others for port in PORTS]
        done = self.run(source, twinlab.PYTHON, "-c", twinlab.PROBE, json.dumps([targets, 1.0, None]))
        assert done.returncode == 0, done.stderr
        cells = {}
        for target, verdict in json.loads(done.stdout).items():
            address, port = target.split(":")
            cells[source, others[address], int(port)] = verdict
        return cells

    def expected(self):
        """The same by the rules of the document; pairs within one network are left out."""
        rules, hosts = Rules(self.records()), self.hosts()
        cells = {("outside", ROUTER, port): "open" if rules.lead_in(hosts["outside"]["address"], port) else "silent"
                 for port in PORTS}
        return cells | {(a, b, port): "open" if rules.let_in(source["address"], target["address"], port) else "silent"
                for a, source in hosts.items() for b, target in hosts.items()
                if source["network"] != target["network"] for port in PORTS}

    def stop(self):
        self.stop_listening()
        try:
            pid = self.twin_pid()
        except (AssertionError, KeyError):
            pid = None
        if pid:
            self.parley("twin", "down", code=None)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


# As twinlab's, but a port that is served already is left to who serves it.
LISTENER = twinlab.LISTENER.replace(
    's.bind(("0.0.0.0", port)); s.listen(512); sockets.append(s)',
    """try:
        s.bind(("0.0.0.0", port)); s.listen(512); sockets.append(s)
    except OSError:
        pass""")


class Rules:
    """The firewall rules of a document, read as the document's language defines them."""

    def __init__(self, records):
        self.networks = {r["address"]: [r["spec"]["subnet"]] for r in records
                         if r["type"] == "opnsense:network:vlan"}
        self.networks.update({r["address"]: r["spec"].get("content", []) for r in records
                              if r["type"] == "opnsense:firewall:alias"})
        self.ports = {r["address"]: r["spec"].get("ports", []) for r in records
                      if r["type"] == "opnsense:firewall:alias"}
        self.forwards = [r for r in records if r["type"] == "opnsense:nat:portforward"]
        self.rules = [r["spec"] for r in records if r["type"] == "opnsense:firewall:rule"]

    def covers(self, end, address):
        subnets = self.networks.get(end, [end] if "/" in end else [])
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(s) for s in subnets)

    def has_port(self, spec, port):
        if "port" not in spec:
            return True
        wanted = spec["port"] if isinstance(spec["port"], list) else [spec["port"]]
        for item in [p for item in wanted for p in self.ports.get(item, [item])]:
            first, _, last = str(item).partition("-")
            if int(first) <= port <= int(last or first):
                return True
        return False

    def lead_in(self, source, port):
        """What becomes of a packet from outside to the router's own address there."""
        for record in sorted(self.forwards, key=lambda record: record["spec"]["sequence"]):
            spec = record["spec"]
            if self.has_port(spec, port) and self.covers(spec.get("source", "0.0.0.0/0"), source):
                verdict = self.decide(source, record["outputs"]["target"], spec.get("targetPort", port))
                return verdict == "allow" or (verdict is None and spec.get("pass", True))
        return False

    def let_in(self, source, target, port):
        return self.decide(source, target, port) == "allow"

    def decide(self, source, target, port):
        for spec in sorted(self.rules, key=lambda spec: spec["sequence"]):
            if (spec.get("protocol", "tcp") in ("tcp", "tcp/udp", "any") and self.has_port(spec, port)
                    and self.covers(spec["source"], source) and self.covers(spec["destination"], target)):
                return spec["action"]
        return None


def differences(got, want):
    return {cell: (got.get(cell), want[cell]) for cell in want if got.get(cell) != want[cell]}


def run(tests):
    """As twinlab.run(), with parley beside parley-twin."""
    parley = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "parley")
    copy = shutil.copy

    def copy_both(program, folder):
        os.chmod(copy(parley, folder), 0o755)
        return copy(program, folder)

    shutil.copy = copy_both
    twinlab.run(tests)
