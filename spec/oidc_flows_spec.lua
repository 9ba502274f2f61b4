-- The ways in which providers and clients of OpenID Connect differ: client authentication, pushed requests, encrypted
-- ID tokens, UserInfo, several providers, several gates.

local oidc = require "support.oidc"
local process = require "support.process"
local gateway = require "support.gateway"

-- Makes a key with openssl. Returns the path of the private key and the public key as a JWK of oidc-provider.
local function new_key(directory, use, algorithm)
    local path = directory .. "/" .. use .. ".pem"
    local output, status = process.run("openssl genrsa -out " .. path .. " 2048")
    assert(status == 0, output)
    local jwk = process.run(("node -e %s %s"):format(process.quoted([[
        const key = require("crypto").createPublicKey(require("fs").readFileSync(process.argv[1]));
        process.stdout.write(JSON.stringify(key.export({ format: "jwk" })))]]), path))
    local key = require("cjson").decode(jwk)
    key.use, key.alg, key.kid = use, algorithm, use
    return path, key
end

describe("OpenID Connect works with", function()
    local directory

    setup(function()
        directory = process.temporary_directory()
    end)
    teardown(function() process.run("rm -rf " .. directory) end)

    local function works(options, check)
        local running = assert(oidc.start(options))
        local ok, err = pcall(function()
            local one = running:logged_in()
            assert.equal("demo", oidc.received(one:get("/app/x")).headers["x-auth-user"])
            if check then
                check(running, one)
            end
        end)
        running:stop()
        assert(ok, err)
    end

    it("client_secret_post", function()
        works { provider = { token_endpoint_auth_method = "client_secret_post" },
            provider_options = { client = { token_endpoint_auth_method = "client_secret_post" } } }
    end)

    it("private_key_jwt, also for pushed requests and refreshes", function()
        local path, jwk = new_key(directory, "sig", "RS256")
        local provider = { token_endpoint_auth_method = "private_key_jwt", client_key_file = path,
            client_key_id = "sig", client_algorithm = "RS256", refresh_before = 3600 }
        works({ provider = provider, provider_options = { client = {
            token_endpoint_auth_method = "private_key_jwt", token_endpoint_auth_signing_alg = "RS256",
            jwks = { keys = { jwk } },
        } } }, function(running)
            assert.equal(1, running:control("/counts")["grant refresh_token"])
        end)
    end)

    it("a public client, by PKCE alone", function()
        works { provider = { token_endpoint_auth_method = "none" },
            provider_options = { client = { token_endpoint_auth_method = "none" } } }
    end)

    it("pushed authorization requests: the browser carries no parameter", function()
        local running = assert(oidc.start { provider_options = { features = { pushedAuthorizationRequests = {
            enabled = true, requirePushedAuthorizationRequests = true } } } })
        local one = running:browser()
        local query = one:visit("/app/x").location:match("%?(.*)")
        assert.truthy(query:find("^client_id=gateway&request_uri=urn%%3A[%w%%._~-]+$"), query)
        running:logged_in()
        running:fault("/request", "error")
        assert.equal(503, running:browser():visit("/app/x").status)
        running:stop()
    end)

    it("encrypted ID tokens, and refuses others where they must be encrypted", function()
        local path, jwk = new_key(directory, "enc", "RSA-OAEP-256")
        local client = { id_token_encrypted_response_alg = "RSA-OAEP-256", id_token_encrypted_response_enc = "A256GCM",
            jwks = { keys = { jwk } } }
        works { provider = { id_token_key_file = path },
            provider_options = { client = client, features = { encryption = { enabled = true } } } }
        local running = assert(oidc.start { provider = { id_token_key_file = path } })
        assert.equal(400, running:browser():login("/app/x").status)
        running:stop()
    end)

    it("registered algorithms alone: a provider without keys for them is 503", function()
        local running = assert(oidc.start { provider = { id_token_algorithms = { "ES256", "EdDSA" } } })
        assert.equal(503, running:browser():login("/app/x").status)
        running:stop()
    end)

    it("ID tokens that the client's secret signs, where they are registered", function()
        works { provider = { id_token_algorithms = "HS256" },
            provider_options = { client = { id_token_signed_response_alg = "HS256" },
                provider = { enabledJWA = { idTokenSigningAlgValues = { "RS256", "HS256" } } } } }
    end)

    it("UserInfo as a JWT", function()
        works({ provider_options = { client = { userinfo_signed_response_alg = "RS256" },
            features = { jwtUserinfo = { enabled = true } } } }, function(_, one)
            assert.equal("demo@example.com", oidc.received(one:get("/app/x")).headers["x-auth-email"])
        end)
    end)

    it("metadata in the configuration, for a provider without discovery", function()
        works { settings = function(running)
            return { providers = { id = {
                issuer = running.issuer, client_id = "gateway", client_secret = "Gateway-secret-of-the-example-1",
                metadata = {
                    issuer = running.issuer, authorization_endpoint = running.issuer .. "/auth",
                    token_endpoint = running.issuer .. "/token", jwks_uri = running.issuer .. "/jwks",
                },
            } } }
        end }
    end)
end)

