-- The limits of the desktop gateway: exact over workers, reloads and deaths, and nobody loses for another.

local cjson = require "cjson"
local desktops = require "support.desktops"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local websocket = require "support.websocket"

-- The shipped site, with a location that tells what the dictionaries of the limits hold.
local with_keys = desktops.site [[
    location = /keys {
        content_by_lua_block {
            for _, name in ipairs { "desktop_limits", "desktop_clients" } do
                for _, key in ipairs(ngx.shared[name]:get_keys(0)) do
                    ngx.say(name, " ", key, " ", (ngx.shared[name]:get(key)))
                end
            end
        }
    }
]]

local running, demo, token, other_token, elsewhere

-- Starts a gateway with settings, on the desktops of `demo`.
local function start(env, options)
    options = options or {}
    local all = { ROUTE_TRUSTED_PROXIES = "127.0.0.1" }
    for name, value in pairs(demo.environment) do
        all[name] = name:find("PORT$") and value or nil
    end
    for name, value in pairs(env) do
        all[name] = value
    end
    options.demo, options.keys, options.env = false, demo.keys, all
    return gateway.start(options)
end

-- Sends a request from a client's address.
local function get(path, bearer, address)
    return running:request { path = path, headers = { { "Authorization", bearer },
        { "X-Forwarded-For", address or "192.0.2.1" } } }
end

-- Opens a WebSocket. Returns it, or nil and the answer that refused it.
local function open(bearer, address)
    local one, refused = websocket.open(running.port, { path = "/websockify",
        headers = { { "Authorization", bearer }, { "X-Forwarded-For", address or "192.0.2.1" } } })
    if one then
        one:receive() -- the demo desktop's greeting
    end
    return one, refused
end

