-- route_native.jwt: signed tokens (RFC 7519) for Lua.
--
--     local jwt = require "route_native.jwt"
--     local keys = jwt.key_file("/etc/keys/issuer.jwks")            -- in init_by_lua
--     local keys = jwt.jwks { url = "https://id.example/jwks" }     -- also
--     local policy = jwt.policy { issuer = "https://id.example", audience = "api", max_lifetime = 3600 }
--
--     local claims, header = jwt.verify(token, keys, policy)        -- or nil and the reason's name
--     local token = jwt.sign({ sub = "ada" }, keys, { lifetime = 600, jti = true })
--
-- A key's type fixes the algorithms that count, and a token's header only has to agree. Bad tokens are `nil, reason`;
-- bad keys, policies and options are errors of one sentence. No token and no key is ever part of a message.

local cjson = require("cjson.safe").new()
local ffi = require "ffi"
local library = require "route_native.core.ffi"
local reason = require "route_native.core.status"
local keyring = require "route_native.jwt.keyring"

-- The library has bounded the depth of what is decoded, at 128.
cjson.decode_max_depth(128)

local ffi_string = ffi.string
local time = ngx and ngx.time or os.time
local OK, KEY_NOT_FOUND = reason.OK, reason.KEY_NOT_FOUND

local BUFFER_BYTES = library.RN_TOKEN_BYTES
local ERROR_BYTES = library.RN_ERROR_BYTES

-- Written and read within one call: Lua does not yield in between.
local buffer = ffi.new("uint8_t[?]", BUFFER_BYTES)
local texts = ffi.new("rn_token_texts")
local length = ffi.new("size_t[1]")

local _M = {
    key = keyring.key,
    secret = keyring.secret,
    keys = keyring.keys,
    key_file = keyring.key_file,
    secret_file = keyring.secret_file,
}

-- The keys that another server publishes; see jwks.lua for the settings. Call it in init_by_lua, so that nginx does not
-- start with a mistake.
function _M.jwks(config)
    if not ngx then
        error("route_native.jwt: jwks() works in nginx only", 2)
    elseif type(config) ~= "table" then
        error("route_native.jwt: jwks() takes a table", 2)
    end
    local ok, keys = pcall(require("route_native.jwt.jwks").new, config)
    return ok and keys or error(keys, 2)
end

local policy_type = {}
policy_type.__index = policy_type

local function encoded(value, level)
    local json, message = cjson.encode(value)
    if not json then
        error("route_native.jwt: " .. message, level + 1)
    end
    return json
end

