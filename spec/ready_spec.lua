-- /readyz says whether nginx can serve, and /healthz that it runs. docs/control.md explains both.

local auth = require "support.auth"
local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"
local stores = require "support.stores"
local tunnel = require "support.tunnel"

-- The public key of RFC 8037's example.
local ED25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

local function read(path)
    return process.read(gateway.ROOT .. "/" .. path)
end

-- Checks that a port is alive and not ready, and why.
local function assert_missing(port, reason)
    local answer = http.request(port, { path = "/readyz" })
    assert.same({ 503, "application/json", "no-store", "5" }, { answer.status, answer.headers["content-type"],
        answer.headers["cache-control"], answer.headers["retry-after"] })
    local body = cjson.decode(answer.body)
    assert.same({ "unavailable", reason }, { body.status, body.reason })
    -- Anybody can read it: no path and no address.
    assert.is_nil(answer.body:find("[/\\]"), answer.body)
    assert.is_nil(answer.body:find("%d%.%d"), answer.body)
    local alive = http.request(port, { path = "/healthz" }).status
    assert.is_true(alive == 200 or alive == 204)
end

local function assert_ready(port)
    local answer = http.request(port, { path = "/readyz" })
    assert.same({ 200, '{"status":"ready"}\n' }, { answer.status, answer.body })
end

local function wait_until_ready(port)
    process.wait_until("nginx was ready", function()
        return http.request(port, { path = "/readyz" }).status == 200
    end)
end

describe("the desktop gateway", function()
    it("is not ready without its keys, and ready when a reload finds them", function()
        local late = process.temporary_directory()
        local running = assert(gateway.start { demo = false, prepare = function(self)
            self.environment.JWT_DESKTOP_SIGNING_PUBLIC_KEY = late .. "/signing.pem"
        end })
        assert_missing(running.port, "keys")
        process.run(("cp %s %s/signing.pem"):format(running.keys.signing_public, late))
        running:reload()
        assert_ready(running.port)
        running:stop()
        process.run("rm -rf " .. late)
    end)

    it("is not ready without its dictionary", function()
        local running = assert(gateway.start { demo = false, prepare = function(self)
            self.environment.SITE = self.directory .. "/site.conf"
            process.write(self.environment.SITE, (read("conf/sites-enabled/routehttp.conf")
                :gsub("lua_shared_dict targetmap 8m;", "")))
        end })
        assert_missing(running.port, "dictionary")
        running:stop()
    end)

    it("is not ready while the revocations are too old to accept a token", function()
        local running = assert(gateway.start { demo = false, workers = 1, prepare = function(self)
            self.environment.SITE = self.directory .. "/site.conf"
            process.write(self.environment.SITE, (read("conf/sites-enabled/routehttp.conf"):gsub("\nserver {\n", [[%0
    location = /.outdated {
        content_by_lua_block {
            require("route_native.core.ffi").rn_revocations_set_outdated(tonumber(ngx.var.arg_is))
            ngx.print "done"
        }
    }
]], 1)))
        end })
        assert_ready(running.port)
        running:get("/.outdated?is=1")
        assert_missing(running.port, "revocations")
        running:get("/.outdated?is=0")
        assert_ready(running.port)
        running:stop()
    end)

    it("is not ready before it has the revocations of the other nodes, and ready when Redis answers", function()
        local redis = stores.start "redis"
        redis:hang()
        local running = assert(gateway.start { demo = false, env = { ROUTE_REVOCATION_REDIS = redis.address } })
        assert_missing(running.port, "revocations")
        redis:go_on()
        wait_until_ready(running.port)
        running:stop()
        redis:stop()
    end)

    it("needs no admin key to be ready", function()
        local running = assert(gateway.start { demo = false, env = { ROUTE_ADMIN_KEY = "/none.pem" } })
        assert_ready(running.port)
        running:stop()
    end)
end)

