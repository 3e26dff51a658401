#!/usr/bin/env python3
"""What `parley twin doctor` finds out by having a twin made for a moment. Prints TAP."""

import glob
import json
import os
import pathlib
import platform
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

# The kinds of namespaces that a twin consists of: the flag of clone(), and the setting that says how many there may be.
KINDS = {"user": (0x10000000, "user"), "mount": (0x20000, "mnt"), "network": (0x40000000, "net"),
         "process": (0x20000000, "pid"), "IPC": (0x08000000, "ipc"), "host name": (0x04000000, "uts")}
NOT_NEEDED = 0x02000000  # a namespace of control groups
# An ordinary user may not be able to read where it lies.
FORBID = pathlib.Path(__file__).with_name("forbid.py").read_text()


def forbid(flags):
    return [twinlab.PYTHON, "-c", FORBID, hex(flags)]


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


def own_kinds():
    """Root's twin needs no user namespace."""
    return {name: kind for name, kind in KINDS.items() if name != "user" or os.geteuid() != 0}


def a_kind_of_namespaces_that_a_filter_forbids_is_named():
    done = doctor(*forbid(NOT_NEEDED))
    if done.returncode == 99 or platform.machine() not in ("x86_64", "aarch64"):
        return "no filter of system calls can be set here"
    assert done.returncode == 0, ("the filter alone is in the way", done)
    for name, (flag, _) in own_kinds().items():
        done = doctor(*forbid(flag))
        said = f"No twin can stand on this machine: the twin cannot make {'an' if name == 'IPC' else 'a'} {name} namespace: "
        assert done.returncode == 1 and said + "Operation not permitted. " in done.stdout, (name, done)
        assert "run parley outside of" in done.stdout, (name, done)
    return None


def a_kind_of_namespaces_that_a_setting_forbids_is_named_with_it():
    """In a user namespace of its own, whose settings are nobody else's."""
    own = "unshare --user --map-root-user".split()
    for name, (_, setting) in KINDS.items():
        setting = f"max_{setting}_namespaces"
        none = [*own, "sh", "-c", f'echo 0 > /proc/sys/user/{setting} || exit 99; exec "$@"', "sh"]
        if run([*none, "true"], "/tmp").returncode != 0:
            return "no user namespace here in which others can be forbidden"
        if name == "user":
            continue  # nothing that root needs
        done = doctor(*none)
        assert done.returncode == 1, (name, done)
        assert f"this machine gives none: /proc/sys/user/{setting} is 0." in done.stdout, (name, done)
        assert f"sysctl -w user.{setting}=10000" in done.stdout, (name, done)
        # Further inside it cannot be seen, only met.
        done = doctor(*none, *own)
        assert done.returncode == 1, (name, done)
        assert f"{name} namespace: this machine gives no more of them (the settings user.max_*" in done.stdout, (name, done)
    return None


@twinlab.for_users
def a_restriction_of_apparmor_is_named_and_refuses_no_plan():
    """A profile may allow what the setting forbids: whether a twin can stand here, only a trial tells."""
    setting = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    restricted = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c",
                  f"mount -t tmpfs none /proc/sys/kernel && echo 1 > {setting} || exit 99; "
                  'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"', "sh"]
    if run([*restricted, "true"], "/tmp").returncode != 0:
        return "no user namespace here in which a setting can be shown"
    # What hides a part of /proc keeps a twin from its own, as AppArmor keeps it from mounting anything.
    done = doctor(*restricted)
    assert done.returncode == 1 and "the twin cannot mount its own /proc" in done.stdout, done
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in done.stdout and '"userns,"' in done.stdout, done
    parley = pathlib.Path(twinlab.PROGRAM).parent / "parley"
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        document = pathlib.Path(folder, "net.yaml")
        document.write_text("deployment:\n  name: net\n  resources:\n    - type: opnsense:network:vlan\n"
                            "      name: net\n      properties: { tag: 3, subnet: 10.3.0.0/24 }\n")
        done = run([*restricted, parley, "--json", "plan", document], folder)
        notes = json.dumps(json.loads(done.stdout)["notes"])
        assert f"none to an ordinary user but by a profile of AppArmor: {setting} is 1" in notes, done
    return None


