-- The border's own answers: a status and a constant body, as a page or as JSON. No cache may store them.

local page = require "route_native.core.page"
local subrequest = require "route_native.core.subrequest"

local both = page.both
local ngx = ngx

-- The Retry-After while a store or a service is down, in seconds.
local RETRY_AFTER = 5

local _M = {}

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

_M.session_expired = page.session_expired
_M.redirect = page.redirect

return _M
