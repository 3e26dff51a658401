#!/usr/bin/env python3
"""What somebody changes outside: told by parley drift, with both ways out of it."""
import json
import os

from lifecycle import agree, box, document, main, steps, test


def given(place, resources, name="demo", **options):
    place.write(f"{name}.yaml", document(name, resources, **options))
    return place.parley("up", f"{name}.yaml", "--yes")


def file_of(place, address, name="demo"):
    uid = next(record["uid"] for record in place.records(name) if record["address"] == address)
    return f"home/fake/acme.lab/{uid}.json"


def alter(place, address, name="demo", **changes):
    """Changes properties as somebody outside would; None takes one away."""
    path = file_of(place, address, name)
    resource = json.loads(place.read(path))
    resource["spec"].update(changes)
    resource["spec"] = {key: value for key, value in resource["spec"].items() if value is not None}
    place.write(path, json.dumps(resource))


def drift(place, *words, want):
    return place.parley("drift", *words, "--json", want=want).json()


@test
def where_nothing_differs_nothing_is_told(place):
    place.with_boxes()
    given(place, {"a": box(colour="red"), "b": box()})
    found = drift(place, want=0)
    assert [(one["deployment"], one["drifted"], one["resources"]) for one in found] == [
        ("demo", False, [])]
    assert "as revision 1 was applied" in place.parley("drift", "demo").out


@test
def what_differs_is_told_with_both_values(place):
    place.with_boxes()
    given(place, {"a": box(colour="red", note="one"), "b": box(size=1), "c": box()})
    alter(place, "a", colour="blue", note=None)
    os.unlink(place.path(file_of(place, "b")))
    found = drift(place, "demo", want=2)[0]
    told = {one["address"]: (one["state"], one["differences"]) for one in found["resources"]}
    assert told == {
        "a": ("changed", [{"property": "colour", "live": "blue", "recorded": "red"},
                          {"property": "note", "live": None, "recorded": "one"}]),
        "b": ("gone", []),
    }, told
    text = place.parley("drift", want=2).out
    for words in ('colour: "blue", applied was "red"', 'note: not set, applied was "one"',
                  '"b"  is gone', f"parley apply {found['put_back']['plan'][:12]}"):
        assert words in text, text


@test
def what_differs_of_many_is_counted_and_told_of_200(place):
    place.with_boxes()
    given(place, {f"box-{i}": box(colour="red") for i in range(260)})
    files = {record["address"]: f"home/fake/acme.lab/{record['uid']}.json" for record in place.records("demo")}
    for i in range(250):
        path = files[f"box-{i}"]
        if i % 10 == 0:
            os.unlink(place.path(path))
        else:
            place.write(path, place.read(path).replace('"red"', '"blue"'))
    assert len(drift(place, "demo", want=2)[0]["resources"]) == 250
    text = place.parley("drift", "demo", want=2).out
    assert "  changed    225 x acme:thing:box\n  gone       25 x acme:thing:box\n" in text, text[:500]
    assert text.count('acme:thing:box "box-') == 200 and "--json has each of them" in text
    # The edits that let the document follow, too.
    assert text.count("    (sets ") == 201 and "    (sets 25 more)\n" in text, text[-3000:]


@test
def it_is_put_back_by_the_plan_that_is_named(place):
    place.with_boxes()
    given(place, {"a": box(colour="red"), "b": box(size=1), "c": box()})
    before = {uid: file["spec"] for uid, file in place.files().items()}
    alter(place, "a", colour="blue")
    alter(place, "b", size=7)
    found = drift(place, want=2)[0]
    assert found["put_back"]["steps"] == 3 and found["put_back"]["other_steps"] == 0
    place.parley("apply", found["put_back"]["plan"], want=3)
    place.parley("apply", found["put_back"]["plan"], "--yes")
    after = {uid: file["spec"] for uid, file in place.files().items()}
    assert sorted(map(str, after.values())) == sorted(map(str, before.values()))
    agree(place, "demo")
    drift(place, want=0)


@test
def the_document_can_follow_and_then_nothing_happens_outside(place):
    place.with_boxes()
    given(place, {"a": box(colour="red", note="one")})
    alter(place, "a", colour="blue", note=None)
    adopt = drift(place, want=2)[0]["adopt"]
    assert adopt == {"settings": ['a.colour="blue"'], "unsets": ["a.note"], "removals": [], "by_hand": []}, adopt
    before = place.files()
    place.with_boxes(fail=[{"verb": "update", "how": "refuse", "count": 9}])
    given(place, {"a": box(colour="blue")})
    assert place.files() == before
    agree(place, "demo")
    drift(place, want=0)


@test
def what_no_edit_of_a_value_says_is_told_in_words(place):
    place.with_boxes()
    given(place, {"a": box({"count": 2}, colour="red"), "b": box()})
    alter(place, "a[1]", colour="blue")
    os.unlink(place.path(file_of(place, "b")))
    adopt = drift(place, want=2)[0]["adopt"]
    assert adopt["settings"] == [] and adopt["unsets"] == []
    assert "a[1]" in adopt["by_hand"][0] and adopt["removals"] == ["b"], adopt


