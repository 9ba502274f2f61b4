-- Which pages may use the cookie of a desktop's token, and which may read a desktop's answers (CORS). A browser sends a
-- cookie with each request to its origin, also with one that another site's page makes: that page could open a
-- WebSocket to its visitor's desktop.

local obedient = require "support.obedient"
local websocket = require "support.websocket"

local OWN, LISTED, CORS = "http://gateway.test", "https://app.gateway.test:8443", "https://reader.test"
-- Longer than a bucket of nginx's hash tables is by default.
local LONG = "https://" .. ("long-name-of-a-host."):rep(8) .. "test"
local FORBIDDEN = '{"code":"forbidden","message":"A page of another origin may not use this cookie"}\n'
-- None of these is the origin http://gateway.test.
local FOREIGN = {
    "https://evil.test", "null", "https://gateway.test", "http://gateway.test:8080", "http://gateway.test.evil.test",
    "http://evilgateway.test", "http://sub.gateway.test", "https://app.gateway.test", "http://app.gateway.test:8443",
    "", "http://gateway.test@evil.test", "gateway.test", "file://", "http://", "http://evil.test, http://gateway.test",
}

describe("a request with the cookie of a token", function()
    local service, running, token

    setup(function()
        service = obedient.start()
        running = assert(service:gateway { env = { ROUTE_TOKEN_COOKIE = "desktop", ROUTE_TOKEN_PROTOCOL = "on",
            ROUTE_COOKIE_ORIGINS = LISTED:upper() .. ", " .. LONG } })
        token = running:mint("127.0.0.1")
    end)
    teardown(function()
        running:stop()
        service:stop()
    end)

    local function headers_of(list, credential)
        local headers = { credential or { "Cookie", "desktop=" .. token } }
        for name, value in pairs(list) do
            headers[#headers + 1] = { name, value }
        end
        return headers
    end

    -- Sends a request and returns its status.
    local function status(method, list, credential, gate)
        return (gate or running):request { method = method, path = "/filer/x", body = method == "POST" and "x" or nil,
            headers = headers_of(list, credential) }.status
    end

    -- Opens a WebSocket and returns the status.
    local function upgrade(list, credential, gate)
        local opened, refused = websocket.open((gate or running).port, { path = "/websockify",
            headers = headers_of(list, credential) })
        if not opened then
            return refused.status
        end
        opened:close()
        return 101
    end

    it("is refused from another origin: WebSockets and requests that change something", function()
        for _, origin in ipairs(FOREIGN) do
            assert.equal(403, upgrade { Origin = origin }, origin)
            for _, method in ipairs { "POST", "PUT", "DELETE", "PATCH", "PROPFIND" } do
                assert.equal(403, status(method, { Origin = origin }), method .. " " .. origin)
            end
            -- A script's GET. Its answer would not be readable, but a page could count and time it.
            assert.equal(403, status("GET", { Origin = origin }), origin)
        end
        local refused = running:request { method = "POST", path = "/filer/refused", body = "x",
            headers = headers_of { Origin = "https://evil.test" } }
        assert.same({ FORBIDDEN, "no-store" }, { refused.body, refused.headers["cache-control"] })
        assert.same({}, service:requests("/filer/refused"))
        assert.equal("cross_origin", running:logged("/filer/refused").reason)
        assert.equal("", running:logged("/filer/refused").cache)
    end)

    it("passes from our origin and from listed ones, in any case and with a default port", function()
        for _, origin in ipairs { OWN, OWN .. ":80", "HTTP://Gateway.test", LISTED, LONG, LONG .. ":443" } do
            assert.equal(101, upgrade { Origin = origin }, origin)
            assert.equal(200, status("POST", { Origin = origin }), origin)
            assert.equal(200, status("GET", { Origin = origin }), origin)
        end
    end)

    it("without an Origin is decided by Sec-Fetch-Site", function()
        for site, allowed in pairs { ["same-origin"] = true, none = true, ["same-site"] = false,
            ["cross-site"] = false } do
            assert.equal(allowed and 101 or 403, upgrade { ["Sec-Fetch-Site"] = site }, site)
            for _, method in ipairs { "GET", "POST" } do
                assert.equal(allowed and 200 or 403, status(method, { ["Sec-Fetch-Site"] = site,
                    ["Sec-Fetch-Mode"] = "no-cors" }), method .. " " .. site)
            end
        end
        -- A link: ROUTE_DESKTOP_LINKS decides about it, for a token in the query too.
        assert.equal(200, status("GET", { ["Sec-Fetch-Site"] = "same-site", ["Sec-Fetch-Mode"] = "navigate" }))
        assert.equal(403, status("GET", { ["Sec-Fetch-Site"] = "cross-site", ["Sec-Fetch-Mode"] = "navigate" }))
        assert.equal(403, status("POST", { ["Sec-Fetch-Site"] = "same-site", ["Sec-Fetch-Mode"] = "navigate" }))
    end)

    it("without both passes only if it changes nothing", function()
        assert.equal(200, status("GET", {}))
        assert.equal(200, status("HEAD", {}))
        assert.equal(403, status("POST", {}))
        assert.equal(403, status("DELETE", {}))
        assert.equal(403, upgrade {})
    end)

    it("is not helped by a method override or by headers that only a proxy may send", function()
        for _, list in ipairs {
            { ["X-Forwarded-Host"] = "evil.test" }, { ["X-Forwarded-Proto"] = "https" },
            { ["X-Forwarded-Port"] = "8080" }, { Forwarded = "host=evil.test" }, { ["X-HTTP-Method-Override"] = "GET" },
            { ["Sec-Fetch-Site"] = "same-origin" }, { Referer = OWN .. "/" },
        } do
            for _, origin in ipairs { "http://evil.test", "https://gateway.test", "http://gateway.test:8080" } do
                list.Origin = origin
                assert.equal(403, status("POST", list), origin)
            end
        end
    end)

    -- Another site's page cannot know the token.
    it("is free of the rule if another place has the token", function()
        for _, origin in ipairs { "https://evil.test", "null" } do
            assert.equal(200, status("POST", { Origin = origin }, { "Authorization", "Bearer " .. token }))
            assert.equal(101, upgrade({ Origin = origin },
                { "Sec-WebSocket-Protocol", "a, route_native.token." .. token }))
        end
    end)

    it("has the origin that the client sees: host, port and scheme of a trusted proxy", function()
        local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_TOKEN_COOKIE = "desktop",
            ROUTE_TRUSTED_PROXIES = "127.0.0.1" } })
        local credential = { "Cookie", "__Host-desktop=" .. token }
        for _, row in ipairs {
            { { Host = "inner:8080", ["X-Forwarded-Host"] = "desk.test" }, "https://desk.test" },
            { { Host = "inner", ["X-Forwarded-Host"] = "desk.test:8443" }, "https://desk.test:8443" },
            { { Host = "inner", ["X-Forwarded-Host"] = "desk.test", ["X-Forwarded-Port"] = "8443" },
                "https://desk.test:8443" },
            { { Host = "desk.test" }, "https://desk.test" },
        } do
            local list, own = row[1], row[2]
            list["X-Forwarded-Proto"], list["X-Forwarded-For"] = "https", "192.0.2.1"
            list.Origin = own
            assert.equal(200, status("POST", list, credential, gate), own)
            assert.equal(101, upgrade(list, credential, gate), own)
            for _, origin in ipairs { own:gsub("https", "http"), own .. "1", "https://inner", "https://inner:8080",
                "null" } do
                list.Origin = origin
                assert.equal(403, status("POST", list, credential, gate), origin)
                assert.equal(403, upgrade(list, credential, gate), origin)
            end
        end
        gate:stop()
    end)

    it("is refused at every desktop endpoint", function()
        for _, path in ipairs { "/spawner/x", "/terminals/x/size", "/filer/x", "/printerfiler/x", "/snapshot/x" } do
            assert.equal(403, running:request { method = "POST", path = path, body = "x",
                headers = headers_of { Origin = "https://evil.test" } }.status, path)
        end
        for _, path in ipairs { "/terminals/t", "/websockify", "/signalling", "/broadcast", "/sound", "/microphone",
            "/gamepad" } do
            local _, refused = websocket.open(running.port, { path = path,
                headers = headers_of { Origin = "https://evil.test" } })
            assert.equal(403, refused.status, path)
        end
    end)
