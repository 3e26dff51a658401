#!/usr/bin/env python3
"""The official conformance suites of Model Context Protocol against the product's HTTP door.

Usage: test-conformance.py FIXTURE TEXTS
"""
import re
import subprocess
import sys

import others

PATIENCE_S = 240
SCENARIO = re.compile(r"^([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed")
ASIDE = re.compile(r"^  [✓✗] ([\w-]+) \(([\w-]+)\)")


def run_suite(folder, package, *options):
    """{scenario: (checks passed, checks failed, kind)}; the kind is "scored" or why it is not."""
    words = [str(folder / "node_modules/.bin/node"), str(folder / "node_modules" / package / "dist/index.js"),
             "server"]
    with others.Fixture(*sys.argv[1:3]) as url:
        done = subprocess.run([*words, "--url", url, *options], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=PATIENCE_S, check=False)
    _before, mark, summary = done.stdout.partition("=== SUMMARY ===")
    assert mark, f"the suite said no summary:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    ends, kinds = {}, {}
    for line in summary.splitlines():
        if match := SCENARIO.match(line):
            ends[match.group(2)] = (match.group(1) == "✓", int(match.group(3)), int(match.group(4)))
        elif match := ASIDE.match(line):
            kinds[match.group(1)] = match.group(2)
    return {name: (*end, kinds.get(name, "scored")) for name, end in ends.items()}


def expect(ends, n_scored, **n_others):
    """So many scenarios of each kind, and every one of them passed."""
    counted = {}
    for _is_good, _n_passed, _n_failed, kind in ends.values():
        counted[kind] = counted.get(kind, 0) + 1
    wanted = {"scored": n_scored, **{kind.replace("_", "-"): n for kind, n in n_others.items()}}
    failed = [name for name, (is_good, _passed, n_failed, _kind) in ends.items() if not is_good or n_failed]
    assert not failed, f"failed: {', '.join(failed)}"
    assert counted == wanted, f"the suite ran {counted}, not {wanted}"
    print(f"# {counted}, {sum(end[1] for end in ends.values())} checks")


def suite_2026_07_28_passes_with_tasks_and_what_is_pending(folder):
    ends = run_suite(folder, "@modelcontextprotocol/conformance", "--requirements", "2026-07-28")
    # One of the ten scenarios of tasks is a placeholder that the suite skips.
    expect(ends, 37, extension=10, pending=3)


def suite_2025_11_25_passes_with_what_is_pending(folder):
    ends = run_suite(folder, "@modelcontextprotocol/conformance", "--requirements", "2025-11-25")
    expect(ends, 30, pending=2, added_after_release=1)


def the_suite_before_passes(folder):
    expect(run_suite(folder, "conformance-0.1"), 30)


if __name__ == "__main__":
    others.main([suite_2026_07_28_passes_with_tasks_and_what_is_pending,
                 suite_2025_11_25_passes_with_what_is_pending, the_suite_before_passes])
