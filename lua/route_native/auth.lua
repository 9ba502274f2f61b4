-- route_native.auth: who may pass, and who gets a token.
--
--     access_by_lua_block  { require("route_native.auth").check(guard) }      -- 401, 403, or on with the request
--     content_by_lua_block { require("route_native.auth").login(entrance) }   -- credentials in, {"token": …} out
--
-- A configuration is a table that is read once: build it in init_by_lua or in a module of your own, and do not
-- change it
-- afterwards. prepare_check() and prepare_login() read it there and then, so that nginx does not start with a mistake.
-- The fields are documented in auth_check.lua and auth_login.lua.

local auth_check = require "route_native.auth.check"
local auth_login = require "route_native.auth.login"

local _M = {}

-- What was made of each configuration, for as long as the configuration lives.
local made = setmetatable({}, { __mode = "k" })

local function prepared(config, reader, name)
    if type(config) ~= "table" then
        error("route_native.auth: " .. name .. "() takes a table", 3)
    end
    local known = made[config]
    if known and known.reader == reader then
        return known
    end
    local ok, result = pcall(reader.read, config)
    if not ok then
        error(result, 3)
    end
    result.reader = reader
    made[config] = result
    return result
end

-- Reads a configuration now. A mistake is an error of one sentence. Returns the configuration.
function _M.prepare_check(config)
    prepared(config, auth_check, "prepare_check")
    return config
end

function _M.prepare_login(config)
    prepared(config, auth_login, "prepare_login")
    return config
end

-- Checks the request's token. Returns its claims and its header, or ends the request with 401, 403 or 503.
-- For the rewrite and access phases.
function _M.check(config)
    return auth_check.run(prepared(config, auth_check, "check"))
end

-- Logs a user in and ends the request. For the rewrite, access and content phases.
function _M.login(config)
    return auth_login.run(prepared(config, auth_login, "login"))
end

return _M
