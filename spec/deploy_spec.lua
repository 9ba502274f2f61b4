-- Checks of shipped files that no linter makes: the Dockerfiles against the checkout and each other, and the Kubernetes
-- resources against the gateway's variables.

local process = require "support.process"

local DOCKERFILES = { "Dockerfile.jammy", "Dockerfile.alpine" }

-- Returns the instructions of a Dockerfile, with continuation lines joined and without comments.
local function instructions(name)
    local text = process.read(name):gsub("\n#[^\n]*", ""):gsub("\\\n%s*", "")
    local found = {}
    for line in text:gmatch("[^\n]+") do
        if not line:find("^#") then
            found[#found + 1] = line
        end
    end
    return found
end

-- Returns whether .dockerignore lets a path in. It excludes all paths, then names exceptions.
local function in_build_context(path)
    for allowed in process.read(".dockerignore"):gmatch("\n!([^\n]+)") do
        if path == allowed or path:sub(1, #allowed + 1) == allowed .. "/" then
            return true
        end
    end
    return false
end

describe("the Dockerfiles", function()
    for _, name in ipairs(DOCKERFILES) do
        it("copy only files of the checkout that .dockerignore lets in: " .. name, function()
            local sources = 0
            for _, line in ipairs(instructions(name)) do
                local list = not line:find("--from=", 1, true) and line:match("^COPY (.*) %S+$")
                for source in (list or ""):gmatch("%S+") do
                    local _, status = process.run("test -e " .. source)
                    assert.same({ 0, true }, { status, in_build_context(source) }, source)
                    sources = sources + 1
                end
            end
            assert.is_true(sources > 10)
        end)
    end

    it("differ only in their packages, so that a build of one also tests the other", function()
        local recipes = {}
        for i, name in ipairs(DOCKERFILES) do
            local kept = {}
            for _, line in ipairs(instructions(name)) do
                if not line:find("^ARG %w+_IMAGE_RELEASE=") then
                    -- Each distribution manages packages and users in its own way.
                    kept[#kept + 1] = line:find("apt%-get ") and "RUN packages" or line:find("apk ") and "RUN packages"
                        or line
                end
            end
            recipes[i] = kept
        end
        assert.same(recipes[1], recipes[2])
    end)

    it("keep the library's layer when Lua or configuration changes", function()
        local built
        for i, line in ipairs(instructions("Dockerfile.jammy")) do
            if line:find("build-library.sh", 1, true) and line:find("^RUN") then
                built = i
            end
            if line:find("^COPY lua") or line:find("^COPY conf") or line:find("^COPY examples") then
                assert.truthy(built, line)
            end
        end
    end)
end)

describe("dependabot's settings", function()
    -- The manifest in an ecosystem's folder.
    local MANIFESTS = { cargo = "Cargo.toml", npm = "package-lock.json", docker = "Dockerfile.jammy",
        ["github-actions"] = ".github/workflows/test.yml" }

    it("name the folder of every ecosystem's manifests", function()
        local text, seen = process.read(".github/dependabot.yml"), {}
        for ecosystem, rest in text:gmatch("package%-ecosystem: ([%w-]+)\n    director[iesy]+: ([^\n]+)") do
            for folder in rest:gmatch('/[^",%] ]*') do
                local path = (folder .. "/" .. MANIFESTS[ecosystem]):gsub("^/+", "")
                assert.same({ path, 0 }, { path, select(2, process.run("test -e " .. path)) })
                seen[path] = true
            end
        end
        local found = process.run("find * \\( -name target -o -name node_modules \\) -prune -o "
            .. "\\( -name Cargo.toml -o -name package-lock.json \\) -print")
        assert.truthy(found:find("fuzz/Cargo.toml", 1, true))
        for path in found:gmatch("[^\n]+") do
            assert.is_true(seen[path], path)
        end
        for _, manifest in pairs(MANIFESTS) do
            assert.is_true(seen[manifest] or manifest == "package-lock.json", manifest)
        end
    end)
end)

describe("deploy/kubernetes.yaml", function()
    local yaml = process.read("deploy/kubernetes.yaml")

    it("sets only variables that the gateway reads", function()
        local readers = process.run("cat conf/runtime*.sh") .. process.read("conf/nginx.conf")
            .. process.read("docker-entrypoint.sh")
        local count = 0
        for name in yaml:gmatch("%- name: ([%u_]+)\n") do
            assert.truthy(readers:find("%f[%u_]" .. name .. "%f[^%u_]"), name)
            count = count + 1
        end
        assert.is_true(count > 5)
    end)

    it("gives the gateway time to drain before it is killed", function()
        local grace = tonumber(yaml:match("terminationGracePeriodSeconds: (%d+)"))
        local drain = tonumber(yaml:match('ROUTE_DRAIN_SECONDS\n%s+value: "(%d+)"'))
        local before = tonumber(yaml:match('"sleep", "(%d+)"'))
        assert.is_true(grace >= before + drain + 10)
    end)

    it("runs the release of this checkout", function()
        assert.equal(process.read("Cargo.toml"):match('\nversion = "([^"]+)"'), yaml:match("image: route_native:(%S+)"))
    end)
end)
