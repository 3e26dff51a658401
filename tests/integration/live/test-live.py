#!/usr/bin/env python3
"""Changes of a platform that is under load: each by `parley up` of an edited document, none loses anything. TAP."""

import encodings.idna  # before this process may no longer read where Python lies
import json
import pathlib
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "platform"))
import platformlab
from load import Connection, Load, SlowRequest, Transaction
from platformlab import Platform, twinlab

CONNECTIONS = 32
# How long a connection asks nothing while balancers reload; they keep it for a minute.
IDLE_TIME = 15
# Longer than a program has to end once it is told to, and shorter than balancers let requests last.
SLOW_TIME = 12  # longer than anybody may need for the head of a request
TESTS = []

DOCUMENT = """
deployment:
  name: quay
  resources:
    - type: opnsense:network:vlan
      name: shore
      properties: { tag: 11, subnet: 10.11.0.0/24 }
    - type: opnsense:network:vlan
      name: deck
      properties: { tag: 12, subnet: 10.12.0.0/24 }
    - type: opnsense:network:vlan
      name: hold
      properties: { tag: 13, subnet: 10.13.0.0/24 }
    - type: opnsense:firewall:alias
      name: unwanted
      properties: { kind: geoip, countries: [QX], database: DATABASE }
    - type: opnsense:firewall:rule
      name: keep-out
      properties: { source: unwanted, destination: any, protocol: any, action: block }
    - type: opnsense:firewall:rule
      name: come-in
      properties: { source: any, destination: shore, port: 8443, action: pass, rateLimit: 1000000/minute }
    - type: opnsense:firewall:rule
      name: climb
      properties: { source: shore, destination: deck, port: 7000, action: pass }
    - type: opnsense:firewall:rule
      name: descend
      properties: { source: deck, destination: hold, port: 5432, action: pass }
    - type: aws:acm:certificate
      name: seal
      properties: { domains: [quay.example] }
    - type: aws:autoscaling:group
      name: fronts
      properties: { min: 2, max: 6, desired: 2, subnet: shore }
    - type: aws:ec2:instances
      name: middles
      properties: { instances: 2, subnet: deck }
    - type: aws:rds:cluster
      name: store
      properties: { engine: postgres, instances: 2, subnet: hold, port: 5432 }
    - type: opnsense:haproxy:backend
      name: front-pool
      properties: { servers: fronts, port: 7001, balance: leastconn, healthCheck: /well }
    - type: opnsense:haproxy:frontend
      name: front-door
      properties: { network: shore, port: 8443, backend: front-pool, certificate: seal }
    - type: opnsense:haproxy:backend
      name: middle-pool
      properties: { servers: middles, port: 7002, balance: roundrobin, healthCheck: /api/well }
    - type: opnsense:haproxy:frontend
      name: middle-door
      properties: { network: deck, port: 7000, backend: middle-pool }
    - type: docker:compose:stack
      name: crew
      properties:
        services:
          front: { image: "quay/front:1", hosts: fronts, port: 7001, healthCheck: /well, upstream: middle-door }
          middle: { image: "quay/middle:1", hosts: middles, port: 7002, healthCheck: /api/well, database: store }
"""

# What a balancer cannot be told as it runs: it gets a new worker, and the plan says so.
RELOADS = ["balance", "port inside", "port outside"]

# What it is called in the table, and what is replaced by what.
CHANGES = [
    ("none", []),
    ("rate limit", [("1000000/minute", "90000/minute")]),
    ("country block", [("[QX]", "[QX, QY]")]),
    ("new rule", [("    - type: aws:acm", """    - type: opnsense:firewall:rule
      name: look
      properties: { source: shore, destination: deck, port: [7002, 8404], action: pass }
    - type: aws:acm""")]),
    ("rule", [("port: [7002, 8404]", "port: [7002, 9100]")]),
    ("balance", [("balance: leastconn", "balance: roundrobin")]),
    ("health path", [("/well, upstream", "/alive, upstream"), ("healthCheck: /well }", "healthCheck: /alive }")]),
    ("certificate", [("[quay.example]", "[quay.example, www.quay.example]")]),
    ("scale up", [("desired: 2", "desired: 5")]),
    ("scale down", [("desired: 5", "desired: 3")]),
    ("rolling image", [("quay/front:1", "quay/front:2"), ("quay/middle:1", "quay/middle:2")]),
    ("port of a backend", [("port: 7001, balance", "port: 7011, balance"),
                           ("port: 7001, healthCheck", "port: 7011, healthCheck")]),
    ("port inside", [("port: 7000", "port: 7100")]),
    ("port outside", [("port: 8443", "port: 9443")]),
]


def test(function):
    TESTS.append(function)
    return function


def entrance(platform):
    """Where the frontend is reached from the machine, and whom to trust, as status says it."""
    lines = [line for section in platform.answer("status", platform.name())["sections"]
             for line in section["lines"] if "curl --cacert" in line]
    assert lines, "no curl line in the status"
    return (("127.0.0.1", int(re.search(r":(\d+):127\.0\.0\.1", lines[0]).group(1))), "quay.example",
            re.search(r"--cacert (\S+)", lines[0]).group(1))


