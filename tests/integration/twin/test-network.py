#!/usr/bin/env python3
"""Packets of the twin: what a rule lets in arrives, and nothing else. Prints TAP."""

import json
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin

ROUTER = "198.51.100.1"
PORTS = [22, 80, 443, 5432, 8080, 9090]
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def build(twin):
    """Two networks with two hosts each, and one rule between them."""
    twin.start()
    twin.vlan("left", "10.210.0.0/24", 10)
    twin.vlan("right", "10.211.0.0/24", 11)
    twin.instances("l", "left", 2)
    twin.instances("r", "right", 2)
    for host in twin.hosts():
        twin.listen(host, PORTS)
    return twin


def matrix(twin):
    """{(from, to, port): verdict} for all ordered pairs of hosts."""
    hosts = twin.hosts()
    cells = {}
    for source in hosts:
        others = {h["address"]: name for name, h in hosts.items() if name != source}
        found = twin.probe(source, [[a, p] for a in others for p in PORTS])
        for target, verdict in found.items():
            address, port = target.split(":")
            cells[source, others[address], int(port)] = verdict
    return cells


def expected(twin, rules):
    """What the rules, (source, destination, ports) by network or None for any, say of each cell."""
    hosts = twin.hosts()
    cells = {}
    for a, source in hosts.items():
        for b, target in hosts.items():
            if a == b:
                continue
            for port in PORTS:
                is_open = source["network"] == target["network"] or any(
                    (s is None or s == source["network"]) and
                    (d is None or d == target["network"]) and port in ports
                    for s, d, ports in rules)
                cells[a, b, port] = "open" if is_open else "silent"
    return cells


def differences(got, want):
    return {cell: (got.get(cell), want.get(cell)) for cell in want if got.get(cell) != want[cell]}


@test
def a_packet_between_networks_passes_if_and_only_if_a_rule_says_so():
    with Twin() as twin:
        build(twin)
        assert not differences(matrix(twin), expected(twin, []))
        twin.rule("l-to-r", ("left",), ("right",), [8080, 22])
        assert not differences(matrix(twin), expected(twin, [("left", "right", [8080, 22])]))
        twin.rule("anybody", "any", ("left",), "443")
        rules = [("left", "right", [8080, 22]), (None, "left", [443])]
        assert not differences(matrix(twin), expected(twin, rules))


@test
def changing_one_rule_changes_exactly_its_cells():
    with Twin() as twin:
        build(twin)
        twin.rule("one", ("left",), ("right",), 80)
        twin.rule("two", ("right",), ("left",), "5000-6000")
        before = matrix(twin)
        time.sleep(0.3)
        packets = twin.get("uid-two")["status"]["packets"]
        assert packets > 0
        twin.rule("one", ("left",), ("right",), 9090)
        after = matrix(twin)
        assert twin.get("uid-two")["status"]["packets"] > packets, "a counter was reset"
        changed = {cell for cell in before if before[cell] != after[cell]}
        want = {(f"l-{i}", f"r-{j}", port) for i in (0, 1) for j in (0, 1) for port in (80, 9090)}
        assert changed == want, changed ^ want
        assert twin.ask("delete", uid="uid-two")["ok"]
        assert not differences(matrix(twin), expected(twin, [("left", "right", [9090])]))


