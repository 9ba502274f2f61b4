-- A session store in Redis: one server, a managed one (TLS, password), or a cluster, whose redirections it follows. Run
-- Redis with maxmemory-policy noeviction: without it the server evicts sessions before their time.

local bit = require "bit"
local client = require "route_native.store.client"

local band, bxor, lshift = bit.band, bit.bxor, bit.lshift
local byte = string.byte
local null = ngx.null

-- A cluster may redirect more than once while it moves slots.
local MAX_REDIRECTIONS = 3
local SLOTS = 16384

-- A swap is one script, because Redis runs a script atomically.
local SWAP = [[
if redis.call("get", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == "0" then redis.call("set", KEYS[1], ARGV[2]) else redis.call("set", KEYS[1], ARGV[2], "EX", ARGV[3]) end
return 1]]

local _M = {}
local node = {}
node.__index = node
local store = {}
store.__index = store

local redis

-- Returns the slot of a key in a cluster: CRC-16/XMODEM modulo 16384. The border's keys have no hash tags.
local function slot_of(key)
    local crc = 0
    for i = 1, #key do
        crc = bxor(crc, lshift(byte(key, i), 8))
        for _ = 1, 8 do
            local carry = band(crc, 0x8000) ~= 0
            crc = band(lshift(crc, 1), 0xffff)
            if carry then
                crc = bxor(crc, 0x1021)
            end
        end
    end
    return crc % SLOTS
end
_M.slot_of = slot_of

-- Returns one server of the store.
local function new_node(settings, address)
    local host, port = client.address(address)
    return setmetatable({ settings = settings, host = host, port = port, pool = "redis " .. address }, node)
end

function _M.new(settings)
    redis = redis or client.require("redis")
    return setmetatable({
        name = "redis", settings = settings, nodes = {}, address_of_slot = {}, address = settings.address,
        is_cluster = false, first = new_node(settings, settings.address),
    }, store)
end

-- Starts TLS on a new connection and sends the password, as far as the settings ask for them.
local function authenticate(connection, settings)
    if settings.tls then
        -- Older versions of the client have no option for TLS, so call its socket. `false`: pooled connections need no
        -- TLS session resumption.
        local done, err = connection._sock:sslhandshake(false, settings.tls_name, settings.tls_verify)
        if not done then
            return nil, err
        end
    end
    if settings.password then
        local done, err
        if settings.username then
            done, err = connection:auth(settings.username, settings.password)
        else
            done, err = connection:auth(settings.password)
        end
        if not done then
            return nil, err
        end
    end
    return true
end

function node:open(pool)
    local settings = self.settings
    local connection, err = redis:new()
    if not connection then
        return nil, err
    end
    local connected
    connected, err = client.connect(self, connection, settings.timeout, pool)
    if connected and (connection:get_reused_times() or 0) == 0 then
        connected, err = authenticate(connection, settings)
        if not connected then
            connection:close()
        end
    end
    return connected and connection, err
end

function node:keep(connection)
    connection:set_keepalive(self.settings.pool_idle, self.settings.pool_size)
end

-- Sends one command. Returns its reply, or nil and an error. Redis's own errors begin with a word in capitals.
local function send(self, asking, command, ...)
    local arguments, count = { ... }, select("#", ...)
    return client.run(self, function(connection)
        if asking then
            connection:asking()
        end
        local reply, err = connection[command](connection, unpack(arguments, 1, count))
        if reply then
            return true, reply
        end
        -- After OOM and redirections the connection is healthy. After READONLY, LOADING and the like a new connection
        -- may reach another server.
        local word = reply == false and err:match("^%u+")
        return word == "OOM" or word == "MOVED" or word == "ASK", nil, err
    end)
end

function store:node(address)
    local known_node = self.nodes[address]
    if not known_node then
        known_node = new_node(self.settings, address)
        self.nodes[address] = known_node
    end
    return known_node
end

-- Sends a command about a key to the server that holds the key.
local function command(self, name, key, ...)
    local slot = self.is_cluster and slot_of(key)
    local known_address = slot and self.address_of_slot[slot]
    local target, asking = known_address and self:node(known_address) or self.first, false
    local reply, err
    for _ = 0, MAX_REDIRECTIONS do
        if name == "eval" then
            reply, err = send(target, asking, name, SWAP, 1, key, ...)
        else
            reply, err = send(target, asking, name, key, ...)
        end
        local word, moved_slot, address = (err or ""):match("^(%u+) (%d+) (%S+)$")
        if word ~= "MOVED" and word ~= "ASK" then
            break
        end
        if word == "MOVED" then
            self.is_cluster = true
            self.address_of_slot[tonumber(moved_slot)] = address
        end
        target, asking = self:node(address), word == "ASK"
    end
    if not reply and known_address then
        -- The server may have left the cluster, so ask the first server next time.
        self.address_of_slot[slot] = nil
    end
    return reply, err
end

function store:get(key)
    local reply, err = command(self, "get", key)
    if reply == null then
        return nil
    end
    return reply, err
end

-- Sends SET. Returns true, or false if the condition `only`, such as NX, does not hold.
local function set(self, key, value, ttl, only)
    local reply, err
    if ttl > 0 then
        reply, err = command(self, "set", key, value, "EX", ttl, only)
    else
        reply, err = command(self, "set", key, value, only)
    end
    if not reply then
        return nil, err
    end
    return reply ~= null
end

function store:add(key, value, ttl)
    return set(self, key, value, ttl, "NX")
end

function store:set(key, value, ttl)
    return set(self, key, value, ttl)
end

-- Converts a reply of 1 or 0 to a boolean.
local function flag(reply, err)
    if not reply then
        return nil, err
    end
    return reply == 1
end

function store:swap(key, old, new, ttl)
    return flag(command(self, "eval", key, old, new, ttl))
end

function store:touch(key, ttl)
    return flag(command(self, "expire", key, ttl))
end

function store:delete(key)
    local reply, err = command(self, "del", key)
    if not reply then
        return nil, err
    end
    return true
end

return _M
