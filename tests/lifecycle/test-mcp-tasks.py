#!/usr/bin/env python3
"""Waiting for a run as a task: it outlives request, connection and server, and is its principal's alone."""
import time

import mcp_client
from lifecycle import CATALOG, main, test
from mcp_client import META
from mcp_server import Server, token_of

DOCUMENT = """deployment:
  name: slow
  resources:
    - { type: acme:thing:box, name: first, properties: { size: 1 } }
    - { type: acme:thing:box, name: second, properties: { size: 2 }, dependsOn: [first] }
"""
TASKS = {"io.modelcontextprotocol/tasks": {}}
KNOWS = {"io.modelcontextprotocol/clientCapabilities": {"extensions": TASKS}}
RELATED = "io.modelcontextprotocol/related-task"


VALUE = """deployment:
  name: value
  resources:
    - { type: core:data:value, name: a, properties: { value: v } }
"""


class Client(mcp_client.Client):
    def __init__(self, place):
        super().__init__(place.line("mcp"), place.env, place.folder)

    def about(self, method, task, **more):
        return self.ask(method, taskId=task, **({"_meta": KNOWS} if self.meta else {}), **more)

    def wait(self, **more):
        """run_show as a task; its id."""
        run = more.pop("run")
        extra = {"_meta": KNOWS} if self.meta else {"task": {"ttl": 60000}}
        return self.ask("tools/call", name="run_show", arguments={"run": run, "wait_seconds": 50}, **extra)["result"]


def with_boxes(place):
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", "site: { instances: { acme.lab: { driver: fake, latency: 2s } } }\n")


def begin(client):
    plan = client.call("plan_create", document=DOCUMENT)["plan"]
    client.call("plan_approve", plan=plan)
    return client.call("plan_apply", plan=plan)["run"]


def until(look, wanted):
    deadline = time.monotonic() + 120
    while (found := look())["status"] != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


@test
def a_task_outlives_the_server_and_gives_what_the_tool_would(place):
    with_boxes(place)
    with Client(place) as client:
        assert client.ask("server/discover")["result"]["capabilities"]["extensions"] == TASKS
        run = begin(client)
        answer = client.wait(run=run)
        assert answer["resultType"] == "task" and answer["status"] == "working", answer
        assert "content" not in answer and "task" not in answer, answer
        client.process.kill()
    with Client(place) as client:
        task = answer["taskId"]
        assert client.ask("tasks/get", taskId=task)["error"]["code"] == -32021
        ended = until(lambda: client.about("tasks/get", task)["result"], "completed")
        assert ended["resultType"] == "complete" and ended["createdAt"] <= ended["lastUpdatedAt"], ended
        assert ended["result"]["structuredContent"]["status"] == "done", ended
        assert ended["result"]["isError"] is False
        # What has ended is no task any more: the answer is there at once.
        assert client.wait(run=run)["structuredContent"]["status"] == "done"
        for wrong in ("run-" + "0" * 36, "run-", "x", task + "x"):
            assert client.about("tasks/get", wrong)["error"]["code"] == -32602, wrong


@test
def who_cancels_a_task_waits_no_longer_and_the_run_goes_on(place):
    with_boxes(place)
    with Client(place) as client:
        run = begin(client)
        task = client.wait(run=run)["taskId"]
        for _ in range(2):
            assert client.about("tasks/cancel", task)["result"]["resultType"] == "complete"
        assert client.about("tasks/get", task)["result"]["status"] == "cancelled"
        assert client.wait(run=run)["status"] == "working"
        assert client.call("run_show", run=run, wait_seconds=60)["status"] == "done"


@test
def a_task_is_nobody_elses(place):
    with_boxes(place)
    mine, other = token_of(place, "mine", "admin"), token_of(place, "other", "admin")
    with Server(place) as server:
        plan = server.call(mine, "plan_create", document=DOCUMENT)["plan"]
        server.call(mine, "plan_approve", plan=plan)
        run = server.call(mine, "plan_apply", plan=plan)["run"]
        wait = {"name": "run_show", "arguments": {"run": run, "wait_seconds": 50}, "_meta": KNOWS}
        task = server.post(mine, "tools/call", **wait)[1]["result"]["taskId"]
        headers = {"Mcp-Name": task}
        for method in ("tasks/get", "tasks/cancel"):
            status, answer = server.post(other, method, headers, taskId=task, _meta=KNOWS)
            assert status == 200 and answer["error"]["code"] == -32602, answer
        assert server.post(mine, "tasks/get", headers, taskId=task, _meta=KNOWS)[1]["result"]["status"] != "cancelled"
        # Who did not begin the run waits as ever.
        assert server.post(other, "tools/call", **wait)[1]["result"]["structuredContent"]["status"] == "done"


