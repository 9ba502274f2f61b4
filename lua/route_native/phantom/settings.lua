-- What run() is configured with: checked once, kept by its content, so that a table made for each request costs little.

local ffi = require "ffi"
local claim_headers = require "route_native.core.claim_headers"
local config = require "route_native.core.config"
local jwks = require "route_native.jwt.jwks"
local library = require "route_native.core.ffi"
local nkeys = require "table.nkeys"
local outbound = require "route_native.http.outbound"
local reason = require "route_native.core.status"
local scopes = require "route_native.core.scopes"

local next, type = next, type
local concat, sort = table.concat, table.sort

local ERROR_BYTES = library.RN_ERROR_BYTES
local OWNER = "route_native: phantom_token"
-- As src/introspection understands them, in the order of their use: a JWT for the API is what is wanted.
local ACCEPT = "application/jwt, application/token-introspection+jwt;q=0.9, application/json;q=0.8"
-- Configurations are written by hand; more than this are made by a program, and forgotten.
local MAX_KNOWN = 256

local any_text = config.text()
local ORIGIN = config.text("^https?://[%w.%-:%[%]]+$")

-- `only_here`: the server's answer does not depend on it, nor does the cache.
local ROWS = config.rows({
    { "introspection_endpoint", any_text, required = true },
    { "client_id", any_text, required = true },
    { "client_secret", any_text, required = true },
    { "token_cache_seconds", config.whole(0, 86400, "seconds"), default = 300, alias = "time_to_live_seconds" },
    { "inactive_cache_seconds", config.whole(0, 60, "seconds"), default = 5 },
    { "stale_if_error_seconds", config.whole(0, 3600, "seconds"), default = 0 },
    { "verify_ssl", config.boolean(), default = true },
    { "scope", scopes.KIND, only_here = true },
    { "trusted_web_origins", config.list(ORIGIN, "a list of origins such as https://www.example.com, without a path"),
        only_here = true },
    { "preflight", config.choice("answer", "pass"), only_here = true },
    { "cache_name", any_text, default = "phantom-token" },
    { "upstream", config.text("^[%w._-]+$", "the name of an upstream block") },
    { "verify_key", any_text },
    { "issuer", config.list() },
    { "audience", config.list() },
    { "signing_key", any_text },
    { "signing_key_id", any_text },
}, claim_headers.ROWS)

local _M = {}

local function mistake(sentence, ...)
    config.fail(OWNER, sentence, ...)
end

local function lines_of(headers)
    local lines = {}
    for header, claim in next, headers do
        lines[#lines + 1] = header .. ": " .. claim
    end
    sort(lines)
    return concat(lines, "\n")
end

-- A text that is the same for two configurations exactly when their answers are.
local function identity_of(values)
    local parts = {}
    for i, row in ipairs(ROWS) do
        if not row.only_here then
            local value = values[row[1]]
            local part = type(value) == "table" and (value[1] and concat(value, "\n") or lines_of(value))
                or tostring(value)
            parts[#parts + 1] = i .. ":" .. #part .. ":" .. part
        end
    end
    return concat(parts)
end

-- The claims that the API receives, a line each.
local function claims_of(wanted)
    local names = {}
    for i, item in ipairs(wanted.list) do
        names[i] = item.claim
    end
    return concat(names, "\n")
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
        issuer = concat(values.issuer or {}, "\n"),
        audience = concat(values.audience or {}, "\n"),
        signing_key = values.signing_key or "",
        signing_key_id = values.signing_key_id or "",
        claims = claims_of(values.claim_headers),
    }
    for name, text in next, texts do
        fill(options, name, text)
    end
    local handle, length = ffi.new("rn_introspector *[1]"), ffi.new("size_t[1]")
    local sentence = ffi.new("uint8_t[?]", ERROR_BYTES)
    local status = library.rn_introspector_new(options, handle, sentence, ERROR_BYTES, length)
    if status ~= reason.OK then
        mistake("%s", length[0] > 0 and ffi.string(sentence, length[0]) or reason.name(status))
    end
    return ffi.gc(handle[0], function(introspector) library.rn_introspector_free(introspector) end)
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
        mistake('the field "verify_key" %s', sentence)
    end
    local is_same_server = parsed.scheme == endpoint.scheme and parsed.authority == endpoint.authority
    return jwks.new({
        url = url, verify_ssl = values.verify_ssl, cache_name = values.cache_name,
        upstream = is_same_server and values.upstream or nil,
    }, true)
end

local function compile(given)
    local values = config.read(OWNER, ROWS, given)
    local url, sentence = outbound.parse_url(values.introspection_endpoint)
    if not url then
        mistake('the field "introspection_endpoint" %s', sentence)
    end
    values.claim_headers = claim_headers.of(OWNER, values)
    values.hands_claims = #values.claim_headers.list > 0
    if values.signing_key and values.hands_claims then
        mistake("signing_key and headers are two ways to tell the API the same; choose one")
    end
    values.published = published_keys(values, url)
    values.introspector = new_introspector(values)
    -- Whether an active token is one, without a look at its scope, and its JWT what goes on.
    values.is_plain = not values.scope and not values.hands_claims
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

-- Whether `input` has exactly the fields of `given`. Written out: a loop would keep LuaJIT from compiling the whole
-- of a request's way as one.
local function same(given, input)
    return input.client_id == given.client_id
        and input.client_secret == given.client_secret
        and input.token_cache_seconds == given.token_cache_seconds
        and input.time_to_live_seconds == given.time_to_live_seconds
        and input.inactive_cache_seconds == given.inactive_cache_seconds
        and input.stale_if_error_seconds == given.stale_if_error_seconds
        and input.verify_ssl == given.verify_ssl
        and input.preflight == given.preflight
        and input.cache_name == given.cache_name
        and input.upstream == given.upstream
        and input.verify_key == given.verify_key
        and input.signing_key == given.signing_key
        and input.signing_key_id == given.signing_key_id
        and equal(input.issuer, given.issuer)
        and equal(input.audience, given.audience)
        and equal(input.scope, given.scope)
        and equal(input.trusted_web_origins, given.trusted_web_origins)
        and equal(input.headers, given.headers)
        and equal(input.claim_headers, given.claim_headers)
        and nkeys(input) == nkeys(given)
end

-- Configurations that were compiled, by endpoint, the one that was found last first: { given, settings, next } each.
local known, known_count = {}, 0

-- Looks behind the first, and puts what it finds before it.
local function find_further(endpoint, input)
    local before = known[endpoint]
    local entry = before and before.next
    while entry do
        if same(entry.given, input) then
            before.next = entry.next
            entry.next, known[endpoint] = known[endpoint], entry
            return entry.settings
        end
        before, entry = entry, entry.next
    end
end

local function compiled(input)
    local endpoint = input.introspection_endpoint
    local settings = endpoint ~= nil and find_further(endpoint, input)
    if settings then
        return settings
    end
    settings = compile(input)
    if known_count >= MAX_KNOWN then
        known, known_count = {}, 0
    end
    known[endpoint] = { given = copy(input), settings = settings, next = known[endpoint] }
    known_count = known_count + 1
    return settings
end

-- The settings of a configuration table; nil and a sentence when there is a mistake in it.
function _M.of(input)
    if type(input) ~= "table" then
        return nil, "route_native: phantom_token: run() takes a table"
    end
    local entry = known[input.introspection_endpoint or ""]
    if entry and same(entry.given, input) then
        return entry.settings
    end
    local ok, settings = pcall(compiled, input)
    if not ok then
        return nil, settings
    end
    return settings
end

return _M
