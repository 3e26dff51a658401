#!/usr/bin/env python3
"""A plan that is limited to targets and what they need: a plan like any other, that says what it leaves for the next."""
import random

from lifecycle import agree, box, data, document, main, steps, test


def write(place, resources, extra=""):
    place.with_boxes()
    place.write("demo.yaml", document("demo", resources, extra=extra))


def plan(place, *words):
    return place.parley("plan", "demo.yaml", "--json", *words).json()


def up(place, *words, **options):
    return place.parley("up", "demo.yaml", "--yes", *words, **options)


def targets(*names):
    return [word for name in names for word in ("--target", name)]


CHAIN = {"a": box(size=1), "b": box(lid="a"), "c": box(lid="b"), "d": box(size=2)}


@test
def a_target_comes_with_what_it_needs_and_nothing_else(place):
    write(place, CHAIN)
    made = plan(place, *targets("b"))
    assert sorted(steps(made)) == ["create a", "create b"]
    assert made["partial"] == dict(targets=["b"], left_out=dict(create=2))
    assert made["hash"] not in (plan(place)["hash"], plan(place, *targets("a"))["hash"])
    assert sorted(steps(plan(place, *targets("b", "d")))) == ["create a", "create b", "create d"]
    text = place.parley("plan", "demo.yaml", "--target=b").out
    assert "Only in part: b and what it needs. Left out, and in the next plan: 2 to create." in text, text


@test
def targets_that_leave_nothing_out_make_the_whole_plan(place):
    write(place, CHAIN)
    whole = plan(place)
    assert plan(place, *targets("c", "d"))["hash"] == whole["hash"] and "partial" not in whole


@test
def the_next_plan_has_the_rest_and_the_deployment_says_so_until_then(place):
    write(place, CHAIN, extra='  outputs: { last: "${d.outputs.id}" }\n')
    up(place, *targets("b"))
    assert {resource["address"] for resource in place.files().values()} == {"a", "b"}
    agree(place, "demo")
    assert "revision 1 in part" in place.parley("status").out
    assert "Applied in part: only b and what it needs." in place.parley("status", "demo").out
    history = place.parley("history", "demo", "--json").json()["revisions"]
    assert history[0]["partial"] == dict(targets=["b"], left_out=dict(create=2))
    assert "in part: only b and what it needs" in place.parley("history", "demo").out
    assert place.parley("output", "demo", "--json").json() == {}
    assert steps(plan(place, *targets("b"))) == []
    assert sorted(steps(plan(place))) == ["create c", "create d"]
    up(place)
    agree(place, "demo")
    assert plan(place)["steps"] == [] and "in part" not in place.parley("status").out
    assert list(place.parley("output", "demo", "--json").json()) == ["last"]


@test
def a_pending_change_of_what_a_target_needs_comes_with_it(place):
    write(place, CHAIN)
    up(place)
    write(place, {**CHAIN, "a": box(size=1, note="new"), "d": box(size=2, note="new"), "b": box(lid="a", note="new")})
    assert steps(plan(place, *targets("a"))) == ["update a"]
    assert steps(plan(place, *targets("b"))) == ["update a", "update b"]
    assert plan(place, *targets("b"))["partial"]["left_out"] == dict(update=1)


@test
def of_what_is_counted_one_is_a_target_or_all(place):
    counted = {"many": ("acme:thing:box", {}, {"count": 3}), "manyfold": box()}
    write(place, counted)
    assert sorted(steps(plan(place, *targets("many")))) == [f"create many[{i}]" for i in range(3)]
    assert steps(plan(place, *targets("many[1]"))) == ["create many[1]"]


@test
def what_goes_takes_along_who_needs_it(place):
    write(place, CHAIN)
    up(place)
    write(place, {})
    assert steps(plan(place, *targets("b"))) == ["delete c", "delete b"]
    up(place, *targets("b"))
    assert {resource["address"] for resource in place.files().values()} == {"a", "d"}
    assert sorted(steps(plan(place))) == ["delete a", "delete d"]


