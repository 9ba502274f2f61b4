-- Whether the claims of a valid token allow a request: rules for single claims, and scopes.

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

-- Reads the fields `require` ({ claim = value, list of values or function(value, claims) }) and `scope`.
function _M.read(fields)
    local rules = fields:take("require", "table", {})
    for claim, rule in pairs(rules) do
        if type(claim) ~= "string" or (type(rule) == "table" and #rule == 0) then
            fields:fail('the field "require" must name claims, each with a value, a list of values or a function')
        end
    end
    local scopes = fields:list("scope")
    for _, scope in ipairs(scopes or {}) do
        -- RFC 6749 §3.3; the text is repeated in a header.
        if not scope:match('^[^%s%c"\\\127-\255]+$') then
            fields:fail('the field "scope" must hold names without blanks and quotes')
        end
    end
    return { rules = rules, scopes = scopes, scope = scopes and table.concat(scopes, " ") }
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
