-- Runs work in nginx's thread pool, so that the event loop does not wait for it.
--
-- Runners are timers, so a client that disconnects cannot end work that others wait for.

local metrics = require "route_native.core.metrics"
local singleflight = require "route_native.core.singleflight.worker"

local run_worker_thread = ngx.run_worker_thread

local POOL = "route_native"
-- The limit of tasks in the pool, enough to keep its threads busy. Each task occupies a Lua state of its own, and nginx
-- keeps 10 of them (lua_worker_thread_vm_pool_size).
local MAX_RUNNERS = 8
-- The limit of jobs that wait in one worker, each for about a millisecond.
local MAX_UNFINISHED = 256

local _M = {}

local queue, first, last = {}, 1, 0
-- The number of unfinished jobs, and of the timers that run them.
local unfinished, runners = 0, 0

metrics.collect(function(tell) tell(unfinished, "thread_pool_jobs") end)

-- Returns whether there may be a pool. It may be found missing at the first call.
function _M.is_available()
    return run_worker_thread ~= nil
end

-- Returns whether a job that is scheduled now would wait too long.
function _M.is_full()
    return unfinished >= MAX_UNFINISHED
end

-- Calls a function of a module in the pool, with strings, numbers and booleans. Without a pool the event loop does the
-- work. Returns its results, at most two.
function _M.call(module, name, ...)
    -- The pool may have been found missing while the work waited.
    if not run_worker_thread then
        return require(module)[name](...)
    end
    local ok, result, second = run_worker_thread(POOL, module, name, ...)
    if ok then
        return result, second
    end
    if result == "thread pool route_native not found" then
        run_worker_thread = nil
    else
        ngx.log(ngx.ERR, "route_native: the thread pool failed, and the event loop does its work: ", result)
    end
    return require(module)[name](...)
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

-- Adds a job, which calls call(), to the queue, and starts a runner if there are too few. A job raises no errors.
-- Returns true.
function _M.schedule(job)
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

return _M
