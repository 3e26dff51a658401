#!/usr/bin/env python3
"""kill -9 of everything that a platform consists of, at any time, and back to what is wanted. TAP.

PARLEY_STORM_KILLS says how many kills (10), PARLEY_STORM_SEED repeats a storm.
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
from stormlab import Storm, VICTIMS, platformlab, twinlab
from platformlab import EXAMPLES, Platform

KILLS = int(os.environ.get("PARLEY_STORM_KILLS", "10"))
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
    lines = [line for section in sections for line in section["lines"] if "curl " in line]
    health = [line for section in sections if section["title"] == "Health" for line in section["lines"]]
    return (lines[0][lines[0].index("curl "):] if lines else ""), health


def answers(line):
    done = subprocess.run(line.split() + ["-s", "--max-time", "5"], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["upstream"]["database"]["rows"] >= 1
    except (ValueError, KeyError, TypeError):
        return False


def is_well(platform, seen):
    line, seen["health"] = look(platform)
    if not line:
        return False
    sick = [entry for entry in seen["health"]
            if "\u25cf healthy" not in entry and "\u25cf valid until" not in entry]
    return not sick and answers(line)


def assert_stands(platform, seen):
    assert twinlab.wait_until(lambda: is_well(platform, seen), 30), seen
    assert platform.steps() == [], platform.steps()


def recover(platform, dice, words):
    """A run that ended early goes on by resume, or what was asked is asked again; both in the end."""
    if dice.random() < 0.5:
        platform.parley("resume", NAME, code=None)
    for turn in range(2):
        done = platform.parley(*words, code=None)
        if done.returncode == 0:
            return
    raise AssertionError((words, done.returncode, done.stdout, done.stderr))


def strike(storm, words, kind, seconds):
    """Starts a command, kills at a random moment of it; returns what it printed."""
    delay = storm.random.uniform(0, seconds)
    command = storm.start(*words)
    time.sleep(delay)
    hit = storm.kill(kind, 3)
    output = command.communicate(timeout=120)[0]
    print(f"# {words[0]}: {kind} {'killed' if hit else 'was not there'} after {delay:.2f} s,"
          f" exit {command.returncode}", flush=True)
    return output


def exists(platform):
    return any(entry["name"] == NAME and entry["state"] != "destroyed" for entry in platform.answer("status"))


def print_logs(platform):
    for log in sorted(platform.home.rglob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-12:]
        print(f"# --- {log.name}\n#   " + "\n#   ".join(lines))


def remove_sockets(platform):
    """Of a run that was killed when all was done; the next run, which there is none of, does it."""
    for path in (platform.folder / "run").rglob("run-*.sock"):
        path.unlink()


def one_turn(storm, kind, action, seen):
    platform = storm.platform
    destroy = ["destroy", NAME, "--yes", "--confirm", NAME]
    up = ["up", str(platform.document), "--yes"]
    if action == "change":
        platform.text = changed(platform.text, storm.random)
    output = strike(storm, destroy if action == "destroy" else up, kind, seen[action])
    try:
        if action == "destroy":
            if exists(platform):
                recover(platform, storm.random, destroy)
            elif kind == "run":
                remove_sockets(platform)
            assert_nothing_left(storm)
        else:
            recover(platform, storm.random, up)
            assert_stands(platform, seen)
    except AssertionError:
        print("# it had said: " + output.replace("\n", "\n# "))
        print_logs(platform)
        raise


def assert_nothing_left(storm):
    gone = twinlab.wait_until(lambda: not storm.left(), 15)
    assert gone, storm.left()


def a_platform_survives_kills_at_any_time():
    dice = random.Random(SEED)
    print(f"# PARLEY_STORM_SEED={SEED}, {KILLS} kills", flush=True)
    victims = (VICTIMS * (KILLS // len(VICTIMS) + 1))[:KILLS]
    dice.shuffle(victims)
    seen = {"up": 3.0, "change": 1.5, "destroy": 0.5}
    with Platform(example()) as platform:
        storm = Storm(platform, dice)
        stands = False
        for kind in victims:
            action = dice.choice(["change", "change", "destroy"]) if stands else "up"
            one_turn(storm, kind, action, seen)
            stands = action != "destroy"
        storm.note_what_it_has()
        if stands:
            platform.parley("destroy", NAME, "--yes", "--confirm", NAME)
        assert_nothing_left(storm)
        assert platform.answer("status")[0]["state"] == "destroyed"
        print(f"# killed: {storm.killed}")


platformlab.run([a_platform_survives_kills_at_any_time])
