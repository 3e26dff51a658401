"""Attacks on the approval page, with what an agent has: the link, a token of its own, a shell of another user, and at best a
browser that an approver is signed in with. Each leaves the plan unapproved."""
import base64
import http.client
import random
import urllib.parse

from approval_page import Browser

URL = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
NONE = (404, 429)  # There is no such page, or too many were asked for that are not there.
ATTACKS = []


def attack(function):
    ATTACKS.append(function)
    return function


def signed_in(scene, token, link=None):
    browser = Browser(scene.server, link or scene.link())
    assert browser.sign_in(token).status == 303
    return browser


def yes(browser, form, status, **headers):
    answer = browser.post(form=form, decision="approve", name="shop", headers=headers)
    assert answer.status == status and "Approved" not in answer.words, (answer.status, answer.words)


@attack
def open_the_link_and_approve_without_signing_in(scene):
    browser = Browser(scene.server, scene.link())
    shown = browser.get()
    assert scene.plan not in shown.text and "shop" not in shown.words
    yes(browser, shown.form, 403)


@attack
def sign_in_with_the_token_of_the_agent(scene):
    browser = Browser(scene.server, scene.link())
    answer = browser.sign_in(scene.agent)
    assert answer.status == 403 and not answer.headers["Set-Cookie"]
    yes(browser, browser.get().form, 403)


@attack
def sign_in_with_made_up_tokens(scene):
    browser = Browser(scene.server, scene.link())
    for token in ("", "x", "parley_" + "A" * 43, scene.boss[:-1], scene.boss + " ", scene.boss.upper(), "A" * 5000):
        assert browser.sign_in(token).status in (403, 429), token


@attack
def guess_links(scene):
    browser = Browser(scene.server, scene.link())
    for _ in range(100):
        sealed = base64.urlsafe_b64encode(random.randbytes(150)).decode().rstrip("=")
        assert browser.ask("GET", "/approve/" + sealed).status in NONE
    for path in ("/approve/", "/approve/../mcp", "/approve/" + scene.plan, "/approve/%00", "/approve/a/b"):
        assert browser.ask("GET", path).status in NONE, path


@attack
def change_the_link(scene):
    """Any byte of it: another plan, principal or end would be in it."""
    browser = Browser(scene.server, scene.link())
    start = len("/approve/")
    for place in range(start, len(browser.path), 3):
        other = "A" if browser.path[place] != "A" else "B"
        path = browser.path[:place] + other + browser.path[place + 1:]
        # The last letter of base64 has bits that say nothing; libsodium refuses them.
        assert browser.ask("GET", path).status in NONE, place


@attack
def show_what_else_the_server_sealed_as_link_or_cookie(scene):
    """A session, the state of a request, a form, a pass: each is none of the others."""
    asked = scene.server.post(scene.boss, "tools/call", name="plan_approve", arguments={"plan": scene.plan},
                              _meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})[1]["result"]
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}
    scene.server.send(hello, {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
                              "Authorization": "Bearer " + scene.boss})
    session = scene.server.session
    assert session
    browser = signed_in(scene, scene.boss)
    form, sealed = browser.get().form, browser.cookie.split("=")[1]
    for text in (asked["requestState"], session, form, sealed):
        assert browser.ask("GET", "/approve/" + text).status in NONE
    for text in (browser.path[len("/approve/"):], form, session):
        thief = Browser(scene.server, browser.path)
        thief.cookie = "parley_approver=" + text
        yes(thief, form, 403)


@attack
def use_the_cookie_of_an_approver_for_another_link(scene):
    boss = signed_in(scene, scene.boss, scene.link(scene.make_plan("harmless")))
    thief = Browser(scene.server, scene.link())
    thief.cookie = boss.cookie
    yes(thief, boss.get().form, 403)
    yes(thief, Browser(scene.server, thief.path).get().form, 403)


