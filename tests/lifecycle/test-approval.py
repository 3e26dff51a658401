#!/usr/bin/env python3
"""Who may do what, and which yes counts (DESIGN section 5): roles, the caps of the site, and the levels of approval."""
import os
import signal
import sqlite3

from lifecycle import agree, box, data, document, main, said, test, wait_until

READ_ONLY = """site:
  caps:
    - read-only
"""
NO_DESTROY = "site: { caps: [no-destroy] }\n"


def both(place):
    place.write("demo.yaml", document("demo", {"a": data(1), "b": data(2)}))


def entries(place, kind):
    return [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == kind]


@test
def a_read_only_site_lets_look_and_plan_and_nothing_else(place):
    both(place)
    place.parley("up", "demo.yaml", "--yes")
    place.write("parley.yaml", READ_ONLY)
    place.write("demo.yaml", document("demo", {"a": data(3)}))
    plan = place.parley("plan", "demo.yaml", "--json").json()
    for words in (["up", "demo.yaml", "--yes"], ["apply", plan["hash"][:12], "--approve", plan["hash"][:12]],
                  ["destroy", "demo", "--yes"]):
        refused = place.parley(*words, want=1)
        assert "parley.yaml:3 says read-only" in said(refused.err), refused.err
        assert "may write that file" in said(refused.err), refused.err
    assert place.parley("status", "demo").out
    assert [entry["asked"] for entry in entries(place, "refused")].count(f"to approve the plan {plan['hash'][:12]}") >= 1
    assert len(place.records("demo")) == 2
    place.write("parley.yaml", "site: {}\n")
    place.parley("up", "demo.yaml", "--yes")
    assert len(place.records("demo")) == 1


@test
def a_site_without_destroying_carries_out_what_takes_nothing_away(place):
    place.write("parley.yaml", NO_DESTROY)
    both(place)
    place.parley("up", "demo.yaml", "--yes")
    place.write("demo.yaml", document("demo", {"a": data(9)}))
    refused = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "delete b#1" in said(refused.err) and "parley.yaml:1 says no-destroy" in said(refused.err), refused.err
    refused = place.parley("destroy", "demo", "--yes", want=1)
    assert "plan_destroy is refused to everybody" in said(refused.err), refused.err
    assert len(place.records("demo")) == 2
    place.write("demo.yaml", document("demo", {"a": data(9), "b": data(2)}))
    place.parley("up", "demo.yaml", "--yes")
    asked = [entry["asked"] for entry in entries(place, "refused")]
    assert any("delete b#1" in entry["reason"] for entry in entries(place, "refused")), asked
    assert "plan_destroy" in asked, asked


