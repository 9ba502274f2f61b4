-- Starts the shipped conf/ and lua/ under a real nginx on free ports, with a demo desktop behind it.

local cjson = require "cjson.safe"
local process = require "support.process"
local http = require "support.http"
local token = require "support.token"

local root = debug.getinfo(1, "S").source:match("^@(.*)spec/support/gateway%.lua$")
root = root == "" and "./" or root
local ROOT = (process.run("cd " .. process.quoted(root) .. " && pwd"):gsub("%s+$", ""))

-- phase: where gateways call resolve(), if not in the phase of conf/desktop.conf.
local _M = { ROOT = ROOT, phase = nil }
local gateway = {}
gateway.__index = gateway

-- The port variables of route.conf, by their environment variables.
_M.SERVICE_PORTS = {
    "WS_TCP_BRIDGE_TCP_PORT", "XTERM_TCP_PORT", "PRINTERFILE_SERVICE_TCP_PORT", "FILE_SERVICE_TCP_PORT",
    "BROADCAST_TCP_PORT", "SNAPSHOT_SERVICE_TCP_PORT", "SPAWNER_SERVICE_TCP_PORT", "SIGNALLING_SERVICE_TCP_PORT",
    "SOUND_SERVICE_TCP_PORT", "MICROPHONE_SERVICE_TCP_PORT", "GAMEPAD_SERVICE_TCP_PORT",
}

-- The environment variables of the other upstreams.
_M.UPSTREAMS = { "ROUTE_CONSOLE_UPSTREAM", "ROUTE_WEBSITE_UPSTREAM", "ROUTE_SPEEDTEST_UPSTREAM" }

