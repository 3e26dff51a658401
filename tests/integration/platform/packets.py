"""Two scripts that run in hosts of the twin, of TCP, UDP and ICMP: who listens, and who tries to reach him."""

# Listens on every port given that nobody serves yet, and says so; ends with its stdin.
LISTENER = r"""
import json, select, socket, sys
poller, sockets = select.poll(), {}
for port in json.loads(sys.argv[1]):
    number, _, protocol = str(port).partition("/")
    if protocol == "icmp":
        continue  # the kernel answers
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
# name, which the router's names answer as well; it says it again and again, since nobody else would. By ICMP
# it hears the questions of others, too.
PROBE = r"""
import errno, json, select, socket, struct, sys, time
asked, wait = json.loads(sys.argv[1])
QUESTION = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"
waiting, result, poller = {}, [], select.poll()
QUESTIONS = {"echo/icmp": 8, "timestamp/icmp": 13}
ANSWERS = {"echo/icmp": 0, "timestamp/icmp": 14}
IP_RECVERR = 11
def icmp(port, number):
    head, rest = struct.pack("!BB", QUESTIONS[port], 0), struct.pack("!HH", number, 1) + bytes(12)
    total = sum(struct.unpack("!10H", head + b"\0\0" + rest))
    total = (total & 0xffff) + (total >> 16)
    return head + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + rest
for address, port in asked:
    number, _, protocol = str(port).partition("/")
    if protocol == "icmp":
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        number = 0
    else:
        s = socket.socket(type=socket.SOCK_DGRAM if protocol else socket.SOCK_STREAM)
    s.setblocking(False)
    s.connect_ex((address, int(number)))
    waiting[s.fileno()] = s, address, port
    poller.register(s.fileno(), select.POLLIN if protocol else select.POLLOUT)
def ask():
    for s, _, port in waiting.values():
        if s.type != socket.SOCK_STREAM:
            try:
                s.send(QUESTION if s.type == socket.SOCK_DGRAM else icmp(port, s.fileno()))
            except OSError:
                pass  # of the answer to an earlier one; it is read below
def is_about(packet, kind, s):
    return packet[0] == kind and packet[4:6] == struct.pack("!H", s.fileno())
def refused(s, port):
    # Every socket hears of a refusal, which quotes the question that it is about.
    try:
        return is_about(s.recvmsg(512, 512, socket.MSG_ERRQUEUE)[0], QUESTIONS[port], s)
    except BlockingIOError:
        return False
def verdict(s, port):
    try:
        if s.type == socket.SOCK_RAW and refused(s, port):
            return "refused"
        if s.type == socket.SOCK_RAW:
            packet = s.recv(512)
            packet = packet[(packet[0] & 15) * 4:]
            return "open" if is_about(packet, ANSWERS[port], s) else None
        if s.type == socket.SOCK_DGRAM:
            s.recv(512)
            return "open"
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError as e:
        if s.type == socket.SOCK_RAW:
            return None  # of the question of another
        code = e.errno
    return {0: "open", errno.ECONNREFUSED: "refused"}.get(code, "silent")
end = time.monotonic() + wait
while waiting and time.monotonic() < end:
    ask()
    again = min(end, time.monotonic() + 0.25)
    while waiting and time.monotonic() < again:
        for fd, _ in poller.poll(max(1, (again - time.monotonic()) * 1000)):
            s, address, port = waiting[fd]
            said = verdict(s, port)
            if not said:
                continue
            del waiting[fd]
            result.append([address, port, said])
            poller.unregister(fd)
            s.close()
print(json.dumps(result + [[address, port, "silent"] for _, address, port in waiting.values()]))
"""
