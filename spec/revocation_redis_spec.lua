-- Revocations on several nodes: what one node revokes, all refuse, whatever happens to Redis.

local auth = require "support.auth"
local border = require "support.border"
local gateway = require "support.gateway"
local http = require "support.http"
local nodes = require "support.nodes"
local process = require "support.process"
local revocation = require "support.revocation"
local stores = require "support.stores"

local LOG, ENTRIES = "'{route_native:revocations}:log'", "'{route_native:revocations}:entries'"

local function redis_at(server)
    return { ROUTE_REVOCATION_REDIS = server.address }
end

-- Waits until Redis has so many revocations that nobody has withdrawn.
local function wait_for_stored(server, expected)
    process.wait_until("Redis had " .. expected .. " revocations", function()
        return select(2, ("\n" .. server:redis("--raw hvals " .. ENTRIES)):gsub("\n{", "")) == expected
    end)
end

local function revoke(node, what)
    return assert(revocation.revoke(node.port, what))
end

local function stop_all(list)
    for _, one in ipairs(list) do
        one:stop()
    end
end

-- Returns a function that revokes so many times on each node, and returns how often all of its calls did together. Each
-- answer is a promise.
local function revoke_meanwhile(list)
    local count = 0
    return function(steps)
        for _ = 1, steps do
            for _, node in ipairs(list) do
                count = count + 1
                revoke(node, { jti = "load " .. count })
            end
        end
        return count
    end
end

local WAYS = {
    ["one Redis"] = function()
        local server = stores.start("redis")
        return redis_at(server), { server }
    end,
    ["a Redis that Sentinel watches"] = function()
        local master, replica, sentinel = stores.start_sentinel()
        return { ROUTE_REVOCATION_SENTINELS = "127.0.0.1:" .. process.free_port() .. " " .. sentinel.address,
            ROUTE_REVOCATION_MASTER = "main" }, { sentinel, replica, master }
    end,
    ["a Redis cluster"] = function()
        local servers = stores.start_cluster()
        local addresses = { "127.0.0.1:" .. process.free_port() }
        for i, server in ipairs(servers) do
            addresses[i + 1] = server.address
        end
        return { ROUTE_REVOCATION_REDIS = table.concat(addresses, " ") }, servers
    end,
}

for name, start in pairs(WAYS) do
    describe("two nodes with " .. name, function()
        it("refuse on every worker what the other one revokes, until either withdraws it", function()
            local environment, servers = start()
            local one, two = assert(nodes.start(environment)), assert(nodes.start(environment))
            local victim, other = nodes.token(one, { sub = "ada" }), nodes.token(one, { sub = "bob" })
            for _, node in ipairs { one, two } do
                nodes.wait_for(node, 200, victim)
                nodes.wait_for(node, 200, other)
            end
            local id = revoke(one, { sub = "ada" })
            nodes.wait_for(two, 401, victim)
            nodes.wait_for(one, 401, victim)
            nodes.wait_for(two, 200, other)
            assert.equal(id, revocation.list(two.port).list[1].id)
            assert.equal("true", revocation.withdraw(two.port, id))
            nodes.wait_for(one, 200, victim)
            nodes.wait_for(two, 200, victim)
            assert.equal("false", revocation.withdraw(one.port, id))
            stop_all { one, two }
            stop_all(servers)
        end)
    end)
end

