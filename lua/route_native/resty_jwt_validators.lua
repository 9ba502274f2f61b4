--- Offers the validators of lua-resty-jwt's documented API (`resty.jwt-validators`), for claim specs.
--
-- A validator is a `function(value, claim, jwt_json)`. It returns false if the claim is invalid, and true or nothing if
-- the claim is valid. It may raise a message, which becomes the reason. A validator named `opt_…` lets an absent claim
-- pass. The functions below return validators.
--
-- @module route_native.resty_jwt_validators

local ngx = ngx
local format = string.format

local _M = {}

-- Raises a message without its position.
local function fail(message, ...)
    error(format(message, ...), 0)
end

local function require_type(value, kind, name)
    if type(value) ~= kind then
        fail("Cannot create validator for non-%s %s.", kind, name)
    end
end

local function require_value(value, name)
    if value == nil then
        fail("Cannot create validator for nil %s.", name)
    end
end

-- Checks a list whose items have one type: `kind`, or that of the first item. Returns the type.
local function require_list(list, kind, name)
    require_value(list, name)
    require_type(list, "table", name)
    if next(list) == nil then
        fail("Cannot create validator for empty table %s.", name)
    end
    kind = kind or type(list[1])
    for _, item in ipairs(list) do
        if type(item) ~= kind then
            fail("Cannot create validator for non-%s table %s.", kind, name)
        end
    end
    return kind
end

-- Raises an error if the claim has not the type `kind`.
local function claim_type(value, kind, claim)
    if type(value) ~= kind then
        fail("'%s' is malformed.  Expected to be a %s.", claim, kind)
    end
end

--- Requires all validators to accept the claim.
-- @tparam function ... validators
-- @treturn function a validator
function _M.chain(...)
    local validators = { ... }
    for i = 1, select("#", ...) do
        require_type(validators[i], "function", "chain_function")
    end
    return function(value, claim, jwt_json)
        for _, validator in ipairs(validators) do
            if validator(value, claim, jwt_json) == false then
                return false
            end
        end
        return true
    end
end

--- Requires the claim.
-- @tparam[opt] function validator a validator that must accept the claim as well
-- @treturn function a validator
function _M.required(validator)
    if validator ~= nil then
        require_type(validator, "function", "chain_function")
    end
    return function(value, claim, jwt_json)
        if value == nil then
            fail("'%s' claim is required.", claim)
        end
        return not validator or validator(value, claim, jwt_json) ~= false
    end
end

--- Requires one of several claims. Use it under the name `__jwt`.
-- @tparam string[] names names of claims
-- @treturn function a validator
-- @usage local spec = { __jwt = validators.require_one_of { "nbf", "exp" } }
function _M.require_one_of(names)
    require_list(names, "string", "claim_keys")
    return function(value, claim)
        claim_type(value, "table", claim)
        claim_type(value.payload, "table", claim .. ".payload")
        for _, name in ipairs(names) do
            if value.payload[name] ~= nil then
                return true
            end
        end
        return fail("Missing one of claims - [ %s ].", table.concat(names, ", "))
    end
end

-- Defines a validator under two names: the optional form, and the one that requires the claim.
local function define(name, make)
    _M["opt_" .. name] = make
    _M[name] = function(...)
        return _M.required(make(...))
    end
end

--- Compares the claim by a function.
-- @function check
-- @also opt_check
-- @tparam any wanted the value to compare with
-- @tparam function compare `function(value, wanted)` that returns whether the claim is valid
-- @tparam[opt="check_val"] string name name of `wanted` in errors
-- @tparam[opt] string kind type of the claim; the type of `wanted` by default
-- @treturn function a validator
define("check", function(wanted, compare, name, kind)
    require_value(wanted, name or "check_val")
    require_value(compare, "check_function")
    require_type(compare, "function", "check_function")
    kind = kind or type(wanted)
    return function(value, claim)
        if value == nil then
            return true
        end
        claim_type(value, kind, claim)
        return compare(value, wanted)
    end
end)

--- Compares the claim with several values by a function. One match is enough.
-- @function any_of
-- @also opt_any_of
-- @tparam table wanted a list of values
-- @tparam function compare `function(value, item)` that returns whether they match
-- @tparam[opt="check_values"] string name name of `wanted` in errors
-- @tparam[opt] string kind type of the claim; the type of the values by default
-- @tparam[opt] string item_kind type of the values; the type of the first by default
-- @treturn function a validator
define("any_of", function(wanted, compare, name, kind, item_kind)
    item_kind = require_list(wanted, item_kind, name or "check_values")
    return _M.opt_check(wanted, function(value, list)
        for _, item in ipairs(list) do
            if compare(value, item) then
                return true
            end
        end
        return false
    end, name or "check_values", kind or item_kind)
end)

local function equal(value, wanted)
    return value == wanted
end

local function matching(value, pattern)
    return value:match(pattern) ~= nil
