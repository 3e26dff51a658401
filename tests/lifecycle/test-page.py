#!/usr/bin/env python3
"""The approval page of `parley serve`: a link to a plan proves nothing, is one decision's, and an approver signs in."""
import concurrent.futures
import http.client
import json
import re
import threading

from approval_page import link_in
from lifecycle import box, data, document, main, test, wait_until
from mcp_server import Server, token_of
from page_scene import Scene

@test
def an_approver_signs_in_sees_the_plan_and_approves_it(place):
    with Scene(place) as scene:
        plan, link = scene.plan()
        browser = scene.browser(link)
        first = browser.get()
        assert first.status == 200 and "demo" not in first.words and plan[:12] not in first.text, first.text
        signed_in = browser.sign_in(scene.boss)
        cookie = signed_in.headers["Set-Cookie"]
        assert signed_in.status == 303 and signed_in.headers["Location"] == browser.path
        for part in ("HttpOnly", "SameSite=Strict", f"Path={browser.path}", "Max-Age="):
            assert part in cookie, cookie
        shown = browser.get()
        text = scene.server.post(scene.boss, "tools/call", name="plan_show", arguments={"plan": plan})[1]["result"]
        text = text["content"][0]["text"].split("\nNothing was changed")[0]
        assert shown.status == 200 and "boss" in shown.words and plan in text, shown.words
        assert text in shown.words, shown.words
        assert scene.apply(plan)[0] is None
        assert "Approved" in browser.decide("approve").words
        (approval,) = scene.entries("approval")
        assert approval["principal"] == "boss" and approval["client"] == "page", approval
        assert approval["level"] == "separated" and approval["plan"] == plan, approval
        scene.run(plan)


@test
def every_answer_of_the_page_is_kept_framed_and_run_by_nobody(place):
    with Scene(place) as scene:
        _, link = scene.plan()
        browser = scene.browser(link)
        answers = [browser.get(), browser.post(form="x", token="y"), browser.ask("PUT"),
                   browser.ask("GET", "/approve/x"), browser.sign_in(scene.boss), browser.get()]
        assert [answer.status for answer in answers] == [200, 403, 405, 404, 303, 200]
        for answer in answers:
            policy = answer.headers["Content-Security-Policy"]
            assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'; "
                                r"frame-ancestors 'none'; base-uri 'none'", policy), policy
            assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert "<script" not in answer.text and " on" not in re.sub(r">[^<]*<", "><", answer.text)


@test
def a_refusal_takes_back_what_was_approved_and_uses_the_link(place):
    with Scene(place) as scene:
        plan, link = scene.plan()
        other = scene.browser(scene.plan()[1], scene.other)
        browser = scene.browser(link, scene.boss)
        assert "Approved" in browser.decide("approve").words
        assert "Refused" in other.decide("refuse").words
        run, why = scene.apply(plan)
        assert run is None and "other refused it" in why, why
        (refusal,) = scene.entries("refusal")
        assert refusal["principal"] == "other" and refusal["client"] == "page" and refusal["plan"] == plan, refusal
        assert "Refused by other, page" in place.parley("approval", "show", plan).out


@test
def a_used_link_stays_used_also_for_a_server_that_was_started_anew(place):
    with Scene(place) as scene:
        plan, link = scene.plan()
        browser = scene.browser(link, scene.boss)
        form = browser.get().form
        assert "Approved" in browser.post(form=form, decision="approve").words
        assert browser.get().status == 410
        assert browser.post(form=form, decision="approve").status == 410
        assert browser.post(form=form, decision="refuse").status == 410
        scene.server.__exit__()
        scene.server = Server(place)
        again = scene.browser(link, scene.boss)
        assert again.get().status == 410
        browser.port, browser.origin = again.port, again.origin
        assert browser.post(form=form, decision="refuse").status == 410
        assert len(scene.entries("approval")) == 1 and not scene.entries("refusal")
        assert [entry["principal"] for entry in scene.entries("refused")].count("boss") >= 2
        scene.run(plan)


@test
def what_destroys_is_marked_and_wants_the_name_typed(place):
    with Scene(place) as scene:
        plan, link = scene.plan({"a": data(1), "b": data(2)}, "production")
        scene.browser(link, scene.boss).decide("approve", name="demo")
        scene.run(plan)
        plan, link = scene.plan({"a": data(1)}, "production")
        browser = scene.browser(link, scene.boss)
        shown = browser.get()
        assert "This destroys 1 resource of production" in shown.words and "delete b#1" in shown.words, shown.words
        for fields in ({}, {"name": ""}, {"name": "dmeo"}, {"name": "demo "}):
            refused = browser.decide("approve", **fields)
            assert refused.status == 403 and "was not typed" in refused.words, fields
        assert scene.apply(plan)[0] is None
        assert "Approved" in browser.decide("approve", name="demo").words
        scene.run(plan)


