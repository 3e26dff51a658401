#!/usr/bin/env python3
"""What the rooms below say in words of the command line has its meaning for who has only tools (src/mcp/hints.c): no
command is forgotten, and no tool or argument is named that is not there."""
import pathlib
import re

import mcp_client
from lifecycle import main, test

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"
# The doors' own words never come to a client of the protocol.
DOORS = ("cli", "program", "mcp")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def literals(path):
    """The texts in a file of C, each as the compiler puts it together."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return LITERAL.findall(re.sub(r'(?<!\\)"\s*\n\s*"', "", text))


def commands():
    """The first words of what the command line knows."""
    tables = "\n".join((SOURCES / "cli" / name).read_text() for name in ("main.c", "program.c")
                       if (SOURCES / "cli" / name).exists())
    tables += "\n".join(path.read_text() for path in sorted(SOURCES.glob("*/*commands.c")))
    return {words.split()[0] for words in re.findall(r'^ +\{"([a-z][a-z -]+)",', tables, re.MULTILINE)}


def said():
    """{what follows "parley " in a text of a room below: the file} for commands."""
    known, found = commands(), {}
    for path in sorted(SOURCES.glob("*/**/*.c")):
        if path.relative_to(SOURCES).parts[0] in DOORS:
            continue
        for text in literals(path):
            # What an approver signs begins with these words, and nobody reads it.
            for words in re.findall(r"parley (?!approval 1\\n)([a-z][a-z -]*)", text):
                if words.split()[0] in known:
                    found[words] = path.name
    return found


def hints():
    """{words of the command line: what they are here, or None}"""
    table = (SOURCES / "mcp/hints.c").read_text().partition("same_things[] = {")[2].partition("};")[0]
    return {words: here or None for words, here in
            re.findall(r'\{"([^"]+)",\s*(?:NULL|"([^"]+)")\}', table)}


@test
def every_command_that_a_text_names_has_its_meaning_for_clients(_place):
    found, known = said(), hints()
    assert len(commands()) > 30 and len(found) > 15 and len(known) > 20, (len(commands()), len(found), len(known))
    forgotten = {words: name for words, name in found.items()
                 if not any(f"parley {words} ".startswith(row + " ") for row in known)}
    assert not forgotten, f"add to src/mcp/hints.c: {forgotten}"


@test
def every_option_that_a_view_names_has_its_meaning_for_clients(_place):
    rows = [row.rstrip(": ") for row in hints() if row.startswith("--")]
    named = {option for path in sorted((SOURCES / "render").glob("*.c")) for text in literals(path) if " " in text
             for option in re.findall(r"--[a-z][a-z-]+", text)}
    assert len(named) >= 4 and named <= set(rows), f"add to src/mcp/hints.c: {named - set(rows)}"


@test
def the_longest_words_decide(_place):
    rows = [row for row in hints() if row.startswith("parley ")]
    for number, row in enumerate(rows):
        longer = [other for other in rows[number + 1:] if other.startswith(row + " ")]
        assert not longer, f"{longer} must stand before {row}"


@test
def what_is_named_in_a_meaning_is_there(place):
    with mcp_client.Client(place.line("mcp"), place.env, place.folder) as client:
        tools = {tool["name"]: set(tool["inputSchema"]["properties"]) for tool in client.tools()}
    for words, here in hints().items():
        for name in re.findall(r"\b(?:tool|and|then) ([a-z]+_[a-z]+)\b", here or ""):
            assert name in tools, (words, name)
        for argument, tool in re.findall(r"argument (\w+)(?: of (\w+))?", here or ""):
            assert any(argument in tools[name] for name in ([tool] if tool else tools)), (words, argument)
        for tool, argument in re.findall(r"tool (\w+) with (\w+)=", here or ""):
            assert argument in tools[tool], (words, argument)


if __name__ == "__main__":
    main()
