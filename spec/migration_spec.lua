-- A site that upgrades only the library and its Lua: 0.1's own conf/ (spec/data/conf-0.1) starts and works.

local auth = require "support.auth"
local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local websocket = require "support.websocket"

local CONF = gateway.ROOT .. "/spec/data/conf-0.1"

describe("the configuration of 0.1", function()
    local running

    after_each(function()
        if running then
            running:stop()
            running = nil
        end
    end)

    it("routes tokens from headers and queries, new and cached, and refuses others", function()
        running = assert(gateway.start { env = { CONF = CONF } })
        local token = running:mint("127.0.0.2")
        for _ = 1, 2 do
            local response = running:get("/filer/x", token)
            assert.same({ 200, "/filer/x" }, { response.status, cjson.decode(response.body).path })
        end
        assert.equal(200, running:request({ path = "/filer/x?a=1&jwt_token=" .. token }).status)
        assert.equal(401, running:get("/filer/x", token .. "x").status)
        assert.equal(401, running:get("/filer/x").status)
        local socket = assert(websocket.open(running.port, { path = "/websockify?" .. token }))
        assert.truthy((socket:receive()):find("/websockify", 1, true))
        socket:send("ping")
        assert.equal("ping", (socket:receive()))
        socket:close()
        assert.is_nil(running:access_log():find(token, 1, true))
        assert.is_nil(running:error_log():find("[error]", 1, true), running:error_log())
    end)

    it("checks tokens and logs users in", function()
        running = assert(auth.start(auth.directory(), function(environment)
            environment.CONF = CONF
            return CONF .. "/examples/auth.conf"
        end))
        local response = http.request(running.port, { method = "POST", path = "/login",
            headers = { { "Content-Type", "application/json" } }, body = '{"username":"demo","password":"demo"}' })
        assert.equal(200, response.status)
        local token = cjson.decode(response.body).token
        assert.equal(200, running:get("/secure", token).status)
        assert.equal(401, running:get("/secure", token .. "x").status)
    end)

    it("keeps border sessions", function()
        running = assert(border.start { env = { CONF = CONF, SITE = CONF .. "/examples/border.conf" } })
        local client = running:client()
        assert.equal(302, client:request({ path = "/b/", headers = { border.PAGE } }).status)
        assert.equal(303, client:login().status)
        assert.equal(200, client:request({ path = "/b/" }).status)
    end)

    it("starts sites with phantom tokens and tunnels", function()
        local directory = process.temporary_directory()
        process.run("mkdir -p " .. directory .. "/etc/runtime")
        process.write(directory .. "/etc/phantom.lua", "return { api = { introspection_endpoint = "
            .. "'http://127.0.0.1:1/', client_id = 'a', client_secret = 'b', scope = 'read', verify_ssl = false } }")
        process.write(directory .. "/etc/phantom_upstreams.conf", "upstream api { server 127.0.0.1:1; }")
        running = assert(gateway.start { directory = directory,
            env = { CONF = CONF, SITE = CONF .. "/examples/phantom.conf" } })
        assert.equal(401, running:get("/api/x").status)
        assert.equal(503, running:get("/api/x", "opaque").status)
        running:stop()

        directory = process.temporary_directory()
        process.run("mkdir -p " .. directory .. "/etc/runtime")
        process.write(directory .. "/etc/runtime/tunnel_servers.conf", "server 127.0.0.1:1;")
        running = assert(gateway.start { directory = directory,
            env = { CONF = CONF, SITE = CONF .. "/tunnel.conf" } })
        assert.equal(401, running:request({ path = "/tunnel/", headers = {
            { "x-websocktunnel-id", "c1" }, { "Authorization", "Bearer x" },
        } }).status)
    end)
end)
