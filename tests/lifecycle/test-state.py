#!/usr/bin/env python3
"""A damaged store (DESIGN section 8): it is told, repair keeps what is whole, a snapshot comes back by
a plan, and nothing outside is touched by any of it."""
import os

from lifecycle import agree, box, document, main, test


def given(place, n=40):
    place.with_boxes()
    place.write("demo.yaml", document("demo", {f"box{i}": box(note=f"the note of box {i}")
                                               for i in range(n)}))
    place.parley("up", "demo.yaml", "--yes")


def change_bytes(place, at, content):
    with open(place.path("home/parley.db"), "r+b") as file:
        file.seek(at)
        file.write(content)


def store_bytes(place):
    with open(place.path("home/parley.db"), "rb") as file:
        return file.read()


def record_page(place):
    """A page on which records stand, and no journal."""
    content = store_bytes(place)
    for page in range(1, len(content) // 4096):
        part = content[page * 4096:(page + 1) * 4096]
        if part[0] == 13 and b"acme.lab" in part and b"created" in part and b"step_kind" not in part:
            return page
    raise AssertionError("no page of records")


@test
def a_flipped_byte_is_told_by_every_command_and_mended(place):
    given(place)
    before = place.records("demo")
    assert "is whole: 1 deployments, 40 resources, 1 runs" in place.parley("state", "check").out
    at = record_page(place) * 4096 + 3000
    change_bytes(place, at, bytes([store_bytes(place)[at] ^ 0x20]))
    for words in (("plan", "demo.yaml"), ("show", "demo"), ("up", "demo.yaml", "--yes")):
        result = place.parley(*words, want=1)
        assert "checksum" in result.err and "parley state repair" in result.err, result.err
    result = place.parley("state", "check", "--json", want=1)
    assert any("is damaged" in fault for fault in result.json()["faults"]), result.out
    assert "one byte of page" in place.parley("state", "repair").out
    assert place.records("demo") == before
    place.parley("state", "check")
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def what_repair_lost_comes_back_from_a_snapshot(place):
    given(place)
    before, there = place.records("demo"), place.files()
    snapshot = place.path("copy.parley")
    place.parley("state", "snapshot", snapshot)
    change_bytes(place, record_page(place) * 4096 + 100, os.urandom(3000))
    result = place.parley("state", "repair", want=4)
    assert "Lost:" in result.out and "records: row" in result.out, result.out
    kept = place.records("demo")
    assert 0 < len(kept) < len(before) and all(record in before for record in kept)
    result = place.parley("state", "restore", snapshot, want=3)
    assert "+ acme:thing:box" in result.out and "--approve" in result.err
    assert place.records("demo") == kept
    digest = result.out.split("Plan hash: ")[1].strip()
    place.parley("state", "restore", snapshot, "--approve", digest)
    assert place.records("demo") == before
    assert place.files() == there
    agree(place, "demo")
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def a_store_that_is_gone_comes_back_and_nothing_is_deleted(place):
    given(place, 4)
    before = place.records("demo")
    snapshot = place.parley("state", "snapshot", "--json").json()["snapshot"]
    assert os.stat(snapshot).st_mode & 0o777 == 0o600
    place.write("more.yaml", document("more", {"later": box()}))
    place.parley("up", "more.yaml", "--yes")
    there = place.files()
    os.unlink(place.path("home/parley.db"))
    assert "is gone" in place.parley("status", want=1).err
    assert "is gone" in place.parley("state", "repair", want=1).err
    result = place.parley("state", "restore", snapshot, want=3)
    assert "takes its place" in result.out and "live: same" in result.out, result.out
    assert not os.path.exists(place.path("home/parley.db"))
    place.parley("state", "restore", snapshot, "--yes")
    assert place.records("demo") == before
    assert place.files() == there
    assert not [name for name in os.listdir(place.home) if name.startswith("unpacked")]
    assert "No changes" in place.parley("up", "demo.yaml").out


@test
def restore_tells_what_is_gone_or_changed_since(place):
    given(place, 3)
    snapshot = place.path("copy.parley")
    place.parley("state", "snapshot", snapshot)
    gone, changed = sorted(place.files())[:2]
    os.unlink(place.path(f"home/fake/acme.lab/{gone}.json"))
    resource = place.files()[changed]
    place.write("demo.yaml", document("demo", {f"box{i}": box(colour="red") for i in range(3)}))
    place.parley("up", "demo.yaml", "--yes")
    result = place.parley("state", "restore", snapshot, "--json").json()
    actions = {row["uid"]: row["action"] for row in result["deployments"][0]["resources"]}
    assert set(actions.values()) == {"forget", "keep"} and actions[gone] == "forget", actions
    assert result["records"] == 0 and not result["replaces_store"]
    lives = {row["uid"]: row["live"] for row in result["deployments"][0]["resources"]}
    assert lives[gone] == "gone" and lives[changed] == "differs", (lives, resource)


@test
def a_snapshot_of_another_store_is_refused(place):
    given(place, 2)
    place.parley("state", "snapshot", place.path("copy.parley"))
    os.rename(place.home, place.path("elsewhere"))
    given(place, 2)
    result = place.parley("state", "restore", place.path("copy.parley"), "--yes", want=1)
    assert "another --home" in result.err, result.err


if __name__ == "__main__":
    main()
