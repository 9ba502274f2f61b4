-- The two caches: the worker's own, and the dictionary that all workers share.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local socket = require "socket"
local token = require "support.token"

-- Lists the dictionary's keys in hexadecimal, on its own port.
local SITE = [[
include %s/conf/sites-enabled/routehttp.conf;
server {
    listen 127.0.0.1:%d;
    location / {
        content_by_lua_block {
            local keys = {}
            for i, key in ipairs(ngx.shared.targetmap:get_keys(0)) do
                keys[i] = key:gsub(".", function(byte) return ("%%02x"):format(byte:byte()) end)
            end
            ngx.print(require("cjson").encode(keys))
        }
    }
}
]]

-- The leeway in these tests, in seconds.
local LEEWAY = 4

describe("the caches", function()
    local running, keys_port, directory, minted

    setup(function()
        directory = process.temporary_directory()
        keys_port = process.free_port()
        process.write(directory .. "/keys.conf", SITE:format(gateway.ROOT, keys_port))
        running = assert(gateway.start { env = { SITE = directory .. "/keys.conf", ROUTE_JWT_LEEWAY = LEEWAY } })
        local requests = {}
        for i = 1, 8 do
            requests[i] = { target = i == 1 and "127.0.0.2" or "127.0.0.1" }
        end
        minted = token.mint_all(running.keys, requests)
    end)
    teardown(function()
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    local number = 0
    -- Sends one request on a new connection. Returns the status, the cache state in the log, and the log's entry.
    local function ask(gate, text)
        number = number + 1
        local path = "/filer/cache-" .. number
        local status = gate:get(path, text).status
        local entry = gate:logged(path)
        return status, entry.cache, entry
    end

    -- Runs `work` while only one worker can accept connections: the others are stopped.
    local function by_worker(gate, number_of_worker, work)
        local others = gate:workers()
        table.sort(others)
        table.remove(others, number_of_worker)
        for _, pid in ipairs(others) do
            process.signal(pid, "STOP")
            process.wait_until("worker " .. pid .. " stood still", function()
                return process.read("/proc/" .. pid .. "/stat"):match("^%d+ %b() T")
            end)
        end
        local results = { pcall(work) }
        for _, pid in ipairs(others) do
            process.signal(pid, "CONT")
        end
        assert(results[1], results[2])
        return unpack(results, 2)
    end

    local function answers(status, state, got_status, got_state)
        assert.same({ status, state }, { got_status, got_state })
    end

    local function asked_by(gate, worker, text)
        return by_worker(gate, worker, function() return ask(gate, text) end)
    end

    it("decrypt once: a miss, then hits, and another worker's hit in the dictionary", function()
        answers(200, "miss", asked_by(running, 1, minted[1]))
        answers(200, "hit", asked_by(running, 1, minted[1]))
        answers(200, "hit", asked_by(running, 1, minted[1]))
        answers(200, "shared", asked_by(running, 2, minted[1]))
        local status, state, entry = asked_by(running, 2, minted[1])
        assert.same({ 200, "hit" }, { status, state })
        -- Every state has the same desktop and the same fingerprint.
        assert.equal("127.0.0.2", entry.upstream:match("^[%d.]+"))
        local expected = process.run("printf %s " .. minted[1] .. " | sha256sum"):sub(1, 12)
        assert.equal(expected, entry.token)
    end)

    it("serve every token source", function()
        ask(running, minted[2])
        by_worker(running, 1, function()
            ask(running, minted[2])
            running:request { path = "/filer/cache-query?jwt_token=" .. minted[2] }
        end)
        assert.equal("hit", running:logged("/filer/cache-query").cache)
    end)

    it("hold digests, never tokens", function()
        ask(running, minted[3])
        local names = cjson.decode(http.request(keys_port, {}).body)
        assert.is_true(#names > 0)
        for _, name in ipairs(names) do
            assert.truthy(name:match("^%x+$") and #name == 64, name)
        end
    end)

    it("never hold a refused token", function()
        local forged = minted[4]:gsub("%.[^.]*$", "." .. minted[5]:match("[^.]*$"))
        for _ = 1, 3 do
            answers(401, "", ask(running, forged))
        end
    end)

    it("drop an entry when its token ends, and never keep a token within the leeway", function()
        -- Minting is slow on a busy machine: use the first of several tokens that has three seconds left.
        local requests, now = {}, os.time()
        for i = 1, 20 do
            requests[i] = { target = "127.0.0.1", claims = { exp = now + 2 + i } }
        end
        local all = token.mint_all(running.keys, requests)
        local exp = math.max(now, os.time()) + 3
        local short = assert(all[exp - now - 2], "minting took too long")
        by_worker(running, 1, function()
            answers(200, "miss", ask(running, short))
            answers(200, "hit", ask(running, short))
            process.wait_until("the entry ended", function() return select(2, ask(running, short)) == "miss" end)
            -- os.time() is some milliseconds behind nginx's clock.
            assert.is_true(socket.gettime() >= exp)
            answers(200, "miss", ask(running, short))
            process.wait_until("the token was refused", function() return ask(running, short) == 401 end)
        end)
        assert.is_true(socket.gettime() >= exp + LEEWAY)
    end)

    it("serve from the dictionary after a reload with the same keys", function()
        ask(running, minted[6])
        running:reload()
        answers(200, "shared", ask(running, minted[6]))
    end)

    it("keep nothing in a worker with ROUTE_CACHE_ENTRIES=0", function()
        local without = assert(gateway.start { keys = running.keys, workers = 1, env = { ROUTE_CACHE_ENTRIES = 0 } })
        local states = {}
        for i = 1, 3 do
            states[i] = select(2, ask(without, minted[7]))
        end
        assert.same({ "miss", "shared", "shared" }, states)
        without:stop()
    end)

    -- The last test, because it replaces the key of the others.
    it("ignore old entries after a reload with another key", function()
        assert.equal(200, (ask(running, minted[8])))
        process.run(("cp %s %s"):format(running.keys.other_public, running.keys.signing_public))
        running:reload()
        for _ = 1, 4 do
            local status, _, entry = ask(running, minted[8])
            assert.same({ 401, "signature_invalid" }, { status, entry.reason })
        end
        assert.equal(200, (ask(running, running:mint("127.0.0.1", { key = running.keys.other_private }))))
    end)
end)
