"""Commands that ask at a terminal, for the tests."""
import fcntl
import os
import pty
import select
import subprocess
import termios
import time


def typed(place, answers, *words, want=0, patience=60, user=None):
    """Runs a command at a terminal of its own: each answer is typed when its question is there. Gives stdout and what
    the terminal showed. user: who does; None: us."""
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    master, slave = pty.openpty()
    process = subprocess.Popen(place.line(*words), cwd=place.folder, env=place.env, stdin=slave, stderr=slave,
                               stdout=subprocess.PIPE, text=True, start_new_session=True, **who,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    shown, asked, end = "", "", time.monotonic() + patience
    try:
        for question, answer in answers:
            while question not in asked:
                assert time.monotonic() < end, f"{words}: {question} was not asked\n{shown}"
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        piece = os.read(master, 4096).decode()
                    except OSError:
                        raise AssertionError(f"{words}: ended before {question}\n{shown}") from None
                    shown, asked = shown + piece, asked + piece
            asked = ""
            os.write(master, answer.encode() + b"\n")
        out, _ = process.communicate(timeout=patience)
        while select.select([master], [], [], 0)[0]:
            try:
                shown += os.read(master, 4096).decode()
            except OSError:
                break
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert process.returncode == want, f"{words}: exit {process.returncode}, not {want}\n{out}{shown}"
    return out, shown
