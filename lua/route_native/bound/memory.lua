-- Remembers the proofs that were used, for all workers, so that none is accepted twice (RFC 9449 §11.1).
--
-- An entry is the id of a proof, and stays until the proof is too old. None is evicted before that: a full memory
-- refuses proofs. Only proofs that are valid, and come with a valid token, get an entry.

local room = require "route_native.core.room"
local statuses = require "route_native.core.status"

local ngx = ngx
local var = ngx.var

local _M = {}
local memory = {}
memory.__index = memory

-- Returns the memory in a dictionary, or nil when the dictionary is missing.
function _M.new(name)
    local dict = ngx.shared[name]
    return dict and setmetatable({ name = name, dict = dict, flushed_at = 0 }, memory)
end

-- Uses a proof for the current request. Returns OK, PROOF_REPLAYED or REPLAY_MEMORY_FULL. The checks of one request and
-- of its subrequests share a proof: they have the number of their connection, which is that of no other connection of
-- any worker, and their number in it. No client chooses either.
function memory:use(id, seconds)
    local request = var.connection .. ":" .. var.connection_requests
    repeat
        local added, err = self.dict:safe_add(id, request, seconds)
        if added then
            return statuses.OK
        elseif err == "exists" then
            return self.dict:get(id) == request and statuses.OK or statuses.PROOF_REPLAYED
        end
    until not room.make(self, "used proofs, and more are refused")
    return statuses.REPLAY_MEMORY_FULL
end

return _M
