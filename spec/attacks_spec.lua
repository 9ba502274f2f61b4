-- The attack corpus: each forged, malformed or ambiguous token gets the same 401, for the expected reason. Neither the
-- answer nor a log shows the token or the RSA error.

local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"

local BODY = '{"code":"unauthorized","message":"Missing, invalid or expired access token"}\n'
local INVALID, MISSING = 'Bearer error="invalid_token"', "Bearer"

local HEADER = '{"alg":"RS256","typ":"JWT"}'
local NOW = os.time()
local EXP = NOW + 600

local function payload(members)
    return ('{"exp":%d,"hash":"HASH"%s}'):format(EXP, members or "")
end

-- name = { the reason in the log, the arguments of the token }. A request without `raw_header` goes through PyJWT.
local MINTED = {
    ["alg none"] = { "algorithm_not_allowed", { raw_header = '{"alg":"none"}', alg = "none" } },
    ["alg None"] = { "algorithm_not_allowed", { raw_header = '{"alg":"None"}', alg = "none" } },
    ["alg nOnE"] = { "algorithm_not_allowed", { raw_header = '{"alg":"nOnE"}', alg = "none" } },
    ["alg in lower case"] = { "algorithm_not_allowed", { raw_header = '{"alg":"rs256"}' } },
    ["alg of the wrong type"] = { "token_malformed", { raw_header = '{"alg":["RS256"]}' } },
    ["no alg"] = { "token_malformed", { raw_header = '{"typ":"JWT"}' } },
    ["duplicate alg"] = { "token_malformed", { raw_header = '{"alg":"RS256","alg":"RS256"}' } },
    ["duplicate alg, escaped"] = { "token_malformed", { raw_header = '{"alg":"RS256","\\u0061lg":"none"}' } },
    ["crit"] = { "header_unsupported", { raw_header = '{"alg":"RS256","crit":["exp"]}' } },
    ["b64"] = { "header_unsupported", { raw_header = '{"alg":"RS256","b64":false}' } },
    ["zip"] = { "header_unsupported", { raw_header = '{"alg":"RS256","zip":"DEF"}' } },
    ["enc"] = { "header_unsupported", { raw_header = '{"alg":"RS256","enc":"A128GCM"}' } },
    ["a header that is no object"] = { "token_malformed", { raw_header = '"RS256"' } },
    ["a header that is no JSON"] = { "token_malformed", { raw_header = "alg=RS256" } },

    ["duplicate exp"] = { "token_malformed", { raw_payload = payload(',"exp":' .. EXP) } },
    ["duplicate hash"] = { "token_malformed", { raw_payload = payload(',"hash":"HASH"') } },
    ["a payload that is an array"] = { "token_malformed", { raw_payload = "[1]" } },
    ["a payload with text after it"] = { "token_malformed", { raw_payload = payload() .. "{}" } },
    ["exp beyond a double"] = { "token_malformed", { raw_payload = '{"exp":1e400,"hash":"HASH"}' } },
    ["nbf beyond a double"] = { "token_malformed", { raw_payload = payload(',"nbf":1e400') } },
    ["missing exp"] = { "claim_missing", { raw_payload = '{"hash":"HASH"}' } },
    ["expired"] = { "token_expired", { claims = { exp = NOW - 60 } } },
    ["not yet valid"] = { "token_not_yet_valid", { claims = { exp = EXP, nbf = NOW + 300 } } },
    ["wrong key"] = { "signature_invalid", { claims = { exp = EXP }, wrong_key = true } },

    ["hash missing"] = { "claim_missing", { claims = { exp = EXP }, target = false } },
    ["hash null"] = { "claim_malformed", { raw_payload = ('{"exp":%d,"hash":null}'):format(EXP) } },
    ["hash a number"] = { "claim_malformed", { claims = { exp = EXP, hash = 7 }, target = false } },
    ["hash an array"] = { "claim_malformed", { claims = { exp = EXP, hash = { "x" } }, target = false } },
    ["hash empty"] = { "payload_invalid", { claims = { exp = EXP, hash = "" }, target = false } },
    ["hash not base64"] = { "payload_invalid", { claims = { exp = EXP, hash = "not base64!" }, target = false } },
    ["hash too short"] = { "payload_invalid", { claims = { exp = EXP, hash = "AAAA" }, target = false } },
    ["hash too long"] = { "payload_invalid", { claims = { exp = EXP, hash = ("A"):rep(4096) }, target = false } },
    ["hash of zeros"] = { "payload_invalid", { claims = { exp = EXP, hash = ("A"):rep(342) }, target = false } },
    ["hash under another padding"] = { "payload_invalid", { padding = "oaep-sha1" } },
}

for _, claim in ipairs { "exp", "nbf" } do
    for _, value in ipairs { '"' .. EXP .. '"', '"never"', "null", "true", "false", "-1", "[]", "{}", "1e300" } do
        local text = claim == "exp" and ('{"exp":%s,"hash":"HASH"}'):format(value)
            or payload((',"nbf":%s'):format(value))
        MINTED[claim .. " is " .. value] = { "claim_malformed", { raw_payload = text } }
    end
