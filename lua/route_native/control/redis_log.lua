-- The log of revocations in Redis, which all nodes share. One script does everything: src/revocation/exchange.lua
-- explains it, and the keys.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local redis = require "route_native.store.redis"

local find, gmatch, match = string.find, string.gmatch, string.match

-- The events that an answer brings at most. Reading them takes the worker about 2 ms.
local MAX_EVENTS = 200
-- Before the first event, and a node that knows none.
local NOTHING = { after = "0", number = "", event = "" }

local _M = { NOTHING = NOTHING }
local log = {}
log.__index = log

-- Returns the keys and the script.
local function read_script()
    local buffer, length = ffi.new("uint8_t[?]", library.RN_TOKEN_BYTES), ffi.new("size_t[1]")
    assert(library.rn_revocation_script(buffer, library.RN_TOKEN_BYTES, length) == library.RN_OK)
    local first, second, third, script = match(ffi.string(buffer, length[0]), "^(%C+)\n(%C+)\n(%C+)\n(.*)$")
    return { first, second, third }, script
end

-- Opens the log. The settings are those of store/redis.lua. Raises an error of one sentence about a bad address.
function _M.new(settings)
    local keys, script = read_script()
    return setmetatable({ store = redis.new(settings), keys = keys, script = script }, log)
end

-- Returns the position of the first line of an answer, and whether there is more; or nil.
local function read_head(line)
    local after, number, event, more = match(line or "", "^ok (%d+) (%d+) (%S+) ([01])$")
    if not after or #after > 15 or #number > 15 or #event > 39 or not find(event, "^[%d:%x-]+$") then
        return nil
    end
    return { after = after, number = event == "-" and "" or number, event = event == "-" and "" or event }, more == "1"
end

-- Returns a function that returns the next id and value of an answer, and nil at the end. They are foreign bytes.
local function entries_of(lines)
    return function()
        local line = lines()
        if line then
            return match(line, "^(%d*) ?(.*)$")
        end
    end
end

local function exchange(self, position, outgoing, limit)
    local arguments = {}
    for i, one in ipairs(outgoing) do
        arguments[3 * i - 2], arguments[3 * i - 1], arguments[3 * i] = one.id, one.ends, one.value
    end
    local reply, err = self.store:eval(self.script, self.keys, "rw", position.number, position.event, position.after,
        limit, unpack(arguments))
    if type(reply) ~= "string" then
        return nil, err or "the answer is no text"
    elseif reply == "lost\n" then
        return { is_lost = true }
    end
    local lines = gmatch(reply, "[^\n]+")
    local reached, has_more = read_head(lines())
    if not reached then
        return nil, "the answer is not that of the script"
    end
    return { position = reached, has_more = has_more, entries = entries_of(lines) }
end

-- Brings revocations, each { id, ends, value }, and reads on from a position. Returns { position, has_more, entries },
-- where entries() returns the next id and value; or { is_lost = true } if Redis has lost what the position stands for,
-- and has taken nothing; or nil and an error.
function log:exchange(position, outgoing)
    return exchange(self, position, outgoing, MAX_EVENTS)
end

-- Brings one revocation, and reads nothing. Returns whether Redis has it.
function log:bring(one)
    return exchange(self, NOTHING, { one }, 0) ~= nil
end

return _M
