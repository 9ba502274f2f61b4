-- Checks a desktop's answer before a browser gets it. conf/runtime.sh writes the call, for each desktop endpoint.

local cookies = require "route_native.desktop.cookies"

local ngx = ngx

local _M = {}

-- Returns whether an answer is final. nginx treats any 1xx as the answer itself, adds our headers to it, and sends the
-- following bytes unchanged. A browser takes those for the real answer, with the desktop's cookies and without our
-- rules. nginx also sends an answer without a status line unchanged, as HTTP/0.9; Lua sees status 9. A 101 is final
-- only if it ends the handshake of a WebSocket. proxy.conf removes `Upgrade` from the requests of plain endpoints.
local function is_final(status)
    if status == ngx.HTTP_SWITCHING_PROTOCOLS then
        return ngx.var.websocket_upgrade == "websocket" and ngx.req.get_headers(0).upgrade ~= nil
    end
    return status >= 200
end

-- Ends an answer that is not final, and removes all cookies but those in `names`. Runs in header_filter_by_lua.
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
