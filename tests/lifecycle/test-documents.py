#!/usr/bin/env python3
"""Documents end to end, while nothing goes wrong: plan, approval, apply, changes, destroy."""
import json
import os
import pty
import re
import subprocess
import time

from lifecycle import CATALOG, agree, box, data, document, main, said, steps, test

CHAIN = {"one": data(1), "two": data("${one.value}-x"), "three": data("${two.value}-y")}
OUTPUTS = '  outputs: {last: "${three.value}", first: "${one.value}"}\n'


def given(place, resources=None, **options):
    place.write("demo.yaml", document("demo", CHAIN if resources is None else resources, **options))


def is_unknown(place):
    """Nothing is known of the deployment: nothing was changed."""
    shown = place.parley("show", "demo", "--json", want=None)
    return shown.code == 1 or shown.json() == []


@test
def a_valid_document_is_called_valid(place):
    given(place)
    place.parley("validate", "demo.yaml")
    assert not os.path.exists(place.home), "to validate needs no state"


@test
def all_faults_of_a_document_are_named_at_once_and_nothing_is_changed(place):
    given(place, {"one": ("core:data:valu", {}, {}), "two": data("${thre.value}"),
                  "three": ("core:data:value", {"valeu": 1}, {})})
    for words in (("validate",), ("plan",), ("up", "--yes")):
        result = place.parley(words[0], "demo.yaml", *words[1:], want=1)
        assert result.err.count("error[") >= 3, result.err
        for line in (4, 5, 6):
            assert f"demo.yaml:{line}:" in result.err, result.err
    assert is_unknown(place)


@test
def the_same_document_has_the_same_plan_and_hash(place):
    given(place)
    first = place.parley("plan", "demo.yaml", "--json")
    second = place.parley("plan", "demo.yaml", "--json")
    assert first.json()["hash"] == second.json()["hash"] and len(first.json()["hash"]) == 64
    assert first.out == second.out
    assert first.json()["hash"] in place.parley("plan", "demo.yaml").out
    given(place, {**CHAIN, "one": data(2)})
    assert place.parley("plan", "demo.yaml", "--json").json()["hash"] != first.json()["hash"]
    assert is_unknown(place)


