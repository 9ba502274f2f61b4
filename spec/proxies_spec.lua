-- What upstreams are told about the client, with and without proxies in front of nginx (conf/forwarded.conf), and which
-- requests are refused because two servers may understand them in two ways (conf/strict.conf). A capability is a row.

local auth = require "support.auth"
local border = require "support.border"
local capabilities = require "support.capabilities"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local tunnel = require "support.tunnel"

-- The tunnel's server is one more proxy, with nginx in front of it.
local MORE_HOPS = { ["the tunnel"] = ", 127.0.0.1" }

local CLAIMS = {
    { "X-Forwarded-For", "6.6.6.6, 198.51.100.7, 192.0.2.9" }, { "X-Forwarded-Proto", "https" },
    { "X-Forwarded-Host", "outside.test:9443" }, { "X-Forwarded-Port", "9443" }, { "X-Real-IP", "6.6.6.6" },
    { "X-Forwarded-Prefix", "/prefix" }, { "X-Forwarded-User", "root" }, { "X-Forwarded-Ssl", "on" },
    { "X-Forwarded-Scheme", "https" }, { "X-Forwarded-Email", "root@x" }, { "X-Forwarded-Groups", "wheel" },
    { "X-Forwarded-Preferred-Username", "root" }, { "X-Forwarded-Protocol", "ssl" }, { "X-Forwarded-Server", "evil" },
    { "Forwarded", "for=6.6.6.6;proto=https" },
}

