--- Offers the documented API of lua-resty-jwt, so that a program changes one `require`.
--
--     local jwt = require "route_native.resty_jwt"
--     local obj = jwt:verify(secret, token)          -- obj.valid and obj.verified are equal, and false for a forgery
--
-- The differences and their reasons:
--
-- - After `verify()`, `valid` is true only if the signature and the claims are valid. lua-resty-jwt sets it to true for
--   a forgery.
-- - A public key or certificate is never an HMAC secret, in PEM, as a JWK or in any other encoding. A key's type fixes
--   the algorithms.
-- - The signature is checked before the claims, so that validators get only claims of the issuer.
-- - Tokens are parsed strictly, up to 16 KB: three canonical parts, no duplicate members, no `crit`.
-- - A secret shorter than 32 bytes is accepted, because programs use them, and the log warns once.
-- - Encrypted tokens: `dir` and `RSA-OAEP-256` with A128CBC-HS256, A256CBC-HS512, A128GCM and A256GCM. No PBES2.
-- - `lifetime_grace_period` applies only to the call that receives it.
-- - A token may begin with `Bearer `, as in the Authorization header, because programs pass that header on.
--
-- Call the functions as methods of the module or of an object that `new()` returns. An object has settings of its own.
--
-- @module route_native.resty_jwt

local digits = require "route_native.core.digits"
local claims_spec = require "route_native.resty_jwt.claims"
local ffi = require "ffi"
local keyring = require "route_native.jwt.keyring"
local library = require "route_native.core.ffi"
local native = require "route_native.jwt"
local statuses = require "route_native.core.status"
local trust = require "route_native.resty_jwt.trust"

local ffi_string, format = ffi.string, string.format
local ngx = ngx
local OK = statuses.OK

local BUFFER_BYTES = library.RN_TOKEN_BYTES
local buffer = ffi.new("uint8_t[?]", BUFFER_BYTES)
local texts = ffi.new("rn_token_texts")
local length = ffi.new("size_t[1]")
local any_algorithm = native.policy {}

local INVALID = "invalid jwt string"
local VERIFIED = "everything is awesome~ :p"
local HMAC = { HS256 = true, HS384 = true, HS512 = true }
-- RFC 9864 calls EdDSA Ed25519. A whitelist with either name allows both.
local EDDSA = { EdDSA = "Ed25519", Ed25519 = "EdDSA" }
-- The algorithms that allow x5c, with the size of an ECDSA signature in bytes, or 0.
local CERTIFIED = {
    RS256 = 0, RS384 = 0, RS512 = 0, PS256 = 0, PS384 = 0, PS512 = 0, ES256 = 64, ES384 = 96, ES512 = 132, ES256K = 64,
}

local _M = {
    --- Names the release.
    -- @tfield string _VERSION
    _VERSION = require("route_native")._VERSION,
}
local mt = { __index = _M }

-- The encrypted tokens that load_jwt() decrypted. Decryption authenticates them.
local decrypted = setmetatable({}, { __mode = "k" })

--- Describes a token.
-- @table Token
-- @tfield boolean valid after `load_jwt()`: the token could be parsed; after `verify()`: signature and claims are valid
-- @tfield boolean verified signature and claims are valid
-- @tfield string reason why the token is not valid, or `everything is awesome~ :p`
-- @tfield[opt] string typ `JWT` or `JWE`
-- @tfield[opt] table header the header
-- @tfield[opt] table|string payload the claims, or the text of a payload that is no JSON
-- @tfield[opt] string raw_header the header as sent
-- @tfield[opt] string raw_payload the payload as sent
-- @tfield[opt] string signature the signature as sent

--- Describes valid times and issuers, in the older form of claim specs.
-- @table ValidationOptions
-- @tfield[opt] string[] valid_issuers allowed values of `iss`
-- @tfield[opt] number lifetime_grace_period clock skew in seconds, 0 or more
-- @tfield[opt] boolean require_nbf_claim whether the token needs `nbf`
-- @tfield[opt] boolean require_exp_claim whether the token needs `exp`

