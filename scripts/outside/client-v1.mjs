// The first generation of the official TypeScript client.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { errand } from "./errand.mjs";

const [endpoint, token] = process.argv.slice(2);
const client = new Client({ name: "errand", version: "1" });
const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(endpoint), { requestInit: { headers } }));
await errand(client, "TypeScript 1");
await client.close();
