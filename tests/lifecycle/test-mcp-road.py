#!/usr/bin/env python3
"""`parley mcp`: an AI client drives the whole road over standard input and output, in both eras of the protocol."""
import base64
import json
import os
import time
from xml.etree import ElementTree

import mcp_client
from lifecycle import CATALOG, chain, main, test
from mcp_client import META

DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: core:data:value, name: a, properties: { value: hello } }
    - { type: core:data:value, name: b, properties: { value: "${a.outputs.value} world" } }
  outputs: { said: "${b.outputs.value}" }
"""

SLOW = """deployment:
  name: slow
  resources:
    - { type: acme:thing:box, name: first, properties: { size: 1 } }
    - { type: acme:thing:box, name: second, properties: { size: 2 }, dependsOn: [first] }
"""
SITE = "site: { instances: { acme.lab: { driver: fake, latency: 700ms } } }\n"
SVG = "{http://www.w3.org/2000/svg}"


class Client(mcp_client.Client):
    def __init__(self, place):
        super().__init__(place.line("mcp"), place.env, place.folder)


def with_slow_boxes(place):
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", SITE)


def begin_slow(client):
    """A run that lasts for some seconds."""
    plan = client.call("plan_create", document=SLOW)["plan"]
    client.call("plan_approve", plan=plan)
    return client.call("plan_apply", plan=plan)["run"]


@test
def a_document_becomes_real_and_goes_again_in_both_eras(place):
    for version in (None, "2025-11-25", "2024-11-05"):
        with Client(place) as client:
            if version:
                assert client.begin(version)["protocolVersion"] == version
            plan = client.call("plan_create", document=DOCUMENT)
            assert plan["counts"] == {"create": 2} and plan["changes"], plan
            assert client.apply(plan["plan"])["status"] == "done"
            shown = client.result("plan_show", {"plan": plan["plan"]})["content"][0]["text"]
            assert "carried out already" in shown and "plan_apply" not in shown, shown
            assert place.parley("output", "shop", "said").out.strip() == "hello world"
            edited = client.call("plan_edit", set={"a.value": "bye"})
            assert client.apply(edited["plan"])["status"] == "done"
            assert place.parley("output", "shop", "said").out.strip() == "bye world"
            assert "value: bye" in client.call("document_show", deployment="shop")["document"]
            assert client.apply(client.call("plan_undo", deployment="shop")["plan"])["status"] == "done"
            assert place.parley("output", "shop", "said").out.strip() == "hello world"
            gone = client.call("plan_destroy", deployment="shop")
            assert client.apply(gone["plan"])["status"] == "done"
            assert [row["state"] for row in place.parley("status", "--json").json()] == ["destroyed"]


@test
def nothing_changes_without_approval_and_level_none_says_that_it_proves_no_person(place):
    with Client(place) as client:
        plan = client.call("plan_create", document=DOCUMENT)["plan"]
        assert "not approved" in client.call("plan_apply", is_error=True, plan=plan)
        assert place.parley("status").out.strip() == "No deployments."
        result = client.ask("tools/call", name="plan_approve", arguments={"plan": plan})["result"]
        assert "no proof of a person" in result["content"][0]["text"]
    assert "level none" in place.parley("audit", "list").out


@test
def a_run_outlives_the_server_that_started_it(place):
    with_slow_boxes(place)
    with Client(place) as client:
        run = begin_slow(client)
        client.process.kill()
    with Client(place) as client:
        assert client.call("run_show", run=run, wait_seconds=60)["status"] == "done"
        assert client.call("deployment_status", deployment="slow")["resources"]


@test
def closing_the_input_ends_the_server_and_not_the_run(place):
    with_slow_boxes(place)
    with Client(place) as client:
        run = begin_slow(client)
        client.n += 1
        client.write({"jsonrpc": "2.0", "id": client.n, "method": "tools/call",
                      "params": {"name": "run_show", "arguments": {"run": run, "wait_seconds": 300}, "_meta": META}})
    assert place.parley("run", "wait", run).out
    assert "done" in place.parley("run", "list").out


def zombies_of(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == pid:
            found.append(name)
    return found


CHAIN = chain("long", 60)


def wait_until_it_runs(client, run):
    """Until its process listens nobody can ask it to stop."""
    deadline = time.monotonic() + 60
    while client.call("run_show", run=run)["status"] == "pending":
        assert time.monotonic() < deadline


@test
def who_waits_for_a_run_does_not_wait_for_another_and_ends_leave_nothing(place):
    with_slow_boxes(place)
    with Client(place) as client:
        plans = [client.call("plan_create", document=text)["plan"] for text in (DOCUMENT, CHAIN)]
        for plan in plans:
            client.call("plan_approve", plan=plan)
        quick, long = [client.call("plan_apply", plan=plan)["run"] for plan in plans]
        assert client.call("run_show", run=quick, wait_seconds=300)["status"] == "done"
        assert (status := client.call("run_show", run=long)["status"]) in ("pending", "running"), status
        wait_until_it_runs(client, long)
        client.call("run_control", action="cancel", run=long)
        client.call("run_show", run=long, wait_seconds=300)
        deadline = time.monotonic() + 60
        while zombies_of(client.process.pid):
            client.call("deployment_status")
            assert time.monotonic() < deadline, zombies_of(client.process.pid)


@test
def what_goes_on_can_be_stopped_under_a_read_only_site_and_is_not_gone_on_with(place):
    with_slow_boxes(place)
    with Client(place) as client:
        plan = client.call("plan_create", document=CHAIN)["plan"]
        client.call("plan_approve", plan=plan)
        run = client.call("plan_apply", plan=plan)["run"]
        wait_until_it_runs(client, run)
        place.write("parley.yaml", SITE.replace("site: {", "site: { caps: [read-only],"))
        deadline = time.monotonic() + 60
        while "plan_apply" in (names := {tool["name"] for tool in client.tools()}):
            assert time.monotonic() < deadline
        assert "run_control" in names, names
        client.call("run_control", action="cancel", run=run)
        assert client.call("run_show", run=run, wait_seconds=300)["status"] == "cancelled"
        refused = client.call("run_control", is_error=True, action="resume", deployment="long")
        assert "says read-only" in refused, refused


@test
def progress_is_told_to_who_waits_for_a_run(place):
    with_slow_boxes(place)
    with Client(place) as client:
        run = begin_slow(client)
        answer = client.ask("tools/call", name="run_show", arguments={"run": run, "wait_seconds": 60},
                            _meta={"progressToken": "p"})
        assert answer["result"]["structuredContent"]["status"] == "done"
        told = [note["params"] for note in client.notes if note["method"] == "notifications/progress"]
        assert [part["progress"] for part in told] == [1, 2] and told[0]["total"] == 2, told
        assert all(part["progressToken"] == "p" for part in told)


@test
def faults_of_a_document_are_in_the_first_text_with_place_and_remedy(place):
    with Client(place) as client:
        text = client.call("plan_create", is_error=True, document="deployment:\n  name: x\n  resources:\n"
                           "    - { type: core:data:vlaue, name: y }\n")
        assert "document.yaml:4:15: error[unknown-type]" in text and "core:data:value" in text, text
        assert "is none of its arguments, which are: document" in client.call("plan_create", is_error=True, doc="x")
        assert "either document" in client.call("plan_create", is_error=True)


@test
def the_tools_are_few_small_and_say_what_they_do(place):
    with Client(place) as client:
        answer = client.ask("tools/list")
        tools = answer["result"]["tools"]
        # The whole answer, as a client gets it.
        assert len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()) < 20000
        assert len(tools) <= 20
        for tool in tools:
            assert set(tool["annotations"]) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
            assert tool["title"] and tool["outputSchema"]["type"] == "object"
            for part in ("inputSchema", "outputSchema"):
                for name, schema in tool[part]["properties"].items():
                    assert schema["description"], (tool["name"], name)
        assert len(client.ask("server/discover")["result"]["instructions"]) < 2000


def type_arrays(schema, path):
    """Where it says `type` by a list, of which clients with other dialects of schemas make nothing."""
    if isinstance(schema, list):
        return [found for item in schema for found in type_arrays(item, path)]
    if not isinstance(schema, dict):
        return []
    here = [path] if isinstance(schema.get("type"), list) else []
    return here + [found for key, item in schema.items() for found in type_arrays(item, f"{path}.{key}")]


@test
def no_schema_of_a_tool_says_several_types_at_once(place):
    with Client(place) as client:
        found = [where for tool in client.tools() for part in ("inputSchema", "outputSchema")
                 for where in type_arrays(tool[part], tool["name"])]
        assert not found, found


@test
def where_nothing_was_ever_deployed_there_is_nothing_and_no_failure(place):
    with Client(place) as client:
        for tool, want in (("deployment_status", {"deployments": []}), ("deployment_drift", {"deployments": []}),
                           ("audit_show", {"entries": []})):
            result = client.result(tool, {})
            assert result["structuredContent"] == want and not result["isError"], result
            assert "Next: plan_create" in result["content"][0]["text"], result
        assert "plan_create" in client.call("deployment_status", is_error=True, deployment="shop")
        for row in client.ask("resources/list")["result"]["resources"]:
            text = client.ask("resources/read", uri=row["uri"])["result"]["contents"][0]["text"]
            assert text == "[]" or row["uri"] == "parley://types", row


@test
def a_deployment_of_many_resources_is_shown_in_pages(place):
    many = DOCUMENT.split("    - {")[0] + """    - { type: core:data:value, name: a, count: 60, properties: { value: hello } }
