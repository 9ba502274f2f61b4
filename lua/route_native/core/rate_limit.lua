-- Counts failed attempts in a shared dictionary, in windows of fixed length: by address, and by user name.
--
-- A name costs the same whether or not it exists: the dictionary knows only what was tried. Names are folded as
-- backends may fold them, and stored as digests, so that none can be long or strange.

local digest_of = require("route_native.core.login_body").digest_of

local ngx = ngx
local sub = string.sub

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
    local nested = require("route_native.core.config").of(given, fields.owner .. ": rate_limit")
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

-- What an attempt is counted under, with the most that each may reach. Attempts that name nobody count together: the
-- backend may know better whom they name.
local function counters_of(self, user)
    local digest = user and digest_of(user)
    return {
        { "a:" .. address(), self.per_address },
        digest and { "u:" .. digest, self.per_user } or { "n:", self.per_address },
    }
end

-- Counts an attempt before it is made, so that many at once do not pass together. Returns a ticket for forgive(), or
-- nil and the seconds to wait.
function limit:count(user)
    local ticket = {}
    for i, counter in ipairs(counters_of(self, user)) do
        local key, most = counter[1], counter[2]
        local attempts = self.dict:incr(key, 1, 0, self.window)
        if not attempts or attempts > most then
            -- Nothing further is counted: an address that is refused must not fill the dictionary with names.
            return nil, math.max(1, math.ceil(self.dict:ttl(key) or self.window))
        end
        ticket[i] = key
    end
    return ticket
end

-- Takes an attempt back that was no guess: it succeeded, or the backend failed.
function limit:forgive(ticket)
    for _, key in ipairs(ticket) do
        self.dict:incr(key, -1)
    end
end

return _M
