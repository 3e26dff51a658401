"""`parley serve` for the tests: a server on a free port, and requests of clients that have a token."""
import http.client
import json
import re
import signal
import subprocess

from mcp_client import META


class Server:
    """user: whom it runs as; None: us. says_where: else the site does."""

    def __init__(self, place, *words, user=None, says_where=True):
        who = {"user": user, "group": user, "extra_groups": []} if user else {}
        where = ["--listen", "127.0.0.1:0"] if says_where else []
        self.process = subprocess.Popen(place.line("serve", *where, *words), env=place.env,
                                        cwd=place.folder, text=True, stderr=subprocess.PIPE, **who)
        self.line = self.process.stderr.readline()
        while "WARNING: ASan" in self.line:
            self.line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)/mcp", self.line)
        self.port = int(found[1]) if found else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.process.stderr.close()
        assert self.port is None or status in (0, -signal.SIGKILL), status

    def post(self, token, method, more_headers=(), **params):
        """The status and the answer."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
                   "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
        if token:
            headers["Authorization"] = "Bearer " + token
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
        headers.update(more_headers)
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": META | params.get("_meta", {})}}
        return self.send(body, headers)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def send(self, body, headers):
        connection = self.connect()
        connection.request("POST", "/mcp", json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        self.headers, self.session = response.headers, response.getheader("Mcp-Session-Id")
        connection.close()
        return response.status, json.loads(text) if text else None

    def tools(self, token):
        return {tool["name"] for tool in self.post(token, "tools/list")[1]["result"]["tools"]}

    def call(self, token, tool, is_error=False, **arguments):
        result = self.post(token, "tools/call", name=tool, arguments=arguments)[1]["result"]
        assert result["isError"] == is_error, result
        return result["content"][0]["text"] if is_error else result["structuredContent"]


def token_of(place, name, *roles):
    words = [word for role in roles for word in ("--role", role)]
    return place.parley("token", "new", name, *words, "--json").json()["token"]
