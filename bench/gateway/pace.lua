-- wrk: pauses some milliseconds between two requests of a connection. This measures latency and not throughput.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

function delay()
    return math.random(0, 10)
end
