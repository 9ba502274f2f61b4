-- resolve(): resolves the token of a request to $target, through two caches.
--
--     headers ── this worker's cache ── ngx.shared.targetmap ── queue.lua ──► $target
--
-- A hit in the first cache is one call into the library and makes no Lua string. All other cases have functions of
-- their own, off that path. An engine (engine.lua) has the keys and settings of one policy. Each has a cache of its
-- own, and its identity is part of the keys in the dictionary and in the queue.

local ffi = require "ffi"
local access_log = require "route_native.core.access_log"
local arrival = require "route_native.desktop.arrival"
local bearer = require "route_native.core.bearer"
local connections = require "route_native.control.connections"
local engines = require "route_native.desktop.engine"
local library = require "route_native.core.ffi"
local limits = require "route_native.desktop.limits"
local metrics = require "route_native.core.metrics"
local origin = require "route_native.desktop.origin"
local query = require "route_native.desktop.query"
local queue = require "route_native.desktop.queue"
local ready = require "route_native.core.ready"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local revoked = require "route_native.core.revoked"
local statuses = require "route_native.core.status"
local subprotocol = require "route_native.desktop.subprotocol"
local token_cookie = require "route_native.desktop.token_cookie"
local token_log = require "route_native.desktop.token_log"

local ffi_string = ffi.string
local current, headers_of, set = request.current, request.headers, request.set
local has_query, has_value, is_set = request.has_query, request.has_value, request.is_set
local ngx = ngx
local max = math.max
local await_revocations = revoked.prepare
local time = ngx.time
local find, sub = string.find, string.sub

local OK, NOT_CACHED, TOKEN_REVOKED = statuses.OK, statuses.NOT_CACHED, statuses.TOKEN_REVOKED
local KEY_NOT_FOUND, TOKEN_AMBIGUOUS = statuses.KEY_NOT_FOUND, statuses.TOKEN_AMBIGUOUS
local TOKEN_MALFORMED, TOKEN_MISSING = statuses.TOKEN_MALFORMED, statuses.TOKEN_MISSING
local FINGERPRINT_BYTES, KEY_BYTES = library.RN_FINGERPRINT_BYTES, library.RN_CACHE_KEY_BYTES
local IDENTITY_BYTES = library.RN_IDENTITY_BYTES
-- The Retry-After while keys or the dictionary are missing, in seconds.
local RETRY_AFTER = 5
-- The Retry-After while the queue of new tokens is full, in seconds.
local BUSY_RETRY_AFTER = 1

-- Shared by all requests: they are written and read without a yield in between.
local answer = ffi.new("rn_answer")
local shared_key = ffi.new("uint8_t[?]", KEY_BYTES)
local identity_buffer, identity_length = ffi.new("uint8_t[?]", IDENTITY_BYTES), ffi.new("size_t[1]")

local NO_DICTIONARY = "route_native: lua_shared_dict targetmap is missing; desktop endpoints answer 503"

-- The engine of setup(), and those of policy() by name; nil without any. Each is false if it could not be made, and
-- load_errors then says why.
local default, policies, targets
local load_errors = {}
-- Whether there is a limit, and whether requests wait for a desktop that is starting.
local has_limits, has_wait = false, false
-- Whether tokens have lines in the error log.
local logs_tokens = false

-- The numbers of counters: accepted tokens by the cache that knew them.
local ACCEPTED = {}
for tier, cache in pairs { worker = "hit", shared = "shared", joined = "joined", miss = "miss" } do
    ACCEPTED[cache] = metrics.number("cache_answers_total", "desktop", tier)
end
local HIT, RESOLVE_SECONDS = ACCEPTED.hit, metrics.number "resolve_seconds"
local add, passed, refused = metrics.add, metrics.passed, metrics.refused
local observe, clock = metrics.observe, metrics.clock

local _M = {}

