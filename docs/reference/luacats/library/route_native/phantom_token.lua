---@meta route_native.phantom_token
-- `make docs` writes this file from the comments in `lua/route_native/phantom_token.lua`.

--- Exchanges opaque tokens for JWTs: clients hold opaque tokens, and the API receives a JWT (phantom tokens).
---
---     rewrite_by_lua_block {
---         require("route_native.phantom_token").run {
---             introspection_endpoint = "https://login.example.com/oauth/v2/oauth-introspect",
---             client_id = "introspection-client", client_secret = "…", scope = "read",
---         }
---     }
---
---     headers ── ngx.shared, by a digest of token and configuration ── one introspection ──► Authorization: Bearer JWT
---
--- `run()` puts the JWT into the request, or ends the request: with 401 for a bad token, with 403 for a missing scope,
--- and with 503 if the authorization server fails.
---@class route_native.phantom_token
local M = {}

--- Configures `run()`.
---@class route_native.phantom_token.Config
---@field introspection_endpoint string URL of the authorization server's introspection, `http` or `https`
---@field client_id string the gateway's own id, sent by HTTP Basic
---@field client_secret string the gateway's own secret
---@field client_encoding? string `form` encodes both as RFC 6749 §2.3.1 says; `none` sends them as they are (default: "form")
---@field token_cache_seconds? integer the longest time that an answer is kept, 0 to 86400; 0 keeps none (default: 300)
---@field time_to_live_seconds? integer another name of `token_cache_seconds` (default: 300)
---@field inactive_cache_seconds? integer how long an inactive token is remembered, 0 to 60 (default: 5)
---@field stale_if_error_seconds? integer how long an expired answer stays in use while the server fails, 0 to 3600; never beyond the JWT's `exp` (default: 0)
---@field max_introspections? integer introspections that a worker may have open, 1 to 100000; 503 beyond it (default: 256)
---@field max_inactive_per_address? integer inactive tokens that an address may send in a minute, 0 to 1000000; 429 beyond it; 0 is no limit (default: 0)
---@field verify_ssl? boolean verifies the server's certificate (default: true)
---@field scope? string|string[] scopes that the token needs, all of them, in `scope` or `scp`
---@field trusted_web_origins? string[] origins whose pages may read errors (CORS)
---@field preflight? string `answer` answers CORS preflights here; `pass` passes them to the API, without Authorization; `token` needs a token of them (default: "pass")
---@field cache_name? string name of the `lua_shared_dict` (default: "phantom-token")
---@field upstream? string an `upstream` block to connect to; name and certificate stay those of the URL
---@field verify_key? string path of the key or JWK Set that verifies the server's JWTs, or the URL of its JWK Set
---@field issuer? string|string[] allowed values of `iss`
---@field audience? string|string[] audiences, one of which `aud` must name
---@field signing_key? string path of a private key in PEM that signs the JWTs for the API
---@field signing_key_id? string the `kid` of these JWTs
---@field headers? table<string,string> sends claims as headers instead of a JWT: claims by header name, such as `["X-Subject"] = "sub"`; the client's own headers of these names are removed; a claim has at most 8192 bytes (default: {})
---@field claim_headers? table<string,string> another name of `headers` (default: {})
---@field dpop? route_native.auth.DpopConfig takes tokens that are bound to a key, with their proof (RFC 9449)
---@field mtls? string `required` or `accepted`: takes tokens that are bound to the client's certificate (RFC 8705)

--- Exchanges the request's opaque token for what the API receives, or ends the request. Call it in the rewrite or
--- access phase.
---@param config route_native.phantom_token.Config the configuration; a table built for each request costs little
function M.run(config) end

--- Exchanges the request's opaque token for what the API receives, or ends the request. Call it in the rewrite or
--- access phase.
---@param config route_native.phantom_token.Config the configuration; a table built for each request costs little
function M.execute(config) end

--- Checks a configuration and reads its keys. Call it in `init_by_lua`: a mistake keeps nginx from starting, and only
--- root needs to read the keys.
---@param config route_native.phantom_token.Config the configuration
function M.prepare(config) end

return M
