-- What run() is configured with: checked once, kept by its content, so that a table made for each request costs little.

local ffi = require "ffi"
local jwks = require "route_native.jwt.jwks"
local library = require "route_native.core.ffi"
local nkeys = require "table.nkeys"
local outbound = require "route_native.http.outbound"
local reason = require "route_native.core.status"

local next, type = next, type
local concat, sort = table.concat, table.sort

local SENTENCE_BYTES = 1024
-- As src/introspection understands them, in the order of their use: a JWT for the API is what is wanted.
local ACCEPT = "application/jwt, application/token-introspection+jwt;q=0.9, application/json;q=0.8"
-- Configurations are written by hand; more than this are made by a program, and forgotten.
local MAX_KNOWN = 256

-- Each field with its kind. `shapes` says that the server's answer depends on it, and the cache with it.
local FIELDS = {
    introspection_endpoint = { kind = "text", required = true, shapes = true },
    client_id = { kind = "text", required = true, shapes = true },
    client_secret = { kind = "text", required = true, shapes = true },
    token_cache_seconds = { kind = "seconds", most = 86400, default = 300, shapes = true },
    inactive_cache_seconds = { kind = "seconds", most = 60, default = 5, shapes = true },
    stale_if_error_seconds = { kind = "seconds", most = 3600, default = 0, shapes = true },
    verify_ssl = { kind = "boolean", default = true, shapes = true },
    scope = { kind = "text" },
    trusted_web_origins = { kind = "list" },
    preflight = { kind = "text" },
    cache_name = { kind = "text", default = "phantom-token", shapes = true },
    upstream = { kind = "text", shapes = true },
    verify_key = { kind = "text", shapes = true },
    issuer = { kind = "texts", shapes = true },
    audience = { kind = "texts", shapes = true },
    signing_key = { kind = "text", shapes = true },
    signing_key_id = { kind = "text", shapes = true },
    claim_headers = { kind = "map", shapes = true },
}

-- Other names of fields.
local ALIASES = { time_to_live_seconds = "token_cache_seconds" }

local _M = {}

local function mistake(sentence, ...)
    error("route_native: phantom_token: " .. sentence:format(...), 0)
end

local check = {}

function check.text(name, value)
    if type(value) ~= "string" or value == "" or value:find("%c") then
        mistake("%s must be a string that is not empty and holds no control characters", name)
    end
end

function check.texts(name, value)
    if type(value) ~= "table" then
        return check.text(name, value)
    elseif #value == 0 or #value ~= nkeys(value) then
        mistake("%s must be a string or a list of strings", name)
    end
    for i = 1, #value do
        check.text(name, value[i])
    end
end

function check.seconds(name, value, field)
    if type(value) ~= "number" or not (value >= 0 and value <= field.most) or value % 1 ~= 0 then
        mistake("%s must be a whole number of seconds from 0 to %d", name, field.most)
    end
end

function check.boolean(name, value)
    if type(value) ~= "boolean" then
        mistake("%s must be true or false", name)
    end
end

function check.list(name, value)
    if type(value) ~= "table" then
        mistake("%s must be a list of origins such as https://www.example.com", name)
    end
    local count = 0
    for _ in next, value do
        count = count + 1
    end
    for i = 1, count do
        local origin = value[i]
        if type(origin) ~= "string" or not origin:find("^https?://[%w.%-:%[%]]+$") then
            mistake("%s must be a list of origins such as https://www.example.com, without a path", name)
        end
    end
end

function check.map(name, value)
    if type(value) ~= "table" or next(value) == nil then
        mistake("%s must name a claim for each header, such as { [\"X-Subject\"] = \"sub\" }", name)
    end
    for header, claim in next, value do
        if type(header) ~= "string" or type(claim) ~= "string" or claim == "" or claim:find("%c") then
            mistake("%s must name a claim for each header, such as { [\"X-Subject\"] = \"sub\" }", name)
        end
    end
end

