-- Tokens that only their holder can use, beyond the example: client certificates (RFC 8705, RFC 9440), nonces, a full
-- memory of used proofs, several checks of one request, and what `cnf` may hold.

local auth = require "support.auth"
local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"
local proofs = require "support.proofs"

local ORIGIN = "https://api.example.com"
-- The address of a trusted proxy, and the one of everybody else.
local PROXY, STRANGER = "127.0.0.2", "127.0.0.1"

local SITE = [[
lua_shared_dict route_native_dpop 1m;
lua_shared_dict tight 12k;
include revocation_http.conf;
init_by_lua_block {
    require("route_native.hooks").start(function()
    local auth = require "route_native.auth"
    local function check(more)
        more.secret_file = ngx.config.prefix() .. "../keys/jwt_secret"
        return auth.prepare_check(more)
    end
    local function dpop(more)
        more.public_origins = { "https://api.example.com", "https://other.example.com" }
        return more
    end
    guards = {
        certificate = check { mtls = "required", headers = { ["X-User"] = "sub" } },
        optional = check { mtls = "accepted" },
        proof = check { dpop = dpop {} },
        any = check { dpop = dpop { mode = "accepted" }, mtls = "accepted" },
        bound = check { dpop = dpop {}, mtls = "accepted" },
        nonce = check { dpop = dpop { nonce = true }, realm = "demo" },
        edwards = check { dpop = dpop { algorithms = "EdDSA" } },
        tight = check { dpop = dpop { dict = "tight" } },
        scoped = check { dpop = dpop {}, scope = "write" },
        unaware = check {},
    }
    mistakes = {}
    for i, config in ipairs {
        { dpop = {} }, { dpop = { public_origins = "https://a", dict = "absent" } }, { mtls = "yes" },
        { dpop = { public_origins = "https://a/b" } }, { dpop = { public_origins = "https://a", max_age = 0 } },
        { dpop = { public_origins = "https://a", algorithms = "HS256" } }, { dpop = true },
        { dpop = { public_origins = "https://a", mod = "x" } },
    } do
        config.key = ("k"):rep(32)
        mistakes[i] = select(2, pcall(auth.prepare_check, config))
    end
    mistakes[#mistakes + 1] = select(2, pcall(auth.prepare_login, {
        key = ("k"):rep(32), backend = "/b", issuer = "i", rate_limit = false, cookie = {}, dpop = dpop {},
    }))
    end)
}

server {
    include runtime/listen.conf;
    listen 127.0.0.1:TLS ssl http2;
    ssl_certificate     KEYS/server.pem;
    ssl_certificate_key KEYS/server.key;
    ssl_verify_client optional_no_ca;
    include log_vars.conf;
    include strict.conf;
    set $route_uri "";
    include forwarded.conf;

    location ~ ^/guard/(?<guard>[a-z]+)$ {
        access_by_lua_block { require("route_native.auth").check(guards[ngx.var.guard]) }
        include proxy.conf;
        proxy_pass http://$auth_upstream;
    }
    # Both locations check, and the request has one proof.
    location = /twice {
        auth_request /subrequest;
        access_by_lua_block { require("route_native.auth").check(guards.proof) }
        proxy_pass http://$auth_upstream;
    }
    location = /subrequest {
        internal;
        content_by_lua_block {
            require("route_native.auth").check(guards.any)
            ngx.exit(204)
        }
    }
    location = /revoke {
        content_by_lua_block { require("route_native.revocation").revoke { jti = ngx.var.arg_jti } ngx.say("done") }
    }
    location = /mistakes { content_by_lua_block { ngx.print(require("cjson").encode(mistakes)) } }
}
]]

