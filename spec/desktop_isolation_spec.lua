-- The isolation of an untrusted desktop from the origin that it shares with the website, pyos and other desktops: the
-- requests that it gets, and the headers of its answers that pass, at each of the twelve endpoints, with and without
-- settings.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local obedient = require "support.obedient"
local process = require "support.process"
local websocket = require "support.websocket"

local HTTP = { "/spawner/x", "/terminals/x/size", "/filer/x", "/printerfiler/x", "/snapshot/x" }
local WEBSOCKET = { "/terminals/t1", "/websockify", "/signalling", "/broadcast", "/sound", "/microphone", "/gamepad" }

local HANDSHAKE = {
    { "Upgrade", "websocket" }, { "Connection", "Upgrade" }, { "Sec-WebSocket-Version", "13" },
    { "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" },
}

-- Headers with an effect on the origin, each with a harmful value.
local DROPPED = {
    ["Set-Cookie"] = "session=planted; Path=/", ["Set-Cookie2"] = "a=b; Version=1", ["Clear-Site-Data"] = '"*"',
    ["Service-Worker-Allowed"] = "/", ["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains",
    ["Public-Key-Pins"] = 'pin-sha256="x"', ["Public-Key-Pins-Report-Only"] = 'pin-sha256="x"',
    ["Expect-CT"] = "max-age=9", ["Alt-Svc"] = 'h3="evil.test:443"', ["Accept-CH"] = "Sec-CH-UA-Model",
    ["Accept-CH-Lifetime"] = "9", ["Critical-CH"] = "Sec-CH-UA-Model", ["NEL"] = '{"report_to":"x","max_age":9}',
    ["Report-To"] = '{"group":"x"}', ["Reporting-Endpoints"] = 'x="https://evil.test"',
    ["Origin-Agent-Cluster"] = "?1", ["Origin-Trial"] = "x", ["Critical-Origin-Trial"] = "x",
    ["No-Vary-Search"] = "params", ["Use-As-Dictionary"] = 'match="/*"', ["Set-Login"] = "logged-out",
    ["Sec-Session-Registration"] = "(ES256)", ["Sec-Session-Challenge"] = '"x"',
    ["Secure-Session-Registration"] = "(ES256)", ["Secure-Session-Challenge"] = '"x"',
    ["Activate-Storage-Access"] = "load",
    ["WWW-Authenticate"] = 'Basic realm="your password, please"', ["Proxy-Authenticate"] = "Basic",
    ["Authentication-Info"] = "x", ["Proxy-Authentication-Info"] = "x", ["Refresh"] = "0; url=https://evil.test/",
    ["Access-Control-Allow-Origin"] = "https://evil.test", ["Access-Control-Allow-Credentials"] = "true",
    ["Access-Control-Allow-Methods"] = "PUT", ["Access-Control-Allow-Headers"] = "Authorization",
    ["Access-Control-Allow-Private-Network"] = "true", ["Access-Control-Allow-Local-Network"] = "true",
    ["Access-Control-Expose-Headers"] = "*", ["Access-Control-Max-Age"] = "9", ["Timing-Allow-Origin"] = "*",
}

-- The gateway's own headers, and the values that a desktop sends.
local OURS = {
    ["X-Content-Type-Options"] = { "nosniff", "none" },
    ["X-Frame-Options"] = { "SAMEORIGIN", "ALLOWALL" },
    ["Referrer-Policy"] = { "strict-origin", "unsafe-url" },
}

-- Headers that affect only the desktop's answer. They pass unchanged.
local KEPT = {
    ["Content-Type"] = "text/html; charset=utf-8", ["Content-Disposition"] = 'attachment; filename="a b.txt"',
    ["Cache-Control"] = "private, max-age=9", ["ETag"] = '"1"', ["Location"] = "/elsewhere",
    ["Link"] = "</a.css>; rel=preload", ["Permissions-Policy"] = "camera=()", ["Server-Timing"] = "a;dur=1",
    ["Cross-Origin-Opener-Policy"] = "same-origin",
    ["Content-Security-Policy-Report-Only"] = "default-src 'none'", ["X-Anything"] = "x",
}

local SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"

describe("a desktop", function()
    local service, running, token

    setup(function()
        service = obedient.start()
        running = assert(service:gateway { workers = 1 })
        token = running:mint("127.0.0.1")
    end)
    teardown(function()
        running:stop()
        service:stop()
    end)

    local function with(gate, path, headers, options)
        local all = { { "Authorization", "Bearer " .. token } }
        for _, header in ipairs(headers or {}) do
            all[#all + 1] = header
        end
        local request = { path = path, headers = all }
        for name, value in pairs(options or {}) do
            request[name] = value
        end
        return gate:request(request)
    end

    -- Makes the desktop answer at a path with headers (name to value) and a status.
    local function said(gate, path, headers, status, is_websocket)
        local list = {}
        for name, value in pairs(headers) do
            list[#list + 1] = { name, value }
        end
        local answer = obedient.answer { status = status, headers = list, body = "x" }
        return with(gate, path .. "?" .. answer, is_websocket and HANDSHAKE or nil)
    end

    -- Calls a function for every endpoint and several statuses. A WebSocket endpoint answers a handshake with 101 or
    -- 200.
    local function each_answer(call)
        for _, path in ipairs(HTTP) do
            for _, status in ipairs { 200, 302, 401, 500 } do
                call(path, status, false)
            end
        end
        for _, path in ipairs(WEBSOCKET) do
            call(path, 101, true)
            call(path, 200, true)
        end
    end

    -- Returns the headers of the request that a desktop received, by name in lower case.
    local function seen(path)
        local found = service:requests(path)
        local headers = {}
        for _, pair in ipairs(found[#found].headers) do
            headers[pair[1]:lower()] = pair[2]
        end
        return headers
    end

    it("causes no warning when nginx starts", function()
        assert.is_nil((running:error_log() .. process.read(running.output)):find("[warn]", 1, true))
    end)

    it("cannot hide a second answer behind an interim answer or behind no status line", function()
        local real = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: sess=evil; Path=/\r\n"
            .. "Content-Length: 5\r\n\r\nhello"
        local interim = "HTTP/1.1 %d Said\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" .. real
        local handshake = ""
        for _, header in ipairs(HANDSHAKE) do
            handshake = handshake .. header[1] .. ": " .. header[2] .. "\r\n"
        end
        local function all(path, bytes, more)
            return http.everything(running.port, ("GET %s?%s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n%s\r\n")
                :format(path, obedient.raw(bytes), token, more))
        end
        for _, path in ipairs(HTTP) do
            for _, more in ipairs { "Connection: close\r\n", handshake } do
                for _, status in ipairs { 100, 101, 102, 103, 199 } do
                    local seen_by_client = all(path, interim:format(status), more)
                    assert.truthy(seen_by_client:find("^HTTP/1.1 502 "), path .. " " .. status)
                    assert.is_nil(seen_by_client:find("evil", 1, true))
                end
                for _, bytes in ipairs { (real:gsub("HTTP", "http", 1)), "HTTP/1.1 \r\n" .. real, "<p>evil</p>",
                    "\r\n" .. real, (real:gsub("HTTP", "HTTQ", 1)) } do
                    assert.is_nil(all(path, bytes, more):find("evil", 1, true), path .. " " .. bytes)
                end
            end
        end
        for _, path in ipairs(WEBSOCKET) do
            assert.is_nil(all(path, interim:format(103), handshake):find("evil", 1, true), path)
        end
    end)

    it("never receives cookies of the origin", function()
        for i, path in ipairs(HTTP) do
            assert.equal(200, with(running, path .. "?cookies" .. i, { { "Cookie", "session=1; other=2" },
                { "Cookie2", "session=1" } }).status)
            assert.is_nil(seen(path .. "?cookies" .. i).cookie)
            assert.is_nil(seen(path .. "?cookies" .. i).cookie2)
        end
        for i, path in ipairs(WEBSOCKET) do
            local socket = assert(websocket.open(running.port, { path = path .. "?cookies=" .. i, headers = {
                { "Authorization", token }, { "Cookie", "session=1; other=2" } } }), path)
            socket:close()
            assert.is_nil(seen(path .. "?cookies=" .. i).cookie)
        end
    end)

    it("sets no header with an effect on the origin", function()
        each_answer(function(path, status, is_websocket)
            local response = said(running, path, DROPPED, status, is_websocket)
            assert.equal(status, response.status, path)
            for name in pairs(DROPPED) do
                assert.is_nil(response.headers[name:lower()], name .. " at " .. path .. " with " .. status)
            end
        end)
    end)

    it("does not change the gateway's own headers", function()
        local other = {}
        for name, values in pairs(OURS) do
            other[name] = values[2]
        end
        each_answer(function(path, status, is_websocket)
            local headers = said(running, path, other, status, is_websocket).headers
            for name, values in pairs(OURS) do
                assert.equal(values[1], headers[name:lower()], name .. " at " .. path .. " with " .. status)
            end
        end)
    end)

    it("keeps the headers that affect only its answer", function()
        for _, path in ipairs(HTTP) do
            local headers = said(running, path, KEPT, 201).headers
            for name, value in pairs(KEPT) do
                local expected = name == "Location" and "http://gateway.test/elsewhere" or value
                local got = headers[name:lower()]
                assert.is_true(got == value or got == expected, name .. " at " .. path .. ": " .. tostring(got))
            end
        end
    end)

    it("gets a sandbox for its documents, whatever their status and type", function()
        for _, kind in ipairs { "text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "text/plain",
            "application/octet-stream", "application/pdf, text/html", "application/pdf; a=b,text/html", "x" } do
            each_answer(function(path, status, is_websocket)
                local headers = said(running, path, { ["Content-Type"] = kind }, status, is_websocket).headers
                assert.equal(SANDBOX, headers["content-security-policy"], kind .. " at " .. path)
            end)
        end
        local none = said(running, "/filer/x", {}, 200).headers
        assert.same({ SANDBOX }, { none["content-security-policy"], none["content-type"] })
    end)

    it("adds its own policy to the sandbox, and cannot remove the sandbox", function()
        local headers = said(running, "/filer/x", { ["Content-Security-Policy"] = "default-src 'self'" }, 200).headers
        assert.equal("default-src 'self', " .. SANDBOX, headers["content-security-policy"])
    end)

    it("shows a PDF without a sandbox", function()
        local headers = said(running, "/printerfiler/x", { ["Content-Type"] = "application/pdf" }, 200).headers
        assert.same({ "application/pdf", "nosniff" }, { headers["content-type"], headers["x-content-type-options"] })
        assert.is_nil(headers["content-security-policy"])
    end)

    local REFUSED = {
        ["the script of a service worker"] = { { "Sec-Fetch-Dest", "serviceworker" },
            { "Sec-Fetch-Mode", "same-origin" } },
        ["the script of a service worker, for browsers without Sec-Fetch"] = { { "Service-Worker", "script" } },
        ["a link of another site"] = { { "Sec-Fetch-Site", "cross-site" }, { "Sec-Fetch-Mode", "navigate" },
            { "Sec-Fetch-Dest", "document" } },
        ["a frame of another site"] = { { "Sec-Fetch-Site", "cross-site" }, { "Sec-Fetch-Mode", "navigate" },
            { "Sec-Fetch-Dest", "iframe" } },
    }
    local TAKEN = {
        ["a link of the same site"] = { { "Sec-Fetch-Site", "same-site" }, { "Sec-Fetch-Mode", "navigate" } },
        ["a link of the website"] = { { "Sec-Fetch-Site", "same-origin" }, { "Sec-Fetch-Mode", "navigate" } },
        ["an address that is typed"] = { { "Sec-Fetch-Site", "none" }, { "Sec-Fetch-Mode", "navigate" } },
        ["a script of the website"] = { { "Sec-Fetch-Site", "same-origin" }, { "Sec-Fetch-Mode", "cors" },
            { "Sec-Fetch-Dest", "empty" } },
        ["a script of another site"] = { { "Sec-Fetch-Site", "cross-site" }, { "Sec-Fetch-Mode", "cors" } },
        ["a browser without Sec-Fetch"] = {},
    }

    for what, headers in pairs(REFUSED) do
        it("does not get " .. what, function()
            for _, path in ipairs(HTTP) do
                -- A path of this test only, so that the log names it once.
                local own = path:gsub("/x", "/" .. what:gsub("%W", ""))
                local response = running:request { path = own .. "?jwt_token=" .. token, headers = headers }
                assert.equal(403, response.status, path)
                assert.same({}, service:requests(own))
                local entry = running:logged(own)
                assert.same({ what:find("worker") and "service_worker" or "cross_site_link", "" },
                    { entry.reason, entry.cache })
            end
        end)
    end

    for what, headers in pairs(TAKEN) do
        it("gets " .. what, function()
            for _, path in ipairs(HTTP) do
                local response = running:request { path = path .. "?jwt_token=" .. token, headers = headers }
                assert.equal(200, response.status, path)
            end
        end)
    end

    it("gets no plain request on a WebSocket endpoint", function()
        for _, path in ipairs(WEBSOCKET) do
            for _, method in ipairs { "GET", "HEAD", "POST", "PUT" } do
                for i, query in ipairs { "?jwt_token=" .. token, "?" .. token } do
                    local own = ("%s/%s%d"):format(path, method, i)
                    local response = running:request { method = method, path = own .. query }
                    assert.same({ 426, "websocket", "application/json" }, { response.status, response.headers.upgrade,
                        response.headers["content-type"] }, own)
                    assert.truthy(response.headers.connection:lower():find("upgrade", 1, true))
                    assert.same({}, service:requests(own))
                    assert.equal("upgrade_required", running:logged(own).reason)
                end
            end
            for _, upgrade in ipairs { "h2c", "websocket, h2c", "foo" } do
                assert.equal(426, with(running, path, { { "Upgrade", upgrade }, { "Connection", "Upgrade" } }).status)
            end
        end
        assert.is_nil(running:access_log():find(token, 1, true))
    end)

    it("gets an upgrade over HTTP/1.1 only", function()
        local directory, port = process.temporary_directory(), process.free_port()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
            .. "-keyout %s/key -out %s/crt"):format(directory, directory))
        assert(status == 0, output)
        local gate = assert(service:gateway { keys = running.keys, env = { ROUTE_TLS_LISTEN = "127.0.0.1:" .. port,
            ROUTE_TLS_CERTIFICATE = directory .. "/crt", ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key" } })
        local answer = process.run(("curl -sSik --http2 https://127.0.0.1:%d/websockify?jwt_token=%s")
            :format(port, token))
        gate:stop()
        process.run("rm -rf " .. process.quoted(directory))
        assert.truthy(answer:find("^HTTP/2 426"), answer)
        assert.is_nil(answer:lower():find("\nupgrade:"))
        assert.is_nil(answer:lower():find("\nconnection:"))
    end)

    it("creates terminals by a plain POST, which opens no tunnel", function()
        for _, path in ipairs { "/terminals?cols=80&rows=24", "/terminals/?cols=80" } do
            local response = with(running, path, nil, { method = "POST" })
            assert.equal(200, response.status)
            assert.equal("POST", cjson.decode(response.body).method)
        end
        assert.equal(426, with(running, "/terminals?cols=80").status)
        local connection = http.connect(running.port)
        http.send(connection, { method = "POST", path = "/terminals?switch=any&n=terminal", headers = {
            { "Authorization", token }, { "Upgrade", "foo" }, { "Connection", "Upgrade" } } })
        service:wait_for_switch("/terminals?switch=any&n=terminal")
        connection:send("forged")
        connection:close()
        assert.equal("", service:switched("/terminals?switch=any&n=terminal"))
    end)

    it("does not affect the other upstreams", function()
        for _, path in ipairs { "/API/x", "/console", "/speedtest", "/" } do
            local answer = obedient.answer {
                headers = { { "Set-Cookie", "a=1" }, { "Access-Control-Allow-Origin", "*" } } }
            local response = running:request { path = path .. "?" .. answer, headers = { { "Cookie", "session=1" },
                { "Sec-Fetch-Site", "cross-site" }, { "Sec-Fetch-Mode", "navigate" } } }
            assert.same({ 200, "a=1", "*" }, { response.status, response.headers["set-cookie"],
                response.headers["access-control-allow-origin"] }, path)
            assert.is_nil(response.headers["content-security-policy"])
            assert.equal("session=1", seen(path .. "?" .. answer).cookie)
        end
    end)

    describe("with settings", function()
        local gates = {}

        local function gate(env)
            local started = assert(service:gateway { env = env, workers = 1, keys = running.keys })
            gates[#gates + 1] = started
            return started
        end

        after_each(function()
            for _, one in ipairs(gates) do
                one:stop()
            end
            gates = {}
        end)

        it("shares the cookies that ROUTE_DESKTOP_COOKIES names, in both directions", function()
            local open = gate { ROUTE_DESKTOP_COOKIES = "desktop_sid,theme" }
            local planted = { { "Set-Cookie", "desktop_sid=1; Path=/filer; HttpOnly" },
                { "Set-Cookie", "session=evil" }, { "Set-Cookie", "Theme=x" },
                { "Set-Cookie", "bare" }, { "Set-Cookie", "x; theme=2" },
                { "Set-Cookie", "=theme=3" }, { "Set-Cookie", " theme=dark" } }
            local sent = 'session=1; desktop_sid=a=b;theme="x; other=2;  desktop_sid=2; Theme=3; desktop_sid; '
                .. "=theme=4; xdesktop_sid=5; theme"
            for i, path in ipairs(HTTP) do
                local query = obedient.answer { headers = planted, status = 200 + i }
                local response = with(open, path .. "?" .. query, { { "Cookie", sent } })
                assert.equal("desktop_sid=1; Path=/filer; HttpOnly, theme=dark", response.headers["set-cookie"])
                assert.equal('desktop_sid=a=b; theme="x; desktop_sid=2', seen(path .. "?" .. query).cookie)
            end
            for i, path in ipairs(WEBSOCKET) do
                local query = obedient.answer { headers = planted, status = 101, body = tostring(i) }
                local headers = { { "Cookie", "session=1; theme=dark" }, unpack(HANDSHAKE) }
                local response = with(open, path .. "?" .. query, headers)
                assert.same({ 101, "desktop_sid=1; Path=/filer; HttpOnly, theme=dark" },
                    { response.status, response.headers["set-cookie"] })
                assert.equal("theme=dark", seen(path .. "?" .. query).cookie)
            end
            with(open, "/filer/none", { { "Cookie", "session=1" } })
            assert.is_nil(seen("/filer/none").cookie)
            assert.is_nil(said(open, "/filer/x", { ["Set-Cookie"] = "session=1" }, 200).headers["set-cookie"])
        end)

        it("sends the headers that ROUTE_DESKTOP_HEADERS names, and no others", function()
            local open = gate { ROUTE_DESKTOP_HEADERS = "access-control-*,Refresh" }
            each_answer(function(path, status, is_websocket)
                local headers = said(open, path, DROPPED, status, is_websocket).headers
                for name, value in pairs(DROPPED) do
                    local passes = name == "Refresh" or name:find("^Access%-Control%-")
                    assert.equal(passes and value or nil, headers[name:lower()], name .. " at " .. path)
                end
            end)
        end)

        it("gets the sandbox that ROUTE_DESKTOP_SANDBOX describes, or none", function()
            for _, value in ipairs { "allow-scripts allow-same-origin", "off" } do
                local headers = said(gate { ROUTE_DESKTOP_SANDBOX = value }, "/filer/x", {}, 200).headers
                assert.equal(value ~= "off" and "sandbox " .. value or nil, headers["content-security-policy"])
                assert.equal("nosniff", headers["x-content-type-options"])
            end
        end)

        it("gets the requests that the settings allow", function()
            local site, mode = "Sec-Fetch-Site", { "Sec-Fetch-Mode", "navigate" }
            local expected = {
                any = { ["cross-site"] = 200, ["same-site"] = 200, ["same-origin"] = 200, none = 200 },
                ["same-site"] = { ["cross-site"] = 403, ["same-site"] = 200, ["same-origin"] = 200, none = 200 },
                ["same-origin"] = { ["cross-site"] = 403, ["same-site"] = 403, ["same-origin"] = 200, none = 200 },
            }
            for setting, statuses in pairs(expected) do
                local open = gate { ROUTE_DESKTOP_LINKS = setting }
                for value, status in pairs(statuses) do
                    local response = open:request {
                        path = "/filer/x?jwt_token=" .. token, headers = { { site, value }, mode } }
                    assert.equal(status, response.status, setting .. ", " .. value)
                end
            end
            local open = gate { ROUTE_DESKTOP_SERVICE_WORKERS = "on", ROUTE_DESKTOP_UPGRADE = "optional" }
            assert.equal(200, with(open, "/filer/x", { { "Service-Worker", "script" } }).status)
            assert.equal(200, with(open, "/filer/x", { { "Sec-Fetch-Dest", "serviceworker" } }).status)
            for _, path in ipairs(WEBSOCKET) do
                local response = with(open, path)
                assert.equal(200, response.status, path)
                assert.equal(SANDBOX, response.headers["content-security-policy"])
            end
        end)

        it("refuses a wrong setting when nginx starts", function()
            for setting, sentence in pairs {
                ["ROUTE_DESKTOP_COOKIES=a;b"] = "must be names of cookies with commas between",
                ['ROUTE_DESKTOP_COOKIES=a")os.exit()--'] = "must be names of cookies with commas between",
                ["ROUTE_DESKTOP_COOKIES=a\nb"] = "must be names of cookies with commas between, and holds a line",
                ["ROUTE_DESKTOP_HEADERS=Set-Cookie"] = 'names "Set-Cookie", and no setting lets that pass',
                ["ROUTE_DESKTOP_HEADERS=X-*"] = 'names "X-*", and no setting lets that pass',
                ["ROUTE_DESKTOP_HEADERS=Refresh,Acess-Control-*"] = 'names "Acess-Control-*", and no setting lets',
                ["ROUTE_DESKTOP_HEADERS=*"] = "must be names of headers with commas between",
                ["ROUTE_DESKTOP_SANDBOX=on"] = 'must be "off", or permissions such as "allow-scripts allow-forms"',
                ["ROUTE_DESKTOP_SANDBOX=allow-scripts; x"] = 'must be "off", or permissions',
                ["ROUTE_DESKTOP_SERVICE_WORKERS=yes"] = 'must be "on" or "off"',
                ["ROUTE_DESKTOP_LINKS=all"] = 'must be "same-site", "same-origin" or "any"',
                ["ROUTE_DESKTOP_UPGRADE=off"] = 'must be "required" or "optional"',
            } do
                local out = process.temporary_directory()
                local name, value = setting:match("^(.-)=(.*)$")
                local output, status = process.run(process.environment { [name] = value, ROUTE_RUN_DIR = out } .. " sh "
                    .. gateway.ROOT .. "/conf/runtime.sh " .. out .. "/runtime")
                process.run("rm -rf " .. out)
                assert.equal(1, status, setting)
                assert.truthy(output:find("route_native: " .. name .. " " .. sentence, 1, true), output)
            end
        end)
    end)
end)

-- The module alone: a network would hide the growth of its time.
describe("the cookies of desktops", function()
    local cookies, before

    setup(function()
        before = _G.ngx
        _G.ngx = { var = {}, header = {} }
        package.loaded["route_native.desktop.cookies"] = nil
        cookies = require "route_native.desktop.cookies"
    end)
    teardown(function()
        package.loaded["route_native.desktop.cookies"] = nil
        _G.ngx = before
    end)

    -- Returns the least processor time of a call that reads a header of `bytes` bytes.
    local function cost(read, piece, bytes)
        local header, least = piece:rep(math.floor(bytes / #piece)), math.huge
        for _ = 1, 10 do
            local start = os.clock()
            read(header)
            least = math.min(least, os.clock() - start)
        end
        return least
    end

    local READERS = {
        sent = function(header)
            _G.ngx.var.http_cookie = header
            return cookies.sent("desktop_sid")
        end,
        received = function(header)
            _G.ngx.header["Set-Cookie"] = header
            return cookies.received("desktop_sid")
        end,
    }

    for name, read in pairs(READERS) do
        it("are " .. name .. " in linear time", function()
            for _, piece in ipairs { "a", " ", ";", "=", "; ", " ;", "a=;", " =", "\t", "desktop_sid", "desktop_sid=1;"
            } do
                local before_it = cost(read, piece, 256)
                for _, bytes in ipairs { 1024, 4096, 16384 } do
                    -- For four times the length, quadratic cost would be 16 times the time.
                    local now = cost(read, piece, bytes)
                    local most = 10 * math.max(before_it, 5e-5)
                    assert.is_true(now < most, ("%q: %d bytes took %g s"):format(piece, bytes, now))
                    before_it = now
                end
            end
        end)
    end
end)
