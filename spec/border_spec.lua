-- The border's three use cases over sockets, with every store.

local border = require "support.border"
local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"

for _, store in ipairs { "memory", "memcached", "redis" } do
    describe("a border with its sessions in " .. store, function()
        local running

        setup(function() running = assert(border.start { store = store }) end)
        teardown(function() running:stop() end)
        before_each(function() running:control("/reset") end)

        it("answers a script without a session with 401", function()
            for _, headers in ipairs {
                {}, { { "Accept", "application/json" } }, { { "Accept", "text/html" }, { "Sec-Fetch-Mode", "cors" } },
                { { "Accept", "text/html" }, { "X-Requested-With", "XMLHttpRequest" } },
            } do
                local response = running:client():request { path = "/b/x", headers = headers }
                assert.same({ 401, '{"code":"SESSION_EXPIRED"}', "application/json", "no-store", "Session" }, {
                    response.status, response.body, response.headers["content-type"], response.headers["cache-control"],
                    response.headers["www-authenticate"] })
                assert.is_nil(response.headers["set-cookie"])
            end
            assert.same({ 0, 0 }, { running:count("b"), running:count("auth") })
        end)

        it("redirects a page without a session to the login, and from there to the requested page", function()
            local browser = running:client()
            local first = browser:visit("/c/page?x=%2F1&y=")
            assert.same({ 302, "/account/login" }, { first.status, first.headers.location })
            assert.is_nil(browser:session())
            local page = browser:visit("/account/login")
            assert.equal(200, page.status)
            assert.truthy(page.body:find('name="username"', 1, true) and page.body:find('name="password"', 1, true))
            local response = browser:login()
            assert.same({ 303, "/c/page?x=%2F1&y=" }, { response.status, response.headers.location })
            assert.is_nil(browser.cookies.border_session_login)
            assert.equal(200, browser:visit(response.headers.location).status)
        end)

        it("exchanges the master token once, then sends the service token", function()
            local script = running:logged_in()
            for _ = 1, 3 do
                local response = script:get("/b/x")
                assert.equal(200, response.status)
                assert.truthy(cjson.decode(response.body).headers["auth-token"]:find("^b%-"))
            end
            assert.same({ 1, 3 }, { running:count("auth"), running:count("b") })
            assert.truthy(cjson.decode(script:get("/c/y").body).headers["auth-token"]:find("^c%-"))
            assert.equal(2, running:count("auth"))
        end)

        it("passes method, path, query and body on unchanged, without its own cookies", function()
            local script = running:logged_in()
            script.cookies.theirs = "kept"
            local body = ("x"):rep(300000)
            local response = script:request { method = "PUT", path = "/b/a%2Fb?q=%20&r", body = body,
                headers = { { "Auth-Token", "forged" }, { "X-Own", "1" } } }
            local seen = cjson.decode(response.body)
            assert.same({ "PUT", "/b/a%2Fb?q=%20&r", #body, "1", "theirs=kept" },
                { seen.method, seen.path, seen.body_bytes, seen.headers["x-own"], seen.headers.cookie })
            assert.truthy(seen.headers["auth-token"]:find("^b%-"))
        end)

        it("makes one exchange for a hundred concurrent first requests", function()
            local script = running:logged_in()
            running:fault("auth", "slow")
            local connections, cookie = {}, { { "Cookie", "border_session=" .. script:session() } }
            for i = 1, 100 do
                connections[i] = http.connect(running.port)
                http.send(connections[i], { path = "/b/x", headers = cookie })
            end
            local tokens = {}
            for _, connection in ipairs(connections) do
                local response = http.read_response(connection)
                assert.equal(200, response.status)
                tokens[cjson.decode(response.body).headers["auth-token"]] = true
                connection:close()
            end
            running:fault("auth", "ok")
            local different = 0
            for _ in pairs(tokens) do different = different + 1 end
            assert.same({ 1, 1 }, { running:count("auth"), different })
        end)

        it("keeps both tokens of two concurrent exchanges", function()
            local script = running:logged_in()
            running:fault("auth", "slow")
            local cookie = { { "Cookie", "border_session=" .. script:session() } }
            local one, two = http.connect(running.port), http.connect(running.port)
            http.send(one, { path = "/b/x", headers = cookie })
            http.send(two, { path = "/c/x", headers = cookie })
            assert.same({ 200, 200 }, { http.read_response(one).status, http.read_response(two).status })
            one:close()
            two:close()
            running:fault("auth", "ok")
            assert.same({ 200, 200 }, { script:get("/b/x").status, script:get("/c/x").status })
            assert.equal(2, running:count("auth"))
        end)

        it("replaces a token that its service refuses, and repeats the request with the body", function()
            local script = running:logged_in()
            local before = cjson.decode(script:get("/b/x").body).headers["auth-token"]
            running:control("/revoke?what=service")
            local response = script:request { method = "POST", path = "/b/x?y", body = ("z"):rep(200000) }
            assert.equal(200, response.status)
            assert.is_nil(response.headers["www-authenticate"])
            local seen = cjson.decode(response.body)
            assert.same({ "POST", "/b/x?y", 200000 }, { seen.method, seen.path, seen.body_bytes })
            assert.not_equal(before, seen.headers["auth-token"])
            running:control("/reset")
            assert.same({ 200, 0, 1 }, { script:get("/b/x").status, running:count("auth"), running:count("b") })
        end)

        it("deletes a token that its service refuses, also if the exchange fails", function()
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            running:control("/revoke?what=service")
            running:fault("auth", "error")
            assert.equal(503, script:get("/b/x").status)
            running:fault("auth", "ok")
            running:control("/reset")
            assert.same({ 200, 1, 1 }, { script:get("/b/x").status, running:count("b"), running:count("auth") })
        end)

        it("sends a request twice at most to a service that refuses every token", function()
            local script = running:logged_in()
            -- Service b also serves the service business, but accepts only tokens of b.
            local response = script:request { path = "/x", host = "business.example" }
            assert.same({ 401, '{"code":"UNAUTHORIZED"}', 2, 2 },
                { response.status, response.body, running:count("b"), running:count("auth") })
        end)

        it("ends the session when the auth service refuses its master token", function()
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            running:control("/revoke?what=master")
            local refused = script:get("/b/x")
            assert.same({ 401, '{"code":"SESSION_EXPIRED"}' }, { refused.status, refused.body })
            -- The cookie stays: the answer to a login may overtake this one.
            assert.is_nil(refused.headers["set-cookie"])
            assert.equal(401, script:get("/c/x").status)
        end)

        it("shows its own page for a service's 403", function()
            local script = running:logged_in()
            local json, page = script:get("/b/forbidden"), script:visit("/b/forbidden")
            assert.same({ 403, "FORBIDDEN" }, { json.status, cjson.decode(json.body).code })
            assert.same({ 403, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
            assert.is_nil((json.body .. page.body):find("SECRET_DETAIL", 1, true))
            running:control("/revoke?what=service")
            assert.equal(403, script:get("/b/forbidden").status)
            -- The auth service may answer 403 too.
            assert.equal(403, script:get("/never").status)
        end)

        it("invalidates an id at the logout, also for a running request", function()
            local script = running:logged_in()
            local stolen = { { "Cookie", "border_session=" .. script:session() } }
            running:fault("auth", "slow")
            local under_way = http.connect(running.port)
            http.send(under_way, { path = "/b/x", headers = stolen })
            process.wait_until("the exchange began", function() return running:count("auth") == 1 end)
            local response = script:request { method = "POST", path = "/logout" }
            assert.same({ 303, "/account/login" }, { response.status, response.headers.location })
            assert.is_nil(script:session())
            assert.equal(401, http.read_response(under_way).status)
            under_way:close()
            running:fault("auth", "ok")
            assert.equal(401, http.request(running.port, { path = "/b/x", headers = stolen }).status)
            assert.equal(401, http.request(running.port, { path = "/c/x", headers = stolen }).status)
        end)

        it("gives every login a new id, and invalidates the old one", function()
            local script = running:logged_in()
            local old = script:session()
            script:login()
            assert.not_equal(old, script:session())
            local replay = running:client()
            replay.cookies.border_session = old
            assert.same({ 401, 200 }, { replay:get("/b/x").status, script:get("/b/x").status })
        end)

        it("accepts no id that it has not signed", function()
            local script = running:logged_in()
            local id = script:session()
            local changed = id:sub(1, 19) .. (id:sub(20, 20) == "x" and "y" or "x") .. id:sub(21)
            for _, wrong in ipairs { "x", "", ("A"):rep(76), id:sub(1, 75), id:sub(1, 75) .. "!", id .. "A",
                ("x"):rep(4000), changed } do
                local other = running:client()
                other.cookies.border_session = wrong
                assert.equal(401, other:get("/b/x").status, wrong)
            end
            assert.equal(200, script:get("/b/x").status)
        end)

        it("reports a healthy store, as a page and as JSON", function()
            local json = running:client():get("/borderpatrol/health")
            local checks = '"checks":{"add":"ok","get":"ok","set":"ok","delete":"ok"}'
            assert.equal(200, json.status)
            assert.equal(('{"status":"ok","store":"%s",%s}\n'):format(store, checks), json.body)
            local page = running:client():visit("/borderpatrol/health")
            assert.same({ 200, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
        end)

        it("logs no tokens, ids or passwords", function()
            local script = running:logged_in()
            local token = cjson.decode(script:get("/b/x").body).headers["auth-token"]
            script:login("username=user%40example.com&password=wr0ng-pa55")
            process.wait_until("the log was written", function()
                return running.gateway:access_log():find('"status":401[^\n]*login_failed')
            end)
            local logs = running.gateway:access_log() .. running.gateway:error_log()
            for _, secret in ipairs { token, script:session(), "wr0ng%-pa55", "master%-" } do
                assert.is_nil(logs:find((secret:gsub("%-", "%%-")), 1))
            end
            -- A Lua error would be a 500. The only logged error is that of the auth service, which a test made fail.
            for line in running.gateway:error_log():gmatch("[^\n]*%[error%][^\n]*") do
                assert.truthy(line:find("the auth service: status 500", 1, true), line)
            end
        end)
    end)
end
