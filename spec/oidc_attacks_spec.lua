-- Attacks on logins and logouts by OpenID Connect. Each is refused, and no session begins.

local cjson = require "cjson.safe"
local http = require "support.http"
local oidc = require "support.oidc"

local PAGE = { "Accept", "text/html" }

describe("a login by OpenID Connect", function()
    local running

    setup(function()
        running = assert(oidc.start { provider = { pushed_requests = false }, settings = function()
            return { login_failures_per_address = 1000 }
        end })
    end)
    teardown(function() running:stop() end)

    local function is_refused(one, response, status)
        assert.equal(status or 400, response.status, response.body)
        assert.is_nil(one:session())
        assert.equal(401, one:get("/app/x").status)
    end

    it("ends only in the browser that began it: login CSRF and state fixation", function()
        local attacker, victim = running:browser(), running:browser()
        local callback = attacker:to_callback("/app", "other")
        is_refused(victim, victim:visit(callback))
        -- The attacker's own browser can still finish it.
        assert.equal(302, attacker:visit(callback).status)
    end)

    it("takes no code of another login: code injection", function()
        local attacker, victim = running:browser(), running:browser()
        local stolen = victim:to_callback("/app"):match("code=([^&]+)")
        local own = attacker:to_callback("/app", "other")
        is_refused(attacker, attacker:visit((own:gsub("code=[^&]+", "code=" .. stolen))))
    end)

    it("uses each state once, and none that is too old or forged", function()
        local one = running:browser()
        local callback = one:to_callback("/app")
        local cookies = {}
        for name, value in pairs(one:cookies()) do
            cookies[name] = value
        end
        -- Another state with the same cookie, whose name has only the first characters.
        local other_state = callback:gsub("state=([%w_-]+)", function(state)
            return "state=" .. state:sub(1, -2) .. (state:sub(-1) == "A" and "B" or "A")
        end)
        is_refused(one, one:visit(other_state))
        assert.equal(302, one:visit(callback).status)
        local thief = running:browser()
        for name, value in pairs(cookies) do
            thief:cookies()[name] = value
        end
        is_refused(thief, thief:visit(callback))
        for _, state in ipairs { "", ("x"):rep(43), ("x"):rep(5000), "a%00b", "..%2f" } do
            local other = running:browser()
            is_refused(other, other:visit("/app/callback?code=x&state=" .. state))
            is_refused(other, other:visit("/app/callback?state=" .. state .. "&code=x&state=" .. state))
        end
        is_refused(thief, thief:visit("/app/callback"))
    end)

    it("refuses a cookie of a login that another ring signed, or that was changed", function()
        local one = running:browser()
        local callback = one:to_callback("/app")
        for name, value in pairs(one:cookies()) do
            one:cookies()[name] = value:gsub("^(....)(.)", function(first, char)
                return first .. (char == "A" and "B" or "A")
            end)
        end
        is_refused(one, one:visit(callback))
    end)

    it("believes no answer of another issuer: mix-up", function()
        for _, change in ipairs { "iss=http://evil.test", "iss=", "" } do
            local one = running:browser()
            local callback = one:to_callback("/app"):gsub("iss=[^&]+", change)
            is_refused(one, one:visit(callback))
        end
        local one = running:browser()
        is_refused(one, one:visit(one:to_callback("/app") .. "&iss=http%3A%2F%2Fevil.test"))
    end)

    for _, path in ipairs { "//evil.test", "/%5Cevil.test", "%2F%2Fevil.test", "https://evil.test", "/%09/evil.test",
        "/%0d%0aLocation:%20//evil.test", "javascript:alert(1)", "/%5c%5cevil.test", "" } do
        it("leads to no other site: " .. path, function()
            local one = running:browser()
            local response = one:login("/oidc/login?return=" .. path)
            assert.equal(running.origin .. "/app", response.location)
        end)
    end

    it("begins a new session: nobody can fix its id", function()
        local attacker, victim = running:browser(), running:browser()
        victim:cookies().oidc_session = running:logged_in("other"):session()
        local fixed = victim:session()
        assert.equal(302, victim:visit(victim:at_provider(victim:visit("/oidc/login"), "demo").location).status)
        assert.not_equal(fixed, victim:session())
        attacker:cookies().oidc_session = fixed
        assert.equal(401, attacker:get("/app/x").status)
    end)

    it("answers what is no callback of a browser with its documented status", function()
        local one = running:browser()
        assert.equal(405, one:fetch("/app/callback", { method = "PUT" }).status)
        assert.equal(405, one:fetch("/app/callback", { method = "POST", body = "{}" }).status)
        assert.equal(404, one:visit("/oidc/login?provider=none").status)
        assert.equal(404, one:visit("/oidc/nothing").status)
        -- A form is taken only from a provider that was asked for one.
        local callback = one:to_callback("/app")
        is_refused(one, one:fetch("/app/callback", { form = callback:match("%?(.*)"), headers = { PAGE } }))
    end)

    it("ends by a logout of the own pages alone", function()
        local one = running:logged_in()
        local function logout(...)
            return one:fetch("/logout", { headers = { ... } }).status
        end
        assert.equal(403, logout({ "Sec-Fetch-Site", "cross-site" }, { "Sec-Fetch-Mode", "navigate" }))
        assert.equal(403, logout { "Referer", "http://evil.test/" })
        assert.equal(403, logout({ "Sec-Fetch-Site", "same-origin" }, { "Sec-Fetch-Dest", "image" }))
        assert.equal(405, one:fetch("/logout", { method = "DELETE" }).status)
        assert.equal(200, one:get("/app/x").status)
    end)
end)

