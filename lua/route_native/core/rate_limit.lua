-- Counts failed attempts in a shared dictionary, in windows of fixed length: by address, and by user name.
--
-- A name costs the same whether or not it exists: the dictionary knows only what was tried. Names are folded as
-- backends may fold them, and stored as digests, so that none can be long or strange.
--
-- Anybody can add counters, so none is ever evicted for another: an attempt for which there is no room is refused.
-- Give the dictionary to limits alone.

local config = require "route_native.core.config"

local ngx = ngx
local sub = string.sub

-- When an attempt may be made again for which there was no room, in seconds.
local FULL_SECONDS = 5
-- Another worker may add or remove a counter in between.
local MAX_TRIES = 3
-- How IPv6 writes an IPv4 address, on sockets that take both.
local MAPPED = ("\0"):rep(10) .. "\255\255"

local _M = {}
local limit = {}
limit.__index = limit

-- Makes a limit of a dictionary's name, the most failed attempts for each user name and for each address, and the
-- window in seconds. Returns nil when there is no such dictionary.
function _M.new(name, per_user, per_address, window)
    local dict = ngx.shared[name]
    return dict and setmetatable({
        name = name, dict = dict, per_user = per_user, per_address = per_address, window = window, flushed_at = 0,
    }, limit)
end

-- The row of a configuration that limits attempts: true, false, or { dict, per_user, per_address, window }.
_M.ROWS = { { "rate_limit", config.any("table or boolean"), default = true } }

local FIELDS = {
    { "dict", config.text("^[%w_]+$", "the name of a lua_shared_dict"), default = "route_native_login" },
    { "per_user", config.whole(1, 1000000), default = 10 },
    { "per_address", config.whole(1, 1000000), default = 50 },
    { "window", config.whole(1, 86400, "seconds"), default = 60 },
}

-- Makes a limit of a configuration's values; nil when it has none.
function _M.of(owner, values)
    local given = values.rate_limit
    if given == false then
        return nil
    end
    local fields = config.read(owner, FIELDS, given == true and {} or given, "rate_limit.")
    return _M.new(fields.dict, fields.per_user, fields.per_address, fields.window)
        or config.fail(owner, 'lua_shared_dict %s is missing; add it, or set "rate_limit" to false', fields.dict)
end

-- Who is asking: an IPv4 address, or the /64 that an IPv6 client may choose from.
local function address()
    local bytes = ngx.var.binary_remote_addr
    if #bytes ~= 16 then
        return bytes
    end
    return sub(bytes, 1, 12) == MAPPED and sub(bytes, 13) or sub(bytes, 1, 8)
end

-- Removes the counters whose window has passed. It looks at all of them, so it runs at most once a second. Returns
-- whether there is room now.
local function make_room(self)
    local now = ngx.time()
    if now == self.flushed_at then
        return false
    end
    self.flushed_at = now
    if self.dict:flush_expired() > 0 then
        return true
    end
    ngx.log(ngx.ERR, "route_native: lua_shared_dict ", self.name, " is full of login attempts, and more are refused; ",
        "a larger one holds more")
    return false
end

-- Adds an attempt to a counter. Returns its attempts, or nil when there is no room for it.
local function increase(self, key)
    local dict = self.dict
    for _ = 1, MAX_TRIES do
        local attempts = dict:incr(key, 1)
        if attempts then
            return attempts
        end
        -- incr() with a first value would evict others, also those whose window has not passed.
        local added, err = dict:safe_add(key, 1, self.window)
        if added then
            return 1
        elseif err ~= "exists" and not make_room(self) then
            return nil
        end
    end
    return nil
end

local function count(self, ticket, key, most)
    local attempts = increase(self, key)
    if not attempts then
        return nil, FULL_SECONDS, true
    elseif attempts > most then
        return nil, math.max(1, math.ceil(self.dict:ttl(key) or self.window))
    end
    ticket[#ticket + 1] = key
    return ticket
end

-- Counts an attempt of the request's address before its body is read: one that is refused costs nothing more, and adds
-- no name to the dictionary. Returns a ticket for count_user() and forgive(). Otherwise returns nil, the seconds to
-- wait, and true when the dictionary is full.
function limit:count_address()
    return count(self, {}, "a:" .. address(), self.per_address)
end

-- Counts an attempt for a user before it is made, so that many at once do not pass together. `digest` stands for the
-- name, and is nil when the attempt names nobody: the backend may know better, so an address has one allowance for all
-- of these. Returns what count_address() returns.
function limit:count_user(ticket, digest)
    return count(self, ticket, digest and "u:" .. digest or "n:" .. address(), self.per_user)
end

-- Takes an attempt back that was no guess: it succeeded, or the backend failed.
function limit:forgive(ticket)
    for _, key in ipairs(ticket) do
        self.dict:incr(key, -1)
    end
end

return _M
