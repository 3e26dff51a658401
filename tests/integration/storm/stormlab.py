"""What the storm of kills needs: who belongs to a platform, who of them to kill, what is left."""

import os
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "platform"))
import boundaries
import platformlab
from platformlab import twinlab

VICTIMS = ["run", "outer half", "inner half", "haproxy", "limiter", "postgres", "prometheus", "workload"]
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user")
# Folders of the twin's state that hold what belongs to resources; the rest outlives them.
DATA = ("database", "access", "secrets", "certificates", "monitor")


def read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def words(pid):
    return read(pid, "cmdline").decode(errors="replace").split("\0")


def parent(pid):
    fields = read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[0] != "Z" else 0


def processes():
    """{pid: parent} of all that live; what ended and waits to be reaped is left out."""
    found = {int(entry): parent(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return {pid: above for pid, above in found.items() if above or pid == 1}


def named(home, word):
    """Processes of parley that carry the state folder in their command line."""
    return [pid for pid in processes() if word in words(pid) and
            any(part == str(home) or part.startswith(f"{home}/") for part in words(pid))]


def supervisors(home):
    """The outer half and the inner one, each None where it is not there."""
    both = named(home, "supervise")
    outer = [pid for pid in both if parent(pid) not in both]
    inner = [pid for pid in both if parent(pid) in both]
    return (outer or [None])[0], (inner or [None])[0]


def below(pid):
    family, tree = {pid}, processes()
    while True:
        more = {child for child, above in tree.items() if above in family} - family
        if not more:
            return family - {pid}
        family |= more


def find_victims(home, kind):
    if kind == "run":
        return [pid for pid in named(home, "exec") if "run" in words(pid)]
    outer, inner = supervisors(home)
    if kind in ("outer half", "inner half"):
        return [pid for pid in (outer if kind == "outer half" else inner,) if pid]
    return sorted(pid for pid in (below(inner) if inner else ())
                  if kind in words(pid)[0] or kind in words(pid)[1:2] or
                  kind in read(pid, "comm").decode(errors="replace"))


def run_of(pid):
    """The id of the run that a process carries out, or None."""
    line = words(pid)
    return line[line.index("exec") + 1] if "run" in line and "exec" in line[:-1] else None


def listeners():
    """The numbers of all sockets of this machine that take TCP connections."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return {row[9] for row in rows if row[3] == "0A"}


def sockets(pid):
    found = set()
    try:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            found.add(os.readlink(f"/proc/{pid}/fd/{entry}").removeprefix("socket:[").rstrip("]"))
    except OSError:
        pass
    return found


def contents(folder):
    """All below a folder, of which some may be going just now."""
    return [pathlib.Path(place) / name for place, folders, files in os.walk(folder) for name in folders + files]


class Storm:
    """Counts what is killed, and remembers all namespaces and host ports that a platform had."""

    def __init__(self, platform, random):
        self.platform = platform
        self.random = random
        self.namespaces = {}
        self.sockets = set()
        self.killed = {}
        self.met = dict.fromkeys(boundaries.NAMES, 0)
        self.kill = None  # of a run, until its boundaries are counted
        self.before = {}

    def aim(self):
        """The boundary that was met the least."""
        return min(boundaries.NAMES, key=lambda name: (self.met[name], self.random.random()))

    def count_boundaries(self):
        for name in self.kill.boundaries() if self.kill else ():
            self.met[name] += 1
        self.kill = None

    def note_what_it_has(self):
        """Each namespace is held open, so that its number is not given to one of somebody else."""
        outside = {os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES}
        _, inner = supervisors(self.platform.home)
        self.sockets |= sockets(inner) & listeners() if inner else set()
        for pid in {inner} | below(inner) if inner else ():
            for name in NAMESPACES:
                try:
                    descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    continue
                key = name, os.fstat(descriptor).st_ino
                if key[1] in outside or key in self.namespaces:
                    os.close(descriptor)
                else:
                    self.namespaces[key] = descriptor

    def kill_one(self, kind):
        """Kills one of a kind; returns whether there was one."""
        victims = find_victims(self.platform.home, kind)
        if not victims:
            return False
        victim = self.random.choice(victims)
        run = run_of(victim)
        if run:
            boundaries.wait_for(self.platform, self.aim(), lambda: parent(victim), self.random)
        else:
            self.note_what_it_has()
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if run:
            self.kill = boundaries.Kill(self.platform, run, self.before)
            self.note_what_it_has()
        self.killed[kind] = self.killed.get(kind, 0) + 1
        return True

    def start(self, *arguments):
        return subprocess.Popen([self.platform.program(), *arguments], cwd=self.platform.folder,
                                env=self.platform.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def left(self):
        """All that a platform which is gone has left: outside of its state folder and of the cache
        (docs/twin.md) anything, inside of it what belonged to its resources."""
        home = self.platform.home
        cache = self.platform.folder / ".cache" / "parley"
        found = [f"process {pid}: {' '.join(words(pid))}" for pid in processes()
                 if any(str(self.platform.folder) in word for word in words(pid))]
        for pid in processes():
            for name in NAMESPACES:
                try:
                    if (name, os.stat(f"/proc/{pid}/ns/{name}").st_ino) in self.namespaces:
                        found.append(f"process {pid} in namespace {name}: {' '.join(words(pid))}")
                except OSError:
                    pass
        with open("/proc/self/mountinfo") as mounts:
            found += [line.strip() for line in mounts if str(self.platform.folder) in line]
        found += [str(path) for path in contents(self.platform.folder) if not path.is_dir() and
                  home not in path.parents and cache not in path.parents and
                  path != self.platform.document]
        found += [str(path) for name in DATA for path in contents(home / "twin" / name)]
        return found + [f"listener {inode}" for inode in listeners() & self.sockets]

    def forget(self):
        """Lets go of what is gone."""
        for descriptor in self.namespaces.values():
            os.close(descriptor)
        self.namespaces, self.sockets = {}, set()
