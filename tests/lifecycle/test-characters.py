#!/usr/bin/env python3
"""The characters of real systems, played by the fake driver (docs/site.md): whatever a system is like, each resource is
made once, what nobody can tell is not guessed, and the end is what the document says."""
import json
import os
import signal
import time

from lifecycle import CATALOG, agree, box, document, main, steps, test, wait_until

KEYLESS, TOKEN, TAG, NATURAL = "none", "token", "tag", "natural"


def given(place, resources=None, repeat="key", **settings):
    place.with_boxes(**settings)
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", f"repeat: {repeat}"))
    place.write("demo.yaml", document("demo", resources or {"web": box(size=1), "app": box(lid="web")}))


def specs(place):
    """What is there: name -> properties; a name that is there twice is a fault."""
    found = {}
    for resource in place.files().values():
        assert resource["address"] not in found, f"{resource['address']} was made twice"
        found[resource["address"]] = resource["spec"]
    return found


def is_complete(place, want=None):
    assert specs(place) == (want or {"web": {"size": 1}, "app": {"lid": "web"}}), specs(place)
    assert "No changes" in place.parley("up", "demo.yaml").out


def lose(verb, how="lose-answer", **more):
    return [dict(verb=verb, name="web", how=how, **more)]


@test
def a_lost_answer_is_looked_up_by_key_token_tag_or_name(place):
    for repeat in ("key", TOKEN, TAG, NATURAL):
        given(place, repeat=repeat, fail=lose("create"))
        place.parley("up", "demo.yaml", "--yes")
        is_complete(place)
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}, repeat
        os.remove(place.path("home/fake/acme.lab/failures"))


@test
def a_run_of_another_catalog_is_not_resumed_and_a_new_plan_goes_on(place):
    given(place, fail=lose("create", "lose-request"))
    place.parley("up", "demo.yaml", "--yes", want=1)
    former = place.read("catalog/acme.yaml")
    place.write("catalog/acme.yaml", former + "# another\n")
    before = place.parley("run", "list", "--json").out
    refused = place.parley("resume", "demo", want=1).err
    for words in ("catalog has changed", "nothing was changed", "Plan again", "former catalog"):
        assert words in refused, refused
    assert place.files() == {} and place.parley("run", "list", "--json").out == before
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)


@test
def a_run_is_resumed_when_its_former_catalog_is_back(place):
    given(place, fail=lose("create", "lose-request"))
    place.parley("up", "demo.yaml", "--yes", want=1)
    former = place.read("catalog/acme.yaml")
    place.write("catalog/acme.yaml", former + "# another\n")
    place.parley("resume", "demo", want=1)
    place.write("catalog/acme.yaml", former)
    place.parley("resume", "demo")
    is_complete(place)


@test
def a_lost_request_is_tried_again_by_a_resume(place):
    for repeat in ("key", TOKEN, TAG, NATURAL):
        given(place, repeat=repeat, fail=lose("create", "lose-request"))
        place.parley("up", "demo.yaml", "--yes", want=1)
        assert place.files() == {}, repeat
        place.parley("resume", "demo")
        is_complete(place)
        place.parley("destroy", "demo", "--yes")
        os.remove(place.path("home/fake/acme.lab/failures"))


@test
def without_a_key_a_lost_answer_stops_its_branch_and_nothing_is_repeated(place):
    given(place, repeat=KEYLESS, resources={"web": box(size=1), "app": box(lid="web"), "aside": box()},
          fail=lose("create"))
    result = place.parley("up", "demo.yaml", "--yes", want=4)
    assert "cannot tell" in result.out + result.err, result.out + result.err
    assert specs(place) == {"web": {"size": 1}, "aside": {}}
    assert {record["address"]: record["status"] for record in place.records("demo")} == \
        {"web": "unknown", "aside": "created"}
    place.parley("resume", "demo", want=4)
    again = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "parley forget" in again.err, again.err
    assert specs(place) == {"web": {"size": 1}, "aside": {}}


@test
def what_nobody_can_tell_of_is_made_anew_once_it_is_forgotten(place):
    given(place, repeat=KEYLESS, fail=lose("create", "lose-request"))
    place.parley("up", "demo.yaml", "--yes", want=4)
    assert place.files() == {}
    stopped = place.parley("forget", "demo", "web", want=3)
    assert "to forget" in stopped.out and place.records("demo")[0]["status"] == "unknown", stopped.out
    place.parley("forget", "demo", "web", "--yes")
    assert place.records("demo") == []
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)


