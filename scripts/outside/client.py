"""An agent's errand with the official Python client. Arguments: the endpoint, the token, the mode (auto or legacy)."""

import asyncio
import json
import sys

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client


async def answer(client, name, arguments):
    result = await client.call_tool(name, arguments)
    assert not result.is_error, f"{name}: {result.content}"
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def errand(endpoint, token, mode):
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
    async with http, Client(streamable_http_client(endpoint, http_client=http), mode=mode) as client:
        tools = (await client.list_tools()).tools
        names = [tool.name for tool in tools]
        assert {"buy_stock_limit", "wait_for_order", "cancel_stock_order_by_id"} <= set(names), names

        order = await answer(client, "buy_stock_limit", {"symbol": "AAPL", "quantity": 2, "limit_price": "99.50"})
        assert order["status"] == "accepted", order
        wait = {"order_id": order["order_id"], "status": "filled", "timeout_seconds": 1}
        waited = await answer(client, "wait_for_order", wait)
        assert waited["reached"] is False, waited
        canceled = await answer(client, "cancel_stock_order_by_id", {"order_id": order["order_id"]})
        assert canceled["status"] == "canceled", canceled

        dear = {"symbol": "AAPL", "quantity": "1000", "limit_price": "100"}
        refused = await client.call_tool("buy_stock_limit", dear)
        assert refused.is_error and refused.structured_content is None
        sentence, block = (content.text for content in refused.content)
        assert "100000.00" in sentence, sentence
        assert json.loads(block)["code"] == "insufficient_buying_power", block

        resources = (await client.list_resources()).resources
        assert any(str(resource.uri).endswith("/positions") for resource in resources), resources
        prompts = (await client.list_prompts()).prompts
        assert "plan_trade" in [prompt.name for prompt in prompts], prompts
        print(f"passed: Python, {mode}, {len(tools)} tools, {client.protocol_version}")


asyncio.run(errand(*sys.argv[1:]))
