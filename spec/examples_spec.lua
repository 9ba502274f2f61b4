-- examples/: `make run EXAMPLE=NAME` starts every directory, and the commands of its README.md work. run_spec.lua tests
-- the desktop's, because it uses the same fixed ports.

local gateway = require "support.gateway"
local process = require "support.process"
local readme = require "support.readme"

describe("the examples", function()
    local directory

    setup(function() directory = process.temporary_directory() end)
    teardown(function() process.run("rm -rf " .. directory) end)

    it("have a start file each, and a short README.md that the project's README.md links", function()
        local project, count = process.read(gateway.ROOT .. "/README.md"), 0
        local files = process.run("ls -d " .. gateway.ROOT .. "/examples/*/start.sh")
        for place, name in files:gmatch("(%S+/([^/]+))/start.sh") do
            local _, lines = process.read(place .. "/README.md"):gsub("\n", "")
            assert.is_true(lines > 0 and lines <= 25, name)
            assert.truthy(process.read(place .. "/start.sh"):find("example_start()", 1, true), name)
            assert.truthy(project:find("(examples/" .. name .. "/README.md)", 1, true), name)
            count = count + 1
        end
        assert.equal(8, count)
    end)

    for _, name in ipairs { "auth", "border", "bound", "oidc", "phantom", "tunnel" } do
        it("give the answers of their README.md: " .. name, function()
            local log, port, run_dir = directory .. "/" .. name .. ".log", process.free_port(), directory .. "/" .. name
            local environment = { PORT = port, RUN_DIR = run_dir, EXAMPLE = name, WORKERS = 1, TLS = 1,
                TLS_PORT = process.free_port() }
            local pid = process.start(process.environment(environment) .. " make -s -C " .. gateway.ROOT .. " run", log)
            finally(function() process.stop(pid) end)
            process.wait_until("the example was ready", function()
                return process.read(log):find("ready: ", 1, true) or not process.alive(pid)
            end)
            assert(process.alive(pid), process.read(log))
            local expected, received, output = readme.try(name, port, run_dir)
            assert.is_true(#expected >= 2)
            assert.same(expected, received, output)
            -- The example answers over HTTPS too, with the certificate of `make run TLS=1`.
            assert.truthy(process.read(log):find("ready: https://127.0.0.1:" .. environment.TLS_PORT .. "\n", 1, true))
            local said, status = process.run(("curl -sS -o /dev/null --cacert %s/tls/ca.pem https://localhost:%d/")
                :format(run_dir, environment.TLS_PORT))
            assert.same({ "", 0 }, { said, status })
        end)
    end
end)
