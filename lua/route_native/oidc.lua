--- Logs users in at an OpenID Connect provider, keeps their sessions at the edge, and tells upstreams who they are. No
-- browser gets a token.
--
--     init_by_lua_block {
--         require("route_native.hooks").start(function()
--             require("route_native.oidc").setup {
--                 providers = { id = { issuer = "https://id.example", client_id = "…", client_secret = "…" } },
--             }
--         end)
--     }
--
-- Include `conf/oidc_http.conf` in the `http` block and `conf/oidc.conf` in a `server` block:
--
--     location /app {
--         access_by_lua_block { require("route_native.oidc").access() }
--         include oidc_proxy.conf;
--         proxy_pass http://app;
--     }
--
-- @module route_native.oidc

local access = require "route_native.oidc.access"
local answer = require "route_native.oidc.answer"
local final_answer = require "route_native.core.final_answer"
local gate = require "route_native.oidc.gate"
local logout = require "route_native.oidc.logout"
local response = require "route_native.core.response"
local settings = require "route_native.oidc.settings"

local _M = {}

-- The gates by their names. A location chooses one by the variable $oidc_gate.
local gates = {}

--- Configures a gate. Times are in seconds.
-- @table Config
-- @tfield table<string,Provider> providers the providers by name; at least one
-- @tfield[opt="default"] string name name of the gate, for the variable `$oidc_gate`; each has sessions of its own
-- @tfield[opt={}] table<string,Policy> policies what locations ask for, by the names that they give to `access()`;
-- `default` is that of `access()` without a name
-- @tfield[opt] string public_url scheme and host of this server, such as `https://app.example.com`; those of the
-- request by default
-- @tfield[opt="/oidc/callback"] string callback_path where the provider sends the user back
-- @tfield[opt="/oidc/login"] string login_path begins a login: `?return=/path&provider=name`
-- @tfield[opt="/oidc/logout"] string logout_path ends the session
-- @tfield[opt="/oidc/backchannel-logout"] string backchannel_logout_path takes the provider's logout tokens
-- @tfield[opt="/oidc/frontchannel-logout"] string frontchannel_logout_path is the provider's logout frame
-- @tfield[opt="/"] string default_path where a login leads without an earlier visit
-- @tfield[opt="/"] string logged_out_path where a logout leads
-- @tfield[opt=3600] integer idle_timeout time from a session's last request to its end, 1 to 86400
-- @tfield[opt=43200] integer absolute_timeout time from a session's login to its end, 1 to 2592000, at most
-- `key_rotation`
-- @tfield[opt=600] integer login_timeout how long a login may take, 1 to 86400
-- @tfield[opt=86400] integer key_rotation how long a key signs, 1 to 2592000
-- @tfield[opt=10] integer key_refresh how often a worker looks for a new key, 1 to 30
-- @tfield[opt="oidc_session"] string cookie_name name of the session cookie: letters, digits, `_` and `-`
-- @tfield[opt] string cookie_domain shares the session with all subdomains of this domain
-- @tfield[opt=true] boolean cookie_secure restricts the cookie to HTTPS; `false` only in networks without TLS
-- @tfield[opt=false] boolean behind_tls TLS ends before nginx: keeps the `__Host-` prefix of the cookie
-- @tfield[opt=60] integer login_window length of a window of the login limit, 1 to 86400
-- @tfield[opt=20] integer login_failures_per_address failed callbacks for each client address, 1 to 1000000
-- @tfield[opt=100] integer sessions_per_account sessions of one user, 1 to 1000; a further login ends the oldest
-- @tfield[opt] string[] public_origins other origins, such as `https://app.example.com`, whose pages may log out
-- @tfield[opt] string[] return_origins other origins, such as `https://app.example.com`, to which a login may lead
-- back; they need a `cookie_domain` for the session
-- @tfield[opt={}] Store store where sessions are kept

--- Describes a provider and the client that is registered there.
-- @table Provider
-- @tfield string issuer the issuer, exactly as the provider writes it
-- @tfield string client_id id of the client
-- @tfield[opt] string client_secret secret of the client
-- @tfield[opt] string client_key_file file with the private key (PEM or JWK) for `private_key_jwt`
-- @tfield[opt] string client_key the same key as a text
-- @tfield[opt] string client_key_id the `kid` of its assertions
-- @tfield[opt] string client_algorithm the algorithm of its assertions; the key's first by default
-- @tfield[opt] string token_endpoint_auth_method `client_secret_basic`, `client_secret_post`, `private_key_jwt` or
-- `none`; by default what the credentials are for
-- @tfield[opt="openid"] string scope scopes to ask for, with single blanks between; `openid` is one
-- @tfield[opt="query"] string response_mode `query` or `form_post`; the latter needs HTTPS
-- @tfield[opt={}] table<string,string> authorization_params further parameters, such as `prompt`
-- @tfield[opt] string discovery_url where the metadata is; below the issuer by default
-- @tfield[opt] table metadata the metadata itself, for a provider without discovery
-- @tfield[opt=3600] integer metadata_max_age how long metadata is fresh, 1 to 604800
-- @tfield[opt=86400] integer metadata_stale further time for which the last good metadata and keys stay in use while
-- the provider fails, 0 to 604800
-- @tfield[opt=600] integer jwks_max_age how long the provider's keys are fresh, 1 to 604800
-- @tfield[opt=true] boolean verify_ssl verifies the provider's certificate
-- @tfield[opt="RS256"] string|string[] id_token_algorithms algorithms of ID tokens, as registered
-- @tfield[opt] string id_token_key_file file with the private key that decrypts ID tokens; they must then be encrypted
-- @tfield[opt=5] integer leeway clock skew, 0 to 300
-- @tfield[opt=false] boolean userinfo adds the claims of the UserInfo endpoint
-- @tfield[opt=true] boolean pushed_requests pushes authorization requests, if the provider has an endpoint for them
-- @tfield[opt=30] integer refresh_before how long before its end an access token is refreshed, 0 to 3600
-- @tfield[opt=true] boolean provider_logout logs out at the provider too, if it has an endpoint for that
-- @tfield[opt=true] boolean id_token_hint tells the provider by the ID token who logs out
-- @tfield[opt=false] boolean revoke_at_logout revokes the tokens at the provider
-- @tfield[opt] string title the provider's name for users; its name in the configuration by default

