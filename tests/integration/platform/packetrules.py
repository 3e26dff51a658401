"""What the rules of a document say of a packet, as the document's language defines them (docs/twin.md,
"The firewall"): computed from the records of the expanded document, never from what the twin says.

A port is a number of TCP's, or a text such as "123/udp". ICMP has questions in place of ports: "echo/icmp" and
"timestamp/icmp", which every host answers.
"""

import ipaddress

OUTSIDE = "outside"
# What no rule of a document may name, so that each port that it names has neighbours that it does not.
COMMON_PORTS = [22, 80, 443, 5432, 8080, 9090, "53/udp", "echo/icmp", "timestamp/icmp"]
VERDICTS = {"allow": "open", "block": "silent", "reject": "refused", None: "silent"}


def split(port):
    number, _, protocol = str(port).partition("/")
    return number if protocol == "icmp" else int(number), protocol or "tcp"


def order(port):
    number, protocol = split(port)
    return protocol, str(number).zfill(5)


def as_list(value):
    return value if isinstance(value, list) else [value]


class Rules:
    def __init__(self, records):
        def specs(kind):
            return [record["spec"] for record in records if record["type"] == kind and record["spec"].get("enabled", True)]

        self.subnets = {r["address"]: r["spec"]["subnet"] for r in records if r["type"] == "opnsense:network:vlan"}
        self.aliases = {r["address"]: r["spec"] for r in records if r["type"] == "opnsense:firewall:alias"}
        self.rules = sorted(specs("opnsense:firewall:rule"), key=lambda spec: spec["sequence"])
        self.forwards = sorted(({**r["spec"], "address": r["outputs"]["target"]} for r in records
                                if r["type"] == "opnsense:nat:portforward" and r["spec"].get("enabled", True)),
                               key=lambda spec: spec["sequence"])

    def network_of(self, address):
        inside = [name for name, subnet in self.subnets.items()
                  if ipaddress.ip_address(address) in ipaddress.ip_network(subnet)]
        return inside[0] if inside else OUTSIDE

    def addresses(self, end):
        """The networks that one end of a rule stands for."""
        if end in self.subnets:
            return [self.subnets[end]]
        if end in self.aliases:
            return [subnet for part in self.aliases[end].get("content", []) for subnet in self.addresses(part)]
        return [end]

    def covers(self, end, address):
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(subnet) for subnet in self.addresses(end))

    def ranges(self, spec):
        """The ports of a rule as (first, last); None when it has none."""
        if "port" not in spec:
            return None
        items = [port for item in as_list(spec["port"])
                 for port in (self.aliases[item]["ports"] if item in self.aliases else [item])]
        return [(int(first), int(last or first)) for first, _, last in (str(item).partition("-") for item in items)]

    def ports(self):
        """The ports that are worth a try: those that the document names, and what lies beside ranges."""
        found = set(COMMON_PORTS)
        for spec in self.rules + self.forwards:
            for first, last in self.ranges(spec) or []:
                numbers = {first, last} | ({last + 1} if last > first else set())
                protocols = spec.get("protocol", "tcp")
                found |= {number for number in numbers if protocols in ("tcp", "tcp/udp", "any")}
                found |= {f"{number}/udp" for number in numbers if protocols in ("udp", "tcp/udp", "any")}
            if "targetPort" in spec:
                found.add(spec["targetPort"])
        return sorted(found, key=order)

    def fits(self, spec, interface, source, target, port):
        number, protocol = split(port)
        ranges = self.ranges(spec)
        interfaces = [OUTSIDE if name == "wan" else name for name in as_list(spec.get("interface", []))]
        wanted = spec.get("protocol", "tcp")
        types = [kind.removesuffix("-request") + "/icmp" for kind in as_list(spec.get("icmpType", []))]
        # Only TCP and UDP have ports, so a rule that has some is about these.
        meant = {"tcp/udp": ["tcp", "udp"], "any": ["tcp", "udp"] + ([] if ranges else ["icmp"])}.get(wanted, [wanted])
        return (protocol in meant
                and (not types or port in types)
                and (ranges is None or any(first <= number <= last for first, last in ranges))
                and (not interfaces or interface in interfaces)
                and self.covers(spec["source"], source) and self.covers(spec["destination"], target))

    def first(self, directions, interface, source, target, port):
        for spec in self.rules:
            if spec.get("direction", "in") in directions and self.fits(spec, interface, source, target, port):
                return spec["action"]
        return None

    def verdict(self, source, target, port, is_led_in=False):
        """What becomes of a packet between two networks."""
        came = self.first(("in", "any"), self.network_of(source), source, target, port)
        if came is None and is_led_in:
            came = "allow"
        if came != "allow":
            return VERDICTS[came]
        left = self.first(("out", "any"), self.network_of(target), source, target, port)
        return VERDICTS[left or "allow"]

    def router_verdict(self, source, address, port, wan):
        """What becomes of a packet to one of the router's own addresses: it echoes, tells names, leads inside what a
        port forward says, and nothing else."""
        number, protocol = split(port)
        for spec in self.forwards:
            spec = {"source": "0.0.0.0/0", "interface": "wan", "protocol": "tcp", **spec, "destination": wan}
            if self.fits(spec, self.network_of(source), source, address, port):
                inner = spec.get("targetPort", number)
                return self.verdict(source, spec["address"], inner if protocol == "tcp" else f"{inner}/udp",
                                    spec.get("pass", True))
        return "open" if (address, port) == (wan, "53/udp") or port == "echo/icmp" else "silent"
