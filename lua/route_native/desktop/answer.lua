-- What a desktop's answer must be before a browser gets it. conf/runtime.sh writes the call, for each desktop endpoint.

local cookies = require "route_native.desktop.cookies"

local ngx = ngx

local _M = {}

-- nginx takes any 1xx for the answer itself, puts our headers on it, and sends what follows as it is. To a browser
-- that is the real answer: without our rules, and with the desktop's cookies. An answer without a status line it
-- sends raw, as HTTP/0.9, which Lua sees as status 9. Only the 101 that ends a WebSocket's handshake is one;
-- `Upgrade` is gone from the requests of plain endpoints (proxy.conf).
local function is_final(status)
    if status == ngx.HTTP_SWITCHING_PROTOCOLS then
        return ngx.var.websocket_upgrade == "websocket" and ngx.req.get_headers(0).upgrade ~= nil
    end
    return status >= 200
end

-- For header_filter_by_lua: ends an answer that is no final one, and leaves the cookies of `names`.
function _M.check(names)
    local status = ngx.status
    if not is_final(status) then
        local what = status >= 100 and "the interim status " .. status or "no status line"
        ngx.log(ngx.ERR, "route_native: the desktop's answer has ", what, "; refused")
        return ngx.exit(status >= 100 and ngx.HTTP_BAD_GATEWAY or ngx.ERROR)
    elseif names ~= "" then
        cookies.received(names)
    end
end

return _M
