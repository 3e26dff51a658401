"""The official Python SDK's client, in a process of its own that calls tools as it is told."""
import json
import os
import subprocess

PYTHON_CLIENT = r"""
import asyncio, json, sys
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
mode, target = sys.argv[1], json.loads(sys.argv[2])
steps = sys.stdin
def transport():
    if isinstance(target, list):
        return StdioServerParameters(command=target[0], args=target[1:], env=json.loads(sys.argv[3]))
    if not isinstance(target, dict):
        return target
    return streamable_http_client(target["url"], http_client=create_mcp_http_client(headers=target["headers"]))
async def main():
    async with Client(transport(), mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        print(json.dumps(names), flush=True)
        while line := await asyncio.to_thread(steps.readline):
            tool, arguments = json.loads(line)
            result = await client.call_tool(tool, arguments)
            print(json.dumps({"error": result.is_error, "result": result.structured_content,
                              "text": result.content[0].text}), flush=True)
asyncio.run(main())
"""


class PythonClient:
    """target: the words that start a server, its address, or {"url": ..., "headers": ...}."""

    def __init__(self, folder, place, mode, target, env=None):
        own = {**os.environ, "HOME": place, "XDG_RUNTIME_DIR": place}
        self.process = subprocess.Popen(
            [f"{folder}/python/bin/python", "-c", PYTHON_CLIENT, mode, json.dumps(target), json.dumps(env)], cwd=place,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own)
        self.tools = json.loads(self.process.stdout.readline() or "[]")

    def call(self, tool, arguments):
        self.process.stdin.write(json.dumps([tool, arguments]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert not answer["error"], answer
        return answer["result"] or answer["text"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        assert status == 0, status
