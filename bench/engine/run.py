#!/usr/bin/env python3
"""What the engine costs by the number of resources: time, CPU, memory, store size and syncs.

    bench/engine/run.py [--build FOLDER] [--sizes 1000,4000,10000] [--shapes tree,chains,count,fan,groups]
                        [--steps plan,apply,no-change] [--repeat N] [--terraform BINARY|none]
                        [--terraform-sizes 1000] [--syncs 1000] [--interrupt 100000]
                        [--out FIGURES.json] [--plot CURVES.svg]

Every step is a process of its own, as a user types it; the run that an apply starts is counted with it. Times
are medians of --repeat runs. "cpu" is user and system time and says more than the clock on a busy machine.
--steps leaves out the others, where those that stay do not need them.
The same graphs are given to Terraform or OpenTofu where one is to be had, round by round between ours; which one, or that
there is none, is said. Nothing is asserted.
"""
import argparse
import contextlib
import ctypes
import json
import math
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import plot
import shapes

PR_SET_CHILD_SUBREAPER = 36
JOURNAL_ROWS = "SELECT max(seq) FROM journal"


def adopt_orphans():
    """The run of an apply outlives the door that started it: it becomes our child, whose costs we are told."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(costs, shell):
    """Waits for all that was started, and for what that left behind."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return
        costs["cpu"] += usage.ru_utime + usage.ru_stime
        if pid != shell:
            costs["memory_mb"] = max(costs["memory_mb"], usage.ru_maxrss / 1024)
        costs["exits"].append(os.waitstatus_to_exitcode(status))


def measure(words, environment, folder):
    costs = {"cpu": 0.0, "memory_mb": 0.0, "exits": []}
    with open(os.path.join(folder, "output"), "w+b") as output:
        start = time.monotonic()
        # Through a shell that leaves it behind: a child of ours would be told with the memory of this program.
        shell = subprocess.Popen(["sh", "-c", '"$@" &', "sh", *words], env=environment, cwd=folder,
                                 stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        reap(costs, shell.pid)
        costs["seconds"] = time.monotonic() - start
        if any(costs.pop("exits")):
            output.seek(0)
            raise RuntimeError(f"{' '.join(words)} failed:\n{output.read().decode()[-2000:]}")
    return costs


def folder_mb(path):
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path)
               for name in names) / 1e6


class Parley:
    name = "parley"

    def __init__(self, build):
        self.program = os.path.join(os.path.abspath(build), "parley")

    def prepare(self, shape, n, folder):
        self.environment = dict(os.environ, PARLEY_HOME=os.path.join(folder, "home"))
        with open(os.path.join(folder, "bench.yaml"), "w") as file:
            file.writelines(shapes.document(shape, n))

    def steps(self, shape):
        name = f"bench-{shape}"
        address = {"count": "r[0]", "groups": "a[0]"}.get(shape, "r0")
        return {
            "validate": ["validate", "bench.yaml"],
            "plan": ["plan", "bench.yaml"],
            "apply": ["up", "bench.yaml", "--yes"],
            "no-change": ["plan", "bench.yaml"],
            "status": ["status", name],
            "show one": ["show", name, address],
            "history": ["history", name],
            "destroy": ["destroy", name, "--yes"],
        }

    def run(self, words, folder):
        costs = measure([self.program, *words], self.environment, folder)
        costs["store_mb"] = folder_mb(os.path.join(folder, "home"))
        return costs


class Terraform:
    name = "terraform"

    def __init__(self, binary):
        self.program = binary
        self.environment = dict(os.environ, CHECKPOINT_DISABLE="1", TF_CLI_CONFIG_FILE="/dev/null")

    def version(self):
        said = subprocess.run([self.program, "version"], env=self.environment, check=True, capture_output=True, text=True)
        return said.stdout.splitlines()[0]

    def prepare(self, shape, n, folder):
        with open(os.path.join(folder, "main.tf"), "w") as file:
            file.writelines(shapes.terraform(shape, n))
        measure([self.program, "init", "-input=false"], self.environment, folder)

    def steps(self, shape):
        del shape
        return {
            "plan": ["plan", "-input=false", "-out=p.tfplan"],
            "apply": ["apply", "-input=false", "p.tfplan"],
            "no-change": ["plan", "-input=false"],
            "destroy": ["destroy", "-auto-approve"],
        }

    def run(self, words, folder):
        costs = measure([self.program, *words], self.environment, folder)
        state = os.path.join(folder, "terraform.tfstate")
        costs["store_mb"] = os.path.getsize(state) / 1e6 if os.path.exists(state) else 0
        return costs


