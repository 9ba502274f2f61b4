-- A store whose answers do not end is one that is down, whatever it dribbles.

local border = require "support.border"
local http = require "support.http"
local process = require "support.process"
local stores = require "support.stores"

-- Answers each request on a port by a beginning, and then by a byte again and again without end. The last one
-- says that the port of its argument is that of the master that Sentinel watches.
local SERVER = [[
import socket, sys, threading, time
def serve(listener, begin):
    def dribble(connection):
        try:
            connection.recv(65536)
            connection.sendall(begin.replace(b"PORT", sys.argv[1].encode()))
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)
        except OSError:
            pass
    while True:
        threading.Thread(target=dribble, args=(listener.accept()[0],), daemon=True).start()
ports = []
for begin in (b"+", b"$100000\\r\\n", b"$99999999999\\r\\n", b"*99999999999\\r\\n", b"VALUE k 0 1000\\r\\n", b"V",
        b"$many\\r\\n", b"*many\\r\\n", b"*1\\r\\n" * 200000, b"*2\\r\\n$4\\r\\n\\r\\n\\r\\n\\r\\n$5\\r\\nPORT\\r\\n",
        b"*2\\r\\n$9\\r\\n127.0.0.1\\r\\n$5\\r\\nPORT\\r\\n"):
    listener = socket.create_server(("127.0.0.1", 0))
    ports.append(str(listener.getsockname()[1]))
    threading.Thread(target=serve, args=(listener, begin), daemon=True).start()
print("ready", " ".join(ports), flush=True)
threading.Event().wait()
]]

local CASES = {
    { "redis", "a line without end" }, { "redis", "a value without end" }, { "redis", "a value of 100 GB" },
    { "redis", "an array without end" }, { "memcached", "a value without end" }, { "memcached", "a line without end" },
    { "redis", "a value without a length" }, { "sentinel", "an array without a length" },
    { "sentinel", "arrays within arrays" }, { "sentinel", "no address" },
}

describe("a store that sends", function()
    local directory, pid, replica, ports = nil, nil, nil, {}

    -- Returns the answer of the health check of a border with this store.
    local function health(store)
        store.timeout = 200
        local running = assert(border.start { settings = { store = store } })
        local response = http.request(running.port, { path = "/borderpatrol/health" })
        local log = running.gateway:error_log()
        running:stop()
        assert.is_nil(log:find("attempt to", 1, true) or log:find("stack overflow", 1, true), log)
        return response
    end

    setup(function()
        directory = process.temporary_directory()
        process.write(directory .. "/server.py", (SERVER:gsub("\\\\", "\\")))
        replica = stores.start("redis", "--replicaof 127.0.0.1 " .. process.free_port())
        pid = process.start("python3 " .. directory .. "/server.py " .. replica.port, directory .. "/log")
        local text = process.wait_until("the server was ready", function()
            return process.read(directory .. "/log"):match("ready ([%d ]+)\n")
        end)
        for port in text:gmatch("%d+") do
            ports[#ports + 1] = port
        end
    end)
    teardown(function()
        process.stop(pid)
        replica:stop()
        process.run("rm -rf " .. directory)
    end)

    for i, case in ipairs(CASES) do
        it(case[2] .. " is one that is down: " .. case[1], function()
            local address, store = "127.0.0.1:" .. ports[i], { kind = case[1] }
            if case[1] == "sentinel" then
                store = { kind = "redis", sentinels = { address }, master = "main" }
            else
                store.address = address
            end
            assert.equal(503, health(store).status)
        end)
    end

    it("the address of a replica for that of the master is one that is down: sentinel", function()
        local response = health { kind = "redis", sentinels = { "127.0.0.1:" .. ports[#ports] }, master = "main" }
        assert.equal(503, response.status)
        -- It was asked for its role, and for nothing else.
        local asked = replica:redis("info commandstats")
        assert.truthy(asked:find("cmdstat_role:", 1, true), asked)
        assert.is_nil(asked:find("cmdstat_[gs]et:"), asked)
    end)
end)
