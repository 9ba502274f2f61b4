-- The Upgrade header may only open a WebSocket, at locations with WebSockets. The services here would switch to any
-- protocol.

local auth = require "support.auth"
local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local obedient = require "support.obedient"
local phantom = require "support.phantom"
local process = require "support.process"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

local HTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\nAuth-Token: forged\r\n\r\n"

-- Upgrades that are not supported: the protocol, and the request.
local ATTEMPTS = {
    ["h2c"] = { { "h2c" } },
    ["TLS/1.2"] = { { "TLS/1.2" } },
    ["foo"] = { { "foo" } },
    ["0"] = { { "0" } },
    ["nothing at all"] = { {} },
    ["a list that names websocket"] = { { "h2c, websocket" } },
    ["a list that begins with websocket"] = { { "websocket, h2c" } },
    ["two headers, h2c first"] = { { "h2c", "websocket" } },
    ["a version of websocket"] = { { "websocket/13" } },
    ["websocket with blanks within"] = { { "web socket" } },
    ["websocket in a POST"] = { { "websocket" }, method = "POST", body = "x=1" },
    ["websocket in a GET with a body"] = { { "websocket" }, body = "x=1" },
    ["websocket in HTTP/1.0"] = { { "websocket" }, version = "1.0" },
}

local WEBSOCKET = { { "websocket" } }

-- The Upgrade headers of a 101 that opens no WebSocket.
local OTHER_PROTOCOLS = {
    ["h2c"] = "Upgrade: h2c\r\n", ["TLS"] = "Upgrade: TLS/1.2\r\n", ["none"] = "", ["an empty one"] = "Upgrade:\r\n",
    ["a list"] = "Upgrade: websocket, h2c\r\n", ["two"] = "Upgrade: websocket\r\nUpgrade: h2c\r\n",
    ["a version"] = "Upgrade: websocket/13\r\n",
}

