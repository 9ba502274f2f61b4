--- Verifies, signs, encrypts and decrypts JSON Web Tokens (RFC 7519).
--
--     local jwt = require "route_native.jwt"
--     local keys = jwt.key_file("/etc/keys/issuer.jwks")            -- in init_by_lua
--     local keys = jwt.jwks { url = "https://id.example/jwks" }     -- also
--     local policy = jwt.policy { issuer = "https://id.example", audience = "api", max_lifetime = 3600 }
--
--     local claims, header = jwt.verify(token, keys, policy)        -- or nil and the reason's name
--     local token = jwt.sign({ sub = "ada" }, keys, { lifetime = 600, jti = true })
--
--     local sealed = jwt.encrypt(token, recipient, { algorithm = "RSA-OAEP-256", encryption = "A256GCM" })
--     local token, header = jwt.decrypt(sealed, own)                -- or nil and the reason's name
--
-- A key's type fixes the allowed algorithms. A token's header must agree with it. A bad token returns `nil, reason`. A
-- bad key, policy or option raises an error of one sentence. No message contains a token or a key.
--
-- @module route_native.jwt

local fields = require "route_native.core.config"
local digits = require "route_native.core.digits"
local encryption = require "route_native.jwt.encryption"
local ffi = require "ffi"
local handles = require "route_native.core.handle"
local library = require "route_native.core.ffi"
local keyring = require "route_native.jwt.keyring"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local time = ngx and ngx.time or os.time
local OK, KEY_NOT_FOUND = statuses.OK, statuses.KEY_NOT_FOUND

local CLAIM_MALFORMED = statuses.name(library.RN_REASON_CLAIM_MALFORMED)

local BUFFER_BYTES = library.RN_TOKEN_BYTES

-- Shared by all requests: they are written and read without a yield in between.
local buffer = ffi.new("uint8_t[?]", BUFFER_BYTES)
local texts = ffi.new("rn_token_texts")
local length = ffi.new("size_t[1]")

local _M = {
    --- Parses one key: a public key, private key or certificate in PEM, a JWK, or a JWK Set.
    -- @function key
    -- @tparam string text the key
    -- @treturn KeyHandle the key
    key = keyring.key,

    --- Takes every byte of a string as one HMAC secret. Refuses key material such as PEM: a public key is no secret.
    -- @function secret
    -- @tparam string text the secret, 32 bytes or more
    -- @treturn KeyHandle the secret
    secret = keyring.secret,

    --- Joins several keys, for secrets in rotation. The first that can sign signs. Each of them verifies.
    -- @function keys
    -- @tparam (string|KeyHandle)[] list strings, and results of `key()` and `secret()`; a string is PEM or JSON by its
    -- looks, otherwise a secret
    -- @treturn KeyHandle all of them
    keys = keyring.keys,

    --- Opens a file with PEM, a JWK or a JWK Set. The same path returns the same keys, and a changed file is read
    -- again. Call it in `init_by_lua`, while the master process may still read what workers may not.
    -- @function key_file
    -- @tparam string path path of the file
    -- @treturn KeyHandle the keys of the file
    key_file = keyring.key_file,

    --- Opens a file with one secret a line. The first signs. Each of them verifies. A changed file is read again.
    -- @function secret_file
    -- @tparam string path path of the file
    -- @treturn KeyHandle the secrets of the file
    secret_file = keyring.secret_file,
}

--- Holds keys. Pass it to `verify()`, `sign()` and the configurations of other modules. It has no public members.
-- @table KeyHandle

--- Holds a policy that `policy()` has read. It has no public members.
-- @table PolicyHandle

--- Holds options that `sign_options()` has read. It has no public members.
-- @table SignOptionsHandle

