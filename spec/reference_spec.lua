-- The reference's two programs and their locations as printed, with typeset quotes and dashes. They run with only the
-- `require` changed.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

-- luacheck: push no max line length
local CHECK_TOKEN = [[
local jwt = require "resty.jwt"
local authentication_token = ngx.var.http_authorization
local secret = require “jwt-secret"

if jwt:verify(secret, authentication_token).valid ~= true then
    return ngx.exit(ngx.HTTP_FORBIDDEN)
end
]]

local AUTHENTICATOR = [[
local jwt = require “resty.jwt" — jwt module for lua
local secret = require “jwt-secret" — the file containing the secret key
local authenticator = “/authenticate" — the path of the location to evaluate, one that's defined inside the Nginx configuration
local json = require ‘cjson' — a JSON module to decode upcoming response from the application and convert it to a Lua table

ngx.req.read_body() — In order to pass the body, we should tell the nginx to read it
local request_options = {}
request_options["method"] = ngx.HTTP_POST — change it to whatever method your upstream is listening to
request_options["always_forward_body"] = true — it’s necessary to pass the body of request to the application
local res = ngx.location.capture(
    authenticator,
    request_options
) — and finally, we capture the result and save it inside a variable

if res.status ~= 200 then
    ngx.status = res.status
    return ngx.say(res.body)
 else
    local resp_data = json.decode(res.body)
    local jwt_token = jwt:sign(
        secret,
        {
            header={typ="JWT", alg="HS256"},
            payload=resp_data
        }
    )
    local response = {token = jwt_token}
    return ngx.say(json.encode(response))
end
]]

-- luacheck: pop
local LOCATIONS = [[
location = /check {
    access_by_lua_file check-token.lua;
    content_by_lua '
        ngx.say("hello world !")
    ';
}
location = /login {
       rewrite_by_lua_file authenticator.lua;
    }
 location = /authenticate {
        internal;
        proxy_pass http://flask-app:5000/login;
        proxy_intercept_errors on;
    }
]]

local SITE = [[
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
%s}
]]

local SECRET = "not-so-secret" -- short, as such programs have them
local LOGIN = '{"username":"demo","password":"demo"}'

-- Replaces typeset quotes and dashes by those of Lua.
local function plain(text)
    return (text:gsub("“", '"'):gsub("‘", "'"):gsub("’", "'"):gsub("—", "--"))
end

-- Changes the `require`.
local function ported(program)
    local changed, count = plain(program):gsub('"resty%.jwt"', '"route_native.resty_jwt"')
    assert(count == 1)
    return changed
end

-- Returns a program without comments, blanks and line breaks, with quotes of one kind.
local function tokens(program)
    return (program:gsub("%-%-[^\n]*", ""):gsub(",(%s*})", "%1"):gsub("%s+", ""):gsub("'", '"'))
end

describe("the reference's programs", function()
    local running

    local function check(authorization)
        local headers = authorization and { { "Authorization", authorization } }
        local response = running:request { path = "/check", headers = headers }
        return response.status, response.body
    end

    local function login(body)
        return auth.post(running, "/login", body)
    end

    setup(function()
        local directory = auth.directory()
        process.run("mkdir " .. directory .. "/etc")
        process.write(directory .. "/etc/check-token.lua", ported(CHECK_TOKEN))
        process.write(directory .. "/etc/authenticator.lua", ported(AUTHENTICATOR))
        process.write(directory .. "/jwt-secret.lua", ("return %q\n"):format(SECRET))
        running = assert(auth.start(directory, function(environment)
            environment.ROUTE_LUA_PATH = gateway.ROOT .. "/lua/?.lua;" .. directory .. "/?.lua"
            return SITE:format((LOCATIONS:gsub("flask%-app:5000", environment.ROUTE_AUTH_BACKEND)))
        end))
    end)
    teardown(function() running:stop() end)

    it("log in, and accept the token, raw or as Bearer", function()
        local response = login(LOGIN)
        assert.equal(200, response.status)
        local token = cjson.decode(response.body).token
        for _, authorization in ipairs { token, "Bearer " .. token, "bearer " .. token } do
            assert.same({ 200, "hello world !\n" }, { check(authorization) }, authorization)
        end
        local python = ('import jwt; print(jwt.decode(%q, %q, algorithms=["HS256"])["sub"])'):format(token, SECRET)
        assert.equal("demo\n", (process.run("/usr/bin/python3 -W ignore -c " .. process.quoted(python))))
    end)

    it("refuse every invalid token with 403", function()
        local token = cjson.decode(login(LOGIN).body).token
        local header, payload, signature = token:match("^(.-)%.(.-)%.(.-)$")
        local root = payload:gsub("^.", function(first) return first == "e" and "f" or "e" end)
        local good = { sub = "ada", exp = os.time() + 60 }
        for _, authorization in ipairs {
            token:sub(1, -2), token .. "A", header .. "." .. root .. "." .. signature, header .. "." .. payload .. ".",
            "eyJhbGciOiJub25lIn0." .. payload .. ".", "Bearer", "Bearer x", "Basic eDp5", "a.b.c", ("a"):rep(20000),
            auth.token(running.directory, good, ("x"):rep(32)),
            auth.token(running.directory, { exp = os.time() - 60 }, SECRET),
            auth.token(running.directory, { exp = "never" }, SECRET),
            auth.token(running.directory, { nbf = 4e9 }, SECRET),
        } do
            assert.equal(403, (check(authorization)), authorization)
        end
        assert.equal(200, (check(auth.token(running.directory, good, SECRET))))
        assert.equal(403, (check()))
        assert.equal(403, (check("")))
    end)

    it("pass a refusal of the application on", function()
        local refused = login('{"username":"demo","password":"wrong"}')
        assert.same({ 401, '{"error":"wrong_username_or_password"}\n' }, { refused.status, refused.body })
        assert.equal(400, login("").status)
    end)

    it("are the same as in the example", function()
        for name, program in pairs { ["check-token.lua"] = CHECK_TOKEN, ["authenticator.lua"] = AUTHENTICATOR } do
            local shipped = process.read(gateway.ROOT .. "/examples/auth/" .. name)
            assert.equal(tokens(ported(program)), tokens(shipped))
        end
        local function statements(text) return (text:gsub("#[^\n]*", ""):gsub("%s+", " ")) end
        local shipped = statements(process.read(gateway.ROOT .. "/examples/auth/site.conf"))
            :gsub(" set_by_lua_block %$http1_only %b{}", ""):gsub(" if %(%$http1_only%) %b{}", "")
        local expected = LOCATIONS:gsub("check%-token", "examples/auth/check-token")
            :gsub("authenticator%.lua", "examples/auth/authenticator.lua"):gsub("flask%-app:5000", "$auth_backend")
            :gsub("= /login {", "= /reference/login {")
        for location in expected:gmatch("location.-\n *}\n") do
            local wanted = statements(location):gsub(" $", "")
            assert.is_truthy(shipped:find(wanted, 1, true), wanted)
        end
    end)
end)