@test
def a_plan_in_json_says_what_a_step_is(place):
    given(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert plan["format_version"] == 1 and plan["summary"]["create"] == 3
    assert steps(plan) == ["create one", "create two", "create three"]
    for step in plan["steps"]:
        for key in ("id", "kind", "name", "key", "type", "instance", "reason", "before", "after",
                    "depends_on", "origin", "stage"):
            assert key in step, key
    assert plan["steps"][1]["depends_on"] == [plan["steps"][0]["id"]]
    assert plan["steps"][0]["reason"] == "new" and plan["steps"][0]["instance"] == "core.default"


@test
def without_a_terminal_and_an_approval_nothing_is_changed(place):
    given(place)
    result = place.parley("up", "demo.yaml", want=3)
    assert "--approve" in result.err
    assert is_unknown(place)


@test
def a_plan_is_approved_by_its_hash_and_by_no_other(place):
    given(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    for wrong in ("0" * 64, plan["hash"][:8], plan["hash"][:-1] + "x", ""):
        place.parley("up", "demo.yaml", "--approve", wrong, want=3)
    assert is_unknown(place)
    place.parley("up", "demo.yaml", "--approve", plan["hash"])
    assert len(place.records("demo")) == 3


@test
def a_hash_approves_only_what_it_was_the_hash_of(place):
    given(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    given(place, {"one": data("another")})
    place.parley("up", "demo.yaml", "--approve", plan["hash"], want=3)
    assert is_unknown(place)


def answer(place, words, text):
    """Runs a command on a terminal of its own, types text at its question; exit code and output."""
    master, slave = pty.openpty()
    process = subprocess.Popen(place.line(*words), cwd=place.folder, env=place.env, stdin=slave,
                               stdout=slave, stderr=slave, close_fds=True, start_new_session=True)
    os.close(slave)
    seen, has_answered, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
        if not has_answered and (b"(yes/no)" in seen or b"to approve:" in seen):
            has_answered = True
            os.write(master, text.encode())
    os.close(master)
    return process.wait(30), seen.decode(errors="replace")


@test
def a_person_at_the_terminal_is_asked(place):
    given(place)
    code, seen = answer(place, ("up", "demo.yaml"), "no\n")
    assert code == 3 and "nothing was changed" in seen and is_unknown(place), seen
    code, seen = answer(place, ("up", "demo.yaml"), "\n")
    assert code == 3 and is_unknown(place), seen
    code, seen = answer(place, ("up", "demo.yaml"), "yes\n")
    assert code == 0 and "Approval level: none" in seen, seen
    assert len(place.records("demo")) == 3


@test
def a_saved_plan_is_carried_out_as_it_was_saved(place):
    given(place)
    place.parley("plan", "demo.yaml", "-o", "saved.plan")
    saved = json.loads(place.read("saved.plan"))
    given(place, {"other": data(1)})
    place.parley("apply", "saved.plan", want=3)
    assert is_unknown(place)
    place.parley("apply", "saved.plan", "--yes")
    assert {record["address"] for record in place.records("demo")} == {"one", "two", "three"}
    assert place.parley("history", "demo", "--json").json()["runs"][0]["plan"] == saved["hash"]


@test
def history_says_of_each_revision_who_when_in_which_words_and_by_which_plan(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    given(place, {**CHAIN, "one": data(2)})
    second = place.parley("plan", "demo.yaml", "--json").json()
    place.parley("up", "demo.yaml", "--approve", second["hash"])
    newest, first = place.parley("history", "demo", "--json").json()["revisions"]
    assert (newest["number"], newest["parents"], newest["source"]) == (2, [1], "file"), newest
    assert (first["number"], first["parents"]) == (1, []), first
    assert newest["plan"] == second["hash"] and newest["principal"].startswith("user:"), newest
    assert newest["words"].startswith("parley up demo.yaml --approve"), newest
    assert newest["created_at"] > first["created_at"] and "document" not in newest, newest
    shown = place.parley("history", "demo").out
    assert second["hash"][:12] in shown and "parley up demo.yaml --yes" in shown, shown


@test
def a_stored_plan_is_carried_out_by_its_hash(place):
    given(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    place.parley("apply", plan["hash"][:12], "--yes")
    assert len(place.records("demo")) == 3


@test
def an_altered_plan_file_is_refused(place):
    given(place)
    place.parley("plan", "demo.yaml", "-o", "saved.plan")
    text = place.read("saved.plan")
    saved = json.loads(text)
    alterations = {
        "a value": text.replace('"value":1}', '"value":2}', 1),
        "a kind": text.replace('"kind":"create"', '"kind":"delete"', 1),
        "a missing step": json.dumps({**saved, "steps": saved["steps"][:-1]}),
        "another hash": text.replace(saved["hash"], "0" * 64),
        "half of it": text[: len(text) // 2],
        "nothing": "",
        "no plan": "[]",
        "a newer format": text.replace('"format_version":1', '"format_version":99'),
    }
    for what, altered in alterations.items():
        assert altered != text, what
        place.write("altered.plan", altered)
        result = place.parley("apply", "altered.plan", "--yes", want=1)
        assert "altered.plan" in result.err, f"{what}: {result.err}"
        assert what != "a value" or "make it anew" in result.err, result.err
        assert is_unknown(place), what


@test
def a_saved_plan_whose_world_moved_on_is_refused(place):
    given(place)
    place.parley("plan", "demo.yaml", "-o", "saved.plan")
    place.parley("up", "demo.yaml", "--yes")
    given(place, {**CHAIN, "one": data(2)})
    place.parley("plan", "demo.yaml", "-o", "second.plan")
    given(place, {**CHAIN, "one": data(3)})
    place.parley("up", "demo.yaml", "--yes")
    before = place.records("demo")
    for name in ("saved.plan", "second.plan"):
        result = place.parley("apply", name, "--yes", want=1)
        assert "plan again" in result.err, result.err
    assert place.records("demo") == before


@test
def a_second_up_has_nothing_to_do(place):
    given(place, extra=OUTPUTS)
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=2)
    place.parley("up", "demo.yaml", "--yes")
    result = place.parley("up", "demo.yaml")
    assert "No changes" in result.out
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)
    assert len(place.parley("run", "list", "--json").json()) == 1


@test
def outputs_of_every_kind_stay_the_same(place):
    """Kept as JSON: a set is a list there, and an integer beyond 2^53 a text."""
    place.with_boxes()
    place.write("catalog/acme.yaml", CATALOG.replace("      note: {kind: string}\n", "      note: {kind: set, items: string}\n")
                .replace("      endpoint: {type: string}\n", "      endpoint: {type: list, from: note}\n"))
    given(place, {"a": box(note=["z", "a", "z"]), "one": data(9007199254740993)},
          extra='  outputs: { things: "${a.endpoint}", big: "${one.value}", least: -9223372036854775808, none: null, '
                'empty: {}, "all": { "$x": ["${one.value}", 1.0, "日本"] } }\n')
    place.parley("up", "demo.yaml", "--yes")
    assert place.parley("output", "demo", "things", "--json").json() == ["a", "z"]
    assert "No changes" in place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0).out


@test
def a_graph_has_each_step_and_what_it_waits_for(place):
    given(place)
    graph = place.parley("graph", "demo.yaml", "--dot").out
    assert graph.startswith("digraph") and graph == place.parley("graph", "demo.yaml").out
    for name in CHAIN:
        assert f'"create {name}#1";' in graph, graph
    assert '"create one#1" -> "create two#1";' in graph and '"create two#1" -> "create three#1";' in graph
    assert '"create one#1" -> "create three#1"' not in graph


@test
def faults_of_a_type_beside_the_site_stop_every_command(place):
    place.with_boxes()
    place.write("catalog/acme.yaml", CATALOG.replace("kind: integer", "kind: integr").replace("stage:", "staage:", 1))
    given(place)
    for words in (("types",), ("validate", "demo.yaml"), ("up", "demo.yaml", "--yes"), ("status",)):
        result = place.parley(*words, want=1)
        assert result.err.count("error[") >= 3 and 'Did you mean "stage"?' in result.err, result.err
        assert "catalog have faults" in result.err.splitlines()[-2], result.err
        told = place.parley(*words, "--json", want=1).json()["error"]
        assert len(told["diagnostics"]) >= 3 and told["code"] == "invalid", told
    assert not os.path.exists(place.home)


TIERS = """
deployment:
  name: demo
  patterns: [{name: three-tier-architecture, with: {tiers: [front], plainPort: 8088}}]
  resources:
    - {type: "opnsense:network:vlan", name: front, properties: {tag: 5, subnet: 10.5.0.0/24}}
    - {type: "opnsense:firewall:rule", name: in, properties: {source: any, destination: front, port: 443, action: pass}}
    - {type: "aws:acm:certificate", name: front-cert, properties: {domains: [a.example]}}
    - {type: "opnsense:haproxy:backend", name: front-pool, properties: {balance: source}}
    - {type: "docker:compose:stack", name: stack, properties: {services: {front: {image: "a/b:1", replicas: 1}}}}
"""


@test
def what_a_pattern_fills_in_says_so_in_the_plan(place):
    place.write("demo.yaml", TIERS)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    pool = next(step for step in plan["steps"] if step["name"] == "front-pool")
    pattern = "pattern three-tier-architecture"
    assert pool["origin"] == "document"
    assert pool["filled"] == {"port": pattern, "servers": pattern}, pool
    added = next(step for step in plan["steps"] if step["name"] == "front-servers")
    assert added["origin"] == pattern and "filled" not in added
    assert '"front-pool"\n        port, servers from pattern three-tier-architecture\n' in place.parley("plan", plan["hash"]).out


@test
def one_edited_property_is_exactly_that_step(place):
    boxes = {"a": box(colour="red"), "b": box(colour="red"), "c": box(colour="red")}
    place.with_boxes()
    given(place, boxes)
    place.parley("up", "demo.yaml", "--yes")
    boxes["b"] = box(colour="blue")
    given(place, boxes)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert steps(plan) == ["update b"] and plan["steps"][0]["changed"] == ["colour"]
    place.parley("up", "demo.yaml", "--yes")
    assert {record["address"]: record["spec"]["colour"] for record in place.records("demo")} == {
        "a": "red", "b": "blue", "c": "red"}
    agree(place, "demo")


@test
def a_value_that_changes_reaches_all_that_use_it(place):
    given(place, extra=OUTPUTS)
    place.parley("up", "demo.yaml", "--yes")
    given(place, {**CHAIN, "one": data(7)}, extra=OUTPUTS)
    assert steps(place.parley("plan", "demo.yaml", "--json").json()) == [
        "update one", "update two", "update three"]
    place.parley("up", "demo.yaml", "--yes")
    assert place.parley("output", "demo", "--json").json() == {"first": 7, "last": "7-x-y"}
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)


@test
def a_removed_resource_goes_and_nothing_else(place):
    place.with_boxes()
    given(place, {"a": box(), "b": box(lid="a"), "c": data(1)})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"a": box(), "c": data(1)})
    assert steps(place.parley("plan", "demo.yaml", "--json").json()) == ["delete b"]
    place.parley("up", "demo.yaml", "--yes")
    assert [record["address"] for record in place.records("demo")] == ["a", "c"]
    agree(place, "demo")


