#!/usr/bin/env python3
"""Runs that are killed, cancelled, or in each other's way (DESIGN section 6): whatever happens, a
resume, or the same command again, reaches the wanted state with each resource made once."""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import sqlite3
import tempfile
import threading
import time

from lifecycle import Place, agree, box, check_audit, data, document, main, test, wait_until


def boxes(n=4, size=1):
    """A chain with branches: each box waits for the one before, and has data between."""
    resources = {"b0": box(size=size)}
    for i in range(1, n):
        resources[f"d{i}"] = data(f"${{b{i - 1}.id}}")
        resources[f"b{i}"] = box(note=f"${{d{i}.value}}", size=size)
        resources[f"side{i}"] = box(lid=f"b{i}")
    return resources


def given(place, resources=None, **settings):
    place.with_boxes(**({"latency": "60ms"} | settings))
    place.write("demo.yaml", document("demo", resources or boxes()))


def given_long(place, seconds):
    """A run of these cannot be over sooner, however busy the machine is."""
    given(place)
    place.with_boxes(latency="60ms", resources={"b3": {"latency": f"{seconds}s"}})


def is_complete(place, n):
    """Everything is there once, and a further up has nothing to do."""
    agree(place, "demo")
    assert len(place.records("demo")) == n, place.records("demo")
    assert "No changes" in place.parley("up", "demo.yaml").out


def kill_at(place, words, n_events):
    """Starts a command, kills its run -9 once n_events events came; False when it ended before."""
    process = place.start(*words, "--json")
    n_seen = 0
    for line in process.stdout:
        n_seen += 1
        if n_seen < n_events:
            continue
        for pid in place.run_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended just now
        break
    rest = process.stdout.read() + process.stderr.read()
    code = process.wait(30)
    if code != 0:
        assert n_seen >= n_events and code == 1, f"exit {code}: {rest}"
        assert "parley resume" in rest, rest
    assert not place.run_processes()
    return code != 0


def pause(place):
    for pid in place.run_processes():
        os.kill(pid, signal.SIGSTOP)


def go_on(place):
    for pid in place.run_processes():
        os.kill(pid, signal.SIGCONT)


def kill_each(numbers, go_on_with, at_least):
    """For each number, a few at a time in places of their own: a run is killed at that event, and what is left
    is finished by a command. So many must be killed before they have ended: where the machine is too busy to
    tell us of an event in time, the calls take longer in a next round."""
    def attempt(n, latency):
        place = Place()
        try:
            given(place, latency=latency)  # so that the run is still there to be killed
            if not kill_at(place, ("up", "demo.yaml", "--yes"), n):
                return False
            place.parley(*go_on_with)
            is_complete(place, 10)
            place.parley("destroy", "demo", "--yes")
            assert place.files() == {}
            check_audit(place)
            return True
        finally:
            place.close()
    n_killed = 0
    for latency in ("90ms", "400ms", "1500ms"):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            n_killed += sum(pool.map(lambda n, latency=latency: attempt(n, latency), numbers))
        if n_killed >= at_least:
            return
    raise AssertionError(f"only {n_killed} runs were killed")


@test
def a_run_killed_at_any_event_is_resumed(place):
    del place
    kill_each(range(1, 60, 3), ("resume", "demo"), at_least=5)


@test
def after_a_kill_the_same_command_goes_on(place):
    del place
    kill_each(range(2, 60, 4), ("up", "demo.yaml", "--yes"), at_least=4)


