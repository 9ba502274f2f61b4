-- New tokens: their RSA runs once, outside the event loop, in a bounded queue. No request is lost when nginx reloads or
-- a worker dies.

local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"

local function count(text, piece)
    return select(2, text:gsub(piece, ""))
end

-- Sends one GET on each of many connections, then reads all answers. Returns the number of answers with each status.
-- The worker is stopped meanwhile, so that all requests wait for it.
local function all_at_once(running, path, tokens)
    local connections, statuses = {}, {}
    local worker = running:workers()[1]
    process.signal(worker, "STOP")
    for i in ipairs(tokens) do
        connections[i] = http.connect(running.port)
    end
    for i, bearer in ipairs(tokens) do
        http.send(connections[i], { path = path, headers = { { "Authorization", bearer } } })
    end
    process.signal(worker, "CONT")
    for _, connection in ipairs(connections) do
        local response = http.read_response(connection)
        statuses[response.status] = (statuses[response.status] or 0) + 1
        if response.status == 503 then
            assert.equal("1", response.headers["retry-after"])
        end
        connection:close()
    end
    return statuses
end

local function distinct_tokens(running, number)
    local requests = {}
    for i = 1, number do
        requests[i] = { target = "127.0.0.1", claims = { exp = os.time() + 300, jti = tostring(i) } }
    end
    return token.mint_all(running.keys, requests)
end

describe("a worker without a thread pool", function()
    local running

    setup(function() running = assert(gateway.start { workers = 1, env = { ROUTE_RSA_THREADS = 0 } }) end)
    teardown(function() running:stop() end)

    -- The first one detects that there is no pool, while the others wait.
    it("resolves its first new tokens, which arrive together", function()
        assert.same({ [200] = 20 }, all_at_once(running, "/spawner/x", distinct_tokens(running, 20)))
    end)
end)

for _, threads in ipairs { 1, 0 } do
    describe("a gateway with ROUTE_RSA_THREADS=" .. threads, function()
        local running

        setup(function() running = assert(gateway.start { workers = 1, env = { ROUTE_RSA_THREADS = threads } }) end)
        teardown(function() running:stop() end)

        it("serves all requests with the same new token by one miss", function()
            local bearer, copies = running:mint("127.0.0.1"), {}
            for i = 1, 50 do
                copies[i] = bearer
            end
            assert.same({ [200] = 50 }, all_at_once(running, "/spawner/x", copies))
            process.wait_until("50 requests were logged", function()
                return count(running:access_log(), '"endpoint":"spawner"') == 50
            end)
            assert.equal(1, count(running:access_log(), '"cache":"miss"'))
        end)

        it("refuses all requests that wait for a bad token, and caches no refusal", function()
            local bearer, copies = token.mint(running.keys, "127.0.0.1:22"), {}
            for i = 1, 20 do
                copies[i] = bearer
            end
            assert.same({ [401] = 20 }, all_at_once(running, "/spawner/x", copies))
            assert.equal(401, running:get("/spawner/x", bearer).status)
        end)

        it("answers many new tokens at once, with 503 and Retry-After beyond the bound", function()
            local tokens = distinct_tokens(running, 400)
            local statuses = all_at_once(running, "/spawner/x", tokens)
            assert.equal(400, (statuses[200] or 0) + (statuses[503] or 0))
            assert.is_true(statuses[200] >= 256)
            assert.equal(threads > 0, statuses[503] ~= nil)
            -- The refused requests succeed later.
            assert.equal(200, running:get("/spawner/x", tokens[400]).status)
        end)
    end)
end

-- Replaces nginx's clock by one that tests set, and its thread pool by one that waits for a signal, before the module
-- reads them. The request of a client that disconnects ends.
local LATE_SITE = [[
lua_shared_dict targetmap 8m;
init_by_lua_block {
    seconds, entered, left, held, gate = 0, 0, 0, 0, nil
    local time = ngx.time
    ngx.time = function() return time() + seconds end
    ngx.run_worker_thread = function(_, module, name, ...)
        gate = gate or require("ngx.semaphore").new()
        held = held + 1
        assert(gate:wait(60))
        return true, require(module)[name](...)
    end
    require("route_native").setup()
}
server {
    include runtime/listen.conf;
    lua_check_client_abort on;
    set $target ""; set $endpoint ""; set $route_cache "hit"; set $route_token ""; set $route_reason "";
    location = /access {
        access_by_lua_block {
            entered = entered + 1
            require("route_native").resolve()
        }
        content_by_lua_block { ngx.print(ngx.var.route_cache) }
        log_by_lua_block { left = left + 1 }
    }
    location = /state { content_by_lua_block { ngx.print(entered, " ", left, " ", held) } }
    location = /forward { content_by_lua_block { seconds = seconds + tonumber(ngx.var.arg_by) ngx.print(seconds) } }
    location = /open { content_by_lua_block { gate:post(held) ngx.print("open") } }
}
]]

