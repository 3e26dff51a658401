#!/usr/bin/env python3
"""Attacks on approval at the level separated: the server runs as a user of its own, the agent has another user's shell and
a token that plans and operates. Whatever it tries, nothing takes effect that nobody approved."""
import concurrent.futures
import hashlib
import os
import signal
import socket
import time
import uuid

from attack_scene import DOCUMENT, Scene
from lifecycle import main, test

SITE = "site: { approval: { level: separated, expires: 2s } }\n"
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
ATTACKS = []


def attack(function):
    ATTACKS.append(function)
    return function


# --- Through the server ---

# A wrong token, or one of so many that the address is put off.
REFUSED = (401, 429)


@attack
def apply_without_approval(scene):
    scene.apply()


@attack
def call_the_hidden_tool(scene):
    answer = scene.server.post(scene.agent, "tools/call", name="plan_approve",
                               arguments={"plan": scene.plan, "confirm": "shop"})[1]
    assert "error" in answer, answer


@attack
def forge_the_answer_to_an_elicitation(scene):
    scene.server.post(scene.agent, "tools/call", name="plan_approve", arguments={"plan": scene.plan},
                      inputResponses={"consent": {"action": "accept", "content": {"name": "shop"}}},
                      _meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})


@attack
def make_up_a_request_state(scene):
    scene.server.post(scene.agent, "tools/call", name="plan_apply", arguments={"plan": scene.plan}, requestState="A" * 80)


@attack
def replay_the_approvers_request_state(scene):
    asked = scene.server.post(scene.boss, "tools/call", name="plan_approve", arguments={"plan": scene.plan},
                              _meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})[1]["result"]
    assert asked["resultType"] == "input_required", asked
    scene.server.post(scene.agent, "tools/call", name="plan_approve", arguments={"plan": scene.plan},
                      requestState=asked["requestState"],
                      inputResponses={"consent": {"action": "accept", "content": {"name": "shop"}}},
                      _meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})


@attack
def answer_a_question_that_the_approver_was_asked(scene):
    for number in [str(uuid.uuid4()) for _ in range(50)]:
        scene.server.send({"jsonrpc": "2.0", "id": number, "result": {"action": "accept", "content": {"name": "shop"}}},
                          JSON | {"Authorization": "Bearer " + scene.agent})


@attack
def use_another_plans_approval(scene):
    harmless = scene.make_plan("harmless")
    scene.server.call(scene.boss, "plan_approve", plan=harmless)
    scene.apply(scene.plan)


@attack
def use_an_approval_that_has_expired(scene):
    scene.server.call(scene.boss, "plan_approve", plan=scene.plan)
    time.sleep(2.5)
    scene.apply()


@attack
def race_an_approval_of_another_plan(scene):
    harmless = scene.make_plan("other")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        began = [pool.submit(scene.apply) for _ in range(16)]
        scene.server.call(scene.boss, "plan_approve", plan=harmless)
        assert not any(one.result() for one in began)


@attack
def show_the_digest_instead_of_the_token(scene):
    digest = hashlib.sha256(scene.boss.encode()).hexdigest()
    for text in (digest, "sha256:" + digest):
        assert scene.server.post(text, "tools/list")[0] in REFUSED


@attack
def guess_tokens(scene):
    for number in range(200):
        guess = "parley_" + hashlib.sha256(str(number).encode()).hexdigest()[:43]
        assert scene.server.post(guess, "tools/list")[0] in REFUSED


@attack
def show_two_tokens(scene):
    request = (f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer "
               f"{scene.agent}\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")
    with socket.create_connection(("127.0.0.1", scene.server.port), timeout=60) as connection:
        connection.sendall(request.encode())
        assert int(connection.recv(4096).split()[1]) in REFUSED


@attack
def hide_a_request_behind_another(scene):
    inner = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {scene.agent}\r\nContent-Length: 2\r\n\r\n{{}}"
    request = (f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
               f"{inner}")
    with socket.create_connection(("127.0.0.1", scene.server.port), timeout=60) as connection:
        connection.sendall(request.encode())
        assert b" 400 " in connection.recv(4096)


