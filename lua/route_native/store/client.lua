-- What the stores over a network share: the client library, addresses, pooled connections.

local _M = {}

-- OpenResty bundles the clients as resty.NAME; Debian packages them as nginx.NAME.
function _M.library(name)
    for _, parent in ipairs { "resty.", "nginx." } do
        local found, library = pcall(require, parent .. name)
        if found then
            return library
        end
    end
    return nil
end

-- Loads a client library; without it one sentence says what to install.
function _M.require(name)
    local library = _M.library(name)
    if not library then
        error(("route_native: the %s store needs lua-resty-%s (in OpenResty, or Debian's package lua-nginx-%s)")
            :format(name, name, name), 0)
    end
    return library
end

-- Splits "host:port", "[v6]:port" or "unix:/path" into what connect() takes.
function _M.address(text)
    if text:sub(1, 6) == "unix:/" then
        return text
    end
    local host, port = text:match("^(%[[%x:.]+%]):(%d+)$")
    if not host then
        host, port = text:match("^([%w.-]+):(%d+)$")
    end
    port = tonumber(port)
    if not port or port < 1 or port > 65535 then
        error(("route_native: store.address must be host:port or unix:/path, and is %q"):format(text), 0)
    end
    return host, port
end

-- Connects to the address of `self`, a port or a socket, out of the pool of that name where one is kept there.
function _M.connect(self, connection, timeout, pool)
    connection:set_timeout(timeout)
    if self.port then
        return connection:connect(self.host, self.port, { pool = pool })
    end
    return connection:connect(self.host, { pool = pool })
end

-- Runs `operation(connection)` on a connection of `self`, which brings open(pool) and keep(connection). The operation
-- returns `healthy` and its results; a connection that is not healthy is not used again.
--
-- A pooled connection may have died with a server that is back by now: then the operation is tried once more on a new
-- one. Not after a timeout: that would only double the wait.
function _M.run(self, operation)
    local connection, err = self:open(self.pool)
    if not connection then
        return nil, err
    end
    local reused = (connection:get_reused_times() or 0) > 0
    local healthy, result, failure = operation(connection)
    if healthy then
        self:keep(connection)
        return result, failure
    end
    connection:close()
    if not reused or failure == "timeout" then
        return nil, failure
    end
    connection, err = self:open(self.pool .. "/new")
    if not connection then
        return nil, err
    end
    healthy, result, failure = operation(connection)
    connection:close()
    if healthy then
        return result, failure
    end
    return nil, failure
end

return _M
