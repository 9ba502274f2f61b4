-- The optional check of viewers (TUNNEL_VIEWERS in docs/tunnel.md), with the shipped example as its file.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

local EXAMPLE = gateway.ROOT .. "/examples/tunnel/viewers.lua"

describe("viewers of a tunnel that requires a token", function()
    local running, service

    setup(function()
        local directory = process.temporary_directory()
        local port = process.free_port()
        service = process.start(("%s/target/release/demo-desktop --only-first %d"):format(gateway.ROOT, port),
            directory .. "/demo.log")
        running = assert(tunnel.start {
            ids = { "c1", "c2" }, port = port, env = { TUNNEL_VIEWERS = EXAMPLE },
            prepare = function(self) process.write(self.directory .. "/keys/tunnel_viewers", auth.SECRET .. "\n") end,
        })
        process.run("rm -rf " .. directory)
    end)
    teardown(function()
        running:stop()
        process.stop(service)
    end)

    local function token(changes, secret)
        local claims = { aud = "tunnel-viewers", tunnel = "c1", iat = os.time(), exp = os.time() + 300 }
        for name, value in pairs(changes or {}) do
            claims[name] = value
        end
        return auth.token(running.directory, claims, secret)
    end

    local function view(id, value, ...)
        return running:get("/" .. id .. "/x", { value and { "X-Tunnel-Authorization", value } or nil, ... })
    end

    it("are refused without a token, at every path below the tunnels", function()
        for _, path in ipairs { "/c1/x", "/c1", "/c1?x", "/nobody/x", "/%631/x", "/__version__" } do
            local answer = running:get(path)
            assert.same({ 401, "Bearer" }, { answer.status, answer.headers["www-authenticate"] }, path)
        end
    end)

    it("reach the tunnel that their token names, and no other", function()
        local mine, all = token(), token { tunnel = "*" }
        assert.equal(200, view("c1", mine).status)
        assert.equal(200, view("c1", "Bearer " .. mine).status)
        assert.equal(403, view("c2", mine).status)
        assert.equal(403, view("nobody", mine).status)
        assert.same({ 200, 200, 404 }, { view("c1", all).status, view("c2", all).status, view("nobody", all).status })
    end)

    it("send the service no token, and their Authorization header unchanged", function()
        local seen = cjson.decode(view("c1", token(), { "Authorization", "Basic eDp5" }).body)
        assert.equal("Basic eDp5", seen.headers.authorization)
        assert.is_nil(seen.headers["x-tunnel-authorization"])
        local answer = running:get("/c1/x", { { "Cookie", "a=1; tunnel_viewer=" .. token() .. "; b=2" } })
        assert.same({ 200, "a=1; b=2" }, { answer.status, cjson.decode(answer.body).headers.cookie })
        -- With a token in the header, the one in the cookie is removed too.
        local both = view("c1", token(), { "Cookie", "a=1; tunnel_viewer=" .. token { tunnel = "*" } })
        assert.same({ 200, "a=1" }, { both.status, cjson.decode(both.body).headers.cookie })
    end)

    it("are refused with an invalid token", function()
        for _, bad in ipairs {
            token { exp = os.time() - 60 }, token { aud = "other" }, token { tunnel = cjson.null },
            token { exp = os.time() + 200000 }, token(nil, ("f"):rep(32)), token(nil, tunnel.SECRETS.A),
            tunnel.mint("c1"), "x.y.z", "x",
        } do
            local status = view("c1", bad).status
            assert.is_true(status == 401 or status == 403, bad)
        end
        assert.equal(401, running:get("/c1/x?token=" .. token()).status)
    end)

    it("need a token for WebSockets too, as a cookie from browsers", function()
        local path = "/tunnel/c1/ws"
        local _, refused = websocket.open(running.port, { path = path })
        assert.equal(401, refused.status)
        local client = assert(websocket.open(running.port, { path = path,
            headers = { { "Cookie", "tunnel_viewer=" .. token() } } }))
        client:receive()
        client:send("hello")
        assert.equal("hello", (client:receive()))
        client:close()
    end)

    it("are refused with a registration's token, whatever their headers", function()
        local registration = { { "X-Websocktunnel-Id", "c2" }, { "Authorization", "Bearer " .. tunnel.mint("c2") } }
        assert.equal(401, running:get("/c2/x", registration).status)
        assert.equal(401, running:get("/c1/x", registration).status)
    end)

    it("leave no token in a log", function()
        local mine = token()
        view("c1", mine)
        view("c1", mine .. "x")
        running.nginx:logged("/tunnel/c1/x")
        local logs = running.nginx:access_log() .. running.nginx:error_log()
        for _, server in ipairs(running.servers) do
            logs = logs .. process.read(server.log)
        end
        assert.is_nil(logs:find(mine:match("[^.]+$"), 1, true))
    end)
end)

describe("TUNNEL_VIEWERS", function()
    local function refused(text)
        local path = os.tmpname()
        process.write(path, text)
        local running, message = tunnel.start { env = { TUNNEL_VIEWERS = path } }
        os.remove(path)
        assert.is_nil(running)
        return message
    end

    it("refuses a file with a mistake when nginx starts, in one sentence", function()
        for text, sentence in pairs {
            ["return {"] = "TUNNEL_VIEWERS: .*unexpected symbol",
            ["return 1"] = "TUNNEL_VIEWERS: .*returns no table",
            ["error 'no'"] = "TUNNEL_VIEWERS: .*no",
            ["return { secret_file = '/none', token = { 'header', 'query:t' } }"] = "TUNNEL_VIEWERS: .*the query",
            ["return { secret_file = '/none', tokens = 'header' }"] = "TUNNEL_VIEWERS: .*tokens",
            ["return { token = 'header' }"] = "TUNNEL_VIEWERS: .*exactly one of",
        } do
            local message = refused(text)
            assert.truthy(message:find(sentence), message)
        end
        local running, message = tunnel.start { env = { TUNNEL_VIEWERS = "/nowhere/viewers.lua" } }
        assert.is_nil(running)
        assert.truthy(message:find("TUNNEL_VIEWERS: /nowhere/viewers.lua: ", 1, true), message)
    end)
end)