describe("an Upgrade header", function()
    local service, running = nil, {}
    -- The desktops' WebSocket endpoints accept no other request.
    local places, desktops = {}, {}

    local function place(name, port, path, headers, is_websocket)
        places[name] = { port = port, path = path, headers = headers, is_websocket = is_websocket }
    end

    -- The phantom example's site, with the specs' authorization server.
    local function start_phantom()
        local directory = process.temporary_directory()
        local output, status = process.run("openssl genrsa -out " .. directory .. "/key 2048")
        assert(status == 0, output)
        local server = phantom.serve(("node %s/spec/support/introspection_server.mjs --key %s/key")
            :format(gateway.ROOT, directory), directory .. "/server.log")
        running[#running + 1] = { stop = function()
            process.stop(server.pid)
            process.run("rm -rf " .. process.quoted(directory))
        end }
        local gate = assert(gateway.start {
            demo = false, env = { SITE = gateway.ROOT .. "/examples/phantom/site.conf" },
            prepare = function(self)
                local etc = self.directory .. "/etc"
                process.run("mkdir -p " .. etc)
                process.write(etc .. "/phantom.lua", ([[
                    local config = { introspection_endpoint = "http://127.0.0.1:%d/introspect", client_id = "x",
                        client_secret = "y" }
                    return { api = config, api_write = config }]]):format(server.port))
                process.write(etc .. "/phantom_upstreams.conf", ("upstream api { server 127.0.0.1:%d; }")
                    :format(service.port))
            end,
        })
        running[#running + 1] = gate
        return gate
    end

    setup(function()
        service = obedient.start()

        local desktop = assert(service:gateway {})
        running[#running + 1] = desktop
        local token = { { "Authorization", desktop:mint("127.0.0.1") } }
        for _, path in ipairs { "/spawner/x", "/terminals/1/size", "/filer/x", "/printerfiler/x", "/snapshot/x" } do
            place("gateway " .. path, desktop.port, path, token)
        end
        for _, path in ipairs { "/API/manager/image", "/API/composer/launchdesktop", "/API/x", "/console", "/speedtest",
            "/" } do
            place("gateway " .. path, desktop.port, path, {})
        end
        for _, path in ipairs { "/terminals/x", "/websockify", "/signalling", "/broadcast", "/sound", "/microphone",
            "/gamepad" } do
            desktops["gateway " .. path] = { port = desktop.port, path = path, headers = token, is_websocket = true }
        end

        local edge = assert(border.start { settings = { services = {
            b = { path = "/b", url = "http://127.0.0.1:" .. service.port },
        } } })
        running[#running + 1] = edge
        local client = edge:logged_in()
        place("border", edge.port, "/b/x", { { "Cookie", "border_session=" .. client:session() } }, true)
        local beside = assert(border.start { beside = edge,
            settings = { account_url = "http://127.0.0.1:" .. service.port } })
        table.insert(running, 1, beside)
        place("border account", beside.port, "/account/x", {}, true)

        local tunnels = assert(tunnel.start { ids = { "c1" }, port = service.port })
        running[#running + 1] = tunnels
        place("tunnel", tunnels.port, "/tunnel/c1/x", {}, true)
        places.tunnel.service_path = "/x"

        place("phantom", start_phantom().port, "/api", {
            { "Authorization", "Bearer " .. phantom.token { kind = "jwt", claims = { sub = "x" } } } })

        local checked = assert(auth.start(auth.directory(), function(environment)
            environment.ROUTE_AUTH_UPSTREAM = "127.0.0.1:" .. service.port
            return gateway.ROOT .. "/examples/auth/site.conf"
        end))
        running[#running + 1] = checked
        local now = os.time()
        place("auth", checked.port, "/secure", { { "Authorization", "Bearer " .. auth.token(checked.directory, {
            iss = "auth-example", sub = "ada", scope = "secure", iat = now, exp = now + 300 }) } })
    end)
    teardown(function()
        for _, one in ipairs(running) do
            one:stop()
        end
        service:stop()
    end)

    -- Sends an attempt. Returns the open connection.
    local function attempt(where, how, query)
        local connection = http.connect(where.port)
        local lines = {
            ("%s %s%s HTTP/%s"):format(how.method or "GET", where.path, query, how.version or "1.1"),
            "Host: gateway.test", "Connection: " .. (how.close and "close, " or "") .. "Upgrade, HTTP2-Settings",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        }
        for _, value in ipairs(how[1]) do
            lines[#lines + 1] = "Upgrade: " .. value
        end
        for _, header in ipairs(where.headers) do
            lines[#lines + 1] = header[1] .. ": " .. header[2]
        end
        if how.body then
            lines[#lines + 1] = "Content-Length: " .. #how.body
        end
        connection:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (how.body or ""))
        return connection
    end

    local function header(request, wanted)
        local values = {}
        for _, pair in ipairs(request.headers) do
            if pair[1]:lower() == wanted then
                values[#values + 1] = pair[2]
            end
        end
        return table.concat(values, ", ")
    end

    -- Checks that the request passes as a plain one, even if the service would switch to HTTP/2. Returns the
    -- mistake.
    local function passes_as_plain(where, how)
        local connection = attempt(where, how, "?switch=h2c")
        local response = http.read_response(connection, how.method)
        connection:close()
        if not response or response.status ~= 200 then
            return "answered " .. (response and response.status or "nothing")
        end
        local seen = cjson.decode(response.body)
        if seen.body_bytes ~= #(how.body or "") then
            return "lost its body"
        end
        for _, name in ipairs { "upgrade", "http2-settings" } do
            if header(seen, name) ~= "" then
                return ("passed %s: %s"):format(name, header(seen, name))
            end
        end
        return header(seen, "connection"):lower():find("upgrade", 1, true) and "passed Connection: upgrade" or nil
    end

    -- Checks that the service receives no byte after a 101 that the client did not request. Returns the
    -- mistake.
    local count = 0
    local function opens_no_tunnel(where, how)
        count = count + 1
        local query = "?switch=any&n=" .. count
        local at_service = (where.service_path or where.path) .. query
        local connection = attempt(where, how, query)
        service:wait_for_switch(at_service)
        connection:send(HTTP2)
        connection:close()
        return service:switched(at_service) ~= "" and "carried what came after the 101" or nil
    end

    -- Checks every place, so that a failure names all failing places.
    local function everywhere(check, how, wanted)
        local wrong = {}
        for name, where in pairs(places) do
            if wanted == nil or wanted(where) then
                wrong[name] = check(where, how)
            end
        end
        assert.same({}, wrong)
    end

    for kind, how in pairs(ATTEMPTS) do
        it("is not passed on for " .. kind, function() everywhere(passes_as_plain, how) end)
        it("opens no tunnel for " .. kind, function() everywhere(opens_no_tunnel, how) end)
    end

    it("opens no WebSocket at a location without WebSockets", function()
        local function plain(where) return not where.is_websocket end
        everywhere(passes_as_plain, WEBSOCKET, plain)
        everywhere(opens_no_tunnel, WEBSOCKET, plain)
    end)

    -- Makes the service send these bytes, which contain "evil". Returns the mistake in the received answer.
    local function refuses(name, where, upgrades, bytes, may_be_nothing)
        local connection = attempt(where, { upgrades, close = true }, "?" .. obedient.raw(bytes))
        local all, _, rest = connection:receive("*a")
        connection:close()
        all = all or rest
        local status = all:match("^HTTP/1.1 (%d+)")
        -- The border has its own page for a failing service.
        local is_refused = status == (name:find("^border") and "503" or "502") or (may_be_nothing and all == "")
        return not (is_refused and not all:find("evil", 1, true)) and "passed " .. (status or all) or nil
    end

    it("in an answer opens only a WebSocket", function()
        local wrong, tried = {}, 0
        for _, all in ipairs { places, desktops } do
            for name, where in pairs(all) do
                for protocol, line in pairs(where.is_websocket and OTHER_PROTOCOLS or {}) do
                    local head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" .. line .. "\r\n"
                    wrong[name .. ", " .. protocol] = refuses(name, where, WEBSOCKET[1], head .. "evil")
                    tried = tried + 1
                end
            end
        end
        assert.same({}, wrong)
        assert.equal(70, tried)
    end)

    it("hides no second answer behind an interim answer or behind no status line", function()
        local real = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nevil"
        local answers = { ["another protocol"] = real:gsub("HTTP", "http", 1), ["no status line"] = "<p>evil</p>" }
        for _, status in ipairs { 100, 102, 103, 199 } do
            answers[status] = ("HTTP/1.1 %d Said\r\nUpgrade: websocket\r\n\r\n%s"):format(status, real)
        end
        local wrong, tried = {}, 0
        for name, where in pairs(places) do
            for kind, bytes in pairs(answers) do
                for how, upgrades in pairs { plain = {}, handshake = WEBSOCKET[1] } do
                    -- The tunnel's server reads interim answers itself.
                    if name ~= "tunnel" then
                        wrong[("%s, %s, %s"):format(name, kind, how)] = refuses(name, where, upgrades, bytes,
                            type(kind) == "string")
                        tried = tried + 1
                    end
                end
            end
        end
        assert.same({}, wrong)
        assert.equal(180, tried)
    end)

    it("has no effect over HTTP/2", function()
        local directory, port = process.temporary_directory(), process.free_port()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
            .. "-keyout %s/key -out %s/crt"):format(directory, directory))
        assert(status == 0, output)
        local gate = assert(service:gateway { env = { ROUTE_TLS_LISTEN = "127.0.0.1:" .. port,
            ROUTE_TLS_CERTIFICATE = directory .. "/crt", ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key" } })
        local token = gate:mint("127.0.0.1")
        local function ask(path)
            local said = process.run(("/usr/bin/python3 %s/spec/support/http2_upgrade.py %d '%s' websocket %s")
                :format(gateway.ROOT, port, path, token))
            assert.equal("", said)
        end
        for _, path in ipairs { "/filer/h2", "/API/h2" } do
            ask(path .. "?" .. obedient.answer { status = 101 })
            assert.equal(1, #service:requests(path))
        end
        ask("/websockify/h2")
        local entry = gate:logged("/websockify/h2")
        assert.equal("HTTP/2.0", entry.protocol)
        for _, request in ipairs(service:requests("/websockify/h2")) do
            assert.same({ "", nil }, { header(request, "upgrade"),
                header(request, "connection"):lower():find("upgrade", 1, true) })
        end
        -- The log of nginx 1.22 when it turns an HTTP/2 stream into a tunnel.
        assert.is_nil(gate:error_log():find("upgraded connection", 1, true))
        gate:stop()
        process.run("rm -rf " .. process.quoted(directory))
    end)

    it("opens a WebSocket at a location with WebSockets, in any case", function()
        for name, where in pairs(places) do
            if where.is_websocket then
                local socket = assert(websocket.open(where.port, { path = where.path, headers = where.headers }), name)
                local seen = cjson.decode((socket:receive()))
                assert.equal("websocket", header(seen, "upgrade"):lower(), name)
                socket:send("hello")
                assert.equal("hello", (socket:receive()), name)
                socket:close()
                local connection = attempt(where, { { "WebSocket" } }, "?mixed-case")
                assert.equal(101, http.read_response(connection).status, name)
                connection:close()
                local asked = service:requests((where.service_path or where.path) .. "?mixed-case")
                assert.same({ 1, "" }, { #asked, header(asked[1], "http2-settings") }, name)
            end
        end
    end)
end)
