#!/usr/bin/env python3
"""Volumes of stacks and memory of services: who finds them, how long they last, and no way out of them. TAP."""

import os
import pathlib
import sys

sys.dont_write_bytecode = True
import twinlab
from twinlab import Twin, wait_until

PATIENCE = 30


def service(volumes=(), hosts="s", port=80, test="true", **more):
    """A service whose health check is what it does with its volumes."""
    return {"image": "shop", "hosts": hosts, "port": port, "volumes": list(volumes),
            "healthcheck": {"test": [test], "interval": "100ms", "retries": 1}, **more}


def put_stack(twin, volumes=("data",), **services):
    return twin.put("docker:compose:stack", "stack",
                    {"services": services, "volumes": {name: {} for name in volumes}},
                    {f"services.{name}.hosts": s["hosts"] for name, s in services.items()})


def made(*arguments, **keywords):
    answer = put_stack(*arguments, **keywords)
    assert answer["ok"], answer


def begin(count=1):
    twin = Twin()
    twin.start()
    twin.vlan("shop", "10.210.0.0/24")
    twin.instances("s", "shop", count)
    return twin


def status(twin):
    return twin.get("uid-stack")["status"]


def volume(twin, name="data"):
    return pathlib.Path(status(twin)["volumes"][name]["folder"])


def log(twin, name="s-0.shop.health"):
    path = twin.state / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def a_volume_is_found_by_all_instances_of_a_service_and_by_nobody_else():
    with begin(2) as twin:
        twin.instances("t", "shop", 1)
        made(twin, shop=service(["data:/data"], test="echo $PPID > /data/$(hostname).$$; ls /data"),
             other=service([], hosts="t", test="ls /data/$(hostname)* || true"))
        assert wait_until(lambda: len(list(volume(twin).iterdir())) >= 2, PATIENCE)
        user = twinlab.ORDINARY_USER if os.geteuid() == 0 else os.geteuid()
        assert all(path.stat().st_uid == user for path in volume(twin).iterdir())
        assert "No such file" in log(twin, "t-0.other.health"), log(twin, "t-0.other.health")
        # Not even another program of the same host.
        assert not twin.run("s-0", "sh", "-c", "ls /data").stdout.strip()


def what_is_in_a_volume_outlasts_restarts_changes_and_the_twin_and_goes_with_the_stack():
    with begin() as twin:
        made(twin, shop=service(["data:/var/lib/shop/data"], test="test -e /var/lib/shop/data/kept || echo 1 > /var/lib/shop/data/kept"))
        kept = volume(twin) / "kept"
        first = kept.stat().st_mtime_ns
        twin.run("s-0", "sh", "-c", "kill -9 $(grep -l '[w]orkload' /proc/[0-9]*/cmdline | cut -d/ -f3)")
        assert wait_until(lambda: status(twin)["state"] == "ready", PATIENCE), status(twin)
        made(twin, shop=service(["data:/elsewhere"], test="test -e /elsewhere/kept"))
        twin.stop()
        twin.start()
        assert wait_until(lambda: status(twin)["state"] == "ready", PATIENCE), status(twin)
        # A service that has it no more does not take it along, nor does a stack that names it no more.
        made(twin, volumes=(), shop=service())
        assert status(twin)["volumes"]["data"]["used"] is False
        assert kept.stat().st_mtime_ns == first
        made(twin, shop=service(["data:/data"], test="test -e /data/kept"))
        assert status(twin)["volumes"]["data"]["used"] is True
        assert twin.ask("delete", uid="uid-stack")["ok"]
        assert not kept.exists() and not kept.parent.exists() and not kept.parent.parent.exists()
        # The next one of that name begins with nothing.
        made(twin, shop=service(["data:/data"], test="test ! -e /data/kept"))


def volumes_of_two_stacks_with_one_name_are_two():
    with begin() as twin:
        made(twin, shop=service(["data:/data"], test="echo shop > /data/whose"))
        answer = twin.put("docker:compose:stack", "second", {
            "services": {"bar": service(["data:/data"], port=81, test="test ! -e /data/whose")}, "volumes": {"data": {}}},
            {"services.bar.hosts": "s"})
        assert answer["ok"], answer
        assert (volume(twin) / "whose").read_text() == "shop\n"


def read_only_is_read_only():
    with begin() as twin:
        made(twin, shop=service(["data:/data"], test="echo 1 > /data/x"),
             reader=service(["data:/data:ro"], port=81, test="test -e /data/x && ! (echo 2 > /data/y) && ! mount -o remount,rw /data",
                            depends_on={"shop": {"condition": "service_healthy"}}))
        assert sorted(path.name for path in volume(twin).iterdir()) == ["x"]


def memory_is_empty_at_each_start_and_holds_what_it_says():
    with begin() as twin:
        test = ("test -e /scratch/began || { echo 1 > /scratch/began; dd if=/dev/zero of=/scratch/full bs=64k count=32 && exit 1; "
                "test $(stat -c %s /scratch/full) -le 1048576; }")
        made(twin, shop=service(tmpfs=["/scratch:size=1m"], test=f"{test}; df -k /scratch | tail -1"))
        assert " 1024 " in log(twin), log(twin)
        assert not (twin.state / "volumes").exists()


