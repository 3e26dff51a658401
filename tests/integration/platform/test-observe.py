#!/usr/bin/env python3
"""What can be seen of a platform that stands: its logs. TAP."""

import json
import sys

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform, twinlab

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def example(name):
    return (EXAMPLES / f"{name}.yaml").read_text()


def logged(platform, *words):
    """source -> lines of a log, in the order in which they are told."""
    told = [json.loads(line) for line in platform.parley("logs", *words, "--json").stdout.splitlines()]
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)
    found = {}
    for line in told:
        found.setdefault(line["source"], []).append(line["text"])
    return found


def has(found, source, text):
    return any(text in line for line in found.get(source, []))


@test
def logs_are_told_of_a_deployment_a_resource_and_an_instance_also_when_the_twin_is_down():
    with Platform(example("shophub")) as platform:
        platform.up()
        name = platform.name()
        for stops in False, True:
            if stops:
                platform.parley("twin", "down")
            found = logged(platform, name)
            assert {"web-frontend", "app-frontend", "shophub-db-0", "shophub-db-1"} <= set(found), set(found)
            assert has(found, "shophub-db-0", "ready to accept connections"), found
            database = logged(platform, "shophub-db")
            assert set(database) == {"shophub-db-0", "shophub-db-1"}, set(database)
            assert set(logged(platform, "shophub-db-1")) == {"shophub-db-1"}
            # A backend has no program of its own: what it does the balancer tells.
            assert set(logged(platform, "app-backend")) == {"app-frontend"}
            assert set(logged(platform, "web-asg")) == {"web-asg-0.web", "web-asg-1.web"}
            both = logged(platform, "shophub-stack")
            assert {source.split(".")[1] for source in both} == {"web", "app"} and len(both) == 5, set(both)
        platform.parley("logs", "shophub-dbx", code=1)


platformlab.run(TESTS)
