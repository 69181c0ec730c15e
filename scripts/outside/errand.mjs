// An agent's errand with an official TypeScript client that is connected already.
import assert from "node:assert/strict";

export async function errand(client, name) {
  const { tools } = await client.listTools();
  assert(tools.some((tool) => tool.name === "wait_for_order"));
  const call = (tool, args) => client.callTool({ name: tool, arguments: args });
  const answer = async (tool, args) => {
    const result = await call(tool, args);
    assert(!result.isError, `${tool}: ${JSON.stringify(result.content)}`);
    assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
    return result.structuredContent;
  };

  const order = await answer("buy_stock_limit", { symbol: "AAPL", quantity: 2, limit_price: "99.50" });
  assert.equal(order.status, "accepted");
  const waited = await answer("wait_for_order", { order_id: order.order_id, timeout_seconds: 1 });
  assert.equal(waited.reached, false);
  const canceled = await answer("cancel_stock_order_by_id", { order_id: order.order_id });
  assert.equal(canceled.status, "canceled");
  // Both clients hold every answer against its output schema.
  for (const tool of ["list_tools", "health_check", "account_info", "positions", "stock_orders", "account_activities",
    "verify_audit"]) await answer(tool, {});

  const refused = await call("buy_stock_limit", { symbol: "AAPL", quantity: "1000", limit_price: "100" });
  assert.equal(refused.isError, true);
  const [sentence, block] = refused.content.map((content) => content.text);
  assert(sentence.includes("100000.00"), sentence);
  assert.equal(JSON.parse(block).code, "insufficient_buying_power");

  const { resources } = await client.listResources();
  const read = await client.readResource({ uri: resources[0].uri });
  assert.equal(read.contents[0].mimeType, "application/json");
  console.log(`passed: ${name}, ${tools.length} tools`);
}
