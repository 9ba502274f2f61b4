-- The private operations of resty_rsa.lua. They run in nginx's thread pool, where each thread loads this module into a
-- Lua state of its own, or in the event loop where nothing may yield.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local BYTES, PAIR_BYTES, ERROR_BYTES = library.RN_RSA_BYTES, library.RN_RSA_PAIR_BYTES, library.RN_ERROR_BYTES
local OK, INTERNAL = library.RN_OK, library.RN_REASON_INTERNAL
local buffer, length = ffi.new("uint8_t[?]", BYTES), ffi.new("size_t[1]")
local handle, message = ffi.new("rn_rsa *[1]"), ffi.new("uint8_t[?]", ERROR_BYTES)

-- The keys that this Lua state has parsed. Programs parse the same few for each request.
local MAX_KEPT = 16
local kept, count = {}, 0

local _M = {}

-- Parses a key. Returns its handle, or nil and an error.
function _M.parse(is_private, padding, text)
    local status = library.rn_rsa_new(is_private and 1 or 0, padding, text, #text, handle, message, ERROR_BYTES, length)
    if status ~= OK then
        return nil, status == INTERNAL and "internal error" or "the key " .. ffi.string(message, length[0])
    end
    -- The function keeps the library loaded as long as the handle lives: a finalizer must not outlive its code.
    return ffi.gc(handle[0], function(key) library.rn_rsa_free(key) end)
end

local function private_key(text, padding)
    local name = padding .. text
    local key = kept[name]
    if not key then
        if count >= MAX_KEPT then
            kept, count = {}, 0
        end
        key = assert(_M.parse(true, padding, text))
        kept[name], count = key, count + 1
    end
    return key
end

-- Returns the status, and what is in the buffer on success.
local function result(status)
    return status, status == OK and ffi.string(buffer, length[0]) or ""
end

-- Decrypts. Returns the status and the plaintext.
function _M.decrypt(text, padding, ciphertext)
    local key = private_key(text, padding)
    return result(library.rn_rsa_decrypt(key, ciphertext, #ciphertext, buffer, BYTES, length))
end

-- Signs. Returns the status and the signature.
function _M.sign(text, padding, hash, input)
    local key = private_key(text, padding)
    return result(library.rn_rsa_sign(key, hash, input, #input, buffer, BYTES, length))
end

-- Generates a key. Returns the status, and the public key followed by the private key.
function _M.generate(bits, in_pkcs8)
    local pair = ffi.new("uint8_t[?]", PAIR_BYTES)
    local status = library.rn_rsa_generate(bits, in_pkcs8 and 1 or 0, pair, PAIR_BYTES, length)
    return status, status == OK and ffi.string(pair, length[0]) or ""
end

return _M
