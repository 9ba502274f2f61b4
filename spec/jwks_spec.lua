-- Keys that another server publishes: fetched once for all workers, fetched again when they change, kept while the
-- server is down. Every fault of the server is a 503, never a 401.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local mint = require "support.token"
local phantom = require "support.phantom"
local process = require "support.process"
local gettime = require("socket").gettime

local TOGETHER = 100
local JSON = "application/json"
-- The public key of RFC 8037's example.
local ED25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

local SITE = [[
lua_shared_dict route_native_jwks 1m;
init_by_lua_block {
    auth = require "route_native.auth"
    jwt = require "route_native.jwt"
    guards = {}
    for name, config in pairs { %s } do
        guards[name] = auth.prepare_check { key = jwt.jwks(config) }
    end
}
init_worker_by_lua_block {
    ngx.timer.at(0, function()
        local keys = jwt.jwks { url = "http://127.0.0.1:1/never", max_age = 1 }
        ngx.log(ngx.WARN, "in a timer: ", (select(2, jwt.verify("a.b.c", keys))))
    end)
}
server {
    include runtime/listen.conf;
    include phantom_token.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    location = /status { stub_status; }
    location ~ ^/guarded/(?<name>\w+)$ {
        client_max_body_size 0;
        proxy_request_buffering off;
        proxy_http_version 1.1;
        access_by_lua_block { auth.check(guards[ngx.var.name]) }
        proxy_pass http://127.0.0.1:$file_service_tcp_port;
    }
    location ~ ^/what/(?<name>\w+)$ {
        content_by_lua_block {
            local claims, why, is_ours = jwt.verify(ngx.var.http_authorization:sub(8), guards[ngx.var.name].key)
            ngx.print(require("cjson").encode { claims or ngx.null, why, is_ours })
        }
    }
    location = /late {
        return 204;
        header_filter_by_lua_block {
            local keys = jwt.jwks { url = "http://127.0.0.1:1/late", max_age = 1 }
            ngx.log(ngx.WARN, "in a filter: ", (select(2, jwt.verify("a.b.c", keys))))
        }
    }
    location = /sign {
        content_by_lua_block { ngx.print(select(2, pcall(jwt.sign, {}, guards.usual.key))) }
    }
}
server {
    listen 127.0.0.1:%d;
    location ~ ^/guarded/(?<name>\w+)$ {
        access_by_lua_block { auth.check(guards[ngx.var.name]) }
        content_by_lua_block { ngx.print("let in") }
    }
    location ~ ^/what/(?<name>\w+)$ {
        content_by_lua_block {
            ngx.print((select(2, jwt.verify(ngx.var.http_authorization:sub(8), guards[ngx.var.name].key))))
        }
    }
}
]]

