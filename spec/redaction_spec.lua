-- A token is in no log, wherever in a URL it stands, however it is encoded, and whichever location answers.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

local function encoded(text, pattern, percent)
    return (text:gsub(pattern, function(character) return ("%s%02X"):format(percent, character:byte()) end))
end

-- How a token may be written.
local SPELLINGS = {
    plain = function(text) return text end,
    ["encoded dots"] = function(text) return encoded(text, "%.", "%") end,
    ["dots encoded twice"] = function(text) return encoded(text, "%.", "%25") end,
    ["encoded letters"] = function(text) return encoded(text, "[a-z]", "%") end,
    ["all encoded"] = function(text) return encoded(text, ".", "%") end,
}

-- Where in a URL it may stand, behind the path of a location.
local PLACES = {
    ["bare query"] = "?%s", argument = "?t=%s", ["argument of our name"] = "?a=1&jwt_token=%s",
    ["argument of an encoded name"] = "?jwt%%5Ftoken=%s", ["one of two arguments"] = "?a=%s&jwt_token=x&b=2",
    ["name of an argument"] = "?%s=1", ["second question mark"] = "?a?%s",
    ["path parameter"] = "x;jwt_token=%s", ["another path parameter"] = "x;a=%s;b=1", ["path segment"] = "%s/x",
    ["last path segment"] = "x/%s", ["encoded slash"] = "x%%2F%s",
}

local LOCATIONS = { "/filer/", "/websockify", "/terminals/", "/", "/API/", "/console/", "/speedtest/", "/.well-known/",
    "/node?", "/healthz?" }

-- Undoes percent-encoding until nothing is left of it.
local function decoded(text)
    local count
    repeat
        text, count = text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
    until count == 0
    return text
end

describe("a token in a URL", function()
    local running, number = nil, 0
    setup(function()
        running = assert(gateway.start())
    end)
    teardown(function() running:stop() end)

    -- A token that no other test has sent, in shape only.
    local function fresh()
        number = number + 1
        local text = ("%04d"):format(number)
        return ("eyJhbGciOiJSUzI1NiJ9%s.%s.%s"):format(text, ("c" .. text):rep(20), ("-s_" .. text):rep(40))
    end

    -- What the logs hold of a token, once a request behind it is logged.
    local function assert_absent(text, what)
        local last = running:get("/node?behind=" .. number)
        assert.equal(200, last.status)
        process.wait_until("the request behind was logged", function()
            return running:access_log():find('"behind=' .. number, 1, true)
        end)
        local logs = decoded(running:access_log() .. running:error_log())
        for part in text:gmatch("[^.]+") do
            assert.is_nil(logs:find(part, 1, true), what)
        end
        process.write(running.directory .. "/logs/access.log", "")
        process.write(running.directory .. "/logs/error.log", "")
    end

    for spelling, spell in pairs(SPELLINGS) do
        it("is in no log at any location and place: " .. spelling, function()
            for _, location in ipairs(LOCATIONS) do
                for place, form in pairs(PLACES) do
                    local text = fresh()
                    local path = location .. form:format(spell(text))
                    running:request { path = path }
                    -- nginx names the request in the error log.
                    http.raw(running.port, ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
                        :format(path))
                    assert_absent(text, ("%s, %s, %s"):format(location, place, spelling))
                end
            end
        end)

        it("is in no log when it is in the Referer: " .. spelling, function()
            for place, form in pairs(PLACES) do
                local text = fresh()
                local headers = { { "Referer", "https://gw.example.com/" .. form:format(spell(text)) } }
                running:request { path = "/filer/x", headers = headers }
                running:request { path = "/", headers = headers }
                assert_absent(text, place)
            end
        end)
    end

    it("reaches another upstream as it came, unless it has our name", function()
        local text = fresh()
        for sent, received in pairs {
            ["/console/%2F/%s?a=%2F"] = true, ["/console/x//./y?code=%s&b=%26"] = true, ["/API/x;a=%s?"] = true,
            ["/console/x;jwt_token=%s;b=1?c=%2F"] = "/console/x;b=1?c=%2F",
            ["/console/x;jwt%5Ftoken=%s/y"] = "/console/x/y",
            ["/console/%s?jwt_token=0123456789abcdef&a=%s"] = "/console/%s?a=%s",
        } do
            local function fill(form) return (form:gsub("%%s", (text:gsub("%%", "%%%%")))) end
            local response = running:get(fill(sent))
            assert.equal(200, response.status)
            assert.equal(fill(received == true and sent or received), cjson.decode(response.body).path)
        end
    end)

    it("is in no log when a large answer goes to a slow client", function()
        local directory = process.temporary_directory()
        process.write(directory .. "/serve.py", [[
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(30 << 20))
        self.end_headers()
        for _ in range(30):
            self.wfile.write(bytes(1 << 20))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
]])
        local service = process.start("python3 " .. directory .. "/serve.py", directory .. "/port")
        local port = process.wait_until("the service listened", function()
            return tonumber(process.read(directory .. "/port"))
        end)
        local gate = assert(gateway.start { demo = false, env = { ROUTE_CONSOLE_UPSTREAM = "127.0.0.1:" .. port } })
        local text = fresh()
        -- curl reads 8 MB a second, which is slower than the service writes.
        local size = process.run(("curl -s --limit-rate 8M -o /dev/null -w '%%{size_download}' "
            .. "'http://127.0.0.1:%d/console/x?t=%s'"):format(gate.port, text))
        assert.equal(30 * 1024 * 1024, tonumber(size))
        assert.is_nil(decoded(gate:error_log()):find(text, 1, true))
        gate:stop()
        process.stop(service)
        process.run("rm -rf " .. directory)
    end)

    it("is overwritten and nothing beside it: the protocol, the host and short queries stay", function()
        local named = ("0123456789abcdef"):rep(3)
        for _, case in ipairs {
            { "GET /websockify?1.1 HTTP/1.1", '"protocol":"HTTP/1.1"' },
            { "GET /x?token=" .. named .. " HTTP/1.1", '"protocol":"HTTP/1.1"' },
            { "GET http://" .. ("a"):rep(16) .. "." .. ("b"):rep(16) .. "." .. ("c"):rep(16) .. "/x?token=" .. named
                .. " HTTP/1.1", '"host":"' .. ("a"):rep(16) .. "." },
            { "GET /x?access_token=ab/" .. named .. " HTTP/1.1", '"status":' },
            { "GET /x?token[]=" .. named .. " HTTP/1.1", '"status":' },
        } do
            http.raw(running.port, case[1] .. "\r\nHost: x\r\nConnection: close\r\n\r\n")
            process.wait_until("the log told of " .. case[1], function()
                return running:access_log():find(case[2], 1, true)
            end)
            assert_absent(named, case[1])
        end
    end)

    it("leaves what is no token in the logs", function()
        local path = "/console/assets/main.0123456789abcdef0123456789abcdef.js/" .. ("long"):rep(20)
        running:get(path .. "?v=1.2.3&page=10")
        assert.equal("v=1.2.3&page=10", running:logged(path).args)
    end)
end)
