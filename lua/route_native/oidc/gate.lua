-- A gate: providers, policies and sessions of one configuration, which the other modules of this folder share.

local client = require "route_native.core.client"
local config = require "route_native.core.config"
local cookie = require "route_native.session.cookie"
local counters = require "route_native.session.counters"
local keys = require "route_native.session.keys"
local login = require "route_native.oidc.login"
local logout = require "route_native.oidc.logout"
local provider = require "route_native.oidc.provider"
local rate_limit = require "route_native.core.rate_limit"
local record = require "route_native.oidc.record"
local session_id = require "route_native.session.id"
local sessions = require "route_native.session.sessions"
local settings = require "route_native.oidc.settings"
local store = require "route_native.store.open"

local _M = {}

-- What the modules of this folder share: the settings of one gate, its providers and its sessions. Sessions are known
-- by the name `jti` in revocations, because `sid` is that of the provider.
local gate = { title = "oidc", session_name = "jti", record = record }
gate.__index = gate

local OWNER = settings.OWNER
local COUNTERS = {
    "login.begun", "login.success", "login.failure", "logout", "logout.backchannel", "logout.frontchannel",
    "session.missing", "session.expired", "session.ended", "session.revoked", "session.unavailable", "session.weak",
    "refresh.done", "refresh.refused", "refresh.failed", "store.error", "keys.rotated",
}

-- Logs and counts a failure of the store. `err` contains no key and no value.
function gate:store_failed(what, err)
    self.counters:add("store.error")
    ngx.log(ngx.ERR, "route_native: oidc: ", what, ": the ", self.store.name, " store: ", err or "failed")
end

-- A gate of resty_openidc.lua has further members: scheme, logged_out_url, keeps_user, and never_refreshes.

-- Returns the URL of a path at this server, as the client sees it.
function gate:absolute(path)
    return (self.settings.public_url or client.origin(self.scheme)) .. path
end

-- Returns where a login may lead: a path of this server, or a URL of one of the return_origins; otherwise the default
-- path.
function gate:return_target(target)
    if type(target) ~= "string" then
        return self.settings.default_path
    elseif session_id.is_local_path(target) then
        return target
    end
    local origin, path = target:match("^(https?://[%w.:%[%]-]+)(/.*)$")
    if origin and session_id.is_local_path(path) then
        if origin:lower() == self:absolute("") then
            return path
        elseif client.is_among(origin, self.return_origins) then
            return target
        end
    end
    return self.settings.default_path
end

-- Returns the URL of the callback.
function gate:redirect_uri()
    return self:absolute(self.settings.callback_path)
end

-- Returns the name of the list of all sessions of a user or of a session at a provider.
function gate.list_of(name, issuer, value)
    return name .. ":" .. session_id.digest(issuer .. " " .. value)
end

-- Returns one of the dictionaries of oidc_http.conf.
local function dictionary(name)
    return ngx.shared[name]
        or config.fail(OWNER, "lua_shared_dict %s is missing; include oidc_http.conf in http", name)
end

-- Opens the providers of a gate, and lists their names in a fixed order.
local function open_providers(self)
    self.providers, self.provider_names = {}, {}
    for name, values in pairs(self.settings.providers) do
        self.providers[name] = provider.new(values)
        self.provider_names[#self.provider_names + 1] = name
        if values.response_mode == "form_post" and not self.settings.cookie_secure then
            config.fail(OWNER, 'the field "providers.%s.response_mode" cannot be form_post with cookie_secure = false',
                name)
        end
    end
    table.sort(self.provider_names)
end

-- Returns the gate of settings that settings.lua has read. A mistake raises an error of one sentence.
function _M.new(values)
    local self = setmetatable({ settings = values }, gate)
    dictionary(provider.CACHE)
    dictionary("oidc_logins")
    self.state, self.state_suffix = dictionary("oidc_state"), ":" .. values.name
    self.prefix = values.store.prefix .. (values.name == "default" and "" or values.name .. ":")
    self.store = store.open(values.store)
    self.cookies = cookie.new(values)
    self.public_origins = client.origins(values.public_origins)
    self.return_origins = client.origins(values.return_origins)
    self.counters = counters.new({}, self.state, COUNTERS, "oidc", self.state_suffix)
    self.limits = rate_limit.new("oidc_logins", 1, values.login_failures_per_address, values.login_window)
    self.keys = keys.new(self)
    self.sessions = sessions.new(self)
    open_providers(self)
    self.endpoints = {
        [values.callback_path] = login.callback, [values.login_path] = login.login,
        [values.logout_path] = logout.logout, [values.backchannel_logout_path] = logout.backchannel,
        [values.frontchannel_logout_path] = logout.frontchannel,
    }
    return self
end

return _M
