-- Runs the commands of an example's README.md as written.

local gateway = require "support.gateway"
local process = require "support.process"

local _M = {}

-- Runs the second block of examples/NAME/README.md against an example on another port and in another directory.
-- Returns the statuses in its comments, the received statuses, and the output.
function _M.try(name, port, run_dir)
    local text = process.read(gateway.ROOT .. "/examples/" .. name .. "/README.md")
    local start, commands = text:match("```sh\n(.-)```.-```sh\n(.-)```")
    assert(start:find(name == "desktop" and "^make run " or "^make run EXAMPLE=" .. name .. " "), start)
    local expected, received = {}, {}
    for status in commands:gmatch("# (%d%d%d)%f[%D]") do
        expected[#expected + 1] = status
    end
    commands = commands:gsub(":8080/", ":" .. port .. "/"):gsub("%.run/", (run_dir:gsub("%%", "%%%%")) .. "/")
    local output, status = process.run(("cd %s && bash -euo pipefail -c %s")
        :format(gateway.ROOT, process.quoted(commands)))
    assert(status == 0, output)
    for code in output:gmatch("HTTP/1%.1 (%d%d%d)") do
        received[#received + 1] = code
    end
    return expected, received, output
end

return _M
