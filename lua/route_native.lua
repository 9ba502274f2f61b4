--- Routes requests to desktops: the desktop gateway for OpenResty.
--
--     init_by_lua_block    { require("route_native").setup() }
--     rewrite_by_lua_block { require("route_native").resolve() }   -- or access_by_lua_block
--     proxy_pass http://$target:29786;
--
-- `setup()` reads the keys. `resolve()` finds the request's token and looks it up in the worker's cache, then in
-- `ngx.shared.targetmap`. It verifies and decrypts the token only if both miss. It sets `$target` or ends the request.
-- `policy()` adds another policy, with keys and requirements of its own, for the locations that name it. Misuse raises
-- an error. A bad request gets an answer.
--
-- @module route_native

local engine = require "route_native.desktop.engine"
local settings = require "route_native.desktop.settings"
local statuses = require "route_native.core.status"

local _M = {
    --- Names the release.
    -- @tfield string _VERSION
    _VERSION = "0.2.0",
}

local default

local function not_set_up()
    error("route_native: setup() has not loaded any keys", 3)
end

--- Overrides the environment of the gateway. An absent option takes the value of its environment variable. Of
-- `signing_key` and `signing_jwks`, one is needed; an option prevails over the variable of the other.
-- @table SetupOptions
-- @tfield[opt=JWT_DESKTOP_SIGNING_PUBLIC_KEY] string signing_key path of the key that verifies tokens: a public key or
-- certificate in PEM, a JWK or a JWK Set. A changed file is read again
-- @tfield[opt=ROUTE_SIGNING_JWKS_URL] string|route_native.jwt.JwksConfig signing_jwks URL of the JWK Set that verifies
-- tokens, or what `jwt.jwks()` takes
-- @tfield[opt=JWT_DESKTOP_PAYLOAD_PRIVATE_KEY] string payload_key path of the RSA private key that decrypts `hash`
-- @tfield[opt=ROUTE_PAYLOAD_PADDING] string payload_padding `pkcs1v15` (the default), `oaep-sha1` or `oaep-sha256`
-- @tfield[opt=ROUTE_TARGET_SUFFIX] string target_suffix domain that all targets must be in; any target by default
-- @tfield[opt=ROUTE_JWT_ISSUER] string|string[] issuer allowed values of `iss`; any by default
-- @tfield[opt=ROUTE_JWT_AUDIENCE] string|string[] audience audiences, one of which `aud` must name; any by default
-- @tfield[opt=ROUTE_JWT_ALGORITHMS] string|string[] algorithms allowed algorithms; all of the keys by default
-- @tfield[opt=ROUTE_JWT_MAX_LIFETIME] integer max_lifetime the most seconds from `iat` to `exp`, 1 or more; the token
-- then needs `iat`; any time by default
-- @tfield[opt=ROUTE_JWT_LEEWAY] integer leeway clock skew in seconds, 0 to 300; 5 by default
-- @tfield[opt=ROUTE_CACHE_ENTRIES] integer cache_entries answers that each worker keeps; 50000 by default
-- @tfield[opt=ROUTE_DESKTOP_TEXTS] string texts path of a JSON file with texts for the pages of failures; English by
-- default
-- @tfield[opt=ROUTE_DESKTOP_WAIT] integer wait seconds that a request waits for a desktop that is starting, 0 to 120; 0
-- by default
-- @tfield[opt=ROUTE_LIMIT_CLIENT_RATE] integer client_rate requests in a second from one address
-- @tfield[opt=ROUTE_LIMIT_CLIENT_CONNECTIONS] integer client_connections open requests from one address
-- @tfield[opt=ROUTE_LIMIT_TOKEN_RATE] integer token_rate requests in a second with one token
-- @tfield[opt=ROUTE_LIMIT_TOKEN_CONNECTIONS] integer token_connections open requests with one token
-- @tfield[opt=ROUTE_LIMIT_TARGET_RATE] integer target_rate requests in a second to one desktop
-- @tfield[opt=ROUTE_LIMIT_TARGET_CONNECTIONS] integer target_connections open requests to one desktop
-- @tfield[opt=ROUTE_LOG_TOKENS] string log_tokens `on`: the error log has a line for each refused token, with the
-- reason, and at level `notice` for each one that a cache knew, with its target and the seconds left; `off` by default

