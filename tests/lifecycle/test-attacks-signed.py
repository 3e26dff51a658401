#!/usr/bin/env python3
"""Attacks on approval at the level signed, over MCP: the agent has a token that operates, approvers have tokens, and some
have the shell of the server's own user, who writes the store. Without an approver's key and its passphrase nothing of that
makes a run begin."""
import os
import re
import shutil

from approval_page import Browser
from attack_scene import AGENT, SERVER, Scene
from lifecycle import main, test, wait_until
from page_attacks import signed_in, yes
from terminal import typed

PASSPHRASE, OTHER = "correct horse battery", "wrong horse battery"
SITE = "site: { approval: { level: %s, expires: 20m }%s }\n"
ATTACKS = []


def attack(function):
    ATTACKS.append(function)
    return function


class Signed(Scene):
    """anna and bert have keys, of which the site knows anna's; the attacker has one of his own."""

    def __init__(self, place):
        super().__init__(place, SITE % ("separated", ""))
        self.early_link = self.link()
        self.unsigned = self.make_plan("unsigned")
        self.keys = place.path("keys")
        os.mkdir(self.keys)
        os.chown(self.keys, SERVER, SERVER)
        self.public = {name: self.new_key(name) for name in ("anna", "bert", "mallory")}
        self.say_approvers(anna="anna", viewer="bert")

    def new_key(self, name):
        out, _ = typed(self.place, [("new key: ", PASSPHRASE), ("again: ", PASSPHRASE)], "key", "new", f"keys/{name}.key",
                       user=SERVER)
        return re.search(r'key: "(ed25519:[^"]*)"', out)[1]

    def say_approvers(self, file="parley.yaml", level="signed", **keys):
        """principal -> whose key; the one called viewer may only look."""
        rows = ", ".join(f'{{ principal: {principal}, key: "{self.public[key]}", roles: '
                         f'[{"viewer" if principal == "viewer" else "approver"}] }}' for principal, key in keys.items())
        self.place.write(file, SITE % (level, f", approvers: [{rows}]" if rows else ""))
        # The server looks at its site once a second.
        if file == "parley.yaml":
            wait_until(lambda: "demands the level signed" in self.refusal(), "the server read its site")

    def refusal(self):
        """Of a plan that nobody signs: what somebody signed may count by the site of the moment."""
        return self.server.call(self.agent, "plan_apply", is_error=True, plan=self.unsigned)

    def apply(self, plan=None):
        """True when a run was carried out. One may begin by the site of a second ago: its own process looks again."""
        result = self.server.post(self.agent, "tools/call", name="plan_apply",
                                  arguments={"plan": plan or self.plan})[1]["result"]
        if result["isError"]:
            return False
        run = self.server.call(self.agent, "run_show", run=result["structuredContent"]["run"], wait_seconds=60)
        return run["status"] != "failed"

    def sign(self, plan, key, *words, passphrase=PASSPHRASE, want=0):
        """As the server's user, who has each key's file and may write the store."""
        return typed(self.place, [("approve this plan: ", passphrase)], "approve", plan[:12], "--key", f"keys/{key}.key",
                     *words, want=want, user=SERVER)

    def why(self, plan=None):
        """Why each approval does not count."""
        shown = self.as_user(SERVER, "/bin/sh", "-c", 'cd "$0" && exec "$@"', self.place.folder,
                             *self.place.line("approval", "show", plan or self.plan, "--json"))
        assert shown.returncode == 0, shown.stderr
        return re.findall(r'"why": "([^"]*)"', shown.stdout)

    def is_refused(self, reason):
        assert not self.apply()
        assert any(reason in why for why in self.why()), self.why()


@attack
def approve_with_the_token_of_an_approver(scene):
    text = scene.server.call(scene.boss, "plan_approve", is_error=True, plan=scene.plan)
    assert "demands the level signed" in text, text
    assert "demands the level signed" in scene.server.call(scene.boss, "plan_approve", is_error=True, plan=scene.plan,
                                                           confirm="shop")
    assert not scene.apply()


@attack
def approve_on_the_page_by_a_link_from_before(scene):
    browser = signed_in(scene, scene.boss, scene.early_link)
    shown = browser.get()
    assert 'value="approve"' not in shown.text
    yes(browser, shown.form, 403)
    yes(Browser(scene.server, scene.early_link), shown.form, 403)
    assert not scene.apply()


@attack
def answer_an_elicitation(scene):
    scene.server.post(scene.boss, "tools/call", name="plan_approve", arguments={"plan": scene.plan},
                      inputResponses={"consent": {"action": "accept", "content": {"name": "shop"}},
                                      "approver": {"action": "accept"}},
                      _meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})
    assert not scene.apply()


@attack
def sign_with_a_key_of_ones_own(scene):
    _, shown = scene.sign(scene.plan, "mallory", want=1)
    assert "no approver with the key" in re.sub(r"\s+", " ", shown), shown
    assert not scene.apply()


@attack
def sign_under_a_site_of_ones_own_that_knows_the_key(scene):
    scene.say_approvers("mine.yaml", mallory="mallory")
    scene.sign(scene.plan, "mallory", "--site", "mine.yaml")
    scene.is_refused("no approver mallory with the key")


@attack
def sign_as_an_approver_with_another_key(scene):
    """A forged signature: the principal is anna, the key is not hers."""
    scene.say_approvers("mine.yaml", anna="mallory")
    scene.sign(scene.plan, "mallory", "--site", "mine.yaml")
    scene.is_refused("no approver anna with the key")


