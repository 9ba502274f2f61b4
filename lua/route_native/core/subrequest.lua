-- Tells whether a request can make subrequests (ngx.location.capture). Before lua-nginx-module 0.10.28 (OpenResty
-- 1.27.1.2) they raise an error in HTTP/2 requests.

local MIN_VERSION = 10028

local _M = { NEEDED = "lua-nginx-module 0.10.28 (OpenResty 1.27.1.2)" }

-- Returns whether this request can make subrequests.
function _M.is_possible()
    return ngx.req.http_version() < 2 or ngx.config.ngx_lua_version >= MIN_VERSION
end

return _M
