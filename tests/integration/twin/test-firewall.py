#!/usr/bin/env python3
"""Rules and aliases of the twin with packets: order, direction, times, lists. Prints TAP."""

import datetime
import json
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def build(twin, ports=(80, 443)):
    """Two networks with a host each; returns the target of the second one's first port."""
    twin.start()
    twin.vlan("left", "10.210.0.0/24", 10)
    twin.vlan("right", "10.211.0.0/24", 11)
    twin.instances("l", "left", 1)
    twin.instances("r", "right", 1)
    twin.listen("r-0", list(ports))
    return [twin.hosts()["r-0"]["address"], ports[0]]


def verdict(twin, target, host="l-0", wait=0.4):
    return list(twin.probe(host, [target], wait).values())[0]


def packets(twin, name):
    return twin.get(f"uid-{name}")["status"]["packets"]


# A connection that says whether a byte still comes back, each time it is asked.
TALK = """
import socket, sys
s = socket.create_connection((%r, %d)); s.settimeout(1)
s.send(b"a"); s.recv(1); print("up", flush=True)
for line in sys.stdin:
    s.settimeout(float(line)); s.send(b"b")
    try:
        print("up" if s.recv(1) else "cut", flush=True)
    except OSError:
        print("cut", flush=True)
"""


def talk(twin, target):
    talking = subprocess.Popen(twin.command("l-0", twinlab.PYTHON, "-c", TALK % tuple(target)), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert talking.stdout.readline() == "up\n"
    return talking


def is_up(talking):
    """Waits as long as a repeated packet may take."""
    return answer(talking, 20) == "up"


def is_cut(talking):
    return answer(talking, 1) == "cut"


def answer(talking, seconds):
    talking.stdin.write(f"{seconds}\n")
    talking.stdin.flush()
    return talking.stdout.readline().strip()


@test
def the_first_rule_that_fits_decides():
    with Twin() as twin:
        target = build(twin)
        twin.rule("z-all", ("left",), ("right",), sequence=100)
        assert verdict(twin, target) == "open"
        twin.rule("a-none", ("left",), ("right",), sequence=200, action="block")
        assert verdict(twin, target) == "open", "a later rule decided"
        with talk(twin, target) as talking:
            twin.rule("a-none", ("left",), ("right",), sequence=50, action="block")
            assert verdict(twin, target) == "silent" and is_cut(talking)
            twin.rule("few", ("left",), ("right",), [80], sequence=25)
            assert verdict(twin, target) == "open" and verdict(twin, [target[0], 443]) == "silent"
            assert is_up(talking), "an earlier rule lets it on"
            talking.stdin.close()


@test
def a_rule_is_asked_where_its_direction_and_interface_are():
    with Twin() as twin:
        target = build(twin)
        twin.made("opnsense:firewall:rule", "in", {
            "source": "any", "destination": "any", "action": "allow", "interface": ["left"]},
            {"interface": "left"})
        assert verdict(twin, target) == "open"
        assert verdict(twin, target, "outside") == "silent", "it came in elsewhere"
        twin.made("opnsense:firewall:rule", "wan", {
            "source": "any", "destination": "any", "action": "allow", "interface": ["wan"]})
        assert verdict(twin, target, "outside") == "open"
        with talk(twin, target) as talking:
            twin.made("opnsense:firewall:rule", "out", {
                "source": "any", "destination": "any", "port": 80, "action": "block", "direction": "out",
                "interface": ["right"], "sequence": 900}, {"interface": "right"})
            assert verdict(twin, target) == "silent" and is_cut(talking)
            talking.stdin.close()
        assert verdict(twin, [target[0], 443]) == "open"
        assert packets(twin, "out") > 0
        # What is let out is not let in by that.
        twin.made("opnsense:firewall:rule", "out", {
            "source": "any", "destination": "any", "action": "allow", "direction": "out"})
        assert twin.ask("delete", uid="uid-in")["ok"]
        assert verdict(twin, target) == "silent"


@test
def a_schedule_opens_and_closes_by_the_clock():
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    today = datetime.datetime.now(datetime.timezone.utc).weekday()
    # Today's neighbours too: whatever the time of day is, the test does not care.
    near = [days[(today + shift) % 7] for shift in (-1, 0, 1)]
    far = [day for day in days if day not in near]
    with Twin() as twin:
        target = build(twin)

        def rule(schedule, **more):
            twin.made("opnsense:firewall:rule", "timed", {
                "source": "any", "destination": "any", "action": "allow", **more},
                {"schedule": schedule})

        twin.made("opnsense:firewall:schedule", "now", {"windows": [
            {"days": near, "from": "00:00", "to": "12:00"}, {"days": near, "from": "12:00", "to": "24:00"}]})
        twin.made("opnsense:firewall:schedule", "later", {"windows": [{"days": far}]})
        rule("later")
        assert verdict(twin, target) == "silent"
        rule("now")
        assert verdict(twin, target) == "open"
        rule("now", expires="2001-01-01T00:00:00Z")
        assert verdict(twin, target) == "silent"
        rule("now", expires="2100-01-01T00:00:00Z")
        assert verdict(twin, target) == "open"


@test
def a_rule_is_over_when_its_time_has_come():
    with Twin() as twin:
        target = build(twin)
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        twin.rule("brief", ("left",), ("right",), expires=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert twinlab.wait_until(lambda: verdict(twin, target, wait=0.2) == "silent", 20)
        assert datetime.datetime.now(datetime.timezone.utc) >= end.replace(microsecond=0)


SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[3]))); s.settimeout(float(sys.argv[4]))
s.sendto(b"ask", (sys.argv[1], int(sys.argv[2])))
try:
    print(s.recv(16).decode())