describe("several providers", function()
    local evil, running

    setup(function()
        evil = oidc.evil()
        running = assert(oidc.start { settings = function(self)
            return {
                providers = {
                    id = { issuer = self.issuer, client_id = "gateway", pushed_requests = false,
                        client_secret = "Gateway-secret-of-the-example-1", title = "Staff <& others>" },
                    evil = { issuer = evil.issuer, client_id = "gateway", title = "Partners",
                        client_secret = "Gateway-secret-of-the-example-1" },
                },
                policies = {
                    default = { headers = { ["X-Auth-User"] = "sub" } },
                    partners = { provider = "evil", headers = { ["X-Auth-User"] = "sub" } },
                    open = { unauthenticated = "pass", headers = { ["X-Auth-User"] = "sub" } },
                    closed = { unauthenticated = "refuse" },
                    admin = {},
                },
            }
        end, site = function(site)
            return (site:gsub("location = /logout", function(found)
                local locations = ""
                for _, name in ipairs { "partners", "open", "closed" } do
                    locations = locations .. ([[location /%s {
                        access_by_lua_block { require("route_native.oidc").access("%s") }
                        include oidc_proxy.conf;
                        proxy_pass http://api;
                    }
                    ]]):format(name, name)
                end
                return locations .. found
            end, 1))
        end })
    end)
    teardown(function()
        running:stop()
        evil.stop()
    end)

    it("are a page of links, which needs no script", function()
        local one = running:browser()
        local page = one:visit(one:visit("/app/wanted?a=1&b=2").location)
        assert.equal(200, page.status)
        assert.is_nil(page.body:find("<script", 1, true))
        assert.truthy(page.body:find("Staff &lt;&amp; others&gt;", 1, true))
        local link = page.body:match('href="([^"]*provider=id)"'):gsub("&amp;", "&")
        assert.equal(running.origin .. "/app/wanted?a=1&b=2", one:login(link).location)
        assert.equal("demo", oidc.received(one:get("/app/x")).headers["x-auth-user"])
    end)

    it("are chosen by the location, and a session of the one does not open what needs the other", function()
        local one = running:browser()
        local response = one:visit("/partners/x")
        assert.equal(1, (response.location:find(evil.issuer, 1, true)))
        one:login("/oidc/login?provider=id")
        assert.equal(401, one:get("/partners/x").status)
        assert.equal(200, one:get("/app/x").status)
        local state, nonce = response.location:match("[?&]state=([%w_-]+)"), response.location:match("nonce=([%w_-]+)")
        local code = oidc.directive { nonce = nonce, claims = { sub = "partner" } }
        assert.equal(302, one:visit("/app/callback?code=" .. code .. "&state=" .. state).status)
        assert.equal("partner", oidc.received(one:get("/partners/x")).headers["x-auth-user"])
    end)

    it("cannot answer for each other: mix-up", function()
        local one = running:browser()
        evil.counts()
        -- The honest provider's code comes back with the state of the other login.
        local state = one:visit("/partners/x").location:match("[?&]state=([%w_-]+)")
        local honest = one:to_callback("/oidc/login?provider=id")
        assert.equal(400, one:visit((honest:gsub("state=[^&]+", "state=" .. state))).status)
        assert.is_nil(one:session())
        assert.is_nil(evil.counts()["/token"])
    end)

    it("let a location pass without a session, without headers of the client", function()
        local one = running:browser()
        local received = oidc.received(one:fetch("/open/x", { headers = { { "X-Auth-User", "admin" } } }))
        assert.is_nil(received.headers["x-auth-user"])
        one:login("/oidc/login?provider=id")
        assert.equal("demo", oidc.received(one:get("/open/x")).headers["x-auth-user"])
        assert.equal(401, running:browser():visit("/closed/x").status)
    end)
end)

