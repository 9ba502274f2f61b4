-- Waits for a desktop that is starting (ROUTE_DESKTOP_WAIT).
--
-- Before a request is sent to a desktop that nobody has reached lately, a connection is tried, again and again until it
-- is accepted, and closed at once. Nothing of the request is sent before that, so a body is sent once, and a WebSocket
-- waits as any request does. One attempt at a time runs for all requests of a worker to one port.

local failure = require "route_native.desktop.failure"
local lrucache = require "resty.lrucache"
local singleflight = require "route_native.core.singleflight.worker"

local ngx = ngx
local now, sleep = ngx.now, ngx.sleep

-- How long a desktop that was reached counts as there, in seconds. A failure ends that at once.
local THERE_SECONDS = 10
local ENTRIES = 10000
-- The limits of the requests that wait in a worker, for all desktops and for one port of one.
local MAX_WAITING, MAX_WAITING_FOR_ONE = 256, 64
-- The most ports that are tried at once: each has a timer, of which nginx runs 256 (lua_max_running_timers).
local MAX_ATTEMPTS = 64
-- The pause between two attempts doubles from the first to the second of these, in seconds.
local MIN_PAUSE, MAX_PAUSE = 0.05, 1
-- The limit of one attempt, in milliseconds.
local ATTEMPT_MS = 1000

-- How long a request waits for the end of an attempt that began in time, in seconds.
local GRACE = 0.5

local _M = {}

local seconds = 0
local there
-- The number of requests that wait, for each port that is tried and altogether, and of ports. A client may end its
-- request in the middle of the wait, so requests leave when the attempts end, and not by themselves.
local waiting, all_waiting, ports = {}, 0, 0

-- Sets the longest wait in seconds. setup() calls it once.
function _M.start(longest)
    seconds = longest
    there = lrucache.new(ENTRIES)
end

-- Takes a place among the requests that wait. Returns false if all are taken.
local function enter(key)
    local count = waiting[key] or 0
    if all_waiting >= MAX_WAITING or count >= MAX_WAITING_FOR_ONE or count == 0 and ports >= MAX_ATTEMPTS then
        return false
    end
    ports = count == 0 and ports + 1 or ports
    waiting[key], all_waiting = count + 1, all_waiting + 1
    return true
end

-- Gives the places of all requests back that wait for a port.
local function leave(key)
    local count = waiting[key]
    if count then
        waiting[key], all_waiting, ports = nil, all_waiting - count, ports - 1
    end
end

-- Returns whether a desktop accepts a connection.
local function accepts(target, port, left)
    local socket = ngx.socket.tcp()
    socket:settimeout(math.min(ATTEMPT_MS, math.max(left, MIN_PAUSE) * 1000))
    local ok = socket:connect(target, port)
    socket:close()
    return ok ~= nil
end

-- Tries a port until it accepts, or until the time is over. Returns whether it does.
local function try(target, port, deadline)
    local pause = MIN_PAUSE
    while not accepts(target, port, deadline - now()) do
        if now() + pause >= deadline then
            return false
        end
        sleep(pause)
        pause = math.min(pause * 2, MAX_PAUSE)
    end
    return true
end

-- Waits until a port accepts. Returns false if it does not in time, or if too many wait already.
local function wait_for(key, target, port)
    local deadline = now() + seconds
    local function work()
        local ok, is_there = pcall(try, target, port, deadline)
        leave(key)
        return ok and is_there
    end
    repeat
        -- The attempts that this request joins began before, and end before its own time does.
        if not enter(key) then
            return false
        elseif singleflight.run(key, deadline - now() + GRACE, work, singleflight.in_timer) then
            return true
        end
    until now() + MIN_PAUSE >= deadline
    return false
end

local function key_of(target, port)
    return "desktop " .. target .. " " .. port
end

-- Returns when the desktop accepts connections. Ends the request if it does not in time, or if too many wait already.
function _M.await(target, port)
    local key = key_of(target, port)
    if there:get(key) then
        return
    end
    if not wait_for(key, target, tonumber(port)) then
        return failure.finish("desktop_starting")
    end
    there:set(key, true, THERE_SECONDS)
end

-- Forgets that a desktop was there.
function _M.forget(target, port)
    if there and port then
        there:delete(key_of(target, port))
    end
end

return _M
