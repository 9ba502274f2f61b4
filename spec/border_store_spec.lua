-- The border with a store that hangs, dies, comes back or is full, and the keys in the store.

local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"
local stores = require "support.stores"

-- A store does not answer: all requests get 503, and none is redirected to the login or passes.
local function assert_unavailable(script)
    local before = script:session()
    local json, page, login = script:get("/b/x"), script:visit("/b/page"), script:login()
    for _, response in ipairs { json, page, login } do
        assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
        assert.is_nil(response.headers.location)
        assert.is_nil(response.headers["set-cookie"])
    end
    assert.equal("UNAVAILABLE", cjson.decode(json.body).code)
    assert.equal(before, script:session())
end

local function health(running)
    local response = running:client():get("/borderpatrol/health")
    assert.equal("application/json", response.headers["content-type"], response.body)
    return response.status, cjson.decode(response.body).checks
end

local ALL_FAILED = { add = "failed", get = "failed", set = "failed", delete = "failed" }

for store, options in pairs { memcached = "", redis = "--appendonly yes --appendfsync always" } do
    describe("a " .. store .. " store that", function()
        local running

        setup(function() running = assert(border.start { store = store, store_options = options }) end)
        teardown(function() running:stop() end)

        it("hangs gives a 503, and the session is there when it continues", function()
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            running.store:hang()
            assert_unavailable(script)
            assert.same({ 503, ALL_FAILED }, { health(running) })
            running.store:go_on()
            assert.same({ 200, 200 }, { script:get("/b/x").status, (health(running)) })
            assert.is_true(running:counter("store.error") > 0)
        end)

        it("hangs fails a logout with a 503", function()
            local script = running:logged_in()
            local id = script:session()
            running.store:hang()
            assert.equal(503, script:request({ method = "POST", path = "/logout" }).status)
            running.store:go_on()
            assert.equal(id, script:session())
            assert.equal(303, script:request({ method = "POST", path = "/logout" }).status)
            assert.is_nil(script:session())
        end)

        it("dies gives a 503 until it is started again", function()
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            running.store:kill()
            assert_unavailable(script)
            running.store:start()
            if store == "redis" then
                process.wait_until("Redis had loaded its file", function()
                    return running.store:redis("ping") == "PONG"
                end)
                assert.equal(200, script:get("/b/x").status)
            else
                -- memcached has lost the sessions. Each client gets one 401.
                assert.same({ 401, 401 }, { script:get("/b/x").status, script:get("/b/x").status })
            end
            assert.equal(303, script:login().status)
            assert.equal(200, script:get("/c/x").status)
        end)
    end)
end