@test
def names_and_values_are_text_on_the_page_and_never_html(place):
    with Scene(place) as scene:
        hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;</pre>"
        plan, link = scene.plan({"a": data(1), "b": data(2)})
        scene.browser(link, scene.boss).decide("approve")
        scene.run(plan)
        _, link = scene.plan({"a": data(hostile), "b": data("\u202eevil")})
        text = scene.browser(link, scene.boss).get().text
        assert "<script" not in text and "<img" not in text and text.count("</pre>") == 2, text
        assert "&lt;script&gt;alert(1)" in text and "\u202e" not in text, text


@test
def secrets_are_not_on_the_page(place):
    with Scene(place) as scene:
        place.write("s.yaml", document("demo", {"a": data("${secret.s}")}, extra="  secrets: { s: { environment: S } }\n"))
        place.env["S"] = "cnry-page-secret"
        plan = place.parley("plan", "s.yaml", "--json", want=None)
        if plan.code not in (0, 2):
            raise AssertionError(plan.err)
        hash_ = plan.json()["hash"]
        why = scene.apply(hash_)[1]
        page = scene.browser(link_in(why), scene.boss).get()
        assert hash_ in page.words and "cnry" not in page.text, page.text


@test
def many_steps_have_pages(place):
    with Scene(place) as scene:
        _, link = scene.plan({f"r{i:03}": data(i) for i in range(450)})
        browser = scene.browser(link, scene.boss)
        assert "3 pages" in browser.get().words
        seen = "".join(browser.ask("GET", f"{browser.path}?page={i}").words for i in (1, 2, 3))
        assert all(f"r{i:03}" in seen for i in range(450))
        for odd in ("page=0", "page=4", "page=x", "pag", "page=99999999999999999999"):
            assert browser.ask("GET", f"{browser.path}?{odd}").status == 200, odd


@test
def who_made_the_plan_does_not_approve_it_where_four_eyes_are_wanted(place):
    with Scene(place, site="site: { environments: { default: { approval: { level: separated, fourEyes: true } } } }\n") as scene:
        both = token_of(place, "agent", "approver")
        plan, link = scene.plan()
        refused = scene.browser(link, both).decide("approve")
        assert refused.status == 403 and "made the plan" in refused.words, refused.words
        assert scene.apply(plan)[0] is None
        assert "Approved" in scene.browser(scene.plan()[1], scene.boss).decide("approve").words
        scene.run(plan)


@test
def where_a_signature_is_demanded_the_page_refuses_and_does_not_approve(place):
    with Scene(place) as scene:
        plan, link = scene.plan()
        place.write("parley.yaml", "site: { approval: signed }\n")
        browser = scene.browser(link, scene.boss)
        # The server looks at its site once a second.
        wait_until(lambda: "parley approve" in browser.get().words, "the server read its site anew")
        shown = browser.get()
        assert "parley approve" in shown.words and 'value="approve"' not in shown.text, shown.words
        assert browser.post(form=shown.form, decision="approve").status == 403
        assert scene.apply(plan)[0] is None
        assert "Refused" in browser.decide("refuse").words


@test
def who_guesses_is_put_off_and_who_may_approve_signs_in_all_the_same(place):
    with Scene(place) as scene:
        plan, link = scene.plan()
        stranger = scene.browser(link)
        answers = [stranger.sign_in("parley_" + "A" * 43).status for _ in range(40)]
        assert set(answers) == {403, 429} and answers[0] == 403, answers
        late = stranger.sign_in("parley_" + "A" * 43)
        assert late.status == 403 or int(late.headers["Retry-After"]) > 0
        assert "Approved" in scene.browser(link, scene.boss).decide("approve").words
        scene.run(plan)


# --- Through the client ---

URL = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}


def start(scene, token, tool, plan, **params):
    return scene.server.post(token, "tools/call", name=tool, arguments={"plan": plan}, _meta=URL, **params)[1]["result"]


@test
def a_client_that_opens_addresses_is_given_the_link_and_the_run_begins_once_it_is_approved(place):
    with Scene(place) as scene:
        plan, _ = scene.plan()
        asked = start(scene, scene.agent, "plan_apply", plan)
        assert asked["resultType"] == "input_required", asked
        (key, request), = asked["inputRequests"].items()
        assert request["method"] == "elicitation/create" and request["params"]["mode"] == "url", request
        assert set(request["params"]) == {"mode", "message", "url"}, request
        declined = start(scene, scene.agent, "plan_apply", plan, inputResponses={key: {"action": "decline"}})
        assert declined["isError"] and "/approve/" in declined["content"][0]["text"], declined
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begun = pool.submit(start, scene, scene.agent, "plan_apply", plan,
                                inputResponses={key: {"action": "accept"}})
            scene.browser(request["params"]["url"], scene.boss).decide("approve")
            result = begun.result(60)
        assert not result["isError"], result
        run = result["structuredContent"]["run"]
        assert scene.server.call(scene.agent, "run_show", run=run, wait_seconds=60)["status"] == "done"


