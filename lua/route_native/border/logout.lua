-- Logs users out: ends the session in the store, clears the cookies, and redirects to a page of this origin.

local answer = require "route_native.border.answer"
local client = require "route_native.core.client"
local session_id = require "route_native.session.id"

local ngx = ngx

-- Arguments after these are ignored.
local MAX_ARGUMENTS = 20

local _M = {}

-- Returns the path to redirect to: the argument `destination` if it leads to the same origin, else the login.
local function destination(border)
    local path = ngx.req.get_uri_args(MAX_ARGUMENTS).destination
    if type(path) == "string" and session_id.is_local_path(path) then
        return path
    end
    return border.settings.login_path
end

-- Ends the session and the request.
function _M.logout(border)
    local method = ngx.req.get_method()
    if method ~= "GET" and method ~= "POST" then
        ngx.header["Allow"] = "GET, POST"
        return answer.not_allowed()
    elseif client.is_cross_site(border.settings.cookie_domain ~= nil, border.public_origins) then
        return answer.cross_site()
    elseif method == "GET" and not client.is_navigation() then
        return answer.no_navigation()
    elseif not border.sessions:destroy() then
        -- Keep the cookie, so that the user can try again: the session is still in the store.
        return answer.unavailable()
    end
    border.cookies:clear_session()
    border.cookies:clear_login()
    border.counters:add("logout")
    return answer.redirect(destination(border))
end

return _M