@test
def a_replacement_killed_in_the_middle_is_finished(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    for round_number, n in enumerate((2, 4, 6, 9, 12, 15)):
        given(place, boxes(size=10 + round_number))
        if kill_at(place, ("up", "demo.yaml", "--yes"), n):
            if round_number % 2:
                place.parley("resume", "demo")
            else:
                place.parley("up", "demo.yaml", "--yes")
        is_complete(place, 10)


@test
def a_destroy_killed_in_the_middle_is_finished(place):
    for n in (2, 5, 9):
        given(place)
        place.parley("up", "demo.yaml", "--yes")
        killed = kill_at(place, ("destroy", "demo", "--yes"), n)
        if killed:
            place.parley("resume" if n % 2 else "destroy", "demo", *([] if n % 2 else ["--yes"]))
        assert place.files() == {}


@test
def an_operation_that_was_accepted_is_not_asked_for_twice(place):
    given(place, asynchronous=True, latency="400ms")
    process = place.start("up", "demo.yaml", "--yes", "--json")
    for line in process.stdout:
        if json.loads(line)["kind"] == "handle":
            break
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    before = {uid: resource["ready_at"] for uid, resource in place.files().items()}
    assert before
    place.parley("resume", "demo")
    after = {uid: resource["ready_at"] for uid, resource in place.files().items()}
    assert all(after[uid] == at for uid, at in before.items()), "it was made a second time"
    is_complete(place, 10)


@test
def a_lost_answer_is_looked_up(place):
    for how in ("lose-answer", "lose-request"):
        given(place, fail=[{"verb": "create", "name": "b1", "how": how}])
        result = place.parley("up", "demo.yaml", "--yes", want=None)
        assert result.code == (0 if how == "lose-answer" else 4), result.err
        if result.code == 4:
            place.parley("resume", "demo")
        is_complete(place, 10)
        place.parley("destroy", "demo", "--yes")
        os.unlink(place.path("home/fake/acme.lab/failures"))


@test
def a_failure_leaves_the_rest_done_and_exit_4(place):
    given(place, fail=[{"verb": "create", "name": "b2", "how": "refuse"}])
    result = place.parley("up", "demo.yaml", "--yes", want=4)
    assert "b2" in result.out and "told to refuse" in result.out, result.out
    names = {record["address"] for record in place.records("demo")}
    assert {"b0", "b1", "side1"} <= names and "b2" not in names and "b3" not in names
    agree(place, "demo")
    assert place.parley("run", "list", "--json").json()[0]["status"] == "partly"
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, 10)


@test
def what_was_half_done_is_mended_by_the_next_up(place):
    given(place, fail=[{"verb": "create", "name": "b2", "how": "half"}])
    place.parley("up", "demo.yaml", "--yes", want=4)
    agree(place, "demo")
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, 10)


@test
def when_nothing_could_be_done_exit_is_1(place):
    given(place, {"a": box()}, fail=[{"verb": "create", "how": "unreachable"}])
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "nothing was changed" in result.out + result.err, result.out
    assert place.files() == {}


@test
def of_two_ups_at_once_one_wins_and_the_other_is_told(place):
    given_long(place, 4)
    results = [None, None]

    def run(i):
        results[i] = place.parley("up", "demo.yaml", "--yes", want=None)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.code for result in results) == [0, 1], [
        (result.code, result.err) for result in results]
    loser = next(result for result in results if result.code == 1)
    assert any(told in loser.err for told in (
        "another run", "changed after this plan", "its approval was used by the run")), loser.err
    is_complete(place, 10)


@test
def while_a_run_is_under_way_a_second_up_is_told(place):
    given_long(place, 12)
    first = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the first run made something")
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "another run" in result.err, result.err
    place.parley("resume", "demo")  # joins the run that is alive
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, out + err
    is_complete(place, 10)


@test
def two_deployments_do_not_wait_for_each_other(place):
    """The first is in a call that ends for nobody who waits for it; then its run is killed."""
    given(place)
    place.with_boxes(resources={"b1": {"latency": "1h"}})
    place.write("other.yaml", document("other", {"x": box()}))
    first = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the first run made something")
    place.with_boxes()
    place.parley("up", "other.yaml", "--yes")
    assert first.poll() is None and len(place.run_processes()) == 1, "the first run should still be under way"
    place.parley("destroy", "other", "--yes")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 1 and "parley resume" in err, (first.returncode, err)
    place.parley("resume", "demo")
    is_complete(place, 10)


@test
def a_run_outlives_its_door(place):
    given(place, latency="200ms")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the door would not be asked to go
    for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM):
        door = place.start("up", "demo.yaml", "--yes", start_new_session=True)
        wait_until(place.files, "the run made something")
        pause(place)  # so that it is not done before its door is gone
        door.send_signal(number)
        door.wait(60)
        assert place.run_processes(), f"the run died with its door of {number}"
        go_on(place)
        wait_until(lambda: not place.run_processes(), "the run ended by itself", 30)
        door.communicate(timeout=60)
        assert place.parley("run", "list", "--json").json()[0]["status"] == "done"
        is_complete(place, 10)
        place.parley("destroy", "demo", "--yes")


