-- The work that a new token costs: a millisecond of RSA. It runs once for each token, however many requests bring it,
-- and in nginx's thread pool where there is one, so that requests with known tokens do not wait for it.
--
--     request ──► flight for this token? ──yes──► wait for its answer
--                        │ no
--                        ▼
--                 turn ──► thread pool ──► answer to all who wait      (no pool: inline)

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"
local library = require "route_native.library"

local ffi_string = ffi.string
local run_worker_thread = ngx.run_worker_thread

local POOL = "route_native"
-- The most tokens that may wait in one worker, about as many milliseconds; beyond it a request is told to come back.
-- What waits longer than PATIENCE seconds is told the same.
local MAX_FLIGHTS, PATIENCE = 256, 10
-- The most tasks that are handed to the pool at a time: enough to keep its threads busy. Each has a Lua state of its
-- own for as long as it waits there, of which nginx keeps 10 (lua_worker_thread_vm_pool_size).
local MAX_TASKS = 8

local _M = {}

local flights, count = {}, 0
local turns = semaphore.new(MAX_TASKS)
local inline_answer = ffi.new("rn_answer")

local function inline(gateway, token, now)
    local status = library.rn_gateway_resolve(gateway, token, #token, now, inline_answer)
    return status, ffi_string(inline_answer.target, inline_answer.target_length), inline_answer.ttl
end

local function threaded(gateway, token, now)
    if not turns:wait(PATIENCE) then
        return nil
    end
    local address = tonumber(ffi.cast("uintptr_t", gateway))
    local ok, status, target, ttl =
        run_worker_thread(POOL, "route_native.worker_thread", "resolve", address, token, now)
    turns:post(1)
    if ok then
        return status, target, ttl
    end
    if status == "thread pool route_native not found" then
        run_worker_thread = nil
        return inline(gateway, token, now)
    end
    ngx.log(ngx.ERR, "route_native: the thread pool failed: ", status)
    return nil
end

local function lead(gateway, key, token, now)
    local flight = { landed = semaphore.new(), waiting = 0 }
    flights[key], count = flight, count + 1
    local ran, status, target, ttl = pcall(threaded, gateway, token, now)
    flights[key], count = nil, count - 1
    if ran then
        flight.status, flight.target, flight.ttl = status, target, ttl
    end
    if flight.waiting > 0 then
        flight.landed:post(flight.waiting)
    end
    return flight
end

-- Resolves a token that no cache knows; `key` names it. Returns the status, the target and its seconds, and whether
-- this request did the work itself; nil when the pool has no room, or when nothing came back in time.
function _M.resolve(gateway, key, token, now)
    if not run_worker_thread then
        local status, target, ttl = inline(gateway, token, now)
        return status, target, ttl, true
    end
    local flight, mine = flights[key], false
    if flight then
        flight.waiting = flight.waiting + 1
        flight.landed:wait(PATIENCE)
    elseif count >= MAX_FLIGHTS then
        return nil
    else
        flight, mine = lead(gateway, key, token, now), true
    end
    return flight.status, flight.target, flight.ttl, mine
end

return _M
