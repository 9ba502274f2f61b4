-- Opens the keys of a check or a login: from the configuration itself, or from a file that may not exist yet.

local config = require "route_native.core.config"
local keyring = require "route_native.jwt.keyring"
local response = require "route_native.core.response"

local ngx = ngx
local RETRY_AFTER = 5

local _M = {}

-- The configuration rows of keys.
_M.ROWS = {
    { "key", config.any("string or table") },
    { "key_file", config.text() },
    { "secret_file", config.text() },
}

-- Calls a function of route_native.jwt. Returns its result, or nil and its error without the name of that module.
local function call_jwt(call, ...)
    local ok, result = pcall(call, ...)
    if ok then
        return result
    end
    return nil, (tostring(result):gsub("^.*route_native%.jwt: ", ""))
end

-- Calls a function of route_native.jwt. Raises its error as one about the owner's configuration.
function _M.try(owner, call, ...)
    local result, err = call_jwt(call, ...)
    return result or config.fail(owner, "%s", err)
end

-- Opens the keys that exactly one of `key`, `key_file` and `secret_file` names. Returns a function that returns the
-- keys, or nil and an error. `key` is a handle of route_native.jwt, a string, or a list of strings: the first signs,
-- and each verifies.
function _M.open(owner, values)
    local key, key_file, secret_file = values.key, values.key_file, values.secret_file
    if (key and 1 or 0) + (key_file and 1 or 0) + (secret_file and 1 or 0) ~= 1 then
        config.fail(owner, 'exactly one of "key", "key_file" and "secret_file" is needed')
    end
    if key then
        local is_list = type(key) == "table" and not keyring.is(key)
        local keys = _M.try(owner, is_list and keyring.keys or keyring.of, key)
        return function() return keys end
    end
    local open = key_file and keyring.key_file or keyring.secret_file
    local keys, err
    local function get()
        if not keys then
            keys, err = call_jwt(open, key_file or secret_file)
        end
        return keys, err
    end
    get() -- The master may still read files that the workers may not.
    return get
end

-- Refuses a policy under which these keys would verify no token. The keys may be missing.
function _M.check_policy(owner, keys, policy)
    local fits, err = true, nil
    if keys then
        fits, err = keyring.fits(keys, policy.handle)
    end
    if not fits then
        config.fail(owner, "%s", err)
    end
end

-- Ends a request that needs keys when there are none. `err` goes to the log alone.
function _M.unavailable(err)
    ngx.log(ngx.ERR, "route_native.auth: ", err)
    return response.unavailable(RETRY_AFTER)
end

return _M
