#!/usr/bin/env python3
"""Which secrets there are, and the text of one for a person: `parley secret list|reveal`, `parley output --reveal`."""
import os
import pty
import resource
import shutil
import subprocess

from canaries import Watch, asked, check_left
from lifecycle import CATALOG, data, document, main, said, test

DOCUMENT = """deployment:
  name: bank
  secrets:
    dial: { environment: SAFE_DIAL }
    deed: { file: deed.txt }
    ledger: { command: [cat, ledger.txt] }
    made: { generated: { length: 24%s } }
  resources:
    - { type: core:data:value, name: safe, properties: { value: { a: "${secret.made}", b: "x-${secret.dial}" } } }
  outputs:
    key: "${secret.made}"
    opener: "${upper(secret.dial)}"
    all: { k: ["${secret.made}"], n: 1 }
    plain: "to be seen"
"""

CANARIES = {"dial": "cnry-dial-7f3a91", "deed": "cnry deed 58c1d0e7", "ledger": "cnry=ledger?b2e94417"}


def given(place):
    place.write("bank.yaml", DOCUMENT % "")
    place.write("deed.txt", CANARIES["deed"] + "\n")
    place.write("ledger.txt", CANARIES["ledger"])
    place.env["SAFE_DIAL"] = CANARIES["dial"]
    place.parley("up", "bank.yaml", "--yes")


def revealed(place, *words):
    return place.parley(*words, "--yes-show-it").out


def reveals(place):
    return [(entry.get("secret"), entry.get("output"), entry["words"])
            for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "reveal"]


@test
def secrets_are_listed_with_their_sources_and_digests_and_no_texts(place):
    given(place)
    made = revealed(place, "secret", "reveal", "bank", "made").strip()
    watch = Watch(CANARIES | {"made": made})
    listed = {row["name"]: row for row in asked(place, watch, "secret", "list", "bank", "--json").json()}
    assert set(listed) == {"dial", "deed", "ledger", "made"}, listed
    assert listed["dial"]["source"] == {"environment": "SAFE_DIAL"}
    assert listed["deed"]["source"] == {"file": os.path.realpath(place.path("deed.txt"))}
    assert listed["ledger"]["source"] == {"command": ["cat", "ledger.txt"]}
    assert listed["made"]["source"] == {"generated": {"length": 24, "alphabet": "alphanumeric"}}
    digests = {row["digest"] for row in listed.values()}
    assert len(digests) == 4 and all(digest.startswith("s1:") for digest in digests), digests
    assert 0 < listed["made"]["made_at"] <= listed["made"]["read_at"]
    assert "made_at" not in listed["dial"] and listed["dial"]["read_at"] > 0
    shown = asked(place, watch, "secret", "list", "bank").out.splitlines()
    assert len(shown) == 4, shown
    assert any(line.startswith(f"dial  {listed['dial']['digest'][3:15]}  read ") and
               line.endswith("  environment SAFE_DIAL") for line in shown), shown
    assert any(line.startswith("made  ") and line.endswith("  generated, 24 alphanumeric") for line in shown), shown
    # Without their sources they are listed as well.
    place.env.pop("SAFE_DIAL")
    assert asked(place, watch, "secret", "list", "bank").out.splitlines() == shown


@test
def a_generated_secret_is_shown_and_the_audit_chain_says_so(place):
    given(place)
    made = revealed(place, "secret", "reveal", "bank", "made")
    assert len(made) == 25 and made[:24].isalnum() and made[24] == "\n", made
    made = made.strip()
    records = place.parley("show", "bank", "safe", "--json").out
    assert made not in records
    assert reveals(place) == [("made", None, "parley secret reveal bank made --yes-show-it --home " + place.home)]
    watch = Watch({"made": made})
    listed = asked(place, watch, "audit", "list").out
    assert "reveal  secret made" in listed, listed
    asked(place, watch, "audit", "verify")
    check_left(place, watch)
    assert place.parley("secret", "reveal", "bank", "made", "--yes-show-it", "--json").out == f'"{made}"\n'


@test
def nothing_is_shown_where_no_terminal_is_and_nobody_said_so(place):
    given(place)
    for words in (("secret", "reveal", "bank", "made"), ("output", "bank", "key", "--reveal")):
        refused = place.parley(*words, want=3)
        assert refused.out == "" and "nothing was shown" in refused.err and "--yes-show-it" in refused.err, refused.err
    assert reveals(place) == []