describe("the nodes of one Redis", function()
    local server, one, two

    setup(function()
        server = stores.start("redis")
        one, two = assert(nodes.start(redis_at(server))), assert(nodes.start(redis_at(server)))
    end)
    teardown(function() stop_all { one, two, server } end)

    before_each(function()
        for _, node in ipairs { one, two } do
            for _, entry in ipairs(revocation.list(node.port, "limit=1000").list) do
                revocation.withdraw(node.port, entry.id)
            end
        end
        nodes.wait_for_count({ one, two }, 0)
    end)

    it("withdraw by the admin API what another node has revoked by it", function()
        local claims = { sub = "root", scope = "route_native.admin", iat = os.time(), exp = os.time() + 300 }
        local admin = auth.token(one.directory, claims, nodes.ADMIN_SECRET)
        local function ask(node, method, path, body)
            return process.run(("curl -s --unix-socket %s/admin.sock -X %s -H 'Authorization: Bearer %s' "
                .. "-H 'Content-Type: application/json' %s -w '%%{http_code}' http://admin%s"):format(node.directory,
                method, admin, body and "-d " .. process.quoted(body) or "", path))
        end
        local victim = nodes.token(one, { sub = "ada" })
        local id = ask(one, "POST", "/revocations", '{"sub":"ada"}'):match('{"id":(%d+)}\n201$')
        nodes.wait_for(two, 401, victim)
        assert.equal("204", ask(two, "DELETE", "/revocations/" .. id))
        nodes.wait_for(one, 200, victim)
        assert.truthy(ask(one, "DELETE", "/revocations/" .. id):find("404$"))
    end)

    it("lose nothing while it is killed and comes back empty", function()
        local load = revoke_meanwhile { one, two }
        load(10)
        server:kill()
        load(10)
        server:start()
        local count = load(10)
        nodes.wait_for_count({ one, two }, count)
        wait_for_stored(server, count)
        -- A node that starts now has nothing but Redis.
        local third = assert(nodes.start(redis_at(server)))
        nodes.wait_for_count({ third }, count)
        third:stop()
    end)

    it("lose nothing while it hangs", function()
        local load = revoke_meanwhile { one, two }
        load(10)
        server:hang()
        load(10)
        server:go_on()
        local count = load(10)
        nodes.wait_for_count({ one, two }, count)
        wait_for_stored(server, count)
    end)

    it("lose nothing when it comes back with an older state, and others write to that first", function()
        local load = revoke_meanwhile { one, two }
        nodes.wait_for_count({ one, two }, load(5))
        server:redis("save")
        load(5)
        local withdrawn = revoke(one, { sub = "ada" })
        nodes.wait_for(two, 401, nodes.token(two, { sub = "ada" }))
        assert.equal("true", revocation.withdraw(two.port, withdrawn))
        nodes.wait_for_count({ one, two }, 20)
        -- Both nodes hang, so that the state of the third is the first to be written.
        server:kill()
        for _, node in ipairs { one, two } do
            for _, pid in ipairs(node:workers()) do
                process.signal(pid, "STOP")
            end
        end
        server:start()
        local third = assert(nodes.start(redis_at(server)))
        for i = 1, 30 do
            revoke(third, { jti = "third " .. i })
        end
        for _, node in ipairs { one, two } do
            for _, pid in ipairs(node:workers()) do
                process.signal(pid, "CONT")
            end
        end
        nodes.wait_for_count({ one, two, third }, 50)
        nodes.wait_for(third, 200, nodes.token(third, { sub = "ada" }))
        process.run("rm -f " .. server.directory .. "/dump.rdb")
        third:stop()
    end)

    it("have a revocation in it when they answer, so that it outlives the node", function()
        for i = 1, 10 do
            revoke(one, { jti = "answered " .. i })
            assert.truthy(server:redis("--raw hvals " .. ENTRIES):find('"answered ' .. i .. '"', 1, true))
        end
    end)

    it("bring also what a node has revoked that is gone", function()
        local third = assert(nodes.start(redis_at(server)))
        revoke(third, { jti = "left behind" })
        local withdrawn = revoke(third, { sub = "ada" })
        nodes.wait_for_count({ one, two }, 2)
        assert.equal("true", revocation.withdraw(third.port, withdrawn))
        nodes.wait_for_count({ one, two }, 1)
        third:stop()
        server:kill()
        server:start()
        wait_for_stored(server, 1)
        process.wait_until("the withdrawal was there too", function()
            return server:redis(("hget %s %d"):format(ENTRIES, withdrawn)):find("^%-")
        end)
    end)

    it("go on after a reload, and when the worker dies that leads", function()
        local _, losses = one:error_log():gsub("Redis has lost", "")
        revoke(one, { jti = "before" })
        nodes.wait_for_count({ one, two }, 1)
        one:reload()
        revoke(two, { jti = "after the reload" })
        nodes.wait_for_count({ one, two }, 2)
        local leader = tonumber(http.request(one.port, { path = "/.leader" }).body)
        process.signal(leader, "KILL")
        revoke(two, { jti = "after the death" })
        nodes.wait_for_count({ one, two }, 3)
        revoke(one, { jti = "from the new leader" })
        nodes.wait_for_count({ one, two }, 4)
        assert.equal(losses, select(2, one:error_log():gsub("Redis has lost", "")))
    end)

    it("bring what they know when somebody deletes a part of it", function()
        for i = 1, 5 do
            revoke(one, { jti = "kept " .. i })
        end
        nodes.wait_for_count({ one, two }, 5)
        for _, key in ipairs { ENTRIES, LOG } do
            server:redis("del " .. key)
            process.wait_until("the events were back", function()
                return tonumber(server:redis("zcard " .. LOG)) >= 5
            end)
            wait_for_stored(server, 5)
        end
    end)

    it("bear any bytes in it, and take what is right among them", function()
        revoke(one, { jti = "first" })
        nodes.wait_for_count({ one, two }, 1)
        local later = os.time() + 600
        local newest = tonumber(server:redis("--raw zrevrange " .. LOG .. " 0 0 withscores"):match("\n(%d+)$"))
        local function put(number, member, value)
            number = type(number) == "number" and newest + number or number
            server:redis(("zadd %s %s %s"):format(LOG, number, process.quoted(member)))
            server:redis(("hset %s %s %s"):format(ENTRIES, process.quoted(member:match("^%d*")), process.quoted(value)))
        end
        put(1, "11:ab", "rubbish")
        put(2, "12:ab", '{"ends":' .. later .. "}")
        put(3, "13:ab", ('{"jti":"%s","ends":%d}'):format(("x"):rep(20000), later))
        put(4, "14:ab", '{"jti":"two\nlines","ends":' .. later .. "}")
        put(5, "15:ab", ('{"jti":"fine","ends":%d}'):format(later))
        put(6, "16:ab", "-99999999999999999999")
        put(7, "17:ab", "-" .. later)
        put(7.5, "18:ab", "-1")
        put("inf", "19:ab", "-1")
        put("-5", "20:ab", "-1")
        put(8, "no event", "x")
        put(9, "123456789012345678901234567890:ab", ('{"jti":"a","ends":%d}'):format(later))
        revoke(two, { jti = "last" })
        nodes.wait_for_count({ one, two }, 3)
        for _, node in ipairs { one, two } do
            local names = {}
            for i, entry in ipairs(revocation.list(node.port).list) do
                names[i] = entry.jti
            end
            table.sort(names)
            assert.same({ "fine", "first", "last" }, names)
            assert.truthy(nodes.age(node) < 60)
            assert.is_nil(node:error_log():find("attempt to", 1, true))
        end
        assert.truthy((one:error_log() .. two:error_log()):find("entries in Redis are no revocations", 1, true))
        -- A key of another kind is a Redis that is away, until somebody removes it.
        server:redis("del " .. LOG)
        server:redis("set " .. LOG .. " x")
        revoke(one, { jti = "meanwhile" })
        process.wait_until("the log named the fault", function()
            return one:error_log():find("WRONGTYPE", 1, true) and two:error_log():find("WRONGTYPE", 1, true)
        end)
        server:redis("del " .. LOG .. " " .. ENTRIES)
        nodes.wait_for_count({ one, two }, 4)
    end)

    it("take revocations from a Redis that is full, and give it theirs when there is room", function()
        server:redis("config set maxmemory 1")
        local id = revoke(one, { jti = "outside" })
        process.wait_until("the log said so", function()
            return one:error_log():find("Redis is full, and takes no more revocations", 1, true)
        end)
        server:redis("config set maxmemory 0")
        nodes.wait_for_count({ one, two }, 1)
        assert.equal(id, revocation.list(two.port).list[1].id)
    end)

    it("keep no ended revocation in it, and no token", function()
        local secret = nodes.token(one, { sub = "secret" })
        revoke(one, { token = secret })
        local ending = os.time() + 10
        revoke(one, { jti = "ends", ends = ending })
        nodes.wait_for_count({ two }, 2)
        local stored = server:redis("--raw hvals " .. ENTRIES)
        assert.is_nil(stored:find(secret, 1, true))
        assert.truthy(stored:find(process.run("printf %s " .. secret .. " | sha256sum"):match("^%x+"), 1, true))
        -- Before its end a node would bring it again.
        process.wait_until("it had ended", function() return os.time() > ending end)
        -- A minute passes.
        local event = server:redis("--raw zrangebyscore '{route_native:revocations}:ends' -inf " .. os.time() + 60)
        server:redis("zadd '{route_native:revocations}:ends' 1 " .. event:match("^[^\n]+"))
        revoke(one, { jti = "another" })
        wait_for_stored(server, 2)
    end)
end)

