---@meta route_native.resty_rsa
-- `make docs` writes this file from the comments in `lua/route_native/resty_rsa.lua`.

--- Offers the documented API of lua-resty-rsa, so that a program changes one `require`.
---
---     local rsa = require "route_native.resty_rsa"
---     local key, err = rsa:new { private_key = pem }
---     local text, err = key:decrypt(ciphertext)
---
--- The differences and their reasons:
---
--- - `decrypt()`, `sign()` and `generate_rsa_keys()` take a millisecond or more. They run in nginx's thread pool where
---   the phase may yield: rewrite, access, content and timers. Elsewhere, and without the pool `route_native`, they run
---   at once.
--- - Every failure of `decrypt()` is the same error. A program that shows others whether their ciphertexts decrypt is a
---   decryption oracle all the same, with PKCS#1 v1.5: verify a signature first, as the desktop gateway does, or use
---   OAEP.
--- - Keys have 2048 to 8192 bits. Public keys may be certificates and private keys PKCS#8, whatever `key_type` says. A
---   key with a passphrase is refused.
--- - Paddings are PKCS#1 v1.5 and OAEP with SHA-1. `RSA_NO_PADDING` and `RSA_SSLV23_PADDING` are refused.
--- - Algorithms are SHA-256, SHA-384 and SHA-512. MD4, MD5, RIPEMD-160, SHA-0, SHA-1 and SHA-224 are refused: signatures
---   with most of them can be forged.
---@class route_native.resty_rsa
---@field _VERSION string Names the release.
local M = {}

--- Configures a key.
---@class route_native.resty_rsa.RsaOptions
---@field public_key? string public key or certificate in PEM; it encrypts and verifies
---@field private_key? string private key in PEM; it decrypts and signs. One of the two is needed
---@field key_type? string ignored: the PEM says what it is
---@field password? string ignored: a key with a passphrase is refused
---@field padding? integer `PADDING.RSA_PKCS1_PADDING`, or `PADDING.RSA_PKCS1_OAEP_PADDING` (default: 1)
---@field algorithm? string the hash of signatures, by a name of OpenSSL's, such as `SHA256`

--- Parses a key.
---@param opts route_native.resty_rsa.RsaOptions what to parse, and for what
---@return table|nil # the key, with the methods below
---@return string|nil # an error
function M.new(opts) end

--- Encrypts a text with a public key.
---@param str string the text
---@return string|nil # the ciphertext
---@return string|nil # an error
function M.encrypt(str) end

--- Decrypts a ciphertext with a private key.
---@param str string the ciphertext
---@return string|nil # the text
---@return string|nil # an error, the same for every ciphertext
function M.decrypt(str) end

--- Signs a text with a private key and the `algorithm` of `new()`.
---@param str string the text
---@return string|nil # the signature
---@return string|nil # an error
function M.sign(str) end

--- Checks a signature with a public key and the `algorithm` of `new()`.
---@param str string the text
---@param sig string the signature
---@return boolean|nil # true
---@return string|nil # an error
function M.verify(str, sig) end

--- Generates a key.
---@param bits integer its size: 2048, 3072 or 4096
---@param pkcs8? boolean whether the keys are SPKI and PKCS#8, and not PKCS#1 (default: false)
---@return string|nil # the public key in PEM
---@return string|nil # the private key in PEM
---@return string|nil # an error
function M.generate_rsa_keys(bits, pkcs8) end

return M
