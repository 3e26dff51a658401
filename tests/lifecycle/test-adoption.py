#!/usr/bin/env python3
"""What is there already becomes a resource: by an approved plan that saw it, never by name alone, and the way back lets go
of it."""
import json
import os
import signal

from lifecycle import CATALOG, box, document, main, steps, test


def put(place, name="old", kind="acme:thing:box", **properties):
    """Something that somebody else made."""
    place.write(f"home/fake/acme.lab/{name}.json", json.dumps({
        "provider_id": name, "name": f"the {name}", "type": kind, "spec": properties, "outputs": {"id": name, "endpoint": "e"}}))


def given(place, resources=None, repeat="key", **settings):
    place.with_boxes(**settings)
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", f"repeat: {repeat}"))
    place.write("demo.yaml", document("demo", resources or {"web": box(colour="red")}))


def there(place):
    return {name: resource["spec"] for name, resource in place.files().items()}


def plan_of(place, *words, want=0):
    return place.parley("plan", "demo.yaml", "--json", *words, want=want).json()


@test
def what_is_imported_is_recorded_as_it_is_and_nothing_happens_outside(place):
    given(place, fail=[{"verb": verb, "how": "refuse", "count": 9} for verb in ("create", "update", "delete")])
    put(place, colour="red", size=3)
    before = place.files()
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", want=3)
    assert place.parley("status", want=0).out.find("demo@default") < 0 and place.files() == before
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--yes")
    assert place.files() == before
    record = place.records("demo")[0]
    assert (record["provider_id"], record["spec"], record["outputs"]["id"]) == ("old", {"colour": "red"}, "old"), record
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def its_intent_and_result_are_journalled(place):
    given(place)
    put(place, colour="red")
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--yes")
    run = place.parley("run", "list", "--json").json()[0]["id"]
    rows = place.parley("run", "show", run, "--json").json()["journal"]
    assert [(row["kind"], row["step_kind"]) for row in rows if "step" in row] == [
        ("intent", "adopt"), ("result", "adopt")], rows


@test
def what_was_imported_is_destroyed_like_what_was_made(place):
    given(place)
    put(place, colour="red")
    put(place, "other", colour="red")
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--yes")
    place.parley("destroy", "demo", "--yes")
    assert list(there(place)) == ["other"]


@test
def what_differs_is_told_and_changed_only_by_another_yes(place):
    given(place, {"web": box(colour="red", note="mine")})
    put(place, colour="blue", size=3)
    shown = place.parley("import", "demo", "web", "old", "--file", "demo.yaml", want=3).out
    assert 'colour: "blue" there, wanted is "red"' in shown and "note: (not set) there" in shown, shown
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--yes")
    assert there(place) == {"old": {"colour": "blue", "size": 3}}
    assert place.records("demo")[0]["spec"] == {"colour": "blue"}
    plan = plan_of(place)
    assert [(step["kind"], step["changed"]) for step in plan["steps"]] == [("update", ["colour", "note"])], plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    assert there(place) == {"old": {"colour": "red", "note": "mine"}}
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def with_update_it_is_adopted_and_then_changed(place):
    given(place, {"web": box(colour="red"), "app": box(lid="web")})
    put(place, colour="blue")
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--update", "--yes")
    assert there(place)["old"] == {"colour": "red"}
    assert sorted(record["address"] for record in place.records("demo")) == ["app", "web"]
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def a_plan_can_adopt_among_other_things(place):
    given(place, {"web": box(colour="red"), "app": box(lid="web")})
    put(place, colour="blue")
    plan = plan_of(place, "--import", "web=old")
    assert steps(plan) == ["adopt web", "update web", "create app"], plan["steps"]
    assert plan["summary"]["adopt"] == 1 and plan["steps"][0]["before"] == {"colour": "blue"}
    place.parley("up", "demo.yaml", "--import", "web=old", "--yes")
    assert there(place)["old"] == {"colour": "red"} and len(place.files()) == 2
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def nothing_is_adopted_by_its_name_alone(place):
    given(place, repeat="natural")
    put(place, "web", colour="red")
    place.write("home/fake/acme.lab/web.json", place.read("home/fake/acme.lab/web.json").replace("the web", "web"))
    told = place.parley("plan", "demo.yaml", want=1).err
    assert "the name is taken on acme.lab, by web" in told and "--import web=web" in told, told
    place.parley("up", "demo.yaml", "--yes", want=1)
    assert there(place) == {"web": {"colour": "red"}}
    place.parley("import", "demo", "web", "web", "--file", "demo.yaml", "--yes")
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_changed_since_the_plan_saw_it_is_not_adopted(place):
    given(place)
    put(place, colour="red", note="one")
    plan = plan_of(place, "--import", "web=old")
    put(place, colour="red", note="two")
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "not as the plan saw it" in result.out + result.err, result.out + result.err
    assert place.records("demo") == []
    os.unlink(place.path("home/fake/acme.lab/old.json"))
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "not there any more" in result.out + result.err, result.out + result.err
    put(place, colour="red", note="one")
    place.parley("apply", plan["hash"], "--yes")
    assert place.records("demo")[0]["provider_id"] == "old"


