-- Runs whole specs again with resolve() in the rewrite phase, where the reference's sites call it.

local gateway = require "support.gateway"

for _, name in ipairs { "endpoints", "token_sources", "attacks" } do
    describe("in the rewrite phase,", function()
        setup(function() gateway.phase = "rewrite" end)
        teardown(function() gateway.phase = nil end)
        setfenv(assert(loadfile(("%s/spec/%s_spec.lua"):format(gateway.ROOT, name))), getfenv(1))()
    end)
end
