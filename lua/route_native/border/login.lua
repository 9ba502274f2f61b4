-- Logs users in. The account service has the login page and knows the accounts; the border has the sessions.

local access_log = require "route_native.core.access_log"
local answer = require "route_native.border.answer"
local call = require "route_native.border.call"
local client = require "route_native.core.client"
local login_body = require "route_native.core.login_body"
local record = require "route_native.border.record"
local response = require "route_native.core.response"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx

local FORM = "application/x-www-form-urlencoded"
-- Equal to client_max_body_size in border.conf.
local MAX_BODY = 65536

local _M = {}

-- The form must have each of these fields exactly once, under any spelling that a backend may accept.
local FIELDS = { "username", "password" }

-- Returns the fields of the form and the digest of the account, or nil and the answer to a body that is no login.
local function read_form()
    local body, status = login_body.read(MAX_BODY)
    if not body then
        return nil, status == 413 and answer.too_large or answer.length_required
    end
    local fields = login_body.form(body, FIELDS)
    local account = fields and fields.username ~= "" and login_body.digest_of(fields.username)
    if not account then
        return nil, answer.bad_request
    end
    -- Only the border tells the account service which service the user visited.
    login_body.remove_field(fields, "service")
    return fields, account
end

-- Returns the name of the service that a path leads to. The account service may include its token in the answer.
local function service_of(border, path)
    local service = border.services:find(client.host(), path:match("^[^?#]*"))
    return service and service.name
end

-- Asks the account service about a login. Returns the record of a new session; nil and its answer if that is a refusal;
-- or nil if the service failed.
local function ask(border, fields)
    local reply, err = call.post(border.settings.account_url .. border.settings.login_path, fields)
    if reply and reply.status == 200 then
        local new_record = record.decode(reply.body)
        if new_record then
            return new_record
        end
        err = "no master token in its answer"
    elseif reply and reply.status >= 400 then
        return nil, reply
    end
    border.counters:add("account.error")
    ngx.log(ngx.ERR, "route_native: border: the account service: ", err or "status " .. reply.status)
    return nil, nil
end

-- Begins a session of an account and redirects to a path.
local function begin(border, new_record, account, path)
    local id = border.sessions:create(new_record, { account }, { account = account })
    if not id then
        return answer.unavailable()
    end
    -- Ends the session of the old id, against session fixation.
    border.sessions:destroy()
    border.cookies:clear_login()
    border.cookies:set_session(id)
    border.counters:add("login.success")
    return answer.redirect(path)
end

-- Ends the request with the account service's refusal.
local function fail(border, reply)
    border.counters:add("login.failure")
    access_log.reason("login_failed")
    return response.finish(reply.status, reply.body, reply.header["Content-Type"] or "text/plain")
end

-- Ends a request that has no attempt left, or whose counter has no room.
local function refuse_attempt(border, wait, is_full)
    if is_full then
        return answer.unavailable()
    end
    border.counters:add("login.limited")
    return answer.too_many(wait)
end

-- Counts the attempt, asks the account service, and ends the request.
local function attempt(border)
    local limits = border.limits
    local ticket, wait, is_full = limits:count_address()
    if not ticket then
        return refuse_attempt(border, wait, is_full)
    end
    local fields, account = read_form()
    if not fields then
        return account()
    end
    ticket, wait, is_full = limits:count_user(ticket, account)
    if not ticket then
        return refuse_attempt(border, wait, is_full)
    end
    local path = border.sessions:visited_path() or border.settings.default_path
    fields.service = service_of(border, path)
    local new_record, refusal = ask(border, fields)
    if refusal then
        return fail(border, refusal)
    end
    limits:forgive(ticket)
    if not new_record then
        return answer.unavailable()
    end
    return begin(border, new_record, account, path)
end

-- Runs in the access phase of the account service's location. It answers the login itself and passes all other requests
-- to the service.
function _M.login(border)
    local var, method = ngx.var, ngx.req.get_method()
    if var.uri ~= border.settings.login_path or method == "GET" or method == "HEAD" then
        var.border_upstream = border.settings.account_url
        var.border_cookie = border.cookies:for_upstream()
        return
    elseif method ~= "POST" then
        ngx.header["Allow"] = "GET, HEAD, POST"
        return answer.not_allowed()
    elseif client.is_cross_site(false, border.public_origins) then
        border.counters:add("login.cross_site")
        return answer.cross_site()
    elseif not subrequest.is_possible() then
        return answer.no_subrequests()
    elseif (var.content_type or ""):match("^[^;%s]*"):lower() ~= FORM then
        return answer.bad_media_type()
    elseif login_body.is_encoded(ngx.req.get_headers(0)) then
        return answer.bad_media_type()
    end
    return attempt(border)
end

return _M