@attack
def sign_with_the_key_of_another_principal(scene):
    """anna's key, for a principal who is not anna."""
    scene.say_approvers("mine.yaml", bert="anna")
    scene.sign(scene.plan, "anna", "--site", "mine.yaml")
    scene.is_refused("no approver bert with the key")


@attack
def sign_with_a_key_that_may_not_approve(scene):
    _, shown = scene.sign(scene.plan, "bert", want=3)
    assert "has not got the role approver" in re.sub(r"\s+", " ", shown), shown
    assert not scene.apply()


@attack
def sign_with_a_wrong_passphrase(scene):
    n = len(scene.why())
    for wrong in (OTHER, PASSPHRASE.upper(), PASSPHRASE + " "):
        _, shown = scene.sign(scene.plan, "anna", passphrase=wrong, want=1)
        assert "not the passphrase" in shown, shown
    assert len(scene.why()) == n and not scene.apply()


@attack
def edit_the_file_of_a_key(scene):
    """Each part of it: what stands in it of whose key it is, and the sealed key."""
    path = scene.place.path("keys/anna.key")
    with open(path, "rb") as file:
        whole = file.read()
    n = len(scene.why())
    lines, n_edited = whole.splitlines(keepends=True), 0
    for place, line in enumerate(lines):
        if b":" not in line or line.startswith(b"#"):
            continue
        at = len(line.rstrip(b'"\n }')) - 4
        edited = line[:at] + (b"A" if line[at:at + 1] != b"A" else b"B") + line[at + 1:]
        with open(path, "wb") as file:
            file.write(b"".join(lines[:place] + [edited] + lines[place + 1:]))
        out = typed_or_refused(scene)
        assert len(scene.why()) == n and not scene.apply(), (edited, out)
        n_edited += 1
    assert n_edited >= 5, lines
    with open(path, "wb") as file:
        file.write(whole)


def typed_or_refused(scene):
    """Signs with anna's key; it may be refused before the passphrase is asked for."""
    try:
        return scene.sign(scene.plan, "anna", want=1)
    except AssertionError as fault:
        assert "ended before" in str(fault), fault
        return str(fault)


@attack
def put_another_key_under_the_name_of_hers(scene):
    path = scene.place.path("keys/anna.key")
    shutil.copy2(path, path + ".kept")
    with open(scene.place.path("keys/mallory.key"), "rb") as other, open(path, "wb") as file:
        file.write(other.read())
    _, shown = scene.sign(scene.plan, "anna", want=1)
    assert "no approver with the key" in re.sub(r"\s+", " ", shown), shown
    with open(path + ".kept", "rb") as kept, open(path, "wb") as file:
        file.write(kept.read())
    assert not scene.apply()


@attack
def use_the_signature_of_another_plan(scene):
    harmless = scene.make_plan("harmless")
    scene.sign(harmless, "anna")
    assert not scene.apply()


@attack
def use_a_signature_that_is_over(scene):
    plan = scene.make_plan("short")
    scene.sign(plan, "anna", "--expires", "1s")
    wait_until(lambda: scene.why(plan), "the signature is over")
    assert "too long ago" in scene.why(plan)[0] and not scene.apply(plan)


@attack
def use_the_signature_of_an_approver_who_was_removed(scene):
    plan = scene.make_plan("removed")
    scene.sign(plan, "anna")
    scene.say_approvers(viewer="bert")
    assert not scene.apply(plan) and "no approver anna with the key" in scene.why(plan)[0]
    scene.say_approvers(anna="mallory", viewer="bert")
    assert not scene.apply(plan) and "no approver anna with the key" in scene.why(plan)[0]
    scene.say_approvers(anna="anna", viewer="bert")


@attack
def edit_the_site_to_demand_nothing(scene):
    for code in (f"open({scene.place.path('parley.yaml')!r}, 'w').write('site: {{ approval: none }}')",
                 f"__import__('os').rename({scene.place.path('parley.yaml')!r}, {scene.place.path('x')!r})"):
        assert "PermissionError" in scene.python(code).stderr, code
    scene.python(f"open({scene.agents_folder + '/mine.yaml'!r}, 'w').write('site: {{ approval: none }}')")
    assert scene.parley("apply", scene.plan, "--yes", "--site", scene.agents_folder + "/mine.yaml").returncode != 0
    assert not scene.apply()


@attack
def own_the_site(scene):
    """A site that is another user's, or that others may write, says nothing of who approves."""
    plan = scene.make_plan("owned")
    scene.sign(plan, "anna")
    path = scene.place.path("parley.yaml")
    os.chown(path, AGENT, AGENT)
    os.chmod(path, 0o644)
    assert not scene.apply(plan) and "belongs to the user" in scene.why(plan)[0]
    os.chown(path, 0, 0)
    os.chmod(path, 0o666)
    assert not scene.apply(plan) and "others may write" in scene.why(plan)[0]
    os.chmod(path, 0o644)


@attack
def edit_the_database(scene):
    path = scene.place.path("home/parley.db")
    code = f"import sqlite3; sqlite3.connect({path!r}).execute('DELETE FROM approvals')"
    assert "unable to open" in scene.python(code).stderr
    assert "PermissionError" in scene.python(f"open({path!r}, 'r+b')").stderr
    assert not scene.apply()


@test
def at_signed_no_attack_has_an_effect(place):
    scene = Signed(place)
    assert len(ATTACKS) >= 15
    with scene.server:
        scene.try_all(ATTACKS)
        scene.plan = scene.make_plan("good")
        scene.sign(scene.plan, "anna")
        scene.show_that_it_would_have_had_an_effect()
        # Replayed: it was for one run.
        assert not scene.apply() and "used by the run" in scene.why()[0]


if __name__ == "__main__":
    main()
