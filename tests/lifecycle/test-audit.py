#!/usr/bin/env python3
"""The audit chain (DESIGN section 8): who approved, ran and changed what is in it, and whoever noted a
digest notices when any of it is missing or another."""
import os
import shutil

from lifecycle import data, document, main, test


def entries(place, *words):
    return place.parley("audit", "list", *words, "--json").json()


def up(place, value, *words):
    place.write("demo.yaml", document("demo", {"a": data(value)}))
    return place.parley("up", "demo.yaml", "--yes", *words)


@test
def approvals_runs_and_revisions_are_entries_with_principal_and_words(place):
    up(place, 1)
    up(place, 2)
    place.parley("destroy", "demo", "--yes")
    found = entries(place)
    assert [entry["number"] for entry in found] == list(range(1, len(found) + 1))
    kinds = [entry["kind"] for entry in found]
    assert kinds.count("approval") == 3 and kinds.count("revision") == 2, kinds
    ended = [entry for entry in found if entry["kind"] == "run" and entry["status"] == "done"]
    assert len(ended) == 3
    for entry in found:
        assert entry["principal"].startswith("user:"), entry
        assert entry["words"].startswith("parley "), entry
    approval = next(entry for entry in found if entry["kind"] == "approval")
    assert approval["level"] == "none" and approval["plan"] == ended[0]["plan"], approval
    assert approval["number"] < ended[0]["number"]
    shown = place.parley("audit", "list").out
    assert len(shown.splitlines()) == len(found) and "approval" in shown and "up demo.yaml --yes" in shown


@test
def a_deployment_has_its_own_entries(place):
    up(place, 1)
    place.write("other.yaml", document("other", {"a": data(1)}))
    place.parley("up", "other.yaml", "--yes")
    of_demo, of_other = entries(place, "demo"), entries(place, "other")
    assert of_demo and of_other and len(of_demo) + len(of_other) == len(entries(place))
    assert {entry["number"] for entry in of_demo}.isdisjoint(entry["number"] for entry in of_other)


@test
def a_noted_digest_tells_that_the_state_was_put_back(place):
    up(place, 1)
    shutil.copytree(place.home, place.path("before"))
    up(place, 2)
    noted = place.parley("audit", "verify", "--json").json()
    assert noted["faults"] == [] and noted["head"] == entries(place)[-1]["digest"]
    assert "holds" in place.parley("audit", "verify", noted["head"]).out
    up(place, 3)
    assert "holds" in place.parley("audit", "verify", noted["head"]).out
    shutil.rmtree(place.home)
    os.rename(place.path("before"), place.home)
    assert "holds" in place.parley("audit", "verify").out
    result = place.parley("audit", "verify", noted["head"], want=1)
    assert "no entry has the digest" in result.out, result.out


@test
def what_is_no_digest_is_refused(place):
    up(place, 1)
    assert "no digest" in place.parley("audit", "verify", "yesterday", want=1).err


@test
def a_restore_is_an_entry_with_its_plan(place):
    up(place, 1)
    place.parley("state", "snapshot", place.path("copy.parley"))
    place.parley("forget", "demo", "a", "--yes")
    place.parley("state", "restore", place.path("copy.parley"), "--yes")
    newest = entries(place)[-1]
    assert newest["kind"] == "restore" and len(newest["plan"]) == 64, newest
    assert newest["replaces_store"] is False and newest["records"] == 1, newest
    for name in os.listdir(place.home):
        if name.startswith("parley.db"):
            os.remove(os.path.join(place.home, name))
    place.parley("state", "restore", place.path("copy.parley"), "--yes")
    newest = entries(place)[-1]
    assert newest["kind"] == "restore" and newest["replaces_store"] is True, newest


main()
