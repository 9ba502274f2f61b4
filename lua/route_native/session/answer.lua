-- The answers that the border and OpenID Connect share: a status and a constant body, as a page or as JSON. All pages
-- work without scripts, and no cache may store them.

local page = require "route_native.core.page"

local both = page.both
local ngx = ngx

-- The Retry-After while a store, a service or a provider is down, in seconds.
local RETRY_AFTER = 5

local _M = { session_expired = page.session_expired, redirect = page.redirect }

_M.forbidden = both(403, "FORBIDDEN", "Forbidden", "You are not allowed to see this.")
_M.cross_site = both(403, "CROSS_SITE", "Forbidden", "This request came from another site.")
_M.no_navigation = both(403, "NO_NAVIGATION", "Forbidden", "A GET logs out only when a user follows a link; use POST.")
_M.not_allowed = both(405, "METHOD_NOT_ALLOWED", "Method not allowed", "This address does not take that method.")
_M.length_required = both(411, "LENGTH_REQUIRED", "Length required", "The length of the request is not known.")
_M.too_large = both(413, "TOO_LARGE", "Too large", "The request is too large.")
local unavailable = both(503, "UNAVAILABLE", "Not available", "The service is not available, please try again later.")
local too_many = both(429, "TOO_MANY_ATTEMPTS", "Too many attempts", "Too many failed logins, please try again later.")

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

return _M
