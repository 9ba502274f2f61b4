-- Where a desktop's token may lie besides the headers and the query: a cookie, and the subprotocols of a WebSocket. The
-- order of these places, the exchange of a token in the query for the cookie, and what no desktop ever gets.

local gateway = require "support.gateway"
local http = require "support.http"
local obedient = require "support.obedient"
local process = require "support.process"
local websocket = require "support.websocket"

local MARKER = "route_native.token."
local PLACES = { ROUTE_TOKEN_COOKIE = "desktop", ROUTE_TOKEN_PROTOCOL = "on", ROUTE_TOKEN_QUERY = "exchange" }
local PAGE = { { "Accept", "text/html" } }

local function with(headers, ...)
    local all = {}
    for _, list in ipairs { headers, ... } do
        for _, header in ipairs(list) do
            all[#all + 1] = header
        end
    end
    return all
end

describe("a token", function()
    local service, running, plain, one, two, expired

    setup(function()
        service = obedient.start()
        running = assert(service:gateway { env = PLACES })
        plain = assert(service:gateway { keys = running.keys })
        -- Two tokens, which lead to two desktops.
        one, two = running:mint("127.0.0.1"), running:mint("127.0.0.2")
        expired = running:mint("127.0.0.1", { claims = { exp = os.time() - 60 } })
    end)
    teardown(function()
        running:stop()
        plain:stop()
        service:stop()
    end)

    local count = 0
    -- Returns a path that no request before has had.
    local function fresh(prefix)
        count = count + 1
        return ("%s/n%d"):format(prefix or "/filer", count)
    end

    local function get(path, headers, gate)
        return (gate or running):request { path = path, headers = headers }
    end

    local function cookie(value, name)
        return { "Cookie", (name or "desktop") .. "=" .. value }
    end

    -- Returns the headers of the only request that the desktop got at a path, by name in lower case.
    local function seen(path)
        local found = service:requests(path)
        assert.equal(1, #found)
        local headers = {}
        for _, pair in ipairs(found[1].headers) do
            headers[pair[1]:lower()] = pair[2]
        end
        return headers, found[1].path
    end

    -- Returns which token has decided about a request, by the desktop that the access log names.
    local function decided(path, headers, query)
        local response = get(path .. (query and "?" .. query or ""), headers)
        if response.status ~= 200 then
            return response.status
        end
        -- An earlier request to the path may be in the log too.
        local entry = process.wait_until("the answer was in the log", function()
            local newest = running:logged(path)
            return newest.status == 200 and newest
        end)
        return entry.upstream:match("^127%.0%.0%.(%d):")
    end

    local function is_nowhere(text)
        for _, gate in ipairs { running, plain } do
            assert.is_nil((gate:access_log() .. gate:error_log()):find(text, 1, true))
        end
    end

    describe("in a cookie", function()
        it("leads to its desktop, which does not get the cookie", function()
            local path = fresh()
            assert.equal("1", decided(path, { cookie(one) }))
            assert.is_nil(seen(path).cookie)
            path = fresh("/websockify")
            local opened = assert(websocket.open(running.port, { path = path,
                headers = { cookie(one), { "Origin", "http://gateway.test" } } }))
            opened:close()
            assert.is_nil(seen(path).cookie)
        end)

        it("is no credential unless the site names the cookie", function()
            assert.equal(401, get(fresh(), { cookie(one) }, plain).status)
            for _, name in ipairs { "other", "Desktop", "__Host-desktop", "__Secure-desktop", "desktop2" } do
                assert.equal(401, get(fresh(), { cookie(one, name) }).status, name)
            end
        end)

        it("is a 401 if it is bad, empty, too large or one of two", function()
            for what, value in pairs { expired = expired, forged = one:sub(1, -8) .. "AAAAAAA", word = "x", empty = "",
                oversized = ("a"):rep(16385), two = one .. "; desktop=" .. two } do
                local path = fresh()
                local response = get(path, { cookie(value) })
                assert.equal(401, response.status, what)
                assert.same({}, service:requests(path))
            end
            assert.equal("token_ambiguous", (function()
                local path = fresh()
                get(path, { cookie(one .. "; desktop=" .. two) })
                return running:logged(path).reason
            end)())
            -- A browser sends one cookie twice if two paths have set it.
            assert.equal("1", decided(fresh(), { cookie(one .. '; desktop="' .. one .. '"') }))
        end)

        it("has its prefix over HTTPS, behind a trusted proxy too, and is taken without it nowhere there", function()
            local gate = assert(service:gateway { keys = running.keys, env = {
                ROUTE_TOKEN_COOKIE = "desktop", ROUTE_TRUSTED_PROXIES = "127.0.0.1" } })
            local tls = { { "X-Forwarded-Proto", "https" }, { "X-Forwarded-For", "192.0.2.1" } }
            assert.equal(200, get(fresh(), with(tls, { cookie(one, "__Host-desktop") }), gate).status)
            assert.equal(401, get(fresh(), with(tls, { cookie(one) }), gate).status)
            assert.equal(401, get(fresh(), { cookie(one, "__Host-desktop") }, gate).status)
            gate:stop()
        end)

        it("is kept from a desktop that may have other cookies, and a desktop cannot set it", function()
            local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_TOKEN_COOKIE = "desktop",
                ROUTE_TOKEN_QUERY = "exchange", ROUTE_DESKTOP_COOKIES = "theme,lang" } })
            local path = fresh()
            get(path, { { "Cookie", "theme=dark; desktop=" .. one .. "; __Host-desktop=x; lang=de" } }, gate)
            assert.equal("theme=dark; lang=de", seen(path).cookie)
            local said = { headers = { { "Set-Cookie", "desktop=" .. two }, { "Set-Cookie", "__Host-desktop=x" },
                { "Set-Cookie", "lang=fr" } } }
            local answer = get(fresh() .. "?" .. obedient.answer(said), { cookie(one) }, gate)
            assert.equal("lang=fr", answer.headers["set-cookie"])
            -- The gateway's own cookie passes the same filter.
            answer = get(fresh() .. "?jwt_token=" .. one, PAGE, gate)
            assert.same({ 303, "desktop=" .. one .. "; Path=/; HttpOnly; SameSite=Lax" },
                { answer.status, answer.headers["set-cookie"] })
            gate:stop()
        end)

        it("has the places that its location sets, and is kept from a desktop that may have its cookie", function()
            local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
            site = site:gsub("include route.conf;", [[
                location /renamed {
                    set $token_cookie other;
                    set $token_protocol on;
                    set $desktop_port $file_service_tcp_port;
                    include desktop.conf;
                    include proxy.conf;
                    proxy_pass http://$desktop$route_uri;
                }
                location /without {
                    set $token_cookie "";
                    set $token_query  off;
                    set $desktop_port $file_service_tcp_port;
                    include desktop.conf;
                    include proxy.conf;
                    proxy_pass http://$desktop$route_uri;
                }
                %0]])
            process.write(running.directory .. "/renamed.conf", site)
            local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_TOKEN_COOKIE = "desktop",
                ROUTE_DESKTOP_COOKIES = "other,theme", SITE = running.directory .. "/renamed.conf" } })
            local path = fresh("/renamed")
            assert.equal(200, get(path, { { "Cookie", "theme=dark; other=" .. one } }, gate).status)
            assert.equal("theme=dark", seen(path).cookie)
            assert.equal(401, get(fresh("/renamed"), { cookie(one) }, gate).status)
            assert.equal(401, get(fresh("/without"), { cookie(one) }, gate).status)
            assert.equal(401, get(fresh("/without") .. "?jwt_token=" .. one, nil, gate).status)
            assert.equal(200, get(fresh() .. "?jwt_token=" .. one, nil, gate).status)
            local protocol = { { "Sec-WebSocket-Protocol", MARKER .. one } }
            assert.equal(200, get(fresh("/renamed"), protocol, gate).status)
            assert.equal(401, get(fresh(), protocol, gate).status)
            gate:stop()
        end)
    end)

    describe("among the subprotocols of a WebSocket", function()
        -- Opens a WebSocket. Returns the status, the chosen subprotocol, and those that the desktop was offered.
        local function open(protocols, gate, path)
            path = path or fresh("/websockify")
            local headers = {}
            for i, list in ipairs(protocols) do
                headers[i] = { "Sec-WebSocket-Protocol", list }
            end
            local opened, refused = websocket.open((gate or running).port, { path = path, headers = headers })
            if not opened then
                return refused.status
            end
            opened:close()
            return 101, opened.response.headers["sec-websocket-protocol"], seen(path)["sec-websocket-protocol"]
        end

        it("is removed wherever it stands, and the real ones stay in their order", function()
            for list, offered in pairs {
                [MARKER .. one .. ", binary, base64"] = "binary, base64",
                ["binary," .. MARKER .. one .. ",base64"] = "binary, base64",
                [" binary ,\tbase64 , " .. MARKER .. one .. " "] = "binary, base64",
            } do
                assert.same({ 101, nil, offered }, { open { list } })
            end
        end)

        it("is found in a second header, which is one list with the first", function()
            local status, _, offered = open { "binary", MARKER .. one }
            assert.equal(101, status)
            assert.equal("binary", offered)
        end)

        it("is not repeated by a desktop that chooses the first of what it is offered", function()
            local demo = assert(gateway.start { keys = running.keys, env = { ROUTE_TOKEN_PROTOCOL = "on" } })
            for _, list in ipairs { MARKER .. one .. ", binary", "binary, " .. MARKER .. one } do
                local opened = assert(websocket.open(demo.port, { path = "/websockify",
                    headers = { { "Sec-WebSocket-Protocol", list } } }))
                assert.equal("binary", opened.response.headers["sec-websocket-protocol"])
                assert.is_nil(opened:receive():find(one, 1, true))
                opened:close()
            end
            demo:stop()
        end)

        it("may come with route_native, which is chosen if the desktop chooses none", function()
            assert.same({ 101, "route_native", nil }, { open { "route_native, " .. MARKER .. one } })
            assert.same({ 101, "route_native", "binary" }, { open { "binary, route_native," .. MARKER .. one } })
            assert.same({ 101, nil, "binary" }, { open { "binary, " .. MARKER .. one } })
            local demo = assert(gateway.start { keys = running.keys, env = { ROUTE_TOKEN_PROTOCOL = "on" } })
            local opened = assert(websocket.open(demo.port, { path = "/websockify",
                headers = { { "Sec-WebSocket-Protocol", "route_native, binary, " .. MARKER .. one } } }))
            assert.equal("binary", opened.response.headers["sec-websocket-protocol"])
            opened:close()
            demo:stop()
        end)

        it("is a 401 if it is bad, empty, too large or one of two", function()
            for what, list in pairs { expired = MARKER .. expired, empty = MARKER, word = MARKER .. "x",
                oversized = MARKER .. ("a"):rep(16385), two = MARKER .. one .. "," .. MARKER .. two } do
                local path = fresh("/websockify")
                assert.equal(401, (open({ "binary, " .. list }, running, path)), what)
                assert.same({}, service:requests(path))
            end
        end)

        it("is none without the marker: what looks like a token is a subprotocol", function()
            for _, list in ipairs { one, "binary, " .. one, "Route_native.token." .. one, "route_native.token" .. one,
                "route_native.token. " .. one } do
                assert.equal(401, (open { list }))
            end
            local path = fresh("/websockify")
            local opened = assert(websocket.open(running.port, { path = path, headers = {
                { "Authorization", "Bearer " .. one }, { "Sec-WebSocket-Protocol", two } } }))
            opened:close()
            assert.equal(two, seen(path)["sec-websocket-protocol"])
            assert.equal("127.0.0.1", running:logged(path).upstream:match("^[%d.]+"))
        end)

        it("is removed too if another token decides", function()
            local path = fresh("/websockify")
            local opened = assert(websocket.open(running.port, { path = path, headers = {
                { "Authorization", "Bearer " .. one }, { "Sec-WebSocket-Protocol", "a, " .. MARKER .. two } } }))
            opened:close()
            assert.equal("a", seen(path)["sec-websocket-protocol"])
        end)

        it("is a plain subprotocol where the site looks for none", function()
            assert.equal(401, (open({ "binary, " .. MARKER .. one }, plain)))
            local path = fresh("/websockify")
            local opened = assert(websocket.open(plain.port, { path = path, headers = {
                { "Authorization", "Bearer " .. one }, { "Sec-WebSocket-Protocol", "binary, " .. MARKER .. two } } }))
            opened:close()
            assert.equal("binary, " .. MARKER .. two, seen(path)["sec-websocket-protocol"])
        end)

        it("is found in lists of any length, and not in thousands of headers", function()
            assert.equal(101, (open { ("a,"):rep(15000) .. MARKER .. one }))
            local many = {}
            for i = 1, 900 do
                many[i] = "a"
            end
            many[#many + 1] = MARKER .. one
            assert.equal(101, (open(many)))
            for i = 901, 3000 do
                many[i] = "a"
            end
            many[#many + 1] = MARKER .. one
            local path = fresh("/websockify")
            -- Newer versions of nginx refuse them as too large, which is a 401 here.
            local status = open(many, running, path)
            assert.is_true(status == 400 or status == 401, status)
            assert.same({}, service:requests(path))
        end)
    end)

    it("decides by the place that comes first: header, subprotocol, query, cookie", function()
        local header, other = { "Authorization", "Bearer " .. one }, { "AbcAuthorization", "Bearer " .. one }
        local protocol = { "Sec-WebSocket-Protocol", "a, " .. MARKER .. one }
        local late = { cookie(two), { "Sec-WebSocket-Protocol", "a, " .. MARKER .. two } }
        assert.equal("1", decided(fresh(), with({ other, { "Authorization", "Bearer " .. two } }, late),
            "jwt_token=" .. two))
        assert.equal("1", decided(fresh(), with({ header }, late), "jwt_token=" .. two))
        assert.equal("1", decided(fresh(), { protocol, cookie(two) }, "jwt_token=" .. two))
        assert.equal("1", decided(fresh(), { cookie(two) }, "jwt_token=" .. one))
        -- A bad token in a first place is not passed over.
        for _, headers in ipairs { { { "Authorization", "Bearer x" }, cookie(one) },
            { { "Sec-WebSocket-Protocol", MARKER .. "x" }, cookie(one) } } do
            assert.equal(401, (decided(fresh(), headers, "jwt_token=" .. one)))
        end
        assert.equal(401, (decided(fresh(), { cookie(one) }, "jwt_token=x")))
    end)

    it("in the query is removed and no credential where the site says so", function()
        local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_TOKEN_QUERY = "off",
            ROUTE_TOKEN_COOKIE = "desktop" } })
        assert.equal(401, get(fresh() .. "?jwt_token=" .. one, nil, gate).status)
        local path = fresh()
        assert.equal(200, get(path .. "?jwt_token=" .. two .. "&a=b", { cookie(one) }, gate).status)
        assert.equal(path .. "?a=b", select(2, seen(path)))
        assert.is_nil((gate:access_log() .. gate:error_log()):find(two, 1, true))
        gate:stop()
    end)

    describe("in the query, if the site exchanges it,", function()
        local function exchange(url, headers)
            return get(url, with(PAGE, headers or {}))
        end

        it("becomes a cookie by one redirect to the same URL without it", function()
            for query, rest in pairs { ["jwt_token=@"] = "", ["a=b&jwt_token=@"] = "?a=b",
                ["jwt_token=@&a=%2F%0a&c"] = "?a=%2F%0a&c", ["JWT_TOKEN=@&x=1"] = "?x=1" } do
                local path = fresh()
                local response = exchange(path .. "?" .. query:gsub("@", one))
                assert.same({ 303, path .. rest, "desktop=" .. one .. "; Path=/; HttpOnly; SameSite=Lax", "no-store",
                    "strict-origin", "" }, { response.status, response.headers.location, response.headers["set-cookie"],
                    response.headers["cache-control"], response.headers["referrer-policy"], response.body })
                assert.same({}, service:requests(path))
                assert.equal("1", decided(path, { cookie(one) }))
            end
            is_nowhere(one)
        end)

        it("becomes a cookie with a prefix over HTTPS", function()
            local directory = process.temporary_directory()
            local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
                .. "-keyout %s/key -out %s/crt"):format(directory, directory))
            assert(status == 0, output)
            local port = process.free_port()
            local gate = assert(service:gateway { keys = running.keys, env = {
                ROUTE_TOKEN_COOKIE = "desktop", ROUTE_TOKEN_QUERY = "exchange", ROUTE_TLS_LISTEN = "127.0.0.1:" .. port,
                ROUTE_TLS_CERTIFICATE = directory .. "/crt", ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key" } })
            for _, version in ipairs { "--http1.1", "--http2" } do
                local path = fresh()
                local said = process.run(("curl -sSki %s -H 'Accept: text/html' 'https://127.0.0.1:%d%s?jwt_token=%s'")
                    :format(version, port, path, one)):lower()
                assert.truthy(said:find("^http/[%d.]+ 303"), said)
                assert.truthy(said:find("\nlocation: " .. path .. "\r\n", 1, true), said)
                assert.truthy(said:find("\nset-cookie: __host-desktop=" .. one:lower()
                    .. "; path=/; httponly; samesite=lax; secure\r\n", 1, true), said)
                said = process.run(("curl -sSk %s -w '%%{http_code}' -o /dev/null -b '__Host-desktop=%s' "
                    .. "https://127.0.0.1:%d%s"):format(version, one, port, path))
                assert.equal("200", said)
            end
            gate:stop()
            process.run("rm -rf " .. directory)
        end)

        it("stays a token of the query for programs, scripts, uploads and WebSockets", function()
            local url = function() return fresh() .. "?jwt_token=" .. one end
            assert.equal(200, get(url()).status)
            assert.equal(200, get(url(), { { "Accept", "text/html" }, { "Sec-Fetch-Mode", "cors" } }).status)
            assert.equal(200, get(url(), with(PAGE, { { "X-Requested-With", "XMLHttpRequest" } })).status)
            assert.equal(200, running:request { method = "POST", path = url(), headers = PAGE, body = "x" }.status)
            local opened = assert(websocket.open(running.port, { path = "/websockify?" .. one }))
            opened:close()
            assert.equal(303, get(url(), { { "Sec-Fetch-Mode", "navigate" }, { "Sec-Fetch-Site", "none" } }).status)
        end)

        it("is not exchanged if it is bad: no cookie is set", function()
            for what, value in pairs { expired = expired, word = "x", oversized = ("a"):rep(16385) } do
                local response = exchange(fresh() .. "?jwt_token=" .. value)
                assert.equal(401, response.status, what)
                assert.is_nil(response.headers["set-cookie"], what)
                assert.is_nil(response.headers.location, what)
            end
            assert.equal(401, exchange(fresh() .. "?jwt_token=" .. one .. "&jwt_token=" .. two).status)
        end)

        -- A site could otherwise plant a cookie for a desktop of its owner, which records what its visitor types.
        it("is not exchanged for a page of another site", function()
            for _, headers in ipairs {
                { { "Sec-Fetch-Site", "cross-site" } }, { { "Referer", "https://evil.test/" } },
                { { "Origin", "https://evil.test" } }, { { "Origin", "null" } },
            } do
                local response = exchange(fresh() .. "?jwt_token=" .. one, headers)
                assert.equal(200, response.status)
                assert.is_nil(response.headers["set-cookie"])
            end
            local ours = exchange(fresh() .. "?jwt_token=" .. one, { { "Referer", "http://gateway.test/" } })
            assert.equal(303, ours.status)
        end)

        it("is not exchanged if a browser would drop the cookie", function()
            local large = running:mint("127.0.0.1", { claims = { exp = os.time() + 600, pad = ("x"):rep(2600) } })
            assert.is_true(#large > 4096 and #large < 16384)
            local path = fresh()
            local response = exchange(path .. "?jwt_token=" .. large)
            assert.same({ 200, nil }, { response.status, response.headers["set-cookie"] })
            assert.equal(1, #service:requests(path))
        end)

        it("leads to no other host", function()
            for _, path in ipairs { "//filer", "//filer/x", "/%2ffiler", "/filer//evil.test", "/filer/%2f%2fevil.test",
                "/filer/\\evil.test" } do
                local location = exchange(path .. "?jwt_token=" .. one).headers.location
                assert.is_nil(location, path)
            end
        end)

        it("is redirected once: without the cookie the same URL is a 401", function()
            local path = fresh()
            assert.equal(303, exchange(path .. "?jwt_token=" .. one).status)
            assert.equal(401, exchange(path).status)
        end)
    end)

    it("is found in every place by a resolve() of the rewrite phase too", function()
        gateway.phase = "rewrite"
        local gate = assert(service:gateway { keys = running.keys, env = PLACES })
        gateway.phase = nil
        assert.equal(200, get(fresh(), { cookie(one) }, gate).status)
        assert.equal(303, get(fresh() .. "?jwt_token=" .. one, PAGE, gate).status)
        local opened = assert(websocket.open(gate.port, { path = "/websockify",
            headers = { { "Sec-WebSocket-Protocol", "a, " .. MARKER .. one } } }))
        opened:close()
        gate:stop()
    end)

    it("is never in a log, whatever its place", function()
        assert.equal(401, http.request(running.port, { path = fresh(), headers = { cookie(expired) } }).status)
        for _, secret in ipairs { one, two, expired } do
            is_nowhere(secret)
            is_nowhere(secret:match("[^.]+$"))
        end
    end)

    it("has places that a mistake in a setting does not open", function()
        for _, row in ipairs {
            { { ROUTE_TOKEN_QUERY = "exchange" }, "ROUTE_TOKEN_QUERY is \"exchange\", and ROUTE_TOKEN_COOKIE" },
            { { ROUTE_TOKEN_QUERY = "yes" }, "ROUTE_TOKEN_QUERY must be \"on\", \"off\" or \"exchange\"" },
            { { ROUTE_TOKEN_PROTOCOL = "binary" }, "ROUTE_TOKEN_PROTOCOL must be \"on\" or \"off\"" },
            { { ROUTE_TOKEN_COOKIE = "a;b" }, "ROUTE_TOKEN_COOKIE must be the name of a cookie" },
            { { ROUTE_TOKEN_COOKIE = "__Host-a" }, "ROUTE_TOKEN_COOKIE must be the name of a cookie" },
            { { ROUTE_TOKEN_COOKIE = "t", ROUTE_DESKTOP_COOKIES = "a,t" }, "ROUTE_DESKTOP_COOKIES names \"t\"" },
            { { ROUTE_TOKEN_COOKIE = "t", ROUTE_DESKTOP_COOKIES = "__Host-t" }, "ROUTE_DESKTOP_COOKIES names \"t\"" },
        } do
            local started, said = pcall(service.gateway, service, { keys = running.keys, env = row[1] })
            assert.is_false(started)
            assert.truthy(said:find("route_native: " .. row[2], 1, true), said)
        end
    end)
end)
