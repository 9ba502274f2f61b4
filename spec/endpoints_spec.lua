-- Every row of the reference's three endpoint tables: port, path and headers, over HTTP and WebSocket.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"
local websocket = require "support.websocket"

local HTTP_ROWS = {
    { "/spawner/start", "SPAWNER_SERVICE_TCP_PORT" },
    { "/terminals/t-1/size", "XTERM_TCP_PORT" },
    { "/filer/home/a%20b%2Fc", "FILE_SERVICE_TCP_PORT" },
    { "/printerfiler/job", "PRINTERFILE_SERVICE_TCP_PORT" },
    { "/snapshot/now", "SNAPSHOT_SERVICE_TCP_PORT" },
}

local WEBSOCKET_ROWS = {
    { "/terminals/t-1", "XTERM_TCP_PORT" },
    { "/websockify", "WS_TCP_BRIDGE_TCP_PORT" },
    { "/signalling", "SIGNALLING_SERVICE_TCP_PORT" },
    { "/broadcast", "BROADCAST_TCP_PORT" },
    { "/sound", "SOUND_SERVICE_TCP_PORT" },
    { "/microphone", "MICROPHONE_SERVICE_TCP_PORT" },
    { "/gamepad", "GAMEPAD_SERVICE_TCP_PORT" },
}

local OPEN_ROWS = {
    { "/API/manager/image", "PYOS_SERVICE_PORT" },
    { "/API/composer/launchdesktop", "PYOS_SERVICE_PORT" },
    { "/API/anything", "PYOS_SERVICE_PORT" },
    { "/console/x", "ROUTE_CONSOLE_UPSTREAM" },
    { "/speedtest/garbage", "ROUTE_SPEEDTEST_UPSTREAM" },
    { "/", "ROUTE_WEBSITE_UPSTREAM" },
    { "/spawn", "ROUTE_WEBSITE_UPSTREAM" },
}

