-- OpenID Connect in Chromium: login, consent, refusal, two tabs, the back button, logout. The provider and the gateway
-- are two sites.
--
-- OIDC_SCREENSHOT=path writes a screenshot of the page that asks the user to log in and to reload.

local browser = require "support.browser"
local cjson = require "cjson.safe"
local oidc = require "support.oidc"
local process = require "support.process"

describe("OpenID Connect in a browser", function()
    local chromium

    setup(function() chromium = browser.start() end)
    teardown(function() chromium:stop() end)

    local function wait_for_url(pattern)
        process.wait_until("the browser was at " .. pattern .. ", and not at " .. chromium:url(), function()
            return chromium:url():find(pattern)
        end)
    end

    -- Fills in the provider's login page.
    local function sign_in(user, password)
        chromium:type("input[name=login]", user)
        chromium:type("input[name=password]", password or user)
        chromium:click("#login")
    end

    -- Logs out at the gateway and at the provider.
    local function log_out(running)
        chromium:go(running.origin .. "/logout")
        wait_for_url("^" .. running.issuer:gsub("%p", "%%%0") .. "/session/end")
        -- The session of the gateway has ended already.
        assert.is_nil(chromium:cookies().oidc_session)
        chromium:click("button[name=logout]")
        wait_for_url("^" .. running.origin:gsub("%p", "%%%0") .. "/$")
    end

    local function received()
        return cjson.decode(chromium:text("body"))
    end

    for _, mode in ipairs { "query", "form_post" } do
        it("carries a user from the first visit to the logout, by " .. mode, function()
            local running = assert(oidc.start { provider = { response_mode = mode }, settings = function()
                return { cookie_secure = true }
            end })
            chromium:go(running.origin .. "/app/page?first=1")
            wait_for_url("/interaction/")
            sign_in("demo", "guess")
            assert.equal("Wrong name or password.", chromium:text("#failed"))
            sign_in("demo")
            chromium:click("#allow")
            wait_for_url("/app/page%?first=1$")
            assert.same({ "demo", "/app/page?first=1" }, { received().headers["x-auth-user"], received().url })
            local cookie = chromium:cookies().oidc_session
            assert.same({ true, true, "Lax", "/", 76 },
                { cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path, #cookie.value })
            assert.equal("", chromium:await("return document.cookie"))
            -- A script uses the session.
            assert.equal(200, chromium:await("return (await fetch('/app/data')).status"))
            log_out(running)
            assert.equal(401, chromium:await("return (await fetch('/app/data')).status"))
            -- The page of the session is in no cache.
            chromium:go(running.origin .. "/app/page?first=1")
            wait_for_url("/interaction/")
            running:stop()
        end)
    end

    it("takes a refusal of the user, the back button, and logins in two tabs", function()
        local running = assert(oidc.start { settings = function() return { cookie_secure = true } end })
        chromium:go(running.origin .. "/app/one")
        wait_for_url("/interaction/")
        chromium:click("#cancel")
        wait_for_url("/app/callback")
        assert.equal("Login refused", chromium:text("h1"))
        chromium:click("a")
        wait_for_url("/interaction/")
        -- A second tab begins a login too, and finishes first.
        local first = chromium:tab()
        local second = chromium:new_tab()
        chromium:go(running.origin .. "/app/two")
        wait_for_url("/interaction/")
        sign_in("demo")
        chromium:click("#allow")
        wait_for_url("/app/two$")
        chromium:switch_to(first)
        sign_in("demo")
        wait_for_url("/app/one$")
        assert.equal("/app/one", received().url)
        chromium:switch_to(second)
        assert.equal("/app/two", received().url)
        -- Back over the login: the user stays logged in.
        chromium:switch_to(first)
        chromium:back()
        chromium:go(running.origin .. "/app/three")
        assert.equal("/app/three", received().url)
        log_out(running)
        running:stop()
    end)

    it("keeps the form of a user whose session has ended", function()
        local running = assert(oidc.start { settings = function() return { cookie_secure = true } end })
        chromium:go(running.origin .. "/")
        chromium:await("document.body.innerHTML = `<form method=post action=/app/save><input name=text value=hello>"
            .. "<button id=send>Send</button></form>`")
        chromium:click("#send")
        wait_for_url("/app/save$")
        assert.equal("Please log in", chromium:text("h1"))
        if os.getenv("OIDC_SCREENSHOT") then
            chromium:screenshot(os.getenv("OIDC_SCREENSHOT"))
        end
        local path = chromium:await("return document.querySelector('a').getAttribute('href')")
        local tab = chromium:tab()
        chromium:new_tab()
        chromium:go(running.origin .. path)
        wait_for_url("/interaction/")
        sign_in("demo")
        chromium:click("#allow")
        wait_for_url("/app$")
        chromium:switch_to(tab)
        chromium:reload()
        assert.same({ "POST", "text=hello" }, { received().method, received().body })
        log_out(running)
        running:stop()
    end)
end)
