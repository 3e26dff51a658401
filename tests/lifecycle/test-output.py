#!/usr/bin/env python3
"""What is printed stays readable, however much there is: plans of many steps, progress, long lists."""
import os
import pty
import re
import subprocess
import sys

from lifecycle import PROGRAM, box, data, document, main, steps, test

N = 450


def many(n=N, **more):
    """n values, and a few boxes that come and go between them."""
    return {"value": data("${count.index}", count=n), **more}


def plan(place, *words, **options):
    return place.parley("plan", "demo.yaml", *words, **options)


def shown(text):
    """The addresses of the steps that are listed one by one."""
    return re.findall(r'^    [-+~&<>*] [a-z:]+ "(.*?)"', text, re.M)


def given(place, resources):
    place.with_boxes()
    place.write("demo.yaml", document("demo", resources))


@test
def many_steps_are_told_by_type_kind_and_reason(place):
    given(place, many(300, box=box()))
    place.parley("up", "demo.yaml", "--yes")
    given(place, {**many(100), "other": ("core:data:value", {"value": "x"}, {"count": 20})})
    text = plan(place).out
    assert shown(text) == [] and len(text.splitlines()) < 40, text
    assert "- 200 resources" not in text  # 200 values and the box go
    assert "  - 201 resources to destroy" in text and "  + 20 resources to create" in text, text
    assert '    - 200 x core:data:value  (the document no longer has it)\n        "value[' in text, text
    assert "and 197 more" in text and "    + 20 x core:data:value\n" in text, text
    assert '    - 1 x acme:thing:box  (the document no longer has it)\n        "box"\n' in text, text
    assert "These are 221 steps: --all shows each of them, --page N 200 at a time (of 2 pages)" in text, text
    assert "Plan hash: " in text


@test
def up_to_200_steps_are_listed(place):
    given(place, many(200))
    text = plan(place).out
    assert len(shown(text)) == 200 and "--page" not in text and " x core" not in text
    given(place, many(201))
    assert shown(plan(place).out) == []


@test
def all_shows_each_step_and_pages_show_each_once(place):
    given(place, many())
    whole = plan(place, "--all").out
    assert sorted(shown(whole)) == sorted(f"value[{i}]" for i in range(N))
    pages = [plan(place, "--page", str(number)).out for number in (1, 2, 3)]
    assert [len(shown(page)) for page in pages] == [200, 200, 50]
    assert sum((shown(page) for page in pages), []) == shown(whole)
    assert "Shown: 50 of 450 steps, from number 401 on (page 3 of 3)." in pages[2]
    assert shown(plan(place, "--page", "4").out) == []
    hashes = {text.split("Plan hash: ")[1] for text in [whole, *pages, plan(place).out]}
    assert len(hashes) == 1


@test
def json_has_all_steps_or_the_page_that_was_asked_for(place):
    given(place, many())
    whole = plan(place, "--json").json()
    assert len(whole["steps"]) == N and "shown" not in whole
    page = plan(place, "--json", "--page=3").json()
    assert page["steps"] == whole["steps"][400:] and page["hash"] == whole["hash"]
    assert page["shown"] == dict(steps=50, chosen=450, of=450, page=3, pages=3)


@test
def steps_are_chosen_by_type_and_by_kind(place):
    given(place, many(5, old=box(), vault=("acme:thing:vault", {}, {})))
    place.parley("up", "demo.yaml", "--yes")
    given(place, many(4, fresh=box(), value2=data("x")))
    assert shown(plan(place, "--type", "acme:thing:box").out) == ["fresh", "old"]
    assert shown(plan(place, "--type=thing:vault").out) == ["vault"]
    assert sorted(shown(plan(place, "--only", "create").out)) == ["fresh", "value2"]
    assert shown(plan(place, "--only=create,destroy", "--type=thing:box").out) == ["fresh", "old"]
    text = plan(place, "--only=delete").out
    assert sorted(shown(text)) == ["old", "value[4]", "vault"]
    assert "Shown: 3 of the plan's 5 steps, as was asked for." in text
    assert "  + 2 resources to create" in text  # the summary is of the whole plan
    made = plan(place, "--only=create", "--json").json()
    assert sorted(steps(made)) == ["create fresh", "create value2"] and made["summary"]["delete"] == 3
    assert made["shown"] == dict(steps=2, chosen=2, of=5, page=1, pages=1)
    assert "none of these steps" in plan(place, "--only=start").out


