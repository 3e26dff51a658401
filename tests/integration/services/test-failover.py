#!/usr/bin/env python3
"""What is asked of a database on the twin: promote, fence, rejoin, drain. Prints TAP.

PARLEY_FAILOVER_RUNS says how often a primary is killed under writers and a replica promoted (2).
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "twin"))
import twinlab
from twinlab import Twin, wait_until

TESTS = []
RUNS = int(os.environ.get("PARLEY_FAILOVER_RUNS", "2"))
WRITERS = 4

# Writes one number after another, each in a commit of its own and never the same again, and prints
# each that was acknowledged, with the time. libpq by hand: there is nothing else on this machine.
WRITER = r"""
import ctypes, os, sys, threading, time
conninfo, first = sys.argv[1].encode(), int(sys.argv[2])
pq = ctypes.CDLL("libpq.so.5")
for name in "PQconnectdb", "PQexec":
    getattr(pq, name).restype = ctypes.c_void_p
COMMAND = 1
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
number, connection = first, None
while not over.is_set():
    if connection is None:
        connection = ctypes.c_void_p(pq.PQconnectdb(conninfo))
    number += 1
    result = ctypes.c_void_p(pq.PQexec(connection, b"insert into written values (%d)" % number))
    done = pq.PQresultStatus(result) == COMMAND
    pq.PQclear(result)
    if done:
        sys.stdout.write("%d %.6f\n" % (number, time.monotonic()))
        sys.stdout.flush()
    else:
        pq.PQfinish(connection)
        connection = None
        time.sleep(0.005)
