-- The status page of the admin API: what it shows, in Chromium, and what it may not do.
--
-- STATUS_SCREENSHOTS=docs writes docs/status-1280.png and docs/status-390.png, after a minute of requests.

local browser = require "support.browser"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local revocation = require "support.revocation"
local socket = require "socket"
local token = require "support.token"
local websocket = require "support.websocket"

local TAB, ENTER, ESCAPE = "\238\128\132", "\238\128\135", "\238\128\140"
local HOSTILE = [["><img src=x onerror="window.hit=1"><script>window.hit=2</script>]]

-- Starts a gateway whose admin API has an address.
local function start(variables)
    local port = process.free_port()
    local running = assert(gateway.start { prepare = function(self)
        local env = self.environment
        env.ROUTE_ADMIN_LISTEN, env.ROUTE_ADMIN_KEY = "127.0.0.1:" .. port, self.keys.other_public
        for name, value in pairs(variables or {}) do
            env[name] = value
        end
    end })
    running.admin_port, running.origin = port, "http://127.0.0.1:" .. port
    return running
end

local function fingerprint(text)
    return (process.run("printf %s '" .. text .. "' | sha256sum"):sub(1, 12))
end

describe("the status page over HTTP", function()
    local running
    setup(function() running = start() end)
    teardown(function() running:stop() end)

    local function ask(path, method, host)
        return http.request(running.admin_port, { path = path, method = method, headers = {
            { "Host", host or "127.0.0.1" } } })
    end

    local function status()
        return cjson.decode(ask("/status.json").body)
    end

    it("allows its own script and style alone, by a nonce of each answer", function()
        local seen = {}
        for _ = 1, 2 do
            local response = ask "/"
            local policy = response.headers["content-security-policy"]
            local nonce = policy:match("script%-src 'nonce%-(%x+)'; style%-src 'nonce%-%1'")
            assert.is_true(#nonce == 32 and not seen[nonce], policy)
            seen[nonce] = true
            for _, part in ipairs { "default-src 'none'", "connect-src 'self'", "form-action 'none'", "base-uri 'none'",
                "frame-ancestors 'none'", "require-trusted-types-for 'script'" } do
                assert.truthy(policy:find(part, 1, true), policy)
            end
            assert.is_nil(policy:find("unsafe", 1, true))
            local _, tags = response.body:gsub('<s%a+ nonce="' .. nonce .. '">', "")
            assert.equal(2, tags)
            assert.same({ 200, "no-store", "text/html; charset=utf-8", "nosniff" }, { response.status,
                response.headers["cache-control"], response.headers["content-type"],
                response.headers["x-content-type-options"] })
        end
    end)

    it("loads nothing from elsewhere, and has no inline handler", function()
        local page = ask("/").body
        assert.is_nil(page:find("%s[hs]r[ce]f?=[\"']?[^d\"']"))
        assert.is_nil(page:find("url(", 1, true))
        assert.is_nil(page:find("@import", 1, true))
        assert.is_nil(page:find("%son%a+="))
        assert.is_nil(page:find("innerHTML", 1, true))
    end)

    it("is only for hosts of the admin API, and only to be read", function()
        for _, path in ipairs { "/", "/status.json" } do
            assert.equal(421, ask(path, "GET", "evil.example").status)
            assert.equal(405, ask(path, "POST").status)
            assert.equal(200, ask(path, "HEAD").status)
            local preflight = ask(path, "OPTIONS")
            assert.same({ 405 }, { preflight.status, preflight.headers["access-control-allow-origin"] })
        end
        assert.equal(404, ask("/status.html").status)
        assert.is_nil(running:get("/status.json").body:find('"refusals"', 1, true))
    end)

    it("has the newest refusals, with fingerprints in place of tokens", function()
        local forged = running:mint("127.0.0.1", { key = running.keys.other_private })
        running:get("/filer/x", forged)
        running:request { path = "/spawner/x", headers = {
            { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" } } }
        local answer = status()
        local newest, before = answer.refusals[1], answer.refusals[2]
        assert.same({ "token_missing", "spawner", "desktop", 401, "", "4bf92f3577b34da6a3ce929d0e0e4736" }, {
            newest.reason, newest.endpoint, newest.capability, newest.status, newest.token, newest.trace })
        assert.same({ "signature_invalid", "filer", fingerprint(forged) }, {
            before.reason, before.endpoint, before.token })
        assert.is_true(math.abs(newest.time - os.time()) < 60 and answer.changes and answer.time >= newest.time)
        assert.is_nil(cjson.encode(answer):find(forged:sub(1, 60), 1, true))
    end)

    it("keeps 100 refusals, and few of a flood", function()
        local first, began, sent = status().refusals[1].number, socket.gettime(), 0
        local newest
        repeat
            for _ = 1, 50 do
                running:get("/filer/x", "a.b.c")
            end
            sent = sent + 50
            newest = status().refusals
        until newest[1].number >= first + 120
        -- Two workers keep 20 in a second each.
        local seconds = math.ceil(socket.gettime() - began) + 1
        assert.is_true(newest[1].number - first <= math.min(40 * seconds, sent))
        assert.equal(100, #newest)
        for i, refusal in ipairs(newest) do
            assert.equal(newest[1].number - i + 1, refusal.number)
        end
    end)
end)

describe("the admin API's host at a unix socket", function()
    it("has no dot, unless it is listed: ssh may forward a browser there", function()
        local running = assert(gateway.start { demo = false, env = { ROUTE_ADMIN_HOSTS = "admin.test" } })
        for host, status in pairs { admin = "200", localhost = "200", ["127.0.0.1"] = "200", ["admin.test"] = "200",
            ["evil.example"] = "421", ["localhost.evil.example"] = "421" } do
            for _, path in ipairs { "/", "/revocations" } do
                local curl = "curl -s -o /dev/null -w '%%{http_code}' --unix-socket %s/admin.sock http://%s%s"
                assert.equal(status, (process.run(curl:format(running.directory, host, path))), host)
            end
        end
        running:stop()
    end)
end)

describe("the status page in Chromium", function()
    local running, chromium, admin_token

    setup(function()
        running = start()
        chromium = browser.start()
        local claims = { sub = "root", scope = "route_native.admin", exp = os.time() + 3600, iat = os.time() }
        admin_token = token.mint_all(running.keys, { { claims = claims, key = running.keys.other_private } })[1]
    end)
    teardown(function()
        chromium:stop()
        running:stop()
    end)
    before_each(function()
        chromium:show(1280, 900, "light")
        chromium:go(running.origin .. "/")
    end)

    local function script(text)
        return chromium:await("return " .. text)
    end

    -- Waits until a table of the page has a row with these texts, in this order.
    local function row(id, ...)
        local parts = { ... }
        return process.wait_until("the table " .. id .. " had " .. table.concat(parts, " … "), function()
            local rows = script(("[...document.querySelectorAll('#%s tbody tr')].map(r => r.innerText.replace(/\\s+/g, "
                .. "' ')).join('\\n')"):format(id))
            for line in rows:gmatch("[^\n]+") do
                local at = 1
                for _, part in ipairs(parts) do
                    at = at and select(2, line:find(part, at, true))
                end
                if at then
                    return line
                end
            end
        end)
    end

    local function told(text)
        return process.wait_until("the page told " .. text, function()
            local found = chromium:text("#result")
            return found:find(text, 1, true) and found
        end)
    end

    local function fill(name, with_token)
        chromium:type("#token", with_token or admin_token)
        chromium:type("#name", name)
    end

    it("shows requests, reasons, caches, keys and connections, and goes on", function()
        local good = running:mint("127.0.0.1")
        running:get("/filer/x", good)
        running:get("/filer/x", good)
        running:get("/filer/x", "a.b.c")
        local opened = assert(websocket.open(running.port, { path = "/websockify", headers = {
            { "Authorization", "Bearer " .. good } } }))
        row("capabilities", "desktop", "3", "1")
        row("reasons", "token_malformed", "1")
        row("caches", "desktop", "verified anew", "1")
        row("keys", "none")
        row("files", "signing_public.pem")
        row("refusals", "token_malformed (401)", fingerprint "a.b.c", "desktop filer")
        process.wait_until("the page showed the connection", function() return chromium:text("#open") == "1" end)
        assert.equal("Ready", chromium:text("#state"))
        for _ = 1, 3 do
            running:get("/filer/x")
        end
        row("reasons", "token_missing", "3")
        row("capabilities", "desktop", "3", "4")
        opened:close()
        process.wait_until("the page showed its end", function() return chromium:text("#open") == "0" end)
    end)

    it("draws what was in the last two minutes, and says it to a screen reader", function()
        process.wait_until("the plot had a line", function()
            running:get("/filer/x")
            return script "!!document.querySelector('#requests-plot .bad-line')?.getAttribute('d')?.includes('L')"
        end)
        assert.truthy(script("document.getElementById('requests-plot').getAttribute('aria-label')")
            :find("^Requests a second: .* passed, .* refused$"))
    end)

    it("revokes and withdraws, with a token that only its memory has", function()
        local claims = { sub = "ada", exp = os.time() + 600, iat = os.time() - 9 }
        local victim = running:mint("127.0.0.1", { claims = claims })
        local get = function() return running:get("/spawner/x", victim).status end
        revocation.wait_for(200, get)
        fill "ada"
        chromium:click("#revoke button")
        assert.truthy(chromium:text("#question"):find("^Revoke sub ada%?"))
        chromium:click("#yes")
        local number = told("Revoked sub ada: number"):match("%d+")
        revocation.wait_for(401, get)
        row("revocations", number, "sub ada", "root")
        assert.equal("0 0  false", script("[localStorage.length, sessionStorage.length, document.cookie, "
            .. "document.documentElement.outerHTML.includes(document.getElementById('token').value)].join(' ')"))
        chromium:click(("[aria-label='Withdraw revocation %s']"):format(number))
        chromium:click("#yes")
        told("Withdrew revocation " .. number)
        revocation.wait_for(200, get)
        chromium:go(running.origin .. "/")
        assert.equal("", script("document.getElementById('token').value"))
        local log = running:error_log() .. running:access_log()
        assert.is_nil(log:find(admin_token, 1, true))
    end)

    it("shows a hostile name as the text that it is", function()
        fill(HOSTILE)
        chromium:click("#revoke button")
        chromium:click("#yes")
        told("Revoked sub " .. HOSTILE)
        row("revocations", "sub " .. HOSTILE)
        assert.equal("undefined 0 1", script("[typeof window.hit, document.querySelectorAll('img').length, "
            .. "document.scripts.length].join(' ')"))
    end)

    it("runs no script and takes no markup but its own", function()
        local function fails(text)
            return script(("(() => { try { %s; return 'done' } catch (e) { return e.name } })()"):format(text))
        end
        assert.equal("TypeError", fails "document.body.innerHTML = '<b>x</b>'")
        assert.equal("TypeError", fails "document.write('x')")
        assert.equal("TypeError", fails "const s = document.createElement('script'); s.textContent = 'window.hit = 4'")
        assert.equal("TypeError", fails "document.body.setAttribute('onclick', 'window.hit = 3')")
        assert.equal("TypeError", script("fetch('http://localhost:" .. running.port
            .. "/').then(() => 'sent', (e) => e.name)"))
    end)

    it("tells why a change is refused, and keeps what was typed", function()
        chromium:type("#name", "eve")
        chromium:click("#revoke button")
        chromium:click("#yes")
        told "A change needs an admin token."
        assert.equal("token", script "document.activeElement.id")
        chromium:type("#token", running:mint("127.0.0.1"))
        chromium:click("#revoke button")
        chromium:click("#yes")
        told "Refused (401): Missing, invalid or expired access token"
        assert.equal("eve", script "document.getElementById('name').value")
    end)

    it("names the issuer and the end of a revocation", function()
        script "(document.getElementById('kind').value = 'jti', 1)"
        fill "4711"
        chromium:type("#issuer", "https://id.example")
        chromium:type("#hours", "2")
        chromium:click("#revoke button")
        chromium:click("#yes")
        told "Revoked jti 4711"
        row("revocations", "jti 4711 of https://id.example", "any time")
        local list = cjson.decode(http.request(running.admin_port, { path = "/revocations?limit=1",
            headers = { { "Host", "127.0.0.1" } } }).body)
        assert.is_true(math.abs(list.revocations[1].ends - os.time() - 7200) < 120)
    end)

    it("can be used by keyboard alone, and Escape changes nothing", function()
        chromium:type("#token", admin_token)
        script "document.getElementById('name').focus()"
        chromium:press("key-user" .. ENTER)
        assert.truthy(chromium:text("#question"):find("sub key-user", 1, true))
        assert.equal("true", script "String(document.getElementById('ask').contains(document.activeElement))")
        chromium:press(ESCAPE)
        process.wait_until("the question was closed", function()
            return script "String(document.getElementById('ask').open)" == "false"
        end)
        assert.equal("name", script "document.activeElement.id")
        chromium:press(ENTER)
        chromium:text("#question")
        chromium:press(TAB)
        assert.equal("yes", script "document.activeElement.id")
        chromium:press(ENTER)
        told "Revoked sub key-user"
    end)

    it("leaves the focus where it is while it goes on", function()
        row("revocations", "key-user")
        script "document.querySelector('#revocations button').focus()"
        local label = script "document.activeElement.getAttribute('aria-label')"
        local before = chromium:text("#reasons")
        for _ = 1, 5 do
            running:get("/filer/x", "a.b.c")
        end
        process.wait_until("the page went on", function() return chromium:text("#reasons") ~= before end)
        assert.equal(label, script "document.activeElement.getAttribute('aria-label')")
    end)

    it("stops when it is told to", function()
        chromium:click("#pause")
        assert.equal("true", script "document.getElementById('pause').getAttribute('aria-pressed')")
        local asked = script [[await (async () => {
            const counts = () => performance.getEntriesByType('resource').length;
            const before = counts();
            await new Promise((resolve) => setTimeout(resolve, 4500));
            return counts() - before;
        })()]]
        assert.is_true(asked <= 3, asked .. " requests")
    end)

    it("names every field, column and plot", function()
        assert.equal("0", script("String([...document.querySelectorAll('input, select')].filter(f => "
            .. "!f.labels.length).length)"))
        assert.equal("0", script "String(document.querySelectorAll('th:not([scope])').length)")
        assert.equal("0", script("String([...document.querySelectorAll('section')].filter(s => "
            .. "!document.getElementById(s.getAttribute('aria-labelledby'))).length)"))
        running:get "/filer/x"
        row("capabilities", "desktop")
        assert.equal("0", script "String(document.querySelectorAll('svg:not([role=img][aria-label])').length)")
        assert.equal("status", script "document.getElementById('result').getAttribute('role')")
    end)

    -- Returns the least contrast (WCAG 2.2) of the texts of the page with the ground behind them.
    local CONTRAST = [[(() => {
        const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const light = (rgb) => 0.2126 * part(rgb[0]) + 0.7152 * part(rgb[1]) + 0.0722 * part(rgb[2]);
        const numbers = (text) => text.match(/[\d.]+/g).map(Number);
        const ground = (node) => {
            for (; node; node = node.parentElement) {
                const found = numbers(getComputedStyle(node).backgroundColor);
                if (found.length === 3 || found[3] === 1) return found;
            }
            return [255, 255, 255];
        };
        let least = 21;
        for (const node of document.querySelectorAll('body *:not(script, style, option)')) {
            const texts = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
            if (!texts || !node.checkVisibility() || node.closest(':disabled')) continue;
            const [a, b] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
            least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }
        return least;
    })()]]

    for _, scheme in ipairs { "light", "dark" } do
        for _, width in ipairs { 1280, 390 } do
            it(("fits %d pixels, and can be read, in the %s"):format(width, scheme), function()
                chromium:show(width, 844, scheme)
                running:get("/filer/x", "a.b.c")
                row("refusals", "token_malformed (401)")
                assert.is_true(script "document.documentElement.scrollWidth" <= width)
                assert.is_true(script(CONTRAST) >= 4.5)
                local ground = script "getComputedStyle(document.body).backgroundColor"
                assert.equal(scheme == "dark", ground:find("rgb(16,", 1, true) ~= nil)
            end)
        end
    end

    it("has screenshots, if STATUS_SCREENSHOTS names their directory", function()
        local directory = os.getenv("STATUS_SCREENSHOTS")
        if not directory then
            return
        end
        local claims = { sub = "ada", exp = os.time() + 600, iat = os.time() - 9 }
        local tokens = token.mint_all(running.keys, { { target = "127.0.0.1", claims = claims },
            { target = "127.0.0.1", key = running.keys.other_private },
            { target = "127.0.0.1", claims = { exp = os.time() - 60 } } })
        local opened = {}
        for i = 1, 70 do
            for n = 1, 4 + math.floor(3 * math.sin(i / 6)) do
                running:get("/filer/" .. n, tokens[1])
            end
            if i % 5 < 2 then
                running:get("/spawner/x", tokens[2 + i % 2])
            end
            opened[i] = i % 8 == 0 and websocket.open(running.port, { path = "/websockify", headers = {
                { "Authorization", "Bearer " .. tokens[1] } } }) or nil
            socket.sleep(0.9)
        end
        chromium:show(1280, 900, "light")
        chromium:screenshot_all(directory .. "/status-1280.png")
        chromium:show(390, 844, "dark")
        chromium:screenshot_all(directory .. "/status-390.png")
        for _, connection in pairs(opened) do
            connection:close()
        end
    end)

    it("says that it has no answer, and goes on when there is one", function()
        process.signal(running.pid, "STOP")
        for _, pid in ipairs(running:workers()) do
            process.signal(pid, "STOP")
        end
        process.wait_until("the page said so", function() return chromium:text("#state") == "No answer" end)
        assert.truthy(chromium:text("#news"):find("does not answer", 1, true))
        for _, pid in ipairs(running:workers()) do
            process.signal(pid, "CONT")
        end
        process.signal(running.pid, "CONT")
        process.wait_until("the page went on", function() return chromium:text("#state") == "Ready" end)
    end)

    it("says that nothing can be changed without a key", function()
        local other = start { ROUTE_ADMIN_KEY = false }
        chromium:go(other.origin .. "/")
        process.wait_until("the page said so", function()
            return chromium:text("#locked"):find("nothing can be changed", 1, true)
        end)
        assert.equal("true true",
            script "['token', 'name'].map((id) => document.getElementById(id).disabled).join(' ')")
        other:stop()
    end)
end)
