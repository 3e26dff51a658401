#!/usr/bin/env python3
"""Runs the examples of the documentation: every ```yaml file=NAME is written, every ```console is typed.

In a console block "$ " begins a command, "? N" its exit code (else 0), "! " a line of stderr; other lines are its
stdout. "..." stands for any text, within a line or as a line of its own for any number of lines.

A ```json tool=NAME block has the arguments of a call that is sent to `parley mcp`, ```json prompt=NAME those of a prompt;
a ```json result, ```text result or ```text failure block behind it says what comes back, as far as it is shown.
```json resource=URI and ```text resource=URI say what a resource has. "$plan" and "$run" stand for the newest ones.
The server that a ```json client=FILE block names is started and must answer.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lifecycle"))
import mcp_client  # pylint: disable=wrong-import-position

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


def shows(wanted, got):
    """Whether a value has what a page shows of it."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and shows(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list):
        goes_on = wanted[-1:] == ["..."]
        wanted = wanted[:-1] if goes_on else wanted
        return isinstance(got, list) and (len(got) == len(wanted) or goes_on and len(got) > len(wanted)) and all(
            shows(one, other) for one, other in zip(wanted, got))
    if wanted == "...":
        return got is not None
    if isinstance(wanted, str) and isinstance(got, str):
        return re.fullmatch(".*".join(re.escape(piece) for piece in wanted.split("...")), got, re.DOTALL) is not None
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)


class Talk:
    """What one page says to `parley mcp`, block by block."""

    def __init__(self, program, environment, folder):
        self.start = lambda: mcp_client.Client([program, "mcp"], environment, folder)
        self.client, self.used, self.answer, self.values = None, set(), None, {}

    def fill(self, text):
        for name, value in self.values.items():
            text = text.replace("$" + name, value)
        return text

    def send(self, kind, name, text):
        """The answer to a block: its text, what is structured, and whether it is a failure."""
        self.client = self.client or self.start()
        self.used.add((kind, name))
        if kind == "tool":
            result = self.client.result(name, json.loads(text))
            structured = result.get("structuredContent", {})
            self.values |= {key: structured[key] for key in ("plan", "run") if isinstance(structured.get(key), str)}
            return result["content"][0]["text"], structured, result["isError"]
        if kind == "prompt":
            messages = self.client.ask("prompts/get", name=name, arguments=json.loads(text))["result"]["messages"]
            return messages[0]["content"]["text"], {}, False
        contents = self.client.ask("resources/read", uri=name)["result"]["contents"]
        return contents[0]["text"], None, False

    def problem_with(self, language, info, lines):
        """What is not as the page says, or None."""
        kind, _, name = self.fill(info).partition("=")
        text = self.fill("\n".join(lines))
        if kind in ("tool", "prompt"):
            before, self.answer = self.answer, self.send(kind, name, text)
            return before[0] if before and before[2] else None
        if kind == "resource":
            said, _, _ = self.send(kind, name, "")
            is_same = shows(json.loads(text), json.loads(said)) if language == "json" else matches(lines, said)
            return None if is_same else said
        said, structured, is_failure = self.answer
        if is_failure != (kind == "failure"):
            return said
        is_same = shows(json.loads(text), structured) if language == "json" else matches(lines, said.rstrip("\n") + "\n")
        self.answer = None
        return None if is_same else said + "\n" + json.dumps(structured)

    @staticmethod
    def problem_with_client(lines, environment, folder):
        """Why a client's file does not start a server that answers, or None."""
        content = json.loads("\n".join(lines))
        for server in (content.get("mcpServers") or content["servers"]).values():
            with mcp_client.Client([server["command"], *server["args"]], environment, folder) as client:
                if client.begin("2025-11-25")["serverInfo"]["name"] != "parley":
                    return "another server answers"
        return None

    def unshown(self):
        """What the server offers and the page has no example of."""
        offered = {("tool", tool["name"]) for tool in self.client.tools()}
        offered |= {("prompt", item["name"]) for item in self.client.ask("prompts/list")["result"]["prompts"]}
        missing = {f"{kind} {name}" for kind, name in offered - self.used}
        uris = [item["uri"] for item in self.client.ask("resources/list")["result"]["resources"]]
        uris += [item["uriTemplate"] for item in
                 self.client.ask("resources/templates/list")["result"]["resourceTemplates"]]
        for uri in uris:
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(uri))
            if not any(kind == "resource" and re.fullmatch(pattern, name) for kind, name in self.used):
                missing.add(f"resource {uri}")
        return ", ".join(sorted(missing))

    def end(self):
        if self.client:
            self.client.__exit__()


def is_said(language, info):
    return language in ("json", "text") and re.match(r"(tool|prompt|resource)=|(result|failure)$", info)


def report(number, name, problem):
    if problem is not None:
        print("\n".join("# " + part for part in problem.split("\n")))
    print(f"{'ok' if problem is None else 'not ok'} {number} - {name}")


def test_page(path, program, number):
    """Runs one page in a folder of its own; returns (tests, failures)."""
    failures = 0
    with tempfile.TemporaryDirectory(prefix="parley-docs-") as folder:
        environment = dict(os.environ, PATH=os.path.dirname(program) + ":" + os.environ["PATH"],
                           PARLEY_HOME=folder + "/home", XDG_RUNTIME_DIR=folder + "/run", HOME=folder)
        environment.pop("PARLEY_SITE", None)
        os.mkdir(folder + "/run", 0o700)
        talk = Talk(program, environment, folder)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for line, language, info, lines in blocks(text):
            if info.startswith("file="):
                name = os.path.join(folder, info[len("file="):])
                os.makedirs(os.path.dirname(name), exist_ok=True)
                with open(name, "w", encoding="utf-8") as file:
                    file.write("\n".join(lines) + "\n")
            if info.startswith("client="):
                number, problem = number + 1, talk.problem_with_client(lines, environment, folder)
                failures += problem is not None
                report(number, "what_clients_are_told_to_start_answers", problem)
                continue
            if is_said(language, info):
                examples = [(info, talk.problem_with(language, info, lines))]
            elif language == "console":
                examples = ((command[0], check(*command, folder, environment)) for command in commands(lines))
            else:
                continue
            for name, problem in examples:
                number, failures = number + 1, failures + (problem is not None)
                report(number, f"{os.path.basename(path)}:{line} {name}", problem)
        if talk.client:
            problem = talk.unshown() or None
            number, failures = number + 1, failures + (problem is not None)
            report(number, "all_that_is_offered_has_an_example", problem)
        talk.end()
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
