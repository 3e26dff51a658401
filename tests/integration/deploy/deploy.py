"""The steps of docs/deploy.md on a machine with systemd, then what they promise: deploy.py RESULTS."""
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import time
import traceback

from mcp_server import Server

SITE = """site:
  approval: { level: separated }
  instances: { acme.lab: { driver: fake, latency: 700ms } }
"""
DOCUMENT = "deployment:\n  name: shop\n  resources: [%s]\n"
BOX = "{ type: acme:thing:box, name: box-%d, properties: { size: 1 }, dependsOn: [%s] }"
AGENT = "agent"
ETC, HOME = pathlib.Path("/etc/parley"), "/var/lib/parley"


def sh(*command, user=None, is_refused=False):
    words = ["runuser", "-u", user, "--", *command] if user else command
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == is_refused, (command, done)
    return done.stdout + done.stderr


class Service(Server):
    """The one that systemd started; the class starts none."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.port = 7420

    def await_answer(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.post(None, "tools/list")[0]
            except OSError:
                assert time.monotonic() < deadline, sh("journalctl", "--no-pager", "-u", "parley")
                time.sleep(0.1)


def token(name, *roles):
    words = [word for role in roles for word in ("--role", role)]
    return re.search(r"parley_\S+", sh("parley", "token", "new", name, *words, "--home", HOME, user="parley"))[0]


def chain(n):
    return DOCUMENT % ", ".join(BOX % (i, f"box-{i - 1}" if i else "") for i in range(n))


def set_up():
    """As docs/deploy.md has them."""
    sh("adduser", "--system", "--group", "--home", HOME, "parley")
    ETC.mkdir()
    (ETC / "parley.yaml").write_text(SITE)
    (ETC / "catalog").mkdir()
    shutil.copy(pathlib.Path(__file__).with_name("acme.yaml"), ETC / "catalog")
    os.chown(ETC / "parley.yaml", 0, pwd.getpwnam("parley").pw_gid)
    os.chmod(ETC / "parley.yaml", 0o640)
    unit = next(folder / "share/parley/parley.service" for folder in map(pathlib.Path, ("/usr/local", "/usr"))
                if (folder / "share/parley/parley.service").exists())
    TOKENS[AGENT] = token(AGENT, "planner", "operator")
    TOKENS["person"] = token("person", "approver")
    sh("cp", str(unit), "/etc/systemd/system")
    sh("systemctl", "enable", "--now", "parley")
    sh("adduser", "--disabled-password", "--gecos", "", AGENT)


SERVICE = Service()
TOKENS = {}


def the_unit_as_it_is_installed_starts_a_server_that_asks_for_a_token():
    set_up()
    assert SERVICE.await_answer() == 401
    process = int(sh("systemctl", "show", "--value", "-p", "MainPID", "parley"))
    assert os.stat(f"/proc/{process}").st_uid == pwd.getpwnam("parley").pw_uid
    assert sh("systemctl", "is-enabled", "parley").strip() == "enabled"


def who_is_another_user_reads_and_changes_nothing_of_it():
    for path in (ETC / "parley.yaml", HOME, HOME + "/parley.db", HOME + "/tokens.yaml", HOME + "/secret.key"):
        assert "denied" in sh("cat", str(path), user=AGENT, is_refused=True), path
    assert "denied" in sh("ls", HOME, user=AGENT, is_refused=True)
    for words in (["status"], ["token", "new", "me", "--role", "approver"], ["run", "list"]):
        sh("parley", *words, "--home", HOME, user=AGENT, is_refused=True)
    assert "denied" in sh("sh", "-c", f"echo site: >{ETC}/parley.yaml", user=AGENT, is_refused=True)


def a_plan_is_carried_out_once_somebody_else_approved_it_and_not_before():
    plan = SERVICE.call(TOKENS[AGENT], "plan_create", document=chain(1))["plan"]
    assert "approv" in SERVICE.call(TOKENS[AGENT], "plan_apply", is_error=True, plan=plan)
    assert SERVICE.post(TOKENS[AGENT], "tools/call", name="plan_approve", arguments={"plan": plan})[1].get("error")
    SERVICE.call(TOKENS["person"], "plan_approve", plan=plan)
    run = SERVICE.call(TOKENS[AGENT], "plan_apply", plan=plan)["run"]
    assert SERVICE.call(TOKENS[AGENT], "run_show", run=run, wait_seconds=60)["status"] == "done"
    audit = sh("parley", "audit", "list", "--json", "--home", HOME, user="parley")
    assert "person" in audit and "separated" in audit and not any(text in audit for text in TOKENS.values()), audit


def begin_chain(n):
    plan = SERVICE.call(TOKENS[AGENT], "plan_create", document=chain(n))["plan"]
    SERVICE.call(TOKENS["person"], "plan_approve", plan=plan)
    return SERVICE.call(TOKENS[AGENT], "plan_apply", plan=plan)["run"]


def restart():
    sh("systemctl", "restart", "parley")
    SERVICE.await_answer()


def a_run_goes_on_while_its_server_is_started_anew():
    run = begin_chain(5)
    restart()
    shown = SERVICE.call(TOKENS[AGENT], "run_show", run=run)
    assert shown["status"] in ("pending", "running"), (shown, sh("cat", f"{HOME}/logs/run-{run[:13]}.log"))
    shown = SERVICE.call(TOKENS[AGENT], "run_show", run=run, wait_seconds=120)
    assert shown["status"] == "done", shown


def a_run_is_reached_by_a_server_that_did_not_begin_it():
    run = begin_chain(60)
    restart()
    SERVICE.call(TOKENS[AGENT], "run_control", run=run, action="cancel")
    shown = SERVICE.call(TOKENS[AGENT], "run_show", run=run, wait_seconds=120)
    assert shown["status"] == "cancelled", shown


def a_server_that_is_killed_comes_back():
    process = sh("systemctl", "show", "--value", "-p", "MainPID", "parley").strip()
    sh("kill", "-9", process)
    deadline = time.monotonic() + 60
    while sh("systemctl", "show", "--value", "-p", "MainPID", "parley").strip() in ("0", process):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert SERVICE.await_answer() == 401
    assert SERVICE.call(TOKENS[AGENT], "deployment_status", deployment="shop")


TESTS = [the_unit_as_it_is_installed_starts_a_server_that_asks_for_a_token,
         who_is_another_user_reads_and_changes_nothing_of_it,
         a_plan_is_carried_out_once_somebody_else_approved_it_and_not_before,
         a_run_goes_on_while_its_server_is_started_anew, a_run_is_reached_by_a_server_that_did_not_begin_it,
         a_server_that_is_killed_comes_back]


def main():
    """Each step stands on those before it: the first that fails is the last."""
    results = []
    for test in TESTS:
        try:
            test()
            results.append([test.__name__, None])
        except (AssertionError, OSError, KeyError, TypeError, http.client.HTTPException):
            results.append([test.__name__, traceback.format_exc()])
            break
    written = pathlib.Path(sys.argv[1] + ".part")
    written.write_text(json.dumps(results))
    written.rename(sys.argv[1])


if __name__ == "__main__":
    main()
