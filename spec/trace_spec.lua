-- The trace of a request (W3C Trace Context): kept or begun, in the access log, and told to everything behind nginx.

local auth = require "support.auth"
local border = require "support.border"
local capabilities = require "support.capabilities"
local cjson = require "cjson"
local gateway = require "support.gateway"
local phantom = require "support.phantom"
local process = require "support.process"

local TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
local VALID = ("00-%s-%s-01"):format(TRACE, PARENT)
local STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
local BEGUN = "^00%-(" .. ("%x"):rep(32) .. ")%-(" .. ("%x"):rep(16) .. ")%-01$"

local function sent(parent, state)
    return { { "traceparent", parent }, state and { "tracestate", state } }
end

for name, start in pairs(capabilities) do
    describe("the trace through " .. name, function()
        local running, ask
        setup(function()
            local port
            running, port, ask = start {}
            assert.is_number(port)
        end)
        teardown(function() running:stop() end)

        -- The first header of a list may be replaced by the capability.
        local function seen(headers)
            local list = { { "X-First", "1" } }
            for _, header in ipairs(headers) do
                list[#list + 1] = header
            end
            return ask(list)
        end

        it("is the client's, with its state", function()
            local headers = seen(sent(VALID, STATE))
            assert.same({ VALID, STATE }, { headers.traceparent, headers.tracestate })
        end)

        it("begins in nginx where the client has none, and no state without a parent passes", function()
            local headers = seen { { "tracestate", STATE } }
            assert.truthy(headers.traceparent and headers.traceparent:match(BEGUN), headers.traceparent)
            assert.is_nil(headers.tracestate)
            local malformed = seen(sent(VALID .. "-x", STATE))
            assert.truthy(malformed.traceparent:match(BEGUN), malformed.traceparent)
            assert.are_not.equal(TRACE, malformed.traceparent:match(BEGUN))
            assert.is_nil(malformed.tracestate)
        end)
    end)
end

describe("a traceparent", function()
    local running, token, counter

    setup(function()
        counter = 0
        running = assert(gateway.start())
        token = running:mint("127.0.0.1")
    end)
    teardown(function() running:stop() end)

    -- Returns what the desktop heard, and what the access log says.
    local function trace(headers, gate)
        gate = gate or running
        counter = counter + 1
        local list, path = { { "Authorization", "Bearer " .. token } }, "/filer/" .. counter
        for _, header in ipairs(headers) do
            list[#list + 1] = header
        end
        local told = cjson.decode(gate:request({ path = path, headers = list }).body).headers
        return told.traceparent, gate:logged(path).trace, told.tracestate
    end

    local ids = TRACE .. "-" .. PARENT
    for parent, expected in pairs {
        [VALID] = VALID, ["00-" .. ids .. "-00"] = "00-" .. ids .. "-00",
        ["00-" .. ids .. "-ff"] = "00-" .. ids .. "-ff",
        -- A later version may have more behind the flags, of which only the last bit is known.
        ["01-" .. ids .. "-01"] = VALID, ["cc-" .. ids .. "-03-what-the-future-brings"] = VALID,
        ["fe-" .. ids .. "-00"] = "00-" .. ids .. "-00", ["01-" .. ids .. "-f2-"] = "00-" .. ids .. "-00",
        ["01-" .. ids .. "-fb-x"] = VALID,
    } do
        it("is kept: " .. parent, function()
            local told, logged, state = trace(sent(parent, STATE))
            assert.same({ expected, TRACE, STATE }, { told, logged, state })
        end)
    end

    local zeros = ("0"):rep(32)
    for what, parent in pairs {
        ["of version ff"] = "ff-" .. ids .. "-01",
        ["in upper case"] = "00-" .. TRACE:upper() .. "-" .. PARENT .. "-01",
        ["with a parent in upper case"] = "00-" .. TRACE .. "-" .. PARENT:upper() .. "-01",
        ["with flags in upper case"] = "00-" .. ids .. "-0B",
        ["with a trace of zeros"] = "00-" .. zeros .. "-" .. PARENT .. "-01",
        ["with a parent of zeros"] = "00-" .. TRACE .. "-" .. zeros:sub(17) .. "-01",
        ["of version 00 with more"] = VALID .. "-00", ["with a dash at its end"] = VALID .. "-",
        ["that is cut"] = VALID:sub(1, -2), ["without flags"] = "00-" .. ids, ["of one digit more"] = VALID .. "1",
        ["with a short trace"] = "00-" .. TRACE:sub(2) .. "-" .. PARENT .. "-01",
        ["with other separators"] = VALID:gsub("%-", "_"), ["with no hexadecimal digit"] = VALID:gsub("4", "g", 1),
        ["of a later version without a dash behind its flags"] = "01-" .. ids .. "-01.x",
        ["of a later version with a trace of zeros"] = "01-" .. zeros .. "-" .. PARENT .. "-01",
        ["of a later version that is cut"] = "01-" .. ids, ["that is empty"] = "",
        ["twice in one"] = VALID .. ", " .. VALID, ["that is long"] = "01-" .. ids .. "-0" .. ("1"):rep(20000),
    } do
        it("is replaced if it is one " .. what, function()
            local told, logged, state = trace(sent(parent, STATE))
            local began = told:match(BEGUN)
            assert.truthy(began, told)
            assert.are_not.equal(TRACE, began)
            assert.equal(began, logged)
            assert.is_nil(state)
        end)
    end

    it("is followed by its state of at most 512 printable characters", function()
        for state, passes in pairs { [("s"):rep(512)] = true, [("s"):rep(513)] = false, ["a=\1"] = false,
            ["a=\195\164"] = false, ["a=1, b=2"] = true } do
            local told, _, passed = trace(sent(VALID, state))
            assert.same({ VALID, passes and state or nil }, { told, passed })
        end
    end)

    it("begins anew with each request", function()
        local known = {}
        for _ = 1, 20 do
            local told = trace {}
            local began, parent = told:match(BEGUN)
            assert.falsy(known[began] or known[parent])
            known[began], known[parent] = true, true
        end
    end)

    it("is in the log of a refused request too", function()
        running:request { path = "/filer/refused", headers = sent(VALID) }
        assert.equal(TRACE, running:logged("/filer/refused").trace)
    end)

    it("is not to be recorded with ROUTE_TRACE_SAMPLED=off, unless the client says so", function()
        local env = { ROUTE_TRACE_SAMPLED = "off" }
        for name, value in pairs(running.environment) do
            env[name] = env[name] or value
        end
        local quiet = assert(gateway.start { demo = false, keys = running.keys, env = env })
        assert.equal("-00", trace({}, quiet):sub(-3))
        assert.equal(VALID, (trace(sent(VALID), quiet)))
        quiet:stop()
    end)
end)

-- Requests that the gateway makes itself belong to the trace of the request that needs them.
describe("the trace of a call", function()
    -- Returns the trace that the access log has for the Nth request to a path.
    local function logged(gate, path, number)
        return process.wait_until("the access log had " .. number .. " requests", function()
            local entries = {}
            for line in gate:access_log():gmatch("[^\n]+") do
                local entry = cjson.decode(line)
                entries[#entries + 1] = entry.path == path and entry or nil
            end
            return entries[number] and entries[number].trace
        end)
    end

    -- `ask` sends a request with headers, and `calls` returns the headers of the calls since it was called last. Both
    -- the client's trace and one that begins must be that of the access log.
    local function belong(gate, path, ask, calls)
        for number, headers in ipairs { sent(VALID, STATE), {} } do
            ask(headers)
            local found, trace = calls(), logged(gate, path, number)
            assert.is_true(#found > 0)
            assert.equal(number == 1, trace == TRACE)
            for _, call in ipairs(found) do
                assert.truthy(call.traceparent, "there is no traceparent")
                assert.equal(trace, call.traceparent:match(BEGUN))
                assert.equal(number == 1 and STATE or nil, call.tracestate)
            end
        end
    end

    for _, bare in ipairs { false, true } do
        it("to introspection is the request's" .. (bare and ", without phantom_token.conf too" or ""), function()
            local fields = { verify_ssl = false }
            local locations = { api = fields }
            local running = phantom.start { locations = locations, bare = function() return locations end }
            finally(function() running:stop() end)
            local before = 0
            belong(running.gate, "/api", function(headers)
                local token = phantom.token({ kind = "jwt", claims = { sub = "m" } }, before)
                local list = {}
                for _, header in ipairs(headers) do
                    list[header[1]] = header[2]
                end
                assert.equal(200, running:get("/api", token, list, bare and running.bare_port or nil).status)
            end, function()
                local asked, found = running:asked(), {}
                for i = before + 1, #asked do
                    found[#found + 1] = asked[i].headers
                end
                before = #asked
                return found
            end)
        end)
    end

    -- Puts a recording proxy before a port. Returns it, and a function that returns the headers of the requests since
    -- its last call.
    local function record(port, directory)
        local file = directory .. "/record"
        local command = ("python3 %s/spec/support/recording_proxy.py %d %s"):format(gateway.ROOT, port, file)
        local proxy = phantom.serve(command, directory .. "/proxy.log")
        local from = 1
        return proxy, function()
            local text, calls = process.read(file), {}
            for head in text:sub(from):gmatch("POST /.-\r\n\r\n") do
                calls[#calls + 1] = { traceparent = head:match("\r\ntraceparent: ([^\r]*)"),
                    tracestate = head:match("\r\ntracestate: ([^\r]*)") }
            end
            from = #text + 1
            return calls
        end
    end

    it("to the backend of a login is the request's", function()
        local directory = auth.directory()
        local proxy, calls
        local running = assert(auth.start(directory, function(environment)
            proxy, calls = record(environment.ROUTE_AUTH_BACKEND:match("%d+$"), directory)
            environment.ROUTE_AUTH_BACKEND = "127.0.0.1:" .. proxy.port
            return gateway.ROOT .. "/examples/auth/site.conf"
        end))
        finally(function()
            running:stop()
            process.stop(proxy.pid)
        end)
        belong(running, "/login", function(headers)
            local body = '{"username":"demo","password":"demo"}'
            assert.equal(200, auth.post(running, "/login", body, headers).status)
        end, calls)
    end)

    it("to the border's account service is the request's", function()
        local first = assert(border.start())
        local directory = process.temporary_directory()
        local account, calls = record(first.ports.account, directory)
        local running = assert(border.start { beside = first, settings = {
            account_url = "http://127.0.0.1:" .. account.port } })
        finally(function()
            running:stop()
            process.stop(account.pid)
            first:stop()
            process.run("rm -rf " .. directory)
        end)
        belong(running.gateway, "/account/login", function(headers)
            assert.equal(303, running:client():login(nil, headers).status)
        end, calls)
    end)
end)