-- Locations in the form of the reference's route.conf: each says where its token is, and resolves it in the rewrite
-- phase.
local ROUTES = [[
lua_shared_dict targetmap 8m;
init_by_lua_block { require("route_native").setup() }
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    location = /websockify {
        set $jwt_token $args;
        if ($arg_jwt_token) {
            set $jwt_token $arg_jwt_token;
        }
        set $target '';
        rewrite_by_lua_file get.targetmap.lua;
        proxy_pass http://$target:$file_service_tcp_port/;
    }
    location /filer {
        set $jwt_token $http_abcauthorization;
        set $target '';
        rewrite_by_lua_file get.targetmap.lua;
        proxy_pass http://$target:$file_service_tcp_port;
    }
    location /cookie {
        set $jwt_token $cookie_x;
        set $target '';
        rewrite_by_lua_file get.targetmap.lua;
        proxy_pass http://$target:$file_service_tcp_port;
    }
    location ~ ^/path/([^/]+)/(.*) {
        set $jwt_token $1;
        set $target '';
        rewrite_by_lua_file get.targetmap.lua;
        proxy_pass http://$target:$file_service_tcp_port/$2;
    }
}
]]

describe("the reference's site with get.targetmap.lua replaced", function()
    local running, token, other

    setup(function()
        running = assert(gateway.start { prepare = function(started)
            process.write(started.directory .. "/site.conf", ROUTES)
            started.environment.SITE = started.directory .. "/site.conf"
        end })
        token, other = running:mint("127.0.0.1"), running:mint("127.0.0.2")
    end)
    teardown(function() running:stop() end)

    local function ask(path, headers)
        local response = running:request { path = path, headers = headers }
        return response.status, response.status == 200 and cjson.decode(response.body).path or nil
    end

    it("finds the token where each location says", function()
        for _ = 1, 2 do
            assert.same({ 200, "/" }, { ask("/websockify?" .. token) })
            assert.same({ 200, "/" }, { ask("/websockify?a=1&jwt_token=" .. token) })
            assert.same({ 200, "/filer/x?a=1" }, { ask("/filer/x?a=1", { { "AbcAuthorization", token } }) })
            assert.same({ 200, "/filer/x" }, { ask("/filer/x", { { "AbcAuthorization", "bearer " .. token } }) })
            assert.same({ 200, "/cookie" }, { ask("/cookie", { { "Cookie", "a=b; x=" .. token } }) })
            assert.same({ 200, "/y" }, { ask("/path/" .. token .. "/y") })
        end
    end)

    it("takes the variable before the headers, and the headers where it is empty", function()
        local header = { "Authorization", "Bearer " .. other }
        assert.same({ 401 }, { ask("/cookie", { { "Cookie", "x=nonsense" }, header }) })
        assert.same({ 200, "/cookie" }, { ask("/cookie", { header }) })
    end)

    it("refuses what is no valid token", function()
        for _, value in ipairs { token .. "x", "x", "a.b.c", "Bearer", "Bearer ", ("a"):rep(20000) } do
            assert.equal(401, (ask("/cookie", { { "Cookie", "x=" .. value } })), value)
        end
        for _, path in ipairs { "/websockify", "/websockify?x", "/filer/x", "/cookie", "/path/x/y" } do
            assert.equal(401, (ask(path)), path)
        end
    end)
end)