def a_volume_is_found_in_folders_of_the_system_too_which_stay_as_they_are():
    with begin() as twin:
        before = sorted(os.listdir("/usr/share")), sorted(os.listdir("/etc"))
        known = min(map(str, pathlib.Path("/usr/share").iterdir()))
        test = (f"test -e {known} && echo 1 > /usr/share/parley-test/html/x && ! mkdir /usr/share/y && "
                "test -e /etc/passwd && echo 1 > /etc/parley-test/x && ! touch /etc/y")
        made(twin, shop=service(["data:/usr/share/parley-test/html", "conf:/etc/parley-test"], test=test),
             volumes=("data", "conf"))
        assert (volume(twin) / "x").exists() and (volume(twin, "conf") / "x").exists()
        assert (sorted(os.listdir("/usr/share")), sorted(os.listdir("/etc"))) == before


WAYS_OUT = r"""
import errno, os
def tried(act):
    try:
        act()
        return True
    except OSError:
        return False
found = {}
os.chdir("/data")
for name, target in ("up", ".."), ("far", "../../../../.."), ("state", "/run/twin/state"), ("machine", "/proc/1/root"):
    if not os.path.lexists(name):
        os.symlink(target, name)
found["up leads to the root"] = os.stat("/data/..").st_ino == os.stat("/").st_ino
found["state"] = os.path.exists("state/manifest.json") or os.path.exists("far/run/twin/state")
found["others"] = os.path.exists("/data/../uid-second") or os.path.exists("/data/../../manifest.json")
found["secret"] = any(os.path.exists(f"{way}/SECRET") for way in ("up", "far", "machine"))
found["move it away"] = tried(lambda: os.rename("/data", "/data2"))
found["device"] = tried(lambda: os.mknod("/data/dev", 0o666 | 0o020000, os.makedev(1, 1)))
print(" ".join(sorted(way for way in found if found[way])))
"""


def nothing_that_is_done_in_a_volume_leads_out_of_it():
    with begin() as twin:
        secret = twin.folder / "secret"
        secret.write_text("mine")
        script = WAYS_OUT.replace("SECRET", str(secret).lstrip("/"))
        made(twin, shop=service(["data:/data"], test="true"))
        check = {"test": ["CMD", twinlab.PYTHON, "-c", script], "interval": "100ms", "retries": 1}
        made(twin, shop=service(["data:/data"]) | {"healthcheck": check})
        assert "up leads to the root" in log(twin) and log(twin).splitlines()[-1].endswith(" up leads to the root"), log(twin)
        # Links that a program left behind are not followed by who shows the volume, or removes it.
        for target in ("/data/up/etc", "/data/far"):
            answer = put_stack(twin, shop=service(["data:/data", f"more:{target}"]), volumes=("data", "more"))
            assert not answer["ok"] and "one in the other" in answer["error"]["message"], answer
        assert twin.ask("delete", uid="uid-stack")["ok"]
        assert secret.read_text() == "mine" and (twin.state / "manifest.json").exists()
        assert not (twin.state / "volumes" / "uid-stack").exists()


def a_link_on_the_way_to_a_target_is_not_followed():
    with begin() as twin:
        twin.run("s-0", "ln", "-s", "/etc", "/tmp/way")
        answer = put_stack(twin, shop=service(["data:/tmp/way/sub"]))
        assert not answer["ok"] and "symbolic links" in answer["error"]["message"], answer
        assert not os.path.exists("/etc/sub")


def volumes_that_are_none_are_refused():
    with begin() as twin:
        for wrong, words in (
                (["data"], "is not NAME:PATH"), (["data:data"], "is no path"), (["data:/"], "is no path"),
                (["data:/a/../b"], "is no path"), (["data:/a/./b"], "is no path"), (["data:/a//b"], "is no path"),
                (["data:/a/"], "is no path"), (["data:/proc"], "nothing can be mounted"),
                (["data:/dev/x"], "nothing can be mounted"), (["data:/sys"], "nothing can be mounted"),
                (["data:/run/twin/state"], "nothing can be mounted"), (["data:/x:rx"], "neither ro nor rw"),
                (["../data:/x"], "has no name"), (["/etc:/x"], "is no copy"), (["/etc:/x:ro"], "is no copy"), (["..:/x"], "has no name"),
                (["other:/x"], "not among the volumes"), (["data:/x", "data:/x/y"], "one in the other"),
                (["data:/x\n/y"], "is no path")):
            answer = put_stack(twin, shop=service(wrong))
            assert not answer["ok"] and words in answer["error"]["message"], (wrong, answer)
        # The socket names no folder that was not copied, and no copy that is not of this stack.
        for digest in ("../../../etc", "0" * 63 + "/", "0" * 64):
            answer = twin.put("docker:compose:stack", "stack",
                              {"services": {"shop": service(["/x:/y:ro"])}, "files": {"/x": digest}},
                              {"services.shop.hosts": "s"})
            words = "is not there" if digest == "0" * 64 else "is no copy"
            assert not answer["ok"] and words in answer["error"]["message"], (digest, answer)
        for wrong in ("x", "/x:size=much", "/x:size=0", "/x:mode=7", "/x:size=99999999g"):
            answer = put_stack(twin, shop=service(tmpfs=[wrong]))
            assert not answer["ok"], (wrong, answer)
        assert not (twin.state / "volumes").exists()


twinlab.run([a_volume_is_found_by_all_instances_of_a_service_and_by_nobody_else,
             what_is_in_a_volume_outlasts_restarts_changes_and_the_twin_and_goes_with_the_stack,
             volumes_of_two_stacks_with_one_name_are_two, read_only_is_read_only,
             memory_is_empty_at_each_start_and_holds_what_it_says,
             a_volume_is_found_in_folders_of_the_system_too_which_stay_as_they_are,
             nothing_that_is_done_in_a_volume_leads_out_of_it, a_link_on_the_way_to_a_target_is_not_followed,
             volumes_that_are_none_are_refused])