-- Opens WebSockets until one is refused. Returns them, and the refusal.
local function open_all(bearer)
    local list = {}
    while #list < 100 do
        local one, refused = open(bearer)
        if not one then
            return list, refused
        end
        list[#list + 1] = one
    end
    error("a hundred WebSockets are open")
end

local function close(list)
    for _, one in ipairs(list) do
        one:close()
    end
end

-- Waits until as many WebSockets can be opened, and no more, and closes them.
local function assert_room(bearer, count)
    local seen
    process.wait_until(("there was room for %d"):format(count), function()
        local list = open_all(bearer)
        seen = #list
        close(list)
        return seen >= count
    end)
    assert.equal(count, seen)
end

-- Returns how many keys of the dictionaries match a pattern, which begins with a dictionary's name.
local function count_keys(pattern)
    return select(2, ("\n" .. running:get("/keys").body):gsub("\n" .. pattern, ""))
end

describe("a limit", function()
    setup(function()
        demo = assert(gateway.start {})
        token, other_token = demo:mint("127.0.0.1"), demo:mint("127.0.0.1", { claims = { exp = os.time() + 3000 } })
        elsewhere = demo:mint("127.0.0.2")
    end)
    teardown(function() demo:stop() end)
    after_each(function()
        if running then
            running:stop()
            running = nil
        end
    end)

    -- The kind, who is refused, who is not, the status and the code. A request is a token and an address.
    local KINDS = {
        { "token", { "a", "192.0.2.1" }, { "b", "192.0.2.1" }, 429, "too_many_requests" },
        { "target", { "b", "192.0.2.9" }, { "c", "192.0.2.1" }, 503, "desktop_busy" },
        { "client", { "c", "192.0.2.1" }, { "a", "192.0.2.2" }, 429, "too_many_requests" },
        { "client", { "c", "::ffff:192.0.2.1" }, { "a", "::ffff:192.0.2.2" }, 429, "too_many_requests" },
    }

    for _, kind in ipairs(KINDS) do
        local name, refused, admitted, status, code = unpack(kind)

        local function request(path, who)
            local tokens = { a = token, b = other_token, c = elsewhere }
            return get(path, tokens[who[1]], who[2])
        end

        it(("of requests a second by %s refuses %s, and is over soon"):format(name, refused[2]), function()
            running = assert(start { ["ROUTE_LIMIT_" .. name:upper() .. "_RATE"] = 3 })
            local response
            process.wait_until("a request was refused", function()
                get("/spawner/x", token)
                response = request("/spawner/refused", refused)
                return response.status ~= 200
            end)
            assert.same({ status, code, "1", "no-store" }, { response.status, cjson.decode(response.body).code,
                response.headers["retry-after"], response.headers["cache-control"] })
            -- The newest line may be that of a request before it.
            process.wait_until("the log had the reason", function()
                return running:logged("/spawner/refused").reason == name .. "_rate"
            end)
            assert.equal(200, request("/spawner/x", admitted).status)
            process.wait_until("the second was over", function()
                return request("/spawner/x", refused).status == 200
            end)
        end)

        it(("of open requests by %s refuses %s, and nobody else"):format(name, refused[2]), function()
            running = assert(start { ["ROUTE_LIMIT_" .. name:upper() .. "_CONNECTIONS"] = 3 })
            local list = open_all(token)
            assert.equal(3, #list)
            local response = request("/spawner/refused", refused)
            assert.same({ status, code, "1" }, { response.status, cjson.decode(response.body).code,
                response.headers["retry-after"] })
            assert.equal(name .. "_connections", running:logged("/spawner/refused").reason)
            assert.equal(200, request("/spawner/x", admitted).status)
            close(list)
            assert_room(token, 3)
        end)
    end

    it("that nobody reaches refuses nobody", function()
        local env = {}
        for _, kind in ipairs { "CLIENT", "TOKEN", "TARGET" } do
            env["ROUTE_LIMIT_" .. kind .. "_RATE"], env["ROUTE_LIMIT_" .. kind .. "_CONNECTIONS"] = 100000, 2
        end
        running = assert(start(env))
        for _ = 1, 100 do
            assert.equal(200, get("/spawner/x", token).status)
        end
    end)

    it("is a page for a person", function()
        running = assert(start { ROUTE_LIMIT_TARGET_CONNECTIONS = 1 })
        local list = open_all(token)
        local page = running:request { path = "/spawner/x", headers = { { "Authorization", token },
            { "Sec-Fetch-Mode", "navigate" } } }
        assert.equal(503, page.status)
        assert.truthy(page.body:find("<h1>Your desktop is busy</h1>", 1, true), page.body)
        close(list)
    end)

    it("counts no request that has ended, however it ended", function()
        local broken, pid = desktops.start("broken_desktop.py", demo.directory)
        running = assert(start({ ROUTE_LIMIT_TOKEN_CONNECTIONS = 2, ROUTE_LIMIT_CLIENT_CONNECTIONS = 2,
            ROUTE_LIMIT_TARGET_CONNECTIONS = 2, SPAWNER_SERVICE_TCP_PORT = process.free_port(),
            SNAPSHOT_SERVICE_TCP_PORT = broken }, { prepare = with_keys }))
        local held = http.connect(running.port)
        http.send(held, { path = "/snapshot/hang", headers = { { "Authorization", token } } })
        process.wait_until("it was counted", function() return count_keys "desktop_%w+ %d+:" == 3 end)
        held:close()
        for _ = 1, 5 do
            assert.equal(502, get("/spawner/x", token).status)
            assert.equal(502, get("/snapshot/interim", token).status)
            assert.equal(502, get("/snapshot/own", token).status)
            assert.equal(401, get("/spawner/x", "nonsense").status)
            assert.equal(426, get("/websockify", token).status)
            local left = http.connect(running.port)
            http.send(left, { path = "/snapshot/hang", headers = { { "Authorization", token } } })
            left:close()
        end
        -- Without this, the next request at the same place in memory would end the count.
        process.wait_until("nothing was counted any more", function() return count_keys "desktop_%w+ %d+:" == 0 end)
        assert_room(token, 2)
        process.stop(pid)
    end)

    it("counts what old workers still have open after a reload", function()
        running = assert(start { ROUTE_LIMIT_TOKEN_CONNECTIONS = 3 })
        local list = open_all(token)
        assert.equal(3, #list)
        local old = running:workers()
        process.signal(running.pid, "HUP")
        process.wait_until("new workers ran", function() return #running:workers() > #old end)
        -- A new worker accepts once the old ones do not.
        for _ = 1, 20 do
            assert.is_nil((open(token)))
        end
        table.remove(list):close()
        assert_room(token, 1)
        close(list)
        assert_room(token, 3)
    end)

    it("forgets what a killed worker had open, and nothing else", function()
        running = assert(start({ ROUTE_LIMIT_TOKEN_CONNECTIONS = 8 }, { prepare = with_keys }))
        local list = open_all(token)
        assert.equal(8, #list)
        local victim = running:get("/keys").body:match("desktop_limits worker %d+ %d+ (%d+) ")
        process.signal(victim, "KILL")
        local alive = 0
        for _, one in ipairs(list) do
            one:send("hello")
            alive = one:receive() and alive + 1 or alive
        end
        process.wait_until("it was forgotten", function()
            -- A worker looks for others from its first request on.
            get("/spawner/x", elsewhere)
            return count_keys("desktop_limits worker %d+ %d+ " .. victim .. " ") == 0
        end)
        assert_room(token, 8 - alive)
        close(list)
        assert_room(token, 8)
    end)

    it("holds for all of the addresses of an IPv6 network together", function()
        running = assert(start { ROUTE_LIMIT_CLIENT_CONNECTIONS = 2 })
        local list = { open(token, "2001:db8:0:1::1"), open(token, "2001:db8:0:1:ffff::2") }
        assert.equal(2, #list)
        for i = 1, 100 do
            assert.equal(429, get("/spawner/x", token, ("2001:db8:0:1:%x::7"):format(i)).status)
        end
        assert.equal(200, get("/spawner/x", token, "2001:db8:0:2::1").status)
        close(list)
    end)

    it("stays when other addresses fill the dictionary, and those are served", function()
        running = assert(start({ ROUTE_LIMIT_CLIENT_CONNECTIONS = 2, ROUTE_LIMIT_CLIENT_RATE = 1000000 }, {
            prepare = function(self)
                local output, status = process.run(("cp -r %s/conf %s/conf && sed -i 's/desktop_clients 16m/"
                    .. "desktop_clients 16k/' %s/conf/runtime_desktop.sh && grep -c 'desktop_clients 16k' "
                    .. "%s/conf/runtime_desktop.sh")
                    :format(gateway.ROOT, self.directory, self.directory, self.directory))
                assert(status == 0 and output == "1\n", output)
                self.environment.CONF = self.directory .. "/conf"
            end,
        }))
        local list = { open(token, "2001:db8:0:1::1"), open(token, "2001:db8:0:1::2") }
        assert.equal(2, #list)
        local attacker, count = http.connect(running.port), 0
        process.wait_until("the dictionary was full", function()
            for _ = 1, 100 do
                count = count + 1
                http.send(attacker, { path = "/spawner/x", headers = { { "Authorization", token },
                    { "X-Forwarded-For", ("2001:db9:%x:%x::1"):format(count / 65536, count % 65536) } } })
                assert.equal(200, http.read_response(attacker).status)
            end
            return running:error_log():find("desktop_clients is full of requests of this second", 1, true)
        end)
        assert.equal(429, get("/spawner/x", token, "2001:db8:0:1::3").status)
        attacker:close()
        close(list)
    end)

    it("of a desktop that hangs leaves the others alone", function()
        local broken, pid = desktops.start("broken_desktop.py", demo.directory)
        running = assert(start({ ROUTE_LIMIT_TARGET_CONNECTIONS = 4, SNAPSHOT_SERVICE_TCP_PORT = broken }))
        local flood = {}
        for i = 1, 40 do
            flood[i] = http.connect(running.port)
            http.send(flood[i], { path = "/snapshot/hang", headers = { { "Authorization", token } } })
        end
        local statuses = {}
        process.wait_until("all but four were refused", function()
            for i, one in pairs(flood) do
                one:settimeout(0)
                local line = one:receive("*l")
                if line then
                    statuses[#statuses + 1] = line:match(" (%d+)")
                    one:close()
                    flood[i] = nil
                end
            end
            return #statuses >= 36
        end)
        assert.equal(("503 "):rep(36), table.concat(statuses, " ") .. " ")
        for _ = 1, 20 do
            assert.equal(200, get("/spawner/x", elsewhere).status)
        end
        for _, one in pairs(flood) do
            one:close()
        end
        process.stop(pid)
    end)

    for name, value in pairs {
        CLIENT_RATE = "0", TOKEN_CONNECTIONS = "-1", TARGET_RATE = "1.5", TOKEN_RATE = "many",
    } do
        it(("of ROUTE_LIMIT_%s=%s is refused in one sentence"):format(name, value), function()
            local gate, output = start { ["ROUTE_LIMIT_" .. name] = value }
            assert.is_nil(gate)
            assert.truthy(output:find(("route_native: ROUTE_LIMIT_%s must be a whole number from 1 to 1000000")
                :format(name), 1, true), output)
        end)
    end
end)
