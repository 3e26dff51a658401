#!/usr/bin/env python3
"""Grafana on the twin, played by a stand-in that reads the files that Grafana would. Prints TAP."""

import contextlib
import encodings.idna  # before this process may no longer read where Python lies
import json
import os
import pathlib
import shutil
import signal
import stat
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "twin"))
import twinlab
from twinlab import Twin, wait_until

TESTS = []
STAND_IN = (pathlib.Path(__file__).resolve().parent / "grafana-stand-in.py").read_text()
PATH = os.environ["PATH"]
REAL = "/usr/share/grafana/conf/defaults.ini"


def test(function):
    TESTS.append(function)
    return function


def install(folder, name="grafana"):
    """A folder as Grafana's archive has it, in PATH."""
    for part in "bin", "conf":
        (folder / "kit" / part).mkdir(parents=True)
    (folder / "kit" / "conf" / "defaults.ini").write_text("app_mode = production\n")
    program = folder / "kit" / "bin" / name
    program.write_text(STAND_IN)
    program.chmod(0o755)


@contextlib.contextmanager
def machine(**environment):
    """A twin on a machine whose PATH has a place for Grafana."""
    with Twin() as twin:
        twin.folder.chmod(0o755)
        os.environ["PATH"] = f"{twin.folder}/kit/bin:{PATH}"
        os.environ.update(environment)
        try:
            yield twin
        finally:
            os.environ["PATH"] = PATH
            for name in environment:
                del os.environ[name]


def build(twin, prepare=None):
    twin.start(prepare=prepare)
    twin.vlan("watch", "10.33.0.0/24")
    twin.made("k8s:deployment:prometheus", "eyes", {"scrapeInterval": "1s", "retention": "1d"},
              {"network": "watch"})
    twin.made("k8s:deployment:grafana", "pictures", {"prometheus": "eyes"}, {"prometheus": "eyes"})
    return twin


def pictures(twin):
    return twin.get("uid-pictures")


def fetch(twin, path):
    url = pictures(twin)["status"]["host_url"].rstrip("/") + path
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def code_of(twin, path):
    try:
        fetch(twin, path)
    except urllib.error.HTTPError as err:
        return err.code
    return 200


def query(twin, expression):
    text = urllib.parse.quote(expression.replace("$__rate_interval", "1m"))
    answer = fetch(twin, f"/api/datasources/proxy/uid/prometheus/api/v1/query?query={text}")
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def expressions(twin):
    board = fetch(twin, "/api/dashboards/uid/deployment")["dashboard"]
    return {panel["title"]: panel["targets"][0]["expr"] for panel in board["panels"]}


def is_about(path):
    """Which of its processes have that text in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and path in pathlib.Path(f"/proc/{entry}/cmdline").read_text():
                found.append(int(entry))
    return found


@test
def grafana_runs_where_it_is_installed():
    with machine() as twin:
        install(twin.folder)
        resource = pictures(build(twin))
        assert resource["status"]["fidelity"] == "real", resource
        assert resource["status"]["state"] == "ready", resource
        assert resource["status"]["note"] is None, resource
        assert resource["outputs"]["url"] == "http://10.33.0.11:3000", resource
        assert fetch(twin, "/api/health")["database"] == "ok"


@test
def every_panel_asks_prometheus_what_it_understands():
    with machine() as twin:
        install(twin.folder)
        build(twin)
        asked = expressions(twin)
        assert len(asked) >= 6, asked
        assert wait_until(lambda: [r["value"][1] for r in query(twin, asked["Targets up"])] ==
                          ["1", "1"], 20), query(twin, asked["Targets up"])
        for expression in asked.values():
            query(twin, expression)


@test
def who_looks_may_look_only_whatever_the_environment_says():
    with machine(GF_AUTH_ANONYMOUS_ORG_ROLE="Admin", GF_AUTH_DISABLE_LOGIN_FORM="false") as twin:
        install(twin.folder)
        build(twin)
        assert fetch(twin, "/api/org") == {"name": "Main Org.", "role": "Viewer"}
        assert code_of(twin, "/login") == 404


@test
def no_password_of_it_is_known_or_can_be_read_by_others():
    texts = []
    for _ in range(2):
        with machine() as twin:
            install(twin.folder)
            build(twin)
            settings = next((twin.state / "dashboards").glob("*/grafana.ini"))
            assert stat.S_IMODE(settings.stat().st_mode) == 0o600
            assert stat.S_IMODE((twin.state / "dashboards").stat().st_mode) == 0o700
            lines = settings.read_text().splitlines()
            texts.append([line for line in lines if line.startswith(("admin_password", "secret_key"))])
            for line in texts[-1]:
                secret = line.split(" = ")[1]
                assert len(secret) == 48, line
                assert secret not in json.dumps(twin.ask("list"))
                assert secret not in twin.log()
                for log in (twin.state / "logs").iterdir():
                    assert secret not in log.read_text()
    assert len(texts[0]) == 2 and texts[0] != texts[1]


@test
def releases_that_have_the_server_alone_run_as_well():
    with machine() as twin:
        install(twin.folder, "grafana-server")
        build(twin)
        assert fetch(twin, "/api/health")["database"] == "ok"


@test
def what_gives_way_starts_also_in_a_twin_that_does():
    with machine() as twin:
        install(twin.folder)
        resource = pictures(build(twin, lambda: os.nice(15)))
        assert resource["status"]["state"] == "ready", resource


@test
def it_comes_back_when_it_is_killed_and_goes_with_its_resource():
    with machine() as twin:
        install(twin.folder)
        build(twin)
        ours = f"{twin.folder}/kit/bin/grafana"
        [first] = is_about(ours)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: is_about(ours) not in ([], [first]), 20)
        assert wait_until(lambda: pictures(twin)["status"]["state"] == "ready", 20), pictures(twin)
        assert twin.ask("delete", uid="uid-pictures")["ok"]
        assert not is_about(ours)
        assert not list((twin.state / "dashboards").iterdir())
        assert not list((twin.state / "secrets").iterdir())


@test
def it_ends_with_the_twin_and_keeps_what_it_had():
    with machine() as twin:
        install(twin.folder)
        build(twin)
        twin.stop()
        assert not is_about(f"{twin.folder}/kit/bin/grafana")
        assert list((twin.state / "dashboards").glob("*/grafana.db"))
        twin.start()
        assert wait_until(lambda: pictures(twin)["status"]["state"] == "ready", 30), pictures(twin)
        assert fetch(twin, "/api/health")["database"] == "ok"


@test
def without_it_prometheus_stands_in_until_it_is_there():
    if os.path.exists(REAL):
        return "Grafana is installed on this machine"
    with machine() as twin:
        build(twin)
        resource = pictures(twin)
        assert resource["status"]["fidelity"] == "stand-in", resource
        assert "Grafana" in resource["status"]["note"], resource
        assert resource["outputs"]["url"] == "http://10.33.0.11:9090", resource
        with urllib.request.urlopen(resource["status"]["host_url"] + "-/ready", timeout=10) as page:
            assert page.status == 200
        install(twin.folder)
        twin.vlan("more", "10.34.0.0/24", 2)
        assert wait_until(lambda: pictures(twin)["status"]["state"] == "ready", 30), pictures(twin)
        assert pictures(twin)["status"]["fidelity"] == "real", pictures(twin)
        assert wait_until(lambda: code_of(twin, "/api/health") == 200, 10)
    return None


if __name__ == "__main__":
    if not shutil.which("prometheus"):
        twinlab.skip_all("Prometheus is not installed")
    twinlab.run(TESTS)