describe("a token for its holder alone", function()
    local running, directory, tls_port
    local thumbprints, pem_files = {}, {}
    -- The number of requests. Each has its own query, which the log shows.
    local count = 0

    local function numbered(path)
        count = count + 1
        return path .. "?n=" .. count
    end

    -- Makes a certificate that signs itself. Its thumbprint is openssl's.
    local function make_certificate(name)
        local path = directory .. "/keys/" .. name
        local output, status = process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            .. "-days 30 -subj /CN=%s -keyout %s.key -out %s.pem 2>&1"):format(name, path, path))
        assert(status == 0, output)
        thumbprints[name] = process.run(("openssl x509 -in %s.pem -outform DER | openssl dgst -sha256 -binary "
            .. "| base64 -w0 | tr '+/' '-_' | tr -d =\n"):format(path)):gsub("%s", "")
        pem_files[name] = path
    end

    setup(function()
        directory = auth.directory()
        for _, name in ipairs { "server", "ada", "eve", "proxy" } do
            make_certificate(name)
        end
        tls_port = process.free_port()
        running = assert(auth.start(directory, function(environment)
            environment.ROUTE_TRUSTED_PROXIES = PROXY
            return (SITE:gsub("TLS", tls_port):gsub("KEYS", directory .. "/keys"))
        end))
    end)
    teardown(function() running:stop() end)

    local function token(cnf, more)
        local claims = { sub = "ada", exp = os.time() + 300, cnf = cnf }
        for name, value in pairs(more or {}) do
            claims[name] = value
        end
        return auth.token(directory, claims)
    end

    -- Sends a request with curl. `options`: path, headers, from (an address), certificate (a name), is_plain.
    local function request(options)
        local words = { ("cd %s && curl -sk --max-time 60 -o body -D head -w '%%{http_code}'"):format(directory) }
        words[#words + 1] = "--interface " .. (options.from or STRANGER)
        if options.certificate then
            local path = pem_files[options.certificate]
            words[#words + 1] = ("--cert %s.pem --key %s.key"):format(path, path)
        end
        for _, header in ipairs(options.headers or {}) do
            words[#words + 1] = "-H " .. process.quoted(header)
        end
        words[#words + 1] = options.is_plain and ("http://127.0.0.1:%d%s"):format(running.port, options.path)
            or ("https://127.0.0.1:%d%s"):format(tls_port, options.path)
        local status = tonumber((process.run(table.concat(words, " "))))
        local challenge, nonce
        for line in process.read(directory .. "/head"):gmatch("[^\r\n]+") do
            challenge = line:match("^[Ww][Ww][Ww]%-[Aa]uthenticate: (.*)$") or challenge
            nonce = line:match("^[Dd][Pp]o[Pp]%-[Nn]once: (.*)$") or nonce
        end
        return { status = status, challenge = challenge, nonce = nonce, body = process.read(directory .. "/body") }
    end

    local function with_certificate(guard, value, options)
        options.path = numbered("/guard/" .. guard)
        options.headers = options.headers or {}
        table.insert(options.headers, "Authorization: Bearer " .. value)
        return request(options)
    end

    -- A Client-Cert header (RFC 9440) with the certificate of that name.
    local function forwarded(name)
        return "Client-Cert: :" .. process.run(("openssl x509 -in %s.pem -outform DER | base64 -w0")
            :format(pem_files[name])):gsub("%s", "") .. ":"
    end

    -- Returns why the newest request was refused.
    local function reason()
        return running:reason_of("n=" .. count)
    end

    local function prove(more)
        local all = { htm = "GET", htu = ORIGIN .. "/guard/proof" }
        for name, value in pairs(more or {}) do
            all[name] = value
        end
        return proofs.one(directory, all)
    end

    local function with_proof(guard, value, proof)
        return running:request { path = numbered("/guard/" .. guard), headers = {
            { "Authorization", "DPoP " .. value }, { "DPoP", proof },
        } }
    end

    -- Returns a bound token and the thumbprint of its key.
    local function bound_token(more)
        local _, thumbprint = prove()
        local cnf = { jkt = thumbprint }
        for name, value in pairs(more or {}) do
            cnf[name] = value
        end
        return token(cnf), thumbprint
    end

    describe("by a certificate", function()
        it("passes with the client's own certificate, which no authority has signed", function()
            local mine = token { ["x5t#S256"] = thumbprints.ada }
            local response = with_certificate("certificate", mine, { certificate = "ada" })
            assert.equal(200, response.status)
            assert.equal("ada", cjson.decode(response.body).headers["x-user"])
            assert.equal(200, with_certificate("optional", mine, { certificate = "ada" }).status)
        end)

        it("is refused with another certificate, and without one", function()
            local mine = token { ["x5t#S256"] = thumbprints.ada }
            for certificate, why in pairs { eve = "certificate_mismatch", [false] = "token_bound" } do
                for _, guard in ipairs { "certificate", "optional" } do
                    local response = with_certificate(guard, mine, { certificate = certificate })
                    assert.same({ 401, 'Bearer error="invalid_token"' }, { response.status, response.challenge })
                    assert.equal(why, reason())
                end
            end
            assert.equal(401, with_certificate("certificate", mine, { is_plain = true }).status)
        end)

        it("passes with the certificate that a trusted proxy forwards", function()
            local mine = token { ["x5t#S256"] = thumbprints.ada }
            for _, is_plain in ipairs { true, false } do
                local response = with_certificate("certificate", mine,
                    { from = PROXY, headers = { forwarded("ada") }, is_plain = is_plain })
                assert.equal(200, response.status)
                local eve = with_certificate("certificate", mine,
                    { from = PROXY, headers = { forwarded("eve") }, is_plain = is_plain })
                assert.same({ 401, "certificate_mismatch" }, { eve.status, reason() })
            end
        end)

        it("is refused with a certificate that anybody else forwards, and no upstream gets it", function()
            local mine = token { ["x5t#S256"] = thumbprints.ada }
            for _, certificate in ipairs { false, "eve" } do
                local response = with_certificate("certificate", mine,
                    { headers = { forwarded("ada"), "X-Forwarded-For: " .. PROXY }, certificate = certificate })
                assert.equal(401, response.status)
            end
            local own = with_certificate("certificate", mine, { headers = { forwarded("eve") }, certificate = "ada" })
            assert.equal(200, own.status)
            assert.is_nil(cjson.decode(own.body).headers["client-cert"])
        end)

        it("is refused with the certificate of a trusted proxy's own connection", function()
            local proxys = token { ["x5t#S256"] = thumbprints.proxy }
            local response = with_certificate("certificate", proxys, { from = PROXY, certificate = "proxy" })
            assert.same({ 401, "token_bound" }, { response.status, reason() })
            assert.equal(200, with_certificate("certificate", proxys, { certificate = "proxy" }).status)
        end)

        it("is refused for a header that holds no certificate, or several", function()
            local mine = token { ["x5t#S256"] = thumbprints.ada }
            for _, header in ipairs { "Client-Cert: x", "Client-Cert: ::", "Client-Cert;",
                forwarded("ada") .. ", " .. forwarded("eve"):sub(14), "Client-Cert: :" .. ("A"):rep(20000) .. ":" } do
                local response = with_certificate("certificate", mine, { from = PROXY, headers = { header } })
                assert.equal(401, response.status, header)
            end
            local two = with_certificate("certificate", mine,
                { from = PROXY, headers = { forwarded("ada"), forwarded("eve") } })
            assert.equal(401, two.status)
        end)

        it("must be bound where that is required", function()
            local bearer = token(nil)
            local response = with_certificate("certificate", bearer, { certificate = "ada" })
            assert.same({ 401, "token_not_bound" }, { response.status, reason() })
            assert.equal(200, with_certificate("optional", bearer, {}).status)
        end)
    end)

    it("is refused for every binding that the configuration cannot check", function()
        local proof, thumbprint = prove()
        local x5t = thumbprints.ada
        for _, case in ipairs {
            { "optional", { jkt = thumbprint }, "token_bound" },
            { "optional", { kid = "a" }, "token_bound" },
            { "optional", { ["x5t#S256"] = x5t, jwk = {} }, "token_bound" },
            { "optional", { ["x5t#S256"] = "short" }, "claim_malformed" },
            { "optional", { ["x5t#S256"] = 7 }, "claim_malformed" },
            { "optional", "text", "claim_malformed" },
            { "optional", { "text" }, "token_bound" },
            { "any", { jkt = ("="):rep(43) }, "claim_malformed" },
            { "any", { jkt = { thumbprint } }, "claim_malformed" },
        } do
            local guard, cnf, why = unpack(case)
            local response = with_certificate(guard, token(cnf), { certificate = "ada" })
            assert.same({ 401, why }, { response.status, reason() }, cjson.encode(case))
        end
        -- A proof guard knows no certificates.
        assert.equal(401, with_proof("proof", token { ["x5t#S256"] = x5t }, proof).status)
        -- A check without either looks at no cnf.
        assert.equal(200, with_certificate("unaware", token { jkt = thumbprint }, {}).status)
    end)

    it("shows both the key and the certificate if the token names both", function()
        local value = bound_token { ["x5t#S256"] = thumbprints.ada }
        local function send(guard, certificate, proof)
            return request { path = "/guard/" .. guard, certificate = certificate, headers = {
                "Authorization: DPoP " .. value, "DPoP: " .. proof,
            } }.status
        end
        local function good(guard)
            return (prove { htu = ORIGIN .. "/guard/" .. guard, token = value })
        end
        assert.equal(200, send("any", "ada", good("any")))
        assert.equal(401, send("any", "eve", good("any")))
        assert.equal(401, send("any", nil, good("any")))
        assert.equal(401, send("any", "ada", prove { htu = ORIGIN .. "/guard/any", token = value, key = "thief" }))
    end)

    it("is bound in either way where `dpop` is required and `mtls` accepted", function()
        assert.equal(200, with_certificate("bound", token { ["x5t#S256"] = thumbprints.ada },
            { certificate = "ada" }).status)
        local value = bound_token()
        assert.equal(200, with_proof("bound", value, prove { htu = ORIGIN .. "/guard/bound", token = value }).status)
        assert.equal(401, with_certificate("bound", token(nil), { certificate = "ada" }).status)
        assert.equal(401, with_certificate("bound", value, { certificate = "ada" }).status)
    end)

    it("needs a nonce of the server, which every worker takes and a reload does not change", function()
        local value = bound_token()
        local function send(nonce)
            return with_proof("nonce", value, prove { htu = ORIGIN .. "/guard/nonce", token = value, nonce = nonce })
        end
        local challenge = send(nil)
        assert.equal(401, challenge.status)
        assert.truthy(challenge.headers["www-authenticate"]:find('^DPoP realm="demo", error="use_dpop_nonce", algs="'))
        assert.equal("proof_nonce_invalid", reason())
        local nonce = challenge.headers["dpop-nonce"]
        for _ = 1, 4 do
            local response = send(nonce)
            assert.same({ 200 }, { response.status, response.headers["dpop-nonce"] })
        end
        running:reload()
        assert.equal(200, send(nonce).status)
        for _, forged in ipairs { nonce:reverse(), nonce:sub(1, -2), ("A"):rep(32), "" } do
            local response = send(forged)
            assert.equal(401, response.status, forged)
            assert.truthy(response.headers["www-authenticate"]:find("use_dpop_nonce", 1, true))
        end
    end)

    it("is not taken from the query", function()
        local value = bound_token()
        local response = running:request { path = numbered("/guard/proof") .. "&access_token=" .. value, headers = {
            { "DPoP", prove { token = value } },
        } }
        assert.same({ 401, "DPoP" }, { response.status, response.headers["www-authenticate"]:match("^%w+") })
    end)

    it("is refused if it is forged, expired or revoked, whatever its proof", function()
        local _, thumbprint = prove()
        local cnf = { jkt = thumbprint }
        local function send(value)
            return with_proof("proof", value, prove { token = value })
        end
        local good = token(cnf)
        for value, why in pairs {
            [good:sub(1, -6) .. ("A"):rep(5)] = "signature_invalid",
            [token(cnf, { exp = os.time() - 60 })] = "token_expired", ["a.b.c"] = "token_malformed",
        } do
            local response = send(value)
            assert.same({ 401, why }, { response.status, reason() })
            assert.truthy(response.headers["www-authenticate"]:find('^DPoP error="invalid_token", algs="'))
        end
        local revoked = token(cnf, { jti = "revoked-1" })
        assert.equal(200, send(revoked).status)
        running:request { path = "/revoke?jti=revoked-1" }
        process.wait_until("both workers refused the token", function()
            for _ = 1, 6 do
                if send(revoked).status ~= 401 then
                    return false
                end
            end
            return reason() == "token_revoked"
        end)
        assert.equal(200, send(good).status)
    end)

    it("gets the refusals of RFC 6750 in its own scheme", function()
        local _, thumbprint = prove()
        local function send(scope)
            local value = token({ jkt = thumbprint }, { scope = scope })
            return with_proof("scoped", value, prove { htu = ORIGIN .. "/guard/scoped", token = value })
        end
        assert.equal(200, send("read write").status)
        local response = send("read")
        assert.equal(403, response.status)
        assert.truthy(response.headers["www-authenticate"]
            :find('^DPoP error="insufficient_scope", scope="write", algs="'))
    end)

    it("takes only the algorithms of its configuration, and names them", function()
        local _, thumbprint = prove { alg = "Ed25519" }
        local value = token { jkt = thumbprint }
        local function proof(alg)
            return (prove { htu = ORIGIN .. "/guard/edwards", token = value, alg = alg })
        end
        assert.equal(200, with_proof("edwards", value, proof("Ed25519")).status)
        local response = with_proof("edwards", value, proof("ES256"))
        assert.same({ 401, 'DPoP error="invalid_dpop_proof", algs="EdDSA"' },
            { response.status, response.headers["www-authenticate"] })
    end)

    it("may be for any of the public origins", function()
        local value = bound_token()
        local proof = prove { htu = "https://other.example.com:443/guard/proof", token = value }
        assert.equal(200, with_proof("proof", value, proof).status)
    end)

    it("is checked twice in one request with one proof, and not in two", function()
        local value = bound_token()
        local proof = prove { htu = ORIGIN .. "/twice", token = value }
        local function send()
            return running:request { path = "/twice", headers = {
                { "Authorization", "DPoP " .. value }, { "DPoP", proof },
            } }.status
        end
        assert.equal(200, send())
        assert.equal(401, send())
        -- Neither in two requests of one connection.
        local other = prove { htu = ORIGIN .. "/twice", token = value }
        local connection = http.connect(running.port)
        for _, status in ipairs { 200, 401 } do
            http.send(connection, { path = "/twice", headers = {
                { "Authorization", "DPoP " .. value }, { "DPoP", other },
            } })
            assert.equal(status, http.read_response(connection).status)
        end
        connection:close()
    end)

    it("is checked once for each stream of an HTTP/2 connection", function()
        local value = bound_token()
        local proof = prove { token = value }
        local headers = ("-H 'Authorization: DPoP %s' -H 'DPoP: %s'"):format(value, proof)
        local url = ("https://127.0.0.1:%d/guard/proof"):format(tls_port)
        local output = process.run(("curl -sk --http2 --max-time 60 -o /dev/null -o /dev/null -w '%%{http_version} "
            .. "%%{http_code} %%{num_connects}\n' %s %s %s"):format(headers, url, url))
        assert.equal("2 200 1\n2 401 0\n", output)
    end)

    it("waits while there is no room for used proofs, and none of them is forgotten", function()
        local value = bound_token()
        local requests = {}
        for i = 1, 300 do
            requests[i] = { htm = "GET", htu = ORIGIN .. "/guard/tight", token = value }
        end
        local made, used, full = proofs.all(directory, requests), {}, nil
        for _, proof in ipairs(made) do
            local response = with_proof("tight", value, proof)
            if response.status ~= 200 then
                full = response
                break
            end
            used[#used + 1] = proof
        end
        assert.is_true(#used > 5, #used)
        assert.same({ 503, "5" }, { full.status, full.headers["retry-after"] })
        assert.equal("replay_memory_full", reason())
        for _, proof in ipairs(used) do
            assert.equal(401, with_proof("tight", value, proof).status)
        end
        assert.truthy(running:error_log():find("lua_shared_dict tight is full of used proofs", 1, true))
    end)

    it("has its mistakes in one sentence each", function()
        local mistakes = cjson.decode(running:request { path = "/mistakes" }.body)
        local parts = {
            'the field "dpop.public_origins" is missing', 'lua_shared_dict absent is missing, and "dpop" needs it',
            'the field "mtls" must be "required" or "accepted"',
            'the field "dpop.public_origins" must be a list of origins',
            'the field "dpop.max_age" must be a whole number of seconds from 1 to 600', "a proof cannot use HS256",
            'the field "dpop" must be a table', 'there is no field "dpop.mod"',
            '"cookie" and "dpop" exclude each other',
        }
        assert.equal(#parts, #mistakes)
        for i, part in ipairs(parts) do
            assert.truthy(mistakes[i]:find(part, 1, true), mistakes[i])
            assert.is_nil(mistakes[i]:find("\n", 1, true))
        end
    end)
end)
