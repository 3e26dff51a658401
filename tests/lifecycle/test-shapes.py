#!/usr/bin/env python3
"""What changes its name, its count or its generation, and what leads to it: through failures, too."""
import json
import os

from lifecycle import agree, box, document, main, steps, test


def given(place, resources, **options):
    place.write("demo.yaml", document("demo", resources, **options))


def planned(place):
    return steps(place.parley("plan", "demo.yaml", "--json").json())


def is_clean(place):
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)


def record_of(place, address):
    return next(record for record in place.records("demo") if record["address"] == address)


def alter(place, address, change):
    """Changes a resource's file as somebody outside would."""
    uid = record_of(place, address)["uid"]
    resource = place.files()[uid]
    change(resource)
    place.write(f"home/fake/acme.lab/{uid}.json", json.dumps(resource))


@test
def a_single_resource_becomes_the_first_of_several_and_back(place):
    place.with_boxes()
    user = box(lid="a")
    given(place, {"a": box(colour="red"), "user": user})
    place.parley("up", "demo.yaml", "--yes")
    uid = record_of(place, "a")["uid"]
    given(place, {"a": box({"count": 2}, colour="red"), "user": user})
    assert planned(place) == ["rename a[0]", "create a[1]", "update user"], planned(place)
    place.parley("up", "demo.yaml", "--yes")
    assert record_of(place, "a[0]")["uid"] == uid
    is_clean(place)
    given(place, {"a": box(colour="red"), "user": user})
    assert planned(place) == ["rename a", "update user", "delete a[1]"], planned(place)
    place.parley("up", "demo.yaml", "--yes")
    assert record_of(place, "a")["uid"] == uid
    is_clean(place)
    agree(place, "demo")


@test
def the_user_of_a_converted_resource_stays_as_it_is(place):
    place.with_boxes()
    given(place, {"a": box(), "user": box(lid="a")})
    place.parley("up", "demo.yaml", "--yes")
    before = place.files()
    given(place, {"a": box({"count": 1}), "user": box(lid="a")})
    assert planned(place) == ["rename a[0]"]
    place.parley("up", "demo.yaml", "--yes")
    assert place.files() == before
    is_clean(place)
    result = place.parley("destroy", "demo", "--yes", "--json")
    done = [event["step"].split("#")[0] for event in result.events() if event["kind"] == "result"]
    assert done == ["delete user", "delete a[0]"], done


@test
def a_rename_and_a_conversion_go_together(place):
    place.with_boxes()
    given(place, {"a": box(colour="red")})
    place.parley("up", "demo.yaml", "--yes")
    before = place.files()
    given(place, {"z": box({"formerly": ["a"], "count": 1}, colour="red")})
    assert planned(place) == ["rename z[0]"]
    place.parley("up", "demo.yaml", "--yes")
    assert place.files() == before
    is_clean(place)


@test
def a_key_that_goes_takes_only_its_own(place):
    place.with_boxes()
    given(place, {"a": box({"forEach": ["x", "y", "z"]}, note="${each.key}")})
    place.parley("up", "demo.yaml", "--yes")
    kept = {address: record_of(place, address)["uid"] for address in ('a["x"]', 'a["z"]')}
    given(place, {"a": box({"forEach": ["z", "x"]}, note="${each.key}")})
    assert planned(place) == ['delete a["y"]']
    place.parley("up", "demo.yaml", "--yes")
    assert {record["address"]: record["uid"] for record in place.records("demo")} == kept
    agree(place, "demo")


@test
def who_could_not_be_moved_is_moved_by_the_next_plan(place):
    for n_failures, further, order in ((1, {}, ["delete a", "create a", "update b"]),
                                       (2, {"lifecycle": {"createBeforeDestroy": True}},
                                        ["create a", "update b", "delete a"])):
        place.with_boxes()
        given(place, {"a": box(further, size=1), "b": box(lid="a")})
        place.parley("up", "demo.yaml", "--yes")
        given(place, {"a": box(further, size=2), "b": box(lid="a")})
        assert planned(place) == order, planned(place)
        place.with_boxes(fail=[{"verb": "update", "name": "b", "how": "refuse",
                                "count": n_failures}])
        place.parley("up", "demo.yaml", "--yes", want=4)
        place.with_boxes()
        rest = [step for step in order[1:] if step != "create a"]
        assert planned(place) == rest, (planned(place), rest)
        place.parley("up", "demo.yaml", "--yes")
        is_clean(place)
        agree(place, "demo")
        given(place, {"a": box(further, size=1), "b": box(lid="a")})
        place.parley("up", "demo.yaml", "--yes")


