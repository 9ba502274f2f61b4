-- Single flight within a worker: when several requests need the same result at once, one does the work for all.
--
-- Over HTTP/2 a client that disconnects ends its request in the middle of the work. Work that others wait for can
-- therefore be scheduled outside of any request, and no request joins a call after its deadline.

local semaphore = require "ngx.semaphore"

local ngx = ngx

local _M = {}

-- The calls under way, by key.
local calls = {}

-- Stores the results of a call and wakes the requests that wait for them.
local function finish(key, call, ok, first, second, third, fourth)
    if calls[key] == call then
        calls[key] = nil
    end
    if ok then
        call.first, call.second, call.third, call.fourth = first, second, third, fourth
    else
        call.second = "failed"
        ngx.log(ngx.ERR, "route_native: ", first)
    end
    call.done = true
    if call.waiting > 0 then
        call.semaphore:post(call.waiting)
    end
end

-- Waits at most `seconds` for a call. Returns its results, or nil and "timeout" or "failed".
local function wait(call, seconds)
    if not call.done then
        call.waiting = call.waiting + 1
        if not call.semaphore:wait(seconds) then
            call.waiting = call.waiting - 1
            return nil, "timeout"
        end
    end
    return call.first, call.second, call.third, call.fourth
end

-- Waits at most `seconds` for the call under way for `key`. Returns whether there is one, and its results.
function _M.join(key, seconds)
    local call = calls[key]
    if call and ngx.now() < call.deadline then
        return true, wait(call, seconds)
    end
    return false
end

-- Starts a timer for a job. Returns false when the worker is shutting down and starts no more timers.
function _M.in_timer(job)
    return ngx.timer.at(0, job)
end

-- Calls work() for `key`, or joins the call under way. Returns its results, at most four, or nil and "timeout" or
-- "failed". `work` must finish within `seconds`. `schedule(job)` arranges for the job to run later and returns true.
-- Without `schedule`, or when it returns false, the request does the work itself. Scheduled work cannot make
-- subrequests.
function _M.run(key, seconds, work, schedule)
    local call = calls[key]
    if call and ngx.now() < call.deadline then
        return wait(call, seconds)
    end
    call = { semaphore = semaphore.new(), waiting = 0, deadline = ngx.now() + seconds }
    calls[key] = call
    local function job()
        finish(key, call, pcall(work))
    end
    if not (schedule and schedule(job)) then
        job()
    end
    return wait(call, seconds)
end

return _M