@test
def what_was_seen_is_part_of_the_hash(place):
    given(place)
    put(place, colour="red", note="one")
    first = plan_of(place, "--import", "web=old")["hash"]
    assert plan_of(place, "--import", "web=old")["hash"] == first
    put(place, colour="red", note="two")
    assert plan_of(place, "--import", "web=old")["hash"] != first


@test
def what_cannot_be_adopted_is_told_all_at_once(place):
    given(place, {"web": box(colour="red"), "app": box(), "lid": box(), "ours": box()})
    put(place, "vault", kind="acme:thing:vault")
    place.write("other.yaml", document("other", {"theirs": box()}))
    put(place, "taken")
    place.parley("import", "other", "theirs", "taken", "--file", "other.yaml", "--yes")
    put(place, "mine")
    place.parley("import", "demo", "ours", "mine", "--file", "demo.yaml", "--yes")
    words = [word for pair in ("web=nowhere", "app=vault", "lid=taken", "ours=mine", "none=x")
             for word in ("--import", pair)]
    before = place.files(), place.records("demo")
    told = place.parley("plan", "demo.yaml", *words, want=1).err
    for sentence in ("acme.lab has no acme:thing:box of that id", "vault is a acme:thing:vault",
                     "it is theirs of other@default", "it is that already", "the document has no resource of that name"):
        assert sentence in told, told
    again = place.parley("plan", "demo.yaml", "--import", "web=mine", want=1).err
    assert "it is ours of this deployment already" in again, again
    assert (place.files(), place.records("demo")) == before


@test
def what_another_deployment_adopted_meanwhile_is_refused(place):
    given(place)
    put(place, colour="red")
    plan = plan_of(place, "--import", "web=old")
    place.write("other.yaml", document("other", {"theirs": box(colour="red")}))
    place.parley("import", "other", "theirs", "old", "--file", "other.yaml", "--yes")
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "theirs of other@default" in result.err, result.err


