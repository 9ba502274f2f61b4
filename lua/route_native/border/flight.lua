-- Single flight: of the requests of this worker that want the same thing at once, one does the work for all.

local semaphore = require "ngx.semaphore"

local _M = {}

local flights = {}

-- Runs `work()` for `key`, or waits at most `seconds` for the one that already runs. Returns its (up to two) results,
-- or nil, "timeout".
function _M.run(key, seconds, work)
    local flight = flights[key]
    if flight then
        flight.waiting = flight.waiting + 1
        local landed = flight.semaphore:wait(seconds)
        if not landed then
            flight.waiting = flight.waiting - 1
            return nil, "timeout"
        end
        return flight.result, flight.err
    end
    flight = { semaphore = semaphore.new(), waiting = 0, err = "failed" }
    flights[key] = flight
    local ok, result, err = pcall(work)
    if ok then
        flight.result, flight.err = result, err
    end
    flights[key] = nil
    if flight.waiting > 0 then
        flight.semaphore:post(flight.waiting)
    end
    if not ok then
        error(result, 0)
    end
    return result, err
end

return _M
