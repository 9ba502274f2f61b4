-- Requests that nginx redirects internally run the access phase again: the second check sees what the first one left.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local phantom = require "support.phantom"
local process = require "support.process"

-- How a location sends a request to another one, after its own check.
local REDIRECTS = {
    try_files = "try_files /none %s;",
    named = "try_files /none @%s;",
    error_page = "error_page 404 = %s; try_files /none =404;",
    named_error_page = "error_page 404 = @%s; try_files /none =404;",
    exec = 'content_by_lua_block { collectgarbage() return ngx.exec("%s") }',
    named_exec = 'content_by_lua_block { collectgarbage() return ngx.exec("@%s") }',
}

-- A location of each redirect: `/NAME_FROM/REDIRECT` leads to the path or the named location of `to`.
local function redirects(name, directive, to)
    local locations = {}
    for redirect, how in pairs(REDIRECTS) do
        local target = how:find("@%s", 1, true) and to or "/" .. to
        locations[#locations + 1] = ("location = /%s/%s { %s %s }\n"):format(name, redirect, directive,
            how:format(target))
    end
    return table.concat(locations)
end

local GUARDS = [[
lua_shared_dict route_native_login 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local file = ngx.config.prefix() .. "../keys/jwt_secret"
    local function guard(more)
        local config = { secret_file = file, headers = { ["X-User"] = "sub" } }
        for name, value in pairs(more) do
            config[name] = value
        end
        return auth.prepare_check(config)
    end
    uses = 0
    guards = {
        header = guard { strip_token = true },
        cookie = guard { token = "cookie:session", strip_token = true },
        query = guard { token = "query:access_token" },
        everywhere = guard { token = { "header", "cookie:session", "query:access_token" }, strip_token = true },
        overwritten = guard { token = "header:X-User" },
        once = guard { require = { sub = function() uses = uses + 1 return uses == 1 end } },
        preflight = guard { cors_preflight = true },
        scoped = guard { token = { "header", "query:access_token" }, scope = "write" },
    }
    guards.other = auth.prepare_check { key = ("another-secret"):rep(4) }
}
]]

local function check(name)
    return ('access_by_lua_block { require("route_native.auth").check(guards.%s) }'):format(name)
end

