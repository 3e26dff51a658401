#!/usr/bin/env python3
"""Holds docs/promises.md to the tests: fails on a row whose test does not exist or did not pass.

The table is `| promise | command | test |`. A test cell names one test or more, separated by commas:
`test-base:a_sentence` is a subtest of tests/**/test-base.c (or of a script of that name), and
`tests/integration/story.sh` is a whole script or program.

Usage: check-promises.py [--results FILE [--as-user]] [TOP]
FILE is what tools/test-results.py wrote; with it, each test must have run and passed. As an ordinary
user it may have been skipped because only root can do what it tries, alone or with its whole program.
"""

import argparse
import pathlib
import re
import sys

HEADING = ["promise", "command", "test"]
SOURCES = (".c", ".sh", ".py")
WHOLE = "*"
FOR_ROOT = "only root"  # so begins why a test is skipped that an ordinary user cannot try


def read_rows(path):
    """Gives [(line number, promise, command, [tests])] and the faults of the table."""
    rows, faults = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if cells == HEADING or all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        if len(cells) != 3 or not all(cells):
            faults.append(f"{path}:{number}: want | promise | command | test |, none of them empty")
            continue
        tests = [test.strip().strip("`") for test in cells[2].split(",")]
        rows.append((number, cells[0], cells[1], tests))
    return rows, faults


def find_sources(top, program):
    """The files that a test program or script of this name may be made from."""
    kind, _dash, name = program.partition("-")
    found = [top / "tests" / kind / f"{name}.c"] + sorted((top / "tests").rglob(f"{program}.*"))
    return [p for p in found if p.is_file() and p.suffix in SOURCES]


def has_subtest(source, subtest):
    """A subtest is a TEST() in C, a case's folder or file beside a golden or fuzz target, or words of a script."""
    text = source.read_text(errors="replace")
    if source.suffix == ".c":
        macro = r"\b(?:[A-Z]+_)?TEST(?:_[A-Z]+)?\((?:[^;{}]*,)?\s*"
        is_test = re.search(macro + re.escape(subtest) + r"\s*\)", text) is not None
        return is_test or any((folder / subtest).exists() for folder in
                              (source.with_suffix(""), source.parent / "corpus" / source.stem))
    return subtest in text


def exists(top, test):
    program, colon, subtest = test.partition(":")
    if not colon:
        return (top / program).is_file()
    return any(has_subtest(source, subtest) for source in find_sources(top, program))


def read_results(path):
    """Gives {(program, subtest): set of endings} for all that ran; subtest "" is the program with all that
    is in it, WHOLE what became of it as one."""
    results = {}
    for line in path.read_text().splitlines():
        _stage, program, subtest, ending, reason = (line.split("\t") + [""])[:5]
        if ending == "skipped" and reason.startswith(FOR_ROOT):
            ending = "left to root"
        if not subtest:
            results.setdefault((program, WHOLE), set()).add(ending)
        results.setdefault((program, subtest), set()).add(ending)
        results.setdefault((program, ""), set()).add(ending)
    return results


def what_became_of(results, test, as_user):
    """None when the test passed, else what is wrong with it."""
    program, _colon, subtest = test.partition(":")
    program = pathlib.PurePosixPath(program).stem
    endings = results.get((program, subtest)) or results.get((program, WHOLE), set()) & {"left to root"}
    if not endings:
        return "did not run"
    if "failed" in endings:
        return "failed"
    if "passed" in endings or (as_user and endings == {"left to root"}):
        return None
    return "was only skipped"


def check_project(top, results, as_user=False):
    table = top / "docs" / "promises.md"
    rows, faults = read_rows(table)
    if not rows:
        faults.append(f"{table}: holds no promise")
    for number, promise, _command, tests in rows:
        for test in tests:
            if not exists(top, test):
                faults.append(f"{table}:{number}: \"{promise}\" rests on {test}, which does not exist")
            elif results is not None and (what := what_became_of(results, test, as_user)):
                faults.append(f"{table}:{number}: \"{promise}\" rests on {test}, which {what}")
    return faults, len(rows)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--as-user", action="store_true")
    parser.add_argument("top", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    options = parser.parse_args(arguments)
    results = read_results(options.results) if options.results else None
    faults, n_rows = check_project(options.top, results, options.as_user)
    for fault in faults:
        print(fault.replace(f"{options.top}/", "", 1))
    if not faults:
        print(f"{n_rows} promises, each with a test" + ("" if not results else " that passed" if not options.as_user
                                                        else " that passed or was left to root"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
