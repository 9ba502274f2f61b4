--- Phantom tokens: opaque outside, a JWT inside.
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
-- `run()` puts the JWT into the request, or ends it: with 401 because of the token, with 403 because of its scope, with
-- 503 because of the authorization server.
--
-- @module route_native.phantom_token
-- @also resty.phantom-token

local ffi = require "ffi"
local cjson = require("cjson.safe").new()
local answer = require "route_native.phantom.answer"
local claim_headers = require "route_native.core.claim_headers"
local client = require "route_native.core.client"
local singleflight = require "route_native.core.singleflight.shared"
local introspect = require "route_native.phantom.introspect"
local library = require "route_native.core.ffi"
require "route_native.hooks" -- read now, while the master may read what the workers may not
local outbound = require "route_native.http.outbound"
local reason = require "route_native.core.status"
local request = require "route_native.core.request"
local scopes = require "route_native.core.scopes"
local settings_of = require("route_native.phantom.settings").of

local ffi_string = ffi.string
local current, headers_of = request.current, request.headers
local set, has_value = request.set, request.has_value
local ngx = ngx
local now = ngx.now
local find, sub, byte = string.find, string.sub, string.byte
local set_header, clear_header = ngx.req.set_header, ngx.req.clear_header

local OK, TOKEN_MISSING = reason.OK, reason.TOKEN_MISSING
local KEY_BYTES, FINGERPRINT_BYTES = library.RN_CACHE_KEY_BYTES, library.RN_FINGERPRINT_BYTES

-- What the dictionary and a flight hold: one letter, then
--   A  scope length, ":", scope, what the API receives     I  the reason of a 401     E  the reason of a 503
local ACTIVE, INACTIVE = byte "A", byte "I"

-- Written and read without a yield between.
local bearer = ffi.new("rn_bearer")
local fingerprint = ffi.new("uint8_t[?]", FINGERPRINT_BYTES)

-- Each worker keeps what it has decoded, up to this many bytes, beside what all share.
local MAX_HOT_BYTES = 8 * 1024 * 1024
local hot, hot_bytes = {}, 0

local _M = {}

-- Whether the configuration declares the variables of the access log; nginx says so on the first try.
local is_logged = true

