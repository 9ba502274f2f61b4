-- TLS to the desktop: real servers with certificates of real authorities, beside desktops without TLS.

local authority = require "support.authority"
local cjson = require "cjson"
local desktops = require "support.desktops"
local gateway = require "support.gateway"
local process = require "support.process"
local websocket = require "support.websocket"

local NAME = "desktop.internal"

-- A desktop of TLS: it tells the name that the client asked for, its certificate, and the number of the connection.
local SERVER = [[
server {
    listen 127.0.0.1:%d ssl;
    ssl_certificate %s;
    ssl_certificate_key %s;
    ssl_client_certificate %s;
    ssl_verify_client %s;
    location / {
        default_type application/json;
        return 200 '{"name":"$ssl_server_name","client":"$ssl_client_s_dn","connection":$connection}';
    }
    location /websockify {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_pass http://127.0.0.1:%d;
    }
}
]]

describe("TLS to a desktop", function()
    local directory, ca, certificates, ports, pid, keys, demo

    -- Starts an nginx with one server for each certificate, and one that requires a certificate of its clients.
    local function start_servers()
        local servers = {}
        ports = {}
        for name, pair in pairs(certificates) do
            ports[name] = process.free_port()
            servers[#servers + 1] = SERVER:format(ports[name], pair.certificate, pair.key, ca.pem,
                name == "strict" and "on" or "optional", demo.environment.WS_TCP_BRIDGE_TCP_PORT)
        end
        process.write(directory .. "/nginx.conf", ("daemon off; pid %s/servers.pid; error_log %s/servers.log;\n"
            .. "events { }\nhttp { access_log off; client_body_temp_path %s; proxy_temp_path %s;\n%s}\n")
            :format(directory, directory, directory, directory, table.concat(servers)))
        local binary = process.run(". " .. gateway.ROOT .. "/scripts/nginx.sh && printf %s $NGINX_BINARY")
        pid = process.start(("%s -p %s -c %s/nginx.conf -e %s/servers.log"):format(binary, directory, directory,
            directory), directory .. "/servers.out")
        process.wait_until("the desktops listened", function()
            return process.read(directory .. "/servers.pid") ~= ""
        end)
    end

    -- Starts a gateway to which the desktops are known by name and port.
    local function start(env, port)
        local all = { ROUTE_DESKTOP_TLS = "on", ROUTE_DESKTOP_TLS_CA = ca.pem, ROUTE_DESKTOP_TLS_NAME = NAME,
            SPAWNER_SERVICE_TCP_PORT = port, FILE_SERVICE_TCP_PORT = port, WS_TCP_BRIDGE_TCP_PORT = port,
            SNAPSHOT_SERVICE_TCP_PORT = demo.environment.SNAPSHOT_SERVICE_TCP_PORT,
            XTERM_TCP_PORT = demo.environment.XTERM_TCP_PORT }
        for name, value in pairs(env or {}) do
            all[name] = value
        end
        return gateway.start { demo = false, keys = keys, workers = 1, env = all }
    end

    setup(function()
        directory = process.temporary_directory()
        demo = assert(gateway.start {})
        keys = demo.keys
        ca = authority.new(directory, "ca")
        certificates = {
            good = authority.issue(ca, "good", "DNS:" .. NAME),
            strict = authority.issue(ca, "strict", "DNS:" .. NAME),
            renamed = authority.issue(ca, "renamed", "DNS:other.internal"),
            expired = authority.issue(ca, "expired", "DNS:" .. NAME, -1),
            foreign = authority.issue(authority.new(directory, "rogue"), "foreign", "DNS:" .. NAME),
            localhost = authority.issue(ca, "localhost", "DNS:localhost"),
        }
        certificates.client = authority.issue(ca, "gateway", "DNS:gateway")
        start_servers()
    end)
    teardown(function()
        process.stop(pid)
        demo:stop()
    end)

    it("checks the certificate, and keeps the connection", function()
        local running = assert(start({}, ports.good))
        local token = running:mint("127.0.0.1")
        local first = cjson.decode(running:get("/spawner/x", token).body)
        assert.same({ NAME, "" }, { first.name, first.client })
        for _ = 1, 5 do
            assert.equal(first.connection, cjson.decode(running:get("/spawner/x", token).body).connection)
        end
        running:stop()
    end)

    for what, why in pairs {
        renamed = "of another name", expired = "that has expired", foreign = "of another authority",
    } do
        it("refuses a certificate " .. why, function()
            local running = assert(start({}, ports[what]))
            local token = running:mint("127.0.0.1")
            for path, header in pairs {
                ["/spawner/x"] = { "X-A", "b" }, ["/filer/x"] = { "Sec-Fetch-Mode", "navigate" },
            } do
                local response = running:request { path = path, headers = { { "Authorization", token }, header } }
                assert.equal(502, response.status)
                assert.truthy(response.body:find("desktop_tls_failed", 1, true), response.body)
                assert.is_nil(response.headers["retry-after"])
                assert.equal("desktop_tls_failed", running:logged(path).reason)
            end
            local socket, refused = websocket.open(running.port, { path = "/websockify",
                headers = { { "Authorization", token } } })
            assert.same({ nil, 502 }, { socket, refused.status })
            running:stop()
        end)
    end

    it("opens WebSockets", function()
        local running = assert(start({}, ports.good))
        local socket = assert(websocket.open(running.port, { path = "/websockify",
            headers = { { "Authorization", running:mint("127.0.0.1") } } }))
        assert.equal("/websockify", cjson.decode((socket:receive())).path)
        socket:send("hello")
        assert.equal("hello", (socket:receive()))
        socket:close()
        running:stop()
    end)

    it("sends the gateway's certificate", function()
        local running = assert(start({}, ports.strict))
        assert.equal(400, running:get("/spawner/x", running:mint("127.0.0.1")).status)
        running:stop()
        running = assert(start({ ROUTE_DESKTOP_TLS_CERTIFICATE = certificates.client.certificate,
            ROUTE_DESKTOP_TLS_CERTIFICATE_KEY = certificates.client.key }, ports.strict))
        assert.equal("CN=gateway", cjson.decode(running:get("/spawner/x", running:mint("127.0.0.1")).body).client)
        running:stop()
    end)

    it("is mixed with desktops without TLS by endpoint and by port", function()
        for _, setting in ipairs { "spawner,filer", tostring(ports.good), "websockify " .. ports.good } do
            local running = assert(start({ ROUTE_DESKTOP_TLS = setting }, ports.good))
            local token = running:mint("127.0.0.1")
            for _ = 1, 3 do
                for path, seen in pairs { ["/spawner/x"] = NAME, ["/filer/x"] = NAME, ["/snapshot/x"] = "/snapshot/x",
                    ["/terminals/1/size"] = "/terminals/1/size" } do
                    local body = cjson.decode(running:get(path, token).body)
                    assert.equal(seen, body.name or body.path, setting)
                end
            end
            running:stop()
        end
    end)

    it("never uses a kept connection of the other kind", function()
        local running = assert(start({ ROUTE_DESKTOP_TLS = "spawner" }, ports.good))
        local token = running:mint("127.0.0.1")
        for _ = 1, 3 do
            assert.equal(200, running:get("/spawner/x", token).status)
            -- The server's own answer to a request without TLS.
            local body = running:get("/filer/x", token).body
            assert.truthy(body:find("plain HTTP request was sent to HTTPS port", 1, true), body)
        end
        running:stop()
    end)

    it("tells a desktop that speaks no TLS from one that is not there", function()
        local running = assert(start({ FILE_SERVICE_TCP_PORT = process.free_port() },
            demo.environment.SPAWNER_SERVICE_TCP_PORT))
        local token = running:mint("127.0.0.1")
        assert.equal("desktop_tls_failed", cjson.decode(running:get("/spawner/x", token).body).code)
        assert.equal("desktop_refused", cjson.decode(running:get("/filer/x", token).body).code)
        running:stop()
    end)

    it("checks the name of each desktop if there is no name for all", function()
        local dns_port, dns = desktops.start("dns_server.py", directory)
        local running = assert(start({ ROUTE_DESKTOP_TLS_NAME = false, NAMESERVER_RESOLVER = "127.0.0.1:" .. dns_port,
            FILE_SERVICE_TCP_PORT = ports.renamed }, ports.good))
        assert.equal(NAME, cjson.decode(running:get("/spawner/x", running:mint(NAME)).body).name)
        for path, target in pairs {
            ["/spawner/x"] = "other.internal", ["/filer/x"] = NAME, ["/spawner/y"] = "127.0.0.1",
        } do
            assert.equal("desktop_tls_failed", cjson.decode(running:get(path, running:mint(target)).body).code, path)
        end
        running:stop()
        process.stop(dns)
    end)

    it("is not checked with ROUTE_DESKTOP_TLS_VERIFY=off only", function()
        local running = assert(start({ ROUTE_DESKTOP_TLS_VERIFY = "off", ROUTE_DESKTOP_TLS_CA = false }, ports.foreign))
        assert.equal(200, running:get("/spawner/x", running:mint("127.0.0.1")).status)
        running:stop()
    end)

    for _, case in ipairs {
        { { ROUTE_DESKTOP_TLS = "yes" }, 'ROUTE_DESKTOP_TLS must be "on", "off", or endpoints and ports, and is "y' },
        { { ROUTE_DESKTOP_TLS = "filer,70000" }, 'ROUTE_DESKTOP_TLS must be a port number, and is "70000"' },
        { { ROUTE_DESKTOP_TLS = "filer;}" }, 'ROUTE_DESKTOP_TLS must be "on", "off", or endpoints and ports' },
        { { ROUTE_DESKTOP_TLS = "off" }, "ROUTE_DESKTOP_TLS_CA is set, and ROUTE_DESKTOP_TLS is off" },
        { { ROUTE_DESKTOP_TLS_CA = "/no/such.pem" }, "ROUTE_DESKTOP_TLS_CA must be a file that can be read" },
        { { ROUTE_DESKTOP_TLS_NAME = "a b" }, "ROUTE_DESKTOP_TLS_NAME must be a host name or address" },
        { { ROUTE_DESKTOP_TLS_VERIFY = "no" }, 'ROUTE_DESKTOP_TLS_VERIFY must be "on" or "off"' },
        { { ROUTE_DESKTOP_TLS_VERIFY = "off" }, "ROUTE_DESKTOP_TLS_CA is set, and ROUTE_DESKTOP_TLS_VERIFY is off" },
        { { ROUTE_DESKTOP_TLS_CERTIFICATE = "/etc/passwd" }, "ROUTE_DESKTOP_TLS_CERTIFICATE_KEY is not set, and" },
    } do
        it("refuses in one sentence: " .. case[2], function()
            -- gateway.start asserts that runtime.sh succeeds.
            local ok, message = pcall(start, case[1], ports.good)
            assert.is_false(ok)
            assert.truthy(tostring(message):find("route_native: " .. case[2], 1, true), message)
        end)
    end
end)
