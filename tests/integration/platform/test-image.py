#!/usr/bin/env python3
"""Images with a context: built by a Docker Engine of the test's own, and run as instances. TAP."""

from concurrent.futures import ThreadPoolExecutor
import errno
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

sys.dont_write_bytecode = True
import platformlab
from dockerlab import ESCAPE, Between, Engine, make_program, make_server
from platformlab import Platform, twinlab

DOCKERFILE = """FROM scratch
COPY serve /bin/serve
ENV WORD=one
WORKDIR /srv
USER 1234
ENTRYPOINT ["serve"]
CMD ["hello"]
"""
# The web tier alone: a balancer in front of two instances.
DOCUMENT = """deployment:
  name: shed
  resources:
    - type: opnsense:network:vlan
      name: lobby
      properties: {tag: 7, subnet: 10.7.0.0/28}
    - type: opnsense:firewall:rule
      name: guests
      properties: {source: any, destination: lobby, port: 8000, action: pass}
    - type: aws:ec2:instances
      name: desk
      properties: {instances: 2, subnet: lobby}
    - type: opnsense:haproxy:backend
      name: desk-pool
      properties: {servers: desk, port: 8001, healthCheck: /hello}
    - type: opnsense:haproxy:frontend
      name: door
      properties: {network: lobby, port: 8000, backend: desk-pool}
    - type: docker:image:build
      name: desk-image
      properties: {image: "shed/desk:1", context: desk}
    - type: docker:compose:stack
      name: shed-stack
      properties:
        services:
          desk: {image: "shed/desk:1", replicas: 2, hosts: desk, port: 8001, healthCheck: /hello,
                 environment: {OWN: "its own"}}
"""
IMAGE_ALONE = """deployment:
  name: shed
  resources:
    - type: docker:image:build
      name: desk-image
      properties: {image: "shed/desk:1", context: desk}
"""


class Shed(Platform):
    """A document beside the folder that its image is built from."""

    def __init__(self, text, engine):
        super().__init__(text)
        self.variables = {"DOCKER_HOST": f"unix://{engine.socket if engine else self.folder / 'nowhere'}"}
        self.context = self.folder / "desk"
        self.context.mkdir()
        self.write(DOCKERFILE)
        make_server(self.context / "serve")

    def write(self, text):
        (self.context / "Dockerfile").write_text(text)

    def plan(self):
        return self.parley("plan", str(self.document)).stdout

    def door(self):
        lines = [line for part in self.answer("status", "shed")["sections"] for line in part["lines"]]
        return re.search(r"curl (http://127\.0\.0\.1:\d+/)", "\n".join(lines)).group(1)

    def states(self):
        return {r["address"]: r for r in self.answer("status", "shed")["resources"]}

    def copies(self):
        folder = self.home / "twin" / "images"
        return sorted(os.listdir(folder)) if folder.exists() else []


def visit(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


@twinlab.for_root
def an_image_is_built_and_runs_as_its_own_file_system_behind_the_balancer():
    with Engine() as engine, Shed(DOCUMENT, engine) as shed:
        assert f"desk-image: real: built by the Docker Engine at {engine.socket}" in shed.plan()
        assert engine.everything() == []
        shed.up()
        assert shed.states()["desk-image"]["fidelity"] == "real"
        assert shed.states()["shed-stack"]["fidelity"] == "real"
        seen = visit(shed.door())
        assert re.search("(^|:)/bin($|:)", seen.pop("path"))
        assert seen == {"word": "one", "first": "hello", "own": "its own", "user": 1234, "folder": "/srv",
                        "root_is_written": 0, "tmp_is_written": 1, "machine_is_seen": 0}, seen
        # What it was made from is the same: there is nothing to do, wherever the plan is made.
        os.utime(shed.context / "serve")
        assert shed.steps() == []
        image, = engine.images()
        assert image["RepoTags"] == ["shed/desk:1"] and image["Id"] == shed.records("build")[0]["outputs"]["id"]
        # Another context: exactly the image, and its instances one after the other.
        shed.write(DOCKERFILE.replace("WORD=one", "WORD=two"))
        assert shed.steps() == ["update desk-image"], shed.steps()
        words, failures, ended = set(), [], threading.Event()

        def ask():
            while not ended.is_set():
                try:
                    words.add(visit(shed_door)["word"])
                except Exception as failure:
                    failures.append(failure)
        shed_door = shed.door()
        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask) for _ in range(2)]
            try:
                shed.up()
            finally:
                ended.set()
            for each in asking:
                each.result()
        assert not failures and words <= {"one", "two"}, (failures[:3], words)
        assert {visit(shed_door)["word"] for _ in range(4)} == {"two"}
        assert len(engine.images()) == 1 and len(shed.copies()) == 1
        pids = subprocess.run(["pgrep", "-f", "^/bin/serve hello"], capture_output=True, text=True).stdout
        assert pids
        shed.parley("destroy", "shed", "--yes")
        assert engine.everything() == [] and shed.copies() == []
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids.split())


