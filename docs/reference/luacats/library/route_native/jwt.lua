---@meta route_native.jwt
-- `make docs` writes this file from the comments in `lua/route_native/jwt.lua`.

--- Verifies, signs, encrypts and decrypts JSON Web Tokens (RFC 7519).
---
---     local jwt = require "route_native.jwt"
---     local keys = jwt.key_file("/etc/keys/issuer.jwks")            -- in init_by_lua
---     local keys = jwt.jwks { url = "https://id.example/jwks" }     -- also
---     local policy = jwt.policy { issuer = "https://id.example", audience = "api", max_lifetime = 3600 }
---
---     local claims, header = jwt.verify(token, keys, policy)        -- or nil and the reason's name
---     local token = jwt.sign({ sub = "ada" }, keys, { lifetime = 600, jti = true })
---
---     local sealed = jwt.encrypt(token, recipient, { algorithm = "RSA-OAEP-256", encryption = "A256GCM" })
---     local token, header = jwt.decrypt(sealed, own)                -- or nil and the reason's name
---
--- A key's type fixes the allowed algorithms. A token's header must agree with it. A bad token returns `nil, reason`. A
--- bad key, policy or option raises an error of one sentence. No message contains a token or a key.
---@class route_native.jwt
local M = {}

--- Holds keys. Pass it to `verify()`, `sign()` and the configurations of other modules. It has no public members.
---@class route_native.jwt.KeyHandle

--- Holds a policy that `policy()` has read. It has no public members.
---@class route_native.jwt.PolicyHandle

--- Holds options that `sign_options()` has read. It has no public members.
---@class route_native.jwt.SignOptionsHandle

--- Configures `jwks()`.
---@class route_native.jwt.JwksConfig
---@field url string where the JWK Set is: `http` or `https`
---@field cooldown? integer seconds between two requests about an unknown `kid`, 1 to 86400 (default: 30)
---@field max_age? integer seconds until the set is fetched again, 1 to 604800 (default: 600)
---@field stale? integer further seconds for which the last good set stays in use while the server fails, 0 to 604800 (default: 3600)
---@field verify_ssl? boolean verifies the server's certificate (default: true)
---@field upstream? string an `upstream` block to connect to; name and certificate stay those of the URL
---@field cache_name? string name of the `lua_shared_dict` (default: "route_native_jwks")

--- Describes what a token must satisfy.
---@class route_native.jwt.PolicyConfig
---@field algorithms? string|string[] allowed algorithms; all of the key's type by default
---@field issuer? string|string[] allowed values of `iss`
---@field audience? string|string[] audiences, one of which `aud` must name
---@field leeway? integer clock skew in seconds, 0 to 300 (default: 5)
---@field required? string|string[] claims that the token must have
---@field require_exp? boolean refuses a token without `exp` (default: true)
---@field max_lifetime? integer the most seconds from `iat` to `exp`, 1 or more; the token then needs `iat`
---@field max_age? integer the most seconds since `iat`, 1 or more; the token then needs `iat`
---@field type? string the header's `typ`
---@field clock? function returns seconds since the epoch (default: ngx.time)

--- Describes how `sign()` signs.
---@class route_native.jwt.SignOptions
---@field algorithm? string signing algorithm; the key's first by default
---@field kid? string the header's `kid`; the key's own by default
---@field typ? string the header's `typ` (default: "JWT")
---@field header? table<string,any> further members of the header (default: {})
---@field lifetime? integer seconds from `iat`, which is now, to `exp`, 1 or more; sets both
---@field issuer? string sets `iss`
---@field jti? boolean sets `jti` to 128 random bits (default: false)
---@field clock? function returns seconds since the epoch (default: ngx.time)

--- Holds keys for encrypted tokens. Pass it to `encrypt()` and `decrypt()`. It has no public members.
---@class route_native.jwt.EncryptionKeyHandle

--- Describes how `encrypt()` encrypts.
---@class route_native.jwt.EncryptOptions
---@field algorithm string key management: `dir`, `RSA-OAEP`, `RSA-OAEP-256`, `-384`, `-512`, `A128KW`, `A192KW`, `A256KW`, `A128GCMKW`, `A192GCMKW`, `A256GCMKW`, `ECDH-ES`, `ECDH-ES+A128KW`, `+A192KW`, `+A256KW`
---@field encryption string content encryption: `A128GCM`, `A192GCM`, `A256GCM`, `A128CBC-HS256`, `A192CBC-HS384`, `A256CBC-HS512`
---@field kid? string the header's `kid`; the key's own by default
---@field header? table<string,any> further members of the header, such as `cty = "JWT"` for a token in a token (default: {})

--- Parses one key: a public key, private key or certificate in PEM, a JWK, or a JWK Set.
---@param text string the key
---@return route_native.jwt.KeyHandle # the key
function M.key(text) end

--- Takes every byte of a string as one HMAC secret. Refuses key material such as PEM: a public key is no secret.
---@param text string the secret, 32 bytes or more
---@return route_native.jwt.KeyHandle # the secret
function M.secret(text) end