--- Configures `jwks()`.
-- @table JwksConfig
-- @tfield string url where the JWK Set is: `http` or `https`
-- @tfield[opt=30] integer cooldown seconds between two requests about an unknown `kid`, 1 to 86400
-- @tfield[opt=600] integer max_age seconds until the set is fetched again, 1 to 604800
-- @tfield[opt=3600] integer stale further seconds for which the last good set stays in use while the server fails, 0 to
-- 604800
-- @tfield[opt=true] boolean verify_ssl verifies the server's certificate
-- @tfield[opt] string upstream an `upstream` block to connect to; name and certificate stay those of the URL
-- @tfield[opt="route_native_jwks"] string cache_name name of the `lua_shared_dict`

--- Uses the JWK Set that another server publishes. The first request that needs it fetches it for all workers. These
-- keys verify and cannot sign. Call it in `init_by_lua`, so that a mistake keeps nginx from starting.
-- @tparam JwksConfig config the configuration
-- @treturn KeyHandle the keys; the same configuration returns the same keys
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

-- Returns a value as JSON, or nil for a number whose digits Lua cannot tell. Raises an error at the caller's level if
-- there is no JSON at all.
local function encode(value, level)
    local json, message = digits.encode(value)
    if message == digits.TOO_LONG then
        return nil
    elseif not json then
        error("route_native.jwt: " .. message, level + 1)
    end
    return json
end

