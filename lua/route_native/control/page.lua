-- The status page of the admin API: status.html beside this file, and what it shows besides metrics and revocations.

local cjson = require "cjson.safe"
local refusals = require "route_native.core.refusals"
local response = require "route_native.core.response"

local ngx = ngx
local concat, gsub = table.concat, string.gsub

-- Nothing from elsewhere, no script and no style but the page's own, and no text that becomes markup.
local POLICY = "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; img-src data:; "
    .. "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    .. "trusted-types 'none'"

local page

local _M = {}

-- Reads the page, while the master may. Raises an error if it is not installed.
function _M.setup()
    local directory = debug.getinfo(1, "S").source:match("^@(.*)page%.lua$")
    local file, err = io.open(directory .. "status.html", "rb")
    if not file then
        error("route_native.control: the status page cannot be read: " .. err, 0)
    end
    page = file:read("*a")
    file:close()
end

-- Answers with the page. Its nonce is 128 random bits, and of this answer alone.
function _M.answer()
    if not page then
        _M.setup()
    end
    local nonce = ngx.var.request_id
    ngx.header["Content-Security-Policy"] = POLICY:format(nonce, nonce)
    ngx.header["Cross-Origin-Opener-Policy"] = "same-origin"
    return response.finish(ngx.HTTP_OK, (gsub(page, "{{nonce}}", nonce)), "text/html; charset=utf-8")
end

-- Answers with the JSON for the page. `version` is the release, and `changes` whether an admin token can change
-- anything.
function _M.data(version, changes)
    -- The refusals are JSON already.
    return response.finish(ngx.HTTP_OK, ('{"time":%d,"version":%s,"changes":%s,"refusals":[%s]}\n'):format(ngx.time(),
        cjson.encode(version), tostring(changes), concat(refusals.newest(), ",")))
end

return _M
