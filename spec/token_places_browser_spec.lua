-- The places of a desktop's token in Chromium: the cookie of a page that reloads and downloads, the subprotocol of a
-- WebSocket, and what pages of other origins get with the visitor's cookie.

local browser = require "support.browser"
local obedient = require "support.obedient"
local process = require "support.process"

local function page(body)
    return obedient.answer { headers = { { "Content-Type", "text/html" } },
        body = "<!doctype html><title>x</title>" .. body }
end

describe("a token in a browser:", function()
    local chromium, service, stranger, running, origin, token

    setup(function()
        service, stranger = obedient.start(), obedient.start()
        running = assert(service:gateway { env = { ROUTE_TOKEN_COOKIE = "desktop", ROUTE_TOKEN_QUERY = "exchange",
            ROUTE_TOKEN_PROTOCOL = "on", ROUTE_CORS_ORIGINS = "http://127.0.0.1:" .. stranger.port } })
        origin, token = "http://127.0.0.1:" .. running.port, running:mint("127.0.0.1")
        chromium = browser.start()
    end)
    teardown(function()
        chromium:stop()
        running:stop()
        stranger:stop()
        service:stop()
    end)

    -- Opens a desktop's page by a link with the token.
    local function open(name)
        local rest = page("the desktop")
        chromium:go(("%s/filer/%s?jwt_token=%s&%s"):format(origin, name, token, rest))
        assert.equal("the desktop", chromium:text("body"))
        return "/filer/" .. name .. "?" .. rest
    end

    -- Opens a page of the website.
    local function site()
        chromium:go(origin .. "/?" .. page("the website"))
    end

    -- Opens a page of another origin. A port is another origin of the same site, which gets the cookies of the host.
    local function elsewhere(host)
        chromium:go(("http://%s:%d/?%s"):format(host, stranger.port, page("<form id=f method=post></form>")))
    end

    -- Returns what comes of a WebSocket that the current page opens.
    local function socket(path, protocols)
        return chromium:await(([[
            const socket = new WebSocket('ws://127.0.0.1:%d%s', %s);
            return await new Promise(done => {
                socket.onmessage = () => done('open ' + socket.protocol);
                socket.onclose = () => done('closed');
            })]]):format(running.port, path, protocols or "[]"))
    end

    it("leaves the URL, the history and what scripts can read, and the page reloads with the cookie", function()
        local path = open("page")
        assert.equal(path, chromium:path())
        chromium:go(origin .. path)
        assert.equal("the desktop", chromium:text("body"))
        assert.equal(2, #service:requests("/filer/page"))
        site()
        assert.equal("", chromium:await "return document.cookie")
        local cookie = chromium:cookies().desktop
        assert.same({ token, true, "Lax", "/" }, { cookie.value, cookie.httpOnly, cookie.sameSite, cookie.path })
        chromium:back()
        assert.is_nil(chromium:url():find(token, 1, true))
        -- The page's own loads name it in their Referer.
        chromium:go(("%s/filer/loads?jwt_token=%s&%s"):format(origin, token, page("<img src=/filer/loaded>")))
        local loaded = process.wait_until("the image was asked for", function()
            return running:access_log():find('"path":"/filer/loaded"', 1, true)
        end)
        assert.truthy(loaded)
        assert.is_nil((running:access_log() .. running:error_log()):find(token, 1, true))
    end)

    it("lets a page download by a link, and open the screen, with nothing in the URL", function()
        open("before")
        site()
        chromium:await("const a = document.body.appendChild(document.createElement('a'));"
            .. "a.href = '/filer/got'; a.download = 'got.json'; a.click()")
        process.wait_until("the file was downloaded", function()
            return process.read(chromium.downloads .. "/got.json"):find("/filer/got", 1, true)
        end)
        assert.equal("open ", socket("/websockify"))
        assert.equal("200", chromium:await(
            "return String((await fetch('/filer/up', { method: 'PUT', body: 'x' })).status)"))
    end)

    it("is refused to the page of another origin that has the visitor's cookie", function()
        open("before")
        elsewhere("127.0.0.1")
        assert.truthy(chromium:cookies().desktop, "the browser sends no cookie, and the test shows nothing")
        assert.equal("closed", socket("/websockify/hijacked"))
        assert.equal("opaque", chromium:await(("return (await fetch('%s/filer/hijacked', { method: 'POST', body: 'x', "
            .. "mode: 'no-cors', credentials: 'include' })).type"):format(origin)))
        chromium:await(("f.action = '%s/filer/hijacked/form'; f.submit()"):format(origin))
        process.wait_until("the form was sent", function() return chromium:url():find("/form", 1, true) end)
        elsewhere("127.0.0.1")
        chromium:await(("const i = new Image(); i.src = '%s/filer/hijacked/image';"
            .. "await new Promise(r => i.onerror = r)"):format(origin))
        for path, expected in pairs { ["/websockify/hijacked"] = 403, ["/filer/hijacked"] = 403,
            ["/filer/hijacked/form"] = 403, ["/filer/hijacked/image"] = 403 } do
            local entry = running:logged(path)
            assert.same({ expected, "cross_origin" }, { entry.status, entry.reason }, path)
            assert.same({}, service:requests(path))
        end
    end)

    it("is not even sent from a page of another site", function()
        open("before")
        elsewhere("localhost")
        assert.equal("closed", socket("/websockify/foreign"))
        assert.equal(401, running:logged("/websockify/foreign").status)
        assert.same({}, service:requests("/websockify/foreign"))
    end)

    it("is sent as a subprotocol, and the page gets the real one, or else route_native", function()
        chromium:go(("http://localhost:%d/?%s"):format(running.port, page("x")))
        local marker = "'route_native.token." .. token .. "'"
        assert.equal("open route_native", socket("/websockify", "['route_native', " .. marker .. "]"))
        -- A browser accepts no WebSocket whose subprotocols the server has ignored.
        assert.equal("closed", socket("/websockify", "[" .. marker .. "]"))
        assert.equal("closed", socket("/websockify", "['route_native.token.x']"))
    end)

    it("lets a page of a listed origin read answers, with a preflight", function()
        elsewhere("127.0.0.1")
        local fetch = "try { const r = await fetch('%s/filer/cors', { method: '%s', headers: { Authorization: "
            .. "'Bearer %s' } }); return r.status + ' ' + (await r.json()).method } catch (e) { return e.name }"
        assert.equal("200 PUT", chromium:await(fetch:format(origin, "PUT", token)))
        assert.equal("200 GET", chromium:await(fetch:format(origin, "GET", token)))
        chromium:go(("http://localhost:%d/?%s"):format(stranger.port, page("x")))
        assert.equal("TypeError", chromium:await(fetch:format(origin, "PUT", token)))
    end)
end)
