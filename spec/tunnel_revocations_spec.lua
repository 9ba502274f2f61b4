-- websocktunnel by itself reads the revocations that gateways write to Redis (TUNNEL_REVOCATIONS in docs/tunnel.md).

local auth = require "support.auth"
local gateway = require "support.gateway"
local http = require "support.http"
local nodes = require "support.nodes"
local process = require "support.process"
local revocation = require "support.revocation"
local stores = require "support.stores"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

describe("websocktunnel with a Redis", function()
    local directory, service, service_port, redis, node

    setup(function()
        directory = process.temporary_directory()
        service_port = process.free_port()
        service = process.start(("%s/target/release/demo-desktop --only-first %d"):format(gateway.ROOT, service_port),
            directory .. "/service.log")
        process.wait_until("the service listened", function() return process.accepts(service_port) end)
        redis = stores.start("redis")
        node = assert(nodes.start { ROUTE_REVOCATION_REDIS = redis.address })
    end)
    teardown(function()
        node:stop()
        redis:stop()
        process.stop(service)
        process.run("rm -rf " .. directory)
    end)

    local function start_server(settings)
        settings.TUNNEL_REVOCATIONS = settings.TUNNEL_REVOCATIONS or "redis://" .. redis.address
        return tunnel.start_server(directory, settings)
    end

    -- Returns a registration token of a user.
    local function registration(id, sub)
        local now = os.time()
        local claims = { tid = id, sub = sub, iat = now - 60, nbf = now - 60, exp = now + 600 }
        return auth.token(directory, claims, tunnel.SECRETS.A)
    end

    -- Starts a client. It ends when the server refuses its token.
    local function start_client(server, id, token)
        local log = ("%s/client-%s-%d.log"):format(directory, id, server.port)
        local pid = process.start(("%s %s/target/release/wst-client http://127.0.0.1:%d %s %d"):format(
            process.environment { WST_TOKEN = token }, gateway.ROOT, server.port, id, service_port), log)
        process.wait_until(id .. " was connected", function()
            return process.read(log):find("connected to websocktunnel", 1, true) or not process.alive(pid)
        end)
        return { pid = pid, log = log }
    end

    local function bearer(token)
        return { { "Authorization", "Bearer " .. token } }
    end

    -- Returns the status, or nil if the revocation came in the middle of the request.
    local function view(server, id, token)
        local response = http.request(server.port, { path = "/" .. id .. "/x", headers = token and bearer(token) })
        return response and response.status
    end

    local function wait_for(expected, ask)
        process.wait_until("the answer was " .. expected, function() return ask() == expected end)
    end

    local function open(server, id, token)
        local one = assert(websocket.open(server.port, { path = "/" .. id .. "/websockify", headers = bearer(token) }))
        one:receive()
        return one
    end

    local function assert_ended(one)
        one.connection:settimeout(0)
        process.wait_until("the WebSocket had ended", function()
            local _, state = one.connection:receive("*a")
            return state == "closed" or state == nil
        end)
    end

    it("ends the session of a revoked registration, refuses it, and leaves the others", function()
        local server = start_server {}
        local token = registration("c1", "ada")
        local first, second = start_client(server, "c1", token), start_client(server, "c2", registration("c2", "bob"))
        assert.same({ 200, 200 }, { view(server, "c1"), view(server, "c2") })
        local viewer, other = open(server, "c1", "opaque"), open(server, "c2", "opaque")
        assert(revocation.revoke(node.port, { sub = "ada" }))
        assert_ended(viewer)
        -- The client has no other token.
        process.wait_until("the client had ended", function() return not process.alive(first.pid) end)
        assert.truthy(process.read(first.log):find("token", 1, true))
        assert.equal(404, view(server, "c1"))
        assert.equal(1, tunnel.metric(server, "sessions_revoked_total"))
        other:send("still here")
        assert.equal("still here", (other:receive()))
        local again = start_client(server, "c1", token)
        process.wait_until("the client was refused", function() return not process.alive(again.pid) end)
        local log = process.read(server.log)
        assert.truthy(log:find("token_revoked", 1, true), log)
        assert.is_nil(log:find(token, 1, true))
        process.stop(second.pid)
        process.stop(server.pid)
    end)

    it("ends the WebSocket of a viewer whose token is revoked, and no other one", function()
        local server = start_server {}
        local client = start_client(server, "c1", registration("c1", "client"))
        local now = os.time()
        local victim = auth.token(directory, { sub = "eve", iat = now - 60, exp = now + 600 }, "any" .. ("x"):rep(32))
        local friend = auth.token(directory, { sub = "kim", iat = now - 60, exp = now + 600 }, "any" .. ("x"):rep(32))
        local one, other, opaque = open(server, "c1", victim), open(server, "c1", friend), open(server, "c1", "opaque")
        assert(revocation.revoke(node.port, { sub = "eve" }))
        assert(revocation.revoke(node.port, { token = "opaque" }))
        assert_ended(one)
        assert_ended(opaque)
        other:send("still here")
        assert.equal("still here", (other:receive()))
        assert.same({ 401, 401, 200, 200 }, { view(server, "c1", victim), view(server, "c1", "opaque"),
            view(server, "c1", friend), view(server, "c1") })
        process.stop(client.pid)
        process.stop(server.pid)
    end)

    it("knows what is revoked before the first request, and what is withdrawn", function()
        local id = assert(revocation.revoke(node.port, { sub = "zoe" }))
        for i = 1, 700 do
            assert(revocation.revoke(node.port, { jti = "many " .. i }))
        end
        local token = registration("c1", "zoe")
        for _ = 1, 3 do
            local server = start_server {}
            local client = start_client(server, "c1", token)
            process.wait_until("the client was refused", function() return not process.alive(client.pid) end)
            process.stop(server.pid)
        end
        local server = start_server {}
        assert.equal("true", revocation.withdraw(node.port, id))
        local client
        process.wait_until("the client was accepted", function()
            client = start_client(server, "c1", token)
            return process.alive(client.pid) and view(server, "c1") == 200
        end)
        process.stop(client.pid)
        process.stop(server.pid)
    end)

    it("refuses after a time without Redis if it fails closed, and accepts if it fails open", function()
        local own = stores.start("redis")
        local url = "redis://" .. own.address
        local closed = start_server { TUNNEL_REVOCATIONS = url, TUNNEL_REVOCATIONS_FAIL = "closed",
            TUNNEL_REVOCATIONS_FAIL_SECONDS = 2 }
        local opened = start_server { TUNNEL_REVOCATIONS = url }
        local clients = {}
        for i, server in ipairs { closed, opened } do
            clients[i] = start_client(server, "c1", registration("c1", "client"))
        end
        local viewer = open(closed, "c1", "opaque")
        own:kill()
        wait_for(503, function() return view(closed, "c1", "opaque") end)
        assert.equal(200, view(opened, "c1", "opaque"))
        -- What is open goes on.
        viewer:send("still here")
        assert.equal("still here", (viewer:receive()))
        own:start()
        wait_for(200, function() return view(closed, "c1", "opaque") end)
        for _, text in ipairs { "Redis is away", "Redis is back", "tokens are refused", "tokens are accepted again" } do
            assert.equal(1, select(2, process.read(closed.log):gsub(text, "")), text)
        end
        for i, server in ipairs { closed, opened } do
            process.stop(clients[i].pid)
            process.stop(server.pid)
        end
        own:stop()
    end)

    it("bears any bytes in it, and an older state of it", function()
        local own = stores.start("redis")
        local function allow_reader()
            process.wait_until("Redis knew the user", function()
                return own:redis("acl setuser reader on '>geheim 1' '~{route_native:revocations}:*' -@all +eval +time "
                    .. "+zscore +zrevrange +zrangebyscore +hget +hstrlen") == "OK"
            end)
        end
        allow_reader()
        process.write(directory .. "/password", "geheim 1\n")
        local writer = assert(nodes.start { ROUTE_REVOCATION_REDIS = own.address })
        local server = start_server { TUNNEL_REVOCATIONS = "redis://reader@" .. own.address,
            TUNNEL_REVOCATIONS_PASSWORD_FILE = directory .. "/password" }
        local client = start_client(server, "c1", registration("c1", "client"))
        assert(revocation.revoke(writer.port, { token = "first" }))
        wait_for(401, function() return view(server, "c1", "first") end)
        own:redis("zadd '{route_native:revocations}:log' 500 11:ab 501 12:ab 502 x")
        own:redis("hset '{route_native:revocations}:entries' 11 rubbish 12 '{}'")
        assert(revocation.revoke(writer.port, { token = "second" }))
        wait_for(401, function() return view(server, "c1", "second") end)
        own:kill()
        own:start()
        allow_reader()
        assert(revocation.revoke(writer.port, { token = "third" }))
        wait_for(401, function() return view(server, "c1", "third") end)
        assert.same({ 401, 401, 200 }, { view(server, "c1", "first"), view(server, "c1", "second"),
            view(server, "c1", "other") })
        assert.is_nil(process.read(server.log):find("geheim", 1, true))
        process.stop(client.pid)
        process.stop(server.pid)
        stores.stop_all { writer, own }
    end)

    it("reads one over TLS, and none whose certificate is not trusted", function()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
            .. "-addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout %s/key.pem "
            .. "-out %s/cert.pem 2>&1"):format(directory, directory))
        assert(status == 0, output)
        local port = process.free_port()
        local own = stores.start("redis", ("--tls-port %d --tls-cert-file %s/cert.pem --tls-key-file %s/key.pem "
            .. "--tls-auth-clients no"):format(port, directory, directory))
        local writer = assert(nodes.start { ROUTE_REVOCATION_REDIS = own.address })
        local url = "rediss://localhost:" .. port
        local server = start_server { TUNNEL_REVOCATIONS = url, SSL_CERT_FILE = directory .. "/cert.pem" }
        local client = start_client(server, "c1", registration("c1", "client"))
        assert(revocation.revoke(writer.port, { token = "opaque" }))
        wait_for(401, function() return view(server, "c1", "opaque") end)
        local stranger = start_server { TUNNEL_REVOCATIONS = url }
        process.wait_until("it refused the certificate", function()
            return process.read(stranger.log):find("Redis is away", 1, true)
        end)
        for _, pid in ipairs { client.pid, server.pid, stranger.pid } do
            process.stop(pid)
        end
        stores.stop_all { writer, own }
    end)

    local WAYS = {
        ["Sentinel watches"] = function()
            local master, replica, sentinel = stores.start_sentinel()
            return { ROUTE_REVOCATION_SENTINELS = sentinel.address, ROUTE_REVOCATION_MASTER = "main" },
                ("redis+sentinel://127.0.0.1:%d,%s/main"):format(process.free_port(), sentinel.address),
                { sentinel, replica, master }
        end,
        ["is a cluster"] = function()
            local servers = stores.start_cluster()
            local addresses = {}
            for i, server in ipairs(servers) do
                addresses[i] = server.address
            end
            return { ROUTE_REVOCATION_REDIS = table.concat(addresses, " ") },
                "redis://" .. table.concat(addresses, ","), servers
        end,
    }
    for name, start in pairs(WAYS) do
        it("reads one that " .. name, function()
            local environment, url, servers = start()
            local writer = assert(nodes.start(environment))
            local server = start_server { TUNNEL_REVOCATIONS = url }
            local client = start_client(server, "c1", registration("c1", "client"))
            wait_for(200, function() return view(server, "c1", "opaque") end)
            assert(revocation.revoke(writer.port, { token = "opaque" }))
            wait_for(401, function() return view(server, "c1", "opaque") end)
            process.stop(client.pid)
            process.stop(server.pid)
            stores.stop_all { writer, unpack(servers) }
        end)
    end
end)
