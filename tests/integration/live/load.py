"""Load that counts what it loses: connections by TLS, kept and new ones, and a database transaction.

An answer that says "Connection: close" is the server's word in time: the next request goes over a new
connection, and that is counted as reopened, not as an error. A connection that ends without it is one.
"""

import http.client
import socket
import ssl
import subprocess
import threading
import time

REQUEST_TIME = 20
PAUSE = 0.02


class Connection:
    """What a program of a user's does: HTTP/1.1 over TLS, and an honest account of how it went."""

    def __init__(self, address, name, authority, errors=None):
        self.address, self.name = address, name
        self.context = ssl.create_default_context(cafile=authority)
        self.connection = None
        self.was_refused = False
        self.requests = self.reopened = 0
        self.slowest = 0.0
        self.errors = errors if errors is not None else []

    def open(self):
        plain = socket.create_connection(self.address, REQUEST_TIME)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = http.client.HTTPConnection(self.name)
        self.connection.sock = self.context.wrap_socket(plain, server_hostname=self.name)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path="/", keep=True):
        """The body of the answer, or None: then it is one of the errors."""
        begin = time.monotonic()
        self.requests += 1
        try:
            if not self.connection:
                self.open()
            self.connection.request("GET", path)
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                self.errors.append(f"{answer.status} {body[:200]!r}")
                body = None
            if answer.will_close:
                self.reopened += 1
            if answer.will_close or not keep:
                self.close()
        except (OSError, http.client.HTTPException) as problem:
            self.errors.append(f"{type(problem).__name__} {problem} after {time.monotonic() - begin:.2f} s")
            self.close()
            body = None
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return body


class SlowRequest:
    """A request that goes on until it is told to end: its body comes in pieces."""

    PIECES = 1000

    def __init__(self, connection):
        connection.open()
        self.connection = connection.connection
        self.connection.putrequest("POST", "/")
        self.connection.putheader("Content-Length", str(self.PIECES))
        self.connection.endheaders()
        self.left = self.PIECES

    def go_on(self):
        self.connection.send(b"x")
        self.left -= 1

    def end(self):
        """The body of the answer."""
        self.connection.send(b"x" * self.left)
        answer = self.connection.getresponse()
        body = answer.read()
        self.connection.close()
        assert answer.status == 200, (answer.status, body)
        return body


class Load:
    """So many connections at once; every fourth one is a new one for each request."""

    def __init__(self, count, make):
        self.errors = []  # of all of them, in the order they came
        self.connections = [make(self.errors) for _ in range(count)]
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(connection, number % 4 != 0), daemon=True)
                        for number, connection in enumerate(self.connections)]
        for thread in self.threads:
            thread.start()

    def ask(self, connection, keep):
        while not self.ends.wait(PAUSE):
            connection.get(keep=keep)
        connection.close()

    def counts(self):
        return (sum(c.requests for c in self.connections), sum(c.reopened for c in self.connections),
                len(self.errors))

    def take_slowest(self):
        slowest = max(c.slowest for c in self.connections)
        for connection in self.connections:
            connection.slowest = 0.0
        return slowest

    def await_requests(self, number):
        """Until so many more were answered: then what is new has been under load, too."""
        wanted = self.counts()[0] + number
        while self.counts()[0] < wanted and any(t.is_alive() for t in self.threads):
            time.sleep(0.01)

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(2 * REQUEST_TIME)
            assert not thread.is_alive(), "a request does not end"


class Transaction:
    """A session of psql that answers one statement after another on a single connection."""

    def __init__(self, command, environment):
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, env=environment)

    def run(self, statement):
        self.program.stdin.write(f"{statement};\n\\echo done\n")
        self.program.stdin.flush()
        lines = []
        for line in self.program.stdout:
            if line == "done\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the session ended at {statement}: {lines}")

    def close(self):
        self.program.stdin.close()
        self.program.wait(10)
        self.program.stdout.close()
