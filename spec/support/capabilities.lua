-- All capabilities with an upstream that tells what it received, for specs of what holds for each of them.

local assert = require "luassert"
local auth = require "support.auth"
local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local phantom = require "support.phantom"
local process = require "support.process"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

-- Starts a capability. Returns what to stop, its port, and a function that sends a request with headers and returns the
-- headers that the upstream received.
return {
    ["the gateway over HTTP"] = function(env)
        local running = assert(gateway.start { env = env })
        local token = running:mint("127.0.0.1")
        return running, running.port, function(headers)
            headers[#headers + 1] = { "Authorization", "Bearer " .. token }
            return cjson.decode(running:request({ path = "/filer/x", headers = headers }).body).headers
        end
    end,
    ["the gateway over WebSocket"] = function(env)
        local running = assert(gateway.start { env = env })
        local token = running:mint("127.0.0.1")
        return running, running.port, function(headers)
            headers[#headers + 1] = { "Authorization", "Bearer " .. token }
            local opened = assert(websocket.open(running.port, { path = "/websockify", headers = headers }))
            local seen = cjson.decode((opened:receive()))
            opened:close()
            return seen.headers
        end
    end,
    ["a check"] = function(env)
        local directory = auth.directory()
        local running = assert(auth.start(directory, function(environment)
            for name, value in pairs(env) do
                environment[name] = value
            end
            return gateway.ROOT .. "/examples/auth/site.conf"
        end))
        local token = cjson.decode(auth.post(running, "/login", '{"username":"demo","password":"demo"}').body).token
        return running, running.port, function(headers)
            headers[#headers + 1] = { "Authorization", "Bearer " .. token }
            return cjson.decode(running:request({ path = "/secure", headers = headers }).body).headers
        end
    end,
    ["phantom tokens"] = function(env)
        -- Its authorization server and its API serve the example.
        local beside = phantom.start { locations = { api = {} } }
        local directory = process.temporary_directory()
        process.run("mkdir -p " .. directory .. "/etc")
        local fields = ("{ introspection_endpoint = 'http://127.0.0.1:%d/introspect', client_id = 'a', "
            .. "client_secret = 'b', verify_ssl = false }"):format(beside.server.port)
        process.write(directory .. "/etc/phantom.lua", ("return { api = %s, api_write = %s }"):format(fields, fields))
        process.write(directory .. "/etc/phantom_upstreams.conf",
            ("upstream api { server 127.0.0.1:%d; }"):format(beside.gate.environment.FILE_SERVICE_TCP_PORT))
        env.SITE = gateway.ROOT .. "/examples/phantom/site.conf"
        local running = assert(gateway.start { directory = directory, demo = false, env = env })
        local both = { stop = function()
            running:stop()
            beside:stop()
        end }
        return both, running.port, function(headers)
            local token = phantom.token { kind = "jwt", claims = { sub = "m" } }
            headers[#headers + 1] = { "Authorization", "Bearer " .. token }
            return cjson.decode(running:request({ path = "/api", headers = headers }).body).headers
        end
    end,
    ["the border"] = function(env)
        local running = assert(border.start { env = env })
        return running, running.port, function(headers)
            local client, claims = running:client(), { border.FORM }
            for i = 2, #headers do
                claims[i] = headers[i]
            end
            local function request(method, path, body)
                return client:request { method = method, path = path, body = body, headers = claims,
                    host = headers.host }
            end
            assert.equal(303, request("POST", "/account/login", border.GOOD).status)
            local seen = cjson.decode(request("GET", "/b/x").body)
            local plain = {}
            for name, value in pairs(seen.headers) do
                plain[name:lower()] = value
            end
            return plain
        end
    end,
    ["the tunnel"] = function(env)
        local running = assert(tunnel.start { ids = { "c1" }, env = env })
        return running, running.port, function(headers)
            local seen = {}
            for name, value in running:get("/c1/head", headers).body:gmatch("\n([^:\n]+): ([^\r\n]*)") do
                seen[name:lower()] = value
            end
            return seen
        end
    end,
}
