-- Forward authentication: a second real nginx without Lua (auth_request) and Caddy ask the gateway whether a request
-- may pass, and tell an API what the gateway says about the user.

local auth = require "support.auth"
local border = require "support.border"
local gateway = require "support.gateway"
local http = require "support.http"
local oidc = require "support.oidc"
local process = require "support.process"
local token = require "support.token"

local NGINX = [[
daemon off;
pid DIR/nginx.pid;
error_log DIR/error.log;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u;
    scgi_temp_path DIR/s;
    server {
        listen 127.0.0.1:PORT;
        location = /.auth {
            internal;
            proxy_pass http://127.0.0.1:GATE/auth;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
            proxy_set_header X-Original-Method $request_method;
        }
        location / {
            auth_request /.auth;
            auth_request_set $user $upstream_http_x_auth_user;
            auth_request_set $login $upstream_http_x_auth_redirect;
            error_page 401 = @login;
            proxy_set_header X-Auth-User  $user;
            proxy_set_header X-Auth-Email "";
            proxy_pass http://127.0.0.1:API;
        }
        location @login {
            if ($login = "") { return 401; }
            return 302 $login;
        }
    }
}
]]

local CADDY = [[
{
    admin off
    auto_https off
}
http://127.0.0.1:PORT {
    bind 127.0.0.1
    route {
        request_header -X-Auth-User
        request_header -X-Auth-Email
        forward_auth 127.0.0.1:GATE {
            uri /auth
            copy_headers X-Auth-User
        }
        reverse_proxy 127.0.0.1:API
    }
}
]]

-- Starts a proxy in front of an API. Returns { port, pid, origin }.
local function start_proxy(kind, directory, port, gate, api)
    local values = { DIR = directory, PORT = port, GATE = gate, API = api }
    local text = (kind == "nginx" and NGINX or CADDY):gsub("%f[%w]%u%u%u%u?%f[%W]", values)
    local path = directory .. "/" .. kind .. ".conf"
    process.write(path, text)
    local command = kind == "nginx" and "nginx -e " .. directory .. "/start.log -c " .. path
        or ("env HOME=%s XDG_CONFIG_HOME=%s XDG_DATA_HOME=%s caddy run --adapter caddyfile --config %s")
            :format(directory, directory, directory, path)
    local pid = process.start(command, directory .. "/" .. kind .. ".log")
    process.wait_until(kind .. " listened", function()
        return process.accepts(port) or not process.alive(pid)
    end)
    assert(process.alive(pid), process.read(directory .. "/" .. kind .. ".log"))
    return { port = port, pid = pid, origin = "http://127.0.0.1:" .. port }
end

for _, kind in ipairs { "nginx", "caddy" } do
    describe("with " .. kind .. " in front of an API", function()
        local running, proxy, directory

        setup(function()
            directory = process.temporary_directory()
            local port = process.free_port()
            running = assert(oidc.start { env = { ROUTE_TRUSTED_PROXIES = "127.0.0.1" }, settings = function(self)
                return { public_url = "http://127.0.0.1:" .. self.planned_port,
                    return_origins = { "http://127.0.0.1:" .. port },
                    policies = { default = { headers = { ["X-Auth-User"] = "sub", ["X-Auth-Email"] = "no_claim" } } } }
            end })
            proxy = start_proxy(kind, directory, port, running.port, running.api_port)
        end)
        teardown(function()
            process.stop(proxy.pid)
            running:stop()
            process.run("rm -rf " .. directory)
        end)

        it("a page goes to the login, a script gets 401, and the API learns the user", function()
            local one = running:browser()
            local response = one:visit(proxy.origin .. "/page?x=1")
            assert.equal(302, response.status)
            assert.equal(1, (response.location:find(running.origin .. "/oidc/login?return=", 1, true)))
            assert.equal(401, one:fetch(proxy.origin .. "/data").status)
            assert.equal(proxy.origin .. "/page?x=1", one:login(response.location).location)
            local received = oidc.received(one:fetch(proxy.origin .. "/page?x=1", { headers = {
                { "X-Auth-User", "admin" }, { "X-Auth-Email", "admin@example.com" } } }))
            assert.same({ "demo", "/page?x=1" }, { received.headers["x-auth-user"], received.url })
            assert.is_nil(received.headers["x-auth-email"])
        end)

        it("a form of a user without a session is a 401, and no redirect", function()
            local response = running:browser():fetch(proxy.origin .. "/save", {
                form = "a=b", headers = { { "Accept", "text/html" } } })
            assert.equal(401, response.status)
        end)

        it("a logout ends what the proxy lets pass", function()
            local one = running:logged_in()
            assert.equal(200, one:fetch(proxy.origin .. "/x").status)
            one:visit("/logout")
            assert.equal(401, one:fetch(proxy.origin .. "/x").status)
        end)
    end)
end

