-- The cookies of the border: which of several is taken, what a service cannot set, and which pages may log in.

local border = require "support.border"
local http = require "support.http"
local obedient = require "support.obedient"

describe("the session's cookie", function()
    local running, good, stale

    setup(function()
        running = assert(border.start())
        good = running:logged_in():session()
        local script = running:logged_in()
        stale = script:session()
        assert.equal(302, script:get("/logout").status)
    end)
    teardown(function() running:stop() end)

    local function with(cookies, path, method)
        return http.request(running.port, { method = method, path = path or "/b/x", headers = {
            { "Host", "border.test" }, { "Cookie", (cookies:gsub("%u+", { GOOD = good, STALE = stale })) } } })
    end

    for cookies, status in pairs {
        ["border_session=GOOD"] = 200, ["border_session=STALE"] = 401,
        ["border_session=STALE; border_session=GOOD"] = 200, ["border_session=GOOD; border_session=STALE"] = 200,
        ["border_session=GOOD; border_session=GOOD"] = 200, ['border_session="GOOD"'] = 200,
        ['border_session=; border_session="STALE"; a=b; border_session="GOOD"'] = 200,
        ["border_session=junk; border_session=GOOD"] = 200, ["border_session=; border_session=\""] = 401,
        [("border_session=STALE; "):rep(100) .. "border_session=GOOD"] = 200,
        [("border_session=x; "):rep(100) .. "border_session=GOOD"] = 200,
    } do
        it("is each of that name that is signed: " .. cookies:sub(1, 80), function()
            assert.equal(status, with(cookies).status)
        end)
    end

    it("is read up to eight different values", function()
        local many = {}
        for i = 1, 8 do
            many[i] = "border_session=" .. i
        end
        assert.equal(401, with(table.concat(many, ";") .. "; border_session=GOOD").status)
    end)

    it("ends with all others of its name", function()
        local script = running:logged_in()
        assert.equal(302, with("border_session=STALE; border_session=" .. script:session(), "/logout").status)
        assert.equal(401, script:get("/b/x").status)
    end)
end)

for _, store in ipairs { "memory", "memcached", "redis" } do
    describe("the sessions of an account in " .. store, function()
        local running

        setup(function() running = assert(border.start { store = store, settings = { sessions_per_account = 3 } }) end)
        teardown(function() running:stop() end)

        it("are bounded, and the oldest ends", function()
            local clients = {}
            for i = 1, 5 do
                clients[i] = running:logged_in()
            end
            for i, expected in ipairs { 401, 401, 200, 200, 200 } do
                assert.equal(expected, clients[i]:get("/b/x").status, i)
            end
        end)
    end)
end

describe("a service behind the border", function()
    local service, running, script

    setup(function()
        service = obedient.start()
        local url = "http://127.0.0.1:" .. service.port
        running = assert(border.start { settings = { services = {
            b = { path = "/b", url = url }, c = { path = "/c", url = "http://127.0.0.1:1" } } } })
        script = running:logged_in()
    end)
    teardown(function()
        running:stop()
        service:stop()
    end)

    local function said(headers, status)
        local headers_of = { { "Host", "border.test" }, { "Cookie", "border_session=" .. script:session() } }
        return http.request(running.port, { headers = headers_of,
            path = "/b/x?" .. obedient.answer { status = status or 200, headers = headers, body = "x" } })
    end

    it("sets cookies of its own, and none of the border's in any form", function()
        for _, own in ipairs { "border_session=x", "border_session=; Max-Age=0", "border_session_login=x; Path=/b",
            "__Host-border_session=x; Secure; Path=/", "__Secure-border_session=x", "__host-border_session_login=x",
            "__Http-border_session=x", " border_session=x", "border_session =x", "border_session\t=x",
            "=border_session=x", " = border_session=x", "border_session", "border_session;" } do
            for _, status in ipairs { 200, 302, 404 } do
                local response = said({ { "Set-Cookie", "a=b; Path=/b" }, { "Set-Cookie", own },
                    { "Set-Cookie", "c=d" } }, status)
                assert.same({ status, "a=b; Path=/b, c=d" }, { response.status, response.headers["set-cookie"] }, own)
                assert.is_nil(said({ { "Set-Cookie", own } }, status).headers["set-cookie"], own)
            end
        end
        for _, other in ipairs { "xborder_session=x", "border_sessions=x", "a=border_session=x",
            "__border_session=x" } do
            assert.equal(other, said({ { "Set-Cookie", other } }).headers["set-cookie"])
        end
    end)

    it("tells the client no token and nginx nothing", function()
        local response = said { { "Auth-Token", "t" }, { "X-Accel-Redirect", "/logout" }, { "X-Accel-Charset", "x" },
            { "X-Accel-Limit-Rate", "1" }, { "X-Accel-Expires", "1" }, { "X-Accel-Buffering", "no" } }
        assert.same({ 200, "x" }, { response.status, response.body })
        for name in pairs(response.headers) do
            assert.is_nil(name:find("^x%-accel") or name:find("token", 1, true), name)
        end
        assert.equal(200, said({ { "X-Accel-Redirect", "@border_forbidden" } }).status)
    end)
end)

describe("a page that logs in", function()
    local running

    setup(function()
        running = assert(border.start { settings = { login_failures_per_address = 1000,
            public_origins = { "https://app.example.com", "https://Proxy.example.com:443" } } })
    end)
    teardown(function() running:stop() end)

    for _, case in ipairs {
        { 303, "x:443", { Origin = "https://x" } }, { 303, "x", { Origin = "https://x:443" } },
        { 303, "x:80", { Origin = "http://x" } }, { 303, "x:443", { Referer = "https://x/account/login" } },
        { 303, "x:8443", { Origin = "https://x:8443" } }, { 403, "x:8443", { Origin = "https://x" } },
        { 403, "x", { Origin = "https://x:8443" } }, { 403, "x:443", { Origin = "https://y" } },
        { 303, "inner", { Origin = "https://app.example.com" } },
        { 303, "inner", { Origin = "https://app.example.com:443", ["Sec-Fetch-Site"] = "cross-site" } },
        { 303, "inner", { Origin = "https://proxy.example.com" } },
        { 303, "inner", { Referer = "https://app.example.com/login" } },
        { 403, "inner", { Origin = "http://app.example.com" } }, { 403, "inner", { Origin = "null" } },
        { 403, "inner", { Origin = "https://app.example.com.evil" } }, { 403, "inner", { Origin = "" } },
    } do
        local names = {}
        for name, value in pairs(case[3]) do
            names[#names + 1] = name .. ": " .. value
        end
        it(("with Host: %s and %s is a %d"):format(case[2], table.concat(names, ", "), case[1]), function()
            local headers = { border.FORM }
            for name, value in pairs(case[3]) do
                headers[#headers + 1] = { name, value }
            end
            local response = running:client():request { method = "POST", path = "/account/login", host = case[2],
                body = border.GOOD, headers = headers }
            assert.equal(case[1], response.status)
        end)
    end
end)
