#!/usr/bin/env python3
"""Leases: instances of a network with DHCP have the address that its server leased them. Prints TAP."""

from concurrent.futures import ThreadPoolExecutor
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin

TESTS = []
POOL = {"from": "10.210.0.200", "to": "10.210.0.220", "leaseTime": "10m"}


def test(function):
    TESTS.append(function)
    return function


def network(twin, name="left", subnet="10.210.0.0/24", tag=10, **dhcp):
    return twin.put("opnsense:network:vlan", name, {"tag": tag, "subnet": subnet, "dhcp": POOL | dhcp})


def wait_for(condition, what):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(what)


def leases(twin, name="left"):
    return {lease["hostname"]: lease for lease in twin.get(f"uid-{name}")["status"]["dhcp"]["leases"]}


def hardware(twin, host):
    return twin.run(host, "cat", "/sys/class/net/eth0/address").stdout.strip()


@test
def instances_have_the_address_that_the_server_leased_them():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        assert twin.get("uid-left")["status"]["dhcp"] == {"server": "10.210.0.2", "leases": []}
        twin.instances("web", "left", 2)
        found = leases(twin)
        assert sorted(found) == ["web-0", "web-1"], found
        for i, name in enumerate(("web-0", "web-1")):
            assert found[name]["address"] == f"10.210.0.1{i + 1}", found
            shown = twin.run(name, "ip", "-4", "addr", "show", "eth0").stdout
            assert f"inet 10.210.0.1{i + 1}/24 " in shown, shown
            assert f"link/ether {found[name]['mac']} " in twin.run(name, "ip", "link", "show", "eth0").stdout
            route = twin.run(name, "ip", "route", "show", "default").stdout
            assert route.startswith("default via 10.210.0.1 "), route
        kinds = {lease["hostname"]: lease["type"] for lease in twin.get("uid-left")["status"]["leases"]}
        assert kinds == {"left-dhcp": "static", "web-0": "dhcp", "web-1": "dhcp"}, kinds
        # They reach each other, and one that comes later is leased its own.
        twin.listen("web-1", [8000])
        assert twin.probe("web-0", [["10.210.0.12", 8000]]) == {"10.210.0.12:8000": "open"}
        twin.instances("web", "left", 3)
        assert sorted(leases(twin)) == ["web-0", "web-1", "web-2"]


@test
def a_server_that_dies_runs_again_and_no_host_loses_its_address():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 1)
        done = twin.run("left-dhcp", "sh", "-c", "kill -9 $(pidof dnsmasq)")
        assert done.returncode == 0, done
        wait_for(lambda: twin.get("uid-left")["status"].get("restarts") == 1, "it was started again")
        wait_for(lambda: twin.get("uid-left")["status"]["state"] == "ready", "it serves again")
        assert sorted(leases(twin)) == ["web-0"]
        assert "10.210.0.11/24" in twin.run("web-0", "ip", "-4", "addr", "show", "eth0").stdout


# Takes the port of the server as soon as that is dead, and keeps it from the next one until its stdin ends.
THIEF = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("waiting", flush=True)
while True:
    try:
        s.bind(("", 67))
        break
    except OSError:
        pass
