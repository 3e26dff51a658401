#!/usr/bin/env python3
"""The logs of the twin's programs, read from its folder while it does not run: whose they are, in which order they come,
what is left out. The folder is written here as docs/twin.md describes it."""
import contextlib
import json
import os
import signal
import subprocess
import threading

from lifecycle import box, document, main, said, test


def line(second, text, fraction=0):
    return f"2026-11-21T22:16:{second:02}.{fraction:06}Z {text}\n"


def log(place, name, text):
    place.write(f"home/twin/logs/{name}", text)


def sources(place, **uids):
    text = json.dumps({"format": 1, "sources": {name.replace("_", "-"): list(of) for name, of in uids.items()}})
    log(place, "sources.json", text)


def texts(result):
    return [event["text"] for event in result.events()]


def two_hosts(place):
    sources(place, web_0=["uid-web"], web_1=["uid-web"])
    log(place, "web-0.shop.log.old", line(1, "a1") + line(4, "a4"))
    log(place, "web-0.shop.log", line(6, "a6") + line(7, "a7", 5))
    log(place, "web-1.shop.log", line(2, "b2") + line(5, "b5") + line(7, "b7", 4))
    log(place, "web-10.shop.log", line(3, "another"))


@test
def lines_of_several_programs_come_in_the_order_of_their_times(place):
    two_hosts(place)
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"web": box()}))
    place.parley("up", "demo.yaml", "--yes")
    uid = next(iter(place.files()))
    sources(place, web_0=[uid], web_1=[uid])
    wanted = ["a1", "b2", "a4", "b5", "a6", "b7", "a7"]
    for name in "web", "demo", "demo@default":
        found = place.parley("logs", name, "--json")
        assert texts(found) == wanted, (name, found.out)
    assert found.events()[0] == {"kind": "line", "source": "web-0.shop", "text": "a1",
                                 "time": "2026-11-21T22:16:01.000000Z"}
    shown = place.parley("logs", "web").out.splitlines()
    assert shown[1] == "2026-11-21T22:16:02.000000Z  web-1.shop  b2", shown


@test
def an_instance_and_a_program_are_named_without_a_store(place):
    two_hosts(place)
    assert texts(place.parley("logs", "web-0", "--json")) == ["a1", "a4", "a6", "a7"]
    assert texts(place.parley("logs", "web-1.shop", "--json")) == ["b2", "b5", "b7"]
    assert texts(place.parley("logs", "web-10", "--json")) == ["another"]


@test
def since_and_match_leave_out_what_is_not_asked_for(place):
    two_hosts(place)
    for since, wanted in (("2026-11-21T22:16:06Z", ["a6", "a7"]), ("2026-11-21T22:16:07.000005", ["a7"]),
                          ("2026-11-21", ["a1", "a4", "a6", "a7"]), ("2026-11-21T22:17", []),
                          ("2026-11-21T22:16Z", ["a1", "a4", "a6", "a7"])):
        assert texts(place.parley("logs", "web-0", "--since", since, "--json")) == wanted, since
    assert texts(place.parley("logs", "web-0", "--match", "6", "--json")) == ["a6"]
    assert texts(place.parley("logs", "web-0", "--match", "6", "--since", "2026-11-21T22:16:07", "--json")) == []
    # However old: these lines are from before anybody runs this test, or from a clock that is wrong.
    assert len(texts(place.parley("logs", "web-0", "--since", "876000h", "--json"))) == 4
    for since in "yesterday", "2026-11", "22:16", "2026-11-21T22:16:06+01:00", "-5m", "10":
        refused = place.parley("logs", "web-0", "--since", since, want=1)
        assert "duration" in refused.err and refused.out == "", (since, refused.err)


@test
def what_has_no_log_is_told_with_what_has(place):
    assert "nothing ran on a twin" in place.parley("logs", "web-0", want=1).err
    two_hosts(place)
    refused = place.parley("logs", "web", want=1)
    assert '"web"' in refused.err and "web-1.shop" in refused.err and refused.out == ""
    assert json.loads(place.parley("logs", "web", "--json", want=1).out)["error"]["code"] == "not-found"


