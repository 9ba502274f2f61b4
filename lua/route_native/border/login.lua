-- Login: the account service has the page and knows the accounts, the border has the sessions.

local answer = require "route_native.border.answer"
local call = require "route_native.border.call"
local client = require "route_native.border.client"
local record = require "route_native.border.record"

local ngx = ngx

local FORM = "application/x-www-form-urlencoded"
local MAX_FIELDS = 20

local _M = {}

-- The fields of the form, or nil when they are not a login.
local function read_form()
    ngx.req.read_body()
    -- Cut off at the limit, not refused: a name or password beyond it is then missing.
    local fields = ngx.req.get_post_args(MAX_FIELDS)
    local name, password = fields and fields.username, fields and fields.password
    if type(name) ~= "string" or name == "" or type(password) ~= "string" then
        return nil
    end
    return fields
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
    border.sessions:forget_visit()
    border.cookies:set_session(id)
    border.counters:add("login.success")
    return answer.redirect(path)
end

local function fail(border, said)
    border.counters:add("login.failure")
    ngx.var.route_reason = "login_failed"
    return answer.finish(said.status, said.header["Content-Type"] or "text/plain", said.body)
end

local function attempt(border, fields)
    local counted, wait = border.limits:count(client.address(), fields.username)
    if not counted then
        border.counters:add("login.limited")
        return answer.too_many(wait)
    end
    local path = border.sessions:visited_path() or border.settings.default_path
    fields.service = service_of(border, path)
    local found, refusal = ask(border, fields)
    if refusal then
        return fail(border, refusal)
    end
    border.limits:take_back(counted)
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
    elseif not client.has_subrequests() then
        return answer.no_subrequests()
    elseif (var.content_type or ""):match("^[^;%s]*"):lower() ~= FORM then
        return answer.bad_media_type()
    end
    local fields = read_form()
    if not fields then
        return answer.bad_request()
    end
    return attempt(border, fields)
end

return _M
