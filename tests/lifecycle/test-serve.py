#!/usr/bin/env python3
"""`parley serve`: clients come over HTTP with tokens; who plans does not approve, and nobody else comes in."""
import os
import threading
import time

from lifecycle import CATALOG, chain, main, test
from mcp_server import Server, token_of

DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: core:data:value, name: a, properties: { value: hello } }
  outputs: { said: "${a.outputs.value}" }
"""
SITE = "site: { approval: { level: separated } }\n"


@test
def nobody_is_let_in_without_a_token_and_a_removed_one_opens_nothing(place):
    agent = token_of(place, "agent", "viewer")
    with Server(place) as server:
        for wrong in (None, "", "parley_", agent[:-1], agent + "x"):
            assert server.post(wrong, "tools/list")[0] == 401, wrong
        assert server.post(agent, "tools/list")[0] == 200
        place.parley("token", "remove", "agent")
        deadline = time.monotonic() + 60
        while server.post(agent, "tools/list")[0] != 401:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@test
def wrong_tokens_without_end_are_put_off_and_the_right_one_opens_all_the_same(place):
    agent = token_of(place, "agent", "planner", "operator", "approver")
    with Server(place) as server:
        server.call(agent, "plan_create", document=DOCUMENT)
        for _ in range(500):
            status, answer = server.post("wrong", "tools/list")
            if status == 429:
                break
            assert status == 401, status
        assert status == 429 and answer["error"]["code"] == 429 and answer["id"] is None, answer
        assert 0 < int(server.headers["Retry-After"]) <= 60 and "seconds" in answer["error"]["message"], answer
        for _ in range(50):
            server.post("wrong", "tools/list")
        assert server.post(agent, "tools/list")[0] == 200
    entries = [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "refusals"]
    rows = [row for entry in entries for row in entry["refusals"]]
    assert len(entries) == 1 and [row["principal"] for row in rows] == ["address 127.0.0.1"], entries
    assert rows[0]["tool"] == "too many requests" and rows[0]["calls"] > 1, rows
    assert "refusals" in place.parley("audit", "list").out


@test
def the_file_of_the_tokens_has_no_token_and_is_nobody_elses(place):
    agent = token_of(place, "agent", "viewer")
    path = place.path("home/tokens.yaml")
    with open(path, encoding="utf-8") as file:
        assert agent not in file.read()
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.chmod(path, 0o644)
    assert "chmod 600" in place.parley("token", "list", want=1).err
    with Server(place) as server:
        assert server.port is None and "chmod 600" in server.line, server.line


@test
def what_would_not_be_safe_is_not_served(place):
    assert "token new" in place.parley("serve", want=1).err
    token_of(place, "agent", "viewer")
    assert "in the clear" in place.parley("serve", "--listen", "0.0.0.0:0", want=1).err
    assert "belong together" in place.parley("serve", "--key", "x.pem", want=1).err


@test
def the_site_says_where_and_whom_and_how_often(place):
    place.write("etc/parley.yaml", """site:
  server:
    listen: "127.0.0.1:0"
    tokens: agents.yaml
    hosts: [parley.test]
    limits: { requests: 12, connections: 50, body: 16Ki }
""")
    agent = place.parley("token", "new", "agent", "--role", "viewer", "--site", place.path("etc/parley.yaml"), "--json")
    agent = agent.json()["token"]
    assert os.path.exists(place.path("etc/agents.yaml")) and not os.path.exists(place.path("home/tokens.yaml"))
    with Server(place, "--site", place.path("etc/parley.yaml"), says_where=False) as server:
        assert server.post(agent, "tools/list", {"Host": "parley.test"})[0] == 200
        assert server.post(agent, "tools/list", {"Host": "other.test"})[0] == 403
        assert server.post(agent, "tools/list", more="x" * 20000)[0] == 413
        answers = [server.post(agent, "tools/list") for _ in range(20)]
        status, answer = next(row for row in answers if row[0] != 200)
        assert status == 429 and "of agent" in answer["error"]["message"], answer
    with Server(place, "--site", place.path("etc/parley.yaml"), "--host", "third.test") as server:
        assert server.post(agent, "tools/list", {"Host": "third.test"})[0] == 200
        assert server.post(agent, "tools/list", {"Host": "parley.test"})[0] == 403


@test
def faults_of_what_the_site_says_of_the_server_are_named_with_their_lines(place):
    token_of(place, "agent", "viewer")
    place.write("parley.yaml", """site:
  server:
    listen: nowhere
    hosts: parley.test
    limits: { requests: 0, body: 1Ki, hurry: 1 }
    certificate: a.pem
    colour: red