describe("a store that is full", function()
    -- Checks that hold for every full store; `free` makes room again.
    local function check(running, script, free)
        local refused = running:client():login()
        assert.same({ 503, "5" }, { refused.status, refused.headers["retry-after"] })
        -- The session stays, and a token that cannot be stored still serves its request.
        for _ = 1, 2 do
            assert.same({ 200, 200 }, { script:get("/b/x").status, script:get("/c/x").status })
        end
        local status, checks = health(running)
        assert.same({ 503, "failed" }, { status, checks.add })
        free()
        assert.equal(200, script:get("/c/x").status)
        assert.equal(303, running:client():login().status)
        assert.equal(200, (health(running)))
        running:stop()
    end

    it("refuses logins and loses no session: Redis", function()
        local running = assert(border.start { store = "redis", store_options = "--maxmemory-policy noeviction" })
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        running.store:redis("config set maxmemory 1")
        check(running, script, function() running.store:redis("config set maxmemory 0") end)
    end)

    it("refuses logins and loses no session: memcached -M", function()
        local running = assert(border.start { store = "memcached", store_options = "-M -m 2" })
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        -- Adds items of every size of a session until none fits.
        local keys, commands = {}, {}
        for _, size in ipairs { 0, 30, 60, 90, 130, 180, 260, 340, 460, 600 } do
            for _ = 1, 12000 do
                local key = "fill" .. #keys
                keys[#keys + 1] = key
                commands[#keys] = ("set %s 0 0 %d noreply\r\n%s\r\n"):format(key, size, ("x"):rep(size))
            end
        end
        -- memcached reports refused items in lines of their own.
        running.store:memcached(table.concat(commands) .. "version\r\n", "^VERSION")
        check(running, script, function()
            for i, key in ipairs(keys) do
                commands[i] = "delete " .. key .. " noreply\r\n"
            end
            running.store:memcached(table.concat(commands) .. "version\r\n", "^VERSION")
        end)
    end)

    it("refuses logins and loses no session: memory", function()
        local filling = [[
            include border.conf;
            location = /fill {
                content_by_lua_block {
                    local i = 0
                    for size = 900, 0, -30 do
                        while ngx.shared.tiny:safe_set("fill" .. i, ("x"):rep(size)) do i = i + 1 end
                    end
                    ngx.say(i)
                }
            }
            location = /free {
                content_by_lua_block {
                    for i = 0, 4096 do ngx.shared.tiny:delete("fill" .. i) end
                    ngx.say("free")
                }
            }]]
        local site = "lua_shared_dict tiny 32k;\n" .. process.read(gateway.ROOT .. "/examples/border/site.conf")
            :gsub("include border.conf;", function() return filling end)
        local running = assert(border.start { site = site, settings = { store = { dictionary = "tiny" } } })
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        assert.equal(200, running:client():get("/fill").status)
        check(running, script, function() running:client():get("/free") end)
    end)
end)

describe("the memory store", function()
    it("keeps sessions over a reload and the death of a worker", function()
        local running = assert(border.start())
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        running.gateway:reload()
        assert.equal(200, script:get("/b/x").status)
        local old = running.gateway:workers()
        for _, pid in ipairs(old) do
            process.signal(pid, "KILL")
        end
        process.wait_until("new workers ran", function()
            local new = running.gateway:workers()
            return #new == #old and new[1] ~= old[1] and new[2] ~= old[2]
        end)
        assert.equal(200, script:get("/b/x").status)
        running:stop()
    end)
end)

describe("two borders with one Redis", function()
    local one, two

    setup(function()
        local settings = { key_refresh = 1 }
        one = assert(border.start { store = "redis", settings = settings })
        two = assert(border.start { store = "redis", beside = one, settings = settings })
    end)
    teardown(function()
        two:stop()
        one:stop()
    end)

    local function at(running, script)
        local other = running:client()
        other.cookies = script.cookies
        return other
    end

    -- Returns the ring in the store, once it exists.
    local function ring_of_store()
        return process.wait_until("the keys were in the store", function()
            one:client():visit("/b/x")
            local ring = one.store:redis("--raw get border:keys")
            return ring ~= "" and ring
        end)
    end

    -- Ages the keys of the ring in the store.
    local function age(by_seconds)
        local ring = ring_of_store():gsub("(%d+):", function(since)
            return ("%d:"):format(tonumber(since) - by_seconds)
        end)
        one.store:redis("set border:keys " .. process.quoted(ring))
        return ring
    end

    local function ring_after(ring, running)
        return process.wait_until("the keys were rotated", function()
            running:client():visit("/b/x")
            local now = one.store:redis("--raw get border:keys")
            return now ~= ring and now
        end)
    end

    it("share sessions, exchanges and logouts", function()
        local script = one:logged_in()
        one:control("/reset")
        one:fault("auth", "slow")
        local connections, cookie = {}, { { "Cookie", "border_session=" .. script:session() } }
        for i = 1, 100 do
            connections[i] = http.connect(i % 2 == 0 and one.port or two.port)
            http.send(connections[i], { path = "/b/x", headers = cookie })
        end
        for _, connection in ipairs(connections) do
            assert.equal(200, http.read_response(connection).status)
            connection:close()
        end
        one:fault("auth", "ok")
        assert.equal(1, one:count("auth"))
        assert.equal(303, at(two, script):request({ method = "POST", path = "/logout" }).status)
        assert.equal(401, one:client():request({ path = "/b/x", headers = cookie }).status)
    end)

    it("store exactly the documented JSON, under digests, until the session ends", function()
        one.store:redis("flushall")
        local script = one:logged_in()
        script:get("/b/x")
        local keys = one.store:keys("border:session:*")
        assert.equal(1, #keys)
        local digest = process.run("printf %s " .. script:session() .. " | sha256sum"):match("^%x+")
        assert.equal("border:session:" .. digest, keys[1])
        local record = cjson.decode(one.store:redis("--raw get " .. keys[1]))
        assert.truthy(record.master_token:find("^master%-"))
        assert.truthy(record.service_tokens.b:find("^b%-"))
        -- Digests in base64, of two times and the names that a revocation can have.
        assert.equal(16 + 2 * 16, #mime.unb64(record.identity))
        record.master_token, record.service_tokens.b, record.identity = nil, nil, nil
        assert.same({ service_tokens = {} }, record)
        -- A request extends the session.
        one.store:redis("expire " .. keys[1] .. " 5")
        assert.equal(200, script:get("/b/x").status)
        assert.is_true(tonumber(one.store:redis("--raw ttl " .. keys[1])) > 3500)
        for _, key in ipairs(one.store:keys("*")) do
            assert.is_nil(key:find(script:session(), 1, true))
        end
    end)

    it("restore the keys when the store has lost only them", function()
        local script = one:logged_in()
        assert.equal(200, at(two, script):get("/b/x").status)
        local ring = ring_of_store()
        one.store:redis("del border:keys")
        process.wait_until("the keys were back", function()
            assert.equal(200, script:get("/b/x").status)
            return one.store:redis("--raw get border:keys") == ring
        end)
        assert.equal(200, at(two, script):get("/b/x").status)
    end)

    it("rotate the keys once for both, and sessions continue", function()
        local first = one:logged_in()
        assert.equal(200, at(two, first):get("/b/x").status)

        local ring = ring_after(age(90000), two)
        assert.equal(2, select(2, ring:gsub("%d+:", "")))
        assert.equal(1, one:counter("keys.rotated") + two:counter("keys.rotated"))
        assert.same({ 200, 200 }, { first:get("/b/x").status, at(two, first):get("/b/x").status })

        -- The new key starts to sign.
        ring = age(100)
        local second = process.wait_until("a session was signed with the new key", function()
            local script = one:logged_in()
            local key = ring:match("^v1 (%S+)")
            one.store:redis("set border:keys " .. process.quoted("v1 " .. key))
            return script
        end)
        one.store:redis("set border:keys " .. process.quoted(ring))
        assert.same({ 200, 200 }, { first:get("/b/x").status, at(two, second):get("/b/x").status })
    end)

    it("reject the key before the previous one", function()
        local script = one:logged_in()
        assert.equal(200, at(two, script):get("/b/x").status)
        ring_after(age(90000), one)
        local ring = ring_after(age(90060), one)
        assert.equal(2, select(2, ring:gsub("%d+:", "")))
        process.wait_until("the session had ended on both", function()
            return at(two, script):get("/b/x").status == 401 and at(one, script):get("/b/x").status == 401
        end)
    end)

    it("keep their keys when those in the store are damaged", function()
        local script = one:logged_in()
        assert.equal(200, script:get("/b/x").status)
        one.store:redis("set border:keys rubbish")
        process.wait_until("the damage was seen", function()
            assert.equal(200, script:get("/b/x").status)
            local sentence = "reading the session keys: the redis store: session_keys_invalid"
            return one.gateway:error_log():find(sentence, 1, true)
        end)
        one.store:redis("flushall")
    end)
end)

describe("a connection to the store", function()
    it("that closes when it is reused is replaced, and the request succeeds", function()
        local running = assert(border.start { store = "redis", env = { ROUTE_WORKERS = 1 } })
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        local connection = http.connect(running.port)
        local request = { path = "/b/x", headers = { { "Cookie", "border_session=" .. script:session() } } }
        http.send(connection, request)
        assert.equal(200, http.read_response(connection).status)
        -- The worker wakes up for the request first, and for the end of its pooled connections after it.
        local worker = running.gateway:workers()[1]
        process.signal(worker, "STOP")
        http.send(connection, request)
        running.store:redis("client kill type normal")
        process.signal(worker, "CONT")
        assert.equal(200, http.read_response(connection).status)
        connection:close()
        assert.equal(0, running:counter("store.error"))
        running:stop()
    end)
end)

describe("a managed Redis", function()
    it("works over TLS with a password, and is refused with a wrong certificate or password", function()
        local directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=redis.test "
            .. "-keyout %s/key.pem -out %s/cert.pem 2>&1"):format(directory, directory))
        assert(status == 0, output)
        local tls_port = process.free_port()
        local server = stores.start("redis", ("--tls-port %d --tls-cert-file %s/cert.pem --tls-key-file %s/key.pem "
            .. "--tls-auth-clients no --requirepass s3cret"):format(tls_port, directory, directory))
        local site = process.read(gateway.ROOT .. "/examples/border/site.conf"):gsub("include border_http.conf;",
            ("%%0 lua_ssl_trusted_certificate %s/cert.pem;"):format(directory))

        local function try(settings)
            settings.address, settings.tls = "127.0.0.1:" .. tls_port, true
            local running = assert(border.start { store = "redis", site = site, settings = { store = settings },
                server = server })
            local answered, login = health(running), running:client():login().status
            assert.is_nil((running.gateway:error_log()):find("s3cret", 1, true))
            running:stop()
            return { answered, login }
        end
        assert.same({ 200, 303 }, try { password = "s3cret", tls_name = "redis.test" })
        assert.same({ 200, 303 }, try { password = "s3cret", username = "default", tls_verify = false })
        assert.same({ 503, 503 }, try { password = "s3cret", tls_name = "other.test" })
        assert.same({ 503, 503 }, try { password = "wrong", tls_name = "redis.test" })
        assert.same({ 503, 503 }, try { tls_name = "redis.test" })
        server:stop()
        process.run("rm -rf " .. directory)
    end)
end)

describe("a Redis cluster", function()
    it("serves keys on every node by its redirections", function()
        local nodes = stores.start_cluster()
        local running = assert(border.start { store = "redis", server = nodes[1] })
        local scripts = {}
        for i = 1, 12 do
            scripts[i] = running:logged_in()
            assert.same({ 200, 200 }, { scripts[i]:get("/b/x").status, scripts[i]:get("/c/x").status })
        end
        local with_sessions = 0
        for _, node in ipairs(nodes) do
            with_sessions = with_sessions + (#node:keys("border:session:*") > 0 and 1 or 0)
        end
        assert.equal(3, with_sessions)
        assert.equal(200, (health(running)))
        for _, script in ipairs(scripts) do
            assert.equal(303, script:request({ method = "POST", path = "/logout" }).status)
        end
        for _, node in ipairs(nodes) do
            assert.same({}, node:keys("border:session:*"))
        end
        assert.equal(0, running:counter("store.error"))
        running:stop()
        for _, node in ipairs(nodes) do
            node:stop()
        end
    end)
end)

describe("a Redis that Sentinel watches", function()
    local master, replica, sentinel, running

    setup(function()
        master, replica, sentinel = stores.start_sentinel()
        running = assert(border.start { store = "redis", settings = { store = {
            -- Nobody listens at the first address.
            sentinels = { "127.0.0.1:" .. process.free_port(), sentinel.address }, master = "main",
        } }, server = { stop = function() end } })
    end)
    teardown(function()
        running:stop()
        for _, one in ipairs { sentinel, replica, master } do
            one:stop()
        end
    end)

    -- Uses a session until it passes. In between its requests get 503, and none loses the session.
    local function use_until_it_passes(script)
        return process.wait_until("the session was used again", function()
            local status = script:get("/b/x").status
            assert.truthy(status == 200 or status == 503, status)
            return status == 200
        end)
    end

    it("serves sessions through a failover from a killed master, and from a hanging one", function()
        local scripts = {}
        for i = 1, 6 do
            scripts[i] = running:logged_in()
            assert.equal(200, scripts[i]:get("/b/x").status)
        end
        for _, failure in ipairs { "kill", "hang" } do
            local old, new = stores.wait_for_replica(master, replica)
            old[failure](old)
            for _, script in ipairs(scripts) do
                use_until_it_passes(script)
            end
            assert.truthy(new:redis("role"):find("^master"))
            assert.same({ 303, 200 }, { running:client():login().status, (health(running)) })
            if failure == "kill" then
                old:start()
            else
                old:go_on()
            end
        end
    end)
end)
