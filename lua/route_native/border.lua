-- Border sessions: log in once at the edge, and services get their tokens.
--
--     init_by_lua_block { require("route_native.border").setup { account_url = …, auth_url = …, services = … } }
--
-- and conf/border.conf in a server block, conf/border_http.conf beside it. docs/border.md explains the settings.

local access = require "route_native.border.access"
local answer = require "route_native.border.answer"
local cookie = require "route_native.border.cookie"
local counters = require "route_native.border.counters"
local exchange = require "route_native.border.exchange"
local health = require "route_native.border.health"
local keys = require "route_native.border.keys"
local limits = require "route_native.border.limits"
local login = require "route_native.border.login"
local logout = require "route_native.border.logout"
local services = require "route_native.border.services"
local sessions = require "route_native.border.sessions"
local settings = require "route_native.border.settings"
local store = require "route_native.store.open"

local _M = {}

-- What the modules above share.
local border = {}
border.__index = border

local running

-- Says that the store failed, where the operator sees it. `err` holds no key and no value.
function border:store_failed(what, err)
    self.counters:add("store.error")
    ngx.log(ngx.ERR, "route_native: border: ", what, ": the ", self.store.name, " store: ", err or "failed")
end

-- Reads the configuration; call it in init_by_lua. A mistake is an error of one sentence, so that nginx does not start
-- with it and a reload keeps the old one.
function _M.setup(config)
    local self = setmetatable({ settings = settings.read(config) }, border)
    if not ngx.shared.border_state then
        error("route_native: border: lua_shared_dict border_state is missing; include border_http.conf in http", 0)
    end
    self.prefix = self.settings.store.prefix
    self.store = store.open(self.settings.store)
    self.services = services.new(self.settings.services)
    self.cookies = cookie.new(self.settings)
    self.counters = counters.new(self.settings)
    self.limits = limits.new(self.settings)
    self.keys = keys.new(self)
    self.sessions = sessions.new(self)
    self.exchange = exchange.new(self)
    running = self
end

local function current()
    return running or error("route_native: border: setup() was not called in init_by_lua", 3)
end

-- Access phase of the services.
function _M.access()
    return access.access(current())
end

-- Access phase of the second try after a service's own 401.
function _M.again()
    return access.again(current())
end

-- Access phase of the account service.
function _M.login()
    return login.login(current())
end

-- Content phase: ends the session.
function _M.logout()
    return logout.logout(current())
end

-- Content phase: whether the store works.
function _M.health()
    return health.health(current())
end

-- Content phase: the counters, as Prometheus reads them.
function _M.metrics()
    return answer.finish(200, "text/plain; version=0.0.4", current().counters:text())
end

-- The counters as a table.
function _M.counters()
    return current().counters:all()
end

-- Content phase: pages for what nginx itself decides.
_M.forbidden = answer.forbidden
_M.unavailable = answer.unavailable

return _M
