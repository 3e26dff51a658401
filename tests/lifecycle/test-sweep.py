#!/usr/bin/env python3
"""One sweep: canaries come from every place that a secret may come from, every command is asked, and the canaries are
looked for in all that is said, in all that is left, and in what others see of every process. Only the accounts of the
fake, which are another system, may have them. What the twin's programs get is swept by the tests of platforms."""
import base64
import os
import re
import threading

from canaries import Watch, asked, check_left
from lifecycle import main, test

CATALOG = """
types:
  acme:vault:safe:
    description: What keeps secrets.
    stage: security
    properties:
      combination: {kind: string, secret: true}
      papers: {kind: map, items: {kind: string, secret: allowed}}
      label: {kind: string}
    outputs:
      combination: {type: string, from: combination}
      id: {type: string}
    drivers: {fake: {fidelity: stand-in}}
    repeat: tag
    seconds: {create: 1, update: 1, delete: 1}
"""

SITE = """site:
  secrets:
    site-variable: { environment: SITE_VARIABLE }
    site-file: { file: site.txt }
    site-command: { command: [cat, site-ledger.txt] }
    site-made: { generated: {} }
  instances:
    acme.lab:
      driver: fake
      latency: 100ms
      credential: "${secret.site-variable}|${secret.site-file}|${lower(secret.site-command)}|${secret.site-made}"
      fail: [{ verb: create, name: small, how: echo }, { verb: update, name: big, how: echo }]
    acme.plain: { driver: fake, credential: cnry-plain-4471 }
"""

DOCUMENT = """deployment:
  name: bank
  secrets:
    dial: { environment: SAFE_DIAL }
    deed: { file: deed.txt }
    ledger: { command: [cat, ledger.txt] }
    made: { generated: { length: 24 } }
  resources:
    - type: acme:vault:safe
      name: big
      on: acme.lab
      properties:
        combination: "${secret.dial}"
        label: %s
        papers: { deed: "${secret.deed}", made: "${secret.made}", basic: 'Basic ${base64encode(secret.ledger)}' }
    - type: acme:vault:safe
      name: small
      on: acme.lab
      properties: { combination: "${big.combination}-${upper(secret.ledger)}" }
    - { type: acme:vault:safe, name: other, on: acme.plain, properties: { combination: "${secret.made}" } }
  outputs: { opener: "${big.combination}", label: "${big.id}" }
"""

CANARIES = {
    "dial": 'cnry+dial/7f3a"91&x', "deed": "cnry deed\nline 2: 58c1d0e7", "ledger": "cnry=ledger?b2e94417",
    "site-variable": 'cnry+door/1b7a"30&z', "site-file": "cnry-site-88ab3f", "site-command": "CNRY=SITE?C1D2E3F4",
    "plain": "cnry-plain-4471",
}
DERIVED = {"upper": CANARIES["ledger"].upper(), "lower": CANARIES["site-command"].lower()}


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as content:
        return content.read()


def parent_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as content:
        return int(content.read().rpartition(b")")[2].split()[1])


class Onlooker(threading.Thread):
    """Looks at the arguments and the environment of every process that works for us, again and again. A command that
    the test itself starts has its variables from the test, until it takes them."""

    def __init__(self, place, watch):
        super().__init__(daemon=True)
        self.place, self.watch = place, watch
        self.seen, self.faults, self.is_over = set(), [], threading.Event()

    def run(self):
        while not self.is_over.wait(0.002):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    self.look(pid)
                except OSError:
                    pass  # it ended just now, or is not ours

    def look(self, pid):
        def read(name):
            with open(f"/proc/{pid}/{name}", "rb") as content:
                return content.read()
        parent = parent_of(pid)
        if os.getpid() in (int(pid), parent):
            return
        # The parent's words first: they are gone as soon as it ends, which must not make its child a stranger.
        parent_words, words, environment = words_of(parent), words_of(pid), read("environ")
        if not parent_words or not words:
            return  # the one has ended, or the other is between two programs; the next look tells
        if b"HOME=" + self.place.folder.encode() + b"\0" not in environment:
            return
        # A site's command has the environment of whoever asked, and Parley reads no document for a question; the
        # child that will be that command still has the words of who was asked.
        is_source = words.startswith(b"cat\0") or parent_of(parent) == os.getpid() and words == parent_words
        names = self.watch.find(words if is_source else words + environment)
        self.seen.add(b" ".join(words.split(b"\0")[:6]))
        if names:
            self.faults.append((names, words))