@test
def what_is_forgotten_stays_where_it_is(place):
    given(place, {"web": box(size=1), "app": box()})
    place.write("demo.yaml", place.read("demo.yaml") + '  outputs: {id: "${app.outputs.id}"}\n')
    place.parley("up", "demo.yaml", "--yes")
    before, outputs = place.files(), place.parley("output", "demo", "--json").json()
    place.parley("forget", "demo", "web", "--yes")
    assert place.files() == before
    assert [record["address"] for record in place.records("demo")] == ["app"]
    assert place.parley("output", "demo", "--json").json() == outputs
    result = place.parley("forget", "demo", "nothing", want=1)
    assert 'no resource "nothing"' in result.err, result.err


@test
def without_a_key_a_killed_create_is_not_repeated(place):
    given(place, repeat=KEYLESS, fail=lose("create", "hang-after"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    wait_until(place.files, "the box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    place.parley("resume", "demo", want=4)
    place.parley("up", "demo.yaml", "--yes", want=1)
    assert specs(place) == {"web": {"size": 1}}


@test
def a_token_is_journalled_before_the_call_and_found_again_after_a_kill(place):
    given(place, repeat=TOKEN, fail=lose("create", "hang-after"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    wait_until(place.files, "the box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    run = place.parley("run", "list", "--json").json()[0]["id"]
    rows = place.parley("run", "show", run, "--json").json()["journal"]
    tokens = [row["token"] for row in rows if row["kind"] == "intent" and row["address"] == "web"]
    known = json.loads(place.read("home/fake/acme.lab/tokens"))
    assert tokens == list(known), (tokens, known)
    place.parley("resume", "demo")
    is_complete(place)


@test
def a_forgotten_token_is_no_ground_for_another_create(place):
    given(place, repeat="{token: 1s}", tokens="1s", fail=lose("create", "hang-after"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    wait_until(place.files, "the box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    made_at = json.loads(place.read("home/fake/acme.lab/tokens"))
    wait_until(lambda: all(time.time() * 1e6 > entry["at"] + 1.1e6 for entry in made_at.values()),
               "the token is forgotten")
    place.parley("resume", "demo", want=4)
    assert specs(place) == {"web": {"size": 1}}


@test
def what_is_not_found_for_a_while_is_not_made_twice(place):
    for repeat in ("key", TAG):
        given(place, repeat=repeat, settling="1s", fail=lose("create"))
        place.parley("up", "demo.yaml", "--yes")
        is_complete(place)
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}, repeat
        os.remove(place.path("home/fake/acme.lab/failures"))


@test
def what_was_made_a_moment_ago_is_destroyed_although_nobody_sees_it(place):
    given(place, settling="1s")
    place.parley("up", "demo.yaml", "--yes")
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {}


def replace_outside(place, name):
    """Somebody makes another thing of it, with our label on it, as from a backup."""
    former, state = next((file, state) for file, state in place.files().items() if state["name"] == name)
    os.unlink(place.path(f"home/fake/acme.lab/{former}.json"))
    state["provider_id"] += "-restored"
    place.write(f"home/fake/acme.lab/{state['provider_id']}.json", json.dumps(state))
    return state["provider_id"]


@test
def another_thing_with_our_label_takes_the_place_of_one_that_is_gone(place):
    given(place, repeat=TAG)
    place.parley("up", "demo.yaml", "--yes")
    restored = replace_outside(place, "web")
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert steps(plan) == ["update web"] and plan["steps"][0]["reason"] == "found", plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)
    assert restored in place.files()
    replace_outside(place, "web")
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {}


@test
def a_delete_of_what_another_thing_has_replaced_since_is_planned_again(place):
    given(place, repeat=TAG, resources={"web": box(size=1), "app": box()})
    place.parley("up", "demo.yaml", "--yes")
    place.write("demo.yaml", document("demo", {"app": box(colour="red")}))
    plan = place.parley("plan", "demo.yaml", "--json").json()
    replace_outside(place, "web")
    refused = place.parley("apply", plan["hash"], "--yes", want=4)
    assert "carries its marker" in refused.out + refused.err, refused
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"app": {"colour": "red"}})


@test
def a_system_that_asks_to_come_again_later_is_called_again(place):
    given(place, fail=[{"verb": "create", "how": "throttle", "retryAfter": "50ms", "count": 3}])
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)


@test
def what_was_done_in_half_is_mended(place):
    given(place, resources={"web": box(colour="red", note="x")}, fail=lose("create", "half"))
    place.parley("up", "demo.yaml", "--yes", want=4)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert steps(plan) == ["update web"] and plan["steps"][0]["reason"] == "partly", plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"colour": "red", "note": "x"}})
    agree(place, "demo")


@test
def an_answer_that_tells_nothing_is_asked_for_again(place):
    given(place, fail=lose("create") + [{"verb": "probe", "how": "cannot-tell"}])
    place.parley("up", "demo.yaml", "--yes", want=4)
    assert specs(place) == {"web": {"size": 1}}
    place.parley("resume", "demo")
    is_complete(place)


@test
def a_change_that_was_not_done_says_nothing_of_a_create_without_an_answer(place):
    resources = {"web": box(size=1), "aside": box()}
    given(place, resources, fail=lose("create") + lose("probe", "cannot-tell", count=3))
    place.parley("up", "demo.yaml", "--yes", want=4)
    # Another run comes after the one that left it open.
    place.parley("forget", "demo", "aside", "--yes")
    assert {one["address"]: one["status"] for one in place.records("demo")} == {"web": "unknown"}
    given(place, dict(resources, web=box(size=1, note="x")), fail=lose("update", "hang"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    intended = lambda: any(row["kind"] == "intent" and row.get("step", "").startswith("update web")
                           for row in place.parley("run", "show", place.parley("run", "list", "--json").json()[0]["id"],
                                                   "--json").json()["journal"])
    wait_until(intended, "the update hangs")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    given(place, dict(resources, web=box(size=1, note="x")))
    place.parley("unlock", "demo")
    assert [one["address"] for one in place.records("demo") if one["address"] == "web"] == ["web"]
    place.parley("up", "demo.yaml", "--yes")
    agree(place, "demo")
    is_complete(place, {"web": {"size": 1, "note": "x"}, "aside": {}})


@test
def a_read_that_tells_nothing_is_no_absence(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    given(place, fail=[{"verb": "read", "name": "web", "how": "cannot-tell"}])
    result = place.parley("plan", "demo.yaml", want=1)
    assert "nobody can tell whether web is there" in result.err, result.err
    is_complete(place)


@test
def what_changes_or_vanishes_underneath_is_put_back(place):
    given(place, resources={"web": box(colour="red"), "app": box()},
          fail=[{"verb": "read", "name": "web", "how": "change", "set": {"colour": "blue"}},
                {"verb": "read", "name": "app", "how": "lose"}])
    place.parley("up", "demo.yaml", "--yes")
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert {step["name"]: step["reason"] for step in plan["steps"]} == {"web": "drifted", "app": "gone"}
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"colour": "red"}, "app": {}})
    agree(place, "demo")


@test
def what_the_system_keeps_in_its_own_way_is_no_drift(place):
    wanted = {"web": box(note=" As ASKED "), "app": box(lid="web", note="plain")}
    given(place, wanted, normalises=True)
    place.parley("up", "demo.yaml", "--yes")
    assert specs(place) == {"web": {"note": "as asked"}, "app": {"lid": "web", "note": "plain"}}
    records = {record["address"]: record for record in place.records("demo")}
    assert records["web"]["spec"] == {"note": " As ASKED "} and records["web"]["live"] == {"note": "as asked"}
    assert "live" not in records["app"]
    is_complete(place, specs(place))
    assert "No changes" in place.parley("plan", "demo.yaml", "--refresh", "none").out
    assert place.parley("drift", "--json").json()[0]["resources"] == []


@test
def what_somebody_changes_where_a_system_has_its_own_way_is_drift(place):
    given(place, {"web": box(note=" As ASKED ", colour="red")}, normalises=True)
    place.parley("up", "demo.yaml", "--yes")
    rule = {"verb": "read", "name": "web", "how": "change", "set": {"note": "theirs"}}
    given(place, {"web": box(note=" As ASKED ", colour="red")}, normalises=True, fail=[rule])
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert [(step["reason"], step["changed"]) for step in plan["steps"]] == [("drifted", ["note"])], plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"note": "as asked", "colour": "red"}})


