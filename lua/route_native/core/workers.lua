-- Knows which workers of this nginx live, also those that a reload has left to end their connections. Each has a number
-- that no other worker ever has.
--
-- A worker enters itself. One that was killed cannot leave, so the others look every second: a process is told from a
-- later one with the same id by the time of its start.
--
--     serial        the last number
--     version       changes with the list
--     worker SLOT   "NUMBER PID START" of a worker

local ngx = ngx

-- The most workers that a list has.
local SLOTS = 256
-- The seconds between two looks, and how long one worker looks for all.
local PERIOD, SWEEP_SECONDS = 1, 0.9
-- The pause of a worker that is shutting down, in seconds.
local PAUSE = 0.5

local _M = {}
local workers = {}
workers.__index = workers

-- Returns the list of workers in a dictionary, which must be one that nobody can fill.
function _M.new(dict)
    return setmetatable({ dict = dict, list = {}, followers = {} }, workers)
end

-- Returns when a process was started, in the kernel's ticks, or nil if it has ended.
local function start_of(pid)
    local file = io.open("/proc/" .. pid .. "/stat", "rb")
    local text = file and file:read(1024) or ""
    if file then
        file:close()
    end
    local state, rest = text:match("^%d+ %(.*%) (%a) (.*)")
    if not state or state == "Z" or state == "X" then
        return nil
    end
    -- proc(5) numbers the fields: the rest begins with 4, and the start is 22.
    return rest:match("^" .. ("%S+ "):rep(18) .. "(%d+)")
end

-- Enters this worker. Without a free slot or room, the others do not see what it counts, and it tries again.
local function enter(self)
    for slot = 1, SLOTS do
        if self.dict:safe_add("worker " .. slot, self.name) then
            self.slot = slot
            self.dict:incr("version", 1)
            return
        end
    end
    ngx.log(ngx.ERR, "route_native: there is no room in the list of workers, and this one counts for itself")
end

-- Returns whether a list's entry is that of a living process.
local function is_alive(entry)
    local pid, start = entry:match("^%d+ (%d+) (%d+)$")
    return pid ~= nil and start_of(pid) == start
end

-- Removes the workers that have ended. One worker does it for all.
local function sweep(self)
    local dict = self.dict
    if not self.slot or dict:get("worker " .. self.slot) ~= self.name then
        enter(self)
    end
    if not dict:safe_add("sweep", true, SWEEP_SECONDS) then
        return
    end
    for slot = 1, SLOTS do
        local entry = dict:get("worker " .. slot)
        if entry and not is_alive(entry) then
            dict:delete("worker " .. slot)
            dict:incr("version", 1)
        end
    end
end

-- Calls the followers. Returns whether one of them still counts something.
local function tick(self)
    sweep(self)
    local is_busy = false
    for _, follower in ipairs(self.followers) do
        is_busy = follower() or is_busy
    end
    return is_busy
end

-- Registers a function that runs every second in each worker that has a number. It returns whether it is still needed,
-- which matters once the worker shuts down.
function workers:follow(follower)
    self.followers[#self.followers + 1] = follower
end

-- Enters this worker, and begins to look after the others.
local function begin(self)
    local dict, pid = self.dict, ngx.worker.pid()
    dict:safe_add("serial", 0)
    dict:safe_add("version", 0)
    local number = dict:incr("serial", 1) or 0
    self.prefix, self.name = number .. ":", ("%d %d %s"):format(number, pid, start_of(pid) or "0")
    -- It enters itself, and finds the end of a worker in whose place this one may have been started.
    sweep(self)
    ngx.timer.every(PERIOD, function(premature)
        if not premature and not ngx.worker.exiting() then
            tick(self)
            return
        end
        -- A worker that is shutting down starts no timer any more.
        while tick(self) do
            ngx.sleep(PAUSE)
        end
    end)
end

-- Returns what the keys of this worker begin with.
function workers:own()
    if not self.prefix then
        begin(self)
    end
    return self.prefix
end

-- Returns a list of what the keys of the other workers begin with.
function workers:others()
    local version = self.dict:get("version")
    if version == self.version then
        return self.list
    end
    local list, count = {}, 0
    for slot = 1, SLOTS do
        local entry = self.dict:get("worker " .. slot)
        if entry and entry ~= self.name then
            count = count + 1
            list[count] = entry:match("^%d+") .. ":"
        end
    end
    self.version, self.list = version, list
    return list
end

return _M
