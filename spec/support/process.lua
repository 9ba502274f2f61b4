-- The programs of a spec: starts and ends them, finds free ports, and waits for conditions.

local ffi = require "ffi"
local socket = require "socket"

ffi.cdef "int fcntl(int fd, int command, ...);"
local F_SETFD, FD_CLOEXEC = 2, 1

local _M = {}

-- The time for a condition before the spec fails, in seconds. It is far longer than needed, and only ends hanging
-- specs.
local PATIENCE = 180

local started = {}

-- Ports below the kernel's range for outgoing connections (net.ipv4.ip_local_port_range), and below the demo's ports.
-- Each process of specs has a block of them to itself: the first port of the block is a listener, which says that the
-- block is taken. Two specs that draw from one range would take each other's ports between the draw and the use.
local FIRST_PORT, BLOCK, BLOCKS = 10000, 500, 38

local block

local function take_block()
    local source = assert(io.open("/dev/urandom", "rb"))
    local first = source:read(1):byte()
    source:close()
    for i = 1, BLOCKS do
        local start = FIRST_PORT + (first + i) % BLOCKS * BLOCK
        local listener = socket.bind("127.0.0.1", start)
        if listener then
            -- A program that outlives its spec must not keep the block.
            assert(ffi.C.fcntl(listener:getfd(), F_SETFD, ffi.new("int", FD_CLOEXEC)) == 0)
            return { start = start, listener = listener, last = 0 }
        end
    end
    error("each block of ports is taken: do 38 specs run at once?")
end

-- Returns a port of 127.0.0.1 that is free, and that no other process of specs takes before its use.
function _M.free_port()
    block = block or take_block()
    local server
    repeat
        block.last = block.last % (BLOCK - 1) + 1
        server = socket.bind("127.0.0.1", block.start + block.last)
    until server
    server:close()
    return block.start + block.last
end

function _M.accepts(port, address)
    local connection = socket.connect(address or "127.0.0.1", port)
    return connection and connection:close() and true
end

-- Calls `condition` until its result is true, and returns the result. `what` names the condition in a failure.
function _M.wait_until(what, condition)
    local deadline = socket.gettime() + PATIENCE
    repeat
        local result = condition()
        if result then
            return result
        end
        socket.select(nil, nil, 0.01)
    until socket.gettime() > deadline
    error("waited in vain until " .. what, 2)
end

function _M.read(path)
    local file = io.open(path, "rb")
    if not file then
        return ""
    end
    -- A process that ends in between leaves a file of /proc that cannot be read.
    local text = file:read("*a") or ""
    file:close()
    return text
end

function _M.write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local function quoted(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end
_M.quoted = quoted

-- Returns `env K=V…` for a shell command. The value false unsets a variable.
function _M.environment(variables)
    local unset, set = {}, {}
    for name, value in pairs(variables) do
        if value == false then
            unset[#unset + 1] = "-u " .. name
        else
            set[#set + 1] = name .. "=" .. quoted(value)
        end
    end
    return table.concat({ "env", table.concat(unset, " "), table.concat(set, " ") }, " ")
end

-- Runs a command until it ends. Returns its output (both streams) and its exit status.
function _M.run(command)
    local pipe = io.popen("{ " .. command .. "\n} 2>&1; echo \" $?\"")
    local output = pipe:read("*a")
    pipe:close()
    local text, status = output:match("^(.*) (%d+)\n$")
    return text, tonumber(status)
end

function _M.temporary_directory()
    return (_M.run("mktemp -d"):gsub("%s+$", ""))
end

-- Starts a command in the background, with its output in a file. Returns its process id.
function _M.start(command, output)
    local pid = tonumber((_M.run(("setsid %s > %s 2>&1 < /dev/null & echo $!"):format(command, quoted(output)))))
    started[pid] = true
    return pid
end

function _M.alive(pid)
    local _, status = _M.run("kill -0 " .. pid)
    return status == 0 and not _M.read("/proc/" .. pid .. "/stat"):match("^%d+ %b() Z")
end

function _M.signal(pid, name)
    _M.run(("kill -%s %d"):format(name, pid))
end

function _M.stop(pid, name)
    _M.signal(pid, name or "TERM")
    _M.wait_until("process " .. pid .. " ended", function() return not _M.alive(pid) end)
    started[pid] = nil
end

-- A failing spec may not end its programs. They end here, with all of their child processes.
require("busted").subscribe({ "suite", "end" }, function()
    for pid in pairs(started) do
        _M.run("kill -KILL -" .. pid)
    end
    return nil, true
end)

return _M
