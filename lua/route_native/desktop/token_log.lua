-- Lines of the error log about tokens, as abcdesktop's route has them (ROUTE_LOG_TOKENS): a refused token at level
-- error, with the reason, and one that a cache knew at level notice, with its target and the seconds left. A token has
-- its fingerprint in them. nginx adds the request line and the referrer, whose tokens query.lua has overwritten.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local query = require "route_native.desktop.query"

local ffi_string = ffi.string
local ngx = ngx

local FINGERPRINT_BYTES = library.RN_FINGERPRINT_BYTES

local _M = {}

local function log(level, ...)
    -- A configuration without query_token.conf has not hidden them.
    query.scrub_target()
    query.scrub_referer()
    ngx.log(level, "route_native: ", ...)
end

-- Logs why a token is refused.
function _M.refused(reason)
    local fingerprint = ngx.var.route_token
    log(ngx.ERR, "token ", fingerprint and fingerprint ~= "" and fingerprint .. " " or "", "refused: ", reason)
end

-- Logs the answer of a cache.
function _M.hit(answer)
    log(ngx.NOTICE, "token ", ffi_string(answer.fingerprint, FINGERPRINT_BYTES), " is cached: target ",
        ffi_string(answer.target, answer.target_length), ", ", answer.ttl, " s left")
end

return _M
