"""Other people's programs: installed once, in exact versions, in a folder of the user's cache. Where
that cannot be done a test is skipped, with the reason."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
NPM_SECONDS, PIP_SECONDS, RETRY_SECONDS = 240, 120, 600


class Skip(Exception):
    """What this machine cannot do."""


def cache_folder():
    digest = hashlib.sha256()
    for name in ("package.json", "requirements.txt"):
        digest.update((HERE / name).read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/tmp"), ".cache")
    return pathlib.Path(base) / "parley-interop" / digest.hexdigest()[:16]


def run_installer(words, seconds, folder):
    """Skips when it does not succeed in time; whatever it started ends with it."""
    with open(folder / "install.log", "ab") as log:
        process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            raise Skip(f"{words[0]} did not end within {seconds} s: is its registry reachable?") from None
    if status:
        raise Skip(f"{os.path.basename(words[0])} could not install: is its registry reachable?")


def install(folder):
    for name in ("package.json", "requirements.txt"):
        shutil.copy(HERE / name, folder)
    run_installer(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1",
                   "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000", "--fetch-timeout=20000"],
                  NPM_SECONDS, folder)
    run_installer([sys.executable, "-m", "venv", "python"], PIP_SECONDS, folder)
    run_installer([str(folder / "python/bin/python"), "-m", "pip", "install", "-q", "--retries", "1", "--timeout",
                   "15", "--disable-pip-version-check", "-r", "requirements.txt"], PIP_SECONDS, folder)


def prepare():
    """The folder in which all of them are. Tests that run at the same time wait for the first."""
    folder = cache_folder()
    if not shutil.which("npm"):
        raise Skip("there is no npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        failed, part = pathlib.Path(f"{folder}.failed"), pathlib.Path(f"{folder}.part")
        if failed.exists() and time.time() - failed.stat().st_mtime < RETRY_SECONDS:
            raise Skip(failed.read_text(encoding="utf-8"))
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            install(part)
        except Skip as reason:
            failed.write_text(str(reason), encoding="utf-8")
            raise
        # Of a venv only the scripts know where they are, and python is run without them.
        part.rename(folder)
        return folder


class Fixture:
    """The conformance suite's server, over HTTP, until the block ends."""

    def __init__(self, program, texts):
        self.words = [program, texts]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("port "):
                return f"http://127.0.0.1:{int(line.split()[1])}/mcp"
        raise AssertionError("the fixture does not listen")

    def __exit__(self, *_):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stderr.close()
        assert status == 0, f"the fixture ended with {status}"


def main(tests):
    """tests: functions whose names are sentences, each called with the folder of the programs."""
    try:
        folder = prepare()
    except Skip as reason:
        print(f"1..0 # SKIP {reason}")
        return
    n_failed = 0
    for number, test in enumerate(tests, 1):
        end = f"ok {number} - {test.__name__}"
        try:
            test(folder)
        except Exception:  # pylint: disable=broad-except
            n_failed += 1
            end = f"not {end}"
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
        print(end, flush=True)
    print(f"1..{len(tests)}")
    sys.exit(n_failed > 0)