@test
def what_cannot_change_in_place_is_replaced(place):
    place.with_boxes()
    for is_create_first in (False, True):
        further = {"lifecycle": {"createBeforeDestroy": True}} if is_create_first else {}
        given(place, {"a": box(further, size=1), "b": box(lid="a", note="${a.id}")})
        place.parley("up", "demo.yaml", "--yes")
        old = place.records("demo")[0]["uid"]
        given(place, {"a": box(further, size=2), "b": box(lid="a", note="${a.id}")})
        plan = steps(place.parley("plan", "demo.yaml", "--json").json())
        want = ["create a", "update b", "delete a"] if is_create_first else [
            "delete a", "create a", "update b"]
        assert plan == want, plan
        place.parley("up", "demo.yaml", "--yes")
        records = place.records("demo")
        assert records[0]["uid"] != old and records[1]["spec"]["note"] == "fake-" + records[0]["uid"]
        agree(place, "demo")
        place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)


@test
def a_rename_keeps_the_resource(place):
    place.with_boxes()
    given(place, {"a": box(colour="red")})
    place.parley("up", "demo.yaml", "--yes")
    before = place.files()
    given(place, {"b": box({"formerly": ["a"]}, colour="red")})
    assert steps(place.parley("plan", "demo.yaml", "--json").json()) == ["rename b"]
    place.parley("up", "demo.yaml", "--yes")
    assert [record["address"] for record in place.records("demo")] == ["b"]
    assert place.files() == before
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)


