-- What a gateway is configured with: options given to setup(), else the environment, else defaults.

local _M = {}

-- option = { variable, kind, default }; a default of nil means that the option may be absent.
local OPTIONS = {
    signing_key = { "JWT_DESKTOP_SIGNING_PUBLIC_KEY", "text" },
    payload_key = { "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY", "text" },
    payload_padding = { "ROUTE_PAYLOAD_PADDING", "text" },
    target_suffix = { "ROUTE_TARGET_SUFFIX", "text" },
    leeway = { "ROUTE_JWT_LEEWAY", "number", 5 },
    cache_entries = { "ROUTE_CACHE_ENTRIES", "number", 50000 },
}

local MAX_NUMBER = 2 ^ 31 - 1

local function whole_number(name, value)
    local number = tonumber(value)
    if not number or number < 0 or number > MAX_NUMBER or number % 1 ~= 0 then
        error(("route_native: %s must be a whole number, and is %q"):format(name, tostring(value)), 0)
    end
    return number
end

local function text(name, value)
    if type(value) ~= "string" then
        error(("route_native: %s must be a string, and is a %s"):format(name, type(value)), 0)
    end
    return value
end

-- Returns a table with every option, and under `sources` what named each: the option, or the variable. A mistake is an
-- error of one sentence.
function _M.read(given)
    for name in pairs(given) do
        if not OPTIONS[name] then
            error(("route_native: setup() knows no option %q"):format(tostring(name)), 0)
        end
    end
    local settings = { sources = {} }
    for name, option in pairs(OPTIONS) do
        local variable, kind, default = option[1], option[2], option[3]
        local value, source = given[name], name
        if value == nil then
            value, source = os.getenv(variable), variable
        end
        settings.sources[name] = source
        if value == nil or value == "" then
            settings[name] = default
        else
            settings[name] = (kind == "number" and whole_number or text)(source, value)
        end
    end
    return settings
end

-- The environment variable that names an option.
function _M.variable(name)
    return OPTIONS[name][1]
end

return _M
