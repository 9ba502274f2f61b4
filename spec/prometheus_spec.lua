-- Debian's Prometheus scrapes two workers under load: it reads what they tell, and the dashboard and the alerts ask
-- only for what is there. docs/control.md says how to use both.

local border = require "support.border"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local socket = require "socket"
local token = require "support.token"

local function read(path)
    return process.read(gateway.ROOT .. "/" .. path)
end

local function run(command)
    local output, status = process.run("cd " .. gateway.ROOT .. " && " .. command)
    assert.equal(0, status, output)
    return output
end

describe("deploy/alerts.yml", function()
    it("is accepted by promtool, and each of its alerts has a test that passes", function()
        local count = tonumber(run("promtool check rules deploy/alerts.yml"):match("SUCCESS: (%d+) rules found"))
        assert.truthy(run("promtool test rules deploy/alerts_test.yml"):find("SUCCESS", 1, true))
        local tested, number = read("deploy/alerts_test.yml"), 0
        for name in read("deploy/alerts.yml"):gmatch("%- alert: (%w+)") do
            number = number + 1
            assert.truthy(tested:find("alertname: " .. name .. "\n%s+exp_alerts:\n"), name)
        end
        assert.is_true(number > 10 and number == count)
    end)
end)

-- The site of the control example, with a check and phantom tokens beside.
local function site(border_port, jwks_port)
    return (read("examples/control/site.conf")
        :gsub("init_by_lua_block {", "lua_shared_dict route_native_jwks 1m;\nlua_shared_dict phantom-token 1m;\n%0", 1)
        :gsub('require%("route_native.border"%)', ([[
        guard = require("route_native.auth").prepare_check {
            key = require("route_native.jwt").jwks { url = "http://127.0.0.1:%d/keys" } }
        %%0]]):format(jwks_port), 1)
        :gsub("include runtime/border_listen.conf;", ("listen 127.0.0.1:%d;"):format(border_port), 1)
        :gsub("server_name _;", ([[
%%0
    location = /guarded {
        access_by_lua_block { require("route_native.auth").check(guard) }
        content_by_lua_block { ngx.print "in" }
    }
    location = /phantom {
        rewrite_by_lua_block {
            require("route_native.phantom_token").run { introspection_endpoint = "http://127.0.0.1:%d/introspect",
                client_id = "c", client_secret = "s" }
        }
        content_by_lua_block { ngx.print "in" }
    }]]):format(jwks_port), 1)) .. ([[
server {
    listen 127.0.0.1:%d;
    location = /keys {
        return 200 '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}';
    }
    location = /introspect { return 204; }
}
]]):format(jwks_port)
end

