// A small MCP server (the official SDK's own) behind the gateway: one tool, which tells whom the gateway has admitted.
//
//   node mcp_server.mjs
//
// Prints one line of JSON once it listens on loopback: {"port"}. It knows of no tokens.
import http from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { bodyOf, listen } from './faults.mjs';

function answering() {
  const server = new McpServer({ name: 'orders', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Whom the gateway has admitted.' }, ({ requestInfo }) => ({
    content: [{ type: 'text', text: String(requestInfo?.headers['x-user']) }],
  }));
  return server;
}

const server = http.createServer(async (req, res) => {
  // Each request is for itself: no sessions, and so no streams of the server's own.
  if (req.method !== 'POST') return res.writeHead(405, { allow: 'POST' }).end();
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  res.on('close', () => transport.close());
  await answering().connect(transport);
  return transport.handleRequest(req, res, JSON.parse(await bodyOf(req)));
});
console.log(JSON.stringify({ port: await listen(server, 0) }));
