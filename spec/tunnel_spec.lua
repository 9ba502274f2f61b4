-- Websocket tunnels behind nginx with conf/tunnel.conf: two servers and real clients. Servers stop or die, and nginx is
-- reloaded.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

local IDS = { "c1", "c2", "c3", "c4", "c5", "c6" }

-- Runs viewers of every ID. Returns a function that waits for more of their requests, and one that ends them and
-- returns the count of each status.
local function load_on(running)
    local paths = {}
    for i, id in ipairs(IDS) do
        paths[i] = ("/tunnel/%s/status/200"):format(id)
    end
    local out, dots = running.directory .. "/load.out", running.directory .. "/load.dots"
    local command = ("exec /usr/bin/python3 %s/spec/support/tunnel_load.py %d %s 2> %s")
        :format(gateway.ROOT, running.port, table.concat(paths, " "), dots)
    local pid = process.start("sh -c " .. process.quoted(command), out)
    local function goes_on()
        local before = #process.read(dots)
        process.wait_until("the load went on", function() return #process.read(dots) >= before + 3 end)
    end
    goes_on()
    return goes_on, function()
        process.stop(pid)
        return cjson.decode(process.read(out))
    end
end

-- The service's end of a slow answer, as a connection delivers it.
local function drip(running, id)
    local file = running.directory .. "/release-" .. id
    local connection = http.connect(running.port)
    http.send(connection, { path = ("/tunnel/%s/drip%s"):format(id, file), headers = { { "Connection", "close" } } })
    return file, connection
end

describe("tunnels behind nginx", function()
    local running

    setup(function() running = assert(tunnel.start { ids = IDS }) end)
    teardown(function() running:stop() end)

    -- Starts a client whose service echoes WebSocket messages.
    local function start_echo()
        local port = process.free_port()
        local log = running.directory .. "/demo.log"
        local pid = process.start(("%s/target/release/demo-desktop --only-first %d"):format(gateway.ROOT, port), log)
        process.wait_until("the demo desktop was ready", function() return process.read(log):find("ready", 1, true) end)
        running.clients.echo = tunnel.start_client(running.directory, running:url(), "echo", port)
        return function()
            process.stop(running.clients.echo.pid)
            running.clients.echo = nil
            process.stop(pid)
        end
    end

    it("send each ID's viewers to the server of its client", function()
        for _, id in ipairs(IDS) do
            local answer = running:get("/" .. id .. "/status/200")
            assert.same({ 200, "the service says 200" }, { answer.status, answer.body }, id)
        end
        assert.equal(404, running:get("/nobody/status/200").status)
        assert.equal(404, http.request(running.port, { path = "/other" }).status)
    end)

    it("pass a service's answers unchanged, whatever their status", function()
        for _ = 1, 3 do
            for _, status in ipairs { 403, 404, 421, 429, 500, 502, 503, 504 } do
                for _, id in ipairs(IDS) do
                    local answer = running:get(("/%s/status/%d"):format(id, status))
                    assert.same({ status, "the service says " .. status }, { answer.status, answer.body }, id)
                end
            end
        end
    end)

    it("send a request to a service once, whatever it answers", function()
        local handshake = {
            { "Connection", "Upgrade" }, { "Upgrade", "websocket" }, { "Sec-WebSocket-Version", "13" },
            { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" },
        }
        for what, request in pairs {
            get = { method = "GET" }, post = { method = "POST" }, body = { method = "POST", body = "x" },
            websocket = { method = "GET", headers = handshake },
        } do
            for _, status in ipairs { 404, 421, 502, 503, 599 } do
                local path = ("/once/%s/status/%d"):format(what, status)
                request.path = "/tunnel/c1" .. path
                local answer = http.request(running.port, request)
                -- 599 is reserved for servers and nginx.
                local expected = { status, "the service says " .. status }
                if status == 599 then
                    expected = { 502, "The client could not answer\n" }
                end
                assert.same(expected, { answer.status, answer.body }, path)
                assert.equal(1, running:asked(request.method, path), path)
            end
        end
    end)

    it("take no byte of a viewer's request for the body of another viewer's handshake", function()
        local smuggled = ("DELETE /account/%d HTTP/1.1")
        local function victim(path)
            -- Without a trace of its own, each request would have another one.
            return running:get("/c1" .. path, { { "Accept", smuggled:format(200) }, { "Cookie", "of=b" },
                { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" } })
        end
        -- A swallowed part of a request would end where the other method begins. The service reports where that is.
        local head = victim("/head").body
        local offset = assert(head:find("DELETE", 1, true)) - 1
        for _, method in ipairs { "GET", "POST" } do
            local connection = http.connect(running.port)
            http.send(connection, { method = method, path = "/tunnel/c1/early", headers = {
                { "Connection", "Upgrade" }, { "Upgrade", "websocket" }, { "Sec-WebSocket-Version", "13" },
                { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" }, { "Content-Length", offset },
            } })
            assert.equal(200, http.read_response(connection).status)
            connection:send(("x"):rep(offset))
            local answer = victim("/head")
            assert.same({ 200, head }, { answer.status, answer.body }, method)
            assert.is_nil(running:asked("DELETE", "/account/200"), method)
            connection:close()
        end
    end)

    it("end a complete HTTP/1.0 answer regularly, and truncate it visibly when the client is killed", function()
        local id = "old"
        for _, killed in ipairs { false, true } do
            running.clients[id] = tunnel.start_client(running.directory, running:url(), id, running.service_port)
            local file = running.directory .. "/half-" .. tostring(killed)
            local connection = http.connect(running.port)
            local path = ("/tunnel/%s/half%s"):format(id, file)
            http.send(connection, { path = path, headers = { { "Connection", "close" } } })
            local got = ""
            while not got:find("half", 1, true) do
                got = got .. assert(connection:receive(1))
            end
            if killed then
                process.stop(running.clients[id].pid, "KILL")
            else
                process.write(file, "")
            end
            local rest, _, partial = connection:receive("*a")
            got = got .. (rest or partial)
            assert.equal("HTTP/1.1 200 OK", got:match("^[^\r]*"))
            assert.truthy(got:lower():find("\r\ntransfer-encoding: chunked\r\n", 1, true), got)
            assert.equal(not killed, got:find("rest\r\n0\r\n\r\n", 1, true) ~= nil, got)
            assert.equal(killed, got:sub(-7) ~= "\r\n0\r\n\r\n", got)
            connection:close()
            if not killed then
                process.stop(running.clients[id].pid)
            end
            running.clients[id] = nil
        end
    end)

    it("refuse a registration with an invalid token, at nginx and at the server", function()
        local function register(port, path, id, bearer)
            return http.request(port, { path = path, headers = {
                { "X-Websocktunnel-Id", id }, { "Authorization", "Bearer " .. bearer }, { "Connection", "Upgrade" },
                { "Upgrade", "websocket" }, { "Sec-WebSocket-Version", "13" },
                { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" },
            } }).status
        end
        local good = tunnel.mint("late")
        for _, path in ipairs { "/tunnel/", "/tunnel" } do
            assert.equal(401, register(running.port, path, "late", "x.y.z"))
            assert.equal(401, register(running.port, path, "another", good))
            assert.equal(101, register(running.port, path, "late", good))
        end
        assert.equal(401, register(running.servers[1].port, "/", "another", good))
    end)

    it("read a viewer's ID from the path, whatever its headers", function()
        for _, id in ipairs(IDS) do
            for _, other in ipairs { "c1", "c2", "nobody" } do
                local answer = running:get("/" .. id .. "/status/200", { { "X-Websocktunnel-Id", other } })
                assert.equal(200, answer.status, id .. " " .. other)
            end
        end
    end)

    it("lose no request and no WebSocket when nginx is reloaded", function()
        local stop_echo = start_echo()
        local socket = assert(websocket.open(running.port, { path = "/tunnel/echo/x" }))
        socket:receive()
        local goes_on, ended = load_on(running)
        local file, connection = drip(running, "c1")
        connection:receive("*l")
        local old = running.nginx:workers()
        process.signal(running.nginx.pid, "HUP")
        process.wait_until("new workers ran", function() return #running.nginx:workers() > #old end)
        goes_on()
        assert.is_true(process.alive(old[1]) or process.alive(old[2]))
        socket:send("still there?")
        assert.equal("still there?", (socket:receive()))
        socket:close()
        process.write(file, "")
        local rest = connection:receive("*a")
        assert.truthy(rest:find("the end\r\n0\r\n\r\n", 1, true), rest:sub(-100))
        local seen = ended()
        assert.same({ "200" }, { next(seen), next(seen, "200") }, cjson.encode(seen))
        stop_echo()
    end)

    it("lose no request when a server is stopped, and move its clients", function()
        local stopping, other = running:busier_and_other()
        local moving = tunnel.metric(stopping, "clients")
        local goes_on, ended = load_on(running)
        local drips = {}
        for _, id in ipairs(IDS) do
            local file, connection = drip(running, id)
            drips[id] = { file = file, connection = connection }
            assert.equal("HTTP/1.1 200 OK", (connection:receive("*l")))
        end
        process.signal(stopping.pid, "TERM")
        process.wait_until("all clients were at the other server", function()
            return tunnel.metric(other, "clients") == #IDS
        end)
        assert.is_true(moving > 0)
        process.wait_until("the old server took nothing more", function()
            return not process.accepts(stopping.port)
        end)
        goes_on()
        -- The server still serves running requests, which get time to end. Requests with bodies, which cannot be sent
        -- twice, go to the other server.
        assert.is_true(process.alive(stopping.pid))
        for _, id in ipairs(IDS) do
            local path = ("/tunnel/%s/status/201"):format(id)
            assert.equal(201, http.request(running.port, { method = "POST", path = path, body = "x" }).status)
        end
        for id, one in pairs(drips) do
            process.write(one.file, "")
            local rest = one.connection:receive("*a")
            assert.truthy(rest:find("the end\r\n0\r\n\r\n", 1, true), id .. " " .. rest:sub(-100))
        end
        process.wait_until("the server ended", function() return not process.alive(stopping.pid) end)
        goes_on()
        local seen = ended()
        assert.same({ "200" }, { next(seen), next(seen, "200") }, cjson.encode(seen))
    end)

    it("move the clients of a dead server to the next one", function()
        running:stop()
        running = assert(tunnel.start { ids = IDS })
        local dying, other = running:busier_and_other()
        process.stop(dying.pid, "KILL")
        process.wait_until("all clients were at the other server", function()
            return tunnel.metric(other, "clients") == #IDS
        end)
        for _, id in ipairs(IDS) do
            assert.equal(200, running:get("/" .. id .. "/status/200").status, id)
        end
    end)

    it("send a request without a body from a stopping server to the next, and process it once", function()
        running:stop()
        running = assert(tunnel.start { ids = IDS })
        local stopping, other = running:busier_and_other()
        local staying, moving = nil, {}
        for _, id in ipairs(IDS) do
            if http.request(stopping.port, { path = "/" .. id .. "/status/200" }).status == 200 then
                moving[#moving + 1], staying = staying, id
            end
        end
        -- The server still accepts requests for this client, which does not move. So nginx still asks it for the
        -- others.
        process.signal(running.clients[staying].pid, "STOP")
        process.signal(stopping.pid, "TERM")
        process.wait_until("the others had moved", function()
            return tunnel.metric(other, "clients") == #IDS - 1
        end)
        for _, id in ipairs(moving) do
            for status, expected in pairs { [201] = 201, [421] = 421, [599] = 502 } do
                local path = ("/moved/%s/status/%d"):format(id, status)
                local request = { method = "POST", path = "/tunnel/" .. id .. path, body = "" }
                assert.equal(expected, http.request(running.port, request).status, path)
                assert.equal(1, running:asked("POST", path), path)
            end
        end
    end)
end)

describe("make run EXAMPLE=tunnel", function()
    it("prints a curl command that works through the tunnel, and ends with all of its processes", function()
        local directory = process.temporary_directory()
        local log, port = directory .. "/run.log", process.free_port()
        local pid = process.start(process.environment { PORT = port, RUN_DIR = directory .. "/run", EXAMPLE = "tunnel",
            WORKERS = 1 } .. " " .. gateway.ROOT .. "/scripts/run.sh", log)
        process.wait_until("the example was ready", function()
            return process.read(log):find("\ncurl [^\n]*\n") or not process.alive(pid)
        end)
        local said = process.read(log)
        assert.truthy(said:find("ready: http://127.0.0.1:" .. port .. "\n", 1, true), said)
        local line = said:match("\n(curl [^\n]*)\n")
        assert.equal("curl http://127.0.0.1:" .. port .. "/tunnel/demo/x", line)
        assert.equal("/x", cjson.decode((process.run(line .. " -sS"))).path)
        process.stop(pid)
        process.wait_until("all of it ended", function() return process.run("pgrep -s " .. pid) == "" end)
        process.run("rm -rf " .. directory)
    end)
end)
