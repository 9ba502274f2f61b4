-- Ends requests without an acceptable token: a status, a constant body, and CORS headers so that a page can read them.

local client = require "route_native.core.client"
local response = require "route_native.core.response"

local ngx = ngx

-- Returns a body without its line break, as lua-resty-phantom-token sends it.
local function bare(json)
    return json:sub(1, -2)
end

local UNAUTHORIZED = bare(response.UNAUTHORIZED)
local TOO_MANY_HEADERS = bare(response.TOO_MANY_HEADERS)
local FORBIDDEN = bare(response.json("forbidden", "The token does not contain the required scope"))
local SERVER_ERROR = bare(response.json("server_error", "The token cannot be checked now, try again later"))
local TOO_MANY = bare(response.json("too_many_attempts", "Too many inactive tokens, try again later"))

-- The Retry-After of a 503, in seconds.
local RETRY_AFTER = 5
-- How long a browser may cache the answer to a preflight, in seconds.
local PREFLIGHT_MAX_AGE = 600
local METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
local MAX_HEADERS_BYTES = 1024

local _M = {}

-- Allows the page of the request to read the answer if its origin is trusted. Returns whether it is.
local function allow_origin(settings)
    if next(settings.origins) == nil then
        return false
    end
    ngx.header["Vary"] = "Origin"
    local origin = ngx.var.http_origin
    if not origin or not client.is_among(origin, settings.origins) then
        return false
    end
    ngx.header["Access-Control-Allow-Origin"] = origin
    ngx.header["Access-Control-Allow-Credentials"] = "true"
    return true
end

-- Allows a page of a trusted origin to read the answer and its headers.
local function readable(settings)
    if allow_origin(settings) then
        ngx.header["Access-Control-Expose-Headers"] = settings.takes_dpop == 1
            and "WWW-Authenticate, Retry-After, DPoP-Nonce" or "WWW-Authenticate, Retry-After"
    end
end

-- Ends the request with a challenge, or with those of both schemes. `attributes` belong to the scheme of the token.
local function challenge(settings, status, attributes, body, is_dpop)
    readable(settings)
    local challenges = settings.bound and settings.bound:challenges(attributes, nil, is_dpop)
    return response.challenge(status, attributes, nil, body, challenges)
end

function _M.too_many_headers(settings)
    readable(settings)
    return response.refuse(400, TOO_MANY_HEADERS)
end

function _M.token_missing(settings)
    return challenge(settings, 401, nil, UNAUTHORIZED)
end

-- `attributes` are those of a token that is only invalid by default.
function _M.invalid_token(settings, is_dpop, attributes)
    return challenge(settings, 401, attributes or 'error="invalid_token"', UNAUTHORIZED, is_dpop)
end

function _M.insufficient_scope(settings, is_dpop)
    local attributes = 'error="insufficient_scope"'
    if settings.scope then
        attributes = ('%s, scope="%s"'):format(attributes, table.concat(settings.scope, " "))
    end
    return challenge(settings, 403, attributes, FORBIDDEN, is_dpop)
end

function _M.server_error(settings)
    readable(settings)
    ngx.header["Retry-After"] = RETRY_AFTER
    return response.refuse(503, SERVER_ERROR)
end

function _M.too_many(settings, seconds)
    readable(settings)
    ngx.header["Retry-After"] = seconds
    return response.finish(429, TOO_MANY)
end

-- Answers a preflight: pages of trusted origins may send requests with any of these methods and any header.
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
