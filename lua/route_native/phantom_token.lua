--- Exchanges opaque tokens for JWTs: clients hold opaque tokens, and the API receives a JWT (phantom tokens).
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
-- `run()` puts the JWT into the request, or ends the request: with 401 for a bad token, with 403 for a missing scope,
-- and with 503 if the authorization server fails.
--
-- @module route_native.phantom_token
-- @also resty.phantom-token

local ffi = require "ffi"
local answer = require "route_native.phantom.answer"
local claim_headers = require "route_native.core.claim_headers"
local client = require "route_native.core.client"
local connections = require "route_native.control.connections"
local digits = require "route_native.core.digits"
local dpop = require "route_native.bound.dpop"
local holder = require "route_native.bound.holder"
local singleflight = require "route_native.core.singleflight.shared"
local introspect = require "route_native.phantom.introspect"
local kept = require "route_native.core.kept"
local library = require "route_native.core.ffi"
local metrics = require "route_native.core.metrics"
require "route_native.hooks" -- The master may still read files that the workers may not.
local open = require "route_native.phantom.open"
local outbound = require "route_native.http.outbound"
local ready = require "route_native.core.ready"
local request = require "route_native.core.request"
local revoked = require "route_native.core.revoked"
local scopes = require "route_native.core.scopes"
local settings_of = require("route_native.phantom.settings").of
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local current, headers_of = request.current, request.headers
local set, has_value = request.set, request.has_value
local ngx = ngx
local now = ngx.now
local find, sub, byte = string.find, string.sub, string.byte
local set_header, clear_header = ngx.req.set_header, ngx.req.clear_header

local OK, TOKEN_MISSING = statuses.OK, statuses.TOKEN_MISSING
local KEY_BYTES, FINGERPRINT_BYTES = library.RN_CACHE_KEY_BYTES, library.RN_FINGERPRINT_BYTES

-- The numbers of counters: accepted tokens by the cache that knew them.
local WORKER = metrics.number("cache_answers_total", "phantom", "worker")
local SHARED = metrics.number("cache_answers_total", "phantom", "shared")
local MISS = metrics.number("cache_answers_total", "phantom", "miss")
local STALE = metrics.number("cache_answers_total", "phantom", "stale")
local INTROSPECTION_SECONDS = metrics.number "introspection_seconds"
local add, passed, count_refused = metrics.add, metrics.passed, metrics.refused

-- An entry of a dictionary is one letter, then
--   A  (active)    the lengths of the scope, of the identity and of the JSON of `cnf`, each with ":", then the three,
--                  and what the API receives
--   I  (inactive)  the status of a 401
--   E  (error)     the status of a 503; the dictionary keeps only that of an answer that is malformed
local ACTIVE, INACTIVE = byte "A", byte "I"

-- Shared by all requests: they are written and read without a yield in between.
local bearer = ffi.new("rn_bearer")
local header_array = ffi.typeof("rn_header[?]")
local fingerprint = ffi.new("uint8_t[?]", FINGERPRINT_BYTES)

-- The decoded entries of this worker by key, and their size. They are dropped when they exceed the limit.
local MAX_DECODED_BYTES = 8 * 1024 * 1024
local decoded, decoded_bytes = {}, 0

local _M = {}

-- Whether the configuration declares the variables of the access log. The first attempt to set one tells.
local is_logged = true

