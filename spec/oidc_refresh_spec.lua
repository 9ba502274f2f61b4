-- Sessions of OpenID Connect over time: one refresh for all workers and nodes, timeouts, and providers that fail.

local http = require "support.http"
local oidc = require "support.oidc"
local process = require "support.process"

-- A token that is due at once, with a refresh token that gives `next`.
local function due(next)
    return { tokens = { expires_in = 10, refresh_token = oidc.directive(next) } }
end

-- Sends requests with a session to several gateways at once. Returns how often each status came.
local function flood(gateways, id, count)
    local commands = {}
    for i, one in ipairs(gateways) do
        commands[i] = ("curl -s -Z --parallel-max 60 -b oidc_session=%s -o /dev/null -w '%%{http_code}\\n' "
            .. "'%s/app/[1-%d]' &"):format(id, one.origin, count / #gateways)
    end
    local statuses = {}
    for status in process.run("{ " .. table.concat(commands, "\n") .. "\nwait; } 2> /dev/null"):gmatch("%d+") do
        statuses[status] = (statuses[status] or 0) + 1
    end
    return statuses
end

-- Without phantom_token.conf, requests to the provider come from timers.
local function without_subrequests(site)
    return (site:gsub("include phantom_token.conf;", ""))
end

for name, store in pairs { memory = "memory", ["memory, by timers"] = "memory", memcached = "memcached",
    redis = "redis", ["redis, by timers"] = "redis" } do
    describe("a refresh with sessions in " .. name, function()
        local evil, nodes

        setup(function()
            evil = oidc.evil()
            nodes = { assert(oidc.start { issuer = evil.issuer, store = store,
                site = name ~= store and without_subrequests or nil }) }
            if store ~= "memory" then
                nodes[2] = assert(oidc.start { issuer = evil.issuer, beside = nodes[1], store = store })
            end
        end)
        teardown(function()
            for i = #nodes, 1, -1 do
                nodes[i]:stop()
            end
            evil.stop()
        end)

        it("happens once for 200 requests on two workers and all nodes", function()
            local one = nodes[1]:browser()
            local fresh = { tokens = { expires_in = 3600, access_token = "the-new-one" } }
            assert.equal(302, one:evil_login(due(fresh)).status)
            evil.counts()
            assert.same({ ["200"] = 200 }, flood(nodes, one:session(), 200))
            assert.equal(1, evil.counts()["/token"])
            assert.equal("Bearer the-new-one", oidc.received(one:get("/app/x")).headers.authorization)
        end)

        it("that the provider refuses ends the session once, without a loop", function()
            local one = nodes[1]:browser()
            one:evil_login(due { status = 400, raw = '{"error":"invalid_grant"}' })
            evil.counts()
            local statuses = flood(nodes, one:session(), 40)
            assert.same({ ["401"] = 40 }, statuses)
            assert.equal(1, evil.counts()["/token"])
            assert.equal(302, one:visit("/app/x").status)
        end)
    end)
end

describe("a session of OpenID Connect", function()
    local evil, running

    setup(function()
        evil = oidc.evil()
        running = assert(oidc.start { issuer = evil.issuer, settings = function()
            return { login_failures_per_address = 1000, idle_timeout = 3 }
        end, site = function(site)
            return (site:gsub("location = /logout", [[
                location /quiet { access_by_lua_block { require("route_native.oidc").access("quiet") }
                    include oidc_proxy.conf; proxy_pass http://api; }
                %0]], 1))
        end })
    end)
    teardown(function()
        running:stop()
        evil.stop()
    end)

    it("goes on with its token while the provider fails, and nobody asks it again at once", function()
        local one = running:browser()
        one:evil_login(due { status = 500 })
        evil.counts()
        for _ = 1, 10 do
            assert.equal(200, one:get("/app/x").status)
        end
        assert.equal(1, evil.counts()["/token"])
    end)

    it("is 503 where the access token is sent on and has ended, and goes on elsewhere", function()
        local one = running:browser()
        one:evil_login { tokens = { expires_in = 0, refresh_token = oidc.directive { status = 503 } } }
        local response = one:get("/app/x")
        assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
        assert.equal(200, one:get("/quiet/x").status)
    end)

    it("needs a new login where the access token is sent on and there is no refresh token", function()
        local one = running:browser()
        one:evil_login { tokens = { expires_in = 0 } }
        assert.equal(401, one:get("/app/x").status)
        assert.equal(302, one:visit("/app/x").status)
        assert.equal(200, one:get("/quiet/x").status)
    end)

    it("ends when a refreshed ID token is about another user, or not valid", function()
        for _, wrong in ipairs { { claims = { sub = "other" } }, { key = "other" } } do
            local one = running:browser()
            one:evil_login(due(wrong))
            assert.equal(401, one:get("/app/x").status)
        end
    end)

    it("ends when nobody uses it for the idle timeout", function()
        local one = running:browser()
        one:evil_login {}
        local began = os.time()
        assert.equal(200, one:get("/app/x").status)
        process.wait_until("the session was idle", function() return os.time() > began + 5 end)
        assert.equal(401, one:get("/app/x").status)
    end)

    it("ends at the absolute timeout, however much it is used", function()
        local short = assert(oidc.start { issuer = evil.issuer, settings = function()
            return { idle_timeout = 3600, absolute_timeout = 4 }
        end })
        local one, began = short:browser(), os.time()
        one:evil_login {}
        assert.equal(200, one:get("/app/x").status)
        process.wait_until("the session ended", function() return one:get("/app/x").status == 401 end)
        assert.is_true(os.time() >= began + 4)
        short:stop()
    end)

    it("holds tokens of any size that fit into the library's buffers", function()
        local one = running:browser()
        assert.equal(302, one:evil_login { pad = 9000, tokens = { access_token = ("a"):rep(2000) } }.status)
        assert.equal(200, one:get("/app/x").status)
    end)
end)

describe("with a provider that rotates refresh tokens", function()
    it("each refresh uses the newest one, and a lost answer is a login", function()
        local running = assert(oidc.start { provider = { refresh_before = 3600 }, provider_options = {
            access_ttl = 3600 } })
        local one = running:logged_in()
        running:control("/counts")
        local tokens = {}
        for i = 1, 4 do
            tokens[i] = oidc.received(one:get("/app/x")).headers.authorization
        end
        assert.equal(4, running:control("/counts")["grant refresh_token"])
        assert.not_equal(tokens[1], tokens[4])
        -- The provider rotates, and its answer is lost.
        running:fault("/token", "lose")
        assert.equal(200, one:get("/app/x").status)
        running:fault("/token", "ok")
        process.wait_until("the pause was over, and the user had to log in", function()
            return one:get("/app/x").status == 401
        end)
        assert.equal(302, one:login("/app/x").status)
        assert.equal(200, one:get("/app/x").status)
        running:stop()
    end)
end)

describe("while the provider fails", function()
    local running

    local function start(metadata_age)
        return assert(oidc.start { provider = { pushed_requests = false, metadata_max_age = metadata_age or 3600 } })
    end

    teardown(function()
        if running then
            running:stop()
        end
    end)

    it("a login is 503 within seconds, whatever its metadata are, and works when the provider does", function()
        running = start()
        for _, mode in ipairs { "error", "garbage", "huge", "hang" } do
            running:fault("/.well-known/openid-configuration", mode)
            local response = running:browser():visit("/app/x")
            assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] }, mode)
            assert.equal(401, running:browser():get("/app/x").status)
        end
        running:fault("/.well-known/openid-configuration", "ok")
        process.wait_until("the gateway asked again", function()
            return running:browser():visit("/app/x").status == 302
        end)
        running:logged_in()
    end)

    for _, mode in ipairs { "error", "garbage", "huge", "hang" } do
        it("a callback is 503, and a session goes on: " .. mode, function()
            local one, two = running:logged_in(), running:browser()
            local callback = two:to_callback("/app/x")
            running:fault("/token", mode)
            assert.equal(503, two:visit(callback).status)
            assert.is_nil(two:session())
            assert.equal(200, one:get("/app/x").status)
            running:fault("/token", "ok")
        end)
    end

    it("a session whose provider changes its keys goes on, and logins take the new keys", function()
        local one, two = running:logged_in(), nil
        running:control("/rotate")
        process.wait_until("a login worked", function()
            two = running:browser()
            return two:login("/app/x").status == 302
        end)
        assert.same({ 200, 200 }, { one:get("/app/x").status, two:get("/app/x").status })
    end)

    it("asks for its metadata once for all that need them", function()
        running:stop()
        running = start()
        running:control("/counts")
        local statuses = {}
        for status in process.run(("curl -s -Z --parallel-max 40 -H 'Accept: text/html' -o /dev/null "
            .. "-w '%%{http_code}\\n' '%s/app/[1-40]' 2> /dev/null"):format(running.origin)):gmatch("%d+") do
            statuses[status] = (statuses[status] or 0) + 1
        end
        assert.same({ ["302"] = 40 }, statuses)
        assert.equal(1, running:control("/counts")["/.well-known/openid-configuration"])
        assert.equal(200, http.request(running.port, { path = "/" }).status)
    end)
end)
