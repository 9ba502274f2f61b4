-- How a request without an acceptable token ends: a status, a constant body, and headers that a browser can read.

local response = require "route_native.core.response"

local ngx = ngx

-- As in lua-resty-phantom-token, the bodies end without a line break.
local function bare(json)
    return json:sub(1, -2)
end

local UNAUTHORIZED = bare(response.UNAUTHORIZED)
local TOO_MANY_HEADERS = bare(response.TOO_MANY_HEADERS)
local FORBIDDEN = bare(response.json("forbidden", "The token does not contain the required scope"))
local SERVER_ERROR = bare(response.json("server_error", "The token cannot be checked now, try again later"))

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

-- Lets a page of a trusted origin read the answer that follows.
local function readable(settings)
    if allow_origin(settings) then
        ngx.header["Access-Control-Expose-Headers"] = "WWW-Authenticate, Retry-After"
    end
end

function _M.too_many_headers(settings)
    readable(settings)
    return response.finish(400, TOO_MANY_HEADERS)
end

function _M.token_missing(settings)
    readable(settings)
    return response.challenge(401, nil, nil, UNAUTHORIZED)
end

function _M.invalid_token(settings)
    readable(settings)
    return response.challenge(401, 'error="invalid_token"', nil, UNAUTHORIZED)
end

function _M.insufficient_scope(settings)
    readable(settings)
    local attributes = 'error="insufficient_scope"'
    if settings.scope then
        attributes = ('%s, scope="%s"'):format(attributes, table.concat(settings.scope, " "))
    end
    return response.challenge(403, attributes, nil, FORBIDDEN)
end

function _M.server_error(settings)
    readable(settings)
    ngx.header["Retry-After"] = RETRY_AFTER
    return response.finish(503, SERVER_ERROR)
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
