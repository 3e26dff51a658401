#!/usr/bin/env python3
"""Stacks as compose files have them, through the command line: what their services need and find. TAP."""

import os
import re
import sys

sys.dont_write_bytecode = True
import platformlab
from platformlab import Platform

HEAD = """deployment:
  name: kiosk
  resources:
    - type: opnsense:network:vlan
      name: square
      properties: {tag: 30, subnet: 10.30.0.0/28}
    - type: aws:ec2:instances
      name: stand
      properties: {instances: 1, subnet: square}
    - type: docker:compose:stack
      name: kiosk
      properties:
"""


def document(services, more=""):
    lines = "".join(f"          {line}\n" for line in services)
    return f"{HEAD}        services:\n{lines}{more}"


def started(kiosk):
    """The ports of the host's services in the order in which their processes began."""
    shown = kiosk.run("stand-0", "sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; "
                      "awk '{print \" @\" $22 \" \" $1}' $p/stat; done").stdout
    rows = re.findall(r"parley-twin workload [^\n@]*?10\.30\.0\.\d+:(8\d) [^\n@]*@(\d+) (\d+)", shown)
    return [int(port) for port, _, _ in sorted(rows, key=lambda row: (int(row[1]), int(row[2])))]


def services_start_after_those_that_a_list_names():
    chain = ["a: {image: a, hosts: stand, port: 81, depends_on: [c]}",
             "b: {image: b, hosts: stand, port: 82}",
             "c: {image: c, hosts: stand, port: 83, depends_on: [b]}"]
    with Platform(document(chain)) as kiosk:
        kiosk.up()
        assert started(kiosk) == [82, 83, 81], started(kiosk)
        assert kiosk.steps() == []
        # The longer form of the same is no change; another condition is one.
        kiosk.text = document([chain[0].replace("[c]", "{c: {condition: service_started}}"), *chain[1:]])
        assert kiosk.steps() == []
        kiosk.text = document([chain[0].replace("[c]", "{c: {condition: service_healthy}}"), *chain[1:]])
        assert kiosk.steps() == ["update kiosk"], kiosk.steps()
        kiosk.up()
        kiosk.text = document(chain)
        assert kiosk.steps() == ["update kiosk"], kiosk.steps()
        # What a list names is looked for as what a map names.
        kiosk.text = document([chain[0].replace("[c]", "[d, c]"), *chain[1:]])
        assert "there is no service d, which is in depends_on" in kiosk.parley("plan", str(kiosk.document), code=1).stderr
        kiosk.text = document([chain[0], chain[1].replace("82", "82, depends_on: [a]"), chain[2]])
        assert "waits for itself" in kiosk.parley("plan", str(kiosk.document), code=1).stderr


def shown(test, volumes):
    """One service whose health check is what it finds."""
    return document([f"""a: {{image: a, hosts: stand, port: 81, volumes: {volumes},
              healthcheck: {{test: '{test}', interval: 100ms, retries: 1}}}}"""])


def copies(kiosk):
    folder = kiosk.home / "twin" / "files"
    return sorted(folder.iterdir()) if folder.exists() else []


FOUND = ("test -r /etc/app/one && test $(cat /etc/app/deep/two) = 2 && test -x /etc/app/run && test ! -x /etc/app/one && "
         "test -L /etc/app/far && test ! -e /etc/app/far && test $(cat /etc/motd.d/motd) = WORD && "
         "! (echo x > /etc/app/one) && ! (echo x > /etc/motd.d/motd) && ! touch /etc/app/x && ! rm /etc/app/one")


def make_conf(kiosk):
    conf = kiosk.folder / "conf"
    (conf / "deep").mkdir(parents=True)
    (conf / "one").write_text("1")
    (conf / "one").chmod(0o600)
    (conf / "deep" / "two").write_text("2")
    (conf / "run").touch(mode=0o700)
    # What a link leads to is looked for among the service's files, not the document's.
    (conf / "far").symlink_to(kiosk.folder / "motd")
    (kiosk.folder / "motd").write_text("first")
    return conf


