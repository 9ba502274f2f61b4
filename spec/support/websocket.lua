-- A minimal WebSocket client (RFC 6455) for the specs: text, binary, close.

local bit = require "bit"
local http = require "support.http"

local _M = {}
local client = {}
client.__index = client

local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
local MASK = { 0x12, 0x34, 0x56, 0x78 }

local function masked(payload)
    local out = {}
    for i = 1, #payload do
        out[i] = string.char(bit.bxor(payload:byte(i), MASK[(i - 1) % 4 + 1]))
    end
    return table.concat(out)
end

local function length_bytes(length)
    if length < 126 then
        return string.char(128 + length)
    elseif length < 65536 then
        return string.char(128 + 126, math.floor(length / 256), length % 256)
    end
    local bytes = {}
    for i = 7, 0, -1 do
        bytes[#bytes + 1] = string.char(math.floor(length / 256 ^ i) % 256)
    end
    return string.char(128 + 127) .. table.concat(bytes)
end

-- Opens a WebSocket. Returns the client, or nil and the response that refused it.
function _M.open(port, options)
    local connection = http.connect(port)
    local headers = {
        { "Upgrade", "websocket" },
        { "Connection", "Upgrade" },
        { "Sec-WebSocket-Version", "13" },
        { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" },
    }
    for _, header in ipairs(options.headers or {}) do
        headers[#headers + 1] = header
    end
    http.send(connection, { path = options.path, headers = headers })
    local response = http.read_response(connection)
    if not response or response.status ~= 101 then
        connection:close()
        return nil, response
    end
    -- The answer to the key above, from RFC 6455 §1.3.
    assert(response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "a wrong handshake")
    return setmetatable({ connection = connection, response = response }, client)
end

function client:send(payload, opcode)
    local head = string.char(128 + (opcode or TEXT)) .. length_bytes(#payload) .. string.char(unpack(MASK))
    return self.connection:send(head .. masked(payload))
end

function client:send_binary(payload)
    return self:send(payload, BINARY)
end

-- Receives one message. Returns payload and opcode, or nil if the peer has closed.
function client:receive()
    local head = self.connection:receive(2)
    if not head then
        return nil
    end
    local opcode, length = head:byte(1) % 16, head:byte(2) % 128
    if length == 126 then
        local a, b = self.connection:receive(2):byte(1, 2)
        length = a * 256 + b
    elseif length == 127 then
        length = 0
        for _, byte in ipairs { self.connection:receive(8):byte(1, 8) } do
            length = length * 256 + byte
        end
    end
    local payload = length > 0 and self.connection:receive(length) or ""
    if opcode == PING then
        self:send(payload, PONG)
        return self:receive()
    elseif opcode == CLOSE then
        return nil, opcode
    end
    return payload, opcode
end

function client:close()
    self:send("", CLOSE)
    self.connection:close()
end

_M.TEXT, _M.BINARY = TEXT, BINARY

return _M
