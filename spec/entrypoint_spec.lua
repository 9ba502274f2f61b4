-- docker-entrypoint.sh in a tree of `make install`: it does the work of an image, without an image.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local socket = require "socket"
local websocket = require "support.websocket"

local MISTAKES = {
    { "ROUTE_TLS_CERTIFICATE_KEY is not set", { ROUTE_TLS_CERTIFICATE = "$certificate" } },
    { "ROUTE_TLS_CERTIFICATE is not set", { ROUTE_TLS_CERTIFICATE_KEY = "$key" } },
    { "ROUTE_TLS_CERTIFICATE must be a file", { ROUTE_TLS_CERTIFICATE = "/none", ROUTE_TLS_CERTIFICATE_KEY = "$key" } },
    { "ROUTE_TLS_CERTIFICATE is wrong", { ROUTE_TLS_CERTIFICATE = "$key", ROUTE_TLS_CERTIFICATE_KEY = "$key" } },
    { "ROUTE_TLS_CERTIFICATE_KEY is wrong",
        { ROUTE_TLS_CERTIFICATE = "$certificate", ROUTE_TLS_CERTIFICATE_KEY = "$other_key" } },
    { "ROUTE_TLS_LISTEN must be a port", { ROUTE_TLS_CERTIFICATE = "$certificate", ROUTE_TLS_CERTIFICATE_KEY = "$key",
        ROUTE_TLS_LISTEN = "https" } },
    { "ROUTE_LISTEN has an invalid port", { ROUTE_LISTEN = "127.0.0.1:65536" } },
    { "ROUTE_LISTEN is wrong", { ROUTE_LISTEN = "192.0.2.1:8080" } },
    { "ROUTE_TRUSTED_PROXIES is wrong", { ROUTE_TRUSTED_PROXIES = "10.0.0.1, 10.0.0.300" } },
    { "ROUTE_ACCESS_LOG is wrong", { ROUTE_ACCESS_LOG = "/none/access.log" } },
    { "ROUTE_DRAIN_SECONDS must be", { ROUTE_DRAIN_SECONDS = "1m" } },
    { "ROUTE_RUN_DIR must be", { ROUTE_RUN_DIR = "/proc/none" } },
    { "ROUTE_CONF_DIR must hold nginx.conf", { ROUTE_CONF_DIR = "/proc" } },
    { "NAMESERVER_RESOLVER has an invalid port", { NAMESERVER_RESOLVER = "[::1]:99999" } },
    { "NAMESERVER_RESOLVER must be", { NAMESERVER_RESOLVER = "10.0.0.1; error_log /dev/null" } },
    { "JWT_DESKTOP_SIGNING_PUBLIC_KEY: the key file", { PATH = "$tools", JWT_DESKTOP_SIGNING_PUBLIC_KEY = "$key" } },
    { "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY: the key file",
        { PATH = "$tools", JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = "$public_key" } },
    { "PYOS_FQDN must be", { PYOS_FQDN = "pyos/x" } },
    { "PYOS_SERVICE_PORT must be", { PYOS_SERVICE_PORT = "0" } },
    { "NODE_NAME must be", { NODE_NAME = 'a"; return 200 "' } },
}

