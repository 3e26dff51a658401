"""What the tests of whole platforms share: a home of its own, the command line, the packet matrix.

The matrix is computed from the records of the expanded document (parley show), never from what the
twin says of its rules; hosts and their addresses come from `parley twin status`.
"""

# The first two load modules that an ordinary user, whom --as-user makes of us, may not be able to read.
import encodings.idna
from concurrent.futures import ThreadPoolExecutor
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "twin"))
import packets
import twinlab
from packetrules import Rules

# The router's address at the network outside, whose ports may lead inside.
ROUTER = "198.51.100.1"
EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "examples"


class Platform:
    """A state folder and the document that stands in it; of another user, where root says so."""

    def __init__(self, text, user=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pp-", dir="/tmp"))
        self.home = self.folder / "home"
        self.document = self.folder / "deployment.yaml"
        self.text = text
        self.helpers = []
        self.variables = {}
        (self.folder / "run").mkdir(mode=0o700)
        self.user = user and pwd.getpwnam(user)
        for path in (self.folder, self.document, self.folder / "run") if self.user else ():
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    @property
    def text(self):
        return self.document.read_text()

    @text.setter
    def text(self, text):
        self.document.write_text(text)

    def environment(self):
        environment = dict(os.environ, PARLEY_HOME=str(self.home), HOME=str(self.folder),
                           XDG_RUNTIME_DIR=str(self.folder / "run"), **self.variables)
        environment.pop("PARLEY_SITE", None)
        return environment

    def command(self, *arguments):
        as_user = (["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
                   if self.user else [])
        return [*as_user, self.program(), *arguments]

    def program(self):
        return os.path.join(os.path.dirname(twinlab.PROGRAM), "parley")

    def parley(self, *arguments, timeout=120, code=0):
        done = subprocess.run(self.command(*arguments), cwd=self.folder, env=self.environment(),
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
        return subprocess.run(self.command("twin", "exec", host, *arguments), cwd=self.folder,
                              env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout)

    def ports(self):
        return Rules(self.records()).ports()

    def listen(self):
        """A listener on each port of each host that nobody serves there yet."""
        ports = json.dumps(self.ports())
        for host in self.hosts():
            helper = subprocess.Popen(
                self.command("twin", "exec", host, twinlab.PYTHON, "-c", packets.LISTENER, ports),
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

    def targets(self):
        """All that has an address: {name: address}, of hosts and of the router in each network."""
        found = {name: host["address"] for name, host in self.hosts().items()}
        found.update({f"router in {r['address']}": r["outputs"]["gateway"] for r in self.records("network:vlan")})
        return {**found, ROUTER: ROUTER}

    def row(self, source, targets, ports, wait):
        """What becomes of packets from one host: {(from, to, port): "open", "refused" or "silent"}."""
        names = {address: name for name, address in targets.items() if name != source}
        asked = [[address, port] for address in names for port in ports]
        done = self.run(source, twinlab.PYTHON, "-c", packets.PROBE, json.dumps([asked, wait]))
        assert done.returncode == 0, done.stderr
        return {(source, names[address], port): verdict for address, port, verdict in json.loads(done.stdout)}

    def matrix(self, wait):
        """What becomes of packets from each host to each address, from four hosts at a time."""
        targets, ports = self.targets(), self.ports()
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(lambda source: self.row(source, targets, ports, wait), self.hosts()))
        return {cell: verdict for row in rows for cell, verdict in row.items()}

    def expected(self):
        """The same by the rules of the document. Hosts of one network reach each other without the firewall, so that
        no rule is asked there: everybody listens, and all is open."""
        rules, hosts = Rules(self.records()), self.hosts()
        cells = {}
        for source, host in hosts.items():
            for target, address in self.targets().items():
                if target == source:
                    continue
                for port in rules.ports():
                    cells[source, target, port] = (
                        "open" if self.are_neighbours(hosts, source, target)
                        else rules.verdict(host["address"], address, port) if target in hosts
                        else rules.router_verdict(host["address"], address, port, ROUTER))
        return cells

    @staticmethod
    def are_neighbours(hosts, source, target):
        return target in hosts and hosts[target]["network"] == hosts[source]["network"]

    def differences(self, want):
        """Cells that are not as wanted: {cell: (found, wanted)}. Where a loaded machine was too slow to answer it
        gets more time; what answers and should not is one at once. Who is refused by UDP or ICMP need not be told each
        time: the kernel says it to nobody more often than once a second."""
        def look(wait):
            return {cell: pair for cell, pair in differences(self.matrix(wait), want).items()
                    if pair != ("silent", "refused") or not str(cell[2]).endswith(("udp", "icmp"))}

        found = look(0.7)
        return look(6) if any(pair[0] == "silent" for pair in found.values()) else found

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
