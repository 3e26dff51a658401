#!/usr/bin/env python3
"""Golden plans: CASE/deployment.yaml planned after CASE/before.yaml was applied, as people read it.

A case is a folder with
    deployment.yaml   what is planned; when it is missing, the destruction of what before.yaml made
    before.yaml       optional: is applied first
    site.yaml         optional: the site; else one instance of the fake driver
    forget            optional: the addresses that are forgotten, instead of a plan of deployment.yaml
    touch             optional: Python that changes the fake's files ({name: file} is `boxes`), as somebody outside would
    words             optional: what is typed instead of "plan deployment.yaml", after all that
    expected.txt      exit code of the plan, then what it prints, the hash left out
Every step kind and reason occurs in one of them, and every fault and note that no document alone has. With PARLEY_ACCEPT=1 (tools/check --accept) what is expected is
rewritten: read what it changes.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SITE = "site:\n  instances:\n    acme.lab: { driver: fake }\n"
TYPES = (HERE / "types.yaml").read_text()
# What the texts of plans say for each kind and reason (src/model/plan.h).
KINDS = ["to create", "to change", "to destroy", "to rename", "to start", "to forget", "to adopt", "to act on", "unchanged"]
REASONS = ["the document changed", "it was changed outside of Parley", "it was removed outside of Parley",
           "it is gone, and another thing carries its marker",
           "an earlier run finished it only in part", "the document no longer has it", "the deployment is destroyed",
           "a property changed that cannot change in place", "what it refers to is another one now",
           "its replacement is in place", "its time (lifecycle.expires) is over", "the document names it anew",
           "the target is stopped", "it was asked to be forgotten; what is there stays there",
           "what adopted it is taken back; what is there stays there",
           "it is there already and was asked to be adopted", "it is there already, made for this deployment",
           "it was asked for"]

# The codes of faults that tests/golden/document.c leaves to these cases, and what the notes among them say. What only
# the twin tells, and what the machine's limits do, has tests of its own.
FAULTS = ["adoption", "existing-unmatched", "protected", "unknowable", "in-use", "cannot-serve",
          "unknown-revision", "merge-conflict", "expired", "secret-source"]
NOTES = ["refers to a and stays", "Kept, though the file does not have it", "does not come back", "A parcel in memory.",
         "the store keeps them", "warning[left-too-late]"]


class Case:
    def __init__(self, program, folder):
        self.program, self.source = program, folder
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-golden-"))
        (self.folder / "run").mkdir(mode=0o700)
        (self.folder / "catalog").mkdir()
        (self.folder / "catalog" / "acme.yaml").write_text(TYPES)
        site = folder / "site.yaml"
        (self.folder / "parley.yaml").write_text(site.read_text() if site.exists() else SITE)
        self.environment = dict(os.environ, PARLEY_HOME=str(self.folder / "home"), HOME=str(self.folder),
                                XDG_RUNTIME_DIR=str(self.folder / "run"))
        self.environment.pop("PARLEY_SITE", None)

    def parley(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        errors = [line for line in done.stderr.splitlines(True) if "ASan doesn't fully support" not in line]
        return done.returncode, done.stdout + "".join(errors)

    def put(self, name):
        shutil.copy(self.source / name, self.folder / name)

    def boxes(self):
        """Where the fake keeps each resource, by name."""
        found = {}
        code, text = self.parley("show", "boxes", "--json")
        for record in json.loads(text) if code == 0 else []:
            found[record["address"]] = self.folder / "home" / "fake" / "acme.lab" / (record["uid"] + ".json")
        return found

    def plan(self):
        if (self.source / "before.yaml").exists():
            self.put("before.yaml")
            self.parley("up", "before.yaml", "--yes")
        if (self.source / "touch").exists():
            exec((self.source / "touch").read_text(), {"boxes": self.boxes(), "json": json, "folder": self.folder, "parley": self.parley,
                                                           "program": self.program, "environment": self.environment})
        if (self.source / "forget").exists():
            return self.parley("forget", "boxes", *(self.source / "forget").read_text().split())
        if (self.source / "deployment.yaml").exists():
            self.put("deployment.yaml")
        if (self.source / "words").exists():
            return self.parley(*(self.source / "words").read_text().split())
        if not (self.source / "deployment.yaml").exists():
            return self.parley("destroy", "boxes")
        return self.parley("plan", "deployment.yaml", "--detailed-exitcode")

    def run(self):
        code, text = self.plan()
        shutil.rmtree(self.folder)
        text = re.sub(r"of user:\S+, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "of WHO, WHEN", text)
        text = re.sub(r"what user:\S+ did", "what WHO did", text)
        text = re.sub(r"Plan hash: [0-9a-f]{64}\n", "Plan hash: HASH\n", text)
        text = text.replace(f"{self.folder}/", "FOLDER/")
        text = re.sub(r"fake-[0-9a-f-]{36}", "fake-UID", text)
        text = re.sub(r"address-[0-9a-f]{8}", "address-OF-UID", text)
        return f"{code}\n" + re.sub(r"--approve [0-9a-f]{12}", "--approve HASH", text)


def check(case, program, accept):
    got = Case(program, case).run()
    expected = case / "expected.txt"
    if accept:
        expected.write_text(got)
    want = expected.read_text() if expected.exists() else ""
    if got != want:
        print("# is\n# " + got.replace("\n", "\n# ") + "\n# want\n# " + want.replace("\n", "\n# "))
    return got == want


def main():
    program, accept = os.path.abspath(sys.argv[1]), "PARLEY_ACCEPT" in os.environ
    cases = sorted(path for path in HERE.iterdir() if path.is_dir())
    failed = 0
    for number, case in enumerate(cases, 1):
        good = check(case, program, accept)
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {case.name}", flush=True)
    said = "".join((case / "expected.txt").read_text() for case in cases if (case / "expected.txt").exists())
    wanted = {"every_kind_and_reason_occurs": KINDS + REASONS,
              "every_fault_and_note_that_plans_tell_occurs": [f"error[{code}]" for code in FAULTS] + NOTES}
    for number, (name, all_words) in enumerate(wanted.items(), len(cases) + 1):
        missing = [words for words in all_words if words not in said]
        failed += bool(missing)
        if missing:
            print(f"# no case shows {missing}")
        print(f"{'not ok' if missing else 'ok'} {number} - {name}")
    print(f"1..{len(cases) + len(wanted)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
