-- Phantom tokens: the lifetime of an answer, and one introspection for all requests that need it.

local cjson = require "cjson.safe"
local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"
local socket = require "socket"

local TOGETHER = 200

describe("the cache of phantom tokens", function()
    local running

    setup(function()
        running = phantom.start {
            listen = [[
                location = /status { stub_status; }
                location = /slow {
                    content_by_lua_block {
                        local dict = ngx.shared["other-name"]
                        local run = require("route_native.core.singleflight.shared").run
                        ngx.print(run(dict, "slow", function() end, function()
                            ngx.sleep(4) -- longer than the lock of a dead holder lasts
                            return "question " .. dict:incr("questions", 1, 0), false
                        end))
                    }
                }
                location = /garbage {
                    set $route_token ""; set $route_reason "";
                    include phantom_proxy.conf;
                    content_by_lua_block {
                        local run = require("route_native.phantom_token").run
                        local var = ngx.var
                        local function calls()
                            for _ = 1, 10000 do
                                var.phantom_by_variable = "1" -- as phantom_proxy.conf does for each request
                                run(config)
                            end
                        end
                        run(config)
                        calls()
                        collectgarbage() collectgarbage("stop")
                        local before = collectgarbage("count")
                        calls()
                        ngx.print(collectgarbage("count") - before)
                        collectgarbage("restart")
                    }
                }
                location = /keys {
                    content_by_lua_block { ngx.print(table.concat(ngx.shared["phantom-token"]:get_keys(0), "\n")) }
                }
            ]],
            http = function(self)
                return ([[init_by_lua_block { config = {
                    introspection_endpoint = "http://127.0.0.1:%d/introspect", client_id = "introspection-client",
                    client_secret = "x", token_cache_seconds = 900,
                } }]]):format(self.server.port)
            end,
            locations = {
                api = { token_cache_seconds = 900 },
                write = { token_cache_seconds = 900, scope = "write" },
                brief = { token_cache_seconds = 2 },
                never = { token_cache_seconds = 0 },
                forgetful = { inactive_cache_seconds = 0 },
                named = { headers = { ["X-Subject"] = "sub" } },
                bridged = { headers = { ["X-Subject"] = "sub" }, stale_if_error_seconds = 10 },
                soon = { inactive_cache_seconds = 1 },
            },
        }
    end)
    teardown(function() running:stop() end)

    local function jwt(name, cache_control, exp)
        return phantom.token({ kind = "jwt", claims = { sub = name, scope = "read", exp = exp },
            headers = cache_control and { ["Cache-Control"] = cache_control } }, name)
    end

    -- Returns the number of introspections for `count` requests with a token.
    local function questions(path, token, count)
        local before = #running:asked()
        for _ = 1, count do
            running:get(path, token)
        end
        return #running:asked() - before
    end

    local function asked_again(path, token)
        process.wait_until("the server was asked again", function() return questions(path, token, 1) == 1 end)
    end

    it("asks the server once for all workers", function()
        assert.equal(1, questions("/api", jwt("once"), 12))
    end)

    it("allocates no Lua memory for a token that the worker has cached", function()
        local token = jwt("garbage")
        local garbage
        -- Repeat until the worker has the token in its own cache, and the code is compiled.
        process.wait_until("there was none", function()
            garbage = tonumber(running:get("/garbage", token).body)
            return garbage and garbage < 8
        end)
    end)

    it("keeps nothing that the server forbids to cache", function()
        for _, header in ipairs { "no-store", "max-age=0", "private, no-cache", 'max-age="0"', "max-age=soon",
            "No-Store, max-age=60", "max-age=60, s-maxage=0" } do
            assert.equal(3, questions("/api", jwt("forbidden " .. header, header), 3), header)
        end
        assert.equal(2, questions("/never", jwt("never"), 2))
    end)

    it("keeps an answer for the shortest of its three lifetimes", function()
        local exp = os.time() + 2
        local by_header, by_setting, by_exp = jwt("header", "private, max-age=2"), jwt("setting", "max-age=60"),
            jwt("exp", "max-age=60", exp)
        assert.equal(1, questions("/api", by_header, 2))
        assert.equal(1, questions("/brief", by_setting, 2))
        local before = #running:asked()
        assert.equal(200, running:get("/api", by_exp).status)
        asked_again("/api", by_header)
        asked_again("/brief", by_setting)
        -- Never after the JWT's end; within the leeway, the server still accepts it.
        asked_again("/api", by_exp)
        -- time() may be some milliseconds behind nginx's clock.
        assert.truthy(socket.gettime() >= exp and #running:asked() > before)
    end)

    it("checks the scope of a cached token", function()
        local token = jwt("scope of hits")
        assert.equal(200, running:get("/api", token).status)
        local before = #running:asked()
        assert.equal(403, running:get("/write", token).status)
        assert.equal(200, running:get("/api", token).status)
        assert.equal(before, #running:asked())
    end)

    it("keeps an inactive token for inactive_cache_seconds", function()
        local function inactive(name)
            return phantom.token({ kind = "inactive", headers = { ["Cache-Control"] = "no-store" } }, name)
        end
        assert.equal(1, questions("/api", inactive("a"), 5))
        assert.equal(5, questions("/forgetful", inactive("b"), 5))
        local token = inactive("c")
        assert.equal(1, questions("/soon", token, 2))
        asked_again("/soon", token)
    end)

    it("keeps no failure of the server", function()
        local token = phantom.token { kind = "raw", status = 500, body = "" }
        assert.equal(2, questions("/api", token, 2))
    end)

    it("remembers for a moment an answer that is malformed, and logs which member is", function()
        local function active(name, members)
            members.active = true
            return phantom.token({ kind = "unsigned_answer", claims = members }, name)
        end
        assert.equal(1, questions("/named", active("text", { exp = "2030-01-01" }), 5))
        assert.equal(1, questions("/named", active("milliseconds", { exp = os.time() * 1000 }), 5))
        assert.equal(1, questions("/bridged", active("bridged", { nbf = "now" }), 5))
        assert.equal(5, questions("/forgetful", active("forgotten", { scope = 7 }), 5))
        local log = running.gate:error_log()
        for name, form in pairs { exp = "number of seconds", nbf = "number of seconds", scope = "text or a list" } do
            assert.truthy(log:find(('the member "%s" must be a %s'):format(name, form), 1, true), name)
        end
        assert.equal(503, running:get("/named", active("text", { exp = "2030-01-01" })).status)
        assert.equal(200, running:get("/named", active("null", { exp = cjson.null, scope = cjson.null })).status)
    end)

    it("holds digests, never tokens", function()
        local token = jwt("digest")
        running:get("/api", token)
        local keys = running:get("/keys").body
        assert.truthy(#keys >= 32)
        assert.is_nil(keys:find(token, 1, true))
    end)

    -- Sends many requests with one new token, and lets the server answer when all of them are waiting. Returns their
    -- statuses and the number of introspections.
    local function together(directive)
        directive.hold = running.directory .. "/" .. directive.name
        local token = phantom.token(directive, directive.name)
        local before, connections = #running:asked(), {}
        for i = 1, TOGETHER do
            connections[i] = http.connect(running.gate.port)
            http.send(connections[i], { path = "/api", headers = { { "Authorization", "Bearer " .. token } } })
        end
        process.wait_until("all requests were under way", function()
            local writing = tonumber(running:get("/status").body:match("Writing: (%d+)"))
            return writing > TOGETHER and #running:asked() > before
        end)
        process.write(directive.hold, "")
        local statuses = {}
        for _, connection in ipairs(connections) do
            local status = http.read_response(connection).status
            statuses[status] = (statuses[status] or 0) + 1
            connection:close()
        end
        return statuses, #running:asked() - before
    end

    for name, case in pairs {
        ["that may be kept"] = { { kind = "jwt", claims = { sub = "x" } }, 200 },
        ["that may not be kept"] = { { kind = "jwt", claims = {}, headers = { ["Cache-Control"] = "no-store" } }, 200 },
        ["that is not active"] = { { kind = "inactive" }, 401 },
        ["whose server fails"] = { { kind = "raw", status = 500 }, 503 },
    } do
        it("makes one introspection for 200 concurrent requests with a new token " .. name, function()
            case[1].name = name:gsub(" ", "-")
            local statuses, count = together(case[1])
            assert.same({ [case[2]] = TOGETHER }, statuses)
            assert.equal(1, count)
        end)
    end

    it("waits for an introspection that outlives its lock, without a second one", function()
        local connections = {}
        for i = 1, 4 do
            connections[i] = http.connect(running.gate.port)
            http.send(connections[i], { path = "/slow" })
        end
        for _, connection in ipairs(connections) do
            assert.equal("question 1", http.read_response(connection).body)
            connection:close()
        end
    end)

    it("waits a bounded time for a worker that died during its introspection", function()
        local hold = running.directory .. "/dead"
        local token = phantom.token({ kind = "jwt", claims = { sub = "dead" }, hold = hold }, "dead")
        local before = #running:asked()
        local orphan = http.connect(running.gate.port)
        http.send(orphan, { path = "/api", headers = { { "Authorization", "Bearer " .. token } } })
        process.wait_until("the server was asked", function() return #running:asked() > before end)
        local workers = running.gate:workers()
        for _, pid in ipairs(workers) do
            process.signal(pid, "KILL")
        end
        process.wait_until("the workers were replaced", function()
            for _, pid in ipairs(workers) do
                if process.alive(pid) then return false end
            end
            return #running.gate:workers() == #workers
        end)
        orphan:close()
        process.write(hold, "")
        local began = os.time()
        assert.equal(200, running:get("/api", token).status)
        assert.truthy(os.time() - began <= 10, os.time() - began)
        assert.equal(before + 2, #running:asked())
    end)
end)
