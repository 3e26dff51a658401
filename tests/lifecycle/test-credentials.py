#!/usr/bin/env python3
"""What instances are let in with: the site says where it comes from, and nobody but the system that wants it sees it.
The account of the fake wants what stands in the file "credential" of its folder."""
import json
import os
import signal

from canaries import Watch, asked, check_left, check_processes
from lifecycle import CATALOG, main, test, wait_until

SITE = """site:
  secrets:
    door: { environment: LAB_DOOR }
    part: { file: keys/part.txt }
    ledger: { command: [cat, ledger.txt] }
  instances:
    acme.lab: { driver: fake, credential: "${secret.door}:${upper(secret.part)}:${secret.ledger}"%s }
    acme.open: { driver: fake }
"""

DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: acme:thing:box, name: one, on: %s, properties: { colour: red } }
    - { type: acme:thing:box, name: two, on: %s, properties: { colour: blue, note: "${one.id}" } }
"""

CANARIES = {"door": 'cnry+door/1b7a"30&z', "part": "cnry-part-88ab3f", "ledger": "cnry=ledger?c1d2e3f4"}


def whole():
    return f"{CANARIES['door']}:{CANARIES['part'].upper()}:{CANARIES['ledger']}"


def watch_all():
    return Watch(CANARIES | {"upper": CANARIES["part"].upper(), "whole": whole()})


def given(place, **settings):
    text = "".join(f", {key}: {json.dumps(value)}" for key, value in settings.items())
    place.write("parley.yaml", SITE % text)
    place.write("catalog/acme.yaml", CATALOG)
    place.write("keys/part.txt", CANARIES["part"] + "\n")
    place.write("ledger.txt", CANARIES["ledger"])
    place.env["LAB_DOOR"] = CANARIES["door"]
    place.write("shop.yaml", DOCUMENT % ("acme.lab", "acme.lab"))
    place.write("home/fake/acme.lab/credential", whole())
    os.chmod(place.home, 0o700)


@test
def an_instance_is_let_in_and_its_credential_is_seen_nowhere(place):
    given(place)
    watch = watch_all()
    plan = asked(place, watch, "plan", "shop.yaml", "-o", "shop.plan", "--json").json()
    assert set(plan["credentials"]) == {"door", "ledger", "part"}, plan["credentials"]
    assert all(digest.startswith("s1:") for digest in plan["credentials"].values())
    asked(place, watch, "apply", "shop.plan", "--yes", "--json")
    assert len(place.files()) == 2
    for words in (("plan", "shop.yaml"), ("status", "shop"), ("show", "shop", "--json"), ("drift", "shop"),
                  ("history", "shop"), ("audit", "list", "--json"), ("run", "list", "--json"),
                  ("state", "snapshot", "shot.parley"), ("types", "acme:thing:box"), ("validate", "shop.yaml")):
        asked(place, watch, *words)
    check_left(place, watch, "shop.plan", "shot.parley")
    asked(place, watch, "destroy", "shop", "--yes")
    assert not place.files()


@test
def an_account_that_wants_another_credential_refuses_and_nothing_is_done(place):
    given(place)
    watch = watch_all()
    place.write("home/fake/acme.lab/credential", "somebody else's")
    for words in (("plan", "shop.yaml"), ("up", "shop.yaml", "--yes")):
        refused = asked(place, watch, *words, want=1).err
        assert "acme.lab" in refused and "lets nobody in with this credential" in refused, refused
        assert "look at credential:" in refused, refused
    assert not place.files()
    place.write("home/fake/acme.lab/credential", whole())
    place.parley("up", "shop.yaml", "--yes")


@test
def a_plan_made_with_another_credential_is_refused(place):
    given(place)
    plan = place.parley("plan", "shop.yaml", "--json").json()
    place.env["LAB_DOOR"] = "cnry another door"
    refused = place.parley("apply", plan["hash"], "--yes", want=1).err
    assert "the secret door of the site has changed since the plan was made; plan again" in refused, refused
    assert not place.files()
    place.write("home/fake/acme.lab/credential", whole().replace(CANARIES["door"], "cnry another door"))
    again = place.parley("plan", "shop.yaml", "--json").json()
    assert again["hash"] != plan["hash"]
    assert again["credentials"]["door"] != plan["credentials"]["door"]
    assert again["credentials"]["part"] == plan["credentials"]["part"]
    place.parley("apply", again["hash"], "--yes")
    assert len(place.files()) == 2


@test
def a_run_gets_them_by_its_pipe_and_is_resumed_with_them(place):
    given(place, latency="1500ms")
    watch = watch_all()
    door = place.start("up", "shop.yaml", "--yes", "--json")
    wait_until(place.run_processes, "the run has begun")
    wait_until(lambda: place.files() or door.poll() is not None, "something was made")
    assert check_processes(place, watch) >= 2
    os.kill(place.run_processes()[0], signal.SIGKILL)
    out, err = door.communicate(timeout=60)
    watch.check("the door", out + err)
    value = place.env.pop("LAB_DOOR")
    refused = asked(place, watch, "resume", "shop", want=1).err
    assert "the secret door of the site" in refused and "LAB_DOOR" in refused, refused
    place.env["LAB_DOOR"] = value
    asked(place, watch, "resume", "shop", "--json")
    assert len(place.files()) == 2
    check_left(place, watch)


@test
def a_system_that_repeats_the_credential_in_its_error_shows_none(place):
    given(place, fail=[{"verb": "create", "name": "one", "how": "echo"}])
    watch = watch_all()
    failed = asked(place, watch, "up", "shop.yaml", "--yes", want=1)
    assert "told to refuse" in failed.out + failed.err, failed.out + failed.err
    assert '"credential":"(secret' in failed.out + failed.err, failed.out + failed.err
    check_left(place, watch)


@test
def a_credential_that_is_written_down_is_warned_of_and_works_and_is_shown_nowhere_else(place):
    given(place)
    place.write("home/fake/acme.lab/credential", "cnry-plain-0815")
    place.write("parley.yaml",
                "site:\n  instances:\n    acme.lab: { driver: fake, credential: cnry-plain-0815 }\n")
    watch = Watch({"plain": "cnry-plain-0815"})
    done = asked(place, watch, "up", "shop.yaml", "--yes")
    assert "parley.yaml:3:43: warning[plain-secret]: A secret is written down as it is" in done.err, done.err
    assert "acme.lab: credential is a credential, and whoever reads the site has it." in done.err, done.err
    assert '"${secret.NAME}"' in done.err, done.err
    assert len(place.files()) == 2
    check_left(place, watch)


@test
def all_faults_of_secrets_in_a_site_are_told_at_once(place):
    given(place)
    place.write("parley.yaml", """site:
  secrets:
    door: { environment: LAB_DOOR }
    down: cnry-written
    none: {}
    both: { file: a, environment: B }
    odd: { generated: { length: 3 } }
  instances:
    acme.lab: { driver: fake, credential: "${secret.dor}" }
    acme.two: { driver: fake, account: "${secret.door}" }
    acme.six: { driver: fake, defaults: { deep: ["${secret.door}"] } }
    acme.mix: { driver: fake, credential: "${secret.door}${box.id}" }
    core.own: { driver: core, thing: "${secret.door}" }
