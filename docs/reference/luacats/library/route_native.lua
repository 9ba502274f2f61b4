---@meta route_native
-- `make docs` writes this file from the comments in `lua/route_native.lua`.

--- Routes requests to desktops: the desktop gateway for OpenResty.
---
---     init_by_lua_block    { require("route_native").setup() }
---     rewrite_by_lua_block { require("route_native").resolve() }   -- or access_by_lua_block
---     proxy_pass http://$target:29786;
---
--- `setup()` reads the keys. `resolve()` finds the request's token and looks it up in the worker's cache, then in
--- `ngx.shared.targetmap`. It verifies and decrypts the token only if both miss. It sets `$target` or ends the request.
--- `policy()` adds another policy, with keys and requirements of its own, for the locations that name it. Misuse raises
--- an error. A bad request gets an answer.
---@class route_native
---@field _VERSION string Names the release.
local M = {}

--- Overrides the environment of the gateway. An absent option takes the value of its environment variable. Of
--- `signing_key` and `signing_jwks`, one is needed; an option prevails over the variable of the other.
---@class route_native.SetupOptions
---@field signing_key? string path of the key that verifies tokens: a public key or certificate in PEM, a JWK or a JWK Set. A changed file is read again (default: JWT_DESKTOP_SIGNING_PUBLIC_KEY)
---@field signing_jwks? string|route_native.jwt.JwksConfig URL of the JWK Set that verifies tokens, or what `jwt.jwks()` takes (default: ROUTE_SIGNING_JWKS_URL)
---@field payload_key? string path of the RSA private key that decrypts `hash` (default: JWT_DESKTOP_PAYLOAD_PRIVATE_KEY)
---@field payload_padding? string `pkcs1v15` (the default), `oaep-sha1` or `oaep-sha256` (default: ROUTE_PAYLOAD_PADDING)
---@field target_suffix? string domain that all targets must be in; any target by default (default: ROUTE_TARGET_SUFFIX)
---@field issuer? string|string[] allowed values of `iss`; any by default (default: ROUTE_JWT_ISSUER)
---@field audience? string|string[] audiences, one of which `aud` must name; any by default (default: ROUTE_JWT_AUDIENCE)
---@field algorithms? string|string[] allowed algorithms; all of the keys by default (default: ROUTE_JWT_ALGORITHMS)
---@field max_lifetime? integer the most seconds from `iat` to `exp`, 1 or more; the token then needs `iat`; any time by default (default: ROUTE_JWT_MAX_LIFETIME)
---@field leeway? integer clock skew in seconds, 0 to 300; 5 by default (default: ROUTE_JWT_LEEWAY)
---@field cache_entries? integer answers that each worker keeps; 50000 by default (default: ROUTE_CACHE_ENTRIES)
---@field texts? string path of a JSON file with texts for the pages of failures; English by default (default: ROUTE_DESKTOP_TEXTS)
---@field wait? integer seconds that a request waits for a desktop that is starting, 0 to 120; 0 by default (default: ROUTE_DESKTOP_WAIT)
---@field client_rate? integer requests in a second from one address (default: ROUTE_LIMIT_CLIENT_RATE)
---@field client_connections? integer open requests from one address (default: ROUTE_LIMIT_CLIENT_CONNECTIONS)
---@field token_rate? integer requests in a second with one token (default: ROUTE_LIMIT_TOKEN_RATE)
---@field token_connections? integer open requests with one token (default: ROUTE_LIMIT_TOKEN_CONNECTIONS)
---@field target_rate? integer requests in a second to one desktop (default: ROUTE_LIMIT_TARGET_RATE)
---@field target_connections? integer open requests to one desktop (default: ROUTE_LIMIT_TARGET_CONNECTIONS)
---@field log_tokens? string `on`: the error log has a line for each refused token, with the reason, and at level `notice` for each one that a cache knew, with its target and the seconds left; `off` by default (default: ROUTE_LOG_TOKENS)

--- Loads keys and settings. Call it in `init_by_lua`.
---
--- An invalid setting or key raises an error: nginx does not start, and a reload keeps the old configuration. A missing
--- key is logged: nginx starts, and desktop endpoints answer 503 until a reload finds the key.
---@param options? route_native.SetupOptions overrides of the environment
---@return boolean # whether the keys are loaded
---@return string|nil # the reason if they are not
function M.setup(options) end

--- Adds a policy for the locations that set `$token_policy` to its name. Call it in `init_by_lua`, after `setup()`,
--- whose policy is that of all other locations. Policies share no cached answer. Errors are those of `setup()`.
---@param name string name of the policy: letters, digits, `_` and `-`
---@param options route_native.SetupOptions what differs from the environment; texts, wait and limits are those of `setup()`
---@return boolean # whether the keys are loaded
---@return string|nil # the reason if they are not
function M.policy(name, options) end

--- Resolves the request's token. Sets `$target`, or ends the request with 401 or 503.
--- Call it in the rewrite or access phase.
function M.resolve() end

--- Verifies a token with the signing keys of the gateway.
---@param token string a compact JWS
---@return table|nil # the claims
---@return string|nil # the reason's name, such as `token_expired`
function M.verify(token) end

--- Decrypts the text of a `hash` claim.
---@param hash string the claim's base64 text
---@return string|nil # the target: a host name or an address
---@return string|nil # the reason's name
function M.decrypt(hash) end

return M
