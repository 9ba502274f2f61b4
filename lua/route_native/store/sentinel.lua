-- Finds the master of a Redis that Sentinel watches. The sentinels are asked in turn, once for all requests of a worker
-- that need the answer, and again after forget().

local client = require "route_native.store.client"
local redis_server = require "route_native.store.redis_server"
local singleflight = require "route_native.core.singleflight.worker"

local ngx = ngx

-- The sentinels that do not answer take no more time than so many of them together.
local MAX_WAITS = 3

local _M = {}
local sentinel = {}
sentinel.__index = sentinel

-- Returns the finder of settings.master. The settings are those of redis.lua.
function _M.new(settings)
    local own = {}
    for _, name in ipairs { "owner", "timeout", "pool_size", "pool_idle", "tls", "tls_verify", "tls_name" } do
        own[name] = settings[name]
    end
    own.username, own.password = settings.sentinel_username, settings.sentinel_password
    local servers = {}
    for i, address in ipairs(settings.sentinels) do
        servers[i] = redis_server.new(own, client.address(address, settings.labels.sentinels))
    end
    return setmetatable({
        servers = servers, first = 1, name = settings.master, seconds = own.timeout / 1000,
    }, sentinel)
end

-- Returns the host and the port that a sentinel names, or nil and an error.
local function ask(self, server)
    local reply, err = server:send_for_array(2, "sentinel", "get-master-addr-by-name", self.name)
    if not reply then
        -- Redis says nothing about a master of another name.
        return nil, err
    end
    local host, port = tostring(reply[1]), tostring(reply[2])
    host, port = client.split((host:find(":", 1, true) and "[" .. host .. "]" or host) .. ":" .. port)
    if not port then
        return nil, "the sentinel names no address"
    end
    return host, port
end

-- Asks the sentinels in turn, and begins with the one that answered last.
local function ask_all(self)
    local stop = ngx.now() + MAX_WAITS * self.seconds
    local err
    for i = 0, #self.servers - 1 do
        local at = (self.first + i - 1) % #self.servers + 1
        local host, port
        host, port = ask(self, self.servers[at])
        if host then
            self.first, self.host, self.port = at, host, port
            return host, port
        end
        err = port
        if ngx.now() >= stop then
            break
        end
    end
    return nil, "no sentinel knows the master: " .. (err or "?")
end

-- Returns the host and the port of the master, or nil and an error.
function sentinel:master()
    if self.host then
        return self.host, self.port
    end
    -- A request that leaves in the middle of the work lets the others wait in vain. They wait no longer than they must.
    return singleflight.run(self, (MAX_WAITS + 1) * self.seconds, function() return ask_all(self) end)
end

-- Forgets a master that failed, so that the next call asks anew, and another sentinel first: this one may be cut off.
function sentinel:forget(host, port)
    if self.host == host and self.port == port then
        self.host, self.port = nil, nil
        self.first = self.first % #self.servers + 1
    end
end

return _M