--- Returns an object with settings of its own.
-- @treturn route_native.resty_jwt the object
function _M.new()
    return setmetatable({}, mt)
end

-- Raises an error as lua-resty-jwt's sign() does.
local function refuse(...)
    error({ reason = format(...) }, 0)
end

--- Encodes a value as base64url without padding. Encodes a table as JSON first.
-- @param self
-- @tparam string|table value the value
-- @tparam[opt] boolean is_payload uses the payload encoder for a table
-- @treturn string the text
function _M.jwt_encode(self, value, is_payload)
    if type(value) == "table" then
        value = (is_payload and self.payload_encoder or digits.encode)(value)
    end
    return (ngx.encode_base64(value, true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end

--- Decodes base64url.
-- @param self
-- @tparam string text the text
-- @tparam[opt] boolean json decodes JSON as well
-- @tparam[opt] boolean is_payload uses the payload decoder for JSON
-- @treturn any the bytes, or the value of the JSON; `nil` if the text is no base64url or no JSON
function _M.jwt_decode(self, text, json, is_payload)
    text = text:gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
    local data = ngx.decode_base64(text .. ("="):rep(-#text % 4))
    if data and json then
        return (is_payload and self.payload_decoder or digits.decode)(data)
    end
    return data
end

-- Returns the decoded JSON of a payload, or the text itself if it is no JSON. Returns nil for a JSON object that the
-- strict parser refuses, such as one with a duplicate member, and for a number, boolean or null: a program that reads a
-- claim of it would end in an error.
local function payload_of(self, text)
    if text:match("^%s*{") and library.rn_json_check(text, #text) ~= OK then
        return nil
    end
    local value = (self.payload_decoder or digits.decode)(text)
    if value == nil then
        return text
    end
    return (type(value) == "table" or type(value) == "string") and value or nil
end

-- Returns a value of an unverified header for a reason, which programs log and send: without control characters and
-- without a table's address.
local function shown(value)
    if type(value) == "string" then
        return (value:gsub("[%z\1-\31\127]", "?"))
    end
    return type(value) == "number" and tostring(value) or type(value)
end

-- Returns an invalid token with a reason.
local function invalid(message, ...)
    return { valid = false, verified = false, reason = select("#", ...) > 0 and format(message, ...) or message }
end

-- Returns the texts of the header and the payload that the library wrote into the buffer.
local function decoded_texts()
    return ffi_string(buffer, texts.header_length), ffi_string(buffer + texts.header_length, texts.claims_length)
end

-- Parses a signed token.
local function load_signed(self, token, raw_header, raw_payload, signature)
    local status = library.rn_jws_decode_unverified(token, #token, buffer, BUFFER_BYTES, texts)
    if status ~= OK then
        if status ~= statuses.TOKEN_MALFORMED then
            return invalid(INVALID)
        end
        -- Find the malformed part: the header with an empty payload is a token too.
        local alone = raw_header .. ".."
        status = library.rn_jws_decode_unverified(alone, #alone, buffer, BUFFER_BYTES, texts)
        return status ~= OK and invalid("invalid header: %s", raw_header) or invalid("invalid payload: %s", raw_payload)
    end
    local header, payload = decoded_texts()
    payload = payload_of(self, payload)
    if payload == nil then
        return invalid("invalid payload: %s", raw_payload)
    end
    return {
        typ = "JWT", valid = true, verified = false, raw_header = raw_header, raw_payload = raw_payload,
        header = digits.decode(header), payload = payload, signature = signature,
    }
end

local JWE_REASONS = {
    [statuses.TOKEN_MALFORMED] = INVALID,
    [statuses.ALGORITHM_NOT_ALLOWED] = "invalid algorithm: only dir and RSA-OAEP-256, with A128CBC-HS256, "
        .. "A256CBC-HS512, A128GCM or A256GCM",
    [statuses.HEADER_UNSUPPORTED] = "invalid header: crit and zip are not supported",
    [statuses.KEY_UNSUPPORTED] = "invalid pre-shared key",
    [statuses.DECRYPTION_FAILED] = "failed to decrypt payload: bad decrypt",
}

-- Decrypts an encrypted token.
local function load_encrypted(self, token, secret)
    if type(secret) ~= "string" then
        return invalid(secret == nil and "preshared key must not be null" or "invalid secret type (must be string)")
    end
    local status = library.rn_jwe_decrypt(secret, #secret, token, #token, buffer, BUFFER_BYTES, texts)
    if status ~= OK then
        return invalid(JWE_REASONS[status] or INVALID)
    end
    local header, payload = decoded_texts()
    payload = payload_of(self, payload)
    if payload == nil then
        return invalid("failed to decrypt payload: it names a member twice")
    end
    local obj = { typ = "JWE", valid = true, verified = false, header = digits.decode(header), payload = payload }
    decrypted[obj] = true
    return obj
end

-- Returns a token without the scheme of an Authorization header, in any case.
local function without_scheme(token)
    local scheme, rest = token:match("^(%a+) +(%S+)$")
    return scheme and scheme:lower() == "bearer" and rest or token
end

--- Parses a token without any check of its signature. `verify_jwt_obj()` checks it.
-- @param self
-- @tparam string token the token
-- @tparam[opt] string secret the key of an encrypted token
-- @treturn Token the token; on failure `valid` is `false`, and `reason` says why
function _M.load_jwt(self, token, secret)
    if type(token) ~= "string" or #token > BUFFER_BYTES then
        return invalid(INVALID)
    end
    token = without_scheme(token)
    local raw_header, raw_payload, signature = token:match("^([^.]+)%.([^.]*)%.([^.]*)$")
    if raw_header then
        return load_signed(self, token, raw_header, raw_payload, signature)
    elseif token:match("^[^.]+%.[^.]*%.[^.]+%.[^.]*%.[^.]+$") then
        return load_encrypted(self, token, secret)
    end
    return invalid(INVALID)
end

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
local function hmac_keys(secret, header)
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
local function keys_of(self, secret, obj)
    local alg = obj.header.alg
    if HMAC[alg] then
        return hmac_keys(secret, obj.header)
    elseif CERTIFIED[alg] and self.trusted_certs_file then
        return trust.keys_of(self, obj)
    elseif secret == nil then
        return nil, CERTIFIED[alg] and "No trusted certs loaded" or "Failed to load EdDSA public key: no key provided"
    end
    local text, err = secret_of(secret, obj.header)
    if not text then
        return nil, err
    end
    local keys = keyring.looks_like_key(text) and keyring.of_text(keyring.KEY, text)
    if not keys then
        return nil, EDDSA[alg] and "Failed to load EdDSA public key: not a key"
            or "Decode secret is not a valid cert/public key"
    end
    return keys
end

-- Returns the reason of lua-resty-jwt for a signature that the library refuses.
local function mismatch(self, obj, status)
    local alg = obj.header.alg
    if status == statuses.HEADER_UNSUPPORTED then
        return "invalid header: crit, b64, zip and enc are not supported"
    elseif HMAC[alg] then
        return "signature mismatch: " .. obj.signature
    elseif status == statuses.TOKEN_MALFORMED then
        return "Wrongly encoded signature"
    elseif EDDSA[alg] then
        return "EdDSA signature verification failed"
    elseif CERTIFIED[alg] > 0 and #(self:jwt_decode(obj.signature) or "") ~= CERTIFIED[alg] then
        return "signature length != 2 * order length"
    end
    return "Verification failed"
end

local function is_whitelisted(list, alg)
    return not list or list[alg] ~= nil or (EDDSA[alg] and list[EDDSA[alg]] ~= nil)
end

-- Returns why sign() does not take the `typ` of a header, or nil.
local function type_error(typ)
    return typ ~= nil and typ ~= "JWT" and typ ~= "JWE" and "invalid typ: " .. tostring(typ) or nil
end

-- The texts of a signed token that a program may have left out of an object of its own.
local PARTS = { "raw_header", "raw_payload", "signature" }

-- Returns why the signature is invalid, or nil.
local function signature_error(self, secret, obj)
    if type(obj.header) ~= "table" then
        return "missing part header"
    end
    local alg = obj.header.alg
    if alg == nil then
        return "No algorithm supplied"
    elseif not is_whitelisted(self.alg_whitelist, alg) then
        return "whitelist unsupported alg: " .. shown(alg)
    elseif obj.typ == "JWE" then
        return not decrypted[obj] and "signature mismatch: the token was not decrypted here" or nil
    elseif not (HMAC[alg] or EDDSA[alg] or CERTIFIED[alg]) then
        return "Unsupported algorithm " .. shown(alg)
    end
    for _, part in ipairs(PARTS) do
        if type(obj[part]) ~= "string" then
            return "missing part " .. part
        end
    end
    local keys, err = keys_of(self, secret, obj)
    if not keys then
        return err
    elseif HMAC[alg] and type_error(obj.header.typ) then
        -- lua-resty-jwt verifies an HMAC by sign(), which knows two types only.
        return type_error(obj.header.typ)
    end
    local token = format("%s.%s.%s", obj.raw_header, obj.raw_payload, obj.signature)
    local status = library.rn_jws_verify(keys:current(), any_algorithm.handle, token, #token)
    return status ~= OK and mismatch(self, obj, status) or nil
end

--- Verifies the signature of a parsed token, then its claims. Sets `verified`, `valid` and `reason`.
-- @param self
-- @tparam string|function secret a secret, a key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
-- @tparam Token obj a result of `load_jwt()`
-- @tparam[opt] table<string,function>|ValidationOptions ... claim specs: validators by claim
-- @treturn Token the same token
function _M.verify_jwt_obj(self, secret, obj, ...)
    if not obj.valid then
        return obj
    end
    local err = obj.reason or signature_error(self, secret, obj) or claims_spec.error(obj, ...)
    obj.verified = not err
    obj.valid = not err
    obj.reason = err or VERIFIED
    return obj
end

--- Parses and verifies a token.
-- @param self
-- @tparam string|function secret a secret, a key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
-- @tparam string token the token
-- @tparam[opt] table<string,function>|ValidationOptions ... claim specs: validators by claim
-- @treturn Token the token
-- @usage
-- local obj = jwt:verify(secret, token, { iss = validators.equals("https://id.example") })
-- if not obj.verified then
--     ngx.log(ngx.WARN, obj.reason)
--     return ngx.exit(401)
-- end
function _M.verify(self, secret, token, ...)
    return self:verify_jwt_obj(secret, self:load_jwt(token, secret), ...)
end

-- Returns the text of the header or the payload for sign().
local function raw_part(self, obj, name)
    local raw = obj["raw_" .. name]
    if raw then
        return self:jwt_decode(raw) or refuse("invalid %s: %s", name, raw)
    end
    local part = obj[name]
    if part == nil then
        refuse("missing part %s", name)
    elseif type(part) ~= "table" then
        return tostring(part)
    end
    local text, message = (name == "payload" and self.payload_encoder or digits.encode)(part)
    return text or refuse("invalid %s: %s", name, tostring(message))
end

local SIGN_JWE_REASONS = {
    [statuses.ALGORITHM_NOT_ALLOWED] = "unsupported payload encryption algorithm :%s with %s",
    [statuses.KEY_UNSUPPORTED] = "Decode secret is not a valid cert/public key: invalid pre-shared key",
}

-- Encrypts a token.
local function sign_encrypted(self, secret, obj)
    if type(secret) ~= "string" then
        refuse("invalid secret type (must be string)")
    end
    local header = {}
    for name, value in pairs(obj.header) do
        header[name] = value
    end
    header.typ = nil
    local json = digits.encode(header)
    local payload = raw_part(self, { payload = obj.payload }, "payload")
    local status = library.rn_jwe_encrypt(secret, #secret, json, #json, payload, #payload, buffer, BUFFER_BYTES, length)
    if status ~= OK then
        refuse(SIGN_JWE_REASONS[status] or statuses.name(status), tostring(header.enc), tostring(header.alg))
    end
    return ffi_string(buffer, length[0])
end

--- Signs a token, or encrypts one whose header has `enc`. Raises `{ reason = … }` as lua-resty-jwt does.
-- @param self
-- @tparam string|function secret a secret, a private key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
-- @tparam table obj `header` and `payload`
-- @treturn string the token
function _M.sign(self, secret, obj)
    local header = type(obj) == "table" and obj.header
    if type(header) ~= "table" then
        refuse("missing part header")
    end
    local typ, alg = header.typ, header.alg
    local err = type_error(typ)
    if err then
        refuse("%s", err)
    elseif obj.typ == "JWE" or (obj.typ == nil and (typ == "JWE" or header.enc)) then
        return sign_encrypted(self, secret, obj)
    end
    local json, payload = raw_part(self, obj, "header"), raw_part(self, obj, "payload")
    local keys
    if HMAC[alg] then
        keys, err = hmac_keys(secret, header)
    elseif EDDSA[alg] or CERTIFIED[alg] then
        keys, err = keyring.of_text(keyring.KEY, tostring(secret))
        err = err and "signer error: " .. err
    else
        refuse("unsupported alg: %s", tostring(alg))
    end
    if not keys then
        refuse("%s", err)
    end
    local status = library.rn_jws_sign(keys:current(), json, #json, payload, #payload, buffer, BUFFER_BYTES, length)
    if status ~= OK then
        refuse("signer error: %s", statuses.name(status))
    end
    return ffi_string(buffer, length[0])
end

--- Allows only these algorithms.
-- @param self
-- @tparam table<string,any>|nil algorithms their names as keys; `nil` allows all
function _M.set_alg_whitelist(self, algorithms)
    self.alg_whitelist = algorithms
end

--- Trusts the certificate that a token carries (x5c) or names (x5u) if one of this file has issued it.
-- @param self
-- @tparam string filename path of a PEM file
function _M.set_trusted_certs_file(self, filename)
    self.trusted_certs_file = filename
end

--- Sets the function that fetches the certificate of an `x5u`.
-- @param self
-- @tparam function retriever `function(url, iss, kid)` that returns the certificate
function _M.set_x5u_content_retriever(self, retriever)
    if type(retriever) ~= "function" then
        error("'retriever_function' is expected to be a function", 0)
    end
    self.x5u_content_retriever = retriever
end

--- Sets the encoder of payloads, instead of JSON.
-- @param self
-- @tparam function encoder `function(value)` that returns a string
function _M.set_payload_encoder(self, encoder)
    if type(encoder) ~= "function" then
        refuse("payload encoder must be function")
    end
    self.payload_encoder = encoder
end

--- Sets the decoder of payloads, instead of JSON.
-- @param self
-- @tparam function decoder `function(text)` that returns a value
function _M.set_payload_decoder(self, decoder)
    if type(decoder) ~= "function" then
        refuse("payload decoder must be function")
    end
    self.payload_decoder = decoder
end

--- Returns the validation that a call without claim specs does.
-- @param _
-- @tparam Token obj the token
-- @treturn ValidationOptions the options
function _M.get_default_validation_options(_, obj)
    return claims_spec.defaults(obj)
end

return _M
