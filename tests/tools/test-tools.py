#!/usr/bin/env python3
"""Breaks a small project in every way that the checks in tools/ are there to notice. Prints TAP."""

import contextlib
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TESTS = []


def load(name):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), TOP / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layers, promises, source, results = (
    load(name) for name in ("check-layers", "check-promises", "check-source", "test-results"))


def test(function):
    TESTS.append(function)
    return function


def make_project(folder, files):
    """A sound project of two rooms, with some of its files replaced or added."""
    sound = {
        "tools/layers.txt": "base:\nmodel: base\n",
        "src/base/text.h": "#pragma once\n",
        "src/base/text.c": '#include "base/text.h"\n#include <stdio.h>\n',
        "src/base/meson.build": "base_rooms = []\n",
        "src/model/value.h": '#include "base/text.h"\n',
        "src/model/value.c": '#include "model/value.h"\n\n#include "base/text.h"\n',
        "src/model/meson.build": "model_rooms = ['base']\n",
        "tests/unit/test-base.c": "TEST(text_is_text)\n{\n}\n",
        "docs/promises.md": "| promise | command | test |\n|---|---|---|\n"
                            "| It holds | `run` | `test-base:text_is_text` |\n",
    }
    for name, text in {**sound, **files}.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return pathlib.Path(folder)


def layer_faults(files):
    with tempfile.TemporaryDirectory() as folder:
        return layers.check_project(make_project(folder, files))[0]


def promise_faults(files, result_lines=None, as_user=False):
    with tempfile.TemporaryDirectory() as folder:
        top = make_project(folder, files)
        ran = None
        if result_lines is not None:
            (top / "results.tsv").write_text("".join(line + "\n" for line in result_lines))
            ran = promises.read_results(top / "results.tsv")
        return promises.check_project(top, ran, as_user)[0]


def expect_fault(faults, words):
    assert len(faults) == 1 and words in faults[0], f"want one fault with \"{words}\", got {faults}"


@test
def a_sound_project_has_no_faults():
    assert layer_faults({}) == [] and promise_faults({}) == []


@test
def a_test_that_only_some_subjects_have_exists():
    for text in ("TEST_IF(!CONDITION(1),\n        text_is_text)\n{\n}\n", "TEST_OUTSIDE(text_is_text)\n{\n}\n"):
        assert promise_faults({"tests/unit/test-base.c": text}) == [], text
    expect_fault(promise_faults({"tests/unit/test-base.c": "TEST(a)\n{\n    f(text_is_text);\n}\n"}),
                 "does not exist")


@test
def an_include_that_points_up_is_found():
    expect_fault(layer_faults({"src/base/text.h": '#include "model/value.h"\n'}),
                 "text.h:1: base may not include model")


@test
def the_sandbox_is_a_room_of_its_own():
    table = {"tools/layers.txt": "base:\nmodel: base\ntwin: base\n"}
    assert layer_faults({**table, "twin/main.c": '#include "base/text.h"\n'}) == []
    expect_fault(layer_faults({**table, "twin/main.c": '#include "model/value.h"\n'}),
                 "twin may not include model")


@test
def an_include_that_leads_nowhere_is_found():
    expect_fault(layer_faults({"src/base/other.c": '#include "elsewhere/x.h"\n'}), "is in no room")


@test
def a_file_that_includes_another_header_before_its_own_is_found():
    expect_fault(layer_faults({"src/model/value.c": '#include "base/text.h"\n#include "model/value.h"\n'}),
                 "include \"model/value.h\" first")


@test
def a_circle_in_the_table_is_found():
    faults = layer_faults({"tools/layers.txt": "base: model\nmodel: base\n"})
    expect_fault(faults, "base names model, which has no row above it")


@test
def a_room_without_a_row_is_found():
    expect_fault(layer_faults({"src/extra/x.c": ""}), "has no row")


@test
def a_fixture_that_does_more_than_register_is_found():
    sound = '#include "mcp/server.h"\n/* tools/call */\n\nint n = 1;\n'
    path = "tests/interop/fixture/tools.c"
    assert layer_faults({path: sound}) == []
    expect_fault(layer_faults({path: sound * 251}), "502 lines of code, more than 500")
    for wrong in ('#include "mcp/rpc.h"\n', '#include "http/server.h"\n', '#include <microhttpd.h>\n'):
        expect_fault(layer_faults({path: wrong}), "tools.c:1: the fixture may not include")
    for wrong in ('"{\\"jsonrpc\\":"\n', 'if (is("tasks/get"))\n', "http_answer(request);\n", "mcp_handle(server);\n"):
        expect_fault(layer_faults({path: wrong}), "tools.c:1: the fixture speaks no protocol")


@test
def a_library_that_links_more_than_the_table_allows_is_found():
    expect_fault(layer_faults({"src/base/meson.build": "base_rooms = [\n  'model',\n]\n"}),
                 "base_rooms names model")


@test
def a_promise_without_a_test_is_found():
    table = "| promise | command | test |\n|---|---|---|\n| It holds | `run` | `test-base:{}` |\n"
    expect_fault(promise_faults({"docs/promises.md": table.format("no_such_test")}), "does not exist")
    expect_fault(promise_faults({"docs/promises.md": table.format("text_is")}), "does not exist")
    expect_fault(promise_faults({"docs/promises.md": "| It holds | `run` | |\n"
                                 + table.format("text_is_text")}), "none of them empty")
    expect_fault(promise_faults({"docs/promises.md": "nothing\n"}), "holds no promise")


