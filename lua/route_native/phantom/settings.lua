-- Reads the configurations of run(). The settings are cached by their content, so that a table built for each request
-- costs little.

local ffi = require "ffi"
local claim_headers = require "route_native.core.claim_headers"
local client = require "route_native.core.client"
local client_auth = require "route_native.http.client_auth"
local config = require "route_native.core.config"
local handles = require "route_native.core.handle"
local holder = require "route_native.bound.holder"
local jwks = require "route_native.jwt.jwks"
local library = require "route_native.core.ffi"
local nkeys = require "table.nkeys"
local notes = require "route_native.core.notes"
local outbound = require "route_native.http.outbound"
local scopes = require "route_native.core.scopes"
local statuses = require "route_native.core.status"

local next, type = next, type
local concat, sort = table.concat, table.sort

local OWNER = "route_native: phantom_token"
-- The types that src/introspection reads. A JWT comes first, because the API needs one.
local ACCEPT = "application/jwt, application/token-introspection+jwt;q=0.9, application/json;q=0.8"
-- The cached configurations. Only a program that generates configurations has more; the cache is then emptied.
local MAX_CACHED = 256

local any_text = config.text()

-- A field that is local does not change the server's answer, so it is no part of the cache key.
local ROWS = config.rows({
    { "introspection_endpoint", any_text, required = true },
    { "client_id", any_text, required = true },
    { "client_secret", any_text, required = true },
    -- Some servers compare the bytes that they are sent.
    { "client_encoding", config.choice("form", "none"), default = "form" },
    { "token_cache_seconds", config.whole(0, 86400, "seconds"), default = 300, alias = "time_to_live_seconds" },
    { "inactive_cache_seconds", config.whole(0, 60, "seconds"), default = 5 },
    { "stale_if_error_seconds", config.whole(0, 3600, "seconds"), default = 0 },
    { "max_introspections", config.whole(1, 100000), default = 256, is_local = true },
    { "max_inactive_per_address", config.whole(0, 1000000), default = 0, is_local = true },
    { "verify_ssl", config.boolean(), default = true },
    { "scope", scopes.KIND_OR_EMPTY, is_local = true },
    { "trusted_web_origins", config.ORIGINS, is_local = true },
    { "preflight", config.choice("answer", "pass", "token"), default = "pass", is_local = true },
    { "cache_name", any_text, default = "phantom-token" },
    { "upstream", config.text("^[%w._-]+$", "the name of an upstream block") },
    { "verify_key", any_text },
    { "issuer", config.list() },
    { "audience", config.list() },
    { "signing_key", any_text },
    { "signing_key_id", any_text },
}, claim_headers.ROWS, config.local_rows(holder.ROWS))

local _M = {}

-- Raises an error of one sentence about the configuration.
local function config_error(message, ...)
    config.fail(OWNER, message, ...)
end

