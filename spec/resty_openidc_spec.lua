-- route_native.resty_openidc: the documented API of lua-resty-openidc, with the examples of its README.

local auth = require "support.auth"
local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local oidc = require "support.oidc"
local process = require "support.process"
local token = require "support.token"

-- The example "Sign in" of the README: the options are a table of each request. NAME and MORE vary.
local LOCATION = [[
    location /NAME {
        access_by_lua_block {
            local opts = {
                redirect_uri_path = "/app/callback",
                discovery = "ISSUER/.well-known/openid-configuration",
                client_id = "gateway",
                client_secret = "Gateway-secret-of-the-example-1",
                MORE
            }
            -- call authenticate for OpenID Connect user authentication
            local res, err, target, session = require("route_native.resty_openidc").authenticate(opts, ARGUMENTS)
            if err then
                ngx.status = 500
                ngx.say(err)
                ngx.exit(ngx.HTTP_INTERNAL_SERVER_ERROR)
            end
            -- set headers with user info (overwriting any existing!)
            ngx.req.set_header("X-USER", res and res.id_token and res.id_token.sub)
            ngx.req.set_header("X-RESULT", require("cjson").encode { res or ngx.null, target or ngx.null,
                session and session.present or ngx.null })
        }
        proxy_pass http://api;
    }
]]

local FUNCTIONS = [[
    location = /functions {
        content_by_lua_block {
            local openidc = require "route_native.resty_openidc"
            local opts = { redirect_uri = "/app/callback", discovery = "ISSUER/.well-known/openid-configuration",
                client_id = "gateway", client_secret = "Gateway-secret-of-the-example-1", }
            local token, err = openidc.access_token(opts)
            local user, user_err = openidc.call_userinfo_endpoint(opts, token or "none")
            local document = openidc.get_discovery_doc(opts)
            local is_revoked = ngx.var.arg_revoke and openidc.revoke_tokens(opts)
            openidc.invalidate_caches()
            ngx.print(require("cjson").encode { token = token or ngx.null, err = err or ngx.null,
                user = user or ngx.null, user_err = user_err or ngx.null, issuer = document and document.issuer,
                revoked = is_revoked })
        }
    }
    location = /introspect {
        content_by_lua_block {
            local res, err = require("route_native.resty_openidc").introspect {
                introspection_endpoint = "ISSUER/token/introspection", client_id = "introspection-client",
                client_secret = "Password1", introspection_endpoint_auth_method = "client_secret_basic",
                introspection_params = { extra = "x" },
            }
            ngx.print(require("cjson").encode { res or ngx.null, err or ngx.null })
        }
    }
]]