-- Makes the engine of a policy, and tells the resolver. Returns the engine, or nil and an error. Raises an error for
-- anything but a key that is missing.
local function start(config, name)
    local made, err, status = engine.new(config)
    if not made then
        if status ~= statuses.KEY_UNREADABLE then
            error("route_native: " .. err, 0)
        end
        err = "route_native: " .. err .. "; desktop endpoints answer 503"
    end
    if ngx then
        -- The master may still read files that the workers may not. (The thread pool loads worker_thread.lua itself. If
        -- that fails, queue.lua does the work in the event loop.)
        require "route_native.hooks"
        local resolver = require "route_native.desktop.gateway"
        resolver.start(made, err, name, config)
        -- Replaced here, so that a request needs no lookup of the module.
        _M.resolve = resolver.resolve
    end
    return made, err
end

--- Loads keys and settings. Call it in `init_by_lua`.
--
-- An invalid setting or key raises an error: nginx does not start, and a reload keeps the old configuration. A missing
-- key is logged: nginx starts, and desktop endpoints answer 503 until a reload finds the key.
-- @tparam[opt] SetupOptions options overrides of the environment
-- @treturn boolean whether the keys are loaded
-- @treturn string|nil the reason if they are not
-- @usage init_by_lua_block { require("route_native").setup { signing_key = "/etc/keys/signing.pem" } }
function _M.setup(options)
    local config = settings.read(options or {})
    if ngx then
        require("route_native.desktop.failure").start(config.texts)
    end
    local made, err = start(config)
    default = made
    return made ~= nil, err
end

--- Adds a policy for the locations that set `$token_policy` to its name. Call it in `init_by_lua`, after `setup()`,
-- whose policy is that of all other locations. Policies share no cached answer. Errors are those of `setup()`.
-- @tparam string name name of the policy: letters, digits, `_` and `-`
-- @tparam SetupOptions options what differs from the environment; texts, wait and limits are those of `setup()`
-- @treturn boolean whether the keys are loaded
-- @treturn string|nil the reason if they are not
-- @usage
-- init_by_lua_block {
--     local gateway = require "route_native"
--     gateway.setup()
--     gateway.policy("partners", { signing_jwks = "https://partners.example/jwks", audience = "desktops" })
-- }
-- # in a location:
-- set $token_policy partners;
-- include desktop.conf;
function _M.policy(name, options)
    if type(name) ~= "string" or not name:find("^[%w_-]+$") then
        error("route_native: policy() takes a name of letters, digits, _ and -", 2)
    end
    local made, err = start(settings.read_policy(options), name)
    return made ~= nil, err
end

--- Resolves the request's token. Sets `$target`, or ends the request with 401 or 503.
-- Call it in the rewrite or access phase.
-- @usage access_by_lua_block { require("route_native").resolve() }
function _M.resolve()
    error("route_native: call setup() in init_by_lua before resolve()", 2)
end

--- Verifies a token with the signing keys of the gateway.
-- @tparam string token a compact JWS
-- @treturn[1] table the claims
-- @treturn[2] nil
-- @treturn[2] string the reason's name, such as `token_expired`
function _M.verify(token)
    if type(token) ~= "string" then
        error("route_native: verify() takes a string", 2)
    end
    local json, status = engine.verify(default or not_set_up(), token, ngx and ngx.time() or os.time())
    if not json then
        return nil, statuses.name(status)
    end
    return require("route_native.core.digits").decode(json)
end

--- Decrypts the text of a `hash` claim.
-- @tparam string hash the claim's base64 text
-- @treturn[1] string the target: a host name or an address
-- @treturn[2] nil
-- @treturn[2] string the reason's name
function _M.decrypt(hash)
    if type(hash) ~= "string" then
        error("route_native: decrypt() takes a string", 2)
    end
    local target, status = engine.decrypt(default or not_set_up(), hash)
    if not target then
        return nil, statuses.name(status)
    end
    return target
end

return _M