except OSError:
    print("silent")
"""

ANSWER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53)); print("listening", flush=True)
while True:
    data, sender = s.recvfrom(16)
    s.sendto(b"answer", sender)
"""


@test
def protocols_and_ports_of_the_source_are_told_apart():
    with Twin() as twin:
        target = build(twin)
        answering = subprocess.Popen(twin.command("r-0", twinlab.PYTHON, "-c", ANSWER), stdout=subprocess.PIPE)
        try:
            assert answering.stdout.readline() == b"listening\n"

            def ask(port):
                return twin.run("l-0", twinlab.PYTHON, "-c", SEND, target[0], "53", str(port), "0.5").stdout.strip()

            assert ask(5000) == "silent"
            twin.rule("names", ("left",), ("right",), 53, protocol="udp", sourcePort=[5000, "6000-6001"])
            assert ask(5000) == "answer" and ask(6001) == "answer" and ask(6002) == "silent"
            assert verdict(twin, target) == "silent"
            twin.rule("names", ("left",), ("right",), protocol="tcp/udp")
            assert ask(6002) == "answer" and verdict(twin, target) == "open"
        finally:
            answering.kill()
            answering.wait()
            answering.stdout.close()


@test
def lists_are_of_addresses_ports_other_lists_countries_and_files():
    with Twin() as twin:
        target = build(twin)
        address = twin.hosts()["l-0"]["address"]
        alias = "opnsense:firewall:alias"
        file = twin.folder / "blocked.txt"
        data = twin.folder / "countries.csv"
        file.write_text("# nobody yet\n192.0.2.0/24 ; SBL1\n")
        data.write_text("192.0.2.0/24,XA\n10.210.0.0,10.210.0.255,XB\n")
        twin.made(alias, "web", {"kind": "port", "ports": ["80-81", 443]})
        twin.made("opnsense:firewall:rule", "open", {
            "source": "any", "destination": "right", "port": ["web"], "action": "allow", "sequence": 9},
            {"destination": "right", "port": "web"})
        assert verdict(twin, target) == "open"
        twin.made(alias, "web", {"kind": "port", "ports": [443]})
        assert verdict(twin, target) == "silent" and verdict(twin, [target[0], 443]) == "open"
        target[1] = 443
        twin.made(alias, "few", {"kind": "host", "content": []})
        twin.made(alias, "all", {"kind": "networkgroup", "content": ["few"]}, {"content": "few"})
        twin.rule("block", ("all",), "any", protocol="any", action="block", sequence=1)
        assert verdict(twin, target) == "open"
        twin.made(alias, "few", {"kind": "host", "content": [address]})
        assert verdict(twin, target) == "silent"

        twin.made(alias, "few", {"kind": "geoip", "countries": ["XA"], "database": str(data)})
        assert verdict(twin, target) == "open"
        twin.made(alias, "few", {"kind": "geoip", "countries": ["XA", "XB"], "database": str(data)})
        assert verdict(twin, target) == "silent"

        twin.made(alias, "few", {"kind": "urltable", "url": f"file://{file}", "refresh": "1s"})
        assert verdict(twin, target) == "open"
        counted = packets(twin, "open")
        file.write_text(f"{address}\n")
        assert twinlab.wait_until(lambda: verdict(twin, target) == "silent", 30), "the file is not looked at"
        assert packets(twin, "open") >= counted
        # Whoever takes it away, or is just writing it, opens nothing; nor does a new start.
        file.write_text("10.0.0.1\nnonsense\n")
        twin.made(alias, "else", {"kind": "host", "content": []})
        assert verdict(twin, target) == "silent"
        file.unlink()
        twin.stop()
        twin.start()
        twin.listen("r-0", [80, 443])
        assert verdict(twin, target) == "silent"
        file.write_text("192.0.2.1\n")
        assert twinlab.wait_until(lambda: verdict(twin, target) == "open", 30)