-- Reads a policy once, for use with verify(). An unknown field or a value of the wrong kind is an error.
--
--   algorithms    string or list  default: all that the key's type does
--   issuer        string or list  `iss` must be one of them
--   audience      string or list  `aud` must name one of them
--   leeway        seconds         clock skew that is forgiven, 0 to 300; default 5
--   required      string or list  claims that must be there
--   require_exp   boolean         whether a token without `exp` is refused; default true
--   max_lifetime  seconds         the most that `exp` may lie behind `iat`
--   max_age       seconds         the most that `iat` may lie back
--   type          string          the header's `typ`
--   clock         function        returns seconds since the epoch; default ngx.time
function _M.policy(fields)
    if type(fields) ~= "table" then
        error("route_native.jwt: a policy is a table", 2)
    end
    local plain = {}
    for name, value in pairs(fields) do
        plain[name] = value
    end
    local clock = plain.clock
    plain.clock = nil
    if clock ~= nil and type(clock) ~= "function" then
        error("route_native.jwt: the policy field \"clock\" must be a function", 2)
    end
    local json = encoded(plain, 2)
    local handle, sentence = ffi.new("rn_policy *[1]"), ffi.new("uint8_t[?]", ERROR_BYTES)
    if library.rn_policy_new(json, #json, handle, sentence, ERROR_BYTES, length) ~= OK then
        error("route_native.jwt: " .. ffi_string(sentence, length[0]), 2)
    end
    handle = ffi.gc(handle[0], function(policy) library.rn_policy_free(policy) end)
    return setmetatable({ handle = handle, clock = clock }, policy_type)
end

local default_policy = _M.policy {}

local function policy_of(policy)
    if policy == nil then
        return default_policy
    elseif getmetatable(policy) == policy_type then
        return policy
    end
    local ok, made = pcall(_M.policy, policy)
    if not ok then
        error(made, 3)
    end
    return made
end

local function now_of(clock)
    local now = (clock or time)()
    if type(now) ~= "number" or now ~= now or now < 0 or now > 253402300799 then
        error("route_native.jwt: the clock must return seconds since the epoch", 3)
    end
    return math.floor(now)
end

-- The header and the claims that the library has written.
local function written()
    local header = cjson.decode(ffi_string(buffer, texts.header_length))
    local claims = cjson.decode(ffi_string(buffer + texts.header_length, texts.claims_length))
    return claims, header
end

-- Returns the status, and with OK leaves header and claims in the buffer.
local function check(keys, policy, token, seconds)
    local handle, trouble = keys:current()
    if not handle then
        return trouble
    end
    return library.rn_jwt_verify(handle, policy.handle, token, #token, seconds, buffer, BUFFER_BYTES, texts)
end

-- Keys from elsewhere may be newer there.
local function check_again(keys, policy, token, seconds)
    local status = keys.source:renew()
    return status == OK and check(keys, policy, token, seconds) or status
end

-- Verifies a token. Returns its claims and its header as tables; or nil, the reason's name, such as "token_expired",
-- and whether that is not about the token, but about our keys or the server that publishes them: a 503 and no 401.
-- `key` is a handle of this module, or a string: PEM, a JWK, a JWK Set, else a secret. `policy` is a handle or a table.
function _M.verify(token, key, policy)
    if type(token) ~= "string" then
        return nil, token == nil and "token_missing" or "token_malformed", false
    end
    policy = policy_of(policy)
    local keys = keyring.of(key, 2)
    local seconds = now_of(policy.clock)
    local status = check(keys, policy, token, seconds)
    if status == KEY_NOT_FOUND and keys.source then
        status = check_again(keys, policy, token, seconds)
    end
    if status ~= OK then
        return nil, reason.name(status), not reason.is_token(status)
    end
    return written()
end

-- What a token says, without any check of who says it: for looking at tokens, never for deciding anything.
-- Returns claims and header, or nil and the reason's name.
function _M.decode_unverified(token)
    if type(token) ~= "string" then
        return nil, token == nil and "token_missing" or "token_malformed"
    end
    local status = library.rn_jwt_decode_unverified(token, #token, buffer, BUFFER_BYTES, texts)
    if status ~= OK then
        return nil, reason.name(status)
    end
    return written()
end

local options_type = {}
options_type.__index = options_type

-- Reads sign options once, for use with sign(). An unknown field or a value of the wrong kind is an error.
--
--   algorithm  default: the key's first
--   kid, typ   default: the key's own, "JWT"
--   header     a table of further members
--   lifetime   seconds: sets `iat` and `exp`
--   issuer     sets `iss`
--   jti        true: sets `jti` to 128 random bits
--   clock      a function; default ngx.time
function _M.sign_options(fields)
    if type(fields) ~= "table" then
        error("route_native.jwt: sign() takes its options as a table", 2)
    end
    local plain = {}
    for name, value in pairs(fields) do
        plain[name] = value
    end
    local clock = plain.clock
    plain.clock = nil
    local json = encoded(plain, 2)
    local handle, sentence = ffi.new("rn_sign_options *[1]"), ffi.new("uint8_t[?]", ERROR_BYTES)
    if library.rn_sign_options_new(json, #json, handle, sentence, ERROR_BYTES, length) ~= OK then
        error("route_native.jwt: " .. ffi_string(sentence, length[0]), 2)
    end
    handle = ffi.gc(handle[0], function(options) library.rn_sign_options_free(options) end)
    return setmetatable({ handle = handle, clock = clock }, options_type)
end

local default_options = _M.sign_options {}

-- The handle that an argument stands for: itself, or what is read from a table.
local function options_of(options)
    if options == nil then
        return default_options
    elseif getmetatable(options) == options_type then
        return options
    end
    local ok, made = pcall(_M.sign_options, options)
    return ok and made or error(made, 3)
end

-- Signs claims: a table, or the JSON text of an object, whose numbers and lists then stay exactly as they are.
-- `options` is what sign_options() returns, or a table for it. Returns the token, or nil and the reason's name when the
-- claims are no object or the token would be too large.
function _M.sign(claims, key, options)
    options = options_of(options)
    if type(claims) == "table" then
        claims = encoded(claims, 2)
    elseif type(claims) ~= "string" then
        error("route_native.jwt: sign() takes claims as a table or as JSON text", 2)
    end
    local keys = keyring.of(key, 2)
    if keys.source then
        error("route_native.jwt: these keys verify and cannot sign", 2)
    end
    local status = library.rn_jwt_sign(keys:current(), options.handle, claims, #claims, now_of(options.clock), buffer,
        BUFFER_BYTES, length)
    if status == OK then
        return ffi_string(buffer, length[0])
    elseif status == reason.KEY_CANNOT_SIGN then
        error("route_native.jwt: this key cannot sign, or not with that algorithm", 2)
    end
    return nil, reason.name(status)
end

return _M
