#!/usr/bin/env python3
"""Finds in our C what no compiler objects to and we do not want.

Reports, with file and line: // comments (they mark what must not be committed), words that mark
unfinished work, and calls that tools/banned.txt does not allow in that room (a static function of the same
name in that file is another one).

Usage: check-source.py FILE...      (paths from the top of the project, which is where it runs)
"""

import pathlib
import re
import sys

TOKEN = re.compile(r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.X | re.S)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
CALL = re.compile(r"(?<![\w.>])([a-z_][a-z0-9_]*)\s*\(")


def read_banned(path):
    """Gives {call: set of rooms where it may stand}."""
    banned = {}
    for line in path.read_text().splitlines():
        calls, colon, rooms = line.split("#", 1)[0].partition(":")
        if colon:
            banned.update({call: set(rooms.split()) for call in calls.split()})
    return banned


def room_of(path):
    parts = pathlib.PurePosixPath(path).parts
    return parts[1] if parts[0] == "src" and len(parts) > 2 else parts[0]


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_text(path, text, banned):
    """Gives the faults of one file's text."""
    faults = []

    def blank(match):
        token, line = match.group(0), line_of(text, match.start())
        if token.startswith("//"):
            faults.append((line, "a // comment; write /* */"))
        if token.startswith("/") and UNFINISHED.search(token):
            faults.append((line, "a comment speaks of unfinished work"))
        return re.sub(r"[^\n]", " ", token)

    code = TOKEN.sub(blank, text)
    for match in CALL.finditer(code):
        call = match.group(1)
        is_ours = re.search(rf"^static [^;=(]*\b{call}\(", code, re.M)
        if call in banned and room_of(path) not in banned[call] and not is_ours:
            where = ", ".join(sorted(banned[call] - {"tests"})) or "no room"
            faults.append((line_of(code, match.start()), f"{call}() may stand in {where} only"))
    return [f"{path}:{line}: {what}" for line, what in sorted(faults)]


def main(paths):
    banned = read_banned(pathlib.Path(__file__).resolve().parent / "banned.txt")
    faults = []
    for path in paths:
        faults += check_text(path, pathlib.Path(path).read_text(errors="replace"), banned)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
