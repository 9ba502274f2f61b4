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
-- - Encrypted tokens: all algorithms except those of PBES2, whose cost the sender chooses. A key has the size of its
--   algorithm. `ECDH-ES+A128KW` and its siblings derive the key as RFC 7518 says.
-- - `lifetime_grace_period` applies only to the call that receives it.
-- - A token may begin with `Bearer `, as in the Authorization header, because programs pass that header on.
--
-- Call the functions as methods of the module or of an object that `new()` returns. An object has settings of its own.
--
-- @module route_native.resty_jwt

local digits = require "route_native.core.digits"
local claims_spec = require "route_native.resty_jwt.claims"
local ffi = require "ffi"
local jwe = require "route_native.resty_jwt.jwe"
local keys_of = require "route_native.resty_jwt.keys"
local library = require "route_native.core.ffi"
local native = require "route_native.jwt"
local parts = require "route_native.resty_jwt.parts"
local statuses = require "route_native.core.status"

local ffi_string, format = ffi.string, string.format
local OK = statuses.OK
local HMAC, EDDSA, CERTIFIED = keys_of.HMAC, keys_of.EDDSA, keys_of.CERTIFIED
local INVALID, invalid, refuse, shown = parts.INVALID, parts.invalid, parts.refuse, parts.shown

local BUFFER_BYTES = library.RN_TOKEN_BYTES
local buffer = ffi.new("uint8_t[?]", BUFFER_BYTES)
local texts = ffi.new("rn_token_texts")
local length = ffi.new("size_t[1]")
local any_algorithm = native.policy {}

local VERIFIED = "everything is awesome~ :p"

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

--- Encodes a value as base64url without padding. Encodes a table as JSON first.
-- @param self
-- @tparam string|table value the value
-- @tparam[opt] boolean is_payload uses the payload encoder for a table
-- @treturn string the text
function _M.jwt_encode(self, value, is_payload)
    return parts.encode(self, value, is_payload)
end

--- Decodes base64url.
-- @param self
-- @tparam string text the text
-- @tparam[opt] boolean json decodes JSON as well
-- @tparam[opt] boolean is_payload uses the payload decoder for JSON
-- @treturn any the bytes, or the value of the JSON; `nil` if the text is no base64url or no JSON
function _M.jwt_decode(self, text, json, is_payload)
    return parts.decode(self, text, json, is_payload)
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
    payload = parts.payload_of(self, payload)
    if payload == nil then
        return invalid("invalid payload: %s", raw_payload)
    end
    return {
        typ = "JWT", valid = true, verified = false, raw_header = raw_header, raw_payload = raw_payload,
        header = digits.decode(header), payload = payload, signature = signature,
    }
end

-- Decrypts an encrypted token.
local function load_encrypted(self, token, secret)
    local obj = jwe.load(self, token, secret)
    if obj.valid then
        decrypted[obj] = true
    end
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

-- Returns the reason of lua-resty-jwt for a signature that the library refuses.
local function mismatch(self, obj, status)
    local alg = obj.header.alg
    local signature = self:jwt_decode(obj.signature)
    local size = signature and #signature
    if status == statuses.HEADER_UNSUPPORTED and (not HMAC[alg] or size == HMAC[alg]) then
        return "invalid header: crit, b64, zip and enc are not supported"
    elseif HMAC[alg] then
        return "signature mismatch: " .. obj.signature
    elseif not signature then
        return "Wrongly encoded signature"
    elseif EDDSA[alg] then
        return "EdDSA signature verification failed"
    elseif CERTIFIED[alg] > 0 and (size ~= CERTIFIED[alg] or status == statuses.ALGORITHM_NOT_ALLOWED) then
        -- Of another length than the algorithm has, or than the curve of the key has.
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
    local keys, err = keys_of.verifying(self, secret, obj)
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
    local typ = header.typ
    local err = type_error(typ)
    if err then
        refuse("%s", err)
    elseif obj.typ == "JWE" or (obj.typ == nil and (typ == "JWE" or header.enc)) then
        return jwe.sign(self, secret, obj)
    end
    local json, payload = parts.raw_part(self, obj, "header"), parts.raw_part(self, obj, "payload")
    local keys
    keys, err = keys_of.signing(secret, header)
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