-- Returns a table of headers as text, in a fixed order.
local function lines_of(headers)
    local lines = {}
    for header, claim in next, headers do
        lines[#lines + 1] = header .. ": " .. claim
    end
    sort(lines)
    return concat(lines, "\n")
end

-- Returns the part of the cache key that identifies a configuration: equal texts allow equal answers.
local function identity_of(values)
    local parts = {}
    for i, row in ipairs(ROWS) do
        if not row.is_local then
            local value = values[row[1]]
            local part = type(value) == "table" and (value[1] and concat(value, "\n") or lines_of(value))
                or tostring(value)
            parts[#parts + 1] = i .. ":" .. #part .. ":" .. part
        end
    end
    return concat(parts)
end

-- Returns the claims that the API receives, one a line.
local function claims_of(headers)
    local names = {}
    for i, item in ipairs(headers.list) do
        names[i] = item.claim
    end
    return concat(names, "\n")
end

-- Returns the introspector of the library for the settings.
local function new_introspector(values)
    local options = ffi.new("rn_introspector_options", { lifetime = math.max(values.token_cache_seconds, 1) })
    -- The options hold pointers into these texts. The table keeps them alive.
    local texts = {
        identity = identity_of(values),
        -- judge() passes the keys of a URL with each answer.
        verify_key = not values.published and values.verify_key or "",
        issuer = concat(values.issuer or {}, "\n"),
        audience = concat(values.audience or {}, "\n"),
        signing_key = values.signing_key or "",
        signing_key_id = values.signing_key_id or "",
        claims = claims_of(values.claim_headers),
    }
    handles.set_texts(options, texts)
    local introspector, text, status = handles.new("rn_introspector", function(...)
        return library.rn_introspector_new(options, ...)
    end)
    if not introspector then
        config_error("%s", text ~= "" and text or statuses.name(status))
    end
    notes.log("route_native: phantom_token: the key file of verify_key: ", text)
    return introspector
end

-- Returns the Authorization header.
local function basic(values)
    local id, secret = values.client_id, values.client_secret
    if values.client_encoding == "none" then
        if id:find(":", 1, true) then
            config_error('the field "client_id" holds a colon, which needs client_encoding = "form"')
        end
        return client_auth.basic(id, secret, true)
    end
    return client_auth.basic(id, secret)
end

-- Returns the keys that the server publishes if verify_key is a URL. They are fetched over the same upstream if the
-- server is the same.
local function published_keys(values, endpoint)
    local url = values.verify_key and values.verify_key:find("^[Hh][Tt][Tt][Pp][Ss]?://") and values.verify_key
    if not url then
        return nil
    end
    local parsed, err = outbound.parse_url(url)
    if not parsed then
        config_error('the field "verify_key" %s', err)
    end
    local is_same_server = parsed.scheme == endpoint.scheme and parsed.authority == endpoint.authority
    return jwks.new({
        url = url, verify_ssl = values.verify_ssl, cache_name = values.cache_name,
        upstream = is_same_server and values.upstream or nil,
    }, true)
end

-- Returns the settings of a configuration.
local function compile(input)
    local values = config.read(OWNER, ROWS, input)
    local url, err = outbound.parse_url(values.introspection_endpoint)
    if not url then
        config_error('the field "introspection_endpoint" %s', err)
    end
    values.claim_headers = claim_headers.of(OWNER, values)
    values.sends_claims = #values.claim_headers.list > 0
    if values.signing_key and values.sends_claims then
        config_error("signing_key and headers are two ways to tell the API the same; choose one")
    end
    values.published = published_keys(values, url)
    values.introspector = new_introspector(values)
    values.bound = holder.of(OWNER, values)
    values.takes_dpop = values.bound and values.bound.dpop and 1 or 0
    -- Whether every active token is accepted, whatever its scope and its holder, and passed on as a JWT.
    values.is_plain = not values.scope and not values.sends_claims and not values.bound
    if values.max_inactive_per_address > 0 and not ngx.shared[values.cache_name .. "-refused"] then
        config_error('lua_shared_dict %s-refused is missing, and "max_inactive_per_address" needs it',
            values.cache_name)
    end
    values.origins = client.origins(values.trusted_web_origins)
    values.outbound, err = outbound.target {
        url = url, upstream = values.upstream, verify_ssl = values.verify_ssl, accept = ACCEPT,
        content_type = "application/x-www-form-urlencoded", authorization = basic(values),
    }
    if not values.outbound then
        config_error("%s", err)
    end
    values.endpoint = url.shown
    return values
end

-- Returns whether two values are equal. Tables are equal if their contents are.
local function equal(one, other)
    if one == other then
        return true
    elseif type(one) ~= "table" or type(other) ~= "table" or nkeys(one) ~= nkeys(other) then
        return false
    end
    for name, value in next, one do
        if not equal(other[name], value) then return false end
    end
    return true
end

local function copy(input)
    local result = {}
    for name, value in next, input do
        result[name] = type(value) == "table" and copy(value) or value
    end
    return result
end

-- Returns whether `input` has exactly the fields of `cached`. The comparison is unrolled, because LuaJIT could not
-- compile the path of a request as one trace with a loop.
local function same(cached, input)
    return input.client_id == cached.client_id
        and input.client_secret == cached.client_secret
        and input.client_encoding == cached.client_encoding
        and input.token_cache_seconds == cached.token_cache_seconds
        and input.time_to_live_seconds == cached.time_to_live_seconds
        and input.inactive_cache_seconds == cached.inactive_cache_seconds
        and input.stale_if_error_seconds == cached.stale_if_error_seconds
        and input.max_introspections == cached.max_introspections
        and input.max_inactive_per_address == cached.max_inactive_per_address
        and input.verify_ssl == cached.verify_ssl
        and input.preflight == cached.preflight
        and input.cache_name == cached.cache_name
        and input.upstream == cached.upstream
        and input.verify_key == cached.verify_key
        and input.signing_key == cached.signing_key
        and input.signing_key_id == cached.signing_key_id
        and equal(input.issuer, cached.issuer)
        and equal(input.audience, cached.audience)
        and equal(input.scope, cached.scope)
        and equal(input.trusted_web_origins, cached.trusted_web_origins)
        and equal(input.headers, cached.headers)
        and equal(input.claim_headers, cached.claim_headers)
        and input.mtls == cached.mtls
        and equal(input.dpop, cached.dpop)
        and nkeys(input) == nkeys(cached)
end

-- The compiled configurations by endpoint, as linked lists of { input, settings, next }. The last one found is first.
local cache, cache_size = {}, 0

-- Finds settings behind the first entry, and moves the entry to the front.
local function find_behind_first(endpoint, input)
    local before = cache[endpoint]
    local entry = before and before.next
    while entry do
        if same(entry.input, input) then
            before.next = entry.next
            entry.next, cache[endpoint] = cache[endpoint], entry
            return entry.settings
        end
        before, entry = entry, entry.next
    end
end

-- Returns the settings of a configuration that is not the first of its endpoint. Compiles and caches a new one.
local function compile_and_cache(input)
    local endpoint = input.introspection_endpoint
    local settings = endpoint ~= nil and find_behind_first(endpoint, input)
    if settings then
        return settings
    end
    settings = compile(input)
    if cache_size >= MAX_CACHED then
        cache, cache_size = {}, 0
    end
    cache[endpoint] = { input = copy(input), settings = settings, next = cache[endpoint] }
    cache_size = cache_size + 1
    return settings
end

-- Returns the settings of a configuration table, or nil and an error of one sentence.
function _M.of(input)
    if type(input) ~= "table" then
        return nil, "route_native: phantom_token: run() takes a table"
    end
    local entry = cache[input.introspection_endpoint or ""]
    if entry and same(entry.input, input) then
        return entry.settings
    end
    local ok, settings = pcall(compile_and_cache, input)
    if not ok then
        return nil, settings
    end
    return settings
end

return _M
