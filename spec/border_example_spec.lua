-- `make run EXAMPLE=border`, as in docs/border.md.

local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local stores = require "support.stores"

describe("make run EXAMPLE=border", function()
    local directory

    setup(function() directory = process.temporary_directory() end)
    teardown(function() process.run("rm -rf " .. directory) end)

    local function command(environment)
        environment.EXAMPLE, environment.RUN_DIR = "border", directory .. "/run"
        return process.environment(environment) .. " make -s -C " .. gateway.ROOT .. " run"
    end

    it("runs on an external store, and ends with all of its processes", function()
        local server = stores.start("redis")
        local port, log = process.free_port(), directory .. "/out"
        local pid = process.start(command { PORT = port, STORE = "redis", STORE_ADDR = server.address }, log)
        process.wait_until("it was ready", function()
            return process.read(log):find("\ncurl ", 1, true) or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(log))
        assert.truthy(process.read(log):find("ready: http://127.0.0.1:" .. port, 1, true))
        assert.equal(401, http.request(port, { path = "/b/x" }).status)
        -- The printed line.
        local output = process.run((process.read(log):match("\n(curl [^\n]+)\n"):gsub("\ncurl", "curl")))
        local cookie = assert(output:match("Set%-Cookie: (border_session=[^;]+)"), output)
        for _, path in ipairs { "/b/x?y", "/c/z" } do
            local response = http.request(port, { path = path, headers = { { "Cookie", cookie } } })
            assert.equal(200, response.status)
            assert.truthy(response.body:find('"path":"' .. path .. '"', 1, true))
        end
        assert.equal(200, http.request(port, { path = "/borderpatrol/health" }).status)
        assert.equal(1, #server:keys("border:session:*"))
        process.signal(pid, "TERM")
        process.wait_until("all of it ended", function() return process.run("pgrep -s " .. pid) == "" end)
        server:stop()
    end)

    it("reports a wrong store in one sentence", function()
        for expected, environment in pairs {
            ["STORE must be memory, memcached or redis, and is \"disk\""] = { STORE = "disk" },
            ["STORE_ADDR must be host:port or unix:/path, and is \"here\""] = { STORE = "redis", STORE_ADDR = "here" },
        } do
            environment.PORT = process.free_port()
            local output, status = process.run(command(environment))
            assert.not_equal(0, status)
            assert.truthy(output:find("route_native: " .. expected, 1, true), output)
        end
    end)
end)
