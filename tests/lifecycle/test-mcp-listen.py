#!/usr/bin/env python3
"""Who listens is told what any process changes: over standard input and output and over HTTP, in both eras."""
import http.client
import json
import time

import mcp_client
from lifecycle import CATALOG, main, test
from mcp_client import META
from mcp_server import Server, token_of

DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: core:data:value, name: a, properties: { value: %s } }
"""
URIS = ["parley://deployment/shop", "parley://document/shop", "parley://deployments", "parley://type/core:data:value"]
UPDATED, LIST_CHANGED = "notifications/resources/updated", "notifications/resources/list_changed"
TOOLS_CHANGED = "notifications/tools/list_changed"


class Stdio(mcp_client.Client):
    def __init__(self, place):
        super().__init__(place.line("mcp"), place.env, place.folder)

    def next(self):
        return self.read_any()

    def listen(self, uris=tuple(URIS)):
        self.n += 1
        wanted = {"resourceSubscriptions": list(uris), "resourcesListChanged": True, "toolsListChanged": True}
        self.write({"jsonrpc": "2.0", "id": self.n, "method": "subscriptions/listen",
                    "params": {"notifications": wanted, "_meta": META}})
        first = self.next()
        assert first["method"] == "notifications/subscriptions/acknowledged", first
        assert first["params"]["notifications"] == wanted, first
        return self.n


class Stream:
    """What a server writes to one that listens over HTTP, event by event."""

    def __init__(self, server, method, body, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self.connection.request(method, "/mcp", json.dumps(body) if body else None, headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, (self.response.status, self.response.read())
        assert self.response.getheader("Content-Type") == "text/event-stream"

    def next(self):
        while True:
            line = self.response.readline().decode()
            assert line, "the stream has ended"
            if line.startswith("data: "):
                return json.loads(line[6:])

    def close(self):
        self.connection.close()


def apply(place, value):
    """A change by another process."""
    place.write("shop.yaml", DOCUMENT % value)
    place.parley("up", "shop.yaml", "--yes")


def wait_for(client, wanted):
    """Reads until everything wanted was told; returns all that was."""
    told, missing = [], set(wanted)
    while missing:
        message = client.next()
        told.append((message["method"], message["params"].get("uri")))
        missing.discard(told[-1])
    return told


ALL = [(UPDATED, uri) for uri in URIS[:3]] + [(LIST_CHANGED, None)]


@test
def a_modern_client_is_told_over_stdio_what_another_process_changes(place):
    with Stdio(place) as client:
        client.listen()
        apply(place, "one")
        told = wait_for(client, ALL)
        assert not [uri for _, uri in told if uri and uri.startswith("parley://type")], told
        apply(place, "two")
        told = wait_for(client, ALL[:3])
        assert (LIST_CHANGED, None) not in told, told
        assert "value: two" in client.ask("resources/read", uri=URIS[1])["result"]["contents"][0]["text"]


@test
def a_legacy_client_is_told_over_stdio_what_it_subscribed_to(place):
    with Stdio(place) as client:
        client.begin("2025-06-18")
        for uri in URIS[:2]:
            assert client.ask("resources/subscribe", uri=uri)["result"] == {}
        apply(place, "one")
        told = wait_for(client, [*ALL[:2], ALL[3]])
        assert (UPDATED, URIS[2]) not in told, told
        client.ask("resources/unsubscribe", uri=URIS[0])
        client.notes.clear()
        apply(place, "two")
        told = wait_for(client, [ALL[1]])
        assert (UPDATED, URIS[0]) not in told, told


@test
def a_run_and_a_plan_are_told_of_while_they_change(place):
    place.write("shop.yaml", DOCUMENT % "one")
    plan = place.parley("plan", "shop.yaml", "--json").json()["hash"]
    with Stdio(place) as client:
        client.listen([f"parley://plan/{plan}"])
        place.parley("up", "shop.yaml", "--yes")
        wait_for(client, [(UPDATED, f"parley://plan/{plan}")])
    place.write("catalog/acme.yaml", CATALOG)
    place.write("parley.yaml", "site: { instances: { acme.lab: { driver: fake, latency: 2s } } }\n")
    with Stdio(place) as client:
        plan = client.call("plan_create", document="deployment:\n  name: slow\n  resources:\n    - { type: acme:thing:box,"
                           " name: first, properties: { size: 1 } }\n")["plan"]
        client.call("plan_approve", plan=plan)
        run = client.call("plan_apply", plan=plan)["run"]
        client.listen([f"parley://run/{run}"])
        wait_for(client, [(UPDATED, f"parley://run/{run}")])


@test
def what_the_operator_forbids_changes_the_list_of_tools(place):
    place.write("parley.yaml", "site: { }\n")
    with Stdio(place) as client:
        client.listen()
        before = {tool["name"] for tool in client.tools()}
        place.write("parley.yaml", "site: { caps: [read-only] }\n")
        wait_for(client, [(TOOLS_CHANGED, None), (UPDATED, URIS[3])])
        after = {tool["name"] for tool in client.tools()}
        assert "plan_apply" in before and "plan_apply" not in after, after


def headers_of(token, **more):
    return {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
            "Authorization": "Bearer " + token} | more


@test
def clients_of_both_eras_are_told_over_http_what_another_process_changes(place):
    token = token_of(place, "viewer", "viewer")
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}}
    modern = {"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {
        "notifications": {"resourceSubscriptions": URIS, "resourcesListChanged": True}, "_meta": META}}
    with Server(place) as server:
        assert server.send(hello, headers_of(token))[1]["result"]["capabilities"]["resources"]["subscribe"]
        session = headers_of(token, **{"Mcp-Session-Id": server.session})
        old = Stream(server, "GET", None, session)
        for number, uri in enumerate(URIS[:2]):
            body = {"jsonrpc": "2.0", "id": number, "method": "resources/subscribe", "params": {"uri": uri}}
            assert server.send(body, session)[1]["result"] == {}
        new = Stream(server, "POST", modern, headers_of(token, **{
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"}))
        assert new.next()["method"] == "notifications/subscriptions/acknowledged"
        apply(place, "one")
        for stream in (old, new):
            wait_for(stream, [*ALL[:2], ALL[3]])
        new.close()
        apply(place, "two")
        wait_for(old, ALL[:2])
        old.close()


@test
def a_session_of_before_is_told_that_its_subscriptions_are_gone(place):
    token = token_of(place, "viewer", "viewer")
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}}
    subscribe = {"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": URIS[0]}}
    with Server(place) as server:
        server.send(hello, headers_of(token))
        session = headers_of(token, **{"Mcp-Session-Id": server.session})
        assert server.send(subscribe, session)[1]["result"] == {}
    with Server(place) as server:
        stream = Stream(server, "GET", None, session)
        assert stream.next()["method"] == LIST_CHANGED
        said = stream.next()
        assert said["method"] == "notifications/message" and "subscribe" in said["params"]["data"], said
        assert server.send(subscribe, session)[1]["result"] == {}
        apply(place, "one")
        wait_for(stream, [ALL[0]])
        stream.close()
        # Once it has subscribed again, and for a session of this server, there is nothing to say.
        server.send(hello, headers_of(token))
        for headers in (session, headers_of(token, **{"Mcp-Session-Id": server.session})):
            stream = Stream(server, "GET", None, headers)
            server.send(subscribe, headers)
            apply(place, f"for-{headers is session}")
            first = stream.next()
            assert (first["method"], first["params"]) == (UPDATED, {"uri": URIS[0]}), first
            stream.close()


@test
def who_may_not_listen_gets_no_stream(place):
    token = token_of(place, "viewer", "viewer")
    with Server(place) as server:
        for headers, want in ((headers_of(token), 405), (headers_of(token, **{"Mcp-Session-Id": "x"}), 404),
                              (headers_of("wrong", **{"Mcp-Session-Id": "x"}), 401)):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
            connection.request("GET", "/mcp", None, headers)
            assert connection.getresponse().status == want, headers
            connection.close()


@test
def who_goes_at_once_keeps_no_server(place):
    for number in range(10):
        with Stdio(place) as client:
            if number % 2:
                client.begin("2025-11-25")
            else:
                client.write({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
                              "params": {"notifications": {"toolsListChanged": True}, "_meta": META}})


def naps_of(pid):
    """How often a process went to sleep by itself."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


@test
def while_nobody_listens_nothing_is_looked_at(place):
    apply(place, "one")
    with Stdio(place) as client:
        number = client.listen()
        client.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
        while client.next().get("id") != number:
            pass
        before, until = naps_of(client.process.pid), time.monotonic() + 8
        while time.monotonic() < until:
            apply(place, str(until))
        # Looking once a second would be eight; a page that had to be fetched is one, too.
        assert naps_of(client.process.pid) - before <= 4, "it woke up though nobody listens"


if __name__ == "__main__":
    main()
