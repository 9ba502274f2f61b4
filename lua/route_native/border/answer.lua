-- The border's own answers: a status and a constant body, as a page or as JSON. No cache may store them.

local client = require "route_native.core.client"
local response = require "route_native.core.response"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx

-- The Retry-After while a store or a service is down, in seconds.
local RETRY_AFTER = 5
-- The headers that tell pages from scripts (client.lua).
local VARY = "Accept, Sec-Fetch-Mode, X-Requested-With"

local _M = {}

local PAGE = [[<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title></head>
<body><h1>%s</h1><p>%s</p></body></html>
]]

-- Returns a function that ends a request, with a page or with JSON. Both bodies are built once.
local function both(status, code, title, message)
    local page = PAGE:format(title, title, message)
    local json = response.json(code, message)
    return function()
        ngx.header["Vary"] = VARY
        if client.wants_page() then
            return response.finish(status, page, "text/html; charset=utf-8")
        end
        return response.finish(status, json)
    end
end

_M.not_found = both(404, "SERVICE_UNKNOWN", "Not found", "No service is mapped to this address.")
_M.forbidden = both(403, "FORBIDDEN", "Forbidden", "You are not allowed to see this.")
_M.cross_site = both(403, "CROSS_SITE", "Forbidden", "This request came from another site.")
_M.no_navigation = both(403, "NO_NAVIGATION", "Forbidden", "A GET logs out only when a user follows a link; use POST.")
_M.bad_request = both(400, "BAD_REQUEST", "Bad request", "The fields username and password are needed once each.")
_M.not_allowed = both(405, "METHOD_NOT_ALLOWED", "Method not allowed", "This address does not take that method.")
_M.length_required = both(411, "LENGTH_REQUIRED", "Length required", "The length of the request is not known.")
_M.too_large = both(413, "TOO_LARGE", "Too large", "The request is too large.")
_M.bad_media_type = both(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type",
    "A login is a form: application/x-www-form-urlencoded, without a Content-Encoding.")
local no_subrequests = both(505, "HTTP_VERSION_NOT_SUPPORTED", "HTTP version not supported",
    "This server cannot do that over HTTP/2; please use HTTP/1.1.")

local unavailable = both(503, "UNAVAILABLE", "Not available", "The service is not available, please try again later.")
local too_many = both(429, "TOO_MANY_ATTEMPTS", "Too many attempts", "Too many failed logins, please try again later.")

-- Ends an HTTP/2 request that needs a subrequest where these do not work.
function _M.no_subrequests()
    ngx.log(ngx.ERR, "route_native: border: calls to the account and auth services work over HTTP/2 only with ",
        subrequest.NEEDED, " or newer, and this is ", ngx.config.ngx_lua_version)
    return no_subrequests()
end

-- Ends the request with 503.
function _M.unavailable()
    ngx.header["Retry-After"] = RETRY_AFTER
    return unavailable()
end

-- Ends a login that exceeds a limit. `seconds` is the time until the next attempt is allowed.
function _M.too_many(seconds)
    ngx.header["Retry-After"] = seconds
    return too_many()
end

local EXPIRED = '{"code":"SESSION_EXPIRED"}'

-- Ends a script's request without a session. A script cannot fill in a form.
function _M.session_expired()
    -- RFC 9110 requires a challenge with a 401. For an unknown scheme a browser shows no dialog.
    ngx.header["WWW-Authenticate"] = "Session"
    ngx.header["Vary"] = VARY
    return response.finish(401, EXPIRED)
end

-- Redirects to a path of this origin: 302 after a GET, 303 otherwise. A path, not a URL, keeps the host name that the
-- client uses.
function _M.redirect(path)
    ngx.header["Location"] = path
    ngx.header["Vary"] = VARY
    return response.finish(ngx.req.get_method() == "GET" and 302 or 303, "", "text/plain")
end

return _M
