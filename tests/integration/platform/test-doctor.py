#!/usr/bin/env python3
"""What `parley twin doctor` finds out by having a twin made for a moment. Prints TAP."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import platformlab
import twinlab

# A /proc of which something is hidden, as in containers, may not be mounted anew further inside.
FURTHER_INSIDE = ["unshare", "-U", "-m", "--map-root-user"]
HIDE_PART_OF_PROC = [*FURTHER_INSIDE, "sh", "-c", 'mount --bind /dev/null /proc/version && exec "$@"',
                     "sh", *FURTHER_INSIDE]


def run(command, folder):
    environment = dict(os.environ, PARLEY_HOME=folder + "/home", HOME=folder, TMPDIR=folder)
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


def doctor(*wrapper):
    parley = pathlib.Path(twinlab.PROGRAM).parent / "parley"
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        return run([*wrapper, parley, "twin", "doctor"], folder)


def a_twin_that_can_stand_is_no_finding_and_nothing_stays_of_it():
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        done = run([twinlab.PROGRAM, "trial"], folder)
        assert done.returncode == 0 and json.loads(done.stdout) == {"findings": []}, done
        assert os.listdir(folder) == [], os.listdir(folder)
    done = doctor()
    assert done.returncode == 0 and done.stdout.endswith("is here.\n"), done


def an_older_kernel_is_named_with_the_one_it_takes():
    done = doctor("setarch", "--uname-2.6")
    assert done.returncode == 1, done
    assert "needs Linux 5.12, and this is Linux 2.6" in done.stdout, done.stdout


def what_the_kernel_refuses_is_told_with_what_to_do():
    done = run([*HIDE_PART_OF_PROC, "true"], "/tmp")
    if done.returncode != 0:
        return f"no user namespaces here: {done.stderr.strip()}"
    done = doctor(*HIDE_PART_OF_PROC)
    assert done.returncode == 1, done
    assert "No twin can stand on this machine: the twin cannot mount its own /proc" in done.stdout, \
        done.stdout
    assert "run parley outside of" in done.stdout, done.stdout
    return None


@twinlab.for_root
def a_capability_that_root_lacks_is_named():
    for name in "sys_admin", "net_admin":
        done = doctor("setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}")
        assert done.returncode == 1, done
        assert f"lacks the capability CAP_{name.upper()}" in done.stdout, done.stdout


platformlab.run([a_twin_that_can_stand_is_no_finding_and_nothing_stays_of_it,
                 an_older_kernel_is_named_with_the_one_it_takes,
                 what_the_kernel_refuses_is_told_with_what_to_do,
                 a_capability_that_root_lacks_is_named])
