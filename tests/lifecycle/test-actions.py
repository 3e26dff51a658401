#!/usr/bin/env python3
"""Actions, which change what a resource does and not what is wanted of it: planned, approved and journalled as all
else is, and gone on with after a death. The fake's resources have two sides and the action "turn"."""
import json
import os
import signal

from lifecycle import box, check_audit, document, main, test, wait_until


def given(place, **settings):
    place.with_boxes(**settings)
    place.write("demo.yaml", document("demo", {"web": box(colour="red"), "app": box(colour="blue")}))
    place.parley("up", "demo.yaml", "--yes")


def up(place):
    """Which side is up, by the name of the resource."""
    return {name: resource.get("up", "front") for name, resource in place.files().items()}


def side_of(place, name):
    uid = next(r["uid"] for r in place.records("demo") if r["address"] == name)
    return json.loads(place.read(f"home/fake/acme.lab/{uid}.json")).get("up", "front")


def journal(place):
    run = place.parley("run", "list", "--json").json()[0]["id"]
    rows = place.parley("run", "show", run, "--json").json()["journal"]
    return [(row["kind"], row["step_kind"], row.get("outcome")) for row in rows if "step" in row]


ACT = ("act", "demo", "web", "turn", "back")


@test
def nothing_is_done_before_it_is_approved_and_then_once_and_journalled(place):
    given(place)
    before = place.files()
    plan = place.parley(*ACT, "--json", want=3)
    assert place.files() == before and side_of(place, "web") == "front"
    plan = place.parley(*ACT, want=3)
    digest = plan.out.split("Plan hash: ")[1].split()[0]
    place.parley("apply", digest, "--approve", digest)
    assert (side_of(place, "web"), side_of(place, "app")) == ("back", "front")
    assert journal(place) == [("intent", "act", None), ("result", "act", "done")], journal(place)
    check_audit(place)


@test
def it_is_no_revision_and_no_drift_and_no_document_takes_it_back(place):
    given(place)
    revisions = place.parley("history", "demo", "--json").json()["revisions"]
    place.parley(*ACT, "--yes")
    assert place.parley("history", "demo", "--json").json()["revisions"] == revisions
    assert "No changes" in place.parley("up", "demo.yaml").out
    place.parley("drift", "demo")
    place.write("demo.yaml", document("demo", {"web": box(colour="red", note="new"), "app": box(colour="blue")}))
    place.parley("up", "demo.yaml", "--yes")
    assert side_of(place, "web") == "back"


@test
def what_cannot_be_done_is_said_before_anything_is(place):
    given(place)
    for words, said in ((("web", "dance", "back"), "turn"), (("web", "turn", "left"), "front, back"),
                        (("nobody", "turn", "back"), "parley show demo")):
        failed = place.parley("act", "demo", *words, "--yes", want=1)
        assert said in failed.err, failed.err
    assert set(up(place).values()) == {"front"}
    place.parley("run", "list", "--json")


@test
def a_plan_of_it_is_of_no_use_once_something_else_was_done(place):
    given(place)
    digest = place.parley(*ACT, want=3).out.split("Plan hash: ")[1].split()[0]
    place.parley("act", "demo", "app", "turn", "back", "--yes")
    place.parley("apply", digest, "--approve", digest, want=1)
    assert side_of(place, "web") == "front"


@test
def whether_it_was_done_is_found_out_where_no_answer_came(place):
    given(place, fail=[{"verb": "act", "how": "lose-answer", "count": 1}])
    place.parley(*ACT, "--yes")
    assert side_of(place, "web") == "back" and journal(place)[-1] == ("result", "act", "done"), journal(place)


@test
def what_did_not_arrive_is_not_taken_for_done_and_resumed(place):
    given(place, fail=[{"verb": "act", "how": "lose-request", "count": 1}])
    place.parley(*ACT, "--yes", want=1)
    assert side_of(place, "web") == "front"
    place.parley("resume", "demo", "--yes")
    assert side_of(place, "web") == "back"


@test
def a_run_that_is_killed_in_the_middle_is_gone_on_with(place):
    for how, done in ("hang", "front"), ("hang-after", "back"):
        given(place, fail=[{"verb": "act", "how": how, "count": 1}])
        turns = place.start(*ACT, "--yes", "--json")
        wait_until(lambda: place.run_processes() and any('"intent"' in line for line in [turns.stdout.readline()]), "its intent")
        wait_until(lambda: side_of(place, "web") == done, "the call")
        for pid in place.run_processes():
            os.kill(pid, signal.SIGKILL)
        turns.communicate(timeout=60)
        place.parley("resume", "demo", "--yes")
        assert side_of(place, "web") == "back"
        place.parley("act", "demo", "web", "turn", "front", "--yes")
    check_audit(place)


if __name__ == "__main__":
    main()
