#!/usr/bin/env python3
"""Runs clang-tidy over C files with a build's flags, in parallel, and remembers which were clean.

A file is not looked at again while it, all it includes, .clang-tidy and the tool stay the same: the marks
in BUILD/tidy/ are named by a digest of these. Files that the build does not compile are left out.

The static analyzer takes nineteen twentieths of the time, most of it in the last paths through a few
long functions. It follows up to 50,000 states of a function, which takes a third of the time of its own
limit of 225,000; --deep goes that far.

Usage: tidy.py [--deep] BUILD FILE...
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# How far the analyzer goes, in the compiler's words.
SHORT_WAY = ["--extra-arg=-Xclang", "--extra-arg=-analyzer-config",
             "--extra-arg=-Xclang", "--extra-arg=max-nodes=50000"]
# The build may be one with sanitizers; what is looked at is the program as it is installed.
AS_INSTALLED = "-fno-sanitize=all"
NOISE = re.compile(r"^(\d+ warnings? (and \d+ errors? )?(generated|treated).*|Suppressed .*|Use -header-filter.*)$")


def read_commands(build):
    """Gives {path from here: (folder, compiler's words)}."""
    commands = {}
    for row in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.relpath(os.path.join(row["directory"], row["file"]))
        commands[path] = (row["directory"], shlex.split(row["command"]))
    return commands


def preprocess(folder, words):
    """What the compiler would see, or None when it cannot even read it."""
    words = list(words)
    for option, has_value in (("-o", True), ("-c", False), ("-MF", True), ("-MQ", True), ("-MD", False)):
        while option in words:
            at = words.index(option)
            del words[at:at + 1 + has_value]
    done = subprocess.run(words + [AS_INSTALLED, "-E"], cwd=folder, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def digest_of(path, command, tool, options):
    seen = preprocess(*command)
    if seen is None:
        return None
    parts = (tool, " ".join(options).encode(), pathlib.Path(".clang-tidy").read_bytes(), pathlib.Path(path).read_bytes(), seen)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def check_file(build, path, command, tool, options):
    """Gives what clang-tidy complains about, "" for a clean file."""
    digest = digest_of(path, command, tool, options)
    mark = build / "tidy" / digest if digest else None
    if mark and mark.exists():
        return ""
    done = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", f"--extra-arg={AS_INSTALLED}", *options, path],
                          capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not NOISE.match(line)]
    if done.returncode != 0:
        return "\n".join(lines) or f"{path}: clang-tidy ended with {done.returncode}"
    if mark:
        mark.touch()
    return ""


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("paths", nargs="+", metavar="FILE")
    chosen = parser.parse_args(arguments)
    build, options = chosen.build, [] if chosen.deep else SHORT_WAY
    (build / "tidy").mkdir(exist_ok=True)
    commands = read_commands(build)
    tool = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    known = [path for path in chosen.paths if path in commands]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = pool.map(lambda path: check_file(build, path, commands[path], tool, options),
                              known)
        complaints = [complaint for complaint in complaints if complaint]
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