-- Every field with its value, under its one name.
local function checked(given)
    local values = {}
    for name, value in next, given do
        local proper = ALIASES[name] or name
        local field = FIELDS[proper]
        if not field then
            mistake("there is no field %q", tostring(name))
        elseif values[proper] ~= nil then
            mistake("%s is given twice, under two names", proper)
        end
        check[field.kind](name, value, field)
        values[proper] = value
    end
    for name, field in next, FIELDS do
        if values[name] == nil then
            if field.required then
                mistake("%s is missing", name)
            end
            values[name] = field.default
        end
    end
    return values
end

local function lines_of(claim_headers)
    local lines = {}
    for header, claim in next, claim_headers do
        lines[#lines + 1] = header .. ": " .. claim
    end
    sort(lines)
    return concat(lines, "\n")
end

-- One string or a list of them, a line each.
local function lines_of_texts(value)
    return type(value) == "table" and concat(value, "\n") or value or ""
end

-- A text that is the same for two configurations exactly when their answers are.
local function identity_of(values)
    local names, parts = {}, {}
    for name, field in next, FIELDS do
        if field.shapes then
            names[#names + 1] = name
        end
    end
    sort(names)
    for i, name in ipairs(names) do
        local value = values[name]
        local text = FIELDS[name].kind == "texts" and lines_of_texts(value)
            or type(value) == "table" and lines_of(value) or tostring(value)
        parts[i] = #text .. ":" .. text
    end
    return concat(parts)
end

local function fill(options, name, value)
    options[name] = value
    options[name .. "_length"] = #value
end

local function new_introspector(values)
    local options = ffi.new("rn_introspector_options", { lifetime = math.max(values.token_cache_seconds, 1) })
    -- The texts live as long as this table: options holds pointers into them.
    local texts = {
        identity = identity_of(values),
        -- Keys by URL are handed in with each answer.
        verify_key = not values.published and values.verify_key or "",
        issuer = lines_of_texts(values.issuer),
        audience = lines_of_texts(values.audience),
        signing_key = values.signing_key or "",
        signing_key_id = values.signing_key_id or "",
        claim_headers = values.claim_headers and lines_of(values.claim_headers) or "",
    }
    for name, text in next, texts do
        fill(options, name, text)
    end
    local handle, length = ffi.new("rn_introspector *[1]"), ffi.new("size_t[1]")
    local sentence = ffi.new("uint8_t[?]", SENTENCE_BYTES)
    local status = library.rn_introspector_new(options, handle, sentence, SENTENCE_BYTES, length)
    if status ~= reason.OK then
        mistake("%s", length[0] > 0 and ffi.string(sentence, length[0]) or reason.name(status))
    end
    return ffi.gc(handle[0], function(introspector) library.rn_introspector_free(introspector) end)
end

local function scopes_of(text)
    local scopes = {}
    for scope in (text or ""):gmatch("%S+") do
        scopes[#scopes + 1] = scope
    end
    return #scopes > 0 and scopes
end

local function origins_of(list)
    local origins = {}
    for _, origin in ipairs(list or {}) do
        origins[origin:lower()] = true
    end
    return origins
end

-- RFC 6749 §2.3.1: both are form-encoded before they are joined.
local function basic(values)
    local pair = ngx.escape_uri(values.client_id) .. ":" .. ngx.escape_uri(values.client_secret)
    return "Basic " .. ngx.encode_base64(pair)
end

-- The keys that the server publishes, when verify_key is where; asked for as the tokens are.
local function published_keys(values, endpoint)
    local url = values.verify_key and values.verify_key:find("^[Hh][Tt][Tt][Pp][Ss]?://") and values.verify_key
    if not url then
        return nil
    end
    local parsed, sentence = outbound.parse_url(url)
    if not parsed then
        mistake("verify_key %s", sentence)
    end
    local is_same_server = parsed.scheme == endpoint.scheme and parsed.authority == endpoint.authority
    local config = {
        url = url, verify_ssl = values.verify_ssl, cache_name = values.cache_name,
        upstream = is_same_server and values.upstream or nil,
    }
    return jwks.new(config, true)
end

local function compile(given)
    local values = checked(given)
    local url, sentence = outbound.parse_url(values.introspection_endpoint)
    if not url then
        mistake("introspection_endpoint %s", sentence)
    end
    if values.upstream and not values.upstream:find("^[%w._-]+$") then
        mistake("upstream must be the name of an upstream block")
    end
    if values.preflight and values.preflight ~= "answer" and values.preflight ~= "pass" then
        mistake("preflight must be \"answer\" or \"pass\", or be left out")
    end
    if values.signing_key and values.claim_headers then
        mistake("signing_key and claim_headers are two ways to tell the API the same; choose one")
    end
    values.published = published_keys(values, url)
    values.introspector = new_introspector(values)
    values.scopes = scopes_of(values.scope)
    -- Whether an active token is one, without a look at its scope, and its JWT what goes on.
    values.is_plain = not values.scopes and not values.claim_headers
    values.origins = origins_of(values.trusted_web_origins)
    values.outbound, sentence = outbound.target {
        url = url, upstream = values.upstream, verify_ssl = values.verify_ssl, accept = ACCEPT,
        content_type = "application/x-www-form-urlencoded", authorization = basic(values),
    }
    if not values.outbound then
        mistake("%s", sentence)
    end
    -- What logs may say of the endpoint: a query could hold anything.
    values.endpoint = url.scheme .. "://" .. url.authority .. url.rest:match("^[^?]*")
    return values
end

-- Tables are equal when what is in them is.
local function equal(one, other)
    if one == other then
        return true
    elseif type(one) ~= "table" or type(other) ~= "table" or nkeys(one) ~= nkeys(other) then
        return false
    end
    for name, value in next, one do
        if other[name] ~= value then return false end
    end
    return true
end

local function copy(given)
    local result = {}
    for name, value in next, given do
        result[name] = type(value) == "table" and copy(value) or value
    end
    return result
end

-- Whether `config` has exactly the fields of `given`. Written out: a loop would keep LuaJIT from compiling the whole
-- of a request's way as one.
local function same(given, config)
    return config.client_id == given.client_id
        and config.client_secret == given.client_secret
        and config.token_cache_seconds == given.token_cache_seconds
        and config.time_to_live_seconds == given.time_to_live_seconds
        and config.inactive_cache_seconds == given.inactive_cache_seconds
        and config.stale_if_error_seconds == given.stale_if_error_seconds
        and config.verify_ssl == given.verify_ssl
        and config.scope == given.scope
        and config.preflight == given.preflight
        and config.cache_name == given.cache_name
        and config.upstream == given.upstream
        and config.verify_key == given.verify_key
        and config.signing_key == given.signing_key
        and config.signing_key_id == given.signing_key_id
        and equal(config.issuer, given.issuer)
        and equal(config.audience, given.audience)
        and equal(config.trusted_web_origins, given.trusted_web_origins)
        and equal(config.claim_headers, given.claim_headers)
        and nkeys(config) == nkeys(given)
end

-- Configurations that were compiled, by endpoint, the one that was found last first: { given, settings, next } each.
local known, known_count = {}, 0

-- Looks behind the first, and puts what it finds before it.
local function find_further(endpoint, config)
    local before = known[endpoint]
    local entry = before and before.next
    while entry do
        if same(entry.given, config) then
            before.next = entry.next
            entry.next, known[endpoint] = known[endpoint], entry
            return entry.settings
        end
        before, entry = entry, entry.next
    end
end

local function compiled(config)
    local endpoint = config.introspection_endpoint
    local settings = endpoint ~= nil and find_further(endpoint, config)
    if settings then
        return settings
    end
    settings = compile(config)
    if known_count >= MAX_KNOWN then
        known, known_count = {}, 0
    end
    known[endpoint] = { given = copy(config), settings = settings, next = known[endpoint] }
    known_count = known_count + 1
    return settings
end

-- The settings of a configuration table; nil and a sentence when there is a mistake in it.
function _M.of(config)
    if type(config) ~= "table" then
        return nil, "route_native: phantom_token: run() takes a table"
    end
    local entry = known[config.introspection_endpoint or ""]
    if entry and same(entry.given, config) then
        return entry.settings
    end
    local ok, settings = pcall(compiled, config)
    if not ok then
        return nil, settings
    end
    return settings
end

return _M
