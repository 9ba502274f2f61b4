-- Long connections end with what allowed them: exactly those, on every worker, and no other one loses a byte.

local auth = require "support.auth"
local border = require "support.border"
local gateway = require "support.gateway"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"
local revocation = require "support.revocation"
local websocket = require "support.websocket"

local function read(path)
    return process.read(gateway.ROOT .. "/" .. path)
end

local function start(env)
    return assert(gateway.start { env = env, prepare = function(self)
        self.environment.SITE = self.directory .. "/site.conf"
        process.write(self.environment.SITE, revocation.site(read "conf/sites-enabled/routehttp.conf"))
    end })
end

local function bearer(token)
    return { { "Authorization", "Bearer " .. token } }
end

-- Returns a token of a user, issued a minute ago.
local function mint(running, sub, exp)
    return running:mint("127.0.0.1", { claims = { sub = sub, iat = os.time() - 60, exp = exp or os.time() + 300 } })
end

-- Opens WebSockets with a token.
local function open(running, token, count)
    local list = {}
    for i = 1, count do
        list[i] = assert(websocket.open(running.port, { path = "/websockify", headers = bearer(token) }))
        list[i]:receive() -- the demo desktop's greeting
    end
    return list
end

-- Opens WebSockets with a token that expires soon. On a busy machine it may expire before the last of them is open:
-- then the next token lives longer. Returns the WebSockets and the token.
local function open_for_a_moment(running, count)
    local seconds = 2
    while true do
        local token = mint(running, "ada", os.time() + seconds)
        local ok, list = pcall(open, running, token, count)
        if ok then
            return list, token
        end
        seconds = assert(seconds < 100 and seconds * 2, list)
    end
end

local function assert_open(list)
    for i, one in ipairs(list) do
        one:send("hello " .. i)
        assert.equal("hello " .. i, (one:receive()))
    end
end

-- Waits until each of the WebSockets has ended.
local function assert_ended(list)
    for i, one in ipairs(list) do
        one.connection:settimeout(0)
        process.wait_until("WebSocket " .. i .. " had ended", function()
            local _, state = one.connection:receive(1)
            return state == "closed"
        end)
    end
end

