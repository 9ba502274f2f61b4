-- Whether the claims of a valid token allow a request: rules for single claims, and scopes.

local config = require "route_native.core.config"
local scopes = require "route_native.core.scopes"

local ngx = ngx

local _M = {}

local function allowed(rule, value, claims)
    if type(rule) == "function" then
        -- What it gets is whatever the issuer wrote: a rule that raises allows nothing.
        local ok, verdict = pcall(rule, value, claims)
        if not ok then
            ngx.log(ngx.ERR, "route_native.auth: a rule failed: ", tostring(verdict))
        end
        return ok and verdict
    end
    local values = type(value) == "table" and value or { value }
    for _, wanted in ipairs(type(rule) == "table" and rule or { rule }) do
        for _, found in ipairs(values) do
            if found == wanted then
                return true
            end
        end
    end
    return false
end

-- The rows of a configuration that say what claims must be: `require` ({ claim = value, list of values or
-- function(value, claims) }) and `scope`.
_M.ROWS = {
    { "require", config.any("table"), default = {} },
    { "scope", scopes.KIND },
}

-- Makes rules of a configuration's values.
function _M.of(owner, values)
    for claim, rule in pairs(values.require) do
        if type(claim) ~= "string" or (type(rule) == "table" and #rule == 0) then
            config.fail(owner,
                'the field "require" must name claims, each with a value, a list of values or a function')
        end
    end
    return {
        rules = values.require, scopes = values.scope, scope = values.scope and table.concat(values.scope, " "),
    }
end

-- Returns true, or false and whether it is a scope that is missing.
function _M.allow(wanted, claims)
    for claim, rule in pairs(wanted.rules) do
        if not allowed(rule, claims[claim], claims) then
            return false, false
        end
    end
    if wanted.scopes and not scopes.suffice(wanted.scopes, scopes.of(claims)) then
        return false, true
    end
    return true
end

return _M
