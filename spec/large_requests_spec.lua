-- The largest requests that nginx accepts, made to be expensive for their readers: each gets its documented status
-- within a fraction of a second of the worker's time, and the worker serves other requests.

local border = require "support.border"
local gateway = require "support.gateway"
local http = require "support.http"
local phantom = require "support.phantom"
local process = require "support.process"

-- A header may have 32 KB, including name and line end. A request may have seven such headers and some smaller ones.
local HEADER_BYTES, HEADERS = 32700, 7
-- The limit of a worker's processor time for one request, in seconds. Backtracking patterns took 2.6 to 46 s, and
-- linear readers take some milliseconds, so the machine's speed does not matter.
local MOST_SECONDS = 0.5

local function filled(before, piece, after)
    return before .. piece:rep(math.floor((HEADER_BYTES - #before - #after - 20) / #piece)) .. after
end

local function times(header, count)
    local headers = {}
    for i = 1, count do
        headers[i] = header
    end
    return headers
end

-- Returns a process's own processor time by proc(5), in seconds.
local function processor_time(pid)
    local fields = process.read("/proc/" .. pid .. "/stat"):match("^.*%) (.*)$")
    local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
    return (user + system) / 100
end

-- Returns the only worker, which nginx starts after it listens.
local function worker_of(running)
    return process.wait_until("nginx had its worker", function() return running:workers()[1] end)
end

-- Sends a large request, and another one while the first is pending. Checks both statuses and the worker's processor
-- time. The status of the large request must be `status`, or one of a set.
local function answers(running, worker, options, status)
    local before = processor_time(worker)
    local large = http.connect(running.port)
    http.send(large, options)
    local other = http.request(running.port, { path = options.other })
    local response = http.read_response(large, options.method)
    large:close()
    assert.equal(options.other_status or 200, other.status)
    local name = ("%s %s: %s"):format(options.path:sub(1, 40), options.headers[1][1], options.headers[1][2]:sub(1, 40))
    local expected = type(status) == "table" and status or { [status] = true }
    assert.is_true(expected[response and response.status], name .. ": " .. tostring(response and response.status))
    assert.is_true(processor_time(worker) - before < MOST_SECONDS, name)
end

-- Values of a header that make patterns backtrack.
local function hostile(prefix)
    return {
        filled(prefix, "a", ""), filled(prefix .. "a", " ", "b"), filled(prefix .. "a", "\t", "b"),
        filled(prefix, " ", "b"), filled(prefix, ";", ""), filled(prefix, "a;", ""), filled(prefix, "a=;", ""),
        filled(prefix, ",", ""), filled(prefix, '"', ""), filled(prefix, "\\", ""), filled(prefix, "%", ""),
        filled(prefix, "=", ""),
        filled(prefix .. '"a', " ", 'b"'), filled(prefix .. "a=", " ", "b"), filled(prefix .. "a", " ", "=b"),
    }
end

-- The account service's own statuses for a missing page, and for too large headers.
local ACCOUNT = { [404] = true, [431] = true }
-- The API's own status for a preflight with 900 headers.
local API = { [200] = true, [431] = true }

describe("a large request", function()
    local gates = {}

    teardown(function()
        for _, gate in ipairs(gates) do
            gate:stop()
        end
    end)

    it("is answered by the border, whatever its cookies", function()
        local running = assert(border.start { env = { ROUTE_WORKERS = 1 } })
        gates[#gates + 1] = running
        local worker = worker_of(running.gateway)
        for _, prefix in ipairs { "", "border_session=", "other=", "border_session_login=" } do
            for _, value in ipairs(hostile(prefix)) do
                local headers = times({ "Cookie", value }, HEADERS)
                answers(running, worker, { path = "/b/", headers = headers, other = "/borderpatrol/health" }, 401)
                answers(running, worker, { path = "/account/style.css", headers = headers,
                    other = "/borderpatrol/health" }, ACCOUNT)
            end
        end
        for _, name in ipairs { "Content-Type", "Origin", "Accept" } do
            for _, value in ipairs(hostile("text/plain;charset")) do
                local status = name == "Origin" and 403 or 415
                answers(running, worker, { method = "POST", path = "/account/login", headers = { { name, value } },
                    body = "a=b", other = "/borderpatrol/health" }, status)
            end
        end
    end)

    local SITE = [[
lua_shared_dict route_native_login 1m;
lua_shared_dict phantom-token 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local key = ("0123456789abcdef"):rep(2)
    guard = auth.prepare_check { key = key, strip_token = true, headers = { ["X-User"] = "sub" },
        token = { "header", "header:X-Token", "cookie:session", "cookie:other", "query:token" } }
    entrance = auth.prepare_login { key = key, backend = "/backend", issuer = "spec", rate_limit = false }
}
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    %s
    location = /guard {
        access_by_lua_block { require("route_native.auth").check(guard) }
        content_by_lua_block { ngx.print("let in") }
    }
    location = /login { content_by_lua_block { require("route_native.auth").login(entrance) } }
    location = /backend { internal; return 403; }
    location = /reference {
        access_by_lua_block {
            local secret = ("0123456789abcdef"):rep(2)
            if not require("route_native.resty_jwt"):verify(secret, ngx.var.http_authorization).valid then
                return ngx.exit(403)
            end
        }
        content_by_lua_block { ngx.print("let in") }
    }
    set $phantom_by_variable "";
    location = /exchange {
        access_by_lua_block {
            require("route_native.phantom_token").run { introspection_endpoint = "http://127.0.0.1:1/", client_id = "a",
                client_secret = "b", claim_headers = { ["X-User"] = "sub" } }
        }
        content_by_lua_block { ngx.print("let in") }
    }
    location = /other { content_by_lua_block { ngx.print("other") } }
}
]]

    local function start_auth(directives)
        local directory = process.temporary_directory()
        process.write(directory .. "/site.conf", SITE:format(directives))
        local running, message = gateway.start {
            directory = directory, demo = false, workers = 1, env = { SITE = directory .. "/site.conf" },
            keys = { signing_public = "/none", payload_private = "/none" },
        }
        gates[#gates + 1] = running
        return running, message
    end

    it("is answered by checks and logins, wherever its tokens are", function()
        local running = assert(start_auth "")
        local worker = worker_of(running)
        local function refused(path, headers, status, method)
            answers(running, worker, { path = path, headers = headers, method = method, other = "/other" }, status)
        end
        for _, prefix in ipairs { "", "session=", "other=" } do
            for _, value in ipairs(hostile(prefix)) do
                refused("/guard", times({ "Cookie", value }, HEADERS), 401)
            end
        end
        for _, value in ipairs(hostile "Bearer ") do
            refused("/guard", { { "Authorization", value }, { "X-Token", value }, { "Cookie", value } }, 401)
            refused("/reference", { { "Authorization", value } }, 403)
        end
        for _, value in ipairs(hostile "text/plain;charset") do
            refused("/login", { { "Content-Type", value } }, value:find("charset[^;]*=") and 400 or 403, "POST")
        end
        refused("/login", { { "Content-Type", filled("text/plain;", "charset", "") } }, 403, "POST")
        for _, piece in ipairs { "a=&", "&", "%61=&", "token=0123456789abcdef&", "%", "token=&" } do
            refused(filled("/guard?", piece, ""), { { "Accept", "*/*" } }, 401)
        end
        local token = ("a"):rep(8000)
        refused("/guard?token=" .. token .. "b&" .. token .. token .. token, { { "Accept", "*/*" } }, 401)
    end)

    -- Headers of one name, after others: nginx scans all headers for each one that it removes.
    local function many(count, name)
        local headers = {}
        for i = 1, count do
            headers[i] = { i <= count / 2 and "A" .. i or name, "" }
        end
        return headers
    end

    it("with thousands of headers is a 400 of nginx, a check, a login or phantom_token", function()
        -- Newer nginx has a limit of its own, which the configuration raises.
        local running = start_auth "max_headers 100000;" or assert(start_auth "")
        local worker = worker_of(running)
        for path, method in pairs { ["/guard"] = "GET", ["/login"] = "POST", ["/exchange"] = "GET" } do
            local headers = many(16000, "X-User")
            answers(running, worker, { path = path, method = method, headers = headers, other = "/other" }, 400)
        end
        answers(running, worker, { path = "/guard", headers = many(900, "X-User"), other = "/other" }, 401)
    end)

    it("is answered by phantom_token, whatever its Authorization header", function()
        local exchange = phantom.start { workers = 1, locations = { api = {
            claim_headers = { ["X-User"] = "sub" }, preflight = "pass",
        } }, listen = "" }
        gates[#gates + 1] = exchange
        local worker = worker_of(exchange.gate)
        for _, value in ipairs(hostile "Bearer ") do
            answers(exchange.gate, worker, { path = "/api", headers = { { "Authorization", value } }, other = "/api",
                other_status = 401 }, 401)
        end
        for method, path in pairs { GET = "/api", OPTIONS = "/api?" } do
            local headers = many(900, "X-User")
            headers[#headers + 1] = { "Origin", "https://app.example.com" }
            headers[#headers + 1] = { "Access-Control-Request-Method", "GET" }
            answers(exchange.gate, worker, { method = method, path = path, headers = headers, other = "/api",
                other_status = 401 }, method == "GET" and 401 or API)
        end
    end)

    it("is answered by the desktop gateway, whatever its query and headers", function()
        local running = assert(gateway.start { workers = 1 })
        gates[#gates + 1] = running
        local worker = worker_of(running)
        for _, piece in ipairs { "a=&", "&", "%6a=&", "jwt_token=0123456789abcdef&", "%", ".", "......&", "*" } do
            for _, path in ipairs { "/filer?", "/websockify?" } do
                answers(running, worker, { path = filled(path, piece, ""), headers = { { "Upgrade", "websocket" } },
                    other = "/healthz" }, 401)
            end
        end
        local token = ("a"):rep(8000)
        answers(running, worker, { path = "/filer?jwt_token=" .. token .. "b&" .. token .. token .. token,
            headers = { { "Accept", "*/*" } }, other = "/healthz" }, 401)
        for _, name in ipairs { "Authorization", "AbcAuthorization", "Cookie" } do
            for _, value in ipairs(hostile "Bearer ") do
                answers(running, worker, { path = "/filer", headers = { { name, value }, { "Referer", value } },
                    other = "/healthz" }, 401)
            end
        end
    end)
end)