@test
def a_name_that_two_claim_is_refused_and_nothing_is_lost(place):
    place.with_boxes()
    given(place, {"a": box(note="first"), "b": box(note="second")})
    place.parley("up", "demo.yaml", "--yes")
    before = place.records("demo")
    given(place, {"b": box({"formerly": ["a"]}, note="first"),
                  "c": box({"formerly": ["b"]}, note="second")})
    assert '"b"' in place.parley("up", "demo.yaml", "--yes", want=1).err
    assert place.records("demo") == before
    agree(place, "demo")


@test
def who_depends_on_what_was_renamed_still_goes_first(place):
    place.with_boxes()
    given(place, {"base": box(), "user": box({"dependsOn": ["base"]})})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"ground": box({"formerly": ["base"]}), "user": box({"dependsOn": ["ground"]})})
    place.parley("up", "demo.yaml", "--yes")
    assert place.parley("show", "demo", "user", "--json").json()["depends_on"] == ["ground"]
    result = place.parley("destroy", "demo", "--yes", "--json")
    done = [event["step"] for event in result.events() if event["kind"] == "result"]
    assert [step.split("#")[0] for step in done] == ["delete user", "delete ground"], done


@test
def outputs_are_answered(place):
    given(place, extra=OUTPUTS)
    place.parley("up", "demo.yaml", "--yes")
    assert place.parley("output", "demo", "--json").json() == {"first": 1, "last": "1-x-y"}
    assert place.parley("output", "demo", "last").out == "1-x-y\n"
    place.parley("output", "demo", "missing", want=1)


