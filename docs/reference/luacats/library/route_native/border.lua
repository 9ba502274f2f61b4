---@meta route_native.border
-- `make docs` writes this file from the comments in `lua/route_native/border.lua`.

--- Border sessions: users log in once at the edge, and services receive their tokens.
---
---     init_by_lua_block { require("route_native.border").setup { account_url = …, auth_url = …, services = … } }
---
--- Include `conf/border_http.conf` in the `http` block and `conf/border.conf` in a `server` block. Their hooks call the
--- functions below.
---@class route_native.border
local M = {}

--- Configures the border. Times are in seconds.
---@class route_native.border.Config
---@field account_url string the account service: `http://host:port`, or `http://` and the name of an `upstream`
---@field auth_url string the auth service, likewise
---@field services table<string,route_native.border.Service> the services by name; at least one
---@field auth_path? string path of the auth service (default: "/token")
---@field login_path? string path of the login, below the account service's location (default: "/account/login")
---@field default_path? string where a login leads without an earlier visit (default: "/")
---@field idle_timeout? integer time from a session's last request to its end, 1 to 86400 (default: 3600)
---@field absolute_timeout? integer time from a session's login to its end, 1 to 2592000, at most `key_rotation` (default: 43200)
---@field login_timeout? integer how long the path of a first visit is kept, 1 to 86400 (default: 600)
---@field key_rotation? integer how long a key signs, 1 to 2592000 (default: 86400)
---@field key_refresh? integer how often a worker looks for a new key, 1 to 30 (default: 10)
---@field cookie_name? string name of the session cookie: letters, digits, `_` and `-` (default: "border_session")
---@field cookie_domain? string shares the session with all subdomains of this domain
---@field cookie_secure? boolean restricts the cookie to HTTPS; `false` only in networks without TLS (default: true)
---@field behind_tls? boolean TLS ends before nginx: keeps the `__Host-` prefix of the cookie (default: false)
---@field login_window? integer length of a window of the login limits, 1 to 86400 (default: 60)
---@field login_failures_per_address? integer failed logins for each client address, 1 to 1000000 (default: 20)
---@field login_failures_per_account? integer failed logins for each account, 1 to 1000000 (default: 10)
---@field sessions_per_account? integer sessions of one account, 1 to 1000; a further login ends the oldest (default: 100)
---@field public_origins? string[] other origins, such as `https://app.example.com`, whose pages may log in and out
---@field statsd? string `host:port` that receives the counters every second
---@field statsd_prefix? string prefix of the counters' names (default: "border.")
---@field store? route_native.border.Store where sessions are kept (default: {})

--- Maps a service. It needs a `host` or a `path`.
---@class route_native.border.Service
---@field url string `http://host:port`, or `http://` and the name of an `upstream`
---@field host? string host name of the service, or its first label
---@field path? string first path segment of the service, such as `/b`; `/` is all the rest

--- Configures the session store.
---@class route_native.border.Store
---@field kind? string `memory`, `memcached` or `redis` (default: "memory")
---@field dictionary? string name of the `lua_shared_dict` of `memory` (default: "border_sessions")
---@field address? string `host:port` or `unix:/path`; required except for `memory` and with `sentinels`
---@field sentinels? string[] `host:port` of the sentinels that watch Redis
---@field master? string name of the master that they watch
---@field timeout? integer milliseconds for connecting and for each answer, 1 to 60000 (default: 500)
---@field pool_size? integer idle connections for each worker, 1 to 10000 (default: 100)
---@field pool_idle? integer milliseconds until an idle connection is closed, 1 to 3600000 (default: 60000)
---@field prefix? string prefix of all keys: letters, digits and `: _ . -` (default: "border:")
---@field username? string Redis user
---@field password? string Redis password
---@field sentinel_username? string user at the sentinels
---@field sentinel_password? string password for the sentinels
---@field tls? boolean connects to Redis by TLS; needs `lua_ssl_trusted_certificate` (default: false)
---@field tls_verify? boolean verifies the certificate of Redis (default: true)
---@field tls_name? string name in the certificate of Redis

--- Reads the configuration. Call it in `init_by_lua`. A mistake raises an error of one sentence: nginx does not start,
--- and a reload keeps the old configuration.
---@param config route_native.border.Config the configuration
function M.setup(config) end

--- Lets a request with a session pass to its service, with the service's token. Answers all others. Call it in the
--- access phase.
function M.access() end

--- Fetches a new token after a service's own 401. Call it in the access phase of the second try.
function M.again() end

--- Refuses a service's answer that is not final, and removes the cookies that are the border's own. Call it in the
--- header filter.
function M.answer() end

--- Answers a login, and lets all other requests pass to the account service. Call it in the access phase.
function M.login() end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 for a request with a
--- session, 401 or 503 otherwise; a page gets a redirect to the login. Call it in the content phase.
---@param service? string a service whose token the answer has as `Auth-Token`
function M.forward_auth(service) end

--- Ends the session and redirects. Call it in the content phase.
function M.logout() end

--- Answers 200 if the session store works, otherwise 503. Call it in the content phase.
function M.health() end

--- Answers with the counters in Prometheus' text format. Call it in the content phase.
function M.metrics() end

--- Returns the counters.
---@return table<string,integer> # the counters by name
function M.counters() end

--- Answers 403 as a page or as JSON. Call it in the content phase of an `error_page`.
function M.forbidden() end

--- Answers 503 with `Retry-After`, as a page or as JSON. Call it in the content phase of an `error_page`.
function M.unavailable() end

return M
