-- Counts in windows of fixed length, in a shared dictionary. The first event of a key begins its window.
--
-- Anybody may be able to add keys, so no counter is evicted for another. Use a dictionary for nothing else that
-- anybody can fill.

local room = require "route_native.core.room"

local ngx = ngx

-- Another worker may add or remove the counter between two calls.
local MAX_TRIES = 3

local _M = {}
local counter = {}
counter.__index = counter

-- Returns a counter, or nil when the dictionary is missing. `window` is in seconds. `problem` completes the log line of
-- a full dictionary.
function _M.new(name, window, problem)
    local dict = ngx.shared[name]
    return dict and setmetatable({
        name = name, dict = dict, window = window, problem = problem, flushed_at = 0,
    }, counter)
end

-- Adds an event to a counter. Returns the counter's value, or nil when there is no room for the counter.
function counter:increase(key)
    local dict = self.dict
    for _ = 1, MAX_TRIES do
        local count = dict:incr(key, 1)
        if count then
            return count
        end
        -- incr() with an initial value would evict other counters, even in their window.
        local added, err = dict:safe_add(key, 1, self.window)
        if added then
            return 1
        elseif err ~= "exists" and not room.make(self, self.problem) then
            return nil
        end
    end
    return nil
end

-- Takes an event back.
function counter:decrease(key)
    self.dict:incr(key, -1)
end

-- Returns the seconds until a counter's window ends.
function counter:ttl(key)
    return self.dict:ttl(key) or self.window
end

return _M
