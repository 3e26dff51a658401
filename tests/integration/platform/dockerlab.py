"""A Docker Engine of a test's own, in namespaces and a folder of its own, and small programs for its images."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
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


# Tries ways out, each in a process of its own, and prints {"WAY": NUMBER}: 0 when it led somewhere, else the errno. Its
# arguments are paths that it tries to open, or to connect to. With "suid" it leaves a copy that changes to its owner.
ESCAPE = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
static const char *separator = "{";
#define TRY(name, expression)                                                                   \
    do {                                                                                        \
        fflush(stdout);                                                                         \
        pid_t child = fork();                                                                   \
        if (child == 0)                                                                         \
            _exit((errno = 0, (long)(expression)) < 0 ? (errno ? errno : 255) : 0);             \
        int status = 0;                                                                         \
        waitpid(child, &status, 0);                                                             \
        printf("%s\"%s\":%d", separator, name, WIFEXITED(status) ? WEXITSTATUS(status) : -1);    \
        separator = ",";                                                                        \
    } while (0)
static int opened(const char *path)
{
    return open(path, O_WRONLY | O_CREAT, 0600);
}
static int reached(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof(a));
}
static int called(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof(a));
}
static int others(void)
{
    int n = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *e; folder && (e = readdir(folder));)
        n += atoi(e->d_name) > 1 && atoi(e->d_name) != getpid() && atoi(e->d_name) != getppid();
    return n > 0 ? 0 : -1;
}
static int changed_by_suid(void)
{
    pid_t child = fork();
    if (child == 0)
        execl("/bin/suid", "suid", "who", (char *)NULL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
static int copy_self(void)
{
    char bytes[65536];
    int from = open("/proc/self/exe", O_RDONLY), to = open("/bin/suid", O_WRONLY | O_CREAT, 0755);
    for (ssize_t n; (n = read(from, bytes, sizeof(bytes))) > 0;)
        if (write(to, bytes, n) != n)
            return 1;
    return fchmod(to, 04755) < 0;
}
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "suid") == 0)
        return copy_self();
    if (argc > 1 && strcmp(argv[1], "who") == 0)
        return geteuid() == 0 ? 0 : 1;
    gid_t none = 0;
    TRY("is root", geteuid() == 0 || getegid() == 0 ? 0 : -1);
    TRY("setuid", setuid(0));
    TRY("setgid", setgid(0));
    TRY("setgroups", setgroups(1, &none));
    TRY("a file that changes to root", changed_by_suid());
    TRY("sees others", others());
    TRY("ptrace", ptrace(PTRACE_ATTACH, 1, 0, 0));
    TRY("memory of the first", open("/proc/1/mem", O_RDWR));
    TRY("root of the first", open("/proc/1/root/usr", O_RDONLY));
    TRY("process_vm_readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
    TRY("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    TRY("remount", mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("umount", umount2("/proc", MNT_DETACH));
    TRY("pivot_root", syscall(SYS_pivot_root, "/", "/"));
    TRY("chroot", chroot("/tmp"));
    TRY("unshare user", unshare(CLONE_NEWUSER));
    TRY("unshare mount", unshare(CLONE_NEWNS));
    TRY("unshare network", unshare(CLONE_NEWNET));
    TRY("clone user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    TRY("setns", setns(open("/proc/self/ns/net", O_RDONLY), 0));
    TRY("sethostname", sethostname("x", 1));
    TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 1));
    TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
    TRY("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    TRY("io_uring_setup", syscall(425, 1, NULL));
    TRY("init_module", syscall(SYS_init_module, NULL, 0, ""));
    TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
    TRY("reboot", reboot(0));
    TRY("device", mknod("/tmp/device", S_IFBLK | 0600, makedev(8, 0)));
    TRY("raw socket", socket(AF_INET, SOCK_RAW, 1));
    TRY("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("socket to the hypervisor", socket(40, SOCK_STREAM, 0));
    TRY("file /x", opened("/x"));
    TRY("file /bin/x", opened("/bin/x"));
    TRY("file /etc/x", opened("/etc/x"));
    TRY("file /run/x", opened("/run/x"));
    TRY("file /dev/x", opened("/dev/x"));
    TRY("file /sys/x", opened("/sys/x"));
    TRY("file /etc/hosts", open("/etc/hosts", O_WRONLY));
    TRY("file core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    TRY("file sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    TRY("file ip_forward", open("/proc/sys/net/ipv4/ip_forward", O_WRONLY));
    TRY("file /dev/mem", open("/dev/mem", O_RDONLY));
    TRY("file /dev/sda", open("/dev/sda", O_RDONLY));
    TRY("file /run/twin/state", open("/run/twin/state", O_RDONLY));
    for (int i = 2; i < argc; i++) {
        TRY(argv[i], open(argv[i], O_RDONLY));
        char *name = malloc(strlen(argv[i]) + 16);
        sprintf(name, "socket %s", argv[i]);
        TRY(name, reached(argv[i]));
    }
    TRY("port of the machine", called(argc > 1 ? atoi(argv[1]) : 1));
    int n = 0;
    for (pid_t child; n < 500 && (child = fork()) >= 0; n++)
        if (child == 0)
            for (;;)
                pause();
    printf(",\"processes\":%d}\n", n);
    fflush(stdout);
    for (;;)
        pause();
}
"""


def make_program(path, text):
    """A program that needs no other file."""
    source = pathlib.Path(f"{path}.c")
    source.write_text(text)
    subprocess.run(["cc", "-static", "-O1", "-o", path, source], check=True, capture_output=True)
    source.unlink()


def make_server(path):
    make_program(path, SERVER)


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


class Between:
    """Stands between Parley and an engine, notes what is asked, and holds, keeps, or cuts, what it is told to."""

    def __init__(self, engine, held=None, cut=None, kept=None):
        self.engine, self.held, self.cut, self.kept = engine, held, cut, kept
        self.late = b""
        self.socket = f"{engine.folder}/between"
        self.asked, self.is_held = [], threading.Event()
        pathlib.Path(self.socket).unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client):
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.engine.socket)
            threading.Thread(target=self.pass_back, args=(server, client), daemon=True).start()
            while (piece := client.recv(65536)):
                asked = re.findall(rb"(?m)^((?:GET|POST|DELETE) \S+) HTTP/1.1\r$", piece)
                self.asked += [line.decode() for line in asked]
                if self.held and any(self.held in line.decode() for line in asked):
                    self.is_held.set()
                    client.recv(1)  # until whoever asked is gone
                    return
                if self.kept and any(self.kept in line.decode() for line in asked):
                    self.keep(client, piece)
                    return
                if self.cut and any(self.cut in line.decode() for line in asked):
                    return
                server.sendall(piece)
        except OSError:
            pass
        finally:
            shut(server, client)

    def keep(self, client, piece):
        """All of a request, until whoever asked is gone."""
        while piece:
            self.late += piece
            head, _, body = self.late.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"):
                self.is_held.set()
            piece = client.recv(65536)

    def pass_on_late(self):
        """What was kept, for an engine that takes its time."""
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.engine.socket)
        server.sendall(self.late)
        return server

    def pass_back(self, server, client):
        try:
            while (piece := server.recv(65536)):
                client.sendall(piece)
        except OSError:
            pass
        finally:
            shut(server, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shut(self.listener)
        self.listener.close()


def shut(*sockets):
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


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