@test
def a_destroy_leaves_only_the_log(place):
    place.with_boxes()
    given(place, {"a": box(), "b": box(lid="a"), "c": data("${b.id}")})
    place.parley("up", "demo.yaml", "--yes")
    place.parley("destroy", "demo", want=3)
    assert len(place.files()) == 2
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {} and is_unknown(place)
    history = place.parley("history", "demo", "--json").json()
    assert len(history["runs"]) == 2 and history["runs"][0]["status"] == "done"
    place.parley("up", "demo.yaml", "--yes")
    assert len(place.records("demo")) == 3
    agree(place, "demo")


@test
def an_unknown_deployment_is_not_destroyed(place):
    assert "nothing was ever deployed" in place.parley("destroy", "demo", "--yes", want=1).err
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    assert "dmo" in place.parley("destroy", "dmo", "--yes", want=1).err
    assert len(place.records("demo")) == 3


@test
def to_destroy_a_production_deployment_needs_its_name(place):
    given(place, environment="production")
    place.parley("up", "demo.yaml", "--yes")
    for words in (("--yes",), ("--yes", "--confirm", "demmo"), ("--yes", "--confirm", "")):
        result = place.parley("destroy", "demo", *words, want=3)
        assert "demo" in result.err
        assert len(place.records("demo")) == 3
    place.parley("destroy", "demo", "--yes", "--confirm", "demo")
    assert is_unknown(place)


@test
def a_name_typed_at_the_terminal_confirms_production(place):
    given(place, environment="production")
    place.parley("up", "demo.yaml", "--yes")
    code, seen = answer(place, ("destroy", "demo"), "yes\n")
    assert code == 3 and len(place.records("demo")) == 3, seen
    code, seen = answer(place, ("destroy", "demo"), "demo\n")
    assert code == 0 and is_unknown(place), seen


@test
def what_loses_data_in_production_needs_the_name_too(place):
    place.with_boxes()
    vault = ("acme:thing:vault", {}, {})
    given(place, {"one": data(1), "two": data(2), "vault": vault}, environment="production")
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"one": data(1), "vault": vault}, environment="production")
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"one": data(1)}, environment="production")
    assert "--confirm demo" in place.parley("up", "demo.yaml", "--yes", want=3).err
    assert len(place.records("demo@production")) == 2 and len(place.files()) == 1
    place.parley("up", "demo.yaml", "--yes", "--confirm", "demo")
    assert len(place.records("demo")) == 1 and place.files() == {}


@test
def what_is_protected_stays_until_a_revision_lifts_it(place):
    protected = {"one": data(1, lifecycle={"protect": True}), "two": data(2)}
    given(place, protected)
    place.parley("up", "demo.yaml", "--yes")
    assert "protected" in place.parley("destroy", "demo", "--yes", want=1).err
    given(place, {"two": data(2)})
    assert "protected" in place.parley("up", "demo.yaml", "--yes", want=1).err
    assert len(place.records("demo")) == 2
    given(place, {"one": data(1), "two": data(2)})
    place.parley("up", "demo.yaml", "--yes")
    place.parley("destroy", "demo", "--yes")
    assert is_unknown(place)


