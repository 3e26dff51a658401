#!/usr/bin/env python3
"""Names inside the twin: every host finds the others by them, as programs do. Prints TAP."""

import json
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin

TESTS = []

# What the system's own resolver makes of names, each a list of addresses or the reason why there is none.
FIND = """
import json, socket, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = sorted({info[4][0] for info in socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)})
    except socket.gaierror as error:
        found[name] = "unknown" if error.errno == socket.EAI_NONAME else str(error)
print(json.dumps(found))
"""


def test(function):
    TESTS.append(function)
    return function


def find(twin, host, *names):
    done = twin.run(host, twinlab.PYTHON, "-c", FIND, *names)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@test
def every_host_finds_every_other_by_its_name_and_by_that_of_its_resource():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24", 10)
        twin.vlan("right", "10.211.0.0/24", 11)
        twin.instances("web", "left", 2)
        twin.instances("app", "right", 2)
        hosts = twin.hosts()
        want = {name: [host["address"]] for name, host in hosts.items()}
        want["web"] = [hosts["web-0"]["address"], hosts["web-1"]["address"]]
        want["app.twin.internal"] = [hosts["app-0"]["address"], hosts["app-1"]["address"]]
        want |= {"web-2": "unknown", "elsewhere.example": "unknown"}
        for host in hosts:
            assert find(twin, host, *want) == want, host
        done = twin.run("web-0", twinlab.PYTHON, "-c", "import socket; print(socket.getfqdn('10.211.0.11'))")
        assert done.stdout == "app-0.twin.internal\n", done
        # What changes is known at once.
        twin.instances("web", "left", 3)
        assert find(twin, "app-0", "web-2") == {"web-2": [twin.hosts()["web-2"]["address"]]}
        twin.ask("delete", uid="uid-web")
        assert find(twin, "app-0", "web-0", "web") == {"web-0": "unknown", "web": "unknown"}


@test
def a_network_tells_who_has_which_of_its_addresses():
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24", 10)
        assert twin.get("uid-left")["status"]["leases"] == []
        twin.instances("web", "left", 2)
        want = [{"address": f"10.210.0.1{i + 1}", "hostname": f"web-{i}", "type": "static"} for i in (0, 1)]
        assert twin.get("uid-left")["status"]["leases"] == want
        twin.instances("web", "left", 1)
        assert twin.get("uid-left")["status"]["leases"] == want[:1]


@test
def the_machines_own_names_are_left_alone():
    with open("/etc/resolv.conf", "rb") as file:
        before = file.read()
    with Twin() as twin:
        twin.start()
        twin.vlan("left", "10.210.0.0/24", 10)
        twin.instances("web", "left", 1)
        inside = twin.run("web-0", "cat", "/etc/resolv.conf").stdout
        assert "nameserver 198.51.100.1\n" in inside, inside
        with open("/etc/resolv.conf", "rb") as file:
            assert file.read() == before


twinlab.run(TESTS)
