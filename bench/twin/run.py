#!/usr/bin/env python3
"""From nothing to the first HTTPS answer through web, app and database of examples/shophub.yaml.

    bench/twin/run.py [BUILD-FOLDER] [--runs N] [--as-user]

Each run has a state folder of its own. Printed: the time to the first answer and its parts, and the time
that ending the twin takes; minimum, median and maximum. Nothing is asserted: targets are compared by people.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "shophub.yaml")
ORDINARY_USER = 65534


class Bench:
    def __init__(self, programs):
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="pb-", dir="/tmp")
        self.environment = dict(os.environ, PARLEY_HOME=self.folder + "/home", HOME=self.folder,
                                XDG_RUNTIME_DIR=self.folder + "/run")
        os.mkdir(self.folder + "/run", 0o700)

    def parley(self, *arguments):
        return subprocess.run([self.programs + "/parley", *arguments], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def curl_line(self):
        status = self.parley("status", "shophub-platform").stdout
        found = re.search(r"curl .*", status)
        return found.group(0).split() if found else None

    def wait_for_answer(self, start):
        """Asks as soon as the host port is known, until web, app and database have answered."""
        line = None
        while time.monotonic() - start < 60:
            line = line or self.curl_line()
            if line:
                done = subprocess.run(line + ["-s", "--max-time", "2"], capture_output=True, text=True)
                if '"rows":' in done.stdout:
                    return time.monotonic() - start
            time.sleep(0.01)
        raise RuntimeError("no answer within a minute")

    def steps(self):
        runs = json.loads(self.parley("run", "list", "--json").stdout)
        run = json.loads(self.parley("run", "show", runs[-1]["id"], "--json").stdout)
        return {row["address"]: row["took_us"] / 1e6 for row in run["journal"] if row["kind"] == "result"}

    def once(self):
        start = time.monotonic()
        up = subprocess.Popen([self.programs + "/parley", "up", EXAMPLE, "--yes"], env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        first = self.wait_for_answer(start)
        output = up.communicate()[0]
        if up.returncode != 0:
            raise RuntimeError(output)
        result = {"first answer": first, "up returned": time.monotonic() - start}
        result.update({"step " + name: took for name, took in self.steps().items() if took > 0.1})
        start = time.monotonic()
        self.parley("twin", "down")
        result["twin down"] = time.monotonic() - start
        return result

    def close(self):
        self.parley("twin", "down")
        shutil.rmtree(self.folder, ignore_errors=True)


def become_ordinary():
    os.setgroups([])
    os.setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
    os.setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 5
    if "--runs" in sys.argv:
        words.remove(str(runs))
    programs = tempfile.mkdtemp(prefix="pb-", dir="/tmp")
    os.chmod(programs, 0o755)
    for name in ("parley", "parley-twin"):
        shutil.copy(os.path.join(words[0] if words else "build", name), programs)
    if "--as-user" in sys.argv:
        os.chown(programs, ORDINARY_USER, ORDINARY_USER)
        become_ordinary()
    figures = {}
    for _ in range(runs):
        bench = Bench(programs)
        try:
            for name, seconds in bench.once().items():
                figures.setdefault(name, []).append(seconds)
        finally:
            bench.close()
    user = "ordinary user" if os.geteuid() else "root"
    print(f"{runs} runs as {user}, load average {os.getloadavg()[0]:.1f}; seconds: minimum, median, maximum")
    for name, seconds in sorted(figures.items(), key=lambda item: -statistics.median(item[1])):
        print(f"  {name:32} {min(seconds):7.3f} {statistics.median(seconds):7.3f} {max(seconds):7.3f}")
    shutil.rmtree(programs, ignore_errors=True)


if __name__ == "__main__":
    main()
