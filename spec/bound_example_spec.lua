-- examples/bound/site.conf as `make run EXAMPLE=bound` serves it: tokens that only their holder can use (RFC 9449). The
-- proofs are npm's `dpop`'s.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"
local proofs = require "support.proofs"

local LOGIN = '{"username":"demo","password":"demo"}'
local ALGORITHMS = 'algs="ES256 EdDSA PS256 ES384 ES512 PS384 PS512 RS256 RS384 RS512"'

describe("the bound example", function()
    local running, origin, directory
    -- The number of requests. Each has its own query, which the log shows.
    local count = 0

    setup(function()
        directory = auth.directory()
        process.write(directory .. "/keys/bound_secret", auth.SECRET .. "\n")
        process.run("mkdir -p " .. directory .. "/etc")
        -- `make run` writes the port, which nobody knows here yet.
        process.write(directory .. "/etc/bound.lua", [[
local listen = io.open(ngx.config.prefix() .. "runtime/listen.conf"):read("*a")
return "http://127.0.0.1:" .. listen:match("127%.0%.0%.1:(%d+)")
]])
        running = assert(auth.start(directory, gateway.ROOT .. "/examples/bound/site.conf"))
        origin = "http://127.0.0.1:" .. running.port
    end)
    teardown(function() running:stop() end)

    local function prove(more)
        local request = { htm = "GET", htu = origin .. "/api" }
        for name, value in pairs(more or {}) do
            request[name] = value
        end
        return (proofs.one(directory, request))
    end

    local function post_token(proof, body)
        return auth.post(running, "/token", body or LOGIN, proof and { { "DPoP", proof } } or {})
    end

    -- Logs in as a client does: a first attempt gets the nonce, a second the token.
    local function login(more)
        local request = { htm = "POST", htu = origin .. "/token" }
        for name, value in pairs(more or {}) do
            request[name] = value
        end
        local challenge = post_token(prove(request))
        assert.same({ 400, "use_dpop_nonce" }, { challenge.status, cjson.decode(challenge.body).error })
        request.nonce = challenge.headers["dpop-nonce"]
        local answer = post_token(prove(request))
        assert.equal(200, answer.status, answer.body)
        return cjson.decode(answer.body).access_token, answer
    end

    local function get(path, scheme, token, ...)
        local headers = { { "Authorization", scheme .. " " .. token } }
        for _, proof in ipairs { ... } do
            headers[#headers + 1] = { "DPoP", proof }
        end
        count = count + 1
        return running:request { path = path .. (path:find("?", 1, true) and "&" or "?") .. "n=" .. count,
            headers = headers }
    end

    -- Returns why the newest request was refused.
    local function reason()
        return running:reason_of("n=" .. count)
    end

    it("issues a token that is bound to the proof's key, after a challenge for its nonce", function()
        local token, answer = login()
        local body = cjson.decode(answer.body)
        assert.same({ "DPoP", 3600, "no-store" }, { body.token_type, body.expires_in, answer.headers["cache-control"] })
        local _, thumbprint = proofs.one(directory, { htm = "GET", htu = origin })
        local output = process.run("/usr/bin/python3 -c " .. process.quoted(([[
import json, jwt
print(json.dumps(jwt.decode(%q, %q, algorithms=["HS256"], issuer="bound-example")))]]):format(token, auth.SECRET)))
        local claims = cjson.decode(output)
        assert.same({ "demo", { jkt = thumbprint } }, { claims.sub, claims.cnf })
    end)

    it("passes a bound token with its proof, and the API receives neither", function()
        local token = login()
        for _, path in ipairs { "/api", "/either" } do
            local response = get(path, "DPoP", token, prove { htu = origin .. path, token = token })
            assert.equal(200, response.status, response.body)
            local headers = cjson.decode(response.body).headers
            assert.same({ "demo" }, { headers["x-claim-sub"], headers.authorization, headers.dpop })
        end
    end)

    it("takes tokens of every kind of key", function()
        for _, alg in ipairs { "Ed25519", "PS256", "RS256" } do
            local token = login { alg = alg }
            assert.equal(200, get("/api", "DPoP", token, prove { alg = alg, token = token }).status, alg)
        end
    end)

    it("refuses a proof that was used before, in whichever worker", function()
        local token = login()
        local proof = prove { token = token }
        assert.equal(200, get("/api", "DPoP", token, proof).status)
        for _ = 1, 12 do
            local again = get("/api", "DPoP", token, proof)
            assert.same({ 401, 'DPoP error="invalid_dpop_proof", ' .. ALGORITHMS },
                { again.status, again.headers["www-authenticate"] })
        end
        assert.equal("proof_replayed", reason())
        -- The memory is that of all locations.
        assert.equal(401, get("/either", "DPoP", token, proof).status)
    end)

    it("refuses the token of another holder", function()
        local token = login()
        local response = get("/api", "DPoP", token, prove { token = token, key = "thief" })
        assert.same({ 401, 'DPoP error="invalid_token", ' .. ALGORITHMS },
            { response.status, response.headers["www-authenticate"] })
        assert.equal("holder_key_mismatch", reason())
    end)

    it("refuses a bound token as Bearer, and tells both schemes where both are possible", function()
        local token = login()
        local either = get("/either", "Bearer", token)
        assert.same({ 401, 'Bearer error="invalid_token", DPoP ' .. ALGORITHMS },
            { either.status, either.headers["www-authenticate"] })
        assert.equal("token_bound", reason())
        local api = get("/api", "Bearer", token, prove { token = token })
        assert.same({ 401, "DPoP " .. ALGORITHMS }, { api.status, api.headers["www-authenticate"] })
    end)

    it("takes a Bearer token where the configuration does, and never as one with a proof", function()
        local answer = post_token(nil)
        local body = cjson.decode(answer.body)
        assert.same({ 200, "Bearer" }, { answer.status, body.token_type })
        assert.equal(200, get("/either", "Bearer", body.access_token).status)
        assert.equal(401, get("/api", "Bearer", body.access_token).status)
        assert.equal("token_not_bound", reason())
        local claimed = get("/either", "DPoP", body.access_token,
            prove { htu = origin .. "/either", token = body.access_token })
        assert.same({ 401, 'DPoP error="invalid_token", ' .. ALGORITHMS .. ", Bearer" },
            { claimed.status, claimed.headers["www-authenticate"] })
    end)

    it("tells a request without a token its schemes, and no error", function()
        local api, either = running:request { path = "/api" }, running:request { path = "/either" }
        assert.same({ 401, "DPoP " .. ALGORITHMS }, { api.status, api.headers["www-authenticate"] })
        assert.same({ 401, "Bearer, DPoP " .. ALGORITHMS }, { either.status, either.headers["www-authenticate"] })
        local basic = get("/api", "Basic", "ZGVtbzpkZW1v")
        assert.same({ 401, "DPoP " .. ALGORITHMS }, { basic.status, basic.headers["www-authenticate"] })
    end)

    it("refuses no proof, two proofs and two tokens", function()
        local token = login()
        assert.equal(401, get("/api", "DPoP", token).status)
        assert.equal("proof_missing", reason())
        local one, other = prove { token = token }, prove { token = token }
        assert.equal(401, get("/api", "DPoP", token, one, other).status)
        assert.equal("proof_ambiguous", reason())
        assert.equal(401, get("/api", "DPoP", token, one .. ", " .. other).status)
        assert.equal("proof_malformed", reason())
        assert.equal(401, get("/api", "DPoP", token .. ", Bearer " .. token, one).status)
        local two = running:request { path = "/api", headers = { { "Authorization", "DPoP " .. token },
            { "Authorization", "Bearer " .. token }, { "DPoP", one } } }
        -- Newer versions of nginx answer 400 themselves.
        assert.is_true(two.status == 400 or two.status == 401, two.status)
        -- None of these has used up the proof.
        assert.equal(200, get("/api", "DPoP", token, one).status)
    end)

    it("refuses every proof that is not one for this request", function()
        local token = login()
        local now = os.time()
        local hostile = {
            proof_request_mismatch = {
                { htm = "POST" }, { htm = "get" }, { htu = origin .. "/either" }, { htu = "https://127.0.0.1/api" },
                { htu = "http://evil.example/api" }, { htu = "/api" }, { htu = origin .. "/API" },
            },
            proof_token_mismatch = { { token = "other" } },
            proof_malformed = {
                { claims = { ath = cjson.null } }, { claims = { jti = cjson.null } }, { claims = { jti = 7 } },
                { claims = { jti = ("a"):rep(257) } }, { claims = { iat = "now" } }, { claims = { htm = { "GET" } } },
                { header = { typ = "JWT" } }, { header = { typ = cjson.null } }, { header = { crit = { "exp" } } },
            },
            proof_expired = {
                { claims = { iat = now - 80 } }, { claims = { iat = now + 80 } }, { claims = { exp = 1 } },
            },
            proof_key_refused = {
                { header = { jwk = cjson.null } }, { header = { jwk = "private" } }, { header = { alg = "none" } },
                { header = { alg = "HS256" } }, { header = { jwk = { kty = "oct", k = "c2VjcmV0" } } },
            },
            proof_signature_invalid = { { tamper = true } },
        }
        local requests, reasons = {}, {}
        for why, all in pairs(hostile) do
            for _, more in ipairs(all) do
                local request = { htm = "GET", htu = origin .. "/api", token = token }
                for name, value in pairs(more) do
                    request[name] = value
                end
                requests[#requests + 1], reasons[#reasons + 1] = request, why
            end
        end
        for i, proof in ipairs(proofs.all(directory, requests)) do
            local response = get("/api", "DPoP", token, proof)
            assert.same({ 401, 'DPoP error="invalid_dpop_proof", ' .. ALGORITHMS },
                { response.status, response.headers["www-authenticate"] }, cjson.encode(requests[i]))
            assert.equal(reasons[i], reason())
        end
        for _, proof in ipairs { "x", "..", ("a"):rep(9000), "a.b.c.d.e", "\255" } do
            assert.equal(401, get("/api", "DPoP", token, proof).status)
        end
    end)

    it("takes a URI in every form that RFC 9449 calls equal, and the query does not matter", function()
        local token = login()
        local port = origin:match("%d+$")
        local requests = {}
        for i, uri in ipairs { "HTTP://127.0.0.1:" .. port .. "/api", origin .. "/api?other=1#x", origin .. "/%61pi",
            origin .. "/./api", origin .. "/x/../api" } do
            requests[i] = { htm = "GET", htu = origin .. "/api", token = token, claims = { htu = uri } }
        end
        for i, proof in ipairs(proofs.all(directory, requests)) do
            local response = get("/api?x=1", "DPoP", token, proof)
            assert.equal(200, response.status, requests[i].claims.htu)
        end
    end)

    it("believes no header about its own origin", function()
        local token = login()
        local proof = prove { htu = "https://evil.example/api", token = token }
        local response = running:request { path = "/api", headers = {
            { "Host", "evil.example" }, { "X-Forwarded-Host", "evil.example" }, { "X-Forwarded-Proto", "https" },
            { "Authorization", "DPoP " .. token }, { "DPoP", proof },
        } }
        assert.equal(401, response.status)
    end)

    it("answers errors of /token with a nonce and OAuth's error, and counts no challenge as a guess", function()
        -- An address has 50 guesses.
        local without_nonce = prove { htm = "POST", htu = origin .. "/token" }
        for _ = 1, 55 do
            assert.equal(400, post_token(without_nonce).status)
        end
        local bad = post_token("x")
        assert.same({ 400, "invalid_dpop_proof" }, { bad.status, cjson.decode(bad.body).error })
        local nonce = bad.headers["dpop-nonce"]
        assert.truthy(nonce:find("^[%w_-]+$"))
        local request = { htm = "POST", htu = origin .. "/token", nonce = nonce }
        local wrong = post_token(prove(request), '{"username":"demo","password":"wrong"}')
        assert.same({ 401, nonce }, { wrong.status, wrong.headers["dpop-nonce"] })
        local forged = post_token(prove { htm = "POST", htu = origin .. "/token", nonce = nonce:reverse() })
        assert.equal("use_dpop_nonce", cjson.decode(forged.body).error)
        -- A refused password does not use up the proof, a granted one does.
        local proof = prove(request)
        assert.equal(401, post_token(proof, '{"username":"demo","password":"wrong"}').status)
        assert.equal(200, post_token(proof).status)
        local again = post_token(proof)
        assert.same({ 400, "invalid_dpop_proof" }, { again.status, cjson.decode(again.body).error })
    end)

    it("writes neither a token nor a proof into a log", function()
        local token = login()
        local good, bad = prove { token = token }, prove { token = token, htm = "PUT" }
        get("/api", "DPoP", token, good)
        get("/api", "DPoP", token, bad)
        assert.equal("proof_request_mismatch", reason())
        local logs = running:access_log() .. running:error_log()
        for _, secret in ipairs { token, good, bad, good:match("[^.]+$"), bad:match("%.(.-)%.") } do
            assert.is_nil(logs:find(secret, 1, true))
        end
    end)
end)