describe("the entrypoint", function()
    local running, token, tree, files
    local share, lua = "/usr/local/share/route_native", "/usr/local/share/lua/5.1/?.lua"

    -- Returns the environment of the demo's gateway, with some changes.
    local function command(overrides)
        local environment = {}
        for name, value in pairs(running.environment) do
            environment[name] = value
        end
        environment.ROUTE_RUN_DIR = tree .. "/run"
        environment.ROUTE_ACCESS_LOG = tree .. "/access.log"
        environment.ROUTE_ERROR_LOG = tree .. "/error.log"
        environment.ROUTE_LUA_PATH = tree .. lua
        environment.ROUTE_LUA_CPATH = tree .. "/usr/local/lib/lua/5.1/?.so"
        for name, value in pairs(overrides) do
            environment[name] = value:gsub("%$([%a_]+)", files)
        end
        -- The environment of the specs must have no effect. A shell starts background programs with SIGINT and SIGQUIT
        -- ignored, and nohup with SIGHUP; a shell cannot trap a signal that was ignored at its start.
        return ("env -i --default-signal PATH=\"$PATH\" %s %s%s/docker-entrypoint.sh")
            :format(process.environment(environment), tree, share)
    end

    -- Starts it on a free port. A file gets its exit status.
    local function start(overrides)
        local port, tls_port = process.free_port(), process.free_port()
        overrides.ROUTE_LISTEN = "127.0.0.1:" .. port
        overrides.ROUTE_TLS_LISTEN = "127.0.0.1:" .. tls_port
        local script = command(overrides) .. " & echo $! > " .. tree .. "/pid; wait $!; echo $? > " .. tree .. "/status"
        process.run(("rm -f %s/pid %s/status"):format(tree, tree))
        local session = process.start("sh -c " .. process.quoted(script), tree .. "/output")
        -- `nginx -t` also listens for a moment, and answers no request.
        process.wait_until("the gateway answered", function()
            local connected, response = pcall(http.request, port, { path = "/healthz" })
            return connected and response or not process.alive(session)
        end)
        local pid = tonumber(process.read(tree .. "/pid"))
        local self = { port = port, tls_port = tls_port, session = session, pid = pid }
        if not process.alive(session) then
            local output = process.read(tree .. "/output")
            assert(output:find("Address already in use", 1, true) or output:find("listens on", 1, true), output)
            return start(overrides)
        end
        return self
    end

    local function ended(self)
        process.wait_until("the gateway ended", function() return not process.alive(self.session) end)
        return tonumber(process.read(tree .. "/status"))
    end

    local function refuses_connections(self)
        process.wait_until("new connections were refused", function() return not process.accepts(self.port) end)
    end

    local function open_websocket(self)
        local opened = assert(websocket.open(self.port, {
            path = "/websockify", headers = { { "Authorization", "Bearer " .. token } },
        }))
        assert.equal("/websockify", cjson.decode((opened:receive())).path)
        return opened
    end

    local function echoes(opened, text)
        opened:send(text)
        assert.equal(text, (opened:receive()))
    end

    setup(function()
        running = assert(gateway.start())
        token = running:mint("127.0.0.1")
        tree = process.temporary_directory()
        -- The workers run as www-data, which must be able to read the installed files.
        -- rock_spec.lua builds in the same directory.
        local output, status = process.run("chmod 755 " .. tree
            .. " && env CARGO_TARGET_DIR=target/library make -s install DESTDIR=" .. tree)
        assert(status == 0, output)
        files = { certificate = tree .. "/cert.pem", key = running.keys.signing_private,
            other_key = running.keys.other_private, public_key = running.keys.signing_public,
            tools = process.run("cd target/release && pwd"):gsub("%s+$", "") .. ":" .. os.getenv("PATH") }
        output, status = process.run(("openssl req -x509 -key %s -subj /CN=gateway.test -days 1 -out %s")
            :format(files.key, files.certificate))
        assert(status == 0, output)
    end)
    teardown(function()
        running:stop()
        process.run("rm -rf " .. tree)
    end)

    for _, mistake in ipairs(MISTAKES) do
        it("reports in one sentence: " .. mistake[1], function()
            local output, status = process.run("timeout 60 " .. command(mistake[2]))
            assert.equal(1, status)
            local sentence = output:match("^route_native: ([^\n]+)\n?$")
            assert.equal(mistake[1], sentence and sentence:sub(1, #mistake[1]), output)
        end)
    end

    for name, others in pairs { ROUTE_LISTEN = {}, ROUTE_ADMIN_LISTEN = {}, ROUTE_TLS_LISTEN = {
        ROUTE_TLS_CERTIFICATE = "$certificate", ROUTE_TLS_CERTIFICATE_KEY = "$key",
    } } do
        it("says once that the port of " .. name .. " is in use", function()
            local taken = running.port
            local overrides = { ROUTE_LISTEN = "127.0.0.1:" .. process.free_port() }
            for setting, value in pairs(others) do
                overrides[setting] = value
            end
            overrides[name] = ("127.0.0.1:%d, 127.0.0.1:%d"):format(process.free_port(), taken)
            local output, status = process.run("timeout 60 " .. command(overrides))
            assert.same({ ("route_native: %s is wrong: another program listens on 127.0.0.1:%d\n")
                :format(name, taken), 1 }, { output, status })
        end)
    end

    it("is healthy where the first address of ROUTE_LISTEN answers", function()
        local function is_healthy(listen)
            local _, status = process.run(("env ROUTE_LISTEN='%s' %s%s/scripts/healthcheck.sh")
                :format(listen, tree, share))
            return status == 0
        end
        local port, free = running.port, process.free_port()
        assert.is_true(is_healthy(("127.0.0.1:%d,127.0.0.1:%d"):format(port, free)))
        assert.is_true(is_healthy((" %d [::]:%d"):format(port, free)))
        assert.is_true(is_healthy(("*:%d , 1"):format(port)))
        assert.is_false(is_healthy(("127.0.0.1:%d,127.0.0.1:%d"):format(free, port)))
    end)

    it("runs another command instead", function()
        local output, status = process.run(tree .. share .. "/docker-entrypoint.sh sh -c 'echo here; exit 7'")
        assert.same({ "here\n", 7 }, { output, status })
    end)

    it("serves TLS 1.2 and newer and HTTP/2 when a certificate and key are set, and plain HTTP", function()
        local self = start { ROUTE_TLS_CERTIFICATE = "$certificate", ROUTE_TLS_CERTIFICATE_KEY = "$key" }
        local function curl(options)
            return (process.run(("curl -sS -o /dev/null -w '%%{http_version} %%{http_code}' --cacert %s --resolve "
                .. "gateway.test:%d:127.0.0.1 -H 'Authorization: Bearer %s' %s https://gateway.test:%d/filer/x")
                :format(files.certificate, self.tls_port, token, options, self.tls_port)))
        end
        assert.equal("2 200", curl("--http2"))
        assert.equal("1.1 200", curl("--http1.1 --tls-max 1.2"))
        assert.truthy(curl("--tlsv1.0 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0"):find("000", 1, true))
        assert.truthy(curl("--tls-max 1.2 --ciphers AES128-SHA256"):find("000", 1, true))
        local _, healthy = process.run("env ROUTE_LISTEN=127.0.0.1:" .. self.port .. " " .. tree .. share
            .. "/scripts/healthcheck.sh")
        assert.equal(0, healthy)
        process.signal(self.pid, "TERM")
        assert.equal(0, ended(self))
        _, healthy = process.run("env ROUTE_LISTEN=127.0.0.1:" .. self.port .. " " .. tree .. share
            .. "/scripts/healthcheck.sh")
        assert.is_not.equal(0, healthy)
    end)

    for _, signal in ipairs { "TERM", "QUIT" } do
        it("gives open WebSockets ROUTE_DRAIN_SECONDS after SIG" .. signal .. ", and then ends", function()
            local self = start { ROUTE_DRAIN_SECONDS = "4" }
            local opened = open_websocket(self)
            local began = socket.gettime()
            process.signal(self.pid, signal)
            refuses_connections(self)
            echoes(opened, "still here")
            assert.is_nil((opened:receive()))
            assert.is_true(socket.gettime() - began >= 3.9)
            assert.equal(0, ended(self))
        end)
    end

    it("serves a site that includes an example by its path in release 0.1", function()
        local conf = tree .. "/own-conf"
        local modules = { auth = "auth-config check-token authenticator jwt-secret", border = "", phantom = "" }
        for name, needed in pairs(modules) do
            local place = tree .. share .. "/conf/examples/" .. name
            local site = process.read(place .. ".conf"):match("^include (%S+);\n$")
            assert(site, name .. ".conf includes no site")
            assert.truthy(process.read(tree .. share .. "/conf/" .. site):find("\nserver {", 1, true), name)
            for file in needed:gmatch("%S+") do
                assert.is_true(#process.read(place .. "/" .. file .. ".lua") > 0, file)
            end
        end
        assert.is_true(#process.read(tree .. share .. "/conf/examples/tunnel/viewers.lua") > 0)

        process.run(("cp -r %s%s/conf %s && rm %s/sites-enabled/* && mkdir -p %s/run/keys")
            :format(tree, share, conf, conf, tree))
        process.write(tree .. "/run/keys/jwt_secret", ("s"):rep(32))
        process.write(conf .. "/sites-enabled/own.conf", "include examples/auth.conf;\n")
        local self = start { ROUTE_CONF_DIR = conf }
        assert.equal(403, http.request(self.port, { path = "/check" }).status)
        assert.equal(401, http.request(self.port, { path = "/secure" }).status)
        process.signal(self.pid, "TERM")
        assert.equal(0, ended(self))
    end)

    it("ends after the last connection, and leaves no process behind", function()
        local self = start { ROUTE_DRAIN_SECONDS = "9999" }
        local opened = open_websocket(self)
        process.signal(self.pid, "TERM")
        refuses_connections(self)
        echoes(opened, "bye")
        opened:close()
        assert.equal(0, ended(self))
        process.wait_until("nothing of it was left", function()
            return (process.run("pgrep -s " .. self.session)) == ""
        end)
    end)

    it("loses no early SIGTERM as process 1 of a container", function()
        for tenth = 0, 5 do
            local script = ("unshare --pid --fork --kill-child %s & echo $! > %s/pid; wait"):format(
                command({ ROUTE_LISTEN = "127.0.0.1:" .. process.free_port(), ROUTE_DRAIN_SECONDS = "9999" }), tree)
            process.run("rm -f " .. tree .. "/pid")
            local session = process.start("sh -c " .. process.quoted(script), tree .. "/output")
            -- The kernel drops a signal to a process 1 without a handler.
            local first = process.wait_until("process 1 had a handler", function()
                local pid = process.run("pgrep -P $(cat " .. tree .. "/pid) 2> /dev/null"):match("%d+")
                local status = pid and process.run("cat /proc/" .. pid .. "/status 2> /dev/null")
                local caught = status and status:match("SigCgt:%s*%x*(%x%x%x%x)\n")
                return caught and tonumber(caught, 16) % 0x8000 >= 0x4000 and pid
            end)
            -- The time of the signal is what this tests.
            socket.sleep(tenth / 10)
            process.signal(tonumber(first), "TERM")
            process.wait_until("the gateway ended " .. tenth / 10 .. " s after its start", function()
                return not process.alive(session)
            end)
        end
    end)

    it("checks its health without the environment's proxy, with wget only", function()
        local self = start {}
        local only_wget = tree .. "/only-wget"
        process.run(("mkdir -p %s && ln -sf $(command -v wget) $(command -v sh) %s/"):format(only_wget, only_wget))
        local _, healthy = process.run(("env PATH=%s http_proxy=http://127.0.0.1:%d ROUTE_LISTEN=127.0.0.1:%d "
            .. "%s%s/scripts/healthcheck.sh"):format(only_wget, process.free_port(), self.port, tree, share))
        assert.equal(0, healthy)
        process.signal(self.pid, "TERM")
        assert.equal(0, ended(self))
    end)

    it("ends at once at a second SIGTERM", function()
        local self = start { ROUTE_DRAIN_SECONDS = "9999" }
        local opened = open_websocket(self)
        process.signal(self.pid, "TERM")
        refuses_connections(self)
        process.signal(self.pid, "TERM")
        assert.is_nil((opened:receive()))
        assert.equal(0, ended(self))
    end)

    it("reloads at SIGHUP, and keeps open WebSockets", function()
        local self = start { ROUTE_DRAIN_SECONDS = "0" }
        local opened = open_websocket(self)
        process.signal(self.pid, "HUP")
        process.wait_until("an old worker was shutting down", function()
            return (process.run("ps -o args= -s " .. self.session)):find("shutting down", 1, true)
        end)
        echoes(opened, "after the reload")
        assert.is_true(process.accepts(self.port))
        process.signal(self.pid, "TERM")
        assert.equal(0, ended(self))
    end)
end)

describe("runtime.sh", function()
    -- The versions are outputs of `nginx -v`; the tests above run nginx itself.
    local VERSIONS = {
        ["nginx/1.22.1"] = "listen 8443 ssl http2;\n",
        ["nginx/1.25.0"] = "listen 8443 ssl http2;\n",
        ["nginx/1.25.1"] = "listen 8443 ssl;\nhttp2 on;\n",
        ["openresty/1.21.4.3"] = "listen 8443 ssl http2;\n",
        ["openresty/1.27.1.2"] = "listen 8443 ssl;\nhttp2 on;\n",
        ["nginx/2.0"] = "listen 8443 ssl;\nhttp2 on;\n",
    }
    local directory

    setup(function() directory = process.temporary_directory() end)
    teardown(function() process.run("rm -rf " .. directory) end)

    for version, expected in pairs(VERSIONS) do
        it("enables HTTP/2 in the syntax of " .. version, function()
            local binary, pem = directory .. "/nginx", directory .. "/x.pem"
            process.write(binary, "#!/bin/sh\necho 'nginx version: " .. version .. "' >&2\n")
            process.write(pem, "")
            local output, status = process.run("chmod +x " .. binary .. " && " .. process.environment {
                NGINX_BINARY = binary, ROUTE_RUN_DIR = directory, ROUTE_TLS_LISTEN = 8443,
                ROUTE_TLS_CERTIFICATE = pem, ROUTE_TLS_CERTIFICATE_KEY = pem,
            } .. " sh conf/runtime.sh " .. directory .. "/out")
            assert.same({ "", 0 }, { output, status })
            local written = process.read(directory .. "/out/listen.conf")
            assert.truthy(written:find(expected, 1, true), written)
        end)
    end
end)