@test
def what_only_the_record_follows_stays_no_drift(place):
    given(place, {"web": box(note=" As ASKED ", colour="red")}, normalises=True)
    place.parley("up", "demo.yaml", "--yes")
    for properties in ({"note": "as asked"}, {"note": "AS asked", "colour": "red"}):
        given(place, {"web": box({"lifecycle": {"protect": True}}, **properties)}, normalises=True)
        place.parley("up", "demo.yaml", "--yes")
        is_complete(place, specs(place))
    given(place, {"web": box({"lifecycle": {"protect": False}}, note="AS asked", colour="red")}, normalises=True)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert [(step["record_only"], step["live"]) for step in plan["steps"]] == [
        (True, {"note": "as asked", "colour": "red"})], plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"note": "as asked", "colour": "red"}})


@test
def a_lost_answer_tells_later_what_the_system_made_of_it(place):
    wanted = {"web": box(note=" As ASKED ")}
    given(place, wanted, normalises=True, fail=lose("create"))
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"note": "as asked"}})


@test
def what_a_dry_run_says_is_in_the_plan_and_in_its_hash(place):
    given(place, {"web": box(note=" LOUD "), "app": box(note="${web.outputs.id}")}, normalises=True, defaults={"size": 3})
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert {step["name"]: step.get("proposed") for step in plan["steps"]} == {
        "web": {"note": "loud", "size": 3}, "app": {"size": 3}}, plan["steps"]
    place.parley("apply", plan["hash"], "--yes")
    assert specs(place)["web"] == {"note": "loud", "size": 3}
    assert "No changes" in place.parley("up", "demo.yaml").out
    given(place, {"new": box()}, defaults={"size": 4})
    first = place.parley("plan", "demo.yaml", "--json").json()["hash"]
    given(place, {"new": box()}, defaults={"size": 5})
    assert place.parley("plan", "demo.yaml", "--json").json()["hash"] != first


