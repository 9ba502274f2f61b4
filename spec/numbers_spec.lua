-- Numbers that a double cannot hold: a claim has the digits that were signed, or is refused.

local auth = require "support.auth"
local toolkit = require "support.toolkit"

local INIT = [[
    local auth = require "route_native.auth"
    guards = {
        headers = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            headers = { ["X-N"] = "n", ["X-List"] = "list", ["X-Object"] = "object" } },
        number = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            require = { n = 9007199254740991 } },
        text = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            require = { n = "9007199254740993" } },
        even = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            require = { n = { "9007199254740994", "-9007199254740992" } } },
        list = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            require = { list = { "9007199254740993", 7 } } },
        rule = auth.prepare_check { key = ("s"):rep(32), policy = { require_exp = false },
            require = { n = function(n) return n == 9007199254740992 end } },
    }
]]
local LOCATIONS = [[
    location ~ ^/guard/(?<guard>[a-z]+)$ {
        access_by_lua_block { require("route_native.auth").check(guards[ngx.var.guard]) }
        content_by_lua_block {
            local headers = ngx.req.get_headers()
            ngx.print(headers["X-N"], "\n", headers["X-List"], "\n", headers["X-Object"])
        }
    }
]]

describe("the numbers of tokens", function()
    local running

    setup(function() running = toolkit.start { init = INIT, locations = LOCATIONS } end)
    teardown(function() running:stop() end)

    -- The token with this payload, as it is. Only the older face signs any text.
    local function sign(payload)
        return (running:eval([[return resty:sign(("s"):rep(32), { header = { alg = "HS256", typ = "JWT" },
            payload = a[1] })]], payload))
    end

    local function get(guard, payload)
        return running.gateway:get("/guard/" .. guard, sign(payload))
    end

    -- What was signed, and its text in a header where that differs.
    local LITERALS = {
        { "9007199254740993" }, { "-9007199254740993" }, { "9223372036854775807" }, { "18446744073709551615" },
        { "123456789012345678901234567890" }, { "951824235837328" }, { "9007199254740991" }, { "9007199254740992" },
        { "9007199254740991.9" }, { "900719925474.0993e4" }, { "1.5" }, { "0.1" }, { "12345678901234.5" }, { "1e20" },
        { "0" }, { "-7" }, { "1e3", "1000" }, { "0.30000000000000004" }, { "1732676000123.4568" },
    }

    it("reach an upstream with their digits: alone, in a list and in an object", function()
        for _, literal in ipairs(LITERALS) do
            local number, text = literal[1], literal[2] or literal[1]
            local response = get("headers", ('{"n":%s,"list":["a 1\\"2",%s],"object":{"5":%s}}')
                :format(number, number, number))
            assert.equal(200, response.status)
            local alone, list, object = response.body:match("^(.*)\n(.*)\n(.*)$")
            assert.equal(text, alone)
            assert.equal('a%201"2,' .. text, list)
            assert.equal(text, (object:gsub("%%2C", ","):match('^{"5":"?(.-)"?}$')))
        end
    end)

    it("are compared by their digits", function()
        for _, case in ipairs {
            { "number", '{"n":9007199254740991}', 200 }, { "number", '{"n":9007199254740991.9}', 403 },
            { "number", '{"n":9007199254740992}', 403 },
            { "text", '{"n":9007199254740993}', 200 }, { "text", '{"n":"9007199254740993"}', 200 },
            { "text", '{"n":9007199254740992}', 403 }, { "text", '{"n":9007199254740994}', 403 },
            { "even", '{"n":9007199254740994}', 200 }, { "even", '{"n":[1,-9007199254740992]}', 200 },
            { "even", '{"n":9007199254740992}', 403 }, { "even", '{"n":9007199254740995}', 403 },
            { "even", '{"n":9007199254740993}', 403 }, { "even", '{"n":9007199254740996}', 403 },
            { "list", '{"list":[1,9007199254740993]}', 200 }, { "list", '{"list":[9007199254740992]}', 403 },
            { "rule", '{"n":9007199254740993}', 403 }, { "rule", '{"n":9007199254740992}', 200 },
        } do
            assert.equal(case[3], get(case[1], case[2]).status, case[1] .. case[2])
        end
    end)

    it("are for both faces what a double holds, or the digits as a string", function()
        local values = running:eval([[
            local values = {}
            for i, token in ipairs(a[1]) do
                local claims = assert(jwt.verify(token, ("s"):rep(32), { require_exp = false }))
                local obj = resty:verify(("s"):rep(32), token, {})
                local unverified = assert(jwt.decode_unverified(token))
                assert(obj.verified and obj.payload.n == claims.n and unverified.n == claims.n)
                values[i] = type(claims.n) .. " " .. (type(claims.n) == "string" and claims.n
                    or ("%.0f"):format(claims.n))
            end
            return values
        ]], { sign('{"n":9007199254740992}'), sign('{"n":9007199254740993}'), sign('{"n":1e20}'),
            sign('{"n":"9007199254740993"}'), sign('{"s":"\\"4e5","n":18446744073709551615}') })
        assert.same({ "number 9007199254740992", "string 9007199254740993", "string 1e20", "string 9007199254740993",
            "string 18446744073709551615" }, values)
    end)

    it("are signed with their digits, or not at all", function()
        local signed = running:eval([[
            local function payload(token)
                local text = token:match("%.(.-)%."):gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
                return ngx.decode_base64(text .. ("="):rep(-#text % 4))
            end
            local key, signed = ("s"):rep(32), {}
            for _, claims in ipairs {
                { s = 951824235837328 }, { s = 9007199254740991 }, { s = -9007199254740991 }, { s = 0.1 },
                { s = { 1732676000123456 } }, { s = 1e16 }, { s = { { 2 ^ 60 } } }, { s = -1e300 },
                '{"s":18446744073709551615}', '{"s":-9223372036854775808}', '{"s":123456789012345678901234567890}',
            } do
                local token, reason = jwt.sign(claims, key)
                signed[#signed + 1] = token and payload(token) or reason
            end
            for _, claims in ipairs { { s = 951824235837328 }, { s = 9007199254740991 }, { s = 2 ^ 60 } } do
                local ok, token = pcall(resty.sign, resty, key, { header = { alg = "HS256" }, payload = claims })
                signed[#signed + 1] = ok and payload(token) or token.reason
            end
            return signed
        ]])
        assert.same({
            '{"s":951824235837328}', '{"s":9007199254740991}', '{"s":-9007199254740991}', '{"s":0.1}',
            '{"s":[1732676000123456]}', "claim_malformed", "claim_malformed", "claim_malformed",
            '{"s":18446744073709551615}', '{"s":-9223372036854775808}', "claim_malformed",
            '{"s":951824235837328}', '{"s":9007199254740991}', "invalid payload: a number has too many digits",
        }, signed)
    end)

    it("keep nginx from starting as rules that Lua has rounded", function()
        for _, rule in ipairs { "9007199254740993", "-9007199254740992", "{ 1, 2 ^ 60 }" } do
            local started, message = auth.start(auth.directory(), ([[init_by_lua_block {
                require("route_native.auth").prepare_check { secret_file = "x", require = { uid = %s } } }]] .. "\n")
                :format(rule))
            assert.is_nil(started)
            assert.is_truthy(message:find('the field "require" cannot hold the number for "uid": write its digits as '
                .. "a string", 1, true), message)
        end
    end)
end)