@test
def what_an_alias_cannot_hold_is_refused_and_nothing_changes():
    with Twin() as twin:
        build(twin)
        for spec, words in (
                ({"kind": "urltable", "url": "https://lists.example/x"}, "fetches nothing from outside"),
                ({"kind": "urltable", "url": f"file://{twin.folder}/none"}, "cannot be read"),
                ({"kind": "geoip", "countries": ["xx"], "database": "/none"}, "no country such as DE"),
                ({"kind": "host", "content": ["10.0.0.1 accept"]}, "not an IPv4 address")):
            answer = twin.put("opnsense:firewall:alias", "odd", spec)
            assert not answer["ok"] and words in json.dumps(answer), answer
        assert not twin.get("uid-odd")["present"]


@test
def what_a_rule_logs_and_what_none_lets_in_is_a_line_each():
    with Twin() as twin:
        target = build(twin)
        source = twin.hosts()["l-0"]["address"]
        log = twin.state / "logs" / "router.firewall.log"

        def has(line):
            return lambda: log.exists() and line in re.sub(r":\d+ >", " >", log.read_text())

        assert verdict(twin, target) == "silent"
        assert twinlab.wait_until(has(f"Z denied in left out right tcp {source} > {target[0]}:80\n"), 20)
        twin.rule("quiet", ("left",), ("right",), 80)
        assert verdict(twin, target) == "open"
        twin.rule("told", ("left",), ("right",), 443, log=True)
        assert verdict(twin, [target[0], 443]) == "open"
        assert twinlab.wait_until(has(f"Z told in left out right tcp {source} > {target[0]}:443\n"), 20)
        assert "quiet" not in log.read_text()
        assert log.stat().st_mode & 0o77 == 0


@test
def a_list_of_100000_networks_is_taken_and_changed_while_connections_stand():
    with Twin() as twin:
        target = build(twin)
        lists = [f"{100 + i // 32768}.{i // 128 % 256}.{i % 128 * 2}.0/24" for i in range(100000)]
        twin.rule("open", "any", ("right",), sequence=9)
        with talk(twin, target) as talking:
            made = json.dumps(twin.made("opnsense:firewall:alias", "bad", {"kind": "network", "content": lists}))
            assert made
            twin.rule("block", ("bad",), "any", protocol="any", action="block", sequence=1)
            assert is_up(talking)
            counted = packets(twin, "open")
            address = twin.hosts()["l-0"]["address"]
            twin.made("opnsense:firewall:alias", "bad", {"kind": "network", "content": lists[1:] + [address]})
            assert is_cut(talking) and packets(twin, "open") == counted
            twin.made("opnsense:firewall:alias", "bad", {"kind": "network", "content": lists[:10]})
            assert is_up(talking)
            talking.stdin.close()


twinlab.run(TESTS)
