-- A store whose answers do not end is one that is down, whatever it dribbles.

local border = require "support.border"
local http = require "support.http"
local process = require "support.process"

-- Answers each request on a port by a beginning, and then by a byte again and again without end.
local SERVER = [[
import socket, sys, threading, time
def serve(listener, begin):
    def dribble(connection):
        try:
            connection.recv(65536)
            connection.sendall(begin)
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)
        except OSError:
            pass
    while True:
        threading.Thread(target=dribble, args=(listener.accept()[0],), daemon=True).start()
ports = []
for begin in (b"+", b"$100000\\r\\n", b"$99999999999\\r\\n", b"*99999999999\\r\\n", b"VALUE k 0 1000\\r\\n", b"V"):
    listener = socket.create_server(("127.0.0.1", 0))
    ports.append(str(listener.getsockname()[1]))
    threading.Thread(target=serve, args=(listener, begin), daemon=True).start()
print("ready", " ".join(ports), flush=True)
threading.Event().wait()
]]

local CASES = {
    { "redis", "a line without end" }, { "redis", "a value without end" }, { "redis", "a value of 100 GB" },
    { "redis", "an array without end" }, { "memcached", "a value without end" }, { "memcached", "a line without end" },
}

describe("a store that sends", function()
    local directory, pid, ports = nil, nil, {}

    setup(function()
        directory = process.temporary_directory()
        process.write(directory .. "/server.py", (SERVER:gsub("\\\\", "\\")))
        pid = process.start("python3 " .. directory .. "/server.py", directory .. "/log")
        local text = process.wait_until("the server was ready", function()
            return process.read(directory .. "/log"):match("ready ([%d ]+)\n")
        end)
        for port in text:gmatch("%d+") do
            ports[#ports + 1] = port
        end
    end)
    teardown(function()
        process.stop(pid)
        process.run("rm -rf " .. directory)
    end)

    for i, case in ipairs(CASES) do
        it(case[2] .. " is one that is down: " .. case[1], function()
            local running = assert(border.start { settings = {
                store = { kind = case[1], address = "127.0.0.1:" .. ports[i], timeout = 200 } } })
            local response = http.request(running.port, { path = "/borderpatrol/health" })
            assert.equal(503, response and response.status)
            running:stop()
        end)
    end
end)
