// The official MCP SDK's client: finds its way from a refusal to a token by what it is told, and calls a tool.
//
//   node mcp_client.mjs URL CLIENT SECRET ISSUER SCOPE
//
// It knows the server's URL and its own credentials and scope at one authorization server, nothing else. Prints one line of
// JSON: {"tools": [...], "text", "calls": ["POST /mcp 401", ...]}.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, clientId, clientSecret, expectedIssuer, scope] = process.argv.slice(2);
const calls = [];
const fetchAndNote = async (input, init) => {
  const response = await fetch(input, init);
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  calls.push(`${init?.method ?? 'GET'} ${pathname} ${response.status}`);
  return response;
};
const authProvider = new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer, scope });
const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider, fetch: fetchAndNote });
const client = new Client({ name: 'agent', version: '1.0.0' });
await client.connect(transport);
const { tools } = await client.listTools();
const { content } = await client.callTool({ name: 'whoami', arguments: {} });
await client.close();
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), text: content[0].text, calls }));