describe("the endpoint table", function()
    local running, token, other_token

    local function port_of(variable)
        return tonumber(tostring(running.environment[variable]):match("(%d+)$"))
    end

    setup(function()
        running = assert(gateway.start { env = { NODE_NAME = "node-7" } })
        token = running:mint("127.0.0.1")
        other_token = running:mint("127.0.0.2")
    end)
    teardown(function() running:stop() end)

    for _, row in ipairs(HTTP_ROWS) do
        it("sends " .. row[1] .. " to " .. row[2] .. " over HTTP with path and query unchanged", function()
            local path = row[1] .. "?q=a%2Fb&r="
            local response = running:request {
                method = "POST", path = path, body = "12345",
                headers = { { "Authorization", token }, { "Origin", "http://o" }, { "Accept-Language", "fr" } },
            }
            assert.equal(200, response.status)
            local seen = cjson.decode(response.body)
            assert.same({ port_of(row[2]), "POST", path, 5 }, { seen.port, seen.method, seen.path, seen.body_bytes })
            local headers = seen.headers
            assert.same({ "gateway.test", "127.0.0.1", "127.0.0.1", "http", "http://o", "fr" }, { headers.host,
                headers["x-real-ip"], headers["x-forwarded-for"], headers["x-forwarded-proto"], headers.origin,
                headers["accept-language"] })
        end)
    end

    for _, row in ipairs(WEBSOCKET_ROWS) do
        it("opens a WebSocket on " .. row[1] .. " at " .. row[2], function()
            local socket = assert(websocket.open(running.port, {
                path = row[1] .. "?a=1", headers = { { "AbcAuthorization", "Bearer " .. token } },
            }))
            local seen = cjson.decode((socket:receive()))
            assert.same({ port_of(row[2]), row[1] .. "?a=1" }, { seen.port, seen.path })
            assert.equal("127.0.0.1", seen.headers["x-real-ip"])
            socket:send("hello")
            assert.same({ "hello", websocket.TEXT }, { socket:receive() })
            local binary = ("\0\255\127"):rep(50000)
            socket:send_binary(binary)
            assert.same({ binary, websocket.BINARY }, { socket:receive() })
            socket:close()
        end)
    end

    for _, row in ipairs(OPEN_ROWS) do
        it("sends " .. row[1] .. " to " .. row[2] .. " without a token", function()
            local response = running:get(row[1] .. "?x=1")
            assert.equal(200, response.status)
            local seen = cjson.decode(response.body)
            assert.same({ port_of(row[2]), row[1] .. "?x=1" }, { seen.port, seen.path })
        end)
    end

    describe("with ROUTE_UPSTREAM_PATHS=reference", function()
        local gate

        setup(function()
            local env = { ROUTE_UPSTREAM_PATHS = "reference" }
            for name, value in pairs(running.environment) do
                env[name] = env[name] or value
            end
            gate = assert(gateway.start { demo = false, keys = running.keys, env = env })
        end)
        teardown(function() gate:stop() end)

        for path, expected in pairs {
            ["/websockify"] = "/", ["/websockify?a=1"] = "/", ["/websockify/x?a=1"] = "/", ["/signalling?a"] = "/",
            ["/sound/x"] = "/", ["/microphone"] = "/", ["/websockify?jwt_token=TOKEN&a=1"] = "/",
            ["/websockify?jwt_token=TOKEN"] = "/",
            ["/sound?TOKEN"] = "/",
            ["/broadcast?a=1"] = "/broadcast?a=1", ["/gamepad?a=1"] = "/gamepad?a=1",
            ["/terminals/1?a=1"] = "/terminals/1?a=1",
        } do
            it("opens a WebSocket for " .. path .. " at " .. expected, function()
                local in_query = path:find("TOKEN", 1, true)
                local socket = assert(websocket.open(gate.port, { path = path:gsub("TOKEN", token),
                    headers = not in_query and { { "Authorization", token } } or nil }))
                assert.equal(expected, cjson.decode((socket:receive())).path)
                socket:close()
            end)
        end

        for path, expected in pairs {
            ["/console"] = "/", ["/console/"] = "/", ["/console?a=1"] = "/?a=1", ["/console/x%2Fy?a=1"] = "/x%2Fy?a=1",
            ["//console//x"] = "/x", ["/console/console/x"] = "/console/x", ["/consolex"] = "/x",
            ["/speedtest/garbage.php?ckSize=4"] = "/garbage.php?ckSize=4", ["/console?jwt_token=TOKEN&a=1"] = "/?a=1",
            ["/filer/x?a=1"] = "/filer/x?a=1", ["/API/x"] = "/API/x", ["/x"] = "/x", ["/%63onsole/x"] = "/",
        } do
            it("sends " .. path .. " on as " .. expected, function()
                local response = gate:get((path:gsub("TOKEN", token)), token)
                assert.equal(expected, cjson.decode(response.body).path)
            end)
        end
    end)

    it("reaches only the desktop that the token names", function()
        local mine = running:get("/filer/x", token)
        local theirs = running:get("/filer/x", other_token)
        assert.same({ 200, 200 }, { mine.status, theirs.status })
        for _, address in ipairs { "127.0.0.1", "127.0.0.2" } do
            local upstream = ('"upstream":"%s:%d"'):format(address, port_of("FILE_SERVICE_TCP_PORT"))
            process.wait_until("the log named " .. upstream, function()
                return running:access_log():find(upstream, 1, true)
            end)
        end
    end)

    it("selects the endpoint by the normalised path, and refuses ambiguous paths", function()
        for path, status in pairs { ["//filer/x"] = 401, ["/%66iler/x"] = 401, ["/filer%2fx"] = 401,
            ["/filer/../console/x"] = 400, ["/console/%2e%2e/filer/x"] = 400 } do
            assert.equal(status, running:get(path).status, path)
        end
    end)

    it("answers health, node and ACME challenges itself", function()
        local health = running:get("/healthz")
        assert.same({ 200, "OK\n", "text/plain" }, { health.status, health.body, health.headers["content-type"] })
        assert.equal("node-7\n", running:get("/node").body)
        local challenge = running.directory .. "/acme/.well-known/acme-challenge"
        process.run("mkdir -p " .. challenge .. " && printf proof > " .. challenge .. "/t0ken")
        assert.equal("proof", running:get("/.well-known/acme-challenge/t0ken").body)
        assert.equal(404, running:get("/.well-known/acme-challenge/none").status)
    end)

    it("hides the server's name and sends the security headers with every answer", function()
        for _, path in ipairs { "/healthz", "/filer/x", "/console", "/.well-known/none" } do
            local headers = running:get(path).headers
            assert.is_nil(headers.server, path)
            assert.equal("nosniff", headers["x-content-type-options"], path)
            assert.equal("SAMEORIGIN", headers["x-frame-options"], path)
        end
    end)

    it("compresses text, but never the speed test", function()
        local long = ("x"):rep(4000)
        local function encoding(path)
            return running:request {
                path = path,
                headers = { { "Accept-Encoding", "gzip" }, { "X-Long", long }, { "Authorization", token } },
            }.headers["content-encoding"]
        end
        assert.equal("gzip", encoding("/API/x"))
        assert.equal("gzip", encoding("/spawner/x"))
        assert.is_nil(encoding("/speedtest/x"))
    end)

    for path, limit in pairs { ["/spawner"] = 8, ["/API/manager/image"] = 16, ["/API/x"] = 1, ["/speedtest"] = 256 } do
        it("limits the body of " .. path .. " to " .. limit .. " MB", function()
            local size = limit * 1024 * 1024 + 1
            local response = running:request {
                method = "POST", path = path, headers = { { "Authorization", token }, { "Content-Length", size } },
            }
            assert.equal(413, response.status)
        end)
    end

    it("streams a body to /filer without spooling it to disk", function()
        local megabytes = 40
        local output = process.run(("head -c %dM /dev/zero | curl -sS -T - -H 'Authorization: %s' %s:%d/filer/f")
            :format(megabytes, token, "http://127.0.0.1", running.port))
        assert.equal(megabytes * 1024 * 1024, cjson.decode(output).body_bytes)
        assert.equal("", process.run("find " .. running.directory .. "/tmp -type f"))
        assert.is_nil(running:error_log():find("buffered to a temporary file", 1, true))
    end)

    it("answers 502 for an upstream whose name does not resolve, and serves the other paths", function()
        local lonely = assert(gateway.start { demo = false, keys = running.keys,
            env = { NAMESERVER_RESOLVER = "127.0.0.1:" .. process.free_port(), PYOS_FQDN = "127.0.0.1" } })
        assert.equal(502, lonely:get("/console").status)
        assert.equal(200, lonely:get("/healthz").status)
        lonely:stop()
    end)
end)
