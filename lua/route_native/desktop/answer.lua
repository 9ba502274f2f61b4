-- Checks a desktop's answer before a browser gets it. conf/runtime.sh writes the call, for each desktop endpoint.

local access_log = require "route_native.core.access_log"
local cookies = require "route_native.desktop.cookies"
local final_answer = require "route_native.core.final_answer"
local metrics = require "route_native.core.metrics"
local subprotocol = require "route_native.desktop.subprotocol"

local ngx = ngx

local _M = {}

-- Counts a request that desktop_isolation.conf has refused, without Lua.
local function count_refusal()
    local reason = ngx.status == ngx.HTTP_FORBIDDEN and ngx.var.route_reason
    if reason and reason ~= "" then
        metrics.refused("desktop", ngx.HTTP_FORBIDDEN, reason)
    end
end

-- Ends an answer that is not final, removes all cookies but those in `names`, and completes the handshake of a
-- WebSocket. Runs in header_filter_by_lua.
function _M.check(names)
    count_refusal()
    if not final_answer.check() then
        -- Without a status line nginx sends no header either, so there is no page for it.
        return access_log.reason("desktop_answer_invalid")
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
