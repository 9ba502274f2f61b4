-- Desktops that fail, and sites whose patience ends soon.

local gateway = require "support.gateway"
local process = require "support.process"
local socket = require "socket"

local _M = {}

-- Starts a program of spec/support that prints `ready PORT`, with an argument. Returns its port, its process id and the
-- file with its output.
function _M.start(program, directory, argument)
    local log = directory .. "/" .. program .. ".log"
    process.write(log, "")
    local pid = process.start(("/usr/bin/python3 %s/spec/support/%s %s"):format(gateway.ROOT, program, argument or ""),
        log)
    local port = process.wait_until(program .. " was ready", function()
        return tonumber(process.read(log):match("ready (%d+)"))
    end)
    return port, pid, log
end

-- Returns a port of 127.0.0.1 to which no connection is ever made: its queue is full, and the kernel drops what else
-- comes. The sockets are to be kept.
function _M.silent_port()
    local sockets = { assert(socket.bind("127.0.0.1", 0, 0)) }
    local port = select(2, sockets[1]:getsockname())
    local is_full
    repeat
        local connection = socket.tcp()
        connection:settimeout(0.3)
        is_full = not connection:connect("127.0.0.1", port)
        sockets[#sockets + 1] = connection
    until is_full
    return tonumber(port), sockets
end

-- Returns a function for gateway.start's `prepare`: the shipped site, with further directives in its server block.
function _M.site(directives, before)
    return function(self)
        local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
            :gsub("server_name _;", "%0 " .. directives:gsub("%%", "%%%%"))
        self.environment.SITE = self.directory .. "/site.conf"
        process.write(self.environment.SITE, (before or "") .. site)
    end
end

return _M
