-- The border in Chromium, from the first visit to the logout and the back button.
--
-- BORDER_SCREENSHOT=path writes a screenshot of the login page, such as docs/border-login.png.

local border = require "support.border"
local browser = require "support.browser"
local process = require "support.process"

describe("the border in a browser", function()
    local chromium

    setup(function() chromium = browser.start() end)
    teardown(function() chromium:stop() end)

    for _, store in ipairs { "memory", "memcached", "redis" } do
        it("carries a session from login to logout, stored in " .. store, function()
            local running = assert(border.start { store = store })
            local origin = "http://127.0.0.1:" .. running.port

            -- A first visit redirects to the login.
            chromium:go(origin .. "/b/page?first=1")
            assert.equal("/account/login", chromium:path())
            assert.is_nil(chromium:cookies().border_session)
            if os.getenv("BORDER_SCREENSHOT") then
                chromium:screenshot(os.getenv("BORDER_SCREENSHOT"))
            end

            -- A wrong password shows the form again.
            chromium:type("#username", "user@example.com")
            chromium:type("#password", "guess")
            chromium:click("#submit")
            assert.equal("The user name or the password is wrong.", chromium:text("#error"))
            assert.is_nil(chromium:cookies().border_session)

            -- The right password leads to the requested page. The form has kept the name.
            chromium:type("#password", "password")
            chromium:click("#submit")
            chromium:wait_for("/b/page?first=1")
            assert.equal("You are logged in.", chromium:text("#greeting"))

            -- The cookie has its attributes, and the page's scripts do not see it.
            local cookie = chromium:cookies().border_session
            assert.same({ true, true, "Lax", "/", 76 },
                { cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path, #cookie.value })
            assert.is_nil(chromium:cookies().border_session_login)
            assert.equal("", chromium:await("return document.cookie"))

            -- A script of the page uses the session, another service gets its own token, and no script sees a token.
            local seen = chromium:await("const r = await fetch('/c/data'); return [r.status, await r.text()].join(' ')")
            assert.truthy(seen:find('^200 .*"path":"/c/data"'))
            assert.same({ 1, 2 }, { running:counter("login.success"), running:counter("service_token.fetched") })

            -- The service revokes its token before another page loads: the user notices nothing.
            chromium:go(origin .. "/c/page")
            running:control("/revoke?what=service")
            chromium:go(origin .. "/b/page")
            assert.equal("Service b", chromium:text("h1"))

            -- A 403 is a page, and the session continues.
            chromium:go(origin .. "/b/forbidden")
            assert.equal("Forbidden", chromium:text("h1"))
            chromium:go(origin .. "/b/page")

            -- After the logout the back button shows the login, not the earlier page, and the old id is invalid.
            local id = chromium:cookies().border_session.value
            chromium:click("#logout")
            chromium:wait_for("/account/login")
            assert.is_nil(chromium:cookies().border_session)
            chromium:back()
            chromium:wait_for("/account/login")
            local script = running:client()
            script.cookies.border_session = id
            assert.equal(401, script:get("/b/x").status)

            -- A script of a page that is still open gets 401.
            local told = chromium:await("const r = await fetch('/b/x'); return r.status + ' ' + await r.text()")
            assert.equal('401 {"code":"SESSION_EXPIRED"}', told)
            running:stop()
        end)
    end

    it("ignores logins and logouts of another site", function()
        local running, evil = assert(border.start()), assert(border.start())
        local origin = "http://127.0.0.1:" .. running.port
        chromium:go(origin .. "/b/page")
        chromium:type("#username", "user@example.com")
        chromium:type("#password", "password")
        chromium:click("#submit")
        assert.equal("You are logged in.", chromium:text("#greeting"))
        -- localhost and 127.0.0.1 are different sites.
        chromium:go("http://localhost:" .. evil.port .. "/account/login")
        chromium:await(([[
            const form = document.querySelector('form');
            form.action = '%s/account/login';
            form.username.value = 'user@example.com';
            form.password.value = 'password';
            setTimeout(() => document.querySelector('#submit').click());
        ]]):format(origin))
        process.wait_until("the login was refused", function() return running:counter("login.cross_site") == 1 end)
        chromium:go("http://localhost:" .. evil.port .. "/account/login")
        chromium:await("setTimeout(() => location.href = '" .. origin .. "/logout')")
        process.wait_until("the logout was refused", function() return chromium:url() == origin .. "/logout" end)
        assert.equal("Forbidden", chromium:text("h1"))
        chromium:go(origin .. "/b/page")
        assert.equal("You are logged in.", chromium:text("#greeting"))
        evil:stop()
        running:stop()
    end)
end)
