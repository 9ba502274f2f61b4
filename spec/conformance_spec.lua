-- The tables of docs/reference/conformance.md: which algorithm works with which form of key on which face. Each cell is
-- what happened here. UPDATE_CONFORMANCE=1 writes the page; without it, the page is compared.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local toolkit = require "support.toolkit"

local PAGE = gateway.ROOT .. "/docs/reference/conformance.md"

-- The forms of keys, in the order of the columns.
local FORMS = { "secret", "oct", "public", "certificate", "private", "traditional", "public_jwk", "private_jwk", "der" }
local TITLES = {
    secret = "bytes of a secret", oct = "`oct` JWK", public = "`PUBLIC KEY`", certificate = "`CERTIFICATE`",
    private = "`PRIVATE KEY`", traditional = "`RSA`, `EC PRIVATE KEY`", public_jwk = "public JWK",
    private_jwk = "private JWK", der = "DER",
}

local SIGNATURES = {
    { "HS256", "hmac" }, { "HS384", "hmac" }, { "HS512", "hmac" },
    { "RS256", "RSA" }, { "RS384", "RSA" }, { "RS512", "RSA" }, { "PS256", "RSA" }, { "PS384", "RSA" },
    { "PS512", "RSA" }, { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" }, { "ES256K", "secp256k1" },
    { "EdDSA", "ED25519" }, { "Ed25519", "ED25519" },
}

local CURVES = { "P-256", "P-384", "P-521", "X25519" }
local ENCRYPTIONS = {
    { "A128GCM", 16 }, { "A192GCM", 24 }, { "A256GCM", 32 },
    { "A128CBC-HS256", 32 }, { "A192CBC-HS384", 48 }, { "A256CBC-HS512", 64 },
}
-- Key management with its kinds of keys, or the size of its secret; 0 is the size of the content encryption's key.
local MANAGEMENTS = {
    { "dir", 0 }, { "A128KW", 16 }, { "A192KW", 24 }, { "A256KW", 32 },
    { "A128GCMKW", 16 }, { "A192GCMKW", 24 }, { "A256GCMKW", 32 },
    { "RSA-OAEP", { "RSA" } }, { "RSA-OAEP-256", { "RSA" } }, { "RSA-OAEP-384", { "RSA" } },
    { "RSA-OAEP-512", { "RSA" } },
    { "ECDH-ES", CURVES }, { "ECDH-ES+A128KW", CURVES }, { "ECDH-ES+A192KW", CURVES }, { "ECDH-ES+A256KW", CURVES },
    { "RSA1_5", { "RSA" } }, { "PBES2-HS256+A128KW", 16 }, { "PBES2-HS384+A192KW", 24 }, { "PBES2-HS512+A256KW", 32 },
}

-- Makes every form of an `own` and an `other` key. %s is the directory, the kind and the name.
local COMMANDS = [[
openssl pkey -in %s_%s.pem -outform DER -out %s_%s.der
case %s in X25519) ;; *)
  openssl req -x509 -key %s_%s.pem -subj /CN=x -days 2 -out %s_%s.certificate 2>/dev/null
esac
case %s in
  RSA) openssl rsa -in %s_%s.pem -traditional -out %s_%s.traditional 2>/dev/null;;
  P-*|secp*) openssl ec -in %s_%s.pem -out %s_%s.traditional 2>/dev/null;;
esac
]]

