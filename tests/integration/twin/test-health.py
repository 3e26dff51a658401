#!/usr/bin/env python3
"""Health checks by a command, and services that wait for others to be well. TAP."""

import os
import sys
import threading

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, wait_until

PATIENCE = 30
FAST = {"interval": "100ms", "timeout": "10s", "retries": 2}
FETCH = """
import sys, urllib.request
names = set()
for n in range(int(sys.argv[2])):
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        names.add(__import__("json").load(answer)["name"])
print(",".join(sorted(names)))
"""


def service(test=None, hosts="s", port=80, **more):
    check = more.pop("check", {})
    fields = {"image": "shop", "hosts": hosts, "port": port, **more}
    if test is not None:
        fields["healthcheck"] = {"test": test if isinstance(test, list) else [test], **FAST, **check}
    return fields


def put_stack(twin, **services):
    return twin.put("docker:compose:stack", "stack", {"services": services},
                    {f"services.{name}.hosts": s["hosts"] for name, s in services.items()})


def begin(count=1, name="s"):
    twin = Twin()
    twin.start()
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances(name, "shop", count)
    return twin


def status(twin):
    return twin.get("uid-stack")["status"]


def instance(twin, name="shop", number=0):
    return status(twin)["services"][name]["instances"][number]


def turns(twin, kind):
    path = twin.state / "events.json"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if f'"kind":"{kind}"' in line.replace(" ", "")]


def workload(twin):
    """The number of the program of the only instance, as its host counts."""
    found = twin.run("s-0", "sh", "-c", "grep -l '[w]orkload' /proc/[0-9]*/cmdline").stdout.split()
    assert len(found) == 1, found
    return found[0].split("/")[2]


def a_check_runs_in_the_host_of_its_service_as_its_user():
    with begin() as twin:
        test = "id -u > /tmp/who && cat /proc/net/fib_trie > /tmp/where && echo $GREETING > /tmp/what"
        answer = put_stack(twin, shop=service(test, environment={"GREETING": "good day"}))
        assert answer["ok"], answer
        assert instance(twin)["health"] == "healthy", instance(twin)
        user = twinlab.ORDINARY_USER if os.geteuid() == 0 else os.geteuid()
        assert twin.run("s-0", "cat", "/tmp/who").stdout.strip() == str(user)
        assert instance(twin)["address"] in twin.run("s-0", "cat", "/tmp/where").stdout
        assert twin.run("s-0", "cat", "/tmp/what").stdout.strip() == "good day"


def an_unhealthy_instance_leaves_the_balancer_and_comes_back():
    with begin(2) as twin:
        assert put_stack(twin, shop=service(["CMD", "test", "!", "-e", "/tmp/broken"]))["ok"]
        twin.made("opnsense:haproxy:backend", "pool", {"servers": ["s"], "port": 80, "healthCheck": "/"},
                  {"servers": "s"})
        twin.made("opnsense:haproxy:frontend", "door", {"network": "shop", "port": 81, "backend": "pool"},
                  {"network": "shop", "backend": "pool"})
        door = twin.get("uid-door")["outputs"]["url"]

        def serve(n=40):
            done = twin.run("door", twinlab.PYTHON, "-c", FETCH, door, str(n))
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert wait_until(lambda: serve() == "s-0,s-1", PATIENCE), serve()
        twin.run("s-0", "touch", "/tmp/broken")
        assert wait_until(lambda: instance(twin)["health"] == "unhealthy", PATIENCE), instance(twin)
        assert wait_until(lambda: serve() == "s-1", PATIENCE), serve()
        told = status(twin)
        assert told["state"] == "degraded" and told["services"]["shop"]["ready"] == 1, told
        assert "status 1" in instance(twin)["health_problem"], instance(twin)
        assert len(turns(twin, "unhealthy")) == 1, turns(twin, "unhealthy")
        # A balancer that takes a new configuration has not forgotten it.
        twin.made("opnsense:haproxy:backend", "pool",
                  {"servers": ["s"], "port": 80, "healthCheck": "/", "balance": "leastconn"}, {"servers": "s"})
        assert serve() == "s-1", serve()
        twin.run("s-0", "rm", "/tmp/broken")
        assert wait_until(lambda: instance(twin)["health"] == "healthy", PATIENCE), instance(twin)
        assert wait_until(lambda: serve() == "s-0,s-1", PATIENCE), serve()
        assert len(turns(twin, "healthy")) == 1, turns(twin, "healthy")
        assert wait_until(lambda: status(twin)["state"] == "ready", PATIENCE), status(twin)


def failures_of_the_first_time_do_not_count():
    with begin() as twin:
        test = "test -e /tmp/up"
        assert put_stack(twin, shop=service(test, check={"start_period": "1h"}))["ok"]
        assert instance(twin)["health"] == "starting" and status(twin)["state"] == "failed", status(twin)
        assert "status 1" in instance(twin)["health_problem"], instance(twin)
        twin.run("s-0", "touch", "/tmp/up")
        assert wait_until(lambda: instance(twin)["health"] == "healthy", PATIENCE), instance(twin)
        # After the first success they count.
        twin.run("s-0", "rm", "/tmp/up")
        assert wait_until(lambda: instance(twin)["health"] == "unhealthy", PATIENCE), instance(twin)


def a_check_that_takes_too_long_has_failed():
    with begin() as twin:
        answer = put_stack(twin, shop=service("sleep 3600", check={"timeout": "200ms"}))
        assert not answer["ok"] and "has not ended after 0.2 s" in answer["error"]["message"], answer
        assert not twin.get("uid-stack")["present"]
        assert "sleep" not in twin.run("s-0", "cat", "/proc/[0-9]*/comm").stdout


