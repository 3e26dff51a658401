#!/usr/bin/env python3
"""What comes from outside and is too much, or not there: disks, folders, files, and the installed
program with types of its own."""
import json
import os
import resource
import shutil
import subprocess
import sys
import time

import lifecycle
from lifecycle import Skip, agree, box, data, document, main, test


def given(place, resources=None):
    place.write("demo.yaml", document("demo", resources or {"one": data(1), "two": data("${one.value}")}))


def measured(place, *words, patience=20):
    """Exit code, stderr, seconds and the most memory (MB) of a command."""
    start = time.monotonic()
    process = place.start(*words)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    assert seconds < patience, f"{words}: {seconds:.1f} s"
    return process.returncode, out + err, usage.ru_maxrss / 1024


@test
def a_document_of_4_gb_is_refused_at_once(place):
    with open(place.path("huge.yaml"), "wb") as file:
        file.truncate(4 << 30)
    for words in (("validate", "huge.yaml"), ("plan", "huge.yaml"), ("up", "huge.yaml", "--yes"),
                  ("apply", "huge.yaml", "--yes")):
        code, text, memory = measured(place, *words)
        assert code == 1 and "huge.yaml" in text and "limit" in text, text
        assert memory < 200, f"{words}: {memory:.0f} MB"


@test
def what_is_too_large_beside_the_document_is_refused_too(place):
    given(place)
    place.with_boxes()
    os.truncate(place.path("parley.yaml"), 4 << 30)
    code, text, memory = measured(place, "plan", "demo.yaml")
    assert code == 1 and "parley.yaml" in text and memory < 200, text
    place.with_boxes()
    os.truncate(place.path("catalog/acme.yaml"), 4 << 30)
    code, text, memory = measured(place, "plan", "demo.yaml")
    assert code == 1 and "acme.yaml" in text and memory < 200, text


@test
def deep_nesting_is_refused_at_once(place):
    n = 100000
    value = "[" * n + "]" * n
    cases = {
        "flow.yaml": document("demo", {}).replace("resources: []", f"resources: {value}"),
        "map.yaml": "deployment: " + "{a: " * n + "1" + "}" * n,
        "block.yaml": "deployment:\n" + "- " * n + "x\n",
        "open.yaml": "deployment: " + "[" * n,
        "reference.yaml": document("demo", {"one": data("${" + "lower(" * n + '"a"' + ")" * n + "}")}),
        "inner.yaml": document("demo", {"one": data("${" + "[" * n + "]" * n + "}")}),
    }
    for name, text in cases.items():
        place.write(name, text)
        code, text, _ = measured(place, "plan", name)
        assert code == 1 and name in text, f"{name}: {code} {text[:300]}"
        assert len(text) < 20000, f"{name}: {len(text)} bytes of complaint"
    place.write("deep.plan", '{"format_version":1,"steps":' + value + "}")
    code, text, _ = measured(place, "apply", "deep.plan", "--yes")
    assert code == 1 and "deep.plan" in text, text[:300]


@test
def aliases_do_not_multiply_without_limit(place):
    lines = ["deployment:", "  name: demo", "  variables:", "    a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        lines.append(f"    a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]")
    place.write("laughs.yaml", "\n".join(lines) + "\n  resources: []\n")
    code, text, memory = measured(place, "plan", "laughs.yaml")
    assert code == 1 and "laughs.yaml" in text and memory < 300, f"{memory:.0f} MB {text[:300]}"


@test
def a_count_without_limit_is_refused(place):
    place.write("many.yaml", document("demo", {"x": data(1, count=2000000000)}))
    code, text, memory = measured(place, "plan", "many.yaml")
    assert code == 1 and "many.yaml" in text and memory < 300, f"{memory:.0f} MB {text[:300]}"


