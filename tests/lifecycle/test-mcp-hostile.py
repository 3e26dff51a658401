#!/usr/bin/env python3
"""`parley mcp` with clients that do what none should: it never ends by itself, never hangs, and every line that it
writes is a message of JSON-RPC. Arguments of every wrong kind come from the schemas that the tools declare."""
import json
import threading

import mcp_client
from lifecycle import box, document, has_sanitizer, main, test
from mcp_client import META

SHOP = document("shop", {"web": box(size=1, colour="red")})
PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602


def open_client(place):
    return mcp_client.Client(place.line("mcp"), place.env, place.folder)


def error_of(client, line):
    """The number of the error that one line is answered with."""
    client.write_bytes(line + b"\n")
    return client.read_any()["error"]["code"]


def request(method="tools/list", number=1, **params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params | {"_meta": META}}


def is_alive(client):
    return len(client.tools()) > 10


@test
def what_is_no_message_is_answered_with_its_error(place):
    deep = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    lists = b"[" * 100000
    with open_client(place) as client:
        for line, want in ((b"{", PARSE), (b"nonsense", PARSE), (b"\xff\xfe{}", PARSE), (b'{"a":"\xc3\x28"}', PARSE),
                           (b'{"a":"\\ud800"}', PARSE), (b"\x00", PARSE), (b'{"jsonrpc":"2.0"}\x00', PARSE),
                           (b'{"jsonrpc":"2.0","method":"a\\u0000"}', PARSE),
                           ('{"jsonrpc":"2.0","id":1,"method":"\\ud8\u035b\u0756j"}'.encode(), PARSE),
                           (deep, PARSE), (lists, PARSE), (b"[]", REQUEST), (b"null", REQUEST), (b"17", REQUEST),
                           (b"{}", REQUEST), (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', REQUEST),
                           (b'{"jsonrpc":"2.0","id":1}', REQUEST), (b'{"jsonrpc":"2.0","id":1,"method":7}', REQUEST),
                           (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', REQUEST),
                           (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', REQUEST),
                           (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', REQUEST)):
            assert error_of(client, line) == want, line[:80]
        assert is_alive(client)


@test
def what_is_json_and_no_message_that_is_taken_is_answered_with_its_number(place):
    nested = b'{"a":' * 100 + b"1" + b"}" * 100
    with open_client(place) as client:
        for number in (b"7", b'"seven"'):
            for rest in (b'"method":"tools/list\\u0000"',
                         b'"method":"tools/call","params":{"name":"type_show","arguments":{"type":"x\\u0000y"}}',
                         b'"method":"tools/list","params":{"a\\u0000b":{"\\u0000":1}}',
                         b'"method":"tools/list","params":' + nested):
                client.write_bytes(b'{"jsonrpc":"2.0","id":%s,%s}\n' % (number, rest))
                message = client.read_any()
                assert message["id"] == json.loads(number) and message["error"]["code"] == REQUEST, message
        client.write_bytes(b'{"jsonrpc":"2.0","id":"a\\u0000","method":"tools/list"}\n')
        message = client.read_any()
        assert message["id"] is None and message["error"]["code"] == PARSE, message
        assert is_alive(client)


@test
def ids_of_wrong_kinds_are_refused_and_never_repeated(place):
    with open_client(place) as client:
        for number in ("null", "1.5", "true", "[]", "{}", "1e400",
                       "9007199254740993", "-9223372036854775808", "9" * 400):
            client.write_bytes(b'{"jsonrpc":"2.0","id":%s,"method":"tools/list"}\n' % number.encode())
            message = client.read_any()
            assert message["id"] is None and message["error"]["code"] in (REQUEST, PARSE), message
        for number in ('"x"', '""', "0", "-5", "9007199254740991"):
            client.write_bytes(b'{"jsonrpc":"2.0","id":%s,"method":"nothing","params":{"_meta":%s}}\n' %
                               (number.encode(), json.dumps(META).encode()))
            message = client.read_any()
            assert message["id"] == json.loads(number) and message["error"]["code"] == METHOD, message
        assert is_alive(client)


@test
def equal_ids_in_flight_are_each_answered(place):
    with open_client(place) as client:
        for _ in range(20):
            client.write(request(number="same"))
        answers = [client.read_any() for _ in range(20)]
        assert all(answer["id"] == "same" and answer["result"]["tools"] for answer in answers)
        assert is_alive(client)


@test
def what_asks_for_no_answer_gets_none(place):
    lines = [{"jsonrpc": "2.0", "id": 5, "result": {}}, {"jsonrpc": "2.0", "id": "no", "error": {"code": 1, "message": ""}},
             {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 404}},
             {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
             {"jsonrpc": "2.0", "method": "notifications/cancelled"},
             {"jsonrpc": "2.0", "method": "notifications/initialized"},
             {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "plan_create"}},
             {"jsonrpc": "2.0", "method": "no/such"}, {"jsonrpc": "2.0", "method": ""}]
    with open_client(place) as client:
        for line in lines:
            client.write(line)
        client.write_bytes(b"\n\r\n")
        assert is_alive(client) and not client.notes, client.notes


@test
def unknown_methods_and_notifications_with_an_id_are_answered_as_unknown(place):
    with open_client(place) as client:
        for method in ("no/such", "", "notifications/cancelled", "notifications/initialized", "tools/list/", "TOOLS/LIST",
                       "initialize\n", "x" * 100000):
            answer = client.ask(method)
            assert answer["error"]["code"] == METHOD, (method[:40], answer)
        assert is_alive(client)


@test
def metadata_of_wrong_kinds_is_refused(place):
    version, capabilities = list(META)[:2]
    with open_client(place) as client:
        for meta in ({}, {version: 7}, {version: None, capabilities: {}}, {version: META[version]},
                     {version: META[version], capabilities: []}, {version: "1999-01-01", capabilities: {}}, [], 5, "x"):
            client.write({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})
            assert client.read_any()["error"]["code"] in (PARAMS, -32022), meta
        for kept in (None, 7, "", "x", "A" * 200, "A" * 200000, {}, []):
            answer = client.ask("tools/call", name="deployment_status", arguments={}, requestState=kept)
            assert answer["error"]["code"] == PARAMS, kept
        assert is_alive(client)


WRONG = {
    "string": [None, True, 0, -1, 1.5, [], {}, ["x"]],
    "integer": [None, True, "1", 1.5, -1, 10 ** 12, 2 ** 63, 1e300, [], {}],
    "boolean": [None, 0, 1, "true", [], {}],
    "array": [None, "x", 0, {}, [1], [None], [[]], [{}]],
    "object": [None, "x", 0, [], {"a": None}, {"a": []}, {"a": {}}],
}
ODD_TEXTS = ["", " ", "\u0001", "\n", "../../etc/passwd", "%s%n%x", "'; drop table plans; --", "\U0001f4a9", "${x}",
             "@", "shop@", "@default", "shop@default@default", "-1", "x" * 70000, "\u202egnp", "web[", 'web["', "web[0]"]


def cases_of(tool):
    """Arguments of which each has one thing wrong, and every field with odd texts."""
    fields = tool["inputSchema"]["properties"]
    fits = {"string": "shop", "integer": 1, "boolean": True, "array": ["web"], "object": {"web.size": 3}}
    base = {name: schema.get("enum", [fits[schema["type"]]])[0] for name, schema in fields.items()
            if name in tool["inputSchema"].get("required", [])}
    for name, schema in fields.items():
        for value in WRONG[schema["type"]]:
            yield base | {name: value}, True
        if "enum" in schema:
            yield base | {name: "none of them"}, True
        for text in ODD_TEXTS if schema["type"] == "string" else []:
            yield base | {name: text}, None
        if schema["type"] == "array":
            yield base | {name: ODD_TEXTS}, None
        if schema["type"] == "object":
            yield base | {name: {text: text for text in ODD_TEXTS}}, None
    for name in base:
        yield {field: value for field, value in base.items() if field != name}, True
    yield base | {"no_such_argument": 1}, True


@test
def arguments_of_every_wrong_kind_are_refused_in_words_by_every_tool(place):
    place.with_boxes()
    with open_client(place) as client:
        client.apply(client.call("plan_create", document=SHOP)["plan"])
        n = 0
        for tool in client.tools():
            for arguments, is_wrong in cases_of(tool):
                result = client.result(tool["name"], arguments)
                n += 1
                assert result["isError"] or not is_wrong, (tool["name"], arguments, result)
                assert not is_wrong or "What to do" in result["content"][0]["text"], result
            for arguments in (None, [], "x", 7):
                if arguments is not None:
                    answer = client.ask("tools/call", name=tool["name"], arguments=arguments)
                    assert answer["error"]["code"] == PARAMS, answer
        print(f"# {n} calls")
        assert n > 500 and is_alive(client)
    assert len(place.files()) == 1
    assert [row["state"] for row in place.parley("status", "--json").json()] == ["done"]


@test
def names_of_tools_resources_and_prompts_that_are_none_are_refused(place):
    with open_client(place) as client:
        for name in (None, 7, "", "plan_creat", "PLAN_CREATE", "plan_create\u0001", [], {}, "x" * 100000):
            assert client.ask("tools/call", name=name, arguments={})["error"]["code"] == PARAMS, name
            assert client.ask("prompts/get", name=name, arguments={})["error"]["code"] == PARAMS, name
        for uri in (None, 7, "", "parley://", "parley://plan/", "parley://plan/../x", "parley://plan/a/b", "file:///etc/passwd",
                    "parley://type/\u0001", "parley://deployment/%2e%2e", "parley://run/" + "f" * 100000, "PARLEY://types"):
            assert client.ask("resources/read", uri=uri)["error"]["code"] == PARAMS, uri
        for cursor in (7, "x", [], {}):
            for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
                assert client.ask(method, cursor=cursor)["error"]["code"] == PARAMS, (method, cursor)
        for params in ({}, {"ref": 1}, {"ref": {}, "argument": {}},
                       {"ref": {"name": "change"}, "argument": {"name": 1, "value": 2}},
                       {"ref": {"type": "ref/prompt", "name": "no-such"}, "argument": {"name": "what", "value": ""}}):
            assert client.ask("completion/complete", **params)["error"]["code"] == PARAMS, params
        assert is_alive(client)


# What a sanitizer keeps of freed memory, so that it sees who reads it.
QUARANTINE = 400000 if has_sanitizer() else 0


def memory_of(pid):
    """Pages that are its own, in kB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@test
def ten_thousand_requests_whose_answers_nobody_reads_take_bounded_memory(place):
    number, line = 10000, json.dumps(request()).encode() + b"\n"
    with open_client(place) as client:
        assert is_alive(client)
        before = memory_of(client.process.pid)

        def write():
            for _ in range(number):
                client.write_bytes(line)

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(3)
        grown = memory_of(client.process.pid) - before
        assert writer.is_alive(), "all was taken in though nothing was read"
        # 64 requests at once, 20 kB each, and what the pipes hold; ten thousand of them would be 200 MB.
        assert grown < 30000 + QUARANTINE, f"{grown} kB"
        for _ in range(number):
            assert client.read_any()["id"] == 1
        writer.join()
        assert is_alive(client)


@test
def a_line_without_end_is_refused_and_takes_bounded_memory(place):
    client = open_client(place)
    assert is_alive(client)
    before, block = memory_of(client.process.pid), b'{"a":"' + b"x" * (1 << 20)
    grown = 0
    try:
        for _ in range(64):
            client.write_bytes(block)
            grown = memory_of(client.process.pid) - before
    except (BrokenPipeError, StopIteration):
        pass  # It has ended, as it should; of one that is not waited for yet no memory is told.
    assert 0 <= grown < 60000 + QUARANTINE, f"{grown} kB"
    message = client.read_any()
    assert message["id"] is None and message["error"]["code"] == REQUEST, message
    assert client.process.wait(60) == 1
    client.end_of_streams()


@test
def a_client_that_goes_away_in_the_middle_leaves_nothing_behind(place):
    place.with_boxes()
    for part in (b"", b'{"jsonrpc":"2.0","id":1,', json.dumps(request("tools/call", name="plan_create", arguments={
            "document": SHOP})).encode() + b"\n"):
        client = open_client(place)
        client.write_bytes(part)
        client.end_of_streams()
        assert client.process.wait(60) in (0, 1)


if __name__ == "__main__":
    main()