--- Describes what a location asks for.
-- @table Policy
-- @tfield[opt] string provider the provider to log in at; by default the only one, or the user's choice
-- @tfield[opt] string|string[] acr one of these authentication context classes
-- @tfield[opt] integer max_age the most seconds since the user has authenticated, 0 to 2592000
-- @tfield[opt=false] boolean access_token sends the access token to the upstream, as Bearer
-- @tfield[opt="login"] string unauthenticated what a page without a session gets: `login`, `refuse` (401) or `pass`
-- @tfield[opt={}] table<string,string> headers headers for the upstream, and the claims that they contain; the client's
-- own headers with these names are removed (alias `claim_headers`)

--- Configures the session store.
-- @table Store
-- @tfield[opt="memory"] string kind `memory`, `memcached` or `redis`
-- @tfield[opt="oidc_sessions"] string dictionary name of the `lua_shared_dict` of `memory`
-- @tfield[opt] string address `host:port` or `unix:/path`; required except for `memory` and with `sentinels`
-- @tfield[opt] string[] sentinels `host:port` of the sentinels that watch Redis
-- @tfield[opt] string master name of the master that they watch
-- @tfield[opt=500] integer timeout milliseconds for connecting and for each answer, 1 to 60000
-- @tfield[opt=100] integer pool_size idle connections for each worker, 1 to 10000
-- @tfield[opt=60000] integer pool_idle milliseconds until an idle connection is closed, 1 to 3600000
-- @tfield[opt="oidc:"] string prefix prefix of all keys: letters, digits and `: _ . -`
-- @tfield[opt] string username Redis user
-- @tfield[opt] string password Redis password
-- @tfield[opt] string sentinel_username user at the sentinels
-- @tfield[opt] string sentinel_password password for the sentinels
-- @tfield[opt=false] boolean tls connects to Redis by TLS; needs `lua_ssl_trusted_certificate`
-- @tfield[opt=true] boolean tls_verify verifies the certificate of Redis
-- @tfield[opt] string tls_name name in the certificate of Redis

--- Reads the configuration of a gate. Call it in `init_by_lua`. A mistake raises an error of one sentence: nginx does
-- not start, and a reload keeps the old configuration.
-- @tparam Config input the configuration
function _M.setup(input)
    local values = settings.read(input)
    gates[values.name] = gate.new(values)
end

local function current()
    local name = ngx.var.oidc_gate or "default"
    return gates[name] or error("route_native: oidc: setup() has configured no gate " .. name, 3)
end

-- Returns a policy by its name.
local function policy_of(self, name)
    return self.settings.policies[name or "default"]
        or error("route_native: oidc: there is no policy " .. tostring(name), 3)
end

--- Lets a request with a session pass, and answers all others: a page goes to the provider, a script gets 401. Answers
-- the callback and the other endpoints too, if they are below the location. Call it in the access phase.
-- @tparam[opt="default"] string policy name of the policy
-- @treturn table|nil the claims of the user; `nil` if the policy lets pass without a session
function _M.access(policy)
    local self = current()
    local found = access.access(self, policy_of(self, policy))
    return found and found.claims
end

--- Answers the endpoints: login, callback and logouts. Call it in the content phase of their locations.
function _M.endpoint()
    local self = current()
    local endpoint = self.endpoints[ngx.var.uri]
    return endpoint and endpoint(self) or answer.not_found()
end

--- Ends the session and redirects. Call it in the content phase.
function _M.logout()
    return logout.logout(current())
end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 with the headers of the
-- policy, 401, 403 or 503; a page gets a redirect to the login. Call it in the content phase.
-- @tparam[opt="default"] string policy name of the policy
function _M.forward_auth(policy)
    local self = current()
    return access.forward(self, policy_of(self, policy))
end

--- Refuses an upstream's answer that is not final, and removes the cookies that are the gate's own. Call it in the
-- header filter.
function _M.answer()
    if final_answer.check() then
        current().cookies:remove_foreign()
    end
end

--- Answers with the counters in Prometheus' text format. Call it in the content phase.
function _M.metrics()
    return response.finish(200, current().counters:text(), "text/plain; version=0.0.4")
end

--- Returns the counters of the gate.
-- @treturn table<string,integer> the counters by name
function _M.counters()
    return current().counters:all()
end

--- Answers 503 with `Retry-After`, as a page or as JSON. Call it in the content phase of an `error_page`.
-- @function unavailable
_M.unavailable = answer.unavailable

return _M
