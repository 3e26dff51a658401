#!/usr/bin/env python3
"""Instances that resources configure: a system is made and used by the same document."""
import json
import os
import signal

from lifecycle import CATALOG, document, main, steps, test

INNER = {"on": "acme.inner"}


def given(place, resources=None, account="${cluster.outputs.id}", **inner):
    settings = "".join(f", {key}: {json.dumps(value)}" for key, value in inner.items())
    place.write("parley.yaml", "site:\n  instances:\n    acme.outer: { driver: fake }\n"
                               f"    acme.inner: {{ driver: fake, account: '{account}'{settings} }}\n")
    place.write("catalog/acme.yaml", CATALOG)
    place.write("demo.yaml", document("demo", resources or world()))


def thing(further=None, **properties):
    return ("acme:thing:box", properties, further or {"on": "acme.outer"})


def world(size=1, **more):
    return {"web": thing(INNER, colour="red"), "cluster": thing(size=size), "app": thing(INNER, lid="web"), **more}


def systems(place):
    """What each account of the fake has: account -> names."""
    folder = place.path("home", "fake")
    found = {}
    for account in os.listdir(folder) if os.path.isdir(folder) else []:
        names = [name for name in os.listdir(os.path.join(folder, account)) if name.endswith(".json")]
        resources = [json.loads(place.read(f"home/fake/{account}/{name}")) for name in names]
        found[account] = sorted(resource["address"] for resource in resources)
    return {account: names for account, names in found.items() if names}


def cluster_id(place):
    return next(record["outputs"]["id"] for record in place.records("demo") if record["address"] == "cluster")


def plan_of(place, *words, want=0):
    return place.parley("plan", "demo.yaml", "--json", *words, want=want).json()


@test
def a_system_is_made_and_used_by_one_plan(place):
    given(place)
    plan = plan_of(place)
    assert steps(plan) == ["create cluster", "create web", "create app"], plan["steps"]
    assert plan["identities"]["acme.inner"]["$unknown"]["type"] == "string", plan["identities"]
    assert plan["identities"]["acme.outer"] == "fake:acme.outer"
    assert any(step["name"] == "web" and "cluster" in step["resources"] for step in plan["steps"])
    place.parley("apply", plan["hash"], "--yes")
    assert systems(place) == {"acme.outer": ["cluster"], cluster_id(place): ["app", "web"]}
    assert plan_of(place)["identities"]["acme.inner"] == "fake:" + cluster_id(place)
    assert "No changes" in place.parley("up", "demo.yaml").out
    status = place.parley("status", "demo", "--json").json()
    assert not {"unknown", "gone"} & {one["state"] for one in status["resources"]}, status
    place.parley("drift", "demo")
    place.parley("destroy", "demo", "--yes")
    assert systems(place) == {}


@test
def what_is_on_a_system_is_made_anew_with_it(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    before = cluster_id(place)
    given(place, world(size=2))
    plan = plan_of(place)
    kinds = {(step["kind"], step["name"]): step["reason"] for step in plan["steps"]}
    assert kinds[("delete", "web")] == "replaced" and kinds[("create", "web")] == "moved", kinds
    place.parley("up", "demo.yaml", "--yes")
    after = cluster_id(place)
    assert after != before and systems(place) == {"acme.outer": ["cluster"], after: ["app", "web"]}
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_was_on_a_system_that_is_gone_is_gone_with_it(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    folder = place.path("home/fake/acme.outer")
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    plan = plan_of(place)
    assert {(step["kind"], step["name"]): step["reason"] for step in plan["steps"]} == {
        ("create", "cluster"): "gone", ("create", "web"): "gone", ("create", "app"): "gone"}, plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    assert systems(place)[cluster_id(place)] == ["app", "web"]
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def a_plan_for_one_system_never_applies_to_another(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    given(place, world(new=thing(INNER)))
    plan = plan_of(place)
    given(place, world(new=thing(INNER)), account="${cluster.outputs.endpoint}")
    before = systems(place)
    result = place.parley("apply", plan["hash"], "--yes", want=1)
    assert "plan was made for fake:" in result.out + result.err, result.out + result.err
    assert systems(place) == before


@test
def a_system_that_becomes_another_one_in_the_run_is_left_alone(place):
    moving = CATALOG.replace("endpoint: {type: string}", "endpoint: {type: string, changesWith: [note]}")
    given(place, account="${cluster.outputs.endpoint}")
    place.write("catalog/acme.yaml", moving)
    place.parley("up", "demo.yaml", "--yes")
    before = systems(place)
    given(place, {**world(), "cluster": thing(size=1, note="x"), "web": thing(INNER, colour="blue")},
          account="${cluster.outputs.endpoint}")
    place.write("catalog/acme.yaml", moving)
    result = place.parley("up", "demo.yaml", "--yes", want=4)
    assert "but the plan was made for fake:" in result.out + result.err, result.out + result.err
    assert systems(place) == before
    assert " now, and was fake:" in place.parley("plan", "demo.yaml", want=1).err


@test
def a_run_killed_in_between_goes_on_with_the_system_it_made(place):
    given(place, fail=[{"verb": "create", "name": "web", "how": "hang-after"}])
    process = place.start("up", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "intent" and event["address"] == "web":
            break
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    given(place)
    place.parley("resume", "demo")
    assert systems(place) == {"acme.outer": ["cluster"], cluster_id(place): ["app", "web"]}
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_the_new_system_would_not_have_as_approved_is_asked_again(place):
    given(place, world(loud=thing(INNER, note=" LOUD ")), normalises=True)
    result = place.parley("up", "demo.yaml", "--yes", want=4)
    assert "would not have loud as it was approved" in result.out + result.err, result.out + result.err
    assert systems(place)[cluster_id(place)] == ["app", "web"]
    plan = plan_of(place)
    assert [(step["name"], step["proposed"]) for step in plan["steps"]] == [("loud", {"note": "loud"})], plan["steps"]
    place.parley("apply", plan["hash"], "--yes")
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_configures_an_instance_must_be_in_the_document_and_alone(place):
    given(place, {"web": thing(INNER)})
    told = place.parley("plan", "demo.yaml", want=1).err
    assert 'configures by "cluster"' in told and "demo.yaml:" in told, told
    both = {"on": "acme.outer", "lifecycle": {"createBeforeDestroy": True}}
    given(place, {"web": thing(INNER), "cluster": thing(both)})
    told = place.parley("plan", "demo.yaml", want=1).err
    assert "cannot be there at the same time" in told, told
    given(place, {"cluster": thing(INNER)})
    assert "circle" in place.parley("plan", "demo.yaml", want=1).err


main()