describe("a check of tokens", function()
    it("is not ready without its key file, and ready as soon as that is there", function()
        local directory = auth.directory()
        os.remove(directory .. "/keys/jwt_secret")
        local site = read("examples/auth/site.conf"):gsub('\n        require "jwt%-secret"', "")
        local running = assert(auth.start(directory, site))
        assert_missing(running.port, "keys")
        process.write(directory .. "/keys/jwt_secret", auth.SECRET)
        wait_until_ready(running.port)
        running:stop()
    end)

    it("is not ready without its JWK Set, which no request has asked for, and ready when the server has it", function()
        local directory, port = auth.directory(), process.free_port()
        local path = directory .. "/published"
        local running = assert(auth.start(directory, ([[
lua_shared_dict route_native_jwks 1m;
include revocation_http.conf;
init_by_lua_block {
    require("route_native.hooks").start(function()
        require("route_native.auth").prepare_check {
            key = require("route_native.jwt").jwks { url = "http://127.0.0.1:%d/published" } }
    end)
}
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /readyz { content_by_lua_block { require("route_native.hooks").ready() } }
    location = /healthz { return 204; }
}
server {
    listen 127.0.0.1:%d;
    include log_vars.conf;
    root %s;
}
]]):format(port, port, directory)))
        assert_missing(running.port, "jwks")
        assert.truthy(running:access_log():find("/published", 1, true))
        local before = #running:access_log()
        assert_missing(running.port, "jwks")
        -- The second request did not ask again.
        assert.is_nil(running:access_log():sub(before + 1):find("/published", 1, true))
        process.write(path, ('{"keys":[{"kty":"OKP","crv":"Ed25519","x":"%s"}]}'):format(ED25519))
        wait_until_ready(running.port)
        -- What is known counts, though the server has lost it.
        os.remove(path)
        assert_ready(running.port)
        running:stop()
    end)
end)

describe("phantom tokens", function()
    it("are not ready without their dictionary", function()
        local function start(name)
            return phantom.start { locations = { api = {} },
                http = function(self)
                    return ([[init_by_lua_block { require("route_native.phantom_token").prepare {
                        introspection_endpoint = "http://127.0.0.1:%d/introspect", client_id = "c",
                        client_secret = "s", cache_name = "%s" } }]]):format(self.server.port, name)
                end,
                site = function()
                    return [[
    location = /healthz { return 204; }
    location = /readyz { content_by_lua_block { require("route_native.hooks").ready() } }
]]
                end }
        end
        local running = start "none"
        assert_missing(running.gate.port, "dictionary")
        running:stop()
        running = start "other-name"
        assert_ready(running.gate.port)
        running:stop()
    end)
end)

describe("the border", function()
    it("is not ready while its store is away, and ready again when that answers", function()
        local running = assert(border.start { store = "redis" })
        assert_ready(running.port)
        running.store:hang()
        -- Each of the two workers asks the store once a second.
        process.wait_until("no worker was ready", function()
            for _ = 1, 12 do
                if http.request(running.port, { path = "/readyz" }).status ~= 503 then
                    return false
                end
            end
            return true
        end)
        assert_missing(running.port, "store")
        running.store:go_on()
        wait_until_ready(running.port)
        running:stop()
    end)
end)

describe("a flood of questions whether the border is ready", function()
    it("asks the store at most once a second in each worker", function()
        local running = assert(border.start { store = "redis" })
        assert_ready(running.port)
        local function asked()
            return tonumber(running.store:redis("info commandstats"):match("cmdstat_get:calls=(%d+)") or 0)
        end
        local before, began = asked(), os.time()
        for _ = 1, 200 do
            assert_ready(running.port)
        end
        -- Two workers, in each second that has begun, for /readyz and for the metric.
        assert.is_true(asked() - before <= 4 * (os.time() - began + 4), asked() - before)
        running:stop()
    end)
end)

describe("tunnels behind nginx", function()
    it("are ready with their keys", function()
        local running = assert(tunnel.start {})
        assert_ready(running.port)
        running:stop()
    end)
end)

describe("deploy/kubernetes.yaml", function()
    it("asks whether a pod is ready, and restarts it only if it does not run", function()
        local yaml = read "deploy/kubernetes.yaml"
        for probe, path in pairs { startup = "/readyz", readiness = "/readyz", liveness = "/healthz" } do
            assert.equal(path, yaml:match(probe .. "Probe:\n%s+httpGet:\n%s+path: (%S+)"), probe)
        end
        assert.truthy(read("scripts/healthcheck.sh"):find("$port/healthz", 1, true))
    end)
end)