@test
def an_interrupt_while_planning_ends_the_door_and_changes_nothing(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    before, n_runs = place.files(), len(stored_runs(place))
    for words in ("up", "demo.yaml", "--yes"), ("plan", "demo.yaml"), ("destroy", "demo", "--yes"):
        given(place, boxes(size=7), fail=[{"verb": "read", "name": "b1", "how": "hang"}])
        door = place.start(*words)
        wait_until(lambda: os.path.exists(place.path("home/fake/acme.lab/failures")), "it reads")
        door.send_signal(signal.SIGINT)
        out, err = door.communicate(timeout=20)
        assert door.returncode == 130, (words, door.returncode, out, err)
        assert "Interrupted" in err, err
        assert not place.processes()
        assert place.files() == before and len(stored_runs(place)) == n_runs
        os.unlink(place.path("home/fake/acme.lab/failures"))
    given(place)
    is_complete(place, 10)


@test
def the_first_interrupt_lets_calls_finish_and_can_be_resumed(place):
    given(place, latency="400ms")
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something")
    door.send_signal(signal.SIGINT)
    out, err = door.communicate(timeout=20)
    assert door.returncode == 130, out + err
    assert not place.run_processes()
    agree(place, "demo")
    assert 0 < len(place.files()) < 7
    assert place.parley("run", "list", "--json").json()[0]["status"] == "cancelled"
    place.parley("resume", "demo")
    is_complete(place, 10)


@test
def what_a_cancelled_run_did_not_begin_is_one_number(place):
    """It has no rows, however much it is, and is told by the door and of the run."""
    chain = {f"b{i}": box(**({"lid": f"b{i - 1}"} if i else {})) for i in range(20)}
    given(place, chain | {f"d{i}": data("${b19.id}") for i in range(1000)}, latency="400ms")
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something")
    door.send_signal(signal.SIGINT)
    out, err = door.communicate(timeout=60)
    assert door.returncode == 130, out + err
    n_left = int(re.search(r"^  (\d+) not begun$", out, re.M)[1])
    assert n_left >= 1000, out
    run = place.parley("run", "list", "--json").json()[0]["id"]
    rows = place.parley("run", "show", run, "--json").json()["journal"]
    assert len(rows) < 100 and rows[-1]["skipped"] == n_left, (len(rows), rows[-1])
    assert f"  {n_left} not begun\n" in place.parley("run", "show", run).out
    place.parley("resume", "demo")
    is_complete(place, 1020)


@test
def the_second_interrupt_aborts_and_can_be_resumed(place):
    given(place, {"a": box(), "b": box(lid="a")},
          fail=[{"verb": "create", "name": "b", "how": "hang-after"}])
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(lambda: len(place.files()) == 2, "the run hangs")
    door.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert door.poll() is None
    door.send_signal(signal.SIGINT)
    out, err = door.communicate(timeout=20)
    assert door.returncode == 130, out + err
    wait_until(lambda: not place.run_processes(), "the run is gone")
    before = place.files()
    place.parley("resume", "demo")
    assert place.files() == before
    is_complete(place, 2)


@test
def a_door_that_still_reads_what_was_done_before_is_heard_at_once(place):
    """It tells more than its pipe holds, and nobody reads that: what the run hears it has not from the door's end."""
    chain = {f"b{i}": box(**({"lid": f"b{i - 1}"} if i else {})) for i in range(120)}
    given(place, {f"d{i}": data(i) for i in range(2000)} | chain, latency="1s")
    first = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something", 60)
    door = place.start("resume", "demo", "--json")  # joins the run that is alive
    assert json.loads(door.stdout.readline())["kind"] == "started"
    door.send_signal(signal.SIGINT)
    for _ in range(1200):  # of some four thousand
        door.stdout.readline()
    wait_until(lambda: place.parley("run", "list", "--json").json()[0]["status"] == "cancelled", "it stops", 60)
    rest, err = door.communicate(timeout=60)
    assert door.returncode == 130, rest[-2000:] + err
    first.communicate(timeout=60)
    assert len(place.files()) < 120, len(place.files())


@test
def a_run_is_cancelled_from_elsewhere(place):
    given(place, latency="3s")
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something")
    run = place.parley("run", "list", "--json").json()[0]
    place.parley("run", "cancel", run["id"])
    out, err = door.communicate(timeout=20)
    assert door.returncode == 130, out + err
    place.with_boxes(latency="60ms")
    place.parley("resume", "demo")
    is_complete(place, 10)


@test
def there_is_nothing_to_resume_after_a_run_that_ended(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    assert "nothing to resume" in place.parley("resume", "demo", want=1).err


@test
def a_run_that_ends_at_once_says_why(place):
    """Its own process finds it out: the command that started it tells the reason, not only where to look."""
    given(place, latency="500ms")
    assert kill_at(place, ("up", "demo.yaml", "--yes"), 3)
    place.with_boxes(latency="60ms", fail={"verb": "identify", "how": "wrong-account"})
    result = place.parley("resume", "demo", want=1)
    assert "ended early: acme.lab is " in result.err and "plan again" in result.err, result.err
    place.with_boxes(latency="60ms")
    place.parley("resume", "demo")
    is_complete(place, 10)


def children():
    """Of this process, from a field that is always there: what is just being executed has no words yet."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(entry)


def kill_family(door):
    """Kills a door and whatever it has started, which becomes ours with its death."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)
    door.kill()
    door.communicate(timeout=10)
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.001)
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 0)


