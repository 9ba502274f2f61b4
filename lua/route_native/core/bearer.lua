-- Reads the token in a header: with or without `Bearer ` in any case, with or without blanks around it (RFC 6750 §2.1,
-- RFC 9110 §11.1). src/credential.rs applies the same grammar for the desktop gateway and phantom tokens.

local scan = require "route_native.core.scan"

local find, lower, sub = string.find, string.lower, string.sub

local _M = {}

-- Returns the token in a header's value, "" for a scheme without a token, or nil for no header. Returns nil and
-- "token_ambiguous" for several headers.
function _M.token(value)
    if type(value) ~= "string" then
        return nil, value and "token_ambiguous"
    end
    value = scan.trim(value)
    if lower(sub(value, 1, 6)) ~= "bearer" then
        return value
    elseif #value == 6 then
        return ""
    end
    return find(value, "^%s", 7) and scan.trim(sub(value, 8)) or value
end

return _M
