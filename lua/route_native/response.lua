-- How a refused request ends: a status, a constant body, and no word about why.

local request = require "route_native.request"

local ngx = ngx

local JSON = "application/json"
local UPGRADE_REQUIRED_STATUS = 426
local UNAUTHORIZED = '{"code":"unauthorized","message":"Missing, invalid or expired access token"}\n'
local TOO_MANY_HEADERS = '{"code":"bad_request","message":"Too many headers"}\n'
local UPGRADE_REQUIRED = '{"code":"upgrade_required","message":"This endpoint opens WebSockets only"}\n'
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

_M.finish = finish

-- The request carries no credential: no error code then (RFC 6750 §3.1).
function _M.token_missing()
    ngx.header["WWW-Authenticate"] = "Bearer"
    return finish(ngx.HTTP_UNAUTHORIZED, UNAUTHORIZED)
end

function _M.invalid_token()
    ngx.header["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return finish(ngx.HTTP_UNAUTHORIZED, UNAUTHORIZED)
end

-- For the requests that nginx itself refuses with 400. It does so for two Authorization headers too: those are two
-- credentials, and end like any other doubtful one.
function _M.bad_request()
    if not request.has_too_many_headers(request.current())
        and type(ngx.req.get_headers(0).authorization) == "table" then
        return _M.invalid_token()
    end
    return ngx.exit(ngx.HTTP_BAD_REQUEST)
end

function _M.too_many_headers()
    return finish(ngx.HTTP_BAD_REQUEST, TOO_MANY_HEADERS)
end

-- For a WebSocket endpoint and a request that opens none. HTTP/2 has no such headers (RFC 9113 §8.2.2).
function _M.upgrade_required()
    if ngx.req.http_version() < 2 then
        ngx.header["Upgrade"] = "websocket"
        ngx.header["Connection"] = "Upgrade"
    end
    return finish(UPGRADE_REQUIRED_STATUS, UPGRADE_REQUIRED)
end

-- `retry_after` is in seconds.
function _M.unavailable(retry_after)
    ngx.header["Retry-After"] = retry_after
    return finish(ngx.HTTP_SERVICE_UNAVAILABLE, UNAVAILABLE)
end

return _M
