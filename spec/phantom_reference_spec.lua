-- lua-resty-phantom-token's configuration as its tutorial prints it, with changed addresses only.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"

local SITE = [[
lua_shared_dict phantom-token 10m;
server {
    server_name localhost;
    listen 127.0.0.1:%d;
    location / {
        root /usr/local/openresty/nginx/html;
        index index.html index.htm;
    }
    location /api {
        resolver 127.0.0.1:%d;
        rewrite_by_lua_block {
            local config = {
                introspection_endpoint = 'https://curityserver:%d/oauth/v2/oauth-introspect',
                client_id = 'introspection-client',
                client_secret = 'Password1',
                token_cache_seconds = 900,
                verify_ssl = false
            }
            local phantomTokenPlugin = require 'resty.phantom-token'
            phantomTokenPlugin.run(config)
        }
        proxy_pass http://127.0.0.1:$file_service_tcp_port;
    }
}
# What the access log of the specs names.
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    return 204;
}
]]

describe("the reference's configuration", function()
    local directory, names, server, port, running

    setup(function()
        directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
            .. "-keyout %s/key -out %s/crt"):format(directory, directory))
        assert(status == 0, output)
        names = phantom.serve("/usr/bin/python3 " .. gateway.ROOT .. "/spec/support/dns_server.py",
            directory .. "/names")
        server = phantom.serve(("node %s/spec/support/introspection_server.mjs --key %s/key --tls-key %s/key "
            .. "--tls-cert %s/crt"):format(gateway.ROOT, directory, directory, directory), directory .. "/server")
        port = process.free_port()
        process.write(directory .. "/site.conf", SITE:format(port, names.port, server.port))
        running = assert(gateway.start { env = { SITE = directory .. "/site.conf" } })
    end)
    teardown(function()
        running:stop()
        process.stop(server.pid)
        process.stop(names.pid)
        process.run("rm -rf " .. directory)
    end)

    local function get(token)
        return http.request(port, { path = "/api", headers = token and { { "Authorization", "Bearer " .. token } } })
    end

    it("lets a CORS preflight reach the API without a token, and no other request", function()
        local function options(...)
            return http.request(port, { method = "OPTIONS", path = "/api", headers = { ... } })
        end
        local origin, method = { "Origin", "https://app.example" }, { "Access-Control-Request-Method", "PUT" }
        local passed = options(origin, method, { "Authorization", "Bearer eyJhbGciOiJub25lIn0.e30." })
        assert.equal(200, passed.status)
        assert.is_nil(cjson.decode(passed.body).headers.authorization)
        assert.equal(401, options().status)
        assert.equal(401, options(origin).status)
        assert.equal(401, options(method).status)
        assert.equal(401, http.request(port, { path = "/api", headers = { origin, method } }).status)
    end)

    it("exchanges a token by host name and over TLS, and refuses others", function()
        local token = phantom.token { kind = "jwt", claims = { sub = "reference" } }
        for _ = 1, 3 do
            local response = get(token)
            assert.equal(200, response.status, running:error_log())
            assert.truthy(cjson.decode(response.body).headers.authorization:find("^Bearer eyJ"))
        end
        assert.equal(1, select(2, process.read(server.log):gsub('"method"', "")))
        for _, refused in ipairs { get(nil), get("unknown") } do
            assert.same({ 401, '{"code":"unauthorized","message":"Missing, invalid or expired access token"}' },
                { refused.status, refused.body })
        end
    end)
end)

describe("the reference's configuration, with the example's authorization server and API", function()
    local directory, names, server, api, port, running

    setup(function()
        directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
            .. "-keyout %s/key -out %s/crt"):format(directory, directory))
        assert(status == 0, output)
        names = phantom.serve("/usr/bin/python3 " .. gateway.ROOT .. "/spec/support/dns_server.py",
            directory .. "/names")
        server = phantom.serve(("node %s --phantom-tokens --max-age 60 --tls-key %s/key --tls-cert %s/crt")
            :format(phantom.AUTHORIZATION_SERVER, directory, directory), directory .. "/server")
        api = phantom.serve("node " .. gateway.ROOT .. "/examples/phantom/api.mjs", directory .. "/api")
        port = process.free_port()
        local site = SITE:format(port, names.port, server.port)
            :gsub("127%.0%.0%.1:%$file_service_tcp_port", ("127.0.0.1:%d/api"):format(api.port))
        process.write(directory .. "/site.conf", site)
        running = assert(gateway.start { demo = false, env = { SITE = directory .. "/site.conf" } })
    end)
    teardown(function()
        running:stop()
        for _, program in ipairs { server, names, api } do
            process.stop(program.pid)
        end
        process.run("rm -rf " .. directory)
    end)

    -- Runs a command of the reference's walk-through. Returns its output as JSON.
    local function curl(arguments)
        local output = process.run("curl -sS " .. arguments)
        return assert(cjson.decode(output), output)
    end

    it("follows the walk-through over TLS", function()
        local token = curl(("-k -u 'test-client:Password1' -X POST https://localhost:%d/oauth/v2/oauth-token "
            .. "-d grant_type=client_credentials -d scope=read"):format(server.port)).access_token
        assert.same({ code = "unauthorized", message = "Missing, invalid or expired access token" },
            curl(("http://localhost:%d/api"):format(port)))
        for _ = 1, 2 do
            local answer = curl(('-H "Authorization: Bearer %s" http://localhost:%d/api'):format(token, port))
            assert.truthy(answer.message:find("^API Received JWT: eyJ"), running:error_log())
            local claims = answer.tokenPayload
            assert.same({ "read", "access_token", "test-client", claims.iat, claims.iat + 300 },
                { claims.scope, claims.purpose, claims.aud, claims.nbf, claims.exp })
            assert.truthy(claims.iss and claims.sub and claims.jti)
        end
        assert.same({ code = "unauthorized", message = "Missing, invalid or expired access token" },
            curl(('-H "Authorization: Bearer unknown" http://localhost:%d/api'):format(port)))
        local asked = process.read(server.log)
        assert.equal(1, select(2, asked:gsub("introspection 200 application/jwt\n", "")), asked)
        assert.equal(1, select(2, asked:gsub("introspection 204", "")), asked)
    end)
end)