"""
    with Client(place) as client:
        client.apply(client.call("plan_create", document=many)["plan"])
        first = client.result("resource_show", {"deployment": "shop"})
        assert len(first["structuredContent"]["resources"]) == 50 and first["structuredContent"]["next_page"] == 2, first
        assert "page=2" in first["content"][0]["text"]
        second = client.call("resource_show", deployment="shop", page=2)
        assert len(second["resources"]) == 10 and "next_page" not in second, second
        pages = first["structuredContent"]["resources"] + second["resources"]
        assert {row["address"] for row in pages} == {f"a[{number}]" for number in range(60)}
        assert len(client.call("resource_show", deployment="shop", address="a[59]")["resources"]) == 1


@test
def keys_that_begin_with_a_dollar_are_shown_as_they_are(place):
    value = {"$ref": "x", "$$two": 1, "$secret": "no secret"}
    document = f"deployment: {{ name: shop, resources: [{{ type: core:data:value, name: a, properties: {{ value: {json.dumps(value)} }} }}] }}"
    with Client(place) as client:
        plan = client.call("plan_create", document=document)["plan"]
        steps = client.call("plan_show", plan=plan, full=True)["full"]["steps"]
        assert [step["after"]["value"] for step in steps] == [value], steps
        client.apply(plan)
        result = client.result("resource_show", {"deployment": "shop", "address": "a"})
        assert [row["spec"]["value"] for row in result["structuredContent"]["resources"]] == [value], result
        assert json.loads(result["content"][0]["text"])["spec"]["value"] == value, result
        read = client.ask("resources/read", uri="parley://deployment/shop")["result"]["contents"][0]["text"]
        assert json.loads(read)[0]["spec"]["value"] == value, read


@test
def resources_prompts_and_completion_lead_on(place):
    with Client(place) as client:
        client.apply(client.call("plan_create", document=DOCUMENT)["plan"])

        def read(uri):
            return client.ask("resources/read", uri=uri)["result"]["contents"][0]
        assert json.loads(read("parley://deployments")["text"])[0]["name"] == "shop"
        assert "name: shop" in read("parley://document/shop")["text"]
        assert "value" in read("parley://type/core:data:value")["text"]
        missing = client.ask("resources/read", uri="parley://nothing/here")["error"]
        assert missing["code"] == -32602 and missing["data"]["uri"] == "parley://nothing/here"
        assert "plan_create" in client.ask("prompts/get", name="deploy", arguments={"what": "a shop"})["result"][
            "messages"][0]["content"]["text"]
        found = client.ask("completion/complete", ref={"type": "ref/prompt", "name": "change"},
                           argument={"name": "deployment", "value": "sh"})["result"]["completion"]
        assert found["values"] == ["shop"], found


def picture_of(item):
    """The shapes of its icon, which is an SVG that stands for itself and runs nothing."""
    icon, = item["icons"]
    head, _comma, data = icon["src"].partition(",")
    assert (head, icon["mimeType"], icon["sizes"]) == ("data:image/svg+xml;base64", "image/svg+xml", ["any"]), icon
    tree = ElementTree.fromstring(base64.b64decode(data, validate=True))
    assert {part.tag for part in tree.iter()} == {f"{SVG}svg", f"{SVG}path"}, data
    return [part.get("d") for part in tree.iter(f"{SVG}path")]


@test
def clients_that_know_icons_get_small_ones_and_others_none(place):
    lists = {"prompts/list": "prompts", "resources/list": "resources",
             "resources/templates/list": "resourceTemplates"}
    with Client(place) as client:
        answer = client.ask("server/discover")["result"]
        assert picture_of(answer["_meta"]["io.modelcontextprotocol/serverInfo"])
        # What comes with each answer stays small.
        answer = client.ask("prompts/list")["result"]
        assert "icons" not in answer["_meta"]["io.modelcontextprotocol/serverInfo"]
        for method, field in lists.items():
            assert all(picture_of(item) for item in client.ask(method)["result"][field])
    for version, knows in (("2025-11-25", True), ("2025-06-18", False)):
        with Client(place) as client:
            begun = client.begin(version)["serverInfo"]
            assert picture_of(begun) if knows else "icons" not in begun
            for method, field in lists.items():
                for item in client.ask(method)["result"][field]:
                    assert picture_of(item) if knows else "icons" not in item


@test
def what_is_deployed_is_in_the_list_of_resources_and_can_be_read_there(place):
    def listed(client):
        return [row["uri"] for row in client.ask("resources/list")["result"]["resources"]]
    for version in (None, "2025-06-18"):
        with Client(place) as client:
            if version:
                client.begin(version)
            before = listed(client)
            assert "parley://deployments" in before and not any("shop" in uri for uri in before), before
            client.apply(client.call("plan_create", document=DOCUMENT)["plan"])
            new = set(listed(client)) - set(before)
            assert new == {"parley://deployment/shop@default", "parley://document/shop@default"}, new
            for uri in new:
                assert client.ask("resources/read", uri=uri)["result"]["contents"][0]["text"], uri
            client.apply(client.call("plan_destroy", deployment="shop")["plan"])
            assert listed(client) == before


@test
def who_looked_at_what_is_in_the_audit_chain(place):
    with Client(place) as client:
        plan = client.call("plan_create", document=DOCUMENT)["plan"]
        client.apply(plan)
        for _ in range(50):
            client.call("deployment_status", deployment="shop")
    entries = [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "looks"]
    rows = [row for entry in entries for row in entry["looks"]]
    status = [row for row in rows if row["tool"] == "deployment_status"]
    assert sum(row["calls"] for row in status) == 50, rows
    assert {(row["about"], row["principal"][:5], row["client"]) for row in status} == {("shop", "user:", "test 1")}
    assert [row["about"] for row in rows if row["tool"] == "plan_create"] == [plan], rows
    assert len(entries) < 50, len(entries)
    assert "holds" in place.parley("audit", "verify").out


def refusals(place):
    return [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "refused"]


@test
def a_refused_call_is_in_the_audit_chain_before_it_is_answered(place):
    place.write("parley.yaml", "site: { caps: [no-destroy] }\n")
    with Client(place) as client:
        plan = client.call("plan_create", document=DOCUMENT)["plan"]
        assert "is not approved" in client.call("plan_apply", is_error=True, plan=plan)
        first = refusals(place)
        assert [entry["asked"] for entry in first] == [f"to carry out the plan {plan[:12]}"], first
        assert "is not approved" in first[0]["reason"] and first[0]["principal"].startswith("user:"), first
        # A cap hides this tool; a client that knows it from elsewhere is refused, and told by what.
        hidden = client.ask("tools/call", name="plan_destroy", arguments={"deployment": "shop"})
        assert "parley.yaml:1 says no-destroy" in hidden["error"]["message"], hidden
        asked = [entry["asked"] for entry in refusals(place)]
        assert asked[1:] == ["plan_destroy"], asked
        assert client.call("plan_show", plan=plan)["changes"] and len(refusals(place)) == 2


@test
def the_status_of_many_resources_comes_in_pages(place):
    many = "deployment:\n  name: many\n  resources:\n" + "".join(
        f"    - {{ type: core:data:value, name: v{n}, properties: {{ value: x }} }}\n" for n in range(120))
    with Client(place) as client:
        client.apply(client.call("plan_create", document=many)["plan"])
        pages = [client.call("deployment_status", deployment="many", page=page) for page in (1, 2, 3)]
        assert client.call("deployment_status", deployment="many") == pages[0]
        assert [page.get("next_page") for page in pages] == [2, 3, None]
        assert [len(page["resources"]) for page in pages] == [50, 50, 20]
        assert {row["address"] for page in pages for row in page["resources"]} == {f"v{n}" for n in range(120)}
        text = client.result("deployment_status", {"deployment": "many"})["content"][0]["text"]
        assert "50 of these 120 resources, page 1; page=2" in text, text


@test
def nothing_but_messages_is_written_to_the_output(place):
    with Client(place) as client:
        client.apply(client.call("plan_create", document=DOCUMENT)["plan"])
        client.process.stdin.close()
        rest = client.process.stdout.read()
        assert rest == b"", rest
        client.process.stdin = open(os.devnull, "wb")


@test
def a_question_that_lasts_does_not_hold_up_another(place):
    with_slow_boxes(place)
    with Client(place) as client:
        run = begin_slow(client)
        client.n += 2
        waiting, quick = client.n - 1, client.n
        client.write({"jsonrpc": "2.0", "id": waiting, "method": "tools/call",
                      "params": {"name": "run_show", "arguments": {"run": run, "wait_seconds": 300}, "_meta": META}})
        client.write({"jsonrpc": "2.0", "id": quick, "method": "tools/list", "params": {"_meta": META}})
        assert client.read(quick)["result"]["tools"]
        client.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": waiting}})
        started = time.monotonic()
        client.read(waiting)
        assert time.monotonic() - started < 30


if __name__ == "__main__":
    main()
