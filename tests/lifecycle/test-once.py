#!/usr/bin/env python3
"""An approval is for one run: that may be resumed, no other begins by it, whoever races whom (DESIGN section 5)."""
import concurrent.futures
import os
import signal

from lifecycle import box, document, main, said, test, wait_until
from mcp_server import Server, token_of

SEPARATED = "  approval: separated\n"
TURNS = 12


def demand(place, **settings):
    place.with_boxes(**settings)
    place.write("parley.yaml", place.read("parley.yaml") + SEPARATED)


def served(place, **settings):
    """A site that demands separated, with boxes; the tokens of who operates and of two who approve."""
    demand(place, **settings)
    return (token_of(place, "agent", "planner", "operator"), token_of(place, "boss", "approver"),
            token_of(place, "other", "approver"))


def planned(server, agent, name="demo", **resources):
    return server.call(agent, "plan_create", document=document(name, resources or {"one": box(colour="red")}))["plan"]


def apply(server, agent, plan):
    """The run that began, or None, and why none did."""
    result = server.post(agent, "tools/call", name="plan_apply", arguments={"plan": plan})[1]["result"]
    return (None, result["content"][0]["text"]) if result["isError"] else (result["structuredContent"]["run"], "")


def ended(server, agent, run):
    return server.call(agent, "run_show", run=run, wait_seconds=60)


@test
def a_run_that_failed_has_used_its_approval_and_another_one_begins_by_none_of_it(place):
    """Nothing was changed, so the plan is as good as it was: only the approval stands in the way."""
    agent, boss, _ = served(place, fail=[{"verb": "create", "how": "refuse", "count": 1}])
    with Server(place) as server:
        plan = planned(server, agent)
        server.call(boss, "plan_approve", plan=plan)
        first, _ = apply(server, agent, plan)
        assert ended(server, agent, first)["status"] == "failed"
        second, why = apply(server, agent, plan)
        assert second is None and f"used by the run {first[:8]}" in why, why
        assert not place.files()
        server.call(boss, "plan_approve", plan=plan)
        third, why = apply(server, agent, plan)
        assert third, why
        assert ended(server, agent, third)["status"] == "done" and len(place.files()) == 1


@test
def a_run_that_is_resumed_goes_on_by_its_approval(place):
    agent, boss, _ = served(place, fail=[{"verb": "create", "how": "refuse", "count": 1}])
    with Server(place) as server:
        plan = planned(server, agent)
        server.call(boss, "plan_approve", plan=plan)
        run, _ = apply(server, agent, plan)
        assert ended(server, agent, run)["status"] == "failed"
        server.call(agent, "run_control", action="resume", deployment="demo")
        wait_until(lambda: ended(server, agent, run)["status"] == "done", "the run is done")
        assert len(place.files()) == 1
    assert len(place.parley("run", "list", "--json").json()) == 1


@test
def a_run_that_was_killed_is_resumed_by_its_approval_and_no_other_begins(place):
    agent, boss, _ = served(place, resources={"two": {"latency": "1h"}})
    with Server(place) as server:
        plan = planned(server, agent, one=box(colour="red"), two=box(note="${one.id}"))
        server.call(boss, "plan_approve", plan=plan)
        run, _ = apply(server, agent, plan)
        wait_until(place.files, "the first box is made")
        for pid in place.run_processes():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not place.run_processes(), "the run's process is gone")
        other, why = apply(server, agent, plan)
        assert other is None and "used by the run" in why, why
        demand(place)
        server.call(agent, "run_control", action="resume", deployment="demo")
        wait_until(lambda: ended(server, agent, run)["status"] == "done", "the run is done")
        assert len(place.files()) == 2


@test
def what_was_done_is_refused_as_stale_also_by_another_approval(place):
    """The second guard, where the first lets it pass: the plan was made from records that are others now."""
    agent, boss, _ = served(place)
    with Server(place) as server:
        plan = planned(server, agent)
        server.call(boss, "plan_approve", plan=plan)
        first, _ = apply(server, agent, plan)
        assert ended(server, agent, first)["status"] == "done"
        assert "used by the run" in apply(server, agent, plan)[1]
        server.call(boss, "plan_approve", plan=plan)
        second, why = apply(server, agent, plan)
        assert second, why
        shown = ended(server, agent, second)
        assert shown["status"] == "failed" and "changed after this plan was made" in shown["message"], shown
        assert len(place.files()) == 1


def assert_one_each(place, plan):
    """No run began by an approval that another had used: in the audit chain there is a yes before each that began."""
    is_standing, n_begun = False, 0
    entries = [entry for entry in place.parley("audit", "list", "--json").json() if entry.get("plan") == plan]
    for entry in sorted(entries, key=lambda entry: entry["number"]):
        if entry["kind"] == "approval":
            is_standing = True
        elif entry["kind"] == "refusal" or (entry["kind"] == "run" and entry["status"] == "running"):
            assert entry["kind"] == "refusal" or is_standing, entry
            is_standing = False
            n_begun += entry["kind"] == "run"
    assert n_begun > 0, entries


@test
def however_many_approve_and_apply_at_once_each_run_has_an_approval_of_its_own(place):
    """Each turn: two approvals and six applications at the same time. Runs fail without an effect, so that the plan's
    records stand in nobody's way."""
    agent, boss, other = served(place, fail=[{"verb": "create", "how": "refuse", "count": 1000}])
    with Server(place) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        for turn in range(TURNS):
            plan = planned(server, agent, f"turn{turn}")
            asked = [pool.submit(server.call, who, "plan_approve", plan=plan) for who in (boss, other)]
            runs = [pool.submit(apply, server, agent, plan) for _ in range(6)]
            for one in asked:
                one.result()
            for run, _ in [one.result() for one in runs] + [apply(server, agent, plan)]:
                assert not run or ended(server, agent, run)["status"] == "failed"
            assert_one_each(place, plan)
    assert not place.files()


if __name__ == "__main__":
    main()
