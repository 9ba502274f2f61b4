-- The sources of a token and their order. A token in the query appears nowhere else.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"
local websocket = require "support.websocket"

describe("token sources", function()
    local running, down
    -- Tokens for two desktops: the upstream in the log shows which token was used.
    local one, two

    setup(function()
        running = assert(gateway.start())
        local closed = process.free_port()
        down = assert(gateway.start { demo = false, keys = running.keys, env = {
            NAMESERVER_RESOLVER = "127.0.0.1:" .. closed, FILE_SERVICE_TCP_PORT = closed,
            WS_TCP_BRIDGE_TCP_PORT = closed, SPAWNER_SERVICE_TCP_PORT = closed,
            ROUTE_CONSOLE_UPSTREAM = "127.0.0.1:" .. closed,
        } })
        one, two = unpack(token.mint_all(running.keys, { { target = "127.0.0.1" }, { target = "127.0.0.2" } }))
    end)
    teardown(function()
        running:stop()
        down:stop()
    end)

    local number = 0
    local function unique(endpoint)
        number = number + 1
        return ("%s/source-%d"):format(endpoint or "/filer", number)
    end

    -- Returns the address of the desktop that a request reached, or nil and the response.
    local function reached(headers, query, endpoint)
        local path = unique(endpoint)
        local response = running:request { path = path .. (query and "?" .. query or ""), headers = headers }
        if response.status ~= 200 then
            return nil, response, path
        end
        return running:logged(path).upstream:match("^[%d.]+"), response, path
    end

    local function is_401(headers, query, endpoint)
        local address, response, path = reached(headers, query, endpoint)
        assert.is_nil(address)
        assert.equal(401, response.status)
        assert.equal("", running:logged(path).upstream)
        return response
    end

    local function seen_at(path, headers)
        local response = running:request { path = path, headers = headers }
        assert.equal(200, response.status)
        return cjson.decode(response.body).path
    end

    -- Checks that no log contains 30 bytes of the token's parts, complete or truncated.
    local function absent_from_logs(gate, text)
        local logs = gate:access_log() .. gate:error_log()
        for part in text:gmatch("[^.]+") do
            for from = 1, #part - 30, 30 do
                assert.is_nil(logs:find(part:sub(from, from + 29), 1, true), "a piece of the token was logged")
            end
        end
    end

    it("are read in the order AbcAuthorization, Authorization, jwt_token", function()
        local abc, standard = { "AbcAuthorization", one }, { "Authorization", one }
        local other = { "Authorization", two }
        assert.equal("127.0.0.1", (reached { abc, other }))
        assert.equal("127.0.0.1", (reached { other, abc }))
        assert.equal("127.0.0.2", (reached({ other }, "jwt_token=" .. one)))
        assert.equal("127.0.0.1", (reached({ standard }, "jwt_token=" .. two)))
        assert.equal("127.0.0.2", (reached({}, "jwt_token=" .. two)))
    end)

    it("are not skipped: a bad token in an earlier source is a 401", function()
        is_401 { { "AbcAuthorization", "nonsense" }, { "Authorization", one } }
        is_401({ { "Authorization", "nonsense" } }, "jwt_token=" .. one)
        is_401({ { "Authorization", "Bearer " .. one .. " x" } }, "jwt_token=" .. one)
    end)

    it("are passed over where they hold no token: an empty header, another scheme", function()
        for _, none in ipairs { "", "Bearer", "Basic dXNlcjpwYXNz", 'Digest username="a", b' } do
            assert.equal("127.0.0.1", (reached { { "AbcAuthorization", none }, { "Authorization", one } }))
            assert.equal("127.0.0.1", (reached({ { "Authorization", none } }, "jwt_token=" .. one)))
            assert.equal("127.0.0.1", (reached({ { "AbcAuthorization", none } }, "jwt_token=" .. one)))
        end
        assert.equal("Bearer", is_401({ { "Authorization", "Basic dXNlcjpwYXNz" } }).headers["www-authenticate"])
    end)

    it("reach a desktop as the one that decided, beside credentials of other schemes", function()
        local function authorization(...)
            local response = running:request { path = unique(), headers = { ... } }
            assert.equal(200, response.status)
            return cjson.decode(response.body).headers.authorization
        end
        assert.is_nil(authorization({ "AbcAuthorization", one }, { "Authorization", "Bearer " .. two }))
        assert.is_nil(authorization({ "AbcAuthorization", one }, { "Authorization", "nonsense" }))
        assert.is_nil(authorization({ "Authorization", two }, { "AbcAuthorization", "Bearer " .. one }))
        assert.equal("Bearer " .. two, authorization { "Authorization", "Bearer " .. two })
        assert.equal("Basic dTpw", authorization({ "AbcAuthorization", one }, { "Authorization", "Basic dTpw" }))
        assert.equal(two, authorization({ "AbcAuthorization", "Basic dTpw" }, { "Authorization", two }))
    end)

    for _, name in ipairs { "AbcAuthorization", "Authorization", "abcauthorization", "AUTHORIZATION" } do
        for _, scheme in ipairs { "", "Bearer ", "bearer ", "BEARER ", "bEaReR   " } do
            it(("take %s: %sTOKEN"):format(name, scheme), function()
                assert.equal("127.0.0.2", (reached { { name, scheme .. two } }))
            end)
        end
    end

    it("refuse two headers of one name, equal or different", function()
        for _, name in ipairs { "Authorization", "AbcAuthorization" } do
            is_401 { { name, one }, { name, one } }
            is_401 { { name, one }, { name:lower(), two } }
            is_401 { { name, one }, { name, "" } }
        end
    end)

    it("refuse an empty header and Bearer alone, and distinguish missing from bad tokens", function()
        for _, value in ipairs { "", " ", "Bearer", "Bearer ", "bearer \t " } do
            local response = is_401 { { "Authorization", value } }
            assert.equal('Bearer error="invalid_token"', response.headers["www-authenticate"])
        end
        assert.equal("Bearer", is_401({}).headers["www-authenticate"])
        assert.equal("Bearer", is_401({}, "a=1").headers["www-authenticate"])
        assert.equal("Bearer", is_401({}, "jwt_token=").headers["www-authenticate"])
        assert.equal("Bearer", is_401({}, "jwt_token").headers["www-authenticate"])
    end)

    it("refuse an oversized header or request line", function()
        is_401 { { "Authorization", one .. ("A"):rep(17 * 1024) } }
        is_401({}, "jwt_token=" .. one .. ("A"):rep(17 * 1024))
        for _, options in ipairs {
            { path = "/filer/x", headers = { { "Authorization", ("A"):rep(40 * 1024) } } },
            { path = "/filer/x?jwt_token=" .. ("A"):rep(40 * 1024) },
            { path = "/filer/" .. ("A"):rep(40 * 1024), headers = { { "Authorization", one } } },
        } do
            local response = running:request(options)
            assert.equal(401, response.status)
            assert.equal('Bearer error="invalid_token"', response.headers["www-authenticate"])
        end
    end)

    it("refuse two jwt_token arguments, equal or different", function()
        is_401({}, "jwt_token=" .. one .. "&jwt_token=" .. one)
        is_401({}, "jwt_token=" .. one .. "&a=1&jwt_token=" .. two)
        is_401({}, "jwt_token=" .. one .. "&jwt_token=")
        is_401({}, "jwt_token=&jwt_token=" .. one)
    end)

    describe("from the query", function()
        it("leave the path and the other arguments unchanged", function()
            local jwt = "jwt_token=" .. one
            for _, path in ipairs { "/filer/a%2Fb%20c//d/../e", "/filer/%E2%82%AC;v=1", "/spawner" } do
                assert.equal(path, seen_at(path .. "?" .. jwt))
                assert.equal(path .. "?a=%2F+b&&c=&d", seen_at(path .. "?a=%2F+b&" .. jwt .. "&&c=&d"))
                assert.equal(path .. "?a=1&b=?/&my_jwt_token=x", seen_at(path .. "?a=1&b=?/&my_jwt_token=x&" .. jwt))
                assert.equal(path .. "?z", seen_at(path .. "?" .. jwt .. "&z"))
                -- A value that is too short for a token removes nothing from the other arguments.
                assert.equal(path .. "?page=10", seen_at(path .. "?jwt_token=1&page=10",
                    { { "Authorization", one } }))
                -- The same token under other names is removed too.
                assert.equal(path .. "?x=&y=z", seen_at(("%s?x=%s&%s&y=%sz"):format(path, one, jwt, one)))
            end
        end)

        it("are also removed when a header's token is used", function()
            local path = unique()
            assert.equal(path .. "?a=1", seen_at(path .. "?jwt_token=" .. two .. "&a=1", { { "Authorization", one } }))
            absent_from_logs(running, two)
        end)

        it("are removed before upstreams that need none", function()
            assert.equal("/API/x?a=1", seen_at("/API/x?jwt_token=" .. one .. "&a=1"))
            assert.equal("/console?a=1", seen_at("/console?a=1&jwt_token=" .. one))
        end)

        it("may be spelt as for nginx's $arg_jwt_token, or with percent-encoding in the name", function()
            for _, name in ipairs { "JWT_TOKEN", "jwt%5Ftoken", "%6Awt_token" } do
                local path = unique()
                assert.equal(path .. "?a=1", seen_at(path .. "?" .. name .. "=" .. one .. "&a=1"))
            end
            is_401({}, "jwt_token=" .. one .. "&JWT_TOKEN=" .. one)
            absent_from_logs(running, one)
        end)

        it("never change the selected endpoint, whatever they contain", function()
            for _, text in ipairs { "filer", "f", "/", "?", "filer/x?jwt_token=", "GET", "HTTP" } do
                is_401({}, "jwt_token=" .. text)
                local path = unique()
                assert.equal(path, seen_at(path .. "?jwt_token=" .. text, { { "Authorization", one } }))
            end
        end)

        it("appear only as *** in the access log", function()
            local path = unique()
            running:request { path = path .. "?a=1&jwt_token=" .. one .. "&b=2" }
            assert.equal("a=1&jwt_token=***&b=2", running:logged(path).args)
            absent_from_logs(running, one)
        end)
    end)

    describe("on WebSocket endpoints", function()
        local ENDPOINTS = {
            "/terminals/t", "/websockify", "/signalling", "/broadcast", "/sound", "/microphone", "/gamepad",
        }

        it("may be the bare query, which the desktop does not receive", function()
            for _, path in ipairs(ENDPOINTS) do
                local client = assert(websocket.open(running.port, { path = path .. "?" .. two }))
                assert.equal(path, cjson.decode((client:receive())).path)
                client:close()
            end
        end)

        it("may be every other source too, and a header precedes the bare query", function()
            for _, options in ipairs {
                { path = "/websockify/a?jwt_token=" .. one .. "&b=1" },
                { path = "/websockify/a?b=1", headers = { { "Authorization", "Bearer " .. one } } },
            } do
                local client = assert(websocket.open(running.port, options))
                assert.equal("/websockify/a?b=1", cjson.decode((client:receive())).path)
                client:close()
            end
            local path = unique("/websockify")
            local client = assert(websocket.open(running.port,
                { path = path .. "?" .. two, headers = { { "Authorization", one } } }))
            assert.equal(path, cjson.decode((client:receive())).path)
            client:close()
            assert.truthy(running:logged(path).upstream:find("127.0.0.1:", 1, true))
        end)

        it("refuse a handshake without a token or with a bad one", function()
            for _, query in ipairs { "", "?", "?nonsense", "?" .. one .. "x", "?" .. one .. "=", "?a=" .. one } do
                local client, response = websocket.open(running.port, { path = "/websockify" .. query })
                assert.is_nil(client)
                assert.equal(401, response.status)
            end
        end)

        it("exclude a bare query on HTTP endpoints", function()
            for _, endpoint in ipairs { "/filer", "/spawner", "/printerfiler", "/snapshot" } do
                is_401({}, one, endpoint)
            end
            assert.equal(401, running:get("/terminals/x/size?" .. one).status)
            assert.equal(200, running:get("/terminals/x/size?jwt_token=" .. one).status)
            absent_from_logs(running, one)
        end)
    end)

    describe("in the query are in no log", function()
        -- Tokens that no other test has sent.
        local fresh

        setup(function()
            local requests = {}
            for i = 1, 8 do
                requests[i] = { target = "127.0.0.1" }
            end
            fresh = token.mint_all(running.keys, requests)
        end)

        local function check(index, gate, expected, options)
            local path = unique(options.endpoint)
            options.path = path .. "?" .. options.query
            assert.equal(expected, gate:request(options).status)
            assert.truthy(gate:logged(path))
            absent_from_logs(gate, fresh[index])
        end

        it("when the desktop is down, and nginx logs the request line and the upstream", function()
            check(1, down, 502, { query = "a=1&jwt_token=" .. fresh[1] })
            check(1, down, 502, { query = "jwt%5Ftoken=" .. fresh[1] })
            check(1, down, 502, { endpoint = "/console", query = "jwt_token=" .. fresh[1] })
            assert.truthy(down:error_log():find("Connection refused", 1, true))
        end)

        it("when the desktop behind a WebSocket is down", function()
            local headers = { { "Upgrade", "websocket" }, { "Connection", "Upgrade" } }
            check(2, down, 502, { endpoint = "/websockify", query = fresh[2], headers = headers })
        end)

        it("when the same token is also elsewhere in the query", function()
            check(3, down, 502, { query = ("x=%s&jwt_token=%s&y=%s"):format(fresh[3], fresh[3], fresh[3]) })
            check(3, down, 502, { query = "jwt_token=" .. fresh[3], headers = { { "Authorization", fresh[3] } } })
            check(3, down, 502, { query = ("jwt_token=%s&jwt_token=%s&x=%s"):format(fresh[3], fresh[3], fresh[3]),
                endpoint = "/console" })
        end)

        it("when the body is too large", function()
            check(4, running, 413, { endpoint = "/spawner", method = "POST", query = "jwt_token=" .. fresh[4],
                headers = { { "Content-Length", 9 * 1024 * 1024 } } })
            assert.truthy(running:error_log():find("too large body", 1, true))
        end)

        it("when the token is refused", function()
            check(5, running, 401, { query = "jwt_token=" .. fresh[5] .. "x" })
            check(5, running, 401, { query = "jwt_token=" .. fresh[5]:gsub("%.", "%%2E") })
            check(5, running, 401, { query = "jwt_token=" .. fresh[5] .. "&jwt_token=" .. fresh[5] })
            check(5, running, 401, { query = "a;jwt_token=" .. fresh[5] })
            check(5, running, 401, { query = "token=" .. fresh[5] })
        end)

        it("when it is after a fragment, which hides the query from nginx", function()
            for _, endpoint in ipairs { "/filer", "/console" } do
                local path = unique(endpoint)
                local response = down:request { path = path .. "#?jwt_token=" .. fresh[7] }
                assert.equal(400, response.status)
                assert.truthy(down:logged(path))
            end
            absent_from_logs(down, fresh[7])
        end)

        it("when nginx refuses the request before any Lua code runs", function()
            local path = unique()
            local response = http.raw(running.port, ("GET %s?jwt_token=%s HTTP/1.1\r\nHost: a b\r\n\r\n")
                :format(path, fresh[6]))
            assert.equal(400, response.status)
            response = http.raw(running.port, ("GET %s?jwt_token=%s HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n")
                :format(path, fresh[6], ("A"):rep(40000)))
            assert.equal(401, response.status)
            absent_from_logs(running, fresh[6])
        end)
    end)
end)
