-- Phantom tokens: every fault of the authorization server is a fast 503, never a 401.

local cjson = require "cjson.safe"
local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"

local TEN_MEGABYTES = 10 * 1024 * 1024

describe("an authorization server that", function()
    local running, certificate

    -- Makes a self-signed certificate for localhost.
    local function make_certificate(directory)
        local output, status = process.run(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
            .. "-addext subjectAltName=DNS:localhost -keyout %s/tls.key -out %s/tls.crt"):format(directory, directory))
        assert(status == 0, output)
        return { cert = directory .. "/tls.crt", key = directory .. "/tls.key", directory = directory }
    end

    setup(function()
        running = phantom.start {
            locations = {
                api = { trusted_web_origins = { "https://app.example.com" } },
                stopped = { introspection_endpoint = ("http://127.0.0.1:%d/"):format(process.free_port()) },
                unresolved = { introspection_endpoint = "http://no-such-host.invalid/" },
                stale = { stale_if_error_seconds = 60 },
                abortable = {},
            },
            bare = function()
                return {
                    bare = {},
                    bare_stopped = { introspection_endpoint = ("http://127.0.0.1:%d/"):format(process.free_port()) },
                }
            end,
            includes = { abortable = "lua_check_client_abort on;" },
            listen = "location = /status { stub_status; }",
            env = { NAMESERVER_RESOLVER = "127.0.0.1:" .. process.free_port() },
        }
    end)
    teardown(function() running:stop() end)

    local function is_server_error(response)
        assert.equal(503, response.status, response.body)
        assert.same({ code = "server_error", message = "The token cannot be checked now, try again later" },
            cjson.decode(response.body))
        assert.equal("5", response.headers["retry-after"])
        assert.is_nil(response.headers["www-authenticate"])
    end

    local function raw(status, content_type, body, headers)
        headers = headers or {}
        headers["content-type"] = content_type
        return { kind = "raw", status = status, body = body, headers = headers }
    end

    for name, directive in pairs {
        ["answers 500"] = raw(500, "application/json", '{"secret":"internal"}'),
        ["answers 401, our own credentials being wrong"] = raw(401, "application/json", '{"error":"invalid_client"}'),
        ["answers 400"] = raw(400, "application/json", '{"error":"invalid_request"}'),
        ["answers 429"] = raw(429, "text/plain", "slow down"),
        ["answers 404"] = raw(404, "text/html", "<p>"),
        ["redirects"] = raw(302, "text/plain", "", { location = "http://127.0.0.1:1/" }),
        ["redirects within nginx"] = raw(200, "application/jwt", "", { ["x-accel-redirect"] = "/api" }),
        ["has the wrong content type"] = raw(200, "text/html", "<html>"),
        ["has no content type"] = { kind = "raw", status = 200, body = "x" },
        ["calls JSON a JWT"] = raw(200, "application/jwt", '{"active":true}'),
        ["answers an empty JWT"] = raw(200, "application/jwt", ""),
        ["answers JSON that is none"] = raw(200, "application/json", '{"active":true'),
        ["answers two opinions"] = raw(200, "application/json", '{"active":false,"active":true}'),
        ["answers active as a string"] = raw(200, "application/json", '{"active":"true"}'),
        ["answers JSON without active"] = raw(200, "application/json", "{}"),
        ["answers a wrong-typed exp"] = { kind = "jwt", claims = { exp = "never" } },
        ["answers a wrong-typed scope"] = { kind = "jwt", claims = { scope = 7 } },
        ["answers garbage"] = { kind = "garbage" },
        ["breaks off"] = { kind = "truncated" },
        ["sends 10 MB"] = { kind = "large", bytes = TEN_MEGABYTES },
        ["sends 10 MB in chunks"] = { kind = "large", bytes = TEN_MEGABYTES, chunked = true },
    } do
        it(name .. " gives a 503", function()
            local response = running:get("/api", directive, { Origin = "https://app.example.com" })
            is_server_error(response)
            assert.equal("https://app.example.com", response.headers["access-control-allow-origin"])
            is_server_error(running:get_bare("/bare", directive))
        end)
    end

    it("uses any form of HTTP/1.1 is understood without phantom_token.conf", function()
        for name, more in pairs {
            length = {}, chunks = { chunked = true }, close = { until_close = true }, interim = { interim = true },
        } do
            more.kind, more.claims = "jwt", { sub = name }
            assert.equal(200, running:get_bare("/bare", more).status, name)
        end
        -- Two lengths, or a length and chunks, are ambiguous: one reading of this answer says "not active".
        local plain, chunks = '{"active":false}', '10\r\n{"active":false}\r\n0\r\n\r\n'
        for head, body in pairs {
            ["Content-Length: 16\r\nTransfer-Encoding: chunked"] = chunks,
            ["Transfer-Encoding: gzip, chunked"] = chunks,
            ["Transfer-Encoding: chunked"] = chunks:gsub("0\r\n\r\n$", ""),
            ["Content-Length: 16\r\nContent-Length: 17"] = plain,
            ["Content-Length: -16"] = plain,
            ["Content-Length: 17"] = plain,
        } do
            is_server_error(running:get_bare("/bare", { kind = "bytes",
                text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" .. head .. "\r\n\r\n" .. body }))
        end
    end)

    it("is stopped gives a 503", function()
        is_server_error(running:get("/stopped", "opaque"))
        is_server_error(running:get_bare("/bare_stopped", "opaque"))
    end)

    it("hangs, answers slowly or has no address gives a 503 within seconds", function()
        local connections = {}
        for path, directive in pairs { ["/api"] = { kind = "hang" }, ["/api?"] = { kind = "slow_headers" },
            ["/unresolved"] = { kind = "inactive" }, ["/bare"] = { kind = "hang" },
            ["/bare?"] = { kind = "slow_headers" }, ["/bare??"] = { kind = "slow_body" },
            ["/api??"] = { kind = "stalled_body" } } do
            local connection = http.connect(path:find("bare") and running.bare_port or running.gate.port)
            http.send(connection, { path = path,
                headers = { { "Authorization", "Bearer " .. phantom.token(directive) } } })
            connections[#connections + 1] = connection
        end
        local began = os.time()
        for _, connection in ipairs(connections) do
            is_server_error(http.read_response(connection))
            connection:close()
        end
        assert.truthy(os.time() - began <= 8)
    end)

    it("fails later is bridged by the last good answer, if stale_if_error_seconds is set", function()
        local path = running.directory .. "/failing"
        -- The answer is good until the file exists: one token has one directive, so the server itself must change.
        local token = phantom.token { kind = "jwt", claims = { sub = "stale" }, fails_if = path,
            headers = { ["cache-control"] = "max-age=1" } }
        assert.equal(200, running:get("/stale", token).status)
        process.write(path, "")
        local before = #running:asked()
        process.wait_until("the server was asked again, and failed", function()
            assert.equal(200, running:get("/stale", token).status)
            return #running:asked() > before
        end)
        is_server_error(running:get("/api", token))
    end)

    describe("gets the question of a client that disconnects", function()
        local path, before

        -- Sends a new token, disconnects before the server answers, and lets it answer when nginx has noticed.
        local function go_away(location, noticed)
            path = running.directory .. "/" .. location
            local token = phantom.token({ kind = "jwt", claims = { sub = "gone" }, hold = path }, location)
            before = #running:asked()
            local connection = http.connect(running.gate.port)
            http.send(connection, { path = "/" .. location, headers = { { "Authorization", "Bearer " .. token } } })
            process.wait_until("the server was asked", function() return #running:asked() > before end)
            connection:close()
            process.wait_until("nginx had noticed", noticed)
            process.write(path, "")
            return token
        end

        it("still answers all other requests", function()
            local token = go_away("api", function() return true end)
            assert.equal(200, running:get("/api", token).status)
            assert.equal(before + 1, #running:asked())
        end)

        it("gets another request within a bounded time if the disconnect ends the first", function()
            local token = go_away("abortable", function()
                return running:get("/status").body:find("Writing: 1 ", 1, true)
            end)
            local began = os.time()
            assert.equal(200, running:get("/abortable", token).status)
            assert.truthy(os.time() - began <= 10, os.time() - began)
            assert.equal(before + 2, #running:asked())
        end)
    end)

    -- Texts that no log may contain: beginnings of tokens and JWTs, and the gateway's own credentials.
    local function logs_hold_no_secret(gate)
        local logs = gate:error_log() .. gate:access_log()
        assert.truthy(#logs > 1000)
        for _, secret in ipairs { "eyJ", "s p:%&", "s%20p", "aW50cm9zcGVjdGlvbi1jbGllbnQ", "introspection-client" } do
            assert.is_nil(logs:find(secret, 1, true), secret)
        end
    end

    it("fails in any way leaves no token and no secret in a log", function()
        logs_hold_no_secret(running.gate)
    end)

    describe("speaks TLS", function()
        local secure, hosts

        setup(function()
            certificate = make_certificate(process.temporary_directory())
            secure = phantom.start {
                tls = certificate,
                env = { ROUTE_CA_FILE = certificate.cert },
                http = function(self)
                    return ([[
                        upstream kept { server 127.0.0.1:%d; keepalive 4; }
                        lua_ssl_trusted_certificate %s;
                        init_by_lua_block {
                            require("route_native.phantom_token").prepare {
                                introspection_endpoint = "https://localhost:%d/introspect", upstream = "kept",
                                client_id = "x", client_secret = "x",
                            }
                        }
                    ]]):format(self.server.port, certificate.cert, self.server.port)
                end,
                bare = function(self)
                    local port = self.server.port
                    return {
                        verified = { introspection_endpoint = ("https://localhost:%d/introspect"):format(port) },
                        misnamed = { introspection_endpoint = ("https://127.0.0.1:%d/introspect"):format(port) },
                        unverified = { introspection_endpoint = ("https://127.0.0.1:%d/introspect"):format(port),
                            verify_ssl = false },
                    }
                end,
                locations = function(self)
                    local port = self.server.port
                    hosts = {
                        named = ("https://localhost:%d/introspect"):format(port),
                        other = ("https://127.0.0.1:%d/introspect"):format(port),
                    }
                    return {
                        verified = { introspection_endpoint = hosts.named },
                        misnamed = { introspection_endpoint = hosts.other },
                        unverified = { introspection_endpoint = hosts.other, verify_ssl = false },
                        kept = { introspection_endpoint = hosts.named, upstream = "kept" },
                        kept_unverified = { introspection_endpoint = hosts.named, upstream = "kept",
                            verify_ssl = false },
                        kept_other = { introspection_endpoint = hosts.other, upstream = "Kept" },
                        kept_plain = { introspection_endpoint = hosts.named:gsub("https", "http"), upstream = "kept" },
                    }
                end,
            }
        end)
        teardown(function()
            secure:stop()
            process.run("rm -rf " .. certificate.directory)
        end)

        it("gets requests if its certificate is valid, and none otherwise", function()
            assert.equal(200, secure:get("/verified", { kind = "jwt", claims = { sub = "tls" } }).status)
            local before = #secure:asked()
            is_server_error(secure:get("/misnamed", { kind = "jwt", claims = { sub = "tls" } }))
            assert.equal(before, #secure:asked())
            assert.truthy(secure.gate:error_log():find("upstream SSL certificate does not match", 1, true))
            assert.equal(200, secure:get("/unverified", { kind = "jwt", claims = { sub = "tls" } }).status)
            local asked = #secure:asked()
            local directive = { kind = "jwt", claims = { sub = "direct" } }
            assert.equal(200, secure:get_bare("/verified", directive).status)
            is_server_error(secure:get_bare("/misnamed", directive))
            assert.equal(asked + 1, #secure:asked())
            assert.equal(200, secure:get_bare("/unverified", directive).status)
            logs_hold_no_secret(secure.gate)
        end)

        it("needs an upstream block of its own, because kept connections may be unverified", function()
            assert.equal(200, secure:get("/kept", { kind = "jwt", claims = { sub = "own" } }).status)
            local before = #secure:asked()
            for _, path in ipairs { "/kept_unverified", "/kept_other", "/kept_plain" } do
                local logged = #secure.gate:error_log()
                assert.equal(500, secure:get(path, { kind = "jwt", claims = { sub = "own" } }).status, path)
                assert.truthy(secure.gate:error_log():sub(logged + 1):lower():find("phantom_token: upstream kept is "
                    .. "in use already for https://localhost with verify_ssl = true", 1, true), path)
            end
            assert.equal(before, #secure:asked())
        end)

        it("gets requests over kept connections of an upstream block, with its own host name", function()
            local before = #secure:asked()
            for i = 1, 12 do
                assert.equal(200, secure:get("/kept", { kind = "jwt", claims = { sub = "kept " .. i } }).status)
            end
            local connections, count = {}, 0
            for i, question in ipairs(secure:asked()) do
                if i > before then
                    count = count + (connections[question.connection] and 0 or 1)
                    connections[question.connection] = true
                    assert.equal("localhost:" .. secure.server.port, question.headers.host)
                end
            end
            -- One connection for each of the two workers.
            assert.truthy(count <= 2, count)
        end)
    end)
end)
