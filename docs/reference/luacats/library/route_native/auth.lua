---@meta route_native.auth
-- `make docs` writes this file from the comments in `lua/route_native/auth.lua`.

--- Checks the tokens of requests, and issues tokens at a login.
---
---     access_by_lua_block  { require("route_native.auth").check(guard) }      -- 401, 403, or on with the request
---     content_by_lua_block { require("route_native.auth").login(entrance) }   -- credentials in, {"token": …} out
---
--- A configuration is a table that is read once. Build it in `init_by_lua` or in a module of your own, and do not change
--- it afterwards. `prepare_check()` and `prepare_login()` read it at once, so that a mistake keeps nginx from starting.
---@class route_native.auth
local M = {}

--- Configures `check()`. Exactly one of `key`, `key_file` and `secret_file` is required.
---@class route_native.auth.CheckConfig
---@field key? string|string[]|route_native.jwt.KeyHandle a key or secret; a list for rotation; a handle of `route_native.jwt`
---@field key_file? string path of a file with PEM, a JWK or a JWK Set
---@field secret_file? string path of a file with one secret a line
---@field policy? route_native.jwt.PolicyConfig|route_native.jwt.PolicyHandle what a token must satisfy (default: {})
---@field token? string|string[] where the token is: `header` (Authorization), `header:NAME`, `cookie:NAME` or `query:NAME`; the first place of a list that has a token decides (default: "header")
---@field require? table<string,any> claims with the value that they need: one value, a list of values, or `function(value, claims)` that returns whether the request is allowed (default: {})
---@field scope? string|string[] scopes that the token needs, all of them, in `scope` or `scp`
---@field headers? table<string,string> claims for the upstream by header name, such as `["X-Claim-Sub"] = "sub"`; the client's own headers of these names are removed; a claim has at most 8192 bytes (default: {})
---@field strip_token? boolean removes the token from every place of `token`; a token in the query is always removed (default: false)
---@field cors_preflight? boolean lets a CORS preflight pass without a token (default: false)
---@field realm? string the realm of `WWW-Authenticate`, without quotes and backslashes
---@field dpop? route_native.auth.DpopConfig takes tokens that are bound to a key, with their proof (RFC 9449); without `dpop` and `mtls`, what a token is bound to is not looked at
---@field mtls? string `required` or `accepted`: takes tokens that are bound to the client's certificate (RFC 8705); a token must be bound where `dpop` or `mtls` is required, and it is enough that one of them binds it

--- Takes tokens that are bound to a key, with a proof for each request (DPoP, RFC 9449).
---@class route_native.auth.DpopConfig
---@field public_origins string|string[] origins under which clients reach this server, such as `https://api.example.com`: a proof names its URI
---@field mode? string `required` refuses Bearer tokens; `accepted` takes those that are not bound (default: "required")
---@field algorithms? string|string[] algorithms of proofs; by default all that are not HMAC, except ES256K
---@field max_age? integer longest time since a proof's `iat` in seconds, 1 to 600 (default: 60)
---@field leeway? integer clock skew in seconds, 0 to 300 (default: 5)
---@field nonce? boolean needs a nonce of this server in each proof (default: false)
---@field nonce_seconds? integer after how many seconds there is a new nonce, 10 to 3600; the one before stays valid for as long (default: 300)
---@field dict? string name of the `lua_shared_dict` of used proofs (default: "route_native_dpop")

--- Limits failed logins of one configuration, in windows of fixed length.
---@class route_native.auth.RateLimit
---@field dict? string name of the `lua_shared_dict` (default: "route_native_login")
---@field per_user? integer failed attempts for each user name, 1 to 1000000 (default: 10)
---@field per_address? integer failed attempts for each client address, 1 to 1000000 (default: 50)
---@field window? integer length of a window in seconds, 1 to 86400 (default: 60)

--- Sends the token as an HttpOnly cookie as well.
---@class route_native.auth.LoginCookie
---@field name? string name of the cookie: letters, digits, `_` and `-` (default: "token")
---@field path? string path of the cookie (default: "/")
---@field domain? string domain of the cookie; the host alone by default
---@field same_site? string `Strict`, `Lax` or `None` (default: "Lax")
---@field secure? boolean restricts the cookie to HTTPS; `None` needs it (default: true)

--- Configures `login()`. Exactly one of `key`, `key_file` and `secret_file` is required.
---@class route_native.auth.LoginConfig
---@field backend string internal location that knows the users, such as `/authenticate`; it receives the body by POST
---@field key? string|string[]|route_native.jwt.KeyHandle as in `CheckConfig`; the first key that can sign signs
---@field key_file? string as in `CheckConfig`
---@field secret_file? string as in `CheckConfig`
---@field issuer string the claim `iss`
---@field lifetime? integer seconds until `exp`, 1 to 31622400 (default: 3600)
---@field algorithm? string signing algorithm; the key's first by default
---@field user_field? string field of the body that names the user (default: "username")
---@field rate_limit? route_native.auth.RateLimit|boolean limits of failed attempts, or `false` (default: true)
---@field max_body? integer largest body of the request and of the backend in bytes, 1 to 1048576 (default: 65536)
---@field cookie? route_native.auth.LoginCookie sends the token as a cookie as well; then pages of other sites cannot log in
---@field public_origins? string|string[] other origins whose pages may log in, such as `https://app.example.com`
---@field dpop? route_native.auth.DpopConfig binds tokens to the key of the request's proof, and answers as OAuth's token endpoints: `access_token`, `token_type`, `expires_in`; excludes `cookie`

--- Reads a configuration of `check()` at once. A mistake raises an error of one sentence.
---@param config route_native.auth.CheckConfig the configuration
---@return route_native.auth.CheckConfig # the same table
function M.prepare_check(config) end

--- Reads a configuration of `login()` at once. A mistake raises an error of one sentence.
---@param config route_native.auth.LoginConfig the configuration
---@return route_native.auth.LoginConfig # the same table
function M.prepare_login(config) end

--- Checks the request's token. Ends the request with 401 (no valid token), 403 (a claim or scope is missing) or 503
--- (the keys are unavailable). Call it in the access phase of a request, in the rewrite phase of a captured location,
--- and in the content phase of an auth_request: nginx runs no access phase in subrequests.
---@param config route_native.auth.CheckConfig the configuration
---@return table|nil # the claims; or if a CORS preflight passes without a token
---@return table|nil # the header
function M.check(config) end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 with the headers of the
--- configuration, otherwise as `check()`. Call it in the content phase.
---@param config route_native.auth.CheckConfig the configuration
function M.forward_auth(config) end

--- Logs a user in and ends the request. Answers 200 with `{"token": …}` if the backend answers 200 with a JSON object,
--- and signs that object. Call it in the rewrite, access or content phase.
---@param config route_native.auth.LoginConfig the configuration
function M.login(config) end

return M
