-- OpenID Connect: the login by curl-like clients, sessions, and what the API receives.

local oidc = require "support.oidc"
local process = require "support.process"

describe("OpenID Connect", function()
    local running

    setup(function()
        running = assert(oidc.start { provider = { pushed_requests = false } })
    end)
    teardown(function() running:stop() end)

    it("sends a page to the provider with PKCE, state and nonce, and to the wanted page after the login", function()
        local one = running:browser()
        local first = one:visit("/app/deep/page?x=1&y=%2F")
        assert.equal(302, first.status)
        assert.equal("no-store", first.headers["cache-control"])
        local query = first.location:match("^" .. running.issuer:gsub("%p", "%%%0") .. "/auth%?(.*)$")
        for _, pattern in ipairs { "response_type=code", "code_challenge_method=S256", "client_id=gateway",
            "scope=openid%%20email%%20profile", "state=[%w_-]+", "nonce=[%w_-]+", "code_challenge=[%w_-]+" } do
            assert.truthy(query:find(pattern), pattern)
        end
        local last = one:visit(one:at_provider(first, "demo").location)
        assert.equal(302, last.status)
        assert.equal(running.origin .. "/app/deep/page?x=1&y=%2F", last.location)
        local received = oidc.received(one:visit(last.location))
        assert.equal("/app/deep/page?x=1&y=%2F", received.url)
        assert.same({ "demo", "demo@example.com" },
            { received.headers["x-auth-user"], received.headers["x-auth-email"] })
        assert.truthy(received.headers.authorization:find("^Bearer [%w_-]+$"))
        assert.is_nil(received.headers.cookie)
    end)

    it("gives no token to the browser", function()
        local one = running:logged_in()
        local token = oidc.received(one:get("/app/x")).headers.authorization:match("Bearer (.*)")
        for name, value in pairs(one:cookies()) do
            assert.is_nil((name .. value):find(token, 1, true))
            assert.is_nil(value:find("eyJ", 1, true))
        end
        assert.equal(76, #one:session())
    end)

    it("encodes claims for headers, and removes what the client sent under their names", function()
        local one = running:logged_in("other")
        local received = oidc.received(one:fetch("/app/x", { headers = {
            { "X-Auth-User", "admin" }, { "x_auth_user", "admin" }, { "Authorization", "Bearer mine" } } }))
        assert.equal("other", received.headers["x-auth-user"])
        assert.is_nil(received.headers.x_auth_user)
        assert.is_nil(received.headers.authorization:find("mine", 1, true))
        assert.equal('%C3%96tzi%20"Other"%20User', received.headers["x-auth-name"])
    end)

    it("answers a script with 401 and JSON, and leaves no login behind", function()
        local one = running:browser()
        for _, headers in ipairs { {}, { { "Accept", "text/html" }, { "X-Requested-With", "XMLHttpRequest" } },
            { { "Sec-Fetch-Mode", "cors" }, { "Accept", "text/html" } } } do
            local response = one:fetch("/app/x", { headers = headers })
            assert.same({ 401, '{"code":"SESSION_EXPIRED"}', "Session" },
                { response.status, response.body, response.headers["www-authenticate"] })
            assert.is_nil(response.headers["set-cookie"])
        end
    end)

    it("keeps the form of a page: it asks the user to log in elsewhere and to reload", function()
        local one = running:browser()
        local response = one:fetch("/app/save", { headers = { { "Accept", "text/html" } }, form = "text=hello" })
        assert.equal(401, response.status)
        local path = response.body:match('href="([^"]+)" target="_blank"'):gsub("&amp;", "&")
        assert.equal(302, one:login(path).status)
        local received = oidc.received(one:fetch("/app/save", { headers = { { "Accept", "text/html" } },
            form = "text=hello" }))
        assert.same({ "POST", "text=hello" }, { received.method, received.body })
    end)

    it("finishes logins that began in several tabs, in any order, each once", function()
        local one = running:browser()
        local tabs = {}
        for i = 1, 4 do
            tabs[i] = one:visit("/app/" .. i)
        end
        for _, i in ipairs { 3, 1, 4, 2 } do
            local callback = one:at_provider(tabs[i], "demo").location
            local last = one:visit(callback)
            assert.equal(running.origin .. "/app/" .. i, last.location)
            -- The back button: the user is logged in, so the used state does no harm.
            assert.equal(running.origin .. "/app", one:visit(callback).location)
        end
        for name in pairs(one:cookies()) do
            assert.is_nil(name:find("_login_", 1, true), name)
        end
    end)

    it("keeps only a few logins of a browser that begins many", function()
        local one = running:browser()
        for i = 1, 20 do
            assert.equal(302, one:visit("/app/" .. i).status)
        end
        local count = 0
        for name in pairs(one:cookies()) do
            count = count + (name:find("_login_", 1, true) and 1 or 0)
        end
        assert.is_true(count >= 5 and count <= 7, count)
        assert.equal(302, one:login("/app/last").status)
        assert.is_nil(oidc.received(one:get("/app/x")).headers.cookie)
    end)

    it("hides its own cookies from the API, and passes the others on", function()
        local one = running:logged_in()
        one:visit("/oidc/login")
        one:cookies().theme = "dark"
        assert.equal("theme=dark", oidc.received(one:get("/app/x")).headers.cookie)
    end)

    it("answers a refusal of the user with 403 and a link to try again", function()
        local one = running:browser()
        local response = one:visit(one:to_callback("/app/a", false))
        assert.equal(403, response.status)
        assert.truthy(response.body:find('<a href="/app/a">', 1, true), response.body)
        assert.is_nil(one:session())
    end)

    it("logs no code, no state and no token", function()
        local one = running:browser()
        local callback = one:to_callback("/app")
        one:visit(callback)
        local token = oidc.received(one:get("/app/logged")).headers.authorization:match("Bearer (.*)")
        one:visit((callback:gsub("state=%w+", "state=forged")))
        running.gateway:logged("/app/logged")
        local logs = running.gateway:error_log() .. running.gateway:access_log()
        assert.truthy(logs:find("/app/callback", 1, true))
        for _, secret in ipairs { callback:match("code=([^&]+)"), callback:match("state=([^&]+)"), token,
            one:session(), "Gateway-secret-of-the-example-1" } do
            assert.is_nil(logs:find(secret, 1, true), secret)
        end
    end)

    it("asks for a stronger login where a location needs one, and tells a script what is missing", function()
        local one = running:logged_in()
        local script = one:get("/app/admin")
        assert.equal(401, script.status)
        assert.equal('Bearer error="insufficient_user_authentication", acr_values="urn:strong", max_age=600',
            script.headers["www-authenticate"])
        local first = one:visit("/app/admin")
        assert.truthy(first.location:find("acr_values=urn%3Astrong", 1, true), first.location)
        assert.truthy(first.location:find("max_age=600", 1, true))
        local last = one:visit(one:at_provider(first, "demo").location)
        assert.equal(running.origin .. "/app/admin", last.location)
        assert.equal(200, one:get("/app/admin").status)
        -- The stronger session does for the other pages too.
        assert.equal(200, one:get("/app/x").status)
    end)

    it("ends the session before a new one begins", function()
        local one = running:logged_in()
        local old = one:session()
        one:visit(one:at_provider(one:visit("/oidc/login"), "demo").location)
        assert.not_equal(old, one:session())
        one:cookies().oidc_session = old
        assert.equal(401, one:get("/app/x").status)
    end)

    it("takes a bearer token at another location", function()
        local output = process.run(("curl -s -u test-client:Password1 -d grant_type=client_credentials -d scope=read "
            .. "http://127.0.0.1:%d/token"):format(running.provider_port))
        local token = output:match('"access_token":"([^"]+)"')
        local response = running:browser():fetch("/api/x", { headers = { { "Authorization", "Bearer " .. token } } })
        assert.equal("test-client", oidc.received(response).headers["x-auth-client"])
        assert.equal(401, running:browser():get("/api/x").status)
    end)
end)
