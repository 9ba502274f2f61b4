-- The admin API over HTTPS: who may read, and what a change needs when client certificates are required.

local gateway = require "support.gateway"
local process = require "support.process"
local token = require "support.token"

local MAKE_CERTIFICATES = [[
set -e
new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
for ca in ca other_ca; do
    openssl req -x509 $new -subj /CN=$ca -days 1 -keyout $ca.key -out $ca.pem
done
sign() { # NAME SUBJECT CA EXTENSIONS
    openssl req $new -subj "$2" -keyout $1.key -out $1.csr
    printf "$4" > $1.ext
    openssl x509 -req -in $1.csr -CA $3.pem -CAkey $3.key -CAcreateserial -days 1 -extfile $1.ext -out $1.pem
}
sign server /CN=gateway ca 'subjectAltName=IP:127.0.0.1\n'
sign client '/O=Ops/CN=laptop "7"' ca 'extendedKeyUsage=clientAuth\n'
sign foreign /CN=laptop other_ca 'extendedKeyUsage=clientAuth\n'
]]

describe("the admin API over HTTPS", function()
    local files, keys, admin_token

    setup(function()
        files = process.temporary_directory()
        local output, status = process.run("cd " .. files .. "\n" .. MAKE_CERTIFICATES)
        assert(status == 0, output)
        keys = token.keys(files)
        local claims = { sub = "root", scope = "route_native.admin", exp = os.time() + 3600, iat = os.time() }
        admin_token = token.mint_all(keys, { { claims = claims, key = keys.other_private } })[1]
        process.write(files .. "/admin_token", admin_token)
    end)
    teardown(function() process.run("rm -rf " .. files) end)

    local function start(env)
        local port = process.free_port()
        local variables = {
            ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. port, ROUTE_ADMIN_KEY = keys.other_public,
            ROUTE_ADMIN_TLS_CERTIFICATE = files .. "/server.pem",
            ROUTE_ADMIN_TLS_CERTIFICATE_KEY = files .. "/server.key",
        }
        for name, value in pairs(env) do
            variables[name] = value
        end
        local running, err = gateway.start { demo = false, keys = keys, env = variables }
        return running and setmetatable({ address = "https://127.0.0.1:" .. port }, { __index = running }), err
    end

    -- Sends a request with curl, as the owner of a certificate if one is named. Returns the status and the body.
    local function ask(running, certificate, options, path)
        local own = certificate and ("--cert %s/%s.pem --key %s/%s.key"):format(files, certificate, files, certificate)
        local output = process.run(("curl -sS --cacert %s/ca.pem %s -w '\n%%{http_code}' %s %s%s")
            :format(files, own or "", options or "", running.address, path or "/revocations"))
        local body, status = output:match("^(.*)\n(%d+)$")
        return tonumber(status), body
    end

    local function change(running, certificate, bearer)
        return ask(running, certificate, ([[-H 'Content-Type: application/json' -d '{"sub":"ada"}' %s]])
            :format(bearer and "-H 'Authorization: Bearer " .. bearer .. "'" or ""))
    end

    -- Runs `route-token revoke`. Returns its output and status.
    local function command(running, arguments)
        return process.run(("%s/target/release/route-token revoke --server %s --admin-token-file %s/admin_token %s")
            :format(gateway.ROOT, running.address, files, arguments))
    end

    it("is plain HTTP no more, and a change needs an admin token", function()
        local running = assert(start {})
        assert.equal(200, (ask(running)))
        assert.equal(401, (change(running)))
        assert.equal(201, (change(running, nil, admin_token)))
        local plain = running.address:gsub("https", "http")
        assert.equal("400", (process.run("curl -s -o /dev/null -w '%{http_code}' " .. plain .. "/revocations")))
        local number, done = command(running, "--sub eve --ca " .. files .. "/ca.pem")
        assert.truthy(number:find("^%d+\n$") and done == 0, number)
        local output, status = command(running, "--sub eve --ca " .. files .. "/other_ca.pem")
        assert.same({ "route-token: " .. running.address .. " cannot be reached: invalid peer certificate: "
            .. "UnknownIssuer\n", 1 }, { output, status })
        running:stop()
    end)

    it("takes a change with the client's certificate and an admin token, and with neither alone", function()
        local running = assert(start { ROUTE_ADMIN_CLIENT_CA = files .. "/ca.pem" })
        assert.equal(200, (ask(running)))
        local status, body = change(running, nil, admin_token)
        assert.equal(403, status)
        assert.truthy(body:find("Changes need a client certificate of ROUTE_ADMIN_CLIENT_CA", 1, true), body)
        assert.equal(401, (change(running, "client")))
        local created, made = change(running, "client", admin_token)
        local number = made:match('"id":(%d+)')
        assert.equal(201, created)
        local delete = "-X DELETE -H 'Authorization: Bearer " .. admin_token .. "'"
        assert.equal(403, (ask(running, nil, delete, "/revocations/" .. number)))
        assert.equal(204, (ask(running, "client", delete, "/revocations/" .. number)))
        -- A certificate of others ends the request, whatever it asks for.
        assert.equal(400, (ask(running, "foreign")))
        assert.equal(400, (change(running, "foreign", admin_token)))
        local log = process.wait_until("the audit log told of the change", function()
            local text = running:error_log()
            return text:find('"act":"withdraw ' .. number, 1, true) and text
        end)
        local entry = [["certificate":"CN=laptop \\\"7\\\",O=Ops","who":"root","act":"revoke %s"]]
        assert.truthy(log:find(entry:format(number), 1, true), log)
        running:stop()
    end)

    it("lets route-token change with its certificate", function()
        local running = assert(start { ROUTE_ADMIN_CLIENT_CA = files .. "/ca.pem" })
        local ca = "--ca " .. files .. "/ca.pem"
        local own = (" --client-certificate %s/client.pem --client-key %s/client.key"):format(files, files)
        local number, done = command(running, "--sub ada " .. ca .. own)
        assert.truthy(number:find("^%d+\n$") and done == 0, number)
        assert.same({ "route-token: the admin API answers 403: Changes need a client certificate of "
            .. "ROUTE_ADMIN_CLIENT_CA\n", 1 }, { command(running, "--sub ada " .. ca) })
        assert.same({ "route-token: the admin API answers 400\n", 1 },
            { command(running, "--sub ada " .. ca .. own:gsub("client%.", "foreign.")) })
        local output, status = command(running, "--sub ada " .. ca .. own:gsub("client%.key", "server.key"))
        assert.same({ "route-token: --client-key must be the key of --client-certificate\n", 2 }, { output, status })
        running:stop()
    end)

    local certificate, key, needed = "ROUTE_ADMIN_TLS_CERTIFICATE", "ROUTE_ADMIN_TLS_CERTIFICATE_KEY",
        ": HTTPS for the admin API needs both"
    for sentence, env in pairs {
        [key .. " is not set, and " .. certificate .. " is" .. needed] = { [key] = false },
        [certificate .. " is not set, and " .. key .. " is" .. needed] = { [certificate] = false },
        ["ROUTE_ADMIN_CLIENT_CA is set, and " .. certificate .. " is not: client certificates need HTTPS"] = {
            [certificate] = false, [key] = false, ROUTE_ADMIN_CLIENT_CA = "/ca" },
        ['ROUTE_ADMIN_CLIENT_CA must be a file that can be read, and is "/none"'] = {
            ROUTE_ADMIN_CLIENT_CA = "/none" },
        ['ROUTE_ADMIN_LISTEN must be an address for HTTPS, and is the unix socket "unix:/tmp/x"'] = {
            ROUTE_ADMIN_LISTEN = "unix:/tmp/x" },
    } do
        it("reports a mistake in one sentence: " .. sentence, function()
            local ok, message = pcall(start, env)
            assert.is_false(ok)
            assert.truthy(tostring(message):find("route_native: " .. sentence .. "\n", 1, true), message)
        end)
    end
end)
