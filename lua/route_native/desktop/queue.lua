-- Resolves new tokens. The signature is checked at once: this takes microseconds and stops forgeries. The RSA
-- decryption of the payload takes a millisecond. It runs once for each token, whatever the number of requests, and in
-- nginx's thread pool if there is one, so that requests with known tokens do not wait for it.
--
--     request ──► is this token being resolved? ──yes──► wait for the result ◄────────────┐
--                        │ no                                                              │
--                        ▼                                                                 │
--                 signature ──► queue ──► runner ──► thread pool ──► result for all requests
--
-- Runners are timers, so a client that disconnects cannot end the work that others wait for.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local singleflight = require "route_native.core.singleflight.worker"
local worker_thread = require "route_native.desktop.worker_thread"

local ffi_string = ffi.string
local run_worker_thread = ngx.run_worker_thread

local OK = library.RN_OK
local POOL = "route_native"
-- The limit of tokens that wait in one worker, each for about a millisecond, and the longest wait in seconds. A request
-- beyond either gets 503.
local MAX_UNFINISHED, WAIT_SECONDS = 256, 10
-- The limit of tasks in the pool, enough to keep its threads busy. Each task occupies a Lua state of its own, and nginx
-- keeps 10 of them (lua_worker_thread_vm_pool_size).
local MAX_RUNNERS = 8

local _M = {}

local queue, first, last = {}, 1, 0
-- The number of unfinished jobs, and of the timers that run them.
local unfinished, runners = 0, 0

-- Shared by all requests: they are written and read without a yield in between.
local checked = ffi.new("rn_answer")
local hash_buffer, length = ffi.new("uint8_t[?]", library.RN_TOKEN_BYTES), ffi.new("size_t[1]")
local identity_buffer = ffi.new("uint8_t[?]", library.RN_IDENTITY_BYTES)
local identity_length = ffi.new("size_t[1]")

-- Decrypts a payload in the thread pool. Returns the status and the target.
local function decrypt(gateway, hash)
    local address = tonumber(ffi.cast("uintptr_t", gateway))
    -- Without a pool the event loop does the work. The pool may have been found missing while this token waited.
    if not run_worker_thread then
        return worker_thread.decrypt(address, hash)
    end
    local ok, status, target = run_worker_thread(POOL, "route_native.desktop.worker_thread", "decrypt", address, hash)
    if ok then
        return status, target
    end
    if status == "thread pool route_native not found" then
        run_worker_thread = nil
    else
        ngx.log(ngx.ERR, "route_native: the thread pool failed, and the event loop does its work: ", status)
    end
    return worker_thread.decrypt(address, hash)
end

-- Runs the jobs of the queue until it is empty.
local function run_jobs()
    while first <= last do
        local job = queue[first]
        queue[first], first = nil, first + 1
        job()
        unfinished = unfinished - 1
    end
    runners = runners - 1
end

-- Adds a job to the queue, and starts a runner if there are too few. Returns true.
local function schedule(job)
    last, unfinished = last + 1, unfinished + 1
    queue[last] = job
    if runners < MAX_RUNNERS then
        runners = runners + 1
        if not singleflight.in_timer(run_jobs) then
            -- The worker is shutting down, so the request runs the queue itself.
            run_jobs()
        end
    end
    return true
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
    if not run_worker_thread then
        status, target = decrypt(gateway, hash)
        return status, target, expires_at, identity, true
    elseif unfinished >= MAX_UNFINISHED then
        return nil
    end
    status, target = singleflight.run(key, WAIT_SECONDS, opening(gateway, hash, expires_at, identity), schedule)
    return status, target, expires_at, identity, true
end

return _M
