-- Compares the reference in docs/reference/ with the modules: it has every public function and configuration field, and
-- no others.

local process = require "support.process"
local toolkit = require "support.toolkit"

local LIBRARY = "docs/reference/luacats/library/"

-- Returns the public modules, which scripts/docs/config.ld lists.
local function public_modules()
    local environment = {}
    setfenv(assert(loadfile("scripts/docs/config.ld")), environment)()
    local names = {}
    for i, path in ipairs(environment.file) do
        names[i] = path:gsub("^%.%./%.%./lua/", ""):gsub("%.lua$", ""):gsub("/", ".")
    end
    return names
end

-- Returns the functions that the headings of a module's page name.
local function functions_of_page(module)
    local text = process.read("docs/reference/lua/" .. module .. ".md"):match("\n## Functions\n(.*)")
    local names = {}
    for heading in ("\n" .. text:gsub("\n## .*", "")):gmatch("\n### ([^\n]+)") do
        for name in heading:gmatch("[%w_]+") do
            names[#names + 1] = name
        end
    end
    table.sort(names)
    return names
end

local function annotations_of(module)
    return process.read(LIBRARY .. module:gsub("%.", "/") .. ".lua")
end

local function functions_of_annotations(module)
    local names = {}
    for name in annotations_of(module):gmatch("\nfunction M[.:]([%w_]+)%(") do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

-- Returns the fields of every documented table with fields, by the table's full name.
local function documented_fields()
    local types = {}
    for _, module in ipairs(public_modules()) do
        local name
        for line in annotations_of(module):gmatch("[^\n]+") do
            local field = line:match("^%-%-%-@field ([%w_]+)")
            name = line:match("^%-%-%-@class ([%w_.]+%.%u[%w_]*)$") or field and name
            if name and field then
                types[name] = types[name] or {}
                table.insert(types[name], field)
                types[name][field] = line:match("%(default: (.*)%)$") or ""
            end
        end
    end
    return types
end

-- Lua that reads each documented configuration. `F` is a table with one field, whose value is wrong for every field.
local READERS = {
    ["route_native.SetupOptions"] = "require('route_native').setup(F)",
    ["route_native.jwt.JwksConfig"] = "jwt.jwks(with { url = 'http://127.0.0.1/' })",
    ["route_native.jwt.PolicyConfig"] = "jwt.policy(F)",
    ["route_native.jwt.EncryptOptions"] = "jwt.encrypt('', ('k'):rep(32), "
        .. "with { algorithm = 'dir', encryption = 'x' })",
    ["route_native.jwt.SignOptions"] = "jwt.sign({}, ('k'):rep(32), F)",
    ["route_native.revocation.SetupConfig"] = "require('route_native.revocation').setup(F)",
    ["route_native.auth.CheckConfig"] = "require('route_native.auth').prepare_check(with { key = ('k'):rep(32) })",
    ["route_native.auth.DpopConfig"] = "require('route_native.auth').prepare_check { key = ('k'):rep(32), "
        .. "dpop = with { public_origins = 'https://a', dict = 'route_native_login' } }",
    ["route_native.auth.LoginConfig"] = "require('route_native.auth').prepare_login(with(login))",
    ["route_native.auth.LoginCookie"] = "login.cookie = F require('route_native.auth').prepare_login(login)",
    ["route_native.auth.RateLimit"] = "login.rate_limit = F require('route_native.auth').prepare_login(login)",
    ["route_native.phantom_token.Config"] = "require('route_native.phantom_token').prepare(with { client_id = 'c', "
        .. "introspection_endpoint = 'http://127.0.0.1/', client_secret = 's' })",
    ["route_native.border.Config"] = "require('route_native.border').setup(with(border))",
    ["route_native.border.Service"] = "border.services.b = with(border.services.b) "
        .. "require('route_native.border').setup(border)",
    ["route_native.oidc.Config"] = "require('route_native.oidc').setup(with(oidc))",
    ["route_native.oidc.Provider"] = "oidc.providers.id = with(oidc.providers.id) "
        .. "require('route_native.oidc').setup(oidc)",
    ["route_native.oidc.Policy"] = "oidc.policies = { a = F } require('route_native.oidc').setup(oidc)",
    ["route_native.oidc.Store"] = "oidc.store = F require('route_native.oidc').setup(oidc)",
    ["route_native.border.Store"] = "border.store = F require('route_native.border').setup(border)",
}

-- Tables that no configuration reader reads.
local NO_CONFIGURATION = {
    -- resty_jwt/claims.lua reads it, and takes a table with any other field for claim specs.
    ["route_native.resty_jwt.ValidationOptions"] = true,
    -- resty_rsa.lua ignores other fields, as lua-resty-rsa does.
    ["route_native.resty_rsa.RsaOptions"] = true,
    -- revoke() returns its errors, and src/revocation/record.rs reads it.
    ["route_native.revocation.Revocation"] = true,
    -- Returned, never read.
    ["route_native.resty_jwt.Token"] = true,
    ["route_native.resty_openidc.Result"] = true,
}

local PRELUDE = [[
local F = { [a[1] ] = -1 }
local function with(base) base[a[1] ] = -1 return base end
local login = { key = ("k"):rep(32), backend = "/b", issuer = "i", rate_limit = false }
local border = { account_url = "http://a", auth_url = "http://a", services = { b = { path = "/b", url = "http://b" } } }
local oidc = { providers = { id = { issuer = "http://a", client_id = "c" } } }
local ok, message = pcall(function() %s end)
return ok, tostring(message)
]]

-- Reads a configuration with an unknown field. Returns the rows of its table: { name, the default in the page's
-- notation, or the variable that has it }.
local ROWS = [[
local config = require "route_native.core.config"
local read, rows = config.read, {}
local written
function written(value)
    if type(value) == "table" then
        return #value == 1 and written(value[1]) or "{}"
    end
    return type(value) == "string" and ("%%q"):format(value) or value ~= nil and tostring(value) or ""
end
config.read = function(owner, all, given, ...)
    if type(given) == "table" and given[a[1] ] == -1 then
        for i, row in ipairs(all) do
            rows[i] = { row[1], row.variable or written(row.default) }
        end
    end
    return read(owner, all, given, ...)
end
pcall(function() %s end)
config.read = read
return rows
]]

describe("the reference", function()
    local nginx

    setup(function()
        nginx = toolkit.start()
    end)

    teardown(function()
        nginx:stop()
    end)

    for _, module in ipairs(public_modules()) do
        it("documents exactly the functions of " .. module, function()
            local functions = nginx:eval([[
                local names = {}
                for name, value in pairs(require(a[1])) do
                    if type(value) == "function" then names[#names + 1] = name end
                end
                table.sort(names)
                return names
            ]], module)
            assert.is_true(#functions > 0)
            assert.same(functions, functions_of_page(module))
            assert.same(functions, functions_of_annotations(module))
        end)
    end

    it("lists every module with a @module comment, and no other", function()
        local tagged = {}
        for path in process.run("grep -rl '^-- @module ' lua | sort"):gmatch("[^\n]+") do
            tagged[#tagged + 1] = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/", ".")
        end
        local public = public_modules()
        table.sort(tagged)
        table.sort(public)
        assert.same(tagged, public)
    end)

    it("has a test for each configuration table", function()
        for name in pairs(documented_fields()) do
            assert.is_true(READERS[name] ~= nil or NO_CONFIGURATION[name] ~= nil, name)
        end
    end)

    for name, reader in pairs(READERS) do
        it("documents no unknown field of " .. name, function()
            local fields = assert(documented_fields()[name], name)
            local function error_of(field)
                local ok, message = nginx:eval(PRELUDE:format(reader), field)
                return not ok and (message:find("there is no ", 1, true) or message:find("knows no ", 1, true))
                    and message or nil
            end
            assert.is_truthy(error_of("no_such_field"))
            for _, field in ipairs(fields) do
                assert.is_nil(error_of(field))
            end
        end)
    end

    it("documents every configuration field with its default", function()
        local tables, wrong = 0, {}
        for name, reader in pairs(READERS) do
            local rows, fields = nginx:eval(PRELUDE:gsub("local ok.*", "") .. ROWS:format(reader), "no_such_field"),
                documented_fields()[name]
            tables = tables + (#rows > 0 and 1 or 0)
            for _, row in ipairs(rows) do
                local field, default = row[1], row[2]
                if fields[field] ~= default then
                    wrong[#wrong + 1] = ("%s.%s: %q, and the page says %q"):format(name, field, default,
                        fields[field] or "nothing")
                end
            end
        end
        table.sort(wrong)
        assert.equal("", table.concat(wrong, "\n"))
        assert.is_true(tables >= 8, tables)
    end)
end)
