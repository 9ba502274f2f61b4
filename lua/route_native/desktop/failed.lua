-- Answers in the place of nginx's own 502 and 504: finds out from nginx's variables why there is no answer.
--
-- What a desktop itself answers with such a status never gets here: nginx passes it on as it is.

local arrival = require "route_native.desktop.arrival"
local failure = require "route_native.desktop.failure"

local ngx = ngx

-- The limit of the connection that tells a failure of TCP from one of TLS, in milliseconds.
local PROBE_MS = 1000

local _M = {}

-- Returns whether the last attempt had a connection, over TLS a checked one.
local function was_connected(var)
    local time = (var.upstream_connect_time or ""):match("([^%s,:]+)$")
    return time ~= nil and time ~= "-"
end

-- Returns whether the last attempt had an address to connect to.
local function was_resolved(var)
    return (var.upstream_addr or ""):find(":%d+$") ~= nil
end

-- Returns whether something listens at the desktop's port. nginx does not say whether TCP or TLS failed.
local function is_listening(var)
    local socket = ngx.socket.tcp()
    socket:settimeout(PROBE_MS)
    local ok = socket:connect(var.target, tonumber(var.desktop_port))
    socket:close()
    return ok ~= nil
end

-- Returns the code for what nginx has answered with 502 or 504.
local function code_of(status, var)
    if not var.target or var.target == "" then
        return "unavailable"
    elseif was_connected(var) then
        return status == ngx.HTTP_GATEWAY_TIMEOUT and "desktop_timeout" or "desktop_answer_invalid"
    elseif status == ngx.HTTP_GATEWAY_TIMEOUT then
        return "desktop_unreachable"
    elseif not was_resolved(var) then
        return "desktop_unresolved"
    end
    return var.desktop_scheme == "https" and is_listening(var) and "desktop_tls_failed" or "desktop_refused"
end

-- Ends a request that no upstream has answered. Runs in content_by_lua, with the status that nginx chose.
function _M.answer()
    local status = ngx.status
    local var = ngx.var
    local code = code_of(status, var)
    arrival.forget(var.target, var.desktop_port)
    return failure.finish(code, code == "unavailable" and status or nil)
end

return _M