describe("route_native.resty_openidc", function()
    local running

    local VARIANTS = {
        sign_in = {}, pass = { arguments = 'nil, "pass"' }, deny = { arguments = 'nil, "deny"' },
        target = { arguments = '"/sign_in/target?x=1"' },
        contents = { more = "session_contents = { access_token = true, enc_id_token = true }," },
        none_alg = { more = "accept_none_alg = true," },
        proxied = { more = "proxy_opts = { http_proxy = 'http://x' }," },
        typo = { more = "scope = 'email'," },
        secure = { more = "redirect_uri_scheme = 'https', authorization_params = { hd = 'example.com' }," },
        short = { more = "refresh_session_interval = 0," },
        hooks = { more = "lifecycle = { on_created = function() ngx.header['X-Created'] = 'yes' end }," },
        bye = { more = "logout_path = '/bye/out', redirect_after_logout_uri = '/'," },
    }

    setup(function()
        running = assert(oidc.start { provider = { pushed_requests = false }, site = function(site)
            local locations = FUNCTIONS
            for name, variant in pairs(VARIANTS) do
                local values = { NAME = name, MORE = variant.more or "", ARGUMENTS = variant.arguments or "nil" }
                locations = locations .. LOCATION:gsub("%f[%w]%u%u%u%u+%f[%W]", values)
            end
            -- The callback of lua-resty-openidc is answered by authenticate().
            local app = { NAME = "app", MORE = "", ARGUMENTS = "nil" }
            locations = locations .. LOCATION:gsub("%f[%w]%u%u%u%u+%f[%W]", app)
            site = site:gsub("\n    # Users%. .-(\n    location = /logout)", "%1", 1)
            return (site:gsub("location = /logout", function(found)
                return locations:gsub("ISSUER", "@ISSUER@") .. found
            end, 1):gsub("include oidc_upstream.conf;", "lua_shared_dict introspection 1m;\n%0"))
        end })
    end)
    teardown(function() running:stop() end)

    local function result(response)
        local received = oidc.received(response)
        return cjson.decode(received.headers["x-result"]), received
    end

    it("logs in as its README's example says", function()
        local one = running:browser()
        assert.equal(running.origin .. "/sign_in/page?x=1", one:login("/sign_in/page?x=1").location)
        local found, received = result(one:visit("/sign_in/page?x=1"))
        assert.equal("demo", received.headers["x-user"])
        assert.same({ "demo", "demo@example.com" }, { found[1].id_token.sub, found[1].user.email })
        assert.truthy(found[1].access_token)
        assert.is_nil(found[1].enc_id_token)
        assert.same({ "/sign_in/page?x=1", true }, { found[2], found[3] })
        -- Other options of the same client use the same session.
        local other = result(one:visit("/contents/x"))
        assert.is_nil(other[1].id_token)
        assert.truthy(other[1].enc_id_token:find("^eyJ"))
    end)

    it("returns without a redirect for pass and deny", function()
        local one = running:browser()
        assert.is_nil(oidc.received(one:visit("/pass/x")).headers["x-user"])
        local denied = one:visit("/deny/x")
        assert.same({ 500, "unauthorized request\n" }, { denied.status, denied.body })
        assert.equal(401, one:get("/sign_in/x").status)
    end)

    it("restricts its cookies to TLS where the redirect URI has it", function()
        local response = running:browser():visit("/secure/x")
        assert.truthy(response.headers["set-cookie"]:find("^__Host%-oidc_session_login_.*; Secure"))
        assert.truthy(response.location:find("redirect_uri=https%3A%2F%2F", 1, true))
    end)

    it("leads to the target", function()
        local one = running:browser()
        assert.equal(running.origin .. "/sign_in/target?x=1", one:login("/target/x").location)
    end)

    it("logs in again after refresh_session_interval, and calls the lifecycle's functions", function()
        local one = running:browser()
        one:login("/sign_in/x")
        assert.equal(302, one:visit("/short/x").status)
        assert.equal("yes", running:browser():visit("/hooks/x").headers["x-created"])
    end)

    it("logs out at logout_path", function()
        local one = running:browser()
        one:login("/sign_in/x")
        assert.truthy(one:visit("/bye/out").location:find("/session/end?", 1, true))
        assert.equal(401, one:get("/sign_in/x").status)
    end)

    it("refuses what would be unsafe, and what it cannot do, in one sentence", function()
        for name, sentence in pairs {
            none_alg = "accept_none_alg is refused: everybody could sign", proxied = "proxy_opts is not supported",
            typo = 'the field "providers.id.scope" must have the scope openid',
        } do
            local response = running:browser():visit("/" .. name .. "/x")
            assert.equal(500, response.status)
            assert.truthy(response.body:find(sentence, 1, true), response.body)
        end
    end)

    it("has access_token, call_userinfo_endpoint, get_discovery_doc, revoke_tokens and invalidate_caches", function()
        local one = running:browser()
        local before = cjson.decode(one:get("/functions").body)
        assert.same({ cjson.null, "no session: missing", running.issuer }, { before.token, before.err, before.issuer })
        one:login("/sign_in/x")
        local after = cjson.decode(one:get("/functions").body)
        assert.same({ "demo", cjson.null }, { after.user.sub, after.err })
        running:fault("/token/revocation", "error")
        assert.is_false(cjson.decode(one:get("/functions?revoke=1").body).revoked)
        running:fault("/token/revocation", "ok")
        assert.is_true(cjson.decode(one:get("/functions?revoke=1").body).revoked)
        assert.equal(cjson.null, cjson.decode(one:get("/functions").body).user)
    end)

    it("introspects, and caches the answer", function()
        local output = process.run(("curl -s -u test-client:Password1 -d grant_type=client_credentials -d scope=read "
            .. "http://127.0.0.1:%d/token"):format(running.provider_port))
        local access_token = output:match('"access_token":"([^"]+)"')
        running:control("/counts")
        local function ask(value)
            return cjson.decode(running:browser():fetch("/introspect", { headers = value and {
                { "Authorization", "Bearer " .. value } } }).body)
        end
        for _ = 1, 3 do
            assert.equal("test-client", ask(access_token)[1].client_id)
        end
        assert.equal(1, running:control("/counts")["/token/introspection"])
        assert.equal("invalid token", ask("another")[2])
        assert.equal("no Authorization header found", ask()[2])
    end)
end)

