#!/usr/bin/env python3
"""Whole platforms from their documents: they stand, packets pass as the rules say, they go. TAP."""

import json
import os
import pathlib
import re
import ssl
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform, differences, twinlab

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def example(name):
    return (EXAMPLES / f"{name}.yaml").read_text()


def fetch(curl_line, path="/"):
    """Runs the curl line that status prints, for another path."""
    line = re.sub(r"(https://[^ ]+?)/?$", r"\1" + path, curl_line)
    done = subprocess.run(line.split() + ["-s", "-w", "\n%{http_code}", "--max-time", "5"],
                          capture_output=True, text=True)
    body, _, code = done.stdout.rpartition("\n")
    return int(code or 0), body


def curl_line(platform):
    lines = [line for section in platform.answer("status", platform.name())["sections"]
             for line in section["lines"] if "curl --cacert" in line]
    assert lines, "no curl line in the status"
    return lines[0][lines[0].index("curl "):]


def pages(platform):
    """The lines for who runs the twin: what a line names -> the curl line below it."""
    lines = [line for section in platform.answer("status", platform.name())["sections"]
             if section["title"] == "Access points" for line in section["lines"]]
    return {above.split(":")[0]: below.split() for above, below in zip(lines, lines[1:])
            if below.startswith("  curl ") and "--cacert" not in below}


def health(platform):
    sections = platform.answer("status", platform.name())["sections"]
    return [line for section in sections if section["title"] == "Health" for line in section["lines"]]


@test
def shophub_stands_as_its_document_says():
    with Platform(example("shophub")) as platform:
        output = platform.up()
        assert "Deployment Complete!" in output, output
        code, body = fetch(curl_line(platform))
        answer = json.loads(body)
        assert code == 200 and answer["upstream"]["database"]["rows"] >= 1, body
        again = json.loads(fetch(curl_line(platform))[1])
        assert again["upstream"]["database"]["visits"] > answer["upstream"]["database"]["visits"]
        assert fetch(curl_line(platform), "/health")[0] == 200
        lines = "\n".join(health(platform))
        for part in ("web-asg: \u25cf healthy (2/2", "app-servers: \u25cf healthy (3/3",
                     "web-backend: \u25cf healthy (2/2", "app-backend: \u25cf healthy (3/3",
                     "1/1 replicas streaming", "valid until"):
            assert part in lines, (part, lines)
        found = pages(platform)
        assert sorted(found) == ["dashboards", "monitoring"], found
        for line in found.values():
            done = subprocess.run(line + ["-s", "--max-time", "10"], capture_output=True, text=True)
            assert "Prometheus" in done.stdout and "Ready" in done.stdout, (line, done)
        assert platform.steps() == []
        assert "No changes" in platform.up()


@test
def its_packets_pass_if_and_only_if_a_rule_says_so():
    with Platform(example("shophub")) as platform:
        platform.up()
        platform.listen()
        want = platform.expected()
        got = platform.matrix()
        inside = sorted({(a, b) for a, b, _ in got if (a, b) not in {(x, y) for x, y, _ in want}})
        print(f"# {len(want)} cells between networks, {sum(v == 'open' for v in want.values())} open; "
              f"{len(inside)} pairs within one network are outside the firewall")
        assert not differences(got, want), differences(got, want)
        platform.stop_listening()
        platform.text = platform.text.replace("port: 8080", "port: 9090", 1)
        assert "update allow-web-to-app" in platform.steps()
        platform.up()
        platform.listen()
        changed = platform.expected()
        assert differences(changed, want), "the rule's change changes no cell"
        assert not differences(platform.matrix(), changed), differences(platform.matrix(), changed)


@test
def both_domains_are_served_with_their_certificate_and_http_2():
    with Platform(example("shophub")) as platform:
        platform.up()
        line = curl_line(platform)
        authority = re.search(r"--cacert (\S+)", line).group(1)
        port = int(re.search(r":(\d+):127\.0\.0\.1", line).group(1))
        for domain in ("shophub.com", "www.shophub.com"):
            context = ssl.create_default_context(cafile=authority)
            context.set_alpn_protocols(["h2", "http/1.1"])
            with socket.create_connection(("127.0.0.1", port), 5) as plain:
                with context.wrap_socket(plain, server_hostname=domain) as secure:
                    assert secure.selected_alpn_protocol() == "h2"


@test
def the_request_after_the_limit_is_refused_with_429():
    with Platform(example("shophub").replace("1000/minute", "20/hour")) as platform:
        platform.up()
        line = curl_line(platform)
        codes = [fetch(line, "/health")[0] for _ in range(22)]
        assert codes == [200] * 20 + [429] * 2, codes


