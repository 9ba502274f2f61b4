---@meta route_native.oidc
-- `make docs` writes this file from the comments in `lua/route_native/oidc.lua`.

--- Logs users in at an OpenID Connect provider, keeps their sessions at the edge, and tells upstreams who they are. No
--- browser gets a token.
---
---     init_by_lua_block {
---         require("route_native.hooks").start(function()
---             require("route_native.oidc").setup {
---                 providers = { id = { issuer = "https://id.example", client_id = "…", client_secret = "…" } },
---             }
---         end)
---     }
---
--- Include `conf/oidc_http.conf` in the `http` block and `conf/oidc.conf` in a `server` block:
---
---     location /app {
---         access_by_lua_block { require("route_native.oidc").access() }
---         include oidc_proxy.conf;
---         proxy_pass http://app;
---     }
---@class route_native.oidc
local M = {}

--- Configures a gate. Times are in seconds.
---@class route_native.oidc.Config
---@field providers table<string,route_native.oidc.Provider> the providers by name; at least one
---@field name? string name of the gate, for the variable `$oidc_gate`; each has sessions of its own (default: "default")
---@field policies? table<string,route_native.oidc.Policy> what locations ask for, by the names that they give to `access()`; `default` is that of `access()` without a name (default: {})
---@field public_url? string scheme and host of this server, such as `https://app.example.com`; those of the request by default
---@field callback_path? string where the provider sends the user back (default: "/oidc/callback")
---@field login_path? string begins a login: `?return=/path&provider=name` (default: "/oidc/login")
---@field logout_path? string ends the session (default: "/oidc/logout")
---@field backchannel_logout_path? string takes the provider's logout tokens (default: "/oidc/backchannel-logout")
---@field frontchannel_logout_path? string is the provider's logout frame (default: "/oidc/frontchannel-logout")
---@field default_path? string where a login leads without an earlier visit (default: "/")
---@field logged_out_path? string where a logout leads (default: "/")
---@field idle_timeout? integer time from a session's last request to its end, 1 to 86400 (default: 3600)
---@field absolute_timeout? integer time from a session's login to its end, 1 to 2592000, at most `key_rotation` (default: 43200)
---@field login_timeout? integer how long a login may take, 1 to 86400 (default: 600)
---@field key_rotation? integer how long a key signs, 1 to 2592000 (default: 86400)
---@field key_refresh? integer how often a worker looks for a new key, 1 to 30 (default: 10)
---@field cookie_name? string name of the session cookie: letters, digits, `_` and `-` (default: "oidc_session")
---@field cookie_domain? string shares the session with all subdomains of this domain
---@field cookie_secure? boolean restricts the cookie to HTTPS; `false` only in networks without TLS (default: true)
---@field behind_tls? boolean TLS ends before nginx: keeps the `__Host-` prefix of the cookie (default: false)
---@field login_window? integer length of a window of the login limit, 1 to 86400 (default: 60)
---@field login_failures_per_address? integer failed callbacks for each client address, 1 to 1000000 (default: 20)
---@field sessions_per_account? integer sessions of one user, 1 to 1000; a further login ends the oldest (default: 100)
---@field public_origins? string[] other origins, such as `https://app.example.com`, whose pages may log out
---@field return_origins? string[] other origins, such as `https://app.example.com`, to which a login may lead back; they need a `cookie_domain` for the session
---@field store? route_native.oidc.Store where sessions are kept (default: {})