describe("a request that joins the work for its token late", function()
    local directory, running, bearer

    before_each(function()
        directory = process.temporary_directory()
        process.write(directory .. "/late.conf", LATE_SITE)
        running = assert(gateway.start { demo = false, workers = 1, env = {
            SITE = directory .. "/late.conf", ROUTE_JWT_LEEWAY = 0 } })
        bearer = running:mint("127.0.0.1", { claims = { exp = os.time() + 500 } })
    end)
    after_each(function()
        running:stop()
        process.run("rm -rf " .. process.quoted(directory))
    end)

    local function ask()
        local connection = http.connect(running.port)
        http.send(connection, { path = "/access", headers = { { "Authorization", bearer } } })
        return connection
    end

    local function wait_for(state)
        process.wait_until("the state was " .. state, function() return running:get("/state").body == state end)
    end

    -- The first request waits in the pool. The second one arrives some seconds later, and the first client disconnects.
    local function join_late(seconds)
        local first = ask()
        wait_for "1 0 1"
        running:get("/forward?by=" .. seconds)
        local second = ask()
        wait_for "2 0 1"
        first:close()
        wait_for "2 1 1"
        assert.equal("open", running:get("/open").body)
        local response = http.read_response(second)
        second:close()
        return response
    end

    it("keeps the target no longer than the token is valid", function()
        local response = join_late(300)
        assert.same({ 200, "joined" }, { response.status, response.body })
        running:get("/forward?by=250")
        assert.equal(401, running:get("/access", bearer).status)
    end)

    it("is refused if the token had expired before it arrived", function()
        assert.equal(401, join_late(600).status)
    end)
end)

describe("a gateway with two workers", function()
    local running, bearer

    setup(function()
        running = assert(gateway.start { workers = 2 })
        bearer = running:mint("127.0.0.1")
    end)
    teardown(function() running:stop() end)

    local function serve(connection)
        http.send(connection, { path = "/spawner/x", headers = { { "Authorization", bearer } } })
        return http.read_response(connection)
    end

    it("loses no request while it reloads", function()
        local old = running:workers()
        for i = 1, 200 do
            if i == 50 or i == 100 or i == 150 then
                process.signal(running.pid, "HUP")
            end
            assert.equal(200, running:get("/spawner/x", bearer).status)
        end
        process.wait_until("the old workers ended", function()
            return not process.alive(old[1]) and not process.alive(old[2])
        end)
        assert.is_nil(running:error_log():find("%[emerg%]"))
    end)

    it("loses no request of another worker when one is killed", function()
        local connections, owners = {}, {}
        for i = 1, 12 do
            connections[i] = http.connect(running.port)
            local path = "/spawner/owner" .. i
            http.send(connections[i], { path = path, headers = { { "Authorization", bearer } } })
            assert.equal(200, http.read_response(connections[i]).status)
            owners[i] = process.wait_until("the request was logged", function()
                return tonumber(running:access_log():match('"worker":(%d+)[^\n]*"path":"' .. path .. '"'))
            end)
        end
        local killed = owners[1]
        process.signal(killed, "KILL")
        process.wait_until("the worker was dead", function() return not process.alive(killed) end)
        for i, connection in ipairs(connections) do
            local response = serve(connection)
            if owners[i] == killed then
                assert.is_nil(response)
            else
                assert.equal(200, response.status)
            end
        end
        process.wait_until("the master had replaced it", function() return #running:workers() == 2 end)
        for _ = 1, 20 do
            assert.equal(200, running:get("/spawner/x", bearer).status)
        end
    end)
end)
