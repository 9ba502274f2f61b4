-- A certificate authority for specs, made with openssl.

local process = require "support.process"

local _M = {}

local function run(command)
    local output, status = process.run("set -e\n" .. command)
    assert(status == 0, output)
end

-- Makes an authority: DIR/NAME.pem and DIR/NAME.key.
function _M.new(directory, name)
    run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=%s "
        .. "-keyout %s/%s.key -out %s/%s.pem"):format(name, directory, name, directory, name))
    return { directory = directory, name = name, pem = directory .. "/" .. name .. ".pem" }
end

-- Makes a certificate of an authority: DIR/NAME.pem and DIR/NAME.key. `names` is its subjectAltName; `days` may be
-- negative, and the certificate has expired then.
function _M.issue(authority, name, names, days)
    local path = authority.directory .. "/" .. name
    process.write(path .. ".ext", "subjectAltName=" .. names .. "\n")
    run(("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s -keyout %s.key -out %s.csr\n"
        .. "openssl x509 -req -in %s.csr -CA %s -CAkey %s/%s.key -CAcreateserial -days %d -extfile %s.ext -out %s.pem")
        :format(name, path, path, path, authority.pem, authority.directory, authority.name, days or 30, path, path))
    return { certificate = path .. ".pem", key = path .. ".key" }
end

return _M
