-- Answers /readyz: whether this nginx can serve now, unlike /healthz, which says that it runs at all.

local ready = require "route_native.core.ready"
local response = require "route_native.core.response"

local ngx = ngx

local READY = '{"status":"ready"}\n'
local RETRY_AFTER = 5

local _M = {}

-- Answers 200, or 503 with the reason. Runs in the content phase.
function _M.answer()
    local reason, message = ready.missing(true)
    if not reason then
        return response.finish(ngx.HTTP_OK, READY)
    end
    ngx.header["Retry-After"] = RETRY_AFTER
    local body = ('{"status":"unavailable","reason":"%s","message":"%s"}\n'):format(reason, message)
    return response.finish(ngx.HTTP_SERVICE_UNAVAILABLE, body)
end

return _M
