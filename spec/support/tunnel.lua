-- The common part of the specs of websocket tunnels: conf/tunnel.conf under a real nginx, with servers, clients and a
-- service.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"
local token = require "support.token"

local BINARIES = gateway.ROOT .. "/target/release/"

local _M = { SECRETS = { A = ("a"):rep(32), B = ("b"):rep(32) } }
local tunnel = {}
tunnel.__index = tunnel

local function base64url(bytes)
    return (mime.b64(bytes):gsub("+", "-"):gsub("/", "_"):gsub("=", ""))
end

local function secrets()
    return { TASKCLUSTER_PROXY_SECRET_A = _M.SECRETS.A, TASKCLUSTER_PROXY_SECRET_B = _M.SECRETS.B }
end

-- Returns the command that starts a server; `settings` are environment variables.
function _M.server_command(settings)
    local environment = secrets()
    for name, value in pairs(settings) do
        environment[name] = value
    end
    return process.environment(environment) .. " " .. BINARIES .. "websocktunnel"
end

-- Returns the command that starts a client.
function _M.client_command(url, id, port)
    return process.environment { WST_TOKEN = _M.mint(id) } .. (" %swst-client %s %s %d"):format(BINARIES, url, id, port)
end

-- Mints a registration token for an ID with the server program.
function _M.mint(id)
    return (process.run(process.environment(secrets()) .. " " .. BINARIES .. "websocktunnel --mint " .. id)
        :gsub("%s+$", ""))
end

-- Starts a server on a free port; `settings` are environment variables.
function _M.start_server(directory, settings)
    local self = { port = process.free_port(), metrics_port = process.free_port() }
    local environment = {
        URL_PREFIX = "http://gate.test/tunnel", PORT = self.port, TUNNEL_BIND = "127.0.0.1",
        TUNNEL_METRICS = "127.0.0.1:" .. self.metrics_port, TUNNEL_BEHIND_PROXY = 1,
    }
    for name, value in pairs(settings or {}) do
        environment[name] = value
    end
    self.log = ("%s/server-%d.log"):format(directory, self.port)
    self.pid = process.start(_M.server_command(environment), self.log)
    process.wait_until("the server listened", function()
        return process.accepts(self.port) or not process.alive(self.pid)
    end)
    assert(process.alive(self.pid), process.read(self.log))
    return self
end

function _M.metric(server, name)
    local page = http.request(server.metrics_port, { path = "/metrics" }).body
    return tonumber(page:match("\nwebsocktunnel_" .. name .. " (%d+)"))
end

-- Starts a client of the server at `url` and waits until it is connected.
function _M.start_client(directory, url, id, port)
    local log = directory .. "/client-" .. id .. ".log"
    local pid = process.start(_M.client_command(url, id, port), log)
    process.wait_until(id .. " was connected", function()
        return process.read(log):find("connected to websocktunnel", 1, true) or not process.alive(pid)
    end)
    assert(process.alive(pid), process.read(log))
    return { pid = pid, log = log, id = id }
end

local function start_service(self)
    self.service_port = process.free_port()
    local log = self.directory .. "/service.log"
    self.service = process.start(("/usr/bin/python3 %s/spec/support/tunnel_service.py %d")
        :format(gateway.ROOT, self.service_port), log)
    process.wait_until("the service was ready", function()
        return process.read(log):find("ready", 1, true) or not process.alive(self.service)
    end)
    assert(process.alive(self.service), process.read(log))
end

-- Starts nginx with conf/tunnel.conf, two servers, and a client for each ID. options: ids, env (of nginx), settings (of
-- the servers), and port, the port of the service (default: starts tunnel_service.py).
-- Returns the object, or nil and nginx's output.
function _M.start(options)
    local self = setmetatable({ directory = process.temporary_directory(), servers = {}, clients = {} }, tunnel)
    process.run(("mkdir -p %s/etc/runtime %s/keys"):format(self.directory, self.directory))
    local lines = {}
    for i = 1, 2 do
        self.servers[i] = _M.start_server(self.directory, options.settings)
        lines[i] = ("server 127.0.0.1:%d max_fails=1 fail_timeout=2s;\n"):format(self.servers[i].port)
    end
    process.write(self.directory .. "/etc/runtime/tunnel_servers.conf", table.concat(lines))
    process.write(self.directory .. "/keys/jwks", ('{"keys":[{"kty":"oct","k":"%s"},{"kty":"oct","k":"%s"}]}')
        :format(base64url(_M.SECRETS.A), base64url(_M.SECRETS.B)))
    local keys = token.keys(self.directory .. "/keys")
    keys.signing_public = self.directory .. "/keys/jwks"
    local environment = { SITE = gateway.ROOT .. "/conf/tunnel.conf" }
    for name, value in pairs(options.env or {}) do
        environment[name] = value
    end
    local message
    self.nginx, message = gateway.start {
        directory = self.directory, demo = false, keys = keys, env = environment,
        prepare = function() return options.prepare and options.prepare(self) end,
    }
    if not self.nginx then
        self:stop()
        return nil, message
    end
    self.port, self.service_port = self.nginx.port, options.port
    if not options.port then
        start_service(self)
    end
    for _, id in ipairs(options.ids or {}) do
        self.clients[id] = _M.start_client(self.directory, self:url(), id, self.service_port)
    end
    return self
end

function tunnel:url()
    return ("http://127.0.0.1:%d/tunnel/"):format(self.port)
end

-- Returns the number of the service's requests for a path.
function tunnel:asked(method, path)
    return cjson.decode(http.request(self.service_port, { path = "/asked" }).body)[method .. " " .. path]
end

function tunnel:get(path, headers)
    return http.request(self.port, { path = "/tunnel" .. path, headers = headers })
end

-- Returns the server with more clients, and the other one.
function tunnel:busier_and_other()
    local first, second = self.servers[1], self.servers[2]
    local wanted = 0
    for _ in pairs(self.clients) do
        wanted = wanted + 1
    end
    process.wait_until("the servers counted their clients", function()
        return _M.metric(first, "clients") + _M.metric(second, "clients") == wanted
    end)
    if _M.metric(first, "clients") >= _M.metric(second, "clients") then
        return first, second
    end
    return second, first
end

function tunnel:stop()
    local pids = self.service and { self.service } or {}
    for _, client in pairs(self.clients) do
        pids[#pids + 1] = client.pid
    end
    for _, server in ipairs(self.servers) do
        pids[#pids + 1] = server.pid
    end
    if self.nginx then
        pids[#pids + 1] = self.nginx.pid
    end
    for _, pid in ipairs(pids) do
        if process.alive(pid) then
            -- Running requests do not matter any more.
            process.stop(pid, "KILL")
        end
    end
    process.run("rm -rf " .. process.quoted(self.directory))
end

return _M
