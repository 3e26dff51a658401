"""Two scripts that run in hosts of the twin, of TCP and UDP: who listens, and who tries to reach him."""

# Listens on every port given that nobody serves yet, and says so; ends with its stdin.
LISTENER = r"""
import json, select, socket, sys
poller, sockets = select.poll(), {}
for port in json.loads(sys.argv[1]):
    number, _, protocol = str(port).partition("/")
    s = socket.socket(type=socket.SOCK_DGRAM if protocol else socket.SOCK_STREAM)
    if not protocol:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also for who serves there when we are gone
    try:
        s.bind(("0.0.0.0", int(number)))
        if not protocol:
            s.listen(512)
    except OSError:
        continue
    s.setblocking(False)
    sockets[s.fileno()] = s, protocol
    poller.register(s.fileno(), select.POLLIN)
poller.register(0, select.POLLIN)
print("listening", flush=True)
while True:
    for fd, _ in poller.poll():
        if fd == 0:
            sys.exit()
        s, protocol = sockets[fd]
        try:
            if protocol:
                s.sendto(*s.recvfrom(512))
            else:
                s.accept()[0].close()
        except OSError:
            pass
"""

# Asks all targets at once; prints [address, port, verdict] of each. What it says by UDP is a question for a
# name, which the router's names answer as well; it says it again and again, since nobody else would.
PROBE = r"""
import errno, json, select, socket, sys, time
asked, wait = json.loads(sys.argv[1])
QUESTION = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"
waiting, result, poller = {}, [], select.poll()
for address, port in asked:
    number, _, protocol = str(port).partition("/")
    s = socket.socket(type=socket.SOCK_DGRAM if protocol else socket.SOCK_STREAM)
    s.setblocking(False)
    s.connect_ex((address, int(number)))
    waiting[s.fileno()] = s, address, port
    poller.register(s.fileno(), select.POLLIN if protocol else select.POLLOUT)
def ask():
    for s, _, _ in waiting.values():
        if s.type == socket.SOCK_DGRAM:
            try:
                s.send(QUESTION)
            except OSError:
                pass  # of the answer to an earlier one; it is read below
def verdict(s):
    try:
        if s.type == socket.SOCK_DGRAM:
            s.recv(512)
            return "open"
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError as e:
        code = e.errno
    return {0: "open", errno.ECONNREFUSED: "refused"}.get(code, "silent")
end = time.monotonic() + wait
while waiting and time.monotonic() < end:
    ask()
    again = min(end, time.monotonic() + 0.25)
    while waiting and time.monotonic() < again:
        for fd, _ in poller.poll(max(1, (again - time.monotonic()) * 1000)):
            s, address, port = waiting.pop(fd)
            result.append([address, port, verdict(s)])
            poller.unregister(fd)
            s.close()
print(json.dumps(result + [[address, port, "silent"] for _, address, port in waiting.values()]))
"""
