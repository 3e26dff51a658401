// The servers that run.py measures beside ours, each with one tool that says what it is told:
// node others.mjs sdk-v2|sdk-v1|bare prints its port; sdk-v1-stdio serves its standard streams.
import http from 'node:http';

const kind = process.argv[2];

async function echoOfV1() {
  const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js');
  const { z } = await import('zod');
  const server = new McpServer({ name: 'bench', version: '1' });
  server.registerTool('echo', { description: 'Echo the message', inputSchema: { message: z.string() } },
    async ({ message }) => ({ content: [{ type: 'text', text: message }] }));
  return server;
}

const makers = {
  async 'sdk-v2'() {
    const { McpServer, createMcpHandler } = await import('@modelcontextprotocol/server');
    const { toNodeHandler } = await import('@modelcontextprotocol/node');
    const { z } = await import('zod');
    const make = () => {
      const server = new McpServer({ name: 'bench', version: '1' });
      server.registerTool('echo', { description: 'Echo the message', inputSchema: z.object({ message: z.string() }) },
        async ({ message }) => ({ content: [{ type: 'text', text: message }] }));
      return server;
    };
    const handle = toNodeHandler(createMcpHandler(make));
    return (request, response) => handle(request, response);
  },
  // Without sessions, as its documentation has it: a server and a transport for each request.
  async 'sdk-v1'() {
    const { StreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/streamableHttp.js');
    await echoOfV1();
    return async (request, response) => {
      const server = await echoOfV1();
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
      response.on('close', () => { transport.close(); server.close(); });
      await server.connect(transport);
      await transport.handleRequest(request, response);
    };
  },
  // What node itself can do: it parses the request and says the message, and knows no protocol.
  async bare() {
    return (request, response) => {
      const parts = [];
      request.on('data', part => parts.push(part));
      request.on('end', () => {
        const { id, params } = JSON.parse(Buffer.concat(parts));
        const result = { content: [{ type: 'text', text: params.arguments.message }] };
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      });
    };
  },
};

if (kind === 'sdk-v1-stdio') {
  const { StdioServerTransport } = await import('@modelcontextprotocol/sdk/server/stdio.js');
  await (await echoOfV1()).connect(new StdioServerTransport());
} else {
  const server = http.createServer(await makers[kind]());
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}
