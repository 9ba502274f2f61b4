-- Phantom tokens with a certified authorization server: oidc-provider issues, introspects and revokes.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local phantom = require "support.phantom"
local process = require "support.process"

-- Requests a token, as a client.
local function token_of(endpoint, scope)
    local output = process.run(("curl -sSk -u test-client:Password1 -d grant_type=client_credentials -d scope=%s %s")
        :format(process.quoted(scope), endpoint))
    return assert(cjson.decode(output), output).access_token
end

local function call(url, token)
    local output = process.run(("curl -sS -w '\\n%%{http_code}' %s %s"):format(
        token and "-H 'Authorization: Bearer " .. token .. "'" or "", url))
    local body, status = output:match("^(.*)\n(%d+)$")
    return tonumber(status), cjson.decode(body)
end

describe("make run EXAMPLE=phantom", function()
    local directory, pid, log, port

    setup(function()
        directory = process.temporary_directory()
        log, port = directory .. "/run.log", process.free_port()
        pid = process.start(process.environment { PORT = port, RUN_DIR = directory .. "/run", EXAMPLE = "phantom",
            WORKERS = 2 } .. " " .. gateway.ROOT .. "/scripts/run.sh", log)
        process.wait_until("the example was ready", function()
            return process.read(log):find("token endpoint: ", 1, true) or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(log))
    end)
    teardown(function()
        process.stop(pid)
        process.run("rm -rf " .. directory)
    end)

    it("follows the reference's walk-through: an opaque token outside, a JWT with its claims inside", function()
        local said = process.read(log)
        assert.truthy(said:find("ready: http://127.0.0.1:" .. port, 1, true), said)
        local api = "http://127.0.0.1:" .. port .. "/api"
        local status, body = call(api)
        assert.same({ 401, { code = "unauthorized", message = "Missing, invalid or expired access token" } },
            { status, body })

        local token = token_of(said:match("token endpoint: (%S+)"), "read")
        assert.truthy(token:find("^[%w_-]+$"))
        status, body = call(api, token)
        assert.equal(200, status)
        assert.truthy(body.message:find("^API Received JWT: eyJ[%w_-]+%.[%w_-]+%.[%w_-]+$"))
        assert.same({ "read", "test-client", "access_token" },
            { body.tokenPayload.scope, body.tokenPayload.aud, body.tokenPayload.purpose })
        assert.truthy(body.tokenPayload.exp > os.time())
        local asked = process.read(directory .. "/run/logs/authorization_server.log")
        assert.truthy(asked:find("\nintrospection 200 application/jwt\n", 1, true), asked)

        status, body = call(api .. "-write", token)
        assert.same({ 403, "forbidden" }, { status, body.code })
        assert.equal(200, (call(api .. "-write", token_of(said:match("token endpoint: (%S+)"), "read write"))))
    end)
end)

-- Ends the cooldown of a JWK Set by URL, which is too long for a spec.
local FORGET = [[
    location = /forget {
        content_by_lua_block {
            local dict = ngx.shared["phantom-token"]
            for _, key in ipairs(dict:get_keys(0)) do
                if key:find("^jwks .* asked$") then dict:delete(key) end
            end
        }
    }
]]

