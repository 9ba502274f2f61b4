-- Whether the claims of a valid token allow a request: rules for single claims, and scopes.

local config = require "route_native.core.config"

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
-- function(value, claims) }) and `scope`. The scopes' syntax is RFC 6749 §3.3; they are repeated in a header.
_M.ROWS = {
    { "require", config.any("table"), default = {} },
    { "scope", config.list(config.text('^[^%s"\\\127-\255]+$'),
        "a scope or a list of scopes, without blanks and quotes") },
}

-- Makes rules of a configuration's values.
function _M.of(owner, values)
    for claim, rule in pairs(values.require) do
        if type(claim) ~= "string" or (type(rule) == "table" and #rule == 0) then
            config.fail(owner,
                'the field "require" must name claims, each with a value, a list of values or a function')
        end
    end
    local scopes = values.scope
    return { rules = values.require, scopes = scopes, scope = scopes and table.concat(scopes, " ") }
end

-- The scopes that a token has: `scope` is one string (RFC 8693 §4.2), `scp` a string or a list.
local function granted(claims)
    local names = {}
    for _, claim in ipairs { claims.scope or false, claims.scp or false } do
        for _, text in ipairs(type(claim) == "table" and claim or { claim }) do
            for name in (type(text) == "string" and text or ""):gmatch("%S+") do
                names[name] = true
            end
        end
    end
    return names
end

-- Returns true, or false and whether it is a scope that is missing.
function _M.allow(wanted, claims)
    for claim, rule in pairs(wanted.rules) do
        if not allowed(rule, claims[claim], claims) then
            return false, false
        end
    end
    if wanted.scopes then
        local names = granted(claims)
        for _, scope in ipairs(wanted.scopes) do
            if not names[scope] then
                return false, true
            end
        end
    end
    return true
end

return _M
