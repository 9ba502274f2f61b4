-- Reads the border's configuration. A mistake raises an error of one sentence. docs/border.md documents the settings.

local config = require "route_native.core.config"
local session_id = require "route_native.border.session_id"

local _M = {}

local OWNER = "route_native: border"
local DAY = 86400

local any_text = config.text()
local upstream = config.text("^https?://[%w._:%[%]-]+$",
    'http://host:port, or http:// and the name of an nginx "upstream"')

local path = { what = "a path such as /b/", check = function(value)
    return type(value) == "string" and session_id.is_local_path(value) and value or nil
end }

local STORE = {
    { "kind", config.choice("memory", "memcached", "redis"), default = "memory" },
    { "dictionary", any_text, default = "border_sessions" },
    { "address", any_text },
    { "sentinels", config.list() },
    { "master", config.text("^[%w_.-]+$", "a name of letters, digits and _ . -") },
    { "timeout", config.whole(1, 60000, "milliseconds"), default = 500 },
    { "pool_size", config.whole(1, 10000), default = 100 },
    { "pool_idle", config.whole(1, 3600000, "milliseconds"), default = 60000 },
    { "prefix", config.pattern("^[%w:_.-]*$", "letters, digits and : _ . -"), default = "border:" },
    { "username", any_text },
    { "password", any_text },
    { "sentinel_username", any_text },
    { "sentinel_password", any_text },
    { "tls", config.boolean(), default = false },
    { "tls_verify", config.boolean(), default = true },
    { "tls_name", any_text },
}

local SERVICE = {
    { "url", upstream, required = true },
    { "host", config.text("^[%w.-]+$", "a host name, or its first label") },
    { "path", config.text("^/[^/]*$", "/ and one path segment") },
}

local ROWS = {
    { "services", config.any("table"), required = true },
    { "account_url", upstream, required = true },
    { "auth_url", upstream, required = true },
    { "auth_path", path, default = "/token" },
    { "login_path", path, default = "/account/login" },
    { "default_path", path, default = "/" },
    { "idle_timeout", config.whole(1, DAY, "seconds"), default = 3600 },
    { "absolute_timeout", config.whole(1, 30 * DAY, "seconds"), default = 43200 },
    { "login_timeout", config.whole(1, DAY, "seconds"), default = 600 },
    { "key_rotation", config.whole(1, 30 * DAY, "seconds"), default = DAY },
    -- A new key is announced a minute before it signs (keys.lua).
    { "key_refresh", config.whole(1, 30, "seconds"), default = 10 },
    { "cookie_name", config.text("^[%w_-]+$", "letters, digits, _ and -"), default = "border_session" },
    { "cookie_domain", config.text("^[%w-]+%.[%w.-]+$", "a domain name") },
    { "cookie_secure", config.boolean(), default = true },
    { "behind_tls", config.boolean(), default = false },
    { "login_window", config.whole(1, DAY, "seconds"), default = 60 },
    { "login_failures_per_address", config.whole(1, 1e6), default = 20 },
    { "login_failures_per_account", config.whole(1, 1e6), default = 10 },
    { "sessions_per_account", config.whole(1, 1000), default = 100 },
    { "public_origins", config.ORIGINS },
    { "statsd", config.text("^[%w._%[%]:-]+:%d+$", "host:port") },
    { "statsd_prefix", config.pattern("^[%w._-]*$", "letters, digits and . _ -"), default = "border." },
    { "store", config.nested(STORE), default = {} },
}

-- Checks the services and returns them by name. No two of them may have the same host or path.
local function read_services(input)
    if next(input) == nil then
        config.fail(OWNER, "services must be a table with at least one service")
    end
    local services, owner_of = {}, {}
    for name, row in pairs(input) do
        if type(name) ~= "string" or not name:find("^[%w_.-]+$") then
            config.fail(OWNER, "the name of a service must be letters, digits and _ . -, and is %q", tostring(name))
        end
        local service = config.read(OWNER, SERVICE, row, "services." .. name .. ".")
        if not service.host and not service.path then
            config.fail(OWNER, "services.%s needs a host or a path", name)
        end
        for _, place in ipairs { service.host and service.host:lower() or false, service.path or false } do
            if place and owner_of[place] then
                config.fail(OWNER, "services.%s and services.%s both have %s", owner_of[place], name, place)
            elseif place then
                owner_of[place] = name
            end
        end
        service.name = name
        services[name] = service
    end
    return services
end

-- Checks that exactly one of the ways to the store is given.
local function check_store(store)
    if (store.sentinels == nil) ~= (store.master == nil) then
        config.fail(OWNER, "store.sentinels and store.master go together")
    elseif store.sentinels and (store.kind ~= "redis" or store.address) then
        config.fail(OWNER, 'store.sentinels finds a store of the kind "redis", in place of store.address')
    elseif store.kind ~= "memory" and not store.address and not store.sentinels then
        config.fail(OWNER, 'the field "store.address" is missing: where %s listens, as host:port', store.kind)
    end
end

-- Reads the configuration that setup() received.
function _M.read(input)
    local settings = config.read(OWNER, ROWS, input)
    settings.services = read_services(settings.services)
    check_store(settings.store)
    if settings.absolute_timeout > settings.key_rotation then
        config.fail(OWNER,
            "absolute_timeout (%d s) must not be longer than key_rotation (%d s): the session would outlive its key",
            settings.absolute_timeout, settings.key_rotation)
    end
    return settings
end

return _M
