// The official TypeScript client over standard input and output: it starts `blotter mcp` itself.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { errand } from "./errand.mjs";

const [server, token, blotter] = process.argv.slice(2);
const client = new Client({ name: "errand", version: "1" });
const env = { BLOTTER_TOKEN: token };
await client.connect(new StdioClientTransport({ command: blotter, args: ["mcp", "--server", server], env }));
await errand(client, "TypeScript 1 over blotter mcp");
await client.close();
