-- Lets one request of all workers and instances do what a session needs, such as fetching a token. The others wait for
-- its result, which it writes into the session. The lease in the store ends soon after its holder dies, and is renewed
-- while the holder works.

local random = require "route_native.core.random"

local ngx = ngx
local spawn, kill = ngx.thread.spawn, ngx.thread.kill

-- How long a lease outlives its holder, how often the holder renews it, and how long others wait, in seconds.
local LEASE_SECONDS, RENEW_SECONDS, WAIT_SECONDS = 15, 4, 15
local MIN_PAUSE, MAX_PAUSE = 0.005, 0.1
local ID_BYTES = 12

local _M = { WAIT_SECONDS = WAIT_SECONDS }

-- Waits for the lease, or for what its holder writes. Returns true when this request holds the lease; otherwise false,
-- the result, and without one the reason.
local function wait(owner, lease, id, session, find)
    local store, deadline, pause = owner.store, ngx.now() + WAIT_SECONDS, MIN_PAUSE
    repeat
        local added, err = store:add(lease, id, LEASE_SECONDS)
        if added == nil then
            -- A full store still has the session. If the store is down, reload() fails below.
            owner:store_failed("taking a lease", err)
            added = true
        end
        -- The previous holder wrote its result before it released the lease.
        local reason = owner.sessions:reload(session)
        local result = not reason and find(session.record) or nil
        if added and (reason or result) then
            store:delete(lease)
        end
        if reason then
            return false, nil, reason
        elseif result then
            return false, result
        elseif added then
            return true
        end
        ngx.sleep(pause)
        pause = math.min(pause * 2, MAX_PAUSE)
        ngx.update_time()
    until ngx.now() > deadline
    return false, nil, "unavailable"
end

-- Renews the lease until the holder ends this thread, or has lost the lease.
local function renew(store, lease, id)
    repeat
        ngx.sleep(RENEW_SECONDS)
    until store:get(lease) ~= id or not store:touch(lease, LEASE_SECONDS)
end

-- Runs work() under the lease of a session for a purpose. find(record) returns the result that another request wrote,
-- or nil. Returns a result, or nil and a reason: that of work(), or "expired" or "unavailable".
function _M.run(owner, session, purpose, find, work)
    local lease, id = session.key .. ":" .. purpose, random.text(ID_BYTES)
    local is_holder, result, reason = wait(owner, lease, id, session, find)
    if not is_holder then
        return result, reason
    end
    local renewal = spawn(renew, owner.store, lease, id)
    local ok
    ok, result, reason = pcall(work)
    kill(renewal)
    if owner.store:get(lease) == id then
        owner.store:delete(lease)
    end
    if not ok then
        error(result, 0)
    end
    return result, reason
end

return _M