describe("a long connection", function()
    it("ends at the revocation of its user, 100 of 200 on two workers, and the others lose no byte", function()
        local running = start {}
        local victims = open(running, mint(running, "ada"), 100)
        local others = open(running, mint(running, "bob"), 100)
        assert_open(victims)
        for i, one in ipairs(others) do
            one:send("before " .. i)
        end
        assert(revocation.revoke(running.port, { sub = "ada" }))
        assert_ended(victims)
        for i, one in ipairs(others) do
            assert.equal("before " .. i, (one:receive()))
        end
        assert_open(others)
        running:stop()
    end)

    it("ends in an old worker after a reload, which then exits", function()
        local running = start {}
        local old = running:workers()
        local victims, others = open(running, mint(running, "ada"), 10), open(running, mint(running, "bob"), 10)
        process.signal(running.pid, "HUP")
        process.wait_until("new workers ran", function() return #running:workers() > #old end)
        assert(revocation.revoke(running.port, { sub = "ada" }))
        assert_ended(victims)
        assert_open(others)
        for _, one in ipairs(others) do
            one:close()
        end
        process.wait_until("the old workers had exited", function()
            return not process.alive(old[1]) and not process.alive(old[2])
        end)
        running:stop()
    end)

    it("is refused or ends in an old worker too, whose client sends its request after the reload", function()
        local running = start { ROUTE_WORKERS = 1 }
        local old = running:workers()
        local function half(token)
            local connection = http.connect(running.port)
            connection:send("GET /websockify HTTP/1.1\r\nHost: gateway.test\r\n"
                .. "Authorization: Bearer " .. token .. "\r\n")
            return connection
        end
        local ada, bob = mint(running, "ada"), mint(running, "bob")
        local refused, opened = half(ada), half(bob)
        -- The worker has read both by then.
        assert.equal(200, running:get("/filer/x", bob).status)
        process.signal(running.pid, "HUP")
        process.wait_until("new workers ran", function() return #running:workers() > #old end)
        process.wait_until("the old worker was exiting", function()
            return running:error_log():find(old[1] .. "#" .. old[1] .. ": gracefully shutting down", 1, true)
        end)
        assert(revocation.revoke(running.port, { sub = "ada" }))
        local rest = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            .. "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        refused:send(rest)
        assert.equal("HTTP/1.1 401 Unauthorized", (refused:receive("*l")))
        opened:send(rest)
        assert.equal("HTTP/1.1 101 Switching Protocols", (opened:receive("*l")))
        assert(revocation.revoke(running.port, { sub = "bob" }))
        opened:settimeout(0)
        process.wait_until("the WebSocket had ended", function()
            local _, state = opened:receive("*a")
            return state == "closed" or state == nil
        end)
        process.wait_until("the old worker had exited", function() return not process.alive(old[1]) end)
        running:stop()
    end)

    it("ends at the expiry of its token where the setting says so, and else lives on", function()
        local running = start { ROUTE_CONNECTION_ENDS = "expiry", ROUTE_JWT_LEEWAY = 0 }
        local others = open(running, mint(running, "ada"), 3)
        assert_ended((open_for_a_moment(running, 3)))
        assert_open(others)
        running:stop()
        running = start { ROUTE_JWT_LEEWAY = 0 }
        local kept, soon = open_for_a_moment(running, 1)
        process.wait_until("the token had expired", function() return running:get("/spawner", soon).status == 401 end)
        assert_open(kept)
        running:stop()
    end)

    it("stays open where the setting says never", function()
        local running = start { ROUTE_CONNECTION_ENDS = "never" }
        local token = mint(running, "ada")
        local kept = open(running, token, 2)
        assert(revocation.revoke(running.port, { sub = "ada" }))
        revocation.wait_for(401, function() return running:get("/spawner", token).status end)
        assert_open(kept)
        running:stop()
    end)

    it("ends over TLS, a unix socket and the PROXY protocol, and a request of HTTP/2 runs to its end", function()
        local tls_port, proxy_port = process.free_port(), process.free_port()
        local running = assert(gateway.start { prepare = function(self)
            local output, status = process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                .. "-days 2 -subj /CN=gateway.test -keyout %s/key.pem -out %s/cert.pem")
                :format(self.directory, self.directory))
            assert(status == 0, output)
            local listen = ([[include runtime/listen.conf;
                listen 127.0.0.1:%d ssl http2;
                ssl_certificate %s/cert.pem;
                ssl_certificate_key %s/key.pem;
                listen unix:%s/site.sock;
                listen 127.0.0.1:%d proxy_protocol;
                set_real_ip_from 127.0.0.1;
                real_ip_header proxy_protocol;]]):format(tls_port, self.directory, self.directory, self.directory,
                proxy_port)
            self.environment.SITE = self.directory .. "/site.conf"
            process.write(self.environment.SITE, (revocation.site(read "conf/sites-enabled/routehttp.conf")
                :gsub("include runtime/listen.conf;", function() return listen end)))
        end })
        local log = running.directory .. "/clients.log"
        local pid = process.start(("/usr/bin/python3 %s/spec/support/kept_connections.py %d %s/site.sock %d %s %s")
            :format(gateway.ROOT, tls_port, running.directory, proxy_port, mint(running, "ada"), mint(running, "bob")),
            log)
        local function wait_for(line)
            process.wait_until("the clients printed " .. line, function()
                return process.read(log):find(line, 1, true) or not process.alive(pid)
            end)
            assert.truthy(process.read(log):find(line, 1, true), process.read(log))
        end
        wait_for("open\n")
        assert(revocation.revoke(running.port, { sub = "ada" }))
        wait_for("ended\nalive\nuploads 88 88\n")
        assert.is_nil(running:error_log():find("in another way", 1, true))
        running:stop()
    end)

    it("that serves another token's request by then is no long connection of the first one", function()
        local running = start {}
        local ada, bob = mint(running, "ada"), mint(running, "bob")
        local connection = http.connect(running.port)
        http.send(connection, { path = "/filer/x", headers = bearer(ada) })
        assert.equal(200, http.read_response(connection).status)
        assert(revocation.revoke(running.port, { sub = "ada" }))
        revocation.wait_for(401, function() return running:get("/spawner", ada).status end)
        http.send(connection, { path = "/filer/x", headers = bearer(bob) })
        assert.equal(200, http.read_response(connection).status)
        connection:close()
        running:stop()
    end)

    it("ends also after a client that reset its connection right behind its request", function()
        local running = start {}
        local gone = mint(running, "gone")
        for _ = 1, 40 do
            local connection = http.connect(running.port)
            http.send(connection, { path = "/filer/reset", headers = bearer(gone) })
            connection:setoption("linger", { on = true, timeout = 0 })
            connection:close()
        end
        local victims = open(running, mint(running, "ada"), 10)
        assert(revocation.revoke(running.port, { sub = "ada" }))
        assert_ended(victims)
        assert.is_nil(running:error_log():find("no connection is ended", 1, true))
        running:stop()
    end)

    it("ends at the logout of its session at the border, and another session's does not", function()
        local running = assert(border.start { site = read "examples/border/site.conf" })
        local one, other = running:logged_in(), running:logged_in()
        local function listen(client)
            local connection = http.connect(running.port)
            http.send(connection, { path = "/b/events", headers = {
                { "Host", "border.test" }, { "Cookie", "border_session=" .. client:session() } } })
            return connection
        end
        local first, second = listen(one), listen(other)
        assert.equal("HTTP/1.1 200 OK", (first:receive("*l")))
        assert.equal("HTTP/1.1 200 OK", (second:receive("*l")))
        assert.equal(303, one:request { method = "POST", path = "/logout" }.status)
        local _, ending = first:receive("*a")
        assert.equal("closed", ending or "closed")
        second:settimeout(0)
        local _, state = second:receive("*a")
        assert.equal("timeout", state)
        running:stop()
    end)

    it("ends at a location with auth.check(), by the key that has signed its token", function()
        local directory = auth.directory()
        local key = mime.b64(auth.SECRET):gsub("+", "-"):gsub("/", "_"):gsub("=", "")
        process.write(directory .. "/jwk", ('{"kty":"oct","kid":"2026","k":"%s"}'):format(key))
        local running = assert(auth.start(directory, revocation.site(([[
include revocation_http.conf;
init_by_lua_block { require("route_native.hooks").start(function() end) }
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /slow {
        include connection.conf;
        access_by_lua_block { require("route_native.auth").check { key_file = "%s/jwk" } }
        content_by_lua_block { ngx.say("in") ngx.flush(true) ngx.sleep(600) }
    }
}
]]):format(directory))))
        local connection = http.connect(running.port)
        -- The token names no key.
        http.send(connection, { path = "/slow", headers = bearer(auth.token(directory, { exp = os.time() + 300 })) })
        assert.equal("HTTP/1.1 200 OK", (connection:receive("*l")))
        assert(revocation.revoke(running.port, { kid = "2026" }))
        connection:settimeout(0)
        process.wait_until("the connection had ended", function()
            local _, state = connection:receive("*a")
            return state == "closed" or state == nil
        end)
        running:stop()
    end)
end)