@test
def what_the_system_would_refuse_is_told_before_anybody_approves(place):
    given(place, fail=[{"verb": "propose", "name": "app", "how": "refuse"}])
    told = place.parley("up", "demo.yaml", "--yes", want=1).err
    assert "app: acme.lab would refuse this" in told and place.files() == {}, told


@test
def what_vanishes_between_plan_and_apply_fails_its_step_only(place):
    given(place, resources={"web": box(colour="red"), "app": box()})
    place.parley("up", "demo.yaml", "--yes")
    given(place, resources={"web": box(colour="blue"), "app": box(note="x")}, fail=lose("update", "lose"))
    place.parley("up", "demo.yaml", "--yes", want=4)
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, {"web": {"colour": "blue"}, "app": {"note": "x"}})


@test
def when_another_account_answers_nothing_is_done(place):
    given(place, fail=[{"verb": "identify", "how": "wrong-account", "skip": 1}])
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "fake:somebody-else" in result.err and place.files() == {}, result.err
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)


@test
def what_a_dead_run_did_is_not_asked_of_another_account(place):
    given(place, fail=lose("create", "hang-after"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    wait_until(place.files, "the box is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    given(place, account="another")
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "fake:another" in result.err, result.err
    place.parley("resume", "demo", want=1)
    assert not os.path.exists(place.path("home/fake/another/")) or \
        not [name for name in os.listdir(place.path("home/fake/another")) if name.endswith(".json")]
    given(place)
    place.parley("resume", "demo")
    is_complete(place)


def die_in_another_account(place, verb="create"):
    """A run that was begun in the account "another" is killed in the middle of a call."""
    given(place, account="another", fail=lose(verb, "hang-after"))
    process = place.start("up", "demo.yaml", "--yes", "--json")
    there = place.path("home/fake/another")
    wait_until(lambda: os.path.isdir(there) and any(name.endswith(".json") for name in os.listdir(there)), "it is made")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)


def there(place, account):
    folder = place.path("home/fake", account)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(json.loads(place.read(f"home/fake/{account}/{name}"))["address"]
                  for name in names if name.endswith(".json"))


@test
def what_was_begun_in_another_account_names_both_and_the_ways_out(place):
    die_in_another_account(place)
    given(place)
    for words in (["up", "demo.yaml", "--yes"], ["resume", "demo"]):
        refused = place.parley(*words, want=1).err
        for told in ("acme.lab is fake:acme.lab now", "began when it was fake:another", "Nothing was changed",
                     "Lead acme.lab back to fake:another", "parley resume demo", "parley give-up demo"):
            assert told in refused, refused
    assert there(place, "acme.lab") == [] and there(place, "another") == ["web"]
    given(place, account="another")
    refused = place.parley("give-up", "demo", "--confirm", "demo", want=1).err
    assert "nothing to give up" in refused and "parley resume demo" in refused, refused
    place.parley("resume", "demo")
    assert there(place, "another") == ["app", "web"]
    assert "nothing to give up" in place.parley("give-up", "demo", "--confirm", "demo", want=1).err


@test
def what_is_given_up_needs_the_name_and_is_told_for_good(place):
    die_in_another_account(place)
    given(place)
    for words in ([], ["--confirm", "demo@default"], ["--confirm", "other"]):
        refused = place.parley("give-up", "demo", *words, want=3).err
        assert "create web#1 on acme.lab" in refused and "may have been done" in refused, refused
        assert place.parley("up", "demo.yaml", "--yes", want=1)
    assert place.parley("status", "demo", "--json").json()["left"] == []
    told = place.parley("give-up", "demo", "--confirm", "demo", "--json").json()
    assert [account["planned"] for account in told["accounts"]] == ["fake:another"], told
    assert [(effect["step"], effect["state"]) for effect in told["effects"]] == [("create web#1", "open")], told
    assert "given up" in place.parley("resume", "demo", want=1).err
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)
    assert there(place, "another") == ["web"]
    left = place.parley("status", "demo", "--json").json()["left"]
    assert [row["accounts"][0]["planned"] for row in left] == ["fake:another"], left
    shown = place.parley("status", "demo").out
    assert "Given up, and maybe left there:" in shown and "create web#1" in shown, shown
    assert "give-up" in place.parley("audit", "list", "demo").out
    assert "holds" in place.parley("audit", "verify").out


@test
def what_is_not_as_it_was_shown_is_not_given_up(place):
    die_in_another_account(place)
    given(place, fail=[{"verb": "identify", "how": "wrong-account", "skip": 1, "count": 1}])
    refused = place.parley("give-up", "demo", "--confirm", "demo", want=1).err
    assert "look again" in refused, refused
    assert place.parley("status", "demo", "--json").json()["left"] == []
    place.parley("give-up", "demo", "--confirm", "demo")


@test
def what_was_done_in_another_account_is_given_up_with_its_id(place):
    given(place, resources={"web": box(size=1), "last": box(size=2)})
    place.with_boxes(account="another", fail=[{"verb": "create", "name": "last", "how": "hang-after"}])
    process = place.start("up", "demo.yaml", "--yes", "--json")
    wait_until(lambda: there(place, "another") == ["last", "web"] and any(
        event["kind"] == "result" for run in place.parley("run", "list", "--json").json()
        for event in place.parley("run", "show", run["id"], "--json").json()["journal"]), "one is done, one hangs")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    place.with_boxes()
    told = place.parley("give-up", "demo", "--confirm", "demo", "--json").json()
    found = {effect["address"]: (effect["state"], effect.get("id")) for effect in told["effects"]}
    assert found["last"] == ("open", None) and found["web"][0] == "done" and found["web"][1], found


@test
def staged_changes_are_activated_together(place):
    given(place, staged=True)
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place)
    run = place.parley("run", "list", "--json").json()[0]["id"]
    rows = place.parley("run", "show", run, "--json").json()["journal"]
    commits = [row["steps"] for row in rows if row["kind"] == "intent" and "activates" in row]
    assert [len(named) for named in commits] == [1, 1], commits
    given(place, {"web": box(size=1, note="x"), "app": box(lid="web", note="y"), "new": box()}, staged=True)
    place.parley("up", "demo.yaml", "--yes")
    agree(place, "demo")
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {} and os.listdir(place.path("home/fake/acme.lab/staged")) == []


