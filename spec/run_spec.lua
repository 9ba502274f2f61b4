-- `make run`, as a user runs it: the printed commands work, it ends all of its processes, and a mistake is one
-- sentence.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local readme = require "support.readme"
local socket = require "socket"
local token = require "support.token"
local websocket = require "support.websocket"

describe("make run", function()
    local directory, environment
    local port

    setup(function()
        directory = process.temporary_directory()
        port = process.free_port()
        environment = { PORT = port, RUN_DIR = directory .. "/run", WORKERS = 1 }
    end)
    teardown(function() process.run("rm -rf " .. directory) end)

    local function make(changes)
        local variables = {}
        for _, source in ipairs { environment, changes or {} } do
            for name, value in pairs(source) do
                variables[name] = value
            end
        end
        -- Shells start background programs with SIGINT ignored; a terminal does not.
        return process.environment(variables) .. " env --default-signal=INT make -s -C " .. gateway.ROOT .. " run"
    end

    -- Starts it and waits until it is ready. Returns its process id and its output.
    local function start(changes)
        local log = directory .. "/out"
        local pid = process.start(make(changes), log)
        -- The last printed line: without a token, that is `ready`.
        process.wait_until("make run was ready", function()
            return process.read(log):find("\nready: ") or process.read(log):find("^ready: ") or not process.alive(pid)
        end)
        assert(process.alive(pid), process.read(log))
        return pid, log
    end

    -- Returns the processes of its session: process.start makes a session for each program.
    local function session(pid)
        return process.run("pgrep -s " .. pid)
    end

    local function ends_with_all(pid)
        process.wait_until("all of make run ended", function() return session(pid) == "" end)
        assert.is_nil(process.accepts(port))
    end

    -- Runs it until it ends. It must fail with one sentence of its own.
    local function fails(changes, pattern)
        local output, status = process.run(make(changes))
        assert.not_equal(0, status)
        local sentences = {}
        for line in output:gmatch("[^\n]+") do
            -- The messages of cargo and make.
            if not line:find("^make[%[%d%]]*:") and not line:find("^%s+%u%l+ ") then
                sentences[#sentences + 1] = line
            end
        end
        assert.equal(1, #sentences, output)
        assert.truthy(sentences[1]:find(pattern), output)
    end

    describe("with the demo desktop, which has fixed ports", function()
        local pid, log, minted

        setup(function()
            pid, log = start()
            process.wait_until("the curl line was printed", function()
                return process.read(log):find("\ncurl [^\n]*\n")
            end)
            minted = process.read(log):match("\ntoken: (%S+)\n")
        end)
        teardown(function()
            if process.alive(pid) then
                process.stop(pid)
            end
        end)

        it("prints its address, a token, and a curl command that works", function()
            local printed = process.read(log)
            assert.truthy(printed:find("ready: http://127.0.0.1:" .. port .. "\n", 1, true), printed)
            local seen = cjson.decode((process.run(printed:match("\n(curl [^\n]*)\n") .. " -sS")))
            assert.same({ 29783, "GET", "/filer/hello" }, { seen.port, seen.method, seen.path })
        end)

        it("gives the answers of examples/desktop/README.md", function()
            local expected, received, output = readme.try("desktop", port, directory .. "/run")
            assert.same({ "200", "401" }, expected)
            assert.same(expected, received, output)
        end)

        it("writes the documented key files, which an independent library can use", function()
            local keys = directory .. "/run/keys/"
            local other = token.mint({ signing_private = keys .. "signing_private.pem",
                payload_public = keys .. "payload_public.pem" }, "127.0.0.9")
            local response = http.request(port, { path = "/spawner/x", headers = { { "Authorization", other } } })
            assert.same({ 200, 29786 }, { response.status, cjson.decode(response.body).port })
            for _, name in ipairs { "signing_private", "payload_private" } do
                assert.equal("600\n", process.run("stat -c %a " .. keys .. name .. ".pem"))
            end
            assert.truthy(process.read(keys .. "signing_public.pem"):find("PUBLIC KEY", 1, true))
        end)

        it("opens WebSockets", function()
            local client = assert(websocket.open(port, { path = "/websockify?" .. minted }))
            assert.equal(6081, cjson.decode((client:receive())).port)
            client:send("hello")
            assert.equal("hello", (client:receive()))
            client:close()
        end)

        it("answers for pyos, console, website and speed test", function()
            for _, path in ipairs { "/API/x", "/console", "/", "/speedtest/x" } do
                assert.equal(200, http.request(port, { path = path }).status, path)
            end
            assert.equal(401, http.request(port, { path = "/filer/x" }).status)
        end)

        it("refuses to start twice on the same port, in one sentence", function()
            fails({}, "^route_native: port " .. port .. " on 127.0.0.1 is in use")
        end)

        it("ends with all of its processes on SIGTERM", function()
            assert.truthy(session(pid):find("\n.*\n.*\n"))
            process.signal(pid, "TERM")
            ends_with_all(pid)
            -- The demo desktop has ended too.
            assert.is_nil(process.accepts(29783))
        end)
    end)

    it("serves HTTPS with TLS=1, by an authority that can sign nothing else, and redirects plain HTTP", function()
        local tls_port = process.free_port()
        local pid, log = start { TLS = 1, TLS_PORT = tls_port }
        process.wait_until("the curl line was printed", function()
            return process.read(log):find("\ncurl [^\n]*\n")
        end)
        local printed = process.read(log)
        assert.truthy(printed:find("ready: https://127.0.0.1:" .. tls_port .. "\n", 1, true), printed)
        local command = printed:match("\n(curl %-%-cacert [^\n]*)\n")
        assert.equal("/filer/hello", cjson.decode((process.run(command .. " -sS"))).path)
        -- Without the authority, curl does not trust it.
        local _, status = process.run(command:gsub("%-%-cacert %S+", "-sS"))
        assert.equal(60, status)
        local tls = directory .. "/run/tls/"
        assert.equal("ca.pem\ncert.pem\nkey.pem\nnames\n", (process.run("ls " .. tls)))
        assert.equal("600\n", (process.run("stat -c %a " .. tls .. "key.pem")))
        local own = process.run(("openssl x509 -noout -pubkey -in %sca.pem"):format(tls))
        assert.not_equal(own, (process.run(("openssl pkey -pubout -in %skey.pem"):format(tls))))
        local redirect = http.request(port, { path = "/filer/x?y", headers = { { "Host", "localhost:" .. port } } })
        assert.same({ 308, ("https://localhost:%d/filer/x?y"):format(tls_port) },
            { redirect.status, redirect.headers.location })
        process.stop(pid)
        ends_with_all(pid)
        -- The next run has the same certificate, which a browser may trust by then.
        local before = process.read(tls .. "cert.pem")
        process.stop((start { TLS = 1, TLS_PORT = tls_port, DEMO = 0, FILE_SERVICE_TCP_PORT = process.free_port() }))
        assert.equal(before, process.read(tls .. "cert.pem"))
    end)

    it("reports a wrong TLS or TLS_PORT in one sentence", function()
        fails({ TLS = "yes" }, '^route_native: TLS must be 0 or 1, and is "yes"$')
        fails({ TLS = 1, TLS_PORT = "https" }, '^route_native: TLS_PORT must be a port number, and is "https"$')
        local busy = assert(socket.bind("127.0.0.1", 0))
        local _, number = busy:getsockname()
        fails({ TLS = 1, TLS_PORT = number }, "^route_native: port " .. number .. " on 127.0.0.1 is in use")
        busy:close()
        fails({ TLS = 1, TLS_PORT = port }, "^route_native: port " .. port .. " on 127.0.0.1 is in use")
    end)

    it("keeps its keys, starts no demo with DEMO=0, and ends on Ctrl-C", function()
        local keys = directory .. "/run/keys/"
        local before = process.read(keys .. "signing_private.pem")
        local pid = start { DEMO = 0, FILE_SERVICE_TCP_PORT = process.free_port() }
        assert.equal(before, process.read(keys .. "signing_private.pem"))
        local minted = token.mint({ signing_private = keys .. "signing_private.pem",
            payload_public = keys .. "payload_public.pem" }, "127.0.0.1")
        local response = http.request(port, { path = "/filer/x", headers = { { "Authorization", minted } } })
        assert.equal(502, response.status)
        -- A terminal sends SIGINT to every process of the group.
        process.run("kill -INT -" .. pid)
        ends_with_all(pid)
    end)

    it("shows the control of tokens with EXAMPLE=control", function()
        local pid, log = start { EXAMPLE = "control", WORKERS = 2 }
        local printed = process.wait_until("the last line was printed", function()
            return ("\n" .. process.read(log)):match("\n(ready: .*\nborder: [^\n]+\n)")
        end)
        local function line(name)
            return assert(printed:match("\n" .. name .. ": ([^\n]+)\n"), printed)
        end
        local minted, admin = line "token", tonumber(line("metrics"):match("^http://127.0.0.1:(%d+)/metrics$"))
        assert.equal(200, http.request(port, { path = "/readyz" }).status)
        local client = assert(websocket.open(port, { path = "/websockify?" .. minted }))
        client:receive()
        client:send("hello")
        assert.equal("hello", (client:receive()))
        process.wait_until("the counters of the gateway and Prometheus had the request", function()
            local here = http.request(admin, { path = "/metrics", headers = { { "Host", "localhost" } } }).body
            local query = "/api/v1/query?query=route_native_requests_total"
            local there = http.request(tonumber(line("prometheus"):match(":(%d+)/")), { path = query }).body
            return here:find('endpoint="websockify",answer="passed",reason=""} 1', 1, true)
                and there:find('"endpoint":"websockify"', 1, true)
        end)
        assert.equal(200, http.request(admin, { path = "/", headers = { { "Host", "localhost" } } }).status)
        local output, status = process.run("cd " .. gateway.ROOT .. " && " .. line "revoke")
        assert(status == 0, output)
        local _, ending = client.connection:receive("*a")
        assert.equal("closed", ending or "closed")
        process.wait_until("the token was refused", function()
            return http.request(port, { path = "/filer/x", headers = { { "Authorization", minted } } }).status == 401
        end)
        local expected, received
        expected, received, output = readme.try("control", port, directory .. "/run")
        assert.same({ "200", "401" }, expected)
        assert.same(expected, received, output)
        assert.equal("", (process.run("grep -rlF " .. minted .. " " .. directory .. "/run")))
        process.stop(pid)
        ends_with_all(pid)
    end)

    it("uses keys of the environment, and prints no token then", function()
        local keys = token.keys(directory)
        local pid, log = start { DEMO = 0, FILE_SERVICE_TCP_PORT = process.free_port(),
            JWT_DESKTOP_SIGNING_PUBLIC_KEY = keys.signing_public,
            JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = keys.payload_private }
        local minted = token.mint(keys, "127.0.0.1")
        local response = http.request(port, { path = "/filer/x", headers = { { "Authorization", minted } } })
        assert.equal(502, response.status)
        assert.is_nil(process.read(log):find("token:", 1, true))
        process.stop(pid)
        ends_with_all(pid)
    end)

    it("reports a wrong port in one sentence", function()
        for _, bad in ipairs { "abc", "0", "65536", "99999", "-1", "80 81", "1e3" } do
            fails({ PORT = bad }, "^route_native: PORT must be a port number, and is \"")
        end
        local busy = assert(socket.bind("127.0.0.1", 0))
        local _, number = busy:getsockname()
        fails({ PORT = number }, "^route_native: port " .. number .. " on 127.0.0.1 is in use")
        busy:close()
    end)

    it("reports a wrong key in one sentence", function()
        local missing = directory .. "/missing.pem"
        fails({ DEMO = 0, JWT_DESKTOP_SIGNING_PUBLIC_KEY = missing }, "missing%.pem cannot be read")
        fails({ DEMO = 0, JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = missing }, "missing%.pem cannot be read")
        local private = directory .. "/run/keys/signing_private.pem"
        fails({ DEMO = 0, JWT_DESKTOP_SIGNING_PUBLIC_KEY = private }, "signing_private%.pem holds a private key")
        local public = directory .. "/run/keys/signing_public.pem"
        fails({ DEMO = 0, JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = public }, "signing_public%.pem does not hold a private key")
    end)

    it("lists the examples", function()
        for _, bad in ipairs { "nope", "../run", "desktop;id" } do
            fails({ EXAMPLE = bad }, "^route_native: EXAMPLE must be one of .*desktop.*, and is \"")
        end
    end)
end)