-- Sets a variable of the access log, if the configuration declares it.
local function note(name, value)
    is_logged = is_logged and set(current(), name, value, #value)
end

-- Notes the token's fingerprint for the access log, and returns it.
local function note_token(token)
    library.rn_token_fingerprint(token, #token, fingerprint)
    local text = ffi_string(fingerprint, FINGERPRINT_BYTES)
    note("route_token", text)
    return text
end

-- Returns the Authorization headers as the client sent them, in the form that the library takes, and their count. They
-- are valid as long as `before`.
local function headers_as_sent(before)
    local values = kept.header(before, "authorization", ngx.req.get_headers(0).authorization)
    values = type(values) == "table" and values or { values }
    local list = header_array(#values)
    for i, value in ipairs(values) do
        list[i - 1].name.data, list[i - 1].name.length = "authorization", #"authorization"
        list[i - 1].value.data, list[i - 1].value.length = value, #value
    end
    before.texts = values
    return list, #values
end

-- Returns the entry of an active token.
local function encode(active)
    local scope, identity, confirmation = active.scope, active.identity, active.confirmation
    return "A" .. #scope .. ":" .. #identity .. ":" .. #confirmation .. ":" .. scope .. identity .. confirmation
        .. active.forward
end

-- Returns the scope of an active token's entry, what the token can be revoked by, the JSON of its `cnf`, and what the
-- API receives.
local function decode(entry)
    local first = find(entry, ":", 2, true)
    local second = find(entry, ":", first + 1, true)
    local third = find(entry, ":", second + 1, true)
    local scope_stop = third + tonumber(sub(entry, 2, first - 1))
    local identity_stop = scope_stop + tonumber(sub(entry, first + 1, second - 1))
    local stop = identity_stop + tonumber(sub(entry, second + 1, third - 1))
    return sub(entry, third + 1, scope_stop), sub(entry, scope_stop + 1, identity_stop),
        sub(entry, identity_stop + 1, stop), sub(entry, stop + 1)
end

-- Returns an entry of the dictionary if it is fresh. With stale_if_error_seconds the dictionary keeps an entry longer
-- than it is fresh.
local function fresh(settings, dict, key)
    local entry = dict:get(key)
    if entry and settings.stale_if_error_seconds > 0 and byte(entry) == ACTIVE and not dict:get("fresh " .. key) then
        return nil
    end
    return entry
end

-- Returns for how many seconds an entry of the dictionary is still fresh.
local function seconds_left(settings, dict, key)
    return dict:ttl(settings.stale_if_error_seconds > 0 and "fresh " .. key or key) or 0
end

-- Stores an active token's entry. Returns whether the dictionary holds it.
local function store(settings, dict, key, active, entry)
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

-- Asks the server, if not too many questions are open. Returns what introspect.ask() returns.
local function ask(settings, token)
    local ticket = open.begin(settings.max_introspections)
    if not ticket then
        return nil, statuses.SERVER_UNREACHABLE
    end
    local began = metrics.clock()
    local ok, active, status, is_lasting = pcall(introspect.ask, settings, token)
    metrics.observe(INTROSPECTION_SECONDS, metrics.clock() - began)
    open.finish(ticket)
    if not ok then
        error(active, 0)
    end
    return active, status, is_lasting
end

-- Returns the dictionary of what anybody can fill: inactive tokens and single flight. A configuration that declares
-- none has them beside the active tokens, which they never evict.
local function refused_of(settings, dict)
    return ngx.shared[settings.cache_name .. "-refused"] or dict
end

-- Asks the server and stores its answer. Returns the entry, and whether a dictionary holds it.
local function introspect_and_store(settings, dict, refused, key, token)
    local active, status, is_lasting = ask(settings, token)
    if active then
        local entry = encode(active)
        return entry, store(settings, dict, key, active, entry)
    elseif statuses.is_token(status) then
        local entry = "I" .. status
        local seconds = settings.inactive_cache_seconds
        open.count_inactive(refused, settings.max_inactive_per_address)
        return entry, seconds > 0 and (refused:safe_set("refused " .. key, entry, seconds))
    end
    local entry = "E" .. status
    local seconds = is_lasting and settings.inactive_cache_seconds or 0
    return entry, seconds > 0 and (refused:safe_set("refused " .. key, entry, seconds))
end

-- Returns the entry of a token that the dictionary does not hold, and where it comes from: "miss" or "stale".
local function introspect_once(settings, dict, key, token)
    local refused = refused_of(settings, dict)
    local entry = singleflight.run(refused, key, function()
        return fresh(settings, dict, key) or refused:get("refused " .. key)
    end, function()
        return introspect_and_store(settings, dict, refused, key, token)
    end) or "E" .. statuses.SERVER_UNREACHABLE
    if byte(entry) ~= ACTIVE and byte(entry) ~= INACTIVE and settings.stale_if_error_seconds > 0 then
        local stale = dict:get(key)
        if stale and byte(stale) == ACTIVE then
            return stale, "stale"
        end
    end
    return entry, "miss"
end

-- Keeps the token for a check that follows in the same request, before this one writes the API's header. `header` is
-- nil if the header is removed.
local function keep_token(header)
    local before = kept.keep_header("authorization", ngx.var.http_authorization)
    before.written.authorization, before.exchanged = header, header
end

-- Removes the client's own headers of the names that the API trusts.
local function clear(settings)
    keep_token(nil)
    clear_header("Authorization")
    if settings.bound then
        dpop.remove(ngx.req.get_headers(0))
    end
    if settings.sends_claims then
        claim_headers.clear(settings.claim_headers, ngx.req.get_headers(0))
    end
end

-- Ends the request with 401 or 503, as a status requires.
local function refuse(settings, status, is_dpop)
    note("route_reason", statuses.name(status))
    count_refused("phantom", status < 200 and 401 or 503, statuses.name(status))
    if status == TOKEN_MISSING then
        return answer.token_missing(settings)
    elseif status >= 200 then
        return answer.server_error(settings)
    end
    return answer.invalid_token(settings, is_dpop, holder.attributes(status))
end

-- Ends a request that the configuration does not allow to be checked.
local function unavailable(settings, err)
    ngx.log(ngx.ERR, "route_native: phantom_token: ", err)
    return refuse(settings, statuses.SETTING_INVALID)
end

-- Ends the request with 403 for a missing scope.
local function refuse_scope(settings, is_dpop)
    note("route_reason", statuses.name(statuses.SCOPE_INSUFFICIENT))
    count_refused("phantom", 403, statuses.name(statuses.SCOPE_INSUFFICIENT))
    return answer.insufficient_scope(settings, is_dpop)
end

-- Sets the headers of the claims. Ends the request with 403 if a claim is too large, as auth does.
local function send_claims(settings, active)
    clear(settings)
    active.claims = active.claims or digits.decode(active.text)
    if not claim_headers.set(settings.claim_headers, active.claims) then
        note("route_reason", "claim_too_large")
        count_refused("phantom", 403, "claim_too_large")
        return answer.insufficient_scope(settings)
    end
    return passed("phantom", current())
end

-- Sets the variable that phantom_proxy.conf sends. Returns false in a location without that file. nginx keeps variables
-- when it redirects a request to a named location, which may have no such file, so that this one is good for one run.
local function pass_by_variable(r, text)
    if not has_value(r, "phantom_by_variable") then
        return false
    end
    set(r, "phantom_by_variable", "", 0)
    set(r, "phantom_authorization", text, #text)
    return true
end

-- Checks that the sender of an active token is its holder, if the configuration looks at that. Returns the status.
local function confirm(settings, active, sender)
    if not sender then
        return OK
    end
    if active.cnf == nil and active.confirmation ~= "" then
        -- What is no JSON, or too long, is no table, and is refused as malformed.
        active.cnf = digits.decode(active.confirmation) or false
    end
    return settings.bound:confirm(ngx.req.get_headers(0), sender.token, active.cnf, sender.is_dpop)
end

-- Passes the request with an active token, or ends it: with 401 if the token is revoked, or its sender is not its
-- holder, with 403 for a missing scope. `sender` is the token as it was sent and whether its scheme is DPoP, for a
-- configuration that looks at holders.
local function accept(settings, active, cache, sender)
    local status = revoked.check(active)
    if status == OK then
        status = confirm(settings, active, sender)
    end
    note("route_cache", status == OK and cache or "")
    local r = current()
    local is_dpop = sender and sender.is_dpop
    if status ~= OK then
        return refuse(settings, status, is_dpop)
    elseif settings.scope and not scopes.suffice(settings.scope, active.scope) then
        return refuse_scope(settings, is_dpop)
    end
    if sender then
        dpop.remove(ngx.req.get_headers(0))
    end
    connections.keep(active.identity)
    if settings.sends_claims then
        return send_claims(settings, active)
    end
    passed("phantom", r)
    if pass_by_variable(r, active.text) then
        return
    end
    keep_token(active.text)
    return set_header("Authorization", active.text)
end

-- Accepts a token that this worker has decoded before. phantom_proxy.conf has set $route_cache to "hit" already.
local function accept_decoded(r, settings, active, sender)
    add(WORKER)
    if settings.is_plain and revoked.check(active) == OK and pass_by_variable(r, active.text) then
        is_logged = is_logged and set(r, "route_token", active.fingerprint, FINGERPRINT_BYTES)
        passed("phantom", r)
        return has_value(r, "connection_ends") and connections.keep(active.identity) or nil
    end
    note("route_token", active.fingerprint)
    return accept(settings, active, "hit", sender)
end

-- Stores a decoded entry for this worker.
local function store_decoded(key, active, seconds, token_fingerprint)
    if seconds <= 0 then
        return
    end
    local bytes = #active.text + #active.scope + #active.identity + #active.confirmation + 250
    if decoded_bytes + bytes > MAX_DECODED_BYTES then
        decoded, decoded_bytes = {}, 0
    end
    active.ends, active.fingerprint = now() + seconds, token_fingerprint
    decoded[key], decoded_bytes = active, decoded_bytes + bytes
end

-- Passes or ends the request, as its entry requires. Also returns the decoded entry of an active token. The request
-- keeps it, because the server may have forbidden to cache it.
local function apply(settings, key, sender, entry, cache)
    if byte(entry) ~= ACTIVE then
        note("route_cache", cache)
        return refuse(settings, tonumber(sub(entry, 2)), sender and sender.is_dpop)
    end
    add(cache == "hit" and SHARED or cache == "stale" and STALE or MISS)
    local scope, identity, confirmation, text = decode(entry)
    local active = {
        scope = scope, identity = identity, confirmation = confirmation, text = text, ends = 0, fingerprint = "",
        key = key,
    }
    kept.open().verdicts[settings] = active
    return accept(settings, active, cache, sender), active
end

-- Checks a token that this worker has not decoded before.
local function check(settings, key, token, sender)
    local token_fingerprint = note_token(token)
    note("route_cache", "")
    local dict = ngx.shared[settings.cache_name]
    if not dict then
        return unavailable(settings, "lua_shared_dict " .. settings.cache_name .. " is missing")
    end
    local before = kept.find()
    local decided = before and before.verdicts[settings]
    if decided and decided.key == key then
        return (accept(settings, decided, "hit", sender))
    end
    local entry = fresh(settings, dict, key)
    if entry then
        local seconds = seconds_left(settings, dict, key)
        local _, active = apply(settings, key, sender, entry, "hit")
        return active and store_decoded(key, active, seconds, token_fingerprint)
    end
    local refused = refused_of(settings, dict)
    entry = refused:get("refused " .. key)
    if entry and not (byte(entry) ~= INACTIVE and dict:get(key)) then
        return (apply(settings, key, sender, entry, "hit"))
    end
    local wait = open.wait_of_address(refused, settings.max_inactive_per_address)
    if wait then
        note("route_reason", "too_many_inactive")
        count_refused("phantom", 429, "too_many_inactive")
        return answer.too_many(settings, wait)
    end
    local possible, err = outbound.possible(settings.outbound)
    if not possible then
        return unavailable(settings, err)
    end
    return (apply(settings, key, sender, introspect_once(settings, dict, key, token)))
end

-- Answers a CORS preflight, or passes it to the API without the headers that the API trusts.
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
-- @tfield[opt="form"] string client_encoding `form` encodes both as RFC 6749 §2.3.1 says; `none` sends them as they are
-- @tfield[opt=300] integer token_cache_seconds the longest time that an answer is kept, 0 to 86400; 0 keeps none
-- @tfield[opt=300] integer time_to_live_seconds another name of `token_cache_seconds`
-- @tfield[opt=5] integer inactive_cache_seconds how long an inactive token is remembered, 0 to 60
-- @tfield[opt=0] integer stale_if_error_seconds how long an expired answer stays in use while the server fails, 0 to
-- 3600; never beyond the JWT's `exp`
-- @tfield[opt=256] integer max_introspections introspections that a worker may have open, 1 to 100000; 503 beyond it
-- @tfield[opt=0] integer max_inactive_per_address inactive tokens that an address may send in a minute, 0 to 1000000;
-- 429 beyond it; 0 is no limit
-- @tfield[opt=true] boolean verify_ssl verifies the server's certificate
-- @tfield[opt] string|string[] scope scopes that the token needs, all of them, in `scope` or `scp`
-- @tfield[opt] string[] trusted_web_origins origins whose pages may read errors (CORS)
-- @tfield[opt="pass"] string preflight `answer` answers CORS preflights here; `pass` passes them to the API, without
-- Authorization; `token` needs a token of them
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
-- @tfield[opt] route_native.auth.DpopConfig dpop takes tokens that are bound to a key, with their proof (RFC 9449)
-- @tfield[opt] string mtls `required` or `accepted`: takes tokens that are bound to the client's certificate (RFC 8705)

--- Exchanges the request's opaque token for what the API receives, or ends the request. Call it in the rewrite or
-- access phase.
-- @tparam Config config the configuration; a table built for each request costs little
-- @also execute
function _M.run(config)
    local settings, err = settings_of(config)
    if not settings then
        note("route_cache", "")
        error(err, 2)
    end
    revoked.prepare()
    local r = current()
    if request.has_too_many_headers(r) then
        note("route_cache", "")
        count_refused("phantom", 400, "too_many_headers")
        return answer.too_many_headers(settings)
    elseif settings.preflight ~= "token" and client.is_preflight() then
        return preflight(settings)
    end
    local before = kept.find(r)
    local headers, count
    if before and before.places["header:authorization"] then
        headers, count = headers_as_sent(before)
    else
        headers, count = headers_of(r)
    end
    local status = library.rn_introspector_find(settings.introspector, headers, count, settings.takes_dpop, bearer)
    if status ~= OK then
        note("route_cache", "")
        return refuse(settings, status)
    end
    local key = ffi_string(bearer.key, KEY_BYTES)
    local sender = settings.bound and {
        token = ffi_string(bearer.token, bearer.token_length), is_dpop = bearer.is_dpop ~= 0,
    }
    local active = decoded[key]
    if active and active.ends > now() then
        return accept_decoded(r, settings, active, sender)
    end
    return check(settings, key, ffi_string(bearer.token, bearer.token_length), sender)
end

_M.execute = _M.run

--- Checks a configuration and reads its keys. Call it in `init_by_lua`: a mistake keeps nginx from starting, and only
-- root needs to read the keys.
-- @tparam Config config the configuration
function _M.prepare(config)
    local settings, err = settings_of(config)
    if not settings then
        error(err, 2)
    end
    ready.add("dictionary", function()
        return not ngx.shared[settings.cache_name] and "The dictionary of phantom tokens is not there" or nil
    end)
end

return _M
