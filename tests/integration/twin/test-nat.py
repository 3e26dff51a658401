#!/usr/bin/env python3
"""Translated addresses of the twin with packets: port forwards and outbound rules. Prints TAP."""

# Loads a module that an ordinary user, whom --as-user makes of us, may not be able to read.
import encodings.idna
import socket
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin

WAN = "198.51.100.1"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def build(twin):
    twin.start()
    twin.vlan("inside", "10.210.0.0/24", 10)
    twin.vlan("other", "10.211.0.0/24", 11)
    twin.instances("box", "inside", 1)
    twin.instances("two", "other", 1)
    twin.listen("box-0", [22, 80])
    return twin.hosts()["box-0"]["address"]


def verdict(twin, host, address, port):
    return list(twin.probe(host, [[address, port]]).values())[0]


def forward(twin, name="door", references=None, **spec):
    return twin.made("opnsense:nat:portforward", name, {"port": 8022, "target": "box", "targetPort": 22, **spec},
                     {"target": "box"} if references is None else references)


# Prints who connects to it, once for each connection.
WHO = """
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 9000)); s.listen(8); print("listening", flush=True)
while True:
    c, peer = s.accept()
    print(peer[0], flush=True)
    c.close()
"""


@test
def a_port_outside_leads_to_a_host_inside_and_nothing_else_does():
    with Twin() as twin:
        address = build(twin)
        assert verdict(twin, "outside", WAN, 8022) == "silent"
        forward(twin)
        assert verdict(twin, "outside", WAN, 8022) == "open"
        assert verdict(twin, "outside", WAN, 22) == "silent" and verdict(twin, "outside", WAN, 8023) == "silent"
        assert verdict(twin, "outside", address, 22) == "silent", "the host itself is let in"
        assert verdict(twin, "two-0", WAN, 8022) == "silent", "it leads from outside only"
        assert twin.get("uid-door")["outputs"]["address"] == WAN
        assert twinlab.wait_until(lambda: twin.get("uid-door")["status"]["connections"] >= 1)
        # Several ports keep their numbers; an address stands for a host.
        forward(twin, "more", {}, port=[22, "80-81"], target=address, targetPort=None)
        assert verdict(twin, "outside", WAN, 22) == "open" and verdict(twin, "outside", WAN, 80) == "open"
        forward(twin, enabled=False)
        assert verdict(twin, "outside", WAN, 8022) == "silent"
        assert twin.ask("delete", uid="uid-more")["ok"]
        assert verdict(twin, "outside", WAN, 80) == "silent"


@test
def what_is_led_inside_is_blocked_by_rules_and_let_in_by_them_where_it_says_so():
    with Twin() as twin:
        address = build(twin)
        forward(twin)
        twin.rule("block", "198.51.100.10", "any", protocol="any", action="block")
        assert verdict(twin, "outside", WAN, 8022) == "silent"
        twin.rule("block", "192.0.2.0/24", "any", protocol="any", action="block")
        assert verdict(twin, "outside", WAN, 8022) == "open"
        forward(twin, **{"pass": False})
        assert verdict(twin, "outside", WAN, 8022) == "silent"
        twin.rule("let", "any", address, 22)
        assert verdict(twin, "outside", WAN, 8022) == "open"
        forward(twin, source="192.0.2.0/24")
        assert verdict(twin, "outside", WAN, 8022) == "silent"


@test
def a_connection_that_is_led_inside_stands_through_changes():
    with Twin() as twin:
        build(twin)
        forward(twin)
        script = ("import socket,sys\ns=socket.create_connection((%r,8022));s.settimeout(20)\nprint('up',flush=True)\n"
                  "for line in sys.stdin:\n s.send(b'a');print('up' if s.recv(1) else 'cut',flush=True)" % WAN)
        with subprocess.Popen(twin.command("outside", twinlab.PYTHON, "-c", script), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as talk:
            assert talk.stdout.readline() == "up\n"
            forward(twin, "more", {}, port=80, target="10.210.0.11", targetPort=80)
            twin.rule("else", "any", ("other",), 80)
            forward(twin, port=8023)
            talk.stdin.write("\n")
            talk.stdin.flush()
            assert talk.stdout.readline() == "up\n"
            talk.stdin.close()
        assert verdict(twin, "outside", WAN, 8023) == "open" and verdict(twin, "outside", WAN, 8022) == "silent"


@test
def a_port_forward_is_reached_from_the_machine_the_twin_runs_on():
    with Twin() as twin:
        build(twin)
        forward(twin)
        status = twin.get("uid-door")["status"]
        port = status.get("host_port") or urllib.parse.urlparse(status["host_url"]).port
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.settimeout(10)
            s.sendall(b"x")
            assert s.recv(1) == b"x"


@test
def those_inside_go_out_as_the_address_that_is_said():
    with Twin() as twin:
        address = build(twin)
        twin.rule("out", ("inside",), "any")
        who = subprocess.Popen(twin.command("outside", twinlab.PYTHON, "-c", WHO), text=True, stdout=subprocess.PIPE)
        try:
            assert who.stdout.readline() == "listening\n"

            def seen():
                assert verdict(twin, "box-0", "198.51.100.10", 9000) == "open"
                return who.stdout.readline().strip()

            assert seen() == address
            twin.made("opnsense:nat:outbound", "all", {"source": "inside", "sequence": 9}, {"source": "inside"})
            assert seen() == WAN
            assert twinlab.wait_until(lambda: twin.get("uid-all")["status"]["connections"] >= 1)
            twin.made("opnsense:nat:outbound", "plain", {"source": address, "noNat": True, "sequence": 2})
            assert seen() == address
            twin.made("opnsense:nat:outbound", "plain", {"source": address, "target": "203.0.113.9", "sequence": 2})
            assert seen() == "203.0.113.9"
        finally:
            who.kill()
            who.wait()
            who.stdout.close()


twinlab.run(TESTS)
