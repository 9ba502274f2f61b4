-- DPoP proofs for the specs, by npm's `dpop` or by hand (proofs.mjs).

local cjson = require "cjson"
local gateway = require "support.gateway"
local process = require "support.process"

local _M = {}

-- Makes the proofs of a list of requests in one run. Returns them, and the thumbprints of their keys. `directory` keeps
-- the keys.
function _M.all(directory, requests)
    local lines = {}
    for i, request in ipairs(requests) do
        lines[i] = cjson.encode(request)
    end
    local input = directory .. "/proofs.txt"
    process.write(input, table.concat(lines, "\n") .. "\n")
    local output, status = process.run(("node %s/spec/support/proofs.mjs %s/proof_keys.json < %s")
        :format(gateway.ROOT, directory, input))
    assert(status == 0, output)
    local proofs, thumbprints = {}, {}
    for line in output:gmatch("[^\n]+") do
        local made = cjson.decode(line)
        proofs[#proofs + 1], thumbprints[#thumbprints + 1] = made.proof, made.jkt
    end
    assert(#proofs == #requests, output)
    return proofs, thumbprints
end

-- Makes one proof. Returns it and the thumbprint of its key.
function _M.one(directory, request)
    local proofs, thumbprints = _M.all(directory, { request })
    return proofs[1], thumbprints[1]
end

return _M
