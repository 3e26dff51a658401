"""A browser for the approval page of `parley serve`, as far as it needs one: forms, a cookie, no script."""
import html
import http.client
import re
import urllib.parse


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.text = response.read().decode()

    @property
    def form(self):
        """The token that stands in the page's form."""
        found = re.search(r'name="form" value="([^"]*)"', self.text)
        return found and found[1]

    @property
    def words(self):
        """What a person reads."""
        return html.unescape(re.sub(r"<[^>]*>", " ", self.text.split("</style>")[-1]))


class Browser:
    """One that opened a link."""

    def __init__(self, server, link):
        self.port, self.cookie = server.port, None
        found = re.search(r"http://127\.0\.0\.1:[0-9]+(/approve/[A-Za-z0-9_-]+)", link)
        self.path = found[1] if found else link
        self.origin = f"http://127.0.0.1:{self.port}"

    def ask(self, method, path=None, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        headers = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        connection.request(method, path or self.path, body, headers)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, **headers):
        return self.ask("GET", **headers)

    def post(self, headers=None, **fields):
        sent = {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded"} | (headers or {})
        return self.ask("POST", body=urllib.parse.urlencode(fields), **sent)

    def sign_in(self, token):
        answer = self.post(form=self.get().form, token=token)
        if answer.status == 303:
            self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        return answer

    def decide(self, decision, **fields):
        return self.post(form=self.get().form, decision=decision, **fields)


def link_in(text):
    return re.search(r"http://127\.0\.0\.1:[0-9]+/approve/[A-Za-z0-9_-]+", text)[0]
