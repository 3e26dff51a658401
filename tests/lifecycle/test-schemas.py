#!/usr/bin/env python3
"""The JSON Schemas in schemas/ agree with what the program reads and prints, and with the documentation: what it
accepts validates, what it refuses for its form does not, and nothing is printed that they do not describe."""
import copy
import json
import os
import pathlib
import re
import subprocess

import jsonschema

import lifecycle
from lifecycle import box, data, document, main, test

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
READER = os.environ["PARLEY_YAML_TO_JSON"]
GOLDEN = TOP / "tests" / "golden"
# Faults of a document's form; others need the catalog, other resources or the values of expressions.
FORM = {"unknown-key", "missing-key", "wrong-kind", "bad-name", "reserved-name", "unknown-format"}


def schema(name):
    return json.loads((TOP / "schemas" / f"{name}.schema.json").read_text())


def validator(name):
    return jsonschema.Draft202012Validator(schema(name))


def faults(name, instance):
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}"[:300]
            for fault in validator(name).iter_errors(instance)]


def read_yaml(*paths):
    done = subprocess.run([READER, *map(str, paths)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_texts(place, texts):
    for number, text in enumerate(texts):
        place.write(f"texts/{number}.yaml", text)
    return read_yaml(*(place.path("texts", f"{number}.yaml") for number in range(len(texts))))


def examples(page):
    """The YAML blocks of a page of the documentation."""
    return re.findall(r"```yaml[^\n]*\n(.*?)```", (TOP / "docs" / page).read_text(), re.S)


def refused_for_its_form(expected):
    """The form's faults that a golden tells of; those of properties and parameters begin with what has them."""
    told = re.findall(r"error\[([a-z-]+)\]: [^\n]*\n(?: +\d* \|.*\n)*  (.*)", expected)
    return [f"{code}: {detail}" for code, detail in told
            if code in FORM and not re.match(r"[a-z0-9-]+(\[.*\])?: |The (pattern|variable) ", detail)]


@test
def each_schema_is_one(place):
    assert place
    for path in sorted((TOP / "schemas").glob("*.json")):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@test
def documents_that_are_accepted_validate(place):
    paths = sorted((TOP / "examples").glob("*.yaml"))
    paths += [path for path in sorted(GOLDEN.glob("*/*/deployment.yaml"))
              if not any("error[" in expected.read_text() for expected in path.parent.glob("expected*"))]
    paths += sorted(GOLDEN.glob("plan/*/before.yaml"))
    assert len(paths) > 60, len(paths)
    for path, instance in zip(paths, read_yaml(*paths)):
        assert faults("document", instance) == [], f"{path}: {faults('document', instance)}"
    texts = [text for page in ("document.md", "patterns.md", "site.md", "commands.md") for text in examples(page)
             if re.search(r"^deployment:", text, re.M)]
    assert len(texts) > 5, len(texts)
    for text, instance in zip(texts, read_texts(place, texts)):
        assert faults("document", instance) == [], f"{text}: {faults('document', instance)}"


@test
def documents_whose_form_is_refused_do_not_validate(place):
    assert place
    n_refused = 0
    for path in sorted((GOLDEN / "document").glob("*/deployment.yaml")):
        told = refused_for_its_form((path.parent / "expected.txt").read_text())
        instance = read_yaml(path)[0]
        if not told or instance is None:
            continue
        n_refused += 1
        assert faults("document", instance), f"{path} validates, but: {told}"
    assert n_refused >= 10, n_refused


@test
def the_documents_schema_has_the_keys_that_the_documentation_names(place):
    assert place
    keys = {}
    for heading, rows in re.findall(r"## Keys of (.*?)\n(.*?)(?=\n## )", (TOP / "docs/document.md").read_text(), re.S):
        cells = re.findall(r"^\| (`.*?) \|", rows, re.M)
        keys[heading.strip("`")] = set(re.findall(r"`([A-Za-z.]+)`", " ".join(cells)))
    top = schema("document")
    assert keys["deployment"] == set(top["properties"]["deployment"]["properties"]), keys
    resource = top["$defs"]["resource"]["properties"]
    lifecycle_keys = {f"lifecycle.{key}" for key in resource["lifecycle"]["properties"]}
    assert keys["a resource"] == set(resource) - {"lifecycle"} | lifecycle_keys, keys


def check_described(name, node, instance, where=""):
    """Each field of what is printed has its place in the schema."""
    whole = schema(name)
    while "$ref" in node:
        node = whole["$defs"][node["$ref"].rpartition("/")[2]]
    if isinstance(instance, list):
        for item in instance:
            check_described(name, node.get("items", {}), item, where + "[]")
    if not isinstance(instance, dict) or "properties" not in node:
        return
    for key, item in instance.items():
        assert key in node["properties"], f"{name}: {where}.{key} is not in the schema"
        check_described(name, node["properties"][key], item, f"{where}.{key}")


def check_printed(name, instance):
    assert faults(name, instance) == [], f"{faults(name, instance)}\n{json.dumps(instance)[:2000]}"
    check_described(name, schema(name), instance)


@test
def what_golden_plans_print_validates(place):
    place.write("catalog/acme.yaml", (GOLDEN / "plan" / "types.yaml").read_text())
    n_steps = 0
    for case in sorted((GOLDEN / "plan").glob("*/deployment.yaml")):
        place.home = place.path(case.parent.name)
        site = case.parent / "site.yaml"
        place.write("parley.yaml", site.read_text() if site.exists() else
                    "site:\n  instances:\n    acme.lab: { driver: fake }\n")
        before = case.parent / "before.yaml"
        if before.exists():
            for event in place.parley("up", str(before), "--yes", "--json", want=None).events():
                check_printed("event", event)
        result = place.parley("plan", str(case), "--json", want=None)
        if result.code == 0:
            plan = result.json()
            check_printed("plan", plan)
            n_steps += len(plan["steps"])
    assert n_steps > 20, n_steps


def given(place, **settings):
    place.with_boxes(**settings)
    place.write("demo.yaml", document("demo", {
        "a": box(colour="red"), "b": box(lid="a", note="${a.endpoint}"), "c": box(lid="b"), "d": data([1, None, "x"])}))


@test
def events_of_a_run_validate_whatever_happens(place):
    given(place, fail=[{"verb": "create", "name": "b", "how": "refuse"}])
    kinds = set()
    for words, code in ((("up", "demo.yaml", "--yes"), 4), (("resume", "demo"), 0), (("destroy", "demo", "--yes"), 0)):
        for event in place.parley(*words, "--json", want=code).events():
            check_printed("event", event)
            kinds.add(event["kind"])
    given(place, asynchronous=True, latency="30ms")
    for event in place.parley("up", "demo.yaml", "--yes", "--json").events():
        check_printed("event", event)
        kinds.add(event["kind"])
    run = place.parley("run", "list", "--json").json()[0]["id"]
    for row in place.parley("run", "show", run, "--json").json()["journal"]:
        check_printed("event", row)
    assert kinds >= {"started", "resumed", "intent", "result", "skipped", "handle", "finished"}, kinds


def spoiled(instance, node, path=()):
    """Copies of an instance, each with one required field left out or of a wrong kind."""
    for key in node.get("required", []):
        for is_gone in (True, False):
            copied = copy.deepcopy(instance)
            place = copied
            for step in path:
                place = place[step]
            if is_gone:
                del place[key]
            else:
                place[key] = 3.5
            yield ".".join(map(str, (*path, key))), copied


@test
def a_plan_or_event_that_lacks_something_does_not_validate(place):
    given(place)
    plan = place.parley("plan", "demo.yaml", "--json").json()
    top = schema("plan")
    cases = [*spoiled(plan, top), *spoiled(plan, top["properties"]["deployment"], ("deployment",)),
             *spoiled(plan, top["$defs"]["step"], ("steps", 1))]
    for what, change in (("kind", {"kind": "keep"}), ("reason", {"reason": "whim"}), ("after", {"after": None}),
                         ("stage", {"stage": "later"})):
        cases.append((f"steps.0.{what}", {**plan, "steps": [{**plan["steps"][0], **change}]}))
    cases.append(("hash", {**plan, "hash": "short"}))
    assert len(cases) > 60, len(cases)
    for what, case in cases:
        assert faults("plan", case), f"a plan validates although {what} is spoiled"
    place.write("altered.json", json.dumps({**plan, "steps": plan["steps"][:1]}))
    assert faults("plan", plan) == [] and "altered" in place.parley("apply", "altered.json", "--yes", want=1).err
    events = place.parley("up", "demo.yaml", "--yes", "--json").events()
    for event in events:
        for what, case in spoiled(event, {"required": [key for key in event if key not in ("after", "message")]}):
            assert faults("event", case) or what not in schema("event")["required"], f"{what} of {event}"
    for kind, key in (("started", "plan"), ("intent", "step"), ("result", "outcome"), ("finished", "status")):
        event = next(event for event in events if event["kind"] == kind)
        assert faults("event", {name: item for name, item in event.items() if name != key}), f"{kind} without {key}"


@test
def a_site_validates_if_and_only_if_it_is_read(place):
    place.write("empty.yaml", document("demo", {}))
    place.env["LAB_DOOR"] = "what an example of a site names"
    good = [text for text in examples("site.md") if text.startswith("site:")]
    assert len(good) >= 2
    good += [path.read_text() for path in sorted(GOLDEN.glob("plan/*/site.yaml"))]
    good += ["site: {}\n", "site: {format: 1, instances: {acme.lab: {driver: fake, latency: 1ms}}}\n"]
    bad = ["{}\n", "site: 1\n", "site: {format: 2}\n", "site: {instance: {}}\n", "site: {instances: {acme.lab: {}}}\n",
           "site: {instances: {acme.lab: {driver: cloud}}}\n",
           "site: {secrets: {a: {}}}\n", "site: {secrets: {a: {file: x, environment: Y}}}\n", "site: {secrets: [a]}\n",
           "site: {secrets: {a: text}}\n", "site: {secrets: {a: {generated: {length: 3}}}}\n", "site: {instances: {lab: {driver: fake}}}\n"]
    limits = ["{concurrency: 0}", "{speed: 3}", "{rate: 3/day}", "{time: {wish: 3s}}", "{attempts: many}",
              "{settling: soon}", "{groups: {a: none}}"]
    bad += [f"site: {{instances: {{acme.lab: {{driver: fake, limits: {text}}}}}}}\n" for text in limits]
    server = "site: {{instances: {{acme.lab: {{driver: fake}}}}, server: {{url: \"{}\"}}}}\n"
    good += [server.format(url) for url in ("https://a", "http://a.example:80/b", "https://[::1]:1/b/c-d/")]
    wrong = ("", "a", "https://", "https:///b", "https://:1", "https://a//b", "https://a/?b", "ftp://a", "https://a b",
             "https://a//")
    # The last one stays, and is one under which the audit chain can still be read.
    bad = [server.format(url) for url in wrong] + bad
    place.write("catalog/acme.yaml", lifecycle.CATALOG)
    place.write("box.yaml", document("demo", {"a": box()}))
    for texts, is_good in ((good, True), (bad, False)):
        for text, instance in zip(texts, read_texts(place, texts)):
            place.write("parley.yaml", text)
            found = faults("site", instance)
            result = place.parley("plan", "box.yaml", want=None)
            is_read = result.code == 0 or any(words in result.err for words in (
                "no instance", "error[cannot-serve]", "error[unknown-instance]"))
            assert is_read == is_good, f"{text}{result.err}"
            assert (found == []) == is_good, f"{text}{found}"


if __name__ == "__main__":
    main()
