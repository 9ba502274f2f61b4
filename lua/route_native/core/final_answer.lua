-- Checks an upstream's answer before a client gets it: it must be one final answer.

local metrics = require "route_native.core.metrics"

local lower, type = string.lower, type
local ngx = ngx

local _M = {}

local function is_websocket(upgrade)
    return type(upgrade) == "string" and lower(upgrade) == "websocket"
end

-- Returns whether an answer is final. nginx treats any 1xx as the answer itself, adds our headers to it, and sends the
-- following bytes unchanged. A browser takes those for the real answer, without our rules. nginx also sends an answer
-- without a status line unchanged, as HTTP/0.9; Lua sees status 9. A 101 is final only if both sides name the protocol
-- websocket. Every other request has lost its `Upgrade` (proxy.conf, ws.conf, border.conf).
local function is_final(status)
    if status == ngx.HTTP_SWITCHING_PROTOCOLS then
        return is_websocket(ngx.req.get_headers(0).upgrade) and is_websocket(ngx.header.Upgrade)
    end
    return status >= 200
end

-- Counts an upstream's failure. Answers of our own with these statuses have no upstream.
local function count_failure(status)
    if status >= 502 and status <= 504 and ngx.var.upstream_status then
        metrics.upstream_failed(status, ngx.var.route_reason)
    end
end

local function refuse(status)
    local what = status == ngx.HTTP_SWITCHING_PROTOCOLS and "the status 101 and opens no WebSocket"
        or status >= 100 and "the interim status " .. status or "no status line"
    ngx.log(ngx.ERR, "route_native: the upstream's answer has ", what, "; refused")
    ngx.exit(status >= 100 and ngx.HTTP_BAD_GATEWAY or ngx.ERROR)
end

-- Ends an answer that is not final, and counts failures. Returns whether it is. Runs in header_filter_by_lua.
function _M.check()
    local status = ngx.status
    if is_final(status) then
        count_failure(status)
        return true
    end
    if status < 100 then
        -- nginx ends the connection. Otherwise it sends a 502 instead, which comes here too.
        metrics.upstream_failed(ngx.HTTP_BAD_GATEWAY)
    end
    refuse(status)
    return false
end

return _M
