-- Counts failed logins in a shared dictionary, by address and by user name, in windows of fixed length.
--
-- The dictionary holds only attempted names, so an attempt does not reveal whether a user exists. Names are folded as
-- backends may fold them and stored as digests, which bounds their length.
--
-- Anybody can add counters, so no counter is evicted for another. An attempt without room for its counter is refused.
-- Use the dictionary for nothing else.

local config = require "route_native.core.config"
local room = require "route_native.core.room"

local ngx = ngx
local sub = string.sub

-- The Retry-After of an attempt without room for its counter, in seconds.
local FULL_SECONDS = 5
-- Another worker may add or remove the counter between two calls.
local MAX_TRIES = 3
-- The prefix of an IPv4 address on a socket that accepts IPv6 too.
local MAPPED = ("\0"):rep(10) .. "\255\255"

local _M = {}
local limit = {}
limit.__index = limit

-- Returns a limit, or nil when the dictionary is missing. `per_user` and `per_address` are the allowed failed attempts
-- in a window, `window` is in seconds.
function _M.new(name, per_user, per_address, window)
    local dict = ngx.shared[name]
    return dict and setmetatable({
        name = name, dict = dict, per_user = per_user, per_address = per_address, window = window, flushed_at = 0,
    }, limit)
end

-- The configuration row of a limit: true, false, or { dict, per_user, per_address, window }.
_M.ROWS = { { "rate_limit", config.any("table or boolean"), default = true } }

local FIELDS = {
    { "dict", config.text("^[%w_]+$", "the name of a lua_shared_dict"), default = "route_native_login" },
    { "per_user", config.whole(1, 1000000), default = 10 },
    { "per_address", config.whole(1, 1000000), default = 50 },
    { "window", config.whole(1, 86400, "seconds"), default = 60 },
}

-- Returns the limit of a configuration, or nil if the limit is turned off.
function _M.of(owner, values)
    local input = values.rate_limit
    if input == false then
        return nil
    end
    local options = config.read(owner, FIELDS, input == true and {} or input, "rate_limit.")
    return _M.new(options.dict, options.per_user, options.per_address, options.window)
        or config.fail(owner, 'lua_shared_dict %s is missing; add it, or set "rate_limit" to false', options.dict)
end

-- Returns the client's IPv4 address or its IPv6 /64: a client can use any address of its /64.
function _M.address()
    local bytes = ngx.var.binary_remote_addr
    if #bytes ~= 16 then
        return bytes
    end
    return sub(bytes, 1, 12) == MAPPED and sub(bytes, 13) or sub(bytes, 1, 8)
end

-- Adds an attempt to a counter. Returns the counter's value, or nil when there is no room for the counter.
local function increase(self, key)
    local dict = self.dict
    for _ = 1, MAX_TRIES do
        local attempts = dict:incr(key, 1)
        if attempts then
            return attempts
        end
        -- incr() with an initial value would evict other counters, even in their window.
        local added, err = dict:safe_add(key, 1, self.window)
        if added then
            return 1
        elseif err ~= "exists" and not room.make(self, "login attempts") then
            return nil
        end
    end
    return nil
end

-- Adds an attempt to a counter and to the ticket. Returns what count_address() returns.
local function count(self, ticket, key, max)
    local attempts = increase(self, key)
    if not attempts then
        return nil, FULL_SECONDS, true
    elseif attempts > max then
        return nil, math.max(1, math.ceil(self.dict:ttl(key) or self.window))
    end
    ticket[#ticket + 1] = key
    return ticket
end

-- Counts an attempt of the client's address. Returns a ticket for count_user() and forgive(); or nil, the seconds to
-- wait, and true if the dictionary is full. Call it before the body is read: a refused attempt then costs little and
-- adds no name to the dictionary.
function limit:count_address()
    return count(self, {}, "a:" .. _M.address(), self.per_address)
end

-- Counts an attempt for a user. Returns what count_address() returns. Call it before the attempt, so that concurrent
-- attempts cannot pass together. `digest` identifies the name. It is nil if the body names nobody; the backend may
-- still read a name, so all such attempts of an address share one counter.
function limit:count_user(ticket, digest)
    return count(self, ticket, digest and "u:" .. digest or "n:" .. _M.address(), self.per_user)
end

-- Uncounts an attempt that was no wrong guess: it succeeded, or the backend failed.
function limit:forgive(ticket)
    for _, key in ipairs(ticket) do
        self.dict:incr(key, -1)
    end
end

return _M
