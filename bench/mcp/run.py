#!/usr/bin/env python3
"""tools/call of our MCP server beside those of the TypeScript SDKs, node alone and a canned answer.

    bench/mcp/run.py BUILD-FOLDER [--seconds N] [--rounds N] [--connections 1,16,64,1000] [--modules FOLDER]
                     [--flat CALLS] [--slow N]

Needs wrk, and for the others node and npm: bench/mcp/package.json is installed into --modules (default: a folder
below the cache of the user). Servers take turns in each round; medians of the rounds are shown. Ours runs with a
token and the audit of looks, the others with neither. wrk takes a part of the same processors, so that ratios count
and not rates. --slow has so many connections dribble their headers meanwhile. --flat does nothing but call ours so
often, over 16 connections, and shows its memory at the start, after a tenth and at the end. Nothing is asserted:
targets are compared by people.
"""
import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "shophub.yaml")
SERVERS = ["ours", "ours legacy", "sdk-v2", "sdk-v1", "bare", "canned"]
DOCUMENT = "deployment:\n  name: bench\n  resources: [{ type: core:data:value, name: a, properties: { value: 1 } }]\n"


class Server:
    """A server that printed its port."""

    def __init__(self, command, era, folder):
        self.era = era
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        self.port, *token = self.process.stdout.readline().split()
        self.token = token[0] if token else ""

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident, in MB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))

    def load(self, connections, seconds):
        before = self.cpu()
        done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s",
                               HERE + "/call.lua", f"http://127.0.0.1:{self.port}/mcp"],
                              env=dict(os.environ, ERA=self.era, TOKEN=self.token), capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
        result = json.loads(line[len("RESULT "):])
        result["cpu"] = (self.cpu() - before) * 1e6 / max(result["calls"], 1)
        result["rate"] = result["calls"] / result["seconds"]
        return result

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def make_home(build):
    home = tempfile.mkdtemp()
    document = os.path.join(home, "bench.yaml")
    with open(document, "w", encoding="ascii") as file:
        file.write(DOCUMENT)
    subprocess.run([build + "/parley", "up", document, "--yes", "--home", home + "/home"], check=True,
                   stdout=subprocess.DEVNULL)
    return home


