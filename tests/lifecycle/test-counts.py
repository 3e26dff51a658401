#!/usr/bin/env python3
"""What a command costs, counted and never timed: blocks of memory, syncs, rows and calls. Four times as many resources
cost four times as much at most, so that a quadratic pass or a sync for each resource cannot come back."""
import contextlib
import os
import sqlite3
import sys

from lifecycle import box, data, document, main, test

COUNTER = os.path.abspath(sys.argv[2])
SMALL, LARGE = 1000, 4000
MOST = 4.4  # of four times as many; doubled arrays and deeper search trees make it more than 4
FOLLOWING = 160  # blocks a resource for a door that reads in the journal what its run did, since that was done before
RESUMING = 15    # blocks a resource for a door whose run has one step left of many: it counts rows
TRIES = 5        # until a door has met its run


def tree(n):
    """Each refers to one of ten times fewer."""
    return {f"n{i}": data("${n%d.value}" % ((i - 1) // 10) if i else 0) for i in range(n)}, len(str(n)) + 1


def chains(n):
    """A hundred chains beside each other."""
    return {f"n{i}": data("${n%d.value}" % (i - 100) if i >= 100 else i) for i in range(n)}, n // 100


def fan(n):
    """One that all others refer to, and one that refers to all others."""
    nodes = {f"n{i}": data("${hub.value}") for i in range(n - 2)}
    return {"hub": data(1), **nodes, "all": data("x", dependsOn=list(nodes))}, 3


def counted(n):
    return {"many": data("${count.index}", count=n), "user": data("${many.value}")}, 2


SHAPES = {"tree": tree, "chains": chains, "fan": fan, "counted": counted}


class Costs:
    """Blocks and syncs of a command with all processes that it starts."""

    def __init__(self, place, *words, **options):
        path = place.path("counts")
        place.env.update(PARLEY_COUNTS=path, LD_PRELOAD=COUNTER)
        try:
            self.result = place.parley(*words, patience=300, **options)
        finally:
            del place.env["LD_PRELOAD"]
        with open(path, encoding="utf-8") as file:
            rows = [[int(word) for word in line.split()] for line in file]
        os.remove(path)
        self.blocks = sum(row[0] for row in rows)
        self.syncs = sum(row[1] for row in rows)
        self.processes = len(rows)
        self.each = [row[0] for row in rows]  # blocks of each process, in the order of their ends


def rows_of(place):
    """Table -> rows of the store."""
    with contextlib.closing(sqlite3.connect(f"file:{place.home}/parley.db?mode=ro", uri=True)) as store:
        names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def write(place, name, resources):
    place.write(f"{name}.yaml", document(name, resources))
    return f"{name}.yaml"


def life(place, shape, n):
    """Command -> its costs, for a deployment of n resources; and the rows that its life leaves."""
    name = f"d{n}"
    resources, depth = SHAPES[shape](n)
    path = write(place, name, resources)
    before = rows_of(place)
    costs = {"validate": Costs(place, "validate", path), "plan": Costs(place, "plan", path),
             "up": Costs(place, "up", path, "--yes"), "no change": Costs(place, "plan", path)}
    first = next(iter(resources))
    write(place, name, {**resources, f"{first}-more": data("x")})
    costs.update({"one more": Costs(place, "up", path, "--yes"), "status": Costs(place, "status", name),
                  "show": Costs(place, "show", name), "history": Costs(place, "history", name),
                  "destroy": Costs(place, "destroy", name, "--yes")})
    rows = {table: count - before.get(table, 0) for table, count in rows_of(place).items()}
    return costs, rows, depth


def tell(remark):
    """In one piece: others write there, too."""
    print(f"# {remark}", flush=True)


def check_blocks(what, small, large):
    """Of each process. Whether a door meets its run, or finds it at its end already, is not decided by the program."""
    assert len(small) == len(large), f"{what}: {len(small)} and {len(large)} processes"
    spreads = [0] * (len(large) - 1) + [FOLLOWING * LARGE if len(large) > 1 else 0]  # the door ends last
    for few, many, spread in zip(small, large, spreads):
        assert many < MOST * few + spread, f"{what}: {small} and {large} blocks"


def check_following(place, shape, large):
    """The run reads each step once, and its door, where it has met its run, is told of many steps together."""
    up = large["up"]
    for _ in range(TRIES):
        run, door = up.each
        told = door - large["plan"].blocks
        tell(f"{shape}: up: {run / LARGE:.1f} blocks a step in the run, {told / LARGE:.1f} in the door to follow it")
        assert run <= 235 * LARGE and told <= FOLLOWING * LARGE, f"{shape}: up: {run} and {told} blocks"
        if told <= 40 * LARGE:
            return
        place.parley("destroy", f"d{LARGE}", "--yes", want=None, patience=300)
        up = Costs(place, "up", write(place, f"d{LARGE}", SHAPES[shape](LARGE)[0]), "--yes")
    raise AssertionError(f"{shape}: up: {told} blocks to follow it, {TRIES} times")


def check_shape(place, shape):
    place.parley("up", write(place, "warm", {"one": data(1)}), "--yes")
    small, small_rows, _ = life(place, shape, SMALL)
    large, large_rows, depth = life(place, shape, LARGE)
    for command, costs in large.items():
        ratio = costs.blocks / small[command].blocks
        tell(f"{shape}: {command}: {small[command].blocks} blocks for {SMALL}, {ratio:.2f} times that for {LARGE}; "
             f"{small[command].syncs} and {costs.syncs} syncs")
        check_blocks(f"{shape}: {command}", small[command].each, costs.each)
    # An approval, a plan, the run's row, its start and its end are commits of their own.
    for command in ("up", "destroy"):
        most = 2 * depth + LARGE / 500 + 10
        assert large[command].syncs <= most, f"{shape}: {command}: {large[command].syncs} syncs, not {most}"
        assert large[command].processes == 2
    # The document is read once, also to see whether there is something to merge it with.
    more = large["no change"].blocks - large["validate"].blocks
    assert more <= 53 * LARGE, f"{shape}: no change: {more} blocks more than validate"
    check_following(place, shape, large)
    # What was decided is told of without what it was decided about.
    more = large["history"].blocks - small["history"].blocks
    assert more <= 100, f"{shape}: history: {more} blocks more for {LARGE - SMALL} resources more"
    for command in ("validate", "plan", "no change", "status", "show", "history"):
        assert large[command].syncs <= 8, f"{shape}: {command}: {large[command].syncs} syncs"
    assert large["one more"].syncs <= small["one more"].syncs + 2, large["one more"].syncs
    # The run of one step among many reads the records of that step; its door has read the document.
    run, few = large["one more"].each[0], small["one more"].each[0]
    tell(f"{shape}: one more: {few} blocks of its run among {SMALL}, {run} among {LARGE}")
    assert run <= few + 200, f"{shape}: one more: {few} and {run} blocks of its run"
    for table, count in large_rows.items():
        grown = count - small_rows[table] * LARGE / SMALL
        assert grown <= 0, f"{shape}: {table}: {small_rows[table]} rows for {SMALL}, {count} for {LARGE}"
    assert sum(large_rows.values()) <= 12 * LARGE, large_rows


@test
def a_tree_costs_what_its_resources_cost(place):
    check_shape(place, "tree")


@test
def chains_cost_what_their_resources_cost(place):
    check_shape(place, "chains")


@test
def one_that_all_refer_to_and_one_that_refers_to_all_cost_no_more(place):
    check_shape(place, "fan")


@test
def what_is_counted_costs_what_its_instances_cost(place):
    check_shape(place, "counted")


@test
def a_command_that_serves_nothing_loads_no_server(place):
    """The library of the HTTP server brings eight others, which take 2 ms of a start."""
    place.env["LD_TRACE_LOADED_OBJECTS"] = "1"
    try:
        names = [line.split()[0] for line in place.parley("--version").out.splitlines()]
    finally:
        del place.env["LD_TRACE_LOADED_OBJECTS"]
    tell(f"{len(names)} libraries: {' '.join(names)}")
    assert any(name.startswith("libsqlite3") for name in names), names
    strangers = [name for name in names if name.startswith(("libmicrohttpd", "libgnutls", "libp11", "libcurl"))]
    assert strangers == [], strangers


@test
def the_first_plan_of_a_home_waits_for_the_disk_a_few_times(place):
    """A store is synced as a whole, with the plan in it, then what it is called; its marker in the same way."""
    costs = Costs(place, "plan", write(place, "first", {"one": data(1)}))
    assert costs.syncs <= 4, costs.syncs


@test
def a_resume_reads_what_was_done_once_and_tells_it_together(place):
    """One step is left of many: the door reads no step of the plan, and counts the rows."""
    each = {}
    place.with_boxes(fail=[{"verb": "create", "name": f"last{n}", "how": "lose-request"} for n in (SMALL, LARGE)])
    for n in (SMALL, LARGE):
        path = write(place, f"d{n}", tree(n)[0] | {f"last{n}": box(size=1)})
        place.parley("up", path, "--yes", want=4, patience=300)
        costs = Costs(place, "resume", f"d{n}")
        each[n] = costs.each
        tell(f"resume: {[round(blocks / n, 1) for blocks in costs.each]} blocks a step, {costs.syncs} syncs")
        assert costs.syncs <= 12, costs.syncs
    check_blocks("resume", each[SMALL], each[LARGE])
    run, door = each[LARGE]
    assert door <= RESUMING * LARGE and run <= 105 * LARGE, (run, door)


@test
def what_waits_for_a_step_that_failed_is_one_row(place):
    """However much it is, directly or behind others; the run says how much, and a resume does it."""
    place.with_boxes(fail=[{"verb": "create", "name": f"bad{n}", "how": "refuse"} for n in (SMALL, LARGE)])
    place.parley("up", write(place, "warm", {"one": data(1)}), "--yes")
    for n in (SMALL, LARGE):
        behind = {f"n{i}": data("${n%d.value}" % (i // 10) if i >= 10 else "${bad%d.id}" % n) for i in range(n)}
        path = write(place, f"d{n}", {"good": data(1), f"bad{n}": box(size=1)} | behind)
        before = rows_of(place)["journal"]
        place.parley("up", path, "--yes", want=4, patience=300)
        # Its start, two steps' intents and results, what waits for one of them, its end.
        assert rows_of(place)["journal"] - before == 7, rows_of(place)
        run = place.parley("run", "list", "--json").json()[0]["id"]
        skips = place.parley("run", "show", run, "--json").json()["journal"][-2]
        assert (skips["kind"], skips["because"], skips["count"]) == ("skipped", f"create bad{n}#1", n), skips
        assert len(skips["first"]) == 200, skips
        told = place.parley("run", "show", run).out
        assert f"\n  skipped    {n - 200} more\n             because: create bad{n}#1\n" in told, told
        assert "not begun" not in told, told
        place.parley("resume", f"d{n}", patience=300)
        assert len(place.parley("show", f"d{n}", "--json").json()) == n + 2


@test
def reads_of_a_system_grow_by_pages_and_not_by_resources(place):
    place.with_boxes()
    calls = {}
    for n in (250, 1000):
        path = write(place, f"d{n}", {f"b{i}": box(size=1) for i in range(n)})
        place.parley("up", path, "--yes")
        calls[n] = place.parley("plan", path, "--json").json()["knowledge"]["calls"]
        place.parley("destroy", f"d{n}", "--yes")
    assert calls == {250: 1, 1000: 1}, calls


if __name__ == "__main__":
    main()
