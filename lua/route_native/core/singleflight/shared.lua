-- Single flight: of all the requests, in all workers, that need one thing at once, one does the work.
--
-- A lock in the dictionary says that the work is being done, under an id of its own. The others look again at short
-- intervals: for what they need, or for the outcome that the work left under that id. Beside the work runs a heartbeat
-- that prolongs the lock: work may be slow, while a holder that died leaves a lock that soon expires, and the next one
-- takes over.

local ngx = ngx
local now, sleep = ngx.now, ngx.sleep
local spawn, kill = ngx.thread.spawn, ngx.thread.kill

-- How long a lock outlives its holder, how often a living one prolongs it, and how long anybody waits, in seconds.
local LOCK_SECONDS, BEAT_SECONDS, WAIT_SECONDS = 3, 1, 20
-- How long an outcome lies ready for those who wait, in seconds.
local OUTCOME_SECONDS = 2
-- Between two looks, in seconds: from the first to the last.
local FIRST_PAUSE, LAST_PAUSE = 0.001, 0.025

local _M = {}

local count = 0

local function new_id()
    count = count + 1
    return ngx.worker.pid() .. "/" .. now() .. "/" .. count
end

-- Prolongs the lock for as long as the request lives and has it.
local function beat(dict, lock, id)
    repeat
        sleep(BEAT_SECONDS)
    until dict:get(lock) ~= id or not dict:expire(lock, LOCK_SECONDS)
end

-- Calls work() beside a heartbeat. A request that ends before its time ends both.
local function call(work, dict, lock, id)
    local heart = spawn(beat, dict, lock, id)
    local ok, outcome, kept = pcall(work)
    kill(heart)
    return ok, outcome, kept
end

-- Does the work while holding the lock, and lets the others go whatever becomes of it.
local function lead(dict, lock, id, find, work)
    -- Somebody may have finished between our look and our lock.
    local outcome = find()
    local ok, kept = true, true
    if not outcome then
        ok, outcome, kept = call(work, dict, lock, id)
    end
    if ok and not kept then
        dict:set("outcome " .. id, outcome, OUTCOME_SECONDS)
    end
    if dict:get(lock) == id then
        dict:delete(lock)
    end
    if not ok then
        error(outcome, 0)
    end
    return outcome
end

-- Waits for what another request is doing. Returns nil when that one is gone and left nothing.
local function follow(dict, lock, find, deadline)
    local id = dict:get(lock)
    local pause = FIRST_PAUSE
    while id and now() < deadline do
        sleep(pause)
        pause = math.min(pause * 2, LAST_PAUSE)
        local current = dict:get(lock)
        local outcome = find() or dict:get("outcome " .. id)
        if outcome then
            return outcome
        elseif current ~= id then
            return nil
        end
    end
end

-- find() looks the thing up and returns it, or nil. work() makes it and returns it, and whether find() will see it.
-- Both speak of strings. Returns the string, or nil when the wait was too long; with `is_optional` also, and at
-- once, when somebody else is at work.
function _M.run(dict, key, find, work, is_optional)
    local lock = "flight " .. key
    local deadline = now() + WAIT_SECONDS
    repeat
        local id = new_id()
        local locked, why = dict:add(lock, id, LOCK_SECONDS)
        -- A dictionary that is full cannot hold a lock: better two questions than none.
        if locked or why ~= "exists" then
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
