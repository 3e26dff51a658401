#!/usr/bin/env python3
"""Secrets (promise 7): a canary from every source goes through plan, apply, failure, crash, resume
and all questions, and is looked for in everything that is left. The account of the fake is another
system, which has to know the texts: its folder alone is left out, and shows that the search finds."""
import base64
import ctypes
import json
import os
import resource
import shutil
import signal

from canaries import Watch, asked, check_left, check_processes
from lifecycle import Skip, has_sanitizer, main, test, wait_until

PR_CAPBSET_DROP = 24
CAP_IPC_LOCK = 14

CATALOG = """
types:
  acme:vault:safe:
    description: What keeps secrets.
    stage: security
    properties:
      combination: {kind: string, secret: true}
      papers: {kind: map, items: {kind: string, secret: allowed}}
      label: {kind: string}
    outputs:
      combination: {type: string, from: combination}
      id: {type: string}
    drivers: {fake: {fidelity: stand-in}}
    repeat: key
    seconds: {create: 1, update: 1, delete: 1}
"""

DOCUMENT = """
deployment:
  name: bank
  secrets:
    dial: { environment: SAFE_DIAL }
    deed: { file: deed.txt }
    ledger: { command: [cat, ledger.txt] }
    made: { generated: { length: 24 } }
  resources:
    - type: acme:vault:safe
      name: big
      properties:
        combination: "${secret.dial}"
        papers: { deed: "${secret.deed}", made: "${secret.made}", plain: to be seen }
    - type: acme:vault:safe
      name: small
      properties:
        combination: "${big.combination}-${secret.ledger}"
        papers:
          later: "${big.id} ${secret.dial}"
          basic: 'Basic ${base64encode(join(":", ["admin", secret.ledger]))}'
    - type: core:data:value
      name: note
      properties: { value: '${jsonencode({"deed": secret.deed, "of": small.id})}' }
  outputs:
    opener: "${big.combination}"
    notes: { all: ["${note.value}"] }
"""

CANARIES = {
    "dial": 'cnry+dial/7f3a"91&x',
    "deed": "cnry deed\nline 2: 58c1d0e7 \u00e4",
    "ledger": "cnry=ledger?b2e94417",
}


def given(place, **settings):
    text = "".join(f", {key}: {json.dumps(value)}" for key, value in settings.items())
    place.write("parley.yaml",
                f"site:\n  format: 1\n  instances:\n    acme.lab: {{driver: fake{text}}}\n")
    place.write("catalog/acme.yaml", CATALOG)
    place.write("bank.yaml", DOCUMENT)
    place.write("deed.txt", CANARIES["deed"] + "\n")
    place.write("ledger.txt", CANARIES["ledger"])
    place.env["SAFE_DIAL"] = CANARIES["dial"]


def texts_at(place, address):
    """What the account knows of a resource: its properties with their texts."""
    def plain(value):
        if isinstance(value, dict):
            return plain(value["$$text"]) if set(value) == {"$$text"} else \
                {key: plain(item) for key, item in value.items()}
        return value
    return next(plain(entry["spec"]) for entry in place.files().values()
                if entry["address"] == address)


@test
def every_source_reaches_the_system_and_a_canary_nothing_else(place):
    given(place)
    watch = Watch(CANARIES)
    plan = asked(place, watch, "plan", "bank.yaml", "-o", "bank.plan", "--json").json()
    assert set(plan["secrets"]) == {"dial", "deed", "ledger", "made"}, plan["secrets"]
    asked(place, watch, "apply", "bank.plan", "--yes", "--json")
    big, small = texts_at(place, "big"), texts_at(place, "small")
    made = big["papers"]["made"]
    ledger = CANARIES["ledger"]
    assert big["combination"] == CANARIES["dial"]
    assert big["papers"] == {"deed": CANARIES["deed"], "made": made, "plain": "to be seen"}
    assert len(made) == 24 and made.isalnum()
    assert small["combination"] == f"{CANARIES['dial']}-{ledger}"
    assert small["papers"]["later"].endswith(" " + CANARIES["dial"])
    assert small["papers"]["basic"] == "Basic " + base64.b64encode(f"admin:{ledger}".encode()).decode()
    watch = Watch(CANARIES | {"made": made})
    with open(os.path.join(place.path("home/fake/acme.lab"), os.listdir(
            place.path("home/fake/acme.lab"))[0]), "rb") as content:
        assert watch.find(content.read()), "the search finds nothing where there is something"
    assert "No changes" in asked(place, watch, "plan", "bank.yaml").out
    assert "(secret dial)" in asked(place, watch, "show", "bank").out
    for words in (("status", "bank"), ("status", "bank", "--json"), ("show", "bank", "--json"),
                  ("history", "bank"), ("output", "bank"), ("output", "bank", "--json"),
                  ("drift", "bank"), ("run", "list"), ("expand", "bank.yaml"),
                  ("validate", "bank.yaml"), ("graph", "bank.yaml"), ("state", "check"),
                  ("audit", "list", "--json"), ("audit", "verify"), ("state", "snapshot", "shot.parley")):
        asked(place, watch, *words)
    check_left(place, watch, "bank.plan", "shot.parley")
    asked(place, watch, "destroy", "bank", "--yes")
    assert not place.files()
    check_left(place, watch)
    assert watch.n_bytes > 100000


