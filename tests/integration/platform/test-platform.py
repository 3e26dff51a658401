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
        found = platform.differences(want := platform.expected())
        assert not found, found
        platform.stop_listening()
        platform.text = platform.text.replace("port: 8080", "port: 9090", 1)
        assert "update allow-web-to-app" in platform.steps()
        platform.up()
        platform.listen()
        changed = platform.expected()
        assert differences(changed, want), "the rule's change changes no cell"
        found = platform.differences(changed)
        assert not found, found


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
        platform.text = platform.text.replace("balance: leastconn", "balance: roundrobin", 1)
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
        found = platform.differences(platform.expected())
        assert not found, found
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
    for name in ("storefront", "api", "newsroom", "brochure", "doorway"):
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


SHELF = """
deployment:
  name: shelf
  secrets:
    word: { file: word.txt }
  resources:
    - { type: "opnsense:network:vlan", name: lobby, properties: { tag: 7, subnet: 10.7.0.0/28 } }
    - { type: "aws:ec2:instances", name: desk, properties: { instances: 1, subnet: lobby } }
    - type: docker:compose:stack
      name: books
      properties:
        services:
          reader:
            image: example/reader:1
            hosts: desk
            port: 8080
            environment: { MODE: cnry-plain, TOKEN: "${secret.word}", URL: "x://u:${upper(secret.word)}@y" }
"""


def descendants(pid):
    children = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path(f"/proc/{other}/stat").read_text()
        except OSError:
            continue
        children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(other))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def workloads(platform):
    """The processes of workloads that get an environment: pid -> what /proc shows of each to others."""
    found = {}
    for pid in descendants(platform.twin_pid()):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"\0--environment\0" in words:
                found[pid] = words + pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except PermissionError:
            found[pid] = words
        except OSError:
            pass
    return found


def holds(pid, text):
    """Whether a process has a text in its memory; None where we may not look."""
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split("-"))
                if rights.startswith("rw"):
                    memory.seek(start)
                    if text.encode() in memory.read(end - start):
                        return True
    except PermissionError:
        return None
    return False


def check_shelf(platform, word):
    """One workload that has the words of the document, and nobody sees them."""
    assert platform.run("desk-0", "--", "echo", "--", "said").stdout == "-- said\n"
    metrics = platform.run("desk-0", "curl", "-s", f"http://{platform.hosts()['desk-0']['address']}:8080/metrics").stdout
    assert "workload_environment_variables 3\n" in metrics, metrics
    assert word not in metrics and word.upper() not in metrics
    there = {pid: shown for pid, shown in workloads(platform).items() if holds(pid, word) is not False}
    assert there, "no workload has the secret"
    for pid, shown in there.items():
        assert word.encode() not in shown and word.upper().encode() not in shown and b"cnry" not in shown, shown
        assert holds(pid, f"x://u:{word.upper()}@y") is not False
    return sorted(there)


@test
def a_workload_gets_the_environment_of_its_service_and_nobody_else_sees_it():
    with Platform(SHELF) as platform:
        source = platform.folder / "word.txt"
        source.write_text("cnry-77ab-first\n")
        platform.up()
        first = check_shelf(platform, "cnry-77ab-first")
        assert platform.steps() == []
        # What the twin has to know lies where others do not come, and nothing of it anywhere else.
        assert files_with(platform.home, "cnry-77ab-first") == {("twin", "given")}
        assert files_with(platform.home, "CNRY-77AB-FIRST") == {("twin", "given")}
        for words in (("status", "shelf"), ("show", "shelf", "--json"), ("twin", "status", "--json"), ("drift", "shelf")):
            told = platform.parley(*words)
            assert "cnry-77ab" not in (told.stdout + told.stderr).lower(), told.stdout + told.stderr
        source.write_text("cnry-77ab-second\n")
        assert platform.steps() == ["update books"]
        platform.up()
        second = check_shelf(platform, "cnry-77ab-second")
        assert not set(first) & set(second)
        assert not files_with(platform.home, "cnry-77ab-first")
        # Started again by the twin, and with the twin, it has it again.
        os.kill(second[0], 9)
        assert twinlab.wait_until(lambda: any(holds(pid, "cnry-77ab-second") is not False
                                              for pid in set(workloads(platform)) - set(second)), 60)
        os.kill(platform.twin_pid(), 9)
        platform.up()
        check_shelf(platform, "cnry-77ab-second")
        platform.parley("destroy", "shelf", "--yes")
        # Four hexadecimal digits alone are in some digest or id by chance.
        assert not files_with(platform.home, "cnry-77ab") and not files_with(platform.home, "CNRY-77AB")


platformlab.run(TESTS)
