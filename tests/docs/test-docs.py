#!/usr/bin/env python3
"""Runs the examples of the documentation: every ```yaml file=NAME is written, every ```console is typed.

In a console block "$ " begins a command, "? N" its exit code (else 0), "! " a line of stderr; other lines are its
stdout. "..." stands for any text, within a line or as a line of its own for any number of lines.
"""
import os
import re
import subprocess
import sys
import tempfile

FENCE = re.compile(r"^```(\w+)?(?: (.*))?$")


def blocks(text):
    """Yields (line number, language, info, lines) of each fenced block."""
    start, language, info, lines = None, None, None, []
    for number, line in enumerate(text.split("\n"), 1):
        fence = FENCE.match(line)
        if fence and start is None:
            start, language, info, lines = number, fence.group(1), fence.group(2) or "", []
        elif line == "```" and start is not None:
            yield start, language, info, lines
            start = None
        elif start is not None:
            lines.append(line)


def commands(lines):
    """Yields (command, wanted stdout, wanted stderr, wanted exit code)."""
    current = None
    for line in lines:
        if line.startswith("$ "):
            if current:
                yield current
            current = (line[2:], [], [], [0])
        elif line.startswith("! "):
            current[2].append(line[2:])
        elif line.startswith("? "):
            current[3][0] = int(line[2:])
        else:
            current[1].append(line)
    if current:
        yield current


def matches(wanted, got):
    parts = []
    for line in wanted:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.split("...")) + r"\n")
    return re.fullmatch("".join(parts), got) is not None


def run(command, folder, environment):
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    # The sanitizers' own remark about coroutines is none of the program's.
    errors = [line for line in done.stderr.split("\n") if "ASan doesn't fully support" not in line]
    return done.returncode, done.stdout, "\n".join(errors)


def check(command, stdout, stderr, code, folder, environment):
    """Returns what is not as the page says, or None."""
    got_code, got_stdout, got_stderr = run(command, folder, environment)
    if got_code != code[0]:
        return f"exit code {got_code}, want {code[0]}\n{got_stdout}{got_stderr}"
    if not matches(stdout, got_stdout):
        return "stdout is\n" + got_stdout + "want\n" + "\n".join(stdout)
    if stderr and not matches(stderr, got_stderr):
        return "stderr is\n" + got_stderr + "want\n" + "\n".join(stderr)
    return None


def test_page(path, program, number):
    """Runs one page in a folder of its own; returns (tests, failures)."""
    failures = 0
    with tempfile.TemporaryDirectory(prefix="parley-docs-") as folder:
        environment = dict(os.environ, PATH=os.path.dirname(program) + ":" + os.environ["PATH"],
                           PARLEY_HOME=folder + "/home", XDG_RUNTIME_DIR=folder + "/run", HOME=folder)
        environment.pop("PARLEY_SITE", None)
        os.mkdir(folder + "/run", 0o700)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for line, language, info, lines in blocks(text):
            if info.startswith("file="):
                name = os.path.join(folder, info[len("file="):])
                os.makedirs(os.path.dirname(name), exist_ok=True)
                with open(name, "w", encoding="utf-8") as file:
                    file.write("\n".join(lines) + "\n")
            if language != "console":
                continue
            for command in commands(lines):
                number += 1
                problem = check(*command, folder, environment)
                if problem:
                    failures += 1
                    print("\n".join("# " + part for part in problem.split("\n")))
                print(f"{'not ok' if problem else 'ok'} {number} - {os.path.basename(path)}:{line} {command[0]}")
    return number, failures


def main():
    program, pages = os.path.abspath(sys.argv[1]), sys.argv[2:]
    number = failures = 0
    for page in pages:
        number, failed = test_page(page, program, number)
        failures += failed
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
