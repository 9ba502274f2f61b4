-- The ring of keys that sign session ids: one for all instances, in their store, rotated under a lease.
--
-- A worker keeps the ring for `key_refresh` seconds, and for longer while the store is down. A new key is in the ring
-- for a minute before it signs, so every worker has it by then. If the store loses the ring, the first worker that
-- notices puts it back: sessions that the store still has stay valid.

local singleflight = require "route_native.core.singleflight.worker"
local session = require "route_native.border.session_id"

local NOTICE_SECONDS = 60
local LEASE_SECONDS = 10
local WAIT_SECONDS = 10
-- Where a worker that has just started finds the ring, should the store have lost it: a place of one length, which is
-- there from the start, so that no ring needs room that others have taken.
local SHARED = "keys"
local SHARED_BYTES = session.MAX_RING_BYTES

local _M = {}
local keys = {}
keys.__index = keys

function _M.new(border)
    local settings = border.settings
    ngx.shared.border_state:add(SHARED, (" "):rep(SHARED_BYTES))
    return setmetatable({
        border = border, key = border.prefix .. "keys", lease = border.prefix .. "keys:lease",
        period = settings.key_rotation, refresh_seconds = settings.key_refresh,
        shared = ngx.shared.border_state,
    }, keys)
end

-- The copy of the ring, or nil when none was put there.
local function shared_ring(self)
    return (self.shared:get(SHARED) or ""):match("^(%S.-) *$")
end

-- The ring in the store, put there when it has none. Returns nil and why when the store does not answer.
local function read(self, now)
    local store = self.border.store
    local ring, err = store:get(self.key)
    if ring or err then
        return ring, err
    end
    local candidate = self.cached or shared_ring(self) or session.next_ring("", now, self.period, NOTICE_SECONDS)
    local added
    added, err = store:add(self.key, candidate, 0)
    if added then
        return candidate
    elseif added == nil then
        return nil, err
    end
    return store:get(self.key)
end

-- Puts the next ring in place of `ring`, unless another instance is about it. Returns the ring to use.
local function rotate(self, ring, following)
    local store = self.border.store
    if not store:add(self.lease, "1", LEASE_SECONDS) then
        return ring
    end
    local swapped = store:swap(self.key, ring, following, 0)
    store:delete(self.lease)
    if swapped then
        self.border.counters:add("keys.rotated")
        ngx.log(ngx.NOTICE, "route_native: border: the session keys have been rotated")
        return following
    end
    return ring
end

local function refresh(self)
    local now = ngx.time()
    local ring, err = read(self, now)
    local following
    if ring then
        following, err = session.next_ring(ring, now, self.period, NOTICE_SECONDS)
    end
    if not following then
        self.border:store_failed("reading the session keys", err)
        return nil, err
    end
    if following ~= ring then
        ring = rotate(self, ring, following)
    end
    if ring ~= self.cached then
        self.shared:safe_set(SHARED, ring .. (" "):rep(SHARED_BYTES - #ring))
    end
    self.cached, self.refreshed_at = ring, now
    return ring
end

-- The ring, and whether it may be out of date because the store is down. nil when there is none to be had.
function keys:ring()
    if self.cached and ngx.time() - self.refreshed_at < self.refresh_seconds then
        return self.cached, false
    end
    local ring = singleflight.run("border keys", WAIT_SECONDS, function() return refresh(self) end,
        singleflight.in_timer)
    return ring or self.cached, ring == nil
end

return _M
