#!/usr/bin/env python3
"""Groups that follow the load of their hosts. Prints TAP."""

import json
import subprocess
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, wait_until

BUSY = "import time\nend = time.monotonic() + 600\nwhile time.monotonic() < end: pass"


def group(twin, **more):
    twin.made("aws:autoscaling:group", "crew", {"min": 1, "max": 2, "targetCPU": 5, "cooldown": "2s",
                                                "subnet": "deck", **more}, {"subnet": "deck"})


def crew(twin):
    return sorted(name for name in twin.hosts() if name.startswith("crew-"))


def events(twin):
    path = twin.state / "events.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def work(twin, host):
    return subprocess.Popen(twin.command(host, twinlab.PYTHON, "-c", BUSY), stdin=subprocess.DEVNULL)


def a_group_grows_and_shrinks_with_its_load_within_what_was_approved():
    with Twin() as twin:
        twin.start()
        twin.vlan("deck", "10.210.0.0/24")
        group(twin)
        assert crew(twin) == ["crew-0"], crew(twin)
        workers = [work(twin, "crew-0"), work(twin, "crew-0")]
        try:
            assert wait_until(lambda: crew(twin) == ["crew-0", "crew-1"], 120), crew(twin)
            # An edit of something else leaves the number alone.
            group(twin, targetCPU=4)
            assert crew(twin) == ["crew-0", "crew-1"], crew(twin)
            grown = events(twin)
            assert len(grown) == 1 and grown[0]["kind"] == "scaled", grown
            assert grown[0]["program"] == "crew" and grown[0]["resources"] == ["uid-crew"], grown
            assert grown[0]["message"].startswith("2 hosts instead of 1: its processors were"), grown
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert wait_until(lambda: crew(twin) == ["crew-0"], 120), crew(twin)
        assert events(twin)[-1]["message"].startswith("1 hosts instead of 2"), events(twin)


def who_wants_no_target_keeps_the_number():
    with Twin() as twin:
        twin.start()
        twin.vlan("deck", "10.210.0.0/24")
        group(twin, targetCPU=None)
        group(twin, targetCPU=None, cooldown="1s")
        worker = work(twin, "crew-0")
        try:
            assert not wait_until(lambda: len(crew(twin)) > 1, 5), crew(twin)
        finally:
            worker.kill()
            worker.wait()


twinlab.run([a_group_grows_and_shrinks_with_its_load_within_what_was_approved,
             who_wants_no_target_keeps_the_number])
