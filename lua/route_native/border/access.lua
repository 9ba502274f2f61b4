-- The three use cases, for every request to a service.
--
--     service token there ──► Auth-Token, go on
--     master token only   ──► exchange it for a service token, go on
--     no session          ──► a page: to the login; a script: 401

local answer = require "route_native.border.answer"
local client = require "route_native.core.client"
local session = require "route_native.border.session_id"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx

local _M = {}

-- Sets why a request was refused, for the access log.
local function refused_for(reason)
    ngx.var.route_reason = reason
end

-- Keeps where a navigation was going; only what a redirect can repeat.
local function remember(border)
    local method, path = ngx.req.get_method(), ngx.var.request_uri
    local is_repeatable = (method == "GET" or method == "HEAD") and #path <= session.MAX_PATH_BYTES
    if not is_repeatable or not session.is_local_path(path) then
        path = border.settings.default_path
    end
    return border.sessions:remember_visit(path)
end

-- Use case 3. The cookie of a session that has ended stays where it is: the answer to a login may overtake this one,
-- and its cookie must not be taken away again.
local function log_in(border, why)
    refused_for("session_" .. why)
    border.counters:add("session." .. why)
    if not client.wants_page() then
        return answer.session_expired()
    elseif not remember(border) then
        ngx.header["Set-Cookie"] = nil
        return answer.unavailable()
    end
    return answer.redirect(border.settings.login_path)
end

local function refuse(border, why)
    if why == "unavailable" then
        refused_for("session_unavailable")
        return answer.unavailable()
    elseif why == "denied" then
        refused_for("service_denied")
        border.counters:add("service_token.denied")
        return answer.forbidden()
    elseif why == "ended" then
        -- The auth service does not know the master token any more: nor is the session worth anything.
        border.sessions:destroy()
    end
    return log_in(border, why)
end

local function go_on(border, service, token)
    local var = ngx.var
    var.border_upstream = service.url
    var.border_auth_token = token
    var.border_cookie = border.cookies:for_upstream()
end

-- `refused` is the token that the service has just answered 401 to; nil the first time.
local function run(border, refused)
    local service = border.services:find(ngx.var.host, ngx.var.uri)
    if not service then
        refused_for("service_unmapped")
        border.counters:add("service.unmapped")
        return answer.not_found()
    end
    ngx.var.endpoint = service.name
    local loaded, why = border.sessions:load()
    if not loaded then
        return refuse(border, why)
    end
    local token = loaded.record.service_tokens[service.name]
    if token and token ~= refused then
        border.counters:add("service_token.hit")
    elseif not subrequest.is_possible() then
        return answer.no_subrequests()
    else
        token, why = border.exchange:token(loaded, service.name, refused)
        if not token then
            return refuse(border, why)
        end
    end
    border.sessions:extend(loaded)
    return go_on(border, service, token)
end

-- For the access phase of what is proxied to services.
function _M.access(border)
    return run(border, nil)
end

-- For the access phase of the second try, after the service's own 401: its token ends, and a new one is fetched.
function _M.again(border)
    border.counters:add("service_token.refused")
    -- The first answer's challenge is not the second's.
    ngx.header["WWW-Authenticate"] = nil
    return run(border, ngx.var.border_auth_token)
end

return _M
