-- Reads the border's configuration. A mistake raises an error of one sentence. docs/border.md documents the settings.

local config = require "route_native.core.config"
local session_settings = require "route_native.session.settings"

local _M = {}

local OWNER = "route_native: border"
local upstream = config.text("^https?://[%w._:%[%]-]+$",
    'http://host:port, or http:// and the name of an nginx "upstream"')

local path = session_settings.PATH

local SERVICE = {
    { "url", upstream, required = true },
    { "host", config.text("^[%w.-]+$", "a host name, or its first label") },
    { "path", config.text("^/[^/]*$", "/ and one path segment") },
}

local ROWS = config.rows({
    { "services", config.any("table"), required = true },
    { "account_url", upstream, required = true },
    { "auth_url", upstream, required = true },
    { "auth_path", path, default = "/token" },
    { "login_path", path, default = "/account/login" },
    { "default_path", path, default = "/" },
    { "login_failures_per_account", config.whole(1, 1e6), default = 10 },
    { "statsd", config.text("^[%w._%[%]:-]+:%d+$", "host:port") },
    { "statsd_prefix", config.pattern("^[%w._-]*$", "letters, digits and . _ -"), default = "border." },
}, session_settings.rows("border_session", "border_sessions", "border:"))

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

-- Reads the configuration that setup() received.
function _M.read(input)
    local settings = config.read(OWNER, ROWS, input)
    settings.services = read_services(settings.services)
    session_settings.check(OWNER, settings)
    return settings
end

return _M
