-- For wrk: a tools/call of the tool echo, each with an id of its own. ERA is modern or legacy.
local modern = os.getenv("ERA") ~= "legacy"
local head = '{"jsonrpc":"2.0","id":'
local tail = ',"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("TOKEN") or "")
if modern then
  wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
  wrk.headers["Mcp-Method"] = "tools/call"
  wrk.headers["Mcp-Name"] = "echo"
  tail = tail .. ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    .. '"io.modelcontextprotocol/clientInfo":{"name":"wrk","version":"1"},'
    .. '"io.modelcontextprotocol/clientCapabilities":{}}'
else
  wrk.headers["MCP-Protocol-Version"] = "2025-11-25"
end
tail = tail .. "}}"

local n = 0
function request()
  n = n + 1
  return wrk.format(nil, nil, nil, head .. n .. tail)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"calls": %d, "seconds": %.3f, "p50": %.3f, "p99": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
