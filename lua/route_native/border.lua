--- Border sessions: users log in once at the edge, and services receive their tokens.
--
--     init_by_lua_block { require("route_native.border").setup { account_url = …, auth_url = …, services = … } }
--
-- Include `conf/border_http.conf` in the `http` block and `conf/border.conf` in a `server` block. Their hooks call the
-- functions below.
--
-- @module route_native.border

local access = require "route_native.border.access"
local answer = require "route_native.border.answer"
local client = require "route_native.core.client"
local cookie = require "route_native.session.cookie"
local counters = require "route_native.session.counters"
local exchange = require "route_native.border.exchange"
local final_answer = require "route_native.core.final_answer"
local health = require "route_native.border.health"
local keys = require "route_native.session.keys"
local limits = require "route_native.border.limits"
local login = require "route_native.border.login"
local logout = require "route_native.border.logout"
local record = require "route_native.border.record"
local response = require "route_native.core.response"
local services = require "route_native.border.services"
local sessions = require "route_native.border.sessions"
local settings = require "route_native.border.settings"
local store = require "route_native.store.open"

local _M = {}

-- The object that the modules above share.
-- Its sessions are known by the name `sid` in revocations.
local border = { title = "border", session_name = "sid", record = record }
border.__index = border

local COUNTERS = {
    "login.success", "login.failure", "login.limited", "login.cross_site", "logout",
    "session.missing", "session.expired", "session.ended", "session.revoked",
    "service_token.hit", "service_token.fetched", "service_token.refused", "service_token.denied", "service.unmapped",
    "auth.error", "account.error", "store.error", "keys.rotated",
}

local running

-- Logs and counts a failure of the store. `err` contains no key and no value.
function border:store_failed(what, err)
    self.counters:add("store.error")
    ngx.log(ngx.ERR, "route_native: border: ", what, ": the ", self.store.name, " store: ", err or "failed")
end

--- Configures the border. Times are in seconds.
-- @table Config
-- @tfield string account_url the account service: `http://host:port`, or `http://` and the name of an `upstream`
-- @tfield string auth_url the auth service, likewise
-- @tfield table<string,Service> services the services by name; at least one
-- @tfield[opt="/token"] string auth_path path of the auth service
-- @tfield[opt="/account/login"] string login_path path of the login, below the account service's location
-- @tfield[opt="/"] string default_path where a login leads without an earlier visit
-- @tfield[opt=3600] integer idle_timeout time from a session's last request to its end, 1 to 86400
-- @tfield[opt=43200] integer absolute_timeout time from a session's login to its end, 1 to 2592000, at most
-- `key_rotation`
-- @tfield[opt=600] integer login_timeout how long the path of a first visit is kept, 1 to 86400
-- @tfield[opt=86400] integer key_rotation how long a key signs, 1 to 2592000
-- @tfield[opt=10] integer key_refresh how often a worker looks for a new key, 1 to 30
-- @tfield[opt="border_session"] string cookie_name name of the session cookie: letters, digits, `_` and `-`
-- @tfield[opt] string cookie_domain shares the session with all subdomains of this domain
-- @tfield[opt=true] boolean cookie_secure restricts the cookie to HTTPS; `false` only in networks without TLS
-- @tfield[opt=false] boolean behind_tls TLS ends before nginx: keeps the `__Host-` prefix of the cookie
-- @tfield[opt=60] integer login_window length of a window of the login limits, 1 to 86400
-- @tfield[opt=20] integer login_failures_per_address failed logins for each client address, 1 to 1000000
-- @tfield[opt=10] integer login_failures_per_account failed logins for each account, 1 to 1000000
-- @tfield[opt=100] integer sessions_per_account sessions of one account, 1 to 1000; a further login ends the oldest
-- @tfield[opt] string[] public_origins other origins, such as `https://app.example.com`, whose pages may log in and out
-- @tfield[opt] string statsd `host:port` that receives the counters every second
-- @tfield[opt="border."] string statsd_prefix prefix of the counters' names
-- @tfield[opt={}] Store store where sessions are kept

--- Maps a service. It needs a `host` or a `path`.
-- @table Service
-- @tfield string url `http://host:port`, or `http://` and the name of an `upstream`
-- @tfield[opt] string host host name of the service, or its first label
-- @tfield[opt] string path first path segment of the service, such as `/b`; `/` is all the rest

