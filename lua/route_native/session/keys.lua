-- The ring of keys that sign the session ids of an owner (sessions.lua). All instances share the ring in their store
-- and rotate it under a lease.
--
-- A worker caches the ring for `key_refresh` seconds, and for longer while the store is down. A new key is in the ring
-- for a minute before it signs, so that every worker has it by then. If the store loses the ring, the first worker that
-- notices restores it, so that the remaining sessions stay valid.

local singleflight = require "route_native.core.singleflight.worker"
local session_id = require "route_native.session.id"

local NOTICE_SECONDS = 60
local LEASE_SECONDS = 10
local WAIT_SECONDS = 10
-- The entry with a copy of the ring, for a new worker when the store has lost the ring. The entry exists from the start
-- and has a fixed length, so that a ring never lacks room.
local SHARED = "keys"
local SHARED_BYTES = session_id.MAX_RING_BYTES

local _M = {}
local keys = {}
keys.__index = keys

-- Returns the copy of the ring, or nil.
local function shared_ring(self)
    return (self.shared:get(self.copy) or ""):match("^(%S.-) *$")
end

-- Returns the ring in the store. Adds one if there is none. Returns nil and an error if the store fails.
local function read(self, now)
    local store = self.owner.store
    local ring, err = store:get(self.key)
    if ring or err then
        return ring, err
    end
    local candidate = self.cached or shared_ring(self) or session_id.next_ring("", now, self.period, NOTICE_SECONDS)
    local added
    added, err = store:add(self.key, candidate, 0)
    if added then
        return candidate
    elseif added == nil then
        return nil, err
    end
    return store:get(self.key)
end

-- Replaces `ring` by the next one, unless another instance holds the lease. Returns the ring to use.
local function rotate(self, ring, next_ring)
    local store = self.owner.store
    if not store:add(self.lease, "1", LEASE_SECONDS) then
        return ring
    end
    local swapped = store:swap(self.key, ring, next_ring, 0)
    store:delete(self.lease)
    if swapped then
        self.owner.counters:add("keys.rotated")
        ngx.log(ngx.NOTICE, "route_native: ", self.owner.title, ": the session keys have been rotated")
        return next_ring
    end
    return ring
end

-- Reads the ring from the store, and rotates it when that is due. Returns the ring, or nil and an error.
local function refresh(self)
    local now = ngx.time()
    local ring, err = read(self, now)
    local next_ring
    if ring then
        next_ring, err = session_id.next_ring(ring, now, self.period, NOTICE_SECONDS)
    end
    if not next_ring then
        self.owner:store_failed("reading the session keys", err)
        return nil, err
    end
    if next_ring ~= ring then
        ring = rotate(self, ring, next_ring)
    end
    if ring ~= self.cached then
        self.shared:safe_set(self.copy, ring .. (" "):rep(SHARED_BYTES - #ring))
    end
    self.cached, self.refreshed_at = ring, now
    return ring
end

-- Returns the ring of an owner, which has `title`, `counters`, and in `state` the dictionary for the copy.
function _M.new(owner)
    local settings = owner.settings
    local self = setmetatable({
        owner = owner, key = owner.prefix .. "keys", lease = owner.prefix .. "keys:lease",
        copy = SHARED .. (owner.state_suffix or ""), flight = owner.prefix .. "keys",
        period = settings.key_rotation, refresh_seconds = settings.key_refresh, shared = owner.state,
    }, keys)
    self.shared:add(self.copy, (" "):rep(SHARED_BYTES))
    -- Made here: the variables of a request are gone when its client leaves, and the refresh outlives it.
    self.run_refresh = function() return refresh(self) end
    return self
end

-- Returns the ring, and whether it may be out of date because the store is down; or nil if there is no ring at all.
function keys:ring()
    if self.cached and ngx.time() - self.refreshed_at < self.refresh_seconds then
        return self.cached, false
    end
    local ring = singleflight.run(self.flight, WAIT_SECONDS, self.run_refresh, singleflight.in_timer)
    return ring or self.cached, ring == nil
end

return _M
