-- The work that a new token costs. Its signature is checked at once, which takes microseconds and stops forgeries; the
-- millisecond of RSA that opens its payload runs once for each token, however many requests bring it, and in nginx's
-- thread pool where there is one, so that requests with known tokens do not wait for it.
--
--     request ──► flight for this token? ──yes──► wait for its answer ◄─────────────┐
--                        │ no                                                       │
--                        ▼                                                          │
--                 signature ──► queue ──► runner ──► thread pool ──► answer to all who wait
--
-- Runners are timers: a client that goes away cannot take the work of others with it.

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"
local library = require "route_native.library"

local ffi_string = ffi.string
local run_worker_thread = ngx.run_worker_thread

local OK = 0
local POOL = "route_native"
-- The most tokens that may wait in one worker, about as many milliseconds; beyond it a request is told to come back.
-- What waits longer than PATIENCE seconds is told the same.
local MAX_FLIGHTS, PATIENCE = 256, 10
-- The most tasks that are handed to the pool at a time: enough to keep its threads busy. Each has a Lua state of its
-- own for as long as it waits there, of which nginx keeps 10 (lua_worker_thread_vm_pool_size).
local MAX_RUNNERS = 8

local _M = {}

local flights, count = {}, 0
local queue, first, last = {}, 1, 0
local runners = 0
local inline_answer = ffi.new("rn_answer")

local function inline(gateway, token, now)
    local status = library.rn_gateway_resolve(gateway, token, #token, now, inline_answer)
    return status, ffi_string(inline_answer.target, inline_answer.target_length), inline_answer.ttl
end

local function threaded(gateway, token, now)
    local address = tonumber(ffi.cast("uintptr_t", gateway))
    local ok, status, target, ttl =
        run_worker_thread(POOL, "route_native.worker_thread", "resolve", address, token, now)
    if ok then
        return status, target, ttl
    end
    if status == "thread pool route_native not found" then
        run_worker_thread = nil
    else
        ngx.log(ngx.ERR, "route_native: the thread pool failed, and the event loop does its work: ", status)
    end
    return inline(gateway, token, now)
end

local function fly(flight)
    local ran, status, target, ttl = pcall(threaded, flight.gateway, flight.token, flight.now)
    flights[flight.key], count = nil, count - 1
    if ran then
        flight.status, flight.target, flight.ttl = status, target, ttl
    else
        ngx.log(ngx.ERR, "route_native: a new token could not be resolved: ", status)
    end
    if flight.waiting > 0 then
        flight.landed:post(flight.waiting)
    end
end

-- Takes flights from the queue until it is empty.
local function run()
    while first <= last do
        local flight = queue[first]
        queue[first], first = nil, first + 1
        fly(flight)
    end
    runners = runners - 1
end

local function enqueue(flight)
    flights[flight.key], count = flight, count + 1
    last = last + 1
    queue[last] = flight
    if runners >= MAX_RUNNERS then
        return
    end
    runners = runners + 1
    -- A worker that is shutting down starts no timers any more: then the request does what is in the queue.
    if not ngx.timer.at(0, run) then
        run()
    end
end

-- Resolves a token that no cache knows; `key` names it. Returns the status, the target and its seconds, and whether
-- this request brought it first; nil when there is no room, or when nothing came back in time.
function _M.resolve(gateway, key, token, now)
    local flight, mine = flights[key], false
    if not flight then
        local status = library.rn_gateway_check(gateway, token, #token, now)
        if status ~= OK then
            return status
        end
        if not run_worker_thread then
            local target, ttl
            status, target, ttl = inline(gateway, token, now)
            return status, target, ttl, true
        end
        if count >= MAX_FLIGHTS then
            return nil
        end
        flight = { gateway = gateway, key = key, token = token, now = now, landed = semaphore.new(), waiting = 0 }
        mine = true
        enqueue(flight)
    end
    -- A flight that the request flew itself has landed already.
    if flights[key] == flight then
        flight.waiting = flight.waiting + 1
        flight.landed:wait(PATIENCE)
    end
    return flight.status, flight.target, flight.ttl, mine
end

return _M
