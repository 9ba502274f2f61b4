-- resolve(): from a request to $target, through two caches.
--
--     headers ── this worker's cache ── ngx.shared.targetmap ── verify and decrypt ──► $target
--
-- A hit in the first cache is one call into the library and makes no Lua string; everything else is in functions of
-- its own, off that path.

local ffi = require "ffi"
local library = require "route_native.library"
local query = require "route_native.query"
local reason = require "route_native.reason"
local request = require "route_native.request"
local response = require "route_native.response"

local copy, ffi_string = ffi.copy, ffi.string
local current, headers_of, set = request.current, request.headers, request.set
local ngx = ngx
local time = ngx.time

local OK, NOT_CACHED, TOKEN_MISSING = reason.OK, reason.NOT_CACHED, reason.TOKEN_MISSING
local FINGERPRINT_BYTES, KEY_BYTES = 12, 32
-- What a client is told to wait while keys or the dictionary are missing, in seconds.
local RETRY_AFTER = 5

-- One of each is enough: they are written and read within one call into the library, and Lua does not yield between.
local answer = ffi.new("rn_answer")
local shared_key = ffi.new("uint8_t[?]", KEY_BYTES)

local gateway, targets, trouble

local _M = {}

-- Called once by setup(). `sentence` says why there is no gateway.
function _M.start(handle, sentence)
    gateway, trouble = handle, sentence
    targets = ngx.shared.targetmap
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
    if status == TOKEN_MISSING then
        return response.token_missing()
    end
    return response.invalid_token()
end

-- Hands the answer to nginx. `cache` says where it came from: for the access log.
local function accept(r, cache)
    if not set(r, "target", answer.target, answer.target_length) then
        error("route_native: the configuration declares no $target; add: set $target '';", 3)
    end
    set(r, "route_cache", cache, #cache)
    set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
end

-- Looks in the dictionary that all workers share. Returns true when the answer was there.
local function find_shared(token, length, now)
    library.rn_gateway_shared_key(gateway, token, length, shared_key)
    local key = ffi_string(shared_key, KEY_BYTES)
    local target, expires_at = targets:get(key)
    -- The dictionary counts in milliseconds from when it was told; the entry's own second is what counts.
    if not target or expires_at <= now then
        return false, key
    end
    library.rn_gateway_remember(gateway, token, length, target, #target, now, expires_at - now)
    copy(answer.target, target, #target)
    answer.target_length = #target
    library.rn_token_fingerprint(token, length, answer.fingerprint)
    return true, key
end

local function resolve_token(r, token, length, now)
    local found, key = find_shared(token, length, now)
    if found then
        return accept(r, "shared")
    end
    local status = library.rn_gateway_resolve(gateway, token, length, now, answer)
    if status ~= OK then
        set(r, "route_token", answer.fingerprint, FINGERPRINT_BYTES)
        return refuse(r, status)
    end
    if answer.ttl > 0 then
        local target = ffi_string(answer.target, answer.target_length)
        targets:set(key, target, answer.ttl, now + answer.ttl)
    end
    return accept(r, "miss")
end

local function resolve_from_query(r, now)
    local token = ngx.var.query_token
    if not token or token == "" then
        token = query.take()
    end
    if not token then
        return refuse(r, TOKEN_MISSING)
    end
    local status = library.rn_gateway_lookup_token(gateway, token, #token, now, answer)
    if status == OK then
        return accept(r, "hit")
    elseif status ~= NOT_CACHED then
        return refuse(r, status)
    end
    return resolve_token(r, token, #token, now)
end

-- Sets $target, or ends the request with 401 (the token) or 503 (keys or dictionary).
function _M.resolve()
    if not gateway then
        return unavailable()
    end
    local r = current()
    local headers, count = headers_of(r)
    local now = time()
    local status = library.rn_gateway_lookup(gateway, headers, count, now, answer)
    if status == OK then
        return accept(r, "hit")
    elseif status == NOT_CACHED then
        return resolve_token(r, answer.token, answer.token_length, now)
    elseif status == TOKEN_MISSING then
        return resolve_from_query(r, now)
    end
    return refuse(r, status)
end

return _M
