-- A real file server of a desktop: an nginx of its own that serves a directory with Range, and stores uploads (PUT,
-- DELETE, MKCOL of WebDAV).

local gateway = require "support.gateway"
local process = require "support.process"

local CONF = [[
daemon off;
pid DIRECTORY/nginx.pid;
error_log DIRECTORY/error.log notice;
worker_processes 1;
events {}
http {
    access_log DIRECTORY/access.log;
    types { application/pdf pdf; text/plain txt; }
    default_type application/octet-stream;
    client_body_temp_path DIRECTORY/files/.uploads;
    proxy_temp_path DIRECTORY/tmp1; fastcgi_temp_path DIRECTORY/tmp2;
    uwsgi_temp_path DIRECTORY/tmp3; scgi_temp_path DIRECTORY/tmp4;
    server {
        ADDRESSES
        root DIRECTORY/files;
        client_max_body_size 0;
        dav_methods PUT DELETE MKCOL;
        create_full_put_path on;
        sendfile on;
    }
}
]]

local _M = {}
local server = {}
server.__index = server

-- Starts it on ports of 127.0.0.1. Files of a path are in self.files .. path.
function _M.start(...)
    local self = setmetatable({ directory = process.temporary_directory() }, server)
    self.files = self.directory .. "/files"
    process.run("mkdir -p " .. self.files .. " && chmod 755 " .. self.directory)
    local addresses = {}
    for i, port in ipairs { ... } do
        addresses[i] = ("listen 127.0.0.1:%d;"):format(port)
    end
    local values = { DIRECTORY = self.directory, ADDRESSES = table.concat(addresses, " ") }
    process.write(self.directory .. "/nginx.conf", (CONF:gsub("%f[%u]%u%u%u%u+%f[%U]", values)))
    local user = process.run("id -un"):gsub("%s+$", "")
    -- nginx's workers are of the user who may read the directory.
    local script = (". %s/scripts/nginx.sh && exec $NGINX_BINARY -e stderr -c %s/nginx.conf -g '%s'")
        :format(gateway.ROOT, self.directory, user == "root" and "user root;" or "")
    self.pid = process.start("sh -c " .. process.quoted(script), self.directory .. "/output")
    process.wait_until("the file server listened", function()
        return process.read(self.directory .. "/nginx.pid") ~= "" or not process.alive(self.pid)
    end)
    assert(process.alive(self.pid), process.read(self.directory .. "/output"))
    return self
end

function server:stop()
    process.stop(self.pid)
    process.run("rm -rf " .. process.quoted(self.directory))
end

return _M
