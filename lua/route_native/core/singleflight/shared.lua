-- Single flight across workers: when several requests need the same result at once, one does the work for all.
--
-- The leader holds a lock in the dictionary; its value is the id of the call. The followers poll for the result itself,
-- or for the outcome that the leader stores under that id. A heartbeat extends the lock while the work is running, so
-- work may be slow. The lock of a leader that died expires soon, and another request takes over.

local ngx = ngx
local now, sleep = ngx.now, ngx.sleep
local spawn, kill = ngx.thread.spawn, ngx.thread.kill

-- How long a lock outlives its holder, how often the holder extends it, and how long a request waits, in seconds.
local LOCK_SECONDS, HEARTBEAT_SECONDS, WAIT_SECONDS = 3, 1, 20
-- How long an outcome is stored for the followers, in seconds.
local OUTCOME_SECONDS = 2
-- The pause between two polls, in seconds. It doubles from the first to the second of these.
local MIN_PAUSE, MAX_PAUSE = 0.001, 0.025

local _M = {}

local count = 0

local function new_id()
    count = count + 1
    return ngx.worker.pid() .. "/" .. now() .. "/" .. count
end

-- Extends the lock until the request ends or another one holds the lock.
local function extend_lock(dict, lock, id)
    repeat
        sleep(HEARTBEAT_SECONDS)
    until dict:get(lock) ~= id or not dict:expire(lock, LOCK_SECONDS)
end

-- Calls work() with a heartbeat beside it. The end of the request ends both.
local function call(work, dict, lock, id)
    local heartbeat = spawn(extend_lock, dict, lock, id)
    local ok, outcome, is_stored = pcall(work)
    kill(heartbeat)
    return ok, outcome, is_stored
end

-- Does the work as the holder of the lock. Releases the lock even if the work fails.
local function lead(dict, lock, id, find, work)
    -- Another request may have finished between the last poll and the lock.
    local outcome = find()
    local ok, is_stored = true, true
    if not outcome then
        ok, outcome, is_stored = call(work, dict, lock, id)
    end
    if ok and not is_stored then
        -- Anybody can have work done, so that neither outcome nor lock may evict what others have stored. Followers
        -- that find no outcome do the work themselves.
        dict:safe_set("outcome " .. id, outcome, OUTCOME_SECONDS)
    end
    if dict:get(lock) == id then
        dict:delete(lock)
    end
    if not ok then
        error(outcome, 0)
    end
    return outcome
end

-- Waits for the outcome of the leader. Returns nil when the leader released the lock without an outcome.
local function follow(dict, lock, find, deadline)
    local id = dict:get(lock)
    local pause = MIN_PAUSE
    while id and now() < deadline do
        sleep(pause)
        pause = math.min(pause * 2, MAX_PAUSE)
        local current = dict:get(lock)
        local outcome = find() or dict:get("outcome " .. id)
        if outcome then
            return outcome
        elseif current ~= id then
            return nil
        end
    end
end

-- Returns the string that `key` needs, or nil when the wait was too long. find() returns the string if it is there
-- already. work() makes the string; it returns the string and whether find() will return it from now on. With
-- `is_optional`, run() returns nil at once when another request does the work.
function _M.run(dict, key, find, work, is_optional)
    local lock = "flight " .. key
    local deadline = now() + WAIT_SECONDS
    repeat
        local id = new_id()
        local locked, err = dict:safe_add(lock, id, LOCK_SECONDS)
        -- A full dictionary cannot hold a lock: doing the work twice is better than refusing it.
        if locked or err ~= "exists" then
            return lead(dict, lock, id, find, work)
        elseif is_optional then
            return nil
        end
        local outcome = follow(dict, lock, find, deadline)
        if outcome then
            return outcome
        end
    until now() >= deadline
    return nil
end

return _M
