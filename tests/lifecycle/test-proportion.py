#!/usr/bin/env python3
"""Cost follows the change: how many calls a plan takes, counted and never timed, and what it says of the rest."""
import json
import os

from lifecycle import CATALOG, box, document, main, steps, test

NO_LIST = [dict(verb="list", how="refuse", count=1000)]


def given(place, resources, **settings):
    place.with_boxes(**settings)
    place.write("demo.yaml", document("demo", resources))


def plan(place, *words, **options):
    return place.parley("plan", "demo.yaml", "--json", *words, **options).json()


def known(made):
    return {key: made["knowledge"][key] for key in ("read", "calls", "unread")}


def many(n, **more):
    return {f"box-{i}": box(size=i, **more) for i in range(n)}


def edit_file(place, uid, change):
    name = f"home/fake/acme.lab/{uid}.json"
    resource = json.loads(place.read(name))
    change(resource)
    place.write(name, json.dumps(resource))


@test
def many_resources_of_a_type_are_one_list(place):
    given(place, many(60))
    place.parley("up", "demo.yaml", "--yes")
    made = plan(place)
    assert made["steps"] == [] and known(made) == dict(read=60, calls=1, unread=0), made["knowledge"]
    assert made["knowledge"]["refresh"] == "full" and made["knowledge"]["oldest"] is None


@test
def a_few_are_read_each(place):
    given(place, many(3))
    place.parley("up", "demo.yaml", "--yes")
    assert known(plan(place)) == dict(read=3, calls=3, unread=0)


@test
def a_list_sees_what_reads_see(place):
    """A drift, a removal, a taken marker and a stopped system: the same plan, whether listed or read."""
    given(place, many(20, colour="red"))
    place.parley("up", "demo.yaml", "--yes")
    uids = sorted(place.files())
    edit_file(place, uids[3], lambda resource: resource["spec"].update(colour="blue"))
    edit_file(place, uids[5], lambda resource: resource["outputs"].update(endpoint="elsewhere"))
    os.remove(place.path(f"home/fake/acme.lab/{uids[7]}.json"))
    listed = plan(place)
    assert known(listed) == dict(read=20, calls=2, unread=0), listed["knowledge"]
    assert sorted(step["reason"] for step in listed["steps"]) == ["drifted", "gone"]
    given(place, many(20, colour="red"), fail=NO_LIST)
    read = plan(place)
    assert known(read) == dict(read=20, calls=21, unread=0), read["knowledge"]
    assert read["hash"] == listed["hash"]
    place.write("home/fake/acme.lab/stopped", "")
    given(place, many(20, colour="red"))
    assert "start acme.lab" in steps(plan(place))


@test
def what_a_list_cannot_tell_is_read(place):
    given(place, many(30), fail=NO_LIST)
    place.parley("up", "demo.yaml", "--yes")
    made = plan(place)
    assert made["steps"] == [] and known(made) == dict(read=30, calls=31, unread=0), made["knowledge"]


@test
def a_list_of_a_foreign_crowd_is_given_up(place):
    """10 of ours among thousands of others: never more than half as many pages as there are reads."""
    given(place, many(10))
    place.parley("up", "demo.yaml", "--yes")
    template = json.loads(place.read(f"home/fake/acme.lab/{sorted(place.files())[0]}.json"))
    for i in range(12000):
        template.update(provider_id=f"!{i:05}"[1:] + "-x", uid=f"foreign-{i}", name=f"x{i}", address=f"x{i}")
        place.write(f"home/fake/acme.lab/0{i:05}-x.json", json.dumps(template))
    made = plan(place)
    assert made["steps"] == [] and made["knowledge"]["read"] == 10
    assert made["knowledge"]["calls"] <= 6 + 10, made["knowledge"]


@test
def an_emptied_system_is_no_plan_to_make_everything_again(place):
    given(place, many(20))
    place.parley("up", "demo.yaml", "--yes")
    for uid in place.files():
        os.remove(place.path(f"home/fake/acme.lab/{uid}.json"))
    for words in ((), ("--refresh=changed",)):
        given(place, dict(many(20), **{"box-0": box(size=0, note="new")}))
        result = place.parley("plan", "demo.yaml", *words, want=1)
        assert "none of the 20 recorded resources is there any more" in result.err, result.err