--- Joins several keys, for secrets in rotation. The first that can sign signs. Each of them verifies.
---@param list (string|route_native.jwt.KeyHandle)[] strings, and results of `key()` and `secret()`; a string is PEM or JSON by its looks, otherwise a secret
---@return route_native.jwt.KeyHandle # all of them
function M.keys(list) end

--- Opens a file with PEM, a JWK or a JWK Set. The same path returns the same keys, and a changed file is read
--- again. Call it in `init_by_lua`, while the master process may still read what workers may not.
---@param path string path of the file
---@return route_native.jwt.KeyHandle # the keys of the file
function M.key_file(path) end

--- Opens a file with one secret a line. The first signs. Each of them verifies. A changed file is read again.
---@param path string path of the file
---@return route_native.jwt.KeyHandle # the secrets of the file
function M.secret_file(path) end

--- Uses the JWK Set that another server publishes. The first request that needs it fetches it for all workers. These
--- keys verify and cannot sign. Call it in `init_by_lua`, so that a mistake keeps nginx from starting.
---@param config route_native.jwt.JwksConfig the configuration
---@return route_native.jwt.KeyHandle # the keys; the same configuration returns the same keys
function M.jwks(config) end

--- Reads a policy once, for use with `verify()`. An unknown field or a value of the wrong type raises an error.
---@param config route_native.jwt.PolicyConfig the policy
---@return route_native.jwt.PolicyHandle # the policy
function M.policy(config) end

--- Verifies a token.
---@param token string a compact JWS
---@param key string|route_native.jwt.KeyHandle keys; a string is PEM, a JWK or a JWK Set by its looks, otherwise a secret
---@param policy? route_native.jwt.PolicyConfig|route_native.jwt.PolicyHandle what the token must satisfy
---@return table|nil # the claims; a whole number that a double cannot hold is the string of its digits
---@return table|string # the header; or the reason's name, such as `token_expired`
---@return boolean|nil # `true` if the keys or their server caused the failure: answer 503. `false` if the token did: answer 401
function M.verify(token, key, policy) end

--- Returns what a valid token can be revoked by: digests of its names, for programs that keep a verdict.
---@param token string a compact JWS
---@param key string|route_native.jwt.KeyHandle keys, as for `verify()`
---@param policy? route_native.jwt.PolicyConfig|route_native.jwt.PolicyHandle what the token must satisfy
---@return string|nil # the digests, as bytes; `nil` if the token is not valid
function M.identity_of(token, key, policy) end

--- Decodes a token without any check of its issuer. Use it to look at tokens, never to decide anything.
---@param token string a compact JWS
---@return table|nil # the claims
---@return table|string # the header; or the reason's name
function M.decode_unverified(token) end

--- Reads sign options once, for use with `sign()`. An unknown field or a wrong value raises an error.
---@param options route_native.jwt.SignOptions the options
---@return route_native.jwt.SignOptionsHandle # the handle of the options
function M.sign_options(options) end

--- Signs claims.
---@param claims table|string the claims; a whole number beyond 2^53 - 1 needs JSON text, which keeps it up to 64 bits
---@param key string|route_native.jwt.KeyHandle keys; the first that can sign signs
---@param options? route_native.jwt.SignOptions|route_native.jwt.SignOptionsHandle how to sign
---@return string|nil # the token
---@return string|nil # the reason's name, if the claims are no object or the token would be too large
function M.sign(claims, key, options) end

--- Parses keys for encrypted tokens: PEM, a JWK, or a JWK Set. A public key or certificate encrypts, a private key
--- decrypts, and an `oct` JWK does both. Refuses a JWK for signatures (`use`, `alg`, `key_ops`), or skips it in a set.
---@param text string the keys, at most 8
---@return route_native.jwt.EncryptionKeyHandle # the keys
function M.encryption_key(text) end

--- Takes every byte of a string as one secret that encrypts and decrypts. Refuses key material such as PEM.
---@param text string the secret, of 16, 24, 32, 48 or 64 bytes; its size fixes the algorithms
---@return route_native.jwt.EncryptionKeyHandle # the secret
function M.encryption_secret(text) end

--- Encrypts a text (RFC 7516). Whoever has the public key or the secret can do that: sign the claims first, and encrypt
--- the token.
---@param plaintext string the text, such as a result of `sign()`
---@param key string|route_native.jwt.EncryptionKeyHandle the recipient's key; a string is PEM, a JWK or a JWK Set by its looks, otherwise a secret
---@param options route_native.jwt.EncryptOptions how to encrypt
---@return string|nil # the token, a compact JWE
---@return string|nil # the reason's name, if the token would be too large
function M.encrypt(plaintext, key, options) end

--- Decrypts a token (RFC 7516). That proves nothing about its sender, unless the key is a secret: verify the plaintext.
---@param token string a compact JWE
---@param key string|route_native.jwt.EncryptionKeyHandle the private key or the secret; a string is PEM, a JWK or a JWK Set by its looks, otherwise a secret
---@return string|nil # the plaintext
---@return table|string # the header; or the reason's name: `algorithm_not_allowed` if the key does not allow the token's `alg` and `enc`, `decryption_failed` whatever else is wrong with the key or the token
function M.decrypt(token, key) end

return M