@test
def of_two_that_adopt_one_thing_at_the_same_time_the_first_does(place):
    """The run of the first stands in the middle of its adoption when the second begins."""
    given(place, fail=[{"verb": "read", "name": "web", "how": "hang", "skip": 1}])
    put(place, colour="red")
    place.write("other.yaml", document("other", {"theirs": box(colour="red")}))
    plan = json.loads(place.parley("plan", "other.yaml", "--import", "theirs=old", "--json").out)
    process = place.start("import", "demo", "web", "old", "--file", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        if json.loads(line)["kind"] == "intent":
            break
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "old on acme.lab" in result.err and "is to adopt it" in result.err, result.err
    assert place.records("other") == []
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    given(place)
    place.parley("resume", "demo")
    assert [record["provider_id"] for record in place.records("demo")] == ["old"]
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "web of demo@default" in result.err, result.err


@test
def what_cannot_change_in_place_is_a_fault_and_no_replacement(place):
    given(place, {"web": box(size=5)})
    put(place, size=3)
    told = place.parley("plan", "demo.yaml", "--import", "web=old", want=1).err
    assert "size: 3" in told and "cannot change in place" in told, told
    assert there(place) == {"old": {"size": 3}}


@test
def a_document_is_written_from_what_is_there(place):
    given(place)
    put(place, colour="blue", size=3, note='costs ${x}: "a"')
    listed = place.parley("import", "--list", "acme:thing:box", "--json").json()
    assert [(item["id"], item["recorded"], item["marker"]) for item in listed] == [("old", None, None)], listed
    place.parley("import", "fresh", "crate", "old", "--type", "acme:thing:box", "--file", "fresh.yaml", "--yes")
    assert "No changes" in place.parley("up", "fresh.yaml").out
    assert place.records("fresh")[0]["spec"] == {"colour": "blue", "size": 3, "note": 'costs ${x}: "a"'}
    listed = place.parley("import", "--list", "acme:thing:box", "--json").json()
    assert listed[0]["recorded"] == "crate of fresh@default", listed
    assert "crate of fresh@default" in place.parley("import", "--list", "acme:thing:box").out


@test
def what_is_written_into_a_document_leaves_its_comments(place):
    given(place)
    place.write("demo.yaml", "# ours\ndeployment:\n  name: demo\n  resources:\n"
                             "    - { type: acme:thing:box, name: web, properties: { colour: red } } # the first\n"
                             "  outputs: { id: '${web.outputs.id}' }\n")
    place.parley("up", "demo.yaml", "--yes")
    put(place, colour="blue")
    shown = place.parley("import", "demo", "crate", "old", "--type", "acme:thing:box", "--file", "demo.yaml", want=3).out
    assert "+" in shown and "crate" in shown and "crate" not in place.read("demo.yaml"), shown
    place.parley("import", "demo", "crate", "old", "--type", "acme:thing:box", "--file", "demo.yaml", "--yes")
    text = place.read("demo.yaml")
    assert text.startswith("# ours\n") and "# the first\n" in text and "name: crate" in text, text
    assert "No changes" in place.parley("up", "demo.yaml").out
    put(place, "more", note="x")
    place.parley("import", "demo", "sack", "more", "--type", "acme:thing:box", "--yes")
    assert len(place.records("demo")) == 3
    place.parley("pull", "demo", "demo.yaml")
    assert "No changes" in place.parley("up", "demo.yaml").out and "# the first" in place.read("demo.yaml")


@test
def an_undone_import_lets_go_and_an_undone_undo_takes_it_back(place):
    given(place, {"app": box()})
    place.parley("up", "demo.yaml", "--yes")
    put(place, colour="blue")
    place.parley("import", "demo", "crate", "old", "--type", "acme:thing:box", "--yes")
    before = place.files()
    undo = place.parley("undo", "demo", want=3).out
    assert "to forget" in undo and "to destroy" not in undo, undo
    place.parley("undo", "demo", "--yes", "--revert", "2")
    assert place.files() == before and [record["address"] for record in place.records("demo")] == ["app"]
    place.parley("undo", "demo", "--to", "2", "--yes", "--revert", "3")
    assert place.files() == before
    assert sorted(record["provider_id"] for record in place.records("demo"))[-1] == "old"


@test
def a_rolled_back_import_lets_go_even_of_everything(place):
    given(place)
    put(place, colour="red")
    place.parley("import", "demo", "web", "old", "--file", "demo.yaml", "--yes")
    place.parley("rollback", "demo", "--yes")
    assert there(place) == {"old": {"colour": "red"}}
    assert place.parley("status").out.startswith("demo@default  destroyed"), place.parley("status").out


@test
def what_was_forgotten_is_ours_when_it_is_wanted_again(place):
    for repeat in ("key", "tag", "natural", "token"):
        given(place, {"web": box(size=1), "app": box(lid="web")}, repeat=repeat)
        place.parley("up", "demo.yaml", "--yes")
        before, uids = place.files(), {record["uid"] for record in place.records("demo")}
        place.parley("forget", "demo", "web", "--yes")
        plan = plan_of(place)
        assert [(step["kind"], step["reason"]) for step in plan["steps"]] == [("adopt", "ours")], plan["steps"]
        place.parley("up", "demo.yaml", "--yes")
        assert place.files() == before and {record["uid"] for record in place.records("demo")} == uids, repeat
        assert "No changes" in place.parley("up", "demo.yaml").out
        place.parley("destroy", "demo", "--yes")


@test
def of_what_was_forgotten_in_the_middle_of_a_replacement_the_new_one_is_ours(place):
    first = {"lifecycle": {"createBeforeDestroy": True}}
    given(place, {"web": box(first, size=1)})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"web": box(first, size=2)}, fail=[{"verb": "delete", "name": "web", "how": "refuse", "count": 9}])
    place.parley("up", "demo.yaml", "--yes", want=4)
    before = place.files()
    records = {record["status"]: record["provider_id"] for record in place.records("demo")}
    assert sorted(records) == ["created", "deposed"], records
    place.parley("forget", "demo", "web", "--yes")
    plan = plan_of(place)
    assert [(step["kind"], step["provider_id"]) for step in plan["steps"]] == [("adopt", records["created"])], plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    assert place.files() == before and "No changes" in place.parley("up", "demo.yaml").out


@test
def what_was_forgotten_and_is_gone_is_made_anew(place):
    given(place, {"web": box(size=1), "app": box()})
    place.parley("up", "demo.yaml", "--yes")
    record = next(record for record in place.records("demo") if record["address"] == "web")
    place.parley("forget", "demo", "web", "--yes")
    os.unlink(place.path(f"home/fake/acme.lab/{record['uid']}.json"))
    assert steps(plan_of(place)) == ["create web"]


@test
def a_killed_adoption_is_resumed_and_looks_again(place):
    given(place, fail=[{"verb": "read", "name": "web", "how": "hang", "skip": 1}])
    put(place, colour="red")
    process = place.start("import", "demo", "web", "old", "--file", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        if json.loads(line)["kind"] == "intent":
            break
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    given(place)
    assert place.records("demo") == []
    place.parley("resume", "demo")
    assert place.records("demo")[0]["provider_id"] == "old"
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def when_nobody_can_tell_whether_it_is_there_nothing_is_planned(place):
    given(place, fail=[{"verb": "read", "how": "cannot-tell", "count": 9}, {"verb": "list", "how": "cannot-tell"}])
    put(place, colour="red")
    assert "nobody can tell" in place.parley("plan", "demo.yaml", "--import", "web=old", want=1).err
    assert "nobody can tell" in place.parley("import", "--list", "acme:thing:box", want=1).err


main()