@test
def a_system_that_repeats_the_request_in_its_error_shows_none(place):
    given(place, fail=[{"verb": "create", "name": "big", "how": "echo"},
                       {"verb": "update", "name": "small", "how": "echo"}])
    watch = Watch(CANARIES)
    failed = asked(place, watch, "up", "bank.yaml", "--yes", want=1)
    assert "told to refuse" in failed.out + failed.err
    assert "(secret dial)" in failed.out + failed.err, failed.out + failed.err
    asked(place, watch, "resume", "bank", "--json")
    place.env["SAFE_DIAL"] = CANARIES["dial"] = 'cnry+dial/other"4c0b&y'
    watch = Watch(CANARIES)
    asked(place, watch, "up", "bank.yaml", "--yes", "--json", want=4)
    run = asked(place, watch, "run", "list", "--json").json()[0]["id"]
    assert "told to refuse" in asked(place, watch, "run", "show", run, "--json").out
    check_left(place, watch)


@test
def a_killed_run_shows_none_and_is_resumed_with_them(place):
    given(place, latency="1500ms")
    watch = Watch(CANARIES)
    place.env["PATH"] += ":/usr/bin"
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    door = place.start("up", "bank.yaml", "--yes", "--json")
    wait_until(place.run_processes, "the run has begun")
    pid = place.run_processes()[0]
    wait_until(lambda: place.files() or door.poll() is not None, "something was made")
    assert check_processes(place, watch) >= 2
    with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:
        core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core
    os.kill(pid, signal.SIGSEGV)
    out, err = door.communicate(timeout=60)
    watch.check("the door of a run that died", out + err)
    check_left(place, watch)
    dial = place.env.pop("SAFE_DIAL")
    assert "SAFE_DIAL" in asked(place, watch, "resume", "bank", want=1).err
    place.env["SAFE_DIAL"] = "another one"
    refused = asked(place, watch, "resume", "bank", want=1).err
    assert "the secret dial has changed since the plan was made" in refused, refused
    place.env["SAFE_DIAL"] = dial
    asked(place, watch, "resume", "bank", "--json")
    assert texts_at(place, "big")["combination"] == dial
    assert "No changes" in asked(place, watch, "up", "bank.yaml").out
    check_left(place, watch)


@test
def a_secret_that_changed_since_the_plan_is_refused_and_then_planned(place):
    given(place)
    place.parley("up", "bank.yaml", "--yes")
    place.write("deed.txt", "cnry another deed")
    changed = place.parley("plan", "bank.yaml", "-o", "bank.plan")
    assert "papers.deed: (secret deed) -> (secret deed), another text" in changed.out, changed.out
    assert "papers.made" not in changed.out and "combination" not in changed.out, changed.out
    before = place.files()
    place.write("deed.txt", "cnry a third deed")
    refused = place.parley("apply", "bank.plan", "--yes", want=1).err
    assert "the secret deed has changed since the plan was made" in refused, refused
    assert place.files() == before
    place.parley("up", "bank.yaml", "--yes")
    assert texts_at(place, "big")["papers"]["deed"] == "cnry a third deed"


@test
def drift_is_told_without_the_texts_and_put_back_with_them(place):
    given(place)
    place.parley("up", "bank.yaml", "--yes")
    name = next(uid for uid, entry in place.files().items() if entry["address"] == "big")
    path = f"home/fake/acme.lab/{name}.json"
    place.write(path, place.read(path).replace(json.dumps(CANARIES["dial"]), '"by hand"'))
    dial = place.env.pop("SAFE_DIAL")
    os.remove(place.path("deed.txt"))
    told = place.parley("drift", "bank", "--json", want=2).json()
    assert "by hand" not in json.dumps(told), told
    resources = told[0]["resources"]
    assert [entry["address"] for entry in resources] == ["big"], resources
    put_back = told[0]["put_back"]["plan"]
    place.env["SAFE_DIAL"] = dial
    place.write("deed.txt", CANARIES["deed"])
    place.parley("apply", put_back, "--yes")
    assert texts_at(place, "big")["combination"] == dial


