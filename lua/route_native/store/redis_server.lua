-- One Redis server: its connections, with TLS and a password, and its commands.

local client = require "route_native.store.client"

-- Redis answers ROLE with its replicas, three elements each.
local ROLE_ELEMENTS = 256
-- The errors after which the server is healthy, and another connection would get the same.
local IS_ANSWER = { OOM = true, MOVED = true, ASK = true, ERR = true, NOPERM = true, WRONGTYPE = true }

local _M = {}
local server = {}
server.__index = server

local redis

-- Returns whether an error of a command is the answer of a healthy server.
function _M.is_answer(err)
    return IS_ANSWER[(err or ""):match("^%u+") or ""] == true and not err:find("READONLY", 1, true)
end

-- Starts TLS on a new connection. Each of these steps returns true, or nil and an error.
local function start_tls(connection, settings, host)
    if not settings.tls then
        return true
    end
    local name = settings.tls_name == true and host or settings.tls_name
    -- Older versions of the client have no option for TLS, so call its socket. `false`: pooled connections need no
    -- TLS session resumption.
    return connection._sock:sslhandshake(false, name, settings.tls_verify)
end

-- Sends the password.
local function authenticate(connection, settings)
    if not settings.password then
        return true
    elseif settings.username then
        return connection:auth(settings.username, settings.password)
    end
    return connection:auth(settings.password)
end

-- Sends a command whose answer is an array of at most so many elements.
local function ask_array(connection, elements, command, ...)
    connection._sock:allow_elements(elements)
    local reply, err = connection[command](connection, ...)
    connection._sock:allow_elements(0)
    if type(reply) ~= "table" then
        return nil, err or "the answer is no array"
    end
    return reply
end

-- Checks that it leads to a master.
local function check_role(connection)
    local role, err = ask_array(connection, ROLE_ELEMENTS, "role")
    if role and role[1] ~= "master" then
        return nil, "the server is no master"
    end
    return role, err
end

-- Returns the server at an address, which is split already. `settings` are those of redis.lua. With `must_be_master`, a
-- connection to a replica is an error: a replica answers what it knew once.
function _M.new(settings, host, port, must_be_master)
    redis = redis or client.require("redis")
    local address = port and host .. ":" .. port or host
    return setmetatable({
        settings = settings, host = host, port = port, address = address,
        steps = { start_tls, authenticate, must_be_master and check_role or nil },
        -- Connections of two owners have different users.
        pool = ("redis %s %s"):format(settings.owner, address),
    }, server)
end

function server:open(pool)
    local settings = self.settings
    local connection, err = redis:new()
    if not connection then
        return nil, err
    end
    local done
    done, err = client.connect(self, connection, settings.timeout, pool)
    if not done then
        return nil, err
    elseif (connection:get_reused_times() or 0) > 0 then
        return connection
    end
    for _, step in ipairs(self.steps) do
        done, err = step(connection, settings, self.host)
        if not done then
            connection:close()
            return nil, err
        end
    end
    return connection
end

function server:keep(connection)
    connection:set_keepalive(self.settings.pool_idle, self.settings.pool_size)
end

-- Sends one command. Returns its reply, or nil and an error. Redis's own errors begin with a word in capitals. With
-- `asking`, a cluster's server answers for a slot that it is just getting.
function server:send(asking, command, ...)
    local arguments, count = { ... }, select("#", ...)
    return client.run(self, function(connection)
        if asking then
            connection:asking()
        end
        local reply, err = connection[command](connection, unpack(arguments, 1, count))
        if reply then
            return true, reply
        end
        -- After READONLY, LOADING and the like a new connection may reach another server.
        return reply == false and _M.is_answer(err), nil, err
    end)
end

-- Sends one command whose answer is an array of at most so many elements.
function server:send_for_array(elements, command, ...)
    local arguments, count = { ... }, select("#", ...)
    return client.run(self, function(connection)
        local reply, err = ask_array(connection, elements, command, unpack(arguments, 1, count))
        return reply ~= nil, reply, err
    end)
end

return _M