"""


def test(function):
    TESTS.append(function)
    return function


def cluster(twin, instances, **more):
    return twin.made("aws:rds:cluster", "store", {"engine": "postgres", "version": "15", "port": 5432,
                     "instances": instances, "subnet": "data", **more}, {"subnet": "data"})


def build(twin, instances=2, **more):
    twin.start()
    twin.vlan("data", "10.42.0.0/24", 1)
    twin.vlan("users", "10.43.0.0/24", 2)
    twin.rule("in", ("users",), ("data",), [5432])
    twin.instances("user", "users", 1)
    cluster(twin, instances, **more)
    query(twin, "create table written (number bigint primary key)")
    return twin


def conninfo(twin):
    return (twin.state / "access" / "uid-store.access" / "conninfo").read_text().strip()


def query(twin, statement, code=0):
    done = twin.run("user-0", "psql", "-XqAt", conninfo(twin), "-c", statement, timeout=60)
    assert code is None or done.returncode == code, done.stderr
    return done.stdout.strip()


def act(twin, action, member):
    with twin.connect() as connection:
        connection.socket.settimeout(120)
        return connection.ask("act", uid="uid-store", action=action, member=member)


def acted(twin, action, member):
    answer = act(twin, action, member)
    assert answer["ok"], answer
    return answer


def status(twin):
    return twin.get("uid-store")["status"]


def members(twin):
    return {member["name"]: member for member in status(twin)["members"]}


def is_ready(twin):
    return status(twin)["state"] == "ready"


def folder_of(twin, host):
    """Data that is made anew lies in another folder."""
    return (twin.state / "database" / host).stat().st_ino


def kill_server(twin, host):
    """The oldest is the one that the twin has started; its children see to themselves."""
    assert twin.run(host, "pkill", "-KILL", "-o", "-x", "postgres").returncode == 0


class Writers:
    """What they had acknowledged, and when."""

    def __init__(self, twin, run):
        self.acknowledged = []
        self.processes = [subprocess.Popen(
            twin.command("user-0", twinlab.PYTHON, "-c", WRITER, conninfo(twin), str((run * WRITERS + i) * 10**7)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for i in range(WRITERS)]
        self.threads = [threading.Thread(target=self.listen, args=(p,)) for p in self.processes]
        for thread in self.threads:
            thread.start()

    def listen(self, process):
        for line in process.stdout:
            number, when = line.split()
            self.acknowledged.append((float(when), int(number)))

    def goes_on(self, more=50):
        """Whether so many more are acknowledged."""
        begin = len(self.acknowledged)
        return wait_until(lambda: len(self.acknowledged) >= begin + more, 60)

    def stop(self):
        for process in self.processes:
            process.stdin.close()
        for process, thread in zip(self.processes, self.threads):
            thread.join(30)
            process.wait(10)
            process.stdout.close()

    def gap(self):
        """The longest time in which nobody was answered, in seconds."""
        times = sorted(when for when, _ in self.acknowledged)
        return max(b - a for a, b in zip(times, times[1:]))

    def lost(self, twin):
        there = set(map(int, query(twin, "select number from written").split()))
        return [number for _, number in self.acknowledged if number not in there]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@test
def a_killed_primary_is_replaced_by_command_and_no_acknowledged_write_is_lost():
    gaps, times, n_acknowledged = [], [], 0
    with Twin() as twin:
        build(twin)
        for run in range(RUNS):
            former = status(twin)["primary"]
            replica = next(name for name in members(twin) if name != former)
            with twin.connect() as connection, Writers(twin, run) as writers:
                connection.socket.settimeout(120)
                assert writers.goes_on(), status(twin)
                kill_server(twin, former)
                begin = time.monotonic()
                answer = connection.ask("act", uid="uid-store", action="promote", member=replica)
                times.append(time.monotonic() - begin)
                assert answer["ok"], answer
                assert answer["status"]["primary"] == replica, answer
                assert writers.goes_on(), status(twin)
            # Nothing is there yet that would confirm a commit, and status says so.
            assert status(twin)["state"] == "degraded" and members(twin)[former]["state"] == "fenced", status(twin)
            data = folder_of(twin, former)
            acted(twin, "rejoin", former)
            assert folder_of(twin, former) == data, "it was made anew instead of rewound"
            assert members(twin)[former]["role"] == "replica", status(twin)
            assert wait_until(lambda: is_ready(twin), 60), status(twin)
            lost = writers.lost(twin)
            assert not lost, f"run {run}: {len(lost)} of {len(writers.acknowledged)} are lost: {lost[:10]}"
            gaps.append(writers.gap())
            n_acknowledged += len(writers.acknowledged)
            query(twin, "truncate written")
    print(f"# {RUNS} failovers, {n_acknowledged} acknowledged writes, 0 lost; load {os.getloadavg()[0]:.1f}")
    for what, figures in ("promote", times), ("without an acknowledged write", gaps):
        figures = sorted(figures)
        print(f"# {what}: {figures[0] * 1000:.0f} to {figures[-1] * 1000:.0f} ms, "
              f"median {figures[len(figures) // 2] * 1000:.0f} ms")


def refused(twin, code, action, member, uid="uid-store"):
    before = status(twin)
    answer = twin.ask("act", uid=uid, action=action, member=member)
    assert not answer["ok"] and answer["error"]["code"] == code, answer
    assert status(twin)["primary"] == before["primary"], (before, status(twin))
    return answer["error"]["message"]


def states(twin):
    return {name: (member["role"], member["state"]) for name, member in members(twin).items()}


@test
def servers_are_drained_fenced_and_let_in_again_and_stay_out_until_then():
    replica, primary, out = ("replica", "ready"), ("primary", "ready"), ("replica", "fenced")
    with Twin() as twin:
        build(twin, 3)
        assert states(twin) == {"store-0": primary, "store-1": replica, "store-2": replica}
        refused(twin, "unsupported", "dance", "store-0")
        refused(twin, "not-found", "promote", "store-7")
        refused(twin, "not-found", "promote", "store-1", uid="uid-nobody")
        refused(twin, "unsupported", "promote", "store-1", uid="uid-data")
        # Who is in the middle of something may end it, and commits do not wait for who is on the way out.
        address = twin.hosts()["store-1"]["address"]
        reader = subprocess.Popen(twin.command("user-0", "psql", "-XqAt", conninfo(twin).replace(
            conninfo(twin).split()[0], f"hostaddr={address}"), "-c", "select pg_sleep(1), 'ended'"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        busy = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
        assert wait_until(lambda: twin.run("user-0", "psql", "-XqAt", conninfo(twin).replace(
            conninfo(twin).split()[0], f"hostaddr={address}"), "-c", busy).stdout.strip() == "1", 20)
        acted(twin, "drain", "store-1")
        assert reader.communicate()[0].strip() == "|ended" and reader.returncode == 0
        assert states(twin) == {"store-0": primary, "store-1": out, "store-2": replica}
        query(twin, "insert into written values (1)")
        assert "rejoin" in refused(twin, "conflict", "promote", "store-1")
        # What is kept out stays out, whatever becomes of the supervisor.
        twin.process.kill()
        twin.stop()
        twin.start()
        assert wait_until(lambda: states(twin) == {"store-0": primary, "store-1": out, "store-2": replica}, 60), states(twin)
        # Nobody takes a primary's place unasked.
        acted(twin, "fence", "store-0")
        assert states(twin)["store-0"] == ("primary", "fenced") and status(twin)["state"] == "failed", status(twin)
        assert "store-0, the primary, is fenced" in refused(twin, "conflict", "rejoin", "store-1")
        query(twin, "select 1", code=2)
        acted(twin, "promote", "store-2")
        acted(twin, "promote", "store-2")
        assert states(twin) == {"store-0": out, "store-1": out, "store-2": primary}
        query(twin, "insert into written values (2)")
        # Only what is sure to have what was confirmed may be the next one.
        acted(twin, "rejoin", "store-0")
        acted(twin, "rejoin", "store-1")
        acted(twin, "rejoin", "store-1")
        assert states(twin) == {"store-0": replica, "store-1": replica, "store-2": primary}
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
        acted(twin, "fence", "store-0")
        acted(twin, "fence", "store-1")
        query(twin, "insert into written values (3)")
        assert "fenced" in refused(twin, "conflict", "promote", "store-0")
        # With nobody there to confirm them commits count at once; but then nobody can follow without a loss.
        acted(twin, "rejoin", "store-0")
        assert query(twin, "select number from written order by 1").split() == ["1", "2", "3"]


@test
def what_is_killed_goes_before_a_server_is_let_in_again():
    with Twin() as twin:
        build(twin)
        # A process of a host that was killed is not gone before whoever started it has heard of it.
        command = subprocess.Popen(twin.command("store-0", "sleep", "600"), stdin=subprocess.DEVNULL)
        assert wait_until(lambda: "sleep" in twin.run("store-0", "ps", "-eo", "comm").stdout, 20)
        os.kill(command.pid, signal.SIGSTOP)
        acted(twin, "promote", "store-1")
        query(twin, "insert into written values (1)")
        data = folder_of(twin, "store-0")
        with twin.connect() as connection:
            connection.socket.settimeout(120)
            connection.send("act", uid="uid-store", action="rejoin", member="store-0")
            time.sleep(2)  # what does not wait for it has begun by now
            os.kill(command.pid, signal.SIGCONT)
            command.wait(20)
            answer = connection.read()
        assert answer["ok"], answer
        assert folder_of(twin, "store-0") == data, "it was made anew instead of rewound"
        assert wait_until(lambda: is_ready(twin), 60), status(twin)


@test
def clusters_of_one_name_stand_side_by_side():
    with Twin() as twin:
        build(twin)
        twin.made("aws:rds:cluster", "store", {"engine": "postgres", "version": "15", "port": 5432, "instances": 2,
                  "subnet": "data"}, {"subnet": "data"}, uid="another")
        assert wait_until(lambda: twin.get("another")["status"]["state"] == "ready", 60), twin.get("another")
        assert set(members(twin)) == {"store-0", "store-1"}, status(twin)
        other = {member["name"]: member["role"] for member in twin.get("another")["status"]["members"]}
        assert other == {"store--2-0": "primary", "store--2-1": "replica"}, other
        query(twin, "insert into written values (1)")
        answer = twin.ask("act", uid="another", action="promote", member="store--2-1")
        assert answer["ok"] and answer["status"]["primary"] == "store--2-1", answer
        assert status(twin)["primary"] == "store-0", status(twin)


@test
def a_checkpoint_that_takes_its_time_is_waited_for_and_nobody_is_copied_for_it():
    with Twin() as twin:
        build(twin)
        query(twin, "insert into written values (1)")
        acted(twin, "promote", "store-1")
        query(twin, "insert into written values (2)")
        data = folder_of(twin, "store-0")
        # As on a busy server: what would write it all out gets nowhere for a while.
        writes_out = ["-f", "^postgres: .*checkpointer"]
        assert twin.run("store-1", "pkill", "-STOP", *writes_out).returncode == 0
        with twin.connect() as connection:
            connection.socket.settimeout(120)
            connection.send("act", uid="uid-store", action="rejoin", member="store-0")

            def is_waiting():
                return twin.run("store-1", "pgrep", "-f", "^postgres: .* CHECKPOINT").returncode == 0
            assert wait_until(is_waiting, 20), twin.run("store-1", "ps", "-eo", "args").stdout
            time.sleep(8)  # longer than any other statement of the supervisor's may take
            # The primary is as well as ever meanwhile.
            assert is_waiting() and states(twin)["store-1"] == ("primary", "ready"), states(twin)
            query(twin, "insert into written values (3)")
            assert twin.run("store-1", "pkill", "-CONT", *writes_out).returncode == 0
            answer = connection.read()
        assert answer["ok"], answer
        assert folder_of(twin, "store-0") == data and copies(twin) == [], copies(twin)
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
        assert query(twin, "select number from written order by 1").split() == ["1", "2", "3"]


def copies(twin):
    """What is told of data that was made anew."""
    events = twin.state / "events.json"
    lines = events.read_text().splitlines() if events.exists() else []
    return [event for event in map(json.loads, lines) if event["kind"] == "copied-anew"]


@test
def who_cannot_be_rewound_is_copied_anew_and_status_event_and_log_say_why():
    with Twin() as twin:
        build(twin)
        query(twin, "insert into written values (1)")
        acted(twin, "promote", "store-1")
        query(twin, "insert into written values (2)")
        # Without its log nobody can tell what it has written that the primary has not.
        log = twin.state / "database" / "store-0" / "data" / "pg_wal"
        for segment in log.glob("0*"):
            segment.unlink()
        data = folder_of(twin, "store-0")
        acted(twin, "rejoin", "store-0")
        assert folder_of(twin, "store-0") != data, "it was not made anew"
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
        assert query(twin, "select number from written order by 1").split() == ["1", "2"]
        why = members(twin)["store-0"]["copied_anew"]
        assert "store-0.pg_rewind failed" in why and "error: " in why, why
        assert "copied_anew" not in members(twin)["store-1"], status(twin)
        event, = copies(twin)
        assert event["message"] == f"its data is copied anew from store-1, the primary: {why}", event
        assert (event["program"], event["host"], event["resources"]) == ("store-0", "store-0", ["uid-store"]), event
        printed = (twin.state / "logs" / "store-0.pg_rewind.log").read_text()
        assert why[why.index("pg_rewind: error: "):].split("; ")[0] in printed, (why, printed)


@test
def a_replica_that_lacks_much_is_sent_it_however_long_that_takes():
    with Twin() as twin:
        build(twin)
        acted(twin, "fence", "store-1")
        query(twin, "create table heavy as select number, repeat(md5(number::text), 10) "
                    "from generate_series(1, 130000) number")
        device, = twin.run("store-0", "ls", "/sys/class/net").stdout.replace("lo\n", "").split()
        slow = twin.run("store-0", "/usr/sbin/tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", "10mbit",
                        "burst", "64k", "latency", "100ms")
        if slow.returncode != 0:
            return f"no network can be slowed down here: {slow.stderr.strip()}"
        data = folder_of(twin, "store-1")
        acted(twin, "rejoin", "store-1")
        assert folder_of(twin, "store-1") == data and copies(twin) == [], copies(twin)
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
    return None


@test
def data_whose_making_was_cut_off_is_copied_anew_and_status_and_event_say_so():
    with Twin() as twin:
        build(twin)
        query(twin, "insert into written values (1)")
        twin.process.kill()
        twin.stop()
        # What is copied or rewound has not got this file until it is whole again.
        (twin.state / "database" / "store-1" / "complete").unlink()
        twin.start()
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
        assert "cut off" in members(twin)["store-1"]["copied_anew"], status(twin)
        assert [event["host"] for event in copies(twin)] == ["store-1"], copies(twin)
        assert query(twin, "select number from written") == "1"


@test
def a_primary_whose_data_is_lost_is_replaced_only_by_a_word_of_its_own():
    with Twin() as twin:
        build(twin)
        query(twin, "insert into written values (1), (2)")
        assert "is the primary" in refused(twin, "conflict", "promote-with-loss", "store-0")
        twin.process.kill()
        twin.stop()
        shutil.rmtree(twin.state / "database" / "store-0")
        twin.start()
        assert wait_until(lambda: status(twin)["state"] == "failed", 60), status(twin)
        assert "promote-with-loss" in refused(twin, "conflict", "promote", "store-1")
        acted(twin, "promote-with-loss", "store-1")
        assert states(twin) == {"store-0": ("replica", "fenced"), "store-1": ("primary", "ready")}
        # What it had received is there, it takes more, and the other one is made anew from it.
        query(twin, "insert into written values (3)")
        acted(twin, "rejoin", "store-0")
        assert wait_until(lambda: is_ready(twin), 60), status(twin)
        assert query(twin, "select number from written order by 1").split() == ["1", "2", "3"]


@test
def a_supervisor_that_dies_in_the_middle_goes_on_with_what_was_asked():
    with Twin() as twin:
        build(twin)
        for run, pause in enumerate([0.005, 0.04]):
            former = status(twin)["primary"]
            replica = next(name for name in members(twin) if name != former)
            with Writers(twin, run) as writers:
                assert writers.goes_on()
                with twin.connect() as connection:
                    connection.send("act", uid="uid-store", action="promote", member=replica)
                    time.sleep(pause)
                    twin.process.kill()
            twin.stop()
            twin.start()
            acted(twin, "promote", replica)
            assert states(twin) == {former: ("replica", "fenced"), replica: ("primary", "ready")}, states(twin)
            assert not writers.lost(twin)
            acted(twin, "rejoin", former)
            assert wait_until(lambda: is_ready(twin), 60), status(twin)


twinlab.run(TESTS)
