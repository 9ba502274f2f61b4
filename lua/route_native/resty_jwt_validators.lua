-- The validators of lua-resty-jwt's documented API (resty.jwt-validators), for claim specs.
--
-- A validator is function(value, claim, jwt_json): true or nothing when the claim is as it must be, false when it is
-- not;
-- it may raise a message, which becomes the reason. Each of most has a twin named opt_…, which lets an absent claim
-- pass.

local ngx = ngx
local format = string.format

local _M = {}

-- Raises a message as it is.
local function fail(message, ...)
    error(format(message, ...), 0)
end

local function need_type(value, kind, name)
    if type(value) ~= kind then
        fail("Cannot create validator for non-%s %s.", kind, name)
    end
end

local function need_value(value, name)
    if value == nil then
        fail("Cannot create validator for nil %s.", name)
    end
end

local function need_list(list, kind, name)
    need_value(list, name)
    need_type(list, "table", name)
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

local function claim_type(value, kind, claim)
    if type(value) ~= kind then
        fail("'%s' is malformed.  Expected to be a %s.", claim, kind)
    end
end

function _M.chain(...)
    local validators = { ... }
    for i = 1, select("#", ...) do
        need_type(validators[i], "function", "chain_function")
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

function _M.required(validator)
    if validator ~= nil then
        need_type(validator, "function", "chain_function")
    end
    return function(value, claim, jwt_json)
        if value == nil then
            fail("'%s' claim is required.", claim)
        end
        return not validator or validator(value, claim, jwt_json) ~= false
    end
end

function _M.require_one_of(names)
    need_list(names, "string", "claim_keys")
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

define("check", function(wanted, compare, name, kind)
    need_value(wanted, name or "check_val")
    need_value(compare, "check_function")
    need_type(compare, "function", "check_function")
    kind = kind or type(wanted)
    return function(value, claim)
        if value == nil then
            return true
        end
        claim_type(value, kind, claim)
        return compare(value, wanted)
    end
end)

define("any_of", function(wanted, compare, name, kind, item_kind)
    item_kind = need_list(wanted, item_kind, name or "check_values")
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

define("equals", function(wanted)
    return _M.opt_check(wanted, equal)
end)

define("matches", function(pattern)
    need_type(pattern, "string", "pattern")
    return _M.opt_check(pattern, matching, "pattern", "string")
end)

define("equals_any_of", function(wanted)
    return _M.opt_any_of(wanted, equal, "check_values")
end)

define("matches_any_of", function(patterns)
    return _M.opt_any_of(patterns, matching, "patterns", "string", "string")
end)

define("contains_any_of", function(wanted, name)
    return _M.opt_any_of(wanted, containing, name, "table", "string")
end)

local COMPARISONS = {
    greater_than = function(value, bound) return value > bound end,
    greater_than_or_equal = function(value, bound) return value >= bound end,
    less_than = function(value, bound) return value < bound end,
    less_than_or_equal = function(value, bound) return value <= bound end,
}

for name, compare in pairs(COMPARISONS) do
    define(name, function(bound)
        need_type(bound, "number", "check_val")
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

function _M.set_system_leeway(seconds)
    leeway = non_negative(seconds, "leeway must be a non-negative number")
end

function _M.set_system_clock(new_clock)
    if type(new_clock) ~= "function" then
        error("clock must be a function", 0)
    end
    non_negative(new_clock(), "clock function must return a non-negative number")
    clock = new_clock
end

local LAST_SECOND = 253402300799

-- Defines a validator of a time. `own_leeway` is for route_native.resty_jwt's timeframe options alone: theirs holds for
-- one verification, and not for every later one too.
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

define_time("is_not_before", "not valid until", function(value, now, skew)
    return value <= now + skew
end)

define_time("is_not_expired", "expired at", function(value, now, skew)
    return value > now - skew
end)

define_time("is_at", "is only valid at", function(value, now, skew)
    return value >= now - skew and value <= now + skew
end)

return _M
