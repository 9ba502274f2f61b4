-- Phantom tokens: the requests to the API and the authorization server, and the answers to the client.

local cjson = require "cjson.safe"
local phantom = require "support.phantom"
local process = require "support.process"

local UNAUTHORIZED = '{"code":"unauthorized","message":"Missing, invalid or expired access token"}'
local ORIGIN = "https://app.example.com"

-- With it, proxy_set_header writes the API's token.
local PROXY = "include phantom_proxy.conf;"

local function in_an_hour()
    return os.time() + 3600
end

local function payload_of(jwt)
    local text = jwt:match("^Bearer [%w_-]+%.([%w_-]+)%."):gsub("-", "+"):gsub("_", "/")
    return cjson.decode((require("mime").unb64(text .. ("="):rep(-#text % 4))))
end

describe("phantom tokens", function()
    local running, http2_port

    setup(function()
        http2_port = process.free_port()
        running = phantom.start {
            listen = ("underscores_in_headers on; listen 127.0.0.1:%d http2;"):format(http2_port),
            bare = function() return { bare = {}, bare_upstream = { upstream = "kept" } } end,
            functions = { execute = "execute" },
            includes = { variable = PROXY, variable_headers = PROXY, variable_pass = PROXY, variable_write = PROXY,
                variable_answer = PROXY, variable_missing = PROXY },
            locations = function(self)
                local json = { signing_key = self.key, signing_key_id = "gateway-1", token_cache_seconds = 7 }
                return {
                    api = { trusted_web_origins = { ORIGIN }, token_cache_seconds = 900 },
                    execute = { time_to_live_seconds = 300 },
                    read = { scope = "read" },
                    write = { scope = "write" },
                    both = { scope = "read write" },
                    list = { scope = { "read", "write" } },
                    sign = json,
                    headers = { claim_headers = { ["X-Subject"] = "sub", ["X-Roles"] = "roles" } },
                    lookalike = { headers = { ["X-Subject"] = "sub" } },
                    forbidden = { headers = { Cookie = "sub" } },
                    verify = { verify_key = self.key .. ".pub" },
                    audience = { audience = { "api", "other" }, issuer = "https://as.example" },
                    variable = {},
                    variable_headers = { claim_headers = { ["X-Subject"] = "sub" } },
                    variable_pass = { preflight = "pass" },
                    variable_write = { scope = "write" },
                    variable_answer = { preflight = "answer" },
                    variable_missing = { client_secret = phantom.ABSENT },
                    named = { cache_name = "other-name" },
                    nameless = { cache_name = "no-such-dictionary" },
                    nameless_keys = { cache_name = "no-such-dictionary", verify_key = "http://127.0.0.1:1/" },
                    other = { client_id = "another-client" },
                    answer = { preflight = "answer", trusted_web_origins = { ORIGIN } },
                    pass = { preflight = "pass" },
                    scopeless = { scope = "" },
                    blank = { scope = " " },
                    raw = { client_encoding = "none" },
                    colon = { client_encoding = "none", client_id = "a:b" },
                    demanded = { preflight = "token" },
                    missing = { client_secret = phantom.ABSENT },
                    unknown = { client_secrets = "x" },
                    mistyped = { token_cache_seconds = "900" },
                    twice = { token_cache_seconds = 1, time_to_live_seconds = 1 },
                    nokey = { verify_key = "/no/such/file" },
                    nourl = { introspection_endpoint = "ftp://x/" },
                }
            end,
        }
    end)
    teardown(function() running:stop() end)

    local function is_unauthorized(response)
        assert.same({ 401, UNAUTHORIZED }, { response.status, response.body })
        assert.equal("application/json", response.headers["content-type"])
        assert.truthy(response.headers["www-authenticate"]:find("^Bearer"))
        assert.is_nil(response.headers["retry-after"])
    end

    local function is_server_error(response)
        assert.equal(503, response.status)
        assert.equal("server_error", cjson.decode(response.body).code)
        assert.truthy(tonumber(response.headers["retry-after"]))
        assert.is_nil(response.headers["www-authenticate"])
    end

    local function api_saw(response)
        assert.equal(200, response.status, response.body)
        return cjson.decode(response.body).headers
    end

    -- nginx writes the log line after the answer.
    local function is_logged(path, cache, reason)
        process.wait_until(("the log's last line of %s said %q and %q"):format(path, cache, reason), function()
            local entry = running.gate:logged(path)
            return entry.cache == cache and entry.reason == reason
        end)
    end

    describe("the exchange", function()
        it("replaces the opaque token by the server's JWT, by run and by execute", function()
            for _, path in ipairs { "/api", "/execute" } do
                local seen = api_saw(running:get(path, { kind = "jwt", claims = { sub = "s-" .. path } }))
                assert.equal("s-" .. path, payload_of(seen.authorization).sub)
            end
        end)

        it("sends its credentials as they are to a server that does not decode them", function()
            local before = #running:asked()
            api_saw(running:get("/raw", { kind = "jwt", claims = { sub = "raw" } }))
            local basic = running:asked()[before + 1].headers.authorization:match("^Basic (.+)$")
            assert.equal("introspection-client:s p:%&\195\169", (require("mime").unb64(basic)))
            assert.equal(500, running:get("/colon", { kind = "jwt", claims = { sub = "raw" } }).status)
        end)

        it("needs no scope where the configuration's is empty", function()
            for _, path in ipairs { "/scopeless", "/blank" } do
                assert.equal(200, running:get(path, { kind = "jwt", claims = { sub = path } }).status)
            end
        end)

        it("sends a standard request, with nothing of the client's request in it but its trace", function()
            local token = phantom.token({ kind = "jwt", claims = { sub = "wire" } }) .. "=="
            local before = #running:asked()
            api_saw(running:get("/api?secret=1", token, { Cookie = "c=1", ["X-Private"] = "p", Accept = "text/html" }))
            local question = running:asked()[before + 1]
            assert.same({ "POST", "/introspect" }, { question.method, question.url })
            assert.equal("token=" .. token:gsub("=", "%%3D") .. "&token_type_hint=access_token", question.body)
            -- RFC 6749 §2.3.1: each half is form-encoded, then they are joined.
            local basic = question.headers.authorization:match("^Basic (.+)$")
            assert.equal("introspection-client:s%20p%3A%25%26%C3%A9", (require("mime").unb64(basic)))
            assert.equal("application/x-www-form-urlencoded", question.headers["content-type"])
            assert.truthy(question.headers.accept:find("^application/jwt, application/token%-introspection%+jwt;q="))
            local names = {}
            for name in pairs(question.headers) do names[#names + 1] = name end
            table.sort(names)
            assert.same({ "accept", "authorization", "content-length", "content-type", "host", "traceparent" }, names)
        end)

        it("accepts JWTs of up to 32 KB", function()
            local seen = api_saw(running:get("/api", { kind = "jwt", fill = 24100, claims = { sub = "large" } }))
            assert.truthy(#seen.authorization > 31 * 1024 and #seen.authorization < 32 * 1024)
            assert.equal("large", payload_of(seen.authorization).sub)
            is_server_error(running:get("/api", { kind = "jwt", fill = 25000, claims = { sub = "too large" } }))
        end)

        it("passes the JWT on by a variable with phantom_proxy.conf, and nothing else", function()
            local directive = { kind = "jwt", fill = 24000, claims = { sub = "by variable", scope = "read" } }
            for _ = 1, 6 do
                local seen = api_saw(running:get("/variable", directive))
                assert.equal("by variable", payload_of(seen.authorization).sub)
            end
            is_logged("/variable", "hit", "")
            -- The client's own header is unchanged, and is not passed on.
            local seen = api_saw(running:get("/variable_headers", directive, { ["X-Subject"] = "me" }))
            assert.same({ "by%20variable", nil }, { seen["x-subject"], seen.authorization })
            assert.equal(403, running:get("/variable_write", directive).status)
            local preflight = running.gate:request { method = "OPTIONS", path = "/variable_pass", headers = {
                { "Origin", ORIGIN }, { "Access-Control-Request-Method", "PUT" }, { "Authorization", "Bearer x" } } }
            assert.is_nil(api_saw(preflight).authorization)
            is_logged("/variable_pass", "", "")
            is_unauthorized(running:get("/variable"))
            is_logged("/variable", "", "token_missing")
            is_unauthorized(running:get("/variable", { kind = "inactive" }))
            -- Other locations work as before.
            assert.equal("by variable", payload_of(api_saw(running:get("/api", directive)).authorization).sub)
        end)

        it("streams a large body unchanged, without a file, while the token is new", function()
            local token = phantom.token { kind = "jwt", claims = { sub = "upload" } }
            local output = process.run(("head -c 40M /dev/zero | curl -sS -T - -H 'Authorization: Bearer %s' %s:%d/api")
                :format(token, "http://127.0.0.1", running.gate.port))
            assert.equal(40 * 1024 * 1024, cjson.decode(output).body_bytes)
            assert.equal("", process.run("find " .. running.gate.directory .. "/tmp -type f"))
            assert.is_nil(running.gate:error_log():find("buffered to a temporary file", 1, true))
        end)

        it("signs plain JSON with the configured key, and sets exp", function()
            local claims = { active = true, sub = "signed", scope = "read" }
            local seen = api_saw(running:get("/sign", { kind = "unsigned_answer", claims = claims }))
            local payload = payload_of(seen.authorization)
            assert.same({ "signed", "read", nil }, { payload.sub, payload.scope, payload.active })
            assert.truthy(payload.exp - payload.iat == 7)
            -- PyJWT verifies the signature.
            local check = "import jwt, sys; t, k = sys.argv[1], open(sys.argv[2]).read(); "
                .. "print(jwt.decode(t, k, ['RS256'])['sub'], jwt.get_unverified_header(t)['kid'])"
            local said = process.run(("/usr/bin/python3 -c %s %s %s.pub"):format(process.quoted(check),
                seen.authorization:match("Bearer (.+)"), running.key))
            assert.equal("signed gateway-1\n", said)
        end)

        it("sends claims as encoded headers, and removes the client's own", function()
            local claims = { active = true, sub = "a\r\nX-Roles: admin", scope = "read" }
            local seen = api_saw(running:get("/headers", { kind = "unsigned_answer", claims = claims },
                { ["X-Roles"] = "root", ["x-subject"] = "me" }))
            assert.equal("a%0D%0AX-Roles:%20admin", seen["x-subject"])
            assert.same({}, { seen["x-roles"], seen.authorization })
        end)

        it("sends claims as auth does: lists with commas, exact numbers, no headers spelt with _", function()
            local roles = { "read", "a, b" }
            local directive = { kind = "unsigned_answer", claims = { active = true, sub = "s", roles = roles } }
            for _ = 1, 2 do -- asked, then known
                local seen = api_saw(running:get("/headers", directive, { ["X_Subject"] = "me", ["x_roles"] = "root" }))
                assert.same({ "s", "read,a%2C%20b" }, { seen["x-subject"], seen["x-roles"] })
                assert.is_nil(seen.x_subject or seen.x_roles)
            end
            directive.claims = { active = true, sub = ("x"):rep(8193) }
            local response = running:get("/lookalike", directive)
            assert.same({ 403, 'Bearer error="insufficient_scope"' },
                { response.status, response.headers["www-authenticate"] })
        end)

        it("accepts a signed answer, and no other JWT in its place", function()
            local claims = { active = true, sub = "s" }
            local seen = api_saw(running:get("/api", { kind = "signed_answer", claims = claims }))
            assert.equal("s", payload_of(seen.authorization).token_introspection.sub)
            is_unauthorized(running:get("/api", { kind = "signed_answer", claims = { active = false } }))
            is_server_error(running:get("/api", { kind = "signed_answer", claims = claims, typ = "at+jwt" }))
        end)

        it("verifies the server's JWT when a key is configured", function()
            api_saw(running:get("/verify", { kind = "jwt", claims = { sub = "v", exp = in_an_hour() } }))
            local forged = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
            is_server_error(running:get("/verify", { kind = "raw", status = 200, body = forged,
                headers = { ["content-type"] = "application/jwt" } }))
            local unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."
            is_server_error(running:get("/verify", { kind = "raw", status = 200, body = unsigned,
                headers = { ["content-type"] = "application/jwt" } }))
        end)

        it("refuses a JWT with another issuer or audience", function()
            local claims = { iss = "https://as.example", aud = "api" }
            api_saw(running:get("/audience", { kind = "jwt", claims = claims }))
            is_unauthorized(running:get("/audience", { kind = "jwt", claims = { iss = claims.iss, aud = "x" } }))
            is_logged("/audience", "miss", "audience_not_allowed")
            is_unauthorized(running:get("/audience", { kind = "jwt", claims = { iss = "https://x", aud = "api" } }))
            is_server_error(running:get("/audience", { kind = "jwt", claims = { aud = "api" } }))
        end)

        it("logs the missing setting when the server answers JSON without signing_key and headers", function()
            is_server_error(running:get("/api", { kind = "unsigned_answer", claims = { active = true } }))
            assert.truthy(running.gate:error_log():find("set signing_key or headers", 1, true))
        end)
    end)

    describe("a refused token", function()
        it("is a 401 with a constant body, whatever the fault", function()
            local missing = running:get("/api")
            is_unauthorized(missing)
            assert.equal("Bearer", missing.headers["www-authenticate"])
            local invalid = running:get("/api", { kind = "inactive" })
            is_unauthorized(invalid)
            assert.equal('Bearer error="invalid_token"', invalid.headers["www-authenticate"])
            is_unauthorized(running:get("/sign", { kind = "unsigned_answer", claims = { active = false } }))
            is_unauthorized(running:get("/api", { kind = "jwt", claims = { exp = os.time() - 60 } }))
            is_unauthorized(running:get("/sign", { kind = "unsigned_answer",
                claims = { active = true, exp = os.time() - 60 } }))
        end)

        it("is a 401 without introspection when it is malformed", function()
            local before = #running:asked()
            for _, value in ipairs { "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer a,b",
                "Bearer \"a\"", "Bearer " .. ("x"):rep(16385), "bearer:x" } do
                is_unauthorized(running.gate:request { path = "/api", headers = { { "Authorization", value } } })
            end
            assert.equal(before, #running:asked())
        end)

        it("is a 403 when it lacks a required scope", function()
            local directive = { kind = "jwt", claims = { scope = "read readwrite" } }
            api_saw(running:get("/read", directive))
            for _, path in ipairs { "/write", "/both" } do
                local response = running:get(path, directive)
                assert.equal(403, response.status)
                assert.equal("forbidden", cjson.decode(response.body).code)
                assert.truthy(response.headers["www-authenticate"]:find('error="insufficient_scope", scope="', 1, true))
            end
            -- By the same rule as auth.
            for _, claims in ipairs { { scope = { "write", "read" } }, { scp = { "read", "write" } },
                { scope = "read", scp = "write" } } do
                api_saw(running:get("/both", { kind = "jwt", claims = claims }))
                api_saw(running:get("/list", { kind = "jwt", claims = claims }))
            end
            assert.equal(403, running:get("/read", { kind = "jwt", claims = { sub = "without scope" } }).status)
        end)
    end)

    describe("CORS", function()
        it("lets only trusted origins read errors", function()
            local trusted = running:get("/api", nil, { Origin = ORIGIN })
            is_unauthorized(trusted)
            assert.same({ ORIGIN, "true", "Origin" }, { trusted.headers["access-control-allow-origin"],
                trusted.headers["access-control-allow-credentials"], trusted.headers.vary })
            for _, origin in ipairs { "https://evil.example.com", ORIGIN .. ".evil", "null" } do
                assert.is_nil(running:get("/api", nil, { Origin = origin }).headers["access-control-allow-origin"])
            end
            assert.is_nil(running:get("/execute", nil, { Origin = ORIGIN }).headers["access-control-allow-origin"])
        end)

        it("answers a preflight, passes it on, or requires a token, by `preflight`", function()
            local function preflight(path, origin)
                return running.gate:request { method = "OPTIONS", path = path, headers = { { "Origin", origin },
                    { "Access-Control-Request-Method", "PUT" }, { "Access-Control-Request-Headers", "authorization" },
                    { "Authorization", "Bearer forged.jwt.x" } } }
            end
            local answered = preflight("/answer", ORIGIN)
            assert.same({ 204, ORIGIN, "authorization" }, { answered.status,
                answered.headers["access-control-allow-origin"], answered.headers["access-control-allow-headers"] })
            assert.is_nil(preflight("/answer", "https://evil.example.com").headers["access-control-allow-origin"])
            assert.is_nil(api_saw(preflight("/pass", ORIGIN)).authorization)
            assert.is_nil(api_saw(preflight("/api", ORIGIN)).authorization)
            is_unauthorized(preflight("/demanded", ORIGIN))
            is_unauthorized(running.gate:request { method = "OPTIONS", path = "/answer" })
            assert.equal(204, preflight("/variable_answer", ORIGIN).status)
            is_logged("/variable_answer", "", "")
        end)
    end)

    describe("a configuration", function()
        it("with a mistake raises an error that names the field, and no secret", function()
            for path, sentence in pairs {
                missing = 'the field "client_secret" is missing',
                unknown = 'there is no field "client_secrets"',
                mistyped = 'the field "token_cache_seconds" must be a whole number of seconds from 0 to 86400',
                twice = 'the field "token_cache_seconds" is given twice',
                nokey = "the key file /no/such/file cannot be read",
                forbidden = 'the field "headers" cannot set a header "Cookie"',
                nourl = "the field \"introspection_endpoint\" must be a URL that starts with http:// or https://",
            } do
                assert.equal(500, running:get("/" .. path, "x").status)
                assert.truthy(running.gate:error_log():find("phantom_token: " .. sentence, 1, true), sentence)
            end
            assert.equal(500, running:get("/variable_missing", "x").status)
            is_logged("/variable_missing", "", "")
        end)

        it("has its own part of the cache", function()
            local directive = { kind = "jwt", claims = { sub = "shared?" } }
            local before = #running:asked()
            api_saw(running:get("/api", directive))
            api_saw(running:get("/other", directive))
            api_saw(running:get("/named", directive))
            assert.equal(before + 3, #running:asked())
        end)

        it("without its dictionary answers 503 and logs the reason", function()
            for _, path in ipairs { "/nameless", "/nameless_keys" } do
                local before = #running.gate:error_log()
                is_server_error(running:get(path, "x"))
                local logged = running.gate:error_log():sub(before + 1)
                local _, lines = logged:gsub("dict no%-such%-dictionary is missing", "")
                assert.equal(1, lines, path)
            end
        end)

        it("works without phantom_token.conf, and sends the same request", function()
            local directive = { kind = "jwt", fill = 24000, claims = { sub = "direct", scope = "read" } }
            local before = #running:asked()
            for _ = 1, 3 do
                assert.equal("direct", payload_of(api_saw(running:get_bare("/bare", directive)).authorization).sub)
            end
            assert.equal(before + 1, #running:asked())
            local question = running:asked()[before + 1]
            assert.same({ "POST", "/introspect" }, { question.method, question.url })
            assert.equal("introspection-client:s%20p%3A%25%26%C3%A9",
                (require("mime").unb64(question.headers.authorization:match("^Basic (.+)$"))))
            local names = {}
            for name in pairs(question.headers) do names[#names + 1] = name end
            table.sort(names)
            assert.same({ "accept", "authorization", "connection", "content-length", "content-type", "host",
                "traceparent" }, names)
            is_unauthorized(running:get_bare("/bare", { kind = "inactive" }))
            is_server_error(running:get_bare("/bare_upstream", directive))
            assert.truthy(running.gate:error_log():find("`include phantom_token.conf;` alone", 1, true))
        end)

        it("keeps its internal locations internal", function()
            for _, name in ipairs { "verified", "unverified", "variables" } do
                assert.equal(404, running:get("/.route_native/outbound/" .. name).status)
            end
        end)
    end)

    it("are exchanged over HTTP/2 where nginx allows it, and get a clear error elsewhere", function()
        local token = phantom.token { kind = "jwt", claims = { sub = "h2" } }
        local function get(path, port)
            local text, status = process.run(("curl -sS --http2-prior-knowledge -m 20 -w '\\n%%{http_code}' -H "
                .. "'Authorization: Bearer %s' http://127.0.0.1:%d%s"):format(token, port or http2_port, path))
            assert.equal(0, status, text)
            return tonumber(text:match("(%d+)$")), text
        end
        local status, text = get("/api")
        if status ~= 200 then
            assert.equal(503, status)
            assert.truthy(text:find('"code":"server_error"', 1, true))
            assert.truthy(running.gate:error_log():find("within an HTTP/2 request", 1, true))
        end
        -- Without phantom_token.conf, every nginx works.
        assert.equal(200, (get("/bare", running.bare_http2_port)))
        -- A cached token needs no introspection.
        api_saw(running:get("/api", token))
        assert.equal(200, (get("/api")))
    end)

    it("leave no token, secret or JWT in any log", function()
        local logs = running.gate:error_log() .. running.gate:access_log()
        for _, secret in ipairs { "s p:%&", "s%20p", "c%20p", "eyJ", "introspection-client" } do
            assert.is_nil(logs:find(secret, 1, true), secret)
        end
    end)
end)
