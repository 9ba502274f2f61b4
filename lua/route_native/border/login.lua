-- Login: the account service has the page and knows the accounts, the border has the sessions.

local answer = require "route_native.border.answer"
local call = require "route_native.border.call"
local client = require "route_native.core.client"
local login_body = require "route_native.core.login_body"
local record = require "route_native.border.record"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx

local FORM = "application/x-www-form-urlencoded"
-- As client_max_body_size in border.conf.
local MAX_BODY = 65536

local _M = {}

-- Each of them is there once, under a name that no program may take for another's.
local FIELDS = { "username", "password" }

-- The fields of the form, and what stands for the account; nil and the answer when they are not a login.
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
    -- The account service hears from the border alone which service was asked for.
    login_body.remove_field(fields, "service")
    return fields, account
end

-- The service that a path leads to, by name; for the account service, which may send its token along.
local function service_of(border, path)
    local service = border.services:find(ngx.var.host, path:match("^[^?#]*"))
    return service and service.name
end

-- What the account service says to a login. Returns a new session's record; or nil and its own answer, when that is a
-- refusal; or nil.
local function ask(border, fields)
    local said, err = call.post(border.settings.account_url .. border.settings.login_path, fields)
    if said and said.status == 200 then
        local found = record.decode(said.body)
        if found then
            return found
        end
        err = "no master token in its answer"
    elseif said and said.status >= 400 then
        return nil, said
    end
    border.counters:add("account.error")
    ngx.log(ngx.ERR, "route_native: border: the account service: ", err or "status " .. said.status)
    return nil, nil
end

local function begin(border, found, path)
    local id = border.sessions:create(found)
    if not id then
        return answer.unavailable()
    end
    -- The id of before dies with its session: nobody can have planted it.
    border.sessions:destroy()
    border.cookies:clear_login()
    border.cookies:set_session(id)
    border.counters:add("login.success")
    return answer.redirect(path)
end

local function fail(border, said)
    border.counters:add("login.failure")
    ngx.var.route_reason = "login_failed"
    return answer.finish(said.status, said.header["Content-Type"] or "text/plain", said.body)
end

local function refuse_attempt(border, wait, is_full)
    if is_full then
        return answer.unavailable()
    end
    border.counters:add("login.limited")
    return answer.too_many(wait)
end

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
    local found, refusal = ask(border, fields)
    if refusal then
        return fail(border, refusal)
    end
    limits:forgive(ticket)
    if not found then
        return answer.unavailable()
    end
    return begin(border, found, path)
end

-- For the access phase of the account service's location: the login itself is answered here, all else is the service's.
function _M.login(border)
    local var, method = ngx.var, ngx.req.get_method()
    if var.uri ~= border.settings.login_path or method == "GET" or method == "HEAD" then
        var.border_upstream = border.settings.account_url
        var.border_cookie = border.cookies:for_upstream()
        return
    elseif method ~= "POST" then
        ngx.header["Allow"] = "GET, HEAD, POST"
        return answer.not_allowed()
    elseif client.is_cross_site(false) then
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
