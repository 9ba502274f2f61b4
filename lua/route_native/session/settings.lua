-- The configuration rows of sessions and of their store, which border sessions and OpenID Connect share.

local config = require "route_native.core.config"
local session_id = require "route_native.session.id"

local _M = {}

local DAY = 86400
local any_text = config.text()

-- The kind of a path of the same origin.
_M.PATH = { what = "a path such as /b/", check = function(value)
    return type(value) == "string" and session_id.is_local_path(value) and value or nil
end }

-- Returns the rows of a store. `dictionary` is that of the memory store.
local function store_rows(dictionary, prefix)
    return {
        { "kind", config.choice("memory", "memcached", "redis"), default = "memory" },
        { "dictionary", any_text, default = dictionary },
        { "address", any_text },
        { "sentinels", config.list() },
        { "master", config.text("^[%w_.-]+$", "a name of letters, digits and _ . -") },
        { "timeout", config.whole(1, 60000, "milliseconds"), default = 500 },
        { "pool_size", config.whole(1, 10000), default = 100 },
        { "pool_idle", config.whole(1, 3600000, "milliseconds"), default = 60000 },
        { "prefix", config.pattern("^[%w:_.-]*$", "letters, digits and : _ . -"), default = prefix },
        { "username", any_text },
        { "password", any_text },
        { "sentinel_username", any_text },
        { "sentinel_password", any_text },
        { "tls", config.boolean(), default = false },
        { "tls_verify", config.boolean(), default = true },
        { "tls_name", any_text },
    }
end

-- Returns the rows of sessions: their times, their cookie, their store.
function _M.rows(cookie_name, dictionary, prefix)
    return {
        { "idle_timeout", config.whole(1, DAY, "seconds"), default = 3600 },
        { "absolute_timeout", config.whole(1, 30 * DAY, "seconds"), default = 43200 },
        { "login_timeout", config.whole(1, DAY, "seconds"), default = 600 },
        { "key_rotation", config.whole(1, 30 * DAY, "seconds"), default = DAY },
        -- A new key is announced a minute before it signs (keys.lua).
        { "key_refresh", config.whole(1, 30, "seconds"), default = 10 },
        { "cookie_name", config.text("^[%w_-]+$", "letters, digits, _ and -"), default = cookie_name },
        { "cookie_domain", config.text("^[%w-]+%.[%w.-]+$", "a domain name") },
        { "cookie_secure", config.boolean(), default = true },
        { "behind_tls", config.boolean(), default = false },
        { "login_window", config.whole(1, DAY, "seconds"), default = 60 },
        { "login_failures_per_address", config.whole(1, 1e6), default = 20 },
        { "sessions_per_account", config.whole(1, 1000), default = 100 },
        { "public_origins", config.ORIGINS },
        { "store", config.nested(store_rows(dictionary, prefix)), default = {} },
    }
end

-- Checks that exactly one of the ways to the store is given.
local function check_store(owner, store)
    if (store.sentinels == nil) ~= (store.master == nil) then
        config.fail(owner, "store.sentinels and store.master go together")
    elseif store.sentinels and (store.kind ~= "redis" or store.address) then
        config.fail(owner, 'store.sentinels finds a store of the kind "redis", in place of store.address')
    elseif store.kind ~= "memory" and not store.address and not store.sentinels then
        config.fail(owner, 'the field "store.address" is missing: where %s listens, as host:port', store.kind)
    end
end

-- Checks what the rows cannot. A mistake raises an error of one sentence.
function _M.check(owner, settings)
    check_store(owner, settings.store)
    if settings.absolute_timeout > settings.key_rotation then
        config.fail(owner,
            "absolute_timeout (%d s) must not be longer than key_rotation (%d s): the session would outlive its key",
            settings.absolute_timeout, settings.key_rotation)
    end
end

return _M