-- Tells metrics and /readyz of the engines, and reads the settings that all policies share. setup() does so once.
local function prepare(settings)
    ready.add("dictionary", function() return not targets and "The dictionary targetmap is not there" or nil end)
    metrics.collect(function(tell)
        local entries = default and tonumber(library.rn_gateway_cached_entries(default.gateway)) or 0
        for _, engine in pairs(policies or {}) do
            entries = entries + (engine and tonumber(library.rn_gateway_cached_entries(engine.gateway)) or 0)
        end
        tell(entries, "cache_entries", "desktop")
    end)
    has_limits = limits.start(settings)
    has_wait = settings.wait > 0
    logs_tokens = settings.log_tokens == "on"
    arrival.start(settings.wait)
end

-- Sets the engine of a policy, or the error that explains why there is none. Without a name the policy is that of
-- setup(), whose settings are for all.
function _M.start(engine, err, name, settings)
    targets = ngx.shared.targetmap
    local has_keys = engine ~= nil
    ready.add("keys", function() return not has_keys and "The keys of the desktop gateway are not there" or nil end)
    if not name then
        prepare(settings)
    end
    if engine and not targets then
        engine, err = nil, NO_DICTIONARY
    end
    if err then
        ngx.log(ngx.ERR, err)
    end
    load_errors[name or ""] = err
    if name then
        policies = policies or {}
        policies[name] = engine or false
    else
        default = engine or false
    end
end

-- Returns the name of a request's policy, "" for that of setup().
local function policy_name(r)
    return policies and has_value(r, "token_policy") and request.found_text() or ""
end

-- Returns the engine of a request when there are several policies, or nothing.
local function engine_of(r)
    local name = policy_name(r)
    if name == "" then
        return default
    end
    return policies[name]
end

-- Ends a request when there is no engine for it.
local function unavailable(r)
    local name = policy_name(r)
    local why = "route_native: setup() was not called in init_by_lua; desktop endpoints answer 503"
    if name ~= "" then
        why = "route_native: $token_policy is \"" .. name .. "\", and policy() was not called with that name"
    end
    refused("desktop", 503, statuses.name(targets and statuses.KEY_UNREADABLE or statuses.SETTING_INVALID))
    ngx.log(ngx.ERR, load_errors[name] or why)
    return response.unavailable(RETRY_AFTER)
end

-- Ends a request whose token cannot be resolved.
local function refuse(r, status)
    local name = statuses.name(status)
    access_log.reason(name)
    if not statuses.is_token(status) then
        -- A fault of the gateway must not be a 401, which blames the token.
        ngx.log(ngx.ERR, "route_native: a token could not be checked: ", name)
        refused("desktop", 503, name)
        return response.unavailable(RETRY_AFTER)
    end
    refused("desktop", 401, name)
    set(r, "route_cache", "", 0)
    if logs_tokens then
        token_log.refused(name)
    end
    if status == TOKEN_MISSING then
        return response.token_missing()
    end
    return response.invalid_token()
end

-- Ends a request whose token is cached or shared, and revoked.
local function refuse_found(r, status)
    set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
    return refuse(r, status)
end