@test
def a_client_of_2025_11_25_has_them_as_its_version_says(place):
    with_boxes(place)
    with Client(place) as client:
        offered = client.begin("2025-11-25")["capabilities"]["tasks"]
        assert offered == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}, offered
        support = {tool["name"]: tool.get("execution") for tool in client.tools()}
        assert support["run_show"] == {"taskSupport": "optional"} and not support["plan_create"], support
        assert client.ask("tasks/list")["result"]["tasks"] == []
        run = begin(client)
        task = client.wait(run=run)["task"]
        assert task["status"] == "working" and task["ttl"] is None, task
        assert [row["taskId"] for row in client.ask("tasks/list")["result"]["tasks"]] == [task["taskId"]]
        assert client.about("tasks/cancel", task["taskId"])["result"]["status"] == "cancelled"
        assert client.about("tasks/cancel", task["taskId"])["error"]["code"] == -32602
        assert client.about("tasks/result", task["taskId"])["error"]["code"] == -32602
        assert client.wait(run=run)["task"]["taskId"] == task["taskId"]
        answer = client.about("tasks/result", task["taskId"])["result"]
        assert answer["structuredContent"]["status"] == "done", answer
        assert answer["_meta"][RELATED] == {"taskId": task["taskId"]}, answer
        assert client.about("tasks/get", task["taskId"])["result"]["status"] == "completed"
        assert client.about("tasks/cancel", task["taskId"])["error"]["code"] == -32602
        refused = client.ask("tools/call", name="plan_create", arguments={"document": DOCUMENT}, task={})
        assert refused["error"]["code"] == -32601, refused
    with Client(place) as client:
        client.begin("2025-06-18")
        answer = client.ask("tools/call", name="run_show", arguments={"run": run}, task={})["result"]
        assert answer["structuredContent"]["status"] == "done", answer


def listen_to(client, *tasks, **more):
    client.n += 1
    client.write({"jsonrpc": "2.0", "id": client.n, "method": "subscriptions/listen",
                  "params": {"notifications": {"taskIds": list(tasks)}, "_meta": META | more}})
    return client.read_any()


@test
def who_listens_to_a_task_is_told_how_it_ends_also_when_another_process_ends_it(place):
    with_boxes(place)
    with Client(place) as client:
        run = begin(client)
        task = client.wait(run=run)["taskId"]
        with Client(place) as other:
            assert listen_to(other, task)["error"]["code"] == -32021
            heard = listen_to(other, task, "run-" + "0" * 36, "x", **KNOWS)
            assert heard["params"]["notifications"] == {"taskIds": [task]}, heard
            first = other.read_any()
            assert first["method"] == "notifications/tasks" and first["params"]["status"] == "working", first
            # A run that has read what is there begins anew what it says of its time.
            while (last := other.read_any()["params"])["status"] == "working":
                pass
            tag = last.pop("_meta")
            assert tag == {"io.modelcontextprotocol/subscriptionId": other.n}, tag
            assert last["status"] == "completed" and last["result"]["structuredContent"]["status"] == "done", last
            shown = other.about("tasks/get", task)["result"]
            assert last == {key: shown[key] for key in shown if key not in ("resultType", "_meta")}, shown


@test
def who_listens_to_a_task_is_told_that_it_was_cancelled(place):
    with_boxes(place)
    with Client(place) as client:
        task = client.wait(run=begin(client))["taskId"]
        listen_to(client, task, **KNOWS)
        assert client.read_any()["params"]["status"] == "working"
        client.about("tasks/cancel", task)
        while not [note for note in client.notes if note["params"]["status"] == "cancelled"]:
            client.notes.append(client.read_any())


@test
def tasks_of_2025_11_25_come_in_pages_newest_first(place):
    with_boxes(place)
    n_runs = 52
    with Client(place) as client:
        client.begin("2025-11-25")
        runs = []
        client.apply(client.call("plan_create", document=VALUE)["plan"])
        for number in range(n_runs):
            plan = client.call("plan_edit", set={"a.value": f"v{number}"})["plan"]
            runs.append(client.apply(plan)["id"])
        first = client.ask("tasks/list")["result"]
        assert len(first["tasks"]) == 50, len(first["tasks"])
        second = client.ask("tasks/list", cursor=first["nextCursor"])["result"]
        assert "nextCursor" not in second, second
        ids = [row["taskId"] for row in first["tasks"] + second["tasks"]]
        assert ids[:n_runs] == [f"run-{run}" for run in reversed(runs)] and len(ids) == n_runs + 1, ids
        assert client.ask("tasks/list", cursor="no")["error"]["code"] == -32602


if __name__ == "__main__":
    main()
