-- Sets the variables of the access log (conf/log.conf), as far as the configuration declares them.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local request = require "route_native.core.request"

local current, set = request.current, request.set

local FINGERPRINT_BYTES = library.RN_FINGERPRINT_BYTES

-- Shared by all requests: it is written and read without a yield in between.
local buffer = ffi.new("uint8_t[?]", FINGERPRINT_BYTES)

local _M = {}

-- Notes why a request is refused.
function _M.reason(name)
    set(current(), "route_reason", name, #name)
end

-- Notes the fingerprint of a token.
function _M.token(token)
    library.rn_token_fingerprint(token, #token, buffer)
    set(current(), "route_token", buffer, FINGERPRINT_BYTES)
end

return _M
