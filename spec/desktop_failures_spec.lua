-- The way to a desktop fails: each kind has a page for people, JSON for programs, and a reason in the access log.

local cjson = require "cjson"
local desktops = require "support.desktops"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local websocket = require "support.websocket"

local NAVIGATION = { "Sec-Fetch-Mode", "navigate" }

describe("the way to a desktop", function()
    local running, directory, token, name_token, sockets

    setup(function()
        directory = process.temporary_directory()
        local broken = desktops.start("broken_desktop.py", directory)
        local silent
        silent, sockets = desktops.silent_port()
        running = assert(gateway.start {
            demo = false,
            env = {
                SPAWNER_SERVICE_TCP_PORT = process.free_port(), WS_TCP_BRIDGE_TCP_PORT = process.free_port(),
                SNAPSHOT_SERVICE_TCP_PORT = broken, SOUND_SERVICE_TCP_PORT = broken,
                PRINTERFILE_SERVICE_TCP_PORT = silent,
                PYOS_FQDN = "127.0.0.1", PYOS_SERVICE_PORT = process.free_port(),
                -- Nothing answers there.
                NAMESERVER_RESOLVER = "127.0.0.1:" .. process.free_port(),
            },
            prepare = desktops.site("proxy_connect_timeout 1s; proxy_read_timeout 1s; resolver_timeout 1s;"),
        })
        token, name_token = running:mint("127.0.0.1"), running:mint("desktop-7.invalid")
    end)
    teardown(function()
        running:stop()
        for _, one in ipairs(sockets) do
            one:close()
        end
    end)

    local function get(path, bearer, header)
        return running:request { path = path, headers = { { "Authorization", bearer }, header } }
    end

    -- Path, status, code and Retry-After.
    local CASES = {
        { "a desktop that is not there", "/spawner/x", 502, "desktop_refused", "5" },
        { "a connection that is never made", "/printerfiler/x", 504, "desktop_unreachable", "10" },
        { "a desktop that hangs", "/snapshot/hang", 504, "desktop_timeout" },
        { "a desktop that closes without an answer", "/snapshot/closed", 502, "desktop_answer_invalid" },
        { "an answer with a broken header", "/snapshot/header", 502, "desktop_answer_invalid" },
        { "an interim answer", "/snapshot/interim", 502, "desktop_answer_invalid" },
        { "a name that does not resolve", "/spawner/y", 502, "desktop_unresolved", "10", true },
    }

    for _, case in ipairs(CASES) do
        local what, path, status, code, retry_after, by_name = unpack(case)

        it("is JSON and a reason for " .. what, function()
            local response = get(path, by_name and name_token or token)
            assert.same({ status, code, "no-store", retry_after, "application/json" }, { response.status,
                cjson.decode(response.body).code, response.headers["cache-control"], response.headers["retry-after"],
                response.headers["content-type"] })
            local entry = running:logged(path)
            assert.same({ status, code }, { entry.status, entry.reason })
            assert.equal(12, #entry.token)
        end)

        it("is a page for " .. what, function()
            local response = get(path, by_name and name_token or token, NAVIGATION)
            assert.same({ status, "no-store", retry_after, "text/html; charset=utf-8" }, { response.status,
                response.headers["cache-control"], response.headers["retry-after"], response.headers["content-type"] })
            assert.truthy(response.headers["content-security-policy"]:find("default-src 'none'", 1, true))
            assert.equal("nosniff", response.headers["x-content-type-options"])
            assert.truthy(response.body:find("<small>" .. code .. "</small>", 1, true), response.body)
            assert.truthy(response.body:find('<a href="/" target="_top">', 1, true))
            assert.truthy(response.body:find("prefers-color-scheme: dark", 1, true))
            assert.is_true(#response.body < 2048)
        end)
    end

    it("is JSON for a WebSocket too", function()
        local headers = { { "Authorization", token } }
        local socket, refused = websocket.open(running.port, { path = "/websockify", headers = headers })
        assert.is_nil(socket)
        assert.same({ 502, "desktop_refused", "5" },
            { refused.status, cjson.decode(refused.body).code, refused.headers["retry-after"] })
        socket, refused = websocket.open(running.port, { path = "/sound/closed", headers = headers })
        assert.is_nil(socket)
        assert.same({ 502, "desktop_answer_invalid" }, { refused.status, cjson.decode(refused.body).code })
    end)

    it("is an answer without a body for HEAD, and after a POST whose body is not read", function()
        local head = running:request { method = "HEAD", path = "/spawner/x", headers = { { "Authorization", token } } }
        assert.same({ 502, "" }, { head.status, head.body })
        local post = running:request { method = "POST", path = "/spawner/x", body = ("x"):rep(200000),
            headers = { { "Authorization", token } } }
        assert.same({ 502, "desktop_refused" }, { post.status, cjson.decode(post.body).code })
    end)

    it("passes on what the desktop itself answers, a 502 as it is", function()
        local response = get("/snapshot/own", token, NAVIGATION)
        assert.same({ 502, "own", "max-age=9" }, { response.status, response.body, response.headers["cache-control"] })
        assert.equal("", running:logged("/snapshot/own").reason)
        assert.equal("fine", get("/snapshot/fine", token).body)
    end)

    it("ends the connection of a client whose answer was refused halfway", function()
        local connection = http.connect(running.port)
        http.send(connection, { path = "/snapshot/interim", headers = { { "Authorization", token } } })
        local response = http.read_response(connection)
        assert.same({ 502, "close" }, { response.status, response.headers.connection })
        local _, state = connection:receive(1)
        assert.equal("closed", state)
    end)

    it("gives a desktop's answer without a status line to nobody", function()
        local bytes = http.everything(running.port,
            ("GET /snapshot/garbage HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n"):format(token))
        assert.is_nil((bytes or ""):find("OpenSSH", 1, true))
        assert.equal("desktop_answer_invalid", running:logged("/snapshot/garbage").reason)
    end)

    it("keeps the code of other upstreams apart", function()
        local response = running:get("/API/x")
        assert.same({ 502, "unavailable", "5" },
            { response.status, cjson.decode(response.body).code, response.headers["retry-after"] })
        assert.truthy(running:request { path = "/API/x", headers = { NAVIGATION } }.body:find("unavailable", 1, true))
    end)
end)

describe("ROUTE_DESKTOP_TEXTS", function()
    local directory, keys

    setup(function()
        directory = process.temporary_directory()
        keys = require("support.token").keys(directory)
    end)

    -- Starts a gateway with a file of texts.
    local function start(texts)
        process.write(directory .. "/texts.json", texts)
        return gateway.start { demo = false, keys = keys, env = {
            ROUTE_DESKTOP_TEXTS = directory .. "/texts.json", SPAWNER_SERVICE_TCP_PORT = process.free_port(),
        } }
    end

    it("replaces texts, whatever characters they have", function()
        local running = assert(start [[{"language":"fr","back":"Retour <b>",
            "desktop_refused":{"title":"Arrêté & \"éteint\""}}]])
        local token = running:mint("127.0.0.1")
        local page = running:request { path = "/spawner/x", headers = { { "Authorization", token }, NAVIGATION } }.body
        for _, text in ipairs { '<html lang="fr">', "<h1>Arrêté &amp; &quot;éteint&quot;</h1>", "Retour &lt;b&gt;",
            "It refuses connections" } do
            assert.truthy(page:find(text, 1, true), page)
        end
        local message = cjson.decode(running:get("/spawner/x", token).body).message
        assert.equal('Arrêté & "éteint". It refuses connections: it is starting, or it has been stopped.', message)
        running:stop()
    end)

    for what, case in pairs {
        ["an unknown code"] = { '{"desktop_gone":{}}', 'there is no field "desktop_gone"' },
        ["an unknown text"] = { '{"desktop_refused":{"body":"x"}}', 'there is no field "desktop_refused.body"' },
        ["a text that is a number"] = { '{"back":1}', 'the field "back" must be a string' },
        ["a list"] = { '[1]', 'there is no field "1"' },
        ["no JSON"] = { '{"back":', "the file must be an object of JSON" },
        ["too many bytes"] = { ("x"):rep(64 * 1024 + 1), "the file has more than 65536 bytes" },
        ["an empty file"] = { "", "the file cannot be read, or is empty" },
    } do
        it("refuses " .. what .. " in one sentence", function()
            local running, output = start(case[1])
            assert.is_nil(running)
            assert.truthy(output:find("route_native: the texts of the file " .. directory .. "/texts.json: " .. case[2],
                1, true), output)
        end)
    end
end)
