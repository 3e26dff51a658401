#!/usr/bin/env python3
"""What a machine can lack or have taken: each is said with what to do, and nothing is broken. TAP."""

import os
import pathlib
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import stormlab
from stormlab import platformlab, twinlab
from platformlab import EXAMPLES, Platform

UNSHARE = "/usr/bin/unshare"
HIDE = 'for program in $HIDDEN; do mount --bind /dev/null "$program" || exit 99; done; exec "$@"'
FORBID = 'echo 0 > /proc/sys/user/max_user_namespaces || exit 99; exec "$@"'
NO_NETWORKS = (pathlib.Path(__file__).resolve().parent.parent / "platform" / "forbid.py").read_text()
PROGRAMS = {"haproxy": "/usr/sbin/haproxy", "postgresql": "/usr/lib/postgresql/15/bin/initdb"}


def example(name):
    return (EXAMPLES / f"{name}.yaml").read_text()


def as_before():
    """Leads back to the own user from a user namespace in which one had to be root."""
    return [UNSHARE, "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]


def without(programs, command):
    """The command where these programs cannot be executed, and nothing else is different."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    rest = command if os.geteuid() == 0 else as_before() + command
    return ["/usr/bin/env", "HIDDEN=" + " ".join(programs), UNSHARE, *own, "--mount",
            "/bin/sh", "-c", HIDE, "sh", *rest]


def run(platform, command):
    return subprocess.run(command, cwd=platform.folder, env=platform.environment(), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


def up(platform):
    return [platform.program(), "up", str(platform.document), "--yes"]


def says_which_package(package, name):
    if not os.path.exists(PROGRAMS[package]):
        return f"{PROGRAMS[package]} is not there"
    with Platform(example(name)) as platform:
        probe = run(platform, without([PROGRAMS[package]], ["/bin/true"]))
        if probe.returncode != 0:
            return f"no private mounts here: {probe.stderr.strip()}"
        done = run(platform, without([PROGRAMS[package]], up(platform)))
        said = done.stdout + done.stderr
        assert done.returncode in (1, 4), (done.returncode, said)
        assert f"apt-get install {package}" in said, said
        platform.parley("twin", "down", code=None)
        platform.up()
        assert platform.steps() == [], "with the package it is not as wanted"
    return None


def without_haproxy_it_says_which_package():
    return says_which_package("haproxy", "shophub")


def without_postgres_it_says_which_package():
    return says_which_package("postgresql", "shophub")


def holds(holder, port):
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    holder.listen()
    return True


def a_port_that_is_taken_is_left_to_who_has_it():
    with Platform(example("shophub")) as platform, socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Who else has it may give it back at any time, so that it would not be taken any more.
        if not twinlab.wait_until(lambda: holds(holder, 8443), 120):
            return "somebody else has port 8443 all the time"
        line = re.search(r"curl .*--resolve \S+:(\d+):127\.0\.0\.1 \S+", platform.up())
        assert line and line.group(1) != "8443", line
        done = subprocess.run(line.group(0).split() + ["-sf", "--max-time", "5"], capture_output=True)
        assert done.returncode == 0, (line.group(0), done)


def another_twin_on_the_same_home_is_refused_and_the_first_goes_on():
    with Platform(example("brochure")) as platform:
        platform.up()
        done = run(platform, [twinlab.PROGRAM, "supervise", "--state", str(platform.home / "twin"),
                              "--socket", str(platform.folder / "other")])
        assert done.returncode == 1 and "another supervisor runs the twin of" in done.stderr, done
        assert platform.steps() == []


def a_twin_that_somebody_else_runs_in_the_home_is_named():
    with Platform(example("brochure")) as platform:
        with twinlab.Twin() as other:
            other.state = platform.home / "twin"
            platform.home.mkdir(mode=0o700)
            other.start()
            # Without anybody it would end, since it holds nothing.
            with other.connect():
                done = run(platform, up(platform))
            assert done.returncode in (1, 4), done
            assert "another supervisor runs the twin of" in done.stdout + done.stderr, done
        platform.up()
        assert platform.steps() == []


@twinlab.for_users
def without_user_namespaces_it_says_what_to_do():
    with Platform(example("brochure")) as platform:
        forbid = as_before() + ["--keep-caps", "/bin/sh", "-c", FORBID, "sh"]
        if run(platform, forbid + ["/bin/true"]).returncode != 0:
            return "user namespaces cannot be forbidden here"
        done = run(platform, forbid + up(platform))
        said = done.stdout + done.stderr
        assert done.returncode in (1, 4), (done.returncode, said)
        assert "sysctl -w user.max_user_namespaces=10000" in said and "as root" in said, said
        assert not list((platform.home / "twin").glob("sock")), "a socket is left"
    return None


def without_network_namespaces_it_says_so_and_leaves_nothing():
    with Platform(example("brochure")) as platform:
        done = run(platform, [twinlab.PYTHON, "-c", NO_NETWORKS, "0x40000000", *up(platform)])
        if done.returncode == 99:
            return "no filter of system calls can be set here"
        said = done.stdout + done.stderr
        assert done.returncode in (1, 4), (done.returncode, said)
        assert "cannot make a network namespace: Operation not permitted" in said, said
        assert not list((platform.home / "twin").glob("sock")), "a socket is left"
        assert platform.records() == [], platform.records()
        platform.up()
        assert platform.steps() == []
    return None


platformlab.run([without_haproxy_it_says_which_package, without_postgres_it_says_which_package,
                 a_port_that_is_taken_is_left_to_who_has_it,
                 another_twin_on_the_same_home_is_refused_and_the_first_goes_on,
                 a_twin_that_somebody_else_runs_in_the_home_is_named,
                 without_user_namespaces_it_says_what_to_do,
                 without_network_namespaces_it_says_so_and_leaves_nothing])
