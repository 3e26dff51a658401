"""What the tests of the whole program share: a place of its own for each test, the program in it,
and TAP. A test is a function whose name is a sentence; it gets its place and raises when something
is not so."""
import concurrent.futures
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

PROGRAM = os.path.abspath(sys.argv[1])
TESTS = []
N_AT_A_TIME = 6

CATALOG = """
types:
  acme:thing:box:
    description: A box.
    stage: application
    properties:
      colour: {kind: string, allowed: [red, blue]}
      size: {kind: integer, forcesReplacement: true}
      note: {kind: string}
      lid: {kind: string, references: [acme:thing:box]}
    outputs:
      id: {type: string}
      endpoint: {type: string}
    drivers: {fake: {fidelity: stand-in, note: a file stands for it}}
    repeat: key
    seconds: {create: 1, update: 1, delete: 1}
  acme:thing:vault:
    description: A vault, whose content is lost with it.
    stage: infrastructure
    irreversible: true
    properties: {}
    outputs: {id: {type: string}}
    drivers: {fake: {fidelity: stand-in}}
    repeat: key
    seconds: {create: 1, update: 1, delete: 1}
"""


class Skip(Exception):
    """What this machine surely cannot do."""


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def events(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Place:
    """A folder with a state folder, a runtime folder and documents; nothing outside is touched."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="parley-life-")
        self.home = os.path.join(self.folder, "home")
        self.is_store_damaged = False
        self.program = PROGRAM
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith("PARLEY_") and not key.startswith("XDG_")}
        self.env["HOME"] = self.folder
        self.env["XDG_RUNTIME_DIR"] = os.path.join(self.folder, "run")
        os.mkdir(self.env["XDG_RUNTIME_DIR"], 0o700)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def line(self, *words):
        return [self.program, *words, "--home", self.home]

    def start(self, *words, **options):
        return subprocess.Popen(self.line(*words), cwd=self.folder, env=self.env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def parley(self, *words, want=0, patience=60):
        """Runs a command to its end; want is its exit code, None for any."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"parley {' '.join(words)}: no end within {patience} s") from None
        if want is not None and process.returncode != want:
            raise AssertionError(f"parley {' '.join(words)}: exit {process.returncode}, "
                                 f"not {want}\n{out}{err}")
        assert process.returncode >= 0, f"parley {' '.join(words)} died of {-process.returncode}\n{err}"
        return Result(process.returncode, out, err)

    def with_boxes(self, **settings):
        """A site with an account of the fake, and the catalog beside it."""
        text = "".join(f", {key}: {json.dumps(value)}" for key, value in settings.items())
        self.write("parley.yaml",
                   f"site:\n  format: 1\n  instances:\n    acme.lab: {{driver: fake{text}}}\n")
        self.write("catalog/acme.yaml", CATALOG)

    def files(self):
        """What the fake has: uid -> resource."""
        folder = self.path("home", "fake", "acme.lab")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return {name[:-5]: json.loads(self.read(f"home/fake/acme.lab/{name}"))
                for name in names if name.endswith(".json")}

    def records(self, name):
        return self.parley("show", name, "--json").json()

    def processes(self):
        """Our processes that are still there: pid -> words."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if self.home in words:
                found[int(pid)] = words
        return found

    def run_processes(self):
        return [pid for pid, words in self.processes().items() if "exec" in words]

    def close(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


def document(name, resources, environment=None, extra=""):
    """resources: name -> (type, properties, further keys)."""
    lines = ["deployment:", f"  name: {name}"]
    if environment:
        lines.append(f"  environment: {environment}")
    lines.append("  resources:" if resources else "  resources: []")
    for resource, (kind, properties, further) in resources.items():
        lines.append(f"    - {json.dumps(dict(type=kind, name=resource, properties=properties, **further))}")
    return "\n".join(lines) + "\n" + extra


def data(value, **further):
    return ("core:data:value", {"value": value}, further)


def box(further=None, **properties):
    return ("acme:thing:box", properties, further or {})


def chain(name, n):
    """Boxes that are made one after the other."""
    return document(name, {f"b{i}": box({"dependsOn": [f"b{i - 1}"]} if i else None, size=1) for i in range(n)})


def steps(plan):
    return [step["id"].split("#")[0] for step in plan["steps"]]


def said(text):
    """What a program said, without what only AddressSanitizer adds."""
    return "\n".join(line for line in text.splitlines() if "WARNING: ASan" not in line).strip()


def has_sanitizer():
    """Whether the program was built with AddressSanitizer, to which mlock() is nothing."""
    with open(PROGRAM, "rb") as program:
        return b"__asan_init" in program.read()


def wait_until(condition, what, patience=20):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


def agree(place, name):
    """Each record's resource is there once, as recorded, and nothing else is."""
    recorded = {record["uid"]: record.get("live", record["spec"]) for record in place.records(name)
                if record["type"] == "acme:thing:box"}
    there = {uid: resource["spec"] for uid, resource in place.files().items()}
    assert recorded == there, f"recorded {recorded}\nthere {there}"


def test(function):
    TESTS.append(function)
    return function


def check_audit(place):
    """Whatever a test did, nothing of it is missing in the chains; but where it damaged the store itself."""
    if os.path.exists(place.path("home/parley.db")) and not place.is_store_damaged:
        place.parley("audit", "verify")


def run_test(function):
    """Its lines of TAP but for the number, and whether it failed."""
    place = Place()
    try:
        function(place)
        wait_until(lambda: not place.processes(), "all processes had ended", 10)
        check_audit(place)
    except Skip as reason:
        return "", f"# SKIP {reason}", False
    except Exception:  # pylint: disable=broad-except
        return "".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), "", True
    finally:
        place.close()
    return "", "", False


def run_by_name(name):
    return run_test(next(function for function in TESTS if function.__name__ == name))


def main():
    """Several tests at a time, each in a process: they wait more than they work."""
    wanted = sys.argv[-1] if len(sys.argv) > 2 else ""
    names = [function.__name__ for function in TESTS]
    names = [name for name in names if re.search(wanted, name)] or names
    n_failed = 0
    with concurrent.futures.ProcessPoolExecutor(
            N_AT_A_TIME, mp_context=multiprocessing.get_context("fork")) as pool:
        for number, (name, end) in enumerate(zip(names, pool.map(run_by_name, names)), 1):
            remarks, directive, has_failed = end
            n_failed += has_failed
            print(f"{remarks}{'not ' if has_failed else ''}ok {number} - {name} {directive}".rstrip(),
                  flush=True)
    print(f"1..{len(names)}")
    sys.exit(n_failed > 0)
