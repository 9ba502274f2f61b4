-- Revocations: what is revoked is refused by every capability, on every worker, in caches too.

local auth = require "support.auth"
local border = require "support.border"
local gateway = require "support.gateway"
local phantom = require "support.phantom"
local process = require "support.process"
local revocation = require "support.revocation"

local function read(path)
    return process.read(gateway.ROOT .. "/" .. path)
end

describe("a revocation at the desktop gateway", function()
    local running

    -- Starts a gateway with the locations of support/revocation.lua.
    local function start(options)
        options.prepare = function(self)
            self.environment.SITE = self.directory .. "/site.conf"
            process.write(self.environment.SITE, revocation.site(read "conf/sites-enabled/routehttp.conf"))
        end
        return assert(gateway.start(options))
    end

    local function revoke(what)
        return assert(revocation.revoke(running.port, what))
    end

    -- Returns a token with these claims, issued a minute ago.
    local function mint(claims, request)
        request = request or {}
        claims.exp, claims.iat = claims.exp or os.time() + 300, claims.iat or os.time() - 60
        request.claims = claims
        return running:mint(request.target or "127.0.0.1", request)
    end

    local function wait_for(expected, token)
        revocation.wait_for(expected, function() return running:get("/spawner/x", token).status end)
    end

    setup(function() running = start {} end)
    teardown(function() running:stop() end)

    local NAMES = {
        sub = { claims = { sub = "ada" }, revocation = { sub = "ada" } },
        jti = { claims = { jti = "0815" }, revocation = { jti = "0815" } },
        sid = { claims = { sid = "s-1" }, revocation = { sid = "s-1" } },
        ["sub of an issuer"] = { claims = { sub = "eve", iss = "https://id.example" },
            revocation = { sub = "eve", iss = "https://id.example" } },
        ["sub until an instant"] = { claims = { sub = "tom", iat = 1700000000 },
            revocation = { sub = "tom", before = 1700000000 } },
    }
    for name, case in pairs(NAMES) do
        it("ends a token by its " .. name .. " on both workers, and no other token", function()
            local victim, other = mint(case.claims), mint { sub = "bob", jti = "1", sid = "2" }
            wait_for(200, victim)
            wait_for(200, other)
            revoke(case.revocation)
            wait_for(401, victim)
            wait_for(200, other)
        end)
    end

    it("ends one token, by itself, and not another one of the same user", function()
        local victim, other = mint { sub = "kim", jti = "a" }, mint { sub = "kim", jti = "b" }
        wait_for(200, victim)
        revoke { token = victim }
        wait_for(401, victim)
        wait_for(200, other)
    end)

    it("ends all tokens of a desktop, also one that nobody has seen yet", function()
        local victim, other = mint({ sub = "a" }, { target = "127.0.0.2" }), mint { sub = "a" }
        wait_for(200, victim)
        local number = revoke { target = "127.0.0.2" }
        wait_for(401, victim)
        wait_for(401, mint({ sub = "new" }, { target = "127.0.0.2" }))
        wait_for(200, other)
        assert.equal("true", revocation.withdraw(running.port, number))
        wait_for(200, victim)
    end)

    it("refuses a token that it has not seen, and accepts a later one of the same user", function()
        revoke { sub = "zoe" }
        wait_for(401, mint { sub = "zoe" })
        wait_for(200, mint { sub = "zoe", iat = os.time() + 1 })
        wait_for(401, mint { sub = "zoe", iat = false })
    end)

    it("logs the reason and the fingerprint of a revoked token in the cache", function()
        local victim = mint { sub = "log" }
        assert.equal(200, running:get("/spawner/before", victim).status)
        local fingerprint = running:logged("/spawner/before").token
        revoke { sub = "log" }
        wait_for(401, victim)
        assert.equal(401, running:get("/spawner/after", victim).status)
        local entry = running:logged("/spawner/after")
        assert.same({ "token_revoked", fingerprint, "" }, { entry.reason, entry.token, entry.cache })
    end)

    it("ends by itself", function()
        local victim = mint { sub = "soon" }
        revoke { sub = "soon", ends = os.time() + 4 }
        wait_for(401, victim)
        wait_for(200, victim)
    end)

    it("is there after a reload, and is withdrawn once", function()
        local victim = mint { sub = "hup" }
        local number = revoke { sub = "hup" }
        wait_for(401, victim)
        running:reload()
        wait_for(401, victim)
        assert.equal("true", revocation.withdraw(running.port, number))
        assert.equal("false", revocation.withdraw(running.port, number))
        wait_for(200, victim)
        running:reload()
        wait_for(200, victim)
    end)

    it("is listed, the newest first, in pages, without the token", function()
        local token = mint { sub = "listed" }
        local first, second = revoke { token = token, by = "ops" }, revoke { sub = "listed", iss = "x" }
        local page = revocation.list(running.port, "limit=1")
        assert.same({ second, "listed", "x" }, { page.list[1].id, page.list[1].sub, page.list[1].iss })
        page = revocation.list(running.port, "limit=1&below=" .. page.more)
        assert.equal(first, page.list[1].id)
        assert.equal(process.run("printf %s " .. token .. " | sha256sum"):match("^%x+"), page.list[1].token_sha256)
        assert.is_nil(page.list[1].token)
    end)

    it("that is malformed is an error of one sentence", function()
        for body, part in pairs {
            ["{}"] = "exactly one", ["["] = "must have a name", ['{"sub":"a","jti":"b"}'] = "exactly one",
            ['{"sub":"a","ends":1}'] = "in the future", ['{"token_sha256":"0123456789ab"}'] = "64 hexadecimal",
        } do
            local number, err = revocation.revoke(running.port, body)
            assert.is_nil(number)
            assert.truthy(err:find(part, 1, true), err)
        end
    end)
end)

