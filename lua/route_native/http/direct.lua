-- The way out where a configuration has no phantom_token.conf: HTTP/1.1 over nginx's own sockets, one connection for
-- each question. Names go through the location's resolver, certificates against lua_ssl_trusted_certificate.
--
-- The answer is read as a whole, within bounds of size and time, and only then taken apart.

local ngx = ngx
local now = ngx.now
local tcp = ngx.socket.tcp

-- Milliseconds for the connection, for TLS on it, and for the question to be sent.
local CONNECT_TIMEOUT, SEND_TIMEOUT = 2000, 2000
-- Seconds for the whole answer.
local PATIENCE = 4
local MAX_HEAD_BYTES, PIECE_BYTES = 16 * 1024, 16 * 1024

local UNREACHABLE = "the server cannot be reached, or does not answer in time and in HTTP"

local _M = {}

local function connect(url, verify)
    local socket = tcp()
    socket:settimeouts(CONNECT_TIMEOUT, SEND_TIMEOUT, PATIENCE * 1000)
    local port = tonumber(url.port) or (url.scheme == "https" and 443 or 80)
    -- nginx's resolver does not know localhost.
    local ok, trouble = socket:connect(url.host == "localhost" and "127.0.0.1" or url.host, port)
    if ok and url.scheme == "https" then
        ok, trouble = socket:sslhandshake(false, url.host, verify)
    end
    if not ok then
        socket:close()
        return nil, trouble
    end
    return socket
end

local function question(target, body)
    local lines = {
        (body and "POST " or "GET ") .. target.url.rest .. " HTTP/1.1",
        "Host: " .. target.url.authority,
        "Connection: close",
        "Accept: " .. target.accept,
    }
    if target.authorization then
        lines[#lines + 1] = "Authorization: " .. target.authorization
    end
    if body then
        lines[#lines + 1] = "Content-Type: " .. target.content_type
        lines[#lines + 1] = "Content-Length: " .. #body
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- The head's status and headers, under lower-case names and several of one name joined by commas, and where the body
-- begins. Nil when it is none, or not there yet. Interim answers (1xx) are passed over.
local function parse_head(text, from)
    local stop, after = text:find("\r?\n\r?\n", from)
    if not stop then
        return nil
    end
    local head = text:sub(from, stop - 1)
    local status = tonumber(head:match("^HTTP/1%.[01] (%d%d%d)%f[%D]"))
    if not status then
        return nil
    elseif status < 200 and status ~= 101 then
        return parse_head(text, after + 1)
    end
    local headers = {}
    for name, value in head:gmatch("\n([^%s:]+):[ \t]*([^\r\n]*)") do
        name, value = name:lower(), value:match("^(.-)%s*$")
        headers[name] = headers[name] and headers[name] .. "," .. value or value
    end
    return status, headers, after + 1
end

-- The body in chunks (RFC 9112 §7.1); nil when it is not whole.
local function unchunked(text, at)
    local parts = {}
    while true do
        local _, stop, digits = text:find("^(%x+)[^\r\n]*\r\n", at)
        if not stop or #digits > 8 then
            return nil
        end
        local size = tonumber(digits, 16)
        if size == 0 then
            return table.concat(parts)
        end
        at = stop + 1
        if text:sub(at + size, at + size + 1) ~= "\r\n" then
            return nil
        end
        parts[#parts + 1] = text:sub(at, at + size - 1)
        at = at + size + 2
    end
end

-- The whole body, or nil as long as some is missing. `ended`: no more will come.
local function parse_body(text, status, headers, at, ended)
    if status == 204 or status == 304 then
        return ""
    end
    local length = headers["content-length"]
    if headers["transfer-encoding"] then
        -- Both at once, and any other coding, is an answer that two readers could understand in two ways.
        return headers["transfer-encoding"]:lower() == "chunked" and not length and unchunked(text, at) or nil
    elseif length then
        length = length:match("^%d+$") and #length < 9 and tonumber(length)
        return length and #text - at + 1 >= length and text:sub(at, at + length - 1) or nil
    end
    return ended and text:sub(at) or nil
end

local function parse(text, ended)
    local status, headers, at = parse_head(text, 1)
    local body = status and parse_body(text, status, headers, at, ended)
    return body and { status = status, headers = headers, body = body }
end

-- Reads until the answer is whole. Returns nil and what is wrong: "too large", "not whole" or nothing.
local function read(socket, max_bytes)
    local text, deadline = "", now() + PATIENCE
    while now() < deadline do
        socket:settimeouts(CONNECT_TIMEOUT, SEND_TIMEOUT, math.max((deadline - now()) * 1000, 1))
        local piece, trouble, rest = socket:receiveany(PIECE_BYTES)
        text = text .. (piece or rest or "")
        local answer = parse(text, trouble == "closed")
        if answer then
            return #answer.body <= max_bytes and answer or nil, "too large"
        elseif #text > max_bytes + MAX_HEAD_BYTES then
            return nil, "too large"
        elseif trouble then
            return nil, trouble == "closed" and parse_head(text, 1) and "not whole" or nil
        end
    end
end

-- Asks. Returns { status, headers, body }, or nil, a sentence, and whether that is about the answer and not about the
-- way to it.
function _M.ask(target, body, max_bytes)
    local socket, trouble = connect(target.url, target.verify_ssl)
    if not socket then
        return nil, UNREACHABLE .. ": " .. tostring(trouble)
    end
    local answer, wrong
    if socket:send(question(target, body)) then
        answer, wrong = read(socket, max_bytes)
    end
    socket:close()
    if answer then
        return answer
    elseif wrong == "too large" then
        return nil, "the answer is larger than " .. max_bytes .. " bytes", true
    elseif wrong then
        return nil, "the answer is not whole", true
    end
    return nil, UNREACHABLE
end

return _M
