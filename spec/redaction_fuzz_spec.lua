-- No token is in a log, whatever generated URL it stands in: a place, names, neighbours and encodings that nobody has
-- thought of. The seed is in the name of the spec; ROUTE_FUZZ_SEED repeats it.

local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

local SEED = tonumber(os.getenv("ROUTE_FUZZ_SEED")) or os.time()
local ROUNDS, REQUESTS = 12, 60

local random = math.random

local function pick(list)
    return list[random(#list)]
end

local LOCATIONS = { "/filer/", "/websockify", "/terminals/x/size", "/", "/API/", "/console/", "/speedtest/", "/node",
    "/.well-known/", "/healthz", "/%2e%2e/", "/a%zz/", "/x//./y/", "*", "http://a/" }
local NEIGHBOURS = { "/", "?", "&", "=", ";", ".", "a", "a=1", "&b=2", "?c=", "%2F", "%3F", "%26", "%3D", "%", "%25",
    "+",
    "token=x", "[]", "*", "x.y.z", "%2E", "#", "//", ",", ":", "@", "jwt_token=abc&", "%7e" }
local NAMES = { "", "", "t=", "jwt_token=", "token=", "access_token=", "JWT_Token=", "token[]=", "jwt%5Ftoken=" }

-- Writes a character as it is or percent-encoded. What is encoded again may be all of it or its first sign.
local function spelled(char, style)
    if style == "plain" or style == "dots" and char ~= "." or style == "some" and random(3) > 1 then
        return char
    end
    local text = ("%%%02" .. pick { "x", "X" }):format(char:byte())
    for _ = 1, random(0, 2) do
        text = text:gsub(style == "nested" and random(2) == 1 and "." or "%%", function(sign)
            return ("%%%02X"):format(sign:byte())
        end)
    end
    return text
end

local function neighbours()
    local list = {}
    for i = 1, random(0, 3) do
        list[i] = pick(NEIGHBOURS)
    end
    return table.concat(list)
end

-- Undoes percent-encoding until nothing is left of it.
local function decoded(text)
    local count
    repeat
        text, count = text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
    until count == 0
    return text
end

describe("a token in a generated URL, seed " .. SEED, function()
    local running, number, sent = nil, 0, {}

    setup(function()
        math.randomseed(SEED)
        running = assert(gateway.start())
    end)
    teardown(function() running:stop() end)

    -- A token that no other request has: its shape, or the value of an argument that is named so.
    local function fresh()
        number = number + 1
        local mark = ("%05d"):format(number)
        return ("eyJhbGciOiJSUzI1NiJ9%s.c%s-%s.s%s_%s"):format(mark, mark, ("Zy"):rep(20), mark, ("xW"):rep(30)), mark
    end

    -- Sends a request with a token somewhere. Returns what a log may not hold, and what was sent.
    local function send()
        local token, mark = fresh()
        local style = pick { "plain", "dots", "some", "all", "nested" }
        local text = token:gsub(".", function(char) return spelled(char, style) end)
        local url = pick(LOCATIONS) .. pick { "", "?" } .. neighbours() .. pick(NAMES) .. text .. neighbours()
        local kind = random(4)
        local line
        if kind == 1 then
            line = "GET /filer/x HTTP/1.1\r\nHost: x\r\nReferer: https://x" .. url
        elseif kind == 2 then
            -- nginx names the request in the error log.
            line = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999"):format(url)
        elseif kind == 3 then
            -- nginx refuses it before any of our code runs.
            line = ("GET %s HTTP/1.1\r\nHost: x\r\nHost: y"):format(url)
        else
            line = ("%s %s HTTP/1.1\r\nHost: x"):format(pick { "GET", "HEAD", "OPTIONS" }, url)
        end
        local connection = http.connect(running.port)
        connection:send(line .. "\r\nConnection: close\r\n\r\n")
        connection:receive("*l")
        connection:close()
        return { "c" .. mark .. "-Zy", "s" .. mark .. "_xW" }, line
    end

    for round = 1, ROUNDS do
        it("is in no log: round " .. round, function()
            local found = {}
            for _ = 1, REQUESTS do
                local parts, line = send()
                sent[#sent + 1] = { parts = parts, line = line }
            end
            running:get("/node?behind=" .. round)
            process.wait_until("the request behind was logged", function()
                return running:access_log():find('"behind=' .. round .. '"', 1, true)
            end)
            local logs = decoded(running:access_log() .. running:error_log())
            for _, request in ipairs(sent) do
                for _, part in ipairs(request.parts) do
                    if logs:find(part, 1, true) then
                        found[#found + 1] = request.line
                        break
                    end
                end
            end
            process.write(running.directory .. "/logs/access.log", "")
            process.write(running.directory .. "/logs/error.log", "")
            assert.same({}, found)
        end)
    end
end)