def session(platform):
    """In the database, as the application on one of its hosts, with a transaction begun."""
    conninfo = next((platform.home / "twin" / "access").glob("*/conninfo")).read_text()
    transaction = Transaction([platform.program(), "twin", "exec", "middles-0", "psql", "-XqAt", conninfo],
                              platform.environment())
    transaction.run("create table if not exists kept (word text)")
    transaction.run("begin")
    transaction.run("insert into kept values ('before')")
    return transaction


def counters(platform):
    """What each rule has counted so far, as nftables says it."""
    done = platform.run("router", "nft", "--json", "list", "counters")
    assert done.returncode == 0, done.stderr
    return {item["counter"]["name"]: item["counter"]["packets"]
            for item in json.loads(done.stdout)["nftables"] if "counter" in item}


def workers(platform):
    """The processes of each balancer, as its host knows them; those of one that reloads are others."""
    script = 'for p in /proc/[0-9]*; do grep -qx haproxy $p/comm 2>/dev/null && echo ${p#/proc/}; done; true'
    found = {}
    for host in ("front-door", "middle-door"):
        done = platform.run(host, "sh", "-c", script)
        assert done.returncode == 0 and len(done.stdout.split()) >= 2, (host, done.stdout, done.stderr)
        found[host] = sorted(int(pid) for pid in done.stdout.split())
    return found


def edit(platform, replacements):
    text = platform.text
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    platform.text = text


@test
def changes_under_load_lose_nothing():
    with Platform(DOCUMENT) as platform:
        countries = platform.folder / "countries"
        countries.write_text("3405803776,3405804031,QX\n3221225984,3221226239,QY\n")
        platform.text = DOCUMENT.replace("DATABASE", str(countries))
        platform.up()
        where = entrance(platform)
        held, transaction = Connection(*where), session(platform)
        load = Load(CONNECTIONS, lambda errors: Connection(*where, errors))
        failures = []
        print(f"# {'change':20} steps requests errors reopened held slowest")
        try:
            load.await_requests(200)
            for name, replacements in CHANGES:
                if name == "balance":
                    idle, began = Connection(*where), time.monotonic()
                    idle.get()
                row(platform, load, held, name, replacements, failures)
                if name == "certificate":
                    time.sleep(max(0, began + IDLE_TIME - time.monotonic()))
                    assert idle.get() and not idle.errors, idle.errors
                    idle.close()
            assert platform.steps() == [], (platform.steps(), failures)
            other = Connection(where[0], "www.quay.example", where[2])
            body = other.get(keep=False) or b""
            assert b"quay/front:2" in body and b"quay/middle:2" in body, (body, other.errors)
            transaction.run("insert into kept values ('after')")
            transaction.run("commit")
            assert transaction.run("select string_agg(word, ' ') from kept") == ["before after"]
        finally:
            load.stop()
            held.close()
            transaction.close()
        assert not failures, failures


def outer_servers(platform, measurement):
    """Those of the outer balancer of which its own measurements say so."""
    done = platform.run("front-door", "curl", "-s", "http://front-door:8404/metrics")
    assert done.returncode == 0, done.stderr
    return re.findall(measurement % 'proxy="front-pool",server="([^"]+)"', done.stdout)


def draining(platform):
    return outer_servers(platform, r'haproxy_server_status\{%s,state="DRAIN"\} 1')


def busy(platform):
    return outer_servers(platform, r"haproxy_server_current_sessions\{%s\} [1-9]")