describe("a node", function()
    it("that starts refuses what is revoked from the first request on, and serves the others", function()
        local server = stores.start("redis")
        local first = assert(nodes.start(redis_at(server)))
        local victim, other = nodes.token(first, { sub = "ada" }), nodes.token(first, { sub = "bob" })
        for i = 1, 600 do
            revoke(first, { jti = "before " .. i })
        end
        revoke(first, { sub = "ada" })
        wait_for_stored(server, 601)
        for _ = 1, 5 do
            -- Nobody listens at the first address.
            local second = assert(nodes.start { ROUTE_REVOCATION_REDIS =
                ("127.0.0.1:%d %s"):format(process.free_port(), server.address) })
            assert.same({ 401, 200 }, { second:get("/api", victim).status, second:get("/api", other).status })
            second:stop()
        end
        stop_all { first, server }
    end)

    for fail, statuses in pairs { open = { 503, 200 }, closed = { 503, 503 } } do
        it("that starts without Redis answers 503, and after a time " .. statuses[2] .. ": " .. fail, function()
            local server = stores.start("redis")
            local environment = redis_at(server)
            environment.ROUTE_REVOCATION_FAIL, environment.ROUTE_REVOCATION_FAIL_SECONDS = fail, 4
            local other = assert(nodes.start(environment))
            local victim, friend = nodes.token(other, { sub = "ada" }), nodes.token(other, { sub = "bob" })
            revoke(other, { sub = "ada" })
            server:kill()
            local running = assert(nodes.start(environment))
            local refused = running:get("/api", friend)
            assert.same({ 503, "5" }, { refused.status, refused.headers["retry-after"] })
            assert.equal("revocations_unknown", running:logged("/api").reason)
            process.wait_until("the time was over", function() return (nodes.age(running)) > 4.5 end)
            nodes.wait_for(running, statuses[2], friend)
            server:start()
            nodes.wait_for(running, 401, victim)
            nodes.wait_for(running, 200, friend)
            stop_all { running, other, server }
        end)
    end

    it("whose Redis is away refuses after a time if it fails closed, and open connections go on", function()
        local server = stores.start("redis")
        local environment = redis_at(server)
        environment.ROUTE_REVOCATION_FAIL, environment.ROUTE_REVOCATION_FAIL_SECONDS = "closed", 2
        local closed, open = assert(nodes.start(environment)), assert(nodes.start(redis_at(server)))
        local friend = nodes.token(closed, { sub = "bob" })
        nodes.wait_for(closed, 200, friend)
        local connection = http.connect(closed.port)
        http.send(connection, { path = "/slow", headers = { { "Authorization", "Bearer " .. friend } } })
        assert.equal("HTTP/1.1 200 OK", (connection:receive("*l")))
        server:kill()
        nodes.wait_for(closed, 503, friend)
        assert.equal(200, open:get("/api", friend).status)
        connection:settimeout(0)
        local _, state = connection:receive("*a")
        assert.equal("timeout", state)
        connection:close()
        -- What is revoked here counts here, and there later.
        revoke(open, { sub = "bob" })
        nodes.wait_for(open, 401, friend)
        server:start()
        nodes.wait_for(closed, 401, friend)
        for _, node in ipairs { closed, open } do
            local log = node:error_log()
            assert.equal(1, select(2, log:gsub("Redis is away", "")), log)
            assert.equal(1, select(2, log:gsub("Redis is back", "")), log)
        end
        assert.equal(1, select(2, closed:error_log():gsub("tokens are refused", "")))
        assert.equal(1, select(2, closed:error_log():gsub("tokens are accepted again", "")))
        assert.is_nil(open:error_log():find("tokens are refused", 1, true))
        stop_all { closed, open, server }
    end)

    it("catches up after it was cut off, with a user and a password that no log names", function()
        local server = stores.start("redis")
        server:redis("acl setuser edge on '>geheim 123' '~{route_native:revocations}:*' -@all +eval +del +exists +time "
            .. "+zadd +zscore +zrem +zrevrange +zrangebyscore +hget +hset +hdel +hstrlen")
        local directory = process.temporary_directory()
        process.write(directory .. "/password", "geheim 123\n")
        local environment = redis_at(server)
        environment.ROUTE_REVOCATION_REDIS_USER = "edge"
        environment.ROUTE_REVOCATION_REDIS_PASSWORD_FILE = directory .. "/password"
        local cut, other = assert(nodes.start(environment)), assert(nodes.start(redis_at(server)))
        local victim = nodes.token(cut, { sub = "ada" })
        nodes.wait_for(cut, 200, victim)
        revoke(cut, { jti = "before" })
        nodes.wait_for_count({ other }, 1)
        server:redis("acl setuser edge off")
        server:redis("client kill user edge")
        process.wait_until("it was cut off", function()
            return cut:error_log():find("Redis is away", 1, true)
        end)
        revoke(other, { sub = "ada" })
        revoke(cut, { jti = "meanwhile" })
        assert.equal(200, cut:get("/api", victim).status)
        server:redis("acl setuser edge on")
        nodes.wait_for(cut, 401, victim)
        nodes.wait_for_count({ cut, other }, 3)
        assert.is_nil(cut:error_log():find("geheim", 1, true))
        process.run("rm -rf " .. directory)
        stop_all { cut, other, server }
    end)

    it("reaches Redis over TLS, and none whose certificate has another name", function()
        local directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=redis.test "
            .. "-addext subjectAltName=DNS:redis.test -keyout %s/key.pem -out %s/cert.pem 2>&1")
            :format(directory, directory))
        assert(status == 0, output)
        local port = process.free_port()
        local server = stores.start("redis", ("--tls-port %d --tls-cert-file %s/cert.pem --tls-key-file %s/key.pem "
            .. "--tls-auth-clients no"):format(port, directory, directory))
        local environment = { ROUTE_REVOCATION_REDIS = "127.0.0.1:" .. port, ROUTE_CA_FILE = directory .. "/cert.pem",
            ROUTE_REVOCATION_REDIS_TLS = "redis.test" }
        local one, plain = assert(nodes.start(environment)), assert(nodes.start(redis_at(server)))
        revoke(plain, { jti = "over TLS" })
        nodes.wait_for_count({ one }, 1)
        environment.ROUTE_REVOCATION_REDIS_TLS = "on"
        local stranger = assert(nodes.start(environment))
        process.wait_until("it refused the certificate", function()
            return stranger:error_log():find("Redis is away", 1, true)
        end)
        assert.equal(0, revocation.list(stranger.port).count)
        stop_all { one, plain, stranger, server }
        process.run("rm -rf " .. directory)
    end)

    it("whose dictionary is full keeps the others' news for later, and says so", function()
        local server = stores.start("redis")
        local small = assert(nodes.start(redis_at(server), function(site)
            return (site:gsub("include revocation_http.conf;", [[
                lua_shared_dict revocations 300k;
                init_worker_by_lua_block { require("route_native.revocation").start() }]]))
        end))
        local large = assert(nodes.start(redis_at(server)))
        for i = 1, 1500 do
            revoke(large, { jti = "many " .. i })
        end
        process.wait_until("the dictionary was full", function() return select(2, nodes.age(small)) > 0 end)
        process.wait_until("the knowledge grew old", function() return (nodes.age(small)) > 1 end)
        assert.truthy(small:error_log():find("the dictionary is full, and revocations of other nodes", 1, true))
        local refused, err = revocation.revoke(small.port, { jti = "x" })
        assert.same({ nil, "no memory" }, { refused, err })
        stop_all { small, large, server }
    end)