end

for name, target in pairs {
    ["a port"] = "127.0.0.1:22", ["a path"] = "a/../b", ["a line break"] = "a\r\nX-Injected: 1",
    ["240 characters"] = ("a"):rep(240), ["a NUL byte"] = "127.0.0.1\0", ["a blank before"] = " 127.0.0.1",
    ["a blank after"] = "127.0.0.1 ", ["a blank within"] = "a b", ["nothing"] = "", ["a user"] = "x@127.0.0.1",
    ["a loose address"] = "127.1", ["a hexadecimal address"] = "0x7f000001", ["a query"] = "127.0.0.1?",
    ["a fragment"] = "127.0.0.1#", ["a percent sign"] = "127.0.0.1%00", ["a bare IPv6 address"] = "::1",
    ["bytes that are not UTF-8"] = "\255\254", ["a variable of nginx"] = "$host", ["a scheme"] = "unix:/tmp/x",
} do
    MINTED["hash decrypts to " .. name] = { "payload_invalid", { target = target } }
end

describe("the gateway, under attack,", function()
    local running, genuine, attacker_jwk, shown
    local minted = {}

    setup(function()
        running = assert(gateway.start { workers = 1 })
        local keys = running.keys
        attacker_jwk = process.run("/usr/bin/python3 -c " .. process.quoted(
            "import jwt,sys;from cryptography.hazmat.primitives.serialization import load_pem_public_key as l;"
            .. "print(jwt.algorithms.RSAAlgorithm.to_jwk(l(open(sys.argv[1],'rb').read())),end='')")
            .. " " .. keys.other_public)
        local names, requests = {}, {}
        local function add(name, request)
            local copy = {}
            for key, value in pairs(request) do
                copy[key] = value
            end
            if copy.target == nil then
                copy.target = "127.0.0.1"
            elseif copy.target == false then
                copy.target = nil
            end
            if copy.target then
                -- The claims of one request must not get the hash of another.
                copy.claims = copy.claims and { exp = copy.claims.exp, nbf = copy.claims.nbf }
            end
            if copy.raw_header or copy.raw_payload then
                copy.raw_header, copy.raw_payload = copy.raw_header or HEADER, copy.raw_payload or payload()
            end
            copy.key = copy.wrong_key and keys.other_private or copy.key
            names[#names + 1], requests[#requests + 1] = name, copy
        end
        for name, case in pairs(MINTED) do
            add(name, case[2])
        end
        add("genuine", {})
        add("genuine by hand", { raw_header = HEADER })
        add("HS256 with the public PEM", { raw_header = '{"alg":"HS256"}', alg = "HS256", key = keys.signing_public })
        local certificate = process.read(keys.other_public):gsub("%-%-%-[^\n]*\n", ""):gsub("%s", "")
        for _, member in ipairs { '"jwk":' .. attacker_jwk, '"jku":"http://127.0.0.1/jwks"',
            '"x5u":"http://127.0.0.1/c"', '"x5c":["' .. certificate .. '"]' } do
            local header = '{"alg":"RS256",' .. member .. "}"
            add("embedded " .. member:match("%w+"), { raw_header = header, wrong_key = true })
        end
        for i, text in ipairs(token.mint_all(keys, requests)) do
            minted[names[i]] = text
        end
        genuine = minted.genuine
    end)
    teardown(function() running:stop() end)

    before_each(function() shown = "" end)

    -- Checks an answer, and that neither the answer nor a log contains one of `secrets`.
    local function refused(response, challenge, secrets)
        assert.equal(401, response.status)
        assert.equal(BODY, response.body)
        assert.equal(challenge, response.headers["www-authenticate"])
        assert.equal("no-store", response.headers["cache-control"])
        assert.equal("application/json", response.headers["content-type"])
        for name, value in pairs(response.headers) do
            shown = shown .. name .. ": " .. value .. "\n"
        end
        local logs = running:access_log() .. running:error_log()
        for _, secret in ipairs(secrets) do
            assert.is_nil(shown:find(secret, 1, true), "in the answer: " .. secret)
            assert.is_nil(logs:find(secret, 1, true), "in a log: " .. secret)
        end
    end

    local number = 0
    local function path()
        number = number + 1
        return "/filer/attack-" .. number
    end

    -- Returns the long parts of a token. Short ones also occur by chance.
    local function parts(text)
        local long = {}
        for part in text:gmatch("[^.]+") do
            if #part > 40 then
                -- Even the first 40 characters must not appear.
                long[#long + 1] = part:sub(-40)
            end
        end
        return long
    end

    local function attack(text, reason)
        local to = path()
        local response = running:request { path = to, headers = { { "Authorization", "Bearer " .. text } } }
        local entry = running:logged(to)
        refused(response, INVALID, parts(text))
        assert.equal(reason, entry.reason)
        assert.equal("", entry.upstream)
    end

    it("accepts genuine tokens, made by PyJWT and by hand", function()
        assert.equal(200, running:get("/filer/x", genuine).status)
        assert.equal(200, running:get("/filer/x", minted["genuine by hand"]).status)
    end)

    for name, case in pairs(MINTED) do
        it("refuses: " .. name, function() attack(minted[name], case[1]) end)
    end

    it("refuses HS256 signed with the public PEM", function()
        attack(minted["HS256 with the public PEM"], "algorithm_not_allowed")
    end)

    for _, name in ipairs { "jwk", "jku", "x5u", "x5c" } do
        it("accepts no key from the token's " .. name .. " header", function()
            attack(minted["embedded " .. name], "signature_invalid")
        end)
    end

    it("refuses a token without exactly three parts", function()
        local header, claims, signature = genuine:match("^(.-)%.(.-)%.(.-)$")
        for _, text in ipairs { header, header .. "." .. claims, genuine .. "." .. signature, genuine .. ".",
            genuine .. "." .. signature .. "." .. signature, "." .. genuine,
            "." .. claims .. "." .. signature, ".." } do
            attack(text, "token_malformed")
        end
        -- The claims are checked only after the signature.
        attack(header .. ".." .. signature, "signature_invalid")
        attack(header .. "." .. claims .. ".", "signature_invalid")
    end)

    it("refuses base64 with padding, trailing bits or foreign characters", function()
        local head, last = genuine:match("^(.*)(.)$")
        -- A signature of 256 bytes ends with two characters, whose last four bits are zero.
        local after = { A = "B", Q = "R", g = "h", w = "x" }
        attack(genuine .. "=", "token_malformed")
        attack(genuine .. "==", "token_malformed")
        attack(head .. assert(after[last], "the last character holds no stray bits"), "token_malformed")
        attack(head, "token_malformed")
        attack(head .. "+", "token_malformed")
        attack(head .. " " .. last, "token_malformed")
        attack(head .. "%41" .. last, "token_malformed")
        attack(genuine .. "\t.", "token_malformed")
        attack(genuine .. "\195\169", "token_malformed")
        attack(genuine .. ", " .. genuine, "token_malformed")
    end)

    it("refuses a signature with one bit changed", function()
        local head, character, rest = genuine:match("^(.*%.....)(.)(.*)$")
        attack(head .. (character == "A" and "B" or "A") .. rest, "signature_invalid")
    end)

    it("answers a missing or empty token with a challenge", function()
        for _, headers in ipairs { {}, { { "Authorization", "" } }, { { "Authorization", "Bearer" } } } do
            local response = running:request { path = path(), headers = headers }
            refused(response, #headers == 0 and MISSING or INVALID, {})
        end
    end)

    it("answers NUL bytes in a header and logs none of them", function()
        for _, text in ipairs { genuine .. "\0", "\0" .. genuine, (genuine:gsub("%.", ".\0")) } do
            local response = http.raw(running.port, ("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n")
                :format(path(), "%s"):gsub("%%s", function() return text end))
            -- nginx itself refuses NUL bytes in a header.
            assert.equal(400, response.status)
            local logs = running:access_log() .. running:error_log()
            for _, part in ipairs(parts(genuine)) do
                assert.is_nil((response.body .. logs):find(part, 1, true))
            end
        end
    end)

    it("refuses a token of 17 KB as too large", function()
        attack(genuine .. ("A"):rep(17 * 1024), "token_too_large")
    end)

    for where, bytes in pairs {
        header = "GET /filer/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
        query = "GET /filer/big?jwt_token=%s HTTP/1.1\r\nHost: x\r\n\r\n",
        ["bare query"] = "GET /websockify?%s HTTP/1.1\r\nHost: x\r\n\r\n",
    } do
        it("refuses a token of 1 MB in the " .. where, function()
            local megabyte = ("eyJhbGciOiJSUzI1NiJ9secret"):rep(40330)
            -- nginx answers when its 32 KB are full, and may close the connection before it has read the rest.
            local connection = http.connect(running.port)
            connection:send((bytes:gsub("%%s", megabyte:sub(1, 40000))))
            local response = http.read_response(connection)
            connection:close()
            refused(response, INVALID, { megabyte:sub(1, 26) })

            connection = http.connect(running.port)
            connection:send((bytes:gsub("%%s", megabyte)))
            response = http.read_response(connection)
            connection:close()
            -- A reset may overtake the answer, but no other answer may arrive.
            if response then
                assert.equal(401, response.status)
            end
            assert.equal(200, running:get("/healthz").status)
        end)
    end

    it("answers bad padding and a bad host alike", function()
        local answers = {}
        for i, name in ipairs { "hash of zeros", "hash decrypts to a port", "hash under another padding" } do
            answers[i] = running:get("/filer/oracle", minted[name])
            answers[i].headers.date = nil
        end
        assert.same(answers[1], answers[2])
        assert.same(answers[1], answers[3])
    end)

    it("logs no error and no detail of RSA", function()
        local log = running:error_log()
        for _, word in ipairs { "%[error", "%[crit", "%[alert", "%[emerg", "RSA", "rsa", "decrypt", "padding" } do
            assert.is_nil(log:find(word), log)
        end
    end)
end)
