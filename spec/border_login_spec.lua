-- Logins and logouts: their limits, origins and redirects; failing services; configuration mistakes.

local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local socket = require "socket"

local FORM, GOOD, PAGE = border.FORM, border.GOOD, border.PAGE

describe("a login", function()
    local running

    setup(function()
        local settings = { login_failures_per_address = 1000, login_failures_per_account = 6 }
        running = assert(border.start { settings = settings })
    end)
    teardown(function() running:stop() end)

    it("from another site is refused, whichever header the browser sends", function()
        for _, headers in ipairs {
            { { "Sec-Fetch-Site", "cross-site" } }, { { "Sec-Fetch-Site", "same-site" } },
            { { "Sec-Fetch-Site", "x" } }, { { "Origin", "https://evil.example" } }, { { "Origin", "null" } },
            { { "Origin", "http://border.test.evil" } }, { { "Origin", "http://border.test:81" } },
            { { "Referer", "http://evil/border.test" } },
        } do
            local response = running:client():login(GOOD, headers)
            assert.same({ 403, "CROSS_SITE" }, { response.status, cjson.decode(response.body).code })
            assert.is_nil(response.headers["set-cookie"])
        end
        for _, headers in ipairs {
            { { "Sec-Fetch-Site", "same-origin" } }, { { "Origin", "http://border.test" } },
            { { "Origin", "https://border.test" } }, { { "Referer", "http://border.test/account/login" } }, {},
        } do
            assert.equal(303, running:client():login(GOOD, headers).status)
        end
    end)

    it("has one limit for all spellings of a name", function()
        local statuses = {}
        for i, name in ipairs { "admin", "ADMIN", "+admin%09", "%C3%A0dmin", "ad%C2%ADmin", "admin%00",
            "admin%E2%80%8B", "%EF%BD%81dmin" } do
            statuses[i] = running:client():login("username=" .. name .. "&password=x").status
        end
        assert.same({ 401, 401, 401, 401, 401, 401, 429, 429 }, statuses)
    end)

    it("cannot name another account to the limit than to the account service", function()
        running:control("/reset")
        for _, field in ipairs { "username", "+username", "%20%20username", "username%20", "username%00",
            "username%00x", "username[]", "username%5B%5D", "[username]", "Username", "user%6eame", "%u0075sername",
            "u%C2%ADsername", "]username", "[]username", "model.Username", "model[username]", "password", "]password",
            "Password", "password[0]", ("%CC%81"):rep(200) } do
            assert.equal(400, running:client():login(GOOD .. "&" .. field .. "=victim").status, field)
        end
        for _, body in ipairs { GOOD .. ";username=victim", "a=1;" .. GOOD, GOOD .. "&a=%", GOOD .. "&a=%zz",
            "+" .. GOOD, "Username=a&password=b", "username[]=a&password=b",
            "username=" .. ("x"):rep(257) .. "&password=b", ("x=1&"):rep(99) .. GOOD,
            "username=" .. ("%EF%B7%BA"):rep(5000) .. "&password=b" } do
            assert.equal(400, running:client():login(body).status, body:sub(1, 60))
        end
        assert.equal(0, running:count("account"))
    end)

    it("passes other fields on, and sets the requested service itself", function()
        local browser = running:client()
        browser:visit("/c/page")
        local body = GOOD .. "&otp=1%262&user.id=7&tag=a&tag=b&service=never&Service=never&+service=never&service[]=x"
        assert.equal(303, browser:login(body).status)
        local fields = {}
        for field in http.request(running.ports.control, { path = "/form" }).body:gmatch("[^&]+") do
            fields[#fields + 1] = field
        end
        table.sort(fields)
        assert.same({ "otp=1%262", "password=password", "service=c", "tag=a", "tag=b", "user.id=7",
            "username=user%40example.com" }, fields)
    end)

    it("with a Content-Encoding is a 415", function()
        running:control("/reset")
        for _, encoding in ipairs { "deflate", "GZIP", "identity, br", "x" } do
            assert.equal(415, running:client():login(GOOD, { { "Content-Encoding", encoding } }).status, encoding)
        end
        assert.equal(415, running:client():login(GOOD,
            { { "Content-Encoding", "identity" }, { "Content-Encoding", "identity" } }).status)
        assert.equal(0, running:count("account"))
        assert.equal(303, running:client():login(GOOD, { { "Content-Encoding", "identity" } }).status)
    end)

    it("without exactly one name and one password is a 400 or 415", function()
        for _, body in ipairs { "", "username=a", "password=a", "username=&password=a",
            "username=a&username=b&password=c", "username=a&password=b&password=c",
            "username&password=a", "%", ("x=1&"):rep(100) .. GOOD,
            GOOD .. ("x"):rep(60000) .. "&password=2" } do
            assert.equal(400, running:client():login(body).status, body:sub(1, 60))
        end
        local one = running:client()
        for _, content_type in ipairs { "application/json", "multipart/form-data; boundary=x", "" } do
            assert.equal(415, one:request({ method = "POST", path = "/account/login", body = GOOD,
                headers = { { "Content-Type", content_type } } }).status)
        end
        assert.equal(405, one:request({ method = "DELETE", path = "/account/login" }).status)
        assert.equal(413, one:login(("x"):rep(70000)).status)
    end)

    it("with a wrong password gets the account service's answer, as a page or JSON", function()
        local script = running:client()
        local json = script:login("username=somebody&password=x")
        assert.same({ 401, '{"code":"LOGIN_FAILED"}' }, { json.status, json.body })
        local page = script:login("username=%3Cscript%3E&password=x", { PAGE })
        assert.equal(401, page.status)
        assert.truthy(page.headers["content-type"]:find("text/html", 1, true))
        assert.truthy(page.body:find("is wrong", 1, true))
        assert.is_nil(page.body:find("<script>", 1, true))
        assert.is_nil(script:session())
    end)

    it("is limited per account, from any address, and a successful one is not counted", function()
        for _ = 1, 20 do
            assert.equal(303, running:client():login().status)
        end
        local body, statuses = "username=Victim&password=x", {}
        for i = 1, 8 do
            statuses[i] = running:client():login(body).status
        end
        assert.same({ 401, 401, 401, 401, 401, 401, 429, 429 }, statuses)
        local refused = running:client():login("username=victim&password=x")
        local wait = tonumber(refused.headers["retry-after"])
        assert.is_true(refused.status == 429 and wait >= 0 and wait <= 60)
        assert.equal(303, running:client():login().status)
        assert.is_true(running:counter("login.limited") >= 3)
    end)

    it("is limited per address, for all accounts", function()
        local strict = assert(border.start { settings = { login_failures_per_address = 3 } })
        for i = 1, 3 do
            assert.equal(401, strict:client():login("username=u" .. i .. "&password=x").status)
        end
        assert.equal(429, strict:client():login().status)
        -- The border refuses it before it reads the body.
        local connection = http.connect(strict.port)
        connection:send("POST /account/login HTTP/1.1\r\nHost: border.test\r\nContent-Length: 60000\r\n"
            .. "Content-Type: application/x-www-form-urlencoded\r\n\r\n")
        assert.equal(429, http.read_response(connection).status)
        connection:close()
        strict:stop()
    end)

    it("is counted once per failure, however many run at the same time", function()
        local connections, passed = {}, 0
        for i = 1, 30 do
            connections[i] = http.connect(running.port)
            http.send(connections[i], { method = "POST", path = "/account/login", body = "username=hammered&password=x",
                headers = { FORM } })
        end
        for _, connection in ipairs(connections) do
            passed = passed + (http.read_response(connection).status == 401 and 1 or 0)
            connection:close()
        end
        assert.equal(6, passed)
    end)

    it("redirects to the default path when the request cannot be repeated", function()
        for _, visit in ipairs {
            { path = "/b/x", method = "POST", body = "a=1" }, { path = "//b/x" }, { path = "/b/%09/evil" },
            { path = "/b/x%0d%0aSet-Cookie:a" }, { path = "/b/" .. ("x"):rep(3000) }, { path = "/b/%5c%5cevil" },
        } do
            local browser = running:client()
            visit.headers = { PAGE }
            local response = browser:request(visit)
            assert.is_true(response.status == 302 or response.status == 303, visit.path)
            assert.equal("/b/", browser:login().headers.location, visit.path)
        end
    end)

    it("keeps the path in a cookie that only the border can write", function()
        local browser = running:client()
        assert.is_nil(browser:visit("/c/secret-place").headers.location:find("secret", 1, true))
        local page = browser.cookies.border_session_login
        assert.equal("/c/secret-place", browser:login().headers.location)
        assert.is_nil(browser.cookies.border_session_login)
        local middle = math.floor(#page / 2)
        local changed = page:sub(1, middle) .. (page:sub(middle + 1, middle + 1) == "x" and "y" or "x")
            .. page:sub(middle + 2)
        for _, wrong in ipairs { ("A"):rep(76), changed, page:sub(1, -2), page .. "A", "", ("A"):rep(6000),
            browser:session(), "L2Mv" } do
            local other = running:client()
            other.cookies.border_session_login = wrong
            assert.equal("/b/", other:login().headers.location, wrong)
        end
        -- It is no session either.
        local script = running:client()
        script.cookies.border_session = page
        assert.equal(401, script:get("/c/x").status)
    end)

    it("redirects to the last requested page, of any tab", function()
        local browser = running:client()
        browser:visit("/c/first")
        browser:visit("/c/last?x=1")
        assert.equal("/c/last?x=1", browser:login().headers.location)
        browser = running:client()
        browser:visit("/c/first")
        browser:visit("/b/")
        assert.equal("/b/", browser:login().headers.location)
    end)

    it("keeps paths of 2,000 bytes, and redirects to the default path for longer ones", function()
        for length, place in pairs { [1999] = true, [2000] = true, [2001] = false, [2048] = false } do
            local path = "/c/" .. ("x"):rep(length - 3)
            local browser = running:client()
            assert.equal(302, browser:visit(path).status)
            assert.equal(place and path or "/b/", browser:login().headers.location)
        end
    end)

    it("forgets the path after login_timeout", function()
        local hasty = assert(border.start { settings = { login_timeout = 1 } })
        local browser = hasty:client()
        browser:visit("/c/page")
        local page = browser.cookies.border_session_login
        process.wait_until("the path was forgotten", function()
            local late = hasty:client()
            late.cookies.border_session_login = page
            return late:login().headers.location == "/b/"
        end)
        hasty:stop()
    end)

    it("sets an HttpOnly, SameSite, Secure cookie", function()
        local cookie = running:client():login().headers["set-cookie"]:match("border_session=[^,]+")
        assert.equal("; Path=/; HttpOnly; SameSite=Lax; Secure", cookie:match("^border_session=[%w_-]+(; .*)$"))
    end)

    it("is a 404 where no service is mapped, as is its target", function()
        local script = running:logged_in()
        for _, path in ipairs {
            "/", "/x", "/bb/x", "/B/x", "/b%2", "/.b", "/x/../b%00", "/x/../b/y", "/%2e%2e/", "/-/border/call",
        } do
            local status = script:get(path).status
            assert.is_true(status == 404 or status == 400, path .. " " .. status)
        end
        for _, path in ipairs { "/b", "/b/", "/b?x", "/%62/x", "//b/x" } do
            assert.equal(200, script:get(path).status, path)
        end
        assert.equal(404, script:request({ path = "/x", host = "other.example" }).status)
        assert.equal(401, script:request({ path = "/x", host = "BUSINESS.example:80" }).status)
    end)
end)

describe("a logout", function()
    local running

    setup(function() running = assert(border.start()) end)
    teardown(function() running:stop() end)

    it("redirects to a path of this origin only", function()
        for _, path in ipairs { "//evil", "/%5Cevil", "/\\evil", "/%0a/evil", "/%0d%0aX:y", "/%09/evil",
            "http://evil", "evil", "/%2fevil", "/%252fevil", "%2f%2fevil", "/x&destination=/y", "" } do
            local script = running:logged_in()
            local response = script:get("/logout?destination=" .. path)
            assert.same({ 302, "/account/login" }, { response.status, response.headers.location }, path)
            assert.is_nil(script:session())
        end
        for _, path in ipairs { "/b/x", "/c/?a=b" } do
            assert.equal(path, running:logged_in():get("/logout?destination=" .. path).headers.location)
        end
    end)

    it("from another site is refused", function()
        local script = running:logged_in()
        for _, headers in ipairs { { { "Sec-Fetch-Site", "cross-site" } }, { { "Origin", "http://evil" } },
            { { "Referer", "http://evil/" } } } do
            for _, method in ipairs { "GET", "POST" } do
                assert.equal(403, script:request({ method = method, path = "/logout", headers = headers }).status)
            end
        end
        assert.equal(405, script:request({ method = "DELETE", path = "/logout" }).status)
        assert.equal(200, script:get("/b/x").status)
    end)

    for what, case in pairs {
        ["an image"] = { 403, { ["Sec-Fetch-Dest"] = "image", ["Sec-Fetch-Site"] = "same-origin" } },
        ["a frame"] = { 403, { ["Sec-Fetch-Dest"] = "iframe", ["Sec-Fetch-Mode"] = "navigate" } },
        ["a script"] = { 403, { ["Sec-Fetch-Dest"] = "empty", ["Sec-Fetch-Site"] = "same-origin" } },
        ["a request of an unknown kind"] = { 403, { ["Sec-Fetch-Site"] = "same-origin" } },
        ["a mode alone"] = { 403, { ["Sec-Fetch-Mode"] = "no-cors" } },
        ["a prefetch"] = { 403, { ["Sec-Purpose"] = "prefetch" } },
        ["a prerendered page"] = { 403, { ["Sec-Purpose"] = "prefetch;prerender", ["Sec-Fetch-Dest"] = "document" } },
        ["an older prefetch"] = { 403, { Purpose = "prefetch" } },
        ["Safari's preview"] = { 403, { ["X-Purpose"] = "preview" } },
        ["Firefox's prefetch"] = { 403, { ["X-Moz"] = "prefetch" } },
        ["a page of a sibling host"] = { 403, { ["Sec-Fetch-Dest"] = "document", ["Sec-Fetch-Site"] = "same-site" } },
        ["a form of a sibling host"] = { 403, { ["Sec-Fetch-Site"] = "same-site" }, "POST" },
        ["a link"] = { 302, { ["Sec-Fetch-Dest"] = "document", ["Sec-Fetch-Site"] = "same-origin",
            ["Sec-Fetch-Mode"] = "navigate", ["Sec-Fetch-User"] = "?1" } },
        ["a typed address"] = { 302, { ["Sec-Fetch-Dest"] = "document", ["Sec-Fetch-Site"] = "none" } },
        ["an older browser, or none"] = { 302, {} },
        ["a form"] = { 303, { ["Sec-Fetch-Dest"] = "document", ["Sec-Fetch-Site"] = "same-origin" }, "POST" },
        ["a script's POST"] = { 303, { ["Sec-Fetch-Dest"] = "empty", ["Sec-Fetch-Site"] = "same-origin" }, "POST" },
    } do
        it("needs a navigation or a POST: " .. what, function()
            local script, headers = running:logged_in(), {}
            for name, value in pairs(case[2]) do
                headers[#headers + 1] = { name, value }
            end
            local response = script:request { method = case[3], path = "/logout", headers = headers }
            assert.equal(case[1], response.status)
            assert.equal(case[1] == 403 and 200 or 401, script:get("/b/x").status)
        end)
    end

    it("works without a session, and with an invalid one", function()
        assert.equal(302, running:client():get("/logout").status)
        local script = running:client()
        script.cookies.border_session = ("A"):rep(76)
        assert.equal(302, script:get("/logout").status)
        assert.is_nil(script:session())
    end)
end)

describe("a service around the border", function()
    local running

    setup(function() running = assert(border.start()) end)
    teardown(function() running:stop() end)

    for _, mode in ipairs { "error", "drop", "garbage", "hang" } do
        it("that fails gives a 503 and ends no session: " .. mode, function()
            local script = running:logged_in()
            running:fault("auth", mode)
            local response = script:get("/b/x")
            assert.same({ 503, "5", "UNAVAILABLE" },
                { response.status, response.headers["retry-after"], cjson.decode(response.body).code })
            running:fault("auth", "ok")
            assert.equal(200, script:get("/b/x").status)

            if mode ~= "hang" then -- one wait of five seconds is enough
                running:fault("account", mode)
                local failed = running:client():login()
                assert.same({ 503, "5" }, { failed.status, failed.headers["retry-after"] })
                running:fault("account", "ok")
                assert.equal(303, running:client():login().status)
            end
        end)
    end

    it("that drops the connection gives a 503 with the border's own page", function()
        local script = running:logged_in()
        assert.equal(200, script:get("/b/x").status)
        running:fault("b", "drop")
        local response = script:visit("/b/x")
        assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
        running:fault("b", "ok")
        assert.equal(200, script:get("/b/x").status)
    end)

    it("that speaks StatsD receives the counters", function()
        local statsd = assert(socket.udp())
        statsd:setsockname("127.0.0.1", 0)
        statsd:settimeout(30)
        local _, port = statsd:getsockname()
        local counting = assert(border.start { settings = { statsd = "127.0.0.1:" .. port, statsd_prefix = "edge." } })
        counting:logged_in():get("/b/x")
        counting:client():login("username=x&password=y")
        local seen = ""
        while not (seen:find("edge.login.success:1|c", 1, true) and seen:find("edge.login.failure:1|c", 1, true)
            and seen:find("edge.service_token.fetched:1|c", 1, true)) do
            seen = seen .. "\n" .. assert(statsd:receive(), seen)
        end
        statsd:close()
        counting:stop()
    end)
end)

describe("a border over TLS", function()
    local running, directory

    setup(function()
        directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=border.test "
            .. "-keyout %s/key.pem -out %s/cert.pem 2>&1"):format(directory, directory))
        assert(status == 0, output)
        local site = process.read(gateway.ROOT .. "/examples/border/site.conf"):gsub("include runtime/listen.conf;",
            ("%%0 listen unix:%s/tls ssl http2; ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;")
            :format(directory, directory, directory))
        running = assert(border.start { site = site })
    end)
    teardown(function()
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    local function curl(arguments)
        return process.run(("curl -sk -i --unix-socket %s/tls %s"):format(directory, arguments))
    end

    it("sets a cookie with the prefix __Host-", function()
        local answer = curl("--http1.1 -d '" .. GOOD .. "' https://border.test/account/login")
        assert.truthy(answer:find("HTTP/1.1 303", 1, true))
        local cookie = answer:match("Set%-Cookie: (__Host%-border_session=[^\r\n]+)")
        assert.truthy(cookie and cookie:find("; Path=/; HttpOnly; SameSite=Lax; Secure", 1, true))
        local seen = curl("--http1.1 -H 'Cookie: " .. cookie:match("^[^;]+") .. "' https://border.test/b/x")
        assert.truthy(seen:find("HTTP/1.1 200", 1, true))
        assert.is_nil(seen:find("__Host", 1, true))
        -- The border ignores a cookie that any subdomain could have set.
        local unprefixed = cookie:match("^__Host%-([^;]+)")
        local refused = curl("--http1.1 -H 'Cookie: " .. unprefixed .. "' https://border.test/b/x")
        assert.truthy(refused:find("HTTP/1.1 401", 1, true))
    end)

    it("serves HTTP/2, and answers 505 where subrequests are needed and missing", function()
        local cookie = curl("--http1.1 -d '" .. GOOD .. "' https://border.test/account/login")
            :match("(__Host%-border_session=[^;]+)")
        local get = "--http2 -H 'Cookie: " .. cookie .. "' https://border.test/b/x"
        local first = curl(get)
        if first:find("HTTP/2 505", 1, true) then
            assert.truthy(first:find("over HTTP/2; please use HTTP/1.1", 1, true))
            assert.truthy(running.gateway:error_log():find("0.10.28 (OpenResty 1.27.1.2) or newer", 1, true))
            curl("--http1.1 -H 'Cookie: " .. cookie .. "' https://border.test/b/x")
        end
        assert.truthy(curl(get):find("HTTP/2 200", 1, true))
        assert.truthy(curl("--http2 https://border.test/b/x"):find('"code":"SESSION_EXPIRED"', 1, true))
        assert.truthy(curl("--http2 https://border.test/account/login"):find("HTTP/2 200", 1, true))
    end)
end)

describe("a mistake in the configuration", function()
    -- Returns the error of setup() for settings. The modules need no request for that.
    local function sentence(settings)
        local program = ([[
            package.path = %q .. "/lua/?.lua;" .. package.path
            package.cpath = %q .. "/target/release/?.so;" .. package.cpath
            local services = { b = { path = "/b", url = "http://a:3" } }
            local base = { account_url = "http://a:1", auth_url = "http://a:2", services = services }
            for name, value in pairs(%s) do base[name] = value end
            local ok, err = pcall(require("route_native.border.settings").read, base)
            print(ok, err)]]):format(gateway.ROOT, gateway.ROOT, settings)
        return (process.run("luajit -e " .. process.quoted(program)):gsub("%s+$", ""))
    end

    it("raises one sentence that names the setting", function()
        for settings, expected in pairs {
            ["{}"] = "true\t",
            ["{ idle_timeout = 0 }"] = '"idle_timeout" must be a whole number of seconds from 1 to 86400',
            ["{ idle_timeout = '5' }"] = '"idle_timeout" must be a whole number',
            ["{ absolute_timeout = 90000 }"] = "absolute_timeout (90000 s) must not be longer than key_rotation",
            ["{ auth_url = 'ftp://x' }"] = '"auth_url" must be http://host:port',
            ["{ auth_url = false }"] = '"auth_url" must be http://host:port',
            ["{ default_path = '//evil' }"] = '"default_path" must be a path such as /b/',
            ["{ services = {} }"] = "services must be a table with at least one service",
            ["{ services = { b = { url = 'http://a:1' } } }"] = "services.b needs a host or a path",
            ["{ services = { b = { path = '/b' } } }"] = 'the field "services.b.url" is missing',
            ["{ services = { b = { path = '/b/c', url = 'http://a:1' } } }"]
                = '"services.b.path" must be / and one path',
            ["{ services = { ['b c'] = { path = '/b', url = 'http://a:1' } } }"] = "the name of a service",
            ["{ store = { kind = 'redis' } }"] = 'the field "store.address" is missing',
            ["{ store = { kind = 'reddis' } }"] = '"store.kind" must be "memory", "memcached" or "redis"',
            ["{ store = { knid = 'redis' } }"] = 'there is no field "store.knid"',
            ["{ cookie_nam = 'x' }"] = 'there is no field "cookie_nam"',
            ["{ cookie_secure = 'no' }"] = '"cookie_secure" must be true or false',
        } do
            local said = sentence(settings)
            assert.truthy(said:find(expected, 1, true), settings .. ": " .. said)
            assert.is_nil(said:find("\n", 1, true))
        end
    end)

    it("keeps nginx from starting", function()
        for expected, settings in pairs {
            ['"store.kind" must be "memory", "memcached" or "redis"'] = { store = { kind = "etcd", address = "a:1" } },
            ["store.address must be host:port or unix:/path"] = { store = { kind = "redis", address = "nowhere" } },
            ["the memory store needs: lua_shared_dict other 16m;"] = { store = { dictionary = "other" } },
        } do
            local running, refusal = border.start { settings = settings }
            assert.is_nil(running)
            assert.truthy(refusal:find(expected, 1, true), refusal)
        end
    end)
end)
