-- Runs in nginx's thread pool. Each thread loads this module into a Lua state of its own, which has no request.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local TARGET_BYTES = library.RN_TARGET_BYTES
local target, length = ffi.new("uint8_t[?]", TARGET_BYTES), ffi.new("size_t[1]")

local _M = {}

-- Decrypts the text of a `hash` claim. Returns the status, and on success the target. `address` is that of the gateway,
-- which lives as long as the worker: only plain values can cross between two Lua states. It may be the handle too.
function _M.decrypt(address, hash)
    local gateway = ffi.cast("const rn_gateway *", address)
    local status = library.rn_gateway_decrypt(gateway, hash, #hash, target, TARGET_BYTES, length)
    if status ~= library.RN_OK then
        return status
    end
    return status, ffi.string(target, length[0])
end

return _M