""")
    text = place.parley("serve", want=1).err
    for line, word in ((3, "listen"), (4, "hosts"), (5, "whole number"), (5, "16Ki"), (5, "no limit"), (7, "no such key"),
                       (3, "belong together")):
        assert any(f"parley.yaml:{line}:" in row and word in row + after for row, after
                   in zip(text.split("\n"), [*text.split("\n")[1:], ""])), (line, word, text)
    place.write("parley.yaml", "site:\n  server:\n    certificate: a.pem\n    key: b.pem\n")
    text = place.parley("serve", want=1).err
    assert "parley.yaml:3" in text and "a.pem" in text, text


@test
def each_role_has_the_tools_it_may_use_and_no_others(place):
    tokens = {role: token_of(place, role, role) for role in ("viewer", "planner", "approver", "operator", "admin")}
    with Server(place) as server:
        tools = {role: server.tools(token) for role, token in tokens.items()}
        assert "plan_create" not in tools["viewer"] and "deployment_status" in tools["viewer"]
        assert "plan_create" in tools["planner"] and not {"plan_approve", "plan_apply"} & tools["planner"]
        assert "plan_approve" in tools["approver"] and not {"plan_create", "plan_apply"} & tools["approver"]
        assert "plan_apply" in tools["operator"] and "plan_approve" not in tools["operator"]
        answer = server.post(tokens["viewer"], "tools/call", name="plan_create", arguments={"document": DOCUMENT})[1]
        assert answer["error"]["code"] == -32602, answer
        for why in ('the tool "plan_create" is not for you', "(its roles: viewer)", "planner, operator, admin"):
            assert why in answer["error"]["message"], answer
        # There is a store now, and with it an audit chain.
        server.call(tokens["planner"], "plan_create", document=DOCUMENT)
        server.post(tokens["viewer"], "tools/call", name="plan_create", arguments={"document": DOCUMENT})
        chain = place.parley("audit", "list", "--json").json()
        refused = [(entry["principal"], entry["asked"]) for entry in chain if entry["kind"] == "refused"]
        assert refused == [("viewer", "plan_create")], chain


@test
def who_plans_does_not_approve_and_what_another_approved_is_carried_out(place):
    place.write("parley.yaml", SITE)
    agent, boss = token_of(place, "agent", "planner", "operator"), token_of(place, "boss", "approver")
    with Server(place) as server:
        plan = server.call(agent, "plan_create", document=DOCUMENT)["plan"]
        assert "separated" in server.call(agent, "plan_apply", is_error=True, plan=plan)
        server.call(boss, "plan_approve", plan=plan)
        run = server.call(agent, "plan_apply", plan=plan)["run"]
        assert server.call(agent, "run_show", run=run, wait_seconds=60)["status"] == "done"
    audit = place.parley("audit", "list", "--json").json()
    approval = next(entry for entry in audit if entry["kind"] == "approval")
    assert approval["principal"] == "boss" and approval["level"] == "separated", approval
    assert place.parley("output", "shop", "said").out.strip() == "hello"


@test
def the_command_line_of_the_same_user_cannot_approve_where_separation_is_demanded(place):
    place.write("parley.yaml", SITE)
    place.write("shop.yaml", DOCUMENT)
    result = place.parley("up", "shop.yaml", "--yes", want=3)
    assert "separated" in result.err, result.err
    assert not place.parley("status", "--json").json()


@test
def a_document_from_elsewhere_reads_nothing_of_the_servers_machine(place):
    agent = token_of(place, "agent", "planner")
    place.write("secret.txt", "cnry-server-file\n")
    place.env["SERVER_SECRET"] = "cnry-server-variable"
    with Server(place) as server:
        for source in ("{ file: secret.txt }", "{ environment: SERVER_SECRET }", "{ command: [touch, ran] }"):
            text = server.call(agent, "plan_create", is_error=True, document=DOCUMENT + f"  secrets: {{ s: {source} }}\n")
            assert "another machine" in text and "cnry" not in text, text
        assert not os.path.exists(place.path("ran"))
        files = ("type: docker:image:build, name: i, properties: { context: . }",
                 "type: opnsense:firewall:alias, name: i, properties: { kind: urltable, url: 'file:///etc/passwd' }",
                 "type: opnsense:firewall:alias, name: i, properties: { kind: geoip, countries: [DE], database: /etc/shadow }")
        for resource in files:
            text = server.call(agent, "plan_create", is_error=True,
                               document=f"deployment:\n  name: x\n  resources:\n    - {{ {resource} }}\n")
            assert "another machine" in text, text
        assert "reads no files for others" in server.call(agent, "plan_create", is_error=True, file="shop.yaml")


@test
def what_clients_keep_is_good_after_a_restart_and_in_no_other_home(place):
    boss = token_of(place, "boss", "admin")
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
               "Authorization": "Bearer " + boss}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    asking = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    with Server(place) as server:
        server.send(hello, headers)
        headers["Mcp-Session-Id"] = server.session
        plan = server.call(boss, "plan_create", document=DOCUMENT)["plan"]
        server.process.kill()
    with Server(place) as server:
        assert server.send(ping, headers)[0] == 200
        answer = server.post(boss, "tools/call", name="plan_approve", arguments={"plan": plan}, _meta=asking)[1]
        assert answer["result"]["resultType"] == "input_required", answer
    os.rename(place.path("home/secret.key"), place.path("other.key"))
    with Server(place) as server:
        assert server.send(ping, headers)[0] == 404


@test
def an_answer_counts_only_to_what_the_same_approver_was_asked(place):
    agent, boss, chief = [token_of(place, *who) for who in (("agent", "planner"), ("boss", "approver"), ("chief", "approver"))]
    asking = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    yes = {"consent": {"action": "accept", "content": {"name": "shop"}}}

    def approve(server, token, plan, **more):
        return server.post(token, "tools/call", name="plan_approve", arguments={"plan": plan}, _meta=asking, **more)[1]

    with Server(place) as server:
        plan, other = [server.call(agent, "plan_create", document=DOCUMENT.replace("hello", word))["plan"]
                       for word in ("hello", "bye")]
        # Nobody was asked yet.
        answer = approve(server, boss, plan, inputResponses=yes)["result"]
        assert answer["resultType"] == "input_required", answer
        state = answer["requestState"]
        middle = len(state) // 2
        edited = state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1:]
        for token, about, given in ((chief, plan, state), (boss, other, state), (boss, plan, edited)):
            answer = approve(server, token, about, inputResponses=yes, requestState=given)
            assert answer["error"]["code"] == -32602, answer
        server.process.kill()
    with Server(place) as server:
        assert not [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "approval"]
        answer = approve(server, boss, plan, inputResponses=yes, requestState=state)["result"]
        assert answer["resultType"] == "complete" and not answer["isError"], answer
    approval, = [entry for entry in place.parley("audit", "list", "--json").json() if entry["kind"] == "approval"]
    assert approval["principal"] == "boss" and approval["plan"] == plan, approval


@test
def a_server_that_is_killed_leaves_the_run_going(place):
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", "site: { instances: { acme.lab: { driver: fake, latency: 700ms } } }\n")
    admin = token_of(place, "admin", "admin")
    with Server(place) as server:
        plan = server.call(admin, "plan_create", document="deployment:\n  name: slow\n  resources:\n    - { type: "
                           "acme:thing:box, name: first, properties: { size: 1 } }\n")["plan"]
        server.call(admin, "plan_approve", plan=plan)
        run = server.call(admin, "plan_apply", plan=plan)["run"]
        server.process.kill()
    with Server(place) as server:
        assert server.call(admin, "run_show", run=run, wait_seconds=60)["status"] == "done"


LONG_SITE = "site: { instances: { acme.lab: { driver: fake, latency: 700ms } }%s }\n"


def with_long_runs(place):
    """Gives the token of an admin."""
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", LONG_SITE % "")
    return token_of(place, "admin", "admin")


class Waiting:
    """A long run, and so many clients that wait for its end."""

    def __init__(self, server, token, n):
        self.server, self.token, self.seen = server, token, []
        plan = server.call(token, "plan_create", document=chain("slow", 60))["plan"]
        server.call(token, "plan_approve", plan=plan)
        self.run = server.call(token, "plan_apply", plan=plan)["run"]
        self.threads = [threading.Thread(target=self.wait) for _ in range(n)]
        for thread in self.threads:
            thread.start()
        deadline = time.monotonic() + 60
        while self.status() == "pending":
            assert time.monotonic() < deadline
        time.sleep(1)  # until all of them wait

    def status(self, **more):
        return self.server.call(self.token, "run_show", run=self.run, **more)["status"]

    def wait(self):
        self.seen.append(self.status(wait_seconds=60))

    def stop(self):
        self.server.call(self.token, "run_control", action="cancel", run=self.run)
        for thread in self.threads:
            thread.join()
        assert self.seen == ["cancelled"] * len(self.threads), self.seen


@test
def many_who_wait_for_a_run_keep_nobody_from_stopping_it(place):
    """More than there are services for calls at work; the list of tools needs one of its own to look at the site."""
    admin = with_long_runs(place)
    with Server(place) as server:
        waiting = Waiting(server, admin, 40)
        assert "run_control" in server.tools(admin)
        waiting.stop()
        assert waiting.status() == "cancelled"


@test
def what_was_asked_under_another_site_leaves_nothing_of_it_to_who_asks_later(place):
    admin = with_long_runs(place)
    with Server(place) as server:
        waiting = Waiting(server, admin, 3)
        place.write("parley.yaml", LONG_SITE % ", caps: [read-only]")
        deadline = time.monotonic() + 60
        while "plan_apply" in server.tools(admin):
            assert time.monotonic() < deadline
        waiting.stop()
        for _ in range(5):
            refused = server.call(admin, "run_control", is_error=True, action="resume", deployment="slow")
            assert "says read-only" in refused, refused


if __name__ == "__main__":
    main()
