-- The policies of the desktop gateway: keys in a file that changes or in a JWK Set by URL, what a token must satisfy
-- besides its signature, and several policies in one nginx. A cached answer ends with the keys that it was accepted
-- for, and belongs to one policy.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local mint = require "support.token"
local phantom = require "support.phantom"
local process = require "support.process"

local TOGETHER = 60

local LOCATION = [[
location %s {
    set $endpoint filer;
    set $desktop_port $file_service_tcp_port;
    set $token_policy %s;
    include desktop.conf;
    include proxy.conf;
    proxy_pass http://$desktop$route_uri;
}
]]

describe("a policy", function()
    local directory, keys, jwks, server

    setup(function()
        directory = process.temporary_directory()
        keys = mint.keys(directory)
        jwks = {}
        for kid, path in pairs { one = keys.signing_private, two = keys.other_private } do
            local output = process.run(("/usr/bin/python3 %s/spec/support/jwks.py %s"):format(gateway.ROOT, path))
            jwks[kid] = assert(cjson.decode(cjson.decode(output)[1]))
            jwks[kid].kid = kid
        end
        server = phantom.serve(("node %s/spec/support/introspection_server.mjs --key %s"):format(gateway.ROOT,
            keys.signing_private), directory .. "/server.log")
    end)
    teardown(function()
        process.stop(server.pid)
        process.run("rm -rf " .. directory)
    end)

    -- Replaces a file as a deployment does: whole, or not at all.
    local function replace(path, text)
        process.write(path .. ".new", text)
        assert(os.rename(path .. ".new", path))
    end

    local function publish(name, ...)
        replace(directory .. "/" .. name .. ".json", cjson.encode { keys = { ... } })
    end

    -- Returns the URL of a set. The server fails while the file NAME.down exists.
    local function url_of(name)
        return ("http://127.0.0.1:%d/set?token=%s"):format(server.port, phantom.token { kind = "raw", status = 200,
            of = name, file = directory .. "/" .. name .. ".json", fails_if = directory .. "/" .. name .. ".down",
            headers = { ["content-type"] = "application/json" } })
    end

    -- Counts the server's requests for a set.
    local function asked(name)
        local count = 0
        for line in process.read(directory .. "/server.log"):gmatch("[^\n]+") do
            local question = cjson.decode(line)
            local text = question and question.url:match("token=([%w_-]+)"):gsub("-", "+"):gsub("_", "/") .. "=="
            local directive = text and require("mime").unb64(text)
            count = count + (directive and directive:find('"of":"' .. name .. '"', 1, true) and 1 or 0)
        end
        return count
    end

    local function token(request)
        request = request or {}
        request.target = request.target or "127.0.0.1"
        return mint.mint_all(keys, { request })[1]
    end

    local function start(env, options)
        options = options or {}
        options.env, options.keys = env, keys
        return assert(gateway.start(options))
    end

    -- Returns the statuses of several requests with a token: both workers get some.
    local function statuses(gate, bearer, path)
        local all = {}
        for _ = 1, 12 do
            all[gate:get(path or "/filer/x", bearer).status] = true
        end
        local list = {}
        for status in pairs(all) do
            list[#list + 1] = status
        end
        table.sort(list)
        return table.concat(list, " ")
    end

    local function becomes(gate, bearer, expected, path)
        process.wait_until("every worker answered " .. expected, function()
            return statuses(gate, bearer, path) == expected
        end)
    end

    describe("with a key file", function()
        local file, gate, of_one, of_two

        before_each(function()
            file = directory .. "/file.pem"
            replace(file, process.read(keys.signing_public))
            gate = start { JWT_DESKTOP_SIGNING_PUBLIC_KEY = file }
            of_one, of_two = token(), token { key = keys.other_private }
        end)
        after_each(function() gate:stop() end)

        it("takes new keys without a reload, and ends what was cached for the old ones", function()
            assert.equal("200", statuses(gate, of_one))
            assert.equal("401", statuses(gate, of_two))
            replace(file, process.read(keys.signing_public) .. process.read(keys.other_public))
            becomes(gate, of_two, "200")
            assert.equal("200", statuses(gate, of_one))
            replace(file, process.read(keys.other_public))
            becomes(gate, of_one, "401")
            assert.equal("200", statuses(gate, of_two))
            assert.truthy(gate:error_log():find("%[notice%][^\n]*route_native: changed keys were read"))
        end)

        it("keeps the old keys while the file is broken, missing, private or too large, and says so once", function()
            assert.equal("200", statuses(gate, of_one))
            for what, text in pairs { broken = "garbage", private = process.read(keys.signing_private), empty = "",
                large = ("x"):rep(256 * 1024 + 1) } do
                replace(file, text)
                process.wait_until("it was logged", function()
                    statuses(gate, of_one)
                    return select(2, gate:error_log():gsub("the keys read before stay in use", "")) >= 1
                end)
                assert.equal("200", statuses(gate, of_one), what)
                assert.equal("401", statuses(gate, of_two), what)
            end
            os.remove(file)
            process.wait_until("the missing file was logged", function()
                statuses(gate, of_one)
                return gate:error_log():find("%[notice%][^\n]*cannot be read: No such file[^\n]*; the keys read before")
            end)
            assert.equal("200", statuses(gate, of_one))
            local line = gate:error_log():match("[^\n]*cannot be read[^\n]*")
            assert.is_nil(line:find("PRIVATE", 1, true))
            -- The file is looked at once a second, and a fault is told once by each of the two workers.
            local began = os.time()
            process.wait_until("the file was looked at again", function()
                statuses(gate, of_one)
                return os.time() >= began + 3
            end)
            assert.is_true(select(2, gate:error_log():gsub("cannot be read: No such file", "")) <= 2)
            replace(file, process.read(keys.other_public))
            becomes(gate, of_two, "200")
            assert.equal("401", statuses(gate, of_one))
        end)

        -- The keys change while tokens of the old key wait for the thread that decrypts.
        it("caches no answer that was under way when the keys changed", function()
            gate:stop()
            gate = start({ JWT_DESKTOP_SIGNING_PUBLIC_KEY = file, ROUTE_RSA_THREADS = 1 }, { workers = 1 })
            for round = 1, 3 do
                replace(file, process.read(keys.signing_public))
                local requests = {}
                for i = 1, 250 do
                    requests[i] = { target = "127.0.0.1", claims = { exp = os.time() + 900, n = round * 1000 + i } }
                end
                local tokens = mint.mint_all(keys, requests)
                becomes(gate, of_one, "200")
                local connections = {}
                for i, bearer in ipairs(tokens) do
                    connections[i] = http.connect(gate.port)
                    http.send(connections[i], { path = "/filer/x",
                        headers = { { "Authorization", "Bearer " .. bearer } } })
                    if i == 100 then
                        replace(file, process.read(keys.other_public))
                    end
                end
                for _, connection in ipairs(connections) do
                    local status = http.read_response(connection).status
                    assert.is_true(status == 200 or status == 401, status)
                    connection:close()
                end
                becomes(gate, of_two, "200")
                for _, bearer in ipairs(tokens) do
                    assert.equal(401, gate:get("/filer/x", bearer).status)
                end
            end
        end)
    end)

    describe("with a JWK Set by URL", function()
        local function start_with(name, more)
            local env = { JWT_DESKTOP_SIGNING_PUBLIC_KEY = false, ROUTE_SIGNING_JWKS_URL = url_of(name) }
            for variable, value in pairs(more or {}) do
                env[variable] = value
            end
            return start(env)
        end

        it("fetches it once for all workers and all requests", function()
            publish("usual", jwks.one)
            local gate = start_with("usual")
            assert.equal(0, asked("usual"))
            local bearer, connections = token { header = { kid = "one" } }, {}
            for i = 1, TOGETHER do
                connections[i] = http.connect(gate.port)
                http.send(connections[i], { path = "/filer/x", headers = { { "Authorization", "Bearer " .. bearer } } })
            end
            for _, connection in ipairs(connections) do
                assert.equal(200, http.read_response(connection).status)
                connection:close()
            end
            assert.equal("200", statuses(gate, bearer))
            assert.equal("401", statuses(gate, token { header = { kid = "one" }, key = keys.other_private }))
            assert.equal(1, asked("usual"))
            gate:stop()
        end)

        it("answers 503 and blames no token while it has no keys, and recovers by itself", function()
            publish("late", jwks.one)
            process.write(directory .. "/late.down", "")
            local gate = start_with("late")
            for _, text in ipairs { token { header = { kid = "one" } }, "x" } do
                local response = gate:get("/filer/x", text)
                assert.same({ 503, "5", nil },
                    { response.status, response.headers["retry-after"], response.headers["www-authenticate"] })
            end
            assert.equal("server_failed", gate:logged("/filer/x").reason)
            os.remove(directory .. "/late.down")
            becomes(gate, token { header = { kid = "one" } }, "200")
            gate:stop()
        end)

        it("asks at most once per cooldown for unknown kids, and accepts none", function()
            publish("bogus", jwks.one)
            local gate = start_with("bogus")
            assert.equal("200", statuses(gate, token { header = { kid = "one" } }))
            local requests = {}
            for i = 1, 20 do
                requests[i] = { target = "127.0.0.1", header = { kid = "nobody" .. i } }
            end
            for _, bearer in ipairs(mint.mint_all(keys, requests)) do
                assert.equal(401, gate:get("/filer/x", bearer).status)
            end
            assert.equal("key_not_found", gate:logged("/filer/x").reason)
            -- The cooldown of 30 seconds may have ended once.
            assert.is_true(asked("bogus") <= 2)
            gate:stop()
        end)

        it("changes its keys under load: no good token fails, and no cache serves one of a removed key", function()
            publish("load", jwks.one)
            local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf"):gsub(
                'require%("route_native"%)%.setup%(%)', ('require("route_native").setup { signing_jwks = '
                .. '{ url = %q, cooldown = 1 } }'):format(url_of("load")))
            process.write(directory .. "/load.conf", site)
            local gate = start { SITE = directory .. "/load.conf", JWT_DESKTOP_SIGNING_PUBLIC_KEY = false }
            local of_one, of_two, unknown = unpack(mint.mint_all(keys, {
                { target = "127.0.0.1", header = { kid = "one" } },
                { target = "127.0.0.1", header = { kid = "two" }, key = keys.other_private },
                { target = "127.0.0.1", header = { kid = "nobody's" } },
            }))
            -- Sends 80 requests with a token over 8 connections. Returns the counts of the statuses.
            local function burst(bearer)
                local counts, connections = {}, {}
                for i = 1, 8 do
                    connections[i] = http.connect(gate.port)
                end
                for _ = 1, 10 do
                    for _, connection in ipairs(connections) do
                        http.send(connection, { path = "/filer/x",
                            headers = { { "Authorization", "Bearer " .. bearer } } })
                    end
                    for _, connection in ipairs(connections) do
                        local status = http.read_response(connection).status
                        counts[status] = (counts[status] or 0) + 1
                    end
                end
                for _, connection in ipairs(connections) do
                    connection:close()
                end
                return counts
            end
            assert.same({ [200] = 80 }, burst(of_one))
            publish("load", jwks.one, jwks.two)
            process.wait_until("the new key was known", function()
                assert.same({ [200] = 80 }, burst(of_one))
                return burst(of_two)[200] == 80
            end)
            -- An unknown kid causes a request.
            publish("load", jwks.two)
            process.wait_until("the old key was gone", function()
                assert.same({ [200] = 80 }, burst(of_two))
                gate:get("/filer/x", unknown)
                return burst(of_one)[401] == 80
            end)
            -- The server fails: the last good keys stay.
            process.write(directory .. "/load.down", "")
            local before = asked("load")
            process.wait_until("the server had failed twice", function()
                assert.same({ [200] = 80 }, burst(of_two))
                gate:get("/filer/x", unknown)
                return asked("load") >= before + 2
            end)
            gate:stop()
        end)
    end)

    it("requires iss, aud, an algorithm and a lifetime by settings", function()
        local gate = start { ROUTE_JWT_ISSUER = "https://id.test https://old.test", ROUTE_JWT_AUDIENCE = "desktops",
            ROUTE_JWT_ALGORITHMS = "RS256 PS256", ROUTE_JWT_MAX_LIFETIME = 3600 }
        local now = os.time()
        local function reason(change, request)
            local claims = { iss = "https://id.test", aud = { "other", "desktops" }, iat = now, exp = now + 3600 }
            for name, value in pairs(change or {}) do
                claims[name] = value ~= "absent" and value or nil
            end
            request = request or {}
            request.claims = claims
            local path = "/filer/" .. tostring(math.random(1e9))
            local status = gate:get(path, token(request)).status
            return status == 200 and "accepted" or status .. " " .. gate:logged(path).reason
        end
        assert.equal("accepted", reason())
        assert.equal("accepted", reason { iss = "https://old.test" })
        assert.equal("accepted", reason({}, { alg = "PS256" }))
        assert.equal("401 algorithm_not_allowed", reason({}, { alg = "RS512" }))
        assert.equal("401 issuer_not_allowed", reason { iss = "https://id.test.evil" })
        assert.equal("401 claim_missing", reason { iss = "absent" })
        assert.equal("401 audience_not_allowed", reason { aud = "desktop" })
        assert.equal("401 claim_missing", reason { aud = "absent" })
        assert.equal("401 lifetime_too_long", reason { exp = now + 3601 })
        assert.equal("401 claim_missing", reason { iat = "absent" })
        gate:stop()
    end)

    describe("beside another", function()
        local gate, of_one, of_two, partner

        setup(function()
            publish("partners", jwks.two)
            local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
                :gsub('require%("route_native"%)%.setup%(%)', ([[
                    local gateway = require "route_native"
                    gateway.setup()
                    gateway.policy("partners", { signing_jwks = %q, issuer = "https://partners.test" })
                    gateway.policy("strict", { audience = "strict" })
                    gateway.policy("suffixed", { target_suffix = "svc.test" })
                    gateway.policy("keyless", { signing_key = "/absent" })
                ]]):format(url_of("partners")))
                :gsub("include route.conf;", function(include)
                    local locations = {}
                    for _, name in ipairs { "partners", "strict", "suffixed", "keyless", "unknown" } do
                        locations[#locations + 1] = LOCATION:format("/" .. name, name)
                    end
                    return table.concat(locations) .. include
                end)
            process.write(directory .. "/several.conf", site)
            gate = start { SITE = directory .. "/several.conf" }
            of_one, of_two = token(), token { key = keys.other_private }
            partner = token { key = keys.other_private, header = { kid = "two" },
                claims = { exp = os.time() + 600, iss = "https://partners.test" } }
        end)
        teardown(function() gate:stop() end)

        it("accepts the tokens of its own keys and requirements alone", function()
            assert.equal("200", statuses(gate, of_one))
            assert.equal("401", statuses(gate, partner))
            assert.equal("200", statuses(gate, partner, "/partners/x"))
            assert.equal("401", statuses(gate, of_one, "/partners/x"))
            assert.equal("401", statuses(gate, of_two, "/partners/x"))
        end)

        -- The same keys, and the token is cached under the other policy already.
        it("takes no answer from the other's caches", function()
            for round = 1, 2 do
                assert.equal("200", statuses(gate, of_one))
                assert.equal("401", statuses(gate, of_one, "/strict/x"), round)
                assert.equal("401", statuses(gate, of_one, "/suffixed/x"), round)
            end
            local strict = token { claims = { exp = os.time() + 600, aud = "strict" } }
            -- First under the strict one: the default accepts it by its own check, and not as a hit.
            assert.equal(200, gate:get("/strict/y", strict).status)
            assert.equal("miss", gate:logged("/strict/y").cache)
            assert.equal(200, gate:get("/filer/y", strict).status)
            assert.equal("miss", gate:logged("/filer/y").cache)
        end)

        it("answers 503 if it is not configured or has no key, and says which", function()
            for name, sentence in pairs {
                unknown = '$token_policy is "unknown", and policy() was not called with that name',
                keyless = "the key file /absent cannot be read",
            } do
                local response = gate:get("/" .. name .. "/x", of_one)
                assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
                assert.truthy(gate:error_log():find(sentence, 1, true), name)
            end
            assert.equal("200", statuses(gate, of_one))
        end)
    end)

    it("with a mistake keeps nginx from starting, in one sentence that names the setting", function()
        for _, row in ipairs {
            { { ROUTE_SIGNING_JWKS_URL = "http://127.0.0.1/" },
                "JWT_DESKTOP_SIGNING_PUBLIC_KEY and ROUTE_SIGNING_JWKS_URL are two sources of the same keys" },
            { { ROUTE_SIGNING_JWKS_URL = "ftp://x", JWT_DESKTOP_SIGNING_PUBLIC_KEY = false },
                'jwks(): the field "url" must be' },
            { { ROUTE_JWT_ALGORITHMS = "RS255" }, "ROUTE_JWT_ALGORITHMS: \"RS255\" is no algorithm" },
            { { ROUTE_JWT_ALGORITHMS = "ES256" }, "ROUTE_JWT_ALGORITHMS allows ES256, and the keys verify only RS256" },
            { { ROUTE_JWT_MAX_LIFETIME = "0" }, "ROUTE_JWT_MAX_LIFETIME must be a whole number of seconds from 1 to" },
            { { ROUTE_JWT_MAX_LIFETIME = "1h" }, "ROUTE_JWT_MAX_LIFETIME must be a whole number of seconds from 1 to" },
            { { ROUTE_JWT_ISSUER = " " }, "ROUTE_JWT_ISSUER must be issuers, with blanks between" },
        } do
            local gate, said = gateway.start { env = row[1], keys = keys, demo = false }
            assert.is_nil(gate, row[2])
            assert.truthy(said:find(row[2], 1, true), said)
            assert.is_nil(said:find("traceback", 1, true))
        end
    end)
end)