def in_namespace(place, script):
    """A shell in a mount namespace of its own, as root of it; its result."""
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    probe = subprocess.run([*words, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise Skip("no mount namespaces here: " + probe.stderr.decode().strip())
    os.makedirs(place.home, exist_ok=True)
    return subprocess.run([*words, "sh", "-c", script], cwd=place.folder, env={
        **place.env, "PARLEY": lifecycle.PROGRAM, "STATE": place.home}, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


@test
def a_state_folder_that_is_read_only_is_told(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    place.write("demo.yaml", document("demo", {"one": data(2)}))
    result = in_namespace(place, """
        mount --bind "$STATE" "$STATE" && mount -o remount,ro,bind "$STATE" || exit 77
        "$PARLEY" up demo.yaml --yes --home "$STATE"; echo "exit $?" """)
    if result.returncode == 77:
        raise Skip("no read-only mounts here")
    assert result.stdout.strip().endswith("exit 1"), result.stdout + result.stderr
    assert place.home in result.stderr, result.stderr
    assert len(place.records("demo")) == 2
    place.parley("up", "demo.yaml", "--yes")


@test
def a_state_folder_that_cannot_be_made_is_told(place):
    given(place)
    place.write("file", "")
    place.home = place.path("file", "home")
    for words in (("plan", "demo.yaml"), ("up", "demo.yaml", "--yes")):
        result = place.parley(*words, want=None)
        assert result.code == (1 if words[0] == "up" else result.code) and result.code in (0, 1)
        assert result.code == 0 or place.path("file") in result.err, result.err


@test
def a_full_disk_stops_a_run_that_can_be_resumed_later(place):
    """The state folder is a small disk; what fills it is taken away before the resume."""
    given(place, {f"n{i}": data("x" * 2000) for i in range(60)})
    script = """
        mount -t tmpfs -o size=%dk none "$STATE" || exit 77
        head -c %d /dev/zero > "$STATE/ballast"
        "$PARLEY" up demo.yaml --yes --home "$STATE" >out 2>err; echo "full $?"
        rm "$STATE/ballast"
        "$PARLEY" up demo.yaml --yes --home "$STATE" >>out 2>>err; echo "again $?"
        "$PARLEY" show demo --json --home "$STATE" """
    told = 0
    for ballast in (2000, 1950, 1900, 1850, 1800, 1700, 1600, 1500):
        result = in_namespace(place, script % (2048, ballast * 1024))
        if result.returncode == 77:
            raise Skip("no small disks here: " + result.stderr)
        lines = result.stdout.splitlines()
        errors = place.read("err")
        assert lines[0] in ("full 0", "full 1"), f"{ballast}: {lines[:2]} {errors}"
        if lines[0] == "full 1":
            told += 1
            assert "parley:" in errors and ("make room" in errors or "No space left" in errors), errors
        assert lines[1] == "again 0", f"{ballast}: {lines[:2]} {errors}"
        assert len(json.loads("\n".join(lines[2:]))) == 60
    assert told >= 2, told


@test
def a_limit_on_file_sizes_is_an_error_and_no_death(place):
    given(place, {f"n{i}": data("x" * 2000) for i in range(60)})
    for limit in (0, 4096, 40960, 200000):
        result = subprocess.run(place.line("up", "demo.yaml", "--yes"), cwd=place.folder, env=place.env,
                                text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                                check=False, preexec_fn=lambda size=limit: resource.setrlimit(
                                    resource.RLIMIT_FSIZE, (size, size)))
        assert result.returncode in (0, 1, 4), f"{limit}: {result.returncode} {result.stderr}"
        assert result.returncode == 0 or result.stderr, limit
    place.parley("up", "demo.yaml", "--yes")
    assert len(place.records("demo")) == 60


@test
def a_damaged_store_is_told_and_never_taken_for_empty(place):
    given(place)
    place.parley("up", "demo.yaml", "--yes")
    good = place.path("good")
    shutil.copytree(place.home, good)
    names = [name for name in os.listdir(place.home) if name.startswith("parley.db")]
    for name in names:
        os.unlink(place.path("home", name))
    result = place.parley("up", "demo.yaml", "--yes", want=1)
    assert "parley.db" in result.err, result.err
    with open(place.path("home", "parley.db"), "wb") as file:
        file.write(b"no database" * 1000)
    assert "parley.db" in place.parley("show", "demo", want=1).err
    shutil.rmtree(place.home)
    shutil.copytree(good, place.home)
    assert len(place.records("demo")) == 2


@test
def the_state_is_for_its_owner_only(place):
    given(place)
    old = os.umask(0)
    try:
        place.parley("up", "demo.yaml", "--yes")
    finally:
        os.umask(old)
    for folder, folders, files in os.walk(place.home):
        for name in [*folders, *files]:
            mode = os.lstat(os.path.join(folder, name)).st_mode & 0o777
            assert mode & 0o077 == 0, f"{folder}/{name}: {mode:o}"
    assert os.stat(place.home).st_mode & 0o777 == 0o700


@test
def an_installed_program_takes_types_from_beside_the_site(place):
    build = os.path.dirname(lifecycle.PROGRAM)
    meson = shutil.which("meson")
    if not meson or not os.path.isdir(os.path.join(build, "meson-info")):
        raise Skip("no Meson build folder beside the program")
    if not os.access(os.path.join(build, "meson-logs"), os.W_OK):
        raise Skip("the build folder belongs to somebody else")
    subprocess.run([meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir",
                    place.path("root")], check=True, capture_output=True, env={**place.env})
    found = [os.path.join(folder, "parley") for folder, _, files in os.walk(place.path("root"))
             if "parley" in files and os.access(os.path.join(folder, "parley"), os.X_OK)]
    assert len(found) == 1, found
    schemas = os.path.join(os.path.dirname(os.path.dirname(found[0])), "share", "parley", "schemas")
    assert sorted(os.listdir(schemas)) == [f"{name}.schema.json" for name in ("document", "event", "plan", "site")]
    kept, lifecycle.PROGRAM = lifecycle.PROGRAM, found[0]
    try:
        place.with_boxes()
        given(place, {"a": box(colour="red"), "b": box(lid="a", note="${a.endpoint}")})
        assert "acme:thing:box" in place.parley("types").out
        about = place.parley("types", "acme:thing:box").out
        assert "colour" in about and "endpoint" in about, about
        place.parley("up", "demo.yaml", "--yes")
        agree(place, "demo")
        assert len(place.files()) == 2
        assert "No changes" in place.parley("up", "demo.yaml").out
        given(place, {"a": box(colour="green")})
        assert "colour" in place.parley("plan", "demo.yaml", want=1).err
    finally:
        lifecycle.PROGRAM = kept


if __name__ == "__main__":
    sys.setrecursionlimit(10000)
    main()
