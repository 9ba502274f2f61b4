-- Attacks on logins and checks: names that a backend treats as equal, ambiguous bodies, cookies and headers of every
-- shape. No attack may cause a 500 or pass.

local auth = require "support.auth"
local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"

local SITE = [[
lua_shared_dict tight 1m;
lua_shared_dict narrow 1m;
lua_shared_dict formal 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local file = ngx.config.prefix() .. "../keys/jwt_secret"
    local function login(limit, more)
        local config = { backend = "/authenticate", secret_file = file, issuer = "spec", rate_limit = limit }
        for name, value in pairs(more or {}) do config[name] = value end
        return auth.prepare_login(config)
    end
    entrances = {
        names = login { dict = "tight", per_user = 3, per_address = 1000, window = 600 },
        addresses = login { dict = "narrow", per_user = 3, per_address = 5, window = 600 },
        forms = login({ dict = "formal", per_user = 1000, per_address = 1000, window = 600 }),
        free = login(false),
    }
    for _, name in ipairs { "deep", "nothing", "created", "moved", "denied", "down", "array", "twice", "headers" } do
        entrances[name] = login(false, { backend = "/backend/" .. name })
    end
    guards = {
        plain = auth.prepare_check { secret_file = file, token = { "header", "cookie:session", "query:token" },
            headers = { ["X-User"] = "sub" }, strip_token = true },
        several = auth.prepare_check { secret_file = file, strip_token = true, cors_preflight = true,
            token = { "header:X-Token", "cookie:session", "cookie:other", "header" } },
        raising = auth.prepare_check { secret_file = file, require = { age = function(age) return age > 17 end } },
    }
}

server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    underscores_in_headers on;
    ignore_invalid_headers off;

    location ~ ^/guard/(?<guard>[a-z]+)$ {
        access_by_lua_block { require("route_native.auth").check(guards[ngx.var.guard]) }
        proxy_pass http://$auth_upstream;
    }
    location ~ ^/login/(?<entrance>[a-z]+)$ {
        content_by_lua_block { require("route_native.auth").login(entrances[ngx.var.entrance]) }
    }
    location = /under {
        content_by_lua_block {
            local dict, digest_of = ngx.shared.formal, require("route_native.core.login_body").digest_of
            local named = dict:get("u:" .. digest_of(ngx.var.arg_name))
            local nameless, names = dict:get("n:" .. ngx.var.binary_remote_addr), 0
            for _, key in ipairs(dict:get_keys(0)) do names = names + (key:sub(1, 2) == "u:" and 1 or 0) end
            ngx.print(named and "named" or nameless and "nameless" or names == 0 and "free" or "another")
            dict:flush_all()
        }
    }
    location = /counted { content_by_lua_block { ngx.print(#ngx.shared.narrow:get_keys(0)) } }
    location = /authenticate { internal; proxy_pass http://$auth_backend/login; }
    location = /backend/deep {
        internal;
        content_by_lua_block { ngx.print(('{"a":'):rep(5000), "1", ("}"):rep(5000)) }
    }
    location = /backend/array { internal; return 200 '[]'; }
    location = /backend/twice { internal; return 200 '{"a":{"sub":1,"sub":2}}'; }
    location = /backend/nothing { internal; return 204; }
    location = /backend/created { internal; return 201 '{"sub":"x"}'; }
    location = /backend/moved { internal; return 302 /elsewhere; }
    location = /backend/denied { internal; return 403; }
    location = /backend/down { internal; proxy_pass http://127.0.0.1:1; }
    location = /backend/headers {
        internal;
        content_by_lua_block {
            ngx.req.read_body()
            local body, headers = ngx.req.get_body_data(), ngx.req.get_headers()
            ngx.print(require("cjson").encode { sub = "x", headers = headers, body = body })
        }
    }
}
]]

describe("an attacker without a token", function()
    local running

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

    local function status_of(path, body, headers)
        return auth.post(running, path, body, headers).status
    end

    setup(function()
        running = assert(auth.start(auth.directory(), SITE))
    end)
    teardown(function()
        local log = running:error_log()
        running:stop()
        assert.is_nil(log:find("stack traceback", 1, true))
    end)

    it("has one limit for all spellings of a name", function()
        local function attempt(user)
            return status_of("/login/names", cjson.encode { username = user, password = "x" })
        end
        for _, spellings in ipairs {
            { "admin", "ADMIN", " admin\t", "àdmin", "ａｄｍｉｎ", "ad\194\173min", "admin\0", "\226\128\139admin" },
            { "7", 7, "７", " 7" },
            { "ada byron", "Ada  Byron", "ada\194\160 \tbyron", "ada \226\128\139 byron" },
            { "ada", "ada\239\191\185", "a\227\133\164da", "ad\240\157\133\179a" },
            { "straße", "STRASSE", "straẞe", "strasse" },
            { "νίκος", "ΝΙΚΟΣ", "νίκοσ", "νικος" }, { "søren", "SØREN", "Soren", "soren" },
        } do
            for i, spelling in ipairs(spellings) do
                -- The demo backend requires a string, and answers 400 to a number.
                local status = attempt(spelling)
                assert.equal(i > 3 and 429 or spelling == 7 and 400 or 401, status, spelling)
            end
        end
        assert.is_true(attempt("someone else") ~= 429)
    end)

    it("cannot try another name than the limit counts", function()
        local two = {
            '{"username":"a","USERNAME":"demo","password":"x"}', '{"username":"a","u\\u017fername":"demo"}',
            '{"username":"a","username":"demo"}', '{"username":"a","\\u0075sername":"demo"}',
            "\239\187\191{\"username\":\"demo\"}", ("{\"username\":\"demo\"}"):gsub(".", "%0\0"),
            ("{\"username\":\"demo\"}"):gsub(".", "\0%0"), ("a=1&"):rep(200) .. "username=demo",
        }
        local many = {}
        for i = 1, 150 do many[i] = '"' .. i .. '":1,' end
        two[#two + 1] = "{" .. table.concat(many) .. '"username":"demo"}'
        for _, body in ipairs(two) do
            assert.equal(400, status_of("/login/names", body), body:sub(1, 80))
        end
        -- This backend accepts every password.
        for _, value in ipairs { '["demo"]', '{"x":"demo"}', "true", "1.5", "9007199254740993", "1e300" } do
            assert.equal(400, status_of("/login/headers", '{"username":' .. value .. "}"), value)
        end
        for _, value in ipairs { '"demo"', "null", "7", "-0", "99999999999999" } do
            assert.equal(200, status_of("/login/headers", '{"username":' .. value .. "}"), value)
        end
    end)

    it("cannot send a body that the limit and the backend read as different types", function()
        local function post(body, ...)
            local types = {}
            for _, value in ipairs { ... } do types[#types + 1] = { "Content-Type", value } end
            local options = { method = "POST", path = "/login/forms", body = body, headers = types }
            local status = http.request(running.port, options).status
            -- The demo backend answers 400 too, but the limit has counted these attempts.
            local counted = http.request(running.port, { path = "/under?name=demo" }).body
            return status == 400 and counted == "free" and "refused"
        end
        local JSON, FORM = "application/json", "application/x-www-form-urlencoded"
        local hidden = '{"a":"&username=admin&password=guess&","username":"demo"}'
        local semicolon = '{"a":";username=admin;password=guess;","username":"demo"}'
        local unicode = '{"a":"&%u0075sername=admin&","username":"demo"}'
        for _, body in ipairs { hidden, semicolon, unicode } do
            for _, content_type in ipairs { FORM, JSON, "text/plain", "", "application/json; charset=utf-8" } do
                assert.equal("refused", post(body, content_type), content_type .. body)
            end
            assert.equal("refused", post(body), body)
        end
        for _, body in ipairs { "username=demo;username=admin", "a=1;username=admin&username=demo",
            "username=demo&username%00x=admin", "username=demo&username[]=admin", "username=demo&[username]=admin",
            "username=demo&Username=admin", "username=demo&u%73ername=admin", "username=demo&username=admin",
            "username=demo&+username=admin", "username=demo&%20%20username=admin", "username=demo&username%20=admin",
            "username=demo&%u0075sername=admin", "%u0075sername=admin", "username=%u0064emo", "username=demo&x=%",
            "username=demo&]username=admin", "username=demo&[]username=admin", "username=demo&%5D%5Busername=admin",
            "username=demo&model.Username=admin", "username=demo&model[username]=admin",
            "username=demo&a.b.username[]=x", "username=demo&!username=admin",
            "username=demo&" .. ("%CC%81"):rep(200) .. "x=admin" } do
            assert.equal("refused", post(body, FORM), body)
            assert.equal("refused", post(body), body)
        end
        for _, body in ipairs { "username=demo", '["username"]', '"&username=demo&"' } do
            assert.equal("refused", post(body, JSON), body)
            assert.equal("refused", post(body, "application/problem+json"), body)
        end
        assert.equal("refused", post('<a b="&username=demo&"/>', FORM))
        -- Rack reads a body without a type as a form, Ruby's JSON skips comments, and URLSearchParams skips a `?`.
        for _, body in ipairs { " username=demo", "\r\nusername=demo", '"&username=demo', "<&username=demo",
            ";username=demo", "--b\r\n\r\n&username=demo&\r\n--b--\r\n" } do
            assert.equal("refused", post(body), body)
        end
        for _, content_type in ipairs { "text/plain", "" } do
            assert.equal("refused", post('/**/{"username":"demo"}', content_type))
            assert.equal("refused", post(' //\n{"username":"demo"}', content_type))
            assert.equal("refused", post("?username=demo", content_type))
        end
        for _, content_type in ipairs { "application/json; charset=utf-7", "application/json;charset='UTF-16'", "json",
            "application/json, application/x-www-form-urlencoded", "multipart/form-data; boundary=x" } do
            assert.equal("refused", post('{"username":"demo"}', content_type), content_type)
        end
        assert.equal("refused", post('{"username":"demo"}', JSON, FORM))
        assert.equal("refused", post("username=%E9demo", FORM .. "; charset=iso-8859-1"))
    end)

    it("is limited by the name of an unambiguous body, and as nameless for a body without a name", function()
        local function counted_as(body, content_type)
            http.request(running.port, { method = "POST", path = "/login/forms", body = body,
                headers = { content_type and { "Content-Type", content_type } } })
            return http.request(running.port, { path = "/under?name=demo" }).body
        end
        local FORM = "application/x-www-form-urlencoded"
        local json, form = '{"username":"demo","password":"a&username;b=c"}', "username=demo&password=x"
        for _, content_type in ipairs { "application/json", "application/vnd.x+json; charset=UTF-8", "text/plain", FORM,
            FORM .. "; charset=ISO-8859-1", "" } do
            assert.equal("named", counted_as(json, content_type), content_type)
        end
        assert.equal("named", counted_as(json))
        assert.equal("named", counted_as(form, FORM))
        assert.equal("named", counted_as(form))
        for _, field in ipairs { "user[username]", "model.Username" } do
            assert.equal("named", counted_as(field .. "=demo&password=x", FORM), field)
        end
        local parts = '--b\r\n\r\n&username=demo&\r\n--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n'
            .. "admin\r\n--b--\r\n"
        assert.equal("nameless", counted_as(parts, "multipart/form-data; boundary=b"))
        assert.equal("nameless", counted_as("<username>demo</username>"))
        for _, content_type in ipairs { "text/xml", "text/plain" } do
            assert.equal("nameless", counted_as("<!--&username=demo&--><username>admin</username>", content_type))
            assert.equal("nameless", counted_as("a=<!--&username=demo&-->", content_type))
        end
    end)

    it("is limited by address when the body names no user", function()
        local last
        for i = 1, 8 do
            last = status_of("/login/addresses", i % 2 == 0 and '{"x":' .. i .. "}" or '{"user":"' .. i .. '"}')
        end
        assert.equal(429, last)
        -- A refused address adds no counters, so it cannot displace others in the dictionary.
        local before = http.request(running.port, { path = "/counted" }).body
        for i = 1, 20 do
            assert.equal(429, status_of("/login/addresses", '{"username":"n' .. i .. '"}'))
        end
        assert.equal(before, http.request(running.port, { path = "/counted" }).body)
    end)

    it("gets a documented answer for every body and method", function()
        for _, body in ipairs { "", "{", "{}", "[]", "null", "\255", "%", "=", "&", "username", "username=",
            '{"username":null}', '{"username":["demo"]}', '{"username":"\\ud800"}',
            ('{"a":'):rep(200) .. "1" .. ("}"):rep(200),
            '{"username":"' .. ("x"):rep(60000) .. '"}', '{"username":1e999}', ("["):rep(60000) } do
            local status = status_of("/login/names", body)
            assert.is_true(status == 400 or status == 401 or status == 429, body:sub(1, 40) .. " gave " .. status)
        end
        for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND" } do
            local response = http.request(running.port, { method = method, path = "/login/free" })
            assert.same({ 405, "POST" }, { response.status, response.headers.allow }, method)
        end
        local multipart = '--b\r\nContent-Disposition: form-data; name="username"\r\n\r\ndemo\r\n--b--\r\n'
        assert.equal(400, http.request(running.port, { method = "POST", path = "/login/free", body = multipart,
            headers = { { "Content-Type", "multipart/form-data; boundary=b" } } }).status)
    end)

    it("cannot change the backend's answer by request headers", function()
        local headers = { { "Expect", "100-continue" }, { "Accept-Encoding", "gzip" }, { "Range", "bytes=0-1" },
            { "If-None-Match", "*" }, { "X-Forwarded-For", "1.2.3.4" } }
        local response = auth.post(running, "/login/free", '{"username":"demo","password":"demo"}', headers)
        assert.equal(200, response.status)
        response = auth.post(running, "/login/headers", '{"username":"demo"}', headers)
        assert.equal(200, response.status)
        local payload = cjson.decode(response.body).token:match("%.(.-)%.")
        local python = "import base64,sys; print(base64.urlsafe_b64decode(sys.argv[1] + '===').decode())"
        local claims = cjson.decode((process.run("/usr/bin/python3 -c " .. process.quoted(python) .. " " .. payload)))
        assert.equal('{"username":"demo"}', claims.body)
        for _, name in ipairs { "accept-encoding", "range", "if-none-match" } do
            assert.is_nil(claims.headers[name])
        end
    end)

    it("gets no token for an answer of the backend that is no JSON object", function()
        local answers = { deep = 502, array = 502, twice = 502, nothing = 204, created = 201, moved = 302, denied = 403,
            down = 502 }
        for backend, status in pairs(answers) do
            local response = auth.post(running, "/login/" .. backend, "{}")
            assert.equal(status, response.status, backend)
            assert.is_nil(response.body:find("token", 1, true), backend)
        end
    end)

    it("passes no check by a malformed cookie or header", function()
        local token, forged = minted(), minted({}, ("f"):rep(32))
        local function cookie(text) return get("/guard/plain", { "Cookie", text }) end
        for _, text in ipairs {
            "session=" .. minted { sub = "eve" } .. "; session=" .. token,
            "session=" .. token .. "; session =" .. minted { sub = "eve" }, "session=" .. forged,
            'session="' .. token, "Session=" .. token, "session", "session=", "=" .. token,
            ";;;", "session=" .. token .. ",x", "xsession=" .. token,
            "session=\255\254",
            ("a=b; "):rep(3000), "$Version=1; session=" .. token .. "x",
        } do
            assert.equal(401, cookie(text).status, text:sub(1, 60))
        end
        local twice = { "Cookie", "session=" .. token }
        assert.equal(200, get("/guard/plain", twice, twice).status)
        for _, text in ipairs { twice[2], "session=" .. forged .. "; session=" .. token,
            "session=" .. token .. "; session =" .. forged, "session=" .. token .. "\t; session=",
            ' session = "' .. token .. '" ', "a=1; session=" .. token .. ";" } do
            local response = cookie(text)
            assert.equal(200, response.status, text:sub(1, 30))
            assert.is_nil(response.body:find(token, 1, true))
        end
        for _, value in ipairs { "Bearer", "Bearer ", "Bearer\t", "bearer " .. forged, "Bearer Bearer " .. token,
            "Token " .. token, token .. " " .. token, "Bearer " .. token .. ", Bearer " .. token, "Bearer=" .. token,
            "\255", ("a"):rep(30000), "Bearer " .. ("a."):rep(14000), "{", ("eyJhbGciOiJIUzI1NiJ9."):rep(1000) } do
            assert.equal(401, get("/guard/plain", { "Authorization", value }).status, value:sub(1, 40))
        end
        -- 64 KB: nginx itself refuses a header that exceeds its buffers.
        local large = get("/guard/plain", { "Authorization", "Bearer " .. ("a"):rep(65536) }).status
        assert.is_true(large == 400 or large == 401 or large == 431, large)
        assert.equal(401, get("/guard/plain?token=" .. forged .. "&a=b").status)
        assert.equal(401, get("/guard/plain?token=" .. token .. "&to%6ben=" .. token).status)
    end)

    it("passes no second token to the upstream, wherever it is", function()
        local token, second = minted(), minted { sub = "eve" }
        local function seen(...)
            local response = get("/guard/several", ...)
            assert.equal(200, response.status)
            assert.is_nil(response.body:find(second, 1, true))
            assert.is_nil(response.body:find(token, 1, true))
            return cjson.decode(response.body).headers.cookie
        end
        assert.is_nil(seen({ "X-Token", token }, { "Cookie", "session=" .. second }))
        assert.equal("a=1; b=2", seen({ "Cookie", "a=1; other=" .. second .. "; session=" .. token .. "; b=2" }))
        assert.is_nil(seen({ "Cookie", "session=" .. token }, { "Cookie", "other=" .. second },
            { "Authorization", "Bearer " .. second }))
        assert.equal("a=1", seen({ "X-Token", token }, { "Authorization", second }, { "Cookie", "a=1" }))
        local preflight = running:request { method = "OPTIONS", path = "/guard/several", headers = {
            { "Origin", "https://o" }, { "Access-Control-Request-Method", "PUT" },
            { "X-Token", token }, { "Cookie", "session=" .. second },
        } }
        assert.equal(200, preflight.status)
        assert.is_nil(preflight.body:find(token, 1, true) or preflight.body:find(second, 1, true))
    end)

    it("cannot forge a claim header, whatever its spelling", function()
        local response = get("/guard/plain", { "Authorization", minted { sub = "a\r\nX-User: root\0\226\128\168é" } },
            { "X-User", "root" }, { "x_user", "root" }, { "X-USER", "root" }, { "X_User", "root" })
        assert.equal(200, response.status)
        local headers = cjson.decode(response.body).headers
        assert.equal("a%0D%0AX-User:%20root%00%E2%80%A8%C3%A9", headers["x-user"])
        assert.is_nil(headers.x_user)
    end)

    it("gets a 403 when a rule raises an error", function()
        assert.equal(403, get("/guard/raising", { "Authorization", minted { age = "42" } }).status)
        assert.equal(403, get("/guard/raising", { "Authorization", minted() }).status)
        assert.equal(200, get("/guard/raising", { "Authorization", minted { age = 42 } }).status)
        assert.is_truthy(running:error_log():find("route_native.auth: a rule failed: ", 1, true))
    end)
end)