@test
def on_a_terminal_it_is_shown(place):
    given(place)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(place.line("secret", "reveal", "bank", "made"), cwd=place.folder, env=place.env,
                               stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass  # the terminal's other side is closed
    os.close(ours)
    assert process.wait(60) == 0, shown
    assert said(shown.decode()) == revealed(place, "secret", "reveal", "bank", "made").strip()


@test
def what_cannot_be_written_down_is_not_shown(place):
    given(place)
    process = subprocess.run(place.line("secret", "reveal", "bank", "made", "--yes-show-it"), cwd=place.folder,
                             env=place.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert process.returncode == 1 and process.stdout == "", process
    assert reveals(place) == []


@test
def a_secret_that_parley_does_not_keep_is_refused_with_where_it_is(place):
    given(place)
    for name, want in (("dial", "environment variable SAFE_DIAL"), ("deed", "file " + os.path.realpath(place.path("deed.txt"))),
                       ("ledger", "command cat")):
        refused = place.parley("secret", "reveal", "bank", name, "--yes-show-it", want=1)
        assert refused.out == "" and f"the secret {name} comes from the {want}" in refused.err, refused.err
        assert "keeps no copy of it: look there" in refused.err
    refused = place.parley("secret", "reveal", "bank", "mode", "--yes-show-it", want=1)
    assert 'bank has no secret "mode"; did you mean "made"?' in refused.err, refused.err
    place.parley("secret", "reveal", "bonk", "made", "--yes-show-it", want=1)
    assert reveals(place) == []


@test
def without_the_key_it_says_so_and_makes_none(place):
    given(place)
    shutil.move(place.path("home/secret.key"), place.path("kept.key"))
    refused = place.parley("secret", "reveal", "bank", "made", "--yes-show-it", want=1)
    assert "secret.key is not there" in refused.err and "put it back from a copy" in refused.err, refused.err
    assert not os.path.exists(place.path("home/secret.key"))
    shutil.move(place.path("kept.key"), place.path("home/secret.key"))
    assert len(revealed(place, "secret", "reveal", "bank", "made")) == 25


@test
def outputs_are_shown_as_secrets_unless_they_are_to_be_revealed(place):
    given(place)
    made = revealed(place, "secret", "reveal", "bank", "made").strip()
    watch = Watch(CANARIES | {"made": made, "upper": CANARIES["dial"].upper()})
    assert asked(place, watch, "output", "bank", "key").out == "(secret made)\n"
    asked(place, watch, "output", "bank", "--json")
    assert revealed(place, "output", "bank", "key", "--reveal") == made + "\n"
    assert revealed(place, "output", "bank", "opener", "--reveal") == CANARIES["dial"].upper() + "\n"
    shown = place.parley("output", "bank", "all", "--reveal", "--yes-show-it", "--json").json()
    assert shown == {"k": [made], "n": 1}, shown
    assert [row[1] for row in reveals(place)[1:]] == ["key", "opener", "all"]
    # What is no secret is nothing special.
    assert place.parley("output", "bank", "plain", "--reveal").out == "to be seen\n"
    assert len(reveals(place)) == 4
    whole = place.parley("output", "bank", "--reveal", "--yes-show-it", want=1)
    assert "say which" in whole.err and made not in whole.out, whole.err
    place.env.pop("SAFE_DIAL")
    missing = place.parley("output", "bank", "opener", "--reveal", "--yes-show-it", want=1)
    assert "what the output opener is made of" in missing.err and "SAFE_DIAL" in missing.err, missing.err


@test
def another_generation_is_another_secret_and_the_former_comes_back(place):
    given(place)
    first = revealed(place, "secret", "reveal", "bank", "made")
    place.write("bank.yaml", DOCUMENT % ", generation: 1")
    assert "No changes" in place.parley("plan", "bank.yaml").out
    place.write("bank.yaml", DOCUMENT % ", generation: 2")
    planned = place.parley("plan", "bank.yaml").out
    assert "value.a: (secret made) -> (secret made), another text" in planned, planned
    place.parley("up", "bank.yaml", "--yes")
    second = revealed(place, "secret", "reveal", "bank", "made")
    assert second != first and len(second) == 25
    listed = place.parley("secret", "list", "bank").out
    assert "generated, 24 alphanumeric, generation 2\n" in listed and "generated, 24 alphanumeric  (former)\n" in listed, listed
    place.write("bank.yaml", DOCUMENT % "")
    place.parley("up", "bank.yaml", "--yes")
    assert revealed(place, "secret", "reveal", "bank", "made") == first
    place.write("bank.yaml", DOCUMENT % ", generation: 0")
    assert "its generation must be at least 1" in place.parley("validate", "bank.yaml", want=1).err


@test
def the_key_is_exchanged_with_another_generation_of_what_it_sealed(place):
    given(place)
    first = revealed(place, "secret", "reveal", "bank", "made")
    before = {row["name"]: row["digest"] for row in place.parley("secret", "list", "bank", "--json").json()}
    os.remove(place.path("home/secret.key"))
    assert "encrypted with another key" in place.parley("plan", "bank.yaml", want=1).err
    place.write("bank.yaml", DOCUMENT % ", generation: 2")
    assert "update safe" in [step["id"].split("#")[0] for step in place.parley("plan", "bank.yaml", "--json").json()["steps"]]
    place.parley("up", "bank.yaml", "--yes")
    assert revealed(place, "secret", "reveal", "bank", "made") != first
    after = {row["name"]: row["digest"] for row in place.parley("secret", "list", "bank", "--json").json() if "digest" in row}
    assert not set(before.values()) & set(after.values())
    assert "No changes" in place.parley("plan", "bank.yaml").out


@test
def the_secrets_of_the_site_are_listed_and_shown_as_well(place):
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", "site:\n  secrets:\n    door: { generated: {} }\n    other: { environment: LAB }\n"
                               '  instances:\n    acme.lab: { driver: fake, credential: "${secret.door}" }\n')
    place.write("shop.yaml", document("shop", {"a": ("acme:thing:box", {}, {}), "b": data(1)}))
    place.parley("up", "shop.yaml", "--yes")
    listed = {row["name"]: row for row in place.parley("secret", "list", "--json").json()}
    assert set(listed) == {"door", "other"} and listed["door"]["made_at"] > 0, listed
    door = revealed(place, "secret", "reveal", "door")
    assert len(door) == 33, door
    place.write("home/fake/acme.lab/credential", door.strip())
    place.parley("destroy", "shop", "--yes")
    assert revealed(place, "secret", "reveal", "door") == door


if __name__ == "__main__":
    main()
