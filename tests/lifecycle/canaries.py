"""Looks for texts that must be seen nowhere, in every form in which something may pass them on."""
import base64
import json
import os
import urllib.parse


def forms(text):
    """What a text looks like where it was passed on: as it is or as JSON has it, and both in base64, hex or a URL."""
    return encodings(text) | encodings(json.dumps(text, ensure_ascii=False)[1:-1])


def encodings(text):
    raw = text.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(),
             urllib.parse.quote(text, safe="").encode(), urllib.parse.quote_plus(text).encode(),
             json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode()}
    for shift in range(3):
        # Bits of what stands beside it are in the first and last characters.
        encoded = base64.b64encode(b"\0" * shift + raw)
        inner = encoded[(shift * 8 + 5) // 6:len(raw + b"\0" * shift) * 8 // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Watch:
    """Looks for the canaries in all that it is shown."""

    def __init__(self, canaries):
        self.needles = {form: name for name, text in canaries.items() for form in forms(text)}
        self.n_bytes = 0

    def find(self, content):
        self.n_bytes += len(content)
        return sorted({name for form, name in self.needles.items() if form in content})

    def check(self, what, content):
        content = content.encode() if isinstance(content, str) else content
        names = self.find(content)
        assert not names, f"{what} shows {names}:\n{content[:4000]!r}"

    def check_folder(self, folder, *without):
        n_files = 0
        for path, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if os.path.join(path, name) not in without]
            for name in files:
                file = os.path.join(path, name)
                self.check(file, file.encode())
                if os.path.isfile(file):
                    n_files += 1
                    with open(file, "rb") as content:
                        self.check(file, content.read())
        return n_files


def asked(place, watch, *words, want=0):
    """A command whose every word is looked at."""
    result = place.parley(*words, want=want)
    watch.check(" ".join(words), result.out + result.err)
    return result


def check_left(place, watch, *more_files):
    """Everything on disk but the account and the sources themselves."""
    n = watch.check_folder(place.home, place.path("home/fake"))
    assert n >= 4, n
    watch.check_folder(place.path("run"))
    for name in more_files:
        with open(place.path(name), "rb") as content:
            watch.check(name, content.read())
    assert not [name for name in os.listdir(place.folder) if name.startswith("core")]


def check_processes(place, watch):
    """What others see of our processes that run; how many there were."""
    n = 0
    for pid in place.processes():
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as content:
                    watch.check(f"{name} of {place.processes().get(pid)}", content.read())
                n += 1
            except OSError:
                pass  # it ended just now
    return n