describe("a request that is redirected internally", function()
    local running, directory, minted

    -- From which guard to which.
    local PATHS = {
        header_header = { "header", "header" }, cookie_cookie = { "cookie", "cookie" },
        query_query = { "query", "query" }, everywhere_everywhere = { "everywhere", "everywhere" },
        overwritten_overwritten = { "overwritten", "overwritten" }, once_once = { "once", "once" },
        header_scoped = { "header", "scoped" }, query_scoped = { "query", "scoped" },
        header_other = { "header", "other" }, query_header = { "query", "header" },
        cookie_header = { "cookie", "header" }, header_everywhere = { "header", "everywhere" },
        preflight_preflight = { "preflight", "preflight" },
        open_header = { false, "header" },
    }

    setup(function()
        directory = auth.directory()
        local output, status = process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            .. "-days 2 -subj /CN=gateway.test -keyout %s/key.pem -out %s/cert.pem"):format(directory, directory))
        assert(status == 0, output)
        process.run("mkdir -p " .. directory .. "/docs")
        process.write(directory .. "/docs/index.html", "the docs")
        minted = auth.token(directory, { exp = os.time() + 300, sub = "ada" })
        running = assert(auth.start(directory, function(environment)
            -- One worker: its memory is used again at once.
            environment.ROUTE_WORKERS = 1
            local site, targets = {}, {}
            for name, guards in pairs(PATHS) do
                site[#site + 1] = redirects(name, guards[1] and check(guards[1]) or "", "to_" .. guards[2])
                targets[guards[2]] = true
            end
            for guard in pairs(targets) do
                for _, at in ipairs { "= /", "@" } do
                    site[#site + 1] = ("location %sto_%s { %s proxy_pass http://$auth_upstream; }\n")
                        :format(at, guard, check(guard))
                end
            end
            return GUARDS .. [[
server {
    include runtime/listen.conf;
    listen unix:]] .. directory .. [[/tls ssl http2;
    ssl_certificate ]] .. directory .. [[/cert.pem;
    ssl_certificate_key ]] .. directory .. [[/key.pem;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    location /docs/ {
        ]] .. check("everywhere") .. "\n" .. [[
        root ]] .. directory .. [[;
        index index.html;
    }
    location = /uses { content_by_lua_block { ngx.print(uses) uses = 0 } }
]] .. table.concat(site) .. "}\n"
        end))
    end)
    teardown(function() running:stop() end)

    local IN = {
        header = function(path, token)
            return { path = path, headers = { { "Authorization", "Bearer " .. token } } }
        end,
        user = function(path, token) return { path = path, headers = { { "X-User", token } } } end,
        cookie = function(path, token) return { path = path, headers = { { "Cookie", "a=1; session=" .. token } } } end,
        query = function(path, token) return { path = path .. "?a=1&access_token=" .. token } end,
    }

    -- { guards, where the token is, status }
    local CASES = {
        { "header_header", "header", 200 }, { "cookie_cookie", "cookie", 200 }, { "query_query", "query", 200 },
        { "everywhere_everywhere", "header", 200 }, { "everywhere_everywhere", "cookie", 200 },
        { "everywhere_everywhere", "query", 200 }, { "overwritten_overwritten", "user", 200 },
        { "once_once", "header", 200 }, { "header_everywhere", "header", 200 },
        { "header_scoped", "header", 403 }, { "query_scoped", "query", 403 }, { "header_other", "header", 401 },
        { "query_header", "query", 401 }, { "cookie_header", "cookie", 401 },
        { "open_header", "header", 200 }, { "open_header", "query", 401 },
    }

    for redirect in pairs(REDIRECTS) do
        it("is checked as it came by " .. redirect, function()
            for _, case in ipairs(CASES) do
                local guards, place, status = unpack(case)
                running:request { path = "/uses" }
                local response = running:request(IN[place](("/%s/%s"):format(guards, redirect), minted))
                assert.equal(status, response.status, ("%s, token in %s"):format(guards, place))
                if status == 200 then
                    local seen = cjson.decode(response.body)
                    assert.equal("ada", seen.headers["x-user"])
                    if guards ~= "once_once" then
                        assert.is_nil(response.body:find(minted, 1, true))
                    end
                end
            end
        end)
    end

    it("is checked as it came by index", function()
        for place, of in pairs(IN) do
            if place ~= "user" then
                local response = running:request(of("/docs/", minted))
                assert.same({ 200, "the docs" }, { response.status, response.body }, place)
            end
        end
        assert.equal(401, running:request { path = "/docs/" }.status)
    end)

    it("needs a token for the GET that error_page makes of a CORS preflight", function()
        for redirect in pairs(REDIRECTS) do
            local response = running:request { method = "OPTIONS", path = "/preflight_preflight/" .. redirect,
                headers = { { "Origin", "https://o" }, { "Access-Control-Request-Method", "PUT" } } }
            assert.equal(redirect == "error_page" and 401 or 200, response.status, redirect)
        end
    end)

    it("gains nothing from a request before it", function()
        -- The memory of a request is used again by the next one of its connection.
        local socket = require("support.http").connect(running.port)
        local http = require "support.http"
        for _ = 1, 50 do
            for _, redirect in ipairs { "exec", "try_files", "named" } do
                for _, request in ipairs { { "header_header", "Authorization: Bearer " .. minted .. "\r\n", 200 },
                    { "open_header", "", 401 } } do
                    socket:send(("GET /%s/%s HTTP/1.1\r\nHost: x\r\n%s\r\n"):format(request[1], redirect, request[2]))
                    assert.equal(request[3], http.read_response(socket, "GET").status)
                end
            end
        end
        socket:close()
    end)

    it("gains nothing from another stream of its HTTP/2 connection", function()
        local urls = {}
        for i = 1, 60 do
            local redirect = ({ "exec", "try_files", "named" })[i % 3 + 1]
            for _, query in ipairs { "?access_token=" .. minted, "" } do
                urls[#urls + 1] = ("https://gateway.test/query_query/%s%s"):format(redirect, query)
            end
        end
        local output, status = process.run(("curl -sSk --http2 --unix-socket %s/tls "):format(directory)
            .. "-w '\\n%{http_code} %{num_connects}\\n' " .. table.concat(urls, " "))
        assert.equal(0, status, output)
        local answers, connections = {}, 0
        for code, connects in output:gmatch("\n(%d+) (%d)\n") do
            answers[#answers + 1], connections = code, connections + connects
        end
        assert.equal(("200 401 "):rep(60), table.concat(answers, " ") .. " ")
        assert.equal(1, connections)
    end)
end)

describe("a request with an opaque token that is redirected internally", function()
    local running

    local function location(server, name, fields, more)
        return ([[rewrite_by_lua_block { require("route_native.phantom_token").run {
            introspection_endpoint = "http://127.0.0.1:%d/introspect", client_id = "c", client_secret = "s", %s } }
            set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
            proxy_http_version 1.1; %s]]):format(server.port, fields, more or ""), "to_" .. name
    end

    local FIELDS = {
        plain = "", none = "token_cache_seconds = 0", headers = 'headers = { ["X-User"] = "sub" }',
        scoped = 'scope = "write"', other = 'client_id = "another"', variable = "",
    }
    local PATHS = {
        plain_plain = { "plain", "plain" }, none_none = { "none", "none" }, headers_headers = { "headers", "headers" },
        plain_headers = { "plain", "headers" }, headers_plain = { "headers", "plain" },
        plain_scoped = { "plain", "scoped" }, variable_variable = { "variable", "variable" },
        plain_variable = { "plain", "variable" }, variable_plain = { "variable", "plain" },
        open_plain = { false, "plain" },
    }

    setup(function()
        running = phantom.start { locations = {}, site = function(self)
            local site = {}
            local function directive(guard)
                return guard and location(self.server, guard, FIELDS[guard],
                    guard == "variable" and "include phantom_proxy.conf;" or "") or ""
            end
            local targets = {}
            for name, guards in pairs(PATHS) do
                site[#site + 1] = redirects(name, directive(guards[1]), "to_" .. guards[2])
                targets[guards[2]] = true
            end
            for guard in pairs(targets) do
                for _, at in ipairs { "= /", "@" } do
                    site[#site + 1] = ("location %sto_%s { %s proxy_pass http://127.0.0.1:$file_service_tcp_port; }\n")
                        :format(at, guard, directive(guard))
                end
            end
            -- A check in the same location: of the JWT that the opaque token was exchanged for.
            site[#site + 1] = "location = /checked { " .. directive("plain") .. [[
                access_by_lua_block {
                    local claims = require("route_native.auth").check {
                        key = require("cjson").encode { kty = "oct", k = ("A"):rep(64) }, token = "header" }
                }
                proxy_pass http://127.0.0.1:$file_service_tcp_port; }
            ]]
            return table.concat(site)
        end }
    end)
    teardown(function() running:stop() end)

    it("is checked as the JWT that it was exchanged for", function()
        local token = phantom.token({ kind = "jwt", claims = { sub = "ada" } }, "checked")
        running:get("/checked", token)
        -- Another key signed it, which an opaque token would never tell.
        local line = process.wait_until("the log told of the request", function()
            return running.gate:access_log():match('[^\n]*"path":"/checked"[^\n]*')
        end)
        assert.truthy(line:find('"reason":"algorithm_not_allowed"', 1, true), line)
    end)

    local CASES = {
        plain_plain = 200, none_none = 200, headers_headers = 200, plain_headers = 200, headers_plain = 200,
        plain_scoped = 403, variable_variable = 200, plain_variable = 200, variable_plain = 200, open_plain = 200,
    }

    for redirect in pairs(REDIRECTS) do
        it("is exchanged once by " .. redirect, function()
            for path, status in pairs(CASES) do
                local token = phantom.token({ kind = "jwt", claims = { sub = "ada", scope = "read" } },
                    path .. redirect)
                local before = #running:asked()
                local response = running:get(("/%s/%s"):format(path, redirect), token)
                assert.equal(status, response.status, path .. " " .. response.body)
                local first, second = path:match("(%w+)_(%w+)")
                local questions = #running:asked() - before
                if first == second or first == "open" then
                    assert.equal(1, questions, path)
                end
                if status == 200 then
                    local headers = cjson.decode(response.body).headers
                    assert.equal(path:find("headers", 1, true) and "ada" or nil, headers["x-user"])
                    assert.equal(second ~= "headers", headers.authorization ~= nil and headers.authorization ~= "")
                    assert.is_nil(response.body:find(token, 1, true), path .. response.body)
                end
            end
            -- What the first check wrote is no token of the client.
            local token = phantom.token({ kind = "jwt", claims = { sub = "ada" } }, "jwt" .. redirect)
            local jwt = cjson.decode(running:get("/plain_plain/" .. redirect, token).body).headers.authorization
            assert.equal(401, running:get("/open_plain/" .. redirect, jwt:match("^Bearer (.+)$")).status)
        end)
    end
end)

describe("a request for a desktop that is redirected internally", function()
    local running

    setup(function()
        local redirect_locations = {}
        for name, how in pairs(REDIRECTS) do
            redirect_locations[#redirect_locations + 1] = ([[location = /from/%s {
                include desktop.conf; %s }]]):format(name, how:format(how:find("@%s", 1, true) and "to" or "/filer/to"))
        end
        redirect_locations[#redirect_locations + 1] = [[
            location = /from/query { include desktop.conf; try_files /none /filer/to$is_args$args; }
            location = /websockify/from { include desktop.conf; try_files /none /filer/to$is_args$args; }
            location @to {
                set $desktop_port $file_service_tcp_port;
                include desktop.conf;
                include proxy.conf;
                proxy_pass http://$desktop$route_uri;
            }
        ]]
        local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
            :gsub("include route.conf;", function(line) return line .. table.concat(redirect_locations, "\n") end)
        local directory = process.temporary_directory()
        process.write(directory .. "/site.conf", site)
        running = assert(gateway.start { directory = directory, env = { SITE = directory .. "/site.conf" } })
    end)
    teardown(function() running:stop() end)

    it("reaches its desktop, wherever its token came from", function()
        local token = running:mint("127.0.0.1")
        local names = { "query" }
        for name in pairs(REDIRECTS) do
            names[#names + 1] = name
        end
        for _, name in ipairs(names) do
            assert.equal(200, running:get("/from/" .. name, token).status, name)
            local response = running:request { path = "/from/" .. name .. "?a=1&jwt_token=" .. token }
            assert.equal(200, response.status, name)
            assert.is_nil(response.body:find("*", 1, true), name)
            assert.is_nil(response.body:find("jwt_token", 1, true), name)
            assert.equal(401, running:request { path = "/from/" .. name .. "?a=1" }.status, name)
            assert.equal(401, running:request { path = "/from/" .. name .. "?jwt_token=" .. token .. "&jwt_token="
                .. token }.status, name)
        end
        local bare = running:request { path = "/websockify/from?" .. token }
        assert.equal(200, bare.status)
        assert.equal("/filer/to", cjson.decode(bare.body).path)
        assert.is_nil((running:access_log() .. running:error_log()):find(token:sub(-30), 1, true))
    end)
end)