-- For the access log: the token's fingerprint, where its answer came from, and why it is refused.
local function note(name, value)
    is_logged = is_logged and set(current(), name, value, #value)
end

-- Returns the fingerprint.
local function note_token(token)
    library.rn_token_fingerprint(token, #token, fingerprint)
    local text = ffi_string(fingerprint, FINGERPRINT_BYTES)
    note("route_token", text)
    return text
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

-- An entry as long as it is fresh, and for how long it is. What is kept for a failing server lies longer in the
-- dictionary than that.
local function fresh(settings, dict, key)
    local entry = dict:get(key)
    if entry and settings.stale_if_error_seconds > 0 and byte(entry) == ACTIVE and not dict:get("fresh " .. key) then
        return nil
    end
    return entry
end

-- The seconds that an entry of the dictionary is still fresh.
local function seconds_left(settings, dict, key)
    return dict:ttl(settings.stale_if_error_seconds > 0 and "fresh " .. key or key) or 0
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
    local entry = singleflight.run(dict, key, function()
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

-- Removes what the client says of itself under the names that the API trusts.
local function clear(settings)
    clear_header("Authorization")
    if settings.hands_claims then
        claim_headers.clear(settings.claim_headers, ngx.req.get_headers(0))
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

local function lacks_scope(settings)
    note("route_reason", reason.name(reason.SCOPE_INSUFFICIENT))
    return answer.insufficient_scope(settings)
end

-- Sets the headers of the claims; ends when one is too large, as auth does.
local function hand_on_claims(settings, active)
    clear(settings)
    active.claims = active.claims or cjson.decode(active.text)
    if not claim_headers.set(settings.claim_headers, active.claims) then
        note("route_reason", "claim_too_large")
        return answer.insufficient_scope(settings)
    end
end

-- Goes on with an active token, or ends for want of a scope.
local function accept(settings, active, cache)
    note("route_cache", cache)
    local r = current()
    if settings.scope and not scopes.suffice(settings.scope, active.scope) then
        return lacks_scope(settings)
    elseif settings.hands_claims then
        return hand_on_claims(settings, active)
    elseif has_value(r, "phantom_by_variable") then
        set(r, "phantom_authorization", active.text, #active.text)
        return
    end
    return set_header("Authorization", active.text)
end

-- The same for a token that this worker knows. phantom_proxy.conf has said "hit" already.
local function accept_again(r, settings, active)
    if settings.is_plain and has_value(r, "phantom_by_variable") then
        is_logged = is_logged and set(r, "route_token", active.fingerprint, FINGERPRINT_BYTES)
        set(r, "phantom_authorization", active.text, #active.text)
        return
    end
    note("route_token", active.fingerprint)
    return accept(settings, active, "hit")
end

-- Keeps a decoded entry for this worker.
local function keep_hot(key, active, seconds, token_fingerprint)
    if seconds <= 0 then
        return
    end
    local bytes = #active.text + #active.scope + 220
    if hot_bytes + bytes > MAX_HOT_BYTES then
        hot, hot_bytes = {}, 0
    end
    active.ends, active.fingerprint = now() + seconds, token_fingerprint
    hot[key], hot_bytes = active, hot_bytes + bytes
end

-- Ends or goes on, as an entry says.
local function apply(settings, entry, cache)
    if byte(entry) ~= ACTIVE then
        note("route_cache", cache)
        return refuse(settings, tonumber(sub(entry, 2)))
    end
    local scope, text = decode(entry)
    local active = { scope = scope, text = text, ends = 0, fingerprint = "" }
    return accept(settings, active, cache), active
end

-- A token that this worker does not know.
local function check(settings, key, token)
    local token_fingerprint = note_token(token)
    note("route_cache", "")
    local dict = ngx.shared[settings.cache_name]
    if not dict then
        return unavailable(settings, "lua_shared_dict " .. settings.cache_name .. " is missing")
    end
    local entry = fresh(settings, dict, key)
    if entry then
        local seconds = seconds_left(settings, dict, key)
        local _, active = apply(settings, entry, "hit")
        return active and keep_hot(key, active, seconds, token_fingerprint)
    end
    local possible, sentence = outbound.possible(settings.outbound)
    if not possible then
        return unavailable(settings, sentence)
    end
    return (apply(settings, learn(settings, dict, key, token)))
end

local function preflight(settings)
    note("route_cache", "")
    if settings.preflight == "pass" then
        return clear(settings)
    end
    return answer.preflight(settings)
end

--- Configures `run()`.
-- @table Config
-- @tfield string introspection_endpoint URL of the authorization server's introspection, `http` or `https`
-- @tfield string client_id the gateway's own id, sent by HTTP Basic
-- @tfield string client_secret the gateway's own secret
-- @tfield[opt=300] integer token_cache_seconds the longest that an answer is kept, 0 to 86400; 0 keeps none
-- @tfield[opt=300] integer time_to_live_seconds another name of `token_cache_seconds`
-- @tfield[opt=5] integer inactive_cache_seconds how long an inactive token is remembered, 0 to 60
-- @tfield[opt=0] integer stale_if_error_seconds how long an expired answer stays in use while the server fails, 0 to
-- 3600; never beyond the JWT's `exp`
-- @tfield[opt=true] boolean verify_ssl verifies the server's certificate
-- @tfield[opt] string|string[] scope scopes that the token needs, all of them, in `scope` or `scp`
-- @tfield[opt] string[] trusted_web_origins origins whose pages may read errors (CORS)
-- @tfield[opt] string preflight `answer` answers CORS preflights here; `pass` passes them to the API; by default they
-- need a token
-- @tfield[opt="phantom-token"] string cache_name name of the `lua_shared_dict`
-- @tfield[opt] string upstream an `upstream` block to connect to; name and certificate stay those of the URL
-- @tfield[opt] string verify_key path of the key or JWK Set that verifies the server's JWTs, or the URL of its JWK Set
-- @tfield[opt] string|string[] issuer allowed values of `iss`
-- @tfield[opt] string|string[] audience audiences, one of which `aud` must name
-- @tfield[opt] string signing_key path of a private key in PEM that signs the JWTs for the API
-- @tfield[opt] string signing_key_id the `kid` of these JWTs
-- @tfield[opt={}] table<string,string> headers sends claims as headers instead of a JWT: claims by header name, such as
-- `["X-Subject"] = "sub"`; the client's own headers of these names are removed; a claim has at most 8192 bytes
-- @tfield[opt={}] table<string,string> claim_headers another name of `headers`

--- Exchanges the request's opaque token for what the API receives, or ends the request. Call it in the rewrite or
-- access phase.
-- @tparam Config config the configuration; a table built for each request costs little
-- @also execute
function _M.run(config)
    local settings, mistake = settings_of(config)
    if not settings then
        note("route_cache", "")
        error(mistake, 2)
    end
    local r = current()
    if request.has_too_many_headers(r) then
        note("route_cache", "")
        return answer.too_many_headers(settings)
    elseif settings.preflight and client.is_preflight() then
        return preflight(settings)
    end
    local headers, count = headers_of(r)
    local status = library.rn_introspector_find(settings.introspector, headers, count, bearer)
    if status ~= OK then
        note("route_cache", "")
        return refuse(settings, status)
    end
    local key = ffi_string(bearer.key, KEY_BYTES)
    local active = hot[key]
    if active and active.ends > now() then
        return accept_again(r, settings, active)
    end
    return check(settings, key, ffi_string(bearer.token, bearer.token_length))
end

_M.execute = _M.run

--- Checks a configuration and reads its keys. Call it in `init_by_lua`: nginx does not start with a mistake, and only
-- root needs to read the keys.
-- @tparam Config config the configuration
function _M.prepare(config)
    local settings, mistake = settings_of(config)
    if not settings then
        error(mistake, 2)
    end
end

return _M
