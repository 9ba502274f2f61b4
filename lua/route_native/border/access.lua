-- Decides about each request to a service, by the three use cases.
--
--     1  the session has a service token   ──► pass, with Auth-Token
--     2  the session has the master token  ──► exchange it for a service token, then pass
--     3  there is no session               ──► redirect a page to the login, answer a script with 401

local access_log = require "route_native.core.access_log"
local answer = require "route_native.border.answer"
local client = require "route_native.core.client"
local connections = require "route_native.control.connections"
local forward_auth = require "route_native.core.forward_auth"
local metrics = require "route_native.core.metrics"
local request = require "route_native.core.request"
local session_id = require "route_native.session.id"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx

local NO_HEADERS = { list = {} }

local _M = {}

-- Remembers the path of a request for after the login, if a redirect can repeat the request. Returns false on failure.
local function remember(border)
    local method, path = ngx.req.get_method(), ngx.var.request_uri
    local is_repeatable = (method == "GET" or method == "HEAD") and #path <= session_id.MAX_PATH_BYTES
    if not is_repeatable or not session_id.is_local_path(path) then
        path = border.settings.default_path
    end
    return border.sessions:remember_visit(path)
end

-- Ends a request without a session: use case 3. It leaves the cookie of an ended session alone, because the answer to a
-- login may have overtaken this one and set a new cookie.
local function require_login(border, reason)
    access_log.reason("session_" .. reason)
    border.counters:add("session." .. reason)
    if not client.wants_page() then
        metrics.refused("border", 401, "session_" .. reason)
        return answer.session_expired()
    elseif not remember(border) then
        ngx.header["Set-Cookie"] = nil
        metrics.refused("border", 503, "session_unavailable")
        return answer.unavailable()
    end
    metrics.refused("border", ngx.req.get_method() == "GET" and 302 or 303, "session_" .. reason)
    return answer.redirect(border.settings.login_path)
end

-- Ends a request that gets no service token.
local function refuse(border, reason)
    if reason == "unavailable" then
        access_log.reason("session_unavailable")
        metrics.refused("border", 503, "session_unavailable")
        return answer.unavailable()
    elseif reason == "denied" then
        access_log.reason("service_denied")
        metrics.refused("border", 403, "service_denied")
        border.counters:add("service_token.denied")
        return answer.forbidden()
    elseif reason == "ended" then
        -- The auth service refuses the master token, so the session is useless.
        border.sessions:destroy()
    end
    return require_login(border, reason)
end

-- Sets the variables with which nginx passes the request on.
local function pass(border, service, token)
    local var = ngx.var
    var.border_upstream = service.url
    var.border_auth_token = token
    var.border_cookie = border.cookies:for_upstream()
end

-- Passes or ends a request. `refused` is the token that the service has just answered with 401, or nil.
local function run(border, refused)
    local service = border.services:find(client.host(), ngx.var.uri)
    if not service then
        access_log.reason("service_unmapped")
        metrics.refused("border", 404, "service_unmapped")
        border.counters:add("service.unmapped")
        return answer.not_found()
    end
    ngx.var.endpoint = service.name
    local session, reason = border.sessions:load()
    if not session then
        return refuse(border, reason)
    end
    local token = session.record.service_tokens[service.name]
    if token and token ~= refused then
        border.counters:add("service_token.hit")
    elseif not subrequest.is_possible() then
        return answer.no_subrequests()
    else
        token, reason = border.exchange:token(session, service.name, refused)
        if not token then
            return refuse(border, reason)
        end
    end
    border.sessions:extend(session)
    connections.keep(session.record.identity)
    if not refused then
        metrics.passed("border", request.current())
    end
    return pass(border, service, token)
end

-- Returns the token of a service that the session has or gets, or nil and a reason.
local function token_of(border, session, service)
    local token = session.record.service_tokens[service]
    if token then
        return token
    elseif not subrequest.is_possible() then
        return nil, "unavailable"
    end
    return border.exchange:token(session, service)
end

-- Answers another proxy that asks whether a request may pass. `service` names a service whose token the proxy needs.
function _M.forward(border, service)
    local session, reason = border.sessions:load()
    local token
    if session and service then
        token, reason = token_of(border, session, service)
        session = token and session
    end
    if session then
        border.sessions:extend(session)
        return forward_auth.allow(NO_HEADERS, {}, { ["Auth-Token"] = token })
    elseif reason == "unavailable" or reason == "denied" then
        return refuse(border, reason)
    end
    access_log.reason("session_" .. reason)
    border.counters:add("session." .. reason)
    -- The login leads to the page of the last visit, or to the default path.
    return forward_auth.log_in(client.origin() .. border.settings.login_path)
end

-- Runs in the access phase of the services' location.
function _M.access(border)
    return run(border, nil)
end

-- Runs in the access phase of the second try, after a service's own 401. It replaces the refused token.
function _M.again(border)
    border.counters:add("service_token.refused")
    -- The challenge belongs to the first answer.
    ngx.header["WWW-Authenticate"] = nil
    return run(border, ngx.var.border_auth_token)
end

return _M