@test
def a_run_that_began_before_the_cap_does_not_go_on_under_it(place):
    """Neither when it is resumed nor when its process is started by hand: that looks at the site itself."""
    place.with_boxes(latency="2s")
    place.write("demo.yaml", document("demo", {"one": box(colour="red"), "two": box(note="${one.id}")}))
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.run_processes, "the run has a process")
    wait_until(place.files, "the first box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    door.communicate(timeout=60)
    before = place.files()
    place.write("parley.yaml", place.read("parley.yaml") + "  caps: [read-only]\n")
    refused = place.parley("resume", "demo", want=1)
    assert "parley.yaml:5 says read-only" in said(refused.err), refused.err
    (run,) = place.parley("run", "list", "--json").json()
    refused = place.parley("run", "exec", run["id"], "--resume", want=None)
    assert refused.code > 0 and "parley.yaml:5 says read-only" in said(refused.err), refused.err
    assert place.files() == before and len(before) == 1, before
    place.with_boxes()
    place.parley("resume", "demo")
    agree(place, "demo")


@test
def a_plain_command_gives_no_more_than_none_and_says_so(place):
    both(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    place.parley("apply", plan["hash"], "--approve", plan["hash"][:12])
    shown = place.parley("approval", "show", plan["hash"][:12])
    assert "level none: no proof of a person" in shown.out, shown.out
    answer = place.parley("approval", "show", plan["hash"][:12], "--json").json()
    (approval,) = answer["approvals"]
    assert approval["level"] == "none" and answer["demanded"]["level"] == "none", answer
    (run,) = place.parley("run", "list", "--json").json()
    assert not approval["counts"] and f"used by the run {run['id'][:8]}" in approval["why"], answer
    (maker,) = answer["makers"]
    assert maker["principal"] == approval["principal"] and maker["client"] == "command line", answer
    assert "level none (no proof of a person)" in place.parley("audit", "list").out
    assert "(approved at level none: no proof of a person)" in place.parley("history", "demo").out


@test
def what_a_site_demands_no_plain_command_can_give(place):
    """Every way that a shell of the same user has leads to nothing, until the site says otherwise."""
    both(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    place.write("parley.yaml", "site:\n  approval:\n    level: separated\n")
    for words in (["up", "demo.yaml", "--yes"], ["up", "demo.yaml", "--approve", plan["hash"]],
                  ["apply", plan["hash"], "--approve", plan["hash"]], ["apply", plan["hash"], "--yes"]):
        refused = place.parley(*words, want=3)
        assert "parley.yaml:3 demands the level separated" in said(refused.err), refused.err
        assert "no proof of a person" in said(refused.err), refused.err
    assert place.parley("status", "--json").json() == []
    assert len(entries(place, "refused")) == 4 and not entries(place, "approval")
    assert all("level separated" in entry["reason"] for entry in entries(place, "refused"))


@test
def what_was_approved_before_the_site_demanded_more_does_not_go_on(place):
    """A resumed run, and its process by hand, look at what is demanded now."""
    place.with_boxes(latency="2s")
    place.write("demo.yaml", document("demo", {"one": box(colour="red"), "two": box(note="${one.id}")}))
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.run_processes, "the run has a process")
    wait_until(place.files, "the first box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    door.communicate(timeout=60)
    before = place.files()
    place.write("parley.yaml", place.read("parley.yaml") + "  environments: { default: { approval: signed } }\n")
    assert "demands the level signed" in said(place.parley("resume", "demo", want=3).err)
    (run,) = place.parley("run", "list", "--json").json()
    refused = place.parley("run", "exec", run["id"], "--resume", want=None)
    assert refused.code > 0 and "parley.yaml:5 demands the level signed" in said(refused.err), refused.err
    assert place.files() == before and len(before) == 1, before


@test
def an_approval_that_was_edited_in_the_file_of_the_store_is_noticed(place):
    both(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    place.write("parley.yaml", "site: { approval: separated }\n")
    place.parley("apply", plan["hash"], "--approve", plan["hash"], want=3)
    place.is_store_damaged = True
    database = sqlite3.connect(place.path("home/parley.db"))
    with database:
        database.execute("INSERT INTO approvals (plan, body) SELECT id, "
                         "'{\"principal\":\"p\",\"level\":\"separated\"}' FROM plans")
    database.close()
    refused = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "a page's checksum is wrong" in said(refused.err), refused.err


@test
def every_fault_of_what_a_site_says_of_approvals_is_told(place):
    both(place)
    place.write("parley.yaml", """site:
  caps: [read-only, careful]
  approval: { level: sure, expires: 90d, fourEyes: 4, lasts: 1h }
  environments:
    lab: { approval: { production: none } }
""")
    said_of = said(place.parley("plan", "demo.yaml", want=1).err)
    for place_of in ("2:21", "3:22", "3:37", "3:52", "3:55", "5:24"):
        assert f"parley.yaml:{place_of}: error" in said_of, (place_of, said_of)


@test
def a_token_is_shown_once_and_nowhere_else(place):
    both(place)
    place.parley("up", "demo.yaml", "--yes")
    made = place.parley("token", "new", "agent", "--role", "viewer", "--role", "planner", "--json").json()
    token = made["token"]
    assert token.startswith("parley_") and len(token) == 50 and made["roles"] == "viewer, planner", made
    again = place.parley("token", "new", "person", "--role", "approver", "--until", "2199-01-31T00:00:00Z")
    assert again.out.startswith("parley_") and "roles: approver" in again.out
    listed = place.parley("token", "list").out
    assert "agent  roles: viewer, planner" in listed and "until 2199-01-31T00:00:00Z" in listed, listed
    assert os.stat(place.path("home/tokens.yaml")).st_mode & 0o777 == 0o600
    said_so = place.parley("audit", "list", "--json").out + listed
    for folder, _, names in os.walk(place.folder):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert token.encode() not in file.read(), name
    assert token not in said_so and '"token"' in said_so
    assert "Removed 1" in place.parley("token", "remove", "agent").out
    assert "agent" not in place.parley("token", "list").out
    assert "no token of" in said(place.parley("token", "remove", "agent", want=1).err)


@test
def a_file_of_tokens_that_others_may_open_is_not_used(place):
    place.parley("token", "new", "agent", "--role", "viewer", "--file", "t.yaml")
    os.chmod(place.path("t.yaml"), 0o644)
    for words in (["new", "b", "--role", "viewer"], ["list"], ["remove", "agent"]):
        assert "chmod 600" in said(place.parley("token", *words, "--file", "t.yaml", want=1).err)
    refused = said(place.parley("token", "new", "x", "--role", "owner", want=1).err)
    assert "viewer, planner, approver, operator, admin" in refused, refused


@test
def each_entry_says_which_program_asked(place):
    both(place)
    place.parley("up", "demo.yaml", "--yes")
    (approval,) = entries(place, "approval")
    assert approval["client"] == "command line", approval
    assert {entry["client"] for entry in entries(place, "run") + entries(place, "revision")} == {"command line"}
    (run,) = place.parley("run", "list", "--json").json()
    assert run["client"] == "command line", run


main()
