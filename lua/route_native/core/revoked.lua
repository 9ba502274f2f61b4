-- Checks cached tokens and sessions against the revocations of this worker. A check compares two numbers as long as the
-- revocations stay the same.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local generation_of, identity_check = library.rn_revocations_generation, library.rn_identity_check
local OK = library.RN_OK
local IDENTITY_BYTES = library.RN_IDENTITY_BYTES
local ngx = ngx

local names = ffi.new("rn_names")
local buffer, length = ffi.new("uint8_t[?]", IDENTITY_BYTES), ffi.new("size_t[1]")
local FIELDS = { "token", "jti", "sub", "account", "sid", "kid", "iss" }

local _M = {}

-- What a request does before it is checked, if anything.
local prepare

-- Sets a function that each request calls before its check, or nil.
function _M.before_checks(callback)
    prepare = callback
end

-- Prepares the check of a request, which may wait: right after a start, until the revocations are loaded. Each
-- capability calls it where a request begins.
function _M.prepare()
    if prepare then
        prepare()
    end
end

-- Returns a time for the library, which takes -1 for none.
local function time_of(value)
    return type(value) == "number" and value >= 0 and value < 2 ^ 53 and value or -1
end

-- Returns a number that changes with the revocations.
_M.generation = generation_of

-- Returns what a token or a session can be revoked by, as bytes of a fixed form. `values` holds its names: token, jti,
-- sub, account (the digest of a login name), sid, kid, iss, issued_at and expires_at. A value that is no text, or no
-- time, is absent.
function _M.identity(values)
    for _, name in ipairs(FIELDS) do
        local value = values[name]
        value = type(value) == "string" and value or ""
        names[name], names[name .. "_length"] = value, #value
    end
    names.issued_at, names.expires_at = time_of(values.issued_at), time_of(values.expires_at)
    library.rn_identity_write(names, buffer, IDENTITY_BYTES, length)
    return ffi.string(buffer, length[0])
end

-- Checks { identity, generation }. Returns the status: OK, TOKEN_REVOKED or REVOCATIONS_UNKNOWN. Keeps in `generation`
-- for which revocations the entry was accepted.
function _M.check(entry)
    local generation = generation_of()
    if entry.generation == generation or generation == 0 then
        return OK
    end
    local status = identity_check(entry.identity, #entry.identity, ngx.time())
    if status == OK then
        entry.generation = generation
    end
    return status
end

return _M
