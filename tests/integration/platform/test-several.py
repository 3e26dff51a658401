#!/usr/bin/env python3
"""Several twins on one machine, of one user and of several, and one whose machine was started anew. TAP."""

from concurrent.futures import ThreadPoolExecutor
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
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


def kill_all(platform):
    """Everything of a twin at once, as when the machine stops."""
    family = below(outer_half(platform))
    for pid in family:
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


def a_machine_that_started_anew_has_its_twin_back_with_its_rows():
    with Platform(TEXT) as platform:
        templates = platform.folder / "cache"
        platform.variables["PARLEY_CACHE"] = str(templates)
        platform.up()
        url = door(platform)
        visits = [visit(url) for _ in range(5)][-1]
        shown = platform.twin_pid()

        def markers():
            return [path for path in twinlab.files_below(templates) if path.name == "complete"]
        assert twinlab.wait_until(markers, 60), "no template was made"
        kill_all(platform)
        # Nothing runs, the folder for what runs is empty, templates are of another start; sockets and locks of
        # then lie in the state.
        for path in sorted((platform.folder / "run").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        make_of_another_start(markers())
        make_stale(list((platform.home / "twin").rglob("postmaster.pid")))
        assert (platform.home / "twin" / "sock").exists()
        assert platform.parley("status", "plain").returncode == 0
        assert [step.split()[0] for step in platform.steps()] == ["start"], platform.steps()
        platform.up()
        assert platform.twin_pid() != shown and platform.steps() == []
        assert visit(door(platform)) == visits + 1, "rows are lost"


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
                 a_machine_that_started_anew_has_its_twin_back_with_its_rows])
