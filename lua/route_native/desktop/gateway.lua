-- resolve(): from a request to $target, through two caches.
--
--     headers ── this worker's cache ── ngx.shared.targetmap ── cold.lua ──► $target
--
-- A hit in the first cache is one call into the library and makes no Lua string; everything else is in functions of
-- its own, off that path.

local ffi = require "ffi"
local cold = require "route_native.desktop.queue"
local library = require "route_native.core.ffi"
local query = require "route_native.desktop.query"
local reason = require "route_native.core.status"
local request = require "route_native.core.request"
local response = require "route_native.core.response"

local ffi_string = ffi.string
local current, headers_of, set = request.current, request.headers, request.set
local has_query, is_set = request.has_query, request.is_set
local ngx = ngx
local max = math.max
local time = ngx.time

local OK, NOT_CACHED, TOKEN_MISSING = reason.OK, reason.NOT_CACHED, reason.TOKEN_MISSING
local FINGERPRINT_BYTES, KEY_BYTES = library.RN_FINGERPRINT_BYTES, library.RN_CACHE_KEY_BYTES
-- What a client is told to wait while keys or the dictionary are missing, in seconds.
local RETRY_AFTER = 5
-- The same while too many new tokens wait for their turn.
local BUSY_RETRY_AFTER = 1

-- One of each is enough: they are written and read without a yield in between.
local answer = ffi.new("rn_answer")
local shared_key = ffi.new("uint8_t[?]", KEY_BYTES)

local gateway, targets, trouble

local _M = {}

-- Called once by setup(). `sentence` says why there is no gateway.
function _M.start(handle, sentence)
    gateway, trouble = handle, sentence
    targets = ngx.shared.targetmap
    -- Loaded while the master may still read the files; workers may not. (What runs in the thread pool is loaded there;
    -- where it cannot be read, cold.lua does its work itself.)
    require "route_native.hooks"
    if gateway and not targets then
        gateway, trouble = nil, "route_native: lua_shared_dict targetmap is missing; desktop endpoints answer 503"
    end
    if trouble then
        ngx.log(ngx.ERR, trouble)
    end
end

local function unavailable()
    ngx.log(ngx.ERR, trouble or "route_native: setup() was not called in init_by_lua; desktop endpoints answer 503")
    return response.unavailable(RETRY_AFTER)
end

local function refuse(r, status)
    local name = reason.name(status)
    set(r, "route_reason", name, #name)
    if not reason.is_token(status) then
        -- A fault of ours is never the client's 401.
        ngx.log(ngx.ERR, "route_native: a token could not be checked: ", name)
        return response.unavailable(RETRY_AFTER)
    end
    set(r, "route_cache", "", 0)
    if status == TOKEN_MISSING then
        return response.token_missing()
    end
    return response.invalid_token()
end

-- $desktop is what proxy_pass goes to. The configuration presets it to the upstream that keeps connections alive, which
-- takes addresses (balancer.lua); a name goes to nginx's own resolver, which keeps to the TTL of its records.
local function pass_by_name(r)
    local port = ngx.var.desktop_port
    if port then
        local desktop = ffi_string(answer.target, answer.target_length) .. ":" .. port
        set(r, "desktop", desktop, #desktop)
    end
end

-- Hands the answer to nginx.
local function accept(r)
    if not set(r, "target", answer.target, answer.target_length) then
        error("route_native: the configuration declares no $target; add: set $target '';", 3)
    end
    set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
    if answer.is_name ~= 0 then
        pass_by_name(r)
    end
end

-- The same for an answer that this worker did not have; `cache` says where it came from. The configuration presets
-- $route_cache to "hit", so that a hit has one variable less to write.
local function accept_from(r, cache)
    set(r, "route_cache", cache, #cache)
    return accept(r)
end

-- Looks in the dictionary that all workers share. Returns whether `answer` holds the target now.
local function find_shared(key, now)
    local target, expires_at = targets:get(key)
    -- The dictionary counts from when it was told; the entry's own second is what counts.
    if type(target) ~= "string" or not expires_at or expires_at <= now then
        return false
    end
    return library.rn_gateway_remember(gateway, answer, target, #target, now, expires_at - now) == OK
end

local function resolve_cold(r, key, token, now)
    local status, target, expires_at, mine = cold.resolve(gateway, key, token, now)
    if not status then
        return response.unavailable(BUSY_RETRY_AFTER)
    elseif status ~= OK then
        library.rn_token_fingerprint(token, #token, answer.fingerprint)
        set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
        return refuse(r, status)
    end
    -- Whoever waited for another request came later than that one, and keeps the target for less long.
    local ttl = max(expires_at - now, 0)
    if mine and ttl > 0 then
        targets:set(key, target, ttl, expires_at)
    end
    -- Other requests have written to `answer` meanwhile, and one of them may have kept this target already.
    status = library.rn_gateway_lookup_token(gateway, token, #token, now, answer)
    if status == NOT_CACHED then
        library.rn_token_fingerprint(token, #token, answer.fingerprint)
        status = library.rn_gateway_remember(gateway, answer, target, #target, now, ttl)
    end
    if status ~= OK then
        return refuse(r, status)
    end
    return accept_from(r, mine and "miss" or "joined")
end

-- For a token that `answer` places and this worker's cache does not know. `text` is the same token when it is a Lua
-- string, which lives only as long as it is used here.
local function resolve_token(r, now, text)
    library.rn_gateway_shared_key(gateway, answer, shared_key)
    local key = ffi_string(shared_key, KEY_BYTES)
    if find_shared(key, now) then
        return accept_from(r, "shared")
    end
    return resolve_cold(r, key, text or ffi_string(answer.token, answer.token_length), now)
end

local function resolve_from_query(r, token, now)
    if not token then
        return refuse(r, TOKEN_MISSING)
    end
    local status = library.rn_gateway_lookup_token(gateway, token, #token, now, answer)
    if status == OK then
        return accept(r)
    elseif status ~= NOT_CACHED then
        return refuse(r, status)
    end
    return resolve_token(r, now, token)
end

-- The token that query_token.conf has taken out of the query before.
local function token_taken_before()
    local token = ngx.var.query_token
    return token ~= "" and token or nil
end

-- Sets $target, or ends the request with 401 (the token) or 503 (keys or dictionary).
function _M.resolve()
    local r = current()
    local query_token
    -- Also when a header has the token: what is in the query must not be passed on.
    if has_query(r) and not is_set(r, "query_token") then
        query_token = query.take()
    end
    if not gateway then
        return unavailable()
    end
    local headers, count = headers_of(r)
    local now = time()
    local status = library.rn_gateway_lookup(gateway, headers, count, now, answer)
    if status == OK then
        return accept(r)
    elseif status == NOT_CACHED then
        return resolve_token(r, now)
    elseif status == TOKEN_MISSING then
        return resolve_from_query(r, query_token or token_taken_before(), now)
    end
    return refuse(r, status)
end

return _M
