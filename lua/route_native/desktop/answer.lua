-- Checks a desktop's answer before a browser gets it. conf/runtime.sh writes the call, for each desktop endpoint.

local access_log = require "route_native.core.access_log"
local cookies = require "route_native.desktop.cookies"
local final_answer = require "route_native.core.final_answer"

local _M = {}

-- Ends an answer that is not final, and removes all cookies but those in `names`. Runs in header_filter_by_lua.
function _M.check(names)
    if not final_answer.check() then
        -- Without a status line nginx sends no header either, so there is no page for it.
        access_log.reason("desktop_answer_invalid")
    elseif names ~= "" then
        cookies.received(names)
    end
end

return _M
