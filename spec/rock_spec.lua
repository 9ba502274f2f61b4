-- The rock: built from the checkout, installed into an empty tree, and used by nginx. Also `make package`.

local gateway = require "support.gateway"
local process = require "support.process"

local LUAROCKS = "luarocks --lua-version 5.1 "
-- Builds in a directory of its own: other specs build with more features, and each build would undo the other.
local OWN_BUILD = "env CARGO_TARGET_DIR=target/library "

describe("the rock", function()
    local directory, tree

    local function run(command)
        local output, status = process.run(command)
        assert(status == 0, command .. "\n" .. output)
        return output
    end

    -- Starts the gateway without the checkout's Lua and library on its paths, and resolves a token.
    local function serves_from(prefix)
        local running = assert(gateway.start { env = {
            ROUTE_LUA_PATH = prefix .. "/share/lua/5.1/?.lua",
            ROUTE_LUA_CPATH = prefix .. "/lib/lua/5.1/?.so",
        } })
        local response = running:get("/filer/x", running:mint("127.0.0.1"))
        local mapped = process.read("/proc/" .. running:workers()[1] .. "/maps")
        running:stop()
        assert.equal(200, response.status)
        assert.same({ prefix .. "/lib/lua/5.1/libroute_native.so" }, { mapped:match("(/%S*libroute_native%S*)") })
        assert.is_nil(mapped:find("/target/release/", 1, true))
    end

    setup(function()
        directory = process.temporary_directory()
        tree = directory .. "/tree"
        run(OWN_BUILD .. LUAROCKS .. "make --tree " .. tree .. " route_native-dev-1.rockspec")
    end)
    teardown(function() process.run("rm -rf " .. directory) end)

    it("serves requests from an empty tree after its installation", function()
        serves_from(tree)
    end)

    it("installs from its packed form without cargo and without a network", function()
        run(("cd %s && %s --tree %s pack route_native"):format(directory, LUAROCKS, tree))
        local rock = run("ls " .. directory .. "/*.rock"):match("^(%S+)\n$")
        run(("env PATH=/usr/bin:/bin CARGO=/none %s --tree %s/second install --only-server file:///none %s")
            :format(LUAROCKS, directory, rock))
        serves_from(directory .. "/second")
    end)

    it("installs every module under lua/, by its own name, and the configuration beside it", function()
        local function modules(root)
            return run(("cd %s && find . -name '*.lua' -o -name '*.html' | LC_ALL=C sort"):format(root))
        end
        assert.equal(modules "lua", modules(tree .. "/share/lua/5.1"))
        local rock = "$(echo " .. tree .. "/lib/luarocks/rocks-5.1/route_native/*)"
        assert.equal("", run("diff -r --exclude=examples conf " .. rock .. "/share/route_native/conf"))
        -- Modules under other libraries' names are beside it, and on no path.
        assert.equal("", run("diff -r compat " .. rock .. "/share/route_native/compat"))
    end)

    it("is built without the dependencies of the tunnel and the tools", function()
        local needed = run("cargo tree --locked --edges normal,build --prefix none --format '{lib}'")
        assert.truthy(needed:find("jsonwebtoken", 1, true))
        for _, name in ipairs { "tokio", "hyper", "clap", "tokio_tungstenite" } do
            assert.is_nil(needed:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
        end
    end)

    it("takes the library from the path that cargo reports, and never installs a stale one", function()
        local root = process.temporary_directory()
        -- A cargo that runs a test's command in place of a build.
        local function build(cargo)
            process.run(("cd %s && mkdir -p scripts bin target/release target/install elsewhere"):format(root))
            process.run(("cp scripts/build-library.sh %s/scripts/ && touch %s/target/release/libroute_native.so "
                .. "%s/target/install/libroute_native.so"):gsub("%%s", root))
            process.write(root .. "/bin/cargo", "#!/bin/sh\n" .. cargo .. "\n")
            local output, status = process.run(("chmod 755 %s/bin/cargo && env PATH=%s/bin:\"$PATH\" sh "
                .. "%s/scripts/build-library.sh"):gsub("%%s", root))
            return status, output, process.run("cat " .. root .. "/target/install/libroute_native.so 2> /dev/null")
        end
        local elsewhere = root .. "/elsewhere/libroute_native.so"
        local status, output, installed = build(("cp /bin/true %s; "):format(elsewhere)
            .. ("echo '{\"filenames\":[\"/a/libroute_native.rlib\",\"%s\"]}'"):format(elsewhere))
        assert.equal(0, status, output)
        assert.is_true(#installed > 1000)
        status, output, installed = build("echo '{\"filenames\":[\"/a/libroute_native.rlib\"]}'")
        assert.equal(1, status)
        assert.truthy(output:find("^route_native: cargo built no shared library; on musl, RUSTFLAGS must hold"))
        assert.equal("", installed)
        process.run("rm -rf " .. root)
    end)

    it("installs with any CDPATH and without bash", function()
        local root = process.temporary_directory()
        assert.is_nil(process.read("Makefile"):find("SHELL", 1, true))
        local output, status = process.run(("mkdir -p %s/scripts %s/lua %s/conf && env CDPATH=%s:/usr "
            .. "CARGO_TARGET_DIR=target/library make -s install DESTDIR=%s"):gsub("%%s", root))
        assert.equal(0, status, output)
        assert.is_true(#process.read(root .. "/usr/local/share/lua/5.1/route_native/core/ffi.lua") > 0)
        process.run("rm -rf " .. root)
    end)

    it("reports a missing cargo in one sentence", function()
        local tools = directory .. "/tools"
        run(("mkdir %s && cp -s /usr/bin/* /bin/* %s 2>/dev/null; rm -f %s/cargo %s/rustup")
            :format(tools, tools, tools, tools))
        -- LuaRocks looks for Lua's headers beside Lua, which has another path here.
        local output, status = process.run(("env PATH=%s %s make --tree %s/third route_native-dev-1.rockspec "
            .. "LUA_INCDIR=/usr/include/lua5.1"):format(tools, LUAROCKS, directory))
        assert.is_not.equal(0, status)
        assert.truthy(output:find("\nroute_native: cargo is missing, and it builds the library; install Rust", 1, true)
            or output:find("^route_native: cargo is missing, and it builds the library; install Rust"), output)
    end)

    it("is not installed by root with an umask that keeps the workers from reading it", function()
        process.run(("mkdir -p %s/root-tools"):format(directory))
        process.write(directory .. "/root-tools/id", "#!/bin/sh\necho 0\n")
        run(("chmod 755 %s/root-tools/id"):format(directory))
        for umask, installed in pairs { ["022"] = true, ["002"] = true, ["027"] = false, ["077"] = false } do
            local command = OWN_BUILD .. LUAROCKS .. "make --tree " .. directory .. "/umask" .. umask
                .. " route_native-dev-1.rockspec"
            local output, status = process.run(("(umask %s && env PATH=%s/root-tools:\"$PATH\" %s)")
                :format(umask, directory, command))
            assert.equal(installed, status == 0, umask .. output)
            local sentence = "route_native: with the umask 0" .. umask .. ", LuaRocks installs files that nginx's "
                .. "workers cannot read; run: umask 022, and try again"
            assert.equal(not installed, output:find(sentence, 1, true) ~= nil, output)
            if installed then
                local found = run(("find %s/umask%s -type d ! -perm -005 -o -type f ! -perm -004")
                    :format(directory, umask))
                assert.equal("", found)
            end
        end
    end)

    it("is packed by `make package`, with its release's rockspec and a tarball for the root", function()
        local made = run(OWN_BUILD .. "make -s package DIST=" .. directory
            .. "/dist SOURCE_URL=https://git.test/route_native.git")
        local version = process.read("Cargo.toml"):match('\nversion = "([^"]+)"')
        local rockspec, rock, tarball = directory .. "/dist/route_native-" .. version .. "-1.rockspec",
            run("ls " .. directory .. "/dist/*.rock"):match("^(%S+)\n$"),
            run("ls " .. directory .. "/dist/*.tar.gz"):match("^(%S+)\n$")
        for _, file in ipairs { rockspec, rock, tarball } do
            assert.truthy(made:find(file, 1, true), made)
        end

        local environment = {}
        setfenv(assert(loadfile(rockspec)), environment)()
        assert.same({ version .. "-1", "git+https://git.test/route_native.git", "v" .. version },
            { environment.version, environment.source.url, environment.source.tag })

        run(("mkdir %s/root && tar -C %s/root -xzf %s"):format(directory, directory, tarball))
        serves_from(directory .. "/root/usr/local")
    end)

    it("is packed as the same tarball under every umask, without entries for shared directories", function()
        local package = OWN_BUILD .. "make -s package SOURCE_URL=file:///none DIST=" .. directory .. "/"
        local sums = {}
        for _, umask in ipairs { "022", "027", "077" } do
            run(("(umask %s && %s%s)"):format(umask, package, umask))
            sums[run(("cat %s/%s/*.tar.gz | sha256sum"):format(directory, umask))] = umask
        end
        local _, another = next(sums, next(sums))
        assert.is_nil(another)

        local ours = { ["usr/local/share/route_native/"] = true, ["usr/local/share/lua/5.1/route_native/"] = true }
        for line in run(("tar -tvzf %s/077/*.tar.gz"):format(directory)):gmatch("[^\n]+") do
            local mode, name = line:match("^(%S+) .* (%S+)$")
            if name:sub(-1) == "/" then
                assert.equal("drwxr-xr-x", mode, name)
                local within = name:match("^usr/local/share/route_native/") or name:match("^.*/5%.1/route_native/")
                assert.is_true(ours[within], name)
            else
                local runs = name:find("%.so$") or name:find("docker-entrypoint", 1, true)
                    or name:find("/scripts/%a+%.sh$") or name:find("runtime.sh", 1, true)
                assert.is_true(mode == "-rw-r--r--" or runs and mode == "-rwxr-xr-x" or false, line)
            end
        end

        -- An existing private or public directory keeps its mode, and gets the files.
        local root = directory .. "/kept"
        run(("mkdir -p %s/usr/local && chmod 711 %s/usr && chmod 2775 %s/usr/local"):format(root, root, root))
        run(("tar -C %s -xzf %s/027/*.tar.gz"):format(root, directory))
        assert.equal("711 2775\n", run(("stat -c %%a %s/usr %s/usr/local | paste -sd ' '"):format(root, root)))
    end)

    it("is readable for the workers after `make install` with umask 077", function()
        run(OWN_BUILD .. "scripts/build-library.sh")
        local root = directory .. "/private"
        run(("mkdir %s && (umask 077 && DESTDIR=%s PREFIX=/usr/local scripts/install.sh)"):format(root, root))
        assert.equal("", run(("find %s/usr -type d ! -perm -005 -o -type f ! -perm -004"):format(root)))
    end)
end)
