-- Finds the service of a request by its host, then by the first segment of its path.

local _M = {}
local services = {}
services.__index = services

-- Indexes the services of the settings.
function _M.new(by_name)
    local self = setmetatable({ by_host = {}, by_path = {} }, services)
    for _, service in pairs(by_name) do
        if service.host then
            self.by_host[service.host:lower()] = service
        end
        if service.path then
            self.by_path[service.path] = service
        end
    end
    return self
end

-- Returns the service of a host, in the form of nginx's $host, and a normalised path, or nil. A configured host may be
-- the first label of the request's host alone. The path "/" matches all requests that no other service matches.
function services:find(host, path)
    local by_host = self.by_host
    local label = host:match("^[^.]*")
    return by_host[host] or by_host[label] or self.by_path[path:match("^/[^/]*")] or self.by_path["/"]
end

return _M