@test
def what_cannot_be_undone_is_named_also_among_many(place):
    vaults = {f"vault-{i}": ("acme:thing:vault", {}, {}) for i in range(5)}
    given(place, many(300, **vaults))
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"value": data("x")})
    text = plan(place).out
    assert "    - 5 x acme:thing:vault  (the document no longer has it)  cannot be undone" in text, text
    for name in vaults:
        assert f'"{name}"' in text, text


@test
def a_wrong_view_is_refused_with_what_there_is(place):
    given(place, many(3))
    for words, said in ((("--page", "0"), "--page takes a number from 1 on"), (("--page", "x"), "--page takes"),
                        (("--only", "make"), 'not "make"'), (("--only", ""), "--only takes"),
                        (("--all", "--page", "1"), "contradict")):
        assert said in plan(place, *words, want=1).err, words


@test
def a_stored_plan_is_shown_by_its_hash(place):
    given(place, many())
    whole = plan(place, "--json").json()
    os.remove(place.path("demo.yaml"))
    text = place.parley("plan", whole["hash"][:12], "--page=2").out
    assert len(shown(text)) == 200 and whole["hash"] in text
    assert "no plan" in place.parley("plan", "0123456789ab", want=1).err


def at_a_terminal(place, *words, **environment):
    """What a terminal of 24 lines shows of a command."""
    master, slave = pty.openpty()
    place.env.update(environment)
    process = subprocess.Popen([PROGRAM, *words, "--home", place.home], cwd=place.folder, env=place.env,
                               stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            part = b""
        if not part:
            break
        seen += part
    os.close(master)
    assert process.wait(60) == 0, seen
    return seen.decode()


@test
def a_long_plan_is_paged_at_a_terminal_and_nowhere_else(place):
    given(place, many(100))
    pager = f"cat > {place.path('paged')}"
    seen = at_a_terminal(place, "plan", "demo.yaml", PAGER=pager)
    assert shown(seen) == [] and len(shown(place.read("paged"))) == 100, seen
    os.remove(place.path("paged"))
    assert len(shown(at_a_terminal(place, "plan", "demo.yaml", PARLEY_PAGER="cat").replace("\r", ""))) == 100
    assert len(shown(plan(place).out)) == 100  # piped
    at_a_terminal(place, "up", "demo.yaml", "--yes", PARLEY_PAGER=pager)
    given(place, many(99))
    at_a_terminal(place, "plan", "demo.yaml", PARLEY_PAGER=pager)  # fits the screen
    assert not os.path.exists(place.path("paged"))


@test
def a_pager_that_is_left_early_or_missing_hurts_nothing(place):
    given(place, many(200, text=data("x" * 100000)))
    at_a_terminal(place, "plan", "demo.yaml", "--all", PAGER="head -n 1")
    seen = at_a_terminal(place, "plan", "demo.yaml", "--all", PAGER="/no/such/pager")
    assert len(shown(seen.replace("\r", ""))) == 201, seen[:2000]


@test
def the_progress_of_many_steps_is_counted(place):
    given(place, many(3000))
    result = place.parley("up", "demo.yaml", "--yes")
    progress = result.out.split("Plan hash: ")[1]
    lines = [line for line in progress.splitlines() if " steps (" in line]
    assert 1 <= len(lines) <= 101 and lines[-1].startswith("  3000/3000 steps (100 %)"), progress
    assert "Created" not in progress and "Stage" not in progress and "Deployment Complete!" in progress
    assert "\r" not in result.out and "\033" not in result.out


@test
def the_progress_of_few_steps_is_told_step_by_step(place):
    given(place, many(200))
    out = place.parley("up", "demo.yaml", "--yes").out
    assert out.count("Created core:data:value") == 200 and " steps (" not in out


@test
def all_tells_of_each_of_many_steps(place):
    given(place, many(300))
    out = place.parley("up", "demo.yaml", "--yes", "--all").out
    assert out.count("Created core:data:value") == 300 and " steps (" not in out


@test
def json_streams_every_event_of_many_steps(place):
    given(place, many(300))
    events = place.parley("up", "demo.yaml", "--yes", "--json").events()
    assert sum(event["kind"] == "result" for event in events) == 300


@test
def failures_among_many_steps_are_told_and_counted(place):
    place.with_boxes(fail=[dict(verb="create", how="refuse", count=30)])
    place.write("demo.yaml", document("demo", {
        "value": data("${count.index}", count=250), "box": ("acme:thing:box", {}, {"count": 30}),
        "late": box(lid="box[0]")}))
    result = place.parley("up", "demo.yaml", "--yes", want=4)
    progress = result.out.split("Plan hash: ")[1]
    assert progress.count("\u2717 create acme:thing:box") == 20, progress
    assert "more failures are counted" in progress
    assert "281/281 steps (100 %)" in progress and ", 30 failed, 1 skipped" in progress, progress


@test
def a_resumed_run_counts_what_was_done_before_and_tries_the_rest(place):
    """Whether its door meets it or comes when all is over."""
    place.with_boxes(fail=[{"verb": "create", "how": "lose-request"}])
    place.write("demo.yaml", document("demo", {**{f"d{i}": data(i) for i in range(200)}, "web": box(size=1),
                                               "after": data("${web.id}")}))
    out = place.parley("up", "demo.yaml", "--yes", want=4).out
    assert "202/202 steps (100 %)" in out and "1 failed, 1 skipped" in out, out
    out = place.parley("resume", "demo").out
    last = [line for line in out.splitlines() if " steps (" in line][-1]
    assert last.strip().startswith("202/202 steps (100 %)") and "failed" not in last and "skipped" not in last, out


@test
def a_terminal_has_one_bar_that_moves(place):
    given(place, many(2000))
    seen = at_a_terminal(place, "up", "demo.yaml", "--yes")
    assert "[##############################] 2000/2000 steps (100 %)" in seen, seen[-3000:]
    assert "Deployment Complete!" in seen


@test
def the_status_of_many_resources_is_counted_and_names_what_is_not_well(place):
    given(place, many(250, left=box(), gone=box()))
    place.parley("up", "demo.yaml", "--yes")
    uid = next(uid for uid, resource in place.files().items() if resource["address"] == "gone")
    os.remove(place.path(f"home/fake/acme.lab/{uid}.json"))
    text = place.parley("status", "demo").out
    assert "  created    1 x acme:thing:box\n  created    250 x core:data:value\n  missing    1 x acme" in text, text
    assert '  missing    acme:thing:box "gone"' in text and '"left"' not in text and len(text.splitlines()) < 20, text
    resources = place.parley("status", "demo", "--json").json()["resources"]
    assert len(resources) == 252 and sum(row["state"] == "missing" for row in resources) == 1


@test
def who_waits_for_reads_at_a_terminal_sees_how_far_they_are(place):
    boxes = {f"box-{i}": box() for i in range(60)}
    given(place, boxes)
    place.parley("up", "demo.yaml", "--yes")
    place.with_boxes(latency="200ms", fail=[dict(verb="list", how="refuse", count=9)])
    seen = at_a_terminal(place, "plan", "demo.yaml")
    assert re.search(r"reading what is there: \d+ of 60", seen), seen
    assert seen.rindex("\033[K") < seen.index("Deployment Plan")
    result = plan(place)
    assert "reading" not in result.err + result.out


@test
def runs_and_history_are_paged_newest_first(place):
    place.with_boxes()
    for number in range(1, 56):
        place.write("demo.yaml", document("demo", {"value": data(number)}))
        place.parley("up", "demo.yaml", "--yes")
    def numbers(*words):
        return [row["number"] for row in place.parley("history", "demo", "--json", *words).json()["revisions"]]
    assert numbers() == list(range(55, 5, -1)) and numbers("--page=2") == [5, 4, 3, 2, 1]
    assert numbers("--page", "3") == []
    first = place.parley("run", "list", "--json").json()
    second = place.parley("run", "list", "demo", "--page", "2", "--json").json()
    ids = [run["id"] for run in first + second]
    assert len(first) == 50 and len(second) == 5 and len(set(ids)) == 55
    times = [run["started_at"] for run in first + second]
    assert times == sorted(times, reverse=True)
    assert place.parley("run", "show", ids[-1], "--json").json()["id"] == ids[-1]
    text = place.parley("run", "list").out
    assert len(text.splitlines()) == 51 and "--page N shows older ones" in text, text
    assert "--page" not in place.parley("run", "list", "--page", "2").out
    assert "from 1 on" in place.parley("run", "list", "--page", "0", want=1).err


@test
def many_records_are_shown_a_page_at_a_time(place):
    """By address; a program that names no page gets all."""
    place.write("demo.yaml", document("demo", {"a": data(1), "many": data("${count.index}", count=120), "z": data(2)}))
    place.parley("up", "demo.yaml", "--yes")
    every = place.records("demo")
    assert len(every) == 122 and [row["address"] for row in every] == sorted(row["address"] for row in every)
    def page(n, *words):
        return place.parley("show", "demo", *words, "--page", str(n), "--json").json()
    assert page(1) + page(2) + page(3) == every and page(4) == []
    instances = [row for row in every if row["address"].startswith("many[")]
    assert place.parley("show", "demo", "many", "--json").json() == instances
    assert page(1, "many") + page(2, "many") + page(3, "many") == instances and len(page(3, "many")) == 20
    assert page(1, "many[7]")["address"] == "many[7]"
    text = place.parley("show", "demo").out
    assert text.count('"address": ') == 50 and "--page N shows the others, --json all of them" in text, text[-400:]
    text = place.parley("show", "demo", "many", "--page", "3").out
    assert text.count('"address": ') == 20 and "--page" not in text, text[-400:]
    assert "from 1 on" in place.parley("show", "demo", "--page", "x", want=1).err
    for address in ("man", "many[120]"):
        assert "has no resource" in place.parley("show", "demo", address, want=1).err


def newest_run(place):
    return place.parley("run", "show", place.parley("run", "list", "--json").json()[0]["id"]).out


@test
def a_run_says_what_became_of_each_of_its_steps(place):
    place.with_boxes(fail=[{"verb": "create", "how": "refuse", "name": "bad"}])
    place.write("demo.yaml", document("demo", {"good": box(), "bad": box(), "after": box(lid="bad")}))
    place.parley("up", "demo.yaml", "--yes", want=4)
    text = newest_run(place)
    assert ": partly\n  parley up demo.yaml --yes" in text and "Steps (3):" in text, text
    assert re.search(r"^  done       create good#1  \d+\.\d s$", text, re.M), text
    assert re.search(r"^  failed     create bad#1  \d+\.\d s\n             \S", text, re.M), text
    assert re.search(r"^  skipped    create after#1\n             because: create bad#1$", text, re.M), text


@test
def what_waits_for_a_failure_is_told_by_name_and_the_rest_of_many_as_a_number(place):
    """The step that failed is named, and not one in between that was skipped, too."""
    place.with_boxes(fail=[{"verb": "create", "how": "refuse", "name": name} for name in ("bad", "worse")])
    behind = {f"b{i}": box(lid=f"b{i - 1}" if i else "bad") for i in range(3)}
    place.write("demo.yaml", document("demo", {"good": box(), "bad": box(), **behind}))
    out = place.parley("up", "demo.yaml", "--yes", want=4).out
    for name in behind:
        assert f'- skipped "{name}", which waits for create bad#1' in out, out
    place.write("many.yaml", document("many", {"good": box(), "worse": box(), "late": box({"count": 250}, lid="worse")}))
    out = place.parley("up", "many.yaml", "--yes", "--all", want=4).out
    assert out.count('- skipped "late[') == 200 and "- skipped 50 more, which wait for create worse#1" in out, out[-3000:]
    text = newest_run(place)
    assert "\n  skipped    50 more\n             because: create worse#1\n" in text and "not begun" not in text, text[-500:]


# A run's last rows as older programs wrote them: one for each step that was skipped, which gives the step's place in
# the plan or, before that, says all of it. Who leaves without closing leaves them in the log, as a crash would.
OLD_ROWS = """
import os, sqlite3, sys
store = sqlite3.connect(sys.argv[1])
(end,) = store.execute("SELECT body FROM journal WHERE kind = 'finished'").fetchone()
store.execute("DELETE FROM journal WHERE kind IN ('skipped', 'finished')")
row = "INSERT INTO journal (run, time, kind, body, step) SELECT id, ended_at, ?, ?, ? FROM runs"
(b0,) = store.execute("SELECT id & 0xffffffff FROM steps WHERE label = 'create b0#1'").fetchone()
store.execute(row, ("skipped", '{"because":"create bad#1"}', b0))
store.execute(row, ("skipped", '{"address":"b1","because":"create b0#1","stage":"main","step":"create b1#1",'
                               '"step_kind":"create","type":"acme:thing:box"}', None))
store.execute(row, ("finished", end, None))
store.commit()
os._exit(0)
"""


@test
def a_journal_of_an_older_program_has_a_row_for_each_skipped_step_and_is_read(place):
    place.with_boxes(fail=[{"verb": "create", "how": "refuse", "name": "bad"}])
    place.write("demo.yaml", document("demo", {"good": box(), "bad": box(), "b0": box(lid="bad"), "b1": box(lid="b0")}))
    place.parley("up", "demo.yaml", "--yes", want=4)
    place.is_store_damaged = True  # its chain is not what it was
    subprocess.run([sys.executable, "-c", OLD_ROWS, place.path("home/parley.db")], check=True)
    text = newest_run(place)
    assert "\n  skipped    create b0#1\n             because: create bad#1\n" in text, text
    assert "\n  skipped    create b1#1\n             because: create b0#1\n" in text, text
    assert "not begun" not in text and "more" not in text, text
    (run,) = place.parley("run", "list", "--json").json()
    rows = place.parley("run", "show", run["id"], "--json").json()["journal"]
    skips = [(row["address"], row["step_kind"], row["type"]) for row in rows if row["kind"] == "skipped"]
    assert skips == [("b0", "create", "acme:thing:box"), ("b1", "create", "acme:thing:box")], rows
    assert run["id"] in place.parley("history", "demo", "--json").out
    place.parley("resume", "demo")
    assert len(place.files()) == 4


@test
def a_run_of_many_steps_is_counted_and_names_what_is_not_done(place):
    place.with_boxes(fail=[{"verb": "create", "how": "refuse", "name": "box"}])
    place.write("demo.yaml", document("demo", many(300, box=box())))
    place.parley("up", "demo.yaml", "--yes", want=4)
    text = newest_run(place)
    assert "Steps (301):\n  done       300 x create\n  failed     1 x create\n  failed     create box#1" in text, text
    assert len(text.splitlines()) < 12 and "--json has each" in text, text


if __name__ == "__main__":
    main()
