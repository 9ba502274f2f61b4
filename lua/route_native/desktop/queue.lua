-- The work that a new token costs. Its signature is checked at once, which takes microseconds and stops forgeries; the
-- millisecond of RSA that opens its payload runs once for each token, however many requests bring it, and in nginx's
-- thread pool where there is one, so that requests with known tokens do not wait for it.
--
--     request ──► work under way for this token? ──yes──► wait for its result ◄───────────┐
--                        │ no                                                              │
--                        ▼                                                                 │
--                 signature ──► queue ──► runner ──► thread pool ──► result to all who wait
--
-- Runners are timers: a client that goes away cannot take the work of others with it.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local singleflight = require "route_native.core.singleflight.worker"
local worker_thread = require "route_native.desktop.worker_thread"

local ffi_string = ffi.string
local run_worker_thread = ngx.run_worker_thread

local OK = library.RN_OK
local POOL = "route_native"
-- The most tokens that may wait in one worker, about as many milliseconds; beyond it a request is told to come back.
-- What waits longer than PATIENCE seconds is told the same.
local MAX_UNFINISHED, PATIENCE = 256, 10
-- The most tasks that are handed to the pool at a time: enough to keep its threads busy. Each has a Lua state of its
-- own for as long as it waits there, of which nginx keeps 10 (lua_worker_thread_vm_pool_size).
local MAX_RUNNERS = 8

local _M = {}

local queue, first, last = {}, 1, 0
-- Jobs that are not done, and who does them.
local unfinished, runners = 0, 0

-- Written and read without a yield in between.
local checked = ffi.new("rn_answer")
local hash_buffer, length = ffi.new("uint8_t[?]", library.RN_TOKEN_BYTES), ffi.new("size_t[1]")

-- Opens a payload in the thread pool. Returns the status and the target.
local function decrypt(gateway, hash)
    local address = tonumber(ffi.cast("uintptr_t", gateway))
    -- Without a pool the event loop does the work, also when the pool went away while this token waited for its turn.
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

-- Does the jobs of the queue until it is empty.
local function run()
    while first <= last do
        local job = queue[first]
        queue[first], first = nil, first + 1
        job()
        unfinished = unfinished - 1
    end
    runners = runners - 1
end

local function schedule(job)
    last, unfinished = last + 1, unfinished + 1
    queue[last] = job
    if runners < MAX_RUNNERS then
        runners = runners + 1
        if not singleflight.in_timer(run) then
            -- The worker is shutting down: the request does what is in the queue.
            run()
        end
    end
    return true
end

-- Returns the work on one token. Its variables are its own: a client that goes away ends its request, and what the work
-- shares with a request that has ended is nil.
local function opening(gateway, hash, expires_at)
    return function()
        local status, target = decrypt(gateway, hash)
        return status, target, expires_at
    end
end

-- Resolves a token that no cache knows; `key` names it. Returns the status, the target, the second in which it stops
-- being valid, and whether this request brought it first. Returns nil when there is no room, or when nothing came back
-- in time.
function _M.resolve(gateway, key, token, now)
    local joined, status, target, expires_at = singleflight.join(key, PATIENCE)
    -- Whoever began the work came earlier: the token may have ended since.
    local is_late = joined and status == OK and expires_at <= now
    if joined and not is_late then
        return status, target, expires_at, false
    end
    status = library.rn_gateway_check(gateway, token, #token, now, checked, hash_buffer, library.RN_TOKEN_BYTES, length)
    if is_late then
        return status, target, expires_at, false
    elseif status ~= OK then
        return status
    end
    local hash
    hash, expires_at = ffi_string(hash_buffer, length[0]), now + checked.ttl
    if not run_worker_thread then
        status, target = decrypt(gateway, hash)
        return status, target, expires_at, true
    elseif unfinished >= MAX_UNFINISHED then
        return nil
    end
    status, target = singleflight.run(key, PATIENCE, opening(gateway, hash, expires_at), schedule)
    return status, target, expires_at, true
end

return _M