describe("route_native.resty_openidc.bearer_jwt_verify", function()
    local gate, keys, directory, evil

    setup(function()
        evil = oidc.evil()
        directory = auth.directory()
        keys = token.keys(directory)
        process.write(directory .. "/site.conf", ([[
            include oidc_http.conf;
            init_by_lua_block {
                openidc = require "route_native.resty_openidc"
                validators = require "route_native.resty_jwt_validators"
                public_key = assert(io.open("%s")):read("*a")
            }
            server {
                include runtime/listen.conf;
                include log_vars.conf;
                # The keys of a provider, and the token in a cookie.
                location /discovered {
                    access_by_lua_block {
                        local res, err = openidc.bearer_jwt_verify {
                            discovery = "%s/.well-known/openid-configuration", auth_accept_token_as = "cookie:token" }
                        ngx.status = err and 403 or 200
                        ngx.say(err or res.sub)
                        ngx.exit(ngx.status)
                    }
                }
                location /api {
                    access_by_lua_block {
                        local opts = { public_key = public_key, token_signing_alg_values_expected = { "RS256" } }
                        local res, err, token = openidc.bearer_jwt_verify(opts,
                            ngx.var.arg_scope and { scope = validators.equals(ngx.var.arg_scope) } or nil)
                        if err or not res then
                            ngx.status = 403
                            ngx.say(err and err or "no access_token provided")
                            ngx.exit(ngx.HTTP_FORBIDDEN)
                        end
                        ngx.say(res.sub, " ", #token)
                        ngx.exit(200)
                    }
                }
            }
        ]]):format(keys.signing_public, evil.issuer))
        gate = assert(gateway.start { demo = false, keys = keys, directory = directory,
            env = { SITE = directory .. "/site.conf" } })
    end)
    teardown(function()
        gate:stop()
        evil.stop()
    end)

    it("takes the keys of a provider by discovery, and the token from a cookie", function()
        local function ask(cookie)
            local response = http.request(gate.port, { path = "/discovered", headers = { { "Cookie", cookie } } })
            return response.status, response.body
        end
        local good, forged = evil.mint { nonce = "n" }, evil.mint { nonce = "n", key = "other" }
        assert.same({ 200, "demo\n" }, { ask("token=" .. good) })
        assert.equal(403, (ask("token=" .. forged)))
        assert.same({ 403, "no Cookie token found\n" }, { ask("token=" .. good .. "; token=" .. forged) })
    end)

    it("verifies as its README's example says", function()
        local good, foreign, ended = unpack(token.mint_all(keys, {
            { claims = { sub = "ada", scope = "edit", exp = os.time() + 600 } },
            { claims = { sub = "ada", exp = os.time() + 600 }, key = keys.other_private },
            { claims = { sub = "ada", exp = os.time() - 600 } },
        }))
        local function ask(path, value)
            local response = http.request(gate.port, { path = path, headers = value and {
                { "Authorization", "Bearer " .. value } } })
            return response.status, response.body
        end
        assert.same({ 200, "ada " .. #good .. "\n" }, { ask("/api", good) })
        assert.same({ 200, "ada " .. #good .. "\n" }, { ask("/api?scope=edit", good) })
        assert.equal(403, (ask("/api?scope=admin", good)))
        assert.equal(403, (ask("/api", foreign)))
        assert.equal(403, (ask("/api", ended)))
        assert.same({ 403, "no Authorization header found\n" }, { ask("/api") })
    end)
end)
