-- Phantom tokens that only their holder can use: `cnf` in every kind of introspection answer (RFC 9449 §6.2, RFC 8705
-- §3.2), on a miss and on a hit.

local cjson = require "cjson.safe"
local http = require "support.http"
local phantom = require "support.phantom"
local proofs = require "support.proofs"

local ORIGIN = "https://api.example.com"
local PAGE = "https://app.example.com"

local SITE = [[
    location ~ ^/bound/(?<name>[a-z]+)$ {
        set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
        rewrite_by_lua_block {
            local config = {
                introspection_endpoint = "http://127.0.0.1:%d/introspect",
                client_id = "introspection-client", client_secret = "secret", trusted_web_origins = { "%s" },
            }
            -- A new table for each request, as users write it.
            local more = {
                required = { dpop = { public_origins = { "%s" } } },
                accepted = { dpop = { public_origins = { "%s" }, mode = "accepted" } },
                scoped = { dpop = { public_origins = { "%s" } }, scope = "write" },
                claims = { dpop = { public_origins = { "%s" } }, headers = { ["X-Subject"] = "sub" } },
                nonce = { dpop = { public_origins = { "%s" }, nonce = true } },
                certificate = { mtls = "required" },
                unaware = {},
            }
            for name, value in pairs(more[ngx.var.name]) do
                config[name] = value
            end
            require("route_native.phantom_token").run(config)
        }
        proxy_pass http://127.0.0.1:$file_service_tcp_port;
    }
]]

