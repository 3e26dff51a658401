#!/usr/bin/env python3
"""Several twins on one machine, of one user and of several, and one whose machine was started anew. TAP."""

from concurrent.futures import ThreadPoolExecutor
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import threading
import urllib.request

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform, twinlab

TEXT = (EXAMPLES / "plain.yaml").read_text()
# Tells everybody who comes whose it is; ends with its stdin.
NAMED = ("import socket, sys, threading\n"
         "s = socket.create_server(('', 4711))\n"
         "def serve():\n"
         "    while True:\n"
         "        c, _ = s.accept(); c.sendall(sys.argv[1].encode()); c.close()\n"
         "threading.Thread(target=serve, daemon=True).start()\n"
         "print('listening', flush=True); sys.stdin.read()")
ASK = ("import socket, sys\n"
       "s = socket.create_connection((sys.argv[1], 4711), 10); s.settimeout(10)\n"
       "print(s.makefile().read())")


def door(platform):
    """Where the world comes in, from this machine."""
    lines = [line for section in platform.answer("status", "plain")["sections"] for line in section["lines"]]
    return re.search(r"curl (http://127\.0\.0\.1:\d+/)", "\n".join(lines)).group(1)


def visit(url):
    """One more visit; returns how many there were, as the database has counted them."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["database"]["visits"]


def whose(platform, name):
    """Who answers at the address of a host, which all twins have."""
    address = platform.hosts()["desk-1"]["address"]
    helper = subprocess.Popen(platform.command("twin", "exec", "desk-1", twinlab.PYTHON, "-c", NAMED, name),
                              cwd=platform.folder, env=platform.environment(), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    platform.helpers.append(helper)
    assert helper.stdout.readline() == b"listening\n"
    return address, lambda: platform.run("desk-0", twinlab.PYTHON, "-c", ASK, address).stdout.strip()


def below(pid):
    """A process and all that it has started, as /proc tells."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def outer_half(platform):
    pid = platform.twin_pid()
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Visitors:
    """Several who visit one after another; each answer is a row that the database has acknowledged."""

    def __init__(self, url, count=4):
        self.url = url
        self.answered = 0
        self.counting = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.visit_on, daemon=True) for _ in range(count)]

    def visit_on(self):
        while not self.over.is_set():
            try:
                visit(self.url)
            except (OSError, ValueError, KeyError):
                self.over.wait(0.01)
                continue
            with self.counting:
                self.answered += 1

    def have_more(self, more=100):
        wanted = self.answered + more
        return twinlab.wait_until(lambda: self.answered >= wanted, 60)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def kill_all(platform):
    """Everything of a twin in one moment, as when the machine stops: with the first process of their namespace the
    kernel ends all that are in it."""
    outer = outer_half(platform)
    family = below(outer)
    for pid in [outer, platform.twin_pid(), *family]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert twinlab.wait_until(lambda: not any(map(lives, family)), 20)


def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def all_stand_apart(users):
    with contextlib.ExitStack() as stack:
        platforms = [stack.enter_context(Platform(TEXT, user)) for user in users]
        with ThreadPoolExecutor(len(platforms)) as pool:
            list(pool.map(lambda platform: platform.up(), platforms))
        doors = [door(platform) for platform in platforms]
        assert len(set(doors)) == len(doors), doors

        # The same addresses, and each twin has its own behind them.
        named = [whose(platform, f"twin {i}") for i, platform in enumerate(platforms)]
        assert len({address for address, _ in named}) == 1, named
        assert [ask() for _, ask in named] == [f"twin {i}" for i in range(len(platforms))]
        visits = [[visit(url) for _ in range(i + 1)][-1] for i, url in enumerate(doors)]
        assert visits == [i + 1 for i in range(len(platforms))], visits

        # One that changes, dies and comes back is nothing to the others.
        others = {platform: below(outer_half(platform)) for platform in platforms[1:]}
        platforms[0].stop_listening()
        for old, new in ("port: 8001", "port: 8002"), ("instances: 2", "instances: 3"), ("replicas: 2", "replicas: 3"):
            platforms[0].text = platforms[0].text.replace(old, new)
        platforms[0].up()
        kill_all(platforms[0])
        assert [visit(url) for url in doors[1:]] == [count + 1 for count in visits[1:]]
        platforms[0].up()
        assert visit(door(platforms[0])) == visits[0] + 1
        platforms[0].parley("destroy", "plain", "--yes")
        assert [ask() for _, ask in named[1:]] == [f"twin {i}" for i in range(1, len(platforms))]
        assert [visit(url) for url in doors[1:]] == [count + 2 for count in visits[1:]]
        for platform, family in others.items():
            assert outer_half(platform) == family[0] and lives(platform.twin_pid())
            assert platform.steps() == []
            assert platform.parley("twin", "events").stdout == "No program ended unasked.\n"


def twins_of_one_user_do_not_meet():
    all_stand_apart([None, None, None])


@twinlab.for_root
def twins_of_root_and_of_other_users_do_not_meet():
    all_stand_apart([None, "nobody", "daemon"])


# As the start of a machine would leave them.
def make_of_another_start(marks):
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    for mark in marks:
        assert boot in mark.read_text()
        mark.write_text(mark.read_text().replace(boot, "00000000-0000-4000-8000-000000000000\n"))


# The number is somebody else's now: of a process that is there, in whatever namespace.
def make_stale(locks):
    assert locks, "there is no lock of a database"
    for lock in locks:
        lock.write_text("".join(["1\n", *lock.read_text().splitlines(keepends=True)[1:]]))


def markers(folder):
    """Of templates that are whole."""
    return [path for path in twinlab.files_below(folder) if path.name == "complete"]


