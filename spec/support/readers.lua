-- The readers of bytes from clients and servers, each with hostile texts of any length, and their cost. It runs in a
-- worker of nginx (linear_spec.lua).

local clock = os.clock

local _M = {}

-- Return texts of n bytes or a little more.
local function of(piece)
    return function(n) return piece:rep(math.ceil(n / #piece)) end
end

local function between(before, piece, after)
    return function(n) return before .. piece:rep(math.ceil(n / #piece)) .. after end
end

local function numbered(format)
    return function(n)
        local pieces, length = {}, 0
        while length < n do
            pieces[#pieces + 1] = format:format(#pieces)
            length = length + #pieces[#pieces]
        end
        return table.concat(pieces)
    end
end

-- Texts that make patterns backtrack, for every reader.
local SHAPES = {
    letters = of "a", blanks = of " ", tabs = of "\t", nuls = of "\0", equals = of "=", quotes = of '"',
    apostrophes = of "'", backslashes = of "\\", percents = of "%", ["bad escapes"] = of "%zz", escapes = of "%41",
    semicolons = of ";", commas = of ",", ampersands = of "&", dots = of ".", colons = of ":", slashes = of "/",
    braces = of "{", brackets = of "[", digits = of "1", bytes = of "\255", ["a blank"] = of "a ",
    ["blanks between letters"] = between("a", " ", "b"), ["tabs between letters"] = between("a", "\t", "b"),
    ["blanks before an equals sign"] = between("a", " ", "=b"),
    ["blanks after an equals sign"] = between("a=", " ", "b"),
    ["blanks in quotes"] = between('"', " ", 'b"'), ["blanks before commas"] = between("a", " ,", "b"),
    ["blanks before semicolons"] = between("a", " ;", "b"), ["empty values"] = of "a=;", ["empty names"] = of "=a;",
    ["empty arguments"] = of "a=&", ["escaped names"] = of "%61=&", ["words and commas"] = of "a,",
    ["words and semicolons"] = of "a;", underscores = of "__a-", names = numbered "n%d=;", arguments = numbered "n%d=&",
    charsets = of "charset", ["charsets without a value"] = of "charset;", ["charsets with one"] = of "charset=utf-8;",
}

local function texts(prefixes, more)
    local all = {}
    for _, prefix in ipairs(prefixes) do
        for name, shape in pairs(SHAPES) do
            all[prefix .. "<" .. name .. ">"] = function(n) return prefix .. shape(n) end
        end
    end
    for name, shape in pairs(more or {}) do
        all[name] = shape
    end
    return all
end

-- Returns a socket as nginx's, which delivers an answer in pieces of one size.
local function socket_of(text, size)
    local at = 1
    local function nothing() return true end
    return {
        settimeouts = nothing, connect = nothing, sslhandshake = nothing, send = nothing, close = nothing,
        receiveany = function()
            local piece = text:sub(at, at + size - 1)
            at = at + size
            if piece == "" then
                return nil, "closed", ""
            end
            return piece
        end,
    }
end

-- Runs direct.lua over such a socket.
local next_socket
local function direct()
    local tcp = ngx.socket.tcp
    rawset(ngx.socket, "tcp", function() return next_socket end)
    package.loaded["route_native.http.direct"] = nil
    local module = require "route_native.http.direct"
    rawset(ngx.socket, "tcp", tcp)
    package.loaded["route_native.http.direct"] = nil
    return module
end

local function asks(size)
    local module
    local url = { scheme = "http", host = "127.0.0.1", port = "", authority = "a", rest = "/" }
    local target = { url = url, accept = "a" }
    return function(text) next_socket = socket_of(text, size) end, function()
        module = module or direct()
        return module.ask(target, nil, 65536)
    end
end

local HEAD = "HTTP/1.1 200 OK\r\n"
local function answers(most_blanks)
    return {
        ["a body with its length"] = function(n)
            return HEAD .. "Content-Length: " .. n .. "\r\n\r\n" .. ("b"):rep(n)
        end,
        ["a body until the end"] = function(n) return HEAD .. "\r\n" .. ("b"):rep(n) end,
        ["one chunk"] = function(n)
            return HEAD .. ("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"):format(n, ("b"):rep(n))
        end,
        ["small chunks"] = between(HEAD .. "Transfer-Encoding: chunked\r\n\r\n", "1\r\nb\r\n", "0\r\n\r\n"),
        ["a chunk's size without end"] = between(HEAD .. "Transfer-Encoding: chunked\r\n\r\n", "0", ""),
        ["a chunk's extension without end"] = between(HEAD .. "Transfer-Encoding: chunked\r\n\r\n1;", "a", ""),
        ["interim answers"] = between("", "HTTP/1.1 100 Continue\r\n\r\n", HEAD .. "Content-Length: 0\r\n\r\n"),
        ["a head without end"] = between(HEAD .. "a: ", "b", ""),
        ["lines without end"] = between(HEAD, "a:\r\n", ""),
        ["one header many times"] = between(HEAD, "a:b\n", "\r\n\r\n"),
        ["names without a colon"] = between(HEAD, "a\r\n", "\r\n\r\n"),
        ["a status without end"] = of "HTTP/1.1 ",
        ["blanks in a header"] = function(n)
            return HEAD .. "a: a" .. (" "):rep(math.min(n, most_blanks)) .. "b\r\nContent-Length: 0\r\n\r\n"
        end,
        ["carriage returns"] = between(HEAD, "\r", "\n\r\n"),
    }
end

local function cookie_jar()
    return require("route_native.session.cookie").new { cookie_name = "border_session" }
end

local function source(text)
    return require("route_native.auth.token_sources").of("spec", { token = { text } })[1]
end

local function set_cookie(text)
    ngx.req.set_header("Cookie", text)
end

-- Adds a reader. `prepare` puts a text where `read` finds it. Without `prepare`, `read` gets the text.
local function readers()
    local jar, cookie, header, query_source = cookie_jar(), source "cookie:session", source "header", source "query:t"
    local login_body, claim_headers = require "route_native.core.login_body", require "route_native.core.claim_headers"
    local client, resty = require "route_native.core.client", require "route_native.resty_jwt"
    local services = require("route_native.border.services").new { a = { path = "/b", host = "c" } }
    local rules = { rules = {}, scopes = { "a", "b" } }
    local secret = ("s"):rep(32)
    local in_pieces, ask_in_pieces = asks(1)
    local at_once, ask_at_once = asks(16384)
    local COOKIES = {
        ["the session's cookie, many times"] = of "border_session=a;", ["its name, many times"] = of "border_session ",
        ["its name at the end of another"] = of "border_session=;x", ["a prefix without end"] = between("__", "a", "-"),
        ["blanks around its name"] = between("border_session", " ", "="),
        ["its value between blanks"] = between("border_session=a", " ", "b"),
    }
    local TOKENS = {
        ["one token, many times"] = of "t=0123456789abcdef&", ["a token in pieces"] = between("t=" .. ("a"):rep(4096)
            .. "b&", "a", ""), ["its own token, many times"] = between("t=" .. ("a"):rep(16) .. "&", "a", ""),
        ["a long token of one letter"] = function(n) return "t=" .. ("a"):rep(n / 4) .. "b&" .. ("a"):rep(n) end,
    }
    local JSON = {
        ["a list"] = between('{"a":[', "1,", "1]}"), ["lists"] = between('{"a":[', "[],", "1]}"),
        ["objects"] = between('{"a":[', '{"a":1},', "1]}"), ["strings"] = between('{"a":[', '"",', "1]}"),
        ["escaped letters"] = between('{"a":"', "\\u0041", '"}'),
        ["members"] = function(n) return "{" .. numbered '"a%d":1,' (n) .. '"a":1}' end,
    }
    local NUMBERS = {
        ["long numbers"] = between('{"a":[', "9007199254740993,", "1]}"),
        ["exponents"] = between('{"a":[', "1e20,", "1]}"), ["one number"] = between('{"a":', "1", "}"),
        ["a fraction"] = between('{"a":0.', "1", "}"), ["exponents in strings"] = between('{"a":"', "4e5", '"}'),
        ["quotes in a string"] = between('{"a":"4e5', '\\"', '"}'),
        ["members of long numbers"] = function(n) return "{" .. numbered '"a%d":9007199254740993,' (n) .. '"a":1}' end,
    }
    local VALUES = {
        ["its cookie, many times"] = of "session=a;", ["many values"] = numbered "session=%d;",
        ["empty ones"] = of "session=;", ["quoted ones"] = of 'session="a";',
    }
    local function set_args(text) ngx.req.set_uri_args(text) end
    return {
        { name = "border: session", texts = texts({ "", "border_session=", "other=" }, COOKIES),
            prepare = set_cookie, read = function() return jar:sessions() end },
        { name = "keys: a JWK Set", texts = { ["of many keys"] = function(n)
            return '{"keys":[' .. numbered('{"kty":"oct","k":"%043d"},')(n) .. '{}]}'
        end }, most = 65536, read = function(text) return pcall(require("route_native.jwt").key, text) end },
        { name = "numbers", texts = texts({ "", '{"a":1e20,"b":' }, NUMBERS),
            read = function(text) return require("route_native.core.digits").decode(text) end },
        { name = "auth: several cookies", texts = VALUES, prepare = set_cookie,
            read = function() return cookie.find(ngx.req.get_headers(0)) end },
        { name = "border: login", texts = texts({ "", "border_session_login=" }), prepare = set_cookie,
            read = function() return jar:logins() end },
        { name = "border: for_upstream", texts = texts({ "", "border_session=", "other=" }, COOKIES),
            prepare = set_cookie, read = function() return jar:for_upstream() end },
        { name = "border: wants_page", texts = texts { "" },
            prepare = function(text) ngx.req.set_header("Accept", text) end, read = client.wants_page },
        { name = "border: is_cross_site", texts = texts { "", "http://" },
            prepare = function(text) ngx.req.set_header("Origin", text) end, read = client.is_cross_site },
        { name = "border: services", texts = texts { "", "/" },
            read = function(text) return services:find(text, text) end },
        { name = "border: record", texts = texts({ "", '{"master_token":"', "[" }, JSON),
            read = require("route_native.border.record").decode },
        { name = "session: is_local_path", texts = texts { "", "/" },
            read = require("route_native.session.id").is_local_path },
        { name = "auth: a header's token", texts = texts { "", "Bearer ", "bearer\t" },
            read = function(text) return header.find { authorization = text } end },
        { name = "auth: a cookie's token", texts = texts { "", "session=", "other=" },
            read = function(text) return cookie.find { cookie = text } end },
        { name = "auth: cookies of many headers", texts = texts { "" }, read = function(text)
            return cookie.find { cookie = { text, text, text, text } }
        end },
        { name = "auth: without a cookie", texts = texts { "", "session=", "other=" },
            read = function(text) return cookie.remove { cookie = text } end },
        { name = "auth: a query's token", texts = texts({ "", "t=" }, TOKENS), prepare = set_args,
            read = function() return query_source.find() end },
        { name = "desktop: tokens in a URL", texts = texts({ "", "token=" }, {
            ["its name, many times"] = of "token=", ["parts"] = of "aaaaaaaaaaaaaaaa.", ["a name"] = of "token=a&",
            ["dots encoded many times"] = of "%2525252E", ["an escape without end"] = between("%", "25", "zz"),
            ["escapes without end"] = function(n) return ("%" .. ("25"):rep(64)):rep(math.ceil(n / 129)) end,
        }), read = function(text) return require("route_native.core.scan").token(text, #text, 0) end },
        { name = "auth: verify", texts = texts { "", "a.", "a.b." },
            read = function(text) return require("route_native.jwt").verify(text, secret) end },
        { name = "auth: a claim as a header", texts = texts { "" }, read = claim_headers.encode },
        { name = "auth: scopes", texts = texts { "" },
            read = function(text) return require("route_native.auth.claim_rules").allow(rules, { scope = text }) end },
        { name = "auth: a login's type", texts = texts { "", "text/plain;", "text/plain", "a/b;charset" },
            read = function(text) return login_body.user("", "username", text) end },
        { name = "auth: a login's body", texts = texts { "", "username=", '{"username":"', "{", "<" },
            read = function(text) return login_body.user(text, "username", nil) end },
        { name = "auth: a login's JSON", texts = texts({ "", '{"username":"' }, JSON),
            read = function(text) return login_body.user(text, "username", "application/json") end },
        { name = "resty_jwt: verify", texts = texts { "", "Bearer ", "a.", "e30.", "e30.e30." },
            read = function(text) return resty:verify(secret, text) end },
        { name = "resty_jwt: load_jwt", texts = texts { "", "e30..." }, read = function(text)
            return resty:load_jwt(text, secret)
        end },
        { name = "phantom: Cache-Control", texts = texts { "", "max-age", "max-age=", "max-age=1," },
            read = require("route_native.phantom.introspect").allowed_seconds },
        { name = "direct: an answer in one piece", texts = answers(16000), most = 65536, prepare = at_once,
            read = ask_at_once },
        { name = "direct: an answer byte by byte", texts = answers(16000), most = 65536, prepare = in_pieces,
            read = ask_in_pieces },
    }
end

-- A time below this, in seconds, is noise. A reader that stays below it delays no other request.
local FLOOR = 0.0003
-- The size of the largest text in bytes: more than all headers of a request may have together.
local MOST = 1048576
local TRIES = 3

-- Returns the least processor time of several calls, which other load on the machine does not change.
local function cost(reader, text)
    local least = math.huge
    for _ = 1, TRIES do
        if reader.prepare then
            reader.prepare(text)
        end
        local began = clock()
        reader.read(text)
        least = math.min(least, clock() - began)
    end
    return least
end

-- Returns the ratio of the times for four times the text and for the text: about 4 for linear cost, 16 for quadratic
-- cost. Returns nil if the time is too short at every length.
local function growth(reader, text_of)
    local n, most = 256, (reader.most or MOST) / 4
    while n <= most do
        local before = cost(reader, text_of(n))
        if before >= FLOOR then
            return cost(reader, text_of(4 * n)) / before, n, before
        end
        n = n * 2
    end
end

-- A ratio between linear and quadratic, far from both.
local LIMIT = 8

-- Measures the reader of a number. Returns { name, grown (a sentence for each text with too fast a growth), texts
-- (their number) }, or nil after the last reader.
function _M.measure(number)
    local reader = readers()[number]
    if not reader then
        return nil
    end
    local result = { name = reader.name, grown = {}, texts = 0 }
    collectgarbage()
    collectgarbage("stop")
    for name, text_of in pairs(reader.texts) do
        local factor, n, before = growth(reader, text_of)
        if factor and factor >= LIMIT then
            -- Measure again: noise does not repeat.
            factor, n, before = growth(reader, text_of)
        end
        if factor and factor >= LIMIT then
            result.grown[#result.grown + 1] = ("%s: %.1f times from %d bytes (%.1f ms) to four times as many")
                :format(name, factor, n, before * 1000)
        end
        result.texts = result.texts + 1
        if collectgarbage("count") > 200000 then
            collectgarbage()
            collectgarbage("stop")
        end
    end
    collectgarbage("restart")
    return result
end

return _M
