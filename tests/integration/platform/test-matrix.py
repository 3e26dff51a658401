#!/usr/bin/env python3
"""Documents of six kinds and more: a packet passes if and only if a rule says so, to the router itself, too. TAP."""

from concurrent.futures import ThreadPoolExecutor
import sys
import time

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform, twinlab

# A shop in three tiers, a demilitarised zone, an isolation of things, two zones with replicas, ports that lead
# inside, and an isolated copy of production; each with how much of it a rule lets in or refuses, so that no
# mistake of ours makes the matrix empty.
DOCUMENTS = {"shophub": {"open"}, "dmz": {"open", "refused"}, "iot": {"open", "refused"}, "zones": {"open"},
             "doorway": {"open"}, "rehearsal": {"open", "refused"}, "questions": {"open", "refused"}}

# Rules about ICMP, which no example has: let in, kept out, refused, not meant, and left out.
QUESTIONS = """
deployment:
  name: questions
  resources:
    - type: opnsense:network:vlan
      name: hall
      properties: { tag: 41, subnet: 10.41.0.0/24 }
    - type: opnsense:network:vlan
      name: desk
      properties: { tag: 42, subnet: 10.42.0.0/24 }
    - type: opnsense:network:vlan
      name: vault
      properties: { tag: 43, subnet: 10.43.0.0/24 }
    - type: aws:ec2:instances
      name: visitors
      properties: { instances: 1, subnet: hall }
    - type: aws:ec2:instances
      name: clerks
      properties: { instances: 1, subnet: desk }
    - type: aws:ec2:instances
      name: safes
      properties: { instances: 1, subnet: vault }
    - type: opnsense:firewall:rule
      name: hall-asks-desk
      properties: { source: hall, destination: desk, protocol: icmp, action: pass }
    - type: opnsense:firewall:rule
      name: hall-is-refused-by-vault
      properties: { source: hall, destination: vault, protocol: icmp, action: reject }
    - type: opnsense:firewall:rule
      name: hall-uses-vault
      properties: { source: hall, destination: vault, protocol: any, port: 80, action: pass }
    - type: opnsense:firewall:rule
      name: desk-does-not-ask-vault
      properties: { source: desk, destination: vault, protocol: icmp, action: block }
    - type: opnsense:firewall:rule
      name: vault-asks-the-time-of-hall
      properties: { source: vault, destination: hall, protocol: icmp, icmpType: timestamp-request, action: reject }
    - type: opnsense:firewall:rule
      name: desk-pings-hall
      properties: { source: desk, destination: hall, protocol: icmp, icmpType: ping, action: pass }
    - type: opnsense:firewall:rule
      name: desk-is-refused-the-time-by-hall
      properties: { source: desk, destination: hall, protocol: icmp, icmpType: [timereq, maskreq], action: reject }
    - type: opnsense:firewall:rule
      name: desk-does-all-else-with-vault
      properties: { source: desk, destination: vault, protocol: any, action: pass }
    - type: opnsense:firewall:rule
      name: vault-uses-desk
      properties: { source: vault, destination: desk, protocol: tcp/udp, action: pass }
    - type: opnsense:firewall:rule
      name: vault-does-all-with-hall
      properties: { source: vault, destination: hall, protocol: any, action: pass }
    - type: opnsense:firewall:rule
      name: outside-asks-hall
      properties: { source: any, destination: hall, interface: wan, protocol: icmp, action: pass }
"""


def told(found):
    return "\n".join(f"{source} -> {target} {port}: {got}, wanted {wanted}"
                     for (source, target, port), (got, wanted) in list(found.items())[:40])


def check(name):
    """Stands a document, and says how many packets of which verdict were tried."""
    begin = time.monotonic()
    text = QUESTIONS if name == "questions" else (EXAMPLES / f"{name}.yaml").read_text()
    with Platform(text) as platform:
        platform.up()
        platform.listen()
        want = platform.expected()
        found = platform.differences(want)
        assert not found, f"{len(found)} of {len(want)} cells of {name}:\n{told(found)}"
        hosts = platform.hosts()
        decided = [v for (source, target, _), v in want.items() if not platform.are_neighbours(hosts, source, target)]
        counts = {verdict: decided.count(verdict) for verdict in ("open", "refused", "silent")}
        assert DOCUMENTS[name] | {"silent"} == {v for v, n in counts.items() if n}, counts
        asked = sum(str(port).endswith("icmp") for _, _, port in want)
        own = sum("router" in target or target == platformlab.ROUTER for _, target, _ in want)
        return (f"{name}: {len(want)} cells, {counts} by rules, {len(want) - len(decided)} open within a network, "
                f"outside the firewall; {asked} of ICMP, {own} to the router itself, {time.monotonic() - begin:.1f} s")


POOL = ThreadPoolExecutor(3)
RESULTS = {}


def passes(name):
    # They stand beside each other, as the addresses of one are no matter to another.
    for each in DOCUMENTS:
        if each not in RESULTS:
            RESULTS[each] = POOL.submit(check, each)
    print(f"# {RESULTS[name].result()}")


def packets_of_shophub_pass_if_and_only_if_a_rule_says_so():
    passes("shophub")


def packets_of_dmz_pass_if_and_only_if_a_rule_says_so():
    passes("dmz")


def packets_of_iot_pass_if_and_only_if_a_rule_says_so():
    passes("iot")


def packets_of_zones_pass_if_and_only_if_a_rule_says_so():
    passes("zones")


def packets_of_doorway_pass_if_and_only_if_a_rule_says_so():
    passes("doorway")


def packets_of_rehearsal_pass_if_and_only_if_a_rule_says_so():
    passes("rehearsal")


def packets_of_questions_pass_if_and_only_if_a_rule_says_so():
    passes("questions")


platformlab.run([packets_of_shophub_pass_if_and_only_if_a_rule_says_so,
                 packets_of_dmz_pass_if_and_only_if_a_rule_says_so,
                 packets_of_iot_pass_if_and_only_if_a_rule_says_so,
                 packets_of_zones_pass_if_and_only_if_a_rule_says_so,
                 packets_of_doorway_pass_if_and_only_if_a_rule_says_so,
                 packets_of_rehearsal_pass_if_and_only_if_a_rule_says_so,
                 packets_of_questions_pass_if_and_only_if_a_rule_says_so])
