-- Opens session stores, which share one interface. Keys and values are strings. `ttl` is in whole seconds, or 0 for no
-- expiry.
--
--     get(key)                  value | nil when absent | nil, err
--     add(key, value, ttl)      true | false when the key is there | nil, err
--     set(key, value, ttl)      true | nil, err
--     swap(key, old, new, ttl)  true | false when the value is no longer `old` | nil, err
--     touch(key, ttl)           true | false when absent | nil, err
--     delete(key)               true, also when absent | nil, err
--
-- Each call is timed for the metrics.
--
-- `err` means that the store is down, too slow or full. It never contains a key or a value. A swap is atomic, so it
-- cannot restore a session that ends meanwhile.

local metrics = require "route_native.core.metrics"
local ready = require "route_native.core.ready"

local OPERATIONS = { "get", "add", "set", "swap", "touch", "delete" }

local KINDS = {
    memory = require "route_native.store.memory",
    memcached = require "route_native.store.memcached",
    redis = require "route_native.store.redis",
}

local _M = {}

-- Returns a method that calls the store's own, and notes how long that took.
local function timed(store, operation, number)
    local method = store[operation]
    local function finish(began, ...)
        metrics.observe(number, metrics.clock() - began)
        return ...
    end
    return function(_, ...)
        return finish(metrics.clock(), method(store, ...))
    end
end

-- Opens a store from its settings, { kind, address, prefix, … }, which session/settings.lua has read. A mistake raises
-- an error of one sentence. nginx is not ready while the store does not answer.
function _M.open(settings)
    local store = KINDS[settings.kind].new(settings)
    local opened = { name = store.name }
    for _, operation in ipairs(OPERATIONS) do
        opened[operation] = timed(store, operation, metrics.number("store_seconds", store.name, operation))
    end
    ready.add("store", ready.once_a_second(function()
        local _, err = opened:get(settings.prefix .. "ready")
        return err and "The session store does not answer" or nil
    end))
    return opened
end

return _M