""")
    told = place.parley("status", want=1).err
    for want in ("parley.yaml:4:11: error[plain-secret]", "in the site and every copy", "parley.yaml:5:5: error[missing-key]",
                 "parley.yaml:6:11: error[bad-value]", "its length must be from 16 to 1024",
                 'the site has no secret "dor"', 'Did you mean "door"?',
                 "acme.two: account would hold a secret.", "acme.six: defaults would hold a secret.",
                 "The driver takes secrets in: credential.", "acme.mix: credential refers to secrets and to resources.",
                 "core.own: thing would hold a secret.", "The driver core takes no secret."):
        assert want in told, (want, told)
    assert "cnry-written" not in told, told


@test
def what_another_instance_needs_is_not_asked_for(place):
    given(place)
    place.env.pop("LAB_DOOR")
    os.remove(place.path("keys/part.txt"))
    place.write("shop.yaml", DOCUMENT % ("acme.open", "acme.open"))
    plan = place.parley("plan", "shop.yaml", "--json").json()
    assert "credentials" not in plan, plan["credentials"]
    place.parley("up", "shop.yaml", "--yes")
    place.parley("validate", "shop.yaml")


@test
def a_credential_that_cannot_be_had_is_told_by_its_name_and_source(place):
    given(place)
    os.remove(place.path("keys/part.txt"))
    told = place.parley("plan", "shop.yaml", want=1).err
    assert "the secret part of the site" in told and "keys/part.txt" in told, told


@test
def a_credential_that_is_generated_stays_the_same(place):
    given(place)
    place.write("parley.yaml", 'site:\n  secrets:\n    door: { generated: {} }\n  instances:\n'
                               '    acme.lab: { driver: fake, credential: "${secret.door}" }\n')
    os.remove(place.path("home/fake/acme.lab/credential"))
    first = place.parley("plan", "shop.yaml", "--json").json()["credentials"]
    place.parley("up", "shop.yaml", "--yes")
    place.parley("destroy", "shop", "--yes")
    assert place.parley("plan", "shop.yaml", "--json").json()["credentials"] == first


@test
def a_text_that_a_resource_gives_as_credential_is_not_read_as_an_expression(place):
    given(place)
    place.write("parley.yaml", """site:
  secrets:
    door: { environment: LAB_DOOR }
  instances:
    acme.outer: { driver: fake }
    acme.lab: { driver: fake, credential: "${one.note}" }
""")
    place.write("catalog/acme.yaml", CATALOG.replace("endpoint: {type: string}", "note: {type: string, from: note}"))
    place.write("shop.yaml", (DOCUMENT % ("acme.outer", "acme.lab"))
                .replace("colour: red", 'note: "$${secret.door}"'))
    place.write("home/fake/acme.lab/credential", "${secret.door}")
    place.parley("up", "shop.yaml", "--yes")
    place.write("home/fake/acme.lab/credential", CANARIES["door"])
    place.parley("plan", "shop.yaml", want=1)


if __name__ == "__main__":
    main()