print("taken", flush=True)
sys.stdin.read()
"""


@test
def an_instance_without_a_server_has_no_address_until_there_is_one():
    with Twin() as twin, ThreadPoolExecutor(1) as beside:
        twin.start()
        assert network(twin)["ok"]
        thief = subprocess.Popen(twin.command("left-dhcp", twinlab.PYTHON, "-c", THIEF), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        try:
            assert thief.stdout.readline() == b"waiting\n"
            assert twin.run("left-dhcp", "sh", "-c", "kill -9 $(pidof dnsmasq)").returncode == 0
            assert thief.stdout.readline() == b"taken\n"
            made = beside.submit(twin.instances, "web", "left", 1)
            log = twin.state / "logs" / "web-0.udhcpc.log"
            wait_for(lambda: log.exists() and log.read_text().count("discover") > 1, "a client that asks")
            assert twin.run("web-0", "ip", "-4", "addr", "show", "eth0").stdout == ""
            assert not made.done()
        finally:
            thief.stdin.close()
            thief.wait()
            thief.stdout.close()
        assert made.result(60)["ok"]
        assert "10.210.0.11/24" in twin.run("web-0", "ip", "-4", "addr", "show", "eth0").stdout


@test
def services_start_when_their_host_has_its_address():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 2)
        twin.made("docker:compose:stack", "stack", {"services": {"shop": {"image": "shop", "hosts": "web", "port": 80}}},
                  {"services.shop.hosts": "web"})
        assert twin.probe("web-0", [["10.210.0.12", 80]]) == {"10.210.0.12:80": "open"}


@test
def a_killed_supervisor_is_followed_by_one_that_leases_again():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 2)
        twin.process.kill()
        twin.process.wait()
        twin.process.stdout.close()
        twin.start()
        wait_for(lambda: twin.get("uid-web")["status"]["state"] == "ready", "it is ready")
        wait_for(lambda: all("inet 10.210.0.1" in twin.run(f"web-{i}", "ip", "-4", "addr", "show", "eth0").stdout
                             for i in (0, 1)), "their addresses")
        assert sorted(leases(twin)) == ["web-0", "web-1"]


@test
def a_pool_that_cannot_be_is_refused_and_changes_nothing():
    with Twin() as twin:
        twin.start()
        for dhcp in ({"from": "10.211.0.5"}, {"to": "10.210.0.255"}, {"from": "10.210.0.1"},
                     {"from": "10.210.0.230"}, {"leaseTime": "10s"}, {"from": "x\ndhcp-script=/bin/sh"}):
            answer = network(twin, **dhcp)
            assert not answer["ok"], (dhcp, answer)
        assert "left-dhcp" not in twin.hosts()


@test
def programs_have_one_right_each_and_only_in_the_network_of_their_host():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 1)
        read = "for p in $(pidof {}); do grep -E 'CapEff|CapPrm|CapAmb|NoNewPrivs|Seccomp:' /proc/$p/status; done"
        for host, program, bit in (("left-dhcp", "dnsmasq", 12), ("web-0", "udhcpc", 13)):
            lines = twin.run(host, "sh", "-c", read.format(program)).stdout.splitlines()
            status = dict(line.split(":\t") for line in lines)
            assert {status.pop(name) for name in ("CapEff", "CapPrm", "CapAmb")} == {f"{1 << bit:016x}"}, lines
            assert status == {"NoNewPrivs": "1", "Seccomp": "2"}, lines


@test
def leasing_begins_and_ends_beneath_what_runs():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24", 10)
        twin.instances("web", "left", 1)
        twin.listen("web-0", [8000])
        twin.instances("app", "left", 1)
        assert network(twin)["ok"]
        assert sorted(leases(twin)) == ["app-0", "web-0"]
        assert twin.probe("app-0", [["10.210.0.11", 8000]]) == {"10.210.0.11:8000": "open"}
        twin.vlan("left", "10.210.0.0/24", 10)
        assert "dhcp" not in twin.get("uid-left")["status"]
        assert twin.probe("app-0", [["10.210.0.11", 8000]]) == {"10.210.0.11:8000": "open"}


# Asks as somebody of that hardware address would, and prints the address that is offered: a client that the twin did
# not make, which has no address yet and sends to everybody.
STRANGER = """
import os, socket, struct, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
s.bind(("", 68))
number = os.urandom(4)
discover = (struct.pack("!BBBB", 1, 1, 6, 0) + number + struct.pack("!HH", 0, 0x8000) + bytes(16) + mac + bytes(10 + 192)
            + b"\\x63\\x82\\x53\\x63" + b"\\x35\\x01\\x01" + b"\\xff")
while True:
    s.sendto(discover, ("255.255.255.255", 67))
    s.settimeout(1)
    try:
        while True:
            offer = s.recv(1500)
            if offer[0] == 2 and offer[4:8] == number:
                print(socket.inet_ntoa(offer[16:20]))
                sys.exit()
    except TimeoutError:
        pass