-- The claims, after a Host header.
local function with_claims(host)
    local headers = { { "Host", host }, host = host }
    for _, header in ipairs(CLAIMS) do
        headers[#headers + 1] = header
    end
    return headers
end

local function told(seen)
    local about = { host = seen.host }
    for name, value in pairs(seen) do
        if name:find("^x%-forwarded") or name:find("^forwarded") or name == "x-real-ip" then
            about[name] = value
        end
    end
    return about
end

for name, start in pairs(capabilities) do
    describe("what the upstream hears through " .. name, function()
        local running, port, ask
        after_each(function() running:stop() end)

        it("is nginx's own view, with the port, and nothing that the client claims", function()
            running, port, ask = start {}
            local host = "gateway.test:" .. port
            assert.same({
                host = host, ["x-real-ip"] = "127.0.0.1", ["x-forwarded-for"] = "127.0.0.1" .. (MORE_HOPS[name] or ""),
                ["x-forwarded-host"] = host, ["x-forwarded-port"] = tostring(port), ["x-forwarded-proto"] = "http",
            }, told(ask(with_claims(host))))
        end)

        it("is a trusted proxy's view, from the first address on that no trusted proxy has", function()
            running, port, ask = start { ROUTE_TRUSTED_PROXIES = "127.0.0.1, 192.0.2.0/24 ::1" }
            assert.same({
                host = "outside.test:9443", ["x-real-ip"] = "198.51.100.7",
                ["x-forwarded-for"] = "198.51.100.7, 192.0.2.9, 127.0.0.1" .. (MORE_HOPS[name] or ""),
                ["x-forwarded-host"] = "outside.test:9443", ["x-forwarded-port"] = "9443",
                ["x-forwarded-proto"] = "https", ["x-forwarded-prefix"] = "/prefix", ["x-forwarded-user"] = "root",
                ["x-forwarded-email"] = "root@x", ["x-forwarded-groups"] = "wheel",
                ["x-forwarded-preferred-username"] = "root",
            }, told(ask(with_claims("inside.test"))))
        end)
    end)
end

describe("the host and the port that an upstream hears", function()
    local running, trusting, token

    setup(function()
        running = assert(gateway.start())
        token = running:mint("127.0.0.1")
        local env = {}
        for name, value in pairs(running.environment) do
            env[name] = value
        end
        env.ROUTE_TRUSTED_PROXIES = "127.0.0.1"
        trusting = assert(gateway.start { demo = false, keys = running.keys, env = env })
    end)
    teardown(function()
        trusting:stop()
        running:stop()
    end)

    local function seen(gate, headers, line)
        local bytes = { line or "GET /filer/x HTTP/1.1", "Connection: close", "Authorization: Bearer " .. token }
        for _, header in ipairs(headers) do
            bytes[#bytes + 1] = header
        end
        local response = http.raw(gate.port, table.concat(bytes, "\r\n") .. "\r\n\r\n")
        local about = cjson.decode(response.body).headers
        return { about.host, about["x-forwarded-host"], about["x-forwarded-port"], about["x-forwarded-proto"],
            about["x-forwarded-for"] }
    end

    for host, expected in pairs {
        ["gw.test"] = { "gw.test", "80" }, ["gw.test:8443"] = { "gw.test:8443", "8443" },
        ["GW.Test:8443"] = { "GW.Test:8443", "8443" }, ["gw.test.:8443"] = { "gw.test.:8443", "8443" },
        ["[::1]:8443"] = { "[::1]:8443", "8443" }, ["[::1]"] = { "[::1]", "80" }, ["a_b:1"] = { "a_b:1", "1" },
        ["gw.test:"] = { "gw.test", "80" }, ["gw.test:0"] = { "gw.test", "80" },
        ['gw.test:80"><x'] = { "gw.test", "80" },
        ["gw.test:1:2"] = { "gw.test", "80" },
    } do
        it("are as in Host: " .. host, function()
            assert.same({ expected[1], expected[1], expected[2], "http", "127.0.0.1" },
                seen(running, { "Host: " .. host }))
        end)
    end

    it("are those that nginx decides by, where the request line names another host", function()
        assert.same({ "line.test", "line.test", "80", "http", "127.0.0.1" },
            seen(running, { "Host: header.test:1" }, "GET http://line.test/filer/x HTTP/1.1"))
    end)

    for headers, expected in pairs {
        [""] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-Proto: https"] = { "gw.test:81", "gw.test:81", "81", "https", "127.0.0.1" },
        ["X-Forwarded-Proto: http, HTTPS"] = { "gw.test:81", "gw.test:81", "81", "https", "127.0.0.1" },
        ["X-Forwarded-Proto: https,http"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-Proto: wss"] = { "gw.test:81", "gw.test:81", "81", "https", "127.0.0.1" },
        ["X-Forwarded-Proto: javascript"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-Host: out.test"] = { "out.test", "out.test", "80", "http", "127.0.0.1" },
        ["X-Forwarded-Host: evil.test, out.test:5"] = { "out.test:5", "out.test:5", "5", "http", "127.0.0.1" },
        ["X-Forwarded-Host: out.test/x"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-Host: out.test\r\nX-Forwarded-Proto: https"] =
            { "out.test", "out.test", "443", "https", "127.0.0.1" },
        ["X-Forwarded-Port: 7"] = { "gw.test:81", "gw.test:81", "7", "http", "127.0.0.1" },
        ["X-Forwarded-Port: 1, 7"] = { "gw.test:81", "gw.test:81", "7", "http", "127.0.0.1" },
        ["X-Forwarded-Port: x"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-For: 203.0.113.5"] = { "gw.test:81", "gw.test:81", "81", "http", "203.0.113.5, 127.0.0.1" },
        ["X-Forwarded-For: 203.0.113.5:4711"] =
            { "gw.test:81", "gw.test:81", "81", "http", "203.0.113.5, 127.0.0.1" },
        ["X-Forwarded-For: 13.0.113.5, 3.0.113.5"] =
            { "gw.test:81", "gw.test:81", "81", "http", "3.0.113.5, 127.0.0.1" },
        ["X-Forwarded-For: 2001:db8::1"] = { "gw.test:81", "gw.test:81", "81", "http", "2001:db8::1, 127.0.0.1" },
        ["X-Forwarded-For: nonsense"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
        ["X-Forwarded-For: 127.0.0.1"] = { "gw.test:81", "gw.test:81", "81", "http", "127.0.0.1" },
    } do
        it("are those of a trusted proxy that says " .. headers:gsub("\r\n", ", "), function()
            local list = { "Host: gw.test:81" }
            for header in headers:gmatch("[^\r\n]+") do
                list[#list + 1] = header
            end
            assert.same(expected, seen(trusting, list))
        end)
    end

    it("take no time that grows faster than the header", function()
        for _, piece in ipairs { "a,", ", ", "1.2.3.4,", "[::", "a:1", "a.", " " } do
            local long = piece:rep(math.floor(30000 / #piece)) .. "!"
            for _, name in ipairs { "For", "Host", "Proto", "Port" } do
                local header = "X-Forwarded-" .. name
                local line = ("%s: %s"):format(header, long)
                assert.equal("gw.test:81", seen(trusting, { "Host: gw.test:81", line })[1], header .. ": " .. piece)
            end
        end
        assert.is_nil(trusting:error_log():find("pcre", 1, true), trusting:error_log())
    end)
end)

describe("the border behind a trusted proxy", function()
    local running, careful
    setup(function()
        running = assert(border.start { env = { ROUTE_TRUSTED_PROXIES = "127.0.0.1" } })
        careful = assert(border.start { beside = running })
    end)
    teardown(function()
        careful:stop()
        running:stop()
    end)

    local OUTSIDE = { { "X-Forwarded-Host", "Business.example:9443" }, { "X-Forwarded-Proto", "https" },
        { "Origin", "https://business.example:9443" } }

    it("takes the proxy's host for that of the site, and its TLS for TLS", function()
        local client = running:client()
        assert.equal(303, client:login(nil, OUTSIDE).status)
        assert.truthy(client.cookies["__Host-border_session"])
        local response = client:request { path = "/elsewhere", headers = OUTSIDE }
        -- That of b, which takes the tokens of its own name alone.
        assert.same({ 401, '{"code":"UNAUTHORIZED"}' }, { response.status, response.body })
    end)

    it("believes nobody else", function()
        local client = careful:client()
        assert.equal(403, client:login(nil, OUTSIDE).status)
        assert.equal(303, client:login().status)
        assert.is_nil(client.cookies["__Host-border_session"])
        assert.equal(404, client:request({ path = "/elsewhere", headers = OUTSIDE }).status)
    end)
end)

describe("a request with two meanings", function()
    local SITES = {
        ["the gateway"] = function() return gateway.start() end,
        ["a check"] = function()
            return auth.start(auth.directory(), function() return gateway.ROOT .. "/examples/auth/site.conf" end)
        end,
        ["the border"] = function() return border.start() end,
    }
    local TWO_MEANINGS = {
        "/filer/../API/x", "/API/..", "/x/./../b", "/./b", "/b/%2e%2e/x", "/b/.%2E/x", "/b%2f..%2Fc", "/b/..%2fc",
        "/b/x/../..?a=1", "/b#/../x", "/..//b", "/b/..#", "/b/x/..#", "//b/../c", "/%62/../b", "/b/../bb", "/bb/../b/x",
    }
    local ONE_MEANING = {
        "/.well-known/x", "/b/..x", "/b/x..", "/b/...", "/b/a%2fb", "/b//x", "/b/.x/y", "/b?next=/../x",
        "/b/./x", "/b/.", "/b/x/..?a=1", "/b/x/%2e%2e/y", "/b/../b/x",
        "/b/%252e%252e/x",
        "/%62/x", "/b/x;../y",
    }

    for name, start in pairs(SITES) do
        it("is refused by " .. name, function()
            local running = assert(start())
            finally(function() running:stop() end)
            for _, path in ipairs(TWO_MEANINGS) do
                assert.equal(400, http.request(running.port, { path = path }).status, path)
            end
            for _, path in ipairs(ONE_MEANING) do
                assert.is_not.equal(400, http.request(running.port, { path = path }).status, path)
            end
        end)
    end

    it("is refused where :authority and Host differ, by the gateway and the tunnel", function()
        local directory = process.temporary_directory()
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x "
            .. "-keyout %s/key -out %s/crt"):format(directory, directory))
        assert(status == 0, output)
        for _, start in ipairs { gateway.start, tunnel.start } do
            local port = process.free_port()
            local running = assert(start { env = { ROUTE_TLS_LISTEN = "127.0.0.1:" .. port,
                ROUTE_TLS_CERTIFICATE = directory .. "/crt", ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key" } })
            local function answer(...)
                return (process.run(("/usr/bin/python3 %s/spec/support/http2_request.py %d :path=/healthz '%s'"):format(
                    gateway.ROOT, port, table.concat({ ... }, "' '"))):gsub("%s+$", ""))
            end
            local good = answer(":authority=a.test")
            assert.truthy(good == "88" or good == "89", good)
            assert.equal(good, answer("host=a.test"))
            assert.equal("8c", answer(":authority=a.test", "host=b.test"))
            running:stop()
        end
        process.run("rm -rf " .. directory)
    end)
end)
