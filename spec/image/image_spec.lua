-- The image of scripts/test-image.sh: its root, started by its own entrypoint as in a container, read-only except /run.
-- `make test-image` runs it, and sets the paths of the root (IMAGE_ROOT) and of the image's settings (IMAGE_CONFIG).

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local websocket = require "support.websocket"

local ROOT = assert(os.getenv("IMAGE_ROOT"), "IMAGE_ROOT is not set; run: make test-image")
local CONFIG = cjson.decode(process.read(os.getenv("IMAGE_CONFIG"))).Docker.config

-- The capabilities that deploy/kubernetes.yaml grants, in the syntax of setpriv.
local CAPABILITIES = "-all"
for name in process.read("deploy/kubernetes.yaml"):match("\n%s+add: %[([^]]*)%]"):gmatch("[%u_]+") do
    CAPABILITIES = CAPABILITIES .. ",+" .. name:lower()
end

-- Mounts as a container runtime does, in a separate namespace. Arguments: ROOT, DIRECTORY (keys and resolv.conf),
-- command.
local CONTAINER = [[unshare --mount --propagation private sh -ec '
    root=$1 given=$2; shift 2
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t tmpfs tmpfs "$root/run"
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$given/resolv.conf" "$root/etc/resolv.conf"
    mkdir "$root/run/secrets"
    cp "$given"/*.pem "$root/run/secrets/"
    chmod 400 "$root"/run/secrets/*
    exec chroot "$root" setpriv --no-new-privs --bounding-set "$CAPABILITIES" "$@"
' container ]]

describe("the image", function()
    local running, token, directory, pid, port, tls_port, output

    local function environment(signing_key)
        local all = { "env -i" }
        for _, pair in ipairs(CONFIG.Env) do
            all[#all + 1] = process.quoted(pair)
        end
        for name, value in pairs(running.environment) do
            if name:match("_PORT$") or name:match("_FQDN$") or name:match("_UPSTREAM$") then
                all[#all + 1] = name .. "=" .. process.quoted(value)
            end
        end
        all[#all + 1] = "JWT_DESKTOP_SIGNING_PUBLIC_KEY=/run/secrets/" .. signing_key
        all[#all + 1] = "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY=/run/secrets/payload_private.pem"
        all[#all + 1] = "ROUTE_WORKERS=2 NODE_NAME=node-7 ROUTE_DRAIN_SECONDS=9999 ROUTE_LISTEN=127.0.0.1:" .. port
        all[#all + 1] = "ROUTE_TLS_CERTIFICATE=/run/secrets/certificate.pem"
        all[#all + 1] = "ROUTE_TLS_CERTIFICATE_KEY=/run/secrets/payload_private.pem"
        all[#all + 1] = "ROUTE_TLS_LISTEN=127.0.0.1:" .. tls_port
        return table.concat(all, " ")
    end

    -- Returns the command that starts the image with its entrypoint.
    local function container(signing_key)
        local command = { environment(signing_key) }
        for _, word in ipairs(CONFIG.Entrypoint) do
            command[#command + 1] = process.quoted(word)
        end
        return ("env CAPABILITIES=%s %s %s %s %s")
            :format(CAPABILITIES, CONTAINER, ROOT, directory, table.concat(command, " "))
    end

    setup(function()
        running = assert(gateway.start())
        token = running:mint("127.0.0.1")
        directory = process.temporary_directory()
        output = directory .. "/output"
        port, tls_port = process.free_port(), process.free_port()
        process.write(directory .. "/resolv.conf", "search desktop.svc\nnameserver fd00::53\nnameserver 10.0.0.1\n")
        process.run(("cp %s %s %s"):format(running.keys.signing_public, running.keys.payload_private, directory))
        local said, status = process.run(("openssl req -x509 -key %s -subj /CN=gateway.test -days 1 -out %s")
            :format(running.keys.payload_private, directory .. "/certificate.pem"))
        assert(status == 0, said)
        pid = process.start(container("signing_public.pem"), output)
        process.wait_until("the image's gateway answered", function()
            local connected, response = pcall(http.request, port, { path = "/healthz" })
            return connected and response or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(output))
    end)
    teardown(function()
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    local function nginx()
        return (process.run("pgrep -P " .. pid .. " nginx"):gsub("%s+$", ""))
    end

    it("declares its ports, signal, title and health check", function()
        assert.same({ ["80/tcp"] = {}, ["443/tcp"] = {} }, CONFIG.ExposedPorts)
        assert.equal("SIGTERM", CONFIG.StopSignal)
        assert.equal("route_native", CONFIG.Labels["org.opencontainers.image.title"])
        assert.same({ "CMD", "/usr/local/share/route_native/scripts/healthcheck.sh" }, CONFIG.Healthcheck.Test)
    end)

    it("contains no compiler", function()
        for _, program in ipairs { "cc", "c++", "gcc", "g++", "cpp", "cargo", "rustc", "cmake" } do
            local found, status = process.run(("chroot %s sh -c 'command -v %s'"):format(ROOT, program))
            assert.same({ "", 127 }, { found, status }, program)
        end
    end)

    it("routes a token's requests to its desktop, over HTTP and WebSocket", function()
        local bearer = { { "Authorization", "Bearer " .. token } }
        local response = http.request(port, { path = "/filer/x", headers = bearer })
        assert.same({ 200, "/filer/x" }, { response.status, cjson.decode(response.body).path })
        assert.equal(401, http.request(port, { path = "/filer/x" }).status)
        local opened = assert(websocket.open(port, { path = "/websockify", headers = bearer }))
        assert.equal("/websockify", cjson.decode((opened:receive())).path)
        opened:close()
        assert.equal("node-7\n", http.request(port, { path = "/node" }).body)
    end)

    it("serves HTTP/2 over TLS without a deprecation warning of nginx", function()
        local answer = process.run(("curl -sS --http2 -o /dev/null -w '%%{http_version} %%{http_code}' --cacert %s "
            .. "--resolve gateway.test:%d:127.0.0.1 -H 'Authorization: Bearer %s' https://gateway.test:%d/filer/x")
            :format(directory .. "/certificate.pem", tls_port, token, tls_port))
        assert.equal("2 200", answer)
        assert.is_nil(process.read(output):find("deprecated", 1, true))
    end)

    it("logs to its standard output, in JSON", function()
        local logged = process.wait_until("the request was logged", function()
            return process.read(output):match('\n(%b{})')
        end)
        assert.equal("filer", cjson.decode(logged).endpoint)
    end)

    it("has no more capabilities than deploy/kubernetes.yaml grants", function()
        local effective = process.read("/proc/" .. nginx() .. "/status"):match("\nCapEff:%s*(%x+)")
        -- CHOWN (0), KILL (5), SETGID (6), SETUID (7) and NET_BIND_SERVICE (10): see capabilities(7).
        assert.equal(0x4e1, tonumber(effective, 16))
    end)

    it("runs its workers as a user who cannot read the keys", function()
        local uid = process.read(ROOT .. "/etc/passwd"):match("\nroute_native:[^:]*:(%d+):")
        local workers = 0
        for worker in process.run("pgrep -P " .. nginx()):gmatch("%d+") do
            assert.equal(uid, process.read("/proc/" .. worker .. "/status"):match("\nUid:%s+(%d+)"))
            workers = workers + 1
        end
        assert.equal(2, workers)
    end)

    it("uses the name servers of resolv.conf, with IPv6 in brackets", function()
        local written = process.read(("/proc/%s/root/run/route_native/etc/runtime/http.conf"):format(nginx()))
        assert.equal("resolver [fd00::53] 10.0.0.1;", written:match("resolver[^\n]*"))
    end)

    it("is healthy while it answers", function()
        local check = ("chroot %s env -i PATH=$PATH ROUTE_LISTEN=127.0.0.1:%%d %s")
            :format(ROOT, CONFIG.Healthcheck.Test[2])
        local _, status = process.run(check:format(port))
        assert.equal(0, status)
        _, status = process.run(check:format(process.free_port()))
        assert.is_not.equal(0, status)
    end)

    it("reports a key of the wrong kind in one sentence", function()
        local said, status = process.run(container("payload_private.pem"))
        assert.equal(1, status)
        assert.truthy(said:find("^route_native: JWT_DESKTOP_SIGNING_PUBLIC_KEY: the key file [^\n]+\n$"), said)
    end)

    it("contains route-token", function()
        local made, status = process.run(("chroot %s route-token --help"):format(ROOT))
        assert.equal(0, status)
        assert.truthy(made:find("explain", 1, true))
    end)

    it("ends at SIGTERM, after its last connection", function()
        process.stop(pid)
        process.wait_until("nothing of it was left", function() return process.run("pgrep -s " .. pid) == "" end)
    end)
end)