@test
def what_was_generated_stays_until_its_deployment_is_destroyed(place):
    given(place)
    place.parley("plan", "bank.yaml")
    place.parley("up", "bank.yaml", "--yes")
    made = texts_at(place, "big")["papers"]["made"]
    place.write("bank.yaml", DOCUMENT.replace("length: 24", "length: 40"))
    place.parley("up", "bank.yaml", "--yes")
    assert len(texts_at(place, "big")["papers"]["made"]) == 40
    place.write("bank.yaml", DOCUMENT)
    place.parley("up", "bank.yaml", "--yes")
    assert texts_at(place, "big")["papers"]["made"] == made
    place.parley("destroy", "bank", "--yes")
    place.parley("up", "bank.yaml", "--yes")
    assert texts_at(place, "big")["papers"]["made"] != made


@test
def forgetting_all_keeps_what_was_generated_and_says_so_until_a_destroy(place):
    given(place)
    place.parley("up", "bank.yaml", "--yes")
    made = texts_at(place, "big")["papers"]["made"]
    part = place.parley("forget", "bank", "note", "--yes")
    assert "were generated" not in part.out, part.out
    told = place.parley("forget", "bank", "big", "small", "--yes").out
    assert "What is forgotten stays there with the secrets that were generated for bank" in told, told
    assert "parley destroy bank" in told and "parley secret reveal bank" in told, told
    # It may be needed again: what is there has it.
    assert place.parley("secret", "reveal", "bank", "made", "--yes-show-it").out.strip() == made
    plan = place.parley("plan", "bank.yaml", "--json").json()
    assert plan["secrets"]["made"]["digest"] == place.parley("secret", "list", "bank", "--json").json()[3]["digest"]
    # A destroy of what has no resources any more ends the deployment and its secrets.
    ended = place.parley("destroy", "bank", "--yes").out
    assert "No resources are left" in ended and "No changes" not in ended, ended
    refused = place.parley("secret", "reveal", "bank", "made", "--yes-show-it", want=1)
    assert "the store has no secret made" in refused.err, refused.err
    assert "destroyed already" in place.parley("destroy", "bank", "--yes", want=1).err


def without_locked_memory():
    """Before a program begins: it may lock no memory, also as root."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)


@test
def where_no_memory_may_be_locked_the_plan_says_so_and_all_works(place):
    if has_sanitizer():
        raise Skip("AddressSanitizer locks no memory and says that it did")
    given(place)
    assert "locked" not in place.parley("plan", "bank.yaml").out
    for words in (("plan", "bank.yaml"), ("up", "bank.yaml", "--yes")):
        process = place.start(*words, preexec_fn=without_locked_memory)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        assert "The texts of secrets may be swapped out to disk" in out + err, out + err
        Watch(CANARIES).check(" ".join(words), out + err)
    assert texts_at(place, "big")["combination"] == CANARIES["dial"]


@test
def without_its_key_or_source_nothing_is_planned_and_nothing_lost(place):
    given(place)
    place.parley("up", "bank.yaml", "--yes")
    os.remove(place.path("deed.txt"))
    place.env.pop("SAFE_DIAL")
    failed = place.parley("plan", "bank.yaml", want=1).err
    assert failed.count("error[secret-source]") == 2, failed
    assert "SAFE_DIAL" in failed and "deed.txt" in failed, failed
    given(place)
    shutil.move(place.path("home/secret.key"), place.path("kept.key"))
    place.write("home/secret.key", "0" * 64 + "\n")
    os.chmod(place.path("home/secret.key"), 0o600)
    failed = place.parley("plan", "bank.yaml", want=1).err
    assert "encrypted with another key" in failed, failed
    shutil.move(place.path("kept.key"), place.path("home/secret.key"))
    assert "No changes" in place.parley("plan", "bank.yaml").out


@test
def a_command_gets_no_secret_and_its_output_is_in_no_error(place):
    given(place)
    place.write("tell.sh", "#!/bin/sh\necho cnry-told; echo cnry-complained >&2; "
                           "tr '\\0' '\\n' < /proc/self/environ > environ.txt; exit 3\n")
    os.chmod(place.path("tell.sh"), 0o700)
    place.write("bank.yaml", DOCUMENT.replace("[cat, ledger.txt]", "[./tell.sh]"))
    failed = place.parley("plan", "bank.yaml", want=1)
    assert "exit 3" in failed.err and "cnry-" not in failed.out + failed.err, failed.err
    kept = place.read("environ.txt")
    # The order is that of the names: dial, which the environment gave, was wiped before.
    assert "SAFE_DIAL" not in kept, kept


@test
def a_secret_of_another_deployment_is_not_read(place):
    given(place)
    place.parley("up", "bank.yaml", "--yes")
    place.write("thief.yaml", 'deployment:\n  name: thief\n  resources:\n'
                              '    - type: core:data:value\n      name: copy\n'
                              '      properties: { value: "${deployment:bank/big.combination}" }\n')
    failed = place.parley("plan", "thief.yaml", want=1).err
    assert "is a secret there" in failed, failed


if __name__ == "__main__":
    main()