@test
def with_one_of_many_changed_only_it_and_its_dependents_are_read(place):
    resources = many(200)
    resources.update(lidded=box(lid="box-7"), other=box(lid="box-8"))
    given(place, resources, fail=NO_LIST)
    place.parley("up", "demo.yaml", "--yes")
    resources["box-7"] = box(size=7, note="changed")
    place.write("demo.yaml", document("demo", resources))
    made = plan(place, "--refresh=changed")
    assert steps(made) == ["update box-7"]
    assert known(made) == dict(read=2, calls=2, unread=200), made["knowledge"]
    assert made["knowledge"]["refresh"] == "changed"
    times = [record["updated_at"] for record in place.records("demo") if record["address"] not in ("box-7", "lidded")]
    assert made["knowledge"]["oldest"] == min(times)
    assert made["hash"] == plan(place)["hash"]
    place.parley("up", "demo.yaml", "--refresh=changed", "--yes")
    again = plan(place, "--refresh=changed")
    assert again["steps"] == [] and known(again) == dict(read=0, calls=0, unread=202), again["knowledge"]


@test
def what_is_read_and_not_as_recorded_is_followed(place):
    """The changed one is gone: what refers to it moves with the new one, and is read as well."""
    resources = many(40)
    resources.update(a=box(size=1), b=box(lid="a"), c=box(lid="b"))
    given(place, resources)
    place.parley("up", "demo.yaml", "--yes")
    gone = next(uid for uid, resource in place.files().items() if resource["address"] == "a")
    os.remove(place.path(f"home/fake/acme.lab/{gone}.json"))
    resources["a"] = box(size=1, note="changed")
    place.write("demo.yaml", document("demo", resources))
    made = plan(place, "--refresh=changed")
    assert made["hash"] == plan(place)["hash"]
    assert "create a" in steps(made) and made["knowledge"]["read"] <= 3, made["knowledge"]


@test
def what_is_new_looks_once_whether_its_system_stands(place):
    given(place, many(40))
    place.parley("up", "demo.yaml", "--yes")
    place.write("home/fake/acme.lab/stopped", "")
    place.write("demo.yaml", document("demo", dict(many(40), fresh=box())))
    made = plan(place, "--refresh=changed")
    assert steps(made) == ["start acme.lab", "create fresh"] and made["knowledge"]["read"] == 1, made


@test
def a_plan_says_how_old_its_knowledge_is(place):
    given(place, many(12))
    place.parley("up", "demo.yaml", "--yes")
    assert "Not read now" not in place.parley("plan", "demo.yaml").out
    text = place.parley("plan", "demo.yaml", "--refresh=none").out
    assert "Not read now: 12 of 12 resources, which stand as recorded; the oldest of that is from 2" in text, text
    assert known(plan(place, "--refresh=none")) == dict(read=0, calls=0, unread=12)
    result = place.parley("plan", "demo.yaml", "--refresh=some", want=1)
    assert '"full", "changed" or "none", not "some"' in result.err, result.err


@test
def one_slow_system_does_not_hold_up_the_others(place):
    """The first never answers; what is wrong with another one is told all the same."""
    def site(slow):
        place.write("parley.yaml", "site:\n  format: 1\n  instances:\n"
                    f"    acme.slow: {{driver: fake{slow}}}\n    acme.quick: {{driver: fake}}\n")
    place.write("catalog/acme.yaml", CATALOG)
    site("")
    resources = {"a-slow": ("acme:thing:box", {}, {"on": "acme.slow"})}
    resources.update({f"quick-{i}": ("acme:thing:box", {}, {"on": "acme.quick"}) for i in range(3)})
    place.write("demo.yaml", document("demo", resources))
    place.parley("up", "demo.yaml", "--yes")
    for uid in os.listdir(place.path("home/fake/acme.quick")):
        if uid.endswith(".json"):
            name = f"home/fake/acme.quick/{uid}"
            resource = json.loads(place.read(name))
            place.write(name, json.dumps(dict(resource, type="acme:thing:vault")))
    site(", fail: [{verb: read, how: hang, count: 100}]")
    result = place.parley("plan", "demo.yaml", want=1, patience=30)
    assert "acme.quick" in result.err and "acme:thing:vault" in result.err, result.err


if __name__ == "__main__":
    main()