@test
def a_replacement_is_never_left_half_done(place):
    for further in ({}, {"lifecycle": {"createBeforeDestroy": True}}):
        write(place, {"a": box(further, size=1), "b": box(lid="a"), "d": box(size=1)})
        up(place)
        write(place, {"a": box(further, size=2), "b": box(lid="a"), "d": box(size=2)})
        made = plan(place, *targets("a"))
        assert {"create a", "delete a"} <= set(steps(made)) and not any(step.endswith(" d") for step in steps(made))
        up(place, *targets("a"))
        agree(place, "demo")
        assert {step.split()[1] for step in steps(plan(place))} <= {"b", "d"}
        up(place)
        agree(place, "demo")
        place.parley("destroy", "demo", "--yes")


@test
def a_renamed_resource_is_a_target_by_either_name(place):
    write(place, {"old": box(), "d": box()})
    up(place)
    write(place, {"new": box({"formerly": ["old"]}), "d": box(note="x")})
    assert steps(plan(place, *targets("new"))) == steps(plan(place, *targets("old"))) == ["rename new"]


@test
def a_target_that_is_nowhere_is_refused_with_all_of_them(place):
    write(place, CHAIN)
    result = place.parley("plan", "demo.yaml", *targets("a", "x", "y"), want=1)
    assert 'no' in result.err and '"x", "y"' in result.err and '"a"' not in result.err, result.err
    assert "no option --target" in place.parley("destroy", "demo", "--target", "a", want=1).err


@test
def there_is_no_way_back_to_what_was_applied_in_part(place):
    write(place, CHAIN)
    up(place, *targets("a"))
    up(place)
    for words in (("undo", "demo"), ("undo", "demo", "--to", "1"), ("rollback", "demo")):
        result = place.parley(*words, "--yes", want=1)
        assert "revision 1 of demo was applied in part only (a and what that needed)" in result.err, result.err
    write(place, {**CHAIN, "d": box(size=2, note="x"), "a": box(size=1, note="x")})
    up(place, *targets("d"))
    place.parley("rollback", "demo", "--yes")
    agree(place, "demo")
    assert not any("note" in resource["spec"] for resource in place.files().values())


@test
def only_what_is_to_change_is_read(place):
    resources = {f"box-{i}": box(size=i) for i in range(30)}
    write(place, resources)
    up(place)
    write(place, {name: box(size=i, note="x") for i, name in enumerate(resources)})
    made = plan(place, "--refresh=changed", *targets("box-3"))
    assert steps(made) == ["update box-3"] and made["knowledge"]["read"] == 1, made["knowledge"]


def some_document(luck):
    """A few boxes that refer to earlier ones, of which some come, go, change and are made anew."""
    resources, names = {}, []
    for name in "abcdefg":
        if luck.random() < 0.3:
            continue
        properties = dict(size=luck.choice([1, 2]), note=luck.choice(["x", "y"]))
        if names and luck.random() < 0.7:
            properties["lid"] = luck.choice(names)
        further = {"lifecycle": {"createBeforeDestroy": True}} if luck.random() < 0.3 else {}
        resources[name] = box(further, **properties)
        names.append(name)
    return resources


@test
def whatever_the_targets_the_parts_lead_to_the_whole(place):
    """Between random documents: in part by random targets, then the rest, is as the document says."""
    for seed in range(12):
        luck = random.Random(seed)
        before, after = some_document(luck), some_document(luck)
        names = sorted(set(before) | set(after))
        write(place, before)
        up(place)
        write(place, after)
        chosen = luck.sample(names, min(2, len(names)))
        made = plan(place, *targets(*chosen))
        ids = {step["id"] for step in made["steps"]}
        assert all(set(step["depends_on"]) <= ids for step in made["steps"]), seed
        whole = {step["id"]: step for step in plan(place)["steps"]}
        assert all(whole[step["id"]]["after"] == step["after"] for step in made["steps"]), seed
        assert {i for i, step in whole.items() if step["address"] in chosen} <= ids, seed
        up(place, *targets(*chosen))
        agree(place, "demo")
        up(place)
        agree(place, "demo")
        assert plan(place)["steps"] == [], seed
        there = {resource["address"]: resource["spec"] for resource in place.files().values()}
        assert {name: spec["size"] for name, spec in there.items()} == \
            {name: properties["size"] for name, (_, properties, _) in after.items()}, seed
        place.parley("destroy", "demo", "--yes")
        assert place.files() == {}


if __name__ == "__main__":
    main()
