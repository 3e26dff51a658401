"""A Docker Engine of a test's own, in namespaces and a folder of its own, and small programs for its images."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# Answers every request with what it is and sees; with "wait" it waits for ever, with "fail" it fails, and with
# "keep" it says whether it can write into /data and /scratch.
SERVER = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char in[4096], out[4096], body[2048], folder[512] = "";
    const char *word = argc > 1 ? argv[1] : "";
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8001)};
    if (strcmp(word, "wait") == 0)
        for (;;)
            pause();
    if (strcmp(word, "fail") == 0) {
        printf("the cause of it\n");
        return 7;
    }
    if (strcmp(word, "keep") == 0) {
        FILE *kept = fopen("/data/kept", "a"), *scratch = fopen("/scratch/x", "w");
        return !kept || !scratch || fclose(kept) || fclose(scratch);
    }
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 64) < 0)
        return perror("listen"), 1;
    for (;;) {
        int c = accept(s, NULL, NULL);
        if (c < 0)
            continue;
        if (read(c, in, sizeof(in)) > 0) {
            FILE *file = fopen("/tmp/x", "w");
            snprintf(body, sizeof(body),
                     "{\"word\":\"%s\",\"first\":\"%s\",\"own\":\"%s\",\"path\":\"%s\",\"user\":%d,"
                     "\"folder\":\"%s\",\"root_is_written\":%d,\"tmp_is_written\":%d,\"machine_is_seen\":%d}",
                     getenv("WORD") ? getenv("WORD") : "", word, getenv("OWN") ? getenv("OWN") : "",
                     getenv("PATH") ? getenv("PATH") : "", (int)getuid(),
                     getcwd(folder, sizeof(folder)) ? folder : "", access("/", W_OK) == 0, file != NULL,
                     access("/usr/bin", F_OK) == 0);
            if (file)
                fclose(file);
            int n = snprintf(out, sizeof(out),
                             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                             "Connection: close\r\n\r\n%s", strlen(body), body);
            if (write(c, out, n) != n)
                return 1;
        }
        close(c);
    }
}
"""


def make_server(path):
    """A program that needs no other file."""
    source = pathlib.Path(f"{path}.c")
    source.write_text(SERVER)
    subprocess.run(["cc", "-static", "-O1", "-o", path, source], check=True, capture_output=True)
    source.unlink()


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Engine:
    """dockerd, which has its own namespaces of networks, mounts and processes: nothing of it outlives it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="de-", dir="/tmp")
        self.socket = f"{self.folder}/sock"
        self.outer = None
        self.start()

    def start(self):
        """Its log goes to a file: who fails to start says why."""
        shutil.rmtree(f"{self.folder}/exec", ignore_errors=True)
        pathlib.Path(f"{self.folder}/pid").unlink(missing_ok=True)
        with open(f"{self.folder}/log", "ab") as log:
            self.outer = subprocess.Popen(
                # A test that is killed takes it along.
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd",
                 "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
                 "--pidfile", f"{self.folder}/pid", "-H", f"unix://{self.socket}", "--bridge=none",
                 "--iptables=false"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while True:
            try:
                self.ask("GET", "/_ping")
                return
            except (OSError, http.client.HTTPException):
                assert self.outer.poll() is None and time.monotonic() < end, \
                    pathlib.Path(f"{self.folder}/log").read_text()[-3000:]
                time.sleep(0.05)

    def ask(self, method, path):
        connection = Connection(self.socket)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 400, (path, answer.status, text)
            return json.loads(text) if text[:1] in (b"[", b"{") else text
        finally:
            connection.close()

    def images(self):
        return self.ask("GET", "/images/json")

    def everything(self):
        return self.ask("GET", "/images/json?all=1") + self.ask("GET", "/containers/json?all=1")

    def kill(self):
        """All that it runs dies with the first process of its namespace."""
        if self.outer:
            self.outer.send_signal(signal.SIGKILL)
            self.outer.wait()
        self.outer = None
        end = time.monotonic() + 60
        while self.is_mounted():
            assert time.monotonic() < end, "what the engine has mounted stays"
            time.sleep(0.05)
        pathlib.Path(self.socket).unlink(missing_ok=True)

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            return any(self.folder in line for line in mounts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_groups()


def remove_groups():
    """What an engine that was killed leaves in the hierarchies: empty groups."""
    for folder in pathlib.Path("/sys/fs/cgroup").glob("*/docker"):
        for below in sorted(folder.rglob("*"), reverse=True):
            if below.is_dir():
                try:
                    below.rmdir()
                except OSError:
                    pass
        try:
            folder.rmdir()
        except OSError:
            pass