describe("Prometheus", function()
    local running, directory, prometheus, port, sent

    -- Returns the result of a query as a list of { metric, value }.
    local function ask(query)
        local escaped = query:gsub("[^%w]", function(letter) return ("%%%02X"):format(letter:byte()) end)
        local answer = cjson.decode(http.request(port, { path = "/api/v1/query?query=" .. escaped }).body)
        assert.equal("success", answer.status, query .. ": " .. tostring(answer.error))
        return answer.data.result
    end

    local function number(query)
        local result = ask(query)[1]
        return result and tonumber(result.value[2])
    end

    -- Starts nginx with everything that has metrics.
    local function start_nginx()
        directory = process.temporary_directory()
        local keys, admin = token.keys(directory), process.free_port()
        local border_port, jwks_port = process.free_port(), process.free_port()
        process.run(("openssl req -x509 -key %s -subj /CN=x -days 2 -out %s/sign.pem")
            :format(keys.signing_private, directory))
        running = assert(border.start { site = site(border_port, jwks_port), env = {
            JWT_DESKTOP_SIGNING_PUBLIC_KEY = directory .. "/sign.pem",
            JWT_DESKTOP_PAYLOAD_PRIVATE_KEY = keys.payload_private,
            ROUTE_ADMIN_LISTEN = "127.0.0.1:" .. admin,
            SPAWNER_SERVICE_TCP_PORT = process.free_port(),
        } })
        running.keys, running.border_port = keys, border_port
        return admin
    end

    local function start_prometheus(admin)
        port = process.free_port()
        process.write(directory .. "/prometheus.yml", ([[
global: { scrape_interval: 500ms, evaluation_interval: 500ms }
rule_files: ["%s/deploy/alerts.yml"]
scrape_configs: [{ job_name: route_native, static_configs: [{ targets: ["127.0.0.1:%d"] }] }]
]]):format(gateway.ROOT, admin))
        prometheus = process.start(("prometheus --config.file=%s/prometheus.yml --storage.tsdb.path=%s/data "
            .. "--web.listen-address=127.0.0.1:%d"):format(directory, directory, port), directory .. "/prometheus.log")
        process.wait_until("Prometheus was ready", function()
            assert(process.alive(prometheus), process.read(directory .. "/prometheus.log"))
            return process.accepts(port) and http.request(port, { path = "/-/ready" }).status == 200
        end)
    end

    -- Sends requests of each kind, 10 that pass at the gateway, and 5 that do not.
    local function load_once()
        local bearer = { { "Authorization", "Bearer " .. running.bearer } }
        for _ = 1, 10 do
            assert.equal(502, http.request(running.port, { path = "/spawner/x", headers = bearer }).status)
            sent = sent + 1
        end
        for _ = 1, 5 do
            assert.equal(401, http.request(running.port, { path = "/filer/x" }).status)
        end
        assert.equal(401, http.request(running.port, { path = "/guarded", headers = bearer }).status)
        assert.equal(401, http.request(running.port, { path = "/phantom",
            headers = { { "Authorization", "Bearer new" .. sent } } }).status)
    end

    -- Logs in at the border.
    local function login()
        assert.equal(303, http.request(running.border_port, { method = "POST", path = "/account/login",
            body = border.GOOD, headers = { border.FORM } }).status)
    end

    setup(function()
        sent = 0
        start_prometheus(start_nginx())
        running.bearer = token.mint(running.keys, "127.0.0.1", { claims = { exp = os.time() + 3600 } })
        login()
        local before = socket.gettime()
        -- Rates need several scrapes with growing numbers.
        process.wait_until("Prometheus had scraped growing numbers", function()
            load_once()
            return socket.gettime() > before
                and (number 'count_over_time(route_native_ready[5m])' or 0) > 4
                and (number 'rate(route_native_introspection_seconds_count[1m])' or 0) > 0
        end)
    end)

    teardown(function()
        process.stop(prometheus)
        running:stop()
        process.run("rm -rf " .. directory)
    end)

    it("reads the sum of both workers", function()
        process.wait_until("the sums were the requests", function()
            return number 'sum(route_native_requests_total{endpoint="spawner",answer="passed"})' == sent
                and number 'sum(route_native_upstream_errors_total{endpoint="spawner",status="502"})' == sent
                and number 'sum(route_native_cache_answers_total{capability="desktop"})' == sent
        end)
        assert.equal(1, number 'up{job="route_native"}')
        assert.equal(2, number "route_native_workers")
        assert.equal(1, number "route_native_ready")
        assert.is_true(number 'sum(rate(route_native_requests_total{answer="401"}[1m]))' > 0)
        local quantile = number("histogram_quantile(0.5, sum by (le) "
            .. "(rate(route_native_introspection_seconds_bucket[1m])))")
        assert.is_true(quantile > 0 and quantile < 10)
    end)

    it("evaluates each alert, and finds each metric that one names", function()
        local groups = cjson.decode(http.request(port, { path = "/api/v1/rules" }).body).data.groups
        process.wait_until("the rules were evaluated", function()
            groups = cjson.decode(http.request(port, { path = "/api/v1/rules" }).body).data.groups
            for _, rule in ipairs(groups[1].rules) do
                if rule.health == "unknown" then
                    return false
                end
            end
            return true
        end)
        for _, rule in ipairs(groups[1].rules) do
            assert.equal("ok", rule.health, rule.name)
        end
        local found = {}
        for name in read("deploy/alerts.yml"):gmatch("route_native_[%w_]+") do
            found[name] = found[name] or #ask(name) > 0
            assert.is_true(found[name], name)
        end
        assert.is_true(found.route_native_jwks_age_seconds)
    end)

    it("answers each query of the dashboard with a series", function()
        local dashboard, queries = cjson.decode(read "deploy/grafana.json"), 0
        for _, panel in ipairs(dashboard.panels) do
            for _, target in ipairs(panel.targets or {}) do
                local query = target.expr:gsub("%$__rate_interval", "1m"):gsub("%$instance", ".*")
                assert.is_nil(query:find("$", 1, true), query)
                assert.is_true(#ask(query) > 0, panel.title .. ": " .. query)
                queries = queries + 1
            end
        end
        assert.is_true(queries > 25, queries)
        -- A name that does not exist would find nothing.
        assert.equal(0, #ask 'sum(rate(route_native_requests{instance=~".*"}[1m]))')
    end)
end)
