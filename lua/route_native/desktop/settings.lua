-- Reads the settings of a gateway: options of setup(), else the environment, else defaults.

local config = require "route_native.core.config"

local OWNER = "route_native"
local LIMIT = config.whole(1, 1000000)

local ROWS = {
    { "signing_key", config.text(), variable = "JWT_DESKTOP_SIGNING_PUBLIC_KEY" },
    { "payload_key", config.text(), variable = "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY" },
    { "payload_padding", config.choice("pkcs1v15", "oaep-sha1", "oaep-sha256"), variable = "ROUTE_PAYLOAD_PADDING" },
    -- src/desktop/target.rs checks that it is a domain.
    { "target_suffix", config.text(), variable = "ROUTE_TARGET_SUFFIX" },
    { "leeway", config.whole(0, 300, "seconds"), variable = "ROUTE_JWT_LEEWAY", default = 5 },
    { "cache_entries", config.whole(0, 2 ^ 31 - 1), variable = "ROUTE_CACHE_ENTRIES", default = 50000 },
    { "texts", config.text(), variable = "ROUTE_DESKTOP_TEXTS" },
    { "wait", config.whole(0, 120, "seconds"), variable = "ROUTE_DESKTOP_WAIT", default = 0 },
    { "client_rate", LIMIT, variable = "ROUTE_LIMIT_CLIENT_RATE" },
    { "client_connections", LIMIT, variable = "ROUTE_LIMIT_CLIENT_CONNECTIONS" },
    { "token_rate", LIMIT, variable = "ROUTE_LIMIT_TOKEN_RATE" },
    { "token_connections", LIMIT, variable = "ROUTE_LIMIT_TOKEN_CONNECTIONS" },
    { "target_rate", LIMIT, variable = "ROUTE_LIMIT_TARGET_RATE" },
    { "target_connections", LIMIT, variable = "ROUTE_LIMIT_TARGET_CONNECTIONS" },
}

local _M = {}

-- Returns the value of each option, and in `labels` the name of each option for errors.
function _M.read(options)
    local settings, labels = config.read(OWNER, ROWS, options)
    settings.labels = labels
    return settings
end

return _M
