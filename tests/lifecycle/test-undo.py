#!/usr/bin/env python3
"""The way back of every kind of step, of every outcome, and from systems of every character: afterwards everything is as it
was before, and what could not come back was said."""
import os

from lifecycle import CATALOG, box, document, main, test

CHARACTERS = {
    "instant": ("key", {}),
    "slow, with a handle": ("key", {"asynchronous": True, "latency": "20ms"}),
    "staged": ("key", {"staged": True}),
    "by token": ("token", {}),
    "by tag": ("tag", {}),
    "by name": ("natural", {}),
    "without a key": ("none", {}),
    "settling": ("tag", {"settling": "200ms"}),
    "its own way": ("key", {"normalises": True, "defaults": {"note": "filled in"}}),
    "come again later": ("key", {"fail": [{"verb": verb, "how": "throttle", "retryAfter": "20ms", "count": 2}
                                          for verb in ("create", "update", "delete", "read")]}),
    "lost answers": ("key", {"fail": [{"verb": verb, "how": "lose-answer"} for verb in ("create", "update", "delete")]}),
}


def given(place, resources, repeat="key", **settings):
    place.with_boxes(**settings)
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", f"repeat: {repeat}"))
    place.write("demo.yaml", document("demo", resources))


def specs(place):
    """Records and what is there, which must agree: address -> properties."""
    records = {record["address"]: record for record in place.records("demo")}
    there = {resource["provider_id"]: resource["spec"] for resource in place.files().values()}
    assert {record["provider_id"] for record in records.values()} == set(there), (records, there)
    return {address: there[record["provider_id"]] for address, record in records.items()}


def up(place, resources, *words, want=0, **settings):
    given(place, resources, **settings)
    return place.parley("up", "demo.yaml", "--yes", *words, want=want)


def undo(place, *words):
    """Undoes the newest revision, or what is asked for; gives the steps that did it."""
    result = place.parley("undo", "demo", *words, want=None)
    digest = result.out.split("Plan hash: ")[1][:64] if "Plan hash" in result.out else ""
    assert digest, result.out + result.err
    plan = place.parley("apply", digest, "--json", "--approve", digest).events()
    return [(event["step_kind"], event["address"]) for event in plan
            if event["kind"] == "result" and "step_kind" in event]


KINDS = {
    "create": ({"a": box()}, {"a": box(), "b": box(colour="red")}, [("delete", "b")]),
    "update": ({"a": box(colour="red")}, {"a": box(colour="blue", note="x")}, [("update", "a")]),
    "delete": ({"a": box(), "b": box(colour="red")}, {"a": box()}, [("create", "b")]),
    "replace": ({"a": box(size=1), "b": box(lid="a")}, {"a": box(size=2), "b": box(lid="a")},
                [("delete", "a"), ("create", "a"), ("update", "b")]),
    "rename": ({"a": box(colour="red")}, {"b": box({"formerly": ["a"]}, colour="red")}, [("rename", "a")]),
    "count": ({"a": box({"count": 2}, colour="red")}, {"a": box(colour="red")}, [("create", "a[1]"), ("rename", "a[0]")]),
    "record only": ({"a": box()}, {"a": box({"lifecycle": {"protect": True}})}, [("update", "a")]),
}


@test
def every_kind_of_step_has_a_way_back(place):
    for kind, (before, after, want) in KINDS.items():
        up(place, before)
        was = specs(place)
        up(place, after)
        done = undo(place)
        assert sorted(done) == sorted(want), (kind, done)
        assert specs(place) == was, (kind, specs(place), was)
        given(place, before)
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}, kind


@test
def a_start_needs_no_way_back(place):
    up(place, {"a": box(colour="red")})
    place.write("home/fake/acme.lab/stopped", "")
    up(place, {"a": box(colour="blue")})
    assert not os.path.exists(place.path("home/fake/acme.lab/stopped"))
    assert undo(place) == [("update", "a")] and specs(place) == {"a": {"colour": "red"}}
    assert not os.path.exists(place.path("home/fake/acme.lab/stopped"))


@test
def what_was_forgotten_is_adopted_back_by_a_rollback(place):
    up(place, {"a": box(colour="red"), "b": box(lid="a"), "c": box({"count": 2})})
    was, records = specs(place), place.records("demo")
    told = place.parley("forget", "demo", "a", "c", want=3).out
    assert "b refers to a and stays" in told, told
    place.parley("forget", "demo", "a", "c", "--yes")
    assert [record["address"] for record in place.records("demo")] == ["b"]
    place.parley("rollback", "demo", "--yes")
    assert specs(place) == was
    same = ("address", "uid", "provider_id", "generation", "spec", "outputs")
    assert [{key: record[key] for key in same} for record in place.records("demo")] == [
        {key: record[key] for key in same} for record in records]


@test
def what_is_to_be_forgotten_and_is_not_there_is_named_at_once(place):
    up(place, {"a": box()})
    told = place.parley("forget", "demo", "x", "a", "y", want=1).err
    assert '"x", "y"' in told and '"a"' not in told, told


OUTCOMES = {
    "done": [],
    "failed": [{"verb": "update", "name": "a", "how": "refuse"}],
    "partly": [{"verb": "update", "name": "a", "how": "half"}],
    "unknown and found out": [{"verb": "update", "name": "a", "how": "lose-answer"}],
    "unknown and not done": [{"verb": "update", "name": "a", "how": "lose-request"}],
    "unknown for a while": [{"verb": "update", "name": "a", "how": "lose-answer"},
                            {"verb": "probe", "name": "a", "how": "cannot-tell"}],
}


@test
def every_outcome_has_a_way_back(place):
    before = {"a": box(colour="red", note="one"), "b": box(lid="a"), "c": box()}
    after = {"a": box(colour="blue", note="two"), "b": box(lid="a", note="x"), "d": box()}
    for outcome, rules in OUTCOMES.items():
        up(place, before)
        was = specs(place)
        up(place, after, want=None, fail=rules)
        given(place, after)
        result = place.parley("rollback", "demo", "--yes", want=None)
        assert result.code == 0, (outcome, result.out, result.err)
        assert specs(place) == was, (outcome, specs(place), was)
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}, outcome
        if os.path.exists(place.path("home/fake/acme.lab/failures")):
            os.remove(place.path("home/fake/acme.lab/failures"))


@test
def systems_of_every_character_have_a_way_back(place):
    before = {"a": box(colour="red", note=" One "), "b": box(lid="a"), "c": box(colour="red")}
    after = {"a": box(colour="blue", note="Two"), "b": box(size=2, lid="a"), "d": box(colour="blue")}
    for character, (repeat, settings) in CHARACTERS.items():
        up(place, before, repeat=repeat, **settings)
        was = specs(place)
        up(place, after, repeat=repeat, **settings)
        done = undo(place)
        assert ("update", "a") in done and ("delete", "d") in done and ("create", "c") in done, (character, done)
        assert specs(place) == was, (character, specs(place), was)
        given(place, before, repeat=repeat, **settings)
        assert "No changes" in place.parley("up", "demo.yaml").out, character
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}, character
        if os.path.exists(place.path("home/fake/acme.lab/failures")):
            os.remove(place.path("home/fake/acme.lab/failures"))


@test
def what_a_way_back_cannot_bring_is_said_before(place):
    resources = {"a": box(), "safe": ("acme:thing:vault", {}, {})}
    up(place, resources)
    up(place, {"a": box()})
    told = place.parley("undo", "demo", want=3).out
    assert "safe is made anew and empty" in told, told


main()
