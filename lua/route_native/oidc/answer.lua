-- The answers of OpenID Connect: a status and a constant body, as a page or as JSON. All pages work without scripts.

local client = require "route_native.core.client"
local page = require "route_native.core.page"
local response = require "route_native.core.response"

local ngx = ngx
local both = page.both

-- The Retry-After while a store or a provider is down, in seconds.
local RETRY_AFTER = 5

local _M = { session_expired = page.session_expired, redirect = page.redirect }

_M.forbidden = both(403, "FORBIDDEN", "Forbidden", "You are not allowed to see this.")
_M.cross_site = both(403, "CROSS_SITE", "Forbidden", "This request came from another site.")
_M.no_navigation = both(403, "NO_NAVIGATION", "Forbidden", "A GET logs out only when a user follows a link; use POST.")
_M.not_allowed = both(405, "METHOD_NOT_ALLOWED", "Method not allowed", "This address does not take that method.")
_M.not_found = both(404, "NOT_FOUND", "Not found", "There is nothing at this address.")
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

-- Returns a link as HTML.
function _M.link(path, text, attributes)
    return ('<p><a href="%s"%s>%s</a></p>'):format(page.escape(path), attributes or "", page.escape(text))
end

-- Why a login failed, by the reason: status, title and sentence.
local FAILURES = {
    refused = { 403, "Login refused", "The login was refused or cancelled." },
    not_enough = { 403, "Not allowed", "Your login does not have the strength that this page requires." },
    stale = { 400, "Login not finished", "This login took too long, is finished already, or began elsewhere." },
    failed = { 400, "Login failed", "The login could not be finished." },
}

-- Ends a login that failed, with a link to try again.
function _M.login_failed(kind, path)
    local failure = FAILURES[kind]
    if not client.wants_page() and ngx.var.http_accept ~= nil and not ngx.var.http_accept:find("*/*", 1, true) then
        return response.finish(failure[1], response.json("LOGIN_FAILED", failure[3]))
    end
    return page.finish(failure[1], failure[2], failure[3], _M.link(path, "Log in again"))
end

-- Ends the POST of a page without a session. Its form is not lost: after a login in another tab, the browser sends it
-- again when the user reloads this page.
function _M.log_in_and_reload(path)
    ngx.header["WWW-Authenticate"] = "Session"
    return page.finish(401, "Please log in",
        "You are not logged in any more, and what you have sent was not processed. Log in first, then come back here "
        .. "and reload this page: your browser sends the form again.",
        _M.link(path, "Log in, in a new tab", ' target="_blank" rel="noopener"'))
end

return _M