@twinlab.for_root
def an_image_has_volumes_memory_and_health_checks_of_its_own():
    text = DOCUMENT.replace("hosts: desk, port: 8001, healthCheck: /hello,", """hosts: desk, port: 8001, healthCheck: /hello,
                 volumes: ["things:/data", "./note:/srv/note:ro"], tmpfs: "/scratch:size=1m",
                 healthcheck: {test: [CMD, serve, keep], interval: 1s, retries: 2},""") + """        volumes: {things: {}}
"""
    with Engine() as engine, Shed(text, engine) as shed:
        (shed.folder / "note").write_text("noted")
        shed.up()
        assert shed.states()["shed-stack"]["fidelity"] == "real"
        assert visit(shed.door())["word"] == "one"
        kept = next((shed.home / "twin").glob("volumes/*/*/kept"))
        first = kept.stat().st_ino
        # They outlast the image that they were made for.
        shed.write(DOCKERFILE.replace("WORD=one", "WORD=two"))
        shed.up()
        assert visit(shed.door())["word"] == "two"
        assert kept.stat().st_ino == first and shed.steps() == []
        shed.parley("destroy", "shed", "--yes")
        assert not kept.exists()


@twinlab.for_root
def an_image_that_was_removed_underneath_is_drift_and_comes_back():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        shed.up()
        image, = engine.images()
        engine.ask("DELETE", f"/images/{image['Id']}?force=1")
        assert shed.steps() == ["create desk-image"], shed.steps()
        shed.up()
        assert shed.steps() == [] and len(engine.images()) == 1
        # One that somebody else has under this name is not touched.
        shed.parley("destroy", "shed", "--yes")
        other = Shed(IMAGE_ALONE, engine)
        try:
            other.up()
            done = shed.parley("up", str(shed.document), "--yes", code=1)
            assert "has an image shed/desk:1 that is not this resource's" in done.stdout + done.stderr, done
            assert len(engine.images()) == 1
            other.parley("destroy", "shed", "--yes")
        finally:
            other.__exit__()


@twinlab.for_root
def a_build_that_fails_shows_the_lines_of_its_step_and_changes_nothing():
    with Engine() as engine, Shed(DOCUMENT, engine) as shed:
        shed.write(DOCKERFILE + 'RUN ["/bin/serve", "fail"]\n')
        done = shed.parley("up", str(shed.document), "--yes", code=4)
        said = done.stdout + done.stderr
        assert "the build failed" in said and "the cause of it" in said and "RUN" in said, said
        # The engine keeps its cache of the steps that worked; nothing of it has a name or our label.
        assert not any(image["Labels"] or image["RepoTags"] != ["<none>:<none>"] for image in engine.images())
        assert shed.copies() == []
        assert "create desk-image" in shed.steps() and "create shed-stack" in shed.steps()
        # Mended, it goes on from there. A program that is not in it is told, and so is no command.
        shed.write(DOCKERFILE)
        shed.up()
        assert visit(shed.door())["word"] == "one"
        shed.write("FROM scratch\nCOPY serve /bin/serve\n")
        done = shed.parley("up", str(shed.document), "--yes", code=None)
        problem = done.stdout + done.stderr + shed.parley("status", "shed", code=None).stdout
        assert "has no command; give its Dockerfile a CMD or an ENTRYPOINT" in problem, problem


@twinlab.for_root
def an_engine_that_is_gone_fails_the_step_it_was_promised_for():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        plan = shed.answer("plan", str(shed.document))
        engine.kill()
        done = shed.parley("apply", plan["hash"], "--approve", plan["hash"], code=None)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 4) and "no Docker Engine answers at" in said, done
        assert shed.records() == [] and shed.copies() == []
        engine.start()
        shed.up()
        engine.kill()
        # What is there goes on, and says that it cannot tell; nothing is removed that cannot be removed.
        assert shed.steps() == []
        assert "whether the image is still there cannot be told" in shed.parley("status", "shed").stdout
        done = shed.parley("destroy", "shed", "--yes", code=None)
        assert done.returncode in (1, 4) and "no Docker Engine answers at" in done.stdout + done.stderr, done
        engine.start()
        shed.parley("destroy", "shed", "--yes")
        assert engine.everything() == []


