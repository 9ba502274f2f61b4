-- A network that freezes: server and client run in separate network namespaces, and every packet between them is lost
-- silently. It needs root and a kernel with namespaces; elsewhere it is pending and says so.

local gateway = require "support.gateway"
local process = require "support.process"
local tunnel = require "support.tunnel"

-- Only the two namespaces see these addresses (RFC 5737).
local SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
-- Every namespace has all ports for itself.
local PORT, METRICS, SERVICE = 8000, 8001, 8002

describe("a network that freezes between server and client", function()
    local directory = process.temporary_directory()
    local names = { "rn-server-" .. directory:match("[^.]+$"), "rn-client-" .. directory:match("[^.]+$") }
    local refusal
    local pids = {}

    local function ip(...)
        local command = "ip " .. table.concat({ ... }, " ")
        local output, status = process.run(command)
        assert(status == 0, command .. ": " .. output)
    end

    local function make_network()
        for i, name in ipairs(names) do
            local output, status = process.run(("ip netns add %s && ip -n %s link set lo up"):format(name, name))
            if status ~= 0 then
                return "no network namespaces here, so nothing was frozen: " .. output:gsub("%s+$", "")
            end
            if i == 2 then
                ip("-n", names[1], "link add link0 type veth peer name link0 netns", names[2])
            end
        end
        for i, address in ipairs { SERVER, CLIENT } do
            ip("-n", names[i], "address add", address .. "/30 dev link0")
            ip("-n", names[i], "link set link0 up")
        end
    end

    -- Sends the packets of both sides to an unused hardware address, or to each other again.
    local function freeze(frozen)
        for i, other in ipairs { CLIENT, SERVER } do
            local neighbour = other .. " dev link0"
            if frozen then
                ip("-n", names[i], "neighbour replace", neighbour, "lladdr 02:00:00:00:00:99 nud permanent")
            else
                ip("-n", names[i], "neighbour delete", neighbour)
            end
        end
    end

    local function start(side, command, log)
        local pid = process.start(("ip netns exec %s %s"):format(names[side], command), directory .. "/" .. log)
        pids[#pids + 1] = pid
        return pid
    end

    local function said(log, text)
        return process.read(directory .. "/" .. log):find(text, 1, true)
    end

    -- Sends a viewer's request from the server's side. Returns the status, and curl's exit status (18: truncated).
    local function curl(port, path)
        local command = "ip netns exec %s curl -s -o /dev/null -m 60 -w '%%{http_code}' http://127.0.0.1:%d%s"
        local output, status = process.run(command:format(names[1], port, path))
        return tonumber(output), status
    end

    -- Does the same in the background. Returns a function that waits for the end.
    local function curling(path)
        local log = "curl-" .. #pids
        local command = ("curl -sN -o %s/%s.body -m 60 -w '%%{http_code} %%{exitcode} done' http://127.0.0.1:%d%s")
            :format(directory, log, PORT, path)
        start(1, command, log)
        return function()
            process.wait_until(path .. " ended", function() return said(log, "done") end)
            return process.read(directory .. "/" .. log):match("(%d+) (%d+) done")
        end, directory .. "/" .. log .. ".body"
    end

    local function metric(name)
        local page = process.run(("ip netns exec %s curl -s http://127.0.0.1:%d/metrics"):format(names[1], METRICS))
        return tonumber(page:match("\nwebsocktunnel_" .. name .. " (%d+)"))
    end

    setup(function()
        refusal = make_network()
        if refusal then
            return
        end
        start(1, tunnel.server_command { URL_PREFIX = "http://gate.test", PORT = PORT, TUNNEL_KEEPALIVE_SECONDS = 1,
            TUNNEL_METRICS = "127.0.0.1:" .. METRICS }, "server.log")
        start(2, ("/usr/bin/python3 %s/spec/support/tunnel_service.py %d"):format(gateway.ROOT, SERVICE), "service.log")
        process.wait_until("the service was ready", function() return said("service.log", "ready") end)
        start(2, tunnel.client_command(("http://%s:%d"):format(SERVER, PORT), "c1", SERVICE) .. " --keepalive 1",
            "client.log")
        process.wait_until("the client was connected", function()
            return said("client.log", "connected to websocktunnel")
        end)
    end)

    teardown(function()
        for _, pid in ipairs(pids) do
            if process.alive(pid) then
                process.stop(pid, "KILL")
            end
        end
        for _, name in ipairs(names) do
            process.run("ip netns del " .. name)
        end
        process.run("rm -rf " .. process.quoted(directory))
    end)

    it("breaks the running requests of viewers, and none after it is back", function()
        if refusal then
            pending(refusal)
        end
        assert.equal(200, (curl(PORT, "/c1/status/200")))
        local release = directory .. "/release"
        local waited = curling("/c1/wait" .. release)
        local dripped, body = curling("/c1/drip" .. release)
        process.wait_until("both were with the service", function()
            return process.read(release .. ".asked") ~= "" and process.read(body) ~= ""
        end)

        freeze(true)
        -- Running requests: 502 if no answer had begun, a visible truncation otherwise.
        assert.same({ "502", "0" }, { waited() })
        local status, code = dripped()
        assert.equal("200", status)
        assert.not_equal("0", code)
        assert.truthy(said("server.log", 'reason="protocol violation: keepalive timeout"'))
        -- After that no client has the ID.
        assert.equal(404, (curl(PORT, "/c1/status/200")))
        process.wait_until("the client noticed", function() return said("client.log", "keepalive timeout") end)
        -- The server updates these counters every second.
        process.wait_until("nothing was held", function()
            return metric("clients") == 0 and metric("streams") == 0 and metric("buffered_bytes") == 0
        end)
        assert.equal(1, metric("sessions_lost_total"))

        freeze(false)
        process.wait_until("the client was back", function() return curl(PORT, "/c1/status/200") == 200 end)
        assert.equal(2, metric("registrations_total"))
    end)
end)