describe("the dictionary of revocations", function()
    -- Runs Lua with `dict`, a small dictionary, and `records`, a function that returns new records in it.
    local function run(code)
        local directory = auth.directory()
        local running = assert(auth.start(directory, ([[
lua_shared_dict small 100k;
init_by_lua_block { require("route_native.hooks").start(function() end) }
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /run {
        content_by_lua_block {
            local dict = ngx.shared.small
            local function records() return require("route_native.control.records").new(dict, 60) end
            %s
        }
    }
}
]]):format(code)))
        local body = running:get("/run").body
        running:stop()
        return body
    end

    it("uses the room of ended entries again, behind one that lasts", function()
        assert.equal("true true", run [[
            local all, now = records(), ngx.time()
            local lasting = all:add('{"sid":"a","ends":' .. now + 86400 .. '}', now + 86400)
            while all:add('{"sid":"b","ends":' .. now + 2 .. '}', now + 2) do end
            local number
            for _ = 1, 300 do
                number = all:add('{"sid":"c","ends":' .. now + 600 .. '}', now + 600)
                if number then break end
                ngx.sleep(0.02)
            end
            ngx.print(number ~= nil, " ", all:get(lasting) ~= nil)
        ]])
    end)

    it("lets no entry that lasts keep millions of ended ones before a worker that starts", function()
        assert.equal("true true 1 true", run [[
            local all, later = records(), ngx.time() + 600
            local lasting = all:add('{"sid":"a","ends":' .. later .. '}', later)
            local withdrawn = all:add('{"sid":"b","ends":' .. later .. '}', later)
            all:withdraw(withdrawn)
            local first = all:bounds()
            dict:incr("last", 200000)
            for _ = 1, 250 do
                all:forget_ended()
            end
            local new_first, last = all:bounds()
            local reader, count = records(), 0
            local function visit(entry) count = count + (entry:find("^%+") and 1 or 0) end
            reader:walk(reader:cursor(0), visit, 1e9)
            ngx.print(first == 1 and last - new_first < 1000, " ", all:get(lasting) ~= nil, " ", count, " ",
                all:get(withdrawn) == nil
                and all:take("" .. withdrawn, '{"sid":"b","ends":' .. later .. '}') == "known")
        ]])
    end)

    it("searches a full one for ended entries once a second, however often it is asked for room", function()
        assert.equal("true true", run [[
            local flushes, real = 0, dict.flush_expired
            getmetatable(dict).__index.flush_expired = function(...)
                flushes = flushes + 1
                return real(...)
            end
            local all, later = records(), ngx.time() + 600
            local refused, stop = 0, ngx.now() + 0.5
            repeat
                refused = refused + (all:add('{"sid":"b","ends":' .. later .. '}', later) and 0 or 1)
                ngx.update_time()
            until ngx.now() > stop
            ngx.print(refused > 10, " ", flushes <= 2)
        ]])
    end)

    it("takes from Redis what another node has withdrawn before it knew it, and lets nothing bring it back", function()
        assert.equal("new known known new known bad bad bad", run [[
            local all, later = records(), ngx.time() + 600
            local json = '{"sid":"a","ends":' .. later .. '}'
            ngx.print(all:take("7", "-" .. later), " ", all:take("7", json), " ", all:take("7", "-" .. later), " ",
                all:take("8", json), " ", all:take("9", '{"sid":"a","ends":1}'), " ", all:take("010", json), " ",
                all:take("1e3", json), " ", all:take("10", '{"ends":' .. later .. '}'))
        ]])
    end)

    it("brings an entry that was stored after a hundred later ones", function()
        assert.equal("true", run [[
            local writer, reader, later = records(), records(), ngx.time() + 600
            writer:add('{"sid":"a","ends":' .. later .. '}', later)
            reader:follow()
            local number = dict:incr("last", 1)
            for i = 1, 100 do
                writer:add('{"sid":"b' .. i .. '","ends":' .. later .. '}', later)
            end
            reader:follow()
            reader:take_news()
            dict:safe_set("entry " .. number, '+7 {"sid":"c","ends":' .. later .. '}', 600)
            reader:follow()
            ngx.print(reader:take_news())
        ]])
    end)
