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
    -- A sentinel keeps what it learns in its file.
    sentinel = function(self)
        local path = self.directory .. "/sentinel.conf"
        if process.read(path) == "" then
            process.write(path, ("bind 127.0.0.1\nport %d\ndir %s\n%s\n")
                :format(self.port, self.directory, self.options))
        end
        return "redis-server " .. path .. " --sentinel"
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

-- Starts a Redis server, a replica of it, and a sentinel that watches them under the name "main". Returns the three.
function _M.start_sentinel(options)
    local master = _M.start("redis", options)
    local replica = _M.start("redis", ("%s --replicaof 127.0.0.1 %d --repl-diskless-sync-delay 0")
        :format(options or "", master.port))
    local sentinel = _M.start("sentinel", ("sentinel monitor main 127.0.0.1 %d 1\n"
        .. "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 2000"):format(master.port))
    -- By itself it looks for replicas each 10 seconds.
    sentinel:redis("sentinel debug info-period 200")
    process.wait_until("the sentinel knew the replica", function()
        return replica:redis("info replication"):find("master_link_status:up", 1, true)
            and sentinel:redis("sentinel master main"):find("num%-slaves\n1\n")
    end)
    sentinel:redis("sentinel debug info-period 10000")
    return master, replica, sentinel
end

-- Waits until one of two servers is the master, and the other one a replica that has all of its data. Returns both.
function _M.wait_for_replica(one, other)
    local master
    process.wait_until("one server was the replica of the other", function()
        master = one:redis("role"):find("^master") and one or other
        local replica = master == one and other or one
        return replica:redis("info replication"):find("master_link_status:up", 1, true)
            and master:redis("wait 1 1000") == "1"
    end)
    return master, master == one and other or one
end

-- Starts a cluster of three servers. Returns them.
function _M.start_cluster()
    local nodes, addresses = {}, {}
    for i = 1, 3 do
        nodes[i] = _M.start("redis", "--cluster-enabled yes --cluster-node-timeout 2000 --cluster-port "
            .. process.free_port())
        addresses[i] = nodes[i].address
    end
    local output, status = process.run("redis-cli --cluster create " .. table.concat(addresses, " ")
        .. " --cluster-replicas 0 --cluster-yes")
    assert(status == 0, output)
    process.wait_until("the cluster was ready", function()
        for _, node in ipairs(nodes) do
            if not node:redis("cluster info"):find("cluster_state:ok", 1, true) then
                return false
            end
        end
        return true
    end)
    return nodes
end

-- Stops servers, and whatever else can stop.
function _M.stop_all(list)
    for _, one in ipairs(list) do
        one:stop()
    end
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