-- Starts the demo desktop. Returns the gateway's environment for it, and its process id.
local function start_demo(directory)
    local environment, ports, first = { PYOS_FQDN = "127.0.0.1" }, {}, {}
    for i, name in ipairs(_M.SERVICE_PORTS) do
        ports[i] = process.free_port()
        environment[name] = ports[i]
    end
    environment.PYOS_SERVICE_PORT = process.free_port()
    first[1] = environment.PYOS_SERVICE_PORT
    for _, name in ipairs(_M.UPSTREAMS) do
        local port = process.free_port()
        first[#first + 1] = port
        environment[name] = "127.0.0.1:" .. port
    end
    local log = directory .. "/demo.log"
    local pid = process.start(ROOT .. "/target/release/demo-desktop --addresses 127.0.0.1,127.0.0.2 --ports "
        .. table.concat(ports, ",") .. " --only-first " .. table.concat(first, ","), log)
    process.wait_until("the demo desktop was ready", function()
        return process.read(log):find("ready", 1, true) or not process.alive(pid)
    end)
    if not process.alive(pid) then
        -- Another process took one of the ports in between.
        return start_demo(directory)
    end
    return environment, pid
end

-- Copies the configuration for a gateway that resolves in another phase than the shipped one.
local function copy_conf(self, phase)
    local output, status = process.run(("cp -r %s/conf %s/conf && sed -i s/access_by_lua_file/%s_by_lua_file/ "
        .. "%s/conf/desktop.conf && grep -c %s_by_lua_file %s/conf/desktop.conf")
        :format(ROOT, self.directory, phase, self.directory, phase, self.directory))
    assert(status == 0 and output == "1\n", output)
    self.environment.CONF = self.directory .. "/conf"
end

local function start_nginx(self)
    local port = process.free_port()
    self.environment.ROUTE_LISTEN = (self.listen or "127.0.0.1:PORT"):gsub("PORT", port)
    local etc = self.directory .. "/etc"
    local lay_out = (". %s/scripts/nginx.sh && %s/scripts/lay-out.sh %s && echo nginx: $NGINX_BINARY")
        :format(ROOT, ROOT, self.directory)
    local output, status = process.run(process.environment(self.environment) .. " bash -c " .. process.quoted(lay_out))
    assert(status == 0, output)
    local binary = output:match("nginx: (%S+)\n$")
    self.output = self.directory .. "/nginx.out"
    os.remove(self.directory .. "/nginx.pid")
    self.pid = process.start(("%s %s -e %s/logs/error.log -p %s -c %s/nginx.conf")
        :format(process.environment(self.environment), binary, self.directory, etc, etc), self.output)
    -- nginx writes the file when it has all of its addresses. Before that, one of them may accept while nginx fails at
    -- another.
    process.wait_until("nginx listened", function()
        return process.read(self.directory .. "/nginx.pid") ~= "" or not process.alive(self.pid)
    end)
    if not process.alive(self.pid) then
        if (self:error_log() .. process.read(self.output)):find("Address already in use", 1, true) then
            return start_nginx(self)
        end
        return nil, process.read(self.output) .. self:error_log()
    end
    self.port = port
    return self
end

-- Starts a gateway. options: env (overrides; false unsets), keys, demo (default true), workers (default 2), directory
-- (a run directory with files in it), listen (ROUTE_LISTEN, with PORT in place of the port), and prepare, a function
-- that gets the gateway before nginx starts, when its directory exists. Returns the gateway, or nil and nginx's output
-- if nginx did not start.
function _M.start(options)
    options = options or {}
    local self = setmetatable({
        directory = options.directory or process.temporary_directory(), listen = options.listen,
    }, gateway)
    self.keys = options.keys or token.keys(self.directory)
    self.environment = {}
    if options.demo ~= false then
        self.environment, self.demo_pid = start_demo(self.directory)
    end
    self.environment.ROUTE_WORKERS = options.workers or 2
    self.environment.JWT_DESKTOP_SIGNING_PUBLIC_KEY = self.keys.signing_public
    self.environment.JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = self.keys.payload_private
    for name, value in pairs(options.env or {}) do
        self.environment[name] = value
    end
    if _M.phase then
        copy_conf(self, _M.phase)
    end
    if options.prepare then
        options.prepare(self)
    end
    return start_nginx(self)
end

function gateway:request(options)
    return http.request(self.port, options)
end

-- Sends a GET with a token in the Authorization header.
function gateway:get(path, bearer)
    return self:request { path = path, headers = bearer and { { "Authorization", "Bearer " .. bearer } } }
end

function gateway:mint(target, request)
    return token.mint(self.keys, target, request)
end

function gateway:access_log()
    return process.read(self.directory .. "/logs/access.log")
end

function gateway:error_log()
    return process.read(self.directory .. "/logs/error.log")
end

-- Waits for the access log's entry for a path. Returns the newest one as a table.
function gateway:logged(path)
    return process.wait_until("the access log named " .. path, function()
        local found
        for line in self:access_log():gmatch("[^\n]+") do
            local entry = cjson.decode(line)
            found = entry and entry.path == path and entry or found
        end
        return found
    end)
end

-- Waits for the access log's entry for a query. Returns its reason. A query that no other request has tells its entry
-- from those of the same path.
function gateway:reason_of(query)
    return process.wait_until("the access log had " .. query, function()
        return self:access_log():match('"args":"' .. query .. '".-"reason":"([^"]*)"')
    end)
end

-- Returns the process ids of the workers.
function gateway:workers()
    local pids = {}
    for pid in process.run("pgrep -P " .. self.pid):gmatch("%d+") do
        pids[#pids + 1] = tonumber(pid)
    end
    return pids
end

-- Reloads the configuration and waits until the old workers are gone.
function gateway:reload()
    local old = self:workers()
    process.signal(self.pid, "HUP")
    process.wait_until("new workers ran", function()
        for _, pid in ipairs(old) do
            if process.alive(pid) then
                return false
            end
        end
        return #self:workers() > 0
    end)
end

function gateway:stop()
    process.stop(self.pid)
    if self.demo_pid then
        process.stop(self.demo_pid)
    end
    process.run("rm -rf " .. process.quoted(self.directory))
end

return _M
