-- A session store in Redis: one server, a managed one (TLS, password), one that Sentinel watches, or a cluster, whose
-- redirections it follows. Run Redis with maxmemory-policy noeviction: without it the server evicts sessions before
-- their time.
--
-- Its settings:
--
--     address or addresses            the servers to begin with: one, or any of a cluster
--     sentinels, master               the addresses of sentinels, and the name of the master that they watch
--     username, password              credentials; sentinel_username and sentinel_password are those for sentinels
--     tls, tls_verify, tls_name       TLS, and the name in the certificate; true: the host of each server
--     timeout, pool_size, pool_idle   see client.lua
--     owner, labels                   who the connections are of; the names of the settings, for errors

local bit = require "bit"
local client = require "route_native.store.client"
local redis_server = require "route_native.store.redis_server"
local sentinel = require "route_native.store.sentinel"

local band, bxor, lshift = bit.band, bit.bxor, bit.lshift
local byte = string.byte
local null = ngx.null

-- A cluster may redirect more than once while it moves slots.
local MAX_REDIRECTIONS = 3
local SLOTS = 16384
-- The servers that are remembered. A cluster has at most a thousand.
local MAX_SERVERS = 1000

local LABELS = { address = "store.address", sentinels = "store.sentinels" }

-- A swap is one script, because Redis runs a script atomically.
local SWAP = [[
if redis.call("get", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == "0" then redis.call("set", KEYS[1], ARGV[2]) else redis.call("set", KEYS[1], ARGV[2], "EX", ARGV[3]) end
return 1]]

local _M = {}
local store = {}
store.__index = store

-- Returns the slot of a key in a cluster: CRC-16/XMODEM modulo 16384, of the part in braces if there is one.
local function slot_of(key)
    key = key:match("{([^}]+)}") or key
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

-- Opens a store. Raises an error of one sentence about a bad address.
function _M.new(settings)
    settings.owner, settings.labels = settings.owner or "border", settings.labels or LABELS
    local self = setmetatable({
        name = "redis", settings = settings, servers = {}, server_count = 0, address_of_slot = {}, is_cluster = false,
        seeds = {}, seed = 1, sentinel = settings.sentinels and sentinel.new(settings),
    }, store)
    for i, address in ipairs(not self.sentinel and (settings.addresses or { settings.address }) or {}) do
        self.seeds[i] = redis_server.new(settings, client.address(address, settings.labels.address))
    end
    return self
end

-- Returns the server at an address that Redis or Sentinel has named.
local function server_at(self, host, port)
    local address = host .. ":" .. (port or "")
    local known = self.servers[address]
    if not known then
        if self.server_count >= MAX_SERVERS then
            self.servers, self.server_count = {}, 0
        end
        known = redis_server.new(self.settings, host, port, self.sentinel ~= nil)
        self.servers[address], self.server_count = known, self.server_count + 1
    end
    return known
end

-- Returns the server to begin with, or nil and an error.
local function first_server(self)
    if not self.sentinel then
        return self.seeds[self.seed]
    end
    local host, port = self.sentinel:master()
    if not host then
        return nil, port
    end
    return server_at(self, host, port)
end

-- Looks for another server to begin with after one has failed.
local function leave(self, server)
    if self.sentinel then
        self.sentinel:forget(server.host, server.port)
    else
        self.seed = self.seed % #self.seeds + 1
    end
end

-- Sends a command to a server and to those to which it redirects.
local function send(self, target, name, ...)
    local asking = false
    local reply, err
    for _ = 0, MAX_REDIRECTIONS do
        reply, err = target:send(asking, name, ...)
        local word, slot, address = (err or ""):match("^(%u+) (%d+) (%S+)$")
        if word ~= "MOVED" and word ~= "ASK" then
            break
        end
        local host, port = client.split(address)
        if not host then
            return nil, "the cluster redirects to no address"
        elseif word == "MOVED" then
            self.is_cluster = true
            self.address_of_slot[tonumber(slot) % SLOTS] = address
        end
        target, asking = server_at(self, host, port), word == "ASK"
    end
    return reply, err
end

-- Sends a command about a key to the server that holds the key. Returns the reply, or nil and an error.
local function command(self, key, name, ...)
    local slot = self.is_cluster and slot_of(key)
    local known_address = slot and self.address_of_slot[slot]
    local target, err
    if known_address then
        target = server_at(self, client.split(known_address))
    else
        target, err = first_server(self)
    end
    if not target then
        return nil, err
    end
    local reply
    reply, err = send(self, target, name, ...)
    if reply or redis_server.is_answer(err) then
        return reply, err
    elseif known_address then
        -- The server may have left the cluster, so ask the first server next time.
        self.address_of_slot[slot] = nil
        return nil, err
    end
    -- Another server may answer, and Sentinel may know a new master already. After a timeout there is no time left.
    local others = self.sentinel and 1 or #self.seeds - 1
    repeat
        leave(self, target)
        local other = others > 0 and err ~= "timeout" and first_server(self)
        if not other or other == target then
            return nil, err
        end
        target, others = other, others - 1
        reply, err = send(self, target, name, ...)
    until reply or redis_server.is_answer(err)
    return reply, err
end

-- Runs a script, whose keys are all in one slot. Returns its reply, or nil and an error.
function store:eval(script, keys, ...)
    local arguments, count = { unpack(keys) }, #keys
    for i = 1, select("#", ...) do
        arguments[count + i] = (select(i, ...))
    end
    return command(self, keys[1], "eval", script, count, unpack(arguments))
end

function store:get(key)
    local reply, err = command(self, key, "get", key)
    if reply == null then
        return nil
    end
    return reply, err
end

-- Sends SET. Returns true, or false if the condition `only`, such as NX, does not hold.
local function set(self, key, value, ttl, only)
    local reply, err
    if ttl > 0 then
        reply, err = command(self, key, "set", key, value, "EX", ttl, only)
    else
        reply, err = command(self, key, "set", key, value, only)
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
    return flag(self:eval(SWAP, { key }, old, new, ttl))
end

function store:touch(key, ttl)
    return flag(command(self, key, "expire", key, ttl))
end

function store:delete(key)
    local reply, err = command(self, key, "del", key)
    if not reply then
        return nil, err
    end
    return true
end

return _M
