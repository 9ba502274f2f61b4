-- The way out where a configuration has no phantom_token.conf: HTTP/1.1 over nginx's own sockets, one connection for
-- each question. Names go through the location's resolver, certificates against lua_ssl_trusted_certificate.
--
-- http_answer.lua takes the answer apart as it comes, within bounds of size; here are those of time.

local http_answer = require "route_native.http.answer"

local ngx = ngx
local now = ngx.now
local tcp = ngx.socket.tcp

-- Milliseconds for the connection, for TLS on it, and for the question to be sent.
local CONNECT_TIMEOUT, SEND_TIMEOUT = 2000, 2000
-- Seconds for the whole answer.
local PATIENCE = 4
local PIECE_BYTES = 16 * 1024

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

-- Reads until the answer is whole. Returns nil and what is wrong: "too large", "not whole" or nothing.
local function read(socket, max_bytes)
    local answer, deadline = http_answer.reader(max_bytes), now() + PATIENCE
    while now() < deadline do
        socket:settimeouts(CONNECT_TIMEOUT, SEND_TIMEOUT, math.max((deadline - now()) * 1000, 1))
        local piece, trouble, rest = socket:receiveany(PIECE_BYTES)
        local state = answer:feed(piece or rest or "", trouble == "closed")
        if state == "whole" then
            return answer
        elseif state ~= "more" then
            return nil, state ~= "malformed" and state or nil
        elseif trouble then
            return nil, trouble == "closed" and answer.status and "not whole" or nil
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
        return { status = answer.status, headers = answer.headers, body = answer.body }
    elseif wrong == "too large" then
        return nil, "the answer is larger than " .. max_bytes .. " bytes", true
    elseif wrong then
        return nil, "the answer is not whole", true
    end
    return nil, UNREACHABLE
end

return _M
