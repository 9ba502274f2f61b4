-- The start: a missing key or dictionary is a 503 and a line in the log. With a wrong one nginx does not start, and
-- says so in one sentence.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"
local websocket = require "support.websocket"

local UNAVAILABLE = '{"code":"unavailable","message":"The service is not available, try again later"}\n'

describe("starting", function()
    local directory, keys

    setup(function()
        directory = process.temporary_directory()
        keys = token.keys(directory)
        local output, status = process.run(("openssl ecparam -genkey -noout -name prime256v1 | "
            .. "openssl pkcs8 -topk8 -nocrypt -out %s/ec_private.pem && openssl genrsa -out %s/weak_private.pem 1024 "
            .. "&& openssl rsa -in %s/weak_private.pem -pubout -out %s/weak_public.pem")
            :format(directory, directory, directory, directory))
        assert(status == 0, output)
        process.write(directory .. "/garbage.pem", "garbage\n")
        process.write(directory .. "/empty.pem", "")
    end)
    teardown(function() process.run("rm -rf " .. directory) end)

    local function start(env)
        return gateway.start { demo = false, keys = keys, env = env, workers = 1 }
    end

    local function is_unavailable(env, sentence)
        local gate = assert(start(env))
        local log = gate:error_log()
        assert.truthy(log:find(sentence .. "; desktop endpoints answer 503", 1, true), log)
        assert.equal(200, gate:get("/healthz").status)
        for _, path in ipairs { "/filer/x", "/websockify", "/terminals/x/size" } do
            for _, text in ipairs { "x.y.z", "" } do
                local response = gate:request { path = path, headers = {
                    { "Authorization", "Bearer " .. text }, { "Upgrade", "websocket" }, { "Connection", "Upgrade" } } }
                assert.same({ 503, UNAVAILABLE, "5", "no-store" }, { response.status, response.body,
                    response.headers["retry-after"], response.headers["cache-control"] })
                assert.is_nil(response.headers["www-authenticate"])
            end
        end
        gate:stop()
    end

    -- nginx must not start, and must print one sentence of this project.
    local function refuses(env, pattern)
        local gate, said = start(env)
        if gate then
            gate:stop()
        end
        assert.is_nil(gate)
        local sentence = said:match("route_native: ([^\n]*)")
        assert.truthy(sentence and sentence:find(pattern), said)
        return said
    end

    it("answers 503 while a key is not configured", function()
        is_unavailable({ JWT_DESKTOP_SIGNING_PUBLIC_KEY = false },
            "route_native: JWT_DESKTOP_SIGNING_PUBLIC_KEY is not set")
        is_unavailable({ JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = false },
            "route_native: JWT_DESKTOP_PAYLOAD_PRIVATE_KEY is not set")
    end)

    it("answers 503 while a key file is missing, and serves after a reload with one", function()
        local late = directory .. "/late.pem"
        is_unavailable({ JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = late },
            "route_native: the key file " .. late .. " cannot be read: No such file or directory (os error 2)")
        local gate = assert(start { JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = late })
        assert.equal(503, gate:get("/filer/x").status)
        process.run(("cp %s %s"):format(keys.payload_private, late))
        gate:reload()
        assert.equal(401, gate:get("/filer/x").status)
        gate:stop()
    end)

    it("answers 503 without the dictionary", function()
        local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
            :gsub("lua_shared_dict targetmap[^\n]*\n", "")
        process.write(directory .. "/no_dictionary.conf", site)
        is_unavailable({ SITE = directory .. "/no_dictionary.conf" },
            "route_native: lua_shared_dict targetmap is missing")
    end)

    it("refuses keys of the wrong kind, and names the file", function()
        local function key_file(name)
            return "^the key file " .. (directory .. "/" .. name):gsub("%p", "%%%0") .. " "
        end
        for name, what in pairs {
            ["ec_private.pem"] = "is not an RSA private key of 2048", ["garbage.pem"] = "is not PEM",
            ["empty.pem"] = "is not PEM", ["signing_public.pem"] = "does not hold a private key",
            ["weak_private.pem"] = "is not an RSA private key of 2048",
        } do
            refuses({ JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = directory .. "/" .. name }, key_file(name) .. what)
        end
        for name, what in pairs {
            ["signing_private.pem"] = "holds a private key", ["garbage.pem"] = "is neither PEM nor a JWK",
            ["empty.pem"] = "is neither PEM nor a JWK", ["weak_public.pem"] = "",
        } do
            refuses({ JWT_DESKTOP_SIGNING_PUBLIC_KEY = directory .. "/" .. name }, key_file(name) .. what)
        end
    end)

    -- Makes a certificate of the signing key. Times are days from now.
    local function certificate(name, from, until_)
        local path = directory .. "/" .. name
        local output, status = process.run(("/usr/bin/python3 -c %s %s %s %d %d"):format(process.quoted([[
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
day = lambda text: datetime.datetime.utcnow() + datetime.timedelta(days=int(text))
made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    .not_valid_before(day(sys.argv[3])).not_valid_after(day(sys.argv[4])).sign(key, hashes.SHA256()))
open(sys.argv[2], "wb").write(made.public_bytes(serialization.Encoding.PEM))]]), keys.signing_private, path, from,
            until_))
        assert(status == 0, output)
        return path
    end

    it("names a certificate that is not valid now, and verifies tokens with it", function()
        local good = token.mint(keys, "127.0.0.1")
        for name, row in pairs {
            expired = { -400, -3, " expired on " .. os.date("!%Y-%m-%d", os.time() - 3 * 86400) },
            early = { 3, 400, " is not valid before " .. os.date("!%Y-%m-%d", os.time() + 3 * 86400) },
            valid = { -3, 400 },
        } do
            local path = certificate(name .. ".pem", row[1], row[2])
            local gate = assert(start { JWT_DESKTOP_SIGNING_PUBLIC_KEY = path,
                FILE_SERVICE_TCP_PORT = process.free_port() })
            assert.equal(502, gate:get("/filer/x", good).status)
            local log = gate:error_log()
            gate:stop()
            assert.equal(row[3] and 1 or 0, select(2, log:gsub("the certificate of key", "")), log)
            local sentence = row[3] and ("route_native: the key file %s: the certificate of key 1%s; tokens are still "
                .. "verified with it"):format(path, row[3])
            assert.truthy(not sentence or log:find(sentence, 1, true), log)
        end
    end)

    it("warns of a variable that looks like a setting, and of no other", function()
        local known = process.read(gateway.ROOT .. "/conf/runtime.sh"):match("\nSETTINGS='([^']*)'")
        local documented, count = process.read(gateway.ROOT .. "/docs/reference/environment.md"), 0
        for names in documented:gmatch("\n| ([^|]+) |") do
            for name in names:gmatch("`ROUTE_([A-Z_]+)`") do
                assert.truthy((" " .. known:gsub("\n", " ") .. " "):find(" " .. name .. " ", 1, true), name)
                count = count + 1
            end
        end
        assert.is_true(count > 30)
        for name, meant in pairs {
            ROUTE_JWT_LEWAY = "ROUTE_JWT_LEEWAY", ROUTE_LISTNE = "ROUTE_LISTEN", ROUTE_WORKER = "ROUTE_WORKERS",
            ROUTE_Listen = "ROUTE_LISTEN", ROUTE_jwt_leeway = "ROUTE_JWT_LEEWAY", ROUTE_TLS_CERTIFICATE_KEYS =
            "ROUTE_TLS_CERTIFICATE_KEY", ROUTE_JWT_LEEWAY = "", ROUTE_PORT = "", ROUTE_SERVICE_HOST = "",
            ROUTE_SERVICE_PORT = "", ROUTE_PORT_80_TCP_ADDR = "", ROUTE_ = "", ROUTE_X = "", ROUTE_COLOR = "",
        } do
            local output, status = process.run(process.environment { [name] = "5", ROUTE_RUN_DIR = directory .. "/run" }
                .. " sh " .. gateway.ROOT .. "/conf/runtime.sh " .. directory .. "/runtime")
            local expected = meant ~= "" and ("route_native: %s is not a setting, and is ignored; %s is one\n")
                :format(name, meant) or ""
            assert.same({ 0, expected }, { status, output }, name)
        end
    end)

    it("keeps the old keys when a reload finds one of the wrong kind", function()
        local own = directory .. "/own.pem"
        process.run(("cp %s %s"):format(keys.signing_public, own))
        local gate = assert(start { JWT_DESKTOP_SIGNING_PUBLIC_KEY = own, FILE_SERVICE_TCP_PORT = process.free_port() })
        local good = gate:mint("127.0.0.1")
        -- 502, because there is no desktop: the token was accepted.
        assert.equal(502, gate:get("/filer/x", good).status)
        process.write(own, "garbage")
        process.signal(gate.pid, "HUP")
        process.wait_until("nginx refused the reload", function()
            return gate:error_log():find("is neither PEM nor a JWK", 1, true)
        end)
        assert.equal(502, gate:get("/filer/x", good).status)
        gate:stop()
    end)

    for setting, case in pairs {
        ["ROUTE_JWT_LEEWAY=abc"] = "^ROUTE_JWT_LEEWAY must be a whole number of seconds from 0 to 300$",
        ["ROUTE_JWT_LEEWAY=-1"] = "^ROUTE_JWT_LEEWAY must be a whole number of seconds from 0 to 300$",
        ["ROUTE_JWT_LEEWAY=1.5"] = "^ROUTE_JWT_LEEWAY must be a whole number of seconds from 0 to 300$",
        ["ROUTE_JWT_LEEWAY=301"] = "^ROUTE_JWT_LEEWAY must be a whole number of seconds from 0 to 300$",
        ["ROUTE_JWT_LEEWAY=nan"] = "^ROUTE_JWT_LEEWAY must be a whole number",
        ["ROUTE_CACHE_ENTRIES=1e99"] = "^ROUTE_CACHE_ENTRIES must be a whole number",
        ["ROUTE_PAYLOAD_PADDING=x"] = '^ROUTE_PAYLOAD_PADDING must be "pkcs1v15", "oaep%-sha1" or "oaep%-sha256"',
        ["ROUTE_TARGET_SUFFIX=a b"] = "^ROUTE_TARGET_SUFFIX must be a host name",
        ["ROUTE_TARGET_SUFFIX=127.0.0.1"] = "^ROUTE_TARGET_SUFFIX must be a host name",
    } do
        it("refuses " .. setting, function()
            local name, value = setting:match("^(.-)=(.*)$")
            assert.is_nil(refuses({ [name] = value }, case):find("traceback", 1, true))
        end)
    end

    it("serves IPv4 and IPv6 on [::], and clients of IPv4 keep their addresses", function()
        local gate = assert(gateway.start { demo = false, keys = keys, listen = "[::]:PORT" })
        local function asks(address)
            return (process.run(("curl -gsS http://%s:%d/healthz"):format(address, gate.port)))
        end
        assert.same({ "OK\n", "OK\n" }, { asks("127.0.0.1"), asks("[::1]") })
        gate:get("/missing")
        assert.equal("127.0.0.1", gate:logged("/missing").client)
        gate:stop()
    end)

    describe("from the environment", function()
        -- Runs conf/runtime.sh alone. Returns its output and status.
        local function runtime(variables)
            local out = process.temporary_directory()
            variables.ROUTE_RUN_DIR = variables.ROUTE_RUN_DIR or out
            local said, status = process.run(process.environment(variables) .. " sh " .. gateway.ROOT
                .. "/conf/runtime.sh " .. out .. "/runtime")
            process.run("rm -rf " .. out)
            return said, status
        end

        -- One of the files that conf/runtime.sh writes. `resolv_conf`: the text of /etc/resolv.conf.
        local function written(file, variables, resolv_conf)
            local out = process.temporary_directory()
            process.write(out .. "/resolv.conf", resolv_conf or "")
            variables.ROUTE_RUN_DIR = out
            local script = ("mount --bind %s/resolv.conf /etc/resolv.conf && %s sh %s/conf/runtime.sh %s")
                :format(out, process.environment(variables), gateway.ROOT, out)
            local said, status = process.run("unshare --mount sh -c " .. process.quoted(script))
            local text = process.read(out .. "/" .. file)
            process.run("rm -rf " .. out)
            return status == 0 and text or said
        end

        -- `[::]:PORT` is two sockets: in one for both, IPv4 clients would have addresses like ::ffff:192.0.2.1.
        for listen, expected in pairs {
            ["80"] = { "80" }, ["*:80"] = { "*:80" }, ["127.0.0.1:80"] = { "127.0.0.1:80" },
            ["[::]:8080"] = { "[::]:8080", "0.0.0.0:8080" },
            ["10.0.0.1:80,10.0.0.2:80"] = { "10.0.0.1:80", "10.0.0.2:80" },
            [" 10.0.0.1:80 ,  [::1]:81, "] = { "10.0.0.1:80", "[::1]:81" },
            ["80 [::]:80"] = { "80", "[::]:80" }, ["[::]:80,0.0.0.0:80"] = { "[::]:80", "0.0.0.0:80" },
            ["[::]:80 127.0.0.1:80"] = { "[::]:80", "127.0.0.1:80" },
            ["[::]:80,180"] = { "[::]:80", "0.0.0.0:80", "180" }, ["80,80"] = { "80" },
            ["localhost:80"] = { "localhost:80" },
        } do
            it("listens where ROUTE_LISTEN says: " .. listen, function()
                local lines = {}
                for i, address in ipairs(expected) do
                    lines[i] = "listen " .. address .. ";\n"
                end
                assert.equal(table.concat(lines), written("listen.conf", { ROUTE_LISTEN = listen }))
            end)
        end

        -- Returns what conf/runtime.sh writes for connections and files, and says, where a shell command has limited
        -- the open files. The command loses the right to raise the limit.
        local function limits(hard, variables)
            local out = process.temporary_directory()
            variables.ROUTE_RUN_DIR = out
            local said, status = process.run(("sh -c 'ulimit -n %d; exec setpriv --bounding-set -sys_resource "
                .. "--inh-caps -sys_resource %s sh %s/conf/runtime.sh %s/runtime'"):format(hard,
                process.environment(variables):gsub("'", '"'), gateway.ROOT, out))
            local connections = process.read(out .. "/runtime/events.conf"):match("^worker_connections (%d+);\n$")
            local files = process.read(out .. "/runtime/main.conf"):match("\nworker_rlimit_nofile (%d+);\n")
            process.run("rm -rf " .. out)
            return { connections, files, said, status }
        end

        it("asks for two files a connection and 512 more, and is content with one", function()
            assert.same({ "1000", "2512", "", 0 }, limits(2512, { ROUTE_WORKER_CONNECTIONS = "1000" }))
            assert.same({ "1000", "2511", "", 0 }, limits(2511, { ROUTE_WORKER_CONNECTIONS = "1000" }))
            assert.same({ "1000", "1512", "", 0 }, limits(1512, { ROUTE_WORKER_CONNECTIONS = "1000" }))
        end)

        it("lowers the connections to the open files that the system grants, and says so once", function()
            local sentence = "route_native: the system grants a worker %d open files, so ROUTE_WORKER_CONNECTIONS is "
                .. "%d in place of %d: raise the hard limit of ulimit -n\n"
            assert.same({ "999", "1511", sentence:format(1511, 999, 1000), 0 },
                limits(1511, { ROUTE_WORKER_CONNECTIONS = "1000" }))
            assert.same({ "512", "1024", sentence:format(1024, 512, 20000), 0 },
                limits(1024, { ROUTE_WORKER_CONNECTIONS = "20000" }))
            assert.same({ "150", "300", sentence:format(300, 150, 16384), 0 }, limits(300, {}))
            assert.equal("route_native: a worker needs 256 open files, and the system grants 255: raise ulimit -n\n",
                limits(255, {})[3])
        end)

        it("gives the workers that many connections, and their files", function()
            local gate = assert(gateway.start { env = { ROUTE_WORKER_CONNECTIONS = "100" }, workers = 1 })
            local limit = process.read("/proc/" .. gate:workers()[1] .. "/limits"):match("Max open files%s+(%d+)")
            assert.equal("712", limit)
            local open, opened = 0, {}
            local headers = { { "Authorization", "Bearer " .. gate:mint("127.0.0.1") } }
            for i = 1, 60 do
                opened[i] = websocket.open(gate.port, { path = "/websockify", headers = headers })
                open = open + (opened[i] and 1 or 0)
            end
            assert.is_true(open > 40 and open < 50, "open: " .. open)
            assert.truthy(gate:error_log():find("100 worker_connections are not enough", 1, true))
            gate:stop()
        end)

        it("refuses a number of connections that is none", function()
            for _, value in ipairs { "99", "500001", "1000000", "0100", "many", "-5", "1e3", "100;" } do
                assert.equal(('route_native: ROUTE_WORKER_CONNECTIONS must be a number from 100 to 500000, and is "%s"'
                    .. "\n"):format(value), (runtime { ROUTE_WORKER_CONNECTIONS = value }))
            end
        end)

        it("refuses an address for the admin API that the website has too", function()
            for listen, admin in pairs { ["80, 127.0.0.1:81"] = "127.0.0.1:81", ["[::]:80"] = "0.0.0.0:80" } do
                assert.equal(("route_native: ROUTE_ADMIN_LISTEN must be an address of its own, and ROUTE_LISTEN has "
                    .. '"%s" too\n'):format(admin), (runtime { ROUTE_LISTEN = listen, ROUTE_ADMIN_LISTEN = admin }))
            end
        end)

        it("names ROUTE_LISTEN and the invalid part", function()
            for listen, part in pairs { [","] = ",", ["80,http"] = "http", ["80;81"] = "80;81" } do
                assert.equal(('route_native: ROUTE_LISTEN must be a port, or an address and a port, and is "%s"\n')
                    :format(part), (runtime { ROUTE_LISTEN = listen }))
            end
            assert.equal('route_native: ROUTE_LISTEN has an invalid port: "[::]:0"\n',
                (runtime { ROUTE_LISTEN = "80,[::]:0" }))
        end)

        for resolv_conf, expected in pairs {
            ["nameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:5\nnameserver 10.0.0.2\n"] =
                "10.0.0.1 [fd00::1] 10.0.0.2",
            ["nameserver 10.0.0.1\nnameserver 10.0.0.1\n"] = "10.0.0.1",
            ["nameserver fe80::1%eth0\nnameserver 10.0.0.2\n"] = "10.0.0.2",
            ["nameserver fe80::1%eth0\n"] = "[fe80::1]", ["search x\n# nameserver 10.0.0.1\nnameserver\n"] = false,
        } do
            it("asks the name servers of resolv.conf: " .. (expected or "none"), function()
                for value, parameters in pairs { [""] = "", ["ipv6=off"] = " ipv6=off" } do
                    local text = written("http.conf", { NAMESERVER_RESOLVER = value }, resolv_conf)
                    local line = expected and "resolver " .. expected .. parameters .. ";"
                    assert.equal(line or nil, text:match("resolver [^\n]*"))
                end
            end)
        end

        it("asks the name servers of NAMESERVER_RESOLVER", function()
            for value, expected in pairs {
                ["10.0.0.1"] = "10.0.0.1", ["10.0.0.1, [::1]:53 dns.test"] = "10.0.0.1 [::1]:53 dns.test",
                ["ipv6=off,10.0.0.1"] = "10.0.0.1 ipv6=off", ["10.0.0.1 valid=30s ipv6=off"] =
                "10.0.0.1 valid=30s ipv6=off",
            } do
                local text = written("http.conf", { NAMESERVER_RESOLVER = value }, "nameserver 192.0.2.1\n")
                assert.equal("resolver " .. expected .. ";", text:match("resolver [^\n]*"))
            end
            for _, value in ipairs { "10.0.0.1 ipv6=maybe", "status_zone=x", "10.0.0.1 valid=-1", "::1" } do
                local said, status = runtime { NAMESERVER_RESOLVER = value }
                assert.equal(1, status)
                assert.truthy(said:find("^route_native: NAMESERVER_RESOLVER must be [^\n]*\n$"), said)
            end
        end)

        it("accepts well-formed values", function()
            assert.same({ "", 0 }, { runtime { NODE_NAME = "a.b-c_d:1", PYOS_FQDN = "[::1]", ROUTE_LISTEN = "*:80",
                ROUTE_CONSOLE_UPSTREAM = "console.svc:8080", NAMESERVER_RESOLVER = "[::1]:53" } })
        end)

        local HOSTILE = { "a; return 200", "'\"", "a\nb", "{}", "$host b", "a\tb", "a\rb" }
        local VARIABLES = {
            "ROUTE_WORKERS", "ROUTE_RUN_DIR", "ROUTE_ERROR_LOG", "ROUTE_LOG_LEVEL", "ROUTE_USER", "ROUTE_MODULES_DIR",
            "NAMESERVER_RESOLVER", "ROUTE_ACCESS_LOG", "ROUTE_LUA_PATH", "ROUTE_LUA_CPATH", "NODE_NAME",
            "ROUTE_ACME_ROOT", "PYOS_FQDN", "PYOS_SERVICE_PORT", "ROUTE_CONSOLE_UPSTREAM", "ROUTE_WEBSITE_UPSTREAM",
            "ROUTE_SPEEDTEST_UPSTREAM", "FILE_SERVICE_TCP_PORT", "ROUTE_LISTEN",
            "ROUTE_TRUSTED_PROXIES", "ROUTE_UPSTREAM_PATHS",
        }
        local PATHS = { ROUTE_RUN_DIR = 1, ROUTE_ERROR_LOG = 1, ROUTE_MODULES_DIR = 1, ROUTE_ACCESS_LOG = 1,
            ROUTE_LUA_PATH = 1, ROUTE_LUA_CPATH = 1, ROUTE_ACME_ROOT = 1 }

        for _, name in ipairs(VARIABLES) do
            it("refuses hostile values of " .. name, function()
                for _, value in ipairs(HOSTILE) do
                    -- In Lua's own paths `;` separates templates.
                    if not (value == "a; return 200" and name:find("^ROUTE_LUA_C?PATH$")) then
                        local prefix = PATHS[name] and "/tmp/" or ""
                        local said, status = runtime { [name] = prefix .. value }
                        assert.equal(1, status, name .. "=" .. value .. ": " .. said)
                        assert.truthy(said:find("^route_native: " .. name .. " must be [^\n]*"), said)
                    end
                end
            end)
        end

        it("refuses wrong ports and log levels", function()
            for _, port in ipairs { "0", "65536", "99999", "-1", "8e3", "0x50", "http" } do
                local said, status = runtime { FILE_SERVICE_TCP_PORT = port }
                local expected = 'route_native: FILE_SERVICE_TCP_PORT must be a port number, and is "%s"\n'
                assert.equal(expected:format(port), said)
                assert.equal(1, status)
            end
            assert.equal(1, select(2, runtime { ROUTE_LOG_LEVEL = "loud" }))
        end)
    end)

    describe("without the right library", function()
        -- A library that has one export.
        local function fake(name, source)
            local place = directory .. "/" .. name
            process.run("mkdir -p " .. place)
            local output, status = process.run(("printf %%s %s | cc -shared -fPIC -x c -o %s/libroute_native.so -")
                :format(process.quoted(source), place))
            assert(status == 0, output)
            return place .. "/?.so"
        end

        it("says where it looked for the library", function()
            refuses({ ROUTE_LUA_CPATH = directory .. "/nowhere/?.so" },
                "^libroute_native.so is neither next to route_native.lua, nor on lua_package_cpath, nor known")
        end)

        it("reports a library of another version, or another library", function()
            refuses({ ROUTE_LUA_CPATH = fake("old", "unsigned rn_abi_version(void) { return 0; }") },
                "/old/libroute_native.so has ABI version 0, and these Lua modules need %d+; install both from one")
            refuses({ ROUTE_LUA_CPATH = fake("stranger", "int stranger(void) { return 0; }") },
                "/stranger/libroute_native.so has ABI version unknown, and these Lua modules need %d+")
        end)

        it("reports a file that is no library", function()
            process.run("mkdir -p " .. directory .. "/text")
            process.write(directory .. "/text/libroute_native.so", "this is text")
            refuses({ ROUTE_LUA_CPATH = directory .. "/text/?.so" }, "/text/libroute_native.so cannot be loaded")
        end)

        it("says that a library is another machine's", function()
            local cpath = fake("foreign", "int stranger(void) { return 0; }")
            local path = cpath:gsub("%?", "libroute_native")
            local library = process.read(path)
            local other, machine = "\62\0", "x64"
            if library:sub(19, 20) == other then
                other, machine = "\183\0", "arm64"
            end
            process.write(path, library:sub(1, 18) .. other .. library:sub(21))
            refuses({ ROUTE_LUA_CPATH = cpath }, "cannot be loaded: it is built for " .. machine .. ", and this is ")
        end)
    end)

    it("refuses targets outside of ROUTE_TARGET_SUFFIX", function()
        local gate = assert(start { ROUTE_TARGET_SUFFIX = "desktop.test",
            NAMESERVER_RESOLVER = "127.0.0.1:" .. process.free_port() })
        local minted = token.mint_all(keys, {
            { target = "pod.desktop.test" }, { target = "desktop.test" }, { target = "evildesktop.test" },
            { target = "127.0.0.1" }, { target = "pod.desktop.test.evil" },
        })
        -- The name does not resolve here, but the token was accepted.
        assert.equal(502, gate:get("/filer/x", minted[1]).status)
        for i = 2, #minted do
            assert.equal(401, gate:get("/filer/x", minted[i]).status)
        end
        gate:stop()
    end)

    it("decrypts only with the padding of ROUTE_PAYLOAD_PADDING", function()
        local paddings = { "pkcs1v15", "oaep-sha1", "oaep-sha256" }
        local minted = token.mint_all(keys, {
            { target = "127.0.0.1", padding = paddings[1] }, { target = "127.0.0.1", padding = paddings[2] },
            { target = "127.0.0.1", padding = paddings[3] },
        })
        for i, padding in ipairs(paddings) do
            local gate = assert(start { ROUTE_PAYLOAD_PADDING = padding, FILE_SERVICE_TCP_PORT = process.free_port() })
            for j, text in ipairs(minted) do
                assert.equal(i == j and 502 or 401, gate:get("/filer/x", text).status, padding .. " " .. paddings[j])
            end
            gate:stop()
        end
    end)