end)

describe("the sessions that users log out of", function()
    it("fill a part of the dictionary at most, so that one who logs in and out leaves room for revocations", function()
        local directory = auth.directory()
        local running = assert(auth.start(directory, revocation.site([[
include revocation_http.conf;
init_by_lua_block { require("route_native.hooks").start(function() end) }
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /logouts {
        content_by_lua_block {
            local revocation = require "route_native.revocation"
            for i = 1, 12000 do
                revocation.end_session("session " .. i)
            end
            ngx.print(revocation.count())
        }
    }
}
]])))
        assert.equal("10000", running:get("/logouts").body)
        assert.truthy(revocation.revoke(running.port, { sub = "ada" }))
        running:stop()
    end)
end)

describe("a revocation at auth.check()", function()
    it("ends a token, and the one after it is accepted", function()
        local directory = auth.directory()
        local running = assert(auth.start(directory, revocation.site(([[
include revocation_http.conf;
init_by_lua_block { require("route_native.hooks").start(function() end) }
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /api/page {
        access_by_lua_block { require("route_native.auth").check { secret_file = "%s/keys/jwt_secret" } }
        content_by_lua_block { ngx.print("in") }
    }
}
]]):format(directory))))
        local now = os.time()
        local old = auth.token(directory, { sub = "ada", exp = now + 300, iat = now - 10 })
        local ask = function() return running:get("/api/page", old).status end
        revocation.wait_for(200, ask)
        assert(revocation.revoke(running.port, { sub = "ada", before = now - 5 }))
        revocation.wait_for(401, ask)
        local new = auth.token(directory, { sub = "ada", exp = now + 300, iat = now })
        assert.equal(200, running:get("/api/page", new).status)
        running:stop()
    end)
end)

describe("a revocation at phantom tokens", function()
    it("ends an opaque token in the caches, by its user and by itself", function()
        local running = phantom.start {
            locations = { api = {} },
            http = function() return "include revocation_http.conf;" end,
            site = function() return revocation.LOCATIONS end,
        }
        local port = running.gate.port
        local function token(name, sub)
            return phantom.token({ kind = "jwt", claims = { sub = sub, iat = os.time() - 60 } }, name)
        end
        local ada, bob, eve = token("a", "ada"), token("b", "bob"), token("c", "eve")
        for _, one in ipairs { ada, bob, eve } do
            revocation.wait_for(200, function() return running:get("/api", one).status end)
        end
        assert(revocation.revoke(port, { sub = "ada" }))
        assert(revocation.revoke(port, { token = bob }))
        revocation.wait_for(401, function() return running:get("/api", ada).status end)
        revocation.wait_for(401, function() return running:get("/api", bob).status end)
        revocation.wait_for(200, function() return running:get("/api", eve).status end)
        running:stop()
    end)
end)

describe("a revocation at the border", function()
    it("ends the sessions of a user, however the name was spelled, and no later one", function()
        local running = assert(border.start { site = revocation.site(read "examples/border/site.conf") })
        local one, other = running:logged_in(), running:logged_in()
        assert.same({ 200, 200 }, { one:get("/b/").status, other:get("/b/").status })
        assert(revocation.revoke(running.port, { sub = "USER@Example.com" }))
        for _, client in ipairs { one, other } do
            revocation.wait_for(401, function() return client:get("/b/").status end)
        end
        assert.truthy(running:counter("session.revoked") >= 1)
        process.wait_until("a login was accepted", function() return running:logged_in():get("/b/").status == 200 end)
        running:stop()
    end)
end)

