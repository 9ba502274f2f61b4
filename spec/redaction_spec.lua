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

    it("leaves what is no token in the logs", function()
        local path = "/console/assets/main.0123456789abcdef0123456789abcdef.js/" .. ("long"):rep(20)
        running:get(path .. "?v=1.2.3&page=10")
        assert.equal("v=1.2.3&page=10", running:logged(path).args)
    end)
end)