@test
def what_was_done_is_told_afterwards(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    given(place, {**CHAIN, "one": data(2)})
    place.parley("up", "demo.yaml", "--yes")
    runs = place.parley("run", "list", "--json").json()
    assert [run["status"] for run in runs] == ["done", "done"]
    assert runs[0]["started_at"] >= runs[1]["ended_at"]
    assert "up demo.yaml" in runs[0]["words"] and runs[0]["principal"].startswith("user:")
    history = place.parley("history", "demo", "--json").json()
    assert [revision["number"] for revision in history["revisions"]] == [2, 1]
    assert "done" in place.parley("run", "show", runs[0]["id"][:8]).out
    assert "demo" in place.parley("history", "demo").out or history


@test
def events_are_one_json_object_a_line(place):
    given(place)
    events = place.parley("up", "demo.yaml", "--yes", "--json").events()
    durable = [event["seq"] for event in events if "seq" in event]
    assert durable == sorted(set(durable)) and durable
    assert {event["kind"] for event in events} >= {"started", "intent", "result", "finished"}
    for event in events:
        assert event["format"] == 1 and event["run"] and event["time"] > 0
    results = [event for event in events if event["kind"] == "result"]
    assert [event["address"] for event in results] == ["one", "two", "three"]
    assert events[-1]["kind"] == "finished" and events[-1]["status"] == "done"


@test
def events_read_later_are_those_told_at_once(place):
    """Who was not connected reads them from the journal, whose rows they are."""
    given(place)
    told = place.parley("up", "demo.yaml", "--yes", "--json").events()
    run = place.parley("run", "list", "--json").json()[0]["id"]
    journal = place.parley("run", "show", run, "--json").json()["journal"]
    durable = [event for event in told if "seq" in event]
    assert [event.keys() for event in journal] == [event.keys() for event in durable]
    for event, row in zip(durable, journal):
        assert {**event, "time": 0} == {**row, "time": 0}, f"{event} {row}"


@test
def drift_is_found_and_mended(place):
    place.with_boxes()
    given(place, {"a": box(colour="red"), "b": box(colour="red"), "c": box(colour="red")})
    place.parley("up", "demo.yaml", "--yes")
    uids = {record["address"]: record["uid"] for record in place.records("demo")}
    changed = place.files()[uids["a"]]
    changed["spec"]["colour"] = "blue"
    place.write(f"home/fake/acme.lab/{uids['a']}.json", json.dumps(changed))
    os.unlink(place.path("home/fake/acme.lab", uids["b"] + ".json"))
    plan = place.parley("plan", "demo.yaml", "--json").json()
    assert {step["id"].split("#")[0]: step["reason"] for step in plan["steps"]} == {
        "update a": "drifted", "create b": "gone"}, plan["steps"]
    place.parley("up", "demo.yaml", "--yes")
    place.parley("plan", "demo.yaml", "--detailed-exitcode", want=0)
    agree(place, "demo")


@test
def an_emptied_system_is_an_error_and_no_plan_to_make_all_again(place):
    place.with_boxes()
    given(place, {"a": box(), "b": box()})
    place.parley("up", "demo.yaml", "--yes")
    for uid in place.files():
        os.unlink(place.path("home/fake/acme.lab", uid + ".json"))
    assert "none of the 2" in place.parley("plan", "demo.yaml", want=1).err


@test
def a_plan_for_one_account_never_applies_to_another(place):
    place.with_boxes()
    given(place, {"a": box()})
    place.parley("plan", "demo.yaml", "-o", "saved.plan")
    place.with_boxes(account="another")
    result = place.parley("apply", "saved.plan", "--yes", want=1)
    assert "another" in result.err, result.err
    assert place.files() == {}


@test
def what_is_recorded_in_another_account_is_neither_gone_nor_made_again(place):
    place.with_boxes(account="another")
    given(place, {"a": box()})
    place.parley("up", "demo.yaml", "--yes")
    place.with_boxes()
    for words in (("plan", "demo.yaml"), ("up", "demo.yaml", "--yes"), ("drift", "demo"), ("destroy", "demo", "--yes")):
        result = place.parley(*words, want=1)
        refused = result.out + result.err
        for told in ("acme.lab is fake:acme.lab now, and was fake:another", "1 of its 1", "parley forget",
                     "--refresh=none"):
            assert told in refused, (words, refused)
    assert place.files() == {}
    place.with_boxes(account="another")
    assert "No changes" in place.parley("up", "demo.yaml", "--yes").out


@test
def what_is_let_go_in_a_former_account_is_made_anew_and_the_rest_is_remembered_there(place):
    place.with_boxes(account="another")
    given(place, {"a": box(), "b": box()})
    place.parley("up", "demo.yaml", "--yes")
    place.with_boxes()
    place.parley("forget", "demo", "a", "--yes")
    assert "1 of its 1" in place.parley("plan", "demo.yaml", want=1).err
    place.parley("forget", "demo", "b", "--yes")
    place.parley("up", "demo.yaml", "--yes")
    assert sorted(place.files()) == sorted(record["uid"] for record in place.records("demo"))
    assert len(os.listdir(place.path("home/fake/another"))) >= 2
    assert "No changes" in place.parley("up", "demo.yaml", "--yes").out


def move_to_namesakes(place):
    """The site leads from one account to another, where somebody else has a thing under each of our ids."""
    for name in os.listdir(place.path("home/fake/another")):
        path = place.path("home/fake/another", name)
        if name.endswith(".json") and os.path.isfile(path):
            theirs = json.loads(place.read(f"home/fake/another/{name}"))
            theirs.pop("uid", None)
            place.write(f"home/fake/acme.lab/{name}", json.dumps(theirs))
    place.with_boxes()
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", "repeat: natural"))


def given_there(place, resources):
    place.with_boxes(account="another")
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", "repeat: natural"))
    given(place, resources)
    place.parley("up", "demo.yaml", "--yes")


@test
def namesakes_in_another_account_are_not_taken_for_what_is_recorded(place):
    given_there(place, {"a": box(colour="red"), "b": box(colour="red")})
    move_to_namesakes(place)
    before = place.files()
    assert len(before) == 2
    given(place, {"a": box(colour="blue"), "b": box(colour="red"), "c": box()})
    for words in (("plan", "demo.yaml"), ("plan", "demo.yaml", "--refresh=changed"), ("up", "demo.yaml", "--yes"),
                  ("drift", "demo"), ("destroy", "demo", "--yes"), ("act", "demo", "a", "turn", "back", "--yes")):
        result = place.parley(*words, want=1)
        refused = result.out + result.err
        for told in ("acme.lab is fake:acme.lab now, and was fake:another", "its 2 recorded", "carries our mark",
                     "somebody else's", "parley forget", "--refresh=none"):
            assert told in refused, (words, refused)
    assert place.files() == before
    place.with_boxes(account="another")
    place.write("catalog/acme.yaml", CATALOG.replace("repeat: key", "repeat: natural"))
    place.parley("up", "demo.yaml", "--yes")
    assert "No changes" in place.parley("up", "demo.yaml", "--yes").out
    assert place.files() == before


@test
def what_is_new_is_not_made_in_an_account_of_namesakes_where_only_changes_are_read(place):
    given_there(place, {"a": box(colour="red")})
    move_to_namesakes(place)
    given(place, {"a": box(colour="red"), "new": box()})
    assert "carries our mark" in place.parley("up", "demo.yaml", "--yes", "--refresh=changed", want=1).err
    assert len(place.files()) == 1


@test
def who_says_that_namesakes_are_the_same_goes_on_by_the_records(place):
    given_there(place, {"a": box(colour="red")})
    move_to_namesakes(place)
    given(place, {"a": box(colour="blue")})
    place.parley("up", "demo.yaml", "--yes", "--refresh=none")
    assert [thing["spec"]["colour"] for thing in place.files().values()] == ["blue"]
    assert "No changes" in place.parley("up", "demo.yaml", "--yes").out


@test
def who_lets_go_of_what_has_namesakes_elsewhere_leaves_both_as_they_are(place):
    given_there(place, {"a": box(colour="red")})
    move_to_namesakes(place)
    before = place.files()
    place.parley("forget", "demo", "a", "--yes")
    assert "the name is taken" in place.parley("up", "demo.yaml", "--yes", want=1).err
    assert place.files() == before
    given(place, {"c": box()})
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"a": box(colour="red"), "c": box()})
    told = place.parley("up", "demo.yaml", "--yes", want=1).err
    assert "the name is taken" in told, told
    assert [record["address"] for record in place.records("demo")] == ["c"]


