"""What attacks on approval need: the server runs as a user of its own, the agent has another user's shell and a token that
plans and operates."""
import json
import os
import shutil
import subprocess
import time

import lifecycle
from approval_page import link_in
from mcp_server import Server

SERVER, AGENT = 64001, 64002
DOCUMENT = """deployment:
  name: shop
  resources:
    - { type: core:data:value, name: a, properties: { value: %s } }
  outputs: { said: "${a.outputs.value}" }
"""


class Scene:
    """The server's folder, which only its user may enter, an agent's, and a plan that nobody approved."""

    def __init__(self, place, site):
        if os.geteuid() != 0:
            raise lifecycle.Skip("only root can be two other users")
        # Where it lies nobody else may be able to go.
        place.program = shutil.copy(place.program, place.path("parley"))
        self.place = place
        self.agents_folder = place.path("agent")
        os.chmod(place.folder, 0o755)
        os.mkdir(self.agents_folder)
        os.chown(self.agents_folder, AGENT, AGENT)
        place.write("parley.yaml", site)
        for name in (place.home, place.env["XDG_RUNTIME_DIR"]):
            os.makedirs(name, mode=0o700, exist_ok=True)
            os.chown(name, SERVER, SERVER)
        self.agent, self.boss, self.other = (self.token(name, roles) for name, roles in (
            ("agent", ("planner", "operator")), ("boss", ("approver",)), ("other", ("approver",))))
        self.server = Server(place, user=SERVER)
        assert self.server.port, self.server.line
        self.plan = self.make_plan("evil")

    def as_user(self, user, *words, environment=None):
        return subprocess.run(words, env=self.place.env | (environment or {}), cwd="/", user=user, group=user,
                              extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False)

    def token(self, name, roles):
        words = [word for role in roles for word in ("--role", role)]
        made = self.as_user(SERVER, *self.place.line("token", "new", name, *words, "--json"))
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)["token"]

    def remove_token(self, name):
        return self.as_user(SERVER, *self.place.line("token", "remove", name))

    def make_plan(self, value):
        return self.server.call(self.agent, "plan_create", document=DOCUMENT % value)["plan"]

    def shell(self, *words):
        """What the agent types. It has a home of its own, and every word that it likes."""
        return self.as_user(AGENT, *words, environment={"HOME": self.agents_folder,
                                                         "XDG_RUNTIME_DIR": self.agents_folder})

    def parley(self, *words):
        return self.shell(self.place.program, *words, "--home", self.place.home)

    def link(self, plan=None, token=None):
        """A link to the page of a plan, as the agent is given it."""
        result = self.server.post(token or self.agent, "tools/call", name="plan_show",
                                  arguments={"plan": plan or self.plan})[1]["result"]
        return link_in(result["content"][0]["text"])

    def apply(self, plan=None):
        """True when a run began."""
        answer = self.server.post(self.agent, "tools/call", name="plan_apply", arguments={"plan": plan or self.plan})[1]
        return "result" in answer and not answer["result"]["isError"]

    def has_effect(self):
        shown = self.as_user(SERVER, *self.place.line("status", "--json"))
        return json.loads(shown.stdout or "[]") != []

    def python(self, code):
        return self.shell("/usr/bin/python3", "-c", code)

    def try_all(self, attacks):
        """Each of them, all of which docs/approval.md lists."""
        with open(os.path.join(os.path.dirname(__file__), "../../docs/approval.md"), encoding="utf-8") as file:
            listed = file.read()
        for one in attacks:
            assert f"| {one.__name__.replace('_', ' ')} |" in listed, one.__name__
            one(self)
            assert not self.has_effect(), one.__name__

    def show_that_it_would_have_had_an_effect(self):
        """Once the plan is approved, it has one."""
        assert self.apply()
        end = time.monotonic() + 60
        while not self.has_effect():
            assert time.monotonic() < end
            time.sleep(0.1)
        shutil.rmtree(self.agents_folder)
