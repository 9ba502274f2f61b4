-- What a border is configured with. Every mistake is an error of one sentence; docs/border.md is the table.

local session = require "route_native.border.session_id"

local _M = {}

local function fail(...)
    error("route_native: border: " .. string.format(...), 0)
end

local function number(least, most)
    return function(name, value)
        if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
            fail("%s must be a whole number from %d to %d, and is %s", name, least, most, tostring(value))
        end
        return value
    end
end

local function boolean(name, value)
    if type(value) ~= "boolean" then
        fail("%s must be true or false, and is %s", name, tostring(value))
    end
    return value
end

local function text(pattern, what)
    return function(name, value)
        if type(value) ~= "string" or not value:find(pattern) then
            fail("%s must be %s, and is %q", name, what, tostring(value))
        end
        return value
    end
end

local any_text = text("^[^%c]+$", "a text without control characters")
local upstream = text("^https?://[%w._:%[%]-]+$", 'http://host:port, or http:// and the name of an nginx "upstream"')
local host_and_port = text("^[%w._%[%]:-]+:%d+$", "host:port")
local cookie_name = text("^[%w_-]+$", "letters, digits, _ and -")
local domain = text("^[%w-]+%.[%w.-]+$", "a domain name")

local function path(name, value)
    if type(value) ~= "string" or not session.is_local_path(value) then
        fail("%s must be a path such as /b/, and is %q", name, tostring(value))
    end
    return value
end

local DAY = 86400

-- setting = { check, default }; without a default it is required, with `false` it may be absent.
local STORE = {
    kind = { any_text, "memory" },
    dictionary = { any_text, "border_sessions" },
    address = { any_text, false },
    timeout = { number(1, 60000), 500 },
    pool_size = { number(1, 10000), 100 },
    pool_idle = { number(1, 3600000), 60000 },
    prefix = { text("^[%w:_.-]*$", "letters, digits and : _ . -"), "border:" },
    username = { any_text, false },
    password = { any_text, false },
    tls = { boolean, false },
    tls_verify = { boolean, true },
    tls_name = { any_text, false },
}

local SERVICE = {
    url = { upstream },
    host = { text("^[%w.-]+$", "a host name, or its first label"), false },
    path = { text("^/[^/%c]*$", "/ and one path segment"), false },
}

local SETTINGS = {
    account_url = { upstream },
    auth_url = { upstream },
    auth_path = { path, "/token" },
    login_path = { path, "/account/login" },
    default_path = { path, "/" },
    idle_timeout = { number(1, DAY), 3600 },
    absolute_timeout = { number(1, 30 * DAY), 43200 },
    login_timeout = { number(1, DAY), 600 },
    key_rotation = { number(1, 30 * DAY), DAY },
    -- A new key is announced a minute before it signs (keys.lua).
    key_refresh = { number(1, 30), 10 },
    cookie_name = { cookie_name, "border_session" },
    cookie_domain = { domain, false },
    cookie_secure = { boolean, true },
    behind_tls = { boolean, false },
    login_window = { number(1, DAY), 60 },
    login_failures_per_address = { number(1, 1e6), 20 },
    login_failures_per_account = { number(1, 1e6), 10 },
    statsd = { host_and_port, false },
    statsd_prefix = { text("^[%w._-]*$", "letters, digits and . _ -"), "border." },
}

-- Checks a table of settings against its rows. `within` names it in a sentence.
local function read(rows, given, within)
    if type(given) ~= "table" then
        fail("%s must be a table", within == "" and "the configuration" or within)
    end
    local prefix = within == "" and "" or within .. "."
    for name in pairs(given) do
        if not rows[name] then
            fail("there is no setting %s%s", prefix, tostring(name))
        end
    end
    local settings = {}
    for name, row in pairs(rows) do
        local value = given[name]
        if value ~= nil then
            settings[name] = row[1](prefix .. name, value)
        elseif row[2] == nil then
            fail("%s%s is missing", prefix, name)
        else
            settings[name] = row[2] or nil
        end
    end
    return settings
end

local function read_services(given)
    if type(given) ~= "table" or next(given) == nil then
        fail("services must be a table with at least one service")
    end
    local services, taken = {}, {}
    for name, row in pairs(given) do
        if type(name) ~= "string" or not name:find("^[%w_.-]+$") then
            fail("the name of a service must be letters, digits and _ . -, and is %q", tostring(name))
        end
        local service = read(SERVICE, row, "services." .. name)
        if not service.host and not service.path then
            fail("services.%s needs a host or a path", name)
        end
        for _, place in ipairs { service.host and service.host:lower() or false, service.path or false } do
            if place and taken[place] then
                fail("services.%s and services.%s both have %s", taken[place], name, place)
            elseif place then
                taken[place] = name
            end
        end
        service.name = name
        services[name] = service
    end
    return services
end

-- Reads what setup() was given.
function _M.read(given)
    if type(given) ~= "table" then
        fail("setup() takes a table")
    end
    local own, services, store = {}, given.services, given.store
    for name, value in pairs(given) do
        if name ~= "services" and name ~= "store" then
            own[name] = value
        end
    end
    local settings = read(SETTINGS, own, "")
    settings.services = read_services(services)
    settings.store = read(STORE, store or {}, "store")
    if settings.store.kind ~= "memory" and not settings.store.address then
        fail("store.address is missing: where %s listens, as host:port", settings.store.kind)
    end
    if settings.absolute_timeout > settings.key_rotation then
        fail("absolute_timeout (%d s) must not be longer than key_rotation (%d s): the session would outlive its key",
            settings.absolute_timeout, settings.key_rotation)
    end
    return settings
end

return _M
