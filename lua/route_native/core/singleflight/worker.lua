-- Single flight: of the requests of this worker that want the same thing at once, one does the work for all.
--
-- A client that goes away can end its request in the middle of the work (HTTP/2). What concerns everybody is therefore
-- done outside of any request; and a flight that is overdue is given up, so that nobody joins it any more.

local semaphore = require "ngx.semaphore"

local ngx = ngx

local _M = {}

local flights = {}

local function land(key, flight, ok, result, err)
    if flights[key] == flight then
        flights[key] = nil
    end
    if ok then
        flight.result, flight.err = result, err
    else
        ngx.log(ngx.ERR, "route_native: border: ", result)
    end
    if flight.waiting > 0 then
        flight.semaphore:post(flight.waiting)
    end
end

local function wait(flight, seconds)
    flight.waiting = flight.waiting + 1
    if not flight.semaphore:wait(seconds) then
        flight.waiting = flight.waiting - 1
        return nil, "timeout"
    end
    return flight.result, flight.err
end

-- Runs `work()` for `key`, or waits at most `seconds` for the one that already runs; `work` must not take longer.
-- Returns its (up to two) results, or nil and "timeout" or "failed". `detached` work runs in a timer: no subrequests
-- there.
function _M.run(key, seconds, work, detached)
    local flight = flights[key]
    if flight and ngx.now() < flight.overdue_at then
        return wait(flight, seconds)
    end
    flight = { semaphore = semaphore.new(), waiting = 0, err = "failed", overdue_at = ngx.now() + seconds }
    flights[key] = flight
    -- A worker that is shutting down starts no timers any more.
    if detached and ngx.timer.at(0, function() land(key, flight, pcall(work)) end) then
        return wait(flight, seconds)
    end
    land(key, flight, pcall(work))
    return flight.result, flight.err
end

return _M
