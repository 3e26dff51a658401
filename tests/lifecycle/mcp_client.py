"""A client of `parley mcp` for the tests: modern unless it began a session. It trusts nothing: whatever the server
writes must be a JSON-RPC message, and a result must fit the schema that its tool declares."""
import json
import signal
import subprocess

try:
    import jsonschema
except ImportError:  # Not every Python of a machine has it; Debian's own has.
    jsonschema = None

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}}


def check_message(message):
    """Raises when it is no message of JSON-RPC 2.0."""
    assert isinstance(message, dict) and message.get("jsonrpc") == "2.0", message
    if "method" in message:
        assert isinstance(message["method"], str) and isinstance(message.get("params", {}), dict), message
    else:
        assert "id" in message and ("result" in message) != ("error" in message), message
        error = message.get("error", {"code": 0, "message": ""})
        assert isinstance(error["code"], int) and isinstance(error["message"], str), message


class Client:
    """A client at the other end of the pipes."""

    def __init__(self, command, env, folder):
        self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.meta, self.n, self.notes, self.schemas = META, 0, [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        status = self.process.wait(60)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        assert status in (0, -signal.SIGKILL), status

    def end_of_streams(self):
        """Closes all of them, whatever was still to be written."""
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def write_bytes(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def write(self, message):
        self.write_bytes(json.dumps(message).encode() + b"\n")

    def read_any(self):
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), f"the server said no more than {line!r}"
        message = json.loads(line.decode("utf-8", errors="strict"))
        check_message(message)
        return message

    def read(self, number):
        while True:
            message = self.read_any()
            # What could not be read is answered without an id.
            if "method" not in message and message["id"] in (number, None):
                return message
            self.notes.append(message)

    def ask(self, method, **params):
        self.n += 1
        if self.meta:
            params["_meta"] = self.meta | params.get("_meta", {})
        self.write({"jsonrpc": "2.0", "id": self.n, "method": method, "params": params})
        return self.read(self.n)

    def begin(self, version, capabilities=None):
        self.meta = None
        answer = self.ask("initialize", protocolVersion=version, capabilities=capabilities or {},
                          clientInfo={"name": "test", "version": "1"})
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]

    def tools(self):
        return self.ask("tools/list")["result"]["tools"]

    def result(self, tool, arguments):
        """What a tool answers, a failure too; what is structured fits the tool's own schema."""
        answer = self.ask("tools/call", name=tool, arguments=arguments)
        assert "result" in answer, answer
        result = answer["result"]
        assert result["content"] and all(item["type"] == "text" for item in result["content"]), result
        self.check_structured(tool, result)
        return result

    def check_structured(self, tool, result):
        if result["isError"]:
            assert "structuredContent" not in result, result
            return
        if self.schemas is None:
            self.schemas = {item["name"]: item["outputSchema"] for item in self.tools()}
        schema = self.schemas[tool]
        unsaid = set(result["structuredContent"]) - set(schema["properties"])
        assert not unsaid, f"{tool} gives {unsaid}, of which its schema says nothing"
        if jsonschema:
            jsonschema.Draft202012Validator(schema).validate(result["structuredContent"])

    def call(self, tool, is_error=False, **arguments):
        result = self.result(tool, arguments)
        assert result["isError"] == is_error, result
        return result["content"][0]["text"] if is_error else result["structuredContent"]

    def apply(self, plan):
        self.call("plan_approve", plan=plan)
        run = self.call("plan_apply", plan=plan)["run"]
        return self.call("run_show", run=run, wait_seconds=60)
