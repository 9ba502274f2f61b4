-- The keys of a check or a login: given as such, or as a file that may not be there yet.

local config = require "route_native.core.config"
local keyring = require "route_native.jwt.keyring"
local response = require "route_native.core.response"

local ngx = ngx
local RETRY_AFTER = 5

local _M = {}

-- The rows of a configuration that name its keys.
_M.ROWS = {
    { "key", config.any("string or table") },
    { "key_file", config.text() },
    { "secret_file", config.text() },
}

-- Calls what raises a sentence of route_native.jwt, which is a mistake of the owner's configuration then.
function _M.try(owner, call, ...)
    local ok, result = pcall(call, ...)
    return ok and result or config.fail(owner, "%s", (tostring(result):gsub("^.*route_native%.jwt: ", "")))
end

-- Opens the keys that exactly one of `key`, `key_file` and `secret_file` names. Returns a function that returns the
-- keys, or nil and why not.
-- `key` is a handle of route_native.jwt, also one of jwks(), a string, or a list of strings of which the first signs
-- and each is accepted.
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
            local ok, found = pcall(open, key_file or secret_file)
            if ok then
                keys = found
            else
                err = tostring(found):gsub("^.*route_native%.jwt: ", "")
            end
        end
        return keys, err
    end
    get() -- now, while the master may still read what the workers may not
    return get
end

-- Ends a request for which there are no keys; why is for the log alone.
function _M.unavailable(why)
    ngx.log(ngx.ERR, "route_native.auth: ", why)
    return response.unavailable(RETRY_AFTER)
end

return _M
