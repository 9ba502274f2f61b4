-- Logout: the session ends in the store, then in the browser, then the client is sent to a page of this origin.

local answer = require "route_native.border.answer"
local client = require "route_native.core.client"
local session = require "route_native.border.session_id"

local ngx = ngx

-- Of more arguments than this none is looked at.
local MAX_ARGUMENTS = 20

local _M = {}

-- Where to go: the argument `destination` if it leads to the same origin.
local function destination(border)
    local path = ngx.req.get_uri_args(MAX_ARGUMENTS).destination
    if type(path) == "string" and session.is_local_path(path) then
        return path
    end
    return border.settings.login_path
end

function _M.logout(border)
    local method = ngx.req.get_method()
    if method ~= "GET" and method ~= "POST" then
        ngx.header["Allow"] = "GET, POST"
        return answer.not_allowed()
    elseif client.is_cross_site(true) then
        return answer.cross_site()
    elseif not border.sessions:destroy() then
        -- The session would outlive its cookie; better that the user can try again.
        return answer.unavailable()
    end
    border.cookies:clear_session()
    border.cookies:clear_login()
    border.counters:add("logout")
    return answer.redirect(destination(border))
end

return _M
