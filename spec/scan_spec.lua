-- The readers of bytes from clients and servers, alone: an answer is the same in pieces of every size, within its
-- bounds, and a scanner agrees with its simple form.

local gateway = require "support.gateway"

package.cpath = gateway.ROOT .. "/target/release/?.so;" .. package.cpath

local answers = require "route_native.http.answer"
local scan = require "route_native.core.scan"

local MAX_BYTES, HEAD_BYTES = 1000, 16384

-- Feeds an answer in pieces of one size. Returns the reader and its last result. `is_ended`: the server closes after
-- it.
local function read(text, size, is_ended)
    local reader, state = answers.reader(MAX_BYTES), "more"
    for at = 1, #text, size do
        state = reader:feed(text:sub(at, at + size - 1), is_ended and at + size > #text)
        if state ~= "more" then
            break
        end
    end
    return reader, state
end

local OK = "HTTP/1.1 200 OK\r\n"

describe("an HTTP answer", function()
    it("is read alike in pieces of every size", function()
        local sum = ("0123456789"):rep(10)
        for text, expected in pairs {
            [OK .. "Content-Length: 5\r\nA: b\r\na:  c \t\r\nX:\r\n\r\nhello"] =
                { 200, "hello", { ["content-length"] = "5", a = "b,c", x = "" } },
            [OK .. "content-length: 0\r\n\r\n"] = { 200, "", { ["content-length"] = "0" } },
            [OK .. "Content-Length: 2\n\nhihi"] = { 200, "hi", { ["content-length"] = "2" } },
            ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n" .. OK .. "Content-Length: 1\r\n\r\nx"] =
                { 200, "x", { ["content-length"] = "1" } },
            ["HTTP/1.0 204 No\r\n\r\n"] = { 204, "", {} },
            [OK .. "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nTrailer: x\r\n\r\n"] =
                { 200, "hello world", { ["transfer-encoding"] = "chunked" } },
            [OK .. "Transfer-Encoding: Chunked\r\n\r\n00064\r\n" .. sum .. "\r\n0\r\n\r\n"] =
                { 200, sum, { ["transfer-encoding"] = "Chunked" } },
        } do
            for size = 1, #text do
                local answer, state = read(text, size, false)
                assert.same({ "whole", expected[1], expected[2], expected[3] },
                    { state, answer.status, answer.body, answer.headers }, text)
            end
        end
    end)

    it("without a length extends to the connection's end", function()
        for _, size in ipairs { 1, 2, 7, 100 } do
            local answer, state = read(OK .. "\r\nhello\r\n\r\n", size, true)
            assert.same({ "whole", "hello\r\n\r\n" }, { state, answer.body })
            assert.equal("more", (select(2, read(OK .. "\r\nhello", size, false))))
        end
    end)

    it("that is malformed or incomplete is never accepted, in pieces of every size", function()
        local chunked = OK .. "Transfer-Encoding: chunked\r\n\r\n"
        for text, expected in pairs {
            ["HTTP/2 200 OK\r\n\r\n"] = "malformed", ["\r\n\r\n"] = "malformed",
            ["HTTP/1.1 2000 OK\r\n\r\n"] = "malformed",
            [OK .. "Content-Length: 5\r\n\r\nhell"] = "more", [OK .. "Content-Length: -1\r\n\r\n"] = "not whole",
            [OK .. "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"] = "not whole",
            [OK .. "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] = "not whole",
            [OK .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"] = "not whole",
            [chunked .. "5\r\nhello\r\n"] = "more", [chunked .. "5\r\nhello0\r\n\r\n"] = "not whole",
            [chunked .. "5\nhello\r\n0\r\n\r\n"] = "not whole", [chunked .. "x\r\n"] = "not whole",
            [chunked .. "\r\n0\r\n\r\n"] = "not whole", [chunked .. "000000005\r\nhello\r\n0\r\n\r\n"] = "not whole",
            [chunked .. "1;" .. ("a"):rep(1024) .. "\r\nb\r\n0\r\n\r\n"] = "not whole",
            [chunked .. ("0"):rep(2000)] = "not whole",
            [OK .. "a: " .. ("b"):rep(HEAD_BYTES)] = "too large",
            [OK .. ("a: b\r\n"):rep(HEAD_BYTES / 6) .. "\r\n"] = "too large",
            [("HTTP/1.1 100 Continue\r\n\r\n"):rep(HEAD_BYTES / 20)] = "too large",
            [OK .. "Content-Length: 1001\r\n\r\n"] = "too large",
            [OK .. "\r\n" .. ("b"):rep(MAX_BYTES + 1)] = "too large",
            [chunked .. ("64\r\n" .. ("b"):rep(100) .. "\r\n"):rep(11)] = "too large",
            [chunked .. ("1;" .. ("a"):rep(1000) .. "\r\nb\r\n"):rep(20)] = "too large",
        } do
            for _, size in ipairs { 1, 2, 3, 5, 100, 1000, #text } do
                assert.equal(expected, (select(2, read(text, size, false))), text:sub(1, 60) .. size)
            end
        end
    end)
end)

describe("a scanner", function()
    -- Every text of up to six of these.
    local function each(alphabet, call)
        local function extend(text, left)
            call(text)
            for i = 1, left > 0 and #alphabet or 0 do
                extend(text .. alphabet[i], left - 1)
            end
        end
        extend("", 6)
    end

    it("removes the blanks around a text", function()
        each({ " ", "\t", "a", "\0" }, function(text)
            assert.equal(text:match("^%s*(.-)%s*$"), scan.trim(text))
            assert.equal(text:match("^(.-)%s*$"), scan.trim_end(text))
        end)
    end)

    it("removes a part of a text at any position", function()
        each({ "a", "b", "." }, function(text)
            for _, piece in ipairs { "a", "ab", "aa", "aba", ".", "abab" } do
                local plain = text:gsub((piece:gsub("%.", "%%.")), "")
                assert.equal(plain, scan.without(text, piece))
            end
        end)
    end)

    it("finds the cookies and arguments of a name, one after another", function()
        local function all(find, text, name)
            local found, from = {}, 1
            while true do
                local value, at, stop = find(text, name, from)
                if not value then
                    return found
                end
                found[#found + 1] = value
                from = stop and stop + 2 or at
            end
        end
        assert.same({ "1", "a b", "" }, all(scan.cookie, "s=1; t=2;s = a b ;s=", "s"))
        assert.same({ "1", "2", "" }, all(scan.argument, "s=1&t=2&%53=2&s=", "s"))
        assert.same({}, all(scan.cookie, "", "s"))
        assert.same({}, all(scan.argument, "s", "s"))
    end)

    it("keeps the other cookies, however large the header", function()
        assert.equal("a=1; c=3", scan.without_cookies("a=1;s=2; __Host-s=2;c=3", "s;t", true))
        assert.equal("__Host-s=2", scan.without_cookies("s=1; t=2; __Host-s=2", "s;t", false))
        assert.equal("", scan.without_cookies("s=1", "s", false))
        local many = ("a;"):rep(100000)
        assert.equal(("a; "):rep(99999) .. "a", scan.without_cookies(many, "s", false))
    end)
end)
