-- OpenID Connect with TLS at the gateway and at the provider, over HTTP/1.1 and HTTP/2, by curl.

local cjson = require "cjson.safe"
local oidc = require "support.oidc"
local process = require "support.process"

describe("with TLS everywhere, OpenID Connect", function()
    local directory, running, origin

    local function start(settings)
        return oidc.start {
            tls = { cert = directory .. "/cert.pem", key = directory .. "/key.pem", port = origin:match("%d+$") },
            env = { ROUTE_TLS_LISTEN = origin:match("//(.*)$"), ROUTE_TLS_CERTIFICATE = directory .. "/cert.pem",
                ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key.pem" },
            provider = settings,
            settings = function() return { cookie_secure = true } end,
            site = function(site)
                -- Without phantom_token.conf it works over HTTP/2 with every lua-nginx-module.
                return (site:gsub("include phantom_token.conf;", ""):gsub("include oidc_http.conf;",
                    "%0\nlua_ssl_trusted_certificate " .. directory .. "/trusted.pem;"))
            end,
        }
    end

    setup(function()
        directory = process.temporary_directory()
        local output, status = process.run(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 30 "
            .. "-subj /CN=test -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem "
            .. "&& cp cert.pem trusted.pem && openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=other "
            .. "-keyout other.key -out other.pem"):format(directory))
        assert(status == 0, output)
        origin = "https://127.0.0.1:" .. process.free_port()
        running = assert(start())
    end)
    teardown(function()
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    -- Sends a request with the cookies of a jar. Returns the status, the URL of a redirect, and the body.
    local function fetch(version, jar, url, form)
        local output = process.run(("cd %s && curl -s --cacert cert.pem --%s -c %s -b %s -H 'Accept: text/html' "
            .. "-o body -w '%%{http_code} %%{redirect_url}' %s %s"):format(directory, version, jar, jar,
            form and "-d " .. process.quoted(form) or "", process.quoted(url)))
        local status, location = output:match("^(%d+) ?(.*)$")
        return tonumber(status), location, process.read(directory .. "/body")
    end

    -- Goes through the provider's pages. Returns what fetch() returns for the callback.
    local function log_in(version, jar, url)
        local status, location, body = fetch(version, jar, url)
        for _ = 1, 20 do
            local action = body:match('action="(/interaction/[%w_-]+/%w+)"')
            if location:find("/app/callback?", 1, true) then
                return fetch(version, jar, location)
            elseif location ~= "" then
                status, location, body = fetch("http1.1", jar, location)
            elseif action then
                status, location, body = fetch("http1.1", jar, running.issuer .. action, "login=demo&password=demo")
            else
                error("the provider answered " .. status .. " " .. body)
            end
        end
    end

    for _, version in ipairs { "http1.1", "http2" } do
        it("logs in, and its cookies have the prefix: " .. version, function()
            local jar = directory .. "/jar-" .. version
            local status, location = log_in(version, jar, origin .. "/app/page")
            assert.same({ 302, origin .. "/app/page" }, { status, location })
            local cookies = process.read(jar)
            assert.truthy(cookies:find("TRUE\t0\t__Host-oidc_session\t", 1, true), cookies)
            local body
            status, location, body = fetch(version, jar, origin .. "/app/page")
            assert.same({ 200, "" }, { status, location })
            assert.equal("demo", (cjson.decode(body) or {}).headers["x-auth-user"])
            status, location = fetch(version, jar, origin .. "/logout")
            assert.equal(302, status)
            assert.equal(1, (location:find(running.issuer .. "/session/end", 1, true)))
        end)
    end

    it("trusts no other provider's certificate, unless verify_ssl is false", function()
        process.run(("cd %s && cp other.pem trusted.pem"):format(directory))
        running:stop()
        running = assert(start())
        assert.equal(503, (fetch("http1.1", "jar", origin .. "/app/page")))
        running:stop()
        running = assert(start { verify_ssl = false })
        assert.equal(302, (fetch("http1.1", "jar", origin .. "/app/page")))
    end)
end)
