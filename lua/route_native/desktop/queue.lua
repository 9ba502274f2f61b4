-- Resolves new tokens. The signature is checked at once: this takes microseconds and stops forgeries. The RSA
-- decryption of the payload takes a millisecond. It runs once for each token, whatever the number of requests, and in
-- nginx's thread pool if there is one, so that requests with known tokens do not wait for it.
--
--     request ──► is this token being resolved? ──yes──► wait for the result ◄────────────┐
--                        │ no                                                              │
--                        ▼                                                                 │
--                 signature ──► queue ──► runner ──► thread pool ──► result for all requests
--
-- core/thread_pool.lua has the queue and its runners.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local singleflight = require "route_native.core.singleflight.worker"
local thread_pool = require "route_native.core.thread_pool"
-- The workers may not be able to read the file, if the event loop must do the work.
require "route_native.desktop.worker_thread"

local ffi_string = ffi.string

local OK = library.RN_OK
-- The longest wait in seconds. A request beyond it, or beyond the bound of the queue, gets 503.
local WAIT_SECONDS = 10

local _M = {}

-- Shared by all requests: they are written and read without a yield in between.
local checked = ffi.new("rn_answer")
local hash_buffer, length = ffi.new("uint8_t[?]", library.RN_TOKEN_BYTES), ffi.new("size_t[1]")
local identity_buffer = ffi.new("uint8_t[?]", library.RN_IDENTITY_BYTES)
local identity_length = ffi.new("size_t[1]")

-- Decrypts a payload in the thread pool. Returns the status and the target.
local function decrypt(gateway, hash)
    local address = tonumber(ffi.cast("uintptr_t", gateway))
    return thread_pool.call("route_native.desktop.worker_thread", "decrypt", address, hash)
end

-- Returns the work on one token. Its variables are its own: a client that leaves ends its request, and variables that
-- the work shared with an ended request would be nil.
local function opening(gateway, hash, expires_at, identity)
    return function()
        local status, target = decrypt(gateway, hash)
        return status, target, expires_at, identity
    end
end

-- Resolves a token that no cache holds. `key` identifies it. Returns the status, the target, when it expires in seconds
-- since the epoch, what it can be revoked by, and whether this request did the work; or nil if the queue is full or the
-- wait was too long.
function _M.resolve(gateway, key, token, now)
    local joined, status, target, expires_at, identity = singleflight.join(key, WAIT_SECONDS)
    -- The request that did the work came earlier: the token may have expired since.
    local is_late = joined and status == OK and expires_at <= now
    if joined and not is_late then
        return status, target, expires_at, identity, false
    end
    status = library.rn_gateway_check(gateway, token, #token, now, checked, hash_buffer, library.RN_TOKEN_BYTES, length,
        identity_buffer, library.RN_IDENTITY_BYTES, identity_length)
    if is_late then
        return status, target, expires_at, identity, false
    elseif status ~= OK then
        return status
    end
    local hash
    hash, expires_at = ffi_string(hash_buffer, length[0]), now + checked.ttl
    identity = ffi_string(identity_buffer, identity_length[0])
    if not thread_pool.is_available() then
        status, target = decrypt(gateway, hash)
        return status, target, expires_at, identity, true
    elseif thread_pool.is_full() then
        return nil
    end
    local work = opening(gateway, hash, expires_at, identity)
    status, target = singleflight.run(key, WAIT_SECONDS, work, thread_pool.schedule)
    return status, target, expires_at, identity, true
end

return _M