end)

-- The library without the shipped conf/: a user's own configuration with nothing but the `require`.
describe("a configuration without the shipped conf/", function()
    local CONF = [[
%s
daemon off; worker_processes 1; pid nginx.pid; error_log error.log notice;
env JWT_DESKTOP_SIGNING_PUBLIC_KEY; env JWT_DESKTOP_PAYLOAD_PRIVATE_KEY;
events {}
http {
    access_log off;
    lua_package_path "%s/lua/?.lua;;";
    lua_package_cpath "%s/target/release/?.so;;";
    lua_shared_dict targetmap 1m;
    init_by_lua_block { require("route_native").setup() }
    server {
        listen 127.0.0.1:%d;
        location /rewrite {
            set $target "";
            rewrite_by_lua_block { require("route_native").resolve() }
            proxy_pass http://$target:%d;
        }
        location /access {
            set $target "";
            access_by_lua_block { require("route_native").resolve() }
            proxy_pass http://$target:%d;
        }
        location /lua {
            client_body_buffer_size 64k;
            content_by_lua_block {
                local route_native, cjson = require("route_native"), require("cjson")
                ngx.req.read_body()
                local call = cjson.decode(ngx.req.get_body_data())
                local ok, value, reason = pcall(route_native[call.name], call.argument)
                ngx.print(cjson.encode { ok = ok, value = value, reason = reason, version = route_native._VERSION })
            }
        }
    }
}
]]
    local running, directory, port, pid, good

    setup(function()
        running = assert(gateway.start())
        good = running:mint("127.0.0.2", { claims = { exp = os.time() + 300, sub = "me", roles = { "a", "b" } } })
        directory, port = process.temporary_directory(), process.free_port()
        local nginx = process.run(". " .. gateway.ROOT .. "/scripts/nginx.sh; echo $NGINX_BINARY,$ROUTE_MODULES_DIR")
        local binary, modules = nginx:match("^([^,]*),([^\n]*)")
        local load = modules == "" and ""
            or ("load_module %s/ndk_http_module.so; load_module %s/ngx_http_lua_module.so;"):format(modules, modules)
        if process.run("id -u") == "0\n" then
            -- The checkout may be readable for its owner only.
            load = load .. " user root;"
        end
        local desktop = running.environment.FILE_SERVICE_TCP_PORT
        process.write(directory .. "/nginx.conf", CONF:format(load, gateway.ROOT, gateway.ROOT, port, desktop, desktop))
        pid = process.start(("%s %s -e %s/error.log -p %s -c %s/nginx.conf"):format(process.environment {
            JWT_DESKTOP_SIGNING_PUBLIC_KEY = running.keys.signing_public,
            JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = running.keys.payload_private,
        }, binary, directory, directory, directory), directory .. "/out")
        process.wait_until("nginx listened", function() return process.accepts(port) or not process.alive(pid) end)
        assert(process.alive(pid), process.read(directory .. "/error.log"))
    end)
    teardown(function()
        process.stop(pid)
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    local function call(name, argument)
        return cjson.decode(http.request(port, { path = "/lua", method = "POST",
            body = cjson.encode { name = name, argument = argument } }).body)
    end

    for _, path in ipairs { "/rewrite", "/access" } do
        it("reaches the desktop with resolve() in " .. path, function()
            for _ = 1, 2 do
                local headers = { { "Authorization", good } }
                local response = http.request(port, { path = path .. "/x?a=1", headers = headers })
                assert.equal(200, response.status)
                assert.equal(path .. "/x?a=1", cjson.decode(response.body).path)
            end
            local asked = http.request(port, { path = path .. "/x?a=1&jwt_token=" .. good .. "&b=2" })
            assert.same({ 200, path .. "/x?a=1&b=2" }, { asked.status, cjson.decode(asked.body).path })
            local bad = { { "Authorization", good .. "x" } }
            local refused = http.request(port, { path = path, headers = bad })
            assert.equal(401, refused.status)
            assert.equal('Bearer error="invalid_token"', refused.headers["www-authenticate"])
            assert.equal("Bearer", http.request(port, { path = path }).headers["www-authenticate"])
        end)
    end

    it("verifies a token in Lua: its claims, or nil and the reason", function()
        local answer = call("verify", good)
        assert.same({ true, "me", { "a", "b" } }, { answer.ok, answer.value.sub, answer.value.roles })
        assert.truthy(answer.version:match("^%d+%.%d+%.%d+$"))
        for text, reason in pairs {
            ["x"] = "token_malformed", [""] = "token_missing",
            [good:gsub("[^.]*$", "AAAA")] = "signature_invalid", [("a"):rep(17000)] = "token_too_large",
        } do
            answer = call("verify", text)
            assert.same({ true, cjson.null, reason }, { answer.ok, answer.value or cjson.null, answer.reason })
        end
    end)

    it("decrypts a hash in Lua: the target, or nil and the reason", function()
        assert.equal("127.0.0.2", call("decrypt", call("verify", good).value.hash).value)
        for _, text in ipairs { "", "x", ("A"):rep(5000) } do
            assert.equal("payload_invalid", call("decrypt", text).reason)
        end
    end)

    it("raises an error for an argument that is no string", function()
        for _, name in ipairs { "verify", "decrypt" } do
            local answer = call(name, 7)
            assert.is_false(answer.ok)
            assert.truthy(answer.value:find("route_native: " .. name .. "() takes a string", 1, true))
        end
    end)
end)