@test
def what_an_address_has_used_up_survives_a_reload_of_the_balancer():
    with Platform(example("shophub").replace("1000/minute", "20/hour")) as platform:
        platform.up()
        line = curl_line(platform)
        assert [fetch(line, "/health")[0] for _ in range(15)] == [200] * 15
        platform.text = platform.text.replace("healthCheck: /health", "healthCheck: /", 1)
        assert "update web-backend" in platform.steps()
        platform.up()
        refused = [fetch(line, "/")[0] == 429 for _ in range(7)]
        assert refused == [False] * 5 + [True] * 2, refused


@test
def one_edit_is_exactly_one_step_and_a_removed_resource_goes():
    with Platform(example("shophub")) as platform:
        platform.up()
        platform.text = platform.text.replace("healthCheck: /health", "healthCheck: /alive", 1)
        steps = platform.steps()
        assert "update web-backend" in steps and all(step.startswith("update") for step in steps), steps
        platform.up()
        assert platform.steps() == []


def stands_and_goes(name):
    with Platform(example(name)) as platform:
        platform.up()
        assert platform.steps() == []
        platform.listen()
        want = platform.expected()
        assert not differences(platform.matrix(), want), differences(platform.matrix(), want)
        platform.stop_listening()
        pid = platform.twin_pid()
        platform.parley("destroy", platform.name(), "--yes", "--confirm", platform.name())
        assert twinlab.wait_until(lambda: not running(pid), 10), "the twin still runs"
        assert platform.answer("status")[0]["state"] == "destroyed"


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@test
def other_documents_stand_as_well():
    for name in ("storefront", "api", "newsroom", "brochure"):
        stands_and_goes(name)


@test
def a_document_without_patterns_stands():
    stands_and_goes("plain")


LEDGER = """
deployment:
  name: ledger
  secrets:
    book: { file: book.txt }
  resources:
    - type: opnsense:network:vlan
      name: lobby
      properties: { tag: 7, subnet: 10.7.0.0/28 }
    - type: opnsense:network:vlan
      name: vault
      properties: { tag: 8, subnet: 10.7.0.16/28 }
    - type: opnsense:firewall:rule
      name: clerk
      properties: { source: lobby, destination: vault, port: 5432, action: pass }
    - type: aws:ec2:instances
      name: desk
      properties: { instances: 1, subnet: lobby }
    - type: aws:rds:cluster
      name: store
      properties: { engine: postgres, subnet: vault, port: 5432, password: "${secret.book}" }
"""


def signs_in(platform, password):
    """Whether the application can, from the network that is let in."""
    endpoint = platform.answer("show", "ledger", "store")["outputs"]["endpoint"]
    done = platform.run("desk-0", "psql", "-XqAt", f"hostaddr={endpoint} dbname=application "
                        f"user=application connect_timeout=10 password={password}", "-c", "select 6 * 7")
    assert done.returncode == 0 or "authentication failed" in done.stderr, done.stderr
    return done.stdout.strip() == "42"


def files_with(folder, text):
    """The first two folders of each file with a text in it; some may go while we look."""
    found = set()
    for path, _, files in os.walk(folder):
        for file in (pathlib.Path(path) / name for name in files):
            try:
                if file.is_file() and text.encode() in file.read_bytes():
                    found.add(file.relative_to(folder).parts[:2])
            except FileNotFoundError:
                pass
    return found


@test
def a_database_takes_the_password_that_the_document_names():
    with Platform(LEDGER) as platform:
        book = platform.folder / "book.txt"
        book.write_text("cnry-5e1f-first\n")
        platform.up()
        assert signs_in(platform, "cnry-5e1f-first") and not signs_in(platform, "another")
        book.write_text("cnry-5e1f-second\n")
        assert platform.steps() == ["update store"]
        platform.up()
        assert signs_in(platform, "cnry-5e1f-second") and not signs_in(platform, "cnry-5e1f-first")
        assert platform.steps() == []
        # It has to know the password: that lies where others do not come.
        assert files_with(platform.home, "cnry-5e1f-second") == {("twin", "given"), ("twin", "access")}
        assert not files_with(platform.home, "cnry-5e1f-first")
        for path in (platform.home / "twin" / "given").iterdir():
            assert path.stat().st_mode & 0o77 == 0, path
        book.unlink()
        platform.parley("drift", "ledger")
        platform.parley("destroy", "ledger", "--yes")
        assert not files_with(platform.home, "cnry-5e1f")


platformlab.run(TESTS)
