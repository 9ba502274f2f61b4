-- Reads the scopes of a token and compares them with the required ones (RFC 6749 §3.3, RFC 8693 §4.2).
-- src/jwt/claims.rs reads the claims by the same rule.

local config = require "route_native.core.config"

local ipairs, type = ipairs, type
local concat = table.concat
local find = string.find

local _M = {}

-- The kind of the field `scope`. A scope is quoted in a response header, which restricts its characters.
local PATTERN, WHAT = '^[^%s"\\\127-\255]+$', "scopes, separated by blanks or as a list, without quotes"
_M.KIND = config.words(PATTERN, WHAT)
-- The same, but an empty text requires none, as in lua-resty-phantom-token.
_M.KIND_OR_EMPTY = config.words(PATTERN, WHAT, true)

-- Returns the scopes of a token's claims, separated by blanks. Each of `scope` and `scp` is a string or a list.
function _M.of(claims)
    local texts = {}
    for _, claim in ipairs { claims.scope or false, claims.scp or false } do
        for _, text in ipairs(type(claim) == "table" and claim or { claim }) do
            texts[#texts + 1] = type(text) == "string" and text or nil
        end
    end
    return concat(texts, " ")
end

-- Returns whether a text of scopes contains all scopes of a list.
function _M.suffice(required, text)
    local padded = " " .. text .. " "
    for _, scope in ipairs(required) do
        if not find(padded, " " .. scope .. " ", 1, true) then
            return false
        end
    end
    return true
end

return _M