-- Returns the handle of a type such as "rn_policy" that holds a configuration, and its clock. The library gets the
-- other fields as JSON.
local function read(type, config)
    local plain = {}
    for name, value in pairs(config) do
        plain[name] = value
    end
    plain.clock = nil
    local json = encode(plain, 3) or error("route_native.jwt: " .. digits.TOO_LONG, 3)
    local handle, err = handles.new(type, function(...) return library[type .. "_new"](json, #json, ...) end)
    if not handle then
        error("route_native.jwt: " .. err, 3)
    end
    return { handle = handle, clock = config.clock }
end

-- Returns what an argument of a public function stands for: a default, itself, or what `new` makes of a table.
local function argument(value, type, default, new)
    if value == nil then
        return default
    elseif getmetatable(value) == type then
        return value
    end
    local ok, result = pcall(new, value)
    return ok and result or error(result, 3)
end

--- Describes what a token must satisfy.
-- @table PolicyConfig
-- @tfield[opt] string|string[] algorithms allowed algorithms; all of the key's type by default
-- @tfield[opt] string|string[] issuer allowed values of `iss`
-- @tfield[opt] string|string[] audience audiences, one of which `aud` must name
-- @tfield[opt=5] integer leeway clock skew in seconds, 0 to 300
-- @tfield[opt] string|string[] required claims that the token must have
-- @tfield[opt=true] boolean require_exp refuses a token without `exp`
-- @tfield[opt] integer max_lifetime the most seconds from `iat` to `exp`, 1 or more; the token then needs `iat`
-- @tfield[opt] integer max_age the most seconds since `iat`, 1 or more; the token then needs `iat`
-- @tfield[opt] string type the header's `typ`
-- @tfield[opt=ngx.time] function clock returns seconds since the epoch

--- Reads a policy once, for use with `verify()`. An unknown field or a value of the wrong type raises an error.
-- @tparam PolicyConfig config the policy
-- @treturn PolicyHandle the policy
function _M.policy(config)
    if type(config) ~= "table" then
        error("route_native.jwt: a policy is a table", 2)
    end
    if config.clock ~= nil and type(config.clock) ~= "function" then
        error("route_native.jwt: the policy field \"clock\" must be a function", 2)
    end
    return setmetatable(read("rn_policy", config), policy_type)
end

local default_policy = _M.policy {}

-- Returns the current second of a clock, which is the program's own function or nginx's time.
local function now_of(clock)
    local now = (clock or time)()
    if type(now) ~= "number" or now ~= now or now < 0 or now > 253402300799 then
        error("route_native.jwt: the clock must return seconds since the epoch", 3)
    end
    return math.floor(now)
end

-- Returns the claims and the header that the library wrote into the buffer.
local function decode_buffer()
    local header = digits.decode(ffi_string(buffer, texts.header_length))
    local claims = digits.decode(ffi_string(buffer + texts.header_length, texts.claims_length))
    return claims, header
end

-- Verifies a token with the current keys. Returns the status. If that is OK, header and claims are in the buffer.
local function check(keys, policy, token, seconds)
    local handle, status = keys:current()
    if not handle then
        return status
    end
    return library.rn_jwt_verify(handle, policy.handle, token, #token, seconds, buffer, BUFFER_BYTES, texts)
end

-- Fetches newer keys and verifies again. Returns the status.
local function check_again(keys, policy, token, seconds)
    local status = keys.source:refresh()
    return status == OK and check(keys, policy, token, seconds) or status
end

--- Verifies a token.
-- @tparam string token a compact JWS
-- @tparam string|KeyHandle key keys; a string is PEM, a JWK or a JWK Set by its looks, otherwise a secret
-- @tparam[opt] PolicyConfig|PolicyHandle policy what the token must satisfy
-- @treturn[1] table the claims; a whole number that a double cannot hold is the string of its digits
-- @treturn[1] table the header
-- @treturn[2] nil
-- @treturn[2] string the reason's name, such as `token_expired`
-- @treturn[2] boolean `true` if the keys or their server caused the failure: answer 503. `false` if the token did:
-- answer 401
-- @usage
-- local claims, reason, is_ours = jwt.verify(token, keys, { issuer = "https://id.example" })
-- if not claims then
--     return ngx.exit(is_ours and 503 or 401)
-- end
function _M.verify(token, key, policy)
    if type(token) ~= "string" then
        return nil, token == nil and "token_missing" or "token_malformed", false
    end
    policy = argument(policy, policy_type, default_policy, _M.policy)
    local keys = keyring.of(key, 2)
    local seconds = now_of(policy.clock)
    local status = check(keys, policy, token, seconds)
    if status == KEY_NOT_FOUND and keys.source then
        status = check_again(keys, policy, token, seconds)
    end
    if status ~= OK then
        return nil, statuses.name(status), not statuses.is_token(status)
    end
    return decode_buffer()
end

--- Returns what a valid token can be revoked by: digests of its names, for programs that keep a verdict.
-- @tparam string token a compact JWS
-- @tparam string|KeyHandle key keys, as for `verify()`
-- @tparam[opt] PolicyConfig|PolicyHandle policy what the token must satisfy
-- @treturn string|nil the digests, as bytes; `nil` if the token is not valid
function _M.identity_of(token, key, policy)
    policy = argument(policy, policy_type, default_policy, _M.policy)
    local handle = keyring.of(key, 2):current()
    local status = handle and library.rn_jwt_identity(handle, policy.handle, token, #token, now_of(policy.clock),
        buffer, BUFFER_BYTES, length)
    return status == OK and ffi_string(buffer, length[0]) or nil
end

--- Decodes a token without any check of its issuer. Use it to look at tokens, never to decide anything.
-- @tparam string token a compact JWS
-- @treturn[1] table the claims
-- @treturn[1] table the header
-- @treturn[2] nil
-- @treturn[2] string the reason's name
function _M.decode_unverified(token)
    if type(token) ~= "string" then
        return nil, token == nil and "token_missing" or "token_malformed"
    end
    local status = library.rn_jwt_decode_unverified(token, #token, buffer, BUFFER_BYTES, texts)
    if status ~= OK then
        return nil, statuses.name(status)
    end
    return decode_buffer()
end

local options_type = {}
options_type.__index = options_type

--- Describes how `sign()` signs.
-- @table SignOptions
-- @tfield[opt] string algorithm signing algorithm; the key's first by default
-- @tfield[opt] string kid the header's `kid`; the key's own by default
-- @tfield[opt="JWT"] string typ the header's `typ`
-- @tfield[opt={}] table<string,any> header further members of the header
-- @tfield[opt] integer lifetime seconds from `iat`, which is now, to `exp`, 1 or more; sets both
-- @tfield[opt] string issuer sets `iss`
-- @tfield[opt=false] boolean jti sets `jti` to 128 random bits
-- @tfield[opt=ngx.time] function clock returns seconds since the epoch

--- Reads sign options once, for use with `sign()`. An unknown field or a wrong value raises an error.
-- @tparam SignOptions options the options
-- @treturn SignOptionsHandle the handle of the options
function _M.sign_options(options)
    if type(options) ~= "table" then
        error("route_native.jwt: sign() takes its options as a table", 2)
    end
    return setmetatable(read("rn_sign_options", options), options_type)
end

local default_options = _M.sign_options {}

--- Signs claims.
-- @tparam table|string claims the claims; a whole number beyond 2^53 - 1 needs JSON text, which keeps it up to 64 bits
-- @tparam string|KeyHandle key keys; the first that can sign signs
-- @tparam[opt] SignOptions|SignOptionsHandle options how to sign
-- @treturn[1] string the token
-- @treturn[2] nil
-- @treturn[2] string the reason's name, if the claims are no object or the token would be too large
-- @usage local token = jwt.sign({ sub = "ada" }, keys, { lifetime = 600, issuer = "https://id.example" })
function _M.sign(claims, key, options)
    options = argument(options, options_type, default_options, _M.sign_options)
    if type(claims) == "table" then
        claims = encode(claims, 2)
        if not claims then
            return nil, CLAIM_MALFORMED
        end
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
    elseif status == statuses.KEY_CANNOT_SIGN then
        error("route_native.jwt: this key cannot sign, or not with that algorithm", 2)
    end
    return nil, statuses.name(status)
end

--- Holds keys for encrypted tokens. Pass it to `encrypt()` and `decrypt()`. It has no public members.
-- @table EncryptionKeyHandle

local function encryption_keys(form, text, name)
    if type(text) ~= "string" then
        error(("route_native.jwt: %s takes a string, and was given a %s"):format(name, type(text)), 3)
    end
    local keys, err = encryption.new(form, text)
    return keys or error("route_native.jwt: the key " .. err, 3)
end

--- Parses keys for encrypted tokens: PEM, a JWK, or a JWK Set. A public key or certificate encrypts, a private key
-- decrypts, and an `oct` JWK does both. Refuses a JWK for signatures (`use`, `alg`, `key_ops`), or skips it in a set.
-- @tparam string text the keys, at most 8
-- @treturn EncryptionKeyHandle the keys
function _M.encryption_key(text)
    return encryption_keys(encryption.KEY, text, "encryption_key()")
end

--- Takes every byte of a string as one secret that encrypts and decrypts. Refuses key material such as PEM.
-- @tparam string text the secret, of 16, 24, 32, 48 or 64 bytes; its size fixes the algorithms
-- @treturn EncryptionKeyHandle the secret
function _M.encryption_secret(text)
    return encryption_keys(encryption.SECRET, text, "encryption_secret()")
end

-- Returns the keys of an argument. Raises an error at the level of the public function's caller.
local function encryption_keys_of(value)
    local keys, err = encryption.of(value)
    return keys or error("route_native.jwt: the key " .. err, 3)
end

--- Describes how `encrypt()` encrypts.
-- @table EncryptOptions
-- @tfield string algorithm key management: `dir`, `RSA-OAEP`, `RSA-OAEP-256`, `-384`, `-512`, `A128KW`, `A192KW`,
-- `A256KW`, `A128GCMKW`, `A192GCMKW`, `A256GCMKW`, `ECDH-ES`, `ECDH-ES+A128KW`, `+A192KW`, `+A256KW`
-- @tfield string encryption content encryption: `A128GCM`, `A192GCM`, `A256GCM`, `A128CBC-HS256`, `A192CBC-HS384`,
-- `A256CBC-HS512`
-- @tfield[opt] string kid the header's `kid`; the key's own by default
-- @tfield[opt={}] table<string,any> header further members of the header, such as `cty = "JWT"` for a token in a token

local ENCRYPT_ROWS = {
    { "algorithm", fields.text(), required = true },
    { "encryption", fields.text(), required = true },
    { "kid", fields.text() },
    { "header", fields.any("table"), default = {} },
}

-- Returns the header's JSON. Raises an error at the level of the public function's caller.
local function encrypt_header(input)
    local ok, options = pcall(fields.read, "route_native.jwt: encrypt()", ENCRYPT_ROWS, input)
    if not ok then
        error(options, 3)
    end
    local header = {}
    for name, value in pairs(options.header) do
        header[name] = value
    end
    if header.alg ~= nil or header.enc ~= nil or header.kid ~= nil then
        error("route_native.jwt: the header's alg, enc and kid are set by options of their own", 3)
    end
    header.alg, header.enc, header.kid = options.algorithm, options.encryption, options.kid
    return encode(header, 3) or error("route_native.jwt: " .. digits.TOO_LONG, 3)
end

local ENCRYPT_MISTAKES = {
    [statuses.ALGORITHM_NOT_ALLOWED] = "encrypt() does not offer that algorithm or encryption",
    [statuses.KEY_UNSUPPORTED] = "this key cannot encrypt, or not with that algorithm and encryption",
    [statuses.HEADER_UNSUPPORTED] = "the header must not have crit, b64, zip, p2c or p2s",
    [statuses.TOKEN_MALFORMED] = "the header has a member of the wrong type",
}

--- Encrypts a text (RFC 7516). Whoever has the public key or the secret can do that: sign the claims first, and encrypt
-- the token.
-- @tparam string plaintext the text, such as a result of `sign()`
-- @tparam string|EncryptionKeyHandle key the recipient's key; a string is PEM, a JWK or a JWK Set by its looks,
-- otherwise a secret
-- @tparam EncryptOptions options how to encrypt
-- @treturn[1] string the token, a compact JWE
-- @treturn[2] nil
-- @treturn[2] string the reason's name, if the token would be too large
-- @usage local sealed = jwt.encrypt(token, recipient, { algorithm = "ECDH-ES", encryption = "A256GCM" })
function _M.encrypt(plaintext, key, options)
    if type(plaintext) ~= "string" then
        error("route_native.jwt: encrypt() takes a string", 2)
    end
    local header = encrypt_header(options)
    local token, status = encryption.encrypt(header, plaintext, encryption_keys_of(key))
    if not token and ENCRYPT_MISTAKES[status] then
        error("route_native.jwt: " .. ENCRYPT_MISTAKES[status], 2)
    end
    return token, not token and statuses.name(status) or nil
end

--- Decrypts a token (RFC 7516). That proves nothing about its sender, unless the key is a secret: verify the plaintext.
-- @tparam string token a compact JWE
-- @tparam string|EncryptionKeyHandle key the private key or the secret; a string is PEM, a JWK or a JWK Set by its
-- looks, otherwise a secret
-- @treturn[1] string the plaintext
-- @treturn[1] table the header
-- @treturn[2] nil
-- @treturn[2] string the reason's name: `algorithm_not_allowed` if the key does not allow the token's `alg` and `enc`,
-- `decryption_failed` whatever else is wrong with the key or the token
-- @usage
-- local token, reason = jwt.decrypt(sealed, own)
-- local claims = token and jwt.verify(token, issuer_keys, { issuer = "https://id.example" })
function _M.decrypt(token, key)
    if type(token) ~= "string" then
        return nil, token == nil and "token_missing" or "token_malformed"
    end
    local plaintext, header = encryption.decrypt(token, encryption_keys_of(key))
    if not plaintext then
        return nil, statuses.name(header)
    end
    return plaintext, digits.decode(header)
end

return _M
