-- HTTPS for browsers: plain HTTP leads to it, HSTS keeps a browser there, and the frame policy says who may show a page
-- of the gateway in a frame. `make run TLS=1` is in run_spec.lua, and certbot in acme_spec.lua.

local browser = require "support.browser"
local gateway = require "support.gateway"
local http = require "support.http"
local obedient = require "support.obedient"
local process = require "support.process"
local tls = require "support.tls"

describe("HTTPS", function()
    local directory, service
    local open = {}

    setup(function()
        directory = process.temporary_directory()
        tls.certificate(directory, "gateway.test", "localhost", "127.0.0.1")
        service = obedient.start()
    end)
    teardown(function()
        for _, running in ipairs(open) do
            running:stop()
        end
        service:stop()
        process.run("rm -rf " .. process.quoted(directory))
    end)

    -- Starts a gateway with a certificate in front of the obedient service. Returns it and the port of HTTPS.
    local function start(more)
        local environment, port = tls.environment(directory, more)
        local running = assert(service:gateway { env = environment })
        open[#open + 1] = running
        return running, port
    end

    local function page(body)
        return "/?" .. obedient.answer { headers = { { "Content-Type", "text/html" } }, body = body }
    end

    it("is off for plain HTTP, and sends neither HSTS nor a frame policy, by default", function()
        local running, port = start()
        local token = running:mint("127.0.0.1")
        assert.equal(200, running:get("/filer/x", token).status)
        for _, path in ipairs { "/filer/x", "/", "/none" } do
            local answer = tls.curl(directory, ("https://gateway.test:%d%s"):format(port, path))
            assert.is_nil(answer.headers["strict-transport-security"])
            assert.equal("SAMEORIGIN", answer.headers["x-frame-options"])
            assert.is_nil((answer.headers["content-security-policy"] or ""):find("frame-ancestors", 1, true))
        end
    end)

    describe("with ROUTE_TLS_REDIRECT=on", function()
        local running, port, token

        setup(function()
            running, port = start { ROUTE_TLS_REDIRECT = "on", ROUTE_TLS_HSTS = "31536000 includeSubDomains" }
            token = running:mint("127.0.0.1")
        end)

        local function location(path, method, headers)
            local answer = running:request { path = path, method = method, headers = headers }
            return answer.status .. " " .. tostring(answer.headers.location)
        end

        for _, case in ipairs {
            { "GET", "/" }, { "HEAD", "/a?b=c" }, { "POST", "/API/x" }, { "PUT", "/filer/a%20b?c=d%26e" },
            { "OPTIONS", "/filer" }, { "GET", "/none//x" }, { "GET", "/.well-known/other" }, { "GET", "/healthz/x" },
            { "GET", "/.well-known/acme-challenge" },
        } do
            it(("redirects %s %s with its method, host, path and query"):format(case[1], case[2]), function()
                assert.equal(("308 https://gateway.test:%d%s"):format(port, case[2]), location(case[2], case[1]))
            end)
        end

        it("redirects a request with a token in a header, which the desktop does not get", function()
            assert.equal(("308 https://gateway.test:%d/filer/with"):format(port),
                location("/filer/with", "GET", { { "Authorization", "Bearer " .. token } }))
            assert.same({}, service:requests("/filer/with"))
        end)

        it("refuses a URL with a token, which a redirect would repeat or lose", function()
            for _, path in ipairs { "/filer/x?jwt_token=", "/websockify?", "/?a=b&other=", "/x/" } do
                local answer = running:request { path = path .. token }
                assert.equal(403, answer.status, path)
                assert.is_nil(answer.headers.location)
                assert.is_nil(answer.body:find(token:sub(1, 20), 1, true))
            end
            assert.equal("https_required", running:logged("/websockify").reason)
            assert.is_nil((running:access_log() .. running:error_log()):find(token:sub(1, 40), 1, true))
        end)

        it("leaves out the challenges of ACME, and probes", function()
            local place = running.directory .. "/acme/.well-known/acme-challenge"
            process.run("mkdir -p " .. place)
            process.write(place .. "/t0ken", "proof")
            for path, expected in pairs { ["/.well-known/acme-challenge/t0ken"] = "proof", ["/healthz"] = "OK\n",
                ["/readyz"] = '{"status":"ready"}\n' } do
                local answer = running:request { path = path }
                assert.same({ 200, expected }, { answer.status, answer.body })
            end
            assert.equal(404, running:request { path = "/.well-known/acme-challenge/none" }.status)
            -- The path of an exception is the normalised one.
            assert.equal("400 nil", location("/.well-known/acme-challenge/../../filer/x"))
            assert.equal("400 nil", location("/healthz/../filer/x"))
        end)

        it("answers bad requests as before", function()
            assert.equal(400, http.raw(running.port, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status)
            assert.equal(400, running:request { path = "/filer/../API/x" }.status)
            local large = running:request { path = "/filer/x", headers = { { "Authorization", ("x"):rep(33000) } } }
            assert.equal(401, large.status)
        end)

        it("stays at the host of the request, whatever stands in its URL", function()
            local function raw(line, host)
                local answer = http.raw(running.port, ("%s HTTP/1.1\r\n%sConnection: close\r\n\r\n")
                    :format(line, host and "Host: " .. host .. "\r\n" or ""))
                return answer.status .. " " .. tostring(answer.headers.location)
            end
            local here = ("308 https://gateway.test:%d"):format(port)
            assert.equal(here .. "//evil.test/", raw("GET //evil.test/", "gateway.test"))
            assert.equal(here .. "/", raw("GET http://gateway.test", "gateway.test:80"))
            assert.equal(here .. "/x", raw("GET /x", "GATEWAY.test:8080"))
            assert.equal("400 nil", raw("OPTIONS *", "gateway.test"))
            assert.equal("400 nil", raw("GET @evil.test", "gateway.test"))
            assert.equal("400 nil", raw("GET /x", "gateway.test@evil.test/"))
            assert.equal("400 nil", raw("GET /x"))
            local answer = http.raw(running.port, "GET /x HTTP/1.0\r\n\r\n")
            assert.same({ 403 }, { answer.status, answer.headers.location })
        end)

        it("redirects plain HTTP at the port of HTTPS, without a token", function()
            local answer = http.request(port, { path = "/a?b" })
            assert.same({ 308, ("https://gateway.test:%d/a?b"):format(port) },
                { answer.status, answer.headers.location })
            answer = http.request(port, { path = "/filer/x?jwt_token=" .. token })
            assert.same({ 403 }, { answer.status, answer.headers.location })
        end)

        it("serves HTTPS, and sends HSTS there only, once, also with refusals and from desktops", function()
            local with = "-H 'Authorization: Bearer " .. token .. "'"
            local theirs = obedient.answer { headers = { { "Strict-Transport-Security", "max-age=0" } } }
            for path, options in pairs { ["/filer/x?" .. theirs] = with, ["/filer/x"] = "", ["/API/x?" .. theirs] = "",
                ["/healthz"] = "", ["/?" .. theirs] = "", ["/websockify"] = with } do
                local answer = tls.curl(directory, ("https://gateway.test:%d%s"):format(port, path), options)
                assert.equal("max-age=31536000; includeSubDomains", answer.headers["strict-transport-security"], path)
            end
            for _, path in ipairs { "/healthz", "/filer/x", "/filer/x?jwt_token=" .. token } do
                assert.is_nil(running:get(path).headers["strict-transport-security"])
            end
        end)

        it("leads a browser from http to the page", function()
            -- This browser takes the certificate as it is: the specs of certificates are others.
            local chromium = browser.start { accept_insecure = true }
            finally(function() chromium:stop() end)
            chromium:go(("http://localhost:%d%s"):format(running.port, page "<p id=a>the website</p>"))
            assert.equal("the website", chromium:text("#a"))
            assert.truthy(chromium:url():find(("^https://localhost:%d/"):format(port)))
        end)
    end)

    it("redirects to the port that ROUTE_TLS_REDIRECT names", function()
        for value, shown in pairs { ["443"] = "", ["8443"] = ":8443" } do
            local running = start { ROUTE_TLS_REDIRECT = value }
            assert.equal("https://gateway.test" .. shown .. "/x",
                running:request { path = "/x" }.headers.location)
        end
    end)

    it("believes a trusted proxy that speaks TLS, and never redirects in a circle", function()
        local running = assert(service:gateway { env = { ROUTE_TLS_REDIRECT = "on", ROUTE_TLS_HSTS = "60",
            ROUTE_TRUSTED_PROXIES = "127.0.0.1" } })
        open[#open + 1] = running
        local function asks(proto)
            return running:request { path = "/x", headers = { { "X-Forwarded-Proto", proto },
                { "X-Forwarded-Host", "desktop.test" } } }
        end
        local secure, plain = asks("https"), asks("http")
        assert.same({ 200, "max-age=60" }, { secure.status, secure.headers["strict-transport-security"] })
        assert.same({ 308, "https://desktop.test/x" },
            { plain.status, plain.headers.location, plain.headers["strict-transport-security"] })
        -- Nobody else is believed.
        local other = start { ROUTE_TLS_REDIRECT = "on" }
        assert.equal(308, other:request { path = "/x", headers = { { "X-Forwarded-Proto", "https" } } }.status)
    end)

    for setting, sentence in pairs {
        ["ROUTE_TLS_REDIRECT=on"] = "ROUTE_TLS_REDIRECT needs HTTPS: set ROUTE_TLS_CERTIFICATE",
        ["ROUTE_TLS_REDIRECT=yes"] = 'ROUTE_TLS_REDIRECT must be "off", "on" or the port of HTTPS, and is "yes"',
        ["ROUTE_TLS_REDIRECT=70000"] = 'ROUTE_TLS_REDIRECT must be a port number, and is "70000"',
        ["ROUTE_TLS_HSTS=60"] = "ROUTE_TLS_HSTS needs HTTPS: set ROUTE_TLS_CERTIFICATE",
        ["ROUTE_TLS_HSTS=1 year"] = 'ROUTE_TLS_HSTS must be "off", or seconds',
        ["ROUTE_TLS_HSTS=60; preload"] = 'ROUTE_TLS_HSTS must be "off", or seconds',
        ["ROUTE_TLS_HSTS=60 includeSubDomains preload"] = "ROUTE_TLS_HSTS must have at least 31536000 seconds",
        ["ROUTE_FRAME_ANCESTORS=*"] = 'ROUTE_FRAME_ANCESTORS must be "same-origin", "none", or origins',
        ["ROUTE_FRAME_ANCESTORS=https://a.test;script-src"] = "ROUTE_FRAME_ANCESTORS must be",
        ["ROUTE_FRAME_ANCESTORS=https://a.test/path"] = "ROUTE_FRAME_ANCESTORS must be",
    } do
        it("refuses " .. setting .. " in one sentence", function()
            local name, value = setting:match("^(.-)=(.*)$")
            local out = directory .. "/runtime"
            local said, status = process.run(process.environment { [name] = value, ROUTE_RUN_DIR = out,
                ROUTE_TRUSTED_PROXIES = sentence:find("needs HTTPS") and "" or "10.0.0.1" }
                .. (" sh %s/conf/runtime.sh %s"):format(gateway.ROOT, out))
            assert.same({ 1, "route_native: " .. sentence }, { status, said:sub(1, #sentence + 14) })
            assert.equal(1, select(2, said:gsub("\n", "")))
        end)
    end

    describe("the frame policy", function()
        local chromium, elsewhere

        setup(function()
            chromium = browser.start()
            elsewhere = service.port
        end)
        teardown(function() chromium:stop() end)

        -- Opens a page with a URL in a frame. Returns the frame's text, or "blocked" for the browser's own error page.
        local function framed(outer, url)
            chromium:go(outer)
            chromium:await(([[
                const f = document.body.appendChild(document.createElement('iframe'));
                f.src = '%s';
                await new Promise(r => f.onload = r);
            ]]):format(url))
            return chromium:in_frame("iframe", [[
                return location.protocol == 'chrome-error:' ? 'blocked' : document.body.innerText]])
        end

        for value, expected in pairs {
            ["same-origin"] = "blocked", ["none"] = "blocked", ["https://127.0.0.1:1"] = "blocked",
            ["http://localhost:PORT"] = "blocked", ["http://127.0.0.1:PORT"] = "shown",
            ["https://portal.test, http://127.0.0.1:PORT"] = "shown",
        } do
            it(("%s: a page of another origin with the website and a desktop in a frame: %s"):format(value, expected),
                function()
                local running = start { ROUTE_FRAME_ANCESTORS = (value:gsub("PORT", elsewhere)) }
                local origin = "http://127.0.0.1:" .. running.port
                -- Another port is another origin.
                local portal = ("http://127.0.0.1:%d%s"):format(elsewhere, page "portal")
                assert.equal(expected, framed(portal, origin .. page "shown"))
                assert.equal(expected, framed(portal, ("%s/filer%s&jwt_token=%s")
                    :format(origin, page "shown", running:mint("127.0.0.1"))))
                -- A page of the gateway itself may, unless the policy is `none`.
                assert.equal(value == "none" and "blocked" or "shown",
                    framed(origin .. page "own", origin .. page "shown"))
            end)
        end
    end)
end)
