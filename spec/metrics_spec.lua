-- The metrics: their names, what they count, and that the numbers of all workers are one that never falls.

local auth = require "support.auth"
local border = require "support.border"
local cjson = require "cjson"
local desktops = require "support.desktops"
local gateway = require "support.gateway"
local http = require "support.http"
local metrics = require "support.metrics"
local oidc = require "support.oidc"
local phantom = require "support.phantom"
local process = require "support.process"
local revocation = require "support.revocation"
local tunnel = require "support.tunnel"
local websocket = require "support.websocket"

-- The families of all texts of this file: { type, labels } by name.
local seen = {}

-- Returns the metrics of a running nginx, which promtool must accept.
local function scrape(running)
    local text = metrics.text(running)
    assert.equal("", metrics.faults(text))
    for name, family in pairs(metrics.families(text)) do
        seen[name] = family
    end
    return text
end

local function read(path)
    return process.read(gateway.ROOT .. "/" .. path)
end

-- Starts the gateway with its shipped site and the locations that revoke.
local function start(options)
    options = options or {}
    return assert(gateway.start { env = options.env, workers = options.workers, keys = options.keys,
        prepare = function(self)
            local site = revocation.site(read "conf/sites-enabled/routehttp.conf"):gsub(
                "include desktop_server.conf;", function(found) return (options.locations or "") .. found end, 1)
            self.environment.SITE = self.directory .. "/site.conf"
            process.write(self.environment.SITE, site)
            if options.prepare then
                options.prepare(self)
            end
        end })
end

-- Sends requests until each worker has answered one. Returns how many that took.
local function ask_all_workers(running, bearer, workers)
    local asked, answered, count = 0, {}, 0
    while count < workers or asked < 50 do
        assert.equal(200, running:get("/spawner/" .. asked, bearer).status)
        answered[running:logged("/spawner/" .. asked).worker] = true
        count = 0
        for _ in pairs(answered) do
            count = count + 1
        end
        asked = asked + 1
    end
    return asked
end

local PASSED = { 'capability="desktop"', 'endpoint="spawner"', 'answer="passed"' }