def given(place):
    place.write("parley.yaml", SITE)
    place.write("catalog/acme.yaml", CATALOG)
    place.write("bank.yaml", DOCUMENT % "one")
    for name, text in (("deed.txt", "deed"), ("ledger.txt", "ledger"), ("site.txt", "site-file"),
                       ("site-ledger.txt", "site-command")):
        place.write(name, CANARIES[text] + "\n")
    place.env.update({"SAFE_DIAL": CANARIES["dial"], "SITE_VARIABLE": CANARIES["site-variable"]})


def commands(place):
    """Every command, as help names it."""
    lines = place.parley("--help").out.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    found = {" ".join(re.match(r"  ((?:-?-?[a-z]+(?:-[a-z]+)* )+)", line)[1].split()) for line in lines}
    assert {"up", "secret reveal", "import --list", "state restore"} <= found, found
    return found


def every_command(place, run):
    """The words of each, some with --json; what each answers does not matter here."""
    plan = place.parley("run", "show", run, "--json").json()["plan"]
    return {
        "mcp": [], "serve": ["--listen", "nowhere"], "validate": ["bank.yaml"], "expand": ["bank.yaml"], "graph": ["bank.yaml"], "types": ["acme:vault:safe"],
        "plan": ["bank.yaml", "--trace"], "set": ["big.label=two", "--yes"], "pull": ["bank", "pulled.yaml"],
        "status": ["bank"], "drift": ["bank"], "drift --adopt": ["bank", "--yes"], "show": ["bank"],
        "output": ["bank"], "secret list": ["bank"], "secret reveal": ["bank", "made"], "history": ["bank"],
        "logs": ["bank"], "audit list": ["bank"], "audit verify": [], "run list": ["bank"], "run show": [run],
        "run wait": [run], "run cancel": [run], "resume": ["bank"], "unlock": ["bank", "--yes"],
        "give-up": ["bank", "--confirm", "bank"], "approval show": [plan], "approve": [plan, "--yes"], "key new": ["a.key"], "token new": ["agent", "--role", "viewer"], "token list": [],
        "token remove": ["agent"], "apply": ["bank.plan", "--yes"],
        "up": ["bank.yaml", "--yes"], "rollback": ["bank", "--yes"], "undo": ["bank", "--yes"],
        "import --list": ["acme:vault:safe", "--on", "acme.lab"], "import": ["bank", "big", "nothing", "--yes"],
        "state check": [], "state snapshot": [], "state repair": [], "state restore": ["shot.parley", "--yes"],
        "twin status": [], "twin top": [], "twin events": [], "twin exec": ["x", "true"], "twin down": [], "twin doctor": [],
        "act": ["bank", "big", "turn", "back", "--yes"], "forget": ["bank", "other", "--yes"], "destroy": ["bank", "--yes"],
    }


@test
def no_canary_is_seen_anywhere_whatever_is_asked(place):
    given(place)
    # The account wants what the site says; what the site generates is the one part that we cannot know before.
    place.parley("status", want=None)
    watch = Watch(CANARIES | DERIVED)
    onlooker = Onlooker(place, watch)
    onlooker.start()
    failed = asked(place, watch, "up", "bank.yaml", "--yes", want=4)
    assert "told to refuse" in failed.out, failed.out
    made = {name: place.parley("secret", "reveal", *words, "--yes-show-it").out.strip()
            for name, words in (("made", ["bank", "made"]), ("site-made", ["site-made"]))}
    whole = "|".join([CANARIES["site-variable"], CANARIES["site-file"], DERIVED["lower"], made["site-made"]])
    place.write("home/fake/acme.lab/credential", whole)
    watch = onlooker.watch = Watch(CANARIES | DERIVED | made | {"whole": whole})
    asked(place, watch, "resume", "bank", "--json", want=None)
    asked(place, watch, "up", "bank.yaml", "--yes")
    place.write("bank.yaml", DOCUMENT % "changed")
    assert "told to refuse" in asked(place, watch, "up", "bank.yaml", "--yes", "--json", want=None).out
    asked(place, watch, "plan", "bank.yaml", "-o", "bank.plan", "--json")
    asked(place, watch, "state", "snapshot", "shot.parley")
    run = place.parley("run", "list", "--json").json()[0]["id"]
    lines = every_command(place, run)
    assert set(lines) == commands(place), set(lines) ^ commands(place)
    for command, words in lines.items():
        asked(place, watch, *command.split(), *words, want=None)
        if command not in ("twin exec", "destroy", "state restore"):
            asked(place, watch, *command.split(), *words, "--json", want=None)
    check_left(place, watch, "bank.plan", "shot.parley")
    onlooker.is_over.set()
    onlooker.join()
    assert not onlooker.faults, onlooker.faults
    assert any(b"run exec" in words for words in onlooker.seen), onlooker.seen
    assert watch.find(base64.b64encode(whole.encode())) and watch.n_bytes > 100000


if __name__ == "__main__":
    main()
