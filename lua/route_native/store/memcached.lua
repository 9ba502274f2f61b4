-- A session store in memcached. Run memcached with -M: without it the server evicts sessions before their time.

local client = require "route_native.store.client"

local _M = {}
local store = {}
store.__index = store

local memcached

-- The keys need no escaping: the border makes them.
local function identity(key)
    return key
end
local OPTIONS = { key_transform = { identity, identity } }

function _M.new(settings)
    memcached = memcached or client.require("memcached")
    local host, port = client.address(settings.address, "store.address")
    return setmetatable({
        name = "memcached", host = host, port = port, pool = "memcached " .. settings.address,
        timeout = settings.timeout, pool_size = settings.pool_size, idle = settings.pool_idle,
    }, store)
end

function store:open(pool)
    local connection, err = memcached:new(OPTIONS)
    if not connection then
        return nil, err
    end
    local connected
    connected, err = client.connect(self, connection, self.timeout, pool)
    return connected and connection, err
end

function store:keep(connection)
    connection:set_keepalive(self.idle, self.pool_size)
end

-- Maps an answer other than success to the results of an operation: whether the connection is healthy, the result and
-- the error. `words` maps words of the protocol to results.
local function meaning_of(words, err)
    local meaning = words[err]
    if meaning ~= nil then
        return true, meaning
    end
    -- After an error of the protocol the connection is healthy. Any other error may have interrupted an answer.
    return err ~= nil and err:sub(1, 12) == "SERVER_ERROR", nil, err
end

-- Runs an operation that returns 1, or nil and a word of the protocol.
local function run_operation(self, words, operation)
    return client.run(self, function(connection)
        local done, err = operation(connection)
        if done then
            return true, true
        end
        return meaning_of(words, err)
    end)
end

function store:get(key)
    return client.run(self, function(connection)
        local value, _, err = connection:get(key)
        return err == nil, value, err
    end)
end

local EXISTS = { NOT_STORED = false }
function store:add(key, value, ttl)
    return run_operation(self, EXISTS, function(connection) return connection:add(key, value, ttl) end)
end

function store:set(key, value, ttl)
    return run_operation(self, {}, function(connection) return connection:set(key, value, ttl) end)
end

local CHANGED = { EXISTS = false, NOT_FOUND = false }
function store:swap(key, old, new, ttl)
    return client.run(self, function(connection)
        local value, flags, version, err = connection:gets(key)
        if not value then
            -- The client returns an error as its third or fourth result.
            err = err or version
            return err == nil, err == nil and false or nil, err
        elseif value ~= old then
            return true, false
        end
        local done
        done, err = connection:cas(key, new, version, ttl, flags)
        if done then
            return true, true
        end
        return meaning_of(CHANGED, err)
    end)
end

function store:touch(key, ttl)
    return run_operation(self, { NOT_FOUND = false }, function(connection) return connection:touch(key, ttl) end)
end

function store:delete(key)
    return run_operation(self, { NOT_FOUND = true }, function(connection) return connection:delete(key) end)
end

return _M