@test
def one_command_lets_the_document_follow_and_keeps_its_comments(place):
    place.with_boxes(fail=[{"verb": "update", "how": "refuse", "count": 9}])
    place.write("demo.yaml", "deployment:\n  name: demo # ours\n  resources:\n"
                             "    - { type: acme:thing:box, name: a, properties: { colour: red, note: one } } # the first\n"
                             "    - { type: acme:thing:box, name: b }\n"
                             "    - { type: acme:thing:box, name: c }\n")
    place.parley("up", "demo.yaml", "--yes")
    alter(place, "a", colour="blue", note="two ${x} 'q'")
    os.unlink(place.path(file_of(place, "b")))
    before = place.files()
    shown = place.parley("drift", "demo", "--adopt", "--file", "demo.yaml", want=3)
    assert "only the record changes" in shown.out and "red" in place.read("demo.yaml"), shown.out
    place.parley("drift", "demo", "--adopt", "--file", "demo.yaml", "--yes")
    text = place.read("demo.yaml")
    assert "# ours" in text and "# the first" in text and "blue" in text and "name: b" not in text, text
    assert place.files() == before
    drift(place, want=0)
    assert "No changes" in place.parley("up", "demo.yaml").out
    assert "nothing to adopt" in place.parley("drift", "demo", "--adopt", want=1).err


@test
def without_a_file_the_newest_revision_follows(place):
    place.with_boxes()
    given(place, {"a": box({"count": 2}, colour="red"), "b": box(colour="red")})
    alter(place, "b", colour="blue")
    alter(place, "a[1]", colour="blue")
    result = place.parley("drift", "demo", "--adopt", "--yes")
    assert "a[1] is one of several" in result.err, result.err
    assert "puts it back" in result.err
    specs = {record["address"]: record["spec"]["colour"] for record in place.records("demo")}
    assert specs == {"a[0]": "red", "a[1]": "red", "b": "blue"}, specs
    assert drift(place, want=0)[0]["revision"] == 2
    agree(place, "demo")


@test
def what_somebody_still_refers_to_is_no_way_out(place):
    place.with_boxes()
    given(place, {"a": box(), "b": box(lid="a")})
    os.unlink(place.path(file_of(place, "a")))
    told = place.parley("drift", "demo", "--adopt", want=1).err
    assert '"a"' in told, told


@test
def what_is_not_managed_or_is_left_alone_is_no_drift(place):
    place.with_boxes()
    given(place, {"a": box({"lifecycle": {"ignoreChanges": ["colour"]}}, colour="red")})
    alter(place, "a", colour="blue", note="theirs")
    drift(place, want=0)


@test
def the_variables_that_were_given_then_are_remembered(place):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"a": box(colour="${var.colour}")},
                                      extra='  variables: {colour: red}\n'))
    place.parley("up", "demo.yaml", "--yes", "--var", "colour=blue")
    drift(place, want=0)
    os.unlink(place.path("demo.yaml"))
    alter(place, "a", colour="red")
    assert drift(place, want=2)[0]["resources"][0]["differences"] == [
        {"property": "colour", "live": "red", "recorded": "blue"}]


@test
def what_cannot_be_told_is_said_and_the_others_are_looked_at(place):
    place.with_boxes()
    given(place, {"a": box(colour="red")}, name="first")
    given(place, {"b": box(colour="red")}, name="second")
    alter(place, "b", name="second", colour="blue")
    place.with_boxes(fail=[{"verb": "read", "name": "a", "how": "unreachable", "count": 99}])
    found = {one["deployment"]: one for one in drift(place, want=1)}
    assert "unreachable" in found["first"]["problem"] and "resources" not in found["first"]
    assert found["second"]["drifted"]
    assert "first@default: cannot be told" in place.parley("drift", want=1).out


@test
def what_an_earlier_run_left_is_counted_apart(place):
    place.with_boxes(fail=[{"verb": "create", "name": "b", "how": "refuse"}])
    place.write("demo.yaml", document("demo", {"a": box(colour="red"), "b": box()}))
    place.parley("up", "demo.yaml", "--yes", want=4)
    assert drift(place, want=0)[0]["resources"] == []
    alter(place, "a", colour="blue")
    assert drift(place, want=2)[0]["put_back"]["other_steps"] == 1
    assert "what an earlier run left" in place.parley("drift", want=2).out


@test
def a_deployment_that_is_gone_or_never_was_is_named(place):
    place.with_boxes()
    given(place, {"a": box()})
    place.parley("drift", "other", want=1)
    place.parley("destroy", "demo", "--yes")
    assert "destroyed" in place.parley("drift", "demo", want=1).err
    assert drift(place, want=0) == []


@test
def to_look_changes_nothing(place):
    place.with_boxes()
    given(place, {"a": box(colour="red")})
    alter(place, "a", colour="blue")
    files, records, history = place.files(), place.records("demo"), place.parley("history", "demo").out
    drift(place, want=2)
    assert (place.files(), place.records("demo")) == (files, records)
    assert place.parley("history", "demo").out == history
    assert steps(place.parley("plan", "demo.yaml", "--json").json()) == ["update a"]


if __name__ == "__main__":
    main()
