-- route_native.jwt and route_native.resty_jwt in a real nginx: every algorithm with every forgery, key files that
-- change under load, and the API for programs of lua-resty-jwt.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local toolkit = require "support.toolkit"

local ALGORITHMS = toolkit.ALGORITHMS

local INIT = [[keys = jwt.key_file(ngx.config.prefix() .. "../keys/rotating.jwks")]]
local LOCATIONS = [[
    location = /rotating {
        access_by_lua_block {
            local claims, why = jwt.verify(ngx.var.http_authorization, keys)
            if not claims then
                ngx.header["X-Why"] = why
                return ngx.exit(401)
            end
        }
        content_by_lua_block { ngx.print("ok") }
    }
]]

describe("the JWT modules in nginx", function()
    local running, directory

    local function eval(...)
        return running:eval(...)
    end

    local function path_of(...)
        return running:path_of(...)
    end

    local function key_of(...)
        return running:key_of(...)
    end

    local function mint(list)
        return running:mint_all(list)
    end

    setup(function()
        running = toolkit.start { init = INIT, locations = LOCATIONS, prepare = function(self)
            process.write(self.directory .. "/keys/rotating.jwks", '{"keys":[{"kty":"oct","kid":"old","k":"'
                .. ("QUFB"):rep(11) .. '"}]}')
        end }
        directory = running.directory
    end)
    teardown(function() running:stop() end)

    it("verify PyJWT's signature with each algorithm, and refuse every forgery, in both modules", function()
        local now = os.time()
        local good = { sub = "ada", aud = "api", iss = "issuer", iat = now, exp = now + 300 }
        local function with(changes)
            local claims = {}
            for name, value in pairs(good) do claims[name] = value end
            for name, value in pairs(changes) do claims[name] = value end
            return claims
        end
        -- For each token: the result of route_native.jwt, and whether route_native.resty_jwt accepts it, without claim
        -- specs, where it checks the times, and with one, where it checks the claims of the spec.
        local CORPUS = {
            { { claims = good }, "ada", true, true },
            { { claims = good, name = "other" }, "signature_invalid", false, false },
            { { claims = with { exp = now - 60 } }, "token_expired", false, true },
            { { claims = with { nbf = now + 60 } }, "token_not_yet_valid", false, true },
            { { claims = with { aud = "other" } }, "audience_not_allowed", true, false },
            { { claims = with { aud = { "api" } } }, "ada", true, false },
            { { claims = with { aud = 7 } }, "claim_malformed", true, false },
            { { claims = with { exp = "never" } }, "claim_malformed", false, true },
            { { claims = with { exp = true } }, "claim_malformed", false, true },
            { { claims = with { nbf = "x" } }, "claim_malformed", false, true },
            { { claims = with { iat = {} } }, "claim_malformed", true, true },
            { { claims = good, header = { typ = "at+jwt" } }, "type_not_allowed", true, true },
        }
        local list = {}
        for _, algorithm in ipairs(ALGORITHMS) do
            for _, case in ipairs(CORPUS) do
                local item = case[1]
                list[#list + 1] = { claims = item.claims, name = item.name, header = item.header, alg = algorithm[1],
                    kind = algorithm[2] }
            end
        end
        local tokens = mint(list)
        for i, algorithm in ipairs(ALGORITHMS) do
            local key = key_of(algorithm[2])
            local these, expected, plain, specified = {}, {}, {}, {}
            for n, case in ipairs(CORPUS) do
                these[n] = tokens[(i - 1) * #CORPUS + n]
                -- As in lua-resty-jwt, whose HMAC verification signs once more: sign() knows two types.
                local is_refused = algorithm[2] == "hmac" and case[1].header ~= nil
                expected[n], plain[n], specified[n] = case[2], case[3] and not is_refused, case[4] and not is_refused
            end
            -- Also another token's payload under the first token's signature, and no signature.
            local last = #CORPUS
            these[last + 1] = these[5]:match("^[^.]+%.[^.]+") .. these[1]:match("%.[^.]+$")
            these[last + 2] = these[1]:match("^[^.]+%.[^.]+%.")
            for n = last + 1, last + 2 do
                expected[n], plain[n], specified[n] = "signature_invalid", false, false
            end
            local verdicts, resty_plain, resty_specified = eval([[
                local verdicts, resty_plain, resty_specified = {}, {}, {}
                local policy = { audience = "api", algorithms = a[3], type = "JWT" }
                local function verdict(token, ...)
                    local obj = resty:verify(a[2], token, ...)
                    assert(obj.valid == obj.verified)
                    return obj.valid
                end
                for i, token in ipairs(a[1]) do
                    local claims, why = jwt.verify(token, a[2], policy)
                    verdicts[i] = claims and claims.sub or why
                    resty_plain[i] = verdict(token)
                    resty_specified[i] = verdict(token, { aud = validators.equals("api") })
                end
                return verdicts, resty_plain, resty_specified
            ]], these, key, algorithm[1])
            assert.same(expected, verdicts, algorithm[1])
            assert.same(plain, resty_plain, algorithm[1])
            assert.same(specified, resty_specified, algorithm[1])
        end
    end)

    it("sign with each algorithm for PyJWT", function()
        local lines = {}
        for i, algorithm in ipairs(ALGORITHMS) do
            local private = path_of(algorithm[2])
            lines[i] = cjson.encode {
                key = algorithm[2] == "hmac" and private or (private:gsub("pem$", "pub")), alg = algorithm[1],
                token = eval("return jwt.sign({ sub = 'ada' }, a[1], { algorithm = a[2], lifetime = 60 })",
                    process.read(private), algorithm[1]),
            }
        end
        process.write(directory .. "/signed", table.concat(lines, "\n"))
        local output = process.run("/usr/bin/python3 -c " .. process.quoted(([=[
import json, jwt
for line in open(%q):
    item = json.loads(line)
    claims = jwt.decode(item["token"], open(item["key"]).read(), algorithms=[item["alg"]])
    assert claims["sub"] == "ada" and claims["exp"] - claims["iat"] == 60
    print(item["alg"])]=]):format(directory .. "/signed")))
        local accepted = {}
        for i, algorithm in ipairs(ALGORITHMS) do
            accepted[i] = algorithm[1] .. "\n"
        end
        assert.equal(table.concat(accepted), output)
    end)

    it("refuse alg none and a public key as an HMAC secret, in both modules", function()
        local public = key_of("RSA")
        local path = directory .. "/confused"
        process.write(path, public)
        local output = process.run("/usr/bin/python3 -c " .. process.quoted(([[
import base64, hashlib, hmac, json
def b(x): return base64.urlsafe_b64encode(x).rstrip(b"=")
def t(alg):
    return b(json.dumps({"alg": alg}).encode()) + b"." + b(json.dumps({"sub": "root", "exp": 4000000000}).encode())
key = open(%q, "rb").read()
message = t("HS256")
print((message + b"." + b(hmac.new(key, message, hashlib.sha256).digest())).decode())
print((t("none") + b".").decode())]]):format(path)))
        for forged in output:gmatch("%S+") do
            local claims, why, valid = eval([[
                local claims, why = jwt.verify(a[1], a[2])
                return claims, why, resty:verify(a[2], a[1]).valid
            ]], forged, public)
            assert.same({ nil, "algorithm_not_allowed", false }, { claims, why, valid })
        end
        local _, message = eval("return 1, select(2, pcall(jwt.secret, a[1]))", public)
        assert.is_truthy(message:find("is a public key, a private key or a certificate used as an HMAC secret", 1,
            true))
    end)

    it("report a wrong key, policy or option in one sentence", function()
        local calls = {
            ['jwt.verify("a.b.c", ("k"):rep(31))'] = "is an HMAC secret of fewer than 32 bytes",
            ['jwt.policy { issuers = "x" }'] = 'there is no policy field "issuers"',
            ['jwt.policy { leeway = -1 }'] = '"leeway" must be a whole number of seconds',
            ['jwt.policy { leeway = 301 }'] = 'the policy field "leeway" must be 0 to 300 seconds',
            ['jwt.policy { audience = {} }'] = '"audience" must be a string or a list of strings',
            ['jwt.policy { algorithms = "none" }'] = '"none" is no algorithm',
            ['jwt.policy { clock = 1 }'] = '"clock" must be a function',
            ['jwt.key("x")'] = "is neither PEM nor a JWK",
            ['jwt.key_file("/absent")'] = "the key file /absent cannot be read",
            ['jwt.key_file("/dev/null")'] = "is not a file",
            ['jwt.sign({}, ("k"):rep(32), { exp = 1 })'] = 'there is no sign option "exp"',
            ['jwt.sign({}, ("k"):rep(32), { header = { alg = "none" } })'] = "the header's alg is set by an option",
            ['jwt.sign(nil, ("k"):rep(32))'] = "claims as a table or as JSON text",
            ['jwt.verify("a.b.c", {})'] = "a key is a string, or what",
        }
        for call, sentence in pairs(calls) do
            local ok, message = eval("return pcall(function() return " .. call .. " end)")
            assert.is_false(ok, call)
            assert.is_truthy(message:find(sentence, 1, true), message)
        end
    end)

    it("check clock, required claims, lifetimes, ages and types by the policy", function()
        local verdicts = eval([[
            local secret = jwt.secret(("k"):rep(32))
            local signed = jwt.sign({ sub = "x", n = 1 }, secret, { lifetime = 100, typ = "at+jwt", clock = function()
                return 1000 end })
            local function at(now, policy)
                policy.clock = function() return now end
                local claims, why = jwt.verify(signed, secret, policy)
                return claims and "ok" or why
            end
            return {
                at(1000, {}), at(1104, {}), at(1105, {}), at(1100, { leeway = 0 }), at(1000, { required = { "sub",
                    "n" } }),
                at(1000, { required = "aud" }), at(1000, { max_lifetime = 100 }), at(1000, { max_lifetime = 99 }),
                at(1055, { max_age = 50 }), at(1056, { max_age = 50 }), at(994, { max_age = 50 }),
                at(1000, { type = "application/AT+JWT" }), at(1000, { type = "JWT" }), at(1000, { issuer = "x" }),
            }
        ]])
        assert.same({ "ok", "ok", "token_expired", "token_expired", "ok", "claim_missing", "ok", "lifetime_too_long",
            "ok",
            "token_too_old", "token_not_yet_valid", "ok", "type_not_allowed", "claim_missing" }, verdicts)
    end)

    it("decode a token without verification", function()
        local claims, header = eval("return jwt.decode_unverified(a[1])", mint {
            { claims = { sub = "ada" }, alg = "HS256", kind = "hmac", header = { kid = "k" } } }[1])
        assert.same({ "ada", "k" }, { claims.sub, header.kid })
        assert.same({ nil, "token_malformed" }, { eval("return jwt.decode_unverified('a.b')") })
    end)

    it("follow a changed JWK Set without a failed request", function()
        local path = directory .. "/keys/rotating.jwks"
        local function set(...)
            local jwks = {}
            for i, kid in ipairs { ... } do
                jwks[i] = ('{"kty":"oct","kid":"%s","k":"%s"}'):format(kid, (kid == "old" and "QUFB" or "QkJC"):rep(11))
            end
            process.write(path .. ".new", '{"keys":[' .. table.concat(jwks, ",") .. "]}")
            process.run("mv " .. path .. ".new " .. path)
        end
        local function signed(kid)
            return (eval("return jwt.sign({}, a[1], { lifetime = 300 })",
                ('{"kty":"oct","kid":"%s","k":"%s"}'):format(kid, (kid == "old" and "QUFB" or "QkJC"):rep(11))))
        end
        local old, new = signed "old", signed "new"
        local connection = http.connect(running.port)
        local statuses = {}
        local function ask(bearer)
            http.send(connection, { path = "/rotating", headers = { { "Authorization", bearer } } })
            local response = http.read_response(connection)
            if response.headers.connection == "close" then -- nginx ends a connection after some thousand requests
                connection = http.connect(running.port)
            end
            statuses[response.status] = (statuses[response.status] or 0) + 1
            return response.status, response.headers["x-why"]
        end
        -- While the set holds the old key, its tokens pass, whatever else changes in the file.
        local function until_new_is(status)
            process.wait_until("the new key was answered with " .. status, function()
                for _ = 1, 50 do
                    assert.equal(200, (ask(old)))
                end
                return http.request(running.port, { path = "/rotating", headers = { { "Authorization", new } } }).status
                    == status
            end)
        end
        until_new_is(401)
        set("old", "new")
        until_new_is(200)
        process.write(path, '{"keys":[{"kty":') -- half written
        process.wait_until("the log told of it", function()
            assert.equal(200, (ask(old)))
            local told = "rotating%.jwks is not a JWK that can be read: EOF [^;]+; the keys read before stay in use"
            return running.gateway:error_log():find(told)
        end)
        assert.equal(200, (ask(old)))
        set("new")
        process.wait_until("the old key was gone", function()
            return select(2, ask(old)) == "key_not_found"
        end)
        assert.is_true(statuses[200] > 100)
        connection:close()
    end)

    it("answer as lua-resty-jwt's documentation says, except for valid", function()
        local synopsis = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJmb28iOiJiYXIifQ"
        local obj = eval("return resty:verify(a[1], a[2])", "lua-resty-jwt",
            synopsis .. ".VAoRL1IU0nOguxURF2ZcKR0SGKE1gCbqwyh8u2MLAyY")
        assert.same({ typ = "JWT", valid = true, verified = true, reason = "everything is awesome~ :p",
            raw_header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", raw_payload = "eyJmb28iOiJiYXIifQ",
            signature = "VAoRL1IU0nOguxURF2ZcKR0SGKE1gCbqwyh8u2MLAyY", header = { typ = "JWT", alg = "HS256" },
            payload = { foo = "bar" } }, obj)
        local forged = eval("return resty:verify(a[1], a[2])", "lua-resty-jwt", synopsis .. ".wrong-signature")
        assert.same({ false, false, "signature mismatch: wrong-signature", { foo = "bar" } },
            { forged.valid, forged.verified, forged.reason, forged.payload })
        local loaded = eval("return resty:load_jwt(a[1])", synopsis .. ".wrong-signature")
        assert.same({ true, false }, { loaded.valid, loaded.verified })
        assert.same({ valid = false, verified = false, reason = "invalid jwt string" },
            eval("return resty:load_jwt('a.b')"))
    end)

    it("give the reasons that programs match on", function()
        local reasons = eval([[
            local secret = ("s"):rep(32)
            local function sign(payload, header)
                header = header or { alg = "HS256" }
                return resty:sign(secret, { header = header, payload = payload })
            end
            local function why(key, token, ...)
                local obj = resty:verify(key, token, ...)
                assert(obj.valid == false and obj.verified == false)
                return obj.reason
            end
            local function of_kid() return nil end
            local plain = sign { foo = 1 }
            local reasons = {
                why(secret, sign { exp = 0 }),
                why(secret, sign { nbf = 9999999999 }),
                why(secret, sign { exp = "x" }),
                why(secret, plain, { require_exp_claim = true }),
                why(secret, plain, { lifetime_grace_period = 10 }),
                why(secret, sign { iss = "me" }, { valid_issuers = { "you" } }),
                why(secret, plain, { foo = validators.equals(2) }),
                why(secret, plain, { bar = validators.required() }),
                why(secret, plain, { foo = validators.matches("x") }),
                why(secret, plain, { __jwt = validators.require_one_of { "a", "b" } }),
                why(secret, plain, { foo = function() error("my words") end }),
                why(of_kid, plain),
                why(of_kid, sign({}, { alg = "HS256", kid = "k" })),
                why(7, plain),
                why("x", (plain:gsub("^[^.]+", resty:jwt_encode { alg = "RS256" }))),
                why("x", (plain:gsub("^[^.]+", resty:jwt_encode { alg = "none" }))),
                why("x", (plain:gsub("^[^.]+", resty:jwt_encode { typ = "JWT" }))),
            }
            resty:set_alg_whitelist { RS256 = 1 }
            reasons[#reasons + 1] = why(secret, plain)
            resty:set_alg_whitelist(nil)
            return reasons
        ]])
        assert.same({
            "'exp' claim expired at Thu, 01 Jan 1970 00:00:00 GMT",
            "'nbf' claim not valid until Sat, 20 Nov 2286 17:46:39 GMT",
            "'exp' is malformed.  Expected to be a positive numeric value.",
            "'exp' claim is required.",
            "Missing one of claims - [ nbf, exp ].",
            "Claim 'iss' ('me') returned failure",
            "Claim 'foo' ('1') returned failure",
            "'bar' claim is required.",
            "'foo' is malformed.  Expected to be a string.",
            "Missing one of claims - [ a, b ].",
            "my words",
            "secret function specified without kid in header",
            "function returned nil for kid: k",
            "invalid secret type (must be string or function)",
            "Decode secret is not a valid cert/public key",
            "Unsupported algorithm none",
            "No algorithm supplied",
            "whitelist unsupported alg: HS256",
        }, reasons)
    end)

    it("raise lua-resty-jwt's errors from sign()", function()
        local reasons = eval([[
            local function why(...)
                local ok, problem = pcall(resty.sign, resty, ...)
                assert(not ok)
                return problem.reason
            end
            return {
                why("s", { header = { typ = "X", alg = "HS256" }, payload = {} }),
                why("s", { header = { alg = "HS1" }, payload = {} }),
                why("s", { header = { alg = "HS256" } }),
                why("s", { header = { typ = "JWE", alg = "PBES2-HS256+A128KW", enc = "A128GCM" }, payload = {} }),
            }
        ]])
        assert.same({ "invalid typ: X", "unsupported alg: HS1", "missing part payload",
            "unsupported alg: PBES2-HS256+A128KW" }, reasons)
    end)

    it("have every documented validator, each with its opt_ variant", function()
        local names = { "check", "equals", "matches", "any_of", "equals_any_of", "matches_any_of", "contains_any_of",
            "greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal", "is_not_before",
                "is_not_expired",
            "is_at" }
        local missing, verdicts = eval([[
            local missing = {}
            for _, name in ipairs(a[1]) do
                if not (validators[name] and validators["opt_" .. name]) then missing[#missing + 1] = name end
            end
            local v = validators
            v.set_system_clock(function() return 100 end)
            v.set_system_leeway(5)
            local function holds(validator, value)
                local ok, result = pcall(validator, value, "c", "{}")
                return ok and result ~= false
            end
            local verdicts = {
                holds(v.opt_equals(1), nil), holds(v.equals(1), nil), holds(v.equals(1), 1), holds(v.equals(1), "1"),
                holds(v.matches_any_of { "^a", "b$" }, "xb"), holds(v.contains_any_of { "x" }, { "y", "x" }),
                holds(v.contains_any_of { "x" }, { "y" }), holds(v.greater_than(1), 1),
                    holds(v.greater_than_or_equal(1), 1),
                holds(v.less_than(1), 0), holds(v.less_than_or_equal(1), 2), holds(v.is_not_before(), 105),
                holds(v.is_not_before(), 106), holds(v.is_not_expired(), 96), holds(v.is_not_expired(), 95),
                holds(v.is_at(), 95), holds(v.is_at(), 94), holds(v.chain(v.required(), v.equals(2)), 2),
                holds(v.required(v.equals(2)), 3),
                holds(v.check(2, function(value, wanted) return value == 2 * wanted end), 4),
                holds(v.any_of({ 1, 2 }, function(value, wanted) return value == wanted + 1 end), 3),
            }
            v.set_system_clock(ngx.now)
            v.set_system_leeway(0)
            return setmetatable(missing, require("cjson").array_mt), verdicts
        ]], names)
        assert.same({}, missing)
        assert.same({ true, false, true, false, true, true, false, false, true, true, false, true, false, true,
            false, true,
            false, true, false, true, true }, verdicts)
    end)

    it("apply a grace period to its own call only", function()
        local late, later = eval([[
            local secret = ("s"):rep(32)
            local late = resty:sign(secret, { header = { alg = "HS256" }, payload = { exp = ngx.time() - 30 } })
            return resty:verify(secret, late, { lifetime_grace_period = 60 }).valid, resty:verify(secret, late).valid
        ]])
        assert.same({ true, false }, { late, later })
    end)

    it("trust only an x5c that a trusted certificate has issued", function()
        local commands = ([[set -e
cd %s/keys
for ca in trusted rogue; do
  openssl req -x509 -newkey rsa:2048 -nodes -keyout $ca.key -out $ca.crt -subj /CN=$ca -days 2 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout $ca.leaf.key -out $ca.csr -subj /CN=leaf 2>/dev/null
  printf 'basicConstraints=CA:FALSE\n' > $ca.ext
  openssl x509 -req -in $ca.csr -CA $ca.crt -CAkey $ca.key -CAcreateserial -days 2 \
    -extfile $ca.ext -out $ca.leaf.crt 2>/dev/null
done]]):format(directory)
        local output, status = process.run(commands)
        assert.equal(0, status, output)
        local verdicts = eval([[
            local dir = a[1]
            local function der(name)
                return (read(name):gsub("%-%-%-%-%-[^\n]+", ""):gsub("%s", ""))
            end
            local own = resty.new()
            own:set_trusted_certs_file(dir .. "/keys/trusted.crt")
            local function verdict(key, x5c)
                local token = own:sign(read(key), { header = { alg = "ES256", x5c = x5c }, payload = { sub = "ada" } })
                local obj = own:verify(nil, token)
                return obj.valid and "valid" or (obj.reason:gsub(": .*", ""))
            end
            return {
                verdict("trusted.leaf.key", { der "trusted.leaf.crt" }),
                verdict("rogue.leaf.key", { der "rogue.leaf.crt" }),
                verdict("rogue.leaf.key", { der "trusted.leaf.crt" }),
                verdict("rogue.leaf.key", { der "rogue.leaf.crt", der "trusted.crt" }),
                verdict("trusted.leaf.key", { "not a certificate" }),
                verdict("trusted.leaf.key", { "AAAA" }),
                verdict("trusted.leaf.key", nil),
            }
        ]], directory)
        assert.same({ "valid", "Cert used to sign the JWT isn't trusted", "Verification failed",
            "Cert used to sign the JWT isn't trusted", "Malformed x5c header",
            "Unable to extract signing cert from JWT",
            "Unsupported RS256 key model" }, verdicts)
    end)

    it("encrypt and decrypt with dir and RSA-OAEP-256, and every content encryption", function()
        for enc, size in pairs { A128GCM = 16, A256GCM = 32, ["A128CBC-HS256"] = 32, ["A256CBC-HS512"] = 64 } do
            local good, touched, other = eval([[
                local secret, wrong = ("k"):rep(a[2]), ("w"):rep(a[2])
                local sealed = resty:sign(secret, { header = { typ = "JWE", alg = "dir", enc = a[1] },
                    payload = { foo = "bar" } })
                local cut = sealed:gsub("%.[^.]*$", "." .. ("A"):rep(22))
                return resty:verify(secret, sealed), resty:verify(secret, cut).valid, resty:verify(wrong, sealed)
            ]], enc, size)
            assert.same({ true, true, "bar", "everything is awesome~ :p" },
                { good.valid, good.verified, good.payload.foo, good.reason }, enc)
            assert.same({ false, false, "failed to decrypt payload: bad decrypt" }, { touched, other.valid,
                other.reason }, enc)
            local sealed, valid, stranger = eval([[
                local sealed = resty:sign(a[2], { header = { alg = "RSA-OAEP-256", enc = a[1] },
                    payload = { foo = "bar" } })
                return sealed, resty:verify(a[3], sealed).valid, resty:verify(a[4], sealed).valid
            ]], enc, key_of("RSA"), process.read(path_of("RSA")), process.read(path_of("RSA", "other")))
            assert.same({ true, false }, { valid, stranger }, enc)
            -- Decrypted by Python's cryptography, an independent implementation.
            local output = process.run("/usr/bin/python3 " .. gateway.ROOT .. "/spec/support/open_jwe.py "
                .. path_of("RSA") .. " " .. sealed)
            assert.equal('{"foo":"bar"}\n', output, enc)
        end
        local _, why = eval([[
            local header = resty:jwt_encode { alg = "PBES2-HS256+A128KW", enc = "A128GCM", p2c = 1000000000,
                p2s = "AAAA" }
            local obj = resty:verify("password", header .. ".AAAA.AAAA.AAAA.AAAA")
            return obj.valid, obj.reason
        ]])
        assert.is_truthy(why:find("^invalid algorithm: "))
    end)

    it("encrypt a signed token and decrypt it, with keys that are parsed once", function()
        local found = eval([[
            local own, other = read "RSA_own.pem", read "RSA_other.pem"
            local handle, public = jwt.encryption_key(own), jwt.encryption_key(read "RSA_own.pub")
            local secret = ("s"):rep(32)
            local options = { algorithm = "RSA-OAEP-256", encryption = "A256GCM", kid = "k", header = { cty = "JWT" } }
            local sealed = jwt.encrypt(jwt.sign({ sub = "ada" }, secret, { lifetime = 60 }), public, options)
            local token, header = jwt.decrypt(sealed, handle)
            local direct = { algorithm = "dir", encryption = "A256GCM" }
            local short = jwt.encrypt("x", secret, direct)
            local large, too_large = jwt.encrypt(("x"):rep(20000), secret, direct)
            return { jwt.verify(token, secret).sub, header.alg, header.enc, header.kid, header.cty,
                jwt.decrypt(short, jwt.encryption_secret(secret)), tostring(large), too_large,
                select(2, jwt.decrypt(sealed, other)), select(2, jwt.decrypt(sealed, public)),
                select(2, jwt.decrypt(sealed, secret)), select(2, jwt.decrypt(nil, secret)),
                select(2, jwt.decrypt({}, secret)), select(2, jwt.decrypt("a.b.c", secret)),
                select(2, jwt.verify(sealed, own)), tostring(jwt.verify(sealed, own)) }
        ]])
        assert.same({ "ada", "RSA-OAEP-256", "A256GCM", "k", "JWT", "x", "nil", "token_too_large", "decryption_failed",
            "algorithm_not_allowed", "algorithm_not_allowed", "token_missing", "token_malformed", "token_malformed",
            "token_malformed", "nil" }, found)
    end)

    it("raise an error of one sentence for a mistake in encryption, without the key", function()
        local found = eval([[
            local found, secret = {}, ("s"):rep(32)
            local options = { algorithm = "dir", encryption = "A256GCM" }
            local function why(call, ...)
                local ok, message = pcall(call, ...)
                assert(not ok and not message:find("sss", 1, true) and not message:find("BEGIN", 1, true))
                found[#found + 1] = message:gsub("^.-route_native.jwt: ", "")
            end
            why(jwt.encrypt, {}, secret, options)
            why(jwt.encrypt, "x", 7, options)
            why(jwt.encrypt, "x", secret)
            why(jwt.encrypt, "x", secret, {})
            why(jwt.encrypt, "x", secret, { algorithm = "dir", encryption = "A256GCM", zip = "DEF" })
            why(jwt.encrypt, "x", secret, { algorithm = 7, encryption = "A256GCM" })
            why(jwt.encrypt, "x", secret, { algorithm = "RSA1_5", encryption = "A256GCM" })
            why(jwt.encrypt, "x", secret, { algorithm = "A128KW", encryption = "A256GCM" })
            why(jwt.encrypt, "x", read "RSA_own.pem", { algorithm = "RSA-OAEP", encryption = "A256GCM" })
            why(jwt.encrypt, "x", secret, { algorithm = "dir", encryption = "A256GCM", header = { zip = "DEF" } })
            why(jwt.encrypt, "x", secret, { algorithm = "dir", encryption = "A256GCM", header = { alg = "dir" } })
            why(jwt.encrypt, "x", secret, { algorithm = "dir", encryption = "A256GCM", header = { apu = "=" } })
            why(jwt.encrypt, "x", secret:sub(2), options)
            why(jwt.encryption_key, secret)
            why(jwt.encryption_key, nil)
            why(jwt.encryption_secret, read("RSA_own.pub"))
            why(jwt.encryption_secret, "short")
            why(jwt.encryption_key, read "secp256k1_own.pem")
            return found
        ]])
        local size = "the key is a shared secret that is not of 16, 24, 32, 48 or 64 bytes"
        local foreign = "this key cannot encrypt, or not with that algorithm and encryption"
        assert.same({
            "encrypt() takes a string",
            "the key is a string, or what encryption_key() or encryption_secret() returns",
            "encrypt(): a table is needed",
            'encrypt(): the field "algorithm" is missing',
            'encrypt(): there is no field "zip"',
            'encrypt(): the field "algorithm" must be a string that is not empty and holds no '
                .. "control characters",
            "encrypt() does not offer that algorithm or encryption",
            foreign, foreign,
            "the header must not have crit, b64, zip, p2c or p2s",
            "the header's alg, enc and kid are set by options of their own",
            "the header has a member of the wrong type",
            size,
            "the key is neither PEM nor a JWK",
            "encryption_key() takes a string, and was given a nil",
            "the key is a public key, a private key or a certificate used as an HMAC secret",
            size,
            "the key is a key that cannot encrypt or decrypt: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or X25519 "
                .. "is needed",
        }, found)
    end)

    it("log skipped keys of a set once, with the reason", function()
        local set = cjson.encode { keys = {
            { kty = "oct", kid = "good", k = ("A"):rep(64) }, { kty = "oct", kid = "short", k = "AQAB" },
        } }
        -- In one worker: each logs it once.
        assert.is_true(running:eval("for _ = 1, 3 do jwt.keys { a[1] } end return jwt.key(a[1]) ~= nil", set))
        local told = 'key 2 (kid "short") of the set is skipped: it is an HMAC secret of fewer than 32 bytes'
        local count = 0
        for line in running.gateway:error_log():gmatch("[^\n]+") do
            count = count + (line:find(told, 1, true) and line:find("[warn]", 1, true) and 1 or 0)
        end
        assert.equal(1, count)
    end)

    it("names the file of a skipped key, also when two files skip the same", function()
        local set = '{"keys":[{"kty":"oct","k":"' .. ("A"):rep(64) .. '"},{"kty":"unknown"}]}'
        for _, name in ipairs { "one.jwks", "two.jwks" } do
            local path = running.gateway.directory .. "/" .. name
            process.write(path, set)
            running:eval("return jwt.key_file(a[1]) ~= nil", path)
            local told = "the key file " .. path .. ": key 2 of the set is skipped"
            assert.truthy(running.gateway:error_log():find(told, 1, true), told)
        end
    end)
end)
