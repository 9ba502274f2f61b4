-- Counts failed attempts in a shared dictionary, in windows of fixed length: by address, and by user name.
--
-- A name costs the same whether or not it exists: the dictionary knows only what was tried. Names are folded (case,
-- surrounding blanks) as backends may fold them, and stored as digests, so that none can be long or strange.

local ngx = ngx
local lower, sub = string.lower, string.sub

local _M = {}
local limit = {}
limit.__index = limit

-- Reads the field `rate_limit`: false, or { dict, per_user, per_address, window }.
function _M.read(fields)
    local given = fields:take("rate_limit", "table or boolean", {})
    if given == false then
        return nil
    elseif given == true then
        given = {}
    end
    local nested = require("route_native.fields").of(given, fields.owner .. ": rate_limit")
    local self = {
        name = nested:text("dict", "^[%w_]+$", "the name of a lua_shared_dict", "route_native_login"),
        per_user = nested:number("per_user", 1, 1000000, 10),
        per_address = nested:number("per_address", 1, 1000000, 50),
        window = nested:number("window", 1, 86400, 60),
    }
    nested:finish()
    self.dict = ngx.shared[self.name]
    if not self.dict then
        fields:fail(('lua_shared_dict %s is missing; add it, or set "rate_limit" to false'):format(self.name))
    end
    return setmetatable(self, limit)
end

-- Who is asking: an IPv4 address, or the /64 that an IPv6 client may choose from.
local function address()
    local bytes = ngx.var.binary_remote_addr
    return #bytes == 16 and sub(bytes, 1, 8) or bytes
end

local function keys_of(user)
    local keys = { "a:" .. address() }
    if user then
        keys[2] = "u:" .. ngx.sha1_bin(lower(user):match("^%s*(.-)%s*$"))
    end
    return keys
end

-- Counts an attempt before it is made, so that many at once do not pass together. Returns a ticket for forgive(), or
-- nil
-- and the seconds to wait.
function limit:count(user)
    local keys = keys_of(user)
    local bounds = { self.per_address, self.per_user }
    local wait
    for i, key in ipairs(keys) do
        local attempts = self.dict:incr(key, 1, 0, self.window)
        if not attempts or attempts > bounds[i] then
            local left = self.dict:ttl(key)
            wait = math.max(wait or 1, math.ceil(left or self.window))
        end
    end
    if wait then
        return nil, wait
    end
    return keys
end

-- Takes an attempt back that was no guess: it succeeded, or the backend failed.
function limit:forgive(ticket)
    for _, key in ipairs(ticket) do
        self.dict:incr(key, -1)
    end
end

return _M
