-- Runs a function many times and answers with the processor time of one call, in nanoseconds. Processor time excludes
-- the time that other processes take.

local _M = {}

function _M.run(call)
    local count = tonumber(ngx.var.calls)
    -- The first pass warms caches and the JIT compiler.
    for _ = 1, count / 10 do call() end
    local start = os.clock()
    for _ = 1, count do call() end
    ngx.print((os.clock() - start) / count * 1e9)
end

return _M