--- Configures the session store.
-- @table Store
-- @tfield[opt="memory"] string kind `memory`, `memcached` or `redis`
-- @tfield[opt="border_sessions"] string dictionary name of the `lua_shared_dict` of `memory`
-- @tfield[opt] string address `host:port` or `unix:/path`; required except for `memory` and with `sentinels`
-- @tfield[opt] string[] sentinels `host:port` of the sentinels that watch Redis
-- @tfield[opt] string master name of the master that they watch
-- @tfield[opt=500] integer timeout milliseconds for connecting and for each answer, 1 to 60000
-- @tfield[opt=100] integer pool_size idle connections for each worker, 1 to 10000
-- @tfield[opt=60000] integer pool_idle milliseconds until an idle connection is closed, 1 to 3600000
-- @tfield[opt="border:"] string prefix prefix of all keys: letters, digits and `: _ . -`
-- @tfield[opt] string username Redis user
-- @tfield[opt] string password Redis password
-- @tfield[opt] string sentinel_username user at the sentinels
-- @tfield[opt] string sentinel_password password for the sentinels
-- @tfield[opt=false] boolean tls connects to Redis by TLS; needs `lua_ssl_trusted_certificate`
-- @tfield[opt=true] boolean tls_verify verifies the certificate of Redis
-- @tfield[opt] string tls_name name in the certificate of Redis

--- Reads the configuration. Call it in `init_by_lua`. A mistake raises an error of one sentence: nginx does not start,
-- and a reload keeps the old configuration.
-- @tparam Config config the configuration
function _M.setup(config)
    local self = setmetatable({ settings = settings.read(config) }, border)
    if not ngx.shared.border_state then
        error("route_native: border: lua_shared_dict border_state is missing; include border_http.conf in http", 0)
    end
    self.state = ngx.shared.border_state
    self.prefix = self.settings.store.prefix
    self.store = store.open(self.settings.store)
    self.services = services.new(self.settings.services)
    self.cookies = cookie.new(self.settings)
    self.public_origins = client.origins(self.settings.public_origins)
    self.counters = counters.new(self.settings, self.state, COUNTERS, "border")
    self.limits = limits.new(self.settings)
    self.keys = keys.new(self)
    self.sessions = sessions.new(self)
    self.exchange = exchange.new(self)
    running = self
end

local function current()
    return running or error("route_native: border: setup() was not called in init_by_lua", 3)
end

--- Lets a request with a session pass to its service, with the service's token. Answers all others. Call it in the
-- access phase.
function _M.access()
    return access.access(current())
end

--- Fetches a new token after a service's own 401. Call it in the access phase of the second try.
function _M.again()
    return access.again(current())
end

--- Refuses a service's answer that is not final, and removes the cookies that are the border's own. Call it in the
-- header filter.
function _M.answer()
    if final_answer.check() then
        current().cookies:remove_foreign()
    end
end

--- Answers a login, and lets all other requests pass to the account service. Call it in the access phase.
function _M.login()
    return login.login(current())
end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 for a request with a
-- session, 401 or 503 otherwise; a page gets a redirect to the login. Call it in the content phase.
-- @tparam[opt] string service a service whose token the answer has as `Auth-Token`
function _M.forward_auth(service)
    return access.forward(current(), service)
end

--- Ends the session and redirects. Call it in the content phase.
function _M.logout()
    return logout.logout(current())
end

--- Answers 200 if the session store works, otherwise 503. Call it in the content phase.
function _M.health()
    return health.health(current())
end

--- Answers with the counters in Prometheus' text format. Call it in the content phase.
function _M.metrics()
    return response.finish(200, current().counters:text(), "text/plain; version=0.0.4")
end

--- Returns the counters.
-- @treturn table<string,integer> the counters by name
function _M.counters()
    return current().counters:all()
end

--- Answers 403 as a page or as JSON. Call it in the content phase of an `error_page`.
-- @function forbidden
_M.forbidden = answer.forbidden

--- Answers 503 with `Retry-After`, as a page or as JSON. Call it in the content phase of an `error_page`.
-- @function unavailable
_M.unavailable = answer.unavailable

return _M