local function forms_of(directory)
    local keys, script = directory .. "/keys", { "set -e", "cd " .. directory .. "/keys" }
    for _, name in ipairs { "own", "other" } do
        script[#script + 1] = ("openssl genpkey -algorithm X25519 -out X25519_%s.pem"):format(name)
        script[#script + 1] = ("openssl pkey -in X25519_%s.pem -pubout -out X25519_%s.pub"):format(name, name)
    end
    local kinds = { "RSA", "P-256", "P-384", "P-521", "secp256k1", "ED25519", "X25519" }
    for _, kind in ipairs(kinds) do
        script[#script + 1] = (COMMANDS:gsub("%%s_%%s", kind .. "_own"):gsub("%%s", kind))
    end
    local output, status = process.run(table.concat(script, "\n"))
    assert(status == 0, output)
    local paths = {}
    for i, kind in ipairs(kinds) do paths[i] = keys .. "/" .. kind .. "_own.pem" end
    output, status = process.run("/usr/bin/python3 " .. gateway.ROOT .. "/spec/support/jwks.py "
        .. table.concat(paths, " "))
    assert(status == 0, output)
    local lines = output:gmatch("[^\n]+")
    local extensions = { public = "pub", private = "pem", certificate = "certificate", traditional = "traditional",
        der = "der" }
    for _, kind in ipairs(kinds) do
        local path = keys .. "/" .. kind .. "_own."
        local jwks = cjson.decode(lines())
        process.write(path .. "public_jwk", jwks[1])
        process.write(path .. "private_jwk", jwks[2])
        for form, extension in pairs(extensions) do
            local text = process.read(path .. extension)
            if text ~= "" and form ~= extension then process.write(path .. form, text) end
        end
    end
    for _, size in ipairs { 16, 24, 32, 48, 64 } do
        local jwk = ("printf %%s '%s' | base64 -w0 | tr '+/' '-_' | tr -d ="):format(("k"):rep(size))
        process.write(("%s/%d_own.secret"):format(keys, size), ("k"):rep(size))
        process.write(("%s/%d_own.oct"):format(keys, size), cjson.encode { kty = "oct", k = (process.run(jwk)) })
    end
    -- The one HMAC secret is long enough for each algorithm.
    process.run(("cd %s && cp 64_own.secret hmac_own.secret && cp 64_own.oct hmac_own.oct"):format(keys))
end

-- What runs in nginx: `attempt` returns the first result of a call, or nil if it raised an error.
local HELPERS = [[
local function form(kind, name)
    local file = io.open(ngx.config.prefix() .. "../keys/" .. kind .. "_own." .. name, "rb")
    local text = file and file:read("*a")
    if file then file:close() end
    return text
end
local function attempt(call, ...)
    local ok, result = pcall(call, ...)
    return ok and result or nil
end
local function other_key(kind)
    return kind == "hmac" and ("o"):rep(64) or read(kind .. "_other.pem")
end
local function sign(key, alg) return jwt.sign({ sub = "ada" }, key, { algorithm = alg, lifetime = 600 }) end
local engine = require "route_native.desktop.engine"
]]

local SIGNED = HELPERS .. [[
local found = {}
for _, row in ipairs(a[1]) do
    local alg, kind = row[1], row[2]
    local private = kind == "hmac" and form(kind, "secret") or form(kind, "private")
    local public = kind == "hmac" and private or form(kind, "public")
    local good, forged = sign(private, alg), sign(other_key(kind), alg)
    local cells = { token = good, forged = forged, jwt = {}, resty = {}, gateway = {} }
    for _, name in ipairs(a[2]) do
        local key = form(kind, name)
        if key then
            local function verdict(face, call, operation)
                cells[face][name] = cells[face][name] or {}
                if call() then table.insert(cells[face][name], operation) end
            end
            verdict("jwt", function()
                assert(not attempt(jwt.verify, forged, key))
                return attempt(jwt.verify, good, key, { algorithms = alg })
            end, "verify")
            verdict("jwt", function()
                local token = attempt(sign, key, alg)
                return token and jwt.verify(token, public, { algorithms = alg })
            end, "sign")
            verdict("resty", function()
                local obj = attempt(resty.verify, resty, key, forged)
                assert(not obj or (not obj.valid and not obj.verified))
                obj = attempt(resty.verify, resty, key, good)
                return obj and obj.valid and obj.verified
            end, "verify")
            verdict("resty", function()
                local payload = { sub = "ada", exp = ngx.time() + 60 }
                local token = attempt(resty.sign, resty, key, { header = { alg = alg }, payload = payload })
                return token and resty:verify(public, token).valid
            end, "sign")
            verdict("gateway", function()
                local path = ngx.config.prefix() .. "../keys/"
                local handle = attempt(engine.new, { signing_key = path .. kind .. "_own." .. name,
                    payload_key = path .. "RSA_other.pem", labels = {}, leeway = 5, cache_entries = 10 })
                if not handle then return false end
                assert(not engine.verify(handle, forged, ngx.time()))
                return engine.verify(handle, good, ngx.time())
            end, "verify")
        end
    end
    found[alg] = cells
end
return found
]]

local SEALED = HELPERS .. [[
local found = { jwt = {}, resty = {} }
local function seal(key, alg, enc) return jwt.encrypt('{"sub":"ada"}', key, { algorithm = alg, encryption = enc }) end
local function resty_seal(key, alg, enc)
    return resty:sign(key, { header = { alg = alg, enc = enc }, payload = { sub = "ada" } })
end
local function resty_open(token, key)
    local obj = resty:verify(key, token)
    return obj.valid and obj.verified and obj.payload.sub
end
local alg, enc, kind = a[1], a[2], tostring(a[3])
local is_secret = kind:find("^%d")
local private = is_secret and form(kind, "secret") or form(kind, "private")
local public = is_secret and private or form(kind, "public")
local other = is_secret and ("o"):rep(tonumber(kind)) or read(kind .. "_other.pem")
local good = attempt(seal, public, alg, enc)
for _, name in ipairs(a[4]) do
    local key = form(kind, name)
    if key then
        local cells = { jwt = {}, resty = {} }
        local token = attempt(seal, key, alg, enc)
        if token and jwt.decrypt(token, private) then table.insert(cells.jwt, "encrypt") end
        if good and attempt(jwt.decrypt, good, key) then table.insert(cells.jwt, "decrypt") end
        token = attempt(resty_seal, key, alg, enc)
        if token and resty_open(token, private) then table.insert(cells.resty, "encrypt") end
        if good and attempt(resty_open, good, key) then table.insert(cells.resty, "decrypt") end
        if good then
            assert(not jwt.decrypt(good, other) and not resty_open(good, other))
        end
        found.jwt[name], found.resty[name] = cells.jwt, cells.resty
    end
end
return found
]]

-- auth.check() with the key of a file, which the query names.
local CHECKED = [[
location = /checked {
    access_by_lua_block {
        configs = configs or {}
        local name = ngx.var.arg_key
        configs[name] = configs[name] or { key = read(name) }
        local ok = pcall(require("route_native.auth").check, configs[name])
        if not ok then return ngx.exit(503) end
    }
    content_by_lua_block { ngx.print("passed") }
}
]]

local function cell(operations)
    if not operations then return "" end
    return #operations == 0 and "refused" or table.concat(operations, ", ")
end

-- Returns a table of rows `{ title, cells by form }`. Forms that no key of the rows has are left out.
local function markdown(rows)
    local forms, lines = {}, {}
    for _, form in ipairs(FORMS) do
        for _, row in ipairs(rows) do
            if row[2][form] then
                forms[#forms + 1] = form
                break
            end
        end
    end
    local head, rule = { "algorithm" }, { "---" }
    for i, form in ipairs(forms) do head[i + 1], rule[i + 1] = TITLES[form], "---" end
    local function line(values) lines[#lines + 1] = "| " .. table.concat(values, " | ") .. " |" end
    line(head)
    lines[#lines + 1] = "|" .. table.concat(rule, "|") .. "|"
    -- Algorithms with equal cells share a row.
    local last
    for _, row in ipairs(rows) do
        local values = {}
        for i, form in ipairs(forms) do values[i] = cell(row[2][form]) end
        local id = table.concat(values, "|")
        if last and last.id == id then
            last.titles[#last.titles + 1] = row[1]
        else
            last = { id = id, titles = { row[1] }, values = values }
            lines[#lines + 1] = last
        end
    end
    for i, value in ipairs(lines) do
        if type(value) == "table" then
            lines[i] = "| " .. table.concat(value.titles, ", ") .. " | " .. table.concat(value.values, " | ") .. " |"
        end
    end
    return (table.concat(lines, "\n"):gsub(" +|", " |"))
end

describe("the conformance tables", function()
    local running

    setup(function()
        running = toolkit.start { locations = CHECKED, prepare = function(self) forms_of(self.directory) end }
    end)
    teardown(function() running:stop() end)

    local function has(kind, form)
        return process.read(("%s/keys/%s_own.%s"):format(running.directory, kind, form)) ~= ""
    end

    -- Returns the cells of auth.check().
    local function checked(row, tokens)
        local cells = {}
        for _, form in ipairs(FORMS) do
            if has(row[2], form) then
                local function status(token)
                    return http.request(running.port, { path = ("/checked?key=%s_own.%s"):format(row[2], form),
                        headers = { { "Authorization", "Bearer " .. token } } }).status
                end
                local answer = status(tokens.token)
                cells[form] = answer == 200 and { "verify" } or {}
                -- 503: the key is a mistake of the configuration.
                assert.equal(answer == 200 and 401 or answer, status(tokens.forged), row[1] .. " " .. form)
                assert.is_true(answer == 200 or answer == 503, row[1] .. " " .. form .. ": " .. answer)
            end
        end
        return cells
    end

    -- Returns the cells of route-token: explain, and then mint, whose tokens the toolkit verifies.
    local function told(row, tokens)
        local cells, directory = {}, running.directory .. "/keys/"
        local program = gateway.ROOT .. "/target/release/route-token"
        for _, form in ipairs(FORMS) do
            if has(row[2], form) then
                local path = directory .. row[2] .. "_own." .. form
                local function explains(token)
                    process.write(directory .. "token", token)
                    local output = process.run(("%s explain --key %s < %stoken 2>&1"):format(program, path, directory))
                    return output:find("\nok +signature ") ~= nil
                end
                assert.is_false(explains(tokens.forged), row[1] .. " " .. form)
                cells[form] = explains(tokens.token) and { "verify" } or {}
                local token, status = process.run(program .. " mint --key " .. path .. " --payload-key " .. directory
                    .. "RSA_own.pub --target pod --alg " .. row[1] .. " 2>/dev/null")
                local public = row[2] == "hmac" and "hmac_own.secret" or row[2] .. "_own.pub"
                local verify = "return jwt.verify(a[1], read(a[2])) ~= nil"
                if status == 0 and running:eval(verify, token:match("%S+"), public) then
                    table.insert(cells[form], "sign")
                end
            end
        end
        return cells
    end

    it("are as the page says", function()
        local signed = running:eval(SIGNED, SIGNATURES, FORMS)
        local faces = { jwt = {}, check = {}, resty = {}, token = {}, gateway = {} }
        for i, row in ipairs(SIGNATURES) do
            local cells = signed[row[1]]
            for _, face in ipairs { "jwt", "resty", "gateway" } do faces[face][i] = { row[1], cells[face] } end
            faces.check[i] = { row[1], checked(row, cells) }
            faces.token[i] = { row[1], told(row, cells) }
        end

        local sealed = { jwt = {}, resty = {} }
        for i, management in ipairs(MANAGEMENTS) do
            local first
            -- The cells are the same for each content encryption and curve; X25519 has fewer forms.
            for _, encryption in ipairs(ENCRYPTIONS) do
                local kinds = management[2]
                kinds = type(kinds) == "table" and kinds or { kinds == 0 and encryption[2] or kinds }
                for _, kind in ipairs(kinds) do
                    local found = running:eval(SEALED, management[1], encryption[1], kind, FORMS)
                    first = first or found
                    for face, cells in pairs(found) do
                        for form, operations in pairs(cells) do
                            assert.same(first[face][form], operations,
                                table.concat({ management[1], encryption[1], kind, face, form }, " "))
                        end
                    end
                end
            end
            sealed.jwt[i], sealed.resty[i] = { management[1], first.jwt }, { management[1], first.resty }
        end

        local text = process.read(PAGE)
        local page = text
        for name, rows in pairs { ["route_native.jwt"] = faces.jwt, ["auth.check"] = faces.check,
            ["route_native.resty_jwt"] = faces.resty, ["route-token"] = faces.token, gateway = faces.gateway,
            ["route_native.jwt, encrypted"] = sealed.jwt, ["route_native.resty_jwt, encrypted"] = sealed.resty } do
            local start = ("<!-- %s -->\n"):format(name)
            local _, from = page:find(start, 1, true)
            local to = assert(page:find("<!-- end -->", from, true), name)
            page = page:sub(1, from) .. markdown(rows) .. "\n" .. page:sub(to)
        end
        if os.getenv("UPDATE_CONFORMANCE") == "1" then
            process.write(PAGE, page)
        else
            assert.equal(page, text)
        end
    end)
end)
