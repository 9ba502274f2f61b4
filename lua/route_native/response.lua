-- How a refused request ends: a status, a constant body, and no word about why.

local ngx = ngx

local JSON = "application/json"
local UNAUTHORIZED = '{"code":"unauthorized","message":"Missing, invalid or expired access token"}\n'
local UNAVAILABLE = '{"code":"unavailable","message":"The service is not available, try again later"}\n'

local _M = {}

local function finish(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = JSON
    ngx.header["Cache-Control"] = "no-store"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(status)
end

-- RFC 6750 §3: no error code when the request carries no credential at all.
function _M.unauthorized(challenge)
    ngx.header["WWW-Authenticate"] = challenge
    return finish(ngx.HTTP_UNAUTHORIZED, UNAUTHORIZED)
end

_M.BEARER = "Bearer"
_M.INVALID_TOKEN = 'Bearer error="invalid_token"'

-- `retry_after` is in seconds.
function _M.unavailable(retry_after)
    ngx.header["Retry-After"] = retry_after
    return finish(ngx.HTTP_SERVICE_UNAVAILABLE, UNAVAILABLE)
end

return _M
