-- ROUTE_DESKTOP_WAIT: requests wait for a desktop that is starting, and each is sent once.

local cjson = require "cjson"
local desktops = require "support.desktops"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local socket = require "socket"
local websocket = require "support.websocket"

local PATIENCE = 60

describe("a request for a desktop that is starting", function()
    local running, directory, keys, token, port, desktop_log, programs

    -- Starts a gateway for a desktop on a port where nothing listens yet.
    local function start(seconds, env)
        port = process.free_port()
        local all = { ROUTE_DESKTOP_WAIT = seconds, SPAWNER_SERVICE_TCP_PORT = port, FILE_SERVICE_TCP_PORT = port,
            WS_TCP_BRIDGE_TCP_PORT = port }
        for name, value in pairs(env or {}) do
            all[name] = value
        end
        running = assert(gateway.start { demo = false, keys = keys, workers = 1, env = all })
        token = token or running:mint("127.0.0.1")
    end

    -- Starts the desktop.
    local function arrive()
        local found, pid, log = desktops.start("broken_desktop.py", directory, port)
        assert.equal(port, found)
        desktop_log = log
        programs[#programs + 1] = pid
        return pid
    end

    local function arrive_with_websockets()
        local log = directory .. "/demo.log"
        programs[#programs + 1] = process.start(gateway.ROOT .. "/target/release/demo-desktop --addresses 127.0.0.1 "
            .. "--ports " .. port, log)
        process.wait_until("the demo desktop was ready", function() return process.read(log):find("ready", 1, true) end)
    end

    local function send(options)
        local connection = http.connect(running.port)
        options.headers = options.headers or { { "Authorization", token } }
        http.send(connection, options)
        return connection
    end

    -- Returns whether a connection has no answer yet after a moment.
    local function waits(connection)
        return #socket.select({ connection }, nil, 0.3) == 0
    end

    setup(function()
        directory = process.temporary_directory()
        keys = require("support.token").keys(directory)
    end)
    before_each(function() programs = {} end)
    after_each(function()
        for _, pid in ipairs(programs) do
            process.stop(pid, "KILL")
        end
        running:stop()
    end)

    it("is sent when the desktop is there, once, with its body", function()
        start(PATIENCE)
        local body = ("x"):rep(100000)
        local waiting = {
            send { path = "/spawner/fine" }, send { method = "POST", path = "/spawner/fine?a", body = body },
            send { method = "POST", path = "/filer/fine?b", body = body },
        }
        for _, connection in ipairs(waiting) do
            assert.is_true(waits(connection))
        end
        arrive()
        for _, connection in ipairs(waiting) do
            assert.equal("fine", http.read_response(connection).body)
        end
        local _, requests = process.read(desktop_log):gsub(" HTTP/1.1\n", "")
        assert.equal(3, requests)
    end)

    it("opens its WebSocket when the desktop is there", function()
        start(PATIENCE)
        local connection = send { path = "/websockify", headers = { { "Authorization", token },
            { "Upgrade", "websocket" }, { "Connection", "Upgrade" }, { "Sec-WebSocket-Version", "13" },
            { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" } } }
        assert.is_true(waits(connection))
        arrive_with_websockets()
        assert.equal(101, http.read_response(connection).status)
        assert(websocket.open(running.port, { path = "/websockify", headers = { { "Authorization", token } } })):close()
    end)

    it("leaves other requests of its worker alone", function()
        start(PATIENCE)
        local connection = send { path = "/spawner/fine" }
        for _ = 1, 20 do
            assert.equal(200, running:get("/healthz").status)
        end
        assert.is_true(waits(connection))
        connection:close()
    end)

    it("is refused when the time is over, with a page or JSON", function()
        start(1)
        for path, bearer in pairs { ["/spawner/x"] = token, ["/spawner/y"] = running:mint("desktop-7.invalid") } do
            local response = running:get(path, bearer)
            assert.same({ 503, "desktop_starting", "5", "no-store" }, { response.status,
                cjson.decode(response.body).code, response.headers["retry-after"], response.headers["cache-control"] })
            assert.equal("desktop_starting", running:logged(path).reason)
        end
        local page = running:request { path = "/spawner/x", headers = { { "Authorization", token },
            { "Sec-Fetch-Mode", "navigate" } } }
        assert.truthy(page.body:find("<h1>Your desktop is starting</h1>", 1, true), page.body)
    end)

    it("waits again when a desktop that was there has failed", function()
        start(PATIENCE)
        local pid = arrive()
        assert.equal("fine", running:get("/spawner/fine", token).body)
        process.stop(pid, "KILL")
        table.remove(programs)
        -- That it is gone is found out by a request that fails, unless ten seconds have passed already.
        local first = send { path = "/spawner/fine" }
        local response = not waits(first) and http.read_response(first)
        assert.is_true(not response or response.status == 502)
        local second = send { path = "/spawner/fine" }
        assert.is_true(waits(second))
        arrive()
        assert.equal("fine", http.read_response(second).body)
    end)

    it("does not wait when 64 others do, and those are served", function()
        start(PATIENCE)
        local waiting, refused = {}, {}
        for i = 1, 80 do
            waiting[i] = send { path = "/spawner/fine" }
        end
        process.wait_until("sixteen were refused", function()
            for i, connection in pairs(waiting) do
                if #socket.select({ connection }, nil, 0) > 0 then
                    refused[#refused + 1] = http.read_response(connection).status
                    waiting[i] = nil
                end
            end
            return #refused >= 16
        end)
        assert.equal(("503 "):rep(16), table.concat(refused, " ") .. " ")
        arrive()
        for _, connection in pairs(waiting) do
            assert.equal("fine", http.read_response(connection).body)
        end
    end)

    it("takes no place for ever when its client leaves in between, over HTTP/2 too", function()
        local authority = require("support.authority")
        local pair = authority.issue(authority.new(directory, "ca"), "gateway", "DNS:localhost")
        local tls_port = process.free_port()
        start(2, { ROUTE_TLS_CERTIFICATE = pair.certificate, ROUTE_TLS_CERTIFICATE_KEY = pair.key,
            ROUTE_TLS_LISTEN = "127.0.0.1:" .. tls_port })
        for _ = 1, 8 do
            -- Sixty requests at once on one connection, which ends before them.
            process.run(("curl -sk --http2 --parallel --parallel-max 60 -m 0.5 -H 'Authorization: %s' "
                .. "'https://127.0.0.1:%d/spawner/fine?[1-60]' > /dev/null"):format(token, tls_port))
        end
        process.wait_until("a request waited again", function()
            local connection = send { path = "/spawner/fine" }
            local is_waiting = waits(connection)
            connection:close()
            return is_waiting
        end)
    end)
end)

describe("ROUTE_DESKTOP_WAIT", function()
    for _, value in ipairs { "-1", "121", "1.5", "soon" } do
        it("is refused in one sentence if it is " .. value, function()
            local running, output = gateway.start { demo = false, env = { ROUTE_DESKTOP_WAIT = value } }
            assert.is_nil(running)
            local sentence = "route_native: ROUTE_DESKTOP_WAIT must be a whole number of seconds from 0 to 120"
            assert.truthy(output:find(sentence, 1, true), output)
        end)
    end
end)
