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
-- `err` means that the store is down, too slow or full. It never contains a key or a value. A swap is atomic, so it
-- cannot restore a session that ends meanwhile.

local KINDS = {
    memory = require "route_native.store.memory",
    memcached = require "route_native.store.memcached",
    redis = require "route_native.store.redis",
}

local _M = {}

-- Opens a store from its settings, { kind, address, … }, which border/settings.lua has read. A mistake raises an error
-- of one sentence.
function _M.open(settings)
    return KINDS[settings.kind].new(settings)
end

return _M
