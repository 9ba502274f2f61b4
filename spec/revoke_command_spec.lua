-- `route-token revoke` against the admin API. tests/cli_revoke.rs has its arguments and wrong answers.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"
local revocation = require "support.revocation"

describe("route-token revoke", function()
    local running, port

    -- Runs the command. Returns its output and status.
    local function run(arguments, variables)
        local environment = { ROUTE_RUN_DIR = running.directory, ROUTE_ADMIN_TOKEN = false,
            ROUTE_ADMIN_AUDIENCE = "gateway" }
        for name, value in pairs(variables or {}) do
            environment[name] = value
        end
        return process.run(("%s %s/target/release/route-token revoke %s")
            :format(process.environment(environment), gateway.ROOT, arguments))
    end

    local function with_key(arguments)
        local output, status = run(arguments .. " --admin-name ops --admin-key " .. running.keys.other_private)
        assert.equal(0, status, output)
        return (output:gsub("\n$", ""))
    end

    setup(function()
        port = process.free_port()
        running = assert(gateway.start { prepare = function(self)
            self.environment.ROUTE_ADMIN_KEY = self.keys.other_public
            self.environment.ROUTE_ADMIN_AUDIENCE = "gateway"
        end })
    end)
    teardown(function() running:stop() end)

    it("ends a user's tokens with an admin token of its own, lists that, and takes it back", function()
        local claims = { sub = "ada", exp = os.time() + 300, iat = os.time() - 9 }
        local victim = running:mint("127.0.0.1", { claims = claims })
        local get = function() return running:get("/spawner/x", victim).status end
        revocation.wait_for(200, get)
        local id = with_key "--sub ada"
        assert.truthy(id:match("^%d+$"), id)
        revocation.wait_for(401, get)
        local listed = cjson.decode((run("list --limit 1")))
        assert.same({ tonumber(id), "ada", "ops" }, { listed.id, listed.sub, listed.by })
        assert.equal("", with_key("withdraw " .. id))
        revocation.wait_for(200, get)
        local output, status = run("withdraw " .. id .. " --admin-key " .. running.keys.other_private)
        assert.same({ "route-token: the admin API answers 404: There is no such revocation\n", 1 }, { output, status })
    end)

    it("ends the token of a file, and tells nobody which it was", function()
        local victim = running:mint("127.0.0.1")
        local get = function() return running:get("/spawner/x", victim).status end
        revocation.wait_for(200, get)
        process.write(running.directory .. "/victim", victim .. "\n")
        local id = with_key("--token-file " .. running.directory .. "/victim")
        revocation.wait_for(401, get)
        assert.is_nil((run "list"):find(victim, 1, true))
        assert.is_nil(running:error_log():find(victim, 1, true))
        with_key("withdraw " .. id)
    end)

    it("lists the newest first, and nothing as nothing", function()
        local ids = {}
        for i = 1, 3 do
            ids[i] = with_key("--kid page-" .. i .. " --ends " .. os.time() + 60)
        end
        local found = {}
        for line in (run "list"):gmatch("[^\n]+") do
            found[#found + 1] = tostring(cjson.decode(line).id)
        end
        assert.same({ ids[3], ids[2], ids[1] }, found)
        for _, id in ipairs(ids) do
            with_key("withdraw " .. id)
        end
        assert.same({ "", 0 }, { run "list" })
    end)

    it("reports the refusal of a token or a revocation in the admin API's sentence", function()
        local function refuses(sentence, arguments, variables)
            assert.same({ "route-token: the admin API answers " .. sentence .. "\n", 1 }, { run(arguments, variables) })
        end
        refuses("401: Missing, invalid or expired access token", "--sub a --admin-key " .. running.keys.signing_private)
        refuses("401: Missing, invalid or expired access token", "--sub a --admin-key " .. running.keys.other_private,
            { ROUTE_ADMIN_AUDIENCE = "other" })
        refuses("400: iss goes with jti, sub and sid", "--kid a --iss b --admin-key " .. running.keys.other_private)
        local user = running:mint("127.0.0.1")
        refuses("401: Missing, invalid or expired access token", "--sub a", { ROUTE_ADMIN_TOKEN = user })
    end)

    it("reaches an address over HTTP", function()
        local other = assert(gateway.start { demo = false, keys = running.keys, env = {
            ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. port, ROUTE_ADMIN_KEY = running.keys.other_public } })
        local server = " --server http://127.0.0.1:" .. port
        local id = with_key("--jti 7" .. server)
        assert.equal("7", cjson.decode((run("list" .. server))).jti)
        assert.equal("", with_key("withdraw " .. id .. server))
        other:stop()
    end)
end)
