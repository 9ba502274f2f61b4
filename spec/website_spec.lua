-- What `/` serves: an upstream, the files of a directory, or the shipped page.

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

describe("the website", function()
    local directory, running

    local function start(env)
        running = assert(gateway.start { env = env, workers = 1 })
    end

    local function answer(path, method)
        local response = running:request { method = method or "GET", path = path }
        return response.status, response.body, response.headers
    end

    setup(function()
        directory = process.temporary_directory()
        process.run(("cd %s && mkdir -p app/.git app/empty && printf home > app/index.html && printf code > app/a.js "
            .. "&& printf secret > app/.git/config && printf secret > app/.env && chmod -R go+rX ."):format(directory))
    end)
    teardown(function() process.run("rm -rf " .. directory) end)
    after_each(function()
        if running then
            running:stop()
            running = nil
        end
    end)

    it("is a page of ours where none is configured", function()
        for _, empty in ipairs { false, "" } do
            start { ROUTE_WEBSITE_UPSTREAM = empty }
            local status, body, headers = answer "/"
            assert.same({ 200, "text/html", "nosniff" },
                { status, headers["content-type"]:match("^[^;]+"), headers["x-content-type-options"] })
            assert.truthy(body:find("The desktop gateway is running", 1, true))
            assert.equal(404, (answer "/missing"))
            assert.equal(405, (answer("/", "POST")))
            assert.equal(200, (answer "/healthz"))
            assert.equal(401, (answer "/filer/x"))
            running:stop()
            running = nil
        end
    end)

    it("is ROUTE_WEBSITE_ROOT, without its hidden files", function()
        start { ROUTE_WEBSITE_UPSTREAM = false, ROUTE_WEBSITE_ROOT = directory .. "/app" }
        assert.same({ 200, "home" }, { (answer "/"), (select(2, answer "/")) })
        assert.same({ 200, "code" }, { (answer "/a.js"), (select(2, answer "/a.js")) })
        for path, status in pairs { ["/.git/config"] = 404, ["/.env"] = 404, ["/%2eenv"] = 404, ["/empty/"] = 403,
            ["/a.js/"] = 404, ["/../app/a.js"] = 400, ["/.well-known/x"] = 404 } do
            local got, body = answer(path)
            assert.equal(status, got, path)
            assert.is_nil(body:find("secret", 1, true))
        end
        local token = ("e"):rep(20) .. "." .. ("y"):rep(30) .. "." .. ("J"):rep(40)
        assert.equal(404, (answer("/" .. token)))
        assert.equal(200, (answer("/a.js?jwt_token=" .. token .. "&x=/")))
        assert.is_nil((running:error_log() .. running:access_log()):find(("J"):rep(40), 1, true))
    end)

    it("is the upstream where both are configured", function()
        start { ROUTE_WEBSITE_ROOT = directory .. "/app" }
        local port = tonumber(running.environment.ROUTE_WEBSITE_UPSTREAM:match("%d+$"))
        local status, body = answer "/?x=1"
        assert.equal(200, status)
        assert.same({ port, "/?x=1" }, { cjson.decode(body).port, cjson.decode(body).path })
    end)

    for value, sentence in pairs {
        ["/nonexistent"] = 'ROUTE_WEBSITE_ROOT must be a directory that can be read, and is "/nonexistent"',
        ["/etc/passwd"] = 'ROUTE_WEBSITE_ROOT must be a directory that can be read, and is "/etc/passwd"',
        ["app"] = 'ROUTE_WEBSITE_ROOT must be an absolute path, and is "app"',
        ["/tmp; return 200"] = 'ROUTE_WEBSITE_ROOT must be a path without blanks, quotes and braces, '
            .. 'and is "/tmp; return 200"',
        ["/tmp\n/etc"] = "ROUTE_WEBSITE_ROOT must be a path without blanks, quotes and braces, and holds a line break",
        ["/tmp/$host"] = 'ROUTE_WEBSITE_ROOT must be a path without blanks, quotes and braces, and is "/tmp/$host"',
    } do
        it(("refuses the directory %q"):format(value), function()
            local output, status = process.run(process.environment { ROUTE_WEBSITE_ROOT = value,
                ROUTE_RUN_DIR = directory .. "/run" } .. " sh conf/runtime.sh " .. directory .. "/out")
            assert.same({ 1, "route_native: " .. sentence .. "\n" }, { status, output })
        end)
    end
end)