describe("the metrics of the desktop gateway", function()
    it("sum the requests and cache answers of all workers", function()
        local running = start()
        local asked = ask_all_workers(running, running:mint("127.0.0.1"), 2)
        metrics.wait_for(running, asked, "requests_total", unpack(PASSED))
        metrics.wait_for(running, asked - 2, "cache_answers_total", 'capability="desktop"', 'tier="worker"')
        metrics.wait_for(running, 1, "cache_answers_total", 'capability="desktop"', 'tier="miss"')
        metrics.wait_for(running, 1, "cache_answers_total", 'capability="desktop"', 'tier="shared"')
        metrics.wait_for(running, 2, "cache_entries", 'capability="desktop"')
        local text = metrics.text(running)
        assert.equal(1, metrics.value(text, "resolve_seconds_count"))
        assert.equal(2, metrics.value(text, "workers"))
        assert.equal(1, metrics.value(text, "ready"))
        scrape(running)
        running:stop()
    end)

    it("lose nothing at a reload, not even what was counted right before it", function()
        local running = start()
        local bearer, asked = running:mint("127.0.0.1"), 0
        for _ = 1, 3 do
            for _ = 1, 20 do
                assert.equal(200, running:get("/spawner/x", bearer).status)
                asked = asked + 1
            end
            running:reload()
            assert.equal(asked, metrics.sum(metrics.text(running), "requests_total", unpack(PASSED)))
        end
        running:stop()
    end)

    it("never fall when a worker is killed, whose own state vanishes", function()
        local running = start()
        local bearer = running:mint("127.0.0.1", { claims = { sub = "ada", exp = os.time() + 300 } })
        local asked = ask_all_workers(running, bearer, 2)
        local sockets = {}
        for i = 1, 6 do
            sockets[i] = assert(websocket.open(running.port, { path = "/websockify",
                headers = { { "Authorization", "Bearer " .. bearer } } }))
        end
        process.wait_until("the connections were counted", function()
            return metrics.value(metrics.text(running), "open_connections") == 6
        end)
        metrics.wait_for(running, asked, "requests_total", unpack(PASSED))
        local killed = running:workers()
        for _, pid in ipairs(killed) do
            process.signal(pid, "KILL")
        end
        process.wait_until("others ran in their place", function()
            local now = running:workers()
            return #now == 2 and now[1] ~= killed[1] and now[2] ~= killed[2] and now[1] ~= killed[2]
        end)
        assert.equal(asked, metrics.sum(metrics.text(running), "requests_total", unpack(PASSED)))
        process.wait_until("the state of the killed workers had vanished", function()
            local text = metrics.text(running)
            assert.equal(asked, metrics.sum(text, "requests_total", unpack(PASSED)))
            return metrics.value(text, "workers") == 2 and metrics.value(text, "open_connections") == 0
        end)
        for _, one in ipairs(sockets) do
            one.connection:close()
        end
        running:stop()
    end)

    it("tell why requests were refused, with the reasons of the access log", function()
        local running = start()
        local expired = running:mint("127.0.0.1", { claims = { exp = os.time() - 3600 } })
        local foreign = running:mint("127.0.0.1", { key = running.keys.other_private })
        for bearer, reason in pairs { [expired] = "token_expired", [foreign] = "signature_invalid",
            ["a.b"] = "token_malformed" } do
            assert.equal(401, running:get("/filer/x", bearer).status)
            metrics.wait_for(running, 1, "requests_total", 'endpoint="filer"', 'answer="401"',
                ('reason="%s"'):format(reason))
        end
        assert.equal(401, running:get("/filer/x").status)
        assert.equal(426, running:get("/websockify", expired).status)
        assert.equal(403, running:request { path = "/spawner",
            headers = { { "Sec-Fetch-Mode", "navigate" }, { "Sec-Fetch-Site", "cross-site" } } }.status)
        metrics.wait_for(running, 1, "requests_total", 'answer="401"', 'reason="token_missing"')
        metrics.wait_for(running, 1, "requests_total", 'answer="426"', 'reason="upgrade_required"')
        metrics.wait_for(running, 1, "requests_total", 'answer="403"', 'reason="cross_site_link"')
        metrics.wait_for(running, 6, "requests_total")
        running:stop()
        -- Without keys, no request is checked.
        running = start { keys = { signing_public = "/none", payload_private = "/none" } }
        assert.equal(503, running:get("/filer/x", "a.b.c").status)
        local text = metrics.wait_for(running, 1, "requests_total", 'answer="503"', 'reason="key_unreadable"')
        -- That 503 is ours, and no upstream's.
        assert.equal(0, metrics.sum(text, "upstream_errors_total"))
        running:stop()
    end)

    it("count each failure of a desktop once, and by its reason", function()
        local directory = process.temporary_directory()
        local running = start { env = {
            SPAWNER_SERVICE_TCP_PORT = process.free_port(),
            SNAPSHOT_SERVICE_TCP_PORT = desktops.start("broken_desktop.py", directory),
        } }
        local bearer = running:mint("127.0.0.1")
        for path, reason in pairs { ["/spawner/x"] = "desktop_refused", ["/snapshot/closed"] = "desktop_answer_invalid",
            ["/snapshot/interim"] = "desktop_answer_invalid", ["/snapshot/own"] = "" } do
            local before = metrics.sum(metrics.text(running), "upstream_errors_total")
            local label = ('reason="%s"'):format(reason)
            local alike = metrics.sum(metrics.text(running), "upstream_errors_total", label)
            assert.equal(502, running:get(path, bearer).status)
            local text = metrics.wait_for(running, before + 1, "upstream_errors_total")
            assert.equal(alike + 1, metrics.sum(text, "upstream_errors_total", 'status="502"', label), path)
        end
        -- Without a status line the connection ends.
        assert.is_nil(running:get("/snapshot/garbage", bearer))
        assert.equal(200, running:get("/snapshot/fine", bearer).status)
        metrics.wait_for(running, 6, "requests_total", 'answer="passed"')
        assert.equal(5, metrics.sum(scrape(running), "upstream_errors_total"))
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    it("count a limit and a vain wait as refusals, and no request twice", function()
        local running = start { env = { ROUTE_LIMIT_TOKEN_RATE = 2, ROUTE_DESKTOP_WAIT = 1,
            SPAWNER_SERVICE_TCP_PORT = process.free_port() } }
        assert.equal(503, running:get("/spawner/x", running:mint("127.0.0.1")).status)
        metrics.wait_for(running, 1, "requests_total", 'answer="503"', 'reason="desktop_starting"')
        local bearer, limited, asked = running:mint("127.0.0.1"), 0, 0
        while limited == 0 do
            limited = limited + (running:get("/filer/x", bearer).status == 429 and 1 or 0)
            asked = asked + 1
        end
        local text = metrics.wait_for(running, asked + 1, "requests_total")
        assert.equal(1, metrics.sum(text, "requests_total", 'answer="429"', 'reason="token_rate"'))
        assert.equal(asked - 1, metrics.sum(text, "requests_total", 'answer="passed"'))
        running:stop()
    end)

    it("have no name from a client, and a bounded number of endpoints", function()
        local running = start { workers = 1, locations = [[
            location = /.any {
                set $endpoint $arg_name; set $target ""; set $query_token "";
                access_by_lua_block { require("route_native").resolve() }
                content_by_lua_block { ngx.print "passed" }
            }
        ]] }
        local connection = http.connect(running.port)
        for i = 1, 200 do
            http.send(connection, { path = "/.any?name=" .. (i == 1 and "%0Aa%22" or "name" .. i) .. "&x=1" })
            http.read_response(connection)
        end
        connection:close()
        local text = metrics.wait_for(running, 200, "requests_total", 'answer="401"')
        local _, names = text:gsub("\nroute_native_requests_total%b{}", "")
        assert.equal(65, names)
        assert.equal("", metrics.faults(text))
        assert.equal(200 - 64, metrics.sum(text, "requests_total", 'endpoint="other"'))
        running:stop()
    end)

    it("tell when each key was last used, under the names of the configured keys alone", function()
        local running = start { prepare = function(self)
            local jwk = process.run("/usr/bin/python3 spec/support/jwks.py " .. self.keys.signing_private .. " "
                .. self.keys.other_private)
            local keys = {}
            for i, line in ipairs { jwk:match("^(.-)\n(.-)\n") } do
                keys[i] = cjson.decode(cjson.decode(line)[1])
                keys[i].kid = i == 1 and "used" or "unused"
            end
            process.write(self.directory .. "/jwks", cjson.encode { keys = keys })
            self.environment.JWT_DESKTOP_SIGNING_PUBLIC_KEY = self.directory .. "/jwks"
        end }
        local before = os.time()
        assert.equal(200, running:get("/spawner/x", running:mint("127.0.0.1", { header = { kid = "used" } })).status)
        assert.equal(401, running:get("/spawner/x", running:mint("127.0.0.1", { header = { kid = "mine" } })).status)
        local used, text = process.wait_until("the use was told", function()
            local text = metrics.text(running)
            local at = metrics.value(text, 'key_last_used_timestamp_seconds{kid="used"}')
            return at ~= 0 and at
        end), metrics.text(running)
        assert.is_true(used >= before and used <= os.time())
        assert.equal(0, metrics.value(text, 'key_last_used_timestamp_seconds{kid="unused"}'))
        assert.is_nil(text:find("mine", 1, true))
        running:reload()
        assert.equal(used, metrics.value(metrics.text(running), 'key_last_used_timestamp_seconds{kid="used"}'))
        running:stop()
    end)

    it("tell when the certificates of the configuration expire, and forget those of an earlier one", function()
        local running = start { prepare = function(self)
            for name, key in pairs { sign = self.keys.signing_private, tls = self.keys.other_private } do
                local output, status = process.run(("openssl req -x509 -key %s -subj /CN=x -days %d -out %s/%s.pem")
                    :format(key, name == "sign" and 2 or 9, self.directory, name))
                assert(status == 0, output)
            end
            self.environment.JWT_DESKTOP_SIGNING_PUBLIC_KEY = self.directory .. "/sign.pem"
            self.environment.ROUTE_TLS_CERTIFICATE = self.directory .. "/tls.pem"
            self.environment.ROUTE_TLS_CERTIFICATE_KEY = self.keys.other_private
            self.environment.ROUTE_TLS_LISTEN = "127.0.0.1:" .. process.free_port()
        end }
        local text = scrape(running)
        for name, days in pairs { sign = 2, tls = 9 } do
            local file = ('{file="%s/%s.pem"}'):format(running.directory, name)
            local expires = metrics.value(text, "certificate_expiry_timestamp_seconds" .. file)
            assert.is_true(math.abs(expires - os.time() - days * 86400) < 600, expires)
            local modified = metrics.value(text, "key_file_modified_timestamp_seconds" .. file)
            assert.is_true(math.abs(modified - os.time()) < 600, modified)
        end
        -- The next configuration has another file, without a certificate.
        local site = running.directory .. "/site.conf"
        process.write(site, (process.read(site):gsub('require%("route_native"%).setup%(%)',
            ('require("route_native").setup { signing_key = "%s" }'):format(running.keys.signing_public))))
        running:reload()
        text = metrics.text(running)
        assert.truthy(text:find("signing_public.pem", 1, true))
        assert.is_nil(text:find("/sign.pem", 1, true))
        assert.truthy(text:find("/tls.pem", 1, true))
        running:stop()
    end)

    it("count revocations, and the connections that they ended", function()
        local running = start()
        local claims = { sub = "ada", iat = os.time() - 9, exp = os.time() + 300 }
        local bearer = running:mint("127.0.0.1", { claims = claims })
        local victim = assert(websocket.open(running.port, { path = "/websockify",
            headers = { { "Authorization", "Bearer " .. bearer } } }))
        assert(revocation.revoke(running.port, { sub = "ada" }))
        process.wait_until("the end was counted", function()
            return metrics.value(metrics.text(running), "connections_ended_total") == 1
        end)
        victim.connection:close()
        revocation.wait_for(401, function() return running:get("/spawner", bearer).status end)
        assert.equal(1, metrics.value(scrape(running), "revocations"))
        running:stop()
    end)

    it("are complete for a full dictionary: it evicts nothing, and the log says so once", function()
        local running = assert(gateway.start { workers = 1, demo = false, prepare = function(self)
            process.run(("cp -r %s/conf %s/conf && sed -i 's/metrics 1m/metrics 12k/' %s/conf/revocation_http.conf")
                :format(gateway.ROOT, self.directory, self.directory))
            self.environment.CONF = self.directory .. "/conf"
        end })
        process.wait_until("the log told of it", function()
            running:get("/spawner", "a.b.c")
            return running:error_log():find("lua_shared_dict metrics is full", 1, true)
        end)
        local function first()
            return metrics.text(running):match("\nroute_native_cache_answers_total(%b{}) 0\n")
        end
        local before = first()
        for _ = 1, 3 do
            running:get("/filer", "a.b.c")
            running:get("/snapshot", "a.b.c")
            assert.equal(before, first())
        end
        assert.equal(1, select(2, running:error_log():gsub("metrics is full", "")))
        running:stop()
    end)
end)

describe("/metrics", function()
    it("is read with GET, by whoever names a host of the admin server", function()
        local port = process.free_port()
        local running = assert(gateway.start { demo = false, env = { ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. port } })
        local function ask(host, method)
            return http.request(port, { path = "/metrics", method = method, headers = { { "Host", host } } })
        end
        assert.equal(200, ask("127.0.0.1").status)
        assert.equal("text/plain; version=0.0.4; charset=utf-8", ask("localhost").headers["content-type"])
        assert.equal(421, ask("evil.example").status)
        assert.equal(405, ask("localhost", "POST").status)
        assert.is_nil(running:get("/metrics").body:find("route_native", 1, true))
        running:stop()
    end)
end)

describe("the metrics of", function()
    it("auth count checks, logins and fetches of JWK Sets", function()
        local directory, jwks_port = auth.directory(), process.free_port()
        local running = assert(auth.start(directory, (read("examples/auth/site.conf")
            :gsub("init_by_lua_block {", "lua_shared_dict route_native_jwks 1m;\n%0", 1)
            :gsub('require "jwt%-secret"', ([[%%0
                guard = require("route_native.auth").prepare_check {
                    key = require("route_native.jwt").jwks { url = "http://127.0.0.1:%d/keys?secret=1" } }]])
                :format(jwks_port), 1)
            :gsub("location = /secure {", [[location = /published {
                access_by_lua_block { require("route_native.auth").check(guard) }
                content_by_lua_block { ngx.print "passed" }
            }
            %0]], 1)
            .. ([[server {
                listen 127.0.0.1:%d;
                location = /keys { return 200 '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"published 1","x":"%s"}]}'; }
            }]]):format(jwks_port, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))))
        local function login(password)
            return auth.post(running, "/login", ('{"username":"demo","password":"%s"}'):format(password))
        end
        local bearer = cjson.decode(login("demo").body).token
        assert.equal(401, login("wrong").status)
        assert.equal(200, running:get("/secure", bearer).status)
        assert.equal(401, running:get("/secure", "a.b.c").status)
        assert.equal(401, running:get("/published", bearer).status)
        metrics.wait_for(running, 1, "requests_total", 'capability="auth"', 'answer="passed"')
        metrics.wait_for(running, 2, "requests_total", 'capability="auth"', 'answer="401"')
        metrics.wait_for(running, 1, "logins_total", 'capability="auth"', 'result="success"')
        metrics.wait_for(running, 1, "logins_total", 'capability="auth"', 'result="failure"')
        local url = ('{url="http://127.0.0.1:%d/keys"'):format(jwks_port)
        local text = scrape(running)
        assert.equal(1, metrics.value(text, ("jwks_fetches_total%s,result=\"ok\"}"):format(url)))
        local fetched = metrics.value(text, "jwks_last_success_timestamp_seconds" .. url .. "}")
        assert.is_true(math.abs(fetched - os.time()) < 600)
        assert.is_true(metrics.value(text, "jwks_age_seconds" .. url .. "}") < 600)
        assert.equal(0, metrics.value(text, 'key_last_used_timestamp_seconds{kid="published 1"}'))
        assert.is_nil(text:find("secret=1", 1, true))
        running:stop()
    end)

    it("phantom tokens count introspections and the caches", function()
        local running = phantom.start { workers = 1,
            http = function()
                return "include revocation_http.conf; include admin.conf;\n"
                    .. 'init_by_lua_block { require("route_native.hooks").start(function() end) }'
            end,
            locations = { api = {}, write = { scope = "write" } },
        }
        local directive = { kind = "jwt", claims = { scope = "read", exp = os.time() + 300 } }
        for _ = 1, 4 do
            assert.equal(200, running:get("/api", directive).status)
        end
        assert.equal(403, running:get("/write", directive).status)
        assert.equal(401, running:get("/api").status)
        metrics.wait_for(running.gate, 4, "requests_total", 'capability="phantom"', 'answer="passed"')
        local text = scrape(running.gate)
        assert.equal(1, metrics.sum(text, "requests_total", 'answer="403"', 'reason="scope_insufficient"'))
        assert.equal(1, metrics.sum(text, "requests_total", 'answer="401"', 'reason="token_missing"'))
        assert.equal(1, metrics.value(text, "introspection_seconds_count"))
        -- The first answer is a miss, the second comes from the dictionary, and the others from the worker.
        for tier, count in pairs { miss = 1, shared = 1, worker = 3, stale = 0 } do
            assert.equal(count, metrics.sum(text, "cache_answers_total", 'capability="phantom"',
                ('tier="%s"'):format(tier)), tier)
        end
        running:stop()
    end)

    it("border sessions have the older page's numbers too, and time the store", function()
        local running = assert(border.start {})
        local client = running:logged_in()
        assert.equal(200, client:get("/b/x").status)
        assert.equal(401, running:client():get("/b/x").status)
        assert.equal(401, running:client():login("username=user%40example.com&password=wrong").status)
        assert.equal(303, client:request { method = "POST", path = "/logout" }.status)
        metrics.wait_for(running.gateway, 1, "requests_total", 'capability="border"', 'endpoint="b"', 'answer="passed"')
        metrics.wait_for(running.gateway, 1, "requests_total", 'capability="border"', 'reason="session_missing"')
        for _, event in ipairs {
            "login.success", "login.failure", "logout", "session.missing", "service_token.fetched",
        } do
            local count = running:counter(event)
            assert.is_true(count > 0, event)
            metrics.wait_for(running.gateway, count, "border_events_total", ('event="%s"'):format(event))
        end
        local text = scrape(running.gateway)
        assert.equal(1, metrics.sum(text, "logins_total", 'capability="border"', 'result="success"'))
        for _, operation in ipairs { "add", "get", "swap", "touch", "delete" } do
            local series = ('store_seconds_count{store="memory",operation="%s"}'):format(operation)
            assert.is_true(metrics.value(text, series) > 0, operation)
        end
        running:stop()
    end)

    it("OpenID Connect count logins, sessions and refusals", function()
        local running = assert(oidc.start {})
        assert.equal(200, http.request(running.port, { path = "/readyz" }).status)
        assert.equal(200, running:logged_in():get("/app/x").status)
        assert.equal(401, running:browser():get("/app/x").status)
        metrics.wait_for(running.gateway, 1, "requests_total", 'capability="oidc"', 'answer="401"',
            'reason="session_missing"')
        metrics.wait_for(running.gateway, 1, "requests_total", 'capability="oidc"', 'answer="302"',
            'reason="session_missing"')
        metrics.wait_for(running.gateway, running:counter("login.success"), "oidc_events_total",
            'event="login.success"')
        local text = scrape(running.gateway)
        assert.is_true(metrics.sum(text, "requests_total", 'capability="oidc"', 'answer="passed"') > 0)
        assert.is_true(metrics.sum(text, "oidc_events_total", 'event="login.success"') > 0)
        running:stop()
    end)

    it("tunnels behind nginx count registrations and viewers, and the server has both names", function()
        local running = assert(tunnel.start { ids = { "one" } })
        assert.equal(200, running:get("/one/status/200").status)
        local claims = { tid = "two", exp = os.time() + 300 }
        local wrong = auth.token(running.directory, claims, ("x"):rep(32))
        assert.equal(401, running:get("/", { { "Authorization", "Bearer " .. wrong },
            { "x-websocktunnel-id", "two" } }).status)
        metrics.wait_for(running.nginx, 2, "requests_total", 'capability="tunnel"', 'answer="passed"')
        metrics.wait_for(running.nginx, 1, "requests_total", 'capability="tunnel"', 'answer="401"',
            'reason="signature_invalid"')
        scrape(running.nginx)
        local server = running:busier_and_other()
        local page = http.request(server.metrics_port, { path = "/metrics" }).body
        assert.equal("", metrics.faults(page))
        local old = page:match("\nwebsocktunnel_clients (%d+)\n")
        assert.same({ "1", "1" }, { old, page:match("\nroute_native_tunnel_clients (%d+)\n") })
        running:stop()
    end)
end)

describe("the table of docs/control.md", function()
    it("has each metric of these texts with its type and labels, and no other", function()
        local rows, count = {}, 0
        for name, kind, labels in read("docs/control.md"):gmatch("\n| `([%w_]+)` | (%l+) | ([^|]-) | ") do
            rows[name] = { type = kind, labels = (labels:gsub("`", "")) }
            count = count + 1
        end
        assert.is_true(count > 20)
        assert.same(rows, seen)
    end)
end)

describe("the reasons of refusals", function()
    it("are all known to the metrics, which would count another as `other`", function()
        local known = read("src/metrics/families.rs") .. read("src/error.rs")
        local found = 0
        local files = process.run("grep -rhoE '(refused\\(|reason = )[^)]*\"[a-z_]+\"' lua/route_native conf")
        for line in files:gmatch("[^\n]+") do
            local reason = line:match('"([a-z_]+)"$')
            if line:find("refused(", 1, true) and not line:find('"session_"', 1, true) then
                assert.truthy(known:find('"' .. reason .. '"', 1, true), line)
                found = found + 1
            end
        end
        assert.is_true(found > 8, found)
    end)
end)
