-- Parses JSON objects of providers within bounds.

local digits = require "route_native.core.digits"
local library = require "route_native.core.ffi"

local _M = {}

-- Returns the object of a JSON text without duplicate members and with a bounded number of values, or nil.
function _M.parse(text)
    local value = type(text) == "string" and library.rn_json_check(text, #text) == 0 and digits.decode(text)
    return type(value) == "table" and text:find("^%s*{") and value or nil
end

return _M
