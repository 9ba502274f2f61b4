-- Revokes in a running gateway, through locations that a spec adds to its site.

local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"

local _M = {}

-- The locations. Each worker answers them.
_M.LOCATIONS = [[
    location = /.revoke {
        client_body_buffer_size 16k;
        content_by_lua_block {
            ngx.req.read_body()
            local number, err = require("route_native.revocation").revoke(ngx.req.get_body_data())
            ngx.print(require("cjson").encode { number = number, error = err })
        }
    }
    location = /.withdraw {
        content_by_lua_block {
            ngx.print(tostring(require("route_native.revocation").withdraw(tonumber(ngx.var.arg_number))))
        }
    }
    location = /.revocations {
        content_by_lua_block {
            local revocation, arg = require "route_native.revocation", ngx.req.get_uri_args()
            local list, more = revocation.list(tonumber(arg.below), tonumber(arg.limit))
            ngx.print(require("cjson").encode { list = list, more = more, count = revocation.count() })
        }
    }
]]

-- Revokes. Returns the number, or nil and the error.
function _M.revoke(port, revocation)
    local body = type(revocation) == "table" and cjson.encode(revocation) or revocation
    local answer = cjson.decode(http.request(port, { method = "POST", path = "/.revoke", body = body }).body)
    return answer.number, answer.error
end

function _M.withdraw(port, number)
    return http.request(port, { path = "/.withdraw?number=" .. number }).body
end

-- Returns { list, more, count }.
function _M.list(port, query)
    return cjson.decode(http.request(port, { path = "/.revocations?" .. (query or "") }).body)
end

-- Waits until `ask`, a function that returns a status, returns only the expected one, on both workers.
function _M.wait_for(expected, ask)
    process.wait_until("the answer was " .. expected, function()
        for _ = 1, 12 do
            if ask() ~= expected then
                return false
            end
        end
        return true
    end)
end

-- Returns a site with the locations in its first server.
function _M.site(text)
    return (text:gsub("\nserver {\n", function(found) return found .. _M.LOCATIONS end, 1))
end

return _M