@attack
def take_the_approvers_session(scene):
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}
    scene.server.send(body, JSON | {"Authorization": "Bearer " + scene.boss})
    for session in ("x", "A" * 200):
        status, _ = scene.server.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                                       "params": {"name": "plan_approve", "arguments": {"plan": scene.plan}}},
                                      JSON | {"Authorization": "Bearer " + scene.agent, "Mcp-Session-Id": session})
        assert status == 404


@attack
def come_from_a_page(scene):
    status, _ = scene.server.post(scene.boss, "tools/list", more_headers={"Origin": "http://evil.example"})
    assert status == 403


@attack
def plan_a_document_that_runs_a_program_of_the_server(scene):
    command = f"[{scene.place.program}, up, {scene.agents_folder}/shop.yaml, --yes, --home, {scene.place.home}]"
    scene.server.call(scene.agent, "plan_create", is_error=True,
                      document=DOCUMENT % "x" + f"  secrets: {{ s: {{ command: {command} }} }}\n")


@attack
def resume_what_never_began(scene):
    scene.server.post(scene.agent, "tools/call", name="run_control", arguments={"action": "resume", "deployment": "shop"})


# --- With a shell ---

@attack
def approve_at_the_command_line(scene):
    assert scene.parley("approve", scene.plan, "--yes").returncode != 0


@attack
def apply_at_the_command_line(scene):
    assert scene.parley("apply", scene.plan, "--yes").returncode != 0


@attack
def name_a_site_that_demands_nothing(scene):
    site = os.path.join(scene.agents_folder, "mine.yaml")
    scene.python(f"open({site!r}, 'w').write('site: {{}}\\n')")
    assert scene.parley("apply", scene.plan, "--yes", "--site", site).returncode != 0


@attack
def carry_a_run_out_by_hand(scene):
    assert scene.parley("run", "exec", str(uuid.uuid4())).returncode != 0


@attack
def make_oneself_a_token(scene):
    assert scene.parley("token", "new", "me", "--role", "approver").returncode != 0


@attack
def edit_the_site_the_store_and_the_tokens(scene):
    for name in ("parley.yaml", "home/parley.db", "home/tokens.yaml"):
        assert "PermissionError" in scene.python(f"open({scene.place.path(name)!r}, 'a')").stderr, name


@attack
def put_another_store_in_its_place(scene):
    for code in (f"os.rename({scene.place.home!r}, {scene.place.home!r} + '-x')", f"os.listdir({scene.place.home!r})",
                 f"os.symlink('/tmp', {scene.place.home + '/fake'!r})"):
        assert "PermissionError" in scene.python("import os; " + code).stderr, code


@attack
def read_the_servers_memory(scene):
    pid = scene.server.process.pid
    assert "PermissionError" in scene.python(f"open('/proc/{pid}/mem', 'rb')").stderr
    assert "PermissionError" in scene.python(f"open('/proc/{pid}/environ', 'rb').read()").stderr


@attack
def end_the_server(scene):
    assert "PermissionError" in scene.python(f"import os; os.kill({scene.server.process.pid}, 9)").stderr


@attack
def speak_to_the_sockets_of_runs(scene):
    folder = scene.place.env["XDG_RUNTIME_DIR"]
    assert "PermissionError" in scene.python(f"import os; os.listdir({folder!r})").stderr


@test
def at_separated_no_attack_has_an_effect(place):
    scene = Scene(place, SITE)
    assert len(ATTACKS) >= 20
    with scene.server:
        scene.try_all(ATTACKS)
        scene.server.call(scene.boss, "plan_approve", plan=scene.plan)
        scene.show_that_it_would_have_had_an_effect()


@test
def at_none_what_a_program_approved_is_told_as_that(place):
    place.write("shop.yaml", DOCUMENT % "hello")
    place.parley("up", "shop.yaml", "--yes")
    assert "no proof of a person" in place.parley("audit", "list").out
    assert "no proof of a person" in place.parley("history", "shop").out


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