"""


def offered(twin, host, mac):
    done = twin.run(host, twinlab.PYTHON, "-c", STRANGER, mac, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.strip()


@test
def who_is_named_is_leased_what_is_reserved_and_others_are_leased_of_the_pool():
    reservations = {"web-1": "10.210.0.77", "02:00:5E:10:00:01": "10.210.0.78", "web-9": "10.210.0.11",
                    "02:00:5e:10:00:02": "10.210.0.200"}
    with Twin() as twin:
        twin.start()
        answer = network(twin, reservations=reservations)
        assert answer["ok"], answer
        twin.instances("web", "left", 2)
        found = {name: lease["address"] for name, lease in leases(twin).items()}
        # What is reserved is nobody else's, be it that of a host that is not there.
        assert found == {"web-0": "10.210.0.12", "web-1": "10.210.0.77"}, found
        for name, address in found.items():
            assert f"inet {address}/24 " in twin.run(name, "ip", "-4", "addr", "show", "eth0").stdout
        twin.instances("tools", "left", 1)
        assert offered(twin, "left-dhcp", "02:00:5e:10:00:01") == "10.210.0.78"
        strangers = {offered(twin, "left-dhcp", f"02:00:5e:20:00:{n:02x}") for n in range(3)}
        assert len(strangers) == 3 and strangers <= {f"10.210.0.{n}" for n in range(201, 221)}, strangers
        assert offered(twin, "left-dhcp", "02:00:5e:10:00:02") == "10.210.0.200"


@test
def a_reservation_that_cannot_be_is_refused_and_moves_nobody():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 2)
        for reservations, words in (
                ({"web-0": "10.210.0.50"}, "web-0 stands with the address 10.210.0.11"),
                ({"web-5": "10.210.0.12"}, "the address of another that stands"),
                ({"02:00:5e:10:00:01": "10.210.0.11"}, "the address of another that stands"),
                ({"web-5": "10.211.0.5"}, "no address of a host"),
                ({"web-5": "10.210.0.1"}, "no address of a host"),
                ({"web-5": "10.210.0.60", "web-6": "10.210.0.60"}, "two reservations"),
                ({"02:00:5e:10:00:0A": "10.210.0.60", "02:00:5e:10:00:0a": "10.210.0.61"}, "two reservations"),
                ({"02:00:5e:10:00": "10.210.0.60"}, "neither the name of an instance nor a MAC"),
                ({"x,10.210.0.9\ndhcp-script=/bin/sh": "10.210.0.60"}, "neither the name of an instance nor a MAC")):
            answer = network(twin, reservations=reservations)
            assert not answer["ok"] and words in answer["error"]["message"], (reservations, answer)
        assert sorted(lease["address"] for lease in leases(twin).values()) == ["10.210.0.11", "10.210.0.12"]
        # The address that somebody has can be made its own for good.
        assert network(twin, reservations={"web-1": "10.210.0.12"})["ok"]
        assert twin.instances("web", "left", 1)["ok"] and twin.instances("web", "left", 3)["ok"]
        assert {name: lease["address"] for name, lease in leases(twin).items() if name in ("web-0", "web-1")} == {
            "web-0": "10.210.0.11", "web-1": "10.210.0.12"}


@test
def who_moves_away_and_back_breaks_no_reservation():
    with Twin() as twin:
        twin.start()
        reservations = {"web-0": "10.210.0.77"}
        assert network(twin, reservations=reservations)["ok"]
        assert twin.put("opnsense:network:vlan", "right", {"tag": 11, "subnet": "10.211.0.0/24"})["ok"]
        for net in ("left", "right", "left"):
            answer = twin.instances("web", net, 1)
            assert answer["ok"], (net, answer)
            answer = network(twin, reservations=reservations, leaseTime="11m")
            assert answer["ok"], (net, answer)
        assert leases(twin)["web-0"]["address"] == "10.210.0.77"


@test
def a_lease_is_renewed_and_the_address_stays_all_the_while():
    with Twin() as twin:
        twin.start()
        assert network(twin)["ok"]
        twin.instances("web", "left", 1)
        first = leases(twin)["web-0"]
        watched = twin.run("web-0", "sh", "-c", "ip -o -4 addr show eth0; sleep 2; kill -USR1 $(pidof udhcpc)")
        assert "10.210.0.11/24" in watched.stdout, watched
        # The server writes its list anew each time, and for a moment nothing is in it.
        longer = wait_for(lambda: [lease for lease in leases(twin).values() if lease["ends"] > first["ends"]],
                          "a lease that lasts longer")
        assert longer[0]["address"] == first["address"], longer
        shown = twin.run("web-0", "ip", "-o", "-4", "addr", "show", "eth0").stdout
        assert shown == watched.stdout, (shown, watched.stdout)


for program, package in (("dnsmasq", "dnsmasq-base"), ("udhcpc", "udhcpc")):
    if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        twinlab.skip_all(f"{package} is not installed")
twinlab.run(TESTS)
