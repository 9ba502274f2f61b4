-- Random texts that nobody can guess, digests, and the comparison of secrets.

local base64 = require "ngx.base64"
local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ffi_string = ffi.string
local encode = base64.encode_base64url
local DIGEST_BYTES, RANDOM_BYTES = library.RN_DIGEST_BYTES, library.RN_RANDOM_BYTES

-- Shared by all requests: they are written and read without a yield in between.
local random_buffer, digest_buffer = ffi.new("uint8_t[?]", RANDOM_BYTES), ffi.new("uint8_t[?]", DIGEST_BYTES)
local length = ffi.new("size_t[1]")

local _M = {}

-- Returns so many random bytes in base64url.
function _M.text(bytes)
    local status = library.rn_random_fill(random_buffer, bytes)
    assert(status == library.RN_OK, "route_native: the system has no random bytes")
    return encode(ffi_string(random_buffer, bytes))
end

-- Returns the SHA-2 digest of a text, as bytes. `bits` is 256, 384 or 512.
function _M.digest(text, bits)
    assert(library.rn_digest_write(bits or 256, text, #text, digest_buffer, DIGEST_BYTES, length) == library.RN_OK)
    return ffi_string(digest_buffer, length[0])
end

-- Returns whether two secrets are equal. It compares digests, so that its time tells nothing about the secrets.
function _M.is_equal(one, other)
    return type(one) == "string" and type(other) == "string" and _M.digest(one) == _M.digest(other)
end

return _M
