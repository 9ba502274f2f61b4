-- Sends requests to other servers where the configuration lacks phantom_token.conf: HTTP/1.1 over nginx's own sockets,
-- one connection for each request. The location's resolver resolves names, and lua_ssl_trusted_certificate verifies
-- certificates.
--
-- This module bounds the time of an answer. answer.lua parses the answer and bounds its size.

local http_answer = require "route_native.http.answer"
local trace = require "route_native.core.trace"

local ngx = ngx
local now = ngx.now
local tcp = ngx.socket.tcp

-- Timeouts of connecting with TLS and of sending, in milliseconds.
local CONNECT_TIMEOUT, SEND_TIMEOUT = 2000, 2000
-- The time for the whole answer, in seconds.
local READ_SECONDS = 4
local PIECE_BYTES = 16 * 1024

local UNREACHABLE = "the server cannot be reached, or does not answer in time and in HTTP"

local _M = {}

-- Connects to the host of a URL, with TLS for https. Returns the socket, or nil and an error.
local function connect(url, verify)
    local socket = tcp()
    socket:settimeouts(CONNECT_TIMEOUT, SEND_TIMEOUT, READ_SECONDS * 1000)
    local port = tonumber(url.port) or (url.scheme == "https" and 443 or 80)
    local ok, err = socket:connect(url.address, port)
    if ok and url.scheme == "https" then
        ok, err = socket:sslhandshake(false, url.host, verify)
    end
    if not ok then
        socket:close()
        return nil, err
    end
    return socket
end

-- Returns the text of a request.
local function request_text(target, body)
    local lines = {
        (body and "POST " or "GET ") .. target.url.rest .. " HTTP/1.1",
        "Host: " .. target.url.authority,
        "Connection: close",
        "Accept: " .. target.accept,
    }
    if target.authorization then
        lines[#lines + 1] = "Authorization: " .. target.authorization
    end
    local parent, state = trace.current()
    if parent ~= "" then
        lines[#lines + 1] = "traceparent: " .. parent
    end
    if state ~= "" then
        lines[#lines + 1] = "tracestate: " .. state
    end
    if body then
        lines[#lines + 1] = "Content-Type: " .. target.content_type
        lines[#lines + 1] = "Content-Length: " .. #body
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- Reads until the answer is complete. Returns it; or nil and "too large", "not whole", or nothing for any other
-- failure.
local function read(socket, max_bytes)
    local answer, deadline = http_answer.reader(max_bytes), now() + READ_SECONDS
    while now() < deadline do
        socket:settimeouts(CONNECT_TIMEOUT, SEND_TIMEOUT, math.max((deadline - now()) * 1000, 1))
        local piece, err, rest = socket:receiveany(PIECE_BYTES)
        local state = answer:feed(piece or rest or "", err == "closed")
        if state == "whole" then
            return answer
        elseif state ~= "more" then
            return nil, state ~= "malformed" and state or nil
        elseif err then
            return nil, err == "closed" and answer.status and "not whole" or nil
        end
    end
end

-- Sends a request. Returns { status, headers, body }, or nil, an error, and whether the answer itself is wrong.
function _M.ask(target, body, max_bytes)
    local socket, err = connect(target.url, target.verify_ssl)
    if not socket then
        return nil, UNREACHABLE .. ": " .. tostring(err)
    end
    local answer
    if socket:send(request_text(target, body)) then
        answer, err = read(socket, max_bytes)
    end
    socket:close()
    if answer then
        return { status = answer.status, headers = answer.headers, body = answer.body }
    elseif err == "too large" then
        return nil, "the answer is larger than " .. max_bytes .. " bytes", true
    elseif err then
        return nil, "the answer is not whole", true
    end
    return nil, UNREACHABLE
end

return _M
