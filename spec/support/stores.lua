-- Real memcached and Redis servers on free ports of 127.0.0.1. A spec may hang, kill and restart them.

local process = require "support.process"
local socket = require "socket"

local _M = {}
local server = {}
server.__index = server

local COMMANDS = {
    memcached = function(self)
        local user = os.getenv("USER") or "root"
        return ("memcached -l 127.0.0.1 -p %d -U 0 -u %s %s"):format(self.port, user, self.options)
    end,
    redis = function(self)
        return ("redis-server --bind 127.0.0.1 --port %d --dir %s --save '' %s")
            :format(self.port, self.directory, self.options)
    end,
}

function server:start()
    self.pid = process.start(COMMANDS[self.kind](self), self.directory .. "/" .. self.kind .. ".log")
    process.wait_until(self.kind .. " listened", function()
        return process.accepts(self.port) or not process.alive(self.pid)
    end)
    assert(process.alive(self.pid), process.read(self.directory .. "/" .. self.kind .. ".log"))
end

-- Starts a server; `options` are further arguments of its command line.
function _M.start(kind, options)
    local self = setmetatable({ kind = kind, options = options or "", port = process.free_port(),
        directory = process.temporary_directory() }, server)
    self.address = "127.0.0.1:" .. self.port
    self:start()
    return self
end

-- Starts a Redis server of a cluster.
function _M.start_cluster_node()
    return _M.start("redis", "--cluster-enabled yes --cluster-node-timeout 2000 --cluster-port "
        .. process.free_port())
end

function server:kill()
    process.stop(self.pid, "KILL")
end

function server:hang()
    process.signal(self.pid, "STOP")
end

function server:go_on()
    process.signal(self.pid, "CONT")
end

function server:stop()
    self:go_on()
    process.stop(self.pid, "KILL")
    process.run("rm -rf " .. process.quoted(self.directory))
end

-- Runs a command of redis-cli and returns its output.
function server:redis(command)
    return (process.run(("redis-cli -p %d %s"):format(self.port, command)):gsub("\n$", ""))
end

-- Sends bytes to memcached and returns the lines of the answer, up to one that matches `last`.
function server:memcached(bytes, last)
    local connection = assert(socket.connect("127.0.0.1", self.port))
    connection:settimeout(30)
    connection:send(bytes)
    local lines = {}
    repeat
        lines[#lines + 1] = assert(connection:receive("*l"))
    until lines[#lines]:find(last)
    connection:close()
    return lines
end

-- Returns the keys of a Redis server that match a pattern.
function server:keys(pattern)
    local keys = {}
    for key in self:redis("--raw keys " .. process.quoted(pattern)):gmatch("[^\n]+") do
        keys[#keys + 1] = key
    end
    return keys
end

return _M