@test
def an_old_generation_that_could_not_go_is_known_until_it_is_gone(place):
    first = {"lifecycle": {"createBeforeDestroy": True}}
    place.with_boxes()
    given(place, {"a": box(first, size=1)})
    place.parley("up", "demo.yaml", "--yes")
    for size in (2, 3):
        given(place, {"a": box(first, size=size)})
        place.with_boxes(fail=[{"verb": "delete", "name": "a", "how": "refuse", "count": 9}])
        place.parley("up", "demo.yaml", "--yes", want=4)
        assert len(place.files()) == size
        statuses = [record["status"] for record in place.records("demo")]
        assert statuses == ["deposed"] * (size - 1) + ["created"], statuses
    place.with_boxes()
    assert planned(place) == ["delete a", "delete a"]
    place.parley("up", "demo.yaml", "--yes")
    assert len(place.files()) == 1
    agree(place, "demo")
    is_clean(place)


@test
def a_destroy_takes_old_generations_along(place):
    first = {"lifecycle": {"createBeforeDestroy": True}}
    place.with_boxes()
    given(place, {"a": box(first, size=1)})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"a": box(first, size=2)})
    place.with_boxes(fail=[{"verb": "delete", "name": "a", "how": "refuse"}])
    place.parley("up", "demo.yaml", "--yes", want=4)
    place.with_boxes()
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {}


@test
def what_a_group_loses_is_let_go_of_first(place):
    place.with_boxes()
    given(place, {"a": box({"count": 3}), "b": box(lid="a")})
    place.parley("up", "demo.yaml", "--yes")
    assert len(record_of(place, "b")["bound"]["a"]) == 3
    given(place, {"a": box({"count": 2}), "b": box(lid="a")})
    assert planned(place) == ["update b", "delete a[2]"]
    place.parley("up", "demo.yaml", "--yes")
    assert len(record_of(place, "b")["bound"]["a"]) == 2
    is_clean(place)


@test
def the_record_follows_a_document_that_follows_what_is_there(place):
    place.with_boxes()
    given(place, {"a": box(colour="red")})
    place.parley("up", "demo.yaml", "--yes")
    alter(place, "a", lambda resource: resource["spec"].update(colour="blue"))
    before = place.files()
    given(place, {"a": box(colour="blue")})
    # An update would be refused: nothing happens outside.
    place.with_boxes(fail=[{"verb": "update", "name": "a", "how": "refuse"}])
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert steps(plan) == ["update a"] and plan["steps"][0]["record_only"], plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    assert place.files() == before
    agree(place, "demo")
    is_clean(place)


@test
def what_is_left_alone_is_not_put_back_along_with_something_else(place):
    place.with_boxes()
    further = {"lifecycle": {"ignoreChanges": ["colour"]}}
    given(place, {"a": box(further, colour="red", note="one")})
    place.parley("up", "demo.yaml", "--yes")
    alter(place, "a", lambda resource: resource["spec"].update(colour="blue"))
    is_clean(place)
    given(place, {"a": box(further, colour="red", note="two")})
    place.parley("up", "demo.yaml", "--yes")
    assert [resource["spec"] for resource in place.files().values()] == [
        {"colour": "blue", "note": "two"}]
    agree(place, "demo")


@test
def a_change_outside_and_one_of_the_document_are_one_step(place):
    place.with_boxes()
    given(place, {"a": box(colour="red", note="one")})
    place.parley("up", "demo.yaml", "--yes")
    alter(place, "a", lambda resource: resource["spec"].update(colour="blue"))
    given(place, {"a": box(colour="red", note="two")})
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert sorted(plan["steps"][0]["changed"]) == ["colour", "note"]
    place.parley("up", "demo.yaml", "--yes")
    agree(place, "demo")


@test
def one_system_that_is_empty_is_told_although_another_is_not(place):
    place.with_boxes()
    place.write("parley.yaml", "site:\n  instances:\n    acme.one: {driver: fake}\n"
                               "    acme.two: {driver: fake}\n")
    given(place, {"a": box({"on": "acme.one"}), "b": box({"on": "acme.two"}),
                  "c": box({"on": "acme.two"})})
    place.parley("up", "demo.yaml", "--yes")
    for name in os.listdir(place.path("home/fake/acme.two")):
        os.unlink(place.path("home/fake/acme.two", name))
    assert "acme.two: none of the 2" in place.parley("plan", "demo.yaml", want=1).err


@test
def a_resource_that_moves_to_another_instance_is_made_there_and_removed_here(place):
    place.with_boxes()
    place.write("parley.yaml", "site:\n  instances:\n    acme.one: {driver: fake}\n"
                               "    acme.two: {driver: fake}\n")
    given(place, {"a": box({"on": "acme.one"}, note="x")})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"a": box({"on": "acme.two"}, note="x")})
    assert planned(place) == ["delete a", "create a"]
    place.parley("up", "demo.yaml", "--yes")
    assert os.listdir(place.path("home/fake/acme.one")) == []
    assert len(os.listdir(place.path("home/fake/acme.two"))) == 1
    is_clean(place)


if __name__ == "__main__":
    main()