-- Sets $desktop, the host of proxy_pass, to the target and its port. The configuration presets $desktop to the upstream
-- with keepalive, which takes addresses only (balancer.lua). A name needs nginx's own resolver, which honours the TTL
-- of its records.
local function use_name(r)
    local port = ngx.var.desktop_port
    if port then
        local desktop = ffi_string(answer.target, answer.target_length) .. ":" .. port
        set(r, "desktop", desktop, #desktop)
    end
end

-- Returns what the token of `answer` can be revoked by, or nil if the cache does not have it.
local function cached_identity(gateway)
    local status = library.rn_gateway_identity(gateway, answer, time(),
        identity_buffer, IDENTITY_BYTES, identity_length)
    return status == OK and ffi_string(identity_buffer, identity_length[0]) or nil
end

-- Passes the target to nginx. `identity` is what the token can be revoked by, if the cache may lack it.
local function accept(r, gateway, identity)
    if not set(r, "target", answer.target, answer.target_length) then
        error("route_native: the configuration declares no $target; add: set $target '';", 3)
    end
    set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
    if answer.is_name ~= 0 then
        use_name(r)
    end
    if has_limits then
        limits.admit_desktop(ffi_string(answer.fingerprint, FINGERPRINT_BYTES),
            ffi_string(answer.target, answer.target_length))
    end
    if has_value(r, "connection_ends") then
        connections.keep(identity or cached_identity(gateway))
    end
    -- Of a new token, the caller has the identity.
    if logs_tokens and not identity then
        token_log.hit(answer)
    end
    if has_wait and has_value(r, "desktop_port") then
        -- Other requests overwrite `answer` meanwhile.
        arrival.await(ffi_string(answer.target, answer.target_length), request.found_text())
    end
    return passed("desktop", r)
end

-- Does the same for a token that this worker's cache knows.
local function accept_hit(r, gateway)
    add(HIT)
    return accept(r, gateway)
end

-- Does the same for an answer from elsewhere, and sets $route_cache. The configuration presets that to "hit", so that a
-- hit has one variable less to set.
local function accept_with_cache(r, gateway, cache, identity)
    add(ACCEPTED[cache])
    set(r, "route_cache", cache, #cache)
    return accept(r, gateway, identity)
end

-- Looks in the dictionary that all workers share: a target, a NUL, and what its token can be revoked by. Returns the
-- status, which is OK if `answer` holds the target now.
local function find_shared(gateway, key, now)
    local entry, expires_at = targets:get(key)
    -- The entry's own end is exact. The dictionary's expiry began when the entry was stored.
    if type(entry) ~= "string" or not expires_at or expires_at <= now then
        return NOT_CACHED
    end
    local length = (find(entry, "\0", 1, true) or #entry + 1) - 1
    local identity = sub(entry, length + 2)
    return library.rn_gateway_remember(gateway, answer, entry, length, identity, #identity, now, expires_at - now)
end

local resolve_text

-- Resolves a token that no cache holds. `is_again` tells that newer keys were fetched for it already.
local function resolve_new(r, engine, key, token, now, is_again)
    local gateway, generation, began = engine.gateway, engine.generation, clock()
    local status, target, expires_at, identity, is_leader = queue.resolve(gateway, key, token, now)
    if status == KEY_NOT_FOUND and not is_again then
        status = engines.refresh(engine, now)
        if status == OK then
            return resolve_text(r, engine, token, now, true)
        end
    end
    if not status then
        refused("desktop", 503, "queue_full")
        return response.unavailable(BUSY_RETRY_AFTER)
    elseif status ~= OK then
        access_log.token(token)
        return refuse(r, status)
    elseif engine.generation ~= generation then
        -- The keys have changed meanwhile, and those of now may not verify the token.
        return resolve_text(r, engine, token, now, true)
    end
    if is_leader then
        observe(RESOLVE_SECONDS, clock() - began)
    end
    -- A request that waited for another came later, and caches the target for a shorter time.
    local ttl = max(expires_at - now, 0)
    if is_leader and ttl > 0 then
        targets:set(key, target .. "\0" .. identity, ttl, expires_at)
    end
    -- Other requests have overwritten `answer` meanwhile, and one of them may have cached this target already.
    status = library.rn_gateway_lookup_token(gateway, token, #token, now, answer)
    if status == NOT_CACHED then
        library.rn_token_fingerprint(token, #token, answer.fingerprint)
        status = library.rn_gateway_remember(gateway, answer, target, #target, identity, #identity, now, ttl)
    end
    if status ~= OK then
        return refuse_found(r, status)
    end
    return accept_with_cache(r, gateway, is_leader and "miss" or "joined", identity)
end

-- Resolves a token that this worker's cache does not hold. `answer` points to the token. `text` is the token too if it
-- is a Lua string already.
local function resolve_token(r, engine, now, text, is_again)
    local gateway = engine.gateway
    library.rn_gateway_shared_key(gateway, answer, shared_key)
    local key = ffi_string(shared_key, KEY_BYTES)
    local status = find_shared(gateway, key, now)
    if status == OK then
        return accept_with_cache(r, gateway, "shared")
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    end
    return resolve_new(r, engine, key, text or ffi_string(answer.token, answer.token_length), now, is_again)
end

-- Resolves a token that is no header's.
function resolve_text(r, engine, token, now, is_again)
    local status = library.rn_gateway_lookup_token(engine.gateway, token, #token, now, answer)
    if status == OK then
        return accept_hit(r, engine.gateway)
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    elseif status ~= NOT_CACHED then
        return refuse(r, status)
    end
    return resolve_token(r, engine, now, token, is_again)
end

-- Returns the token that query_token.conf has removed from the query, or nil.
local function token_of_variable()
    local token = ngx.var.query_token
    return token ~= "" and token or nil
end

-- Resolves the token of the query. Exchanges it for the cookie if the site wants that.
local function resolve_query(r, engine, token, now)
    resolve_text(r, engine, token, now)
    if token_cookie.is_exchange(r) then
        return token_cookie.exchange(token)
    end
end

-- Resolves the token of the cookie, which a browser also sends for pages of other origins.
local function resolve_cookie(r, engine, tokens, now)
    if origin.is_foreign() then
        set(r, "route_cache", "", 0)
        -- answer.lua counts it, as the other refusals with 403.
        access_log.reason("cross_origin")
        return response.cross_origin()
    elseif #tokens > 1 then
        return refuse(r, TOKEN_AMBIGUOUS)
    end
    return resolve_text(r, engine, tokens[1], now)
end

-- Resolves the token of a request whose headers have none: the query's, then the cookie's.
local function resolve_elsewhere(r, engine, query_token, now)
    local token = query_token or token_of_variable() or query.taken()
    if token and not token_cookie.is_query_off(r) then
        return resolve_query(r, engine, token, now)
    end
    local tokens = token_cookie.find(r)
    if tokens then
        return resolve_cookie(r, engine, tokens, now)
    end
    local var = ngx.var
    local is_empty = bearer.token(var.http_abcauthorization) == "" or bearer.token(var.http_authorization) == ""
    -- The client did send a credential, if an empty one.
    return refuse(r, is_empty and TOKEN_MALFORMED or TOKEN_MISSING)
end

-- Returns the token that the configuration itself has found, with `set $jwt_token`, or nil. It may be a whole
-- Authorization header.
local function token_of_site()
    local token = ngx.var.jwt_token
    return token:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(.*)$") or token
end

-- Sets $target, or ends the request: with 401 for a bad token, with 503 if keys or dictionary are missing or the queue
-- is full.
function _M.resolve()
    local r = current()
    -- Before the query's memory is overwritten. The reference's sites declare the variable, ours do not.
    local site_token = has_value(r, "jwt_token") and token_of_site()
    local query_token
    -- Even if a header has the token: a token in the query must not be passed on.
    if has_query(r) and not is_set(r, "query_token") then
        query_token = query.take()
    end
    if has_limits then
        limits.admit_client()
    end
    local engine = default
    if policies then
        engine = engine_of(r)
    end
    if not engine then
        return unavailable(r)
    end
    await_revocations()
    local now = time()
    if now ~= engine.checked then
        local status = engines.check(engine, now)
        if status ~= OK then
            return refuse(r, status)
        end
    end
    if site_token then
        return resolve_text(r, engine, site_token, now)
    end
    local gateway = engine.gateway
    local headers, count = headers_of(r)
    local status = library.rn_gateway_lookup(gateway, headers, count, now, answer)
    if answer.has_another ~= 0 then
        -- The desktop must not take another token than the one that decided.
        ngx.req.clear_header("Authorization")
    end
    local protocol_token
    if answer.has_protocol ~= 0 then
        -- Also if another token decides: the desktop must get none.
        protocol_token = subprotocol.take(r)
    end
    if status == OK then
        return accept_hit(r, gateway)
    elseif status == NOT_CACHED then
        return resolve_token(r, engine, now)
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    elseif status == TOKEN_MISSING and protocol_token then
        return resolve_text(r, engine, protocol_token, now)
    elseif status == TOKEN_MISSING then
        return resolve_elsewhere(r, engine, query_token, now)
    end
    return refuse(r, status)
end

return _M
