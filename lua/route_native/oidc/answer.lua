-- The answers of OpenID Connect, beside those that it shares with the border.

local client = require "route_native.core.client"
local page = require "route_native.core.page"
local response = require "route_native.core.response"
local shared = require "route_native.session.answer"

local ngx = ngx

local _M = setmetatable({}, { __index = shared })

_M.not_found = page.both(404, "NOT_FOUND", "Not found", "There is nothing at this address.")

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
