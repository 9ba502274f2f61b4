-- What an upstream's answer must be before a client gets it. conf/runtime.sh writes the call for each desktop endpoint;
-- what else passes requests on has one of its own.

local cookies = require "route_native.desktop.cookies"

local lower, type = string.lower, type
local ngx = ngx

local _M = {}

local function is_websocket(upgrade)
    return type(upgrade) == "string" and lower(upgrade) == "websocket"
end

-- nginx takes any 1xx for the answer itself, puts our headers on it, and sends what follows as it is. To a browser
-- that is the real answer: without our rules, and with the desktop's cookies. An answer without a status line it
-- sends raw, as HTTP/0.9, which Lua sees as status 9. Only the 101 that ends a WebSocket's handshake is one: both sides
-- name that protocol. `Upgrade` is gone from every other request (proxy.conf, ws.conf, border.conf).
local function is_final(status)
    if status == ngx.HTTP_SWITCHING_PROTOCOLS then
        return is_websocket(ngx.req.get_headers(0).upgrade) and is_websocket(ngx.header.Upgrade)
    end
    return status >= 200
end

local function refuse(status)
    local what = status == ngx.HTTP_SWITCHING_PROTOCOLS and "the status 101 and opens no WebSocket"
        or status >= 100 and "the interim status " .. status or "no status line"
    ngx.log(ngx.ERR, "route_native: the upstream's answer has ", what, "; refused")
    return ngx.exit(status >= 100 and ngx.HTTP_BAD_GATEWAY or ngx.ERROR)
end

-- For header_filter_by_lua: ends an answer that is no final one.
function _M.final()
    local status = ngx.status
    if not is_final(status) then
        return refuse(status)
    end
end

-- The same for a desktop's answer; leaves the cookies of `names` in a final one.
function _M.check(names)
    local status = ngx.status
    if not is_final(status) then
        return refuse(status)
    elseif names ~= "" then
        cookies.received(names)
    end
end

return _M
