-- Ends refused requests with a status and a constant body. The reason goes to the log, never to the client.

local request = require "route_native.core.request"

local ngx = ngx

local JSON = "application/json"
local UPGRADE_REQUIRED_STATUS = 426

-- Returns the JSON of a refusal: a code for programs, a sentence for people.
local function json(code, message)
    return ('{"code":"%s","message":"%s"}\n'):format(code, message)
end

local _M = { json = json }

-- The body for every request without an acceptable token.
_M.UNAUTHORIZED = json("unauthorized", "Missing, invalid or expired access token")
_M.TOO_MANY_HEADERS = json("bad_request", "Too many headers")
local CROSS_ORIGIN = json("forbidden", "A page of another origin may not use this cookie")
local UPGRADE_REQUIRED = json("upgrade_required", "This endpoint opens WebSockets only")
local UNAVAILABLE = json("unavailable", "The service is not available, try again later")

-- Ends the request with a body that no cache may store. `content_type` is JSON by default.
local function finish(status, body, content_type)
    local header = ngx.header
    ngx.status = status
    header["Content-Type"] = content_type or JSON
    header["Cache-Control"] = "no-store"
    header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(status)
end

_M.finish = finish

-- Refuses a request, with this body, or with that of the error_page where the configuration says so:
-- `set $route_error_page 1;`. nginx looks at no error_page once there is a body.
local function refuse(status, body)
    if ngx.var.route_error_page == "1" then
        ngx.header["Cache-Control"] = "no-store"
        return ngx.exit(status)
    end
    return finish(status, body)
end

_M.refuse = refuse

-- Returns the challenge of a scheme (RFC 9110 §11.6.1): its name and those of its attributes that are not nil.
function _M.scheme(name, ...)
    local parts = {}
    for i = 1, select("#", ...) do
        parts[#parts + 1] = (select(i, ...))
    end
    return #parts > 0 and name .. " " .. table.concat(parts, ", ") or name
end

-- Ends the request with a challenge (RFC 6750 §3). `attributes`, such as 'error="invalid_token"', and `realm`, such as
-- 'realm="x"', are optional. The body is UNAUTHORIZED by default. `challenges` are those of other schemes than Bearer.
function _M.challenge(status, attributes, realm, body, challenges)
    ngx.header["WWW-Authenticate"] = challenges or _M.scheme("Bearer", realm, attributes)
    return refuse(status, body or _M.UNAUTHORIZED)
end

-- Ends a request without a credential. Its challenge has no error code (RFC 6750 §3.1).
function _M.token_missing()
    return _M.challenge(ngx.HTTP_UNAUTHORIZED)
end

-- Ends a request with a bad token.
function _M.invalid_token()
    return _M.challenge(ngx.HTTP_UNAUTHORIZED, 'error="invalid_token"')
end

-- Ends a request that nginx itself refuses with 400. One with two Authorization headers gets 401 instead, as every
-- request with an ambiguous credential does.
function _M.bad_request()
    if not request.has_too_many_headers(request.current())
        and type(ngx.req.get_headers(0).authorization) == "table" then
        return _M.invalid_token()
    end
    return ngx.exit(ngx.HTTP_BAD_REQUEST)
end

-- Ends a request with more headers than request.lua allows.
function _M.too_many_headers()
    return refuse(ngx.HTTP_BAD_REQUEST, _M.TOO_MANY_HEADERS)
end

-- Ends a request that a page of another origin makes with a visitor's cookie.
function _M.cross_origin()
    return refuse(ngx.HTTP_FORBIDDEN, CROSS_ORIGIN)
end

-- Ends a request that opens no WebSocket at a WebSocket endpoint. HTTP/2 forbids these headers (RFC 9113 §8.2.2).
function _M.upgrade_required()
    if ngx.req.http_version() < 2 then
        ngx.header["Upgrade"] = "websocket"
        ngx.header["Connection"] = "Upgrade"
    end
    return finish(UPGRADE_REQUIRED_STATUS, UPGRADE_REQUIRED)
end

-- Ends the request with 503. `retry_after` is in seconds.
function _M.unavailable(retry_after)
    ngx.header["Retry-After"] = retry_after
    return refuse(ngx.HTTP_SERVICE_UNAVAILABLE, UNAVAILABLE)
end

return _M
