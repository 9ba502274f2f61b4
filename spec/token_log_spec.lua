-- ROUTE_LOG_TOKENS: the lines of the error log about tokens, as abcdesktop's route has them, and never a token.

local gateway = require "support.gateway"
local process = require "support.process"

local LINE = "%[(%l+)%][^\n]-route_native: (token [^\n]-), client: "

-- Returns the lines about tokens, as "level: text".
local function lines(running)
    local found = {}
    for level, text in running:error_log():gmatch(LINE) do
        found[#found + 1] = level .. ": " .. text
    end
    return found
end

local function fingerprint(token)
    return (process.run("printf %s '" .. token .. "' | sha256sum"):sub(1, 12))
end

describe("the error log with ROUTE_LOG_TOKENS=on", function()
    local running, keys
    setup(function()
        running = assert(gateway.start { workers = 1, env = { ROUTE_LOG_TOKENS = "on" } })
        keys = running.keys
    end)
    teardown(function() running:stop() end)

    -- Returns the line that a request adds.
    local function line_of(path, token, headers)
        local before = #lines(running)
        local list = { token and { "Authorization", "Bearer " .. token } }
        for _, header in ipairs(headers or {}) do
            list[#list + 1] = header
        end
        local status = running:request({ path = path, headers = list }).status
        local all = process.wait_until("the log had another line", function()
            local found = lines(running)
            return found[before + 1] and found
        end)
        assert.equal(before + 1, #all)
        return all[before + 1], status
    end

    it("has the reason of each refusal", function()
        local now = os.time()
        for reason, token in pairs {
            token_expired = running:mint("127.0.0.1", { claims = { exp = now - 60 } }),
            signature_invalid = running:mint("127.0.0.1", { key = keys.other_private }),
            payload_invalid = running:mint("127.0.0.1:22"),
            token_malformed = "not.a.token",
        } do
            local line, status = line_of("/filer/x", token)
            assert.same({ "error: token " .. fingerprint(token) .. " refused: " .. reason, 401 }, { line, status })
        end
        assert.equal("error: token refused: token_missing", (line_of "/filer/x"))
    end)

    it("has target and seconds left of each token that a cache knew, and no line of a new one", function()
        local token = running:mint("127.0.0.2", { claims = { exp = os.time() + 200 } })
        local before = #lines(running)
        assert.equal(200, running:get("/filer/x", token).status)
        local line = line_of("/filer/y", token)
        assert.equal(before + 1, #lines(running))
        local text, seconds = line:match("^(.-), (%d+) s left$")
        assert.equal("notice: token " .. fingerprint(token) .. " is cached: target 127.0.0.2", text, line)
        assert.is_true(tonumber(seconds) > 20 and tonumber(seconds) <= 200, line)
    end)

    it("has no token, wherever a client puts it", function()
        local good, bad = running:mint("127.0.0.1"), running:mint("127.0.0.1", { key = keys.other_private })
        running:get("/filer/x", good)
        for _, token in ipairs { good, bad } do
            local referer = { { "Referer", "http://x/page?jwt_token=" .. token } }
            line_of("/filer/x?jwt_token=" .. token)
            line_of("/filer/" .. token, token)
            line_of("/filer/x?other=" .. token, token)
            line_of("/filer/x", token, referer)
            line_of("/filer/x", token, { { "Referer", "http://x/" .. token } })
        end
        for _, token in ipairs { good, bad } do
            for part in token:gmatch("[^.]+") do
                assert.is_nil(running:error_log():find(part:sub(1, 40), 1, true))
            end
        end
    end)
end)

it("the error log has none of these lines by default", function()
    local running = assert(gateway.start { workers = 1 })
    local token = running:mint("127.0.0.1")
    for _ = 1, 2 do
        assert.equal(200, running:get("/filer/x", token).status)
    end
    assert.equal(401, running:get("/filer/x", "not.a.token").status)
    process.wait_until("the requests were logged", function()
        return select(2, running:access_log():gsub("\n", "")) == 3
    end)
    assert.same({}, lines(running))
    running:stop()
end)

it("another value of ROUTE_LOG_TOKENS is an error of one sentence", function()
    local running, said = gateway.start { demo = false, env = { ROUTE_LOG_TOKENS = "yes" } }
    assert.is_nil(running)
    assert.truthy(said:find('route_native: ROUTE_LOG_TOKENS must be "on" or "off"\n', 1, true), said)
end)