describe("phantom tokens for their holder alone", function()
    local running, thumbprint

    setup(function()
        running = phantom.start {
            locations = {},
            http = function() return "lua_shared_dict route_native_dpop 1m;" end,
            site = function(self)
                return (SITE:format(self.server.port, PAGE, ORIGIN, ORIGIN, ORIGIN, ORIGIN, ORIGIN))
            end,
        }
        thumbprint = select(2, proofs.one(running.directory, { htm = "GET", htu = ORIGIN }))
    end)
    teardown(function() running:stop() end)

    -- The numbers of tokens and of requests. Each request has its own query, which the log shows.
    local count, sent = 0, 0

    -- Returns a token that nobody has used, whose answer is of a kind and has a `cnf`.
    local function token(kind, cnf, more)
        count = count + 1
        local claims = { sub = "ada", scope = "read", cnf = cnf, active = kind ~= "jwt" or nil }
        for name, value in pairs(more or {}) do
            claims[name] = value
        end
        return phantom.token({ kind = kind, claims = claims }, "token " .. count)
    end

    local function prove(name, value, more)
        local request = { htm = "GET", htu = ORIGIN .. "/bound/" .. name, token = value }
        for field, it in pairs(more or {}) do
            request[field] = it
        end
        return (proofs.one(running.directory, request))
    end

    local function send(name, scheme, value, ...)
        sent = sent + 1
        local headers = { { "Authorization", scheme .. " " .. value }, { "Origin", PAGE } }
        for _, proof in ipairs { ... } do
            headers[#headers + 1] = { "DPoP", proof }
        end
        return http.request(running.gate.port, { path = ("/bound/%s?n=%d"):format(name, sent), headers = headers })
    end

    -- Returns why the newest request was refused.
    local function reason()
        return running.gate:reason_of("n=" .. sent)
    end

    it("are exchanged with a proof of their holder, on a miss and on each hit", function()
        for _, kind in ipairs { "jwt", "signed_answer" } do
            local value = token(kind, { jkt = thumbprint })
            for _ = 1, 4 do
                local response = send("required", "DPoP", value, prove("required", value))
                assert.equal(200, response.status, response.body)
                local headers = cjson.decode(response.body).headers
                assert.truthy(headers.authorization:find("^Bearer "))
                assert.is_nil(headers.dpop)
            end
        end
        local value = token("unsigned_answer", { jkt = thumbprint })
        local response = send("claims", "DPoP", value, prove("claims", value))
        local headers = cjson.decode(response.body).headers
        assert.same({ 200, "ada" }, { response.status, headers["x-subject"], headers.authorization, headers.dpop })
    end)

    it("are refused for another holder, without a proof and with a used one, on a hit too", function()
        local value = token("jwt", { jkt = thumbprint })
        for _ = 1, 3 do
            local thief = send("required", "DPoP", value, prove("required", value, { key = "thief" }))
            assert.equal(401, thief.status)
            assert.truthy(thief.headers["www-authenticate"]:find('^DPoP error="invalid_token", algs="ES256 '))
            assert.equal("holder_key_mismatch", reason())
            assert.equal(401, send("required", "DPoP", value).status)
            assert.equal("proof_missing", reason())
            local proof = prove("required", value)
            assert.equal(200, send("required", "DPoP", value, proof).status)
            assert.equal(401, send("required", "DPoP", value, proof).status)
            assert.equal("proof_replayed", reason())
            local two = send("required", "DPoP", value, prove("required", value), prove("required", value))
            assert.same({ 401, "proof_ambiguous" }, { two.status, reason() })
        end
    end)

    it("are refused as Bearer if they are bound, and accepted if they are not", function()
        local bound, free = token("jwt", { jkt = thumbprint }), token("jwt", nil)
        for _ = 1, 3 do
            local response = send("accepted", "Bearer", bound)
            assert.same({ 401, "token_bound" }, { response.status, reason() })
            assert.truthy(response.headers["www-authenticate"]:find('^Bearer error="invalid_token", DPoP algs="'))
            assert.equal(200, send("accepted", "Bearer", free).status)
            assert.equal(200, send("accepted", "DPoP", bound, prove("accepted", bound)).status)
            local claimed = send("accepted", "DPoP", free, prove("accepted", free))
            assert.same({ 401, "token_not_bound" }, { claimed.status, reason() })
            assert.equal(401, send("required", "Bearer", free).status)
            assert.equal("token_not_bound", reason())
        end
        local missing = http.request(running.gate.port, { path = "/bound/accepted" })
        assert.truthy(missing.headers["www-authenticate"]:find('^Bearer, DPoP algs="'))
    end)

    it("are refused for a malformed `cnf` and for one that cannot be checked", function()
        for _, case in ipairs {
            { "text", "claim_malformed" }, { 7, "claim_malformed" }, { { jkt = 7 }, "claim_malformed" },
            { cjson.null, "claim_malformed" },
            { { jkt = ("a"):rep(3000) }, "claim_malformed" }, { { kid = "a" }, "token_bound" },
            { { ["x5t#S256"] = ("a"):rep(43) }, "token_bound" },
        } do
            local value = token("jwt", case[1])
            assert.equal(401, send("accepted", "Bearer", value).status)
            assert.equal(case[2], reason())
            -- Who looks at no holder passes it as before.
            assert.equal(200, send("unaware", "Bearer", value).status)
        end
        assert.equal(401, send("certificate", "Bearer", token("jwt", { ["x5t#S256"] = ("a"):rep(43) })).status)
        assert.equal("token_bound", reason())
    end)

    it("get the scope's refusal in the scheme of their token", function()
        local value = token("jwt", { jkt = thumbprint })
        local response = send("scoped", "DPoP", value, prove("scoped", value))
        assert.equal(403, response.status)
        assert.truthy(response.headers["www-authenticate"]
            :find('^DPoP error="insufficient_scope", scope="write", algs="'))
    end)

    it("get a challenge for a nonce, which a page of a trusted origin can read", function()
        local value = token("jwt", { jkt = thumbprint })
        local challenge = send("nonce", "DPoP", value, prove("nonce", value))
        assert.equal(401, challenge.status)
        assert.truthy(challenge.headers["www-authenticate"]:find('^DPoP error="use_dpop_nonce"'))
        assert.truthy(challenge.headers["access-control-expose-headers"]:find("DPoP-Nonce", 1, true))
        local nonce = challenge.headers["dpop-nonce"]
        assert.equal(200, send("nonce", "DPoP", value, prove("nonce", value, { nonce = nonce })).status)
    end)

    it("cost one introspection, whoever sends them", function()
        local value = token("jwt", { jkt = thumbprint })
        send("required", "DPoP", value, prove("required", value, { key = "thief" }))
        send("required", "DPoP", value, prove("required", value))
        send("required", "Bearer", value)
        local asked = 0
        for _, question in ipairs(running:asked()) do
            asked = asked + (question.body and question.body:find(value, 1, true) and 1 or 0)
        end
        assert.equal(1, asked)
        for _, log in ipairs { running.gate:access_log(), running.gate:error_log() } do
            assert.is_nil(log:find(value, 1, true))
        end
    end)

    it("take the scheme DPoP nowhere else", function()
        local value = token("jwt", { jkt = thumbprint })
        local response = send("unaware", "DPoP", value, prove("unaware", value))
        assert.same({ 401, "Bearer", "token_missing" },
            { response.status, response.headers["www-authenticate"], reason() })
    end)
end)
