-- Random tokens cost a bounded number of questions, and what is remembered of them evicts no active token.

local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"

describe("a flood of tokens", function()
    local running

    setup(function()
        running = phantom.start {
            workers = 1,
            http = function() return "lua_shared_dict tiny 40k; lua_shared_dict apart 40k; "
                .. "lua_shared_dict apart-refused 40k; lua_shared_dict counted 1m; "
                .. "lua_shared_dict counted-refused 1m;" end,
            listen = [[
                location = /count {
                    content_by_lua_block {
                        local counts = {}
                        for i, name in ipairs { "tiny", "apart", "apart-refused" } do
                            local dict, active, others = ngx.shared[name], 0, 0
                            for _, key in ipairs(dict:get_keys(0)) do
                                if tostring(dict:get(key)):sub(1, 1) == "A" then
                                    active = active + 1
                                else
                                    others = others + 1
                                end
                            end
                            counts[i] = active .. " " .. (others > 0 and "others" or "none")
                        end
                        ngx.print(table.concat(counts, ", "))
                    }
                }
            ]],
            locations = {
                tiny = { cache_name = "tiny", inactive_cache_seconds = 60 },
                apart = { cache_name = "apart", inactive_cache_seconds = 60 },
                few = { max_introspections = 2 },
                counted = { cache_name = "counted", max_inactive_per_address = 3, inactive_cache_seconds = 60 },
            },
        }
    end)
    teardown(function() running:stop() end)

    local function jwt(name, hold)
        return phantom.token({ kind = "jwt", claims = { sub = name }, hold = hold }, name)
    end

    it("evicts no active token", function()
        for _, path in ipairs { "/tiny", "/apart" } do
            for i = 1, 20 do
                assert.equal(200, running:get(path, jwt("good" .. i)).status)
            end
            for i = 1, 500 do
                assert.equal(401, running:get(path, "random" .. i).status)
            end
        end
        assert.equal("20 others, 20 none, 0 others", running:get("/count").body)
    end)

    it("has a bounded number of questions open, and known tokens pass meanwhile", function()
        local hold, connections = running.directory .. "/held", {}
        assert.equal(200, running:get("/few", jwt("known")).status)
        local before = #running:asked()
        for i = 1, 2 do
            connections[i] = http.connect(running.gate.port)
            http.send(connections[i], { path = "/few",
                headers = { { "Authorization", "Bearer " .. jwt("slow" .. i, hold) } } })
        end
        process.wait_until("both were asked about", function() return #running:asked() == before + 2 end)
        for i = 1, 5 do
            local response = running:get("/few", jwt("more" .. i))
            assert.same({ 503, "5" }, { response.status, response.headers["retry-after"] })
        end
        assert.equal(200, running:get("/few", jwt("known")).status)
        assert.equal(before + 2, #running:asked())
        assert.truthy(running.gate:error_log():find("2 introspections of this worker are open", 1, true))
        process.write(hold, "")
        for _, connection in ipairs(connections) do
            assert.equal(200, http.read_response(connection).status)
            connection:close()
        end
        assert.equal(200, running:get("/few", jwt("more1")).status)
    end)

    it("is ended by address where that is set, and known tokens pass", function()
        assert.equal(200, running:get("/counted", jwt("friend")).status)
        for i = 1, 3 do
            assert.equal(401, running:get("/counted", "wrong" .. i).status)
        end
        local before = #running:asked()
        local response = running:get("/counted", jwt("new"))
        assert.equal(429, response.status)
        assert.truthy(tonumber(response.headers["retry-after"]) <= 60)
        assert.equal(401, running:get("/counted", "wrong1").status)
        assert.equal(200, running:get("/counted", jwt("friend")).status)
        assert.equal(before, #running:asked())
    end)
end)