@test
def a_promise_whose_test_did_not_pass_is_found():
    assert promise_faults({}, ["test\ttest-base\ttext_is_text\tpassed\t"]) == []
    expect_fault(promise_faults({}, []), "did not run")
    expect_fault(promise_faults({}, ["test\ttest-base\ttext_is_text\tskipped\tno"]), "only skipped")
    expect_fault(promise_faults({}, ["test\ttest-base\ttext_is_text\tpassed\t",
                                     "sanitize\ttest-base\ttext_is_text\tfailed\t"]), "failed")


@test
def what_only_root_can_is_no_fault_of_an_ordinary_users_check():
    for subtest in "text_is_text", "":
        left = [f"test\ttest-base\t{subtest}\tskipped\tonly root can"]
        assert promise_faults({}, left, as_user=True) == []
        expect_fault(promise_faults({}, left), "only skipped")
    expect_fault(promise_faults({}, [], as_user=True), "did not run")
    expect_fault(promise_faults({}, ["test\ttest-base\tanother\tskipped\tonly root can"], as_user=True), "did not run")
    expect_fault(promise_faults({}, ["test\ttest-base\ttext_is_text\tskipped\tno"], as_user=True), "only skipped")
    expect_fault(promise_faults({}, ["test\ttest-base\ttext_is_text\tfailed\t"], as_user=True), "failed")


def endings(record):
    return [ending for _name, ending, _reason in results.judge({"name": "a / b", "command": [], **record})]


@test
def subtests_are_counted_as_they_ended():
    tap = "ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no server\n1..3\n"
    ends = results.judge({"name": "x", "stdout": tap, "result": "FAIL"})
    assert ends == [("a", "passed", ""), ("b", "failed", ""), ("c", "skipped", "no server")], ends


@test
def a_program_that_dies_is_a_failure_however_many_subtests_passed():
    assert endings({"stdout": "ok 1 - a\n", "result": "ERROR", "returncode": -11}) == ["passed", "failed"]
    assert endings({"stdout": "ok 1 - a\n1..1\n", "result": "ERROR", "returncode": 99}) == ["passed", "failed"]
    assert endings({"stdout": "ok 1 - a\n1..2\n", "result": "ERROR"}) == ["passed", "failed"]
    assert endings({"stdout": "", "result": "TIMEOUT"}) == ["failed"]
    assert endings({"stdout": "", "result": "OK", "returncode": 0}) == ["passed"]
    assert endings({"stdout": "no server", "result": "SKIP"}) == ["skipped"]


@test
def the_counts_and_the_results_file_agree():
    with tempfile.TemporaryDirectory() as folder:
        log, out = pathlib.Path(folder) / "log.json", pathlib.Path(folder) / "results.tsv"
        log.write_text(json.dumps({"name": "parley:unit / test-a", "command": ["/b/test-a"],
                                   "stdout": "ok 1 - a\nok 2 - b\n1..2\n", "result": "OK"}) + "\n")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            results.main(["test", str(log), str(out), str(out.with_suffix(".txt"))])
        assert printed.getvalue() == "2 0 0\n"
        assert promises.read_results(out)[("test-a", "b")] == {"passed"}


@test
def a_program_goes_by_its_own_name_also_behind_a_wrapper():
    names = [results.program_name({"name": "x", "command": command}) for command in (
        ["/b/test-a"], ["python3", "/t/test-b.py", "/b/parley"], ["/t/beside.sh", "--as-user", "/b/test-c", "/b/parley"])]
    assert names == ["test-a", "test-b", "test-c"], names


def failures_of(**record):
    """What the end of a check repeats of a test program."""
    record = {"name": "parley:unit / test-a", "command": ["/b/test-a"], "result": "FAIL", "returncode": 1, **record}
    with tempfile.TemporaryDirectory() as folder:
        log, out = pathlib.Path(folder) / "log.json", pathlib.Path(folder) / "failures.txt"
        log.write_text(json.dumps(record) + "\n")
        with contextlib.redirect_stdout(io.StringIO()):
            results.main(["unit", str(log), str(out) + ".tsv", str(out)])
        return out.read_text()


@test
def failures_are_kept_with_the_first_lines_of_their_reason():
    tap = "# all is well\nok 1 - a\n# t.c:7: not so: x == 1\nnot ok 2 - b\n1..2\n"
    assert failures_of(stdout=tap) == "unit: test-a:b\n    t.c:7: not so: x == 1\n"
    raised = "# Traceback (most recent call last):\n#   File \"t.py\", line 1\n# AssertionError: no\n# end\n"
    assert failures_of(stdout=raised + "not ok 1 - b\n1..1\n") == "unit: test-a:b\n    AssertionError: no\n    end\n"
    died = failures_of(stdout="ok 1 - a\n", returncode=-6, stderr="x\nt.c:9: runtime error: too large\n")
    assert died == ("unit: test-a:(the program itself)\n    ended before its plan\n"
                    "    t.c:9: runtime error: too large\n"), died
    assert failures_of(stdout="ok 1 - a\nok 2 - b # SKIP no\n1..2\n", result="OK") == ""


@test
def comments_and_calls_that_do_not_belong_are_found():
    banned = {"strcpy": set(), "time": {"net"}}
    assert source.check_text("src/net/a.c", 'x = time(NULL); /* a // b */ s = "// strcpy(";', banned) == []
    assert source.check_text("src/plan/a.c", "ops->time(x); run.strcpy(y); sometime(z);", banned) == []
    assert len(source.check_text("src/plan/a.c", "int i; // no\nstrcpy(a, b);\n\ntime(NULL);", banned)) == 3
    expect_fault(source.check_text("src/net/a.c", "\n\nstrcpy(a, b);", banned), "src/net/a.c:3: strcpy()")


def main():
    n_failed = 0
    for number, run in enumerate(TESTS, 1):
        try:
            run()
            print(f"ok {number} - {run.__name__}")
        except Exception:
            n_failed += 1
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {number} - {run.__name__}")
    print(f"1..{len(TESTS)}")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
