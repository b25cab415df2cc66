"""Drives a Kinetic host with the official MCP client (PyPI `mcp` 2.x) and prints what it saw as one JSON line.

    mcp_client.py http://127.0.0.1:8000/mcp
    mcp_client.py http://127.0.0.1:8000/mcp --tool redact.scrub --args '{"text": "mail ann@example.com"}'
    mcp_client.py http://127.0.0.1:8000/mcp --mode legacy --expect-list-changed --timeout 20
    mcp_client.py --tool redact.scrub --args '{"text": "x"}' --stdio kinetic mcp --data ./data

The line holds `protocol`, `server`, `tools` (name, title, description, inputSchema, outputSchema), with --tool `result`
(isError, structuredContent, text, meta), with --expect-list-changed `listChanged` and the tools after it. While it waits for
the notification it says `listening` on standard error. Exit status: 0, or 1 with `error` in the line when the connection, the
protocol or the wait failed. A tool's own error is a result.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack

import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

PAGES_MAX = 1000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="the /mcp URL of a host")
    parser.add_argument("--token", help="bearer token of the host")
    parser.add_argument("--mode", default="auto", help="auto, legacy, or a protocol version like 2026-07-28")
    parser.add_argument("--tool", help="call this tool")
    parser.add_argument("--args", type=json.loads, default={}, help="its arguments as a JSON object")
    parser.add_argument("--expect-list-changed", action="store_true", help="wait until the server says that tools changed")
    parser.add_argument("--timeout", type=float, default=30.0, help="for each step, in seconds")
    parser.add_argument("--stdio", nargs=argparse.REMAINDER, help="start this command instead; must come last")
    given = parser.parse_args()
    if bool(given.url) == bool(given.stdio):
        parser.error("give either a URL or --stdio CMD...")
    return given


async def transport(given: argparse.Namespace, stack: AsyncExitStack):
    if given.stdio:
        return StdioServerParameters(command=given.stdio[0], args=given.stdio[1:])
    if given.token is None:
        return given.url
    headers = {"Authorization": f"Bearer {given.token}"}
    http = await stack.enter_async_context(create_mcp_http_client(headers=headers))
    return streamable_http_client(given.url, http_client=http)


async def all_tools(client: Client) -> list[dict]:
    tools, cursor = [], None
    for _ in range(PAGES_MAX):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    names = ("name", "title", "description", "inputSchema", "outputSchema")
    dumped = (tool.model_dump(by_alias=True, mode="json") for tool in tools)
    return [{name: tool.get(name) for name in names} for tool in dumped]


def seen(result: types.CallToolResult) -> dict:
    dumped = result.model_dump(by_alias=True, mode="json")
    text = [block.text for block in result.content if isinstance(block, types.TextContent)]
    return {
        "isError": bool(dumped.get("isError")),
        "structuredContent": dumped.get("structuredContent"),
        "text": "\n".join(text),
        "meta": dumped.get("_meta"),
    }


async def list_changed(client: Client, noticed: asyncio.Event) -> None:
    """Waits for the notice in the way of the negotiated version: a subscription, or the session's own stream."""
    if client.protocol_version < "2026-07-28":
        print("listening", file=sys.stderr, flush=True)
        await noticed.wait()
        return
    async with client.listen(tools_list_changed=True) as subscription:
        print("listening", file=sys.stderr, flush=True)
        async for _ in subscription:
            return
    raise RuntimeError("the server closed the subscription without a notice")


async def drive(given: argparse.Namespace, line: dict) -> None:
    noticed = asyncio.Event()

    async def on_message(message) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            noticed.set()
        elif isinstance(getattr(message, "root", None), types.ToolListChangedNotification):
            noticed.set()

    async with AsyncExitStack() as stack:
        server = await transport(given, stack)
        client = Client(server, mode=given.mode, message_handler=on_message, read_timeout_seconds=given.timeout)
        async with client:
            line["protocol"] = client.protocol_version
            line["server"] = client.server_info and client.server_info.name
            line["tools"] = await all_tools(client)
            if given.tool:
                line["result"] = seen(await client.call_tool(given.tool, given.args))
            if given.expect_list_changed:
                await asyncio.wait_for(list_changed(client, noticed), given.timeout)
                line["listChanged"] = True
                line["tools"] = await all_tools(client)


def root_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> int:
    line: dict = {}
    try:
        asyncio.run(drive(arguments(), line))
    except Exception as error:  # whatever fails is what the test wants to see
        cause = root_cause(error)
        line["error"] = {"type": type(cause).__name__, "message": str(cause)}
        if isinstance(cause, MCPError):
            line["error"] |= {"code": cause.error.code, "data": cause.error.data}
    print(json.dumps(line))
    return 1 if "error" in line else 0


if __name__ == "__main__":
    sys.exit(main())