def install(modules):
    """False when the packages cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        return False
    os.makedirs(modules, exist_ok=True)
    for name in ("package.json", "others.mjs"):
        shutil.copy(os.path.join(HERE, name), modules)
    return subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=modules, check=False,
                          timeout=300).returncode == 0


def commands(build, home, modules):
    ours = [build + "/mcp-bench-server", home + "/home"]
    found = {"ours": (ours, "modern"), "ours legacy": (ours, "legacy"), "canned": ([build + "/mcp-canned"], "modern")}
    if modules:
        for name, era in (("sdk-v2", "modern"), ("sdk-v1", "legacy"), ("bare", "modern")):
            found[name] = (["node", "others.mjs", name], era)
    return found


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def compare(found, modules, options):
    rows = {}
    for _ in range(options.rounds):
        for connections in options.connections:
            for name in [name for name in SERVERS if name in found]:
                server = Server(*found[name], modules)
                server.load(4, 1)
                row = server.load(connections, options.seconds)
                row["memory"] = server.memory()
                rows.setdefault((connections, name), []).append(row)
                server.stop()
    print(f"{'connections':>11}  {'server':12} {'calls/s':>9} {'cpu us':>7} {'p50 ms':>8} {'p99 ms':>8} {'MB':>6} failed")
    for (connections, name), of_one in sorted(rows.items(), key=lambda item: (item[0][0], SERVERS.index(item[0][1]))):
        print(f"{connections:11}  {name:12} {median(of_one, 'rate'):9.0f} {median(of_one, 'cpu'):7.1f} "
              f"{median(of_one, 'p50'):8.2f} {median(of_one, 'p99'):8.2f} {median(of_one, 'memory'):6.0f} "
              f"{sum(row['failed'] for row in of_one)}")
    for connections in options.connections:
        ours, other = rows[connections, "ours"], rows.get((connections, "sdk-v2"))
        canned = rows[connections, "canned"]
        print(f"{connections} connections: p99 {median(ours, 'p99') / median(canned, 'p99'):.2f} x canned" +
              (f", {median(ours, 'rate') / median(other, 'rate'):.1f} x the rate of sdk-v2" if other else ""))


def compare_stdio(build, home, modules, options):
    servers = {"ours": [build + "/mcp-bench-server", home + "/home", "--stdio"], "canned": [build + "/mcp-canned", "--stdio"]}
    if modules:
        servers["sdk-v1"] = ["node", modules + "/others.mjs", "sdk-v1-stdio"]
    for in_flight, where in ((1, ""), (1, ", one processor"), (16, "")):
        rates = {}
        pinned = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if where else []
        for _ in range(options.rounds):
            for name, command in servers.items():
                load = [build + "/mcp-stdio-load", str(in_flight), str(options.seconds)]
                done = subprocess.run([*pinned, *load, *command], capture_output=True, text=True, check=True)
                row = json.loads(done.stdout)
                rates.setdefault(name, []).append((row["calls"] / row["seconds"], row["server_cpu_us"]))
        shown = {name: [statistics.median(column) for column in zip(*of_one)] for name, of_one in rates.items()}
        for name, (rate, cpu) in shown.items():
            print(f"stdio, {in_flight:2} in flight{where}  {name:8} {rate:9.0f} calls/s {cpu:7.1f} us of CPU a call")
        if "sdk-v1" in shown:
            print(f"stdio, {in_flight:2} in flight{where}: {shown['ours'][0] / shown['sdk-v1'][0]:.1f} x the rate of sdk-v1, where "
                  f"a canned answer has {shown['canned'][0] / shown['sdk-v1'][0]:.1f}")


def dribble(port, count, is_over):
    """Connections that send a byte of their header now and then."""
    held = []
    while not is_over.wait(0.5):
        while len(held) < count:
            held.append(socket.create_connection(("127.0.0.1", int(port))))
            held[-1].sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for connection in list(held):
            try:
                connection.sendall(b"x")
            except OSError:
                held.remove(connection)
    for connection in held:
        connection.close()


def beside_slow_ones(found, options):
    server = Server(*found["ours"], None)
    alone = [server.load(16, options.seconds) for _ in range(options.rounds)]
    is_over = threading.Event()
    slow = threading.Thread(target=dribble, args=(server.port, options.slow, is_over))
    slow.start()
    time.sleep(2)
    beside = [server.load(16, options.seconds) for _ in range(options.rounds)]
    is_over.set()
    slow.join()
    server.stop()
    print(f"{options.slow} slow connections: p99 {median(beside, 'p99'):.2f} ms beside them, {median(alone, 'p99'):.2f} "
          f"without: {median(beside, 'p99') / median(alone, 'p99'):.2f} x")


def show_flatness(found, options):
    server = Server(*found["ours"], None)
    n = server.load(16, 2)["calls"]
    shown = [(n, server.memory())]
    while n < options.flat:
        n += server.load(16, 5)["calls"]
        if n >= options.flat or (len(shown) == 1 and n >= options.flat / 10):
            shown.append((n, server.memory()))
    print("memory: " + ", ".join(f"{memory:.2f} MB after {calls} calls" for calls, memory in shown))
    server.stop()


def time_plans(build, count=60):
    """Over stdio, each of another deployment than the one before; the first also looks at the machine."""
    with open(EXAMPLE, encoding="utf-8") as file:
        document = file.read()
    times = []
    with tempfile.TemporaryDirectory() as home:
        server = subprocess.Popen([build + "/parley", "mcp", "--home", home + "/home"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        for i in range(count):
            arguments = {"document": document.replace("shophub-platform", f"shophub-{i}")}
            meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {}}
            start = time.monotonic()
            print(json.dumps({"jsonrpc": "2.0", "id": i, "method": "tools/call",
                              "params": {"name": "plan_create", "arguments": arguments, "_meta": meta}}),
                  file=server.stdin, flush=True)
            answer = json.loads(server.stdout.readline())
            times.append((time.monotonic() - start) * 1000)
            if answer["result"]["structuredContent"]["counts"]["create"] < 20:
                raise RuntimeError(answer)
        server.stdin.close()
        server.wait()
    print(f"a plan of ShopHub: {times[0]:.1f} ms the first, {statistics.median(times[1:]):.1f} ms after it "
          f"({min(times[1:]):.1f} to {max(times[1:]):.1f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=lambda text: [int(part) for part in text.split(",")],
                        default=[1, 16, 64, 1000])
    parser.add_argument("--modules", default=os.path.expanduser("~/.cache/parley-bench-mcp"))
    parser.add_argument("--flat", type=int, default=0)
    parser.add_argument("--slow", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    build = os.path.abspath(options.build)
    subprocess.run(["ninja", "-C", build, "parley", "mcp-bench-server", "mcp-canned", "mcp-stdio-load"], check=True,
                   stdout=subprocess.DEVNULL)
    modules = options.modules if not options.flat and install(options.modules) else None
    home = make_home(build)
    found = commands(build, home, modules)
    if options.flat:
        show_flatness(found, options)
        shutil.rmtree(home)
        return
    if not modules:
        print("node or its packages cannot be had: ours alone", file=sys.stderr)
    time_plans(build)
    compare(found, modules, options)
    compare_stdio(build, home, modules, options)
    if options.slow:
        beside_slow_ones(found, options)
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