end

local function containing(values, wanted)
    for _, value in pairs(values) do
        if value == wanted then
            return true
        end
    end
    return false
end

--- Requires a value.
-- @function equals
-- @also opt_equals
-- @tparam any wanted the value
-- @treturn function a validator
define("equals", function(wanted)
    return _M.opt_check(wanted, equal)
end)

--- Requires a string that matches a Lua pattern.
-- @function matches
-- @also opt_matches
-- @tparam string pattern the pattern
-- @treturn function a validator
define("matches", function(pattern)
    require_type(pattern, "string", "pattern")
    return _M.opt_check(pattern, matching, "pattern", "string")
end)

--- Requires one of several values.
-- @function equals_any_of
-- @also opt_equals_any_of
-- @tparam table wanted a list of values of one type
-- @treturn function a validator
define("equals_any_of", function(wanted)
    return _M.opt_any_of(wanted, equal, "check_values")
end)

--- Requires a string that matches one of several Lua patterns.
-- @function matches_any_of
-- @also opt_matches_any_of
-- @tparam string[] patterns the patterns
-- @treturn function a validator
define("matches_any_of", function(patterns)
    return _M.opt_any_of(patterns, matching, "patterns", "string", "string")
end)

--- Requires a list that contains one of several strings.
-- @function contains_any_of
-- @also opt_contains_any_of
-- @tparam string[] wanted the strings
-- @tparam[opt="check_values"] string name name of `wanted` in errors
-- @treturn function a validator
define("contains_any_of", function(wanted, name)
    return _M.opt_any_of(wanted, containing, name, "table", "string")
end)

--- Requires a number greater than a bound.
-- @function greater_than
-- @also opt_greater_than
-- @tparam number bound the bound
-- @treturn function a validator

--- Requires a number greater than or equal to a bound.
-- @function greater_than_or_equal
-- @also opt_greater_than_or_equal
-- @tparam number bound the bound
-- @treturn function a validator

--- Requires a number less than a bound.
-- @function less_than
-- @also opt_less_than
-- @tparam number bound the bound
-- @treturn function a validator

--- Requires a number less than or equal to a bound.
-- @function less_than_or_equal
-- @also opt_less_than_or_equal
-- @tparam number bound the bound
-- @treturn function a validator
local COMPARISONS = {
    greater_than = function(value, bound) return value > bound end,
    greater_than_or_equal = function(value, bound) return value >= bound end,
    less_than = function(value, bound) return value < bound end,
    less_than_or_equal = function(value, bound) return value <= bound end,
}

for name, compare in pairs(COMPARISONS) do
    define(name, function(bound)
        require_type(bound, "number", "check_val")
        return _M.opt_check(bound, compare, "check_val", "number")
    end)
end

local leeway, clock = 0, ngx.now

local function non_negative(value, message)
    if type(value) ~= "number" or value < 0 then
        error(message, 0)
    end
    return value
end

--- Sets the clock skew of the validators of times, in this worker.
-- @tparam number seconds the clock skew, 0 or more; 0 by default
function _M.set_system_leeway(seconds)
    leeway = non_negative(seconds, "leeway must be a non-negative number")
end

--- Sets the clock of the validators of times, in this worker.
-- @tparam function new_clock returns seconds since the epoch; `ngx.now` by default
function _M.set_system_clock(new_clock)
    if type(new_clock) ~= "function" then
        error("clock must be a function", 0)
    end
    non_negative(new_clock(), "clock function must return a non-negative number")
    clock = new_clock
end

local LAST_SECOND = 253402300799

-- Defines a validator of a time. Only the timeframe options of route_native.resty_jwt pass `own_leeway`: their leeway
-- applies to one verification, and not to later ones.
local function define_time(name, message, holds)
    define(name, function(own_leeway)
        return function(value, claim)
            if value == nil then
                return true
            end
            non_negative(value, format("'%s' is malformed.  Expected to be a positive numeric value.", claim))
            if not holds(value, clock(), own_leeway or leeway) then
                local shown = value <= LAST_SECOND and ngx.http_time(value) or tostring(value)
                fail("'%s' claim %s %s", claim, message, shown)
            end
            return true
        end
    end)
end

--- Requires a time that has come, such as that of `nbf`.
-- @function is_not_before
-- @also opt_is_not_before
-- @treturn function a validator
define_time("is_not_before", "not valid until", function(value, now, skew)
    return value <= now + skew
end)

--- Requires a time that has not come, such as that of `exp`.
-- @function is_not_expired
-- @also opt_is_not_expired
-- @treturn function a validator
define_time("is_not_expired", "expired at", function(value, now, skew)
    return value > now - skew
end)

--- Requires the current time.
-- @function is_at
-- @also opt_is_at
-- @treturn function a validator
define_time("is_at", "is only valid at", function(value, now, skew)
    return value >= now - skew and value <= now + skew
end)

return _M
