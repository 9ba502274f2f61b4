-- Logouts by OpenID Connect with a real provider: by the user, and by the provider's back channel, which ends
-- WebSockets too.

local oidc = require "support.oidc"
local process = require "support.process"
local websocket = require "support.websocket"

-- Logs a browser out at the provider itself, as another application of the user would.
local function log_out_at_provider(running, one)
    local page = one:visit(running.issuer .. "/session/end")
    local secret = page.body:match('name="xsrf" value="(%w+)"')
    local response = one:fetch(running.issuer .. "/session/end/confirm", { form = "logout=yes&xsrf=" .. secret })
    assert.is_true(response.status < 400, response.status .. " " .. response.body)
end

describe("a logout by OpenID Connect", function()
    local running

    setup(function()
        running = assert(oidc.start { provider = { revoke_at_logout = true }, site = function(site)
            -- No silence ends a WebSocket while the spec waits.
            return (site:gsub("include oidc_proxy.conf;", "%0 proxy_read_timeout 1h;"))
        end })
    end)
    teardown(function() running:stop() end)

    local function logout(one)
        return one:visit("/logout")
    end

    it("ends the session here, revokes the tokens, and goes on at the provider", function()
        local one = running:logged_in()
        local id = one:session()
        local token = oidc.received(one:get("/app/x")).headers.authorization:match("Bearer (.*)")
        running:control("/counts")
        local response = logout(one)
        assert.equal(302, response.status)
        local query = response.location:match("^" .. running.issuer:gsub("%p", "%%%0") .. "/session/end%?(.*)$")
        assert.truthy(query:find("client_id=gateway", 1, true))
        local back = "post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A" .. running.port .. "%2F"
        assert.truthy(query:find(back, 1, true))
        assert.truthy(query:find("id_token_hint=eyJ", 1, true))
        assert.is_nil(one:session())
        one:cookies().oidc_session = id
        assert.equal(401, one:get("/app/x").status)
        assert.equal(2, running:control("/counts")["/token/revocation"])
        local answer = process.run(("curl -s -H 'Authorization: Bearer %s' -H 'Host: localhost:%d' "
            .. "http://127.0.0.1:%d/me"):format(token, running.provider_port, running.provider_port))
        assert.truthy(answer:find("invalid_token", 1, true), answer)
    end)

    it("ends the session even if the provider is down", function()
        local one = running:logged_in()
        running:fault("/token/revocation", "hang")
        assert.equal(302, logout(one).status)
        running:fault("/token/revocation", "ok")
        assert.equal(401, one:get("/app/x").status)
    end)

    it("without a session leads to the page of the logout", function()
        local response = logout(running:browser())
        assert.same({ 302, running.origin .. "/" }, { response.status, response.location })
    end)

    it("at the provider ends the session and its WebSockets, by the back channel", function()
        local one, other = running:logged_in(), running:logged_in("other")
        local sockets = {}
        for name, browser in pairs { one = one, other = other } do
            sockets[name] = assert(websocket.open(running.port, { path = "/app/ws", headers = {
                { "Host", "127.0.0.1:" .. running.port }, { "Cookie", "oidc_session=" .. browser:session() } } }))
        end
        log_out_at_provider(running, one)
        assert.equal(401, one:get("/app/x").status)
        process.wait_until("the WebSocket ended", function()
            sockets.one.connection:settimeout(0)
            local _, err = sockets.one.connection:receive(1)
            return err == "closed"
        end)
        assert.equal(200, other:get("/app/x").status)
        sockets.other.connection:settimeout(0)
        assert.equal("timeout", (select(2, sockets.other.connection:receive(1))))
        -- A logout here ends them too.
        logout(other)
        process.wait_until("the WebSocket ended", function()
            local _, err = sockets.other.connection:receive(1)
            return err == "closed"
        end)
        assert.equal(1, running:counter("logout.backchannel"))
    end)
end)

describe("the back channel", function()
    it("ends sessions on all nodes that share a store", function()
        local first = assert(oidc.start { store = "redis" })
        local second = assert(oidc.start { store = "redis", beside = first })
        local one = first:logged_in()
        local function on_second()
            local browser = second:browser()
            browser:cookies().oidc_session = one:session()
            return browser:get("/app/x").status
        end
        assert.equal(200, on_second())
        log_out_at_provider(first, one)
        assert.same({ 401, 401 }, { one:get("/app/x").status, on_second() })
        second:stop()
        first:stop()
    end)
end)

describe("without the provider's part, a logout", function()
    it("leads to the own page", function()
        local running = assert(oidc.start { provider = { provider_logout = false }, settings = function()
            return { logged_out_path = "/bye?x=1" }
        end })
        local one = running:logged_in()
        assert.equal(running.origin .. "/bye?x=1", one:visit("/logout").location)
        assert.equal(401, one:get("/app/x").status)
        running:stop()
    end)
end)
