-- Desktops in Chromium: a hostile desktop has no access to the origin, and the normal uses work: the screen, downloads,
-- uploads, the terminal and the printer.

local browser = require "support.browser"
local cjson = require "cjson"
local gateway = require "support.gateway"
local obedient = require "support.obedient"
local process = require "support.process"

-- A PDF of one empty page.
local PDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    .. "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

local function page(body, headers)
    local all = { { "Content-Type", "text/html" } }
    for _, header in ipairs(headers or {}) do
        all[#all + 1] = header
    end
    return obedient.answer { headers = all, body = "<!doctype html><title>x</title>" .. body }
end

describe("desktops in a browser:", function()
    local chromium, service, running, origin, token

    setup(function()
        service = obedient.start()
        running = assert(service:gateway {})
        origin, token = "http://127.0.0.1:" .. running.port, running:mint("127.0.0.1")
        chromium = browser.start()
    end)
    teardown(function()
        chromium:stop()
        running:stop()
        service:stop()
    end)

    -- Opens a page of the website.
    local function site(body)
        chromium:go(origin .. "/?" .. page(body or "the website"))
    end

    -- Returns the cookies of a request.
    local function cookies_at(path)
        local found = {}
        for _, request in ipairs(service:requests(path)) do
            for _, pair in ipairs(request.headers) do
                if pair[1]:lower() == "cookie" then
                    found[#found + 1] = pair[2]
                end
            end
        end
        return found
    end

    describe("a hostile desktop's page", function()
        local evil

        before_each(function()
            site()
            chromium:await("document.cookie = 'session=secret; path=/'; localStorage.secret = 'yes'")
            evil = origin .. "/filer/evil?jwt_token=" .. token .. "&" .. page("evil", {
                { "Set-Cookie", "session=planted; Path=/" }, { "Clear-Site-Data", '"cookies", "storage"' },
                { "Access-Control-Allow-Origin", "*" }, { "Service-Worker-Allowed", "/" },
            })
            chromium:go(evil)
            assert.equal("evil", chromium:text("body"))
        end)

        -- Runs a script in the page. Returns the thrown error, or "done: " and the result.
        local function try(script)
            return chromium:await(("try { return 'done: ' + await (async () => { %s })() } catch (e) { return e.name }")
                :format(script))
        end

        it("has the origin null", function()
            assert.equal("done: null", try "return self.origin")
        end)

        it("reads no cookie and no storage", function()
            for _, script in ipairs {
                "return document.cookie", "return localStorage.secret", "return sessionStorage.length",
                "return (await indexedDB.databases()).length", "return (await caches.keys()).length",
            } do
                local said = try(script)
                assert.truthy(said == "SecurityError" or said == "UnknownError", script .. ": " .. said)
            end
        end)

        it("changes no cookie and no storage", function()
            try "document.cookie = 'session=planted; path=/'"
            site()
            assert.equal("session=secret", chromium:await "return document.cookie")
            assert.equal("yes", chromium:await "return localStorage.secret")
        end)

        it("reads no answer of pyos and the website, and sends no cookie to them", function()
            for i, path in ipairs { "/API/secret", "/secret" } do
                assert.equal("TypeError", try(("return (await fetch('%s?evil%d')).status"):format(path, i)))
                assert.equal("done: 0", try(
                    ("return (await fetch('%s?evil%d', { mode: 'no-cors', credentials: 'include' })).status")
                    :format(path, i)))
                assert.equal(2, #service:requests(path .. "?evil" .. i))
                assert.same({}, cookies_at(path .. "?evil" .. i))
            end
        end)

        it("registers no service worker", function()
            local script = "/filer/sw.js?jwt_token=" .. token
            assert.equal("SecurityError", try(("return await navigator.serviceWorker.register('%s')"):format(script)))
            assert.same({}, service:requests("/filer/sw.js"))
        end)

        it("cannot access the page of the website that opened it", function()
            site()
            chromium:await(([[
                window.framed = document.body.appendChild(document.createElement('iframe'));
                framed.src = '%s';
                await new Promise(r => framed.onload = r)]]):format(evil))
            assert.equal("SecurityError", chromium:await(
                "try { return framed.contentWindow.document.title } catch (e) { return e.name }"))
        end)
    end)

    it("a desktop gets no cookie of the origin, and its answer to a link sets none", function()
        site()
        chromium:await("document.cookie = 'session=secret; path=/'")
        chromium:go(origin .. "/filer/seen?jwt_token=" .. token .. "&"
            .. page("x", { { "Set-Cookie", "left=1; Path=/" } }))
        assert.equal(1, #service:requests("/filer/seen"))
        assert.same({}, cookies_at("/filer/seen"))
        site()
        assert.equal("session=secret", chromium:await "return document.cookie")
    end)

    it("a page of the website cannot register a desktop's script as its service worker", function()
        site()
        local script = obedient.answer { headers = { { "Content-Type", "text/javascript" },
            { "Service-Worker-Allowed", "/" } }, body = "onfetch = () => {}" }
        local said = chromium:await(([[
            try {
                await navigator.serviceWorker.register('/filer/sw.js?jwt_token=%s&%s', { scope: '/filer/' });
                return 'registered';
            } catch (e) { return e.name }]]):format(token, script))
        assert.equal("TypeError", said)
        assert.same({}, service:requests("/filer/sw.js"))
    end)

    it("a link or frame of another site does not open a desktop", function()
        -- localhost and 127.0.0.1 are different sites.
        local elsewhere = "http://localhost:" .. running.port .. "/?"
        local target = ("%s/filer/%%s?jwt_token=%s"):format(origin, token)
        chromium:go(elsewhere .. page(('<a id="go" href="%s">go</a>'):format(target:format("link"))))
        chromium:click("#go")
        process.wait_until("the link led to the gateway", function()
            return chromium:url():find("/filer/link", 1, true)
        end)
        assert.equal("403 Forbidden", chromium:text("h1"))
        chromium:go(elsewhere .. page("x"))
        chromium:await(("const f = document.body.appendChild(document.createElement('iframe'));"
            .. "f.src = '%s'; await new Promise(r => f.onload = r)"):format(target:format("frame")))
        assert.same({}, service:requests("/filer/link"))
        assert.same({}, service:requests("/filer/frame"))
    end)

    it("a PDF of a desktop is shown", function()
        chromium:go(origin .. "/printerfiler/a.pdf?jwt_token=" .. token .. "&" .. obedient.answer {
            headers = { { "Content-Type", "application/pdf" } }, body = PDF })
        assert.equal("application/pdf", chromium:await "return document.contentType")
    end)

    describe("the website", function()
        local good, here, bearer

        setup(function()
            good = assert(gateway.start { env = { ROUTE_WEBSITE_UPSTREAM = "127.0.0.1:" .. service.port,
                PRINTERFILE_SERVICE_TCP_PORT = service.port } })
            here, bearer = "http://127.0.0.1:" .. good.port, good:mint("127.0.0.1")
        end)
        teardown(function() good:stop() end)
        before_each(function() chromium:go(here .. "/?" .. page("the website")) end)

        -- Returns a complete file in the download directory.
        local function downloaded(name)
            return process.wait_until(name .. " was downloaded", function()
                local text = process.read(chromium.downloads .. "/" .. name)
                return text ~= "" and text
            end)
        end

        for how, query in pairs { named = "jwt_token=", bare = "" } do
            it("opens the screen's WebSocket with the token in the query, " .. how, function()
                local said = chromium:await(([[
                    const socket = new WebSocket('ws://' + location.host + '/websockify?%s%s', ['binary']);
                    socket.binaryType = 'arraybuffer';
                    const next = () => new Promise((ok, no) => {
                        socket.onmessage = e => ok(e.data);
                        socket.onclose = no;
                    });
                    const greeting = JSON.parse(await next());
                    socket.send(new Uint8Array([0, 255, 127]));
                    const bytes = new Uint8Array(await next());
                    return [greeting.path, socket.protocol, bytes.join(' '), 'cookie' in greeting.headers].join(', ')
                ]]):format(query, bearer))
                assert.equal("/websockify, binary, 0 255 127, false", said)
            end)
        end

        it("creates a terminal, opens it and sets its size", function()
            local said = chromium:await(([[
                const headers = { AbcAuthorization: 'Bearer %s' };
                const made = await fetch('/terminals?cols=80&rows=24', { method: 'POST', headers });
                const size = await fetch('/terminals/1/size?cols=90&rows=30', { method: 'POST', headers });
                const socket = new WebSocket('ws://' + location.host + '/terminals/1?%s');
                const greeting = await new Promise((ok, no) => {
                    socket.onmessage = e => ok(e.data);
                    socket.onclose = no;
                });
                return [made.status, (await made.json()).method, size.status, JSON.parse(greeting).path].join(', ')
            ]]):format(bearer, bearer))
            assert.equal("200, POST, 200, /terminals/1", said)
        end)

        it("uploads by PUT, and by a form's POST", function()
            local said = chromium:await(([[
                const headers = { AbcAuthorization: 'Bearer %s' };
                const put = await fetch('/filer/a', { method: 'PUT', headers, body: new Blob(['x'.repeat(3000000)]) });
                const form = new FormData();
                form.append('file', new Blob(['12345']), 'a.txt');
                const post = await fetch('/filer', { method: 'POST', headers, body: form });
                const sizes = [(await put.json()).body_bytes, (await post.json()).body_bytes];
                return [put.status, sizes[0], post.status, sizes[1] > 5].join(', ')
            ]]):format(bearer))
            assert.equal("200, 3000000, 200, true", said)
        end)

        it("downloads by a link", function()
            chromium:await(([[
                const a = document.body.appendChild(document.createElement('a'));
                a.href = '/filer/linked?jwt_token=%s'; a.download = 'linked.json'; a.click();
            ]]):format(bearer))
            assert.equal("/filer/linked", cjson.decode(downloaded("linked.json")).path)
        end)

        it("downloads by a script's blob", function()
            chromium:await(([[
                const got = await fetch('/filer?file=b', { headers: { AbcAuthorization: 'Bearer %s' } });
                const a = document.body.appendChild(document.createElement('a'));
                a.href = URL.createObjectURL(await got.blob()); a.download = 'blob.json'; a.click();
            ]]):format(bearer))
            assert.equal("/filer?file=b", cjson.decode(downloaded("blob.json")).path)
        end)

        it("shows a document for the printer in a frame", function()
            local said = chromium:await(([[
                const url = '/printerfiler?file=a.pdf&%s';
                const got = await fetch(url, { headers: { AbcAuthorization: 'Bearer %s' } });
                const blob = await got.blob();
                const frame = document.body.appendChild(document.createElement('iframe'));
                frame.src = URL.createObjectURL(blob.slice(0, blob.size, 'application/pdf'));
                await new Promise(r => frame.onload = r);
                return [got.status, blob.type, blob.size].join(', ')
            ]]):format(obedient.answer { headers = { { "Content-Type", "application/pdf" } }, body = PDF }, bearer))
            assert.equal("200, application/pdf, " .. #PDF, said)
        end)
    end)
end)
