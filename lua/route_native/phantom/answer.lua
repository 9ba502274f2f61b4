-- How a request without an acceptable token ends: a status, a constant body, and headers that a browser can read.

local ngx = ngx

local TOO_MANY_HEADERS = '{"code":"bad_request","message":"Too many headers"}'
local UNAUTHORIZED = '{"code":"unauthorized","message":"Missing, invalid or expired access token"}'
local FORBIDDEN = '{"code":"forbidden","message":"The token does not contain the required scope"}'
local SERVER_ERROR = '{"code":"server_error","message":"The token cannot be checked now, try again later"}'

-- Seconds that a client waits before it tries again.
local RETRY_AFTER = 5
-- Seconds that a browser keeps the answer to a preflight.
local PREFLIGHT_MAX_AGE = 600
local METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
local MAX_HEADERS_BYTES = 1024

local _M = {}

-- A page of another origin may read the answer when its origin is trusted, and no other may.
local function allow_origin(settings)
    if next(settings.origins) == nil then
        return false
    end
    ngx.header["Vary"] = "Origin"
    local origin = ngx.var.http_origin
    if not origin or not settings.origins[origin:lower()] then
        return false
    end
    ngx.header["Access-Control-Allow-Origin"] = origin
    ngx.header["Access-Control-Allow-Credentials"] = "true"
    return true
end

local function finish(settings, status, body)
    if allow_origin(settings) then
        ngx.header["Access-Control-Expose-Headers"] = "WWW-Authenticate, Retry-After"
    end
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Cache-Control"] = "no-store"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(status)
end

function _M.too_many_headers(settings)
    return finish(settings, 400, TOO_MANY_HEADERS)
end

-- The request carries no bearer token: no error code then (RFC 6750 §3.1).
function _M.token_missing(settings)
    ngx.header["WWW-Authenticate"] = "Bearer"
    return finish(settings, 401, UNAUTHORIZED)
end

function _M.invalid_token(settings)
    ngx.header["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return finish(settings, 401, UNAUTHORIZED)
end

function _M.insufficient_scope(settings)
    ngx.header["WWW-Authenticate"] = ('Bearer error="insufficient_scope", scope="%s"')
        :format(table.concat(settings.scopes, " "))
    return finish(settings, 403, FORBIDDEN)
end

function _M.server_error(settings)
    ngx.header["Retry-After"] = RETRY_AFTER
    return finish(settings, 503, SERVER_ERROR)
end

-- Whether the request is a preflight: a browser's question before another request (Fetch §3.2.2).
function _M.is_preflight()
    local var = ngx.var
    return ngx.req.get_method() == "OPTIONS" and var.http_origin ~= nil
        and var.http_access_control_request_method ~= nil
end

-- Answers a preflight: what follows may come from trusted origins, with any method and header.
function _M.preflight(settings)
    if allow_origin(settings) then
        local wanted = ngx.var.http_access_control_request_headers
        if not wanted or #wanted > MAX_HEADERS_BYTES or not wanted:find("^[%w%-_, ]+$") then
            wanted = "Authorization, Content-Type"
        end
        ngx.header["Access-Control-Allow-Methods"] = METHODS
        ngx.header["Access-Control-Allow-Headers"] = wanted
        ngx.header["Access-Control-Max-Age"] = PREFLIGHT_MAX_AGE
    end
    return ngx.exit(204)
end

return _M