@test
def a_run_killed_before_its_activation_is_resumed(place):
    given(place, staged=True, fail=[{"verb": "commit", "how": "hang"}])
    process = place.start("up", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        if "activates" in json.loads(line):
            break
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert place.files() == {}
    given(place, staged=True)  # the killed call may not have come as far as to hang
    place.parley("resume", "demo")
    is_complete(place)


@test
def what_others_staged_is_shown_in_the_plan_or_stops_it(place):
    given(place, staged=True)
    place.write("home/fake/acme.lab/staged/nat.json", json.dumps(
        {"provider_id": "nat", "address": "nat", "by": "an operator", "spec": {}, "outputs": {}}))
    shown = place.parley("plan", "demo.yaml")
    assert "put nat, staged by an operator" in shown.out, shown.out
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert plan["pending"] == {"acme.lab": ["put nat, staged by an operator"]}
    given(place, staged=True, fail=[{"verb": "commit", "how": "foreign-edit", "edits": "late"}])
    stopped = place.parley("up", "demo.yaml", "--yes", want=4)
    assert "put late, staged by somebody else" in stopped.out + stopped.err, stopped.out + stopped.err
    assert place.files() == {}
    place.parley("up", "demo.yaml", "--yes")
    assert {"nat", "foreign-late"} < set(place.files()) and len(place.records("demo")) == 2


@test
def a_slow_system_is_waited_for_by_its_handle(place):
    given(place, repeat=KEYLESS, asynchronous=True, latency="400ms")
    process = place.start("up", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        if json.loads(line)["kind"] == "handle":
            break
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    place.parley("resume", "demo")
    is_complete(place)


main()
