-- Attacks on the limits of failed logins: floods, expensive or ambiguous bodies, many addresses and names, pages of
-- other sites.

local auth = require "support.auth"
local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"

local SITE = [[
lua_shared_dict addresses 1m;
lua_shared_dict nameless 1m;
lua_shared_dict mapped 1m;
lua_shared_dict small 32k;
init_by_lua_block {
    local auth = require "route_native.auth"
    local file = ngx.config.prefix() .. "../keys/jwt_secret"
    local function login(more)
        local config = { backend = "/authenticate", secret_file = file, issuer = "spec", rate_limit = false }
        for name, value in pairs(more) do config[name] = value end
        return auth.prepare_login(config)
    end
    local function limited(dict, per_user, per_address)
        return login { rate_limit = { dict = dict, per_user = per_user, per_address = per_address, window = 600 } }
    end
    entrances = {
        addresses = limited("addresses", 100, 2),
        nameless = limited("nameless", 3, 5),
        mapped = limited("mapped", 100, 2),
        flooded = limited("small", 3, 1000),
        free = login {},
        cookie = login { cookie = { name = "session" } },
        shared = login { cookie = { name = "session" }, public_origins = { "https://app.example.com" } },
    }
}

server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Client;
    underscores_in_headers on;

    location ~ ^/login/(?<entrance>[a-z]+)$ {
        content_by_lua_block { require("route_native.auth").login(entrances[ngx.var.entrance]) }
    }
    location = /hello { return 200 "hello"; }
    location = /free { content_by_lua_block { ngx.shared.small:flush_all() ngx.print("free") } }
    location = /authenticate { internal; proxy_pass http://$auth_backend/login; }
}
]]

local GOOD = '{"username":"demo","password":"demo"}'
local FORM = { "Content-Type", "application/x-www-form-urlencoded" }