describe("phantom tokens with oidc-provider", function()
    local directory, plain, signed, key, running

    local function serve(name, arguments)
        return phantom.serve("node " .. phantom.AUTHORIZATION_SERVER .. " " .. arguments, directory .. "/" .. name)
    end

    local function endpoint(server, path)
        return ("http://127.0.0.1:%d/oauth/v2/oauth-%s"):format(server.port, path or "token")
    end

    setup(function()
        directory = process.temporary_directory()
        plain = serve("plain", "--token-ttl 2")
        signed = serve("signed", "--jwt-introspection --max-age 60")
        -- The keys that the server publishes.
        key = directory .. "/keys.json"
        process.write(key, (process.run("curl -sS http://127.0.0.1:" .. signed.port .. "/jwks")))
        local issuer = "http://127.0.0.1:" .. signed.port
        running = phantom.start { listen = FORGET, locations = {
            published = { introspection_endpoint = endpoint(signed, "introspect"), client_secret = "Password1",
                verify_key = issuer .. "/jwks", issuer = { "https://other.example", issuer },
                audience = "introspection-client", token_cache_seconds = 0 },
            foreign = { introspection_endpoint = endpoint(signed, "introspect"), client_secret = "Password1",
                audience = "somebody-else" },
            plain = { introspection_endpoint = endpoint(plain, "introspect"), client_secret = "Password1",
                claim_headers = { ["X-Client"] = "client_id" } },
            signed = { introspection_endpoint = endpoint(signed, "introspect"), client_secret = "Password1",
                verify_key = key },
            brief = { introspection_endpoint = endpoint(signed, "introspect"), client_secret = "Password1",
                token_cache_seconds = 0 },
            stranger = { introspection_endpoint = endpoint(plain, "introspect"), client_secret = "wrong" },
        } }
    end)
    teardown(function()
        running:stop()
        process.stop(plain.pid)
        process.stop(signed.pid)
        process.run("rm -rf " .. directory)
    end)

    local function introspections(server)
        return select(2, process.read(server.log):gsub("introspection %d", ""))
    end

    it("are introspected for each request, because the answers say no-store", function()
        local token = token_of(endpoint(plain), "read")
        for _ = 1, 2 do
            local response = running:get("/plain", token)
            assert.equal(200, response.status)
            assert.equal("test-client", cjson.decode(response.body).headers["x-client"])
        end
        assert.equal(2, introspections(plain))
        process.wait_until("the token had expired", function() return running:get("/plain", token).status == 401 end)
    end)

    it("use a signed introspection answer, verified with the server's JWK Set, and cache it", function()
        local token = token_of(endpoint(signed), "read")
        for _ = 1, 3 do
            local response = running:get("/signed", token)
            assert.equal(200, response.status, running.gate:error_log())
            assert.truthy(cjson.decode(response.body).headers.authorization:find("^Bearer eyJ"))
        end
        assert.equal(1, introspections(signed))
        assert.equal(401, running:get("/signed", "not-a-token-of-this-server").status)
    end)

    it("use a signed answer, verified with the published set, also after a change of the set", function()
        local function questions()
            return select(2, process.read(signed.log):gsub("jwks 200", ""))
        end
        local token, before = token_of(endpoint(signed), "read"), questions()
        for _ = 1, 3 do
            assert.equal(200, running:get("/published", token).status, running.gate:error_log())
        end
        assert.equal(before + 1, questions())
        process.signal(signed.pid, "HUP")
        process.wait_until("the keys had changed", function()
            return process.read(signed.log):find("keys changed", 1, true)
        end)
        token = token_of(endpoint(signed), "read")
        -- Within the cooldown the set is not fetched again, and the server is at fault.
        assert.equal(503, running:get("/published", token).status)
        assert.equal(before + 1, questions())
        running:get("/forget")
        assert.equal(200, running:get("/published", token).status, running.gate:error_log())
        assert.equal(before + 2, questions())
    end)

    it("refuse a signed answer for another audience", function()
        assert.equal(503, running:get("/foreign", token_of(endpoint(signed), "read")).status)
        assert.truthy(running.gate:error_log():find("does not say whom it is from and for", 1, true))
    end)

    it("refuse a revoked token", function()
        local token = token_of(endpoint(signed), "read")
        assert.equal(200, running:get("/brief", token).status)
        process.run(("curl -sSk -u test-client:Password1 -d token=%s %s"):format(token, endpoint(signed, "revoke")))
        assert.equal(401, running:get("/brief", token).status)
    end)

    it("give 503, not 401, when the gateway's own credentials are wrong", function()
        assert.equal(503, running:get("/stranger", token_of(endpoint(plain), "read")).status)
    end)
end)
