#!/usr/bin/env python3
"""kill -9 of everything that a platform consists of, at any time, and back to what is wanted. TAP.

A kill counts when its victim was there while the command was under way; else there is another turn. Every other kill
is aimed at the run's own process, at the boundary of its journal that was met the least (boundaries.py).
PARLEY_STORM_KILLS says how many kills (10), PARLEY_STORM_SEED repeats a storm, PARLEY_STORM_EACH how often each
boundary has to be met (0).
"""

import json
import os
import random
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import stormlab
from stormlab import Storm, VICTIMS, boundaries, platformlab, twinlab
from platformlab import EXAMPLES, Platform

KILLS = int(os.environ.get("PARLEY_STORM_KILLS", "10"))
EACH = int(os.environ.get("PARLEY_STORM_EACH", "0"))
SEED = int(os.environ.get("PARLEY_STORM_SEED", str(random.randrange(1_000_000))))
NAME = "shophub-platform"


def example():
    return (EXAMPLES / "shophub.yaml").read_text()


def changed(text, dice):
    """Another health check or another limit: a change of the balancer, and one of the firewall."""
    if dice.random() < 0.5:
        return re.sub(r"healthCheck: /\S*", f"healthCheck: /h{dice.randrange(1000)}", text, count=1)
    return re.sub(r"rateLimit: \d+/minute", f"rateLimit: {dice.randrange(500, 5000)}/minute", text)


def look(platform):
    """What status says, as (curl line, lines of health)."""
    sections = platform.answer("status", NAME)["sections"]
    lines = [line for section in sections for line in section["lines"] if "curl --cacert" in line]
    health = [line for section in sections if section["title"] == "Health" for line in section["lines"]]
    return (lines[0][lines[0].index("curl "):] if lines else ""), health


def count_visits(line):
    """Each answer is a row that the database has acknowledged: how many there are; 0 without an answer."""
    done = subprocess.run(line.split() + ["-s", "--max-time", "5"], capture_output=True, text=True)
    try:
        database = json.loads(done.stdout)["upstream"]["database"]
        return database["visits"] if database["rows"] >= 1 else 0
    except (ValueError, KeyError, TypeError):
        return 0


def is_well(platform, seen):
    line, seen["health"] = look(platform)
    if not line:
        return False
    # That a program was killed is told for five minutes, and is no sickness.
    sick = [entry for entry in seen["health"]
            if "\u25cf healthy" not in entry and "\u25cf valid until" not in entry
            and ": started again " not in entry and ": alert ProgramEnded of " not in entry]
    visits = 0 if sick else count_visits(line)
    if visits:
        assert visits > seen.get("visits", 0), f"of {seen['visits']} acknowledged visits {visits - 1} are there"
        seen["visits"] = visits
    return visits > 0


def assert_stands(platform, seen):
    assert twinlab.wait_until(lambda: is_well(platform, seen), 120), seen
    assert platform.steps() == [], platform.steps()


def recover(platform, dice, words):
    """A run that ended early goes on by resume, or what was asked is asked again; both in the end."""
    if dice.random() < 0.5:
        platform.parley("resume", NAME, code=None)
    for turn in range(2):
        if words[0] == "destroy" and not exists(platform):
            return
        done = platform.parley(*words, code=None)
        if done.returncode == 0:
            return
    raise AssertionError((words, done.returncode, done.stdout, done.stderr))


def kill_while(storm, command, kinds, end):
    """Kills one of the first kind that is there; the favourite is waited for a little while."""
    while command.poll() is None:
        for kind in kinds if time.monotonic() > end else kinds[:1]:
            if storm.kill_one(kind):
                return kind
        time.sleep(0.002)
    return None


def strike(storm, words, kind, seen):
    """Starts a command, kills at a random moment of it; returns what was said."""
    began = time.monotonic()
    delay = 0 if kind == "run" else storm.random.uniform(0, seen.get(words[0], 1.0))
    storm.before = boundaries.manifest(storm.platform)
    command = storm.start(*words)
    while time.monotonic() < began + delay and command.poll() is None:
        time.sleep(0.002)
    others = [other for other in VICTIMS if other != kind]
    storm.random.shuffle(others)
    killed = kill_while(storm, command, [kind, *others], began + delay + 0.5)
    output = command.communicate(timeout=300)[0]
    if not killed:
        seen[words[0]] = 0.8 * (time.monotonic() - began)
    print(f"# {words[0]}: {killed or 'nobody'} killed after {delay:.2f} s, exit {command.returncode}",
          flush=True)
    return output


def exists(platform):
    return any(entry["name"] == NAME and entry["state"] != "destroyed" for entry in platform.answer("status"))


def print_logs(platform):
    for log in sorted(platform.home.rglob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-12:]
        print(f"# --- {log.name}\n#   " + "\n#   ".join(lines))


def one_turn(storm, kind, action, seen):
    platform = storm.platform
    destroy = ["destroy", NAME, "--yes", "--confirm", NAME]
    up = ["up", str(platform.document), "--yes"]
    if action == "change":
        platform.text = changed(platform.text, storm.random)
    output = strike(storm, destroy if action == "destroy" else up, kind, seen)
    try:
        if action == "destroy":
            recover(platform, storm.random, destroy)
            assert_nothing_left(storm)
            seen.pop("visits", None)
        else:
            recover(platform, storm.random, up)
            assert_stands(platform, seen)
        storm.count_boundaries()
    except AssertionError:
        print("# it had said: " + output.replace("\n", "\n# "))
        print_logs(platform)
        raise


def assert_nothing_left(storm):
    gone = twinlab.wait_until(lambda: not storm.left(), 60)
    assert gone, storm.left()
    storm.forget()


def a_platform_survives_kills_at_any_time():
    dice = random.Random(SEED)
    print(f"# PARLEY_STORM_SEED={SEED}, {KILLS} kills", flush=True)
    seen = {}
    with Platform(example()) as platform:
        storm = Storm(platform, dice)
        stands = False
        for _ in range(4 * KILLS):
            if sum(storm.killed.values()) >= KILLS:
                break
            rarest = min(VICTIMS, key=lambda kind: (storm.killed.get(kind, 0), dice.random()))
            if dice.random() < 0.5:
                rarest = "run"
            action = dice.choice(["change", "destroy"]) if stands else "up"
            one_turn(storm, rarest, action, seen)
            stands = action != "destroy"
        assert sum(storm.killed.values()) >= KILLS, storm.killed
        storm.note_what_it_has()
        if stands:
            platform.parley("destroy", NAME, "--yes", "--confirm", NAME)
        assert_nothing_left(storm)
        assert platform.answer("status")[0]["state"] == "destroyed"
        print(f"# killed: {storm.killed}")
        print("# kills of a run that met each boundary: " +
              ", ".join(f"{name} {count}" for name, count in storm.met.items()))
        assert min(storm.met.values()) >= EACH, storm.met


platformlab.run([a_platform_survives_kills_at_any_time])
