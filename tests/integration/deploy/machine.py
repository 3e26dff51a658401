"""A machine with systemd for the test of docs/deploy.md: machine.py FOLDER BUILD RESULTS, in new namespaces.

What it writes lies in memory above the files of the host, which it only reads; so it does the kernel's settings and
devices. Ends with the machine: whoever started it kills it once RESULTS is there.
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CANNOT = 77  # as its exit code
DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]
STEPS = """[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /srv/deploy/deploy.py /mnt/{name}
"""


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def mount(*words):
    run("mount", *words)


def mount_files(upper):
    root = upper / "root"
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", upper)
    for folder in (root, upper / "written", upper / "work"):
        folder.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={upper}/written,workdir={upper}/work", "overlay", root)
    return root


def mount_kernel(root):
    mount("-t", "proc", "proc", root / "proc")
    mount("--bind", "-o", "ro", root / "proc/sys", root / "proc/sys")
    mount("-o", "remount,bind,ro", root / "proc/sys")
    mount("-t", "sysfs", "-o", "ro", "sysfs", root / "sys")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "run")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    # The old control groups and the new ones are not to be had at the same time.
    if subprocess.run(["mount", "-t", "cgroup2", "cgroup2", root / "sys/fs/cgroup"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0 or not (root / "sys/fs/cgroup/cgroup.procs").exists():
        mount("-t", "tmpfs", "tmpfs", root / "sys/fs/cgroup")
        (root / "sys/fs/cgroup/systemd").mkdir()
        mount("-t", "cgroup", "-o", "none,name=systemd", "cgroup", root / "sys/fs/cgroup/systemd")


def install(root, build, results):
    run("meson", "install", "--no-rebuild", "--quiet", "-C", build, "--destdir", root)
    shutil.copytree(HERE, root / "srv/deploy")
    top = HERE.parents[2]
    for name in ("tests/lifecycle/mcp_client.py", "tests/lifecycle/mcp_server.py", "examples/catalog/acme.yaml"):
        shutil.copy(top / name, root / "srv/deploy")
    for wanted in (root / "etc/systemd/system").glob("*.wants/*"):
        wanted.unlink()
    (root / "etc/fstab").write_text("")
    (root / "etc/systemd/system/steps.service").write_text(STEPS.format(name=results.name))


def main():
    upper, build, results = map(pathlib.Path, sys.argv[1:])
    try:
        root = mount_files(upper)
        mount_kernel(root)
        mount("--bind", results.parent, root / "mnt")
    except subprocess.CalledProcessError as fault:
        print(f"no machine can be booted here: {fault}", flush=True)
        sys.exit(CANNOT)
    install(root, build, results)
    run("ip", "link", "set", "lo", "up")
    run("hostname", "box")
    os.chroot(root)
    os.chdir("/")
    os.execve("/lib/systemd/systemd", ["systemd", "--system", "--unit=steps.service", "--show-status=0"],
              {"container": "other", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})


if __name__ == "__main__":
    main()
