-- The examples of the RFCs, from Lua in nginx and with both JWT modules. tests/vectors.rs has them without Lua.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"
local toolkit = require "support.toolkit"

local EXAMPLES = cjson.decode(process.read(gateway.ROOT .. "/tests/data/rfc_examples.json"))

-- Returns the key for route_native.resty_jwt: the bytes of a secret, or the JWK of any other key.
local KEYS = [[
local function key_of(example)
    local key = example.key
    return key.kty == "oct" and resty:jwt_decode(key.k) or require("cjson").encode(key)
end
]]

describe("the examples of the RFCs", function()
    local running

    local function eval(lua, ...)
        return running:eval(KEYS .. lua, ...)
    end

    setup(function() running = toolkit.start() end)
    teardown(function() running:stop() end)

    it("verify, and give their claims, in both modules", function()
        assert.equal(13, #EXAMPLES.signed)
        for _, example in ipairs(EXAMPLES.signed) do
            local native, valid, payload, touched = eval([[
                local example = a[1]
                local claims, why = jwt.verify(example.token, require("cjson").encode(example.key),
                    { algorithms = example.algorithm, clock = function() return 1300819379 end })
                -- With an empty claim spec route_native.resty_jwt checks only the signature.
                local obj = resty:verify(key_of(example), example.token, { none = function() end })
                local middle = #example.token - 20
                local touched = example.token:sub(1, middle - 1)
                    .. (example.token:sub(middle, middle) == "A" and "B" or "A") .. example.token:sub(middle + 1)
                return claims and claims.iss or why, obj.valid and obj.verified, obj.payload,
                    resty:verify(key_of(example), touched, { none = function() end }).valid
            ]], example)
            -- RFC 7520 and 8037 sign prose, which is no JWT: the signature is valid, and the claims are malformed.
            local prose = type(payload) == "string"
            assert.equal(prose and "token_malformed" or payload.iss, native, example.source)
            assert.same({ true, false }, { valid, touched }, example.source)
        end
    end)

    it("are reproduced where a signature is deterministic", function()
        local again = 0
        for _, example in ipairs(EXAMPLES.signed) do
            if example.key.d or example.key.k then
                local token = eval([[
                    local obj = resty:load_jwt(a[1].token)
                    return resty:sign(key_of(a[1]), { raw_header = obj.raw_header, header = obj.header,
                        raw_payload = obj.raw_payload, payload = obj.payload })
                ]], example)
                if example.algorithm:find("^[HR]S") or example.algorithm == "EdDSA" then
                    assert.equal(example.token, token, example.source)
                    again = again + 1
                else
                    assert.equal(example.token:match("^[^.]+%.[^.]+"), token:match("^[^.]+%.[^.]+"), example.source)
                end
            end
        end
        assert.equal(7, again)
    end)

    it("are refused where they are not signed", function()
        local key
        for _, example in ipairs(EXAMPLES.signed) do
            key = example.source:find("7520 4.4", 1, true) and example.key or key
        end
        assert.equal(5, #EXAMPLES.refused)
        for _, example in ipairs(EXAMPLES.refused) do
            local claims, why, valid, verified = eval([[
                local claims, why = jwt.verify(a[1].token, require("cjson").encode(a[1].key),
                    { clock = function() return 1300819379 end })
                local obj = resty:verify(key_of(a[1]), a[1].token)
                return claims, why, obj.valid, obj.verified
            ]], { token = example.token, key = key })
            assert.same({ nil, example.reason, false, false }, { claims, why, valid, verified }, example.source)
        end
    end)

    it("are decrypted where their key management is supported, in both modules", function()
        assert.equal(9, #EXAMPLES.encrypted)
        for _, example in ipairs(EXAMPLES.encrypted) do
            local obj, plaintext, header, verified = eval([[
                local plaintext, header = jwt.decrypt(a[1].token, require("cjson").encode(a[1].key))
                return resty:verify(key_of(a[1]), a[1].token, { none = function() end }), plaintext, header,
                    jwt.verify(a[1].token, ("k"):rep(32)) ~= nil
            ]], example)
            assert.equal(example.plaintext, plaintext, example.source)
            assert.same({ example.algorithm, example.encryption, false }, { header.alg, header.enc, verified })
            assert.same({ true, true, example.plaintext }, { obj.valid, obj.verified, obj.payload }, example.source)
        end
        assert.equal(5, #EXAMPLES.refused_encrypted)
        for _, refused in ipairs(EXAMPLES.refused_encrypted) do
            local why, native, decrypted = eval([[
                local obj = resty:verify(("k"):rep(16), a[1].token)
                return not obj.valid and not obj.verified and obj.reason,
                    select(2, jwt.verify(a[1].token, ("k"):rep(32))), select(2, jwt.decrypt(a[1].token, ("k"):rep(32)))
            ]], refused)
            local expected = refused.reason == "header_unsupported" and "invalid header: crit, b64, zip, p2c and p2s"
                or "invalid algorithm: " .. refused.source:match(": (.*)")
            assert.is_truthy(tostring(why):find(expected, 1, true), refused.source .. ": " .. tostring(why))
            assert.same({ "token_malformed", refused.reason }, { native, decrypted }, refused.source)
        end
    end)
end)
