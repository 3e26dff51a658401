"""Where in the life of its steps a killed run was: from its journal, and from what the twin had taken over."""

import json
import os
import time

NAMES = ["no intent", "intent only", "call sent", "result lost", "result durable"]
STARTED, INTENDED = 1, 2


def stamp(path):
    try:
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size
    except OSError:
        return None


def manifest(platform):
    """What the twin has taken over: name -> what it is."""
    try:
        resources = json.loads((platform.home / "twin" / "manifest.json").read_text())["resources"]
    except (OSError, ValueError, KeyError):
        return {}
    return {entry["name"]: json.dumps(entry, sort_keys=True) for entry in resources}


def journal(platform, run):
    done = platform.parley("run", "show", run, "--json", code=None)
    return json.loads(done.stdout)["journal"] if done.returncode == 0 else []


def wait_for(platform, boundary, alive, dice):
    """Waits until a run that has just begun is about there; it may be further by then."""
    log, state = platform.home / "parley.db-wal", platform.home / "twin" / "manifest.json"
    watched = state if boundary == "result lost" else log
    wanted = {"no intent": 0, "intent only": INTENDED, "call sent": INTENDED, "result lost": 1,
              "result durable": dice.randrange(3, 9)}[boundary]
    seen, changes, end = stamp(watched), 0, time.monotonic() + 5
    while changes < wanted and alive() and time.monotonic() < end:
        now = stamp(watched)
        changes += now != seen
        seen = now
    if boundary in ("call sent", "result durable"):
        time.sleep(dice.uniform(0, 0.03))


class Kill:
    """One kill of a run: what was durable and what was done at that moment."""

    def __init__(self, platform, run, before):
        self.platform, self.run, self.before = platform, run, before
        self.taken_over = manifest(platform)
        self.rows = journal(platform, run)

    def steps(self, kind):
        return [row["step"] for row in self.rows if row["kind"] == kind]

    def was_done(self, step):
        """Whether the twin had taken the step over when the run died."""
        name = step.partition(" ")[2].partition("#")[0]
        return self.taken_over.get(name) != self.before.get(name)

    def turned_out_done(self, step):
        """Whether who came next found it done, without doing it again."""
        later = [row for row in journal(self.platform, self.run)[len(self.rows):] if row.get("step") == step]
        return bool(later) and later[0]["kind"] == "result" and later[0].get("outcome") == "done"

    def boundaries(self):
        """All that it met; to be asked once the deployment stands again."""
        if any(row["kind"] == "finished" for row in self.rows):
            return set()
        results = self.steps("result")
        met = {"result durable"} if results else set()
        if not self.steps("intent"):
            met.add("no intent")
        for step in set(self.steps("intent")) - set(results):
            met.add("result lost" if self.was_done(step)
                    else "call sent" if self.turned_out_done(step) else "intent only")
        return met