end)

describe("CORS", function()
    local service, running, token

    setup(function()
        service = obedient.start()
        running = assert(service:gateway { env = { ROUTE_TOKEN_COOKIE = "desktop", ROUTE_COOKIE_ORIGINS = LISTED,
            ROUTE_CORS_ORIGINS = LISTED .. "," .. CORS:upper() .. ":443," .. LONG } })
        token = running:mint("127.0.0.1")
    end)
    teardown(function()
        running:stop()
        service:stop()
    end)

    local function preflight(origin, more, gate, path)
        local headers = { { "Origin", origin }, { "Access-Control-Request-Method", "PUT" },
            { "Access-Control-Request-Headers", "authorization,x-custom" } }
        for _, header in ipairs(more or {}) do
            headers[#headers + 1] = header
        end
        return (gate or running):request { method = "OPTIONS", path = path or "/filer/x", headers = headers }
    end

    -- Returns the CORS headers of an answer: origin, credentials, methods, headers, age.
    local function cors(answer)
        local list = {}
        for i, name in ipairs { "allow-origin", "allow-credentials", "allow-methods", "allow-headers", "max-age" } do
            list[i] = answer.headers["access-control-" .. name] or "-"
        end
        return table.concat(list, " | ")
    end

    it("answers the preflight of a listed origin itself, without a token and without the desktop", function()
        for _, path in ipairs { "/spawner/p", "/terminals/p/size", "/filer/p", "/printerfiler/p", "/snapshot/p",
            "/terminals/p" } do
            local answer = preflight(CORS, nil, nil, path)
            assert.equal(204, answer.status, path)
            assert.equal(CORS .. " | - | GET, HEAD, POST, PUT, PATCH, DELETE | authorization,x-custom | 600",
                cors(answer))
            assert.equal("Origin", answer.headers.vary)
            assert.same({}, service:requests(path))
        end
        assert.equal(LONG, preflight(LONG).headers["access-control-allow-origin"])
    end)

    it("allows credentials only to origins that may use the cookie", function()
        assert.truthy(cors(preflight(LISTED)):find("^" .. LISTED:gsub("%p", "%%%0") .. " | true | "))
        assert.truthy(cors(preflight(CORS)):find(" | - | ", 1, true))
    end)

    it("answers no other origin, and no request that is no preflight", function()
        for _, origin in ipairs(FOREIGN) do
            local answer = preflight(origin)
            assert.equal(401, answer.status, origin)
            assert.equal("- | - | - | - | -", cors(answer), origin)
            assert.equal("Origin", answer.headers.vary)
        end
        assert.equal(401, running:request { method = "OPTIONS", path = "/filer/x",
            headers = { { "Origin", CORS } } }.status)
        assert.equal(401, running:request { method = "GET", path = "/filer/x",
            headers = { { "Origin", CORS }, { "Access-Control-Request-Method", "PUT" } } }.status)
    end)

    it("lets a listed origin read answers and refusals, and replaces what the desktop says", function()
        local function get(origin, credential)
            return running:request { path = "/filer/x?" .. obedient.answer { headers = {
                { "Access-Control-Allow-Origin", "*" }, { "Access-Control-Allow-Credentials", "true" } } },
                headers = { { "Origin", origin }, credential } }
        end
        local bearer = { "Authorization", "Bearer " .. token }
        assert.equal(CORS .. " | - | - | - | -", cors(get(CORS, bearer)))
        assert.equal(LISTED .. " | true | - | - | -", cors(get(LISTED, bearer)))
        assert.equal("- | - | - | - | -", cors(get("https://evil.test", bearer)))
        assert.truthy(get(CORS, bearer).headers["access-control-expose-headers"]:find("Content-Disposition", 1, true))
        -- A page must be able to tell a 401 from a network failure.
        local refused = get(CORS)
        assert.same({ 401, CORS .. " | - | - | - | -" }, { refused.status, cors(refused) })
        -- Reading is not writing: the cookie needs the other list.
        assert.equal(403, get(CORS, { "Cookie", "desktop=" .. token }).status)
        assert.equal(200, get(LISTED, { "Cookie", "desktop=" .. token }).status)
    end)

    it("tells no requested headers back that are no names", function()
        for _, asked in ipairs { "a\tb", "x: y", ("a"):rep(1025), "\"", "é", "a;b" } do
            local answer = running:request { method = "OPTIONS", path = "/filer/x", headers = { { "Origin", CORS },
                { "Access-Control-Request-Method", "PUT" }, { "Access-Control-Request-Headers", asked } } }
            assert.same({ 204, nil }, { answer.status, answer.headers["access-control-allow-headers"] })
        end
    end)

    it("for every origin is without credentials", function()
        local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_CORS_ORIGINS = "*",
            ROUTE_TOKEN_COOKIE = "desktop", ROUTE_COOKIE_ORIGINS = LISTED } })
        for _, origin in ipairs { "https://evil.test", "null", LISTED } do
            assert.equal("* | - | GET, HEAD, POST, PUT, PATCH, DELETE | authorization,x-custom | 600",
                cors(preflight(origin, nil, gate)))
        end
        gate:stop()
    end)

    it("is off by default", function()
        local gate = assert(service:gateway { keys = running.keys })
        local answer = preflight(CORS, nil, gate)
        assert.same({ 401, "- | - | - | - | -", nil }, { answer.status, cors(answer), answer.headers.vary })
        gate:stop()
    end)

    it("is refused with a mistake at the start, in one sentence", function()
        for _, row in ipairs {
            { { ROUTE_CORS_ORIGINS = "null" }, "ROUTE_CORS_ORIGINS must be origins such as" },
            { { ROUTE_CORS_ORIGINS = "https://a.test/" }, "ROUTE_CORS_ORIGINS must be origins such as" },
            { { ROUTE_CORS_ORIGINS = "https://*.a.test" }, "ROUTE_CORS_ORIGINS must be origins such as" },
            { { ROUTE_CORS_ORIGINS = "*,https://a.test" }, "ROUTE_CORS_ORIGINS must be origins such as" },
            { { ROUTE_COOKIE_ORIGINS = "*" }, "ROUTE_COOKIE_ORIGINS must be origins such as" },
            { { ROUTE_COOKIE_ORIGINS = "a.test" }, "ROUTE_COOKIE_ORIGINS must be origins such as" },
            { { ROUTE_CORS_ORIGINS = "*", ROUTE_DESKTOP_HEADERS = "Access-Control-*" },
                'ROUTE_DESKTOP_HEADERS names "Access-Control-*", which ROUTE_CORS_ORIGINS sets' },
        } do
            local started, said = pcall(service.gateway, service, { keys = running.keys, env = row[1] })
            assert.is_false(started, row[2])
            assert.truthy(said:find("route_native: " .. row[2], 1, true), said)
        end
    end)
end)