-- The stored blocks of a zlib stream are the text itself: a parser that does not inflate reads a form in it too.
local function deflated(text)
    text = text .. ("z"):rep(0x141 - #text)
    return "x\1\1\65\1\190\254" .. text .. "&sum"
end

describe("a login's limits", function()
    local running

    setup(function() running = assert(auth.start(auth.directory(), SITE)) end)
    teardown(function()
        local log = running:error_log()
        running:stop()
        assert.is_nil(log:find("stack traceback", 1, true))
    end)

    local function post(path, body, ...)
        return http.request(running.port, { method = "POST", path = path, body = body, headers = { ... } })
    end

    local function attempt(path, user, address)
        return post(path, cjson.encode { username = user, password = "x" }, { "Content-Type", "application/json" },
            { "X-Client", address or "192.0.2.1" }).status
    end

    it("refuse an address before the body is read, and read no request from that body", function()
        for i = 1, 2 do
            assert.equal(401, attempt("/login/addresses", "u" .. i, "127.0.0.1"))
        end
        local connection = http.connect(running.port)
        connection:send("POST /login/addresses HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 60000\r\n\r\n")
        local refused = http.read_response(connection)
        assert.equal(429, refused.status)
        assert.is_true(tonumber(refused.headers["retry-after"]) > 0)
        local smuggled = "GET /hello HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
        connection:send((smuggled:rep(2000)):sub(1, 60000))
        http.send(connection, { path = "/absent" })
        local following = http.read_response(connection)
        assert.is_true(following == nil or following.status == 404)
        connection:close()
    end)

    it("count nameless attempts per address, and lock out no other address", function()
        local function nameless(address)
            return post("/login/nameless", "--b\r\n\r\nx\r\n--b--\r\n", { "X-Client", address },
                { "Content-Type", "multipart/form-data; boundary=b" }).status
        end
        for _ = 1, 3 do
            assert.equal(400, nameless("192.0.2.1")) -- the demo backend's own
        end
        assert.equal(429, nameless("192.0.2.1"))
        assert.equal(400, nameless("192.0.2.2"))
        assert.equal(401, attempt("/login/nameless", "somebody", "192.0.2.2"))
    end)

    it("distinguish IPv4 addresses on a dual-stack socket, but no addresses of one IPv6 network", function()
        for _, same in ipairs { { "::ffff:192.0.2.1", "192.0.2.1" }, { "2001:db8::1", "2001:db8::ffff:1" } } do
            assert.equal(401, attempt("/login/mapped", "a", same[1]))
            assert.equal(401, attempt("/login/mapped", "b", same[2]))
            assert.same({ 429, 429 },
                { attempt("/login/mapped", "c", same[1]), attempt("/login/mapped", "d", same[2]) })
        end
        assert.equal(401, attempt("/login/mapped", "a", "::ffff:192.0.2.2"))
        assert.equal(401, attempt("/login/mapped", "a", "2001:db8:0:1::1"))
    end)

    it("survive a flood of names and addresses, which gets 503", function()
        for _ = 1, 3 do
            assert.equal(401, attempt("/login/flooded", "victim"))
        end
        assert.equal(429, attempt("/login/flooded", "victim"))
        local refused
        for i = 1, 2000 do
            local status = attempt("/login/flooded", "n" .. i, ("10.0.%d.%d"):format(i / 250, i % 250))
            assert.is_true(status == 401 or status == 503, status)
            refused = refused or status == 503 and i
        end
        assert.is_truthy(refused)
        assert.equal(429, attempt("/login/flooded", "victim"))
        -- A known address with a new name.
        local full = post("/login/flooded", '{"username":"new"}', { "X-Client", "192.0.2.1" })
        assert.same({ 503, "5" }, { full.status, full.headers["retry-after"] })
        assert.is_truthy(running:error_log():find("lua_shared_dict small is full of login attempts", 1, true))
        -- Expired counters make room.
        http.request(running.port, { path = "/free" })
        process.wait_until("there was room", function() return attempt("/login/flooded", "new") == 401 end)
    end)
end)

describe("a login's body", function()
    local running

    setup(function() running = assert(auth.start(auth.directory(), SITE)) end)
    teardown(function() running:stop() end)

    local function status(body, ...)
        return http.request(running.port, { method = "POST", path = "/login/free", body = body, headers = { ... } })
            .status
    end

    it("with a Content-Encoding is a 415, in any spelling", function()
        local decoy = deflated("a=1&username=decoy&password=x&")
        assert.equal(415, status(decoy, FORM, { "Content-Encoding", "deflate" }))
        for _, encoding in ipairs { "gzip", "DEFLATE", " br\t", "x-gzip", "identity, deflate", "deflate, identity",
            "identity,identity", "identity;q=1", "aes128gcm", "\255", "," } do
            assert.equal(415, status(GOOD, { "Content-Encoding", encoding }), encoding)
        end
        assert.equal(415, status(GOOD, { "CONTENT-encoding", "gzip" }))
        assert.equal(415, status(GOOD, { "Content-Encoding", "identity" }, { "Content-Encoding", "gzip" }))
        -- CGI programs take these for the same header.
        assert.equal(415, status(GOOD, { "Content_Encoding", "gzip" }))
        assert.equal(400, status(GOOD, { "Content-Type", "application/json" }, { "Content_Type", "text/plain" }))
        -- RFC 9110 §8.4: this is no encoding.
        assert.equal(200, status(GOOD, { "Content-Encoding", "Identity" }))
        assert.equal(200, status(GOOD, { "Content-Encoding", "" }))
    end)

    it("is refused when its name is too long", function()
        local function named(name)
            return status(cjson.encode { username = name, password = "x" })
        end
        local function form(name)
            return status("username=" .. name .. "&password=x", FORM)
        end
        assert.same({ 401, 400 }, { named(("x"):rep(256)), named(("x"):rep(257)) })
        -- U+FDFA stands for 18 characters.
        for _, count in ipairs { 29, 85, 20000 } do
            local long = ("\239\183\186"):rep(count)
            assert.same({ 400, 400 }, { named(long), form(long) }, count)
        end
        assert.equal(401, named(("\239\183\186"):rep(28)))
    end)

    it("is refused when it has too many values", function()
        local function with(count)
            return '{"username":"demo","password":"demo","more":[' .. ("1,"):rep(count) .. "1]}"
        end
        assert.same({ 200, 400, 400 }, { status(with(900)), status(with(1000)), status(with(30000)) })
    end)
end)

describe("a login that sets a cookie", function()
    local running

    setup(function() running = assert(auth.start(auth.directory(), SITE)) end)
    teardown(function() running:stop() end)

    local FOREIGN = {
        { { "Sec-Fetch-Site", "cross-site" } }, { { "Sec-Fetch-Site", "same-site" } },
        { { "Origin", "https://evil.example" } }, { { "Origin", "null" } }, { { "Referer", "https://evil.example/x" } },
        { { "Origin", "http://gateway.test" }, { "Sec-Fetch-Site", "cross-site" } },
    }
    local function login(path, headers)
        local all = { FORM, unpack(headers) }
        local options = { method = "POST", path = path, body = GOOD, headers = all }
        local response = http.request(running.port, options)
        return response.status, response.headers["set-cookie"], response.body
    end

    it("is refused from a page of another site", function()
        for _, headers in ipairs(FOREIGN) do
            local status, cookie, body = login("/login/cookie", headers)
            assert.same({ 403, nil }, { status, cookie }, headers[1][2])
            assert.equal("cross_site", cjson.decode(body).code)
        end
        local own = { {}, { { "Sec-Fetch-Site", "same-origin" } }, { { "Origin", "http://gateway.test" } } }
        for _, headers in ipairs(own) do
            local status, cookie = login("/login/cookie", headers)
            assert.equal(200, status)
            assert.is_truthy(cookie)
        end
    end)

    it("is accepted from a page of a listed origin", function()
        local headers = { { "Origin", "https://app.example.com" }, { "Sec-Fetch-Site", "same-site" } }
        assert.equal(200, (login("/login/shared", headers)))
        for _, foreign in ipairs(FOREIGN) do
            assert.equal(403, (login("/login/shared", foreign)))
        end
        assert.equal(403, (login("/login/shared", { { "Origin", "https://app.example.com.evil" } })))
        assert.equal(403, (login("/login/shared", { { "Sec-Fetch-Site", "cross-site" } })))
    end)

    it("alone checks the origin: a login without a cookie is accepted from every site", function()
        for _, headers in ipairs(FOREIGN) do
            assert.equal(200, (login("/login/free", headers)))
        end
    end)
end)