@twinlab.for_root
def a_build_that_is_killed_is_found_again_and_made_once():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        shed.write(DOCKERFILE + 'RUN ["/bin/serve", "wait"]\n')
        run = subprocess.Popen(shed.command("up", str(shed.document), "--yes"), cwd=shed.folder,
                               env=shed.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        assert twinlab.wait_until(lambda: engine.ask("GET", "/containers/json"), 60)
        kill_runs(shed)
        run.wait(60)
        shed.write(DOCKERFILE)
        for _ in range(2):
            shed.parley("up", str(shed.document), "--yes", code=None)
        assert shed.steps() == [], shed.steps()
        assert len(engine.images()) == 1 and len(shed.copies()) == 1
        shed.parley("destroy", "shed", "--yes")
        assert engine.images() == [] and shed.copies() == []


def begin_and_be_killed(shed, between):
    """A run that is killed when what the engine is asked for is held."""
    shed.variables["DOCKER_HOST"] = f"unix://{between.socket}"
    run = subprocess.Popen(shed.command("up", str(shed.document), "--yes"), cwd=shed.folder, env=shed.environment(),
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert between.is_held.wait(60)
    kill_runs(shed)
    run.wait(60)


def build_and_be_killed(shed, engine):
    """A run that is killed when its image is finished and the twin does not know of it; the image."""
    with Between(engine, "/export") as between:
        # The image is finished, and its files are asked for.
        begin_and_be_killed(shed, between)
        assert sum("/build" in line for line in between.asked) == 1, between.asked
    image, = engine.images()
    assert shed.records() == []
    return image


@twinlab.for_root
def a_finished_image_that_nobody_knew_of_is_taken_over_by_resume():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        image = build_and_be_killed(shed, engine)
        with Between(engine) as between:
            shed.parley("resume", "shed")
            assert shed.steps() == [], shed.steps()
            assert not any("/build" in line for line in between.asked), between.asked
            assert any("/export" in line for line in between.asked), between.asked
        assert [each["Id"] for each in engine.images()] == [image["Id"]] and len(shed.copies()) == 1
        # No container that served for the copying is left, be it of the life that was killed.
        assert engine.ask("GET", "/containers/json?all=1") == []


@twinlab.for_root
def a_plan_beside_a_killed_run_knows_its_image_and_goes_on_with_it():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        image = build_and_be_killed(shed, engine)
        with Between(engine) as between:
            done = shed.parley("plan", str(shed.document))
            assert "not this resource's" not in done.stdout + done.stderr, done
            assert shed.steps() == ["update desk-image"], shed.steps()
            shed.up()
            assert shed.steps() == [], shed.steps()
            assert not any("/build" in line for line in between.asked), between.asked
            assert [each["Id"] for each in engine.images()] == [image["Id"]] and len(shed.copies()) == 1
            assert engine.ask("GET", "/containers/json?all=1") == []
            shed.parley("destroy", "shed", "--yes")
        assert engine.images() == [] and shed.copies() == []


@twinlab.for_root
def an_image_of_a_killed_run_goes_with_its_deployment_or_gives_way_to_another_content():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        build_and_be_killed(shed, engine)
        with Between(engine):
            shed.parley("destroy", "shed", "--yes")
            assert engine.images() == [] and shed.copies() == []
        image = build_and_be_killed(shed, engine)
        with Between(engine):
            shed.write(DOCKERFILE.replace("one", "two"))
            shed.up()
            assert shed.steps() == [], shed.steps()
        other, = engine.images()
        assert other["Id"] != image["Id"] and other["RepoTags"] == ["shed/desk:1"] and len(shed.copies()) == 1


@twinlab.for_root
def an_image_that_is_finished_when_all_have_given_it_up_is_nobody_elses():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        with Between(engine, kept="/build") as between:
            begin_and_be_killed(shed, between)
            # There is no image, so that nothing is left to be removed.
            shed.parley("destroy", "shed", "--yes")
            assert shed.records() == [] and shed.copies() == []
            with between.pass_on_late():
                assert twinlab.wait_until(lambda: "shed/desk:1" in str(engine.images()), 60)
        late, = engine.images()
        with Between(engine):
            done = shed.parley("plan", str(shed.document))
            assert "not this resource's" not in done.stdout + done.stderr, done
            shed.up()
            assert shed.steps() == [], shed.steps()
        image, = engine.images()
        assert image["RepoTags"] == ["shed/desk:1"] and image["Id"] != late["Id"], (image, late)


@twinlab.for_root
def an_image_that_cannot_be_unpacked_is_not_lost():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed:
        with Between(engine, cut="/export") as between:
            shed.variables["DOCKER_HOST"] = f"unix://{between.socket}"
            done = shed.parley("up", str(shed.document), "--yes", code=None)
            assert done.returncode in (1, 4), done
        image, = engine.images()
        with Between(engine) as between:
            assert shed.steps() == ["update desk-image"], (shed.steps(), done)
            shed.up()
            assert shed.steps() == [], shed.steps()
            assert not any("/build" in line for line in between.asked), between.asked
        assert [each["Id"] for each in engine.images()] == [image["Id"]] and len(shed.copies()) == 1


@twinlab.for_root
def an_engine_that_is_killed_while_it_builds_fails_the_step_and_the_next_up_mends_it():
    with Engine() as engine, Shed(IMAGE_ALONE, engine) as shed, ThreadPoolExecutor(1) as beside:
        shed.write(DOCKERFILE + 'RUN ["/bin/serve", "wait"]\n')
        building = beside.submit(shed.parley, "up", str(shed.document), "--yes", code=None)
        assert twinlab.wait_until(lambda: engine.ask("GET", "/containers/json"), 60)
        engine.kill()
        done = building.result(120)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "the Docker Engine at " + engine.socket + " is gone" in said, done
        assert "nothing was changed" in said and shed.records() == [] and shed.copies() == []
        shed.write(DOCKERFILE)
        engine.start()
        shed.parley("up", str(shed.document), "--yes", code=None)
        shed.up()
        assert shed.steps() == [] and len(engine.images()) == 1 and len(shed.copies()) == 1
        shed.parley("destroy", "shed", "--yes")
        assert not [image for image in engine.images() if image["Labels"] or image["RepoTags"] != ["<none>:<none>"]]


# What else may be said of ways that lead nowhere: a system that is read-only, and what is not there at all.
NOWHERE = {os.strerror(number) for number in (1, 2, 6, 13, 30)}


@twinlab.for_root
def the_root_of_an_image_gets_no_further_than_anybody():
    outside = socket.socket()
    outside.bind(("127.0.0.1", 0))
    outside.listen()
    with Engine() as engine, Shed(DOCUMENT, engine) as shed:
        make_program(shed.context / "escape", ESCAPE)
        secret = shed.folder / "secret"
        secret.write_text("mine")
        tried = [str(outside.getsockname()[1]), str(secret), str(shed.home / "twin" / "sock"), engine.socket,
                 str(shed.home / "twin" / "manifest.json"), str(shed.home / "store.db"), "/usr/bin/env", "/etc/shadow"]
        shed.write("FROM scratch\nCOPY escape /bin/escape\n" + 'RUN ["/bin/escape", "suid"]\nUSER 0:0\n' +
                   f"CMD {json.dumps(['/bin/escape', *tried])}\n")
        shed.text = shed.text.replace("replicas: 2, hosts: desk, port: 8001, healthCheck: /hello,",
                                      "replicas: 2, hosts: desk, limits: {processes: 24},")
        shed.up()
        assert twinlab.wait_until(lambda: findings(shed), 60)
        found = findings(shed)
        assert set(found) == {"desk-0", "desk-1"}, found
        for host, ways in found.items():
            assert 0 < ways.pop("processes") < 24, (host, ways)
            # Being nobody is no errno, nor is seeing nobody.
            assert {ways.pop(way) for way in ("is root", "a file that changes to root", "sees others")} == {255}, (host, ways)
            assert ways.pop("port of the machine") == errno.ECONNREFUSED, (host, ways)
            led = {way: os.strerror(number) for way, number in ways.items() if os.strerror(number) not in NOWHERE}
            assert not led and len(ways) > 50, (host, led, len(ways))
            # What only rights could do is refused for want of them, not by chance.
            calls = {way: number for way, number in ways.items() if not way.startswith(("file ", "socket /", "/"))}
            assert set(calls.values()) <= {1, 13}, (host, calls)


@twinlab.for_root
def an_image_without_files_about_users_has_numbers_and_root():
    with Engine() as engine, Shed(DOCUMENT, engine) as shed:
        shed.write(DOCKERFILE.replace("USER 1234", "USER web"))
        done = shed.parley("up", str(shed.document), "--yes", code=None)
        assert done.returncode in (1, 4), done
        assert "the image shed/desk:1 has no user web" in " ".join(done.stdout.split()), done
        (shed.context / "passwd").write_text("web:x:77:78::/:/none\n")
        who = {"COPY passwd /etc/passwd\nUSER web": 77, "USER root": 65534, "USER 0": 65534, "USER 5:6": 5}
        for words, user in who.items():
            shed.write(DOCKERFILE.replace("USER 1234", words))
            shed.up()
            assert visit(shed.door())["user"] == user, words


def findings(shed):
    """What each instance printed, when all have."""
    lines = {path.name.split(".")[0]: path.read_text() for path in (shed.home / "twin" / "logs").glob("desk-*.desk.log")}
    found = {host: json.loads(re.search(r"\{.*\}", text)[0]) for host, text in lines.items() if re.search(r"\{.*\}", text)}
    return found if len(found) == 2 else None


def kill_runs(shed):
    """The processes that carry out runs of this home."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue
        if b"run" in words and b"exec" in words and str(shed.home).encode() in environment + b" ".join(words):
            os.kill(int(entry), signal.SIGKILL)


def without_an_engine_something_stands_in_and_says_why():
    with Shed(DOCUMENT, None) as shed:
        reason = ("no Docker Engine answers at" if os.geteuid() == 0 else "only root's twin runs images")
        note = f"desk-image: a small built-in workload runs in its place, since {reason}"
        assert note in shed.plan(), shed.plan()
        shed.up()
        state = shed.states()["desk-image"]
        why = "no Docker Engine answered" if os.geteuid() == 0 else "only root's twin runs images"
        assert state["fidelity"] == "stand-in" and why in state["fidelity_note"], state
        assert shed.steps() == []
        with urllib.request.urlopen(shed.door() + "hello", timeout=30) as answer:
            assert answer.status == 200
        doctor = shed.parley("twin", "doctor", code=None)
        assert reason in doctor.stdout + doctor.stderr, doctor
        # Who names the engine wants no stand-in.
        shed.text = shed.text.replace("context: desk}", "context: desk, engine: 'unix:///nowhere/sock', tags: [a]}")
        done = shed.parley("plan", str(shed.document), code=1)
        assert "desk-image: " in done.stdout + done.stderr and "stand" not in done.stderr, done


def a_context_that_cannot_be_packed_is_a_fault_of_the_document():
    with Shed(IMAGE_ALONE, None) as shed:
        (shed.context / "Dockerfile").unlink()
        done = shed.parley("validate", str(shed.document), code=1)
        assert "desk has no Dockerfile" in done.stderr, done
        shed.text = shed.text.replace("context: desk", "context: nowhere")
        done = shed.parley("plan", str(shed.document), code=1)
        assert "nowhere is not there" in done.stderr, done
        shed.text = shed.text.replace("context: nowhere", "context: desk, contextDigest: abc")
        done = shed.parley("plan", str(shed.document), code=1)
        assert 'property "contextDigest" of desk-image is filled in by Parley' in done.stderr, done


platformlab.run([an_image_is_built_and_runs_as_its_own_file_system_behind_the_balancer,
                 an_image_has_volumes_memory_and_health_checks_of_its_own,
                 an_image_that_was_removed_underneath_is_drift_and_comes_back,
                 a_build_that_fails_shows_the_lines_of_its_step_and_changes_nothing,
                 an_engine_that_is_gone_fails_the_step_it_was_promised_for,
                 a_build_that_is_killed_is_found_again_and_made_once,
                 a_finished_image_that_nobody_knew_of_is_taken_over_by_resume,
                 a_plan_beside_a_killed_run_knows_its_image_and_goes_on_with_it,
                 an_image_of_a_killed_run_goes_with_its_deployment_or_gives_way_to_another_content,
                 an_image_that_is_finished_when_all_have_given_it_up_is_nobody_elses,
                 an_image_that_cannot_be_unpacked_is_not_lost,
                 an_engine_that_is_killed_while_it_builds_fails_the_step_and_the_next_up_mends_it,
                 the_root_of_an_image_gets_no_further_than_anybody,
                 an_image_without_files_about_users_has_numbers_and_root,
                 without_an_engine_something_stands_in_and_says_why,
                 a_context_that_cannot_be_packed_is_a_fault_of_the_document])
