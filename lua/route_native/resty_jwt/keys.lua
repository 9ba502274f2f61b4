-- The keys of signed tokens, which a program passes as a secret, a function, PEM or a JWK.

local keyring = require "route_native.jwt.keyring"
local parts = require "route_native.resty_jwt.parts"
local trust = require "route_native.resty_jwt.trust"

local format = string.format
local ngx = ngx
local shown = parts.shown

-- The algorithms of a shared secret, with the size of a signature in bytes.
local HMAC = { HS256 = 32, HS384 = 48, HS512 = 64 }
-- RFC 9864 calls EdDSA Ed25519. A whitelist with either name allows both.
local EDDSA = { EdDSA = "Ed25519", Ed25519 = "EdDSA" }
-- The algorithms that allow x5c, with the size of an ECDSA signature in bytes, or 0.
local CERTIFIED = {
    RS256 = 0, RS384 = 0, RS512 = 0, PS256 = 0, PS384 = 0, PS512 = 0, ES256 = 64, ES384 = 96, ES512 = 132, ES256K = 64,
}

local _M = { HMAC = HMAC, EDDSA = EDDSA, CERTIFIED = CERTIFIED }

-- Returns the secret, which is a string or the result of a function for the token's `kid`. Returns nil and a reason
-- otherwise.
local function secret_of(secret, header)
    if type(secret) == "string" then
        return secret
    elseif type(secret) ~= "function" then
        return nil, "invalid secret type (must be string or function)"
    elseif not HMAC[header.alg] then
        return nil, "secret function can only be used with hmac alg: " .. shown(header.alg)
    elseif header.kid == nil then
        return nil, "secret function specified without kid in header"
    end
    -- The program's function may fail: the token is not verified yet, so its `kid` may be anything.
    local ok, found = pcall(secret, header.kid)
    if not ok then
        return nil, type(found) == "table" and found.reason or "internal error"
    elseif type(found) ~= "string" then
        return nil, "function returned nil for kid: " .. shown(header.kid)
    end
    return found
end

local warned = false

-- Returns the keys of an HMAC secret, or nil and a reason.
function _M.hmac(secret, header)
    local text, err = secret_of(secret, header)
    if not text then
        return nil, err
    end
    local keys, message = keyring.of_text(keyring.SHORT_SECRET, text)
    if not keys then
        return nil, format("invalid secret for %s: %s", header.alg, message)
    end
    if #text < 32 and not warned then
        warned = true
        ngx.log(ngx.WARN, "route_native.resty_jwt: an HMAC secret is shorter than 32 bytes, and can be guessed from a "
            .. "token")
    end
    return keys
end

-- Returns the keys that may have signed a token, or nil and a reason.
function _M.verifying(self, secret, obj)
    local alg = obj.header.alg
    if HMAC[alg] then
        return _M.hmac(secret, obj.header)
    elseif CERTIFIED[alg] and self.trusted_certs_file then
        return trust.keys_of(self, obj)
    elseif secret == nil then
        return nil, CERTIFIED[alg] and "No trusted certs loaded" or "Failed to load EdDSA public key: no key provided"
    end
    local text, err = secret_of(secret, obj.header)
    if not text then
        return nil, err
    end
    local keys = (text:find("-----BEGIN ", 1, true) or text:match("^%s*{")) and keyring.of_text(keyring.KEY, text)
    if not keys then
        return nil, EDDSA[alg] and "Failed to load EdDSA public key: not a key"
            or "Decode secret is not a valid cert/public key"
    end
    return keys
end

-- Returns the keys that sign, or nil and a reason.
function _M.signing(secret, header)
    local alg = header.alg
    if HMAC[alg] then
        return _M.hmac(secret, header)
    elseif not (EDDSA[alg] or CERTIFIED[alg]) then
        return nil, "unsupported alg: " .. tostring(alg)
    end
    local keys, err = keyring.of_text(keyring.KEY, tostring(secret))
    return keys, err and "signer error: " .. err
end

return _M
