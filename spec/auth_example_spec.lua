-- examples/auth/site.conf as `make run EXAMPLE=auth` serves it: the reference's two locations, and route_native.auth.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

local LOGIN = '{"username":"demo","password":"demo"}'

describe("the auth example", function()
    local running

    local function login()
        local response = auth.post(running, "/login", LOGIN)
        assert.equal(200, response.status)
        return cjson.decode(response.body).token
    end

    local function get(path, ...)
        return running:request { path = path, headers = { ... } }
    end

    local function minted(claims, secret)
        return auth.token(running.directory, claims, secret)
    end

    local function claims(more)
        local all = { iss = "auth-example", sub = "ada", scope = "secure", iat = os.time(), exp = os.time() + 300 }
        for name, value in pairs(more or {}) do
            all[name] = value
        end
        return all
    end

    setup(function()
        running = assert(auth.start(auth.directory(), gateway.ROOT .. "/examples/auth/site.conf"))
    end)
    teardown(function() running:stop() end)

    it("signs the backend's claims with iat, exp, iss and jti, and PyJWT accepts the token", function()
        local token = login()
        local output, status = process.run("/usr/bin/python3 -c " .. process.quoted(([[
import json, jwt
print(json.dumps(jwt.decode(%q, %q, algorithms=["HS256"], issuer="auth-example")))]]):format(token, auth.SECRET)))
        assert.equal(0, status, output)
        local read = cjson.decode(output)
        assert.same({ "demo", "Demo User", "secure", 3600 }, { read.sub, read.name, read.scope, read.exp - read.iat })
        assert.is_true(math.abs(read.iat - os.time()) < 60)
        assert.equal(22, #read.jti)
        assert.is_not.equal(token, login())
    end)

    it("answers a login with JSON that no cache may store", function()
        local headers = auth.post(running, "/login", LOGIN).headers
        assert.same({ "application/json", "no-store" }, { headers["content-type"], headers["cache-control"] })
    end)

    it("passes a refusal of the backend on", function()
        local response = auth.post(running, "/login", '{"username":"demo","password":"wrong"}')
        assert.equal(401, response.status)
        assert.equal('{"error":"wrong_username_or_password"}', response.body)
    end)

    it("answers the reference's check with 200 for a token, raw or as Bearer, and 403 otherwise", function()
        local token = login()
        for _, value in ipairs { token, "Bearer " .. token, "bearer " .. token, "BEARER  " .. token } do
            local response = get("/check", { "Authorization", value })
            assert.same({ 200, "hello world !\n" }, { response.status, response.body }, value)
        end
        local other = minted(claims(), ("f"):rep(32))
        local none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." .. token:match("%.(.-)%.") .. "."
        for _, value in ipairs { token:sub(1, -5), token .. "x", other, none, "x", "Bearer", "Basic eDp5", "" } do
            assert.equal(403, get("/check", { "Authorization", value }).status, value)
        end
        assert.equal(403, get("/check").status)
        assert.equal(403, get("/check", { "Authorization", minted(claims { exp = os.time() - 60 }) }).status)
    end)

    it("runs the reference's login, whose tokens its check accepts and auth.check() refuses", function()
        local token = cjson.decode(auth.post(running, "/reference/login", LOGIN).body).token
        assert.equal(200, get("/check", { "Authorization", token }).status)
        assert.equal(401, get("/secure", { "Authorization", token }).status)
        assert.equal(401, auth.post(running, "/reference/login", '{"username":"demo","password":"x"}').status)
    end)

    it("answers 404 for the backend's internal location", function()
        assert.equal(404, auth.post(running, "/authenticate", LOGIN).status)
    end)

    it("sends claims to the upstream, but neither the token nor the client's own claim headers", function()
        local response = get("/secure", { "Authorization", "Bearer " .. login() }, { "X-Claim-Sub", "root" },
            { "x-claim-name", "root" })
        assert.equal(200, response.status)
        local headers = cjson.decode(response.body).headers
        assert.same({ "demo", "Demo%20User", "secure" },
            { headers["x-claim-sub"], headers["x-claim-name"], headers["x-claim-scope"] })
        assert.is_nil(headers.authorization)
    end)

    it("removes the client's claim headers also if the token lacks the claim", function()
        local token = minted(claims { name = cjson.null })
        local headers = cjson.decode(get("/secure", { "Authorization", token }, { "X-Claim-Name",
            "root" }).body).headers
        assert.same({ "ada" }, { headers["x-claim-sub"], headers["x-claim-name"] })
    end)

    it("encodes claims so that no header can be injected", function()
        local token = minted(claims { sub = "a\r\nX-Admin: yes\0é,%" })
        local headers = cjson.decode(get("/secure", { "Authorization", token }).body).headers
        assert.equal("a%0D%0AX-Admin:%20yes%00%C3%A9%2C%25", headers["x-claim-sub"])
        assert.is_nil(headers["x-admin"])
    end)

    it("distinguishes missing, invalid and insufficient tokens (RFC 6750)", function()
        local missing = get("/secure")
        assert.same({ 401, "Bearer" }, { missing.status, missing.headers["www-authenticate"] })
        local bad = get("/secure", { "Authorization", "Bearer x" })
        assert.same({ 401, 'Bearer error="invalid_token"' }, { bad.status, bad.headers["www-authenticate"] })
        assert.equal(missing.body, bad.body)
        local refused = get("/secure", { "Authorization", minted(claims { scope = "other" }) })
        assert.same({ 403, 'Bearer error="insufficient_scope", scope="secure"' },
            { refused.status, refused.headers["www-authenticate"] })
        assert.equal("forbidden", cjson.decode(refused.body).code)
    end)

    it("refuses invalid tokens", function()
        local now = os.time()
        local corpus = {
            minted(claims { exp = now - 60 }), minted(claims { nbf = now + 60 }), minted(claims { iss = "other" }),
            minted(claims { iss = { "auth-example" } }), minted(claims { exp = "never" }), minted(claims { exp = -1 }),
            minted(claims { exp = now + 7200 }), minted(claims(), ("f"):rep(32)), auth.token(running.directory,
                claims(),
            ("0123456789abcdef"):rep(4), "HS512"), ("a."):rep(8000), "\255\254", "a.b", "a.b.c.d", "a.b.c.d.e",
        }
        for _, token in ipairs(corpus) do
            local response = get("/secure", { "Authorization", "Bearer " .. token })
            assert.equal(401, response.status, token)
        end
        local token = minted(claims())
        assert.equal(200, get("/secure", { "Authorization", token }).status)
        -- nginx itself answers 400 to a second Authorization header.
        local status = get("/secure", { "Authorization", token }, { "Authorization", token }).status
        assert.is_true(status == 400 or status == 401)
    end)

    it("logs a fingerprint and a reason, but no token and no password", function()
        local token, bad = minted(claims()), minted(claims { exp = 1 })
        get("/secure", { "Authorization", token })
        get("/secure", { "Authorization", bad })
        get("/check", { "Authorization", bad })
        local digest = process.run("printf %s " .. bad .. " | sha256sum"):sub(1, 12)
        process.wait_until("the log told why", function()
            return running:access_log():find('"token":"' .. digest .. '","cache":"","reason":"token_expired"', 1, true)
        end)
        local logs = running:access_log() .. running:error_log()
        for _, secret in ipairs { token, bad, auth.SECRET, bad:match("[^.]+$"), '"password"' } do
            assert.is_nil(logs:find(secret, 1, true))
        end
    end)

    it("signs with the first of two secrets and accepts both, without a reload", function()
        local path = running.directory .. "/keys/jwt_secret"
        local old = login()
        local new_secret = ("fedcba9876543210"):rep(2)
        process.write(path .. ".new", new_secret .. "\n" .. auth.SECRET .. "\n")
        process.run("mv " .. path .. ".new " .. path)
        process.wait_until("both workers signed with the new secret", function()
            for _ = 1, 8 do
                local output = process.run("/usr/bin/python3 -c " .. process.quoted(
                    ('import jwt; jwt.decode(%q, %q, algorithms=["HS256"])'):format(login(), new_secret)))
                if output ~= "" then
                    return false
                end
            end
            return true
        end)
        assert.equal(200, get("/secure", { "Authorization", old }).status)
        assert.equal(200, get("/secure", { "Authorization", login() }).status)
        process.write(path, auth.SECRET)
    end)
end)
