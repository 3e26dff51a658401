#!/usr/bin/env python3
"""Whether test-apart would notice: cages with one guard less, or as many as one attempt has against it. TAP.

The program is parley-twin-open (twin/guards.h), which leaves out what PARLEY_TWIN_WITHOUT names.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
import apartlab
import twinlab
from twinlab import Twin, for_root, for_users

TESTS = []
NOTICED = set()
CALLS = ["ptrace", "process_vm_readv", "unshare user", "clone user", "bpf", "keyctl", "userfaultfd",
         "perf_event_open", "io_uring_setup", "kexec_load", "socket to the hypervisor"]
# Where there is no filter, there is still the lack of rights.
CALLS_WITH_RIGHTS = ["ptrace of the first", "unshare mount", "mount", "umount", "pivot_root", "chroot", "setns",
                     "sethostname", "reboot"]
PLACES = ["/home", "/root", "/srv", "/mnt", "/boot"]
# The machine's own folders lie below something else then: what is written there is no harm.
COVER = """
mount -t tmpfs none /dev/shm || exit 99
for folder in /usr /etc /opt; do
    mkdir -p "/dev/shm/cover$folder/upper" "/dev/shm/cover$folder/work"
    mount -t overlay -o "lowerdir=$folder,upperdir=/dev/shm/cover$folder/upper,workdir=/dev/shm/cover$folder/work" \
        none "$folder" || exit 99
done
exec "$@"
"""


def test(function):
    TESTS.append(function)
    return function


def cover():
    """What a supervisor is started by, so that cages which are open to the machine's files do it no harm."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", COVER, "sh"] if os.geteuid() == 0 else []


def faults_without(guards, *attempts, build=apartlab.build):
    os.environ["PARLEY_TWIN_WITHOUT"] = f",{guards},"
    try:
        with Twin() as twin:
            build(twin, wrapper=cover())
            return {way: what for attempt in attempts for way, what in attempt(twin).items()}
    finally:
        del os.environ["PARLEY_TWIN_WITHOUT"]


def noticed(guards, ways, *attempts, build=apartlab.build):
    """That these ways out are noticed where these guards are missing."""
    found = faults_without(guards, *attempts, build=build)
    missed = [way for way in ways if way not in found]
    assert not missed, f"without {guards} nobody noticed {missed}, but {sorted(found)}"
    NOTICED.update(ways)
    print(f"# without {guards}: {', '.join(ways)}")


@test
def with_all_guards_there_is_no_way_out():
    assert faults_without("", apartlab.faults_of_rights, apartlab.faults_of_sight, apartlab.faults_of_calls,
                          apartlab.faults_of_files, apartlab.faults_of_owners, apartlab.faults_of_networks,
                          apartlab.faults_of_mounts, apartlab.faults_of_signals) == {}


@test
def a_missing_filter_is_noticed():
    noticed("SEAL", ["no filter"] + [f"call {name}" for name in CALLS],
            apartlab.faults_of_rights, apartlab.faults_of_calls)


@test
def missing_rights_of_programs_to_gain_none_are_noticed():
    noticed("SEAL,NO_NEW_PRIVILEGES", ["new privileges"], apartlab.faults_of_rights)


@test
def rights_that_are_kept_are_noticed():
    guards = "SEAL,RIGHTS" if os.geteuid() else "SEAL,RIGHTS,USER"
    ways = ["capabilities"] + ([] if os.geteuid() else ["is root", "call memory of the first"])
    noticed(guards, ways + [f"call {name}" for name in CALLS_WITH_RIGHTS],
            apartlab.faults_of_rights, apartlab.faults_of_calls)


@test
@for_users  # for root, it is another user's, too
def a_first_process_that_lets_others_look_is_noticed():
    noticed("FIRST_PROCESS", ["call memory of the first"], apartlab.faults_of_calls)


@test
def processes_that_are_not_apart_are_noticed():
    noticed("PROCESSES", ["shares pid", "sees others", "a balancer sees others", "kills others"],
            apartlab.faults_of_rights, apartlab.faults_of_sight, apartlab.faults_of_signals)


@test
def shared_memory_that_is_not_apart_is_noticed():
    noticed("MEMORY", ["shares ipc"], apartlab.faults_of_rights)


@test
def networks_that_are_not_apart_are_noticed():
    # Of hosts that run nothing: what serves at its host's address would not even start.
    noticed("NETWORK", ["not its host's network", "a neighbour's socket"], apartlab.faults_of_networks,
            build=apartlab.build_hosts)


@test
def mounts_that_are_not_apart_are_noticed():
    # Of hosts that run nothing, too: what a program was given may lie below what another cage mounted since.
    noticed("MOUNTS", ["another's /proc", "another's /tmp"], apartlab.faults_of_mounts,
            build=apartlab.build_hosts)


@test
def an_environment_that_is_handed_on_is_noticed():
    noticed("ENVIRONMENT", ["environment"], apartlab.faults_of_rights)


@test
def the_machines_files_are_noticed():
    # Without root, one's own files are what counts.
    own = [] if os.geteuid() == 0 else ["sees the secret", "sees the socket", "sees the state"]
    noticed("VIEW,TEMPORARY", [f"sees {path}" for path in PLACES if os.path.exists(path)] +
            own + ["the /tmp of others", "a /tmp of others"], apartlab.faults_of_files)


@test
def the_twins_files_are_noticed():
    noticed("OWN_FILES", ["the twin's folder", "sees /run/twin/state", "files of another balancer"],
            apartlab.faults_of_files)


@test
@for_users
def what_is_not_read_only_is_noticed():
    noticed("READ_ONLY", [f"writes {path}" for path in ("/x", "/run/x", "/run/twin/x", "/dev/x", "/var/lib/x")] +
            ["the owner writes /x", "the owner writes /run/twin/x"], apartlab.faults_of_files, apartlab.faults_of_owners)


@test
@for_root
def what_is_not_read_only_is_noticed_by_root():
    noticed("READ_ONLY,USER,RIGHTS",
            [f"writes {path}" for path in ("/x", "/usr/x", "/etc/x", "/run/x", "/run/twin/x", "/usr/bin/x", "/opt/x",
                                           "/dev/x", "/var/lib/x")] +
            [f"the owner writes {path}" for path in ("/usr/x", "/etc/x", "/x", "/run/twin/x")],
            apartlab.faults_of_files, apartlab.faults_of_owners)


@test
@for_root  # nobody else has control groups
def processes_without_end_are_noticed():
    if not twinlab.has_groups():
        return "this machine has no control groups"
    with_limits = faults_without("", apartlab.faults_of_numbers)
    assert with_limits == {}, with_limits
    noticed("LIMITS", ["makes processes without end"], apartlab.faults_of_numbers)


@test
def every_forbidden_call_was_noticed_once():
    missed = [f"call {name}" for name in apartlab.forbidden_calls() if f"call {name}" not in NOTICED]
    assert not missed, missed


apartlab.need_haproxy()
if cover() and subprocess.run([*cover(), "true"], capture_output=True).returncode != 0:
    twinlab.skip_all("no overlay of folders can be mounted here, and nothing else keeps this machine's from harm")
twinlab.run(TESTS)