end)

describe("a failover under load", function()
    it("loses nothing", function()
        local master, replica, sentinel = stores.start_sentinel()
        local environment = { ROUTE_REVOCATION_SENTINELS = sentinel.address, ROUTE_REVOCATION_MASTER = "main" }
        local one, two = assert(nodes.start(environment)), assert(nodes.start(environment))
        local load = revoke_meanwhile { one, two }
        load(10)
        master:kill()
        load(10)
        process.wait_until("the replica was the master", function()
            return replica:redis("role"):find("^master")
        end)
        local count = load(10)
        nodes.wait_for_count({ one, two }, count)
        wait_for_stored(replica, count)
        stop_all { one, two, sentinel, replica, master }
    end)
end)

describe("a logout at one border", function()
    it("ends the session's connections at another one", function()
        local server = stores.start("redis")
        local environment = redis_at(server)
        local site = process.read(gateway.ROOT .. "/examples/border/site.conf")
        local one = assert(border.start { store = "redis", server = server, site = site, env = environment })
        local two = assert(border.start { beside = one, store = "redis", site = site, env = environment })
        local client = one:logged_in()
        local connection = http.connect(two.port)
        http.send(connection, { path = "/b/events", headers = {
            { "Host", "border.test" }, { "Cookie", "border_session=" .. client:session() } } })
        assert.equal("HTTP/1.1 200 OK", (connection:receive("*l")))
        assert.equal(303, client:request { method = "POST", path = "/logout" }.status)
        local _, ending = connection:receive("*a")
        assert.equal("closed", ending or "closed")
        two:stop()
        one:stop()
        server:stop()
    end)
end)

