#!/usr/bin/env python3
"""Revisions: what a file is based on, merges, edits by words, undo, expiry."""
import json
import os
import pty
import subprocess
import time

from lifecycle import Skip, agree, box, data, document, main, steps, test, wait_until

FILE = """# The demonstration.
deployment:
  name: demo
  resources:
    - type: core:data:value
      name: one        # the first
      properties: { value: 1 }   # a number
    # What follows the first.
    - type: core:data:value
      name: two
      properties:
        value: "${one.value}-x"
"""


def plan(place, *words):
    return place.parley(*words, "--json").json()


def head(place, name="demo"):
    """The newest revision's document, and its number."""
    text = place.parley("pull", name).out
    return text, place.parley("history", name, "--json").json()["revisions"][0]


def value_of(place, address, name="demo"):
    return place.parley("show", name, address, "--json").json()["outputs"]["value"]


def given(place, text=FILE):
    place.write("demo.yaml", text)
    place.parley("up", "demo.yaml", "--yes")


# --- Edits by words ---

@test
def set_edits_the_newest_revision_and_nothing_of_the_file(place):
    given(place)
    result = place.parley("set", "one.value=5", want=3)
    assert "-      properties: { value: 1 }   # a number" in result.out, result.out
    assert "+      properties: { value: 5 }   # a number" in result.out, result.out
    assert value_of(place, "one") == 1, "not approved, but changed"
    place.parley("set", "one.value=5", "--yes")
    assert value_of(place, "one") == 5 and value_of(place, "two") == "5-x"
    assert place.read("demo.yaml") == FILE
    text, revision = head(place)
    assert text == FILE.replace("name: demo\n", "name: demo\n  revision: 2\n").replace("value: 1 ", "value: 5 ")
    assert (revision["source"], revision["parents"]) == ("words", [1]), revision
    assert revision["words"].startswith("parley set one.value=5 --yes"), revision


@test
def set_of_a_file_writes_it_once_the_plan_is_approved(place):
    given(place)
    os.chmod(place.path("demo.yaml"), 0o640)
    place.parley("set", "one.value=5", "--file", "demo.yaml", want=3)
    assert place.read("demo.yaml") == FILE
    place.parley("set", "one.value=5", "--file", "demo.yaml", "--yes")
    assert place.read("demo.yaml") == FILE.replace("value: 1 ", "value: 5 ")
    assert os.stat(place.path("demo.yaml")).st_mode & 0o777 == 0o640
    assert value_of(place, "one") == 5 and head(place)[1]["source"] == "file"
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def set_takes_several_values_and_takes_values_out(place):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"a": box(colour="red", note="x")},
                                      extra="  variables: {size: 1}\n"))
    place.parley("up", "demo.yaml", "--yes")
    before = place.files()
    place.parley("set", "a.colour=blue", "--unset", "a.note", "--yes")
    assert place.files().keys() == before.keys(), "it was replaced"
    assert [one["spec"] for one in place.files().values()] == [{"colour": "blue"}]
    # A text wants no quotes, and brackets are YAML only where they are meant.
    for typed, kept in (("14", "14"), ("true", "true"), ("a: b", "a: b"), ("it's #1", "it's #1"),
                        ("'quoted'", "quoted"), ("*x", "*x"), ("${upper(\"u\")}", "U")):
        place.parley("set", f"a.note={typed}", "--yes")
        assert [one["spec"]["note"] for one in place.files().values()] == [kept], typed
    place.parley("set", "a.lifecycle.protect=true", "--yes")
    assert place.records("demo")[0]["protect"] is True
    agree(place, "demo")


@test
def set_of_a_variable_changes_what_uses_it(place):
    given(place, document("demo", {"one": data("${var.size}")}, extra="  variables: {size: 1, other: a}\n"))
    place.parley("up", "demo.yaml", "--yes", "--var", "other=b")
    place.parley("set", "var.size=7", "--yes")
    assert value_of(place, "one") == 7
    assert "other: a" in head(place)[0], "what was given with --var is no part of the document"


