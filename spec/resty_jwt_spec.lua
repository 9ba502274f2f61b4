-- Programs for lua-resty-jwt beyond plain secrets: certificates in tokens (x5u), Authorization headers, and old and new
-- names of algorithms.

local process = require "support.process"
local toolkit = require "support.toolkit"

-- Makes two authorities, each with a leaf certificate that signs with P-256.
local AUTHORITIES = [[set -e
cd %s/keys
for ca in trusted rogue; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$ca \
    -keyout $ca.key -out $ca.crt 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=leaf \
    -keyout $ca.leaf.key -out $ca.csr 2>/dev/null
  printf 'basicConstraints=CA:FALSE\n' > $ca.ext
  openssl x509 -req -in $ca.csr -CA $ca.crt -CAkey $ca.key -CAcreateserial -days 2 -extfile $ca.ext -out $ca.leaf.crt \
    2>/dev/null
done]]

describe("programs for lua-resty-jwt", function()
    local running

    local function eval(lua, ...)
        return running:eval(lua, running.directory, ...)
    end

    setup(function()
        running = toolkit.start()
        local output, status = process.run(AUTHORITIES:format(running.directory))
        assert(status == 0, output)
    end)
    teardown(function() running:stop() end)

    it("get the original's reason for a type of an HMAC token that it does not know", function()
        local reasons = eval([[
            local key, secret = read("P-256_own.pem"), ("s"):rep(64)
            local function reason(typ, alg)
                -- By a second face: this one does not sign such a token.
                local claims = { sub = "ada", exp = ngx.time() + 60 }
                local token = assert(jwt.sign(claims, alg == "ES256" and key or secret, { typ = typ, algorithm = alg }))
                local obj = resty:verify(alg == "ES256" and read("P-256_own.pub") or secret, token)
                assert(obj.valid == obj.verified)
                return obj.reason
            end
            return { reason("JWT", "HS256"), reason("JWE", "HS256"), reason("at+jwt", "HS256"),
                reason("jwt", "HS512"), reason("JWS", "HS384"), reason("at+jwt", "ES256"),
                resty:verify(("x"):rep(32), jwt.sign({}, secret, { typ = "at+jwt" })).reason }
        ]])
        local fine = "everything is awesome~ :p"
        assert.same({ fine, fine, "invalid typ: at+jwt", "invalid typ: jwt", "invalid typ: JWS", fine,
            "invalid typ: at+jwt" }, reasons)
    end)

    it("provide the content of an x5u themselves, and only a trusted certificate is accepted", function()
        local asked, verdicts = eval([[
            local url, asked = "https://issuer.example/cert.pem", {}
            local own = resty.new()
            own:set_trusted_certs_file(a[1] .. "/keys/trusted.crt")
            local function token(key, header)
                header.alg, header.x5u, header.kid = "ES256", url, "k"
                return own:sign(read(key), { header = header, payload = { iss = "issuer" } })
            end
            local function verdict(key, answer, header)
                own:set_x5u_content_retriever(function(...)
                    asked[#asked + 1] = table.concat({ ... }, " ")
                    return answer()
                end)
                local obj = own:verify(nil, token(key, header or {}))
                assert(obj.valid == obj.verified)
                return obj.valid and "valid" or obj.reason
            end
            local function certificate(name) return function() return read(name) end end
            local verdicts = {
                (own:verify(nil, token("trusted.leaf.key", {})).reason),
                verdict("trusted.leaf.key", certificate "trusted.leaf.crt"),
                verdict("rogue.leaf.key", certificate "trusted.leaf.crt"),
                verdict("rogue.leaf.key", certificate "rogue.leaf.crt"),
                verdict("trusted.leaf.key", function() end),
                verdict("trusted.leaf.key", function() error("a reason of the program's") end),
                verdict("trusted.leaf.key", function() return "garbage" end),
                verdict("trusted.leaf.key", function() return ("x"):rep(300 * 1024) end),
                verdict("trusted.leaf.key", function() ngx.sleep(0.001) return read "trusted.leaf.crt" end),
                -- x5c comes first, as in lua-resty-jwt.
                verdict("trusted.leaf.key", certificate "trusted.leaf.crt", { x5c = { "AAAA" } }),
            }
            for i, text in ipairs(verdicts) do
                verdicts[i] = text:gsub("trusted: .*", "trusted"):gsub("from JWT: [^x].*", "from JWT")
            end
            return asked, verdicts
        ]])
        assert.same({
            "No function has been provided to retrieve the content pointed at by the 'x5u'.",
            "valid",
            "Verification failed",
            "Cert used to sign the JWT isn't trusted",
            "Unable to extract signing cert from JWT: x5u gave none",
            "An error occured while invoking the x5u_content_retriever function.",
            "Unable to extract signing cert from JWT",
            "Unable to extract signing cert from JWT: x5u gave too much",
            "valid",
            "Unable to extract signing cert from JWT",
        }, verdicts)
        assert.equal(8, #asked)
        assert.equal("https://issuer.example/cert.pem issuer k", asked[1])
    end)

    it("get an error for a retriever that is no function, which runs only with trusted certificates", function()
        local ok, message, asked = eval([[
            local ok, message = pcall(resty.set_x5u_content_retriever, resty.new(), "https://issuer.example")
            local own, asked = resty.new(), 0
            own:set_x5u_content_retriever(function() asked = asked + 1 end)
            local header = { alg = "ES256", x5u = "https://x" }
            local token = own:sign(read "rogue.leaf.key", { header = header, payload = {} })
            assert(own:verify(nil, token).reason == "No trusted certs loaded")
            assert(own:verify(read "trusted.leaf.crt", token).reason == "Verification failed")
            return ok, message, asked
        ]])
        assert.same({ false, "'retriever_function' is expected to be a function", 0 }, { ok, message, asked })
    end)

    it("may pass an Authorization header with Bearer, but no other prefix of a token", function()
        local verdicts, raw = eval([[
            local secret = ("s"):rep(32)
            local token = resty:sign(secret, { header = { alg = "HS256" }, payload = { sub = "ada" } })
            local verdicts = {}
            for i, prefix in ipairs { "", "Bearer ", "bearer ", "BEARER  ", "Basic ", "Bearer", "Bearer Bearer ", " ",
                "Bearer\n", "Bearer x." } do
                local obj = resty:verify(secret, prefix .. token)
                verdicts[i] = obj.valid
                assert(obj.valid or obj.reason)
            end
            return verdicts, resty:verify(secret, "Bearer " .. token).raw_header == token:match("^[^.]+")
        ]])
        assert.same({ true, true, true, true, false, false, false, false, false, false }, verdicts)
        assert.is_true(raw)
    end)

    it("get a reason, and no error, when their secret function raises", function()
        local reasons, signed = eval([[
            local secret = ("s"):rep(32)
            local function raising(kid)
                if kid == "known" then error({ reason = "a reason of the program's" }) end
                return secrets[kid.name]
            end
            local reasons = {}
            for i, kid in ipairs { "known", "unknown" } do
                local token = resty:sign(secret, { header = { alg = "HS256", kid = kid }, payload = {} })
                local obj = resty:verify(raising, token)
                assert(obj.valid == false and obj.verified == false)
                reasons[i] = obj.reason
            end
            local header = { alg = "HS256", kid = "x" }
            local signed, why = pcall(resty.sign, resty, raising, { header = header, payload = {} })
            return reasons, not signed and why.reason
        ]])
        assert.same({ "a reason of the program's", "internal error" }, reasons)
        assert.equal("internal error", signed)
    end)

    it("get the original's reason for a signature that does not fit, by its cause", function()
        local found = eval([[
            local secret, found = ("s"):rep(64), {}
            local function reason(alg, private, key, change, header)
                header = header or {}
                header.alg = alg
                local token = resty:sign(private, { header = { alg = alg }, payload = { sub = "ada" } })
                local signature = change(token:match("[^.]*$"))
                local raw = resty:jwt_encode(header) .. "." .. resty:jwt_encode { sub = "ada" }
                local obj = resty:verify(key, raw .. "." .. signature)
                assert(not obj.valid and not obj.verified)
                found[#found + 1] = (obj.reason:gsub(signature:gsub("%p", "%%%0"), "SIGNATURE"))
            end
            local function same(signature) return signature end
            local function cut(signature) return signature:sub(1, -5) end
            -- The last letter of 256 bytes in base64url has four bits that must be zero.
            local function trailing(signature) return signature:sub(1, -2) .. "x" end
            local function no_base64(signature) return signature .. "!" end
            local rsa, other = read "RSA_own.pem", read "RSA_other.pub"
            reason("RS256", rsa, other, same)
            reason("RS256", rsa, read "RSA_own.pub", trailing)
            reason("RS256", rsa, read "RSA_own.pub", no_base64)
            reason("PS512", rsa, other, same)
            for _, curve in ipairs { "P-256", "P-384", "P-521" } do
                local alg = ({ ["P-256"] = "ES256", ["P-384"] = "ES384", ["P-521"] = "ES512" })[curve]
                local private, public = read(curve .. "_own.pem"), read(curve .. "_own.pub")
                reason(alg, private, read(curve .. "_other.pub"), same)
                reason(alg, private, public, cut)
                reason(alg, private, public, no_base64)
                -- A key of another curve.
                reason(alg, private, read(curve == "P-256" and "P-521_own.pub" or "P-256_own.pub"), same)
            end
            reason("HS256", secret, secret:upper(), same)
            reason("HS512", secret, secret, cut)
            reason("HS256", secret, secret, function() return "nonsense" end, { enc = "A256GCM" })
            reason("HS256", secret, secret, same, { enc = "A256GCM" })
            reason("EdDSA", read "ED25519_own.pem", read "ED25519_other.pub", same)
            reason("EdDSA", read "ED25519_own.pem", read "ED25519_own.pub", no_base64)
            return found
        ]])
        local failed, encoded = "Verification failed", "Wrongly encoded signature"
        local long, mismatch = "signature length != 2 * order length", "signature mismatch: SIGNATURE"
        assert.same({
            failed, failed, encoded, failed,
            failed, long, encoded, long,
            failed, long, encoded, long,
            failed, long, encoded, long,
            mismatch, mismatch, mismatch, "invalid header: crit, b64, zip and enc are not supported",
            "EdDSA signature verification failed", encoded,
        }, found)
    end)

    it("get the original's reason for a key of an encrypted token that does not fit, by its cause", function()
        local opening, sealing = eval([[
            local header = { dir = "A128GCM", A128KW = "A128GCM", A256GCMKW = "A128GCM", ["RSA-OAEP"] = "A128GCM",
                ["ECDH-ES"] = "A128GCM" }
            local own = {
                dir = { ("k"):rep(16), ("k"):rep(16) }, A128KW = { ("k"):rep(16), ("k"):rep(16) },
                A256GCMKW = { ("k"):rep(32), ("k"):rep(32) }, ["RSA-OAEP"] = { read "RSA_own.pub", read "RSA_own.pem" },
                ["ECDH-ES"] = { read "P-256_own.pub", read "P-256_own.pem" },
            }
            local opening, sealing = {}, {}
            for alg, enc in pairs(header) do
                local token = resty:sign(own[alg][1], { header = { alg = alg, enc = enc }, payload = {} })
                assert(resty:verify(own[alg][2], token).valid)
                local function open(key, text)
                    local obj = resty:verify(key, text or token)
                    assert(not obj.valid and not obj.verified)
                    assert(not obj.reason:find("kkkk", 1, true) and not obj.reason:find("BEGIN", 1, true))
                    return (obj.reason:gsub("(object: ).*", "%1"):gsub("(private key: ).*", "%1"))
                end
                local bare = token:gsub("^[^.]*", (resty:jwt_encode { alg = alg, enc = enc, x = 1 }))
                opening[alg] = { open(nil), open(("k"):rep(15)), open(read "RSA_own.pub"), open(own[alg][2], bare),
                    open(own[alg][2], (token:gsub("^[^.]*", (resty:jwt_encode { alg = alg, enc = "A512GCM" })))) }
                local function seal(key, other)
                    local ok, problem = pcall(resty.sign, resty, key, { header = { alg = alg, enc = other or enc },
                        payload = {} })
                    assert(not ok and not problem.reason:find("kkkk", 1, true) and not problem.reason:find("BEGIN"))
                    return (problem.reason:gsub("(public key: ).*", "%1"))
                end
                sealing[alg] = { seal(("k"):rep(15)), seal(read "RSA_own.pem"), seal(own[alg][1], "A512GCM") }
            end
            return opening, sealing
        ]])
        local bad, enc = "failed to decrypt payload: bad decrypt", "unsupported payload encryption algorithm :A512GCM"
        local psk, rsa = "invalid pre-shared key", "failed to create rsa object: "
        local ec = "failed to load EC private key: "
        local wrap, gcm = "AES key wrap key must not be null", "AES-GCM key wrap key must not be null"
        assert.same({
            dir = { "preshared key must not be null", psk, psk, bad, enc },
            A128KW = { wrap, psk, psk, bad, enc },
            A256GCMKW = { gcm, psk, psk, "missing iv/tag in header for AES-GCM key wrap", enc },
            ["RSA-OAEP"] = { "rsa private key must not be null", rsa, rsa, bad, enc },
            ["ECDH-ES"] = { "EC private key must not be null", ec, ec, "missing epk in JWE header", enc },
        }, opening)
        local cert = "Decode secret is not a valid cert/public key: "
        assert.same({
            dir = { psk, psk, enc }, A128KW = { psk, psk, enc }, A256GCMKW = { psk, psk, enc },
            ["RSA-OAEP"] = { cert, cert, enc },
            ["ECDH-ES"] = { "failed to load EC public key: ", "failed to load EC public key: ", enc },
        }, sealing)
    end)

    it("encrypt and decrypt with every algorithm that is not refused by name", function()
        local reasons, count = eval([[
            local secrets = { A128KW = 16, A192KW = 24, A256KW = 32, A128GCMKW = 16, A192GCMKW = 24, A256GCMKW = 32 }
            local sizes = { A128GCM = 16, A192GCM = 24, A256GCM = 32, ["A128CBC-HS256"] = 32, ["A192CBC-HS384"] = 48,
                ["A256CBC-HS512"] = 64 }
            local count = 0
            local function check(alg, enc, public, private, other)
                local payload = { foo = "bar", exp = ngx.time() + 60 }
                local token = resty:sign(public, { header = { typ = "JWE", alg = alg, enc = enc }, payload = payload })
                local obj = resty:verify(private, token)
                assert(obj.valid and obj.verified and obj.payload.foo == "bar", alg .. " " .. enc)
                assert(obj.header.alg == alg and obj.header.typ == nil)
                assert(resty:verify(other, token).reason == "failed to decrypt payload: bad decrypt", alg)
                -- The other module reads the same token.
                assert(jwt.decrypt(token, private):find('"foo":"bar"', 1, true))
                local native = jwt.encrypt('{"foo":"bar"}', public, { algorithm = alg, encryption = enc })
                assert(resty:verify(private, native).payload.foo == "bar")
                count = count + 1
            end
            for enc, size in pairs(sizes) do
                check("dir", enc, ("k"):rep(size), ("k"):rep(size), ("w"):rep(size))
                for alg, bytes in pairs(secrets) do
                    check(alg, enc, ("k"):rep(bytes), ("k"):rep(bytes), ("w"):rep(bytes))
                end
                for _, alg in ipairs { "RSA-OAEP", "RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512" } do
                    check(alg, enc, read "RSA_own.pub", read "RSA_own.pem", read "RSA_other.pem")
                end
                for _, alg in ipairs { "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW" } do
                    for _, curve in ipairs { "P-256", "P-384", "P-521" } do
                        local private = read(curve .. "_own.pem")
                        check(alg, enc, read(curve .. "_own.pub"), private, read(curve .. "_other.pem"))
                    end
                end
            end
            local reasons = {}
            for i, alg in ipairs { "RSA1_5", "PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW" } do
                local header = { alg = alg, enc = "A128GCM", p2c = 1000000000, p2s = "AAAA" }
                local obj = resty:verify("password", resty:jwt_encode(header) .. ".AAAA.AAAA.AAAA.AAAA")
                local ok, problem = pcall(resty.sign, resty, "password", { header = header, payload = {} })
                assert(not ok and not obj.valid)
                reasons[i] = obj.reason .. ", " .. problem.reason
            end
            return reasons, count
        ]])
        assert.equal(6 * (1 + 6 + 4 + 4 * 3), count)
        for i, alg in ipairs { "RSA1_5", "PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW" } do
            assert.equal(("invalid algorithm: %s, unsupported alg: %s"):format(alg, alg), reasons[i])
        end
    end)

    it("accept an encrypted token only with valid claims, which route_native.jwt never accepts", function()
        local verdicts = eval([[
            local rsa = { read "RSA_own.pub", read "RSA_own.pem", read "RSA_other.pem" }
            local now = ngx.time()
            local verdicts = {}
            local function verdict(key, token, ...)
                local obj = resty:verify(key, token, ...)
                assert(obj.valid == obj.verified and (obj.valid or type(obj.reason) == "string"))
                assert(select(2, jwt.verify(token, jwt.key(rsa[1]))) == "token_malformed")
                return obj.valid
            end
            for enc, size in pairs { A128GCM = 16, A256GCM = 32, ["A128CBC-HS256"] = 32, ["A256CBC-HS512"] = 64 } do
                local secret = ("k"):rep(size)
                for alg, keys in pairs { dir = { secret, secret, ("w"):rep(size) }, ["RSA-OAEP-256"] = rsa } do
                    local function seal(claims)
                        local header = { typ = "JWE", alg = alg, enc = enc }
                        return resty:sign(keys[1], { header = header, payload = claims })
                    end
                    local good = seal { aud = "api", exp = now + 60 }
                    local parts = {}
                    for part in (good .. "."):gmatch("([^.]*)%.") do parts[#parts + 1] = part end
                    local function with(i, part)
                        local copy = { unpack(parts, 1, 5) }
                        copy[i] = part
                        return table.concat(copy, ".")
                    end
                    local other = {}
                    for part in (seal { aud = "api", exp = now + 60, sub = "root" } .. "."):gmatch("([^.]*)%.") do
                        other[#other + 1] = part
                    end
                    local aud = { aud = validators.equals("api") }
                    verdicts[alg .. " " .. enc] = {
                        verdict(keys[2], good), verdict(keys[2], good, aud),
                        verdict(keys[3], good),
                        verdict(keys[2], seal { exp = now - 60 }), verdict(keys[2], seal { exp = "never" }),
                        verdict(keys[2], seal { nbf = now + 60 }), verdict(keys[2], seal { nbf = true }),
                        verdict(keys[2], seal { aud = "other" }, aud), verdict(keys[2], seal { aud = 7 }, aud),
                        verdict(keys[2], with(4, other[4])), verdict(keys[2], with(5, other[5])),
                        verdict(keys[2], with(3, other[3])), verdict(keys[2], with(5, "")),
                        verdict(keys[2], with(4, "")),
                        verdict(keys[2], with(1, (resty:jwt_encode { alg = alg, enc = enc, zip = "DEF" }))),
                        verdict(keys[2], good .. ".AA"), verdict(keys[2], good:match("^(.*)%.")),
                    }
                end
            end
            return verdicts
        ]])
        local count = 0
        for name, list in pairs(verdicts) do
            local expected = { true, true }
            for i = 3, 17 do expected[i] = false end
            assert.same(expected, list, name)
            count = count + 1
        end
        assert.equal(8, count)
    end)

    it("may use the newer name of EdDSA, as may those for route_native.jwt", function()
        local verdicts = eval([[
            local private, public = read "ED25519_own.pem", read "ED25519_own.pub"
            local verdicts = {}
            for _, name in ipairs { "EdDSA", "Ed25519" } do
                local token = resty:sign(private, { header = { alg = name }, payload = { sub = "ada" } })
                local own = jwt.sign({ sub = "ada" }, private, { algorithm = name, lifetime = 60 })
                assert(jwt.decode_unverified(own) and select(2, jwt.decode_unverified(own)).alg == name)
                for _, allowed in ipairs { "EdDSA", "Ed25519", "ES256" } do
                    resty:set_alg_whitelist { [allowed] = 1 }
                    verdicts[#verdicts + 1] = resty:verify(public, token).valid
                    verdicts[#verdicts + 1] = jwt.verify(own, public, { algorithms = allowed }) ~= nil
                end
                resty:set_alg_whitelist(nil)
                verdicts[#verdicts + 1] = resty:verify(read "ED25519_other.pub", token).valid
                verdicts[#verdicts + 1] = resty:verify(read "P-256_own.pub", token).valid
                assert(resty:verify(nil, token).reason == "Failed to load EdDSA public key: no key provided")
            end
            return verdicts
        ]])
        local each = { true, true, true, true, false, false, false, false }
        for i, verdict in ipairs(verdicts) do
            assert.equal(each[(i - 1) % 8 + 1], verdict, i)
        end
        assert.equal(16, #verdicts)
    end)

    it("get a refusal for a payload that has no claims to read", function()
        local found = eval([[
            local function part(text)
                return (ngx.encode_base64(text, true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
            end
            local secret, found = ("s"):rep(32), {}
            for _, payload in ipairs { "null", "5", "true", "false", '"text"', "[1]", "text", "{}" } do
                local body = part(payload)
                -- sign() takes raw parts as they are.
                local token = resty:sign(secret, { raw_payload = body, header = { alg = "HS256" } })
                local obj = resty:verify(secret, token)
                found[#found + 1] = { payload, obj.valid, (obj.reason:gsub(body, "BODY")), type(obj.payload) }
            end
            return found
        ]])
        local valid, refused = "everything is awesome~ :p", "invalid payload: BODY"
        assert.same({
            { "null", false, refused, "nil" }, { "5", false, refused, "nil" }, { "true", false, refused, "nil" },
            { "false", false, refused, "nil" }, { '"text"', true, valid, "string" }, { "[1]", true, valid, "table" },
            { "text", true, valid, "string" }, { "{}", true, valid, "table" },
        }, found)
    end)

    it("get reasons without control characters and addresses", function()
        local found = eval([[
            local secret, found = ("s"):rep(32), {}
            for _, header in ipairs {
                { alg = "HS\0" .. "256" }, { alg = "x\r\ny" }, { alg = { "HS256" } }, { alg = 5 },
                { alg = "HS256", kid = "a\0b" },
            } do
                local token = resty:jwt_encode(header) .. ".e30.AAAA"
                local own = resty.new()
                local first = own:verify(secret, token).reason
                own:set_alg_whitelist { HS256 = 1 }
                local second = own:verify(function() end, token).reason
                found[#found + 1] = { first, second }
            end
            return found
        ]])
        assert.same({
            { "Unsupported algorithm HS?256", "whitelist unsupported alg: HS?256" },
            { "Unsupported algorithm x??y", "whitelist unsupported alg: x??y" },
            { "Unsupported algorithm table", "whitelist unsupported alg: table" },
            { "Unsupported algorithm 5", "whitelist unsupported alg: 5" },
            { "signature mismatch: AAAA", "function returned nil for kid: a?b" },
        }, found)
    end)

    it("get a refusal, and no error, for an object of their own that lacks a part", function()
        local found = eval([[
            local found = {}
            for _, obj in ipairs {
                {}, { header = "x" }, { header = {} }, { header = { alg = "HS256" } },
                { header = { alg = "HS256" }, raw_header = "a", raw_payload = "b" },
                { header = { alg = "RS256" }, raw_header = "a", signature = "c" },
                { header = { alg = "HS256" }, raw_header = {}, raw_payload = "b", signature = "c" },
            } do
                obj.valid, obj.payload = true, {}
                local answer = resty:verify_jwt_obj(("s"):rep(32), obj)
                found[#found + 1] = { answer.valid, answer.verified, answer.reason }
            end
            return found
        ]])
        for i, reason in ipairs {
            "missing part header", "missing part header", "No algorithm supplied", "missing part raw_header",
            "missing part signature", "missing part raw_payload", "missing part raw_header",
        } do
            assert.same({ false, false, reason }, found[i])
        end
    end)
end)
