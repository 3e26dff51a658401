#!/usr/bin/env python3
"""Holds every include of the rooms to tools/layers.txt.

Rooms are the folders of src/ and the folder twin/. Reports, with file and line:
an include of a room that layers.txt does not allow, a .c file that does not include its own header
first, a ROOM_rooms in meson.build that is no subset of the table, a room without a row, and a table
that is not written lowest first (which is also how a cycle shows). The conformance suite's fixture
(tests/interop/fixture) may only register: few lines, no protocol, and no header of the door but those
that offer and serve.

Usage: check-layers.py [TOP]      (TOP is the top of the project; the default is where this file is)
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
FIXTURE_INCLUDES = re.compile(r"(fixture\.h|base/\w+\.h|model/json\.h|mcp/(server|stdio|web)\.h|"
                              r"std\w+\.h|string\.h|unistd\.h)$")
FIXTURE_WORDS = re.compile(r'jsonrpc|HTTP/1|"(tools|tasks|resources|prompts)/\w|socket|recv|'
                           r"\b(http|rpc)_\w+\(|\bmcp_(handle|session\w*|cancel\w*)\(", re.I)
FIXTURE_LINES = 500
MESON_LIST = r"^{}_rooms\s*=\s*\[([^\]]*)\]"


def read_table(path):
    """Gives {room: set of rooms} in the file's order, and the faults of the table itself."""
    table, faults = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        room, colon, rest = line.partition(":")
        room = room.strip()
        if not colon or not re.fullmatch(r"[a-z]+", room):
            faults.append(f"{path}:{number}: want \"ROOM: rooms it may include\"")
            continue
        if room in table:
            faults.append(f"{path}:{number}: {room} has two rows")
        for below in rest.split():
            if below not in table:
                faults.append(f"{path}:{number}: {room} names {below}, which has no row above it; "
                              "rows are lowest first, so that there is no cycle")
        table[room] = set(rest.split())
    return table, faults


def find_rooms(top):
    """Gives {room: folder} for each room that exists."""
    rooms = {}
    if (top / "src").is_dir():
        rooms = {p.name: p for p in sorted((top / "src").iterdir()) if p.is_dir()}
    if (top / "twin").is_dir():
        rooms["twin"] = top / "twin"
    return rooms


def included_room(name, path, rooms):
    """The room that an include leads into; "" for a file beside the includer, None for neither."""
    first = pathlib.PurePosixPath(name).parts[0]
    if "/" in name and first in rooms:
        return first
    return "" if (path.parent / name).exists() else None


def check_file(path, room, rooms, allowed):
    faults, first = [], None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        first = first or (number, name)
        target = included_room(name, path, rooms)
        if target is None:
            faults.append(f"{path}:{number}: \"{name}\" is in no room; write ROOM/HEADER.h")
        elif target not in ("", room) and target not in allowed:
            faults.append(f"{path}:{number}: {room} may not include {target} (tools/layers.txt allows "
                          f"{' '.join(sorted(allowed)) or 'nothing'})")
    header = path.with_suffix(".h")
    if path.suffix == ".c" and header.exists():
        own = f"{room}/{header.relative_to(rooms[room]).as_posix()}"
        if first is None or first[1] not in (own, header.name):
            faults.append(f"{path}:{first[0] if first else 1}: include \"{own}\" first, so that the "
                          "header is known to stand alone")
    return faults


def check_meson(folder, room, allowed):
    build = folder / "meson.build"
    if not build.exists():
        return []
    match = re.search(MESON_LIST.format(room), build.read_text(), re.M)
    named = set(re.findall(r"'([^']+)'", match.group(1))) if match else set()
    return [f"{build}: {room}_rooms names {extra}, which tools/layers.txt does not allow"
            for extra in sorted(named - allowed)]


def is_code(line):
    text = line.strip()
    return bool(text) and not text.startswith(("/*", "*"))


def check_fixture(top):
    """What is tested is the product's protocol, so the fixture has none of its own."""
    faults, n_lines = [], 0
    for path in sorted((top / "tests" / "interop" / "fixture").glob("*.[ch]")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'^\s*#\s*include\s*[<"]([^">]+)[">]', line)
            n_lines += is_code(line)
            if match and not FIXTURE_INCLUDES.match(match.group(1)):
                faults.append(f"{path}:{number}: the fixture may not include {match.group(1)}")
            if FIXTURE_WORDS.search(line):
                faults.append(f"{path}:{number}: the fixture speaks no protocol: that is the product's")
    if n_lines > FIXTURE_LINES:
        faults.append(f"{top}/tests/interop/fixture: {n_lines} lines of code, more than {FIXTURE_LINES}")
    return faults


def check_project(top):
    table_path = top / "tools" / "layers.txt"
    table, faults = read_table(table_path)
    rooms = find_rooms(top)
    for room, folder in rooms.items():
        files = sorted(p for p in folder.rglob("*") if p.suffix in (".c", ".h"))
        if files and room not in table:
            faults.append(f"{folder}: the room has no row in {table_path}")
            continue
        for path in files:
            faults += check_file(path, room, rooms, table[room])
        faults += check_meson(folder, room, table.get(room, set()))
    for path in sorted((top / "src").glob("*.[ch]")):
        faults.append(f"{path}: stands in no room")
    return faults + check_fixture(top), len(rooms)


def main(arguments):
    top = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    faults, n_rooms = check_project(top)
    for fault in faults:
        print(fault.replace(f"{top}/", "", 1))
    if not faults:
        print(f"{n_rooms} rooms, every include points down")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