@test
def an_approver_whose_client_has_no_forms_approves_on_a_page_of_his_own(place):
    with Scene(place) as scene:
        plan, _ = scene.plan()
        asked = start(scene, scene.boss, "plan_approve", plan)
        (key, request), = asked["inputRequests"].items()
        link = request["params"]["url"]
        other = scene.browser(link)
        assert other.sign_in(scene.other).status == 403
        assert "another principal" in scene.entries("refused")[-1]["reason"]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(start, scene, scene.boss, "plan_approve", plan, inputResponses={key: {"action": "accept"}})
            scene.browser(link, scene.boss).decide("approve")
            result = done.result(60)
        assert not result["isError"] and result["structuredContent"]["approvals"][0]["client"] == "page", result
        scene.run(plan)


@test
def a_client_of_the_former_era_is_asked_on_its_stream(place):
    """2025-11-25: the elicitation has an id, and the answer comes as a message of its own."""
    with Scene(place) as scene:
        plan, _ = scene.plan()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
                   "Authorization": "Bearer " + scene.agent}
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"url": {}}},
            "clientInfo": {"name": "c", "version": "1"}}}
        scene.server.send(hello, headers)
        headers["Mcp-Session-Id"] = scene.server.session
        connection = http.client.HTTPConnection("127.0.0.1", scene.server.port, timeout=60)
        connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "plan_apply", "arguments": {"plan": plan}}}), headers)
        response = connection.getresponse()
        question = next_message(response)
        assert question["method"] == "elicitation/create" and question["params"]["elicitationId"], question
        scene.browser(question["params"]["url"], scene.boss).decide("approve")
        threading.Thread(target=scene.server.send, args=(
            {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}, headers)).start()
        answer = next_message(response)
        while "result" not in answer:
            answer = next_message(response)
        assert not answer["result"]["isError"], answer
        connection.close()
        run = answer["result"]["structuredContent"]["run"]
        assert scene.server.call(scene.agent, "run_show", run=run, wait_seconds=60)["status"] == "done"


def next_message(stream):
    """The next one of an event stream."""
    while True:
        line = stream.readline().decode()
        assert line, "the stream has ended"
        if line.startswith("data: "):
            return json.loads(line[len("data: "):])


# --- Races ---

@test
def of_an_approval_a_refusal_and_applications_at_once_the_order_of_the_store_decides(place):
    """Many turns, each of several processes at once: never does a run begin behind a refusal without another yes, nor two
    by one yes."""
    site = ("site:\n  approval: separated\n  instances:\n    acme.lab: { driver: fake, "
            "fail: [{ verb: create, how: refuse, count: 1000 }] }\n")
    place.with_boxes()
    with Scene(place, site=site) as scene, concurrent.futures.ThreadPoolExecutor(8) as pool:
        n_begun = 0
        for turn in range(12):
            plan, link = scene.plan({"one": box(colour="red")}, name=f"turn{turn}")
            yes = scene.browser(link, scene.boss)
            form = yes.get().form
            no = scene.browser(scene.plan({"one": box(colour="red")}, name=f"turn{turn}")[1], scene.other)
            jobs = [pool.submit(yes.post, form=form, decision="approve") for _ in range(2)]
            jobs += [pool.submit(scene.apply, plan) for _ in range(3)]
            jobs += [pool.submit(scene.apply, plan) for _ in range(2)]
            jobs += [pool.submit(no.decide, "refuse")] if turn % 3 == 0 else []
            ends = [job.result() for job in jobs]
            assert sorted(one.status for one in ends[:2]) == [200, 410], [one.words for one in ends[:2]]
            late = scene.apply(plan)
            assert turn % 3 == 0 or late[0] or any(end[0] for end in ends[2:7]), late
            for run in (end[0] for end in ends[2:7] + [late] if end[0]):
                scene.server.call(scene.agent, "run_show", run=run, wait_seconds=60)
        standing = {}
        for entry in sorted(place.parley("audit", "list", "--json").json(), key=lambda entry: entry["number"]):
            if entry["kind"] in ("approval", "refusal"):
                standing[entry["plan"]] = entry["kind"] == "approval"
            elif entry["kind"] == "run" and entry["status"] == "running":
                assert standing.get(entry["plan"]), entry
                standing[entry["plan"]] = False
                n_begun += 1
        assert n_begun >= 8, n_begun


if __name__ == "__main__":
    main()
