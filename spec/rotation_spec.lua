-- Replaces keys of every algorithm while requests run over several connections, and none fails: in the JWK Set that
-- route_native.jwt watches, and in the way of programs for lua-resty-jwt.

local http = require "support.http"
local process = require "support.process"
local toolkit = require "support.toolkit"

local INIT = [[keys = jwt.key_file(ngx.config.prefix() .. "../keys/all.jwks")]]

-- /resty reads its keys for each request, as a program with a store does: a secret by its `kid`, or the text of the
-- keys.
local LOCATIONS = [[
    location = /native {
        content_by_lua_block {
            local claims, why = jwt.verify(ngx.var.http_authorization, keys)
            ngx.status = claims and 200 or 401
            ngx.print(claims and "ok" or why)
        }
    }
    location = /resty {
        content_by_lua_block {
            local text = read "all.jwks"
            local token = ngx.var.http_authorization
            local function secret(kid)
                for _, key in ipairs(require("cjson").decode(text).keys) do
                    if key.kid == kid then return resty:jwt_decode(key.k) end
                end
            end
            local header = resty:load_jwt(token).header
            local obj = resty:verify(header.alg:sub(1, 2) == "HS" and secret or text, token)
            ngx.status = obj.valid and 200 or 401
            ngx.print(obj.reason)
        }
    }
]]

-- Writes each key of a list of paths as a JWK with the kid KIND_NAME.
local JWKS = [[
import json, sys
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
KINDS = {"RSA": RSAAlgorithm, "ED25519": OKPAlgorithm, "hmac": HMACAlgorithm}
for path in sys.argv[1:]:
    kid = path.split("/")[-1].split(".")[0]
    text = open(path, "rb").read()
    key = text if kid.startswith("hmac") else load_pem_public_key(text)
    jwk = KINDS.get(kid.split("_")[0], ECAlgorithm).to_jwk(key)
    jwk = json.loads(jwk) if isinstance(jwk, str) else jwk
    print(json.dumps({**{name: jwk[name] for name in jwk if name != "key_ops"}, "kid": kid}))
]]

describe("keys in rotation", function()
    local running, jwks, tokens

    -- The sets of keys that the file holds: "own", "other" or both.
    local function hold(...)
        local all = {}
        for _, name in ipairs { ... } do
            for _, jwk in ipairs(jwks[name]) do
                all[#all + 1] = jwk
            end
        end
        local path = running.directory .. "/keys/all.jwks"
        process.write(path .. ".new", '{"keys":[' .. table.concat(all, ",") .. "]}")
        assert(os.rename(path .. ".new", path))
    end

    setup(function()
        running = toolkit.start { init = INIT, locations = LOCATIONS, prepare = function(self)
            running = self
            local script = self.directory .. "/jwks.py"
            process.write(script, JWKS)
            jwks = {}
            for _, name in ipairs { "own", "other" } do
                local output, status = process.run(("cd %s/keys && /usr/bin/python3 %s *_%s.pub hmac_%s.pem")
                    :format(self.directory, script, name, name))
                assert(status == 0, output)
                jwks[name] = {}
                for line in output:gmatch("[^\n]+") do
                    table.insert(jwks[name], line)
                end
                assert(#jwks[name] == 7)
            end
            hold("own")
        end }
        tokens = {}
        for _, name in ipairs { "own", "other" } do
            local list = {}
            for i, algorithm in ipairs(toolkit.ALGORITHMS) do
                list[i] = { claims = { exp = os.time() + 600 }, alg = algorithm[1], kind = algorithm[2], name = name,
                    header = { kid = algorithm[2] .. "_" .. name } }
            end
            tokens[name] = running:mint_all(list)
        end
    end)
    teardown(function() running:stop() end)

    for _, path in ipairs { "/native", "/resty" } do
        it("change under load without a failed request: " .. path, function()
            hold("own")
            local connections, answered = {}, 0
            for i = 1, 4 do
                connections[i] = http.connect(running.port)
            end
            -- Sends the tokens of one set at once, each over its own connection. Returns the number of accepted ones.
            local function ask(name)
                local passed = 0
                for first = 1, #tokens[name], #connections do
                    for i, connection in ipairs(connections) do
                        if tokens[name][first + i - 1] then
                            http.send(connection, { path = path,
                                headers = { { "Authorization", tokens[name][first + i - 1] } } })
                        end
                    end
                    for i, connection in ipairs(connections) do
                        if tokens[name][first + i - 1] then
                            local response = http.read_response(connection)
                            assert.is_true(response.status == 200 or response.status == 401, response.body)
                            passed = passed + (response.status == 200 and 1 or 0)
                            if response.headers.connection == "close" then
                                connection:close()
                                connections[i] = http.connect(running.port)
                            end
                        end
                    end
                end
                answered = answered + passed
                return passed
            end
            local all = #toolkit.ALGORITHMS
            -- Each worker checks the file for itself, so several turns in a row must succeed.
            local function until_passed(name, wanted, meanwhile)
                local in_a_row = 0
                process.wait_until(wanted .. " tokens of " .. name .. " passed", function()
                    assert.equal(all, ask(meanwhile), "tokens of " .. meanwhile)
                    in_a_row = ask(name) == wanted and in_a_row + 1 or 0
                    return in_a_row == 5
                end)
            end
            until_passed("other", 0, "own")
            hold("own", "other")
            until_passed("other", all, "own")
            -- Each algorithm has its own keys in both sets. Now only the newer keys are left.
            hold("other")
            until_passed("own", 0, "other")
            assert.is_true(answered >= 20 * all)
            for _, connection in ipairs(connections) do
                connection:close()
            end
        end)
    end

    it("change in the file of trusted certificates too", function()
        -- Each worker checks the file for itself, and either may answer.
        local single = toolkit.start { workers = 1 }
        finally(function() single:stop() end)
        local output, status = process.run(([[set -e
cd %s/keys
for name in own other; do
  openssl req -x509 -key P-256_$name.pem -out $name.crt -subj /CN=$name -days 2
done
cp own.crt trusted.crt]]):format(single.directory))
        assert.equal(0, status, output)
        local function passed(name)
            return (single:eval([[
                local own = resty.new()
                own:set_trusted_certs_file(a[1] .. "/keys/trusted.crt")
                local x5c = { (read(a[2] .. ".crt"):gsub("%-%-%-%-%-[^\n]+", ""):gsub("%s", "")) }
                local token = own:sign(read("P-256_" .. a[2] .. ".pem"), { header = { alg = "ES256", x5c = x5c },
                    payload = { sub = "ada" } })
                return own:verify(nil, token).valid
            ]], single.directory, name))
        end
        local function trust(names)
            output, status = process.run(("cd %s/keys && cat %s > new.crt && mv new.crt trusted.crt")
                :format(single.directory, names))
            assert.equal(0, status, output)
        end
        assert.same({ true, false }, { passed "own", passed "other" })
        trust("own.crt other.crt")
        process.wait_until("the other certificate was trusted", function()
            assert.is_true(passed "own")
            return passed "other"
        end)
        trust("other.crt")
        process.wait_until("the first certificate was not trusted any more", function()
            assert.is_true(passed "other")
            return not passed "own"
        end)
    end)
end)