@test
def a_block_comes_before_what_is_allowed_and_cuts_what_stands():
    with Twin() as twin:
        build(twin)
        hosts = twin.hosts()
        twin.rule("open", "any", ("right",), 80)
        twin.made("opnsense:firewall:alias", "bad", {"kind": "host", "content": []})
        twin.rule("block", ("bad",), "any", protocol="any", action="block")
        target = [hosts["r-0"]["address"], 80]
        assert "open" in twin.probe("l-0", [target]).values()
        script = ("import socket,sys,time\ns=socket.create_connection((%r,%d));s.settimeout(1)\n"
                  "s.send(b'a');s.recv(1);print('up',flush=True);sys.stdin.readline()\n"
                  "s.send(b'b')\ntry:\n print(s.recv(1))\nexcept OSError:\n print('cut')" %
                  tuple(target))
        with subprocess.Popen(twin.command("l-0", twinlab.PYTHON, "-c", script), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as talk:
            assert talk.stdout.readline() == "up\n"
            twin.made("opnsense:firewall:alias", "bad",
                      {"kind": "host", "content": [hosts["l-0"]["address"], "203.0.113.0/24"]})
            talk.stdin.write("\n")
            talk.stdin.flush()
            assert talk.stdout.readline() == "cut\n"
        assert "silent" in twin.probe("l-0", [target]).values()
        assert "open" in twin.probe("l-1", [target]).values()
        # What the blocked host is asked by others is none of its own connections.
        twin.rule("back", ("right",), ("left",), 443)
        assert "open" in twin.probe("r-0", [[hosts["l-0"]["address"], 443]]).values()
        twin.made("opnsense:firewall:alias", "bad", {"kind": "network", "content": ["203.0.0.0/16"]})
        assert "open" in twin.probe("l-0", [target]).values()


@test
def a_reject_answers_and_a_block_is_silent():
    with Twin() as twin:
        build(twin)
        twin.rule("all", ("left",), ("right",))
        twin.rule("no", ("left",), ("right",), 22, action="reject")
        address = twin.hosts()["r-0"]["address"]
        assert twin.probe("l-0", [[address, 22], [address, 80]]) == {
            f"{address}:22": "refused", f"{address}:80": "open"}
        # Also who asks more often than the kernel answers by ICMP, where the rule is of all protocols.
        twin.rule("none", ("right",), ("left",), protocol="any", action="reject")
        address = twin.hosts()["l-0"]["address"]
        found = twin.probe("r-0", [[address, port] for port in range(1000, 1030)])
        assert set(found.values()) == {"refused"}, found


@test
def connections_of_one_address_beyond_the_limit_are_dropped():
    with Twin() as twin:
        build(twin)
        twin.rule("few", ("left",), ("right",), 80, rateLimit="10/minute")
        address = twin.hosts()["r-0"]["address"]
        assert twin.run("l-0", "true").returncode == 0
        verdicts = [list(twin.probe("l-0", [[address, 80]], 0.2).values())[0] for _ in range(12)]
        assert verdicts == ["open"] * 10 + ["silent"] * 2, verdicts
        assert "open" in twin.probe("l-1", [[address, 80]]).values(), "another address has its own"
        assert twin.get("uid-few")["status"]["limited"] >= 2
        # The window goes on when something else changes.
        twin.rule("other", ("right",), ("left",), 80)
        assert "silent" in twin.probe("l-0", [[address, 80]], 0.2).values()
        twin.rule("few", ("left",), ("right",), 80, rateLimit="2/second")
        assert "open" in twin.probe("l-0", [[address, 80]]).values()
        time.sleep(1.2)
        assert "open" in twin.probe("l-0", [[address, 80]]).values()


@test
def an_address_of_another_network_does_not_help():
    with Twin() as twin:
        build(twin)
        twin.rule("right-only", "10.211.0.0/24", ("left",), 80)
        stolen = "10.211.0.99"
        assert twin.run("outside", "ip", "address", "add", stolen, "dev", "lo").returncode == 0
        target = [twin.hosts()["l-0"]["address"], 80]
        assert "silent" in twin.probe("outside", [target], source=stolen).values()
        assert "open" in twin.probe("r-0", [target]).values()
        # The world outside may have any other address.
        twin.rule("world", "203.0.113.0/24", ("left",), 443)
        assert twin.run("outside", "ip", "address", "add", "203.0.113.7", "dev",
                        "lo").returncode == 0
        target[1] = 443
        assert "open" in twin.probe("outside", [target], source="203.0.113.7").values()
        assert "silent" in twin.probe("outside", [target]).values()


# Asks for a name by UDP from an address, and says what came within a while, and from where.
ASK = r"""
import json, socket, sys
source, router, wait = json.loads(sys.argv[1])
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind((source, 5353))
s.settimeout(wait)
print("bound", flush=True)
try:
    if router:
        s.connect((router, 53))
        s.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x03l-0\0\0\1\0\1")
    data, peer = s.recvfrom(512)
    print(json.dumps([data[:2].hex(), peer[0]]))
except TimeoutError:
    print(json.dumps(None))
"""


def asking(twin, host, source, router, wait):
    helper = subprocess.Popen(twin.command(host, twinlab.PYTHON, "-c", ASK, json.dumps([source, router, wait])),
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert helper.stdout.readline() == "bound\n"
    return helper


def heard(helper):
    with helper:
        return json.loads(helper.stdout.readline())


@test
def the_router_itself_answers_only_to_echo_and_for_names():
    with Twin() as twin:
        build(twin)
        twin.rule("all", "any", "any", protocol="any")
        for host, addresses in ("l-0", ["10.210.0.1", "10.211.0.1", ROUTER]), ("outside", ["10.210.0.1", ROUTER]):
            found = twin.probe(host, [[address, port] for address in addresses for port in PORTS + [53]])
            assert set(found.values()) == {"silent"}, (host, found)
            own = twin.hosts()[host]["address"]
            assert heard(asking(twin, host, own, ROUTER, 10)) == ["1234", ROUTER], host
            # Silence, and not even a word that nobody is there.
            assert heard(asking(twin, host, own, "10.210.0.1", 1)) is None, host


@test
def who_lies_about_his_address_has_no_answers_sent_to_others():
    with Twin() as twin:
        build(twin)
        victim = twin.hosts()["r-0"]["address"]
        assert heard(asking(twin, "r-0", victim, ROUTER, 10)) == ["1234", ROUTER], "this test cannot fail"
        for liar in "l-0", "outside":
            assert twin.run(liar, "ip", "address", "add", victim, "dev", "lo").returncode == 0
            listening = asking(twin, "r-0", victim, None, 2)
            assert heard(asking(twin, liar, victim, ROUTER, 0.5)) is None
            assert heard(listening) is None, liar


@test
def a_host_keeps_its_address_and_its_namespace_through_changes_of_others():
    with Twin() as twin:
        build(twin)
        inode = twin.run("l-1", "stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout
        before = {name: host["address"] for name, host in twin.hosts().items()}
        twin.instances("a", "left", 3)
        twin.instances("l", "left", 5)
        twin.ask("delete", uid="uid-r")
        twin.instances("l", "left", 2)
        after = {name: host["address"] for name, host in twin.hosts().items()}
        for name in ("l-0", "l-1", "outside"):
            assert before[name] == after[name]
        assert "r-0" not in after and "l-4" not in after
        assert twin.run("l-1", "stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout == inode
        assert len(set(after.values())) == len(after)


@test
def who_gets_a_used_address_is_reached_at_once():
    with Twin() as twin:
        build(twin)
        address = twin.hosts()["l-1"]["address"]
        twin.rule("to-left", ("right",), ("left",), 80)
        for asking in "l-0", "r-0":  # the neighbour, and the router for those behind it, know it now
            assert twin.probe(asking, [[address, 80]])[f"{address}:80"] == "open"
        twin.instances("l", "left", 1)
        twin.instances("l", "left", 2)
        assert twin.hosts()["l-1"]["address"] == address
        twin.listen("l-1", [80])
        for asking in "l-0", "r-0":
            assert twin.probe(asking, [[address, 80]], wait=2)[f"{address}:80"] == "open", asking


@test
def hosts_that_come_and_go_keep_nobody_from_the_router():
    with Twin() as twin:
        build(twin)
        twin.rule("to-right", ("left",), ("right",), 80)
        target = [twin.hosts()["r-0"]["address"], 80]

        def gateway():
            return twin.run("l-0", "cat", "/proc/net/arp").stdout.split("10.210.0.1 ")[1].split()[2]
        assert "open" in twin.probe("l-0", [target]).values()
        before = gateway()
        for count in 9, 2, 9, 2:
            twin.instances("l", "left", count)
            assert "open" in twin.probe("l-0", [target], wait=2).values(), count
            assert gateway() == before, count


@test
def a_list_of_20000_addresses_is_taken_and_changed():
    with Twin() as twin:
        build(twin)
        content = [f"172.{16 + i // 65536}.{i // 256 % 256}.{i % 256}" for i in range(20000)]
        twin.rule("open", "any", ("right",), 80)
        twin.made("opnsense:firewall:alias", "bad", {"kind": "host", "content": content})
        twin.rule("block", ("bad",), "any", protocol="any", action="block")
        address = twin.hosts()["l-0"]["address"]
        target = [twin.hosts()["r-0"]["address"], 80]
        assert "open" in twin.probe("l-0", [target]).values()
        twin.made("opnsense:firewall:alias", "bad", {"kind": "host", "content": content + [address]})
        assert "silent" in twin.probe("l-0", [target]).values()


@test
def twelve_hosts_stand_soon():
    with Twin() as twin:
        begin = time.monotonic()
        twin.start()
        started = time.monotonic()
        with twin.connect() as connection:
            for i in range(4):
                name = f"n{i}"
                connection.send("put", resource={
                    "uid": f"uid-{name}", "name": name, "type": "opnsense:network:vlan",
                    "spec": {"subnet": f"10.{220 + i}.0.0/24"}})
                connection.send("put", resource={
                    "uid": f"uid-h{i}", "name": f"h{i}", "type": "aws:ec2:instances",
                    "spec": {"instances": 3}, "references": {"subnet": [f"uid-{name}"]}})
            answers = [connection.read() for _ in range(8)]
        end = time.monotonic()
        assert all(a["ok"] for a in answers), answers
        print(f"# 12 hosts in 4 networks after {(end - begin) * 1000:.0f} ms, "
              f"of which the start {(started - begin) * 1000:.0f} ms")
        begin = time.monotonic()
        assert twin.ask("down")["ok"]
        twin.process.wait(5)
        print(f"# down after {(time.monotonic() - begin) * 1000:.0f} ms")


twinlab.run(TESTS)
