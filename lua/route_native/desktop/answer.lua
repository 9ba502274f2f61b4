-- Checks a desktop's answer before a browser gets it. conf/runtime.sh writes the call, for each desktop endpoint.

local cookies = require "route_native.desktop.cookies"
local final_answer = require "route_native.core.final_answer"
local subprotocol = require "route_native.desktop.subprotocol"

local ngx = ngx

local _M = {}

-- Ends an answer that is not final, removes all cookies but those in `names`, and completes the handshake of a
-- WebSocket. Runs in header_filter_by_lua.
function _M.check(names)
    if not final_answer.check() then
        return
    end
    -- An answer of our own, which may set the cookie of the token, has no upstream.
    if names ~= "" and ngx.var.upstream_addr then
        cookies.received(names)
    end
    if ngx.status == ngx.HTTP_SWITCHING_PROTOCOLS then
        subprotocol.answer()
    end
end

return _M
