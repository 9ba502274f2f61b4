-- Requests that anybody can send in any number evict neither limits on failed logins, nor counters, nor keys.

local border = require "support.border"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

local FORM, PAGE = border.FORM, border.PAGE
local VISITS = 1200
local SHOW = [[
    include border.conf;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Client;
    location = /shown {
        content_by_lua_block {
            local shared = ngx.shared
            ngx.print(#shared.border_sessions:get_keys(0), " ", #shared.border_state:get("keys"))
        }
    }
]]
-- border_http.conf with the dictionaries of 0.1, which had none of its own for login attempts.
local OF_0_1 = process.read(gateway.ROOT .. "/conf/border_http.conf")
    :gsub("lua_shared_dict border_logins[^\n]*\n", ""):gsub("%%", "%%%%")
    :gsub("lua_shared_dict border_state[^\n]*\n", "lua_shared_dict border_state %%s;\n")

-- The example's site with a location that reads the dictionaries; `http` replaces border_http.conf.
local function site(http_part)
    local text = process.read(gateway.ROOT .. "/examples/border/site.conf")
        :gsub("include border.conf;", function() return SHOW end)
    return http_part and text:gsub("include border_http.conf;", function() return http_part end) or text
end

-- Counts the keys in the store.
local function keys_of(running, store)
    if store == "redis" then
        return tonumber((running.store:redis("--raw dbsize")))
    elseif store == "memcached" then
        for _, line in ipairs(running.store:memcached("stats\r\n", "^END")) do
            local count = line:match("^STAT curr_items (%d+)")
            if count then
                return tonumber(count)
            end
        end
    end
    return tonumber(running:client():get("/shown").body:match("^%d+"))
end

local function guess(running, name, address)
    return http.request(running.port, { method = "POST", path = "/account/login",
        body = "username=" .. name .. "&password=x", headers = { FORM, { "X-Client", address or "192.0.2.1" } } })
        .status
end

-- Makes first visits on one connection, with the longest paths that the border keeps.
local function visit(running)
    local connection, filling = http.connect(running.port), ("x"):rep(1980)
    for i = 1, VISITS do
        http.send(connection, { path = "/b/" .. i .. "/" .. filling, headers = { PAGE } })
        local response = http.read_response(connection)
        assert.equal(302, response.status)
        assert.is_truthy(response.headers["set-cookie"])
        if response.headers.connection == "close" or i % 500 == 0 then
            connection:close()
            connection = http.connect(running.port)
        end
    end
    connection:close()
end

local settings = { login_failures_per_address = 1000, login_failures_per_account = 3, login_window = 3600 }

for name, options in pairs {
    memory = { store = "memory", site = site() },
    memcached = { store = "memcached", site = site() },
    redis = { store = "redis", site = site() },
    ["memory, as 0.1 configured it,"] = { store = "memory", site = site(OF_0_1:format("4m")) },
} do
    describe("any number of first visits, with the sessions in " .. name, function()
        it("changes no limit, counter or session, and writes nothing to the store", function()
            local running = assert(border.start { store = options.store, site = options.site, settings = settings })
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            for _ = 1, 3 do
                assert.equal(401, guess(running, "victim"))
            end
            assert.equal(429, guess(running, "victim"))
            local keys = keys_of(running, options.store)

            visit(running)

            assert.equal(keys, keys_of(running, options.store))
            assert.equal(429, guess(running, "victim"))
            assert.same({ 1, 3, VISITS }, { running:counter("login.success"), running:counter("login.failure"),
                running:counter("session.missing") })
            assert.equal(200, script:get("/b/x").status)
            running:stop()
        end)
    end)
end

describe("any number of failed logins", function()
    for name, dictionaries in pairs {
        ["in a dictionary of their own"] = OF_0_1:format("256k") .. "lua_shared_dict border_logins 32k;\n",
        ["beside the counters, as 0.1 configured it"] = OF_0_1:format("32k"),
    } do
        it("evicts no counter and no key, and gets 503 when the dictionary is full: " .. name, function()
            local running = assert(border.start { site = site(dictionaries), settings = settings })
            local script = running:logged_in()
            assert.equal(200, script:get("/b/x").status)
            for _ = 1, 3 do
                assert.equal(401, guess(running, "victim"))
            end
            local refused = 0
            for i = 1, 1000 do
                local status = guess(running, "n" .. i, ("10.0.%d.%d"):format(i / 250, i % 250))
                assert.is_true(status == 401 or status == 503, status)
                refused = refused + (status == 503 and 1 or 0)
            end
            assert.is_true(refused > 0)
            assert.equal(429, guess(running, "victim"))
            assert.same({ 1, 1003 - refused, 1 }, { running:counter("login.success"), running:counter("login.failure"),
                running:counter("login.limited") })
            assert.equal("160", running:client():get("/shown").body:match("%d+$"))
            assert.equal(200, script:get("/b/x").status)
            assert.equal(200, running:client():get("/borderpatrol/health").status)
            running:stop()
        end)
    end
end)