@test
def what_cannot_be_set_is_told_and_changes_nothing(place):
    given(place)
    place.write("other.yaml", document("other", {"one": data(1)}))
    place.parley("up", "other.yaml", "--yes")
    faults = {
        ("set",): "NAME.PROPERTY=VALUE",
        ("set", "one.value"): "NAME.PROPERTY=VALUE",
        ("set", "=5"): "NAME.PROPERTY=VALUE",
        ("set", "one.=5"): "NAME.PROPERTY=VALUE",
        ("set", "one.a[x]=5"): "NAME.PROPERTY=VALUE",
        ("set", "--unset", "one.value=5"): "NAME.PROPERTY",
        ("set", "three.value=5"): "three",
        ("set", "one.value=5"): "--in",
        ("set", "one.value=5", "--in", "nobody"): "nobody",
        ("set", "one.valeu=5", "--in", "demo"): "unknown-property",
        ("set", "--unset", "one.note", "--in", "demo"): "one",
        ("set", "one.value=5", "--file", "missing.yaml"): "missing.yaml",
        ("set", "one.value=5", "--file", "demo.yaml", "--refresh", "some"): "refresh",
    }
    for words, said in faults.items():
        result = place.parley(*words, "--yes", want=1)
        assert said in result.err, f"{words}: {result.err}"
    assert value_of(place, "one") == 1 and value_of(place, "one", "other") == 1
    assert place.read("demo.yaml") == FILE
    place.parley("set", "one.value=5", "--in", "other", "--yes")
    assert value_of(place, "one") == 1 and value_of(place, "one", "other") == 5


# --- What a file is based on ---

@test
def a_file_that_did_not_change_keeps_what_words_changed(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    result = place.parley("up", "demo.yaml")
    assert "No changes" in result.out, result.out
    assert "revision 2" in result.out and "parley set one.value=5" in result.out, result.out
    assert value_of(place, "one") == 5


@test
def what_the_file_and_words_changed_comes_together(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    changed = FILE.replace("-x", "-y")
    place.write("demo.yaml", changed)
    made = plan(place, "plan", "demo.yaml")
    assert steps(made) == ["update two"] and made["parents"] == [2, 1], made["parents"]
    place.parley("up", "demo.yaml", "--yes")
    assert value_of(place, "one") == 5 and value_of(place, "two") == "5-y"
    assert place.read("demo.yaml") == changed
    text, revision = head(place)
    assert "value: 5 }   # a number" in text and "-y" in text and "# What follows" in text, text
    assert revision["parents"] == [2, 1] and revision["source"] == "file", revision
    assert "made from 2 and 1" in place.parley("history", "demo").out


@test
def a_file_that_never_learned_of_the_words_does_not_undo_them_later(place):
    """The merge is what was applied, but the file is still without it: that is no wish to undo it."""
    given(place)
    place.parley("set", "one.value=5", "--yes")
    for text in ("-y", "-z", "-z"):
        place.write("demo.yaml", FILE.replace("-x", text))
        place.parley("up", "demo.yaml", "--yes")
        assert value_of(place, "one") == 5 and value_of(place, "two") == "5" + text
    place.write("demo.yaml", FILE.replace("-x", "-y").replace("# The", "#"))
    assert steps(plan(place, "plan", "demo.yaml")) == ["update two"]


@test
def a_file_that_is_set_back_by_hand_is_an_edit_like_any_other(place):
    given(place)
    given(place, FILE.replace("value: 1 ", "value: 2 "))
    given(place, FILE)
    assert value_of(place, "one") == 1
    assert [one["number"] for one in place.parley("history", "demo", "--json").json()["revisions"]] == [3, 2, 1]


@test
def what_both_changed_is_told_with_both_places_and_nothing_is_changed(place):
    given(place)
    place.parley("set", "one.value=5", "two.value=w", "--yes")
    place.write("demo.yaml", FILE.replace("value: 1 ", "value: 7 ").replace("-x", "-y"))
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "demo.yaml:7:28: error[merge-conflict]" in result.err, result.err
    assert "demo.yaml:12:16: error[merge-conflict]" in result.err, result.err
    assert "deployment.resources[one].properties.value" in result.err, result.err
    assert "line 7 of the newest" in result.err and "line 12 of the newest" in result.err, result.err
    assert "revision 2 of user:" in result.err and "parley set one.value=5" in result.err, result.err
    assert '"revision: 2"' in result.err, result.err
    assert value_of(place, "one") == 5 and head(place)[1]["number"] == 2
    # As the help says: who has seen the newest revision decides.
    place.write("demo.yaml", place.read("demo.yaml").replace("name: demo\n", "name: demo\n  revision: 2\n"))
    place.parley("up", "demo.yaml", "--yes")
    assert value_of(place, "one") == 7 and value_of(place, "two") == "7-y"


@test
def what_words_removed_or_added_is_merged_too(place):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"a": box(colour="red", note="n"), "b": box()}))
    place.parley("up", "demo.yaml", "--yes")
    place.parley("set", "--unset", "a.note", "--yes")
    place.write("demo.yaml", document("demo", {"b": box(), "c": box(), "a": box(colour="blue", note="n")}))
    place.parley("up", "demo.yaml", "--yes")
    assert {record["address"]: record["spec"] for record in place.records("demo")} == {
        "a": {"colour": "blue"}, "b": {}, "c": {}}
    # The file removes what words changed: a conflict, since one of them must be wrong.
    place.parley("set", "b.note=kept", "--yes")
    place.write("demo.yaml", document("demo", {"c": box(), "a": box(colour="blue", note="n")}))
    result = place.parley("plan", "demo.yaml", want=1)
    assert "resources[b] was taken out here" in result.err, result.err


