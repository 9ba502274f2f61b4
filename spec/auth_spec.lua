-- route_native.auth beyond the example: token sources, rules, preflights, cookies, rate limits, HTTP/2, bad backends.

local auth = require "support.auth"
local cjson = require "cjson"
local process = require "support.process"

local SITE = [[
lua_shared_dict route_native_login 1m;
lua_shared_dict tight 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local file = ngx.config.prefix() .. "../keys/jwt_secret"
    guards = {
        everywhere = auth.prepare_check {
            secret_file = file, token = { "header", "header:X-Token", "cookie:session", "query:access_token" },
            headers = { ["X-User"] = "sub", ["X-Roles"] = "roles", ["X-Age"] = "age", ["X-Admin"] = "admin",
                ["X-Address"] = "address" },
            strip_token = true, realm = "demo",
        },
        ruled = auth.prepare_check {
            secret_file = file, cors_preflight = true, headers = { ["X-User"] = "sub" },
            require = { roles = { "admin", "owner" },
                age = function(age) return type(age) == "number" and age > 17 end },
        },
        scoped = auth.prepare_check { secret_file = file, scope = { "read", "write" } },
        keyless = { secret_file = ngx.config.prefix() .. "../keys/absent" },
    }
    local function login(more)
        local config = { backend = "/authenticate", secret_file = file, issuer = "spec", rate_limit = false }
        for name, value in pairs(more) do
            config[name] = value
        end
        return auth.prepare_login(config)
    end
    entrances = {
        cookie = login { cookie = { name = "session", same_site = "Strict" }, lifetime = 60 },
        limited = login { rate_limit = { dict = "tight", per_user = 3, per_address = 8, window = 60 } },
        small = login { max_body = 100 },
    }
    for _, name in ipairs { "list", "text", "twice", "empty", "large", "teapot", "down" } do
        entrances[name] = login { backend = "/backend/" .. name }
    end
}

server {
    include runtime/listen.conf;
    listen 127.0.0.1:%d http2;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    underscores_in_headers on;
    client_max_body_size 1m;
    client_body_buffer_size 1k;

    location ~ ^/guard/(?<guard>[a-z]+)$ {
        access_by_lua_block { require("route_native.auth").check(guards[ngx.var.guard]) }
        proxy_pass http://$auth_upstream;
    }
    location ~ ^/login/(?<entrance>[a-z]+)$ {
        content_by_lua_block { require("route_native.auth").login(entrances[ngx.var.entrance]) }
    }
    location = /authenticate { internal; proxy_pass http://$auth_backend/login; }
    location = /backend/list { internal; return 200 '[{"sub":"x"}]'; }
    location = /backend/text { internal; return 200 'welcome'; }
    location = /backend/twice { internal; return 200 '{"sub":"x","sub":"y"}'; }
    location = /backend/empty { internal; return 200 ''; }
    location = /backend/large { internal; content_by_lua_block { ngx.print('{"a":"', ("x"):rep(70000), '"}') } }
    location = /backend/teapot {
        internal;
        content_by_lua_block {
            ngx.status = 418
            ngx.header["WWW-Authenticate"] = "Basic"
            ngx.print("short and stout")
        }
    }
    location = /backend/down { internal; proxy_pass http://127.0.0.1:1; }
}
]]

local LOGIN = '{"username":"demo","password":"demo"}'

describe("route_native.auth", function()
    local running, http2_port

    local function minted(claims, secret)
        local all = { exp = os.time() + 300, sub = "ada" }
        for name, value in pairs(claims or {}) do
            all[name] = value
        end
        return auth.token(running.directory, all, secret)
    end

    local function get(path, ...)
        return running:request { path = path, headers = { ... } }
    end

    local function seen(response)
        assert.equal(200, response.status)
        return cjson.decode(response.body)
    end

    local function curl(arguments)
        local output, status = process.run("curl -sS --max-time 60 " .. arguments)
        assert.equal(0, status, output)
        return output
    end

    setup(function()
        http2_port = process.free_port()
        running = assert(auth.start(auth.directory(), SITE:format(http2_port)))
    end)
    teardown(function() running:stop() end)

    it("finds the token in a header, a cookie and the query, and passes the rest on", function()
        local token = minted()
        for _, headers in ipairs {
            { { "Authorization", "Bearer " .. token } }, { { "X-Token", token } },
            { { "Cookie", "a=1; session=" .. token .. "; b=2" } }, { { "Cookie", 'session="' .. token .. '"' } },
        } do
            local request = seen(get("/guard/everywhere?a=1", unpack(headers)))
            assert.equal("ada", request.headers["x-user"])
            assert.is_nil(cjson.encode(request):find(token, 1, true))
            assert.equal("/guard/everywhere?a=1", request.path)
            assert.equal(headers[1][2]:find("a=1", 1, true) and "a=1; b=2" or nil, request.headers.cookie)
        end
        local request = seen(get("/guard/everywhere?a=1&access_token=" .. token .. "&b=%20"))
        assert.same({ "ada", "/guard/everywhere?a=1&b=%20" }, { request.headers["x-user"], request.path })
        process.wait_until("the request was logged", function()
            return running:access_log():find('"args":"a=1&b=%20"', 1, true)
        end)
        assert.is_nil(running:access_log():find(token, 1, true))
    end)

    it("refuses two tokens in one place", function()
        local token = minted()
        assert.equal(401, get("/guard/everywhere?access_token=" .. token .. "&access_token=" .. token).status)
        assert.equal(401, get("/guard/everywhere", { "X-Token", token }, { "X-Token", token }).status)
        assert.equal('Bearer realm="demo", error="invalid_token"',
            get("/guard/everywhere?access_token=").headers["www-authenticate"])
        assert.equal('Bearer realm="demo"', get("/guard/everywhere").headers["www-authenticate"])
    end)

    it("tries each value of a cookie, and refuses two users", function()
        local ada, again, bob = minted(), minted { jti = "2" }, minted { sub = "bob" }
        local nobody, anybody = minted { sub = cjson.null, jti = "1" }, minted { sub = cjson.null, jti = "2" }
        local stale, forged = minted { exp = os.time() - 60 }, minted({}, ("x"):rep(32))
        local function status(...)
            local values = { ... }
            local response = get("/guard/everywhere", { "Cookie", "a=1; session=" .. table.concat(values,
                "; session=") .. "; b=2" })
            if response.status == 200 then
                local request = seen(response)
                assert.equal("a=1; b=2", request.headers.cookie)
                return request.headers["x-user"]
            end
            return response.status
        end
        for _, case in ipairs {
            { "ada", ada, ada }, { "ada", ada, '"' .. ada .. '"' }, { "ada", '"' .. ada .. '"' },
            { "ada", stale, ada }, { "ada", ada, stale }, { "ada", forged, "x", stale, ada }, { "ada", "", ada },
            { "ada", '""', ada }, { "ada", ada, again }, { "bob", "x.y.z", bob, bob, bob, bob, bob, bob, stale },
            { 401, ada, bob }, { 401, bob, stale, ada }, { 401, nobody, anybody }, { 401, stale, forged },
            { 401, "a", "b", "c", "d", ada }, { 401, '"' .. ada }, { 401, ada .. '"' }, { 401, "", "" },
            { 401, ada, '"' .. bob .. '"' },
        } do
            assert.equal(case[1], status(unpack(case, 2)), table.concat(case, " ", 2))
        end
    end)

    it("passes over a header of another scheme and an empty place, in every order of places", function()
        local token = minted()
        for _, none in ipairs { "Basic dTpw", "basic dTpw", "Bearer", "Bearer  ", " ",
            'Digest a="b", c', "Negotiate x" } do
            assert.equal("ada", seen(get("/guard/everywhere?access_token=" .. token,
                { "Authorization", none })).headers["x-user"], none)
            assert.equal("ada", seen(get("/guard/everywhere", { "Authorization", none },
                { "Cookie", "session=" .. token })).headers["x-user"], none)
            assert.equal("ada", seen(get("/guard/everywhere", { "Authorization", none }, { "X-Token", token }))
                .headers["x-user"], none)
            assert.equal(401, get("/guard/everywhere", { "Authorization", none }).status, none)
        end
        assert.equal("ada", seen(get("/guard/everywhere?access_token=" .. token, { "Cookie", "session=" }))
            .headers["x-user"])
        assert.equal('Bearer realm="demo"',
            get("/guard/everywhere", { "Authorization", "Basic dTpw" }).headers["www-authenticate"])
        -- A bad token decides: it is none of another scheme.
        for _, bad in ipairs { "Bearer x", "Bearer " .. token .. " x", token .. "x", "Negotiate" } do
            assert.equal(401, get("/guard/everywhere?access_token=" .. token, { "Authorization", bad }).status, bad)
        end
    end)

    it("encodes every kind of claim, and removes the client's headers in all spellings", function()
        local token = minted { roles = { "a,b", "c d" }, age = 42, admin = false, address = { city = "Ys" } }
        local headers = seen(get("/guard/everywhere", { "X-Token", token }, { "X_User", "root" }, { "x-User", "root" },
            { "X_Roles", "root" })).headers
        assert.same({ "ada", "a%2Cb,c%20d", "42", "false", '{"city":"Ys"}' }, { headers["x-user"], headers["x-roles"],
            headers["x-age"], headers["x-admin"], headers["x-address"] })
        assert.same({}, { headers["x_user"], headers["x_roles"] })
        assert.equal(403, get("/guard/everywhere", { "X-Token", minted { sub = ("x"):rep(8193) } }).status)
    end)

    it("passes a request that the rules allow, and answers 403 otherwise", function()
        local function status(claims)
            return get("/guard/ruled", { "Authorization", minted(claims) }).status
        end
        assert.equal(200, status { roles = "admin", age = 18 })
        assert.equal(200, status { roles = { "guest", "owner" }, age = 18 })
        for _, claims in ipairs {
            { age = 18 }, { roles = "guest", age = 18 }, { roles = "admin" }, { roles = "admin", age = 17 },
            { roles = "admin", age = "18" }, { roles = {}, age = 18 }, { roles = { admin = true }, age = 18 },
            { roles = cjson.null, age = 18 },
        } do
            assert.equal(403, status(claims), cjson.encode(claims))
        end
    end)

    it("requires every scope, in scope or in scp", function()
        local function status(claims)
            return get("/guard/scoped", { "Authorization", minted(claims) }).status
        end
        for _, claims in ipairs { { scope = "write read" }, { scp = { "read", "write" } }, { scope = "read",
            scp = "write" } } do
            assert.equal(200, status(claims), cjson.encode(claims))
        end
        for _, claims in ipairs { {}, { scope = "read" }, { scope = "readwrite" }, { scope = 7 }, { scp = { "read",
            1 } } } do
            assert.equal(403, status(claims), cjson.encode(claims))
        end
    end)

    it("passes a CORS preflight only with cors_preflight, without the client's claim headers", function()
        local preflight = { { "Origin", "https://o" }, { "Access-Control-Request-Method", "PUT" }, { "X-User",
            "root" } }
        local passed = running:request { method = "OPTIONS", path = "/guard/ruled", headers = preflight }
        assert.is_nil(seen(passed).headers["x-user"])
        assert.equal(401, running:request { method = "OPTIONS", path = "/guard/scoped", headers = preflight }.status)
        assert.equal(401, running:request { method = "OPTIONS", path = "/guard/ruled" }.status)
        assert.equal(401, running:request { path = "/guard/ruled", headers = preflight }.status)
    end)

    it("answers 503 while the keys cannot be read, and gives the reason only in the log", function()
        local response = get("/guard/keyless", { "Authorization", minted() })
        assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
        assert.is_nil(response.body:find("absent", 1, true))
        assert.is_truthy(running:error_log():find("keys/absent cannot be read", 1, true))
    end)

    it("sets the token as an HttpOnly, SameSite cookie", function()
        local response = auth.post(running, "/login/cookie", LOGIN)
        local token = cjson.decode(response.body).token
        assert.equal("session=" .. token .. "; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=60",
            response.headers["set-cookie"])
        assert.equal("demo", seen(get("/guard/everywhere", { "Cookie", "session=" .. token })).headers["x-user"])
    end)

    it("limits failed attempts per user name, known or not, and lets other users in", function()
        local function attempt(user, password)
            return auth.post(running, "/login/limited", cjson.encode { username = user, password = password })
        end
        for _ = 1, 5 do
            assert.equal(200, attempt("demo", "demo").status) -- a success is no failed attempt
        end
        for _, user in ipairs { "demo", "nobody" } do
            for _, spelling in ipairs { user, user:upper(), " " .. user } do
                assert.equal(401, attempt(spelling, "x").status)
            end
            local refused = attempt(user, user == "demo" and "demo" or "x")
            assert.equal(429, refused.status)
            local wait = tonumber(refused.headers["retry-after"])
            assert.is_true(wait > 0 and wait <= 60)
        end
    end)

    it("limits failed attempts per address, whatever the names", function()
        local statuses = {}
        for i = 1, 10 do
            statuses[i] = auth.post(running, "/login/limited", '{"username":"u' .. i .. '","password":"x"}').status
        end
        assert.equal(429, statuses[10])
        assert.equal(429, auth.post(running, "/login/limited", LOGIN).status)
    end)

    it("bounds and checks the body of the request", function()
        local function status(body, path)
            return auth.post(running, path or "/login/small", body).status
        end
        assert.equal(200, status(LOGIN))
        assert.equal(413, status('{"username":"demo","password":"' .. ("x"):rep(100) .. '"}'))
        assert.equal(413, status(("x"):rep(200000), "/login/cookie"))
        assert.equal(400, status('{"username":"demo","username":"root"}'))
        assert.equal(400, status('{"username":'))
        assert.equal(400, status("username=a&username=b"))
        for _, body in ipairs { "", "[]", '{"username":{}}', "\0\255", '"' } do
            assert.equal(400, status(body), body) -- the demo backend's own
        end
        local chunked = curl("-o /dev/null -w '%{http_code}' -H 'Transfer-Encoding: chunked' -H 'Content-Type: "
            .. "application/json' -d '" .. LOGIN .. "' http://127.0.0.1:" .. running.port .. "/login/cookie")
        assert.equal("200", chunked)
        local refused = get("/login/cookie")
        assert.same({ 405, "POST" }, { refused.status, refused.headers.allow })
    end)

    it("answers 502 when the backend's 200 cannot be signed", function()
        for _, backend in ipairs { "list", "text", "twice", "empty", "large", "down" } do
            assert.equal(502, auth.post(running, "/login/" .. backend, LOGIN).status, backend)
        end
    end)

    it("passes any other answer of the backend on", function()
        local response = auth.post(running, "/login/teapot", LOGIN)
        assert.same({ 418, "short and stout", "Basic" },
            { response.status, response.body, response.headers["www-authenticate"] })
    end)

    it("checks over HTTP/2 as over HTTP/1.1, and logs in there or answers 505", function()
        local token = minted()
        local url = " http://127.0.0.1:" .. http2_port
        local code = " -o /dev/null -w '%{http_version} %{http_code}' --http2-prior-knowledge "
        local bearer = "-H 'Authorization: Bearer "
        assert.equal("2 200", curl(code .. bearer .. token .. "'" .. url .. "/guard/everywhere"))
        assert.equal("2 401", curl(code .. bearer .. token .. "x'" .. url .. "/guard/everywhere"))
        assert.equal("2 403", curl(code .. bearer .. token .. "'" .. url .. "/guard/scoped"))
        assert.equal("2 200", curl(code .. url .. "/guard/everywhere?access_token=" .. token))
        assert.is_nil(running:access_log():find(token, 1, true))
        local answer = curl(code .. "-d '" .. LOGIN .. "'" .. url .. "/login/cookie")
        if answer == "2 505" then
            assert.is_truthy(running:error_log():find("login() over HTTP/2 needs lua-nginx-module 0.10.28", 1, true))
        else
            assert.equal("2 200", answer)
        end
    end)

    it("refuses a configuration with a mistake, in a sentence that names it", function()
        local mistakes = {
            ['prepare_check { secret_file = "x", polcy = {} }'] = 'there is no field "polcy"',
            ['prepare_check { kye = "x" }'] = 'there is no field "kye"',
            ['prepare_check {}'] = 'exactly one of "key", "key_file" and "secret_file" is needed',
            ['prepare_check { key = "short" }'] = "an HMAC secret of fewer than 32 bytes",
            ['prepare_check { secret_file = "x", policy = { isuer = "a" } }'] = 'there is no policy field "isuer"',
            ['prepare_check { key = ("k"):rep(32), policy = { algorithms = { "RS256", "ES256" } } }'] =
                'the policy field "algorithms" allows RS256, ES256, and the keys verify only HS256',
            ['prepare_check { key = { ("k"):rep(32), ("l"):rep(64) }, policy = require("route_native.jwt").policy { '
                .. 'algorithms = "RS256" } }'] =
                'the policy field "algorithms" allows RS256, and the keys verify only HS256, HS384, HS512',
            ['prepare_check { secret_file = "x", token = "body" }'] = 'and not "body"',
            ['prepare_check { secret_file = "x", headers = { Host = "sub" } }'] = 'cannot set a header "Host"',
            ['prepare_login { secret_file = "x", backend = "/b", issuer = "i" }']
                = "lua_shared_dict route_native_login is missing",
            ['prepare_login { secret_file = "x", backend = "/b", issuer = "i", rate_limit = false, '
                .. 'public_origins = "https://a.example/" }'] = '"public_origins" must be a list of origins such as',
            ['prepare_login { secret_file = "x", backend = "/b", rate_limit = false }']
                = 'the field "issuer" is missing',
            ['prepare_login { key = ("k"):rep(32), backend = "/b", issuer = "i", rate_limit = false, algorithm = "X" }']
                = '"X" is no algorithm',
        }
        for call, sentence in pairs(mistakes) do
            local site = 'init_by_lua_block { require("route_native.auth").' .. call .. " }\n"
            local started, message = auth.start(auth.directory(), site)
            assert.is_nil(started, call)
            assert.is_truthy(message:find(sentence, 1, true), message)
        end
    end)
end)