@test
def what_a_program_prints_cannot_reach_the_terminal_as_a_command(place):
    text = "red \x1b[31m \x07 caf\u00e9 \x9b0m\t|"
    folder = place.path("home", "twin", "logs")
    os.makedirs(folder)
    with open(os.path.join(folder, "web-0.log"), "wb") as file:
        file.write(line(1, text).encode("utf-8", "replace") + b"2026-11-21T22:16:02.000000Z \xff\x00\xfe\n")
    log(place, "old-0.log", "without a time\n" + line(1, "with one"))
    shown = place.parley("logs", "web-0").out
    assert "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown and "\x00" not in shown, repr(shown)
    assert "café" in shown and "???" in shown, shown
    assert place.parley("logs", "old-0").out.startswith("-  old-0  without a time\n")


@test
def a_line_that_is_not_finished_is_not_told(place):
    log(place, "web-0.log", line(1, "whole") + line(2, "half")[:-1])
    assert texts(place.parley("logs", "web-0", "--json")) == ["whole"]


@test
def a_damaged_list_of_sources_is_told(place):
    two_hosts(place)
    log(place, "sources.json", '{"format": 1')
    assert "sources.json" in place.parley("logs", "web-0", want=1).err
    log(place, "sources.json", '{"format": 9, "sources": {}}')
    assert "newer program" in place.parley("logs", "web-0", want=1).err


@contextlib.contextmanager
def following(place, name):
    """Who follows, and what gives the next line that it tells."""
    process = place.start("logs", name, "--follow", "--json")
    # It would wait for ever for a line that does not come.
    guard = threading.Timer(60, process.kill)
    guard.start()

    def told():
        text = process.stdout.readline()
        return json.loads(text)["text"] if text else None

    try:
        yield process, told
    finally:
        process.kill()
        process.wait()
        guard.cancel()
        process.stdout.close()
        process.stderr.close()


@test
def following_goes_on_through_a_log_that_begins_anew_and_with_hosts_that_come(place):
    log(place, "web-0.log", line(1, "first"))
    path = place.path("home", "twin", "logs", "web-0.log")
    with following(place, "web-0") as (_, told):
        assert told() == "first"
        with open(path, "a", encoding="utf-8") as file:
            file.write(line(2, "second"))
        assert told() == "second"
        os.rename(path, path + ".old")
        log(place, "web-0.log", line(3, "third"))
        assert told() == "third"
        log(place, "web-0.shop.log", line(4, "fourth"))
        assert told() == "fourth"


@test
def following_misses_no_line_of_a_log_that_began_anew_twice_while_nobody_read(place):
    path = place.path("home", "twin", "logs", "web-0.log")
    log(place, "web-0.log", line(1, "first"))
    with following(place, "web-0") as (process, told):
        assert told() == "first"
        process.send_signal(signal.SIGSTOP)
        for second, text in (2, "second"), (3, "third"):
            os.rename(path, path + ".old")
            log(place, "web-0.log", line(second, text))
        process.send_signal(signal.SIGCONT)
        assert [told(), told()] == ["second", "third"]
        # Each is told once, however often it begins anew.
        os.rename(path, path + ".old")
        log(place, "web-0.log", line(4, "fourth"))
        assert told() == "fourth"


@test
def following_waits_for_what_is_known_and_refuses_a_name_that_nothing_has(place):
    two_hosts(place)
    refused = place.parley("logs", "wbe-0", "--follow", want=1)
    assert '"wbe-0"' in refused.err and "web-0.shop" in refused.err and refused.out == "", refused.err
    place.with_boxes()
    place.write("demo.yaml", document("demo", {"web": box()}))
    place.parley("up", "demo.yaml", "--yes")
    with following(place, "demo") as (_, told):
        sources(place, web_9=[next(iter(place.files()))])
        log(place, "web-9.shop.log", line(1, "now it has one"))
        assert told() == "now it has one"


@test
def it_ends_with_its_reader(place):
    log(place, "web-0.log", "".join(line(1, f"line {i}") for i in range(20000)))
    words = subprocess.list2cmdline(place.line("logs", "web-0"))
    done = subprocess.run(["sh", "-c", f"{words} | head -n 1"], cwd=place.folder, env=place.env, text=True,
                          capture_output=True, timeout=60, check=True)
    assert done.stdout.endswith("line 0\n") and said(done.stderr) == "", done


main()