@test
def a_revision_that_is_not_there_is_told(place):
    given(place)
    place.write("demo.yaml", FILE.replace("name: demo\n", "name: demo\n  revision: 9\n"))
    result = place.parley("plan", "demo.yaml", want=1)
    assert "demo.yaml:4:13: error[unknown-revision]" in result.err, result.err
    # However the word is written.
    place.write("demo.yaml", FILE.replace("name: demo\n", 'name: demo\n  "rev\\u0069sion": 9\n'))
    result = place.parley("plan", "demo.yaml", want=1)
    assert "error[unknown-revision]" in result.err, result.err
    place.write("new.yaml", document("new", {"one": data(1)}, extra="  revision: 3\n"))
    place.parley("up", "new.yaml", "--yes")


# --- Pull ---

@test
def pull_brings_a_file_up_to_date_and_keeps_its_comments_and_own_changes(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    place.write("demo.yaml", FILE.replace("-x", "-y # mine").replace('-y # mine"', '-y" # mine'))
    result = place.parley("pull", "demo", "demo.yaml")
    assert "demo.yaml is now at revision 2" in result.out, result.out
    want = FILE.replace("name: demo\n", "name: demo\n  revision: 2\n").replace("value: 1 ", "value: 5 ")
    assert place.read("demo.yaml") == want.replace('-x"', '-y" # mine'), place.read("demo.yaml")
    made = plan(place, "plan", "demo.yaml")
    assert steps(made) == ["update two"] and made["parents"] == [2], made
    assert place.parley("pull", "demo", "demo.yaml", "--json").json() == {
        "file": "demo.yaml", "revision": 2, "changed": False}


@test
def a_pulled_file_goes_on_from_what_was_applied_from_it(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    place.parley("pull", "demo", "demo.yaml")
    pulled = place.read("demo.yaml")
    for number in (6, 7, 6):
        place.write("demo.yaml", pulled.replace("value: 5 ", f"value: {number} "))
        place.parley("up", "demo.yaml", "--yes")
        assert value_of(place, "one") == number
    place.parley("set", "two.value=w", "--yes")
    place.write("demo.yaml", pulled.replace("value: 5 ", "value: 8 "))
    place.parley("up", "demo.yaml", "--yes")
    assert value_of(place, "one") == 8 and value_of(place, "two") == "w"


@test
def pull_writes_new_files_and_never_another_deployments(place):
    given(place)
    place.parley("pull", "demo", "fresh.yaml")
    place.parley("pull", "demo", "-o", "copy.yaml")
    want = FILE.replace("name: demo\n", "name: demo\n  revision: 1\n")
    assert place.read("fresh.yaml") == place.read("copy.yaml") == place.parley("pull", "demo").out == want
    assert "No changes" in place.parley("plan", "fresh.yaml").out
    place.write("other.yaml", document("other", {}))
    before = place.read("other.yaml")
    result = place.parley("pull", "demo", "other.yaml", want=1)
    assert "other@default" in result.err and place.read("other.yaml") == before, result.err
    place.write("broken.yaml", "deployment: [")
    place.parley("pull", "demo", "broken.yaml", want=1)
    assert place.read("broken.yaml") == "deployment: ["
    place.parley("pull", "nobody", want=1)
    place.parley("pull", "demo", "demo.yaml", "-o", "x.yaml", want=1)


@test
def a_conflict_keeps_pull_from_writing(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    changed = FILE.replace("value: 1 ", "value: 7 ")
    place.write("demo.yaml", changed)
    result = place.parley("pull", "demo", "demo.yaml", want=1)
    assert "merge-conflict" in result.err and place.read("demo.yaml") == changed, result.err


# --- What is taken back needs more than --yes ---

def answer(place, words, text):
    """Runs a command on a terminal of its own and types text at its question."""
    master, slave = pty.openpty()
    process = subprocess.Popen(place.line(*words), cwd=place.folder, env=place.env, stdin=slave,
                               stdout=slave, stderr=slave, close_fds=True, start_new_session=True)
    os.close(slave)
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        if b"(yes/no)" in seen + part and b"(yes/no)" not in seen:
            os.write(master, text.encode())
        seen += part
    os.close(master)
    return process.wait(30), seen.decode(errors="replace")


@test
def what_undoes_a_later_revision_is_not_approved_by_yes(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    shown = place.parley("undo", "demo", "--yes", want=3)
    assert "undoes revision 2 of user:" in shown.out and "parley set one.value=5" in shown.out, shown.out
    assert "revision 2" in shown.err and "--approve" in shown.err and "--revert" in shown.err, shown.err
    for words in (("--revert", "1"), ("--revert", "22"), ("--revert", ""), ()):
        place.parley("undo", "demo", "--yes", *words, want=3)
    place.parley("undo", "demo", "--revert", "2", want=3)
    assert value_of(place, "one") == 5
    code, seen = answer(place, ("undo", "demo", "--yes"), "no\n")
    assert code == 3 and "(yes/no)" in seen and value_of(place, "one") == 5, seen
    code, seen = answer(place, ("undo", "demo"), "yes\n")
    assert code == 0 and value_of(place, "one") == 1, seen


@test
def an_undo_is_approved_by_its_hash_or_by_naming_all_it_undoes(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    place.parley("set", "two.value=w", "--yes")
    result = place.parley("undo", "demo", "--to", "1", want=3)
    text = result.err[result.err.index("--approve ") + len("--approve "):].split()[0].rstrip(",")
    stored = place.parley("apply", text, "--json", want=3)
    assert "approval" in stored.out, stored.out
    place.parley("undo", "demo", "--to", "1", "--yes", "--revert", "2", want=3)
    place.parley("undo", "demo", "--to", "1", "--yes", "--revert", "3", want=3)
    place.parley("undo", "demo", "--to", "1", "--yes", "--revert", "3,2")
    assert value_of(place, "one") == 1 and value_of(place, "two") == "1-x"
    assert head(place)[1]["source"] == "undo" and head(place)[1]["parents"] == [3, 1]
    place.parley("undo", "demo", "--to", "3", "--approve", _hash_of(place, "undo", "demo", "--to", "3"))
    assert value_of(place, "one") == 5 and value_of(place, "two") == "w"


def _hash_of(place, *words):
    result = place.parley(*words, want=3)
    return result.out.split("Plan hash: ")[1].split()[0]


@test
def a_plan_says_in_json_what_it_takes_back(place):
    given(place)
    place.parley("set", "one.value=5", "--yes")
    digest = _hash_of(place, "undo", "demo")
    place.parley("apply", digest, "--yes", want=3)
    place.parley("apply", digest[:12], "--yes", "--revert", "2", "--json")
    assert value_of(place, "one") == 1
    place.parley("set", "one.value=6", "--yes")
    place.write("demo.yaml", FILE.replace("name: demo\n", "name: demo\n  revision: 4\n"))
    made = plan(place, "plan", "demo.yaml")
    # The file names the newest revision and its words are our own: nothing is taken back unseen.
    assert [step["reverts"] for step in made["steps"]] == [None, None], made["steps"]


def as_another(place, *words):
    """The same command by another user of the machine, as its own namespace makes it believe."""
    other = ["unshare", "--user", f"--map-user={os.getuid() + 1 if os.getuid() else 65534}"]
    line = [*other, *place.line(*words)]
    probe = subprocess.run([*other, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise Skip("no user namespaces here: " + probe.stderr.decode().strip())
    return subprocess.run(line, cwd=place.folder, env=place.env, text=True, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False)


@test
def what_undoes_another_principals_change_is_not_approved_by_yes(place):
    given(place)
    done = as_another(place, "set", "one.value=5", "--yes")
    assert done.returncode == 0, done.stderr
    revision = head(place)[1]
    place.parley("pull", "demo", "demo.yaml")
    mine = place.read("demo.yaml")
    # A further change is no undoing; going back to before is.
    place.write("demo.yaml", mine.replace("value: 5 ", "value: 9 "))
    assert [step["reverts"] for step in plan(place, "plan", "demo.yaml")["steps"]] == [None, None]
    place.write("demo.yaml", mine.replace("value: 5 ", "value: 1 "))
    made = plan(place, "plan", "demo.yaml")
    assert made["steps"][0]["reverts"] == [{"revision": 2, "who": revision["principal"],
                                            "when": revision["created_at"],
                                            "words": revision["words"]}], made["steps"]
    place.parley("up", "demo.yaml", "--yes", want=3)
    result = place.parley("set", "one.value=1", "--yes", want=3)
    assert revision["principal"] in result.err, result.err
    place.parley("up", "demo.yaml", "--yes", "--revert", "2")
    assert value_of(place, "one") == 1


@test
def a_variable_that_is_set_back_marks_the_steps_it_causes(place):
    given(place, document("demo", {"one": data("${var.size}"), "two": data("two")}, extra="  variables: {size: 1}\n"))
    place.parley("set", "var.size=2", "--yes")
    place.parley("set", "two.value=second", "--yes")
    result = place.parley("undo", "demo", "--to", "1", want=3)
    assert result.out.count("undoes revision 2") == 1 and result.out.count("undoes revision 3") == 1, result.out
    place.parley("undo", "demo", "--to", "1", "--yes", "--revert", "2,3")
    assert value_of(place, "one") == 1 and value_of(place, "two") == "two"


def taken_back(made):
    """Step -> the revisions that it undoes."""
    return {step["id"].split("#")[0]: [one["revision"] for one in step["reverts"] or []] for step in made["steps"]}


@test
def a_variable_that_is_set_back_marks_no_step_that_does_not_use_it(place):
    mine = document("demo", {"one": data("${var.size}"), "user": data("${one.value}-x")}, extra="  variables: {size: 1}\n")
    given(place, mine)
    assert as_another(place, "set", "var.size=2", "--yes").returncode == 0
    place.parley("pull", "demo", "demo.yaml")
    text = place.read("demo.yaml").replace("size: 2", "size: 1")
    place.write("demo.yaml", text.replace('    - {"type"', '    - {"type": "core:data:value", "name": "other", '
                                          '"properties": {"value": "new"}}\n    - {"type"', 1))
    made = taken_back(plan(place, "plan", "demo.yaml"))
    # What takes its value from the resource that uses the variable goes back with it.
    assert made == {"create other": [], "update one": [2], "update user": [2]}, made
    place.parley("up", "demo.yaml", "--yes", want=3)
    place.parley("up", "demo.yaml", "--yes", "--revert", "2")


@test
def all_that_no_step_carries_out_is_told(place):
    place.with_boxes()
    mine = document("demo", {"web": box(note="x")}, extra="  variables: {first: 1, second: 1}\n")
    given(place, mine)
    for name in ("first", "second"):
        assert as_another(place, "set", f"var.{name}=2", "web.size=" + str(len(name)), "--yes").returncode == 0
    place.parley("pull", "demo", "demo.yaml")
    place.write("demo.yaml", place.read("demo.yaml").replace("2", "1").replace("revision: 1", "revision: 3").replace(
        '"x"', '"y"'))
    made = taken_back(plan(place, "plan", "demo.yaml"))
    assert list(made) == ["update web"] and sorted(made["update web"]) == [2, 3], made
    place.parley("up", "demo.yaml", "--yes", "--revert", "3", want=3)


@test
def a_new_name_takes_nothing_back_that_others_changed(place):
    place.with_boxes()
    given(place, document("demo", {"web": box(note="x"), "app": box(note="x")}))
    assert as_another(place, "set", "web.note=y", "--yes").returncode == 0
    place.parley("pull", "demo", "demo.yaml")
    text = place.read("demo.yaml")
    place.write("demo.yaml", text.replace('"name": "web"', '"name": "front", "formerly": ["web"]'))
    made = taken_back(plan(place, "plan", "demo.yaml"))
    assert list(made) == ["rename front"] and made["rename front"] == [], made
    # Going back to before under the new name does.
    place.write("demo.yaml", text.replace('"name": "web"', '"name": "front", "formerly": ["web"]').replace('"y"', '"x"'))
    made = taken_back(plan(place, "plan", "demo.yaml"))
    assert made["update front"] == [2], made
    # And so does going back to a name that somebody else gave up.
    place.write("demo.yaml", text)
    assert as_another(place, "up", "demo.yaml", "--yes").returncode == 0
    place.write("renamed.yaml", text.replace('"name": "web"', '"name": "front", "formerly": ["web"]'))
    done = as_another(place, "up", "renamed.yaml", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    place.parley("pull", "demo", "demo.yaml")
    newest = place.read("demo.yaml")
    place.write("demo.yaml", newest.replace("name: front", "name: web").replace("[web]", "[front]"))
    made = taken_back(plan(place, "plan", "demo.yaml"))
    assert made.get("rename web") and max(made["rename web"]) > 2, made


# --- Undo of every kind of step ---

def specs(place):
    return sorted(json.dumps(one["spec"], sort_keys=True) for one in place.files().values())


def undone(place, before, after, name="demo"):
    """Applies before and after, takes after back; the steps of the way back and what it says."""
    place.write("demo.yaml", document(name, before))
    place.parley("up", "demo.yaml", "--yes")
    there = specs(place)
    place.write("demo.yaml", document(name, after))
    place.parley("up", "demo.yaml", "--yes")
    shown = place.parley("undo", name, want=3).out
    made = place.parley("undo", name, "--approve", shown.split("Plan hash: ")[1].split()[0])
    agree(place, name)
    assert specs(place) == there
    return shown, made


@test
def an_undone_create_is_a_delete(place):
    place.with_boxes()
    shown, _ = undone(place, {"a": box()}, {"a": box(), "b": box()})
    assert '- acme:thing:box "b"' in shown and "undoes revision 2" in shown, shown


@test
def an_undone_update_is_an_update(place):
    place.with_boxes()
    shown, _ = undone(place, {"a": box(colour="red")}, {"a": box(colour="blue")})
    assert 'colour: "blue" -> "red"' in shown, shown


@test
def an_undone_delete_is_a_create_that_says_what_does_not_come_back(place):
    place.with_boxes()
    shown, _ = undone(place, {"a": box(), "b": box()}, {"a": box()})
    assert '+ acme:thing:box "b"' in shown and "b is made anew" in shown, shown
    assert "id, endpoint" in shown and "does not come back" in shown, shown


@test
def an_undone_replacement_is_a_replacement(place):
    place.with_boxes()
    shown, _ = undone(place, {"a": box(size=1)}, {"a": box(size=2)})
    assert '- acme:thing:box "a"' in shown and '+ acme:thing:box "a"' in shown, shown


@test
def an_undone_rename_is_a_rename_and_no_loss(place):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"a": box(colour="red")}))
    place.parley("up", "demo.yaml", "--yes")
    before = place.files()
    for name, former in (("b", "a"), ("c", "b")):
        place.write("demo.yaml", document("demo", {name: box({"formerly": [former]}, colour="red")}))
        place.parley("up", "demo.yaml", "--yes")
    shown = place.parley("undo", "demo", "--to", "1", want=3).out
    assert '> acme:thing:box "a", until now "c"' in shown, shown
    assert "to destroy" not in shown and "to create" not in shown, shown
    place.parley("undo", "demo", "--to", "1", "--approve", shown.split("Plan hash: ")[1].split()[0])
    assert place.files().keys() == before.keys() and place.records("demo")[0]["address"] == "a"


@test
def an_undone_count_takes_what_was_added(place):
    place.with_boxes()
    shown, _ = undone(place, {"a": box()}, {"a": box({"count": 3})})
    assert "- 2 resources to destroy" in shown or shown.count('- acme:thing:box "a[') == 2, shown


@test
def data_that_is_lost_is_named_before_an_undo(place):
    place.with_boxes()
    vault = ("acme:thing:vault", {}, {})
    place.write("demo.yaml", document("demo", {"v": vault}))
    place.parley("up", "demo.yaml", "--yes")
    place.write("demo.yaml", document("demo", {}))
    place.parley("up", "demo.yaml", "--yes")
    shown = place.parley("undo", "demo", want=3).out
    assert "v is made anew and empty" in shown, shown
    place.parley("undo", "demo", "--yes", "--revert", "2")
    shown = place.parley("undo", "demo", want=3).out
    assert "cannot be undone: its data goes with it" in shown, shown


@test
def a_destroyed_deployment_comes_back_anew(place):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"a": box(colour="red")}))
    place.parley("up", "demo.yaml", "--yes")
    place.parley("destroy", "demo", "--yes")
    assert not place.files()
    result = place.parley("undo", "demo", "--yes")
    assert "a is made anew" in result.out, result.out
    agree(place, "demo")
    assert len(place.files()) == 1


@test
def there_is_nothing_before_the_first_revision(place):
    given(place)
    for words in ((), ("--to", "1"), ("--to", "0"), ("--to", "x"), ("--to", "2"), ("--to", "99")):
        result = place.parley("undo", "demo", *words, "--yes", want=1)
        assert "demo" in result.err, result.err
    place.parley("undo", "nobody", "--yes", want=1)
    assert value_of(place, "one") == 1


@test
def variables_of_a_revision_are_those_it_was_applied_with(place):
    given(place, document("demo", {"one": data("${var.size}")}, extra="  variables: {size: 1}\n"))
    place.parley("up", "demo.yaml", "--yes", "--var", "size=4")
    place.write("demo.yaml", document("demo", {"one": data("x")}))
    place.parley("up", "demo.yaml", "--yes")
    place.parley("undo", "demo", "--to", "2", "--yes", "--revert", "3")
    assert value_of(place, "one") == 4


@test
def a_file_does_not_take_an_undo_back_by_itself(place):
    given(place)
    given(place, FILE.replace("value: 1 ", "value: 2 "))
    place.parley("undo", "demo", "--yes", "--revert", "2")
    result = place.parley("up", "demo.yaml", "--yes")
    assert "No changes" in result.out and "parley undo demo" in result.out, result.out
    assert value_of(place, "one") == 1
    place.parley("pull", "demo", "demo.yaml")
    assert "value: 1 " in place.read("demo.yaml")


# --- Expiry ---

def expiring(date, **further):
    return data(1, lifecycle={"expires": date, **further})


@test
def what_has_expired_goes_with_that_reason_and_is_not_made_again(place):
    given(place, document("demo", {"one": expiring("2999-01-01"), "two": data(2)}))
    assert len(place.records("demo")) == 2
    place.write("demo.yaml", document("demo", {"one": expiring("2001-01-01"), "two": data(2)}))
    made = plan(place, "plan", "demo.yaml")
    assert steps(made) == ["delete one"] and made["steps"][0]["reason"] == "expired", made["steps"]
    time.sleep(1.1)
    assert plan(place, "plan", "demo.yaml")["hash"] == made["hash"], "time itself is in the hash"
    place.parley("up", "demo.yaml", "--yes")
    assert [record["address"] for record in place.records("demo")] == ["two"]
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_expires_later_goes_when_its_time_has_come(place):
    place.write("demo.yaml", document("demo", {"two": data(2)}))
    place.parley("up", "demo.yaml", "--yes")
    patience, made = 4, None
    while not made:
        # On a machine too slow for this, its time may be over before it was ever made: then later.
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + patience))
        place.write("demo.yaml", document("demo", {"one": expiring(at), "two": data(2)}))
        place.parley("up", "demo.yaml", "--yes")
        made = len(place.records("demo")) == 2
        patience *= 2
    wait_until(lambda: steps(plan(place, "plan", "demo.yaml")) == ["delete one"], "it expired", 120)


@test
def what_needs_something_expired_is_told(place):
    place.write("demo.yaml", document("demo", {
        "one": expiring("2001-01-01"), "two": data("${one.value}"), "many": data(1, count=2, lifecycle={"expires": "2001-01-01T00:00:00Z"}),
        "three": data("x", dependsOn=["many"])}, extra='  outputs: {last: "${one.value}"}\n'))
    result = place.parley("plan", "demo.yaml", want=1)
    assert result.err.count("error[expired]") == 3, result.err
    assert '"two" needs "one"' in result.err and '"three" needs "many"' in result.err, result.err
    assert 'An output needs "one"' in result.err, result.err


@test
def what_is_protected_stays_even_when_it_has_expired(place):
    given(place, document("demo", {"one": expiring("2999-01-01", protect=True)}))
    place.write("demo.yaml", document("demo", {"one": expiring("2001-01-01", protect=True)}))
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "error[protected]" in result.err and len(place.records("demo")) == 1, result.err


if __name__ == "__main__":
    main()
