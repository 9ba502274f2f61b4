-- Checks claims by the claim specs and the older timeframe options of lua-resty-jwt's documented API.

local digits = require "route_native.core.digits"
local validators = require "route_native.resty_jwt_validators"

local format, gsub = string.format, string.gsub

local WHOLE = "__jwt"
local OPTIONS = { valid_issuers = true, lifetime_grace_period = true, require_nbf_claim = true,
    require_exp_claim = true }

local _M = {}

-- Returns whether a table holds timeframe options and nothing else.
local function is_options(spec)
    if type(spec) ~= "table" or next(spec) == nil then
        return false
    end
    for name in pairs(spec) do
        if not OPTIONS[name] then
            return false
        end
    end
    return true
end

-- Returns a boolean option, or nil. Raises an error if it is no boolean.
local function flag(options, name)
    local value = options[name]
    if value ~= nil and type(value) ~= "boolean" then
        error(format("'%s' validation option is expected to be a boolean.", name), 0)
    end
    return value
end

-- Returns the claim spec of timeframe options.
local function spec_of(options)
    local spec = {}
    if options.valid_issuers ~= nil then
        spec.iss = validators.equals_any_of(options.valid_issuers)
    end
    local grace = options.lifetime_grace_period
    if grace ~= nil and (type(grace) ~= "number" or grace < 0) then
        error("leeway must be a non-negative number", 0)
    end
    local nbf, exp = flag(options, "require_nbf_claim"), flag(options, "require_exp_claim")
    if grace == nil and nbf == nil and exp == nil then
        return spec
    end
    if grace and not nbf and not exp then
        spec[WHOLE] = validators.require_one_of { "nbf", "exp" }
    end
    spec.nbf = (nbf and validators.is_not_before or validators.opt_is_not_before)(grace)
    spec.exp = (exp and validators.is_not_expired or validators.opt_is_not_expired)(grace)
    return spec
end

-- Returns the options for a call without specs: the token's own times are checked.
function _M.defaults(obj)
    local payload = type(obj.payload) == "table" and obj.payload or {}
    return { require_exp_claim = payload.exp ~= nil, require_nbf_claim = payload.nbf ~= nil }
end

-- Returns why the claims violate one spec, or nil.
local function spec_error(obj, spec, json)
    for claim, validator in pairs(spec) do
        if type(validator) ~= "function" then
            error("Claim spec value must be a function - see jwt-validators.lua for helper functions", 0)
        end
        local value
        if claim == WHOLE then
            value = digits.decode(json())
        elseif type(obj.payload) == "table" then
            value = obj.payload[claim]
        end
        local ok, result = pcall(validator, value, claim, json())
        if not ok then
            return type(result) == "table" and result.reason or (gsub(tostring(result), "^.-:%d-: ", ""))
        elseif result == false then
            return format("Claim '%s' ('%s') returned failure", claim, tostring(value))
        end
    end
end

-- Returns why the claims are invalid, or nil. Raises an error if a spec itself is wrong.
function _M.error(obj, ...)
    local specs = { ... }
    if #specs == 0 then
        specs[1] = _M.defaults(obj)
    end
    local encoded
    -- Validators get the whole object as JSON. It is encoded once, before any of them could change the object.
    local function json()
        encoded = encoded or digits.encode_decoded(obj) or "{}"
        return encoded
    end
    for _, spec in ipairs(specs) do
        local err = spec_error(obj, is_options(spec) and spec_of(spec) or spec, json)
        if err then
            return err
        end
    end
end

return _M
