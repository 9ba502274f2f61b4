--- Checks the tokens of requests, and issues tokens at a login.
--
--     access_by_lua_block  { require("route_native.auth").check(guard) }      -- 401, 403, or on with the request
--     content_by_lua_block { require("route_native.auth").login(entrance) }   -- credentials in, {"token": …} out
--
-- A configuration is a table that is read once. Build it in `init_by_lua` or in a module of your own, and do not change
-- it afterwards. `prepare_check()` and `prepare_login()` read it at once, so that a mistake keeps nginx from starting.
--
-- @module route_native.auth

local auth_check = require "route_native.auth.check"
local auth_login = require "route_native.auth.login"
local forward_auth = require "route_native.core.forward_auth"
local ready = require "route_native.core.ready"

local _M = {}

-- What a reader returned for each configuration. An entry lives as long as its configuration.
local parsed = setmetatable({}, { __mode = "k" })

-- Returns what `reader` makes of a configuration. `name` is the public function, for errors.
local function parse(config, reader, name)
    if type(config) ~= "table" then
        error("route_native.auth: " .. name .. "() takes a table", 3)
    end
    local cached = parsed[config]
    if cached and cached.reader == reader then
        return cached
    end
    local ok, result = pcall(reader.read, config)
    if not ok then
        error(result, 3)
    end
    result.reader = reader
    parsed[config] = result
    return result
end

--- Configures `check()`. Exactly one of `key`, `key_file` and `secret_file` is required.
-- @table CheckConfig
-- @tfield[opt] string|string[]|route_native.jwt.KeyHandle key a key or secret; a list for rotation; a handle of
-- `route_native.jwt`
-- @tfield[opt] string key_file path of a file with PEM, a JWK or a JWK Set
-- @tfield[opt] string secret_file path of a file with one secret a line
-- @tfield[opt={}] route_native.jwt.PolicyConfig|route_native.jwt.PolicyHandle policy what a token must satisfy
-- @tfield[opt="header"] string|string[] token where the token is: `header` (Authorization), `header:NAME`,
-- `cookie:NAME` or `query:NAME`; the first place of a list that has a token decides
-- @tfield[opt={}] table<string,any> require claims with the value that they need: one value, a list of values, or
-- `function(value, claims)` that returns whether the request is allowed
-- @tfield[opt] string|string[] scope scopes that the token needs, all of them, in `scope` or `scp`
-- @tfield[opt={}] table<string,string> headers claims for the upstream by header name, such as `["X-Claim-Sub"] =
-- "sub"`; the client's own headers of these names are removed; a claim has at most 8192 bytes
-- @tfield[opt=false] boolean strip_token removes the token from every place of `token`; a token in the query is always
-- removed
-- @tfield[opt=false] boolean cors_preflight lets a CORS preflight pass without a token
-- @tfield[opt] string realm the realm of `WWW-Authenticate`, without quotes and backslashes
-- @tfield[opt] DpopConfig dpop takes tokens that are bound to a key, with their proof (RFC 9449); without `dpop` and
-- `mtls`, what a token is bound to is not looked at
-- @tfield[opt] string mtls `required` or `accepted`: takes tokens that are bound to the client's certificate (RFC
-- 8705); a token must be bound where `dpop` or `mtls` is required, and it is enough that one of them binds it

--- Takes tokens that are bound to a key, with a proof for each request (DPoP, RFC 9449).
-- @table DpopConfig
-- @tfield string|string[] public_origins origins under which clients reach this server, such as
-- `https://api.example.com`: a proof names its URI
-- @tfield[opt="required"] string mode `required` refuses Bearer tokens; `accepted` takes those that are not bound
-- @tfield[opt] string|string[] algorithms algorithms of proofs; by default all that are not HMAC, except ES256K
-- @tfield[opt=60] integer max_age longest time since a proof's `iat` in seconds, 1 to 600
-- @tfield[opt=5] integer leeway clock skew in seconds, 0 to 300
-- @tfield[opt=false] boolean nonce needs a nonce of this server in each proof
-- @tfield[opt=300] integer nonce_seconds after how many seconds there is a new nonce, 10 to 3600; the one before stays
-- valid for as long
-- @tfield[opt="route_native_dpop"] string dict name of the `lua_shared_dict` of used proofs

