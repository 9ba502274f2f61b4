---@meta route_native.resty_jwt_validators
-- `make docs` writes this file from the comments in `lua/route_native/resty_jwt_validators.lua`.

--- Offers the validators of lua-resty-jwt's documented API (`resty.jwt-validators`), for claim specs.
---
--- A validator is a `function(value, claim, jwt_json)`. It returns false if the claim is invalid, and true or nothing if
--- the claim is valid. It may raise a message, which becomes the reason. A validator named `opt_…` lets an absent claim
--- pass. The functions below return validators.
---@class route_native.resty_jwt_validators
local M = {}

--- Requires all validators to accept the claim.
---@param ... function validators
---@return function # a validator
function M.chain(...) end

--- Requires the claim.
---@param validator? function a validator that must accept the claim as well
---@return function # a validator
function M.required(validator) end

--- Requires one of several claims. Use it under the name `__jwt`.
---@param names string[] names of claims
---@return function # a validator
function M.require_one_of(names) end

--- Compares the claim by a function.
---@param wanted any the value to compare with
---@param compare function `function(value, wanted)` that returns whether the claim is valid
---@param name? string name of `wanted` in errors (default: "check_val")
---@param kind? string type of the claim; the type of `wanted` by default
---@return function # a validator
function M.check(wanted, compare, name, kind) end

--- Compares the claim by a function.
---@param wanted any the value to compare with
---@param compare function `function(value, wanted)` that returns whether the claim is valid
---@param name? string name of `wanted` in errors (default: "check_val")
---@param kind? string type of the claim; the type of `wanted` by default
---@return function # a validator
function M.opt_check(wanted, compare, name, kind) end

--- Compares the claim with several values by a function. One match is enough.
---@param wanted table a list of values
---@param compare function `function(value, item)` that returns whether they match
---@param name? string name of `wanted` in errors (default: "check_values")
---@param kind? string type of the claim; the type of the values by default
---@param item_kind? string type of the values; the type of the first by default
---@return function # a validator
function M.any_of(wanted, compare, name, kind, item_kind) end

--- Compares the claim with several values by a function. One match is enough.
---@param wanted table a list of values
---@param compare function `function(value, item)` that returns whether they match
---@param name? string name of `wanted` in errors (default: "check_values")
---@param kind? string type of the claim; the type of the values by default
---@param item_kind? string type of the values; the type of the first by default
---@return function # a validator
function M.opt_any_of(wanted, compare, name, kind, item_kind) end

--- Requires a value.
---@param wanted any the value
---@return function # a validator
function M.equals(wanted) end

--- Requires a value.
---@param wanted any the value
---@return function # a validator
function M.opt_equals(wanted) end

--- Requires a string that matches a Lua pattern.
---@param pattern string the pattern
---@return function # a validator
function M.matches(pattern) end

--- Requires a string that matches a Lua pattern.
---@param pattern string the pattern
---@return function # a validator
function M.opt_matches(pattern) end

--- Requires one of several values.
---@param wanted table a list of values of one type
---@return function # a validator
function M.equals_any_of(wanted) end

--- Requires one of several values.
---@param wanted table a list of values of one type
---@return function # a validator
function M.opt_equals_any_of(wanted) end

--- Requires a string that matches one of several Lua patterns.
---@param patterns string[] the patterns
---@return function # a validator
function M.matches_any_of(patterns) end

--- Requires a string that matches one of several Lua patterns.
---@param patterns string[] the patterns
---@return function # a validator
function M.opt_matches_any_of(patterns) end

--- Requires a list that contains one of several strings.
---@param wanted string[] the strings
---@param name? string name of `wanted` in errors (default: "check_values")
---@return function # a validator
function M.contains_any_of(wanted, name) end

--- Requires a list that contains one of several strings.
---@param wanted string[] the strings
---@param name? string name of `wanted` in errors (default: "check_values")
---@return function # a validator
function M.opt_contains_any_of(wanted, name) end

--- Requires a number greater than a bound.
---@param bound number the bound
---@return function # a validator
function M.greater_than(bound) end

--- Requires a number greater than a bound.
---@param bound number the bound
---@return function # a validator
function M.opt_greater_than(bound) end

--- Requires a number greater than or equal to a bound.
---@param bound number the bound
---@return function # a validator
function M.greater_than_or_equal(bound) end

--- Requires a number greater than or equal to a bound.
---@param bound number the bound
---@return function # a validator
function M.opt_greater_than_or_equal(bound) end

--- Requires a number less than a bound.
---@param bound number the bound
---@return function # a validator
function M.less_than(bound) end

--- Requires a number less than a bound.
---@param bound number the bound
---@return function # a validator
function M.opt_less_than(bound) end

--- Requires a number less than or equal to a bound.
---@param bound number the bound
---@return function # a validator
function M.less_than_or_equal(bound) end

--- Requires a number less than or equal to a bound.
---@param bound number the bound
---@return function # a validator
function M.opt_less_than_or_equal(bound) end

--- Sets the clock skew of the validators of times, in this worker.
---@param seconds number the clock skew, 0 or more; 0 by default
function M.set_system_leeway(seconds) end

--- Sets the clock of the validators of times, in this worker.
---@param new_clock function returns seconds since the epoch; `ngx.now` by default
function M.set_system_clock(new_clock) end

--- Requires a time that has come, such as that of `nbf`.
---@return function # a validator
function M.is_not_before() end

--- Requires a time that has come, such as that of `nbf`.
---@return function # a validator
function M.opt_is_not_before() end

--- Requires a time that has not come, such as that of `exp`.
---@return function # a validator
function M.is_not_expired() end

--- Requires a time that has not come, such as that of `exp`.
---@return function # a validator
function M.opt_is_not_expired() end

--- Requires the current time.
---@return function # a validator
function M.is_at() end

--- Requires the current time.
---@return function # a validator
function M.opt_is_at() end

return M
