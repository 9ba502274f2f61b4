-- Reads the settings of a policy: options of setup() or policy(), else the environment, else defaults.

local config = require "route_native.core.config"

local OWNER = "route_native"
local LIMIT = config.whole(1, 1000000)

local function words(what)
    return config.words("^[^%z\1-\32\127]+$", what)
end

-- The settings of a policy.
local POLICY = {
    { "signing_key", config.text(), variable = "JWT_DESKTOP_SIGNING_PUBLIC_KEY" },
    { "signing_jwks", config.any("string or table"), variable = "ROUTE_SIGNING_JWKS_URL" },
    { "payload_key", config.text(), variable = "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY" },
    { "payload_padding", config.choice("pkcs1v15", "oaep-sha1", "oaep-sha256"), variable = "ROUTE_PAYLOAD_PADDING" },
    -- src/desktop/target.rs checks that it is a domain.
    { "target_suffix", config.text(), variable = "ROUTE_TARGET_SUFFIX" },
    { "issuer", words("issuers, with blanks between, or a list"), variable = "ROUTE_JWT_ISSUER" },
    { "audience", words("audiences, with blanks between, or a list"), variable = "ROUTE_JWT_AUDIENCE" },
    { "algorithms", words("algorithms, with blanks between, or a list"), variable = "ROUTE_JWT_ALGORITHMS" },
    { "max_lifetime", config.whole(1, 2 ^ 31 - 1, "seconds"), variable = "ROUTE_JWT_MAX_LIFETIME" },
    { "leeway", config.whole(0, 300, "seconds"), variable = "ROUTE_JWT_LEEWAY", default = 5 },
    { "cache_entries", config.whole(0, 2 ^ 31 - 1), variable = "ROUTE_CACHE_ENTRIES", default = 50000 },
}
-- Those that all policies share.
local SHARED = {
    { "texts", config.text(), variable = "ROUTE_DESKTOP_TEXTS" },
    { "wait", config.whole(0, 120, "seconds"), variable = "ROUTE_DESKTOP_WAIT", default = 0 },
    { "client_rate", LIMIT, variable = "ROUTE_LIMIT_CLIENT_RATE" },
    { "client_connections", LIMIT, variable = "ROUTE_LIMIT_CLIENT_CONNECTIONS" },
    { "token_rate", LIMIT, variable = "ROUTE_LIMIT_TOKEN_RATE" },
    { "token_connections", LIMIT, variable = "ROUTE_LIMIT_TOKEN_CONNECTIONS" },
    { "target_rate", LIMIT, variable = "ROUTE_LIMIT_TARGET_RATE" },
    { "target_connections", LIMIT, variable = "ROUTE_LIMIT_TARGET_CONNECTIONS" },
    { "log_tokens", config.choice("on", "off"), variable = "ROUTE_LOG_TOKENS", default = "off" },
}

local ALL = {}
for _, rows in ipairs { POLICY, SHARED } do
    for _, row in ipairs(rows) do
        ALL[#ALL + 1] = row
    end
end

local _M = {}

-- Decides between a key file and a JWK Set by URL. An option prevails over the environment's variable of the other.
local function choose_keys(settings, options, labels)
    if not (settings.signing_key and settings.signing_jwks) then
        return
    end
    local has_file, has_url = options.signing_key ~= nil, options.signing_jwks ~= nil
    if has_file == has_url then
        config.fail(OWNER, "%s and %s are two sources of the same keys; set one of them", labels.signing_key,
            labels.signing_jwks)
    end
    settings[has_file and "signing_jwks" or "signing_key"] = nil
end

local function read(rows, options)
    local settings, labels = config.read(OWNER, rows, options)
    choose_keys(settings, options, labels)
    settings.labels = labels
    return settings
end

-- Returns the value of each option of setup(), and in `labels` the name of each option for errors.
function _M.read(options)
    return read(ALL, options)
end

-- Does the same for policy().
function _M.read_policy(options)
    return read(POLICY, options)
end

return _M