def go_through(subject, shape, n, wanted):
    """All steps once, or those wanted, in order; step -> costs."""
    folder = tempfile.mkdtemp(prefix="parley-bench-")
    try:
        subject.prepare(shape, n, folder)
        return {step: subject.run(words, folder) for step, words in subject.steps(shape).items()
                if not wanted or step in wanted}
    finally:
        shutil.rmtree(folder)


def median_of(rounds):
    return {step: {key: statistics.median(one[step][key] for one in rounds) for key in rounds[0][step]}
            for step in rounds[0]}


def count_syncs(parley, shape, n):
    """How often an apply asks the disk to be durable, and how many transactions it needs that for."""
    folder = tempfile.mkdtemp(prefix="parley-bench-")
    try:
        parley.prepare(shape, n, folder)
        trace = os.path.join(folder, "trace")
        words = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", trace, parley.program]
        measure(words + parley.steps(shape)["apply"], parley.environment, folder)
        with open(trace) as file:
            return len(re.findall(r"fd?(?:ata)?sync\(", file.read()))
    finally:
        shutil.rmtree(folder)


def ask_store(home, question):
    """The one number that is the answer."""
    with contextlib.closing(sqlite3.connect(f"file:{home}/parley.db?mode=ro", uri=True)) as store:
        return store.execute(question).fetchone()[0] or 0


def wait_for_rows(home, most):
    """Until the journal has more rows than these."""
    while not os.path.exists(os.path.join(home, "parley.db")) or ask_store(home, JOURNAL_ROWS) <= most:
        time.sleep(0.005)