@test
def the_same_system_under_another_name_goes_on_and_is_known_by_it(place):
    place.with_boxes(account="another")
    given(place, {"a": box(), "b": box()})
    place.parley("up", "demo.yaml", "--yes")
    os.rename(place.path("home/fake/another"), place.path("home/fake/acme.lab"))
    place.with_boxes()
    assert "No changes" in place.parley("up", "demo.yaml", "--yes").out
    given(place, {"a": box(), "b": box(), "c": box()})
    place.parley("up", "demo.yaml", "--yes")
    uid = next(record["uid"] for record in place.records("demo") if record["address"] == "a")
    os.unlink(place.path("home/fake/acme.lab", uid + ".json"))
    place.parley("up", "demo.yaml", "--yes")
    assert len(place.files()) == 3


@test
def a_catalog_file_that_is_gone_is_a_clean_error(place):
    place.with_boxes()
    given(place, {"a": box(), "b": data(1)})
    place.parley("up", "demo.yaml", "--yes")
    os.rename(place.path("catalog"), place.path("catalog-gone"))
    given(place, {"b": data(1)})
    for words in (("plan", "demo.yaml"), ("up", "demo.yaml", "--yes"), ("status", "demo"),
                  ("destroy", "demo", "--yes")):
        result = place.parley(*words, want=None)
        assert result.code == 1 or words[0] == "status", f"{words}: {result.code}"
        assert "acme:thing:box" in result.err + result.out, f"{words}: {result.err}"
    assert len(place.files()) == 1
    os.rename(place.path("catalog-gone"), place.path("catalog"))
    place.parley("destroy", "demo", "--yes")
    assert place.files() == {}