def start_machine_anew(platform):
    """Nothing runs, the folder for what runs is empty, templates are of another start."""
    for path in sorted((platform.folder / "run").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    make_of_another_start(markers(pathlib.Path(platform.variables["PARLEY_CACHE"])))


def a_machine_that_started_anew_has_its_twin_back_with_its_rows():
    with Platform(TEXT) as platform:
        templates = platform.folder / "cache"
        platform.variables["PARLEY_CACHE"] = str(templates)
        platform.up()
        shown = platform.twin_pid()
        assert twinlab.wait_until(lambda: markers(templates), 60), "no template was made"
        with Visitors(door(platform)) as visitors:
            assert visitors.have_more()
            kill_all(platform)
        start_machine_anew(platform)
        # Sockets and locks of then lie in the state.
        make_stale(list((platform.home / "twin").rglob("postmaster.pid")))
        assert (platform.home / "twin" / "sock").exists()
        assert platform.parley("status", "plain").returncode == 0
        assert [step.split()[0] for step in platform.steps()] == ["start"], platform.steps()
        platform.up()
        assert platform.twin_pid() != shown and platform.steps() == []
        assert visit(door(platform)) > visitors.answered, "rows are lost"


# As ext4 has them: it takes nothing more then, and nothing that lies in memory reaches the disk.
EXT4_IOC_SHUTDOWN, NOTHING_FLUSHED = 0x8004587D, 2
NEW_MOUNTS, PRIVATE = 0x20000, 0x44000


def keep_mounts_to_ourselves():
    """Else twins of other tests that start meanwhile would hold a disk of ours."""
    library = ctypes.CDLL(None, use_errno=True)
    assert library.unshare(NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
    assert library.mount(None, b"/", None, PRIVATE, None) == 0, os.strerror(ctypes.get_errno())


class Disk:
    """A file system of its own in a file, which can stop in the middle of everything, as when the power goes."""

    def __init__(self, folder):
        keep_mounts_to_ourselves()
        self.image, self.folder = folder / "image", folder / "disk"
        self.folder.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    def mount(self):
        return subprocess.run(["mount", "-o", "loop", self.image, self.folder], capture_output=True, text=True)

    def stop(self):
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NOTHING_FLUSHED))
        os.close(folder)

    def unmount(self):
        """What was killed may hold it for a moment, and the kernel the file."""
        def is_gone():
            return subprocess.run(["umount", self.folder], capture_output=True).returncode == 0

        def is_free():
            return subprocess.run(["losetup", "-j", self.image], capture_output=True).stdout == b""
        return twinlab.wait_until(is_gone, 30) and twinlab.wait_until(is_free, 30)


def of(platform):
    """The processes that were started in its folder's name, and all below them."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = pathlib.Path(f"/proc/{entry}/cmdline").read_text(errors="replace")
            if str(platform.folder) in line:
                found.update(below(int(entry)))
    return found


def stop_machine(platform, disk):
    """First the disk, then all that runs: what is written in between is lost."""
    disk.stop()
    family = of(platform)
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert twinlab.wait_until(lambda: not any(map(lives, family)), 20)
    assert disk.unmount() and disk.mount().returncode == 0
    start_machine_anew(platform)


@twinlab.for_root
def a_machine_whose_disk_stops_under_load_has_all_that_was_acknowledged():
    with Platform(TEXT) as platform:
        disk = Disk(platform.folder)
        mounted = disk.mount()
        if mounted.returncode != 0:
            return f"no file system in a file can be mounted here: {mounted.stderr.strip()}"
        platform.home = disk.folder / "home"
        platform.variables["PARLEY_CACHE"] = str(disk.folder / "cache")
        try:
            platform.up()
            n_answered = 0
            for changes in False, True:
                with Visitors(door(platform)) as visitors:
                    assert visitors.have_more()
                    if changes:  # and a run that is under way then
                        platform.text = TEXT.replace("instances: 2", "instances: 3").replace("replicas: 2", "replicas: 3")
                        run = subprocess.Popen(platform.command("up", platform.document, "--yes"), cwd=platform.folder,
                                               env=platform.environment(), stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                        assert twinlab.wait_until(lambda: "desk-2" in platform.hosts(), 60)
                    stop_machine(platform, disk)
                if changes:
                    run.wait(20)
                n_answered += visitors.answered
                platform.up()
                assert platform.steps() == [], platform.steps()
                n_answered += 1
                assert visit(door(platform)) >= n_answered, "rows are lost"
            platform.parley("destroy", "plain", "--yes")
        finally:
            platform.stop()
            assert disk.unmount()
    return None


def groups_of(home):
    """Folders of control groups that are named after this home's twin."""
    identity = json.loads((home / "twin" / "manifest.json").read_text())["identity"]
    return [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/**/parley/{identity}")]


def ended_by(platform, *command):
    """What is still there when a command that ends a twin returns."""
    family = below(outer_half(platform))
    assert len(family) > 10, family
    with twinlab.Held({pid: pid for pid in family[1:]}) as held:
        platform.parley(*command)
        return [pid for pid in family if lives(pid)] + held.inhabited() + groups_of(platform.home)


def who_ends_a_twin_hears_of_it_when_nothing_of_it_is_left():
    with Platform(TEXT) as platform:
        for command in ("twin", "down"), ("destroy", "plain", "--yes"):
            platform.up()
            left = ended_by(platform, *command)
            assert left == [], left
            assert "no twin runs" in platform.parley("twin", "down", code=1).stderr


platformlab.run([who_ends_a_twin_hears_of_it_when_nothing_of_it_is_left, twins_of_one_user_do_not_meet, twins_of_root_and_of_other_users_do_not_meet,
                 a_machine_that_started_anew_has_its_twin_back_with_its_rows,
                 a_machine_whose_disk_stops_under_load_has_all_that_was_acknowledged])
