-- resolve(): resolves the token of a request to $target, through two caches.
--
--     headers ── this worker's cache ── ngx.shared.targetmap ── queue.lua ──► $target
--
-- A hit in the first cache is one call into the library and makes no Lua string. All other cases have functions of
-- their own, off that path.

local ffi = require "ffi"
local access_log = require "route_native.core.access_log"
local bearer = require "route_native.core.bearer"
local connections = require "route_native.control.connections"
local library = require "route_native.core.ffi"
local query = require "route_native.desktop.query"
local queue = require "route_native.desktop.queue"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local revoked = require "route_native.core.revoked"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local current, headers_of, set = request.current, request.headers, request.set
local has_query, has_value, is_set = request.has_query, request.has_value, request.is_set
local ngx = ngx
local max = math.max
local prepare = revoked.prepare
local time = ngx.time
local find, sub = string.find, string.sub

local OK, NOT_CACHED, TOKEN_REVOKED = statuses.OK, statuses.NOT_CACHED, statuses.TOKEN_REVOKED
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

local gateway, targets, load_error

local _M = {}

-- Sets the handle, or the error that explains why there is none. setup() calls it once.
function _M.start(handle, err)
    gateway, load_error = handle, err
    targets = ngx.shared.targetmap
    if gateway and not targets then
        gateway, load_error = nil, "route_native: lua_shared_dict targetmap is missing; desktop endpoints answer 503"
    end
    if load_error then
        ngx.log(ngx.ERR, load_error)
    end
end

-- Ends a request when there is no gateway.
local function unavailable()
    ngx.log(ngx.ERR, load_error or "route_native: setup() was not called in init_by_lua; desktop endpoints answer 503")
    return response.unavailable(RETRY_AFTER)
end

-- Ends a request whose token cannot be resolved.
local function refuse(r, status)
    local name = statuses.name(status)
    access_log.reason(name)
    if not statuses.is_token(status) then
        -- A fault of the gateway must not be a 401, which blames the token.
        ngx.log(ngx.ERR, "route_native: a token could not be checked: ", name)
        return response.unavailable(RETRY_AFTER)
    end
    set(r, "route_cache", "", 0)
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
local function cached_identity()
    local status = library.rn_gateway_identity(gateway, answer, time(),
        identity_buffer, IDENTITY_BYTES, identity_length)
    return status == OK and ffi_string(identity_buffer, identity_length[0]) or nil
end

-- Passes the target to nginx. `identity` is what the token can be revoked by, if the cache may lack it.
local function accept(r, identity)
    if not set(r, "target", answer.target, answer.target_length) then
        error("route_native: the configuration declares no $target; add: set $target '';", 3)
    end
    set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
    if answer.is_name ~= 0 then
        use_name(r)
    end
    if has_value(r, "connection_ends") then
        connections.keep(identity or cached_identity())
    end
end

-- Does the same for an answer from elsewhere, and sets $route_cache. The configuration presets that to "hit", so that a
-- hit has one variable less to set.
local function accept_with_cache(r, cache, identity)
    set(r, "route_cache", cache, #cache)
    return accept(r, identity)
end

-- Looks in the dictionary that all workers share: a target, a NUL, and what its token can be revoked by. Returns the
-- status, which is OK if `answer` holds the target now.
local function find_shared(key, now)
    local entry, expires_at = targets:get(key)
    -- The entry's own end is exact. The dictionary's expiry began when the entry was stored.
    if type(entry) ~= "string" or not expires_at or expires_at <= now then
        return NOT_CACHED
    end
    local length = (find(entry, "\0", 1, true) or #entry + 1) - 1
    local identity = sub(entry, length + 2)
    return library.rn_gateway_remember(gateway, answer, entry, length, identity, #identity, now, expires_at - now)
end

-- Resolves a token that no cache holds.
local function resolve_new(r, key, token, now)
    local status, target, expires_at, identity, is_leader = queue.resolve(gateway, key, token, now)
    if not status then
        return response.unavailable(BUSY_RETRY_AFTER)
    elseif status ~= OK then
        access_log.token(token)
        return refuse(r, status)
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
    return accept_with_cache(r, is_leader and "miss" or "joined", identity)
end

-- Resolves a token that this worker's cache does not hold. `answer` points to the token. `text` is the token too if it
-- is a Lua string already.
local function resolve_token(r, now, text)
    library.rn_gateway_shared_key(gateway, answer, shared_key)
    local key = ffi_string(shared_key, KEY_BYTES)
    local status = find_shared(key, now)
    if status == OK then
        return accept_with_cache(r, "shared")
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    end
    return resolve_new(r, key, text or ffi_string(answer.token, answer.token_length), now)
end

-- Resolves a token that is no header's: that of the query, or of a variable.
local function resolve_from_query(r, token, now)
    if not token then
        local var = ngx.var
        local is_empty = bearer.token(var.http_abcauthorization) == "" or bearer.token(var.http_authorization) == ""
        -- The client did send a credential, if an empty one.
        return refuse(r, is_empty and TOKEN_MALFORMED or TOKEN_MISSING)
    end
    local status = library.rn_gateway_lookup_token(gateway, token, #token, now, answer)
    if status == OK then
        return accept(r)
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    elseif status ~= NOT_CACHED then
        return refuse(r, status)
    end
    return resolve_token(r, now, token)
end

-- Returns the token that query_token.conf has removed from the query, or nil.
local function token_of_variable()
    local token = ngx.var.query_token
    return token ~= "" and token or nil
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
    if not gateway then
        return unavailable()
    end
    prepare()
    local now = time()
    if site_token then
        return resolve_from_query(r, site_token, now)
    end
    local headers, count = headers_of(r)
    local status = library.rn_gateway_lookup(gateway, headers, count, now, answer)
    if answer.has_another ~= 0 then
        -- The desktop must not take another token than the one that decided.
        ngx.req.clear_header("Authorization")
    end
    if status == OK then
        return accept(r)
    elseif status == NOT_CACHED then
        return resolve_token(r, now)
    elseif status == TOKEN_REVOKED then
        return refuse_found(r, status)
    elseif status == TOKEN_MISSING then
        return resolve_from_query(r, query_token or token_of_variable() or query.taken(), now)
    end
    return refuse(r, status)
end

return _M
