-- Decides whether the claims of a valid token allow a request, by rules for single claims and by scopes.

local config = require "route_native.core.config"
local digits = require "route_native.core.digits"
local scopes = require "route_native.core.scopes"

local ngx = ngx

local _M = {}

-- Returns whether Lua may have rounded a value: it is a number beyond 2^53 - 1.
local function is_beyond_exact(value)
    return type(value) == "number" and (value > digits.MAX_EXACT or value < -digits.MAX_EXACT)
end

-- Returns whether a claim's value is the one that a rule expects. A rule has the digits of a number beyond 2^53 - 1 as
-- a string. Such a claim is a number if a double holds it.
local function equals(found, expected)
    return found == expected or (is_beyond_exact(found) and digits.text(found) == expected)
end

-- Returns whether a rule allows the value of its claim.
local function allowed(rule, value, claims)
    if type(rule) == "function" then
        -- The value may be anything that the issuer wrote. A rule that raises an error allows nothing.
        local ok, verdict = pcall(rule, value, claims)
        if not ok then
            ngx.log(ngx.ERR, "route_native.auth: a rule failed: ", tostring(verdict))
        end
        return ok and verdict
    end
    local values = type(value) == "table" and value or { value }
    for _, expected in ipairs(type(rule) == "table" and rule or { rule }) do
        for _, found in ipairs(values) do
            if equals(found, expected) then
                return true
            end
        end
    end
    return false
end

-- The configuration rows of claims: `require` maps a claim to a value, a list of values or function(value, claims), and
-- `scope` lists scopes.
_M.ROWS = {
    { "require", config.any("table"), default = {} },
    { "scope", scopes.KIND },
}

-- Returns whether a rule has a number that Lua may have rounded.
local function is_rounded(rule)
    for _, value in ipairs(type(rule) == "table" and rule or { rule }) do
        if is_beyond_exact(value) then
            return true
        end
    end
    return false
end

-- Checks the values of a configuration. Returns the rules for allow().
function _M.of(owner, values)
    for claim, rule in pairs(values.require) do
        if type(claim) ~= "string" or (type(rule) == "table" and #rule == 0) then
            config.fail(owner,
                'the field "require" must name claims, each with a value, a list of values or a function')
        elseif is_rounded(rule) then
            config.fail(owner, 'the field "require" cannot hold the number for "%s": write its digits as a string',
                claim)
        end
    end
    return {
        rules = values.require, scopes = values.scope, scope = values.scope and table.concat(values.scope, " "),
    }
end

-- Returns true if the rules allow the claims; otherwise false, and whether a missing scope is the cause.
function _M.allow(self, claims)
    for claim, rule in pairs(self.rules) do
        if not allowed(rule, claims[claim], claims) then
            return false, false
        end
    end
    if self.scopes and not scopes.suffice(self.scopes, scopes.of(claims)) then
        return false, true
    end
    return true
end

return _M
