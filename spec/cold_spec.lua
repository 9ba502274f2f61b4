-- New tokens: their RSA runs once, away from the event loop, in a bounded queue; and nothing is lost when nginx reloads
-- or a worker dies.

local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"

local function count(text, piece)
    return select(2, text:gsub(piece, ""))
end

-- Sends one GET on each of many connections, then reads all the answers; returns how many had each status. The worker
-- is stopped meanwhile, so that all of them wait for it together.
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

describe("without a thread pool", function()
    local running

    setup(function() running = assert(gateway.start { workers = 1, env = { ROUTE_RSA_THREADS = 0 } }) end)
    teardown(function() running:stop() end)

    -- The first of them finds out that there is none, while the others wait for their turn.
    it("the first new tokens of a worker are all resolved when they come together", function()
        assert.same({ [200] = 20 }, all_at_once(running, "/spawner/x", distinct_tokens(running, 20)))
    end)
end)

for _, threads in ipairs { 1, 0 } do
    describe("with ROUTE_RSA_THREADS=" .. threads, function()
        local running

        setup(function() running = assert(gateway.start { workers = 1, env = { ROUTE_RSA_THREADS = threads } }) end)
        teardown(function() running:stop() end)

        it("one miss serves all requests that bring the same new token", function()
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

        it("a refusal reaches all who wait for it, and is not remembered", function()
            local bearer, copies = token.mint(running.keys, "127.0.0.1:22"), {}
            for i = 1, 20 do
                copies[i] = bearer
            end
            assert.same({ [401] = 20 }, all_at_once(running, "/spawner/x", copies))
            assert.equal(401, running:get("/spawner/x", bearer).status)
        end)

        it("many new tokens at once all get their answer, or a 503 with Retry-After past the bound", function()
            local tokens = distinct_tokens(running, 400)
            local statuses = all_at_once(running, "/spawner/x", tokens)
            assert.equal(400, (statuses[200] or 0) + (statuses[503] or 0))
            assert.is_true(statuses[200] >= 256)
            assert.equal(threads > 0, statuses[503] ~= nil)
            -- What was told to come back finds its place.
            assert.equal(200, running:get("/spawner/x", tokens[400]).status)
        end)
    end)
end

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
