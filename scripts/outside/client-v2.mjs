// The second generation of the official TypeScript client.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { errand } from "./errand.mjs";

const [endpoint, token] = process.argv.slice(2);
const client = new Client({ name: "errand", version: "1" });
const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(endpoint), { requestInit: { headers } }));
await errand(client, "TypeScript 2");
await client.close();
