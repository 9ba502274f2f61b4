-- `make run EXAMPLE=oidc`, as in docs/oidc.md.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

describe("make run EXAMPLE=oidc", function()
    it("logs in at /app, takes bearer tokens at /api, and answers other proxies at /auth", function()
        local directory, port = process.temporary_directory(), process.free_port()
        local log = directory .. "/out"
        local environment = { PORT = port, RUN_DIR = directory .. "/run", EXAMPLE = "oidc", WORKERS = 1 }
        local pid = process.start(process.environment(environment) .. " make -s -C " .. gateway.ROOT .. " run", log)
        finally(function()
            process.stop(pid)
            process.run("rm -rf " .. directory)
        end)
        local text = process.wait_until("it was ready", function()
            local output = process.read(log)
            return output:find("\ncurl %-H [^\n]+\n") and output or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(log))
        assert.truthy(text:find("ready: http://127.0.0.1:" .. port .. "\n", 1, true))
        local issuer = text:match("\nprovider: (http://localhost:%d+)\n")
        local endpoint = text:match("\ntoken endpoint: (%S+)\n")

        -- A bearer token of the printed client.
        local output = process.run("curl -s -u test-client:Password1 -d grant_type=client_credentials -d scope=read "
            .. endpoint)
        local token = assert(output:match('"access_token":"([^"]+)"'), output)
        local response = http.request(port, { path = "/api/x", headers = { { "Authorization", "Bearer " .. token } } })
        assert.equal("test-client", cjson.decode(response.body).headers["x-auth-client"])
        assert.equal(401, http.request(port, { path = "/api/x" }).status)

        -- A login by curl, without scripts.
        local function curl(arguments)
            return process.run(("cd %s && curl -s -b jar -c jar -H 'Accept: text/html' %s")
                :format(directory, arguments))
        end
        local app = "http://127.0.0.1:" .. port .. "/app"
        local page = curl("-L " .. app)
        page = curl(("-L -d login=demo -d password=demo %s%s"):format(issuer, page:match('action="([^"]+/login)"')))
        page = curl(("-L -d x= %s%s"):format(issuer, page:match('action="([^"]+/confirm)"')))
        assert.same({ "demo", "/app" }, { cjson.decode(page).headers["x-auth-user"], cjson.decode(page).url })
        assert.equal("202", curl("-o out -w '%{http_code}' http://127.0.0.1:" .. port .. "/auth"))
        assert.equal("302", curl("-o out -w '%{http_code}' http://127.0.0.1:" .. port .. "/logout"))
        assert.equal("401", curl("-o out -w '%{http_code}' http://127.0.0.1:" .. port .. "/auth"))
    end)
end)
