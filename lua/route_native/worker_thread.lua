-- What runs in nginx's thread pool: this module is loaded into the thread's own Lua state, which has no request.

local ffi = require "ffi"
local library = require "route_native.library"

local answer = ffi.new("rn_answer")

local _M = {}

-- Resolves a token with the gateway at `address`, which the worker owns for as long as it lives. Only plain values
-- cross between the two Lua states: returns the status, and on success the target and its seconds.
function _M.resolve(address, token, now)
    local gateway = ffi.cast("const rn_gateway *", address)
    local status = library.rn_gateway_resolve(gateway, token, #token, now, answer)
    if status ~= 0 then
        return status
    end
    return status, ffi.string(answer.target, answer.target_length), answer.ttl
end

return _M