def what_cannot_be_run_is_unchecked_and_says_so():
    with begin() as twin:
        for test in (["CMD", "no-such-program", "-x"], ["CMD-SHELL", "no-such-program -x || exit $?"]):
            assert put_stack(twin, shop=service(test))["ok"]
            assert instance(twin)["health"] == "unchecked", instance(twin)
            assert "no-such-program" in instance(twin)["health_problem"], instance(twin)
            assert status(twin)["state"] == "ready"
        assert put_stack(twin, shop=service(["NONE"]))["ok"]
        assert "health" not in instance(twin), instance(twin)


def a_program_that_is_started_again_is_asked_anew():
    with begin() as twin:
        assert put_stack(twin, shop=service("test -e /tmp/up", check={"start_period": "1h"}))["ok"]
        twin.run("s-0", "touch", "/tmp/up")
        assert wait_until(lambda: instance(twin)["health"] == "healthy", PATIENCE), instance(twin)
        twin.run("s-0", "rm", "/tmp/up")
        assert wait_until(lambda: instance(twin)["health"] == "unhealthy", PATIENCE), instance(twin)
        twin.run("s-0", "kill", "-9", workload(twin))
        assert wait_until(lambda: instance(twin)["health"] == "starting", PATIENCE), instance(twin)


def who_depends_on_a_healthy_service_starts_after_it():
    with begin() as twin:
        twin.instances("d", "shop", 1)
        services = {"web": service(depends_on={"base": {"condition": "service_healthy"}}),
                    "base": service("test -e /tmp/up", hosts="d", check={"start_period": "1h"})}
        answers = []
        asking = threading.Thread(target=lambda: answers.append(put_stack(twin, **services)))
        asking.start()
        try:
            runs = lambda: "workload" in twin.run("d-0", "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
            assert wait_until(runs, PATIENCE)
            assert "workload" not in twin.run("s-0", "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
            assert not answers, answers
        finally:
            twin.run("d-0", "touch", "/tmp/up")
            asking.join()
        assert answers[0]["ok"], answers
        assert instance(twin, "web")["state"] == "ready" and instance(twin, "base")["health"] == "healthy"


def who_depends_on_an_unhealthy_service_does_not_start():
    with begin() as twin:
        answer = put_stack(twin, web=service(depends_on={"base": {"condition": "service_healthy"}}),
                           base=service("echo no such table; exit 1", port=81))
        assert not answer["ok"], answer
        message = answer["error"]["message"]
        assert "base is unhealthy" in message or "waits for base" in message, message
        assert "no such table" in message, message
        assert not twin.get("uid-stack")["present"]


def a_rolling_change_that_makes_instances_unhealthy_is_taken_back():
    with begin(3) as twin:
        good = service("true", environment={"RELEASE": "1"})
        assert put_stack(twin, shop=good)["ok"]
        answer = put_stack(twin, shop=service('test "$RELEASE" = 1', environment={"RELEASE": "2"}))
        assert not answer["ok"] and "unhealthy" in answer["error"]["message"], answer
        assert twin.get("uid-stack")["spec"]["services"]["shop"]["environment"] == {"RELEASE": "1"}
        assert wait_until(lambda: status(twin)["state"] == "ready", PATIENCE), status(twin)
        assert all(instance(twin, number=n)["health"] == "healthy" for n in range(3)), status(twin)


def another_check_starts_nothing_again():
    with begin() as twin:
        assert put_stack(twin, shop=service("true"))["ok"]
        before = workload(twin)
        answer = put_stack(twin, shop=service("false"))
        assert not answer["ok"], answer
        assert put_stack(twin, shop=service("test -d /tmp"))["ok"]
        assert instance(twin)["health"] == "healthy" and status(twin)["state"] == "ready", status(twin)
        assert workload(twin) == before


def checks_and_needs_that_are_none_are_refused():
    with begin() as twin:
        for wrong, words in (
                (service(["CMD"]), "none of [CMD, PROGRAM"),
                (service(["CMD-SHELL", "a", "b"]), "none of [CMD, PROGRAM"),
                (service([""]), "none of [CMD, PROGRAM"),
                (service(["curl", "http://x"]), "none of [CMD, PROGRAM"),
                (service("true", check={"interval": "soon"}), "interval"),
                (service("true", check={"interval": "0s"}), "cannot be 0"),
                (service("true", check={"retries": 0}), "retries"),
                (service(depends_on={"other": {}}), "no service of this stack"),
                (service(depends_on={"shop": {}}), "waits for itself"),
                (service(depends_on=["shop"]), "not a map"),
                (service(depends_on={"shop": {"condition": "service_completed_successfully"}}), "it can be")):
            answer = put_stack(twin, shop=wrong)
            assert not answer["ok"] and words in answer["error"]["message"], (wrong, answer)
        answer = put_stack(twin, a=service(depends_on={"b": {}}), b=service(port=81, depends_on={"c": {}}),
                           c=service(port=82, depends_on={"b": {}}))
        assert not answer["ok"] and "waits for itself" in answer["error"]["message"], answer
        assert not twin.get("uid-stack")["present"]


twinlab.run([a_check_runs_in_the_host_of_its_service_as_its_user,
             an_unhealthy_instance_leaves_the_balancer_and_comes_back,
             failures_of_the_first_time_do_not_count, a_check_that_takes_too_long_has_failed,
             what_cannot_be_run_is_unchecked_and_says_so, a_program_that_is_started_again_is_asked_anew,
             who_depends_on_a_healthy_service_starts_after_it, who_depends_on_an_unhealthy_service_does_not_start,
             a_rolling_change_that_makes_instances_unhealthy_is_taken_back, another_check_starts_nothing_again,
             checks_and_needs_that_are_none_are_refused])