--- Describes a provider and the client that is registered there.
---@class route_native.oidc.Provider
---@field issuer string the issuer, exactly as the provider writes it
---@field client_id string id of the client
---@field client_secret? string secret of the client
---@field client_key_file? string file with the private key (PEM or JWK) for `private_key_jwt`
---@field client_key? string the same key as a text
---@field client_key_id? string the `kid` of its assertions
---@field client_algorithm? string the algorithm of its assertions; the key's first by default
---@field token_endpoint_auth_method? string `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`; by default what the credentials are for
---@field scope? string scopes to ask for, with single blanks between; `openid` is one (default: "openid")
---@field response_mode? string `query` or `form_post`; the latter needs HTTPS (default: "query")
---@field authorization_params? table<string,string> further parameters, such as `prompt` (default: {})
---@field discovery_url? string where the metadata is; below the issuer by default
---@field metadata? table the metadata itself, for a provider without discovery
---@field metadata_max_age? integer how long metadata is fresh, 1 to 604800 (default: 3600)
---@field metadata_stale? integer further time for which the last good metadata and keys stay in use while the provider fails, 0 to 604800 (default: 86400)
---@field jwks_max_age? integer how long the provider's keys are fresh, 1 to 604800 (default: 600)
---@field verify_ssl? boolean verifies the provider's certificate (default: true)
---@field id_token_algorithms? string|string[] algorithms of ID tokens, as registered (default: "RS256")
---@field id_token_key_file? string file with the private key that decrypts ID tokens; they must then be encrypted
---@field leeway? integer clock skew, 0 to 300 (default: 5)
---@field userinfo? boolean adds the claims of the UserInfo endpoint (default: false)
---@field pushed_requests? boolean pushes authorization requests, if the provider has an endpoint for them (default: true)
---@field refresh_before? integer how long before its end an access token is refreshed, 0 to 3600 (default: 30)
---@field provider_logout? boolean logs out at the provider too, if it has an endpoint for that (default: true)
---@field id_token_hint? boolean tells the provider by the ID token who logs out (default: true)
---@field revoke_at_logout? boolean revokes the tokens at the provider (default: false)
---@field title? string the provider's name for users; its name in the configuration by default

--- Describes what a location asks for.
---@class route_native.oidc.Policy
---@field provider? string the provider to log in at; by default the only one, or the user's choice
---@field acr? string|string[] one of these authentication context classes
---@field max_age? integer the most seconds since the user has authenticated, 0 to 2592000
---@field access_token? boolean sends the access token to the upstream, as Bearer (default: false)
---@field unauthenticated? string what a page without a session gets: `login`, `refuse` (401) or `pass` (default: "login")
---@field headers? table<string,string> headers for the upstream, and the claims that they contain; the client's own headers with these names are removed (alias `claim_headers`) (default: {})

--- Configures the session store.
---@class route_native.oidc.Store
---@field kind? string `memory`, `memcached` or `redis` (default: "memory")
---@field dictionary? string name of the `lua_shared_dict` of `memory` (default: "oidc_sessions")
---@field address? string `host:port` or `unix:/path`; required except for `memory` and with `sentinels`
---@field sentinels? string[] `host:port` of the sentinels that watch Redis
---@field master? string name of the master that they watch
---@field timeout? integer milliseconds for connecting and for each answer, 1 to 60000 (default: 500)
---@field pool_size? integer idle connections for each worker, 1 to 10000 (default: 100)
---@field pool_idle? integer milliseconds until an idle connection is closed, 1 to 3600000 (default: 60000)
---@field prefix? string prefix of all keys: letters, digits and `: _ . -` (default: "oidc:")
---@field username? string Redis user
---@field password? string Redis password
---@field sentinel_username? string user at the sentinels
---@field sentinel_password? string password for the sentinels
---@field tls? boolean connects to Redis by TLS; needs `lua_ssl_trusted_certificate` (default: false)
---@field tls_verify? boolean verifies the certificate of Redis (default: true)
---@field tls_name? string name in the certificate of Redis

--- Reads the configuration of a gate. Call it in `init_by_lua`. A mistake raises an error of one sentence: nginx does
--- not start, and a reload keeps the old configuration.
---@param input route_native.oidc.Config the configuration
function M.setup(input) end

--- Lets a request with a session pass, and answers all others: a page goes to the provider, a script gets 401. Answers
--- the callback and the other endpoints too, if they are below the location. Call it in the access phase.
---@param policy? string name of the policy (default: "default")
---@return table|nil # the claims of the user; `nil` if the policy lets pass without a session
function M.access(policy) end

--- Answers the endpoints: login, callback and logouts. Call it in the content phase of their locations.
function M.endpoint() end

--- Ends the session and redirects. Call it in the content phase.
function M.logout() end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 with the headers of the
--- policy, 401, 403 or 503; a page gets a redirect to the login. Call it in the content phase.
---@param policy? string name of the policy (default: "default")
function M.forward_auth(policy) end

--- Refuses an upstream's answer that is not final, and removes the cookies that are the gate's own. Call it in the
--- header filter.
function M.answer() end

--- Answers with the counters in Prometheus' text format. Call it in the content phase.
function M.metrics() end

--- Returns the counters of the gate.
---@return table<string,integer> # the counters by name
function M.counters() end

--- Answers 503 with `Retry-After`, as a page or as JSON. Call it in the content phase of an `error_page`.
function M.unavailable() end

return M
