#!/usr/bin/env python3
"""Counts what really happened in a `meson test` run, by subtest, from its testlog.json.

Prints each failed and each skipped test with its reason, appends one line per subtest to a results
file (stage, program, subtest, ending, reason; separated by tabs) and each failure with the first
lines of its reason to a failures file, and ends with the counts "PASSED FAILED SKIPPED". A program
that crashed, timed out or broke its plan counts as one failure more than its failed subtests.

Usage: test-results.py STAGE TESTLOG RESULTS FAILURES
"""

import json
import pathlib
import re
import sys

LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:- )?(.*?)(?:\s*#\s*(skip|todo)\b\S*\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?", re.I)
RAISED = re.compile(r"^[A-Za-z_.]*(Error|Exception|Expired|Interrupt)\b")
TOLD_BY_TOOLS = re.compile(r"ERROR: \w+Sanitizer|SUMMARY: \w+Sanitizer|runtime error:|Assertion .* failed|^==\d+== \w")
LAST_LINES = 60
REASON_LINES = 5
WRAPPERS = ("beside.sh",)
PROGRAMS = ("test-", "contract-", "golden-", "lifecycle-", "fuzz-")


def program_name(record):
    """The name under which promises know it: of the script if one is run, else of the program."""
    for word in record.get("command", []):
        path = pathlib.PurePosixPath(word)
        if path.name in WRAPPERS:
            continue
        if path.suffix in (".sh", ".py") or path.stem.startswith(PROGRAMS):
            return path.stem
    return record["name"].rsplit(" / ", 1)[-1]


def why(remarks):
    """Of what a test said before it failed, what tells most: the error of a traceback, else the first lines."""
    raised = [at for at, line in enumerate(remarks) if RAISED.match(line)]
    return remarks[raised[-1] if raised else 0:][:REASON_LINES]


def read_tap(text):
    """Gives [(subtest, ending, reason)] and a complaint about the whole, or None."""
    ends, planned, complaint, remarks = [], None, None, []
    for line in text.splitlines():
        plan, match = PLAN.match(line), LINE.match(line)
        if plan:
            planned = int(plan.group(1))
            if planned == 0:
                ends.append(("", "skipped", plan.group(2) or "no reason given"))
                planned = 1
        elif match:
            wrong, name, directive, reason = match.groups()
            ending = "failed" if wrong else "passed"
            if directive and directive.lower() == "skip":
                ending = "skipped"
            ends.append((name, ending, reason or ("\n".join(why(remarks)) if wrong else "")))
            remarks = []
        elif line.startswith("#") and line.strip("# "):
            remarks.append(line[1:].strip())
        elif line.startswith("Bail out!"):
            complaint = line
    if planned is None:
        complaint = complaint or "ended before its plan"
    elif planned != len(ends):
        complaint = complaint or f"planned {planned} tests and ran {len(ends)}"
    return ends, complaint


def read_exit_code(record):
    """The same for a test that speaks by its exit code alone."""
    output = (record.get("stdout") or "").strip().splitlines()
    if record["result"] == "SKIP":
        return [("", "skipped", output[-1] if output else "no reason given")], None
    return [("", "passed" if record["result"] == "OK" else "failed", "")], None


def is_tap(text):
    return any(PLAN.match(line) or LINE.match(line) for line in text.splitlines())


def judge(record):
    """Gives [(subtest, ending, reason)] of one meson test, faults of the program included."""
    text = record.get("stdout") or ""
    ends, complaint = read_tap(text) if is_tap(text) else read_exit_code(record)
    is_well = record["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    has_failed = any(ending == "failed" for _name, ending, _reason in ends)
    if complaint or (not is_well and not has_failed):
        complaint = complaint or f"{record['result'].lower()}, exit code {record.get('returncode')}"
        output = text + "\n" + (record.get("stderr") or "")
        told = [line.strip() for line in output.splitlines() if TOLD_BY_TOOLS.search(line)]
        complaint = "\n".join([complaint, *told[:REASON_LINES]])
        ends.append(("(the program itself)", "failed", complaint))
    return ends


def report(stage, record, ends):
    """Prints what did not pass; gives the lines of results and those of failures."""
    program = program_name(record)
    results, failures = [], []
    for name, ending, reason in ends:
        test = f"{program}{':' if name else ''}{name}"
        first, *more = reason.split("\n")
        results.append("\t".join((stage, program, name, ending, " / ".join([first, *more]).replace("\t", " "))))
        if ending != "passed":
            print(f"  {ending}: {test}{': ' if first else ''}{first}")
        if ending == "failed":
            failures += [f"{stage}: {test}", *(f"    {line[:300]}" for line in [first, *more] if line)]
    if failures:
        output = (record.get("stdout") or "") + (record.get("stderr") or "")
        lines = [line for line in output.splitlines() if not line.startswith("ok ")]
        print("\n".join("    " + line for line in lines[-LAST_LINES:]))
    return results, failures


def append(path, lines):
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def main(arguments):
    stage, log, results_file, failures_file = arguments
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for text in pathlib.Path(log).read_text(errors="replace").splitlines():
        record = json.loads(text)
        ends = judge(record)
        for _name, ending, _reason in ends:
            counts[ending] += 1
        results, failures = report(stage, record, ends)
        append(results_file, results)
        append(failures_file, failures)
    print(counts["passed"], counts["failed"], counts["skipped"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