--- Limits failed logins of one configuration, in windows of fixed length.
-- @table RateLimit
-- @tfield[opt="route_native_login"] string dict name of the `lua_shared_dict`
-- @tfield[opt=10] integer per_user failed attempts for each user name, 1 to 1000000
-- @tfield[opt=50] integer per_address failed attempts for each client address, 1 to 1000000
-- @tfield[opt=60] integer window length of a window in seconds, 1 to 86400

--- Sends the token as an HttpOnly cookie as well.
-- @table LoginCookie
-- @tfield[opt="token"] string name name of the cookie: letters, digits, `_` and `-`
-- @tfield[opt="/"] string path path of the cookie
-- @tfield[opt] string domain domain of the cookie; the host alone by default
-- @tfield[opt="Lax"] string same_site `Strict`, `Lax` or `None`
-- @tfield[opt=true] boolean secure restricts the cookie to HTTPS; `None` needs it

--- Configures `login()`. Exactly one of `key`, `key_file` and `secret_file` is required.
-- @table LoginConfig
-- @tfield string backend internal location that knows the users, such as `/authenticate`; it receives the body by POST
-- @tfield[opt] string|string[]|route_native.jwt.KeyHandle key as in `CheckConfig`; the first key that can sign signs
-- @tfield[opt] string key_file as in `CheckConfig`
-- @tfield[opt] string secret_file as in `CheckConfig`
-- @tfield string issuer the claim `iss`
-- @tfield[opt=3600] integer lifetime seconds until `exp`, 1 to 31622400
-- @tfield[opt] string algorithm signing algorithm; the key's first by default
-- @tfield[opt="username"] string user_field field of the body that names the user
-- @tfield[opt=true] RateLimit|boolean rate_limit limits of failed attempts, or `false`
-- @tfield[opt=65536] integer max_body largest body of the request and of the backend in bytes, 1 to 1048576
-- @tfield[opt] LoginCookie cookie sends the token as a cookie as well; then pages of other sites cannot log in
-- @tfield[opt] string|string[] public_origins other origins whose pages may log in, such as `https://app.example.com`
-- @tfield[opt] DpopConfig dpop binds tokens to the key of the request's proof, and answers as OAuth's token endpoints:
-- `access_token`, `token_type`, `expires_in`; excludes `cookie`

-- Makes the keys of a configuration a condition of /readyz: their file may not exist yet.
local function need_keys(result)
    ready.add("keys", function() return not result.keys() and "Keys of a check or a login are not there" or nil end)
end

--- Reads a configuration of `check()` at once. A mistake raises an error of one sentence.
-- @tparam CheckConfig config the configuration
-- @treturn CheckConfig the same table
-- @usage init_by_lua_block { guard = require("route_native.auth").prepare_check { key_file = "/etc/keys/id.jwks" } }
function _M.prepare_check(config)
    need_keys(parse(config, auth_check, "prepare_check"))
    return config
end

--- Reads a configuration of `login()` at once. A mistake raises an error of one sentence.
-- @tparam LoginConfig config the configuration
-- @treturn LoginConfig the same table
function _M.prepare_login(config)
    need_keys(parse(config, auth_login, "prepare_login"))
    return config
end

--- Checks the request's token. Ends the request with 401 (no valid token), 403 (a claim or scope is missing) or 503
-- (the keys are unavailable). Call it in the access phase of a request, in the rewrite phase of a captured location,
-- and in the content phase of an auth_request: nginx runs no access phase in subrequests.
-- @tparam CheckConfig config the configuration
-- @treturn[1] table the claims
-- @treturn[1] table the header
-- @treturn[2] nil if a CORS preflight passes without a token
function _M.check(config)
    return auth_check.run(parse(config, auth_check, "check"))
end

--- Answers another proxy that asks whether a request may pass (`conf/forward_auth.conf`): 202 with the headers of the
-- configuration, otherwise as `check()`. Call it in the content phase.
-- @tparam CheckConfig config the configuration
function _M.forward_auth(config)
    local parsed_config = parse(config, auth_check, "forward_auth")
    local claims = auth_check.run(parsed_config)
    return forward_auth.allow(parsed_config.headers, claims or {})
end

--- Logs a user in and ends the request. Answers 200 with `{"token": …}` if the backend answers 200 with a JSON object,
-- and signs that object. Call it in the rewrite, access or content phase.
-- @tparam LoginConfig config the configuration
function _M.login(config)
    return auth_login.run(parse(config, auth_login, "login"))
end

return _M
