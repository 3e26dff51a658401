#!/usr/bin/env python3
"""docs/deploy.md on a machine with systemd, which the test boots in namespaces: test-deploy.py BUILD. Prints TAP."""
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
NAMESPACES = ["--fork", "--pid", "--kill-child", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
PATIENCE = 240
CANNOT = 77  # of machine.py
# What deploy.py tells of.
TESTS = ["the_unit_as_it_is_installed_starts_a_server_that_asks_for_a_token",
         "who_is_another_user_reads_and_changes_nothing_of_it",
         "a_plan_is_carried_out_once_somebody_else_approved_it_and_not_before",
         "a_run_goes_on_while_its_server_is_started_anew", "a_run_is_reached_by_a_server_that_did_not_begin_it",
         "a_server_that_is_killed_comes_back"]


def why_not():
    if os.geteuid() != 0:
        return "only root boots a machine"
    if not pathlib.Path("/lib/systemd/systemd").exists():
        return "the package systemd is not installed"
    return None


def boot(folder, build, results):
    """What the machine says goes to a file: a pipe would be kept open by whatever stays of it."""
    with open(folder / "log", "w", encoding="utf-8") as log:
        return subprocess.Popen(["unshare", *NAMESPACES, sys.executable, HERE / "machine.py", folder / "machine", build,
                                 results], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def await_results(machine, results):
    deadline = time.monotonic() + PATIENCE
    while not results.exists() and machine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return dict(json.loads(results.read_text())) if results.exists() else {}


def end(machine):
    """The first process of a machine takes all others along, and is gone after them."""
    if machine.poll() is not None:
        return
    inside = pathlib.Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text().split()
    first = [os.pidfd_open(int(process)) for process in inside]
    os.killpg(machine.pid, signal.SIGKILL)
    machine.wait()
    for descriptor in first:
        select.select([descriptor], [], [], PATIENCE)
        os.close(descriptor)


def report(results, log):
    """Each stands on those before it: behind the first that fails there are no results."""
    print(f"1..{len(TESTS)}")
    for number, name in enumerate(TESTS, 1):
        is_good = name in results and not results[name]
        print(f"{'ok' if is_good else 'not ok'} {number} - {name}")
        print("".join(f"# {line}\n" for line in (results.get(name) or "").splitlines()), end="")
    print("".join(f"# {line}\n" for line in log.splitlines()[-20:]), end="")
    return int(any(results.get(name, "none") for name in TESTS))


def main():
    reason = why_not()
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pd-", dir="/tmp"))
    results = folder / "said" / "results"
    (folder / "machine").mkdir()
    results.parent.mkdir()
    machine = boot(folder, sys.argv[1], results)
    try:
        found = await_results(machine, results)
    finally:
        end(machine)
    said = (folder / "log").read_text()
    shutil.rmtree(folder)
    if machine.returncode == CANNOT:
        print(f"1..0 # SKIP {said.splitlines()[-1]}")
        return 0
    return report(found, said)


if __name__ == "__main__":
    sys.exit(main())