@attack
def use_the_cookie_of_another_approver_for_a_link_that_is_not_his(scene):
    asked = scene.server.post(scene.boss, "tools/call", name="plan_approve", arguments={"plan": scene.plan}, _meta=URL)
    link = next(iter(asked[1]["result"]["inputRequests"].values()))["params"]["url"]
    browser = Browser(scene.server, link)
    assert browser.sign_in(scene.other).status == 403 and not browser.cookie
    thief = Browser(scene.server, link)
    thief.cookie = signed_in(scene, scene.other).cookie
    yes(thief, browser.get().form, 403)


@attack
def send_the_form_of_another_approver(scene):
    boss, other = signed_in(scene, scene.boss), None
    other = Browser(scene.server, boss.path)
    assert other.sign_in(scene.other).status == 303
    yes(boss, other.get().form, 403)
    yes(boss, Browser(scene.server, boss.path).get().form, 403)


@attack
def forge_the_request_from_another_page(scene):
    """The browser of an approver who is signed in sends its cookie, and says where the form comes from."""
    browser = signed_in(scene, scene.boss)
    form = browser.get().form
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{browser.port}.evil.example",
                   f"http://localhost:{browser.port}", "", f"{browser.origin}, http://evil.example", "file://"):
        yes(browser, form, 403, Origin=origin)
    yes(browser, form, 403, Origin=None)
    yes(browser, form, 403, Content_Type="text/plain")
    yes(browser, form, 403, Content_Type="multipart/form-data; boundary=x")
    answer = browser.ask("GET", f"{browser.path}?" + urllib.parse.urlencode({"form": form, "decision": "approve"}))
    assert answer.status == 200 and "Approved" not in answer.words
    for bad in ("", "x", form[:-1], form + "A"):
        yes(browser, bad, 403)


@attack
def reach_the_page_by_a_name_that_leads_here(scene):
    """DNS rebinding: a page's own name is this machine's address."""
    browser = signed_in(scene, scene.boss)
    form = browser.get().form
    connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=60)
    connection.request("POST", browser.path, urllib.parse.urlencode({"form": form, "decision": "approve"}), {
        "Host": f"evil.example:{browser.port}", "Origin": f"http://evil.example:{browser.port}",
        "Content-Type": "application/x-www-form-urlencoded", "Cookie": browser.cookie})
    assert connection.getresponse().status == 403
    connection.close()


@attack
def put_the_page_into_a_frame(scene):
    browser = signed_in(scene, scene.boss)
    for answer in (browser.get(), Browser(scene.server, browser.path).get()):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@attack
def send_fields_twice_or_others(scene):
    browser = signed_in(scene, scene.boss)
    form = browser.get().form
    for extra in ("&decision=approve", "&plan=" + scene.plan, "&principal=boss", "&token=" + scene.agent, "&", "&=", "&x"):
        body = urllib.parse.urlencode({"form": form, "decision": "approve"}) + extra
        answer = browser.ask("POST", body=body, Origin=browser.origin, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 403 and "Approved" not in answer.words, extra
    for decision in ("", "Approve", "approve ", "yes", "refuse approve"):
        answer = browser.post(form=form, decision=decision)
        assert answer.status != 200, decision


@attack
def keep_the_cookie_of_a_token_that_was_removed(scene):
    token = scene.token("leaver", ("approver",))
    browser = signed_in(scene, token)
    form = browser.get().form
    removed = scene.remove_token("leaver")
    assert removed.returncode == 0, removed.stderr
    yes(browser, form, 403)


@attack
def use_a_link_again(scene):
    """After a refusal: what was decided by it stays so."""
    browser = signed_in(scene, scene.boss)
    form = browser.get().form
    assert "Refused" in browser.post(form=form, decision="refuse").words
    yes(browser, form, 410)
    assert browser.get().status == 410
    again = signed_in(scene, scene.other, browser.path)
    yes(again, form, 403)
    assert again.get().status == 410


@attack
def send_a_long_or_broken_form(scene):
    browser = signed_in(scene, scene.boss)
    for body in ("a" * 9000, "form=%", "form=%00", "\0", "form=" + "%41" * 3000, ""):
        answer = browser.ask("POST", body=body, Origin=browser.origin, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 403, body[:20]
