-- Reads the token in a header: with or without `Bearer ` in any case, with or without blanks around it (RFC 6750 §2.1,
-- RFC 9110 §11.1). A header of another scheme, such as Basic, holds no token. src/credential.rs applies the same
-- grammar for the desktop gateway.

local scan = require "route_native.core.scan"

local find, lower, sub = string.find, string.lower, string.sub

local _M = {}

-- Returns the token in a header's value, "" for an empty header or Bearer alone, or nil for no header and for another
-- scheme. Returns nil and "token_ambiguous" for several headers. With `takes_dpop`, reads the scheme DPoP too (RFC 9449
-- §7.1); the third result is true for it.
function _M.token(value, takes_dpop)
    if type(value) ~= "string" then
        return nil, value and "token_ambiguous"
    end
    value = scan.trim(value)
    -- A scheme ends with a blank. No token holds one.
    local blank = find(value, "[ \t]")
    local scheme = lower(sub(value, 1, blank and blank - 1 or 7))
    local is_dpop = takes_dpop and scheme == "dpop"
    if not blank then
        return (is_dpop or scheme == "bearer") and "" or value, nil, is_dpop
    elseif is_dpop or scheme == "bearer" then
        return scan.trim(sub(value, blank)), nil, is_dpop
    end
end

return _M
