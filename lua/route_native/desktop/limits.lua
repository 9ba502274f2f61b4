-- Limits the requests a second and the open requests of each token, each desktop and each client's address, over all
-- workers.
--
-- Tokens and desktops are counted once a token is verified, so only who can issue tokens can fill their dictionary.
-- Anybody can fill that of the addresses: nobody's counter is evicted for another, and an address without room is not
-- limited. Who has so many addresses would have each one's allowance anyway.

local ffi = require "ffi"
local config = require "route_native.core.config"
local counter = require "route_native.core.counter"
local failure = require "route_native.desktop.failure"
local rate_limit = require "route_native.core.rate_limit"
local request = require "route_native.core.request"
local tally = require "route_native.core.tally"
local workers = require "route_native.core.workers"

local cast, tonumber = ffi.cast, tonumber
local current = request.current
local ngx = ngx

local address_type = ffi.typeof("uintptr_t")
local WINDOW_SECONDS = 1
local DESKTOPS, CLIENTS = "desktop_limits", "desktop_clients"
local PROBLEM = "requests of this second, and more are not limited"
-- Which limit refuses with which answer: the client that asks too often can change that, and a busy desktop's cannot.
local CODES = { client = "too_many_requests", token = "too_many_requests", target = "desktop_busy" }
-- The first letter of a key keeps the kinds apart in their dictionary.
local PREFIXES = { client = "c", token = "t", target = "d" }

local _M = {}

-- The limits of each kind: { rate, connections }.
local limits = {}
-- Counters and tallies of each kind.
local counters, tallies = {}, {}
-- What each request of this worker has added to the tallies, by its address in memory: kind, key, and so on.
local held = {}

-- Prepares the limits of the settings. Returns whether there is one. setup() calls it once.
function _M.start(settings)
    local is_on = false
    for kind in pairs(CODES) do
        local rate, connections = settings[kind .. "_rate"], settings[kind .. "_connections"]
        limits[kind] = (rate or connections) and { rate = rate, connections = connections }
        is_on = is_on or limits[kind] ~= nil
    end
    if not is_on then
        return false
    end
    for _, name in ipairs { DESKTOPS, CLIENTS } do
        if not ngx.shared[name] then
            config.fail("route_native", "a limit is set, and lua_shared_dict %s is missing", name)
        end
    end
    local list = workers.new(ngx.shared[DESKTOPS])
    local of_desktops = tally.new(ngx.shared[DESKTOPS], list)
    counters.client = counter.new(CLIENTS, WINDOW_SECONDS, PROBLEM)
    counters.token = counter.new(DESKTOPS, WINDOW_SECONDS, PROBLEM)
    counters.target = counters.token
    tallies.client, tallies.token, tallies.target = tally.new(ngx.shared[CLIENTS], list), of_desktops, of_desktops
    return true
end

local function address_of_request()
    return tonumber(cast(address_type, current()))
end

-- Ends the request of a log phase: what it has added is open no more.
function _M.release()
    local address = address_of_request()
    local list = held[address]
    if list then
        held[address] = nil
        for i = 1, #list, 2 do
            tallies[list[i]]:remove(list[i + 1])
        end
    end
end

-- Adds the request to what a key has open, unless that is the limit. Returns whether it did.
local function open(kind, key, max)
    if not tallies[kind]:add(key, max) then
        return false
    end
    local address = address_of_request()
    local list = held[address] or {}
    held[address] = list
    list[#list + 1], list[#list + 2] = kind, key
    return true
end

-- Counts the request for one kind. Ends it if that is too much.
local function admit(kind, name)
    local limit = limits[kind]
    -- nginx logs no subrequest, so that it would be open for ever. It is a part of the request that is counted.
    if not limit or ngx.is_subrequest then
        return
    end
    local key = PREFIXES[kind] .. name
    if limit.rate and (counters[kind]:increase(key) or 0) > limit.rate then
        return failure.finish(CODES[kind], nil, kind .. "_rate")
    elseif limit.connections and not open(kind, key, limit.connections) then
        return failure.finish(CODES[kind], nil, kind .. "_connections")
    end
end

-- Counts the request for its client's address. Ends it if that is too much. Call it before the token is checked.
function _M.admit_client()
    -- After an internal redirect the request is counted anew.
    _M.release()
    return admit("client", rate_limit.address())
end

-- Counts the request for its token, by the token's fingerprint, and for its desktop. Ends it if that is too much.
function _M.admit_desktop(fingerprint, target)
    admit("token", fingerprint)
    return admit("target", target)
end

return _M
