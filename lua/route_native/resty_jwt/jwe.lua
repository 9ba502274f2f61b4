-- Encrypts and decrypts tokens for lua-resty-jwt's API. The header's `alg` says what the program's key is: a secret, or
-- the text of a key. The library refuses the text of a key as a secret.

local digits = require "route_native.core.digits"
local encryption = require "route_native.jwt.encryption"
local parts = require "route_native.resty_jwt.parts"
local statuses = require "route_native.core.status"

local invalid, refuse, shown = parts.invalid, parts.refuse, parts.shown

local FOREIGN = "is for another kind of key"

-- What lua-resty-jwt says about the keys of each kind: none, one that does not decrypt, and one that does not encrypt.
local SECRET = "invalid pre-shared key"
local DIRECT = { form = encryption.SECRET, missing = "preshared key must not be null" }
local WRAPPING = { form = encryption.SECRET, missing = "AES key wrap key must not be null" }
local GCM_WRAPPING = { form = encryption.SECRET, missing = "AES-GCM key wrap key must not be null",
    members = { "iv", "tag" }, incomplete = "missing iv/tag in header for AES-GCM key wrap" }
local RSA = { form = encryption.KEY, missing = "rsa private key must not be null",
    private = "failed to create rsa object: ", public = "Decode secret is not a valid cert/public key: " }
local AGREEMENT = { form = encryption.KEY, missing = "EC private key must not be null",
    private = "failed to load EC private key: ", public = "failed to load EC public key: ",
    members = { "epk" }, incomplete = "missing epk in JWE header" }

local KINDS = {
    dir = DIRECT,
    A128KW = WRAPPING, A192KW = WRAPPING, A256KW = WRAPPING,
    A128GCMKW = GCM_WRAPPING, A192GCMKW = GCM_WRAPPING, A256GCMKW = GCM_WRAPPING,
    ["RSA-OAEP"] = RSA, ["RSA-OAEP-256"] = RSA, ["RSA-OAEP-384"] = RSA, ["RSA-OAEP-512"] = RSA,
    ["ECDH-ES"] = AGREEMENT, ["ECDH-ES+A128KW"] = AGREEMENT, ["ECDH-ES+A192KW"] = AGREEMENT,
    ["ECDH-ES+A256KW"] = AGREEMENT,
}

local ENCRYPTIONS = {
    A128GCM = true, A192GCM = true, A256GCM = true,
    ["A128CBC-HS256"] = true, ["A192CBC-HS384"] = true, ["A256CBC-HS512"] = true,
}

local _M = {}

-- Returns the reason for a key that does not fit. `role` is "private" or "public".
local function key_reason(kind, role, err)
    return kind[role] and kind[role] .. err or SECRET
end

-- Returns the reason of a status that decryption returned.
local function reason_of(status, kind, header)
    if status == statuses.DECRYPTION_FAILED then
        return "failed to decrypt payload: bad decrypt"
    elseif status == statuses.ALGORITHM_NOT_ALLOWED then
        return key_reason(kind, "private", FOREIGN)
    elseif status == statuses.HEADER_UNSUPPORTED then
        return "invalid header: crit, b64, zip, p2c and p2s are not supported"
    elseif status == statuses.KEY_NOT_FOUND then
        return "failed to decrypt key: no key has the kid of the token"
    end
    for _, name in ipairs(kind.members or {}) do
        if header[name] == nil then
            return kind.incomplete
        end
    end
    return parts.INVALID
end

-- Decrypts a token. Decryption authenticates it.
function _M.load(self, token, secret)
    local raw_header = token:match("^[^.]+")
    local header = parts.decode(self, raw_header, true)
    if type(header) ~= "table" then
        return invalid("invalid header: %s", raw_header)
    end
    local kind = KINDS[header.alg]
    if not kind then
        return invalid("invalid algorithm: %s", shown(header.alg))
    elseif type(secret) ~= "string" then
        return invalid(secret == nil and kind.missing or "invalid secret type (must be string)")
    elseif not ENCRYPTIONS[header.enc] then
        return invalid("unsupported payload encryption algorithm :%s", shown(header.enc))
    end
    local keys, err = encryption.of_text(kind.form, secret)
    if not keys then
        return invalid("%s", key_reason(kind, "private", err))
    end
    local text, json = encryption.decrypt(token, keys)
    if not text then
        return invalid("%s", reason_of(json, kind, header))
    end
    local payload = parts.payload_of(self, text)
    if payload == nil then
        return invalid("failed to decrypt payload: it is no object, or names a member twice")
    end
    return { typ = "JWE", valid = true, verified = false, header = digits.decode(json), payload = payload }
end

-- Encrypts the payload of an object. Raises `{ reason = … }`.
function _M.sign(self, secret, obj)
    local header = {}
    for name, value in pairs(obj.header) do
        header[name] = value
    end
    header.typ = nil
    local kind = KINDS[header.alg]
    if not kind then
        refuse("unsupported alg: %s", tostring(header.alg))
    elseif not ENCRYPTIONS[header.enc] then
        refuse("unsupported payload encryption algorithm :%s", tostring(header.enc))
    elseif type(secret) ~= "string" then
        refuse("invalid secret type (must be string)")
    end
    local payload = parts.raw_part(self, { payload = obj.payload }, "payload")
    local keys, err = encryption.of_text(kind.form, secret)
    if not keys then
        refuse("%s", key_reason(kind, "public", err))
    end
    local json = parts.raw_part(self, { header = header }, "header")
    local token, status = encryption.encrypt(json, payload, keys)
    if status == statuses.KEY_UNSUPPORTED then
        refuse("%s", key_reason(kind, "public", FOREIGN))
    end
    return token or refuse("%s", statuses.name(status))
end

return _M