# As a container shows a machine: some of /proc hidden, the rest of what could change the kernel read-only, a file by
# which it is known. What comes after the last line is run in it.
IN_CONTAINER = """
mount -t tmpfs none /run && touch /run/.containerenv || exit 99
"""
HIDING = IN_CONTAINER + """
for file in kcore keys timer_list; do [ ! -e /proc/$file ] || mount --bind /dev/null /proc/$file || exit 99; done
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 99
for folder in /sys $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,ro $folder || exit 99; done
"""
# What Docker leaves to root, and the namespaces that its filter refuses to whoever has no more than that.
LEFT = ("chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,"
        "+mknod,+audit_write,+setfcap")
ALL_KINDS = NOT_NEEDED | sum(flag for flag, _ in KINDS.values())


def container(script):
    if os.geteuid() == 0:
        return ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c",
            script + 'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"', "sh"]


def cannot_contain(script):
    done = run([*container(script), "true"], "/tmp")
    return f"what a container hides cannot be hidden here: {done.stderr.strip()}" if done.returncode != 0 else None


def a_container_as_docker_starts_it_is_told_with_the_options_that_it_takes():
    if cannot_contain(HIDING) or platform.machine() not in ("x86_64", "aarch64"):
        return cannot_contain(HIDING) or "no filter of system calls can be set here"
    few = ["setpriv", f"--bounding-set=-all,+{LEFT}", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = doctor(*container(HIDING), *few, *forbid(ALL_KINDS))
    assert done.returncode == 1, done
    if os.geteuid() == 0:
        assert "it lacks the capability CAP_SYS_ADMIN" in done.stdout, done.stdout
        assert "--cap-add SYS_ADMIN --cap-add NET_ADMIN" in done.stdout, done.stdout
        return None
    said = "No twin can stand on this machine: the twin cannot make a user namespace: Operation not permitted. "
    options = "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    assert said in done.stdout and options in done.stdout, done.stdout
    # With one of them it is the other one's turn, and with both there is nothing in the way.
    done = doctor(*container(HIDING))
    assert done.returncode == 1 and "the twin cannot mount its own /proc" in done.stdout, done
    assert options in done.stdout, done.stdout
    done = doctor(*container(IN_CONTAINER))
    assert done.returncode == 0, done
    return None


@twinlab.for_root
def a_container_with_these_options_costs_root_the_limits_and_nothing_else():
    if cannot_contain(HIDING) or not twinlab.has_groups():
        return cannot_contain(HIDING) or "this machine has no control groups"
    done = doctor(*container(HIDING))
    assert done.returncode == 0, done
    said = "A service with limits cannot start: cannot limit cpu of hosts-0 by control groups: Read-only file system."
    assert said in done.stdout and "Leave the limits out" in done.stdout, done.stdout
    assert "A service with limits" not in doctor().stdout
    left = twinlab.wait_until(lambda: not glob.glob("/sys/fs/cgroup/**/parley/parley-trial-*", recursive=True))
    assert left, "groups of a trial have stayed"
    return None


def namespaces_that_run_out_are_told():
    """Two networks and a host, and there may be two network namespaces."""
    own = "unshare --user --map-root-user".split()
    few = [*own, "sh", "-c", 'echo 2 > /proc/sys/user/max_net_namespaces || exit 99; exec "$@"', "sh"]
    if run([*few, "true"], "/tmp").returncode != 0:
        return "no user namespace here in which others can be forbidden"
    done = doctor(*few)
    assert done.returncode == 1, done
    assert "cannot make a network namespace: this machine gives no more of them" in done.stdout, done
    return None


platformlab.run([a_twin_that_can_stand_is_no_finding_and_nothing_stays_of_it,
                 an_older_kernel_is_named_with_the_one_it_takes,
                 what_the_kernel_refuses_is_told_with_what_to_do,
                 a_capability_that_root_lacks_is_named,
                 a_kind_of_namespaces_that_a_filter_forbids_is_named,
                 a_kind_of_namespaces_that_a_setting_forbids_is_named_with_it,
                 a_restriction_of_apparmor_is_named_and_refuses_no_plan,
                 a_container_as_docker_starts_it_is_told_with_the_options_that_it_takes,
                 a_container_with_these_options_costs_root_the_limits_and_nothing_else,
                 namespaces_that_run_out_are_told])