@test
def a_run_killed_before_it_began_is_no_obstacle(place):
    """The door is killed between storing the run and its process taking the lease."""
    given(place)
    for delay in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08):
        door = place.start("up", "demo.yaml", "--yes")
        time.sleep(delay)
        kill_family(door)
    place.parley("up", "demo.yaml", "--yes")
    is_complete(place, 10)


def stored_runs(place):
    """(id, status, message) of all runs, from a copy of the store: no command looks, and none mends.
    While somebody writes, a copy may be of no use; then there is nothing to tell yet."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        try:
            for name in set(os.listdir(place.home)) & {"parley.db", "parley.db-wal"}:
                shutil.copy(place.path("home", name), folder)
            with contextlib.closing(sqlite3.connect(f"{folder}/parley.db")) as store:
                return list(store.execute("SELECT uid, status, message FROM runs ORDER BY id"))
        except (FileNotFoundError, sqlite3.DatabaseError):
            return []


def leave_a_pending_run(place):
    """Kills the door and the run's process between the run's row and its beginning."""
    for _ in range(200):
        n_before = len(stored_runs(place))
        door = place.start("up", "demo.yaml", "--yes")
        wait_until(lambda: len(stored_runs(place)) > n_before or door.poll() is not None, "a run")
        kill_family(door)
        uid, status, _ = stored_runs(place)[-1]
        if status == "pending":
            return uid
        place.parley("up", "demo.yaml", "--yes")
        place.parley("destroy", "demo", "--yes")
    raise AssertionError("every run has begun before it was killed")


@test
def a_run_that_never_began_is_over_with_the_next_command(place):
    for words in ("run", "list"), ("status",), ("resume", "demo"), ("up", "demo.yaml", "--yes"):
        given(place)
        uid = leave_a_pending_run(place)
        result = place.parley(*words, want=1 if words[0] == "resume" else 0)
        settled = {run[0]: run[1:] for run in stored_runs(place)}
        assert settled[uid][0] == "failed" and "before it began" in settled[uid][1], settled[uid]
        assert words[0] != "resume" or "never began" in result.err, result.err
        assert words[0] != "run" or "failed" in result.out, result.out
    is_complete(place, 10)


def sockets(place):
    folder = place.path("run", "parley")
    return [name for name in os.listdir(folder) if name.startswith("run-")]


@test
def the_socket_of_a_killed_run_is_removed_by_who_finds_it(place):
    given(place, latency="300ms")
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something")
    for pid in place.run_processes():
        os.kill(pid, signal.SIGKILL)
    door.communicate(timeout=30)
    assert sockets(place) == [], "its door follows it to the end"
    for words in ("status",), ("status", "demo"), ("resume", "demo"):
        door = place.start("resume", "demo")
        wait_until(lambda: place.run_processes() and sockets(place), "the run listens")
        pause(place)
        for pid in [door.pid, *place.run_processes()]:
            os.kill(pid, signal.SIGKILL)
        door.communicate(timeout=30)
        wait_until(lambda: not place.processes(), "all is dead")
        assert len(sockets(place)) == 1
        place.parley(*words)
        assert sockets(place) == [], words
@test
def a_run_that_hangs_is_ended_by_unlock_and_settled(place):
    given(place, {"a": box(), "b": box(lid="a")},
          fail=[{"verb": "create", "name": "b", "how": "hang-after"}])
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(lambda: len(place.files()) == 2, "the run hangs")
    assert "another run" in place.parley("up", "demo.yaml", "--yes", want=1).err
    pid = place.run_processes()[0]
    result = place.parley("unlock", "demo", want=3)
    assert f"process {pid}" in result.err and place.run_processes() == [pid], result.err
    assert place.parley("unlock", "demo", "--yes").out.startswith("The process is ended")
    assert not place.run_processes()
    out, err = door.communicate(timeout=20)
    assert door.returncode in (0, 1), out + err  # its door finds it dead, or settled
    agree(place, "demo")
    assert "Nobody holds the lease" in place.parley("unlock", "demo").out
    before = place.files()
    place.parley("up", "demo.yaml", "--yes")
    assert place.files() == before
    is_complete(place, 2)


@test
def a_detached_operation_is_told_as_that(place):
    given(place, {"a": box()}, asynchronous=True, latency="4s")
    door = place.start("up", "demo.yaml", "--yes", "--json")
    for line in door.stdout:
        if json.loads(line)["kind"] == "handle":
            break
    door.send_signal(signal.SIGINT)
    out, err = door.communicate(timeout=30)
    assert door.returncode == 130, out + err
    ends = [event for event in map(json.loads, out.splitlines()) if event["kind"] == "result"]
    assert ends and ends[0]["message"].startswith("detached: it goes on by itself"), ends
    place.with_boxes(asynchronous=True, latency="10ms")
    assert "go on by themselves" in place.parley("run", "list").out
    place.parley("resume", "demo")
    is_complete(place, 1)


@test
def with_rollback_a_failure_goes_back_to_where_it_was(place):
    given(place, {"a": box(note="first"), "b": box()})
    place.parley("up", "demo.yaml", "--yes")
    before, records = place.files(), place.records("demo")
    given(place, {"a": box(note="second"), "c": box(lid="a"), "d": box(lid="c")},
          fail=[{"verb": "create", "name": "d", "how": "refuse"}])
    result = place.parley("up", "demo.yaml", "--yes", "--rollback", want=1)
    assert "The way back:" in result.out and "is back where it was" in result.err, result.out
    assert {uid: resource["spec"] for uid, resource in place.files().items() if uid in before} == {
        uid: resource["spec"] for uid, resource in before.items() if uid in place.files()}
    now = place.records("demo")
    assert [(row["address"], row["spec"]) for row in now] == [
        (row["address"], row["spec"]) for row in records], now
    agree(place, "demo")


@test
def the_way_back_of_a_first_run_is_to_nothing_and_needs_its_own_yes(place):
    given(place, {"a": box(), "b": box(lid="a")},
          fail=[{"verb": "create", "name": "b", "how": "refuse"}])
    digest = place.parley("plan", "demo.yaml", "--json").json()["hash"]
    result = place.parley("up", "demo.yaml", "--approve", digest, "--rollback", want=4)
    assert "--approve" in result.err and len(place.files()) == 1, result.err
    place.parley("rollback", "demo", "--yes")
    assert place.files() == {} and place.records("demo") == []


@test
def what_cannot_be_brought_back_is_named_before(place):
    vault = {"v": ("acme:thing:vault", {}, {})}
    given(place, {"a": box()} | vault)
    place.parley("up", "demo.yaml", "--yes")
    given(place, {"a": box()})
    result = place.parley("up", "demo.yaml", "--rollback", want=3)
    assert 'A rollback could not bring back acme:thing:vault "v"' in result.out, result.out


@test
def a_paused_run_begins_nothing_after_another_took_over(place):
    """Its lock file is taken away while it is stopped: the only way to take over from a live one."""
    chain = {f"c{i}": box({"dependsOn": [f"c{i - 1}"]} if i else None) for i in range(6)}
    given(place, chain, latency="300ms")  # one call at a time
    door = place.start("up", "demo.yaml", "--yes")
    wait_until(place.files, "the run made something")
    paused = place.run_processes()[0]
    os.kill(paused, signal.SIGSTOP)
    for name in os.listdir(place.path("home/leases")):
        os.unlink(place.path("home/leases", name))
    place.parley("up", "demo.yaml", "--yes")
    before = {uid: os.stat(place.path(f"home/fake/acme.lab/{uid}.json")).st_mtime_ns
              for uid in place.files()}
    records = place.records("demo")
    os.kill(paused, signal.SIGCONT)
    wait_until(lambda: paused not in place.run_processes(), "the paused run ended", 30)
    door.communicate(timeout=30)
    after = {uid: os.stat(place.path(f"home/fake/acme.lab/{uid}.json")).st_mtime_ns
             for uid in place.files()}
    changed = [uid for uid in after if before.get(uid) != after[uid]]
    assert set(before) == set(after) and len(changed) <= 1, (before, after)  # the call under way
    assert place.records("demo") == records
    is_complete(place, 6)


if __name__ == "__main__":
    main()
