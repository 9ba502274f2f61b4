-- Certificates by certbot from a real ACME server, Let's Encrypt's pebble: the first one over plain HTTP, then renewals
-- with scripts/reload.sh as their hook. No connection is lost, and a bad certificate changes nothing.

local cjson = require "cjson"
local file_server = require "support.file_server"
local gateway = require "support.gateway"
local process = require "support.process"
local tls = require "support.tls"

local NAME = "desktop.example.org"
local DAY = 86400

describe("certbot", function()
    local directory, authority, name_server, pebble, files, running, port, token
    local live, environment

    local function run(command)
        local output, status = process.run(command)
        assert(status == 0, output)
        return output
    end

    local function ready(pid, log, line)
        process.wait_until("a server printed " .. line, function()
            return process.read(log):find(line) or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(log))
        return process.read(log):match(line)
    end

    -- Starts pebble, which asks the gateway's port of plain HTTP for the challenges. Its certificates are valid for ten
    -- days, so certbot finds that they are due.
    local function start_pebble(http_port)
        local log = directory .. "/names.log"
        name_server = process.start(("/usr/bin/python3 %s/spec/support/dns_server.py"):format(gateway.ROOT), log)
        local names = ready(name_server, log, "ready (%d+)")
        authority = { port = process.free_port(), management = process.free_port() }
        process.write(directory .. "/pebble.json", cjson.encode { pebble = {
            listenAddress = "127.0.0.1:" .. authority.port, httpPort = http_port, tlsPort = 1, ocspResponderURL = "",
            managementListenAddress = "127.0.0.1:" .. authority.management, certificateValidityPeriod = 10 * DAY,
            certificate = directory .. "/acme/cert.pem", privateKey = directory .. "/acme/key.pem",
        } })
        log = directory .. "/pebble.log"
        -- By default pebble refuses one request in twenty by chance, and certbot gives up when that happens twice.
        pebble = process.start(("env PEBBLE_VA_NOSLEEP=1 PEBBLE_AUTHZREUSE=0 PEBBLE_WFE_NONCEREJECT=0 pebble "
            .. "-strict=false -config %s/pebble.json -dnsserver 127.0.0.1:%s"):format(directory, names), log)
        process.wait_until("pebble listened", function()
            return process.accepts(authority.port) and process.accepts(authority.management)
                or not process.alive(pebble)
        end)
        assert(process.alive(pebble), process.read(log))
    end

    -- Runs certbot in directories of its own. Returns its output and status.
    local function certbot(command)
        return process.run(("env REQUESTS_CA_BUNDLE=%s/acme/ca.pem timeout 120 certbot %s --non-interactive --server "
            .. "https://localhost:%d/dir --config-dir %s/letsencrypt --work-dir %s/work --logs-dir %s/certbot_logs")
            :format(directory, command, authority.port, directory, directory, directory))
    end

    -- Restarts the gateway with the certificate.
    local function restart_with_tls(self)
        process.stop(self.pid)
        environment, port = tls.environment(live, { ROUTE_TLS_CERTIFICATE = live .. "/fullchain.pem",
            ROUTE_TLS_CERTIFICATE_KEY = live .. "/privkey.pem", ROUTE_TLS_REDIRECT = "on", ROUTE_TLS_HSTS = "300",
            FILE_SERVICE_TCP_PORT = self.environment.FILE_SERVICE_TCP_PORT })
        for name, value in pairs(self.environment) do
            environment[name] = environment[name] or value
        end
        return environment
    end

    local function renew(run_dir)
        local output, status = certbot(("renew --no-random-sleep-on-renew --deploy-hook "
            .. "'env ROUTE_RUN_DIR=%s %s/scripts/reload.sh'"):format(run_dir or running.directory, gateway.ROOT))
        assert(status == 0, output)
        return output
    end

    -- Returns the serial number of the certificate that a new connection gets, in OpenSSL's form. curl verifies it.
    local function served()
        local answer = tls.curl(directory, ("https://%s:%d/healthz"):format(NAME, port))
        assert.equal(200, answer.status, answer.body)
        return run(("openssl s_client -connect 127.0.0.1:%d -servername %s < /dev/null 2> /dev/null "
            .. "| openssl x509 -noout -serial"):format(port, NAME)):match("=(%x+)")
    end

    local function on_disk()
        return run("openssl x509 -noout -serial -in " .. live .. "/cert.pem"):match("=(%x+)")
    end

    setup(function()
        directory = process.temporary_directory()
        tls.certificate(directory .. "/acme", "localhost", "127.0.0.1")
        live = directory .. "/letsencrypt/live/" .. NAME
        local file_port = process.free_port()
        files = file_server.start(file_port)
        run(("head -c 67108864 /dev/urandom > %s/large && mkdir -p %s/filer && mv %s/large %s/filer/")
            :format(files.files, files.files, files.files, files.files))
        -- The first start has no certificate, only plain HTTP.
        local first = assert(gateway.start { env = { FILE_SERVICE_TCP_PORT = file_port } })
        token = first:mint("127.0.0.1")
        start_pebble(first.port)
        local output, status = certbot(("certonly --webroot --webroot-path %s/acme --domain %s --agree-tos "
            .. "--register-unsafely-without-email"):format(first.directory, NAME))
        assert(status == 0, output)
        -- The authority's root, which pebble makes at each start.
        run(("curl -sS --cacert %s/acme/ca.pem https://localhost:%d/roots/0 > %s/ca.pem")
            :format(directory, authority.management, directory))
        running = first
        restart_with_tls(first)
        local again = assert(gateway.start { demo = false, directory = first.directory, keys = first.keys,
            env = environment, listen = "127.0.0.1:" .. first.port })
        again.demo_pid, again.port = first.demo_pid, first.port
        running = again
    end)
    teardown(function()
        running:stop()
        files:stop()
        process.stop(pebble)
        process.stop(name_server)
        process.run("rm -rf " .. process.quoted(directory))
    end)

    it("gets a certificate over plain HTTP, with which the gateway then serves HTTPS", function()
        assert.equal(on_disk(), served())
        local answer = tls.curl(directory, ("https://%s:%d/filer/none"):format(NAME, port),
            "-H 'Authorization: Bearer " .. token .. "'")
        assert.same({ 404, "max-age=300" }, { answer.status, answer.headers["strict-transport-security"] })
        assert.equal(308, running:request { path = "/x" }.status)
        -- Nothing of a challenge stays behind.
        assert.equal("", run("find " .. running.directory .. "/acme -type f"))
    end)

    it("renews a certificate that is due, and a WebSocket and a slow download live through two reloads", function()
        local go, log = directory .. "/go", directory .. "/clients.log"
        local before, old_workers = on_disk(), running:workers()
        local clients = process.start(("/usr/bin/python3 %s/spec/support/surviving_connections.py %d %s/ca.pem %s %s "
            .. "/filer/large %s/filer/large %s")
            :format(gateway.ROOT, port, directory, NAME, token, files.files, go), log)
        assert.equal(before, ready(clients, log, "open (%x+)"))
        for _ = 1, 2 do
            local last = on_disk()
            assert.truthy(renew():find("all renewals succeeded", 1, true))
            assert.not_equal(last, on_disk())
            process.wait_until("new connections got the new certificate", function() return served() == on_disk() end)
        end
        assert.not_equal(before, served())
        process.write(go, "")
        process.wait_until("the clients ended", function() return not process.alive(clients) end)
        assert.truthy(process.read(log):find("alive\n", 1, true), process.read(log))
        -- The workers that held them end.
        process.wait_until("the old workers ended", function()
            for _, pid in ipairs(old_workers) do
                if process.alive(pid) then
                    return false
                end
            end
            return #running:workers() == 2
        end)
        assert.is_nil(running:error_log():find("%[emerg%]"))
    end)

    it("leaves the gateway as it is while the authority refuses", function()
        local before = served()
        -- pebble cannot reach this name's challenge: the webroot of the request is another directory.
        local output, status = certbot(("certonly --webroot --webroot-path %s --domain other.example.org --agree-tos")
            :format(directory))
        assert.not_equal(0, status)
        assert.truthy(output:find("other.example.org", 1, true), output)
        assert.equal(before, served())
        -- A path beside the challenges is no file, and no directory is listed.
        for _, path in ipairs { "/.well-known/acme-challenge/", "/.well-known/acme-challenge/..%2f..%2f..%2fnginx.pid",
            "/.well-known/acme-challenge/%2e%2e/%2e%2e/%2e%2e/keys" } do
            local found = running:request { path = path }.status
            assert.truthy(found == 403 or found == 404 or found == 400, path .. " " .. found)
        end
    end)

    it("does not reload a certificate that nginx cannot use, and says so in one sentence", function()
        local function reload(run_dir)
            return process.run(("env ROUTE_RUN_DIR=%s %s/scripts/reload.sh")
                :format(run_dir or running.directory, gateway.ROOT))
        end
        local before, workers = served(), running:workers()
        local private = run("readlink -f " .. live .. "/privkey.pem"):gsub("%s+$", "")
        local good = process.read(private)
        for text, reason in pairs { garbage = "cannot load certificate key",
            [process.read(directory .. "/acme/key.pem")] = "key values mismatch" } do
            process.write(private, text)
            local said, status = reload()
            process.write(private, good)
            assert.equal(1, status)
            assert.truthy(said:find("^route_native: the gateway keeps what it has, because nginx refuses the new "
                .. "files: [^\n]*" .. reason .. "[^\n]*\n$"), said)
        end
        assert.same(workers, running:workers())
        assert.equal(before, served())
        local said, status = reload(directory)
        assert.same({ ('route_native: no gateway of ROUTE_RUN_DIR "%s" runs for this user\n'):format(directory), 1 },
            { said, status })
        -- A hook's sentence is in what certbot logs.
        local renewed = renew(directory)
        assert.truthy(renewed:find(said:gsub("\n$", ""), 1, true), renewed)
        assert.equal(before, served())
        -- The check leaves the admin API's socket alone.
        local admin = run(("curl -sS -o /dev/null -w '%%{http_code}' --unix-socket %s/admin.sock http://localhost/")
            :format(running.directory))
        assert.not_equal("000", admin)
        assert.same({ "", 0 }, { reload() })
        process.wait_until("new connections got the new certificate", function() return served() == on_disk() end)
    end)
end)
