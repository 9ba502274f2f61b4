-- The common part of the stores over a network: client libraries, addresses and pooled connections.

local bounded = require "route_native.store.bounded"

local _M = {}

-- Returns a client library, or nil. OpenResty bundles it as resty.NAME, Debian packages it as nginx.NAME.
function _M.library(name)
    for _, parent in ipairs { "resty.", "nginx." } do
        local found, library = pcall(require, parent .. name)
        if found then
            return library
        end
    end
    return nil
end

-- Loads a client library. Raises an error that says what to install if it is missing.
function _M.require(name)
    local library = _M.library(name)
    if not library then
        error(("route_native: the %s store needs lua-resty-%s (in OpenResty, or Debian's package lua-nginx-%s)")
            :format(name, name, name), 0)
    end
    return library
end

-- Splits "host:port" or "[v6]:port" into host and port. Returns "unix:/path" as it is, and nil for anything else.
function _M.split(text)
    if text:sub(1, 6) == "unix:/" then
        return text
    end
    local host, port = text:match("^(%[[%x:.]+%]):(%d+)$")
    if not host then
        host, port = text:match("^([%w.-]+):(%d+)$")
    end
    port = tonumber(port)
    if port and port >= 1 and port <= 65535 then
        return host, port
    end
    return nil
end

-- Does the same for a setting, whose name is `label`. Raises an error about anything else.
function _M.address(text, label)
    local host, port = _M.split(text)
    if not host then
        error(("route_native: %s must be host:port or unix:/path, and is %q"):format(label, text), 0)
    end
    return host, port
end

-- Connects to the address of `self`, or takes a connection from the pool of that name. The client libraries keep their
-- socket in a field of their own.
function _M.connect(self, connection, timeout, pool)
    local field = rawget(connection, "_sock") and "_sock" or "sock"
    rawset(connection, field, bounded.new(rawget(connection, field)))
    connection:set_timeout(timeout)
    if self.port then
        return connection:connect(self.host, self.port, { pool = pool })
    end
    return connection:connect(self.host, { pool = pool })
end

-- Runs `operation(connection)` on a connection of `self`, which has open(pool) and keep(connection). The operation
-- returns whether the connection is healthy, and its results. An unhealthy connection is closed.
--
-- A pooled connection may have died when its server restarted. The operation is then tried once more on a new one, but
-- not after a timeout, which would double the wait.
function _M.run(self, operation)
    local connection, err = self:open(self.pool)
    if not connection then
        return nil, err
    end
    local reused = (connection:get_reused_times() or 0) > 0
    local healthy, result, op_err = operation(connection)
    if healthy then
        self:keep(connection)
        return result, op_err
    end
    connection:close()
    if not reused or op_err == "timeout" then
        return nil, op_err
    end
    connection, err = self:open(self.pool .. "/new")
    if not connection then
        return nil, err
    end
    healthy, result, op_err = operation(connection)
    connection:close()
    if healthy then
        return result, op_err
    end
    return nil, op_err
end

return _M
