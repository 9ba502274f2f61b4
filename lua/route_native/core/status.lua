-- The statuses of the library and their names. src/error.rs numbers them.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local NAME_BYTES = library.RN_REASON_NAME_BYTES

local _M = { OK = library.RN_OK }

for _, name in ipairs {
    "NOT_CACHED", "TOKEN_MISSING", "TOKEN_MALFORMED", "TOKEN_AMBIGUOUS", "HEADER_UNSUPPORTED", "ALGORITHM_NOT_ALLOWED",
    "KEY_NOT_FOUND", "DECRYPTION_FAILED", "TOKEN_INACTIVE", "SCOPE_INSUFFICIENT", "TOKEN_REVOKED", "KEY_UNREADABLE",
    "KEY_UNSUPPORTED", "PROOF_MISSING", "PROOF_AMBIGUOUS", "PROOF_REPLAYED", "PROOF_NONCE_INVALID",
    "HOLDER_KEY_MISMATCH", "TOKEN_BOUND", "TOKEN_NOT_BOUND", "CERTIFICATE_MISMATCH", "CLAIM_MALFORMED",
    "REPLAY_MEMORY_FULL", "SETTING_INVALID", "KEY_CANNOT_SIGN", "SERVER_UNREACHABLE", "SERVER_FAILED",
    "SERVER_ANSWER_INVALID",
} do
    _M[name] = library["RN_REASON_" .. name]
end

-- Returns whether the token caused a status (HTTP 401), and not the gateway or another server (HTTP 503).
function _M.is_token(status)
    return status >= 100 and status < 200
end

local names = {}

-- Returns the name of a status for logs, metrics and callers, such as "token_expired".
function _M.name(status)
    local name = names[status]
    if not name then
        local buffer, length = ffi.new("uint8_t[?]", NAME_BYTES), ffi.new("size_t[1]")
        local known = library.rn_reason_name(status, buffer, NAME_BYTES, length) == _M.OK
        name = known and ffi.string(buffer, length[0]) or "internal"
        names[status] = name
    end
    return name
end

return _M