describe("an ID token", function()
    local evil, running

    setup(function()
        evil = oidc.evil()
        running = assert(oidc.start { issuer = evil.issuer, settings = function()
            return { login_failures_per_address = 1000 }
        end })
    end)
    teardown(function()
        running:stop()
        evil:stop()
    end)

    it("comes by a state that is used once, even if the provider would take the code again", function()
        local one, thief = running:browser(), running:browser()
        local location = one:visit("/app/x").location
        local callback = "/app/callback?state=" .. location:match("[?&]state=([%w_-]+)") .. "&code="
            .. oidc.directive { nonce = location:match("[?&]nonce=([%w_-]+)") }
        for name, value in pairs(one:cookies()) do
            thief:cookies()[name] = value
        end
        assert.equal(302, one:visit(callback).status)
        assert.equal(400, thief:visit(callback).status)
        assert.is_nil(thief:session())
    end)

    it("is accepted as the provider should send it", function()
        local one = running:browser()
        assert.equal(302, one:evil_login({}).status)
        assert.equal("demo", oidc.received(one:get("/app/x")).headers["x-auth-user"])
    end)

    local now = os.time()
    local WRONG = {
        ["of another login (nonce replay)"] = { nonce = ("n"):rep(43) },
        ["without a nonce"] = { claims = { nonce = cjson.null } },
        ["whose nonce is a list"] = { claims = { nonce = { "x" } } },
        ["for another client"] = { claims = { aud = "another" } },
        ["for others too, without azp"] = { claims = { aud = { "gateway", "another" } } },
        ["that another client asked for"] = { claims = { azp = "another" } },
        ["of another issuer"] = { claims = { iss = "http://evil.test" } },
        ["that has ended"] = { claims = { exp = now - 60 } },
        ["without an end"] = { claims = { exp = cjson.null } },
        ["without iat"] = { claims = { iat = cjson.null } },
        ["without sub"] = { claims = { sub = cjson.null } },
        ["whose sub is empty"] = { claims = { sub = "" } },
        ["whose sub is too long"] = { claims = { sub = ("x"):rep(256) } },
        ["whose sub is a number"] = { claims = { sub = 7 } },
        ["of another access token"] = { claims = { at_hash = ("x"):rep(22) } },
        ["signed by another key"] = { key = "other" },
        ["without a signature (alg none)"] = { alg = "none" },
        ["signed by the client's secret (alg confusion)"] = { alg = "HS256", key = "secret" },
        ["signed by the public key as a secret (alg confusion)"] = { alg = "HS256", key = "public" },
        ["that is missing"] = { tokens = { id_token = cjson.null } },
    }
    for name, directive in pairs(WRONG) do
        it("is refused " .. name, function()
            local one = running:browser()
            local response = one:evil_login(directive)
            assert.same({ 400, true }, { response.status, response.body:find("Log in again", 1, true) ~= nil })
            assert.is_nil(one:session())
        end)
    end

    -- The provider's fault is no fault of the user.
    for name, directive in pairs {
        ["no JSON"] = { raw = "[[[" }, ["a list"] = { raw = "[]" }, ["duplicate members"]
            = { raw = '{"access_token":"a","access_token":"b","token_type":"Bearer"}' },
        ["no access token"] = { tokens = { access_token = cjson.null } },
        ["a token with a line break"] = { tokens = { access_token = "a\r\nX: y" } },
        ["another type of token"] = { tokens = { token_type = "DPoP" } },
        ["an endless life"] = { tokens = { expires_in = "never" } },
        ["a status of 500"] = { status = 500 },
        ["a status of 401"] = { status = 401, raw = '{"error":"invalid_client"}' },
        ["UserInfo of another user"] = { info = { sub = "other" } },
        ["more than 64 KB"] = { huge = true },
    } do
        it("needs an answer of the token endpoint that is none of: " .. name, function()
            local one = running:browser()
            local response = one:evil_login(directive)
            assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] }, response.body)
            assert.is_nil(one:session())
        end)
    end

    it("does not let UserInfo change who the user is", function()
        local one = running:browser()
        assert.equal(302, one:evil_login({ info = { email = "demo@x.test", iss = "evil" } }).status)
        assert.equal("demo@x.test", oidc.received(one:get("/app/x")).headers["x-auth-email"])
    end)

    it("must have the wanted acr, or the login is refused without a loop", function()
        for _, directive in ipairs { { claims = { acr = "urn:weak" } }, {}, { claims = { acr = { "urn:strong" } } } } do
            local one = running:browser()
            assert.equal(403, one:evil_login(directive, "/app/admin").status)
            assert.is_nil(one:session())
        end
        local one = running:browser()
        local old = { claims = { acr = "urn:strong", auth_time = now - 3600 } }
        assert.equal(403, one:evil_login(old, "/app/admin").status)
        assert.equal(302, one:evil_login({ claims = { acr = "urn:strong" } }, "/app/admin").status)
        assert.equal(200, one:get("/app/admin").status)
    end)

    it("is tried a limited number of times by an address", function()
        local limited = assert(oidc.start { issuer = evil.issuer, settings = function()
            return { login_failures_per_address = 3 }
        end })
        local statuses = { limited:browser():evil_login({}).status }
        for i = 2, 3 do
            statuses[i] = limited:browser():evil_login({ key = "other" }).status
        end
        statuses[4] = limited:browser():visit("/app/callback?state=x").status
        statuses[5] = limited:browser():evil_login({}).status
        assert.same({ 302, 400, 400, 400, 429 }, statuses)
        limited:stop()
    end)

    -- Logout tokens.
    local EVENTS = { ["http://schemas.openid.net/event/backchannel-logout"] = cjson.decode("{}") }

    local function logout_token(claims, directive)
        directive = directive or {}
        directive.claims = { events = EVENTS, jti = tostring(math.random(1e12)), sid = "s1", nonce = cjson.null,
            at_hash = cjson.null }
        for name, value in pairs(claims or {}) do
            directive.claims[name] = value
        end
        return evil.mint(directive)
    end

    local function send(token, fields)
        return running:browser():fetch("/oidc/backchannel-logout", {
            form = fields or "logout_token=" .. token }).status
    end

    it("has a counterpart that logs out, once", function()
        local one, other = running:browser(), running:browser()
        one:evil_login { claims = { sid = "s1", sub = "gone" }, info = { sub = "gone" } }
        other:evil_login { claims = { sid = "s2", sub = "gone" }, info = { sub = "gone" } }
        local token = logout_token()
        assert.equal(200, send(token))
        assert.same({ 401, 200 }, { one:get("/app/x").status, other:get("/app/x").status })
        assert.equal(400, send(token))
        -- A user is logged out everywhere.
        assert.equal(200, send(logout_token { sid = cjson.null, sub = "gone" }))
        assert.equal(401, other:get("/app/x").status)
    end)

    it("logs out by a right logout token alone", function()
        local one = running:browser()
        one:evil_login { claims = { sid = "s5" } }
        for name, token in pairs {
            ["signed by another key"] = logout_token({ sid = "s5" }, { key = "other" }),
            ["without a signature"] = logout_token({ sid = "s5" }, { alg = "none" }),
            ["signed by the client's secret"] = logout_token({ sid = "s5" }, { alg = "HS256", key = "secret" }),
            ["for another client"] = logout_token { sid = "s5", aud = "another" },
            ["of another issuer"] = logout_token { sid = "s5", iss = "http://evil.test" },
            ["with a nonce"] = logout_token { sid = "s5", nonce = "n" },
            ["an ID token"] = logout_token { sid = "s5", events = cjson.null, nonce = "n" },
            ["of another event"] = logout_token { sid = "s5", events = { ["urn:x"] = cjson.decode("{}") } },
            ["whose events are a list"] = logout_token { sid = "s5", events = { (next(EVENTS)) } },
            ["without jti"] = logout_token { sid = "s5", jti = cjson.null },
            ["without sid and sub"] = logout_token { sid = cjson.null, sub = cjson.null },
            ["whose sid is a number"] = logout_token { sid = 7 },
            ["that is old"] = logout_token { sid = "s5", iat = now - 3600, exp = cjson.null },
            ["that has ended"] = logout_token { sid = "s5", exp = now - 60 },
            ["that is none"] = "a.b.c",
        } do
            assert.equal(400, send(token), name)
        end
        assert.equal(400, send(nil, "logout_token=a&logout_token=b"))
        assert.equal(400, send(nil, ""))
        assert.equal(405, running:browser():get("/oidc/backchannel-logout").status)
        assert.equal(200, one:get("/app/x").status)
    end)

    it("has a session that the provider's frame ends without cookies, by issuer and sid", function()
        local one = running:browser()
        one:evil_login { claims = { sid = "s9" } }
        local function frame(query)
            return running:browser():get("/oidc/frontchannel-logout?" .. query).status
        end
        local issuer = "iss=" .. evil.issuer:gsub("[:/]", { [":"] = "%3A", ["/"] = "%2F" })
        assert.equal(400, frame("sid=s9"))
        assert.equal(400, frame("iss=http%3A%2F%2Fevil.test&sid=s9"))
        assert.equal(400, frame(issuer))
        assert.equal(200, frame(issuer .. "&sid=other"))
        assert.equal(200, one:get("/app/x").status)
        local answer = http.request(running.port, { path = "/oidc/frontchannel-logout?" .. issuer .. "&sid=s9" })
        assert.equal(200, answer.status)
        assert.is_nil(answer.headers["x-frame-options"])
        assert.equal(401, one:get("/app/x").status)
    end)
end)

describe("with TLS, the cookies of OpenID Connect", function()
    local running

    setup(function()
        running = assert(oidc.start { provider = { pushed_requests = false }, settings = function()
            return { cookie_secure = true, behind_tls = true }
        end })
    end)
    teardown(function() running:stop() end)

    it("bear the prefix that no subdomain can set, and no other name is taken: cookie tossing", function()
        local one = running:browser()
        local callback = one:to_callback("/app")
        local key, value = next(one:cookies())
        assert.truthy(key:find("^__Host%-oidc_session_login_"), key)
        local victim = running:browser()
        victim:cookies()[key:gsub("^__Host%-", "")] = value
        victim:cookies()[key:gsub("^__Host%-", "__Secure-")] = value
        assert.equal(400, victim:visit(callback).status)
        assert.equal(302, one:visit(callback).status)
        local id = assert(one:cookies()["__Host-oidc_session"])
        victim:cookies().oidc_session = id
        assert.equal(401, victim:get("/app/x").status)
        assert.equal(200, one:get("/app/x").status)
    end)
end)