local function lua_text(fields)
    local parts = {}
    for name, value in pairs(fields) do
        parts[#parts + 1] = name .. " = " .. (type(value) == "string" and ("%q"):format(value) or tostring(value))
    end
    return "{ " .. table.concat(parts, ", ") .. " }"
end

local function raw(status, content_type, body, headers)
    headers = headers or {}
    headers["content-type"] = content_type
    return { kind = "raw", status = status, body = body, headers = headers }
end

-- The faults of a server, and the reason for each.
local FAULTS = {
    fails = { raw(500, JSON, "{}"), "server_failed" },
    forbids = { raw(403, JSON, "{}"), "server_failed" },
    redirects = { raw(302, JSON, "", { location = "/elsewhere" }), "server_failed" },
    redirects_within_nginx = { raw(200, JSON, "", { ["x-accel-redirect"] = "/status" }), "server_answer_invalid" },
    says_nothing = { raw(204, JSON, ""), "server_failed" },
    sends_a_page = { raw(200, "text/html", "<html>"), "server_answer_invalid" },
    sends_no_json = { raw(200, JSON, '{"keys":[}'), "server_answer_invalid" },
    sends_no_set = { raw(200, JSON, "{}"), "server_answer_invalid" },
    sends_no_key = { raw(200, JSON, '{"keys":[]}'), "server_answer_invalid" },
    sends_a_secret = { raw(200, JSON, ('{"keys":[{"kty":"oct","kid":"s","k":"%s"}]}'):format(("A"):rep(43))),
        "server_answer_invalid" },
    sends_garbage = { { kind = "garbage" }, "server_answer_invalid" },
    breaks_off = { { kind = "truncated" }, "server_answer_invalid" },
    sends_10_MB = { { kind = "large", bytes = 10 * 1024 * 1024 }, "server_answer_invalid" },
    sends_10_MB_in_chunks = { { kind = "large", bytes = 10 * 1024 * 1024, chunked = true }, "server_answer_invalid" },
    hangs = { { kind = "hang" }, "server_unreachable" },
    stalls_in_its_body = { { kind = "stalled_body" }, "server_answer_invalid" },
    sends_headers_slowly = { { kind = "slow_headers" }, "server_unreachable" },
}

-- What servers call a set.
local TYPES = {
    typed_jwk = "application/jwk+json", typed_text = "text/plain; charset=utf-8",
    typed_bytes = "application/octet-stream", typed_page = "text/html", typed_other = "x",
}

-- The reasons that differ without phantom_token.conf.
local DIRECT_FAULTS = {
    drips_directly = { { kind = "slow_body" }, "server_unreachable" },
    stalls_directly = { { kind = "stalled_body", of = "direct" }, "server_unreachable" },
}

-- Converts public keys in PEM, { [kid] = path }, to JWKs, with Python's cryptography.
local function jwks_of(paths)
    local python = [[
import json, sys
from jwt.algorithms import RSAAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
paths = json.loads(sys.argv[1])
print(json.dumps({kid: {**json.loads(RSAAlgorithm.to_jwk(load_pem_public_key(open(path, "rb").read()))), "kid": kid,
    "use": "sig"} for kid, path in paths.items()}))]]
    local output = process.run(("/usr/bin/python3 -c %s %s"):format(process.quoted(python),
        process.quoted(cjson.encode(paths))))
    local found = assert(cjson.decode(output), output)
    for _, jwk in pairs(found) do
        jwk.key_ops = nil
    end
    return found
end

describe("a JWK Set by URL", function()
    local directory, keys, server, provider, running, jwks, direct_port
    local tokens = {}

    local function publish(...)
        local file = directory .. "/set.json"
        process.write(file .. ".new", cjson.encode { keys = { ... } })
        os.rename(file .. ".new", file)
    end

    -- The URL at which the server follows a token's directives.
    local function at(directive, name)
        return ("http://127.0.0.1:%d/set?token=%s"):format(server.port, phantom.token(directive, name))
    end

    local function published(more)
        local directive = { kind = "raw", status = 200, file = directory .. "/set.json",
            headers = { ["content-type"] = "application/jwk-set+json; charset=utf-8" } }
        for field, value in pairs(more or {}) do
            directive[field] = value
        end
        return at(directive)
    end

    local function configurations()
        local many = {}
        for i = 1, 65 do
            many[i] = { kty = "OKP", crv = "Ed25519", x = ED25519, kid = "k" .. i }
        end
        process.write(directory .. "/many.json", cjson.encode { keys = many })
        local down = directory .. "/down"
        local all = {
            usual = { url = published { of = "usual" }, cooldown = 1 },
            held = { url = published { hold = directory .. "/held" } },
            uploaded = { url = published { of = "uploaded" } },
            patient = { url = published { of = "patient" }, cooldown = 60 },
            bounded = { url = published { of = "bounded", fails_if = down }, cooldown = 1, max_age = 1, stale = 1 },
            late = { cooldown = 1, max_age = 1, stale = 1, url = published { of = "late", fails_if = down .. "_late",
                fails_after = directory .. "/given_up" } },
            lasting = { url = published { of = "lasting", fails_if = down }, cooldown = 1, max_age = 1 },
            many = { url = published { file = directory .. "/many.json" } },
            stopped = { url = ("http://127.0.0.1:%d/"):format(process.free_port()) },
            provider = { url = ("http://127.0.0.1:%d/jwks"):format(provider.port), cooldown = 1, max_age = 1 },
        }
        for name, media_type in pairs(TYPES) do
            all[name] = { url = published { of = name, headers = { ["content-type"] = media_type } } }
        end
        all.untyped = { url = published { of = "untyped", headers = cjson.empty_array } }
        all.marked = { url = published { of = "marked", file = directory .. "/marked.json" } }
        for _, faults in ipairs { FAULTS, DIRECT_FAULTS } do
            for name, fault in pairs(faults) do
                all[name] = { url = at(fault[1]) }
            end
        end
        return all
    end

    setup(function()
        directory = process.temporary_directory()
        keys = mint.keys(directory)
        jwks = jwks_of { one = keys.signing_public, two = keys.other_public }
        tokens.one, tokens.two, tokens.unknown, tokens.forged = unpack(mint.mint_all(keys, {
            { header = { kid = "one" } },
            { header = { kid = "two" }, key = keys.other_private },
            { header = { kid = "nobody's" } },
            { header = { kid = "one" }, key = keys.other_private },
        }))
        publish(jwks.one)
        server = phantom.serve(("node %s/spec/support/introspection_server.mjs --key %s"):format(gateway.ROOT,
            keys.signing_private), directory .. "/server.log")
        provider = phantom.serve("node " .. phantom.AUTHORIZATION_SERVER .. " --jwt-access-tokens",
            directory .. "/provider.log")
        direct_port = process.free_port()
        local configs = {}
        for name, fields in pairs(configurations()) do
            configs[#configs + 1] = name .. " = " .. lua_text(fields)
        end
        process.write(directory .. "/site.conf", SITE:format(table.concat(configs, ", "), direct_port))
        running = assert(gateway.start { env = { SITE = directory .. "/site.conf" }, keys = keys })
    end)
    teardown(function()
        running:stop()
        process.stop(server.pid)
        if process.alive(provider.pid) then
            process.stop(provider.pid)
        end
        process.run("rm -rf " .. directory)
    end)

    -- Counts the server's requests for the set of a configuration that contains `of`.
    local function asked(of)
        local count = 0
        for line in process.read(directory .. "/server.log"):gmatch("[^\n]+") do
            local question = cjson.decode(line)
            local directive = question and require("mime").unb64((question.url:match("token=([%w_-]+)")
                :gsub("-", "+"):gsub("_", "/") .. "=="))
            count = count + (directive and directive:find(of, 1, true) and 1 or 0)
        end
        return count
    end

    local function get(name, token)
        return running:get("/guarded/" .. name, token)
    end

    local function why(name, token)
        return cjson.decode(running:get("/what/" .. name, token).body)
    end

    local function is_unavailable(response)
        assert.equal(503, response.status, response.body)
        assert.equal("5", response.headers["retry-after"])
        assert.is_nil(response.headers["www-authenticate"])
        assert.equal("unavailable", cjson.decode(response.body).code)
    end

    it("is fetched once for all workers by the first request, however many requests need it", function()
        assert.equal(0, asked("held"))
        local connections = {}
        for i = 1, TOGETHER do
            connections[i] = http.connect(running.port)
            http.send(connections[i], { path = "/guarded/held",
                headers = { { "Authorization", "Bearer " .. tokens.one } } })
        end
        process.wait_until("all requests were under way", function()
            return tonumber(running:get("/status").body:match("Writing: (%d+)")) > TOGETHER and asked("held") > 0
        end)
        process.write(directory .. "/held", "")
        for _, connection in ipairs(connections) do
            assert.equal(200, http.read_response(connection).status)
            connection:close()
        end
        assert.equal(1, asked("held"))
    end)

    it("accepts a genuine token and refuses a forged one", function()
        assert.equal(200, get("usual", tokens.one).status)
        local response = get("usual", tokens.forged)
        assert.same({ 401, 'Bearer error="invalid_token"' }, { response.status, response.headers["www-authenticate"] })
        assert.same({ cjson.null, "signature_invalid", false }, why("usual", tokens.forged))
    end)

    it("is taken under any media type, and behind a byte order mark", function()
        process.write(directory .. "/marked.json", "\239\187\191" .. cjson.encode { keys = { jwks.one } })
        for name in pairs(TYPES) do
            assert.equal(200, get(name, tokens.one).status, name)
        end
        assert.equal(200, get("untyped", tokens.one).status)
        assert.equal(200, get("marked", tokens.one).status)
        assert.equal(401, get("typed_text", tokens.forged).status)
    end)

    it("is fetched once per cooldown for an unknown kid, from the last answer on", function()
        for _ = 1, 12 do
            assert.equal(401, get("patient", tokens.unknown).status)
        end
        assert.same({ cjson.null, "key_not_found", false }, why("patient", tokens.unknown))
        assert.equal(1, asked("patient"))
        local before = asked("usual")
        process.wait_until("it was asked again", function()
            assert.equal(401, get("usual", tokens.unknown).status)
            return asked("usual") > before
        end)
        local after = asked("usual")
        for _ = 1, 12 do
            assert.equal(401, get("usual", tokens.unknown).status)
        end
        -- At most one more: the cooldown of one second may have ended.
        assert.truthy(asked("usual") <= after + 1)
    end)

    it("changes in all workers when the server's keys change", function()
        publish(jwks.one, jwks.two)
        process.wait_until("the new key was known", function() return get("usual", tokens.two).status == 200 end)
        assert.equal(200, get("usual", tokens.one).status)
        publish(jwks.two)
        process.wait_until("the old key was gone", function()
            -- An unknown kid causes a request.
            get("usual", tokens.unknown)
            for _ = 1, 12 do
                if get("usual", tokens.one).status ~= 401 then return false end
            end
            return true
        end)
        assert.equal(200, get("usual", tokens.two).status)
        publish(jwks.one)
    end)

    it("stays in use while the server fails, until `stale` ends", function()
        assert.equal(200, get("bounded", tokens.one).status)
        assert.equal(200, get("lasting", tokens.one).status)
        process.write(directory .. "/down", "")
        process.wait_until("the bound was reached", function() return get("bounded", tokens.one).status == 503 end)
        is_unavailable(get("bounded", tokens.one))
        assert.same({ cjson.null, "server_failed", true }, why("bounded", tokens.one))
        process.wait_until("the server had failed", function()
            assert.equal(200, get("lasting", tokens.one).status)
            return asked("lasting") > 1
        end)
        assert.equal(200, get("lasting", tokens.one).status)
        -- No key of any set verifies this token.
        process.wait_until("the failure was seen", function() return get("lasting", tokens.unknown).status == 503 end)
        local before = asked("bounded")
        for _ = 1, 12 do
            is_unavailable(get("bounded", tokens.one))
        end
        assert.truthy(asked("bounded") <= before + 1)
        os.remove(directory .. "/down")
        process.wait_until("it was fetched again", function() return get("bounded", tokens.one).status == 200 end)
    end)

    it("is not used by a request that waited beyond its end for a newer one", function()
        assert.equal(200, get("late", tokens.one).status)
        local fetched, connections = gettime(), {}
        local function start()
            local connection = http.connect(running.port)
            http.send(connection, { path = "/guarded/late",
                headers = { { "Authorization", "Bearer " .. tokens.one } } })
            connections[#connections + 1] = connection
        end
        process.write(directory .. "/down_late", "")
        process.wait_until("a request waited for newer keys", function()
            start()
            return asked("late") > 1
        end)
        process.wait_until("the keys were too old", function() return gettime() > fetched + 2.1 end)
        local answered = #connections
        for _ = 1, 12 do
            start()
        end
        process.wait_until("the others waited too", function()
            return tonumber(running:get("/status").body:match("Writing: (%d+)")) > 12
        end)
        process.write(directory .. "/given_up", "")
        for i, connection in ipairs(connections) do
            local status = http.read_response(connection).status
            assert.truthy(status == 503 or i <= answered and status == 200, status)
            connection:close()
        end
        assert.is_nil(running:error_log():find("attempt to", 1, true))
    end)

    it("gives a 503 within seconds, however the server fails, and no token in a log", function()
        local connections = {}
        local function start(port, name)
            connections[name] = http.connect(port)
            http.send(connections[name], { path = "/guarded/" .. name,
                headers = { { "Authorization", "Bearer " .. tokens.one } } })
        end
        for name in pairs(FAULTS) do
            start(running.port, name)
        end
        for name in pairs(DIRECT_FAULTS) do
            start(direct_port, name)
        end
        local began = os.time()
        for name, fault in pairs(FAULTS) do
            local response = http.read_response(connections[name])
            assert.equal(503, response.status, name)
            is_unavailable(response)
            connections[name]:close()
            assert.same({ cjson.null, fault[2], true }, why(name, tokens.one), name)
        end
        for name, fault in pairs(DIRECT_FAULTS) do
            is_unavailable(http.read_response(connections[name]))
            connections[name]:close()
            assert.equal(fault[2], http.request(direct_port, { path = "/what/" .. name,
                headers = { { "Authorization", "Bearer " .. tokens.one } } }).body, name)
        end
        assert.truthy(os.time() - began <= 20, os.time() - began)
        is_unavailable(get("stopped", tokens.one))
        is_unavailable(get("many", tokens.one))
        local log = running:error_log()
        local sentence = "the JWK Set at http://127.0.0.1:" .. server.port .. "/set: it holds more than 64 keys"
        assert.truthy(log:find(sentence, 1, true), log)
        for name, token in pairs(tokens) do
            assert.is_nil((log .. running:access_log()):find(token:match("[^.]+$"), 1, true), name)
        end
    end)

    it("passes a request's body on, large or chunked", function()
        local size = 4 * 1024 * 1024
        local upload = "head -c %d /dev/zero | curl -sS -T - -X POST -H 'Authorization: Bearer %s' "
            .. "http://127.0.0.1:%d/guarded/uploaded"
        local output = process.run(upload:format(size, tokens.one, running.port))
        assert.equal(size, (cjson.decode(output) or {}).body_bytes, output)
    end)

    it("signs nothing, asks in a timer too, and is an error in a phase that cannot wait for a server", function()
        assert.truthy(running:get("/sign").body:find("these keys verify and cannot sign", 1, true))
        process.wait_until("the timer ran", function()
            return running:error_log():find("in a timer: server_unreachable", 1, true)
        end)
        assert.equal(204, running:get("/late").status)
        process.wait_until("the filter ran", function()
            return running:error_log():find("in a filter: setting_invalid", 1, true)
        end)
        assert.truthy(running:error_log():find("can only be asked in the rewrite, access and content phases", 1, true))
    end)

    it("refuses a wrong setting when nginx starts", function()
        for fields, sentence in pairs {
            ["{}"] = 'the field "url" is missing',
            ["{ url = 'ftp://x/' }"] = 'the field "url" must be a URL that starts with http:// or https://',
            ["{ url = 'http://x/', cooldown = 0 }"]
                = 'the field "cooldown" must be a whole number of seconds from 1 to 86400',
            ["{ url = 'http://x/', ttl = 1 }"] = 'there is no field "ttl"',
            ["{ url = 'http://x/', cache_name = 'none' }"] = "lua_shared_dict none is missing",
        } do
            process.write(directory .. "/wrong.conf",
                ("init_by_lua_block { require('route_native.jwt').jwks(%s) }"):format(fields))
            local started, message = gateway.start { env = { SITE = directory .. "/wrong.conf" }, keys = keys,
                demo = false }
            assert.is_nil(started, fields)
            assert.truthy(message:find("route_native.jwt: jwks(): " .. sentence, 1, true), message)
        end
    end)

    describe("of oidc-provider", function()
        local function new_token()
            local output = process.run(("curl -sS -u test-client:Password1 -d grant_type=client_credentials "
                .. "-d scope=read http://127.0.0.1:%d/oauth/v2/oauth-token"):format(provider.port))
            return assert(cjson.decode(output), output).access_token
        end

        it("is followed through a rotation, and stays in use after its server's end", function()
            local before = new_token()
            assert.truthy(before:find("^eyJ"))
            assert.equal(200, get("provider", before).status)
            process.signal(provider.pid, "HUP")
            process.wait_until("the keys had changed", function()
                return process.read(provider.log):find("keys changed", 1, true)
            end)
            local after = new_token()
            process.wait_until("the new key was known", function() return get("provider", after).status == 200 end)
            -- The other worker checks for itself within a second.
            process.wait_until("the old key was gone", function() return get("provider", before).status == 401 end)
            process.stop(provider.pid)
            assert.equal(200, get("provider", after).status)
            process.wait_until("the failure was seen", function() return get("provider", before).status == 503 end)
            assert.equal(200, get("provider", after).status)
        end)
    end)
end)
