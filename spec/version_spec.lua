-- scripts/version.sh, in a directory with the files that repeat the version.

local process = require "support.process"

local FILES = "Cargo.toml Cargo.lock README.md CHANGELOG.md lua docs deploy scripts"

describe("scripts/version.sh", function()
    local directory

    -- Runs it in the copy. Returns its output and its status.
    local function version(arguments)
        return process.run(("cd %s && scripts/version.sh %s 2>&1"):format(directory, arguments or ""))
    end

    local function path_of(name)
        return directory .. "/" .. name
    end

    local function replace(name, pattern, by)
        local text, count = process.read(path_of(name)):gsub(pattern, by)
        assert.is_true(count > 0, name)
        process.write(path_of(name), text)
    end

    local function refuses(arguments, sentence)
        local output, status = version(arguments)
        assert.same({ "route_native: " .. sentence .. "\n", true }, { output, status ~= 0 })
    end

    before_each(function()
        directory = process.temporary_directory()
        local output, status = process.run(("cp -r %s %s"):format(FILES, directory))
        assert(status == 0, output)
        -- The tests use their own changelog, so that today's has no effect on them.
        process.write(path_of "CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- News.\n")
        local output_of_set, status_of_set = version "1.2.3"
        assert(status_of_set == 0, output_of_set)
    end)

    it("sets one version in all files", function()
        assert.same("1.2.3\n", (version()))
        assert.same("", (version "--check v1.2.3"))
        assert.truthy(process.read(path_of "Cargo.toml"):find('\nversion = "1.2.3"\n', 1, true))
        assert.truthy(process.read(path_of "Cargo.lock"):find('\nname = "route_native"\nversion = "1.2.3"\n', 1, true))
        assert.truthy(process.read(path_of "lua/route_native.lua"):find('_VERSION = "1.2.3"', 1, true))
        assert.truthy(process.read(path_of "deploy/kubernetes.yaml"):find("image: route_native:1.2.3\n", 1, true))
        assert.truthy(process.read(path_of "docs/install.md"):find("route_native-1.2.3-1.", 1, true))
        assert.truthy(process.read(path_of "CHANGELOG.md"):find("^# Changelog\n\n## 1%.2%.3 %(%d+%-%d+%-%d+%)\n"))
    end)

    it("does not change the versions of dependencies", function()
        local function others(name)
            return (process.read(name):gsub('name = "route_native"\nversion = "[^"]*"', ""))
        end
        assert.same(others "Cargo.lock", others(path_of "Cargo.lock"))
        local before, after = process.read("Cargo.toml"), process.read(path_of "Cargo.toml")
        assert.same(before:gsub('\nversion = "[^"]*"', "", 1), after:gsub('\nversion = "[^"]*"', "", 1))
    end)

    for name, change in pairs {
        ["lua/route_native.lua"] = { '_VERSION = "1.2.3"', '_VERSION = "1.2.4"' },
        ["deploy/kubernetes.yaml"] = { "route_native:1.2.3", "route_native:1.2.4" },
        ["docs/install.md"] = { "route_native%-1.2.3", "route_native-1.2.4" },
        ["Cargo.lock"] = { '(name = "route_native"\nversion = )"1.2.3"', '%1"1.2.4"' },
        ["CHANGELOG.md"] = { "\n## 1.2.3", "\n## 1.2.4" },
    } do
        it("--check names a line of " .. name .. " with another version", function()
            replace(name, change[1], change[2])
            local output, status = version "--check"
            assert.is_not.equal(0, status)
            local place, sentence = output:match("^route_native: ([^:]+):%d+ (.*)\n$")
            assert.same({ name, "says 1.2.4, and Cargo.toml says 1.2.3; run: scripts/version.sh 1.2.3" },
                { place, sentence })
        end)
    end

    it("--check names a file that lacks the version", function()
        replace("lua/route_native.lua", "_VERSION = ", "_RELEASE = ")
        refuses("--check", "lua/route_native.lua does not say the version")
    end)

    it("--check TAG refuses another version's tag, and a release without its section", function()
        refuses("--check v1.2.4", "the tag v1.2.4 does not name the version of Cargo.toml, 1.2.3")
        refuses("--check 1.2.3", "the tag 1.2.3 does not name the version of Cargo.toml, 1.2.3")
        replace("CHANGELOG.md", "\n## ", "\n## Unreleased\n\n- More.\n\n## ")
        assert.same("", (version "--check"))
        refuses("--check v1.2.3",
            "CHANGELOG.md does not begin with the section of 1.2.3; run: scripts/version.sh 1.2.3")
    end)

    it("refuses a malformed or older version, and changes nothing", function()
        refuses("1.3", 'a version is X.Y.Z, and "1.3" is not')
        refuses("v1.3.0", 'a version is X.Y.Z, and "v1.3.0" is not')
        refuses("1.2.2", "1.2.2 is older than 1.2.3")
        refuses("1.3.0", 'CHANGELOG.md has no section "Unreleased" to release')
        assert.same("1.2.3\n", (version()))
        assert.same("", (version "--check"))
    end)
end)

describe("the checkout", function()
    it("has the same version in all files", function()
        assert.same({ "", 0 }, { process.run("scripts/version.sh --check 2>&1") })
    end)
end)