def what_lies_beside_the_document_is_found_as_it_was_planned_and_cannot_be_changed():
    volumes = '["./conf:/etc/app:ro", "./motd:/etc/motd.d/motd:ro"]'
    with Platform(shown(FOUND.replace("WORD", "first"), volumes)) as kiosk:
        conf = make_conf(kiosk)
        planned = kiosk.parley("plan", str(kiosk.document)).stdout
        for path, target in (conf, "/etc/app"), (kiosk.folder / "motd", "/etc/motd.d/motd"):
            assert re.search(f"a finds a copy of {path} as it is now .[0-9a-f]{{12}}\\.\\.\\.. at {target}, read-only", planned), planned
        kiosk.up()
        assert kiosk.steps() == [] and len(copies(kiosk)) == 2
        # Who may not enter the state folder does not read them there either.
        assert (kiosk.home / "twin" / "files").stat().st_mode & 0o077 == 0
        # A file that changes is a change of the stack, and until it is approved it is not seen.
        (kiosk.folder / "motd").write_text("second")
        assert kiosk.steps() == ["update kiosk"], kiosk.steps()
        assert "kiosk: ● healthy" in kiosk.parley("status", "kiosk").stdout
        kiosk.parley("twin", "down")
        kiosk.text = shown(FOUND.replace("WORD", "second"), volumes)
        kiosk.up()
        assert kiosk.steps() == [] and len(copies(kiosk)) == 2
        # What is no longer named goes, and the rest with the stack.
        kiosk.text = shown("test -d /etc/app && test ! -e /etc/motd.d/motd", '["./conf:/etc/app:ro"]')
        kiosk.up()
        assert len(copies(kiosk)) == 1
        kiosk.parley("destroy", "kiosk", "--yes")
        assert copies(kiosk) == []


def what_has_changed_since_it_was_planned_is_not_shown():
    with Platform(shown("test -d /etc/app", '["./conf:/etc/app:ro"]')) as kiosk:
        conf = make_conf(kiosk)
        plan = kiosk.answer("plan", str(kiosk.document))
        (conf / "one").write_text("another")
        done = kiosk.parley("apply", plan["hash"], "--approve", plan["hash"], code=4)
        assert f"{conf} is not what was planned any more" in done.stdout + done.stderr, done
        assert copies(kiosk) == [] and "create kiosk" in kiosk.steps()
        kiosk.up()
        assert kiosk.steps() == []


def what_the_document_has_no_business_with_is_refused():
    with Platform("") as kiosk:
        make_conf(kiosk)
        (kiosk.folder / "out").symlink_to("/etc")
        os.mkfifo(kiosk.folder / "pipe")
        with open(kiosk.folder / "large", "wb") as large:
            large.truncate((64 << 20) + 1)
        for volume, words in (
                ("/etc:/etc/app:ro", "it leads to /etc, which is not below"),
                ("../:/etc/app:ro", "which is not below"),
                ("./out:/etc/app:ro", "it leads to /etc, which is not below"),
                (".:/etc/app:ro", "which is not below"),
                ("./conf:/etc/app", "is shown read-only"),
                ("./conf:/etc/app:rw", "is shown read-only"),
                ("./nowhere:/etc/app:ro", "is not there"),
                ("./pipe:/etc/app:ro", "neither a file nor a folder nor a link"),
                ("./large:/etc/app:ro", "is larger than 64 MiB"),
                ("~/conf:/etc/app:ro", "the twin shows no other folders"),
                ("conf:/etc/app:ro", 'no volume "conf"')):
            kiosk.text = shown("true", f'["{volume}"]')
            done = kiosk.parley("plan", str(kiosk.document), code=1)
            assert words in " ".join(done.stderr.split()), (volume, done.stderr)
        kiosk.text = shown("true", '["./conf:/etc/app:ro"]') + "        files: {a: b}\n"
        assert 'property "files" of kiosk is filled in by Parley' in kiosk.parley("validate", str(kiosk.document), code=1).stderr
        kiosk.text = shown("true", f'["{kiosk.folder}/conf:/etc/app:ro", "./motd:/etc/app/x:ro"]')
        done = kiosk.parley("up", str(kiosk.document), "--yes", code=4)
        assert "one in the other" in done.stdout + done.stderr, done
        assert copies(kiosk) == [] or "create kiosk" in kiosk.steps()


platformlab.run([services_start_after_those_that_a_list_names,
                 what_lies_beside_the_document_is_found_as_it_was_planned_and_cannot_be_changed,
                 what_has_changed_since_it_was_planned_is_not_shown,
                 what_the_document_has_no_business_with_is_refused])
