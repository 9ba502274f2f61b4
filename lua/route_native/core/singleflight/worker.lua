-- Single flight within a worker: of the requests that need the same thing at once, one does the work for all.
--
-- A client that goes away can end its request in the middle of the work (HTTP/2). What others wait for is therefore
-- scheduled outside of any request; and nobody joins a flight any more once it is overdue.

local semaphore = require "ngx.semaphore"

local ngx = ngx

local _M = {}

local flights = {}

local function land(key, flight, ok, first, second, third)
    if flights[key] == flight then
        flights[key] = nil
    end
    if ok then
        flight.first, flight.second, flight.third = first, second, third
    else
        flight.second = "failed"
        ngx.log(ngx.ERR, "route_native: ", first)
    end
    flight.landed = true
    if flight.waiting > 0 then
        flight.semaphore:post(flight.waiting)
    end
end

local function wait(flight, seconds)
    if not flight.landed then
        flight.waiting = flight.waiting + 1
        if not flight.semaphore:wait(seconds) then
            flight.waiting = flight.waiting - 1
            return nil, "timeout"
        end
    end
    return flight.first, flight.second, flight.third
end

-- Waits at most `seconds` for the work that is under way for `key`. Returns whether there is any, and its results.
function _M.join(key, seconds)
    local flight = flights[key]
    if flight and ngx.now() < flight.overdue_at then
        return true, wait(flight, seconds)
    end
    return false
end

-- Starts a timer for a job. Returns false when the worker is shutting down: it starts no timers any more.
function _M.in_timer(job)
    return ngx.timer.at(0, job)
end

-- Calls work() for `key`, or joins whoever does. Returns its (up to three) results, or nil and "timeout" or "failed".
-- `work` must take no longer than `seconds`. `schedule(job)` has the job called later and returns true; without it, or
-- when it returns false, the request does the work itself. Scheduled work cannot make subrequests.
function _M.run(key, seconds, work, schedule)
    local flight = flights[key]
    if flight and ngx.now() < flight.overdue_at then
        return wait(flight, seconds)
    end
    flight = { semaphore = semaphore.new(), waiting = 0, overdue_at = ngx.now() + seconds }
    flights[key] = flight
    local function job()
        land(key, flight, pcall(work))
    end
    if not (schedule and schedule(job)) then
        job()
    end
    return wait(flight, seconds)
end

return _M
