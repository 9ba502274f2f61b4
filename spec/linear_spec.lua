-- The readers of bytes from clients and servers take linear time: every reader gets hostile texts of a length and of
-- four times that length, in a worker of a real nginx.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

local SITE = [[
lua_shared_dict targetmap 1m;
lua_shared_dict phantom-token 1m;
lua_shared_dict border_state 1m;
init_by_lua_block { require "route_native.core.ffi" }
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    access_log off;
    location = /measure {
        content_by_lua_block {
            local result = require("readers").measure(tonumber(ngx.var.http_x_reader))
            ngx.print(result and require("cjson").encode(result) or "")
        }
    }
}
]]

describe("the cost of a reader", function()
    local running, directory

    setup(function()
        directory = process.temporary_directory()
        process.write(directory .. "/site.conf", SITE)
        running = assert(gateway.start {
            demo = false, workers = 1, env = {
                SITE = directory .. "/site.conf",
                ROUTE_LUA_PATH = ("%s/lua/?.lua;%s/spec/support/?.lua"):format(gateway.ROOT, gateway.ROOT),
            },
        })
    end)

    teardown(function()
        running:stop()
        process.run("rm -rf " .. process.quoted(directory))
    end)

    it("grows linearly with the length of the text", function()
        local grown, texts, number = {}, 0, 0
        while true do
            number = number + 1
            local response = running:request { path = "/measure", headers = { { "X-Reader", number } } }
            assert.equal(200, response.status)
            if response.body == "" then
                break
            end
            local result = cjson.decode(response.body)
            texts = texts + result.texts
            for _, text in ipairs(result.grown) do
                grown[#grown + 1] = result.name .. ": " .. text
            end
        end
        assert.is_true(number > 20 and texts > 1000)
        assert.same({}, grown)
    end)
end)
