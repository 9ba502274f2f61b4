-- Keys of encrypted tokens and their handles in the library, and the calls that use them. A key is parsed once.

local ffi = require "ffi"
local handles = require "route_native.core.handle"
local library = require "route_native.core.ffi"
local keyring = require "route_native.jwt.keyring"
local notes = require "route_native.core.notes"
local parsed_strings = require "route_native.jwt.parsed"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local OK = statuses.OK
local BUFFER_BYTES = library.RN_TOKEN_BYTES

-- Shared by all requests: they are written and read without a yield in between.
local buffer = ffi.new("uint8_t[?]", BUFFER_BYTES)
local texts = ffi.new("rn_token_texts")
local length = ffi.new("size_t[1]")

local keys = {}
keys.__index = keys

local _M = { KEY = library.RN_KEY_FORM_KEY, SECRET = library.RN_KEY_FORM_SECRET }

-- Parses a text of one form. Returns keys, or nil and an error.
function _M.new(form, text)
    local handle, message = handles.new("rn_encryption_keys", function(...)
        return library.rn_encryption_keys_new(form, text, #text, ...)
    end)
    if not handle then
        return nil, message
    end
    notes.log("route_native.jwt: ", message)
    return setmetatable({ handle = handle }, keys)
end

-- Returns the keys of a string of one form, parsed once, or nil and an error.
_M.of_text = parsed_strings.once(_M.new)

-- Returns the keys of an argument, which is keys already or a string: PEM or JSON by its looks, otherwise a secret.
-- Returns nil and an error otherwise.
function _M.of(value)
    if getmetatable(value) == keys then
        return value
    elseif type(value) ~= "string" then
        return nil, "is a string, or what encryption_key() or encryption_secret() returns"
    end
    return _M.of_text(keyring.looks_like_key(value) and _M.KEY or _M.SECRET, value)
end

-- Decrypts a token. Returns the plaintext and the header's JSON, or nil and the status.
function _M.decrypt(token, handle)
    local status = library.rn_jwe_decrypt(handle.handle, token, #token, buffer, BUFFER_BYTES, texts)
    if status ~= OK then
        return nil, status
    end
    local header = ffi_string(buffer, texts.header_length)
    return ffi_string(buffer + texts.header_length, texts.claims_length), header
end

-- Encrypts a plaintext under the JSON of a header. Returns the token, or nil and the status.
function _M.encrypt(header, plaintext, handle)
    local status = library.rn_jwe_encrypt(handle.handle, header, #header, plaintext, #plaintext, buffer, BUFFER_BYTES,
        length)
    if status ~= OK then
        return nil, status
    end
    return ffi_string(buffer, length[0])
end

return _M
