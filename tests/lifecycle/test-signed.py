#!/usr/bin/env python3
"""Signed approvals at the command line: a key under a passphrase, asked for at a terminal (DESIGN section 5)."""
import os
import re

from lifecycle import data, document, main, said, test
from terminal import typed

PASSPHRASE = "correct horse battery"
SITE = """site:
  approval: { level: signed, expires: 20m }
  approvers:
    %s
  environments:
    live: { production: true }
"""


def new_key(place, name="anna.key"):
    out, shown = typed(place, [("new key: ", PASSPHRASE), ("again: ", PASSPHRASE)], "key", "new", name)
    assert PASSPHRASE not in shown + out
    assert os.stat(place.path(name)).st_mode & 0o777 == 0o600
    line = out.strip()
    assert re.fullmatch(r'- \{ principal: "user:.*", key: "ed25519:.*", roles: \[approver\] \}', line), line
    return re.sub(r'principal: "[^"]*"', "principal: anna", line)


def given(place, environment=None):
    place.write("parley.yaml", SITE % new_key(place))
    place.write("demo.yaml", document("demo", {"a": data(1)}, environment))
    return place.parley("plan", "demo.yaml", "--json").json()["hash"]


def approve(place, plan, *words, answers=(), want=0, passphrase=PASSPHRASE):
    return typed(place, [*answers, ("approve this plan: ", passphrase)], "approve", plan[:12], "--key", "anna.key", *words,
                 want=want)


@test
def a_signed_plan_is_carried_out_and_the_passphrase_is_nowhere(place):
    plan = given(place)
    refused = place.parley("up", "demo.yaml", "--yes", want=3)
    assert "demands the level signed" in said(refused.err) and "--key FILE" in said(refused.err), refused.err
    out, shown = approve(place, plan)
    assert "Deployment Plan: demo" in out and PASSPHRASE not in out + shown
    answer = place.parley("approval", "show", plan, "--json").json()
    (approval,) = answer["approvals"]
    assert approval["principal"] == "anna" and approval["level"] == "signed" and approval["counts"], answer
    assert 0 < approval["expires_at"] - approval["created_at"] <= 20 * 60 * 1000000, answer
    place.parley("apply", plan)
    assert len(place.records("demo")) == 1
    assert "(approved at level signed by anna)" in place.parley("history", "demo").out
    for folder, _, names in os.walk(place.folder):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert PASSPHRASE.encode() not in file.read(), name


@test
def nobody_signs_without_the_passphrase_a_terminal_or_the_key(place):
    plan = given(place)
    _, shown = approve(place, plan, want=1, passphrase="wrong horse battery")
    assert "that is not the passphrase" in shown, shown
    assert "at a terminal" in said(place.parley("approve", plan, "--key", "anna.key", want=3).err)
    assert "demands the level signed" in said(place.parley("approve", plan, "--yes", want=3).err)
    _, shown = typed(place, [("approve this plan: ", PASSPHRASE)], "approve", plan, "--key", "nothing.key", want=1)
    assert "there is no file nothing.key" in shown, shown
    os.chmod(place.path("anna.key"), 0o640)
    _, shown = approve(place, plan, want=1)
    assert "chmod 600" in shown, shown
    assert place.parley("approval", "show", plan, "--json").json()["approvals"] == []
    place.parley("apply", plan, "--yes", want=3)


@test
def an_approval_lasts_as_long_as_its_signer_says_and_no_longer_than_the_site_says(place):
    plan = given(place)
    _, shown = approve(place, plan, "--expires", "21m", want=1)
    assert "1200 seconds at most" in shown, shown
    approve(place, plan, "--expires", "5m")
    (approval,) = place.parley("approval", "show", plan, "--json").json()["approvals"]
    assert approval["expires_at"] - approval["created_at"] == 5 * 60 * 1000000 and approval["counts"], approval


@test
def a_site_that_others_may_write_makes_no_signature_count(place):
    plan = given(place)
    approve(place, plan)
    os.chmod(place.path("parley.yaml"), 0o666)
    refused = place.parley("apply", plan, "--yes", want=3)
    (approval,) = place.parley("approval", "show", plan, "--json").json()["approvals"]
    assert "others may write" in approval["why"] and "demands the level signed" in said(refused.err), approval
    os.chmod(place.path("parley.yaml"), 0o644)
    place.parley("apply", plan)


@test
def a_key_that_the_site_does_not_know_signs_nothing_and_one_that_it_drops_no_longer(place):
    plan = given(place)
    new_key(place, "mine.key")
    _, shown = typed(place, [("approve this plan: ", PASSPHRASE)], "approve", plan, "--key", "mine.key", want=1)
    assert "no approver with the key of mine.key" in re.sub(r"\s+", " ", shown), shown
    approve(place, plan)
    place.write("parley.yaml", "site: { approval: signed }\n")
    place.parley("apply", plan, "--yes", want=3)
    (approval,) = place.parley("approval", "show", plan, "--json").json()["approvals"]
    assert "no approver anna with the key" in approval["why"], approval


@test
def what_destroys_in_production_wants_its_name_besides(place):
    plan = given(place, "live")
    approve(place, plan)
    place.parley("apply", plan)
    place.parley("destroy", "demo", "--yes", "--confirm", "demo", want=3)
    out = place.parley("destroy", "demo", "--yes", "--confirm", "demo", want=3).out
    destroying = re.search(r"Plan hash: ([0-9a-f]{64})", out).group(1)
    _, shown = approve(place, destroying, answers=[("to approve: ", "dmeo")], want=3)
    assert "its name must be typed" in re.sub(r"\s+", " ", shown), shown
    approve(place, destroying, answers=[("to approve: ", "demo")])
    place.parley("apply", destroying)
    assert place.parley("status", "demo", want=None).out.count("core:data:value") == 0


main()
