-- Phantom tokens: opaque outside, a JWT inside.
--
--     rewrite_by_lua_block {
--         require("route_native.phantom_token").run {
--             introspection_endpoint = "https://login.example.com/oauth/v2/oauth-introspect",
--             client_id = "introspection-client", client_secret = "…", scope = "read",
--         }
--     }
--
--     headers ── ngx.shared, by a digest of token and configuration ── one introspection ──► Authorization: Bearer JWT
--
-- run() goes on with the JWT in the request, or ends it: 401 the token, 403 its scope, 503 the authorization server.
-- A mistake in the configuration is an error. See docs/phantom-token.md.

local ffi = require "ffi"
local answer = require "route_native.phantom.answer"
local flight = require "route_native.flight"
local introspect = require "route_native.phantom.introspect"
local library = require "route_native.library"
local outbound = require "route_native.outbound"
local reason = require "route_native.reason"
local request = require "route_native.request"
local settings_of = require("route_native.phantom.settings").of

local ffi_string = ffi.string
local current, headers_of, set = request.current, request.headers, request.set
local ngx = ngx
local find, sub, byte = string.find, string.sub, string.byte
local set_header, clear_header = ngx.req.set_header, ngx.req.clear_header

local OK, TOKEN_MISSING = reason.OK, reason.TOKEN_MISSING
local KEY_BYTES, FINGERPRINT_BYTES = 32, 12

-- What the dictionary and a flight hold: one letter, then
--   A  scope length, ":", scope, what the API receives     I  the reason of a 401     E  the reason of a 503
local ACTIVE, INACTIVE = byte "A", byte "I"

-- Written and read without a yield between.
local bearer = ffi.new("rn_bearer")

local _M = {}

local function note(name, value)
    set(current(), name, value, #value)
end

local function encode(active)
    return "A" .. #active.scope .. ":" .. active.scope .. active.forward
end

-- Returns the scope and what the API receives.
local function decode(entry)
    local colon = find(entry, ":", 2, true)
    local stop = colon + tonumber(sub(entry, 2, colon - 1))
    return sub(entry, colon + 1, stop), sub(entry, stop + 1)
end

-- An entry as long as it is fresh. What is kept for a failing server lies longer in the dictionary than that.
local function fresh(settings, dict, key)
    local entry = dict:get(key)
    if entry and settings.stale_if_error_seconds > 0 and byte(entry) == ACTIVE then
        local kept_until = dict:get("fresh " .. key)
        return kept_until and entry
    end
    return entry
end

local function keep(settings, dict, key, active, entry)
    local seconds = active.seconds
    if seconds <= 0 then
        return false
    end
    local stale = settings.stale_if_error_seconds
    if stale > 0 then
        dict:set("fresh " .. key, true, seconds)
        seconds = math.min(seconds + stale, active.left)
    end
    return (dict:set(key, entry, seconds))
end

-- Asks the server, and keeps what it says. Returns the entry, and whether the dictionary has it.
local function ask(settings, dict, key, token)
    local active, why = introspect.ask(settings, token)
    if active then
        local entry = encode(active)
        return entry, keep(settings, dict, key, active, entry)
    elseif why >= 100 and why < 200 then
        local entry = "I" .. why
        local seconds = settings.inactive_cache_seconds
        return entry, seconds > 0 and (dict:set(key, entry, seconds))
    end
    return "E" .. why, false
end

-- The entry of a token that the dictionary does not hold, and where it comes from.
local function learn(settings, dict, key, token)
    local entry = flight.run(dict, key, function()
        return fresh(settings, dict, key)
    end, function()
        return ask(settings, dict, key, token)
    end) or "E" .. reason.SERVER_UNREACHABLE
    if byte(entry) ~= ACTIVE and byte(entry) ~= INACTIVE and settings.stale_if_error_seconds > 0 then
        local stale = dict:get(key)
        if stale and byte(stale) == ACTIVE then
            return stale, "stale"
        end
    end
    return entry, "miss"
end

local function has_scopes(settings, scope)
    local padded = " " .. scope .. " "
    for _, wanted in ipairs(settings.scopes) do
        if not find(padded, " " .. wanted .. " ", 1, true) then
            return false
        end
    end
    return true
end

-- Removes what the client says of itself under the names that the API trusts.
local function clear(settings)
    clear_header("Authorization")
    for header in pairs(settings.claim_headers or {}) do
        clear_header(header)
    end
end

local function forward(settings, text)
    if not settings.claim_headers then
        return set_header("Authorization", text)
    end
    clear(settings)
    for header, value in text:gmatch("([^\n:]+): ([^\n]*)\n") do
        set_header(header, value)
    end
end

local function refuse(settings, why)
    note("route_reason", reason.name(why))
    if why == TOKEN_MISSING then
        return answer.token_missing(settings)
    elseif why >= 200 then
        return answer.server_error(settings)
    end
    return answer.invalid_token(settings)
end

local function unavailable(settings, sentence)
    ngx.log(ngx.ERR, "route_native: phantom_token: ", sentence)
    return refuse(settings, reason.SETTING_INVALID)
end

-- Ends or goes on, as the entry says.
local function apply(settings, entry)
    if byte(entry) ~= ACTIVE then
        return refuse(settings, tonumber(sub(entry, 2)))
    end
    local scope, text = decode(entry)
    if settings.scopes and not has_scopes(settings, scope) then
        note("route_reason", reason.name(reason.SCOPE_INSUFFICIENT))
        return answer.insufficient_scope(settings)
    end
    return forward(settings, text)
end

local function check(settings)
    local r = current()
    local headers, count = headers_of(r)
    local status = library.rn_introspector_find(settings.introspector, headers, count, bearer)
    if status ~= OK then
        return refuse(settings, status)
    end
    set(r, "route_token", bearer.fingerprint, FINGERPRINT_BYTES)
    local dict = ngx.shared[settings.cache_name]
    if not dict then
        return unavailable(settings, "lua_shared_dict " .. settings.cache_name .. " is missing")
    end
    local key = ffi_string(bearer.key, KEY_BYTES)
    local entry = fresh(settings, dict, key)
    if entry then
        note("route_cache", "hit")
        return apply(settings, entry)
    end
    local possible, sentence = outbound.possible()
    if not possible then
        return unavailable(settings, sentence)
    end
    local cache
    entry, cache = learn(settings, dict, key, ffi_string(bearer.token, bearer.token_length))
    note("route_cache", cache)
    return apply(settings, entry)
end

local function checked(config)
    local ok, settings = pcall(settings_of, config)
    if not ok then
        error(settings, 3)
    end
    return settings
end

-- Exchanges the request's opaque token for what the API receives, or ends the request.
-- For the rewrite and access phases; `config` may be made anew for each request.
function _M.run(config)
    local settings = checked(config)
    if settings.preflight and answer.is_preflight() then
        if settings.preflight == "pass" then
            return clear(settings)
        end
        return answer.preflight(settings)
    end
    return check(settings)
end

_M.execute = _M.run

-- Checks a configuration and reads its keys, in init_by_lua: nginx then refuses to start with a mistake, and the keys
-- may be readable for root alone.
function _M.prepare(config)
    checked(config)
end

return _M
