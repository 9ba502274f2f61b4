-- LuaJIT compiles a hit, and the hit allocates nothing, as the JIT compiler itself reports in a worker of a real nginx.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

-- Records the JIT compiler's events, and measures the garbage of 10,000 calls.
local SITE = [[
lua_shared_dict targetmap 8m;
init_by_lua_block {
    require("route_native").setup()
    require "jit.util"
    require "jit.vmdef"
}
init_worker_by_lua_block { require("trace_log").start() }
map "" $endpoint { default ""; }

server {
    include runtime/listen.conf;
    set $target       "";
    set $route_cache  "hit";
    set $route_token  "";
    set $route_reason "";
    access_log off;

    location = /access {
        access_by_lua_block { require("route_native").resolve() }
        content_by_lua_block { ngx.print("ok") }
    }
    # By path and not by argument: a query is looked through for a token, which makes strings.
    location ~ ^/garbage/(?<of>empty|resolve)$ {
        content_by_lua_block {
            local call = ngx.var.of == "resolve" and require("route_native").resolve or function() end
            local function run() for _ = 1, 10000 do call() end end
            run()
            collectgarbage() collectgarbage("stop")
            local before = collectgarbage("count")
            run()
            ngx.print(collectgarbage("count") - before)
            collectgarbage("restart")
        }
    }
    location = /traces {
        content_by_lua_block { ngx.print(require("trace_log").take()) }
    }
}
]]

describe("a hit in the worker's cache", function()
    local running, directory, token

    setup(function()
        directory = process.temporary_directory()
        process.write(directory .. "/jit.conf", SITE)
        local lua_path = ("%s/lua/?.lua;%s/spec/support/?.lua"):format(gateway.ROOT, gateway.ROOT)
        running = assert(gateway.start {
            demo = false, workers = 1, env = { SITE = directory .. "/jit.conf", ROUTE_LUA_PATH = lua_path },
        })
        token = running:mint("127.0.0.1")
        assert.equal(200, running:get("/access", token).status)
    end)

    teardown(function()
        running:stop()
        process.run("rm -rf " .. process.quoted(directory))
    end)

    -- Returns the place of a function in the notation of traces.
    local function place_of(file, code)
        local path, number = gateway.ROOT .. "/lua/route_native/" .. file, 0
        for line in io.lines(path) do
            number = number + 1
            if line:find(code, 1, true) then
                return path .. ":" .. number
            end
        end
        error(file .. " holds no " .. code)
    end

    local function passes_all(trace, places)
        local passed = {}
        for _, place in ipairs(trace.places) do
            passed[place] = true
        end
        for _, place in ipairs(places) do
            if not passed[place] then
                return false
            end
        end
        return true
    end

    it("runs in one LuaJIT trace, from the request's headers to nginx's variables", function()
        local path = {
            place_of("core/request.lua", "C.ngx_http_lua_ffi_req_get_headers(r"),
            place_of("desktop/gateway.lua", "library.rn_gateway_lookup(gateway, headers"),
            place_of("core/request.lua", "C.ngx_http_lua_ffi_var_set(r"),
            place_of("desktop/gateway.lua", 'if has_value(r, "connection_ends")'),
        }
        -- LuaJIT compiles code that some 56 requests have made hot.
        for _ = 1, 200 do
            assert.equal(200, running:get("/access", token).status)
        end
        local seen = cjson.decode(running:get("/traces").body)
        -- LuaJIT counts calls by a hash of the code's address, so cold code of any module may look hot and be aborted.
        for _, abort in ipairs(seen.aborts) do
            for _, place in ipairs(path) do
                assert.is_not.equal(place, abort.at, abort.why)
            end
        end
        local whole = 0
        for _, trace in ipairs(seen.traces) do
            whole = whole + (passes_all(trace, path) and 1 or 0)
        end
        assert.is_true(whole > 0, "no trace goes all the way: " .. cjson.encode(seen))
    end)

    it("allocates no Lua memory", function()
        local empty = tonumber(running:get("/garbage/empty", token).body)
        local resolving = tonumber(running:get("/garbage/resolve", token).body)
        -- In KB over 10,000 calls: less than one byte per call more than a loop over an empty function.
        assert.is_true(resolving - empty < 10, ("%s KB against %s KB"):format(resolving, empty))
    end)
end)
