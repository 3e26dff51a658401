#!/usr/bin/env python3
"""The approval page over TLS, and behind a proxy that has the certificate, takes a path off and calls the server by
another name: a browser that keeps to its rules signs in and decides."""
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse

from approval_page import Answer
from lifecycle import data, document, main, test
from mcp_server import Server, token_of

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
PROXY = """global
    log stderr format raw local0 err
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend people
    bind 127.0.0.1:{port} ssl crt {pem}
    http-request return status 404 if !{{ path_beg /infra/ }}
    http-request replace-path /infra(/.*) \\1
    {more}
    default_backend parley
backend parley
    server one 127.0.0.1:{server}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(place):
    """Certificate, key, and both in one file."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=parley.test", "-addext",
                    "subjectAltName=DNS:parley.test,IP:127.0.0.1", "-keyout", place.path("key.pem"), "-out",
                    place.path("certificate.pem")], check=True, capture_output=True)
    both = ""
    for name in ("certificate.pem", "key.pem"):
        with open(place.path(name), encoding="ascii") as file:
            both += file.read()
    place.write("both.pem", both)
    return place.path("certificate.pem"), place.path("key.pem"), place.path("both.pem")


class Browser:
    """Follows a link as browsers do: a cookie goes where its path says, a secure one over TLS alone, a form comes with
    the origin of its page."""

    def __init__(self, link, certificate):
        self.url, self.cookies = urllib.parse.urlsplit(link), []
        self.context = ssl.create_default_context(cafile=certificate)

    def ask(self, method, fields=None):
        # Whatever the name is, it leads to this machine.
        connection = http.client.HTTPSConnection("127.0.0.1", self.url.port, timeout=60, context=self.context)
        headers = {"Host": self.url.netloc}
        kept = [pair for pair, path in self.cookies if self.url.path == path or self.url.path.startswith(path + "/")]
        if kept:
            headers["Cookie"] = "; ".join(kept)
        if fields is not None:
            headers |= {"Origin": f"https://{self.url.netloc}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, self.url.path, fields and urllib.parse.urlencode(fields), headers)
        answer = Answer(connection.getresponse())
        connection.close()
        if cookie := answer.headers["Set-Cookie"]:
            assert "; Secure" in cookie and "; HttpOnly" in cookie, cookie
            self.cookies.append((cookie.split(";")[0], re.search(r"; Path=([^;]*)", cookie)[1]))
        if answer.status == 303:
            self.url = urllib.parse.urlsplit(urllib.parse.urljoin(self.url.geturl(), answer.headers["Location"]))
            return self.ask("GET")
        return answer

    def decide(self, token, decision):
        asked = self.ask("GET")
        assert asked.status == 200 and asked.form, (asked.status, asked.words[:300])
        shown = self.ask("POST", {"form": asked.form, "token": token})
        assert shown.status == 200 and "demo" in shown.words, (shown.status, shown.words[:300])
        return self.ask("POST", {"form": shown.form, "decision": decision})


class TlsServer(Server):
    """One that has a certificate of its own."""

    def __init__(self, place, certificate):
        super().__init__(place)
        self.port = int(re.search(r"https://127\.0\.0\.1:([0-9]+)/mcp", self.line)[1])
        self.context = ssl.create_default_context(cafile=certificate)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context)


def make_tokens(place):
    return token_of(place, "agent", "planner", "operator"), token_of(place, "boss", "approver")


def approve_by_link(tokens, server, certificate, begins):
    """The whole way of a plan whose link begins so."""
    agent, boss = tokens
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    result = server.post(agent, "tools/call", forged, name="plan_create",
                         arguments={"document": document("demo", {"a": data(1)})})[1]["result"]
    link = re.search(r"https?://\S+/approve/[A-Za-z0-9_-]+", result["content"][0]["text"])[0]
    assert link.startswith(begins + "/approve/"), link
    plan = result["structuredContent"]["plan"]
    decided = Browser(link, certificate).decide(boss, "approve")
    assert decided.status == 200, (decided.status, decided.words[:300])
    run = server.call(agent, "plan_apply", plan=plan)["run"]
    assert server.call(agent, "run_show", run=run, wait_seconds=60)["status"] == "done"


@test
def the_page_works_with_a_certificate_of_the_servers_own(place):
    certificate, _key, _both = make_certificate(place)
    place.write("parley.yaml", "site: { approval: { level: separated }, server: { certificate: certificate.pem, key: key.pem } }\n")
    tokens = make_tokens(place)
    with TlsServer(place, certificate) as server:
        approve_by_link(tokens, server, certificate, f"https://127.0.0.1:{server.port}")


def behind_proxy(place, more, hosts):
    certificate, _key, both = make_certificate(place)
    port = free_port()
    url = f"https://parley.test:{port}/infra"
    place.write("parley.yaml", f"site: {{ approval: {{ level: separated }}, server: {{ url: '{url}/'{hosts} }} }}\n")
    tokens = make_tokens(place)
    with Server(place) as server:
        place.write("proxy.cfg", PROXY.format(port=port, pem=both, server=server.port, more=more))
        with subprocess.Popen([HAPROXY, "-db", "-f", place.path("proxy.cfg")], stderr=subprocess.DEVNULL) as proxy:
            try:
                deadline = time.monotonic() + 60
                while proxy.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                approve_by_link(tokens, server, certificate, url)
            finally:
                proxy.terminate()


@test
def the_page_works_behind_a_proxy_that_takes_a_path_off(place):
    behind_proxy(place, "", ", hosts: [parley.test]")


@test
def the_page_works_behind_a_proxy_that_calls_the_server_by_another_name(place):
    behind_proxy(place, "http-request set-header Host 127.0.0.1", "")


@test
def an_address_that_is_none_is_a_fault_of_the_site(place):
    for url in ("parley.test", "ftp://parley.test", "https://", "https:///infra", "https://a b", "https://a/?x", "7"):
        place.write("parley.yaml", f"site: {{ server: {{ url: \"{url}\" }} }}\n")
        done = place.parley("serve", "--listen", "127.0.0.1:0", want=1)
        assert "\"url\" must be the address" in done.err + done.out, (url, done.err)


if __name__ == "__main__":
    main()