describe("forward authentication", function()
    local running, trusting

    setup(function()
        running = assert(oidc.start())
        trusting = assert(oidc.start { beside = running, env = { ROUTE_TRUSTED_PROXIES = "127.0.0.1" },
            settings = function()
                return { return_origins = "https://app.test", public_url = "https://login.test" }
            end })
    end)
    teardown(function()
        trusting:stop()
        running:stop()
    end)

    local PAGE = { "Accept", "text/html" }

    it("answers 202 with the headers of the policy, and none for claims that are absent", function()
        local one = running:logged_in()
        local response = one:get("/auth")
        assert.equal(202, response.status)
        assert.same({ "demo", "demo@example.com", "no-store" }, { response.headers["x-auth-user"],
            response.headers["x-auth-email"], response.headers["cache-control"] })
        assert.truthy(response.headers.authorization:find("^Bearer %S+$"))
    end)

    it("decides by nothing that the request says about another one", function()
        for _, one in ipairs { running, trusting } do
            for _, name in ipairs { "X-Forwarded-Uri", "X-Original-URL", "X-Original-URI", "X-Auth-User",
                "X-Forwarded-User", "X-Forwarded-Method" } do
                local response = http.request(one.port, { path = "/auth", headers = {
                    { "Host", "127.0.0.1:" .. one.port }, { name, "/healthz" } } })
                assert.equal(401, response.status, name)
            end
        end
    end)

    local function unescaped(text)
        return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
    end

    -- Returns the answer's status, and where the login leads back to.
    local function login_of(one, ...)
        local response = http.request(one.port, { path = "/auth", headers = { { "Host", "app.test" }, PAGE, ... } })
        local location = response.headers.location or response.headers["x-auth-redirect"]
        return response.status, unescaped(location:match("return=([^&]*)"))
    end

    it("believes trusted proxies alone where a login leads back to", function()
        local forwarded = { { "X-Forwarded-Proto", "https" }, { "X-Forwarded-Host", "app.test" },
            { "X-Forwarded-Uri", "/page?x=1" } }
        assert.same({ 302, "https://app.test/page?x=1" }, { login_of(trusting, unpack(forwarded)) })
        assert.same({ 302, "/app" }, { login_of(running, unpack(forwarded)) })
    end)

    it("leads back to configured origins alone", function()
        for url, target in pairs {
            ["https://app.test/x"] = "https://app.test/x", ["https://evil.test/x"] = "/app",
            ["https://app.test.evil.test/"] = "/app", ["https://app.test@evil.test/"] = "/app",
            ["http://app.test/x"] = "/app", ["//evil.test"] = "/app", ["https://app.test//evil.test"] = "/app",
            ["https://login.test/own"] = "/own", ["javascript:x"] = "/app",
        } do
            local status, back = login_of(trusting, { "X-Original-URL", url })
            assert.same({ 401, target }, { status, back }, url)
        end
    end)
end)

describe("forward authentication of other capabilities", function()
    it("is the same for tokens of auth", function()
        local directory = auth.directory()
        local keys = token.keys(directory)
        process.write(directory .. "/site.conf", ([[
            init_by_lua_block {
                guard = require("route_native.auth").prepare_check {
                    key_file = "%s", headers = { ["X-User"] = "sub", ["X-None"] = "none" }, scope = "read" }
            }
            server {
                include runtime/listen.conf;
                include log_vars.conf;
                location = /auth {
                    content_by_lua_block { require("route_native.auth").forward_auth(guard) }
                    include forward_auth.conf;
                }
            }
        ]]):format(keys.signing_public))
        local gate = assert(gateway.start { demo = false, keys = keys, directory = directory,
            env = { SITE = directory .. "/site.conf" } })
        local good, weak = unpack(token.mint_all(keys, {
            { claims = { sub = "ada", scope = "read", exp = os.time() + 600 } },
            { claims = { sub = "ada", exp = os.time() + 600 } },
        }))
        local response = gate:get("/auth", good)
        assert.same({ 202, "ada" }, { response.status, response.headers["x-user"] })
        assert.is_nil(response.headers["x-none"])
        assert.same({ 403, 401 }, { gate:get("/auth", weak).status, gate:get("/auth").status })
        gate:stop()
    end)

    it("is the same for border sessions, with a service's token on demand", function()
        local running = assert(border.start { site = process.read(gateway.ROOT .. "/examples/border/site.conf")
            :gsub("include border.conf;", [[
                %0
                location = /auth {
                    content_by_lua_block { require("route_native.border").forward_auth() }
                    include forward_auth.conf;
                }
                location = /auth-b {
                    content_by_lua_block { require("route_native.border").forward_auth("b") }
                    include forward_auth.conf;
                }]]) })
        local one = running:client()
        assert.equal(401, one:get("/auth").status)
        assert.truthy(one:visit("/auth").headers["x-auth-redirect"]:find("/account/login", 1, true))
        one:login()
        assert.equal(202, one:get("/auth").status)
        local response = one:get("/auth-b")
        assert.equal(202, response.status)
        assert.truthy(response.headers["auth-token"])
        running:stop()
    end)
end)
