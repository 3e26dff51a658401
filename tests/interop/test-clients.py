#!/usr/bin/env python3
"""Other people's clients drive Parley: from a document to what stands, and away again.

Usage: test-clients.py PARLEY FIXTURE TEXTS
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import others
from sdk import PythonClient

PATIENCE_S = 120
DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: acme:thing:box, name: first, properties: { size: 1 } }
    - { type: acme:thing:box, name: second, properties: { size: 2 }, dependsOn: [first] }
"""
CATALOG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/catalog/acme.yaml")
SITE = "site: { instances: { acme.lab: { driver: fake } } }\n"


def run(folder, words, place, want=0):
    """What a client prints; they look for nothing of the user's."""
    env = {"PATH": f"{folder}/node_modules/.bin:{os.environ['PATH']}", "HOME": place, "XDG_RUNTIME_DIR": place,
           "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode == want, f"{words[1:4]}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def with_place(function):
    def test(folder):
        place = tempfile.mkdtemp(prefix="parley-interop-")
        try:
            os.mkdir(f"{place}/catalog")
            shutil.copy(CATALOG, f"{place}/catalog")
            with open(f"{place}/parley.yaml", "w", encoding="utf-8") as file:
                file.write(SITE)
            function(folder, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    test.__name__ = function.__name__
    return test


def server(place):
    return [os.path.abspath(sys.argv[1]), "mcp", "--home", f"{place}/home"]


def drive(call):
    """The whole road by call(tool, arguments), which gives the structured content."""
    def apply(plan):
        call("plan_approve", {"plan": plan["plan"]})
        started = call("plan_apply", {"plan": plan["plan"]})
        ended = call("run_show", {"run": started["run"], "wait_seconds": 60})
        assert ended["status"] == "done", ended
    plan = call("plan_create", {"document": DOCUMENT})
    assert plan["counts"] == {"create": 2}, plan
    apply(plan)
    status = call("deployment_status", {"deployment": "shop"})
    assert len(status["resources"]) == 2, status
    apply(call("plan_destroy", {"deployment": "shop"}))
    assert [row["state"] for row in call("deployment_status", {})["deployments"]] == ["destroyed"]


# --- Inspector ---

def inspect(folder, place, target, *words):
    return run(folder, [f"{folder}/node_modules/.bin/node", f"{folder}/node_modules/.bin/mcp-inspector", "--cli",
                        *target, "--format", "json", *words], place)


def drive_by_inspector(folder, place, era, target=None):
    def call(tool, arguments):
        text = inspect(folder, place, target or server(place), "--protocol-era", era, "--method", "tools/call", "--tool-name",
                       tool, "--tool-args-json", json.dumps(arguments))
        result = json.loads(text)["result"]
        assert not result["isError"], result
        return result["structuredContent"]
    drive(call)


@with_place
def inspector_drives_the_whole_road_in_the_modern_era(folder, place):
    drive_by_inspector(folder, place, "modern")


@with_place
def inspector_drives_the_whole_road_in_the_legacy_era(folder, place):
    drive_by_inspector(folder, place, "legacy")


@with_place
def inspector_finds_the_era_and_no_fault_in_the_tools(folder, place):
    listed = json.loads(inspect(folder, place, server(place), "--protocol-era", "auto", "--method", "tools/list",
                                "--strict"))
    tools = listed.get("result", listed)["tools"]
    assert "plan_create" in [tool["name"] for tool in tools]
    assert not listed.get("schemaFindings"), listed["schemaFindings"]


@with_place
def inspector_lists_over_http_in_each_era(folder, place):
    with others.Fixture(*sys.argv[2:4]) as url:
        for era in ("legacy", "modern", "auto"):
            text = inspect(folder, place, [url], "--transport", "http", "--protocol-era", era, "--method",
                           "tools/list")
            assert "test_simple_text" in text, (era, text[:500])


class Serving:
    """`parley serve` on a free port until the block ends, and the headers of one who may all."""

    def __init__(self, place):
        self.place = place
        program, _mcp, *self.where = server(place)
        made = subprocess.run([program, "token", "new", "tester", "--role", "admin", "--json", *self.where], cwd=place,
                              capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        self.authorization = f"Bearer {json.loads(made.stdout)['token']}"
        self.program = program

    def __enter__(self):
        self.process = subprocess.Popen([self.program, "serve", "--listen", "127.0.0.1:0", *self.where], cwd=self.place,
                                        text=True, stderr=subprocess.PIPE,
                                        env={**os.environ, "XDG_RUNTIME_DIR": self.place})
        self.url = re.search(r"http://127\.0\.0\.1:[0-9]+/mcp", self.process.stderr.readline()).group(0)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.process.stderr.close()


@with_place
def inspector_drives_the_whole_road_over_http_with_a_token(folder, place):
    with Serving(place) as serving:
        for era in ("modern", "legacy"):
            drive_by_inspector(folder, place, era, [serving.url, "--transport", "http", "--header",
                                                    f"Authorization: {serving.authorization}"])


# --- mcporter and mcp-remote ---

@with_place
def mcporter_drives_the_whole_road(folder, place):
    program, *words = server(place)

    def call(tool, arguments):
        text = run(folder, [f"{folder}/node_modules/.bin/node", f"{folder}/node_modules/.bin/mcporter", "call",
                            "--stdio", program, *(part for word in words for part in ("--stdio-arg", word)), tool,
                            "--args", json.dumps(arguments), "--output", "json"], place)
        return json.loads(text)
    drive(call)


@with_place
def mcp_remote_carries_stdio_over_http(folder, place):
    with others.Fixture(*sys.argv[2:4]) as url:
        text = inspect(folder, place, [f"{folder}/node_modules/.bin/node", f"{folder}/node_modules/.bin/mcp-remote",
                                       url, "--allow-http"], "--protocol-era", "legacy", "--method", "tools/list")
    assert "test_simple_text" in text, text[:500]


@with_place
def mcp_remote_carries_the_whole_road_to_a_server_with_a_token(folder, place):
    with Serving(place) as serving:
        bridge = [f"{folder}/node_modules/.bin/node", f"{folder}/node_modules/.bin/mcp-remote", serving.url, "--allow-http",
                  "--header", f"Authorization:{serving.authorization}"]
        env = {"PATH": f"{folder}/node_modules/.bin:{os.environ['PATH']}", "HOME": place}
        with PythonClient(folder, place, "legacy", bridge, env) as client:
            assert "plan_create" in client.tools
            drive(client.call)


# --- The official Python SDK ---

@with_place
def python_sdk_drives_the_whole_road_in_both_eras(folder, place):
    for mode in ("legacy", "2026-07-28"):
        with PythonClient(folder, place, mode, server(place)) as client:
            assert "plan_create" in client.tools
            drive(client.call)


@with_place
def python_sdk_drives_the_whole_road_over_http_with_a_token(folder, place):
    with Serving(place) as serving:
        for mode in ("legacy", "2026-07-28", "auto"):
            target = {"url": serving.url, "headers": {"Authorization": serving.authorization}}
            with PythonClient(folder, place, mode, target) as client:
                assert "plan_create" in client.tools
                drive(client.call)


@with_place
def python_sdk_calls_over_http_in_both_eras(folder, place):
    with others.Fixture(*sys.argv[2:4]) as url:
        for mode in ("legacy", "2026-07-28", "auto"):
            with PythonClient(folder, place, mode, url) as client:
                assert client.call("greet", {"name": "Ada"}) == "Hello, Ada!"


if __name__ == "__main__":
    others.main([inspector_drives_the_whole_road_in_the_modern_era,
                 inspector_drives_the_whole_road_in_the_legacy_era,
                 inspector_finds_the_era_and_no_fault_in_the_tools,
                 inspector_drives_the_whole_road_over_http_with_a_token, inspector_lists_over_http_in_each_era,
                 mcporter_drives_the_whole_road, mcp_remote_carries_stdio_over_http,
                 mcp_remote_carries_the_whole_road_to_a_server_with_a_token,
                 python_sdk_drives_the_whole_road_over_http_with_a_token,
                 python_sdk_drives_the_whole_road_in_both_eras, python_sdk_calls_over_http_in_both_eras])
