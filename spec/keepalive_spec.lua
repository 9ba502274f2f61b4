-- Connections to desktops: kept alive for addresses, resolved for each request for names.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

describe("connections to desktops", function()
    local running

    setup(function() running = assert(gateway.start { workers = 1 }) end)
    teardown(function() running:stop() end)

    -- Returns the kernel's connections from the gateway to a port, in any state.
    local function connections(port)
        return select(2, process.run(("ss -Htn state established 'dport = :%d'"):format(port)):gsub("\n", ""))
    end

    it("stay open and serve the next request", function()
        local token = running:mint("127.0.0.1")
        for _ = 1, 20 do
            assert.equal(200, running:get("/spawner/x", token).status)
        end
        assert.equal(1, connections(running.environment.SPAWNER_SERVICE_TCP_PORT))
    end)

    it("are never shared by two desktops or two services", function()
        local one, two = running:mint("127.0.0.1"), running:mint("127.0.0.2")
        local ports = { spawner = "SPAWNER_SERVICE_TCP_PORT", filer = "FILE_SERVICE_TCP_PORT" }
        for _ = 1, 5 do
            for path, variable in pairs(ports) do
                for _, token in ipairs { one, two } do
                    local seen = cjson.decode(running:get("/" .. path .. "/x", token).body)
                    assert.equal(running.environment[variable], seen.port)
                end
            end
        end
        local log = running:access_log()
        assert.truthy(log:find('"upstream":"127.0.0.2:' .. running.environment.FILE_SERVICE_TCP_PORT, 1, true))
    end)

    it("answer 502 when nothing listens at the desktop", function()
        assert.equal(502, running:get("/spawner/x", running:mint("127.0.0.3")).status)
    end)

    it("use nginx's resolver for a name, and answer 502 for an unknown one", function()
        assert.equal(502, running:get("/spawner/x", running:mint("no-such-desktop.invalid")).status)
        process.wait_until("nginx said so", function()
            return running:error_log():find("no-such-desktop.invalid could not be resolved", 1, true)
        end)
    end)
end)
