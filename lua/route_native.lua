-- route_native: the desktop gateway for OpenResty.
--
--     init_by_lua_block    { require("route_native").setup() }
--     rewrite_by_lua_block { require("route_native").resolve() }   -- or access_by_lua_block
--     proxy_pass http://$target:29786;
--
-- setup() reads the keys that the environment names, once. resolve() finds the request's token, looks it up in this
-- worker's cache, then in ngx.shared.targetmap, and verifies and decrypts it only when both miss; it sets $target or
-- ends the request. Misuse is an error; bad input is an answer.

local engine = require "route_native.engine"
local reason = require "route_native.reason"
local settings = require "route_native.settings"

local _M = { _VERSION = "0.1.1" }

local gateway

local function not_set_up()
    error("route_native: setup() has not loaded any keys", 3)
end

-- Loads keys and settings; call it in init_by_lua. `options` overrides the environment: signing_key, payload_key
-- (paths), payload_padding, target_suffix, leeway (seconds), cache_entries.
--
-- A setting or key that is wrong is an error, so that nginx does not start with it and a reload keeps the old one. A
-- key that is not there yet is logged instead: the gateway starts and answers 503 until it is reloaded with one.
function _M.setup(options)
    local chosen = settings.read(options or {})
    local made, sentence, status = engine.new(chosen)
    if not made and status ~= reason.KEY_UNREADABLE then
        error("route_native: " .. sentence, 0)
    end
    gateway = made
    if not made then
        sentence = "route_native: " .. sentence .. "; desktop endpoints answer 503"
    end
    if ngx then
        local requests = require "route_native.gateway"
        requests.start(made, sentence)
        -- Bound here rather than looked up on every request.
        _M.resolve = requests.resolve
    end
    return made ~= nil, sentence
end

-- Resolves the request's token: sets $target and returns, or ends the request with 401 or 503.
-- For the rewrite and access phases.
function _M.resolve()
    error("route_native: call setup() in init_by_lua before resolve()", 2)
end

-- Verifies a token with the signing keys. Returns its claims as a table, or nil and the reason's name.
function _M.verify(token)
    if type(token) ~= "string" then
        error("route_native: verify() takes a string", 2)
    end
    local json, status = engine.verify(gateway or not_set_up(), token, ngx and ngx.time() or os.time())
    if not json then
        return nil, reason.name(status)
    end
    return require("cjson.safe").decode(json)
end

-- Decrypts the text of a `hash` claim. Returns the target in it, or nil and the reason's name.
function _M.decrypt(hash)
    if type(hash) ~= "string" then
        error("route_native: decrypt() takes a string", 2)
    end
    local target, status = engine.decrypt(gateway or not_set_up(), hash)
    if not target then
        return nil, reason.name(status)
    end
    return target
end

return _M
