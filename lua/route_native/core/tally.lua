-- Counts what is open now, over all workers.
--
-- Each worker writes its own counts alone, under keys of its own, so that no count is lost between two writers. The sum
-- is over the workers that live: what a killed worker had open is gone with it (workers.lua), and its keys expire.
-- A new count is written before the sum is read, so that two workers never both take the last place.

local ngx = ngx

-- How long a count outlives its worker, and after how many seconds it is written again.
local LIFETIME, REFRESH = 60, 20
-- The counts that are written again without a pause, and the pause, in seconds.
local BATCH, PAUSE = 500, 0.001

local _M = {}
local tally = {}
tally.__index = tally

-- Writes a count for the other workers. They do not see one that there is no room for.
local function publish(self, key, count)
    local written, err = self.dict:safe_set(self.workers:own() .. key, count, LIFETIME)
    if not written and self.complained_at ~= ngx.time() then
        self.complained_at = ngx.time()
        ngx.log(ngx.ERR, "route_native: a count of open connections is not shared: ", err)
    end
end

-- Writes all counts again, before they expire.
local function refresh(self)
    local keys = {}
    for key in pairs(self.own) do
        keys[#keys + 1] = key
    end
    for i, key in ipairs(keys) do
        local count = self.own[key]
        if count then
            publish(self, key, count)
        end
        if i % BATCH == 0 then
            ngx.sleep(PAUSE)
        end
    end
end

-- Returns a tally in a dictionary. `workers` is the list of workers.
function _M.new(dict, workers)
    local self = setmetatable({ dict = dict, workers = workers, own = {}, refreshed_at = 0 }, tally)
    workers:follow(function()
        if ngx.time() - self.refreshed_at >= REFRESH then
            self.refreshed_at = ngx.time()
            refresh(self)
        end
        return next(self.own) ~= nil
    end)
    return self
end

-- Adds one to the count of a key, unless the sum over all workers is `max` already. Returns whether it did.
function tally:add(key, max)
    local count = (self.own[key] or 0) + 1
    self.own[key] = count
    publish(self, key, count)
    local sum, dict, others = count, self.dict, self.workers:others()
    for i = 1, #others do
        sum = sum + (dict:get(others[i] .. key) or 0)
    end
    if sum > max then
        self:remove(key)
        return false
    end
    return true
end

-- Takes one from the count of a key to which this worker has added.
function tally:remove(key)
    local count = self.own[key] - 1
    if count > 0 then
        self.own[key] = count
        publish(self, key, count)
    else
        self.own[key] = nil
        self.dict:delete(self.workers:own() .. key)
    end
end

return _M
