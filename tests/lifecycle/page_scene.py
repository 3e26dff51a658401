"""What the approval page stands in: a server, an agent that plans, approvers, and what came of it."""
from approval_page import Browser, link_in
from lifecycle import data, document
from mcp_server import Server, token_of

SITE = "site: { approval: { level: separated, expires: %s } }\n"


class Scene:
    def __init__(self, place, expires="1h", site=None):
        self.place = place
        place.write("parley.yaml", site or SITE % expires)
        self.agent = token_of(place, "agent", "planner", "operator")
        self.boss, self.other = token_of(place, "boss", "approver"), token_of(place, "other", "approver")
        self.server = Server(place)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def plan(self, resources=None, environment=None, name="demo"):
        """The hash of a new plan, and the link in the answer."""
        text = document(name, resources if resources is not None else {"a": data(1)}, environment)
        result = self.server.post(self.agent, "tools/call", name="plan_create", arguments={"document": text})[1]["result"]
        assert not result["isError"], result
        return result["structuredContent"]["plan"], link_in(result["content"][0]["text"])

    def apply(self, plan):
        result = self.server.post(self.agent, "tools/call", name="plan_apply", arguments={"plan": plan})[1]["result"]
        return None if result["isError"] else result["structuredContent"]["run"], result["content"][0]["text"]

    def run(self, plan):
        run, why = self.apply(plan)
        assert run, why
        assert self.server.call(self.agent, "run_show", run=run, wait_seconds=60)["status"] == "done"

    def browser(self, link, token=None):
        browser = Browser(self.server, link)
        if token:
            assert browser.sign_in(token).status == 303
        return browser

    def entries(self, kind):
        return [entry for entry in self.place.parley("audit", "list", "--json").json() if entry["kind"] == kind]
