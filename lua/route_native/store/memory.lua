-- A session store in the shared memory of one nginx. It needs no other server, and its sessions end with nginx.
--
-- A full store takes no new session: it never evicts a live one.

local LOCK_WAIT, LOCK_SECONDS = 0.001, 1
-- A lock is held for microseconds, so this many waits mean that something is broken.
local MAX_WAITS = 500

local _M = {}
local store = {}
store.__index = store

function _M.new(settings)
    local name = settings.dictionary
    local dictionary = ngx.shared[name]
    if not dictionary then
        error(("route_native: the memory store needs: lua_shared_dict %s 16m;"):format(name), 0)
    end
    return setmetatable({ dictionary = dictionary, name = "memory" }, store)
end

function store:get(key)
    local value, err = self.dictionary:get(key)
    if err and not value then
        return nil, err
    end
    return value
end

function store:add(key, value, ttl)
    local added, err = self.dictionary:safe_add(key, value, ttl)
    if added then
        return true
    elseif err == "exists" then
        return false
    end
    return nil, err
end

function store:set(key, value, ttl)
    local done, err = self.dictionary:safe_set(key, value, ttl)
    if done then
        return true
    end
    return nil, err
end

-- Replaces a value by one of any length. The dictionary removes the old value before it looks for room for the new one.
-- This function therefore reserves room first, under a key of the same length. If another worker takes the room in
-- between, it restores the old value.
local function replace(dictionary, key, old, new, ttl)
    local reservation = "~" .. key:sub(2)
    local reserved, err = dictionary:safe_set(reservation, new, LOCK_SECONDS)
    if not reserved then
        return nil, err
    end
    local left = dictionary:ttl(key) or 0
    dictionary:delete(reservation)
    local done
    done, err = dictionary:safe_set(key, new, ttl)
    if not done then
        dictionary:safe_set(key, old, left)
        return nil, err
    end
    return true
end

-- Swaps under a lock: the dictionary has no compare-and-swap, and other workers write to it too.
function store:swap(key, old, new, ttl)
    local dictionary, lock = self.dictionary, "lock:" .. key
    local waits = 0
    while true do
        local locked, err = dictionary:safe_add(lock, true, LOCK_SECONDS)
        if locked then
            break
        elseif err ~= "exists" then
            return nil, err
        elseif waits == MAX_WAITS then
            return nil, "locked"
        end
        waits = waits + 1
        ngx.sleep(LOCK_WAIT)
    end
    -- No call yields until the lock is deleted.
    local done, err = false, nil
    if dictionary:get(key) == old then
        done, err = replace(dictionary, key, old, new, ttl)
    end
    dictionary:delete(lock)
    return done, err
end

function store:touch(key, ttl)
    local done, err = self.dictionary:expire(key, ttl)
    if done then
        return true
    elseif err == "not found" then
        return false
    end
    return nil, err
end

function store:delete(key)
    self.dictionary:delete(key)
    return true
end

return _M
