---@meta route_native.resty_jwt
-- `make docs` writes this file from the comments in `lua/route_native/resty_jwt.lua`.

--- Offers the documented API of lua-resty-jwt, so that a program changes one `require`.
---
---     local jwt = require "route_native.resty_jwt"
---     local obj = jwt:verify(secret, token)          -- obj.valid and obj.verified are equal, and false for a forgery
---
--- The differences and their reasons:
---
--- - After `verify()`, `valid` is true only if the signature and the claims are valid. lua-resty-jwt sets it to true for
---   a forgery.
--- - A public key or certificate is never an HMAC secret, in PEM, as a JWK or in any other encoding. A key's type fixes
---   the algorithms.
--- - The signature is checked before the claims, so that validators get only claims of the issuer.
--- - Tokens are parsed strictly, up to 16 KB: three canonical parts, no duplicate members, no `crit`.
--- - A secret shorter than 32 bytes is accepted, because programs use them, and the log warns once.
--- - Encrypted tokens: all algorithms except those of PBES2, whose cost the sender chooses. A key has the size of its
---   algorithm. `ECDH-ES+A128KW` and its siblings derive the key as RFC 7518 says.
--- - `lifetime_grace_period` applies only to the call that receives it.
--- - A token may begin with `Bearer `, as in the Authorization header, because programs pass that header on.
---
--- Call the functions as methods of the module or of an object that `new()` returns. An object has settings of its own.
---@class route_native.resty_jwt
---@field _VERSION string Names the release.
local M = {}

--- Describes a token.
---@class route_native.resty_jwt.Token
---@field valid boolean after `load_jwt()`: the token could be parsed; after `verify()`: signature and claims are valid
---@field verified boolean signature and claims are valid
---@field reason string why the token is not valid, or `everything is awesome~ :p`
---@field typ? string `JWT` or `JWE`
---@field header? table the header
---@field payload? table|string the claims, or the text of a payload that is no JSON
---@field raw_header? string the header as sent
---@field raw_payload? string the payload as sent
---@field signature? string the signature as sent

--- Describes valid times and issuers, in the older form of claim specs.
---@class route_native.resty_jwt.ValidationOptions
---@field valid_issuers? string[] allowed values of `iss`
---@field lifetime_grace_period? number clock skew in seconds, 0 or more
---@field require_nbf_claim? boolean whether the token needs `nbf`
---@field require_exp_claim? boolean whether the token needs `exp`

--- Returns an object with settings of its own.
---@return route_native.resty_jwt # the object
function M.new() end

--- Encodes a value as base64url without padding. Encodes a table as JSON first.
---@param value string|table the value
---@param is_payload? boolean uses the payload encoder for a table
---@return string # the text
function M:jwt_encode(value, is_payload) end

--- Decodes base64url.
---@param text string the text
---@param json? boolean decodes JSON as well
---@param is_payload? boolean uses the payload decoder for JSON
---@return any # the bytes, or the value of the JSON; `nil` if the text is no base64url or no JSON
function M:jwt_decode(text, json, is_payload) end

--- Parses a token without any check of its signature. `verify_jwt_obj()` checks it.
---@param token string the token
---@param secret? string the key of an encrypted token
---@return route_native.resty_jwt.Token # the token; on failure `valid` is `false`, and `reason` says why
function M:load_jwt(token, secret) end

--- Verifies the signature of a parsed token, then its claims. Sets `verified`, `valid` and `reason`.
---@param secret string|function a secret, a key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
---@param obj route_native.resty_jwt.Token a result of `load_jwt()`
---@param ... table<string,function>|route_native.resty_jwt.ValidationOptions claim specs: validators by claim
---@return route_native.resty_jwt.Token # the same token
function M:verify_jwt_obj(secret, obj, ...) end

--- Parses and verifies a token.
---@param secret string|function a secret, a key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
---@param token string the token
---@param ... table<string,function>|route_native.resty_jwt.ValidationOptions claim specs: validators by claim
---@return route_native.resty_jwt.Token # the token
function M:verify(secret, token, ...) end

--- Signs a token, or encrypts one whose header has `enc`. Raises `{ reason = … }` as lua-resty-jwt does.
---@param secret string|function a secret, a private key in PEM, a JWK, or `function(kid)` that returns an HMAC secret
---@param obj table `header` and `payload`
---@return string # the token
function M:sign(secret, obj) end

--- Allows only these algorithms.
---@param algorithms table<string,any>|nil their names as keys; `nil` allows all
function M:set_alg_whitelist(algorithms) end

--- Trusts the certificate that a token carries (x5c) or names (x5u) if one of this file has issued it.
---@param filename string path of a PEM file
function M:set_trusted_certs_file(filename) end

--- Sets the function that fetches the certificate of an `x5u`.
---@param retriever function `function(url, iss, kid)` that returns the certificate
function M:set_x5u_content_retriever(retriever) end

--- Sets the encoder of payloads, instead of JSON.
---@param encoder function `function(value)` that returns a string
function M:set_payload_encoder(encoder) end

--- Sets the decoder of payloads, instead of JSON.
---@param decoder function `function(text)` that returns a value
function M:set_payload_decoder(decoder) end

--- Returns the validation that a call without claim specs does.
---@param obj route_native.resty_jwt.Token the token
---@return route_native.resty_jwt.ValidationOptions # the options
function M:get_default_validation_options(obj) end

return M