describe("two gates that share a store", function()
    it("share no session", function()
        local first = assert(oidc.start { store = "redis" })
        local second = assert(oidc.start { store = "redis", beside = first, settings = function()
            return { name = "second" }
        end, site = function(site)
            return (site:gsub("include oidc.conf;", "%0\n    set $oidc_gate second;"))
        end })
        local id = first:logged_in():session()
        local other = second:browser()
        other:cookies().oidc_session = id
        assert.equal(401, other:get("/app/x").status)
        second:stop()
        first:stop()
    end)
end)

describe("a wrong setting of OpenID Connect", function()
    for sentence, settings in pairs {
        ['the field "providers.id.issuer" is missing'] = { providers = { id = { client_id = "x" } } },
        ['there is no field "providers.id.isuer"'] = { providers = { id = { isuer = "x" } } },
        ['the field "providers.id.id_token_algorithms" cannot have "none": everybody could sign']
            = { providers = { id = { issuer = "http://x", client_id = "x", id_token_algorithms = "none" } } },
        ['the field "providers.id.id_token_algorithms" mixes HMAC with signatures'] = { providers = { id = {
            issuer = "http://x", client_id = "x", client_secret = "s", id_token_algorithms = { "RS256", "HS256" } } } },
        ['the field "providers.id.scope" must have the scope openid']
            = { providers = { id = { issuer = "http://x", client_id = "x", scope = "email" } } },
        ['the field "providers.id.client_secret" is missing, and client_secret_post needs it'] = { providers = { id = {
            issuer = "http://x", client_id = "x", token_endpoint_auth_method = "client_secret_post" } } },
        ['the field "providers.id.authorization_params" cannot set "state"'] = { providers = { id = {
            issuer = "http://x", client_id = "x", authorization_params = { state = "x" } } } },
        ['the fields "callback_path" and "login_path" have the same path'] = { login_path = "/app/callback" },
        ['the field "policies.a.provider" must name a provider'] = { policies = { a = { provider = "none" } } },
        ["absolute_timeout (90000 s) must not be longer than key_rotation (86400 s)"] = { absolute_timeout = 90000 },
    } do
        if settings then
            it("keeps nginx from starting: " .. sentence, function()
                local running, said = oidc.start { issuer = "http://127.0.0.1:1", settings = function()
                    return settings
                end }
                if running then
                    running:stop()
                end
                assert.is_nil(running)
                assert.truthy(said:find("route_native: oidc: " .. sentence, 1, true), said)
            end)
        end
    end

    it("is a missing dictionary too", function()
        local running, said = oidc.start { issuer = "http://127.0.0.1:1", site = function(site)
            local http_part = process.read(gateway.ROOT .. "/conf/oidc_http.conf")
                :gsub("lua_shared_dict oidc_cache[^\n]*", "")
            return (site:gsub("include oidc_http.conf;", function() return http_part end))
        end }
        assert.is_nil(running)
        assert.truthy(said:find("lua_shared_dict oidc_cache is missing; include oidc_http.conf in http", 1, true), said)
    end)
end)
