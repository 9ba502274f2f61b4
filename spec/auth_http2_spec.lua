-- The example over HTTPS, with HTTP/1.1 and with HTTP/2. lua-nginx-module before 0.10.28 (OpenResty 1.27.1.2)
-- has no subrequests over HTTP/2: a login is a 505 at once there, and everything else works.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

local LOGIN = '{"username":"demo","password":"demo"}'

describe("the auth example over HTTPS", function()
    local running, directory

    -- Runs curl on the server's socket, for paths that share one connection. Returns an answer for each path:
    -- { status, body, connects }.
    local function curl(version, arguments, ...)
        local urls = {}
        for i, path in ipairs { ... } do
            urls[i] = ("'https://gateway.test%s'"):format(path)
        end
        local output, status = process.run(("curl -sS --max-time 60 --%s --cacert %s/cert.pem --unix-socket %s/tls "
            .. "-w '\30%%{http_version} %%{http_code} %%{num_connects}\29' %s %s")
            :format(version, directory, directory, arguments, table.concat(urls, " ")))
        assert.equal(0, status, output)
        local answers = {}
        for body, spoken, code, connects in output:gmatch("([^\30]*)\30(%S+) (%d+) (%d+)\29") do
            assert.equal(version == "http2" and "2" or "1.1", spoken)
            answers[#answers + 1] = { status = tonumber(code), body = body, connects = tonumber(connects) }
        end
        assert.equal(select("#", ...), #answers, output)
        return unpack(answers)
    end

    local function bearer(token)
        return "-H 'Authorization: Bearer " .. token .. "'"
    end

    -- Returns the login's token, or nil if the answer requires HTTP/1.1.
    local function login(version, path, arguments)
        local answer = curl(version, arguments or ("-d '" .. LOGIN .. "'"), path)
        if version == "http2" and answer.status == 505 then
            return nil, answer
        end
        assert.equal(200, answer.status, answer.body)
        return cjson.decode(answer.body).token, answer
    end

    setup(function()
        directory = auth.directory()
        local output, status = process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            .. "-days 2 -subj /CN=gateway.test -addext subjectAltName=DNS:gateway.test "
            .. "-keyout %s/key.pem -out %s/cert.pem")
            :format(directory, directory))
        assert(status == 0, output)
        -- A socket file: another process might take a port.
        local site = process.read(gateway.ROOT .. "/examples/auth/site.conf"):gsub("include runtime/listen.conf;",
            ("%%0 listen unix:%s/tls ssl http2; ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;")
                :format(directory, directory, directory))
        running = assert(auth.start(directory, site))
    end)
    teardown(function() running:stop() end)

    it("logs in and checks over HTTP/1.1", function()
        for _, path in ipairs { "/login", "/reference/login" } do
            local token = login("http1.1", path)
            assert.equal(200, curl("http1.1", bearer(token), "/check").status)
        end
        local first, second = curl("http1.1", bearer(login("http1.1", "/login")), "/secure", "/check")
        assert.same({ 200, 200, 0 }, { first.status, second.status, second.connects })
    end)

    it("checks over HTTP/2 as over HTTP/1.1", function()
        local token = login("http1.1", "/login")
        local raw = "-H 'Authorization: " .. token .. "'"
        for _, header in ipairs { raw, bearer(token) } do
            local check, secure = curl("http2", header, "/check", "/secure")
            assert.same({ 200, "hello world !\n", 200 }, { check.status, check.body, secure.status })
            local headers = cjson.decode(secure.body).headers
            assert.same({ "demo", nil }, { headers["x-claim-sub"], headers.authorization })
            assert.equal(0, secure.connects)
        end
        local claims = { iss = "auth-example", exp = os.time() + 60, iat = os.time() }
        for header, statuses in pairs {
            [bearer(token .. "x")] = { 403, 401 }, ["-H 'X: y'"] = { 403, 401 },
            ["-H 'Authorization: Basic eDp5'"] = { 403, 401 },
            [bearer(auth.token(directory, claims))] = { 200, 403 },
            [bearer(auth.token(directory, claims, ("f"):rep(32)))] = { 403, 401 },
            [raw .. " " .. raw] = { 403, 401 }, [bearer(("a"):rep(17000))] = { 403, 401 },
        } do
            local check, secure = curl("http2", header, "/check", "/secure")
            -- nginx itself answers 400 to a second Authorization header, and newer ones do so over HTTP/2 too.
            if header == raw .. " " .. raw and check.status == 400 then
                statuses = { 400, 400 }
            end
            assert.same(statuses, { check.status, secure.status }, header:sub(1, 100))
        end
    end)

    it("logs in over HTTP/2 or answers 505 at once, and the connection stays open", function()
        for _, path in ipairs { "/login", "/reference/login" } do
            local token, answer = login("http2", path)
            if token then
                assert.equal(200, curl("http2", bearer(token), "/check").status)
            else
                assert.is_truthy(answer.body:find("Log in over HTTP/1.1", 1, true))
            end
            -- Three logins in a row on one connection.
            local first, second, third = curl("http2", "-d '" .. LOGIN .. "'", path, path, path)
            assert.same({ answer.status, answer.status, 0, answer.status, 0 },
                { first.status, second.status, second.connects, third.status, third.connects })
        end
        assert.is_nil(running:error_log():find("http2 requests are not supported", 1, true))
    end)

    it("answers every login over HTTP/2, whatever its body", function()
        process.write(directory .. "/large", ("x"):rep(60000))
        process.write(directory .. "/too_large", ("x"):rep(70000))
        local _, able = login("http2", "/login")
        local function statuses(...)
            local list = { ... }
            return able.status == 505 and { [505] = true, [413] = list[1] == 413 or nil } or { [list[1]] = true,
                [list[2] or list[1]] = true }
        end
        for arguments, allowed in pairs {
            ["-X POST"] = statuses(400), ["-d '{'"] = statuses(400), ["-d '[]'"] = statuses(400),
            ["--data-binary @" .. directory .. "/large"] = statuses(400),
            ["--data-binary @" .. directory .. "/too_large"] = statuses(413),
            -- The body has no length. The module before 0.10.28 cannot read such a body over HTTP/2.
            ["-X POST -T - < " .. directory .. "/large"] = statuses(400, 411),
            ["-X POST -T - < /dev/null"] = statuses(400, 411),
        } do
            local answer = curl("http2", arguments, "/login")
            assert.is_truthy(allowed[answer.status], arguments .. " gave " .. answer.status)
        end
        local get = curl("http2", "", "/login")
        assert.equal(405, get.status)
    end)
end)
