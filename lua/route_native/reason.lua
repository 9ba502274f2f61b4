-- The fixed list of reasons, as the library numbers and names them.

local ffi = require "ffi"
local library = require "route_native.library"

local NAME_BYTES = 64

local _M = {
    OK = 0,
    NOT_CACHED = 4,
    TOKEN_MISSING = 100,
    TOKEN_MALFORMED = 103,
    HEADER_UNSUPPORTED = 104,
    ALGORITHM_NOT_ALLOWED = 105,
    KEY_NOT_FOUND = 106,
    DECRYPTION_FAILED = 135,
    TOKEN_INACTIVE = 150,
    SCOPE_INSUFFICIENT = 151,
    KEY_UNREADABLE = 200,
    KEY_UNSUPPORTED = 201,
    SETTING_INVALID = 203,
    KEY_CANNOT_SIGN = 204,
    SERVER_UNREACHABLE = 300,
    SERVER_FAILED = 301,
    SERVER_ANSWER_INVALID = 302,
}

-- Whether a status is about the token (HTTP 401) rather than about us (HTTP 503): the 100s of src/error.rs.
function _M.is_token(status)
    return status >= 100 and status < 200
end

local names = {}

-- The name of a status, such as "token_expired": what logs, metrics and callers see.
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
