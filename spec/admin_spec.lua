-- The admin API: what reads and changes revocations, who may, and what the audit log says.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local revocation = require "support.revocation"
local token = require "support.token"

describe("the admin API", function()
    local running, admin_token

    -- Sends a request to the unix socket. Returns the status and the body.
    local function ask(method, path, options)
        options = options or {}
        local headers = { ("-H 'Content-Type: %s'"):format(options.type or "application/json") }
        if options.token then
            headers[#headers + 1] = "-H 'Authorization: Bearer " .. options.token .. "'"
        end
        if options.body then
            process.write(running.directory .. "/body", options.body)
            headers[#headers + 1] = "--data-binary @" .. running.directory .. "/body"
        end
        local command = "curl -s --unix-socket %s/admin.sock -X %s %s -w '\n%%{http_code}' 'http://admin%s'"
        local output = process.run(command:format(running.directory, method, table.concat(headers, " "), path))
        local body, status = output:match("^(.*)\n(%d+)$")
        return tonumber(status), body
    end

    local function revoke(body)
        local status, text = ask("POST", "/revocations", { body = cjson.encode(body), token = admin_token })
        assert.equal(201, status, text)
        return cjson.decode(text).id
    end

    -- Returns a token of the admin's key.
    local function admin(claims, key)
        claims.exp, claims.iat = claims.exp or os.time() + 300, os.time()
        return token.mint_all(running.keys, { { claims = claims, key = key or running.keys.other_private } })[1]
    end

    setup(function()
        running = assert(gateway.start { prepare = function(self)
            self.environment.ROUTE_ADMIN_KEY = self.keys.other_public
        end })
        admin_token = admin { sub = "root", scope = "route_native.admin" }
    end)
    teardown(function() running:stop() end)

    it("revokes, lists and withdraws", function()
        local claims = { sub = "ada", exp = os.time() + 300, iat = os.time() - 9 }
        local victim = running:mint("127.0.0.1", { claims = claims })
        local get = function() return running:get("/spawner/x", victim).status end
        revocation.wait_for(200, get)
        local number = revoke { sub = "ada" }
        revocation.wait_for(401, get)
        local status, body = ask("GET", "/revocations?limit=1")
        local listed = cjson.decode(body).revocations[1]
        assert.same({ 200, number, "ada", "root" }, { status, listed.id, listed.sub, listed.by })
        assert.equal(204, (ask("DELETE", "/revocations/" .. number, { token = admin_token })))
        assert.equal(404, (ask("DELETE", "/revocations/" .. number, { token = admin_token })))
        revocation.wait_for(200, get)
    end)

    it("lists nothing as an empty list", function()
        local _, body = ask("GET", "/revocations?below=1")
        assert.equal('{"revocations":[]}\n', body)
    end)

    it("takes a change from an admin only", function()
        local claims = { sub = "eve", scope = "route_native.admin", exp = os.time() + 300 }
        local user = running:mint("127.0.0.1", { claims = claims })
        local body = '{"sub":"nobody"}'
        for name, case in pairs {
            ["no token"] = { 401 }, ["a user's token"] = { 401, user },
            ["a token without the scope"] = { 403, admin { sub = "root", scope = "read" } },
            ["an expired one"] = { 401, admin { sub = "root", scope = "route_native.admin", exp = os.time() - 60 } },
        } do
            assert.equal(case[1], (ask("POST", "/revocations", { body = body, token = case[2] })), name)
            assert.equal(case[1], (ask("DELETE", "/revocations/1", { token = case[2] })), name)
        end
    end)

    it("answers a mistake with its status and a sentence", function()
        local bodies = { ["{}"] = "exactly one of", ["["] = "table is needed", ['{"sub":"a","x":1}'] = "no field" }
        for body, part in pairs(bodies) do
            local status, text = ask("POST", "/revocations", { body = body, token = admin_token })
            assert.equal(400, status)
            assert.truthy(cjson.decode(text).message:find(part, 1, true), text)
        end
        assert.equal(415, (ask("POST", "/revocations", { body = "{}", token = admin_token, type = "text/plain" })))
        assert.equal(413, (ask("POST", "/revocations", { body = ("x"):rep(40000), token = admin_token })))
        assert.equal(405, (ask("PUT", "/revocations", { token = admin_token })))
        assert.equal(405, (ask("GET", "/revocations/1", { token = admin_token })))
        assert.equal(404, (ask("GET", "/revocations/x")))
        assert.equal(404, (ask("GET", "/other")))
    end)

    it("writes who did what to the audit log, and no token", function()
        local victim = running:mint("127.0.0.1")
        local number = revoke { token = victim }
        assert.equal(204, (ask("DELETE", "/revocations/" .. number, { token = admin_token })))
        local log = process.wait_until("the audit log told of both", function()
            local text = running:error_log()
            return text:find('"act":"withdraw ' .. number, 1, true) and text
        end)
        local digest = process.run("printf %s " .. victim .. " | sha256sum"):match("^%x+")
        local entry = '"who":"root","act":"revoke %d","subject":"token_sha256 %s"'
        assert.truthy(log:find(entry:format(number, digest), 1, true))
        assert.is_nil(log:find(victim, 1, true))
        assert.is_nil(log:find(admin_token, 1, true))
    end)

    it("is on no other address", function()
        assert.is_nil(running:get("/revocations").body:find('"revocations":', 1, true))
    end)
end)

describe("the admin API without a key", function()
    it("can be read, and refuses every change with 403", function()
        local running = assert(gateway.start { demo = false })
        local curl = ("curl -s -o /dev/null -w '%%{http_code}' --unix-socket %s/admin.sock http://admin/revocations")
            :format(running.directory)
        assert.equal("200", (process.run(curl)))
        assert.equal("403", (process.run(curl .. " -H 'Content-Type: application/json' -d '{\"sub\":\"a\"}'")))
        running:stop()
    end)
end)

describe("the admin API on TCP", function()
    it("answers only a host of its own, so that no page of another name reads it", function()
        local port = process.free_port()
        local running = assert(gateway.start { demo = false, env = {
            ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. port, ROUTE_ADMIN_HOSTS = "admin.test gw" } })
        for host, status in pairs {
            ["127.0.0.1"] = 200, ["127.0.0.1:9"] = 200, localhost = 200, ["[::1]:80"] = 200,
            ["Admin.TEST"] = 200, gw = 200,
            ["evil.example"] = 421, ["admin.test.evil.example"] = 421, ["127.0.0.1.evil.example"] = 421,
        } do
            local headers = { { "Host", host } }
            assert.equal(status, http.request(port, { path = "/revocations", headers = headers }).status, host)
        end
        running:stop()
    end)
end)

describe("the admin API on a socket and an address", function()
    it("answers on both", function()
        local port = process.free_port()
        local running = assert(gateway.start { demo = false, prepare = function(self)
            self.environment.ROUTE_ADMIN_LISTEN = ("unix:%s/a.sock, 127.0.0.1:%d"):format(self.directory, port)
        end })
        assert.equal(200, http.request(port, { path = "/revocations", headers = { { "Host", "localhost" } } }).status)
        local output = process.run("curl -sS --unix-socket " .. running.directory .. "/a.sock http://admin/revocations")
        assert.equal('{"revocations":[]}\n', output)
        running:stop()
        local started, message = pcall(gateway.start, { demo = false, env = {
            ROUTE_ADMIN_LISTEN = "unix:/tmp/a, localhost:x" } })
        assert.is_false(started)
        assert.truthy(message:find('ROUTE_ADMIN_LISTEN must be a port, or an address and a port, and is "localhost:x"',
            1, true), message)
    end)
end)

describe("a directory whose path is too long for a socket", function()
    it("is one sentence that names the setting, and an address helps", function()
        local directory = process.temporary_directory()
        local long = directory .. "/" .. ("long"):rep(25)
        process.run("mkdir -p " .. long)
        local ok, message = pcall(gateway.start, { demo = false, directory = long })
        assert.is_false(ok)
        assert.truthy(message:find("ROUTE_ADMIN_LISTEN has a path of more than 107 bytes", 1, true), message)
        local running = assert(gateway.start { demo = false, directory = long, env = {
            ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. process.free_port() } })
        running:stop()
        process.run("rm -rf " .. directory)
    end)
end)