def cpu_of(door):
    """What a door and the run that it has started have used so far, each in seconds of CPU."""
    used = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            if door in (int(name), int(fields[1])):
                used[int(name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    own = used.pop(door, 0)
    return own, sum(used.values())


def interrupt(parley, shape, n):
    """A run of n steps is cancelled when a tenth of them is done, and resumed: how long steps were still begun after
    the signal, when the door had ended, and when the resumed run had journalled its first rows; and the CPU until
    then."""
    folder = tempfile.mkdtemp(prefix="parley-bench-")
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        parley.prepare(shape, n, folder)
        home = parley.environment["PARLEY_HOME"]
        words = {"env": parley.environment, "cwd": folder, **silent}
        door = subprocess.Popen([parley.program, *parley.steps(shape)["apply"]], **words)
        wait_for_rows(home, n // 5)
        start = time.time()
        door.send_signal(signal.SIGINT)
        if door.wait() != 130:
            raise RuntimeError(f"the run was over before it was cancelled: {door.returncode}")
        ended = time.time() - start
        begun = ask_store(home, "SELECT max(time) FROM journal WHERE kind = 'intent'") / 1e6 - start
        rows = ask_store(home, JOURNAL_ROWS)
        start = time.time()
        door = subprocess.Popen([parley.program, "resume", f"bench-{shape}"], **words)
        wait_for_rows(home, rows + 1)
        resumed = time.time() - start
        of_door, of_run = cpu_of(door.pid)
        if door.wait() != 0:
            raise RuntimeError("the resumed run failed")
        print(f"{shape} {n}: steps were begun for {max(begun, 0):.3f} s after the signal, the door ended after "
              f"{ended:.3f} s; resumed after {resumed:.3f} s, by {of_door:.2f} s of CPU of the door and {of_run:.2f} of "
              f"the run; load average {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(folder)


def slope(figures, subject, shape, step, key="cpu", start=10000):
    """Of the straight line through log(cost) over log(n), from start on; None without two points."""
    points = [(math.log(n), math.log(steps[step][key]))
              for who, what, n, steps in figures if (who, what) == (subject, shape) and n >= start]
    if len(points) < 2:
        return None
    mean_x, mean_y = (statistics.mean(axis) for axis in zip(*points))
    return (sum((x - mean_x) * (y - mean_y) for x, y in points) /
            sum((x - mean_x) ** 2 for x, _ in points))


def print_row(who, shape, n, steps):
    for step, costs in steps.items():
        print(f"{who:9} {shape:7} {n:8} {step:10} {costs['seconds']:9.3f} s {costs['cpu']:9.3f} s cpu "
              f"{costs['memory_mb']:8.1f} MB {costs['store_mb']:9.2f} MB store", flush=True)


def print_ratios(figures):
    ours = {(shape, n): steps for who, shape, n, steps in figures if who == "parley"}
    for who, shape, n, steps in figures:
        if who == "parley" or (shape, n) not in ours:
            continue
        for step, costs in steps.items():
            mine = ours[shape, n][step]
            print(f"{shape} {n} {step}: {costs['seconds'] / mine['seconds']:.0f} x the speed of {who}, "
                  f"{costs['cpu'] / mine['cpu']:.0f} x by CPU, "
                  f"{mine['memory_mb'] / costs['memory_mb']:.2f} of its memory")


def print_slopes(figures, chosen):
    for shape in chosen:
        for step in ("validate", "plan", "apply", "no-change", "destroy"):
            of_cpu = slope(figures, "parley", shape, step)
            of_memory = slope(figures, "parley", shape, step, "memory_mb")
            if of_cpu:
                print(f"{shape} {step}: log-log slope from 10,000 on: cpu {of_cpu:.2f}, memory {of_memory:.2f}")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/gcc")
    parser.add_argument("--sizes", default="1000,4000,10000")
    parser.add_argument("--shapes", default=",".join(shapes.SHAPES))
    parser.add_argument("--steps", default="")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--terraform", default=shutil.which("terraform") or shutil.which("tofu") or "none")
    parser.add_argument("--terraform-sizes", default="1000")
    parser.add_argument("--syncs", type=int, default=0)
    parser.add_argument("--interrupt", type=int, default=0)
    parser.add_argument("--out")
    parser.add_argument("--plot")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    chosen = arguments.shapes.split(",")
    wanted = [step for step in arguments.steps.split(",") if step]
    sizes = [int(size) for size in arguments.sizes.split(",")]
    terraform_sizes = [int(size) for size in arguments.terraform_sizes.split(",")]
    parley = Parley(arguments.build)
    terraform = None if arguments.terraform == "none" else Terraform(arguments.terraform)
    print(f"compared with {terraform.version()}, {terraform.program}" if terraform else
          "compared with nothing: neither terraform nor tofu is to be had, or --terraform none was given")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    adopt_orphans()
    figures = []
    for n in sizes:
        for shape in chosen:
            rounds, others = [], []
            for _ in range(arguments.repeat):
                rounds.append(go_through(parley, shape, n, wanted))
                if terraform and n in terraform_sizes and shape in shapes.FOR_TERRAFORM:
                    others.append(go_through(terraform, shape, n, wanted))
            for who, measured in (("parley", rounds), ("terraform", others)):
                if measured:
                    figures.append((who, shape, n, median_of(measured)))
                    print_row(*figures[-1])
    print_ratios(figures)
    print_slopes(figures, chosen)
    for shape in chosen if arguments.syncs else []:
        print(f"{shape} {arguments.syncs}: apply asks for {count_syncs(parley, shape, arguments.syncs)} syncs")
    if arguments.interrupt:
        interrupt(parley, "tree", arguments.interrupt)
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump([{"who": who, "shape": shape, "n": n, "steps": steps}
                       for who, shape, n, steps in figures], file, indent=1)
    if arguments.plot:
        plot.write(figures, arguments.plot)


if __name__ == "__main__":
    main()
