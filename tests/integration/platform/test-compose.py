#!/usr/bin/env python3
"""Stacks as compose files have them, through the command line: what their services need and find. TAP."""

import re
import sys

sys.dont_write_bytecode = True
import platformlab
from platformlab import Platform

HEAD = """deployment:
  name: kiosk
  resources:
    - type: opnsense:network:vlan
      name: square
      properties: {tag: 30, subnet: 10.30.0.0/28}
    - type: aws:ec2:instances
      name: stand
      properties: {instances: 1, subnet: square}
    - type: docker:compose:stack
      name: kiosk
      properties:
"""


def document(services, more=""):
    lines = "".join(f"          {line}\n" for line in services)
    return f"{HEAD}        services:\n{lines}{more}"


def started(kiosk):
    """The ports of the host's services in the order in which their processes began."""
    shown = kiosk.run("stand-0", "sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; "
                      "awk '{print \" @\" $22 \" \" $1}' $p/stat; done").stdout
    rows = re.findall(r"parley-twin workload [^\n@]*?10\.30\.0\.\d+:(8\d) [^\n@]*@(\d+) (\d+)", shown)
    return [int(port) for port, _, _ in sorted(rows, key=lambda row: (int(row[1]), int(row[2])))]


def services_start_after_those_that_a_list_names():
    chain = ["a: {image: a, hosts: stand, port: 81, depends_on: [c]}",
             "b: {image: b, hosts: stand, port: 82}",
             "c: {image: c, hosts: stand, port: 83, depends_on: [b]}"]
    with Platform(document(chain)) as kiosk:
        kiosk.up()
        assert started(kiosk) == [82, 83, 81], started(kiosk)
        assert kiosk.steps() == []
        # The longer form of the same is no change; another condition is one.
        kiosk.text = document([chain[0].replace("[c]", "{c: {condition: service_started}}"), *chain[1:]])
        assert kiosk.steps() == []
        kiosk.text = document([chain[0].replace("[c]", "{c: {condition: service_healthy}}"), *chain[1:]])
        assert kiosk.steps() == ["update kiosk"], kiosk.steps()
        kiosk.up()
        kiosk.text = document(chain)
        assert kiosk.steps() == ["update kiosk"], kiosk.steps()
        # What a list names is looked for as what a map names.
        kiosk.text = document([chain[0].replace("[c]", "[d, c]"), *chain[1:]])
        assert "there is no service d, which is in depends_on" in kiosk.parley("plan", str(kiosk.document), code=1).stderr
        kiosk.text = document([chain[0], chain[1].replace("82", "82, depends_on: [a]"), chain[2]])
        assert "waits for itself" in kiosk.parley("plan", str(kiosk.document), code=1).stderr


platformlab.run([services_start_after_those_that_a_list_names])
