#!/usr/bin/env python3
"""Who may do what, and which yes counts (DESIGN section 5): roles, the caps of the site, and the levels of approval."""
import os
import signal

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
    place.with_boxes(latency="400ms")
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
def each_entry_says_which_program_asked(place):
    both(place)
    place.parley("up", "demo.yaml", "--yes")
    (approval,) = entries(place, "approval")
    assert approval["client"] == "command line", approval
    assert {entry["client"] for entry in entries(place, "run") + entries(place, "revision")} == {"command line"}
    (run,) = place.parley("run", "list", "--json").json()
    assert run["client"] == "command line", run


main()