@test
def a_slow_request_ends_before_its_instance_goes():
    with Platform(DOCUMENT.replace("desired: 2", "desired: 4")) as platform:
        edit(platform, [("DATABASE", str(platform.folder / "countries"))])
        (platform.folder / "countries").write_text("3405803776,3405804031,QX\n")
        platform.up()
        where = entrance(platform)
        slow = []
        while len(busy(platform)) < 4:
            slow.append(SlowRequest(Connection(*where)))
        edit(platform, [("desired: 4", "desired: 2")])
        assert "fronts: 2 of its 4 hosts go" in json.dumps(platform.answer("plan", str(platform.document))["notes"])
        command = [platform.program(), "up", str(platform.document), "--yes"]
        with subprocess.Popen(command, cwd=platform.folder, env=platform.environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as change:
            assert twinlab.wait_until(lambda: len(draining(platform)) == 2 or change.poll() is not None, 60)
            going = draining(platform)
            end = time.monotonic() + SLOW_TIME
            while time.monotonic() < end:
                for request in slow:
                    request.go_on()
                time.sleep(0.1)
            assert change.poll() is None, ("the instances went while they had requests", change.stdout.read())
            answers = [json.loads(request.end())["name"] for request in slow]
            said = change.communicate(timeout=60)[0]
        assert change.returncode == 0, said
        assert len(going) == 2 and set(going) < set(answers), (going, answers)
        assert platform.steps() == []


def serving(where, requests=60):
    """Who answers new connections now."""
    connection = Connection(*where)
    names = {json.loads(connection.get(keep=False) or b"{}").get("name") for _ in range(requests)}
    assert not connection.errors, connection.errors
    return names


def go_on_until(slow, condition, seconds=60):
    """Servers give up on requests of which nothing comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to that"
        for request in slow:
            request.go_on()
        time.sleep(0.1)


def parts(platform):
    """The hosts of fronts that are not in service, as status has them."""
    answer = platform.answer("status", platform.name())
    lines = [line for section in answer["sections"] for line in section["lines"]]
    return [line for line in lines if re.match(r"fronts: fronts-\d is ", line)]


@test
def a_drained_instance_serves_nobody_and_loses_nobody():
    with Platform(DOCUMENT.replace("desired: 2", "desired: 3")) as platform:
        edit(platform, [("DATABASE", str(platform.folder / "countries"))])
        (platform.folder / "countries").write_text("3405803776,3405804031,QX\n")
        platform.up()
        where, act = entrance(platform), ("act", platform.name(), "fronts")
        load = Load(CONNECTIONS, lambda errors: Connection(*where, errors))
        slow = []
        try:
            load.await_requests(200)
            assert serving(where) == {"fronts-0", "fronts-1", "fronts-2"}
            # Nothing is done before it is approved.
            platform.parley(*act, "drain", "fronts-1", code=3)
            assert not parts(platform) and not draining(platform)
            # So many that the least busy one of three has some.
            slow = [SlowRequest(Connection(*where)) for _ in range(12)]
            command = [platform.program(), *act, "drain", "fronts-1", "--yes"]
            with subprocess.Popen(command, cwd=platform.folder, env=platform.environment(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as change:
                go_on_until(slow, lambda: draining(platform) == ["fronts-1"] or change.poll() is not None)
                go_on_until(slow, lambda: parts(platform) or change.poll() is not None)
                wanted = load.counts()[0] + 200
                go_on_until(slow, lambda: load.counts()[0] > wanted or change.poll() is not None)
                assert change.poll() is None, ("it did not wait for a request", change.stdout.read())
                assert parts(platform) == ["fronts: fronts-1 is draining"], parts(platform)
                names = [json.loads(request.end())["name"] for request in slow]
                said = change.communicate(timeout=60)[0]
            assert change.returncode == 0 and "fronts-1" in names, (said, names)
            assert parts(platform) == ["fronts: fronts-1 is drained"], parts(platform)
            assert serving(where) == {"fronts-0", "fronts-2"} and not busy(platform).count("fronts-1")
            # Neither a new configuration nor a program that starts anew puts it back.
            edit(platform, [("balance: leastconn", "balance: roundrobin"), ("quay/front:1", "quay/front:2")])
            platform.up()
            assert serving(where) == {"fronts-0", "fronts-2"}
            platform.parley(*act, "drain", "fronts-2", "--yes")
            done = platform.parley(*act, "drain", "fronts-0", "--yes", code=None)
            assert done.returncode != 0 and "nobody would take the requests" in done.stdout + done.stderr, done
            assert serving(where) == {"fronts-0"}
            for name in ("fronts-1", "fronts-2"):
                platform.parley(*act, "resume", name, "--yes")
            assert twinlab.wait_until(lambda: serving(where) == {"fronts-0", "fronts-1", "fronts-2"}, 30)
            load.await_requests(200)
            assert not parts(platform) and platform.steps() == []
        finally:
            load.stop()
        assert not load.errors, load.errors[:5]
        print(f"# {load.counts()[0]} requests while instances were drained and resumed, {load.counts()[2]} errors")


def row(platform, load, held, name, replacements, failures):
    before, held_before, counted = load.counts(), (len(held.errors), held.reopened), counters(platform)
    load.take_slowest()
    held.get()
    workers_before = workers(platform)
    edit(platform, replacements)
    plan = platform.answer("plan", str(platform.document))
    is_told = "load balancer reloads" in json.dumps(plan["notes"])
    done = platform.parley("up", str(platform.document), "--yes", code=None)
    load.await_requests(200)
    held.get()
    after, counted_now = load.counts(), counters(platform)
    lost = sorted(rule for rule in counted if counted_now.get(rule, 0) < counted[rule])
    assert counted["decided-come-in"] > 0 and not lost, (name, lost, counted, counted_now)
    errors = after[2] - before[2] + len(held.errors) - held_before[0] + (done.returncode != 0)
    print(f"# {name:20} {len(plan['steps']):5} {after[0] - before[0]:8} {errors:6} {after[1] - before[1]:8} "
          f"{held.reopened - held_before[1]:4} {load.take_slowest() * 1000:6.0f} ms", flush=True)
    assert is_told == (name in RELOADS), (name, plan["notes"])
    new = {host: set(pids) - set(workers_before[host]) for host, pids in workers(platform).items()}
    assert any(new.values()) == (name in RELOADS), (name, workers_before, new)
    # Only who was told so may see a connection close, and then with notice.
    assert is_told or (after[1], held.reopened) == (before[1], held_before[1]), (name, plan["notes"])
    if errors:
        found = load.errors[before[2]:] + held.errors[held_before[0]:]
        failures.append((name, sorted(set(found))[:5], done.stdout[-500:] + done.stderr
                         if done.returncode else ""))


platformlab.run(TESTS)