describe("a mistake in the settings of Redis", function()
    local WRONG = {
        ["an address without a port"] = { { REDIS = "redis" },
            "ROUTE_REVOCATION_REDIS must be host:port or unix:/path" },
        ["sentinels without a master"] = { { SENTINELS = "a:1" },
            "ROUTE_REVOCATION_SENTINELS and ROUTE_REVOCATION_MASTER go together" },
        ["two ways to Redis"] = { { SENTINELS = "a:1", MASTER = "m", REDIS = "b:1" }, "and not both" },
        ["no file with the password"] = { { REDIS = "127.0.0.1:1", REDIS_PASSWORD_FILE = "/none/there" },
            "ROUTE_REVOCATION_REDIS_PASSWORD_FILE must name a file that can be read" },
        ["an unknown way to fail"] = { { REDIS = "127.0.0.1:1", FAIL = "never" },
            'ROUTE_REVOCATION_FAIL must be "open" or "closed"' },
        ["no time"] = { { REDIS = "127.0.0.1:1", FAIL_SECONDS = "0" },
            "ROUTE_REVOCATION_FAIL_SECONDS must be a whole number of seconds from 2 to 86400" },
    }
    for name, case in pairs(WRONG) do
        it("is one sentence: " .. name, function()
            local environment = {}
            for variable, value in pairs(case[1]) do
                environment["ROUTE_REVOCATION_" .. variable] = value
            end
            local running, output = nodes.start(environment)
            assert.is_nil(running)
            assert.truthy(output:find(case[2], 1, true), output)
        end)
    end
end)