@test
def variables_from_the_command_line_count_most_and_are_not_written_down(place):
    place.write("demo.yaml", document("demo", {"one": data("${var.secret}")},
                                      extra='  variables: {secret: "default"}\n'))
    place.parley("up", "demo.yaml", "--yes", "--var", "secret=from-the-line")
    assert place.records("demo")[0]["spec"]["value"] == "from-the-line"
    words = place.parley("run", "list", "--json").json()[0]["words"]
    assert "from-the-line" not in words, words


@test
def wrong_words_are_told_and_change_nothing(place):
    given(place)
    for words in (("upp", "demo.yaml"), ("up",), ("up", "demo.yaml", "more"),
                  ("up", "demo.yaml", "--yess"), ("up", "missing.yaml", "--yes"),
                  ("apply", "deadbeef", "--yes"), ("resume", "demo"), ("show", "demo"),
                  ("run", "show", "12345678"), ("output", "demo"), ("up", ".", "--yes")):
        result = place.parley(*words, want=1)
        assert result.err and not result.out.strip(), f"{words}: {result.out}"


@test
def every_command_says_what_it_takes_and_refuses_the_rest(place):
    listed = re.findall(r"^  ((?:run |twin )?[a-z]+)(?: \[?[A-Z]| {2})", place.parley("--help").out, re.M)
    assert {"up", "plan", "run wait", "twin doctor"} <= set(listed), listed
    for command in listed:
        words = command.split()
        usage = place.parley(*words, "--help").out
        assert usage.startswith(f"Usage: parley {command}"), usage
    assert "parley status has no option --yes" in place.parley("status", "--yes", want=1).err
    assert "no option --nonsense" in place.parley("status", "--nonsense", want=1).err
    assert 'did you mean "validate"' in place.parley("validat", "demo.yaml", want=1).err
    assert "run list, run show" in place.parley("run", want=1).err
    assert "usage: parley show NAME [ADDRESS]" in place.parley("show", want=1).err
    assert "usage: parley validate FILE" in place.parley("validate", "a", "b", want=1).err


@test
def with_json_the_faults_of_a_document_are_data(place):
    place.write("demo.yaml", document("demo", {"x": ("core:data:valu", {"value": 1}, {})}))
    failed = place.parley("plan", "demo.yaml", "--json", want=1)
    [fault] = failed.json()["error"]["diagnostics"]
    assert failed.json()["error"]["code"] == "invalid" and said(failed.err) == "", failed.err
    assert (fault["severity"], fault["code"], fault["line"]) == ("error", "unknown-type", 4), fault


if __name__ == "__main__":
    main()
