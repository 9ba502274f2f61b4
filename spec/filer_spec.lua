-- A desktop's files by /filer, over HTTPS, at a real file server: a file of 2 GB is stored, and a download that broke
-- off goes on from there. The desktop is once an address and once the name of a host.

local file_server = require "support.file_server"
local gateway = require "support.gateway"
local process = require "support.process"
local tls = require "support.tls"

local HOST = "localhost"
local BLOCK = 8192
-- More than a signed number of 32 bits can say, and a file that takes less time.
local SIZES = { ["127.0.0.1"] = 2 ^ 31 + 1048576 + 7, ["desktop-7.desktops.test"] = 2 ^ 26 + 7 }
-- The gateway's own memory must not grow with a file.
local MOST_KB = 150 * 1024

describe("a desktop's files", function()
    local directory, files, running, names, origin, port

    local function run(command)
        local output, status = process.run(command)
        assert(status == 0, output)
        return output
    end

    setup(function()
        directory = process.temporary_directory()
        tls.certificate(directory, HOST)
        local log = directory .. "/names.log"
        names = process.start(("/usr/bin/python3 %s/spec/support/dns_server.py"):format(gateway.ROOT), log)
        local resolver = process.wait_until("the name server was ready", function()
            return process.read(log):match("ready (%d+)")
        end)
        local file_port = process.free_port()
        files = file_server.start(file_port)
        local environment
        environment, port = tls.environment(directory, { FILE_SERVICE_TCP_PORT = file_port,
            NAMESERVER_RESOLVER = "127.0.0.1:" .. resolver })
        running = assert(gateway.start { demo = false, env = environment })
        origin = ("https://%s:%d"):format(HOST, port)
    end)
    teardown(function()
        running:stop()
        files:stop()
        process.stop(names)
        process.run("rm -rf " .. process.quoted(directory))
    end)

    for target, size in pairs(SIZES) do
        describe("of " .. target, function()
            local token, original, stored, broke

            -- A file of zeros, with random blocks at its ends, at the limit of 31 bits and where a download breaks off.
            setup(function()
                token = running:mint(target)
                original, stored = directory .. "/original", files.files .. "/filer/large"
                broke = math.floor(size * 0.6)
                run(("truncate -s %d %s"):format(size, original))
                for _, offset in ipairs { 0, broke - BLOCK / 2, math.min(2 ^ 31, size) - BLOCK, size - BLOCK } do
                    run(("head -c %d /dev/urandom | dd of=%s bs=%d seek=%d oflag=seek_bytes conv=notrunc status=none")
                        :format(BLOCK, original, BLOCK, offset))
                end
            end)
            teardown(function() process.run(("rm -f %s %s"):format(original, stored)) end)

            local function curl(path, options)
                return tls.curl(directory, origin .. path, ("-H 'Authorization: Bearer %s' %s")
                    :format(token, options or ""))
            end

            -- A command that writes what it downloads.
            local function download(options)
                return ("curl -sS --fail --cacert %s/ca.pem -H 'Authorization: Bearer %s' %s %s/filer/large")
                    :format(directory, token, options, origin)
            end

            it("are stored as they were sent, without the gateway's disk or memory", function()
                assert.equal(201, curl("/filer/large", "--http1.1 --max-time 600 -H Expect: -T " .. original).status)
                run(("cmp %s %s"):format(original, stored))
                assert.is_nil(running:error_log():find("buffered to a temporary file", 1, true))
                for _, pid in ipairs(running:workers()) do
                    local most = tonumber(process.read("/proc/" .. pid .. "/status"):match("VmHWM:%s+(%d+)"))
                    assert.is_true(most < MOST_KB, most .. " KB")
                end
            end)

            it("are sent, and after a download that broke off, only the rest", function()
                -- head ends after its bytes, and with it the connection.
                run(("%s 2> /dev/null | head -c %d | cmp -n %d - %s"):format(download "", broke, broke, original))
                run(("%s | cmp - %s 0 %d"):format(download("-C " .. broke), original, broke))
                local part = curl("/filer/large", ("-r %d-%d"):format(broke, broke + 99))
                assert.same({ 206, ("bytes %d-%d/%d"):format(broke, broke + 99, size), 100 },
                    { part.status, part.headers["content-range"], #part.body })
                assert.is_nil(running:error_log():find("buffered to a temporary file", 1, true))
                assert.equal(416, curl("/filer/large", ("-r %d-"):format(size)).status)
                local two = curl("/filer/large", "-r 0-1,5-6")
                assert.equal(206, two.status)
                assert.truthy(two.headers["content-type"]:find("^multipart/byteranges"))
            end)

            it("that have changed since then are sent whole", function()
                local tag = curl("/filer/large", "-r 0-0").headers.etag
                assert.equal(206, curl("/filer/large", ("-r 0-0 -H 'If-Range: %s'"):format(tag)).status)
                process.write(stored, "another file")
                local changed = curl("/filer/large", ("-r 3- -H 'If-Range: %s'"):format(tag))
                assert.same({ 200, "another file" }, { changed.status, changed.body })
                assert.equal(204, curl("/filer/large", "-X DELETE").status)
                assert.equal(404, curl("/filer/large").status)
            end)
        end)
    end

    it("get a window of 512 KB for an upload over HTTP/2, and none without a good token", function()
        local function window(token)
            return run(("/usr/bin/python3 %s/spec/support/http2_window.py %d %s")
                :format(gateway.ROOT, port, token)):gsub("%s+$", "")
        end
        assert.equal("524288", (window(running:mint("127.0.0.1"))))
        assert.equal("refused", (window("a.b.c")))
    end)
end)
